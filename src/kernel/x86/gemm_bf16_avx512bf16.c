/* SPDX-License-Identifier: Apache-2.0
 * bf16 with vdpbf16ps: two products per lane, pairs of A broadcast as 32 bits. Sums in a different order than
 * ref; subnormals are treated as zero. */
#include "kernel/rows.h"
#include "kernel/vec/gemm.h"

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
                  size_t panel, __m512 sum[V16_ROWS][V16_PANELS]) {
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

RT_VERB void tile(size_t rows, size_t panels, const uint16_t *a, size_t lda, const uint16_t *b, size_t k,
                  float *out, size_t ldo) {
    __m512 sum[V16_ROWS][V16_PANELS];
    size_t panel = (k + (k & 1)) * RT_PANEL, i = 0;
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (size_t p = 0; p < panels; p++) sum[r][p] = _mm512_setzero_ps();
    }
    for (; i + 2 <= k; i += 2) step(rows, panels, a + i, lda, false, b + i * RT_PANEL, panel, sum);
    if (i < k) step(rows, panels, a + i, lda, true, b + i * RT_PANEL, panel, sum);
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (size_t p = 0; p < panels; p++) _mm512_storeu_ps(out + r * ldo + p * RT_PANEL, sum[r][p]);
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
static const rt_tile_set tiles = {V16_TILES(ENTRY)};
#undef ENTRY

void rt_gemm_bf16_avx512bf16(const rt_gemm *g) {
    gemm_with(g, tiles, sizeof(uint16_t), (g->k + 1) / 2 * 2 * RT_PANEL * sizeof(uint16_t));
}
