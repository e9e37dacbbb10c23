/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/rows.h"
#include "kernel/vec/vec.h"

#include <math.h>

void RT_ISA(pool_mean)(const rt_pool_args *pool) {
    v16 inverse = v16_set(rt_pool_inverse(pool));
    for (size_t j = 0; j < pool->n; j += 16) {
        v16 sum = v16_set(0.0f);
        for (size_t r = 0; r < pool->rows; r++) {
            v16 x = v16_load_n(pool->x + r * pool->ldx + j, pool->n - j);
            float weight = (float)(pool->first_weight + r);
            sum = pool->first_weight > 0 ? v16_fma(x, v16_set(weight), sum) : v16_add(sum, x);
        }
        v16_store_n(pool->y + j, v16_mul(sum, inverse), pool->n - j);
    }
}

void RT_ISA(pool_max)(const rt_pool_args *pool) {
    for (size_t j = 0; j < pool->n; j += 16) {
        v16 most = v16_set(-INFINITY);
        for (size_t r = 0; r < pool->rows; r++) {
            most = v16_max(v16_load_n(pool->x + r * pool->ldx + j, pool->n - j), most);
        }
        v16_store_n(pool->y + j, most, pool->n - j);
    }
}

void RT_ISA(normalize)(size_t rows, size_t n, const float *x, size_t ldx, float *y, size_t ldy) {
    for (size_t r = 0; r < rows; r++) {
        v16 sum = v16_set(0.0f);
        for (size_t i = 0; i < n; i += 16) {
            v16 part = v16_load_n(x + r * ldx + i, n - i);
            sum = v16_fma(part, part, sum);
        }
        float length = sqrtf(v16_sum(sum));
        v16 divisor = v16_set(length < 1e-12f ? 1e-12f : length);
        for (size_t i = 0; i < n; i += 16) {
            v16_store_n(y + r * ldy + i, v16_div(v16_load_n(x + r * ldx + i, n - i), divisor), n - i);
        }
    }
}

void RT_ISA(to_bf16)(size_t n, const float *x, uint16_t *y) {
    for (size_t i = 0; i < n; i += 16) v16_store_bf16_n(y + i, v16_load_n(x + i, n - i), n - i);
}
