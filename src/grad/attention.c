/* SPDX-License-Identifier: Apache-2.0
 * Backward pass of attention, a head of a sequence at a time; its formulas: rt_attention_back. */
#include "grad/tape.h"

#include <string.h>

/* Where q, k and v are, in values or gradients: columns of one value, of two, or three values. */
typedef struct operands {
    float *q, *k, *v;
} operands;

static float *input(const rt_tape *tape, const rt_step *step, int index, bool grad) {
    return grad ? rt_tape_live(tape, step->in[index].value)
                : rt_place_at(&step->in[index], &tape->executor.workers[0]);
}

static operands find(const rt_tape *tape, const rt_step *step, bool grad) {
    const rt_attention_step *attention = &step->as.attention;
    size_t hidden = attention->heads * attention->dim, wide = attention->key_heads * attention->dim;
    float *first = input(tape, step, 0, grad);
    if (attention->parts == 1) return (operands){first, first + hidden, first + hidden + wide};
    float *second = input(tape, step, 1, grad);
    if (attention->parts == 2) return (operands){first, second, second + wide};
    return (operands){first, second, input(tape, step, 2, grad)};
}

/* All heads of a sequence as queries of one attention over x. */
static rt_attention_back shared_head(const rt_tape *tape, const rt_step *step, size_t b) {
    size_t n = step->as.attention.dim, heads = step->as.attention.heads, at = b * heads * n;
    size_t start = (size_t)tape->chunk->starts[b];
    const float *x = (const float *)rt_tape_at(tape, &step->in[ATTENTION_KV]) + start * n;
    float *dx = rt_tape_live(tape, step->in[ATTENTION_KV].value) + start * n;
    return (rt_attention_back){.queries = heads,
                               .keys = (size_t)tape->chunk->lengths[b],
                               .dim = n,
                               .q = (const float *)rt_tape_at(tape, &step->in[ATTENTION_Q]) + at,
                               .k = x,
                               .v = x,
                               .dy = rt_tape_live(tape, step->out[0].value) + at,
                               .dq = rt_tape_live(tape, step->in[ATTENTION_Q].value) + at,
                               .dk = dx,
                               .dv = dx,
                               .ldq = n,
                               .ldk = n,
                               .ldv = n,
                               .ldy = n};
}

/* Heads of queries that read one head of keys. */
static size_t heads_per_key(const rt_step *step) {
    return step->as.attention.heads / step->as.attention.key_heads;
}

static rt_attention_back own_head(const rt_tape *tape, const rt_step *step, size_t b, size_t index) {
    const rt_attention_step *attention = &step->as.attention;
    size_t hidden = attention->heads * attention->dim, column = index * attention->dim;
    size_t wide = attention->key_heads * attention->dim, all = hidden + 2 * wide;
    size_t key_column = index / heads_per_key(step) * attention->dim;
    size_t start = (size_t)tape->chunk->starts[b];
    size_t ldq = attention->parts == 1 ? all : hidden;
    size_t ldk = attention->parts == 1 ? all : attention->parts == 2 ? 2 * wide : wide;
    operands x = find(tape, step, false), dx = find(tape, step, true);
    rt_range rows = rt_step_queries(step, tape->chunk, b);
    size_t q_at = rows.from * ldq + column, k_at = start * ldk + key_column;
    return (rt_attention_back){.queries = rows.to - rows.from,
                               .keys = (size_t)tape->chunk->lengths[b],
                               .dim = attention->dim,
                               .q = x.q + q_at,
                               .k = x.k + k_at,
                               .v = x.v + k_at,
                               .dy = rt_tape_live(tape, step->out[0].value) + rows.from * hidden + column,
                               .dq = dx.q + q_at,
                               .dk = dx.k + k_at,
                               .dv = dx.v + k_at,
                               .ldq = ldq,
                               .ldk = ldk,
                               .ldv = ldk,
                               .ldy = hidden};
}

static void clear_rows(size_t rows, size_t n, float *x, size_t ld) {
    for (size_t i = 0; i < rows; i++) memset(x + i * ld, 0, n * sizeof *x);
}

/* keys: also of its keys and values. */
static void clear_head(const rt_attention_back *at, bool keys) {
    clear_rows(at->queries, at->dim, at->dq, at->ldq);
    if (!keys) return;
    clear_rows(at->keys, at->dim, at->dk, at->ldk);
    clear_rows(at->keys, at->dim, at->dv, at->ldv);
}

/* What a head has by distance, in the graph, with its gradients. */
static rt_relative_back tables_of(const rt_tape *tape, const rt_step *step, size_t head) {
    size_t dim = step->as.attention.dim, ld = dim * step->as.attention.heads;
    const rt_value *index = &tape->graph->values[step->in[ATTENTION_INDEX].value];
    const float *key = rt_tape_used(tape, step, ATTENTION_POS_KEY),
                *query = rt_tape_used(tape, step, ATTENTION_POS_QUERY);
    const rt_parameter *bias = rt_tape_parameter(tape, step, ATTENTION_BIAS);
    float *dkey = rt_tape_vector(tape, step, ATTENTION_POS_KEY),
          *dquery = rt_tape_vector(tape, step, ATTENTION_POS_QUERY);
    return (rt_relative_back){
        .index = index->data,
        .reach = index->dims[0] / 2,
        .key = key != NULL ? key + head * dim : NULL,
        .query = query != NULL ? query + head * dim : NULL,
        .ld = ld,
        .dbias = bias != NULL ? bias->grad + head * bias->n : NULL,
        .dkey = dkey != NULL ? dkey + head * dim : NULL,
        .dquery = dquery != NULL ? dquery + head * dim : NULL,
    };
}

/* Selected queries with a window: each alone, over the keys in it. */
static void back_rows(const rt_tape *tape, const rt_step *step, size_t b, const rt_attention_back *all) {
    for (size_t i = 0; i < all->queries; i++) {
        rt_attention_back one = *all;
        rt_range keys = rt_step_window(step, tape->chunk, b, i);
        one.queries = 1;
        one.keys = keys.to - keys.from;
        one.q += i * all->ldq;
        one.dq += i * all->ldq;
        one.dy += i * all->ldy;
        one.k += keys.from * all->ldk;
        one.dk += keys.from * all->ldk;
        one.v += keys.from * all->ldv;
        one.dv += keys.from * all->ldv;
        tape->kernels->attention_back(&one);
    }
}

/* A head of a sequence, or all of them where they are queries of one attention. */
static void back_head(const rt_tape *tape, const rt_step *step, rt_worker *worker, size_t b, size_t head,
                      bool fresh) {
    const rt_attention_step *attention = &step->as.attention;
    rt_attention_back at = attention->shared ? shared_head(tape, step, b) : own_head(tape, step, b, head);
    rt_relative relative;
    rt_relative_back tables;
    int32_t place;
    if (fresh) clear_head(&at, head % heads_per_key(step) == 0);
    at.scale = attention->scale;
    at.scratch = worker->scratch;
    if (attention->window > 0 && attention->select != RT_SELECT_ALL) {
        back_rows(tape, step, b, &at);
        return;
    }
    at.window = attention->window;
    if (attention->relative != NULL) {
        relative = rt_step_relative(step, tape->chunk, b, head, &place);
        tables = tables_of(tape, step, head);
        at.relative = &relative;
        at.tables = &tables;
    }
    tape->kernels->attention_back(&at);
}

/* The heads that read one head of keys, in their order: they add to the same gradients. */
static void back_group(const rt_tape *tape, const rt_step *step, rt_worker *worker, size_t b, size_t group,
                       bool fresh) {
    size_t count = step->as.attention.shared ? 1 : heads_per_key(step);
    for (size_t i = 0; i < count; i++) back_head(tape, step, worker, b, group * count + i, fresh);
}

/* Groups of heads of sequences belong to parts by cost, as heads do in rt_step_attention. */
static void back_groups(rt_tape *tape, const rt_step *step, rt_worker *worker, bool fresh) {
    const rt_chunk *chunk = tape->chunk;
    uint64_t total = 0, before = 0, parts = (uint64_t)worker->parts;
    size_t count = step->as.attention.shared ? 1 : step->as.attention.key_heads;
    for (size_t b = 0; b < chunk->batch; b++) {
        rt_range queries = rt_step_queries(step, tape->chunk, b);
        total += count * (queries.to - queries.from) * rt_step_keys(step, chunk, b);
    }
    for (size_t b = 0; b < chunk->batch; b++) {
        rt_range queries = rt_step_queries(step, tape->chunk, b);
        uint64_t cost = (queries.to - queries.from) * rt_step_keys(step, chunk, b);
        for (size_t group = 0; group < count && cost > 0; group++, before += cost) {
            uint64_t part = (2 * before + cost) * parts / (2 * total);
            if (part < (uint64_t)worker->part || part >= (uint64_t)worker->end) continue;
            back_group(tape, step, worker, b, group, fresh);
        }
    }
}

/* With tables by distance, a group is in one part, for all sequences: what a table gets is summed in their order. */
static void back_whole_groups(rt_tape *tape, const rt_step *step, rt_worker *worker, bool fresh) {
    rt_range groups = rt_worker_share(worker, step->as.attention.key_heads, 1);
    for (size_t group = groups.from; group < groups.to; group++) {
        for (size_t b = 0; b < tape->chunk->batch; b++) back_group(tape, step, worker, b, group, fresh);
    }
}

static void back_all(rt_tape *tape, const rt_step *step, rt_worker *worker, bool fresh) {
    if (step->as.attention.relative != NULL)
        back_whole_groups(tape, step, worker, fresh);
    else
        back_groups(tape, step, worker, fresh);
}

static void set_heads(rt_tape *tape, const rt_step *step, rt_worker *worker) {
    back_all(tape, step, worker, true);
}
static void add_heads(rt_tape *tape, const rt_step *step, rt_worker *worker) {
    back_all(tape, step, worker, false);
}

/* Where every row is a query, the heads cover all gradients, and each clears what it adds to. */
void rt_tape_attention(rt_tape *tape, const rt_step *step) {
    bool covers = step->as.attention.select == RT_SELECT_ALL && !step->as.attention.shared, live = false;
    for (int i = 0; i < step->as.attention.parts; i++) live |= rt_tape_live(tape, step->in[i].value) != NULL;
    bool fresh = covers && !live, add;
    for (int i = 0; i < step->as.attention.parts; i++) {
        int value = step->in[i].value;
        if (value >= 0 && fresh) rt_tape_take(tape, value, &add);
        if (value >= 0 && !fresh) rt_tape_grad(tape, value);
    }
    if (tape->status != RETORT_OK) return;
    rt_tape_run(tape, step, 2.5 * step->flops_row, fresh ? set_heads : add_heads);
}
