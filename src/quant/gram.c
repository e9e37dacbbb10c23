/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/gram.h"
#include "base/memory.h"

#include <stdlib.h>

void rt_gram_free(rt_gram *gram) {
    free(gram->across);
    free(gram->packed);
    *gram = (rt_gram){0};
}

static bool reserve(rt_gram *s, size_t count) {
    size_t bytes = 0;
    if (count <= s->size) return true;
    rt_gram_free(s);
    if (!rt_mul(count, sizeof(float), &bytes)) return false;
    s->across = rt_alloc_aligned(rt_round_up(bytes, 64));
    s->packed = rt_alloc_aligned(rt_round_up(bytes, 64));
    s->size = s->across != NULL && s->packed != NULL ? count : 0;
    return s->size > 0;
}

bool rt_gram_set(rt_gram *s, size_t rows, size_t n, const float *x) {
    size_t count = 0;
    if (!rt_mul(rows, rt_round_up(n, RT_PANEL), &count) || !reserve(s, count)) return false;
    s->rows = rows;
    s->n = n;
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < n; j++) s->across[j * rows + i] = x[i * n + j];
    }
    rt_pack_f32(rows, n, x, n, 1, s->packed);
    return true;
}

void rt_gram_product(const rt_gram *s, const rt_kernels *kernels, size_t from, float *product) {
    rt_gemm gemm = {.m = s->n - from, .n = rt_min(RT_GRAM_COLUMNS, s->n - from), .k = s->rows};
    gemm.a = s->across + from * s->rows;
    gemm.lda = s->rows;
    gemm.b = s->packed + from * s->rows;
    gemm.c = product;
    gemm.ldc = RT_GRAM_COLUMNS;
    kernels->gemm_f32(&gemm);
}
