/* SPDX-License-Identifier: Apache-2.0
 * Products with 8-bit weights. */
#include "kernel/rows.h"
#include "kernel/vec/tile_s8.h"

#define TILE(rows, panels)                                                                                   \
    static void first_##rows##x##panels(const void *q, const void *b, size_t k, size_t i, size_t j,          \
                                        size_t columns) {                                                    \
        tile_s8(rows, panels, true, false, q, b, k, i, j, columns);                                          \
    }                                                                                                        \
    static void rest_##rows##x##panels(const void *q, const void *b, size_t k, size_t i, size_t j,           \
                                       size_t columns) {                                                     \
        tile_s8(rows, panels, false, false, q, b, k, i, j, columns);                                         \
    }
V16_TILES(TILE)
#undef TILE

#define ENTRY(rows, panels) [panels - 1][rows - 1] = first_##rows##x##panels,
static const rt_tile_set tiles_first = {V16_TILES(ENTRY)};
#undef ENTRY
#define ENTRY(rows, panels) [panels - 1][rows - 1] = rest_##rows##x##panels,
static const rt_tile_set tiles_rest = {V16_TILES(ENTRY)};
#undef ENTRY

void RT_DOT(gemm_s8)(const rt_gemm_q *q) {
    multiply_all(tiling_q(q, &tiles_first, &tiles_rest, rt_round_up(q->k, 4)), FEW_ROWS_Q);
}
