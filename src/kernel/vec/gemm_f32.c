/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/rows.h"
#include "kernel/vec/tile_float.h"

enum { AHEAD = 48 }; /* rows of a panel (3 KB) to prefetch: 16 to 64 measure the same */

/* Broadcasts elements of the rows and streams the panels; all sums stay in registers over all of k. */
RT_VERB void add_products(size_t rows, size_t panels, const float *a, size_t lda, const float *b, size_t k,
                          tile_sums sum) {
    for (size_t i = 0; i < k; i++) {
        v16 column[V16_PANELS];
#pragma GCC unroll 4
        for (size_t p = 0; p < panels; p++) {
            const float *from = b + (p * k + i) * RT_PANEL;
            v16_prefetch(from + AHEAD * RT_PANEL);
            column[p] = v16_load(from);
        }
#pragma GCC unroll 6
        for (size_t r = 0; r < rows; r++) {
            v16 x = v16_set(a[r * lda + i]);
#pragma GCC unroll 4
            for (size_t p = 0; p < panels; p++) sum[r][p] = v16_fma(x, column[p], sum[r][p]);
        }
    }
}

RT_TILE_BODY void tile(size_t rows, size_t panels, const rt_gemm *g, const float *b, size_t i, size_t j,
                       size_t columns) {
    tile_sums sum;
    begin(rows, panels, sum);
    fetch_residual(rows, panels, g, i, j);
    add_products(rows, panels, (const float *)g->a + i * g->lda, g->lda, b, g->k, sum);
    end(rows, panels, g, i, j, columns, sum);
}

RT_TILE_BODY void sums(size_t rows, size_t panels, const float *a, size_t lda, const float *b, size_t k,
                       float *out, size_t ldo) {
    tile_sums sum;
    begin(rows, panels, sum);
    add_products(rows, panels, a, lda, b, k, sum);
    store_sums(rows, panels, out, ldo, sum);
}

#define TILE(rows, panels)                                                                                   \
    static void tile_##rows##x##panels(const void *g, const void *b, size_t k, size_t i, size_t j,           \
                                       size_t columns) {                                                     \
        (void)k;                                                                                             \
        tile(rows, panels, g, b, i, j, columns);                                                             \
    }                                                                                                        \
    static void sums_##rows##x##panels(const float *a, size_t lda, const float *b, size_t k, float *out,     \
                                       size_t ldo) {                                                         \
        sums(rows, panels, a, lda, b, k, out, ldo);                                                          \
    }
V16_TILES(TILE)
#undef TILE

#define ENTRY(rows, panels) [panels - 1][rows - 1] = tile_##rows##x##panels,
static const rt_tile_set tiles = {V16_TILES(ENTRY)};
#undef ENTRY
#define ENTRY(rows, panels) [panels - 1][rows - 1] = sums_##rows##x##panels,
rt_sums_tile *const RT_ISA(sums_f32)[V16_PANELS][V16_ROWS] = {V16_TILES(ENTRY)};
#undef ENTRY

void RT_ISA(gemm_f32)(const rt_gemm *g) {
    multiply_all(tiling_float(g, &tiles, g->k * RT_PANEL * sizeof(float)), 0);
}
