/* SPDX-License-Identifier: Apache-2.0
 * Backward passes of what is done element by element or row by row. */
#include "base/memory.h"
#include "kernel/rows.h"
#include "kernel/vec/math.h"

#include <math.h>

/* ---- Activations ---- */

RT_VERB v16 gelu_slope16(v16 x) {
    v16 one = v16_set(1.0f), z = v16_min(v16_abs(x), v16_set(RT_GELU_LIMIT));
    v16 y = v16_fma(poly(rt_gelu_poly, 10, z), z, v16_set(-1.0f)), n = v16_round(y), f = v16_sub(y, n);
    v16 t = v16_scale(v16_fma(poly(rt_exp2_poly, 6, f), f, one), n);
    v16 pdf = v16_mul(exp16(v16_mul(v16_mul(x, x), v16_set(-0.5f))), v16_set(RT_GELU_PDF));
    return v16_fma(x, pdf, v16_if_less(x, v16_set(0.0f), t, v16_sub(one, t)));
}

RT_VERB v16 gelu_tanh_slope16(v16 x) {
    v16 one = v16_set(1.0f), limit = v16_set(RT_GELU_TANH_SLOPE_LIMIT);
    x = v16_min(limit, v16_max(v16_sub(v16_set(0.0f), limit), x)); /* a NaN stays */
    v16 xx = v16_mul(x, x);
    v16 y = v16_mul(x, v16_fma(v16_set(RT_GELU_TANH_B), xx, v16_set(RT_GELU_TANH_A)));
    v16 s = v16_div(one, v16_add(one, exp16(y)));
    v16 turn = v16_fma(v16_set(3.0f * RT_GELU_TANH_B), xx, v16_set(RT_GELU_TANH_A));
    return v16_fnma(v16_mul(x, v16_mul(s, v16_sub(one, s))), turn, s);
}

RT_VERB v16 silu_slope16(v16 x) {
    v16 one = v16_set(1.0f), y = v16_sub(v16_set(0.0f), x);
    v16 s = v16_div(one, v16_add(one, exp16(v16_min(v16_set(RT_EXP_HIGH), y))));
    return v16_fma(x, v16_mul(s, v16_sub(one, s)), s);
}

/* `act` is a constant at every call. */
RT_VERB v16 slope16(rt_act act, v16 z) {
    v16 one = v16_set(1.0f), zero = v16_set(0.0f);
    switch (act) {
    case RT_FN_GELU:
    case RT_FN_GELU_SHORT:
        return gelu_slope16(z);
    case RT_FN_GELU_TANH:
        return gelu_tanh_slope16(z);
    case RT_FN_RELU:
        return v16_if_less(zero, z, one, zero);
    case RT_FN_TANH:
        return v16_fnma(tanh16(z), tanh16(z), one);
    case RT_FN_SILU:
        return silu_slope16(z);
    case RT_FN_NONE:
        break;
    }
    return one;
}

RT_VERB void slopes(rt_act act, size_t n, const float *z, float *d) {
    for (size_t i = 0; i < n; i += 16) {
        v16 s = slope16(act, v16_load_n(z + i, n - i));
        v16_store_n(d + i, v16_mul(v16_load_n(d + i, n - i), s), n - i);
    }
}

void RT_ISA(act_back)(rt_act act, size_t n, const float *z, float *d) {
    switch (act) {
    case RT_FN_GELU:
    case RT_FN_GELU_SHORT:
        slopes(RT_FN_GELU, n, z, d);
        break;
    case RT_FN_GELU_TANH:
        slopes(RT_FN_GELU_TANH, n, z, d);
        break;
    case RT_FN_RELU:
        slopes(RT_FN_RELU, n, z, d);
        break;
    case RT_FN_TANH:
        slopes(RT_FN_TANH, n, z, d);
        break;
    case RT_FN_SILU:
        slopes(RT_FN_SILU, n, z, d);
        break;
    case RT_FN_NONE:
        break;
    }
}

/* `act` is a constant at every call. */
RT_VERB void gate_rows(rt_act act, const rt_gate_back *gate) {
    for (size_t r = 0; r < gate->rows; r++) {
        const float *x = gate->x + r * gate->ldx, *dy = gate->dy + r * gate->lddy;
        float *dx = gate->dx + r * gate->lddx;
        for (size_t j = 0; j < gate->n; j += RT_PANEL, x += 2 * RT_PANEL, dx += 2 * RT_PANEL) {
            size_t n = rt_min(RT_PANEL, gate->n - j);
            v16 a = v16_load_n(x, n), d = v16_load_n(dy + j, n);
            v16_store_n(dx, v16_mul(v16_mul(d, v16_load_n(x + n, n)), slope16(act, a)), n);
            v16_store_n(dx + n, v16_mul(d, activate16(a, act)), n);
        }
    }
}

void RT_ISA(gate_back)(const rt_gate_back *gate) {
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

/* ---- LayerNorm ---- */

enum { TOGETHER = 4 }; /* rows: the sum of one row is a chain of additions, with most of the adder idle */

/* mean[rows] and inverse[rows] of x[rows][n], as in vec/norm.c */
RT_VERB void measure(size_t rows, const rt_norm_back *norm, const float *x, float *mean, float *inverse) {
    v16 sum[TOGETHER], square[TOGETHER];
    for (size_t r = 0; r < rows; r++) sum[r] = square[r] = v16_set(0.0f);
    for (size_t i = 0; i < norm->n; i += 16) {
        for (size_t r = 0; r < rows; r++)
            sum[r] = v16_add(sum[r], v16_load_n(x + r * norm->ldx + i, norm->n - i));
    }
    for (size_t r = 0; r < rows; r++) mean[r] = norm->rms ? 0.0f : v16_sum(sum[r]) / (float)norm->n;
    for (size_t i = 0; i < norm->n; i += 16) {
        size_t n = norm->n - i;
        for (size_t r = 0; r < rows; r++) {
            v16 d = v16_sub(v16_load_n(x + r * norm->ldx + i, n), v16_set(mean[r]));
            if (n < 16) d = v16_first(n, d, v16_set(0.0f));
            square[r] = v16_fma(d, d, square[r]);
        }
    }
    for (size_t r = 0; r < rows; r++)
        inverse[r] = 1.0f / sqrtf(v16_sum(square[r]) / (float)norm->n + norm->epsilon);
}

/* 16 elements of xn from `at` on; 0 beyond the row. */
RT_VERB v16 normal16(const float *at, size_t n, float mean, float inverse) {
    v16 xn = v16_mul(v16_sub(v16_load_n(at, n), v16_set(mean)), v16_set(inverse));
    return n < 16 ? v16_first(n, xn, v16_set(0.0f)) : xn;
}

/* Rows row…row+rows-1; `rows` and `vectors` (dgamma and dbeta) are constants at every call. */
RT_VERB void back_rows(size_t rows, bool vectors, const rt_norm_back *norm, size_t row) {
    const float *x = norm->x + row * norm->ldx, *dy = norm->dy + row * norm->lddy;
    float *dx = norm->dx + row * norm->lddx, mean[TOGETHER], inverse[TOGETHER], sum[TOGETHER],
          along[TOGETHER];
    v16 first[TOGETHER], second[TOGETHER];
    measure(rows, norm, x, mean, inverse);
    for (size_t r = 0; r < rows; r++) first[r] = second[r] = v16_set(0.0f);
    for (size_t i = 0; i < norm->n; i += 16) {
        size_t n = norm->n - i;
        v16 gamma = v16_load_n(norm->gamma + i, n), dgamma = v16_set(0.0f), dbeta = v16_set(0.0f);
        if (vectors) dgamma = v16_load_n(norm->dgamma + i, n);
        if (vectors) dbeta = v16_load_n(norm->dbeta + i, n);
        for (size_t r = 0; r < rows; r++) {
            v16 d = v16_load_n(dy + r * norm->lddy + i, n), g = v16_mul(d, gamma);
            v16 xn = normal16(x + r * norm->ldx + i, n, mean[r], inverse[r]);
            first[r] = v16_add(first[r], g);
            second[r] = v16_fma(g, xn, second[r]);
            if (vectors) dbeta = v16_add(dbeta, d);
            if (vectors) dgamma = v16_fma(d, xn, dgamma);
        }
        if (vectors) v16_store_n(norm->dgamma + i, dgamma, n);
        if (vectors) v16_store_n(norm->dbeta + i, dbeta, n);
    }
    for (size_t r = 0; r < rows; r++) {
        sum[r] = norm->rms ? 0.0f : v16_sum(first[r]) / (float)norm->n;
        along[r] = v16_sum(second[r]) / (float)norm->n;
    }
    for (size_t i = 0; i < norm->n; i += 16) {
        size_t n = norm->n - i;
        v16 gamma = v16_load_n(norm->gamma + i, n);
        for (size_t r = 0; r < rows; r++) {
            v16 g = v16_mul(v16_load_n(dy + r * norm->lddy + i, n), gamma);
            v16 xn = normal16(x + r * norm->ldx + i, n, mean[r], inverse[r]);
            v16 d = v16_fnma(xn, v16_set(along[r]), v16_sub(g, v16_set(sum[r])));
            d = v16_mul(v16_set(inverse[r]), d);
            float *to = dx + r * norm->lddx + i;
            v16_store_n(to, norm->add ? v16_add(v16_load_n(to, n), d) : d, n);
        }
    }
}

RT_VERB void back_all(bool vectors, const rt_norm_back *norm) {
    size_t row = 0;
    for (; row + TOGETHER <= norm->rows; row += TOGETHER) back_rows(TOGETHER, vectors, norm, row);
    for (; row < norm->rows; row++) back_rows(1, vectors, norm, row);
}

void RT_ISA(layer_norm_back)(const rt_norm_back *norm) {
    if (norm->dgamma != NULL)
        back_all(true, norm);
    else
        back_all(false, norm);
}
