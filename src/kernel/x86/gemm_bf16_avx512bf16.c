/* SPDX-License-Identifier: Apache-2.0
 * bf16 with vdpbf16ps: two products per lane, pairs of A broadcast as 32 bits. Sums in a different order than
 * ref; subnormals are treated as zero. */
#include "kernel/rows.h"
#include "kernel/vec/tile_float.h"

#include <string.h>

RT_VERB __m512bh pair16(uint32_t pair) {
    return (__m512bh)_mm512_set1_epi32((int)pair);
}

RT_VERB uint32_t load_pair(const uint16_t *a) {
    uint32_t pair;
    memcpy(&pair, a, sizeof pair);
    return pair;
}

RT_VERB void step(size_t rows, size_t panels, const uint16_t *a, size_t lda, bool single, const uint16_t *b,
                  size_t panel, tile_sums sum) {
    __m512bh column[V16_PANELS];
#pragma GCC unroll 4
    for (size_t p = 0; p < panels; p++) column[p] = (__m512bh)_mm512_loadu_si512(b + p * panel);
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
        __m512bh x = pair16(single ? a[r * lda] : load_pair(a + r * lda));
#pragma GCC unroll 4
        for (size_t p = 0; p < panels; p++) sum[r][p] = _mm512_dpbf16_ps(sum[r][p], x, column[p]);
    }
}

/* What a block of rows brings into L2 of the next panels: so many lines per step. All blocks share the work, so that it keeps
 * pace with the products. (Base shape on Zen 4, two threads, 1x16, 1x32 and 1x128: 4, 7 and 6 % faster.) */
typedef struct ahead {
    const char *at;
    size_t lines;
} ahead;

/* b: the panels of `panel` bytes of the block that begins at row i. */
RT_VERB ahead ahead_of(const rt_gemm *g, size_t panels, size_t panel, const void *b, size_t i) {
    size_t blocks = block_count(g->m), low = g->m / blocks, more = g->m % blocks;
    size_t block = i < more * (low + 1) ? i / (low + 1) : (i - more) / low;
    size_t lines = (panels + blocks - 1) / blocks, done = block * lines;
    return (ahead){(const char *)b + (panels + done) * panel, done < panels ? lines : 0};
}

RT_VERB void fetch_ahead(ahead *next) {
    for (size_t line = 0; line < next->lines; line++, next->at += 64) __builtin_prefetch(next->at, 0, 2);
}

RT_TILE_BODY void tile(size_t rows, size_t panels, const rt_gemm *g, const uint16_t *b, size_t row, size_t j,
                       size_t columns) {
    tile_sums sum;
    const uint16_t *a = (const uint16_t *)g->a + row * g->lda;
    size_t k = g->k, panel = (k + (k & 1)) * RT_PANEL, i = 0;
    begin(rows, panels, sum);
    fetch_residual(rows, panels, g, row, j);
    ahead next = ahead_of(g, panels, panel * sizeof(uint16_t), b, row);
    for (; i + 2 <= k; i += 2) {
        fetch_ahead(&next);
        step(rows, panels, a + i, g->lda, false, b + i * RT_PANEL, panel, sum);
    }
    if (i < k) step(rows, panels, a + i, g->lda, true, b + i * RT_PANEL, panel, sum);
    end(rows, panels, g, row, j, columns, sum);
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

void rt_gemm_bf16_avx512bf16(const rt_gemm *g) {
    multiply_all(tiling_float(g, &tiles, (g->k + 1) / 2 * 2 * RT_PANEL * sizeof(uint16_t)), 0);
}
