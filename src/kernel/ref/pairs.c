/* SPDX-License-Identifier: Apache-2.0 */
#include "base/memory.h"
#include "base/tensor.h"
#include "kernel/ref/scalar.h"
#include "kernel/rows.h"

void rt_gate_ref(const rt_gate_args *gate) {
    for (size_t r = 0; r < gate->rows; r++) {
        for (size_t j = 0; j < gate->n; j++) {
            size_t block = j / RT_PANEL * RT_PANEL, half = rt_min(RT_PANEL, gate->n - block);
            const float *a = gate->x + r * gate->ldx + 2 * block + j % RT_PANEL;
            float y = ref_activate(a[0], gate->act) * a[half];
            if (gate->y != NULL) gate->y[r * gate->ldy + j] = y;
            if (gate->y16 != NULL) gate->y16[r * gate->ldy16 + j] = rt_f32_to_bf16(y);
        }
    }
}

void rt_rotate_ref(const rt_rotate_args *rotate) {
    size_t pairs = rotate->dim / 2;
    for (size_t i = 0; i < rotate->rows * rotate->n / 2; i++) {
        size_t r = i / (rotate->n / 2), c = rotate->first / 2 + i % (rotate->n / 2), j = c % pairs;
        size_t block = j / RT_PANEL * RT_PANEL, half = rt_min(RT_PANEL, pairs - block);
        size_t column = c / pairs * rotate->dim + 2 * block + j % RT_PANEL - rotate->first;
        float *a = rotate->x + r * rotate->ldx + column;
        const float *cosine = rotate->table + (size_t)rotate->positions[r] * rotate->dim + j;
        float sine = rotate->back ? -cosine[pairs] : cosine[pairs];
        float first = a[0], second = a[half];
        a[0] = fmaf(-second, sine, first * *cosine);
        a[half] = fmaf(first, sine, second * *cosine);
    }
}
