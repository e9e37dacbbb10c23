/* SPDX-License-Identifier: Apache-2.0
 * The register tiles of 8-bit weights, over the verbs of RT_DOT_HEADER (listed in vec/dot.h). */
#ifndef RT_KERNEL_VEC_TILE_S8_H
#define RT_KERNEL_VEC_TILE_S8_H

#include "kernel/vec/dot.h"
#include "kernel/vec/gemm.h"

/* Up to this many rows, reading the weights from memory is the bottleneck: tiles prefetch the next panels
 * (42 MB of weights on Zen 4, 8 rows: 257 GOP/s instead of 225), and 4-bit codes are unpacked for each block
 * of rows. With more rows, prefetching only costs time (2 %), and codes are unpacked once. */
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

#define TILE(rows, panels)                                                                                   \
    static void many_##rows##x##panels(const void *a, size_t lda, const void *b, size_t k, float *out,       \
                                       size_t ldo) {                                                         \
        tile_s8(rows, panels, false, a, lda, b, k, out, ldo);                                                \
    }
V16_TILES(TILE)
#undef TILE

#define ENTRY(rows, panels) [panels - 1][rows - 1] = many_##rows##x##panels,
static const rt_tile_set tiles_many = {V16_TILES(ENTRY)};
#undef ENTRY

#endif
