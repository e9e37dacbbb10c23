/* SPDX-License-Identifier: Apache-2.0
 * Integer products, over the verbs of RT_DOT_HEADER (listed in vec/dot.h). */
#include "kernel/rows.h"
#include "kernel/vec/dot.h"
#include "kernel/vec/gemm.h"
#include "kernel/vec/unpack.h"

/* Up to so many rows, reading the weights is what takes the time, if they come from memory: tiles then ask
 * for the panels that come next (42 MB of weights on Zen 4, 8 rows: 257 GOP/s, without 225), and 4-bit codes
 * are taken apart for each block of rows. For more rows asking only costs (2 %), and codes are unpacked once.
 */
enum { FEW = 48 };

/* Into L2. */
RT_VERB void prefetch(const void *p) {
    __builtin_prefetch(p, 0, 2);
}

/* sum[r][p] += four elements of a[r] * column[p] */
RT_VERB void step(size_t rows, size_t panels, const int8_t *a, size_t lda, const w64 *column,
                  s16 sum[V16_ROWS][V16_PANELS]) {
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
        a4 x = a4_load(a + r * lda);
#pragma GCC unroll 4
        for (size_t p = 0; p < panels; p++) sum[r][p] = s16_dot(sum[r][p], x, column[p]);
    }
}

RT_VERB void begin(size_t rows, size_t panels, s16 sum[V16_ROWS][V16_PANELS]) {
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (size_t p = 0; p < panels; p++) sum[r][p] = s16_zero();
    }
}

RT_VERB void end(size_t rows, size_t panels, float *out, size_t ldo, s16 sum[V16_ROWS][V16_PANELS]) {
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (size_t p = 0; p < panels; p++) s16_store(out + r * ldo + p * RT_PANEL, sum[r][p]);
    }
}

/* k: a multiple of 4 */
RT_VERB void tile_s8(size_t rows, size_t panels, bool few, const int8_t *a, size_t lda, const int8_t *b,
                     size_t k, float *out, size_t ldo) {
    s16 sum[V16_ROWS][V16_PANELS];
    begin(rows, panels, sum);
    for (size_t i = 0; i < k; i += 4) {
        w64 column[V16_PANELS];
#pragma GCC unroll 4
        for (size_t p = 0; p < panels; p++) {
            const int8_t *from = b + (p * k + i) * RT_PANEL;
            if (few) prefetch(from + panels * k * RT_PANEL);
            column[p] = w64_load(from);
        }
        step(rows, panels, a + i, lda, column, sum);
    }
    end(rows, panels, out, ldo, sum);
}

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

/* total[rows][ldo] += sums of products with a group's codes [rows][16 panels], times its scales. Not inlined:
 * the sums would leave their registers within the loops that make them. */
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

/* k: a multiple of 8. The codes of a group are multiplied as they are, its scale comes to the sums: a group
 * of 128 takes 32 dots for one scaling. Low and high nibbles have a loop each: in one, gcc spills. */
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
    static void few_##rows##x##panels(const void *a, size_t lda, const void *b, size_t k, float *out,        \
                                      size_t ldo) {                                                          \
        tile_s8(rows, panels, true, a, lda, b, k, out, ldo);                                                 \
    }                                                                                                        \
    static void many_##rows##x##panels(const void *a, size_t lda, const void *b, size_t k, float *out,       \
                                       size_t ldo) {                                                         \
        tile_s8(rows, panels, false, a, lda, b, k, out, ldo);                                                \
    }                                                                                                        \
    static void s4_##rows##x##panels(const void *a, size_t lda, const void *b, size_t k, float *out,         \
                                     size_t ldo) {                                                           \
        tile_s4(rows, panels, a, lda, b, k, out, ldo);                                                       \
    }
V16_TILES(TILE)
#undef TILE

#define FEW_ENTRY(rows, panels)  [panels - 1][rows - 1] = few_##rows##x##panels,
#define MANY_ENTRY(rows, panels) [panels - 1][rows - 1] = many_##rows##x##panels,
#define S4_ENTRY(rows, panels)   [panels - 1][rows - 1] = s4_##rows##x##panels,
static const rt_tile_set tiles_few = {V16_TILES(FEW_ENTRY)};
static const rt_tile_set tiles_many = {V16_TILES(MANY_ENTRY)};
static const rt_tile_set tiles_s4 = {V16_TILES(S4_ENTRY)};

void RT_DOT(gemm_s8)(const rt_gemm_q *given) {
    rt_gemm_q q = *given;
    rt_gemm g = gemm_view(&q, 4);
    if (!DOT_SHIFTS) q.b_sum = NULL;
    if (g.m <= FEW)
        gemm_with(&g, tiles_few, 1, g.k * RT_PANEL, &q);
    else
        gemm_with(&g, tiles_many, 1, g.k * RT_PANEL, &q);
}

void RT_DOT(gemm_s4)(const rt_gemm_q *given) {
    rt_gemm_q q = *given;
    rt_gemm g = gemm_view(&q, 8);
    if (g.m == 0 || g.n == 0) return;
    if (!DOT_SHIFTS) q.b_sum = NULL;
    size_t wide = gemm_columns(&g);
    for (size_t j = 0; j < g.n; j += wide) {
        size_t columns = rt_min(wide, g.n - j);
        panels_s4 panels = panels_at(&q, j);
        if (g.m <= FEW) {
            gemm_rows(&g, tiles_s4, 1, j, columns, &panels, &q);
        } else {
            unpack_panels((columns + RT_PANEL - 1) / RT_PANEL, &panels, g.k, q.scratch);
            gemm_rows(&g, tiles_many, 1, j, columns, q.scratch, &q);
        }
    }
}
