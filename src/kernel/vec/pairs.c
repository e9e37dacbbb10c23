/* SPDX-License-Identifier: Apache-2.0
 * What follows a product whose columns are pairs: gates, and the rotation of Q and K. */
#include "base/memory.h"
#include "kernel/rows.h"
#include "kernel/vec/math.h"

/* `act` is a constant at every call. */
RT_VERB void gate_rows(rt_act act, const rt_gate_args *gate) {
    for (size_t r = 0; r < gate->rows; r++) {
        const float *x = gate->x + r * gate->ldx;
        for (size_t j = 0; j < gate->n; j += RT_PANEL, x += 2 * RT_PANEL) {
            size_t n = rt_min(RT_PANEL, gate->n - j);
            v16 y = v16_mul(activate16(v16_load_n(x, n), act), v16_load_n(x + n, n));
            if (gate->y != NULL) v16_store_n(gate->y + r * gate->ldy + j, y, n);
            if (gate->y16 != NULL) v16_store_bf16_n(gate->y16 + r * gate->ldy16 + j, y, n);
        }
    }
}

void RT_ISA(gate)(const rt_gate_args *gate) {
    switch (gate->act) {
    case RT_FN_NONE:
        gate_rows(RT_FN_NONE, gate);
        break;
    case RT_FN_GELU:
        gate_rows(RT_FN_GELU, gate);
        break;
    case RT_FN_GELU_TANH:
        gate_rows(RT_FN_GELU_TANH, gate);
        break;
    case RT_FN_RELU:
        gate_rows(RT_FN_RELU, gate);
        break;
    case RT_FN_TANH:
        gate_rows(RT_FN_TANH, gate);
        break;
    case RT_FN_SILU:
        gate_rows(RT_FN_SILU, gate);
        break;
    case RT_FN_GELU_SHORT:
        gate_rows(RT_FN_GELU_SHORT, gate);
        break;
    }
}

void RT_ISA(rotate)(const rt_rotate_args *rotate) {
    size_t pairs = rotate->dim / 2;
    v16 direction = v16_set(rotate->back ? -1.0f : 1.0f);
    for (size_t r = 0; r < rotate->rows; r++) {
        const float *cosine = rotate->table + (size_t)rotate->positions[r] * rotate->dim,
                    *sine = cosine + pairs;
        float *x = rotate->x + r * rotate->ldx, *end = x + rotate->n;
        for (size_t j = rotate->first % rotate->dim / 2; x < end; j = j < pairs ? j : 0) {
            size_t n = rt_min(RT_PANEL, pairs - j);
            v16 c = v16_load_n(cosine + j, n), s = v16_mul(v16_load_n(sine + j, n), direction);
            v16 first = v16_load_n(x, n), second = v16_load_n(x + n, n);
            v16_store_n(x, v16_fnma(second, s, v16_mul(first, c)), n);
            v16_store_n(x + n, v16_fma(first, s, v16_mul(second, c)), n);
            x += 2 * n;
            j += n;
        }
    }
}
