/* SPDX-License-Identifier: Apache-2.0
 * The loops around a register tile of a product, the same for every instruction and weight type. */
#ifndef RT_KERNEL_VEC_GEMM_H
#define RT_KERNEL_VEC_GEMM_H

#include "base/memory.h"
#include "kernel/vec/math.h"

/* The sums of a register tile whose numbers of rows and panels are constants:
 * out[r][16 p + lane] = sum over k of a[r][k] * b[p][k][lane]. */
typedef void rt_sums_tile(const float *a, size_t lda, const float *b, size_t k, float *out, size_t ldo);

/* tiles[panels - 1][rows - 1]; V16_TILES lists those that exist. These are attention's. */
extern rt_sums_tile *const RT_ISA(sums_f32)[V16_PANELS][V16_ROWS];

/* A register tile of a product (rt_gemm or rt_gemm_q): C for its rows from i on and `columns` columns from j on. b: the
 * panels of these columns, k rows each. */
typedef void rt_tile(const void *product, const void *b, size_t k, size_t i, size_t j, size_t columns);
typedef rt_tile *const rt_tile_set[V16_PANELS][V16_ROWS];

/* A product as the loops need it. `first` are the tiles of the first rows, which bring the weights from memory. */
typedef struct tiling {
    const void *product;
    size_t m, n, k; /* k: rows of a panel */
    const void *b;
    size_t panel; /* its bytes */
    const rt_tile_set *first, *rest;
} tiling;

/* Rows in block i of `blocks`, when m rows are split into the fewest blocks of at most V16_ROWS, as evenly as
 * possible (8 = 4 + 4, not 6 + 2). */
RT_VERB size_t block_count(size_t m) {
    return (m + V16_ROWS - 1) / V16_ROWS;
}
RT_VERB size_t block_rows(size_t m, size_t blocks, size_t i) {
    return m / blocks + (i < m % blocks);
}

/* Columns of a register tile. */
RT_VERB size_t tile_columns(size_t m) {
    return v16_panels(block_rows(m, block_count(m), 0)) * RT_PANEL;
}

/* All rows times `columns` columns from j on, whose panels b fit into L2: outer loop over rows, inner loop over panels. */
RT_VERB void multiply_rows(const tiling *t, const void *b, size_t j, size_t columns) {
    size_t blocks = block_count(t->m), wide = tile_columns(t->m);
    for (size_t block = 0, i = 0; block < blocks; block++) {
        size_t rows = block_rows(t->m, blocks, block);
        for (size_t c = 0; c < columns; c += wide) {
            size_t n = rt_min(wide, columns - c);
            rt_tile *tile = (*(block == 0 ? t->first : t->rest))[(n - 1) / RT_PANEL][rows - 1];
            tile(t->product, (const char *)b + c / RT_PANEL * t->panel, t->k, i, j + c, n);
        }
        i += rows;
    }
}

/* Bytes of the panels that all rows are multiplied by before the next ones. They stay in L2, whose size is at least
 * 512 KB, and C and the residual are read and written in runs of their columns. On Zen 4 (L2 1 MB), int8, n 768, k 768, 384
 * rows: 86.6 % of the peak with 200 to 400 KB, 85.2 with 620, 83 if only the panels of a tile are. */
enum { GROUP_BYTES = 256 * 1024 };

/* Up to `few` rows, reading the weights from memory is the bottleneck: all rows use the panels of a tile while the next ones
 * arrive (42 MB of int8 weights, 8 rows: 335 GOP/s, 262 in groups). */
RT_VERB void multiply_all(tiling t, size_t few) {
    if (t.m == 0 || t.n == 0) return;
    size_t wide = tile_columns(t.m), group = wide;
    if (t.m <= few)
        t.rest = t.first;
    else
        group = rt_max(wide, GROUP_BYTES / rt_max(t.panel, 1) * RT_PANEL / wide * wide);
    for (size_t j = 0; j < t.n; j += group)
        multiply_rows(&t, (const char *)t.b + j / RT_PANEL * t.panel, j, rt_min(group, t.n - j));
}

#endif
