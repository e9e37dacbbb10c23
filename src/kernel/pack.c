/* SPDX-License-Identifier: Apache-2.0
 * Permutation of a [k, n] matrix into panels of 16 columns and back (layouts: kernel.h). */
#include "base/memory.h"
#include "base/tensor.h"
#include "kernel/kernel.h"

#include <string.h>

enum { BLOCK = 64 /* rows of k: 16 source columns of 64 floats and their panel stay in L1 */ };

bool rt_pack_count_f32(size_t k, size_t n, size_t *count) {
    size_t columns;
    if (!rt_add(n, RT_PANEL - 1, &columns)) return false;
    return rt_mul(columns / RT_PANEL * RT_PANEL, k, count);
}

bool rt_pack_count_bf16(size_t k, size_t n, size_t *count) {
    size_t even;
    return rt_add(k, k & 1, &even) && rt_pack_count_f32(even, n, count);
}

/* Packs rows × columns of the source into rows of one panel; columns beyond the matrix become 0. */
static void pack_block(size_t rows, size_t columns, const float *b, size_t stride_k, size_t stride_n,
                       float *out) {
    if (columns < RT_PANEL) memset(out, 0, rows * RT_PANEL * sizeof *out);
    if (stride_n == 1) {
        for (size_t i = 0; i < rows; i++) memcpy(out + i * RT_PANEL, b + i * stride_k, columns * sizeof *out);
        return;
    }
    for (size_t j = 0; j < columns; j++) {
        const float *column = b + j * stride_n;
        for (size_t i = 0; i < rows; i++) out[i * RT_PANEL + j] = column[i * stride_k];
    }
}

void rt_pack_f32(size_t k, size_t n, const float *b, size_t stride_k, size_t stride_n, float *packed) {
    for (size_t j = 0; j < n; j += RT_PANEL) {
        for (size_t i = 0; i < k; i += BLOCK) {
            const float *from = b + i * stride_k + j * stride_n;
            pack_block(rt_min(BLOCK, k - i), rt_min(RT_PANEL, n - j), from, stride_k, stride_n,
                       packed + i * RT_PANEL);
        }
        packed += k * RT_PANEL;
    }
}

void rt_pack_bf16(size_t k, size_t n, const float *b, size_t stride_k, size_t stride_n, uint16_t *packed) {
    float block[BLOCK * RT_PANEL];
    for (size_t j = 0; j < n; j += RT_PANEL) {
        for (size_t i = 0; i < k; i += BLOCK) {
            size_t rows = rt_min(BLOCK, k - i), even = rows + (rows & 1);
            pack_block(rows, rt_min(RT_PANEL, n - j), b + i * stride_k + j * stride_n, stride_k, stride_n,
                       block);
            if (even > rows) memset(block + rows * RT_PANEL, 0, RT_PANEL * sizeof *block);
            for (size_t r = 0; r < even; r++) { /* row r is every second element of pair r / 2 */
                uint16_t *pair = packed + (r & ~(size_t)1) * RT_PANEL + (r & 1);
                for (size_t c = 0; c < RT_PANEL; c++) pair[2 * c] = rt_f32_to_bf16(block[r * RT_PANEL + c]);
            }
            packed += even * RT_PANEL;
        }
    }
}

void rt_unpack_f32(size_t k, size_t n, const float *packed, float *b) {
    for (size_t j = 0; j < n; j += RT_PANEL) {
        for (size_t i = 0; i < k; i++) {
            memcpy(b + i * n + j, packed + i * RT_PANEL, rt_min(RT_PANEL, n - j) * sizeof *b);
        }
        packed += k * RT_PANEL;
    }
}

void rt_unpack_bf16(size_t k, size_t n, const uint16_t *packed, float *b) {
    for (size_t j = 0; j < n; j += RT_PANEL) {
        for (size_t i = 0; i < k; i++) {
            const uint16_t *pair = packed + (i & ~(size_t)1) * RT_PANEL + (i & 1);
            for (size_t c = 0; c < rt_min(RT_PANEL, n - j); c++)
                b[i * n + j + c] = rt_bf16_to_f32(pair[2 * c]);
        }
        packed += (k + (k & 1)) * RT_PANEL;
    }
}
