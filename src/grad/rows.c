/* SPDX-License-Identifier: Apache-2.0
 * Backward passes of operators on rows: LayerNorm, Embed, Select, Pool, Normalize, Convert. */
#include "grad/tape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- LayerNorm ---- */

/* A LayerNorm, or that of an Embed. */
typedef struct norm {
    const rt_norm_step *of;
    size_t rows;
    const float *x, *gamma;
    float *dy, *dx, *dgamma, *dbeta;
} norm;

/* What flows into y from its rounded copy with channel scaling: dy += d * factor. Without scaling, both have one gradient. */
static void add_scaled(const rt_tape *tape, const rt_step *step, int channel_scale, rt_range rows, float *dy,
                       size_t n) {
    int twin = step->out[1].value;
    const float *factor = rt_tape_at(tape, &step->in[channel_scale]);
    if (twin < 0 || factor == NULL || rt_tape_live(tape, twin) == NULL) return;
    const float *d = rt_tape_live(tape, twin);
    for (size_t i = rows.from; i < rows.to; i++) {
        for (size_t j = 0; j < n; j++) dy[i * n + j] += d[i * n + j] * factor[j];
    }
}

/* Blocks of RT_TAPE_ROWS rows; each has sums of its own. */
static void back_norm(const rt_tape *tape, const rt_step *step, const norm *a, rt_range rows, bool add) {
    size_t n = a->of->n;
    bool vectors = a->dgamma != NULL;
    add_scaled(tape, step, a->of->channel_scale, rows, a->dy, n);
    for (size_t i = rows.from; i < rows.to; i += RT_TAPE_ROWS) {
        float *sums = tape->room.sums + i / RT_TAPE_ROWS * 2 * n;
        if (vectors) memset(sums, 0, 2 * n * sizeof *sums);
        tape->kernels->layer_norm_back(&(rt_norm_back){
            .rows = rt_min(RT_TAPE_ROWS, rows.to - i),
            .n = n,
            .x = a->x + i * n,
            .ldx = n,
            .gamma = a->gamma,
            .epsilon = a->of->epsilon,
            .dy = a->dy + i * n,
            .lddy = n,
            .dx = a->dx + i * n,
            .lddx = n,
            .rms = a->of->rms,
            .add = add,
            .dgamma = vectors ? sums : NULL,
            .dbeta = vectors ? sums + n : NULL,
        });
    }
}

/* Adds the sums of the blocks, in their order. */
static void add_sums(const rt_tape *tape, const norm *a) {
    size_t n = a->of->n;
    if (a->dgamma == NULL) return;
    for (size_t i = 0; i * RT_TAPE_ROWS < a->rows; i++) {
        const float *sums = tape->room.sums + i * 2 * n;
        for (size_t j = 0; j < n; j++) {
            a->dgamma[j] += sums[j];
            if (a->dbeta != NULL) a->dbeta[j] += sums[n + j];
        }
    }
}

static norm norm_of(const rt_tape *tape, const rt_step *step) {
    return (norm){
        .of = &step->as.norm,
        .rows = rt_chunk_rows(tape->chunk, step->rows),
        .x = rt_tape_at(tape, &step->in[LAYER_NORM_X]),
        .gamma = rt_tape_at(tape, &step->in[LAYER_NORM_GAMMA]),
        .dy = rt_tape_live(tape, step->out[0].value),
        .dx = rt_tape_live(tape, step->in[LAYER_NORM_X].value),
        .dgamma = rt_tape_vector(tape, step, LAYER_NORM_GAMMA),
        .dbeta = rt_tape_vector(tape, step, LAYER_NORM_BETA),
    };
}

static void set_norm_rows(rt_tape *tape, const rt_step *step, rt_worker *worker) {
    norm a = norm_of(tape, step);
    back_norm(tape, step, &a, rt_worker_share(worker, a.rows, RT_TAPE_ROWS), false);
}
static void add_norm_rows(rt_tape *tape, const rt_step *step, rt_worker *worker) {
    norm a = norm_of(tape, step);
    back_norm(tape, step, &a, rt_worker_share(worker, a.rows, RT_TAPE_ROWS), true);
}

/* The cost of a row in operations: what takes as long. */
static double norm_cost(size_t n) {
    return 40.0 * (double)n;
}

void rt_tape_layer_norm(rt_tape *tape, const rt_step *step) {
    bool add = false;
    rt_tape_grad(tape, step->out[0].value);
    rt_tape_take(tape, step->in[LAYER_NORM_X].value, &add);
    if (tape->status != RETORT_OK) return;
    rt_tape_run(tape, step, norm_cost(step->as.norm.n), add ? add_norm_rows : set_norm_rows);
    norm a = norm_of(tape, step);
    add_sums(tape, &a);
}

/* ---- Embed: the sums of table rows are made once more, in the room for z, where they are normalised ---- */

static void add_tables(const rt_tape *tape, const rt_step *step, size_t row, float *out) {
    const rt_chunk *chunk = tape->chunk;
    size_t n = step->as.embed.norm.n;
    const float *word = rt_tape_used(tape, step, EMBED_WORD) + (size_t)chunk->ids[row] * n;
    const float *position = rt_tape_used(tape, step, EMBED_POSITION);
    const float *type = rt_tape_used(tape, step, EMBED_TYPE);
    memcpy(out, word, n * sizeof *out);
    if (position != NULL) position += (size_t)chunk->positions[row] * n;
    for (size_t j = 0; position != NULL && j < n; j++) out[j] += position[j];
    if (type != NULL) type += (size_t)chunk->types[row] * n;
    for (size_t j = 0; type != NULL && j < n; j++) out[j] += type[j];
}

static norm embed_of(const rt_tape *tape, const rt_step *step) {
    return (norm){
        .of = &step->as.embed.norm,
        .rows = tape->chunk->rows,
        .x = tape->room.z,
        .gamma = rt_tape_at(tape, &step->in[EMBED_GAMMA]),
        .dy = rt_tape_live(tape, step->out[0].value),
        .dx = tape->embedded,
        .dgamma = rt_tape_vector(tape, step, EMBED_GAMMA),
        .dbeta = rt_tape_vector(tape, step, EMBED_BETA),
    };
}

static void embed_rows(rt_tape *tape, const rt_step *step, rt_worker *worker) {
    norm a = embed_of(tape, step);
    rt_range rows = rt_worker_share(worker, a.rows, RT_TAPE_ROWS);
    size_t at = rows.from * a.of->n, count = (rows.to - rows.from) * a.of->n;
    if (a.gamma == NULL) {
        memcpy(a.dx + at, a.dy + at, count * sizeof *a.dx);
        return;
    }
    for (size_t i = rows.from; i < rows.to; i++) add_tables(tape, step, i, tape->room.z + i * a.of->n);
    back_norm(tape, step, &a, rows, false);
}

static int by_row(const void *a, const void *b) {
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Sorts tokens by the row of the table that each reads: room.order, ids, runs. */
static void sort_tokens(rt_tape *tape, const int32_t *ids) {
    rt_tape_room *room = &tape->room;
    size_t rows = tape->chunk->rows, count = 0;
    for (size_t i = 0; i < rows; i++) room->order[i] = (uint64_t)(uint32_t)ids[i] << 32 | i;
    qsort(room->order, rows, sizeof *room->order, by_row);
    for (size_t i = 0; i < rows; i++) {
        int32_t id = (int32_t)(room->order[i] >> 32);
        if (count > 0 && room->ids[count - 1] == id) continue;
        room->ids[count] = id;
        room->runs[count++] = i;
    }
    room->runs[count] = rows;
    room->run_count = count;
}

/* Where the rows of room.ids are in the table's gradient. */
static void find_places(rt_tape_room *room, const rt_parameter *table) {
    for (size_t i = 0, at = 0; i < room->run_count; i++) {
        while (table->touched[at] != room->ids[i]) at++;
        room->places[i] = at;
    }
}

/* The rows of this worker get the gradients of all tokens that read them, in their order. */
static void table_rows(rt_tape *tape, const rt_step *step, rt_worker *worker) {
    const rt_tape_room *room = &tape->room;
    size_t n = step->as.embed.norm.n;
    float *grad = tape->user;
    rt_range share = rt_worker_share(worker, room->run_count, 1);
    for (size_t i = share.from; i < share.to; i++) {
        float *sum = grad + room->places[i] * n;
        for (size_t t = room->runs[i]; t < room->runs[i + 1]; t++) {
            const float *dx = tape->embedded + (room->order[t] & UINT32_MAX) * n;
            for (size_t j = 0; j < n; j++) sum[j] += dx[j];
        }
    }
}

static void back_table(rt_tape *tape, const rt_step *step, int operand, const int32_t *ids) {
    rt_parameter *table = rt_tape_parameter(tape, step, operand);
    void *user = tape->user;
    if (table == NULL || tape->status != RETORT_OK) return;
    sort_tokens(tape, ids);
    if (!rt_parameter_touch(table, tape->room.ids, tape->room.run_count)) {
        tape->status = RETORT_NOMEM;
        return;
    }
    find_places(&tape->room, table);
    tape->user = table->grad;
    rt_tape_run(tape, step, 8.0 * (double)step->as.embed.norm.n, table_rows);
    tape->user = user;
}

void rt_tape_embed(rt_tape *tape, const rt_step *step) {
    rt_tape_grad(tape, step->out[0].value);
    if (tape->status != RETORT_OK) return;
    rt_tape_run(tape, step, norm_cost(step->as.embed.norm.n), embed_rows);
    if (tape->parameters == NULL) return;
    norm a = embed_of(tape, step);
    add_sums(tape, &a);
    back_table(tape, step, EMBED_WORD, tape->chunk->ids);
    back_table(tape, step, EMBED_POSITION, tape->chunk->positions);
    back_table(tape, step, EMBED_TYPE, tape->chunk->types);
}

/* ---- Select, Pool, Normalize, Convert ---- */

void rt_tape_select(rt_tape *tape, const rt_step *step) {
    const rt_chunk *chunk = tape->chunk;
    rt_select select = step->as.rows.select;
    bool masks = select == RT_SELECT_MASK_TOKENS;
    const int32_t *rows = masks ? chunk->mask_token_rows : chunk->starts;
    size_t count = masks ? chunk->mask_tokens : chunk->batch, n = step->as.rows.n;
    const float *dy = rt_tape_live(tape, step->out[0].value);
    float *dx = rt_tape_grad(tape, step->in[0].value);
    for (size_t i = 0; dx != NULL && i < count; i++) {
        size_t row = (size_t)rows[i];
        if (select == RT_SELECT_LAST) row += (size_t)chunk->lengths[i] - 1;
        for (size_t j = 0; j < n; j++) dx[row * n + j] += dy[i * n + j];
    }
}

/* What row i of `rows` counts in a pooling that sums. */
static float pooled_share(rt_pool_kind kind, size_t i, size_t rows) {
    float count = (float)rows;
    if (kind == RT_REDUCE_SUM_ROWS) return 1;
    if (kind == RT_REDUCE_WEIGHTED_MEAN) return (float)(i + 1) / (count * (count + 1) / 2);
    return 1 / (kind == RT_REDUCE_MEAN_SQRT ? sqrtf(count) : count);
}

/* dx of a sum: dy times what the row counts; of the maximum: dy at the first x that is the maximum. */
void rt_tape_pool(rt_tape *tape, const rt_step *step) {
    const rt_chunk *chunk = tape->chunk;
    size_t n = step->as.rows.n;
    bool max = step->node->attrs.pool == RT_REDUCE_MAX;
    const float *x = rt_tape_at(tape, &step->in[0]), *y = rt_tape_at(tape, &step->out[0]);
    const float *dy = rt_tape_live(tape, step->out[0].value);
    float *dx = rt_tape_grad(tape, step->in[0].value);
    for (size_t b = 0; dx != NULL && b < chunk->batch; b++) {
        size_t from = (size_t)chunk->starts[b], rows = (size_t)chunk->lengths[b];
        for (size_t i = 0; !max && i < rows; i++) {
            float share = pooled_share(step->as.rows.kind, i, rows);
            for (size_t j = 0; j < n; j++) dx[(from + i) * n + j] += dy[b * n + j] * share;
        }
        for (size_t j = 0; max && j < n; j++) {
            size_t i = from;
            while (i + 1 < from + rows && x[i * n + j] != y[b * n + j]) i++;
            dx[i * n + j] += dy[b * n + j];
        }
    }
}

/* y = x / |x|: dx = (dy - y (y dy)) / |x| */
void rt_tape_normalize(rt_tape *tape, const rt_step *step) {
    size_t n = step->as.rows.n, rows = rt_chunk_rows(tape->chunk, step->rows);
    const float *x = rt_tape_at(tape, &step->in[0]), *y = rt_tape_at(tape, &step->out[0]);
    const float *dy = rt_tape_live(tape, step->out[0].value);
    float *dx = rt_tape_grad(tape, step->in[0].value);
    if (dx == NULL) return;
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

/* With channel scaling: dx += dy * factor. Without, x has the gradient of both. */
void rt_tape_convert(rt_tape *tape, const rt_step *step) {
    const float *factor = rt_tape_at(tape, &step->in[CONVERT_CHANNEL_SCALE]);
    size_t n = step->as.rows.n, rows = rt_chunk_rows(tape->chunk, step->rows);
    if (factor == NULL) return;
    const float *dy = rt_tape_live(tape, step->out[0].value);
    float *dx = rt_tape_grad(tape, step->in[CONVERT_X].value);
    for (size_t i = 0; dx != NULL && i < rows * n; i++) dx[i] += dy[i] * factor[i % n];
}
