/* SPDX-License-Identifier: Apache-2.0
 * Backward passes of operators on rows: LayerNorm, Embed, Select, Pool, Normalize. */
#include "grad/tape.h"

#include <math.h>
#include <string.h>

/* ---- LayerNorm: y = (x - mean) / sqrt(var + epsilon) * gamma + beta ---- */

/* The inputs of a LayerNorm and the places of its gradients. */
typedef struct norm {
    size_t rows, n;
    const float *x, *gamma;
    float epsilon;
    const float *dy;
    float *dx;             /* added to */
    float *dgamma, *dbeta; /* added to; NULL: not wanted */
    float *mean, *inverse; /* [rows] */
} norm;

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
        double g = (double)(a->dy[row * a->n + j] * a->gamma[j]);
        sum += g;
        along += g * (double)((x[j] - mean) * inverse);
    }
    sum /= (double)a->n;
    along /= (double)a->n;
    for (size_t j = 0; j < a->n; j++) {
        float g = a->dy[row * a->n + j] * a->gamma[j];
        a->dx[row * a->n + j] += inverse * (g - (float)sum - (x[j] - mean) * inverse * (float)along);
    }
}

static void back_rows(const norm *a, int part, int parts) {
    rt_range rows = rt_share(a->rows, 1, part, parts);
    for (size_t i = rows.from; i < rows.to; i++) {
        measure(a, i, &a->mean[i], &a->inverse[i]);
        back_row(a, i, a->mean[i], a->inverse[i]);
    }
}

/* dbeta += sums of dy over the rows, dgamma += those of dy xn. Each column belongs to one worker. */
static void back_vectors(const norm *a, int part, int parts) {
    rt_range columns = rt_share(a->n, RT_PANEL, part, parts);
    for (size_t i = 0; i < a->rows; i++) {
        for (size_t j = columns.from; a->dbeta != NULL && j < columns.to; j++)
            a->dbeta[j] += a->dy[i * a->n + j];
        for (size_t j = columns.from; a->dgamma != NULL && j < columns.to; j++)
            a->dgamma[j] += a->dy[i * a->n + j] * ((a->x[i * a->n + j] - a->mean[i]) * a->inverse[i]);
    }
}

static norm norm_of(rt_tape *tape, const rt_step *step) {
    return (norm){
        .rows = rt_chunk_rows(tape->chunk, step->rows),
        .n = step->as.norm.n,
        .x = rt_tape_at(tape, &step->in[LAYER_NORM_X]),
        .gamma = rt_tape_at(tape, &step->in[LAYER_NORM_GAMMA]),
        .epsilon = step->as.norm.epsilon,
        .dy = tape->grad[step->out[0].value],
        .dx = tape->grad[step->in[LAYER_NORM_X].value],
        .dgamma = rt_tape_vector(tape, step, LAYER_NORM_GAMMA),
        .dbeta = rt_tape_vector(tape, step, LAYER_NORM_BETA),
        .mean = tape->room.dz,
        .inverse = tape->room.dz + tape->plan.capacity,
    };
}

static void norm_rows(rt_tape *tape, const rt_step *step, int part, int parts) {
    norm a = norm_of(tape, step);
    back_rows(&a, part, parts);
}

static void norm_vectors(rt_tape *tape, const rt_step *step, int part, int parts) {
    norm a = norm_of(tape, step);
    back_vectors(&a, part, parts);
}

void rt_tape_layer_norm(rt_tape *tape, const rt_step *step) {
    rt_tape_grad(tape, step->in[LAYER_NORM_X].value);
    rt_tape_run(tape, step, norm_rows);
    if (tape->parameters != NULL) rt_tape_run(tape, step, norm_vectors);
}

/* ---- Embed: the sums of table rows are made once more, in the room for z ---- */

static void add_tables(const rt_tape *tape, const rt_step *step, size_t row, float *out) {
    const rt_chunk *chunk = tape->chunk;
    size_t n = step->as.embed.norm.n;
    const float *word = rt_tape_used(tape, step, EMBED_WORD) + (size_t)chunk->ids[row] * n;
    const float *position = rt_tape_used(tape, step, EMBED_POSITION) + (size_t)chunk->positions[row] * n;
    const float *type = rt_tape_at(tape, &step->in[EMBED_TYPE]);
    for (size_t j = 0; j < n; j++) {
        out[j] = word[j] + position[j];
        if (type != NULL) out[j] += type[(size_t)chunk->types[row] * n + j];
    }
}

static norm embed_of(rt_tape *tape, const rt_step *step) {
    return (norm){
        .rows = tape->chunk->rows,
        .n = step->as.embed.norm.n,
        .x = tape->room.z,
        .gamma = rt_tape_at(tape, &step->in[EMBED_GAMMA]),
        .epsilon = step->as.embed.norm.epsilon,
        .dy = tape->grad[step->out[0].value],
        .dx = tape->embedded,
        .dgamma = rt_tape_vector(tape, step, EMBED_GAMMA),
        .dbeta = rt_tape_vector(tape, step, EMBED_BETA),
        .mean = tape->room.dz,
        .inverse = tape->room.dz + tape->plan.capacity,
    };
}

static void embed_rows(rt_tape *tape, const rt_step *step, int part, int parts) {
    norm a = embed_of(tape, step);
    rt_range rows = rt_share(a.rows, 1, part, parts);
    for (size_t i = rows.from; i < rows.to; i++) {
        add_tables(tape, step, i, tape->room.z + i * a.n);
        memset(a.dx + i * a.n, 0, a.n * sizeof *a.dx);
    }
    back_rows(&a, part, parts);
}

static void embed_vectors(rt_tape *tape, const rt_step *step, int part, int parts) {
    norm a = embed_of(tape, step);
    back_vectors(&a, part, parts);
}

/* Counts tokens by the row of the table that each reads, and fills room.ids, runs and order. rows: of the table. */
static size_t sort_tokens(rt_tape *tape, const int32_t *ids) {
    rt_tape_room *room = &tape->room;
    size_t rows = tape->chunk->rows, count = 0;
    for (size_t i = 0; i < rows; i++) { /* inserted: a chunk has a few hundred tokens */
        size_t at = i;
        for (; at > 0 && ids[room->order[at - 1]] > ids[i]; at--) room->order[at] = room->order[at - 1];
        room->order[at] = i;
    }
    for (size_t i = 0; i < rows; i++) {
        int32_t id = ids[room->order[i]];
        if (count > 0 && room->ids[count - 1] == id) continue;
        room->ids[count] = id;
        room->runs[count++] = i;
    }
    room->runs[count] = rows;
    return count;
}

/* Adds the gradients of all tokens that read a row of the table, in their order. */
static void back_table(rt_tape *tape, const rt_step *step, int operand, const int32_t *ids) {
    rt_parameter *table = rt_tape_parameter(tape, step, operand);
    const rt_tape_room *room = &tape->room;
    size_t n = step->as.embed.norm.n;
    if (table == NULL) return;
    size_t count = sort_tokens(tape, ids);
    if (!rt_parameter_touch(table, room->ids, count)) {
        tape->status = RETORT_NOMEM;
        return;
    }
    for (size_t i = 0, at = 0; i < count; i++) {
        while (table->touched[at] != room->ids[i]) at++;
        float *sum = table->grad + at * n;
        for (size_t t = room->runs[i]; t < room->runs[i + 1]; t++) {
            const float *dx = tape->embedded + room->order[t] * n;
            for (size_t j = 0; j < n; j++) sum[j] += dx[j];
        }
    }
}

void rt_tape_embed(rt_tape *tape, const rt_step *step) {
    rt_tape_run(tape, step, embed_rows);
    if (tape->parameters == NULL) return;
    rt_tape_run(tape, step, embed_vectors);
    back_table(tape, step, EMBED_WORD, tape->chunk->ids);
    back_table(tape, step, EMBED_POSITION, tape->chunk->positions);
    back_table(tape, step, EMBED_TYPE, tape->chunk->types);
}

/* ---- Select, Pool, Normalize ---- */

void rt_tape_select(rt_tape *tape, const rt_step *step) {
    const rt_chunk *chunk = tape->chunk;
    bool first = step->as.rows.select == RT_SELECT_FIRST;
    const int32_t *rows = first ? chunk->starts : chunk->mask_token_rows;
    size_t count = first ? chunk->batch : chunk->mask_tokens, n = step->as.rows.n;
    const float *dy = tape->grad[step->out[0].value];
    float *dx = rt_tape_grad(tape, step->in[0].value);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < n; j++) dx[(size_t)rows[i] * n + j] += dy[i * n + j];
    }
}

/* dx of the mean: dy / rows; of the maximum: dy at the first x that is the maximum. */
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
