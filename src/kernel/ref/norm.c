/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tensor.h"
#include "kernel/integers.h"
#include "kernel/ref/scalar.h"
#include "kernel/rows.h"

static float mean_of(const float *x, size_t n) {
    float lane[16] = {0};
    for (size_t i = 0; i < n; i++) lane[i % 16] += x[i];
    return ref_sum16(lane) / (float)n;
}

static float variance_of(const float *x, size_t n, float mean) {
    float lane[16] = {0};
    for (size_t i = 0; i < n; i++) lane[i % 16] = fmaf(x[i] - mean, x[i] - mean, lane[i % 16]);
    return ref_sum16(lane) / (float)n;
}

/* Element i of a row, normalised. */
static float value(const rt_norm_args *norm, const float *x, size_t i, float mean, float inverse) {
    return fmaf((x[i] - mean) * inverse, norm->gamma[i], norm->rms ? 0.0f : norm->beta[i]);
}

/* The range so far, ignoring NaN. */
typedef struct span {
    float min, max;
} span;

static span widen(span s, float x) {
    return (span){x < s.min ? x : s.min, x > s.max ? x : s.max};
}

static int8_t to_s8(float x, const rt_row_scale *scale, float factor) {
    float y = (x - scale->shift) * factor;
    y = y > -127.0f ? y : -127.0f;
    return (int8_t)rintf(y < 127.0f ? y : 127.0f);
}

/* The value to round for column i. */
static float scale_channel(const rt_rows_q *how, float x, size_t i) {
    return how->factor != NULL ? fmaf(x, how->factor[i], how->add[i]) : x;
}

/* The static range, or nothing yet. */
static span first_span(const rt_rows_q *how) {
    return how->range != NULL ? (span){how->range[0], how->range[1]} : (span){0.0f, 0.0f};
}

void rt_quantize_ref(size_t rows, size_t n, const float *x, size_t ldx, const rt_rows_q *how, int8_t *q,
                     size_t ldq, rt_row_scale *scale) {
    for (size_t r = 0; r < rows; r++) {
        const float *from = x + r * ldx;
        span s = first_span(how);
        for (size_t i = 0; how->range == NULL && i < n; i++) s = widen(s, scale_channel(how, from[i], i));
        float factor = rt_quantum(s.min, s.max, &scale[r]);
        for (size_t i = 0; i < n; i++)
            q[r * ldq + i] = to_s8(scale_channel(how, from[i], i), &scale[r], factor);
        for (size_t i = n; i < rt_row_q(n); i++) q[r * ldq + i] = 0;
    }
}

static void norm_row(const rt_norm_args *norm, size_t r) {
    const float *x = norm->x + r * norm->ldx;
    const rt_rows_q *how = &norm->how8;
    float mean = norm->rms ? 0.0f : mean_of(x, norm->n);
    float inverse = 1.0f / sqrtf(variance_of(x, norm->n, mean) + norm->epsilon);
    float factor = 0.0f;
    span s = first_span(how);
    for (size_t i = 0; how->range == NULL && i < norm->n; i++) {
        s = widen(s, scale_channel(how, value(norm, x, i, mean, inverse), i));
    }
    if (norm->y8 != NULL) factor = rt_quantum(s.min, s.max, &norm->scale8[r]);
    for (size_t i = 0; i < norm->n; i++) {
        float y = value(norm, x, i, mean, inverse);
        if (norm->y != NULL) norm->y[r * norm->ldy + i] = y;
        if (norm->y16 != NULL) norm->y16[r * norm->ldy16 + i] = rt_f32_to_bf16(y);
        if (norm->y8 != NULL) {
            norm->y8[r * rt_row_q(norm->n) + i] = to_s8(scale_channel(how, y, i), &norm->scale8[r], factor);
        }
    }
    for (size_t i = norm->n; norm->y8 != NULL && i < rt_row_q(norm->n); i++) {
        norm->y8[r * rt_row_q(norm->n) + i] = 0;
    }
}

void rt_layer_norm_ref(const rt_norm_args *norm) {
    for (size_t r = 0; r < norm->rows; r++) norm_row(norm, r);
}

/* Element i of a row of the word table. */
static float word_at(const rt_embed_args *embed, size_t id, size_t i) {
    size_t n = embed->norm.n;
    if (embed->word != NULL) return embed->word[id * n + i];
    if (embed->word_bits == 8) {
        return (float)((const int8_t *)embed->word_q)[id * n + i] * embed->word_scale[id];
    }
    const uint8_t *codes = (const uint8_t *)embed->word_q + (id * ((n + 31) / 32) + i / 32) * 16;
    size_t groups = (n + embed->word_group_size - 1) / embed->word_group_size;
    int code = ((codes[i % 16] >> (i % 32 < 16 ? 0 : 4) & 15) ^ 8) - 8;
    int weight = code * embed->word_group[id * groups + i / embed->word_group_size];
    return (float)weight * embed->word_scale[id];
}

static float position_at(const rt_embed_args *embed, size_t position, size_t i) {
    size_t at = position * embed->norm.n + i;
    if (embed->position != NULL) return embed->position[at];
    return (float)embed->position_q[at] * embed->position_scale[i];
}

void rt_embed_ref(const rt_embed_args *embed) {
    rt_norm_args norm = embed->norm;
    size_t n = norm.n;
    bool placed = embed->position != NULL || embed->position_q != NULL;
    for (size_t r = 0; r < norm.rows; r++) {
        for (size_t i = 0; i < n; i++) {
            float x = word_at(embed, (size_t)embed->ids[r], i);
            if (placed) x += position_at(embed, (size_t)embed->positions[r], i);
            if (embed->type != NULL) x += embed->type[(size_t)embed->types[r] * n + i];
            norm.y[r * norm.ldy + i] = x;
        }
    }
    norm.x = norm.y;
    norm.ldx = norm.ldy;
    if (norm.gamma != NULL) rt_layer_norm_ref(&norm);
}
