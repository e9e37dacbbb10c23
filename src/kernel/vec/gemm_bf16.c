/* SPDX-License-Identifier: Apache-2.0
 * bf16 on CPUs without bf16 arithmetic: widens to float, then works like gemm_f32. Same bits as ref. */
#include "kernel/rows.h"
#include "kernel/vec/tile_float.h"

#include <stdatomic.h>

enum { DEPTH = 256 }; /* of A widened per block: 6 rows take 6 KB of L1 */

/* wide[rows][DEPTH] = a[rows][k] */
RT_VERB void widen(size_t rows, const uint16_t *a, size_t lda, size_t k, float *wide) {
    for (size_t r = 0; r < rows; r++) {
        for (size_t i = 0; i < k; i += 16) {
            v16_store(wide + r * DEPTH + i, v16_load_bf16_n(a + r * lda + i, k - i));
        }
    }
}

/* sum[r][p] += wide[r][i] * column[p] */
RT_VERB void step(size_t rows, size_t panels, const float *wide, size_t i, const v16 *column, tile_sums sum) {
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
        v16 x = v16_set(wide[r * DEPTH + i]);
#pragma GCC unroll 4
        for (size_t p = 0; p < panels; p++) sum[r][p] = v16_fma(x, column[p], sum[r][p]);
    }
}

RT_VERB void add_products(size_t rows, size_t panels, const uint16_t *a, size_t lda, const uint16_t *b,
                          size_t k, tile_sums sum) {
    _Alignas(64) float wide[V16_ROWS * DEPTH];
    v16 column[V16_PANELS];
    size_t panel = (k + (k & 1)) * RT_PANEL;
    for (size_t start = 0; start < k; start += DEPTH) {
        size_t depth = rt_min(DEPTH, k - start);
        widen(rows, a + start, lda, depth, wide);
        for (size_t i = 0; i < depth; i += 2) {
            const uint16_t *pairs = b + (start + i) * RT_PANEL;
#pragma GCC unroll 4
            for (size_t p = 0; p < panels; p++) column[p] = v16_load_even(pairs + p * panel);
            step(rows, panels, wide, i, column, sum);
            if (i + 1 == depth) break;
            atomic_signal_fence(
                memory_order_seq_cst); /* reload the pairs: in registers, they would evict sums */
#pragma GCC unroll 4
            for (size_t p = 0; p < panels; p++) column[p] = v16_load_odd(pairs + p * panel);
            step(rows, panels, wide, i + 1, column, sum);
        }
    }
}

RT_TILE_BODY void tile(size_t rows, size_t panels, const rt_gemm *g, const uint16_t *b, size_t i, size_t j,
                       size_t columns) {
    tile_sums sum;
    begin(rows, panels, sum);
    fetch_residual(rows, panels, g, i, j);
    add_products(rows, panels, (const uint16_t *)g->a + i * g->lda, g->lda, b, g->k, sum);
    end(rows, panels, g, i, j, columns, sum);
}

#define TILE(rows, panels)                                                                                   \
    static void tile_##rows##x##panels(const void *g, const void *b, size_t k, size_t i, size_t j,           \
                                       size_t columns) {                                                     \
        (void)k;                                                                                             \
        tile(rows, panels, g, b, i, j, columns);                                                             \
    }
V16_TILES(TILE)
#undef TILE

#define ENTRY(rows, panels) [panels - 1][rows - 1] = tile_##rows##x##panels,
static const rt_tile_set tiles = {V16_TILES(ENTRY)};
#undef ENTRY

void RT_ISA(gemm_bf16)(const rt_gemm *g) {
    multiply_all(tiling_float(g, &tiles, (g->k + 1) / 2 * 2 * RT_PANEL * sizeof(uint16_t)), 0);
}
