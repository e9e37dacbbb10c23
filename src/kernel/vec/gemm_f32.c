/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/rows.h"
#include "kernel/vec/gemm.h"

enum { AHEAD = 48 }; /* rows of a panel (3 KB) to prefetch: 16 to 64 measure the same */

/* Broadcasts elements of the rows and streams the panels; all sums stay in registers over all of k. */
RT_VERB void tile(size_t rows, size_t panels, const float *a, size_t lda, const float *b, size_t k,
                  float *out, size_t ldo) {
    v16 sum[V16_ROWS][V16_PANELS];
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (size_t p = 0; p < panels; p++) sum[r][p] = v16_set(0.0f);
    }
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
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (size_t p = 0; p < panels; p++) v16_store(out + r * ldo + p * RT_PANEL, sum[r][p]);
    }
}

#define TILE(rows, panels)                                                                                   \
    static void tile_##rows##x##panels(const void *a, size_t lda, const void *b, size_t k, float *out,       \
                                       size_t ldo) {                                                         \
        tile(rows, panels, a, lda, b, k, out, ldo);                                                          \
    }
V16_TILES(TILE)
#undef TILE

#define ENTRY(rows, panels) [panels - 1][rows - 1] = tile_##rows##x##panels,
const rt_tile_set RT_ISA(tiles_f32) = {V16_TILES(ENTRY)};
#undef ENTRY

void RT_ISA(gemm_f32)(const rt_gemm *g) {
    gemm_with(g, RT_ISA(tiles_f32), sizeof(float), g->k * RT_PANEL * sizeof(float));
}
