/* SPDX-License-Identifier: Apache-2.0 */
#include "base/memory.h"
#include "kernel/rows.h"
#include "kernel/vec/quantize.h"

#include <math.h>

enum { TOGETHER = 4 }; /* rows: the sum of one row is a chain of additions, with most of the adder idle */

/* mean[rows] of x[rows][n], or zeros */
RT_VERB void means(size_t rows, const rt_norm_args *norm, const float *x, float *mean) {
    v16 sum[TOGETHER];
    for (size_t r = 0; r < rows; r++) mean[r] = 0.0f;
    if (norm->rms) return;
    for (size_t r = 0; r < rows; r++) sum[r] = v16_set(0.0f);
    for (size_t i = 0; i < norm->n; i += 16) {
        for (size_t r = 0; r < rows; r++)
            sum[r] = v16_add(sum[r], v16_load_n(x + r * norm->ldx + i, norm->n - i));
    }
    for (size_t r = 0; r < rows; r++) mean[r] = v16_sum(sum[r]) / (float)norm->n;
}

/* inverse[rows] = 1 / sqrt(variance + epsilon) */
RT_VERB void inverses(size_t rows, const rt_norm_args *norm, const float *x, const float *mean,
                      float *inverse) {
    v16 sum[TOGETHER];
    for (size_t r = 0; r < rows; r++) sum[r] = v16_set(0.0f);
    for (size_t i = 0; i < norm->n; i += 16) {
        size_t n = norm->n - i;
        for (size_t r = 0; r < rows; r++) {
            v16 d = v16_sub(v16_load_n(x + r * norm->ldx + i, n), v16_set(mean[r]));
            if (n < 16) d = v16_first(n, d, v16_set(0.0f));
            sum[r] = v16_fma(d, d, sum[r]);
        }
    }
    for (size_t r = 0; r < rows; r++)
        inverse[r] = 1.0f / sqrtf(v16_sum(sum[r]) / (float)norm->n + norm->epsilon);
}

/* 16 elements of beta. */
RT_VERB v16 beta_at(const rt_norm_args *norm, size_t i) {
    return norm->rms ? v16_set(0.0f) : v16_load_n(norm->beta + i, norm->n - i);
}

/* 16 normalised elements of a row from `at` on. */
RT_VERB v16 value(const float *at, size_t n, float mean, float inverse, v16 gamma, v16 beta) {
    v16 y = v16_sub(v16_load_n(at, n), v16_set(mean));
    return v16_fma(v16_mul(y, v16_set(inverse)), gamma, beta);
}

/* factor[rows] = factors that round rows to int8 */
RT_VERB void factors(size_t rows, bool scaled, const rt_norm_args *norm, size_t row, const float *x,
                     const float *mean, const float *inverse, float *factor) {
    const rt_rows_q *how = &norm->how8;
    span16 span[TOGETHER];
    for (size_t r = 0; r < rows; r++) span[r] = span_zero();
    for (size_t i = 0; how->range == NULL && i < norm->n; i += 16) {
        size_t n = norm->n - i;
        v16 gamma = v16_load_n(norm->gamma + i, n), beta = beta_at(norm, i);
        for (size_t r = 0; r < rows; r++) {
            v16 y = value(x + r * norm->ldx + i, n, mean[r], inverse[r], gamma, beta);
            span[r] = span_widen(span[r], to_round(how, scaled, y, i, n), n);
        }
    }
    for (size_t r = 0; r < rows; r++) factor[r] = span_factor(span[r], how->range, &norm->scale8[row + r]);
}

/* Rows row…row+rows-1; `rows`, `quantized` and `scaled` are constants at every call. */
RT_VERB void norm_rows(size_t rows, bool quantized, bool scaled, const rt_norm_args *norm, size_t row) {
    const float *x = norm->x + row * norm->ldx;
    float mean[TOGETHER], inverse[TOGETHER], factor[TOGETHER] = {0};
    size_t ld8 = rt_row_q(norm->n);
    means(rows, norm, x, mean);
    inverses(rows, norm, x, mean, inverse);
    if (quantized) factors(rows, scaled, norm, row, x, mean, inverse, factor);
    for (size_t i = 0; i < norm->n; i += 16) {
        size_t n = norm->n - i;
        v16 gamma = v16_load_n(norm->gamma + i, n), beta = beta_at(norm, i);
        for (size_t r = 0; r < rows; r++) {
            v16 y = value(x + r * norm->ldx + i, n, mean[r], inverse[r], gamma, beta);
            if (norm->y != NULL) v16_store_n(norm->y + (row + r) * norm->ldy + i, y, n);
            if (norm->y16 != NULL) v16_store_bf16_n(norm->y16 + (row + r) * norm->ldy16 + i, y, n);
            if (!quantized) continue;
            y = to_round(&norm->how8, scaled, y, i, n);
            store_q(norm->y8 + (row + r) * ld8 + i, y, norm->scale8[row + r].shift, factor[r], n);
        }
    }
    for (size_t r = 0; r < rows && quantized; r++) pad_q(norm->n, norm->y8 + (row + r) * ld8);
}

RT_VERB void norm_kind(bool quantized, bool scaled, const rt_norm_args *norm, size_t row, size_t end) {
    for (; row + TOGETHER <= end; row += TOGETHER) norm_rows(TOGETHER, quantized, scaled, norm, row);
    for (; row < end; row++) norm_rows(1, quantized, scaled, norm, row);
}

static void norm_all(const rt_norm_args *norm, size_t row, size_t end) {
    if (norm->y8 == NULL) {
        norm_kind(false, false, norm, row, end);
    } else if (norm->how8.factor == NULL) {
        norm_kind(true, false, norm, row, end);
    } else {
        norm_kind(true, true, norm, row, end);
    }
}

void RT_ISA(layer_norm)(const rt_norm_args *norm) {
    norm_all(norm, 0, norm->rows);
}

/* A row of the word table with a constant number of `bits` per element; 32 is float. */
typedef struct word_row {
    const void *data;
    float scale;
    const uint8_t *group;
    size_t group_size;
} word_row;

RT_VERB word_row word_at(const rt_embed_args *embed, int bits, size_t id) {
    size_t n = embed->norm.n, size = embed->word_group_size;
    if (bits == 32) return (word_row){.data = embed->word + id * n};
    word_row row = {.data = (const uint8_t *)embed->word_q + id * n, .scale = embed->word_scale[id]};
    if (bits == 8) return row;
    row.data = (const uint8_t *)embed->word_q + id * ((n + 31) / 32 * 16);
    row.group = embed->word_group + id * ((n + size - 1) / size);
    row.group_size = size;
    return row;
}

/* The first n of 16 elements from i on. */
RT_VERB v16 word_load(const word_row *row, int bits, size_t i, size_t n) {
    if (bits == 32) return v16_load_n((const float *)row->data + i, n);
    if (bits == 8) return v16_mul(v16_load_s8_n((const int8_t *)row->data + i, n), v16_set(row->scale));
    const uint8_t *codes = (const uint8_t *)row->data + i / 32 * 16;
    int8_t code[16];
    for (size_t c = 0; c < 16; c++) code[c] = (int8_t)(((codes[c] >> (i % 32 < 16 ? 0 : 4) & 15) ^ 8) - 8);
    v16 group = v16_set((float)row->group[i / row->group_size]);
    return v16_mul(v16_mul(v16_load_s8_n(code, 16), group), v16_set(row->scale));
}

/* The first n of 16 elements from i on of a row of the position table. */
RT_VERB v16 position_load(const rt_embed_args *embed, size_t position, size_t i, size_t n) {
    size_t at = position * embed->norm.n + i;
    if (embed->position != NULL) return v16_load_n(embed->position + at, n);
    return v16_mul(v16_load_s8_n(embed->position_q + at, n), v16_load_n(embed->position_scale + i, n));
}

RT_VERB void embed_row(const rt_embed_args *embed, int bits, size_t r) {
    size_t width = embed->norm.n;
    word_row word = word_at(embed, bits, (size_t)embed->ids[r]);
    bool placed = embed->position != NULL || embed->position_q != NULL;
    size_t position = placed ? (size_t)embed->positions[r] : 0;
    const float *type = embed->type == NULL ? NULL : embed->type + (size_t)embed->types[r] * width;
    float *y = embed->norm.y + r * embed->norm.ldy;
    for (size_t i = 0; i < width; i += 16) {
        size_t n = width - i;
        v16 x = word_load(&word, bits, i, n);
        if (placed) x = v16_add(x, position_load(embed, position, i, n));
        if (type != NULL) x = v16_add(x, v16_load_n(type + i, n));
        v16_store_n(y + i, x, n);
    }
}

static void embed_rows(const rt_embed_args *embed, size_t row, size_t end) {
    int bits = embed->word != NULL ? 32 : embed->word_bits;
    for (size_t r = row; bits == 32 && r < end; r++) embed_row(embed, 32, r);
    for (size_t r = row; bits == 8 && r < end; r++) embed_row(embed, 8, r);
    for (size_t r = row; bits == 4 && r < end; r++) embed_row(embed, 4, r);
}

void RT_ISA(embed)(const rt_embed_args *embed) {
    rt_norm_args norm = embed->norm;
    norm.x = norm.y;
    norm.ldx = norm.ldy;
    for (size_t row = 0; row < norm.rows; row += TOGETHER) {
        size_t end = rt_min(row + TOGETHER, norm.rows);
        embed_rows(embed, row, end);
        if (norm.gamma != NULL) norm_all(&norm, row, end);
    }
}

/* One row; `scaled` is a constant at every call. */
RT_VERB void quantize_row(bool scaled, size_t n, const float *x, const rt_rows_q *how, int8_t *q,
                          rt_row_scale *scale) {
    span16 span = span_zero();
    for (size_t i = 0; how->range == NULL && i < n; i += 16)
        span = span_widen(span, to_round(how, scaled, v16_load_n(x + i, n - i), i, n - i), n - i);
    float factor = span_factor(span, how->range, scale);
    for (size_t i = 0; i < n; i += 16)
        store_q(q + i, to_round(how, scaled, v16_load_n(x + i, n - i), i, n - i), scale->shift, factor,
                n - i);
    pad_q(n, q);
}

void RT_ISA(quantize)(size_t rows, size_t n, const float *x, size_t ldx, const rt_rows_q *how, int8_t *q,
                      size_t ldq, rt_row_scale *scale) {
    bool scaled = how->factor != NULL;
    for (size_t r = 0; !scaled && r < rows; r++)
        quantize_row(false, n, x + r * ldx, how, q + r * ldq, &scale[r]);
    for (size_t r = 0; scaled && r < rows; r++)
        quantize_row(true, n, x + r * ldx, how, q + r * ldq, &scale[r]);
}
