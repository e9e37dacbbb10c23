/* SPDX-License-Identifier: Apache-2.0
 * Products with 4-bit weights. */
#include "kernel/rows.h"
#include "kernel/vec/tile_s8.h"
#include "kernel/vec/unpack.h"

/* The low or the high nibbles of rows start…stop-1 of k. */
RT_VERB void nibbles(size_t rows, size_t panels, const int8_t *a, size_t lda, const panels_s4 *b, size_t k,
                     size_t start, size_t stop, bool high, s16 sum[V16_ROWS][V16_PANELS]) {
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
RT_VERB void tile_s4(size_t rows, size_t panels, const int8_t *a, size_t lda, const panels_s4 *b, size_t k,
                     float *out, size_t ldo) {
    _Alignas(64) float sums[V16_ROWS * V16_PANELS * RT_PANEL];
    s16 sum[V16_ROWS][V16_PANELS];
    begin(rows, panels, sum);
    end(rows, panels, out, ldo, sum);
    for (size_t start = 0, group = 0; start < k; start += b->group, group++) {
        size_t stop = rt_min(k, start + b->group);
        begin(rows, panels, sum);
        nibbles(rows, panels, a, lda, b, k, start, stop, false, sum);
        nibbles(rows, panels, a, lda, b, k, start, stop, true, sum);
        end(rows, panels, sums, panels * RT_PANEL, sum);
        add_group(rows, panels, b, group, sums, out, ldo);
    }
}

#define TILE(rows, panels)                                                                                   \
    static void s4_##rows##x##panels(const void *a, size_t lda, const void *b, size_t k, float *out,         \
                                     size_t ldo) {                                                           \
        tile_s4(rows, panels, a, lda, b, k, out, ldo);                                                       \
    }
V16_TILES(TILE)
#undef TILE

#define ENTRY(rows, panels) [panels - 1][rows - 1] = s4_##rows##x##panels,
static const rt_tile_set tiles_s4 = {V16_TILES(ENTRY)};
#undef ENTRY

RT_VERB void scale(const rt_gemm_q *q, size_t i, size_t j, size_t rows, size_t columns, float *sums,
                   size_t ldo) {
    add_outliers(q, tiles_many, i, j, rows, columns, sums, ldo);
    scale_sums(q, DOT_SHIFTS, i, j, rows, columns, sums, ldo);
}

void RT_DOT(gemm_s4)(const rt_gemm_q *q) {
    rt_gemm g = gemm_view(q, 8);
    if (g.m == 0 || g.n == 0) return;
    size_t wide = gemm_columns(&g);
    for (size_t j = 0; j < g.n; j += wide) {
        size_t columns = rt_min(wide, g.n - j);
        panels_s4 panels = panels_at(q, j);
        if (g.m <= FEW) {
            gemm_rows(&g, tiles_s4, 1, j, columns, &panels, q, scale);
        } else {
            unpack_panels((columns + RT_PANEL - 1) / RT_PANEL, &panels, g.k, q->scratch);
            gemm_rows(&g, tiles_many, 1, j, columns, q->scratch, q, scale);
        }
    }
}
