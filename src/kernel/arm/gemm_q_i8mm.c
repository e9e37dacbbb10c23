/* SPDX-License-Identifier: Apache-2.0
 * Integer products with SMMLA: two rows of A times two columns, 8 of k at once, at twice the rate of SDOT.
 * Its operand is two interleaved steps of 4 rows of a panel. */
#include "kernel/rows.h"
#include "kernel/vec/gemm_q.h"
#include "kernel/vec/unpack.h"

enum { PAIRS = V16_ROWS / 2, TWOS = RT_PANEL / 2 }; /* of rows, of columns of a panel */
typedef int32x4_t sums22[PAIRS][V16_PANELS][TWOS];  /* 2 rows × 2 columns each */

/* Rows 2 r and 2 r + 1 of A, 8 elements each; the first is used twice if there is no second. */
RT_VERB int8x16_t two_rows(const int8_t *a, size_t lda, size_t r, size_t rows) {
    const int8_t *first = a + 2 * r * lda, *second = 2 * r + 1 < rows ? first + lda : first;
    return vcombine_s8(vld1_s8(first), vld1_s8(second));
}

/* Columns 4 c … 4 c + 3 of 8 rows of a panel; `whole`: all 8 rows exist. */
RT_VERB void step_columns(size_t pairs, size_t p, size_t c, const int8x16_t *x, const int8_t *b, bool whole,
                          sums22 sum) {
    int32x4_t zero = vdupq_n_s32(0), first = vreinterpretq_s32_s8(vld1q_s8(b + 16 * c));
    int32x4_t second = whole ? vreinterpretq_s32_s8(vld1q_s8(b + 64 + 16 * c)) : zero;
    int8x16_t low = vreinterpretq_s8_s32(vzip1q_s32(first, second));
    int8x16_t high = vreinterpretq_s8_s32(vzip2q_s32(first, second));
#pragma GCC unroll 3
    for (size_t r = 0; r < pairs; r++) {
        sum[r][p][2 * c] = vmmlaq_s32(sum[r][p][2 * c], x[r], low);
        sum[r][p][2 * c + 1] = vmmlaq_s32(sum[r][p][2 * c + 1], x[r], high);
    }
}

RT_VERB void step(size_t rows, size_t panels, const int8_t *a, size_t lda, const int8_t *b, size_t panel,
                  bool whole, sums22 sum) {
    int8x16_t x[PAIRS];
    size_t pairs = (rows + 1) / 2;
#pragma GCC unroll 3
    for (size_t r = 0; r < pairs; r++) x[r] = two_rows(a, lda, r, rows);
#pragma GCC unroll 3
    for (size_t p = 0; p < panels; p++) {
#pragma GCC unroll 4
        for (size_t c = 0; c < 4; c++) step_columns(pairs, p, c, x, b + p * panel, whole, sum);
    }
}

/* Row r of a panel: the bits of int32, in place of floats. */
RT_VERB void store_row(float *out, size_t r, const int32x4_t sum[TWOS]) {
#pragma GCC unroll 4
    for (size_t c = 0; c < 4; c++) {
        int64x2_t left = vreinterpretq_s64_s32(sum[2 * c]), right = vreinterpretq_s64_s32(sum[2 * c + 1]);
        int64x2_t four = r % 2 == 0 ? vzip1q_s64(left, right) : vzip2q_s64(left, right);
        vst1q_f32(out + 4 * c, vreinterpretq_f32_s64(four));
    }
}

/* out[rows][16 panels]: int32 bits in the place of floats; k: a multiple of 4 */
RT_VERB void multiply(size_t rows, size_t panels, const int8_t *a, size_t lda, const int8_t *b, size_t k,
                      float *out) {
    sums22 sum;
    size_t i = 0, panel = k * RT_PANEL;
#pragma GCC unroll 3
    for (size_t r = 0; r < (rows + 1) / 2; r++) {
#pragma GCC unroll 3
        for (size_t p = 0; p < panels; p++) {
#pragma GCC unroll 8
            for (size_t c = 0; c < TWOS; c++) sum[r][p][c] = vdupq_n_s32(0);
        }
    }
    for (; i + 8 <= k; i += 8) step(rows, panels, a + i, lda, b + i * RT_PANEL, panel, true, sum);
    if (i < k) step(rows, panels, a + i, lda, b + i * RT_PANEL, panel, false, sum);
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 3
        for (size_t p = 0; p < panels; p++) store_row(out + (r * panels + p) * RT_PANEL, r, sum[r / 2][p]);
    }
}

/* Both operands are signed: nothing is added to A. */
RT_VERB void tile(size_t rows, size_t panels, const rt_gemm_q *q, const int8_t *b, size_t k, size_t i,
                  size_t j, size_t columns) {
    _Alignas(64) float sums[V16_ROWS * V16_PANELS * RT_PANEL], more[V16_ROWS * V16_PANELS * RT_PANEL];
    multiply(rows, panels, q->a + i * q->lda, q->lda, b, k, sums);
    if (q->outliers > 0) {
        multiply(rows, panels, q->a_outliers + i * q->outliers, q->outliers, q->b_outliers + j * q->outliers,
                 q->outliers, more);
        add_integers(rows, panels, more, sums, panels * RT_PANEL);
    }
    finish_sums(q, i, j, rows, columns, sums, panels * RT_PANEL);
}

#define TILE(rows, panels)                                                                                   \
    static void tile_##rows##x##panels(const void *q, const void *b, size_t k, size_t i, size_t j,           \
                                       size_t columns) {                                                     \
        tile(rows, panels, q, b, k, i, j, columns);                                                          \
    }
V16_TILES(TILE)
#undef TILE

#define ENTRY(rows, panels) [panels - 1][rows - 1] = tile_##rows##x##panels,
static const rt_tile_set tiles = {V16_TILES(ENTRY)};
#undef ENTRY

void rt_gemm_s8_i8mm(const rt_gemm_q *q) {
    multiply_all(tiling_q(q, &tiles, &tiles, rt_round_up(q->k, 4)), FEW_ROWS_Q);
}

void rt_gemm_s4_i8mm(const rt_gemm_q *q) {
    size_t k = rt_round_up(q->k, 8);
    tiling unpacked = tiling_q(q, &tiles, &tiles, k);
    if (q->m == 0 || q->n == 0) return;
    size_t wide = tile_columns(q->m);
    for (size_t j = 0; j < q->n; j += wide) {
        size_t columns = rt_min(wide, q->n - j);
        panels_s4 panels = panels_at(q, j);
        unpack_panels((columns + RT_PANEL - 1) / RT_PANEL, &panels, k, q->scratch);
        multiply_rows(&unpacked, q->scratch, j, columns);
    }
}
