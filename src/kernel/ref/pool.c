/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tensor.h"
#include "kernel/ref/scalar.h"
#include "kernel/rows.h"

void rt_pool_mean_ref(const rt_pool_args *pool) {
    float inverse = rt_pool_inverse(pool);
    for (size_t j = 0; j < pool->n; j++) {
        float sum = 0.0f;
        for (size_t r = 0; r < pool->rows; r++) {
            float weight = pool->first_weight > 0 ? (float)(pool->first_weight + r) : 1.0f;
            sum = fmaf(pool->x[r * pool->ldx + j], weight, sum);
        }
        pool->y[j] = sum * inverse;
    }
}

void rt_pool_max_ref(const rt_pool_args *pool) {
    for (size_t j = 0; j < pool->n; j++) {
        float max = -INFINITY;
        for (size_t r = 0; r < pool->rows; r++) {
            float x = pool->x[r * pool->ldx + j];
            max = x > max ? x : max;
        }
        pool->y[j] = max;
    }
}

void rt_normalize_ref(size_t rows, size_t n, const float *x, size_t ldx, float *y, size_t ldy) {
    for (size_t r = 0; r < rows; r++) {
        float lane[16] = {0};
        for (size_t i = 0; i < n; i++) lane[i % 16] = fmaf(x[r * ldx + i], x[r * ldx + i], lane[i % 16]);
        float length = sqrtf(ref_sum16(lane));
        if (length < 1e-12f) length = 1e-12f;
        for (size_t i = 0; i < n; i++) y[r * ldy + i] = x[r * ldx + i] / length;
    }
}

void rt_to_bf16_ref(size_t n, const float *x, uint16_t *y) {
    for (size_t i = 0; i < n; i++) y[i] = rt_f32_to_bf16(x[i]);
}
