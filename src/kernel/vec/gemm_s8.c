/* SPDX-License-Identifier: Apache-2.0
 * Products with 8-bit weights. */
#include "kernel/rows.h"
#include "kernel/vec/tile_s8.h"

#define TILE(rows, panels)                                                                                   \
    static void few_##rows##x##panels(const void *a, size_t lda, const void *b, size_t k, float *out,        \
                                      size_t ldo) {                                                          \
        tile_s8(rows, panels, true, a, lda, b, k, out, ldo);                                                 \
    }
V16_TILES(TILE)
#undef TILE

#define ENTRY(rows, panels) [panels - 1][rows - 1] = few_##rows##x##panels,
static const rt_tile_set tiles_few = {V16_TILES(ENTRY)};
#undef ENTRY

RT_VERB void scale(const rt_gemm_q *q, size_t i, size_t j, size_t rows, size_t columns, float *sums,
                   size_t ldo) {
    scale_sums(q, DOT_SHIFTS, i, j, rows, columns, sums, ldo);
}

void RT_DOT(gemm_s8)(const rt_gemm_q *q) {
    rt_gemm g = gemm_view(q, 4);
    if (g.m <= FEW)
        gemm_with(&g, tiles_few, 1, g.k * RT_PANEL, q, scale);
    else
        gemm_with(&g, tiles_many, 1, g.k * RT_PANEL, q, scale);
}
