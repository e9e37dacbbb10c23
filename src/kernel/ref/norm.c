/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tensor.h"
#include "kernel/ref/scalar.h"
#include "kernel/rows.h"

static float mean_of(const float *x, size_t n) {
    float lane[16] = {0};
    for (size_t i = 0; i < n; i++) lane[i % 16] += x[i];
    return ref_sum16(lane) / (float)n;
}

static float variance_of(const float *x, size_t n, float mean) {
    float lane[16] = {0};
    for (size_t i = 0; i < n; i++) lane[i % 16] = fmaf(x[i] - mean, x[i] - mean, lane[i % 16]);
    return ref_sum16(lane) / (float)n;
}

void rt_layer_norm_ref(const rt_norm_args *norm) {
    for (size_t r = 0; r < norm->rows; r++) {
        const float *x = norm->x + r * norm->ldx;
        float mean = mean_of(x, norm->n);
        float inverse = 1.0f / sqrtf(variance_of(x, norm->n, mean) + norm->epsilon);
        for (size_t i = 0; i < norm->n; i++) {
            float y = fmaf((x[i] - mean) * inverse, norm->gamma[i], norm->beta[i]);
            if (norm->y != NULL) norm->y[r * norm->ldy + i] = y;
            if (norm->y16 != NULL) norm->y16[r * norm->ldy16 + i] = rt_f32_to_bf16(y);
        }
    }
}

void rt_embed_ref(const rt_embed_args *embed) {
    rt_norm_args norm = embed->norm;
    size_t n = norm.n;
    for (size_t r = 0; r < norm.rows; r++) {
        const float *word = embed->word + (size_t)embed->ids[r] * n;
        const float *position = embed->position + (size_t)embed->positions[r] * n;
        for (size_t i = 0; i < n; i++) {
            float x = word[i] + position[i];
            if (embed->type != NULL) x += embed->type[(size_t)embed->types[r] * n + i];
            norm.y[r * norm.ldy + i] = x;
        }
    }
    norm.x = norm.y;
    norm.ldx = norm.ldy;
    rt_layer_norm_ref(&norm);
}
