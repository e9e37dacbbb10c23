/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/rows.h"
#include "kernel/vec/vec.h"

#include <math.h>

static float mean_of(const float *x, size_t n) {
    v16 sum = v16_set(0.0f);
    for (size_t i = 0; i < n; i += 16) sum = v16_add(sum, v16_load_n(x + i, n - i));
    return v16_sum(sum) / (float)n;
}

static float variance_of(const float *x, size_t n, float mean) {
    v16 sum = v16_set(0.0f);
    for (size_t i = 0; i < n; i += 16) {
        v16 d = v16_sub(v16_load_n(x + i, n - i), v16_set(mean));
        if (n - i < 16) d = v16_first(n - i, d, v16_set(0.0f));
        sum = v16_fma(d, d, sum);
    }
    return v16_sum(sum) / (float)n;
}

void RT_ISA(layer_norm)(const rt_norm_args *norm) {
    for (size_t r = 0; r < norm->rows; r++) {
        const float *x = norm->x + r * norm->ldx;
        float mean = mean_of(x, norm->n);
        v16 inverse = v16_set(1.0f / sqrtf(variance_of(x, norm->n, mean) + norm->epsilon));
        for (size_t i = 0; i < norm->n; i += 16) {
            size_t n = norm->n - i;
            v16 y = v16_mul(v16_sub(v16_load_n(x + i, n), v16_set(mean)), inverse);
            y = v16_fma(y, v16_load_n(norm->gamma + i, n), v16_load_n(norm->beta + i, n));
            if (norm->y != NULL) v16_store_n(norm->y + r * norm->ldy + i, y, n);
            if (norm->y16 != NULL) v16_store_bf16_n(norm->y16 + r * norm->ldy16 + i, y, n);
        }
    }
}

void RT_ISA(embed)(const rt_embed_args *embed) {
    rt_norm_args norm = embed->norm;
    for (size_t r = 0; r < norm.rows; r++) {
        const float *word = embed->word + (size_t)embed->ids[r] * norm.n;
        const float *position = embed->position + (size_t)embed->positions[r] * norm.n;
        const float *type = embed->type == NULL ? NULL : embed->type + (size_t)embed->types[r] * norm.n;
        for (size_t i = 0; i < norm.n; i += 16) {
            size_t n = norm.n - i;
            v16 x = v16_add(v16_load_n(word + i, n), v16_load_n(position + i, n));
            if (type != NULL) x = v16_add(x, v16_load_n(type + i, n));
            v16_store_n(norm.y + r * norm.ldy + i, x, n);
        }
    }
    norm.x = norm.y;
    norm.ldx = norm.ldy;
    RT_ISA(layer_norm)(&norm);
}
