/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/rows.h"
#include "kernel/vec/vec.h"

/* Reads and writes 28 bytes per number: memory decides, on Zen 4 from 1 MB on. */
void RT_ISA(adamw)(const rt_adamw *s) {
    v16 scale = v16_set(s->scale), fresh1 = v16_set(s->fresh1), fresh2 = v16_set(s->fresh2);
    v16 beta2 = v16_set(s->beta2), keep = v16_set(s->keep), rate = v16_set(s->rate);
    v16 root = v16_set(s->root), epsilon = v16_set(s->epsilon);
    for (size_t i = 0; i < s->n; i += 16) {
        size_t n = s->n - i;
        v16 g = v16_mul(v16_load_n(s->g + i, n), scale);
        v16 m = v16_load_n(s->m + i, n), v = v16_load_n(s->v + i, n), w = v16_load_n(s->w + i, n);
        m = v16_fma(fresh1, v16_sub(g, m), m);
        v = v16_fma(v16_mul(fresh2, g), g, v16_mul(beta2, v));
        v16 step = v16_div(m, v16_fma(v16_sqrt(v), root, epsilon));
        v16_store_n(s->m + i, m, n);
        v16_store_n(s->v + i, v, n);
        v16_store_n(s->w + i, v16_fnma(rate, step, v16_mul(w, keep)), n);
    }
}

float RT_ISA(squares)(size_t n, const float *x) {
    v16 sum = v16_set(0.0f);
    for (size_t i = 0; i < n; i += 16) {
        v16 part = v16_load_n(x + i, n - i);
        sum = v16_fma(part, part, sum);
    }
    return v16_sum(sum);
}
