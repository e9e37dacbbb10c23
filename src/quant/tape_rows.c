/* SPDX-License-Identifier: Apache-2.0
 * Backwards through what works on rows: LayerNorm, Embed, Select, Pool, Normalize, Narrow. */
#include "quant/tape.h"

#include <math.h>
#include <string.h>

/* ---- LayerNorm: y = (x - mean) / sqrt(var + epsilon) * gamma + beta ---- */

/* What a LayerNorm reads and where its gradients go. */
typedef struct norm {
    size_t rows, n;
    const float *x, *gamma;
    float epsilon;
    const float *dy, *dy8; /* of its float and int8 results; NULL: not live */
    const float *factor;   /* [n] what the int8 one is multiplied by, or NULL */
    float *dx;             /* added to */
} norm;

static const float *live_grad(const rt_tape *tape, int value) {
    return value >= 0 && tape->live[value] ? tape->grad[value] : NULL;
}

/* Of row i, column j of y. */
static float dy_at(const norm *a, size_t i, size_t j) {
    float dy = a->dy != NULL ? a->dy[i * a->n + j] : 0.0F;
    if (a->dy8 == NULL) return dy;
    return dy + a->dy8[i * a->n + j] * (a->factor != NULL ? a->factor[j] : 1.0F);
}

static void measure(const norm *a, size_t row, float *mean, float *inverse) {
    const float *x = a->x + row * a->n;
    double sum = 0, squares = 0;
    for (size_t j = 0; j < a->n; j++) sum += (double)x[j];
    sum /= (double)a->n;
    for (size_t j = 0; j < a->n; j++) squares += ((double)x[j] - sum) * ((double)x[j] - sum);
    *mean = (float)sum;
    *inverse = (float)(1 / sqrt(squares / (double)a->n + (double)a->epsilon));
}

/* dx += (g - mean(g) - xn mean(g xn)) / sqrt(var + epsilon), g = dy gamma, xn the normalised x */
static void back_row(const norm *a, size_t row, float mean, float inverse) {
    const float *x = a->x + row * a->n;
    double sum = 0, along = 0;
    for (size_t j = 0; j < a->n; j++) {
        double g = (double)(dy_at(a, row, j) * a->gamma[j]);
        sum += g;
        along += g * (double)((x[j] - mean) * inverse);
    }
    sum /= (double)a->n;
    along /= (double)a->n;
    for (size_t j = 0; j < a->n; j++) {
        float g = dy_at(a, row, j) * a->gamma[j];
        a->dx[row * a->n + j] += inverse * (g - (float)sum - (x[j] - mean) * inverse * (float)along);
    }
}

static void back_rows(const norm *a, int part, int parts) {
    rt_range rows = rt_share(a->rows, 1, part, parts);
    for (size_t i = rows.from; i < rows.to; i++) {
        float mean, inverse;
        measure(a, i, &mean, &inverse);
        back_row(a, i, mean, inverse);
    }
}

static norm norm_of(rt_tape *tape, const rt_step *step) {
    return (norm){
        .rows = rt_chunk_rows(tape->chunk, step->rows),
        .n = step->as.norm.n,
        .x = rt_tape_at(tape, &step->in[0]),
        .gamma = rt_tape_at(tape, &step->in[1]),
        .epsilon = step->as.norm.epsilon,
        .dy = live_grad(tape, step->out[0].value),
        .dy8 = live_grad(tape, step->out[1].value),
        .factor = rt_tape_at(tape, &step->in[3]),
        .dx = tape->grad[step->in[0].value],
    };
}

static void norm_rows(rt_tape *tape, const rt_step *step, int part, int parts) {
    norm a = norm_of(tape, step);
    back_rows(&a, part, parts);
}

void rt_tape_norm(rt_tape *tape, const rt_step *step) {
    rt_tape_grad(tape, step->in[0].value);
    rt_tape_run(tape, step, norm_rows);
}

/* ---- Embed: the sums of table rows are made once more, in the room for z ---- */

static void word_row(const rt_tape *tape, const rt_step *step, int32_t token, float *out) {
    int32_t row;
    rt_word_rows(rt_tape_at(tape, &step->in[12]), step->as.embed.gaps, &token, 1, &row);
    size_t id = (size_t)row;
    const rt_embed_step *embed = &step->as.embed;
    size_t n = embed->norm.n, size = rt_max(embed->word_group, 1), groups = (n + size - 1) / size;
    const void *words = rt_tape_at(tape, &step->in[1]);
    const float *scale = rt_tape_at(tape, &step->in[7]);
    const uint8_t *group = rt_tape_at(tape, &step->in[8]);
    for (size_t j = 0; j < n; j++) {
        if (embed->word_bits == 4) {
            unsigned byte = ((const uint8_t *)words)[id * ((n + 31) / 32 * 16) + j / 32 * 16 + j % 16];
            int nibble = (int)(j % 32 < 16 ? byte & 15u : byte >> 4);
            int units = group[id * groups + j / size] * (nibble < 8 ? nibble : nibble - 16);
            out[j] = (float)units * scale[id];
        } else if (embed->word_bits == 8) {
            out[j] = (float)((const int8_t *)words)[id * n + j] * scale[id];
        } else {
            out[j] = ((const float *)words)[id * n + j];
        }
    }
}

static void add_tables(const rt_tape *tape, const rt_step *step, size_t row, float *out) {
    size_t n = step->as.embed.norm.n, position = (size_t)tape->chunk->positions[row];
    const void *table = rt_tape_at(tape, &step->in[2]);
    const float *scale = rt_tape_at(tape, &step->in[9]), *type = rt_tape_at(tape, &step->in[6]);
    for (size_t j = 0; j < n; j++) {
        out[j] += scale != NULL ? (float)((const int8_t *)table)[position * n + j] * scale[j]
                                : ((const float *)table)[position * n + j];
        if (type != NULL) out[j] += type[(size_t)tape->chunk->types[row] * n + j];
    }
}

static norm embed_of(rt_tape *tape, const rt_step *step) {
    return (norm){
        .rows = tape->chunk->rows,
        .n = step->as.embed.norm.n,
        .x = tape->room.z,
        .gamma = rt_tape_at(tape, &step->in[3]),
        .epsilon = step->as.embed.norm.epsilon,
        .dy = live_grad(tape, step->out[0].value),
        .dy8 = live_grad(tape, step->out[1].value),
        .factor = rt_tape_at(tape, &step->in[10]),
        .dx = tape->embedded,
    };
}

static void embed_rows(rt_tape *tape, const rt_step *step, int part, int parts) {
    norm a = embed_of(tape, step);
    rt_range rows = rt_share(a.rows, 1, part, parts);
    for (size_t i = rows.from; i < rows.to; i++) {
        word_row(tape, step, tape->chunk->ids[i], tape->room.z + i * a.n);
        add_tables(tape, step, i, tape->room.z + i * a.n);
        memset(a.dx + i * a.n, 0, a.n * sizeof *a.dx);
    }
    back_rows(&a, part, parts);
}

void rt_tape_embed(rt_tape *tape, const rt_step *step) {
    rt_tape_run(tape, step, embed_rows);
}

/* ---- Select, Pool, Normalize, Narrow ---- */

void rt_tape_select(rt_tape *tape, const rt_step *step) {
    const rt_chunk *chunk = tape->chunk;
    bool first = step->as.rows.select == RT_SELECT_FIRST;
    const int32_t *rows = first ? chunk->starts : chunk->mask_rows;
    size_t count = first ? chunk->batch : chunk->masks, n = step->as.rows.n;
    const float *dy = tape->grad[step->out[0].value];
    float *dx = rt_tape_grad(tape, step->in[0].value);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < n; j++) dx[(size_t)rows[i] * n + j] += dy[i * n + j];
    }
}

/* dx of the mean: dy / rows; of the maximum: dy where x is it, first of equals. */
void rt_tape_pool(rt_tape *tape, const rt_step *step) {
    const rt_chunk *chunk = tape->chunk;
    size_t n = step->as.rows.n;
    bool max = step->node->attrs.pool == RT_REDUCE_MAX;
    const float *x = rt_tape_at(tape, &step->in[0]), *y = rt_tape_at(tape, &step->out[0]);
    const float *dy = tape->grad[step->out[0].value];
    float *dx = rt_tape_grad(tape, step->in[0].value);
    for (size_t b = 0; b < chunk->batch; b++) {
        size_t from = (size_t)chunk->starts[b], rows = (size_t)chunk->lengths[b];
        for (size_t j = 0; j < n; j++) {
            size_t i = from;
            while (max && i + 1 < from + rows && x[i * n + j] != y[b * n + j]) i++;
            if (max) dx[i * n + j] += dy[b * n + j];
            for (i = from; !max && i < from + rows; i++) dx[i * n + j] += dy[b * n + j] / (float)rows;
        }
    }
}

/* y = x / |x|: dx = (dy - y (y dy)) / |x| */
void rt_tape_normalize(rt_tape *tape, const rt_step *step) {
    size_t n = step->as.rows.n, rows = rt_chunk_rows(tape->chunk, step->rows);
    const float *x = rt_tape_at(tape, &step->in[0]), *y = rt_tape_at(tape, &step->out[0]);
    const float *dy = tape->grad[step->out[0].value];
    float *dx = rt_tape_grad(tape, step->in[0].value);
    for (size_t i = 0; i < rows; i++, x += n, y += n, dy += n, dx += n) {
        double squares = 0, along = 0;
        for (size_t j = 0; j < n; j++) {
            squares += (double)x[j] * (double)x[j];
            along += (double)y[j] * (double)dy[j];
        }
        float inverse = (float)(1 / fmax(sqrt(squares), 1e-12));
        for (size_t j = 0; j < n; j++) dx[j] += (dy[j] - y[j] * (float)along) * inverse;
    }
}

void rt_tape_narrow(rt_tape *tape, const rt_step *step) {
    size_t count = rt_chunk_rows(tape->chunk, step->rows) * step->as.rows.n;
    const float *dy = tape->grad[step->out[0].value], *factor = rt_tape_at(tape, &step->in[1]);
    float *dx = rt_tape_grad(tape, step->in[0].value);
    for (size_t i = 0; i < count; i++) dx[i] += dy[i] * (factor != NULL ? factor[i % step->as.rows.n] : 1.0F);
}
