/* SPDX-License-Identifier: Apache-2.0
 * Integer products, over the verbs of RT_DOT_HEADER (listed in vec/dot.h). 4-bit weights are unpacked in
 * registers where one block of rows is all there is, else once into the scratch, for all blocks. */
#include "kernel/rows.h"
#include "kernel/vec/dot.h"
#include "kernel/vec/gemm.h"

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
RT_VERB void tile_s8(size_t rows, size_t panels, const int8_t *a, size_t lda, const int8_t *b, size_t k,
                     float *out, size_t ldo) {
    s16 sum[V16_ROWS][V16_PANELS];
    begin(rows, panels, sum);
    for (size_t i = 0; i < k; i += 4) {
        w64 column[V16_PANELS];
#pragma GCC unroll 4
        for (size_t p = 0; p < panels; p++) column[p] = w64_load(b + (p * k + i) * RT_PANEL);
        step(rows, panels, a + i, lda, column, sum);
    }
    end(rows, panels, out, ldo, sum);
}

/* What a tile of 4-bit weights takes for its panels. */
typedef struct panels_s4 {
    const uint8_t *codes, *scales;
    size_t group, scales_panel; /* bytes of a panel of scales */
} panels_s4;

static panels_s4 panels_at(const rt_gemm_q *q, size_t j) {
    size_t steps = (q->k + 7) / 8, groups = (q->k + q->group - 1) / q->group;
    return (panels_s4){.codes = (const uint8_t *)q->b + j / RT_PANEL * steps * 64,
                       .scales = q->b_group + j * groups,
                       .group = q->group,
                       .scales_panel = groups * RT_PANEL};
}

/* k: a multiple of 8 */
RT_VERB void tile_s4(size_t rows, size_t panels, const int8_t *a, size_t lda, const panels_s4 *b, size_t k,
                     float *out, size_t ldo) {
    s16 sum[V16_ROWS][V16_PANELS];
    begin(rows, panels, sum);
    for (size_t start = 0, group = 0; start < k; start += b->group, group++) {
        size_t stop = rt_min(k, start + b->group);
        g16 scale[V16_PANELS];
#pragma GCC unroll 4
        for (size_t p = 0; p < panels; p++)
            scale[p] = g16_load(b->scales + p * b->scales_panel + group * RT_PANEL);
        for (size_t i = start; i < stop; i += 8) {
            w64 low[V16_PANELS], high[V16_PANELS];
#pragma GCC unroll 4
            for (size_t p = 0; p < panels; p++)
                w64_unpack(b->codes + (p * k + i) * 8, scale[p], &low[p], &high[p]);
            step(rows, panels, a + i, lda, low, sum);
            step(rows, panels, a + i + 4, lda, high, sum);
        }
    }
    end(rows, panels, out, ldo, sum);
}

#define TILE(rows, panels)                                                                                   \
    static void s8_##rows##x##panels(const void *a, size_t lda, const void *b, size_t k, float *out,         \
                                     size_t ldo) {                                                           \
        tile_s8(rows, panels, a, lda, b, k, out, ldo);                                                       \
    }                                                                                                        \
    static void s4_##rows##x##panels(const void *a, size_t lda, const void *b, size_t k, float *out,         \
                                     size_t ldo) {                                                           \
        tile_s4(rows, panels, a, lda, b, k, out, ldo);                                                       \
    }
V16_TILES(TILE)
#undef TILE

#define ENTRY(rows, panels) [panels - 1][rows - 1] = s8_##rows##x##panels,
static const rt_tile_set tiles_s8 = {V16_TILES(ENTRY)};
#undef ENTRY
#define ENTRY(rows, panels) [panels - 1][rows - 1] = s4_##rows##x##panels,
static const rt_tile_set tiles_s4 = {V16_TILES(ENTRY)};
#undef ENTRY

/* Panels to the layout of 8-bit ones, k a multiple of 8. */
static void unpack(size_t panels, const panels_s4 *b, size_t k, int8_t *out) {
    for (size_t p = 0; p < panels; p++) {
        const uint8_t *scales = b->scales + p * b->scales_panel, *codes = b->codes + p * k * 8;
        for (size_t start = 0; start < k; start += b->group, scales += RT_PANEL) {
            g16 scale = g16_load(scales);
            size_t stop = rt_min(k, start + b->group);
            for (size_t i = start; i < stop; i += 8) {
                w64 low, high;
                w64_unpack(codes + i * 8, scale, &low, &high);
                w64_store(out + (p * k + i) * RT_PANEL, low);
                w64_store(out + (p * k + i + 4) * RT_PANEL, high);
            }
        }
    }
}

void RT_DOT(gemm_s8)(const rt_gemm_q *given) {
    rt_gemm_q q = *given;
    rt_gemm g = gemm_view(&q, 4);
    if (!DOT_SHIFTS) q.b_sum = NULL;
    gemm_with(&g, tiles_s8, 1, g.k * RT_PANEL, &q);
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
        if (g.m <= V16_ROWS) {
            gemm_rows(&g, tiles_s4, 1, j, columns, &panels, &q);
        } else {
            unpack((columns + RT_PANEL - 1) / RT_PANEL, &panels, g.k, q.scratch);
            gemm_rows(&g, tiles_s8, 1, j, columns, q.scratch, &q);
        }
    }
}
