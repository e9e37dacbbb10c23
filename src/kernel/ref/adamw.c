/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/ref/scalar.h"
#include "kernel/rows.h"

void rt_adamw_ref(const rt_adamw *s) {
    for (size_t i = 0; i < s->n; i++) {
        float g = s->g[i] * s->scale;
        s->m[i] = fmaf(s->fresh1, g - s->m[i], s->m[i]);
        s->v[i] = fmaf(s->fresh2 * g, g, s->beta2 * s->v[i]);
        float step = s->m[i] / fmaf(sqrtf(s->v[i]), s->root, s->epsilon);
        s->w[i] = fmaf(-s->rate, step, s->w[i] * s->keep);
    }
}

float rt_squares_ref(size_t n, const float *x) {
    float lane[16] = {0};
    for (size_t i = 0; i < n; i++) lane[i % 16] = fmaf(x[i], x[i], lane[i % 16]);
    return ref_sum16(lane);
}
