/* SPDX-License-Identifier: Apache-2.0
 * Products with 4-bit weights. */
#include "kernel/rows.h"
#include "kernel/vec/tile_s8.h"
#include "kernel/vec/unpack.h"

RT_VERB void zero(size_t rows, size_t panels, tile_sums sum) {
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (size_t p = 0; p < panels; p++) sum[r][p] = s16_zero();
    }
}

/* The low or the high nibbles of rows start…stop-1 of k. */
RT_VERB void nibbles(size_t rows, size_t panels, const int8_t *a, size_t lda, const panels_s4 *b, size_t k,
                     size_t start, size_t stop, bool high, tile_sums sum) {
    const uint8_t *codes = b->codes;
    for (size_t i = start; i < stop; i += 8) {
        w64 column[V16_PANELS];
#pragma GCC unroll 4
        for (size_t p = 0; p < panels; p++) {
            const uint8_t *from = codes + (p * k + i) * 8;
            if (!high) prefetch(from + panels * k * 8);
            column[p] = high ? w64_high(from) : w64_low(from);
        }
        step(rows, panels, a + i + (high ? 4 : 0), lda, column, sum);
    }
}

/* total[rows][ldo] += sums of products with the codes of a group [rows][16 panels], times its scales. Not
 * inlined: the sums would be spilled inside the loops that compute them. */
static __attribute__((noinline)) void add_group(size_t rows, size_t panels, const panels_s4 *b, size_t group,
                                                const float *sums, float *total, size_t ldo) {
    for (size_t p = 0; p < panels; p++) {
        s16 scale = s16_scales(b->scales + p * b->scales_panel + group * RT_PANEL);
        for (size_t r = 0; r < rows; r++) {
            float *at = total + r * ldo + p * RT_PANEL;
            s16 sum = s16_load(sums + (r * panels + p) * RT_PANEL);
            s16_store(at, s16_scaled(s16_load(at), sum, scale));
        }
    }
}

/* k: a multiple of 8. Multiplies the codes of a group directly and scales the sums: a group of 128 takes 32
 * dots and one scaling. Low and high nibbles have separate loops, because gcc spills in a joint one. */
RT_TILE_BODY void tile_s4(size_t rows, size_t panels, const rt_gemm_q *q, const panels_s4 *b, size_t k,
                          size_t i, size_t j, size_t columns) {
    _Alignas(64) float total[V16_ROWS * V16_PANELS * RT_PANEL], sums[V16_ROWS * V16_PANELS * RT_PANEL];
    const int8_t *a = q->a + i * q->lda;
    tile_sums sum;
    begin(rows, panels, q, j, columns, sum);
    fetch_residual(rows, panels, q, i, j);
    if (q->outliers > 0) add_outliers(rows, panels, q, i, j, sum);
    store_sums(rows, panels, total, sum);
    for (size_t start = 0, group = 0; start < k; start += b->group, group++) {
        size_t stop = rt_min(k, start + b->group);
        zero(rows, panels, sum);
        nibbles(rows, panels, a, q->lda, b, k, start, stop, false, sum);
        nibbles(rows, panels, a, q->lda, b, k, start, stop, true, sum);
        store_sums(rows, panels, sums, sum);
        add_group(rows, panels, b, group, sums, total, panels * RT_PANEL);
    }
    finish_sums(q, i, j, rows, columns, total, panels * RT_PANEL);
}

#define TILE(rows, panels)                                                                                   \
    static void s4_##rows##x##panels(const void *q, const void *b, size_t k, size_t i, size_t j,             \
                                     size_t columns) {                                                       \
        tile_s4(rows, panels, q, b, k, i, j, columns);                                                       \
    }                                                                                                        \
    static void unpacked_##rows##x##panels(const void *q, const void *b, size_t k, size_t i, size_t j,       \
                                           size_t columns) {                                                 \
        tile_s8(rows, panels, false, true, q, b, k, i, j, columns);                                          \
    }
V16_TILES(TILE)
#undef TILE

#define ENTRY(rows, panels) [panels - 1][rows - 1] = s4_##rows##x##panels,
static const rt_tile_set tiles_s4 = {V16_TILES(ENTRY)};
#undef ENTRY
#define ENTRY(rows, panels) [panels - 1][rows - 1] = unpacked_##rows##x##panels,
static const rt_tile_set tiles_unpacked = {V16_TILES(ENTRY)};
#undef ENTRY

/* Up to this many rows, reading the weights from memory is the bottleneck, and codes are unpacked for each block of rows.
 * With more rows, they are unpacked once. */
enum { FEW = 48 };

void RT_DOT(gemm_s4)(const rt_gemm_q *q) {
    size_t k = rt_round_up(q->k, 8);
    tiling direct = tiling_q(q, &tiles_s4, &tiles_s4, k);
    tiling unpacked = tiling_q(q, &tiles_unpacked, &tiles_unpacked, k);
    if (q->m == 0 || q->n == 0) return;
    size_t wide = tile_columns(q->m);
    for (size_t j = 0; j < q->n; j += wide) {
        size_t columns = rt_min(wide, q->n - j);
        panels_s4 panels = panels_at(q, j);
        if (q->m <= FEW) {
            multiply_rows(&direct, &panels, j, columns);
        } else {
            unpack_panels((columns + RT_PANEL - 1) / RT_PANEL, &panels, k, q->scratch);
            multiply_rows(&unpacked, q->scratch, j, columns);
        }
    }
}
