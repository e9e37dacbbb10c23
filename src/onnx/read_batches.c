/* SPDX-License-Identifier: Apache-2.0
 * Masks and positions, recognised by what they hold. Exporters compute them in dozens of ways, out of Range,
 * Expand, GatherND, Where … Whatever depends on nothing but attention_mask, ids and shapes is evaluated in plain C
 * for a few batches, and compared with what a mask of keys, the positions of tokens, or zeros would be. The
 * batches are padded on the right, as all of ours are; the longest text that the model reads shows windows, causal
 * masks and clipped positions. */
#include "onnx/reader.h"

#include <string.h>

enum { LONGEST = 1024, MOST_EVALUATED = 64 };

/* What a value can still be after the batches so far. */
typedef struct verdict {
    bool positions, counted, zeros, lengths, masks[RT_KEY_MASKS], kept_numbers;
    int64_t offset; /* of positions; -1 before the first batch */
} verdict;

/* Reads the values whose shapes the value `index` of the file needs; 1: all have been read, -1: they are on the
 * stack. */
static int shapes_ready(rt_onnx_reader *r, int index) {
    rt_onnx_reader walk = {.options = r->options, .err = r->err};
    size_t before = r->depth;
    const rt_onnx_index *all = r->index;
    if (!rt_reader_open(&walk, all, r->graph) || !rt_read_push(&walk, all->sources[index].node))
        r->status = RETORT_NOMEM;
    while (walk.depth > 0 && walk.status == RETORT_OK && r->status == RETORT_OK) {
        int at = walk.stack[--walk.depth];
        const rt_onnx_node *node = &all->onnx->nodes[at];
        if (walk.states[at]++ != 0) {
            walk.states[at] = 1;
            continue;
        }
        for (size_t i = 0; i < node->input_count; i++) {
            int below = rt_read_find(all, node->inputs[i]);
            if (below < 0 || all->sources[below].node < 0) continue;
            bool activations = (all->sources[below].from & RT_FROM_TABLES) != 0;
            if (activations && strcmp(node->op, "Shape") == 0) {
                if (r->reads[below].kind == RT_READ_NOT) rt_read_push(r, all->sources[below].node);
            } else if (!activations) {
                rt_read_push(&walk, all->sources[below].node);
            }
        }
    }
    if (walk.status != RETORT_OK) r->status = walk.status;
    rt_reader_close(&walk);
    return r->depth > before ? -1 : 1;
}

/* ---- One batch ---- */

static bool is_token(const rt_onnx_batch *b, int64_t sequence, int64_t place) {
    return place < rt_onnx_length(b, sequence);
}

/* Token j of a sequence of padding in which every third token is another one, from the second on: whether padding has the
 * place before that of the first token, and the others do not count it. */
static void judge_padding(verdict *v, const int64_t *places, int64_t j) {
    v->counted &= places[j] == v->offset - 1 + (j % 3 == 1 ? (j + 2) / 3 : 0);
}

static void judge_integers(verdict *v, const rt_value *value, const rt_onnx_batch *b, int64_t padding) {
    const int64_t *data = value->data;
    bool matrix =
        value->rank == 2 && (value->dims[0] == 1 || value->dims[0] == b->batch) && value->dims[1] == b->seq;
    v->lengths &= value->rank == 1 && value->dims[0] == b->batch;
    v->positions &= matrix;
    v->kept_numbers &= matrix && value->dims[0] == b->batch;
    for (int64_t i = 0; v->lengths && i < b->batch; i++) v->lengths = data[i] == rt_onnx_length(b, i);
    size_t count;
    if (!rt_shape_count(value->dims, value->rank, &count)) count = 0;
    for (size_t i = 0; v->zeros && i < count; i++) v->zeros = data[i] == 0;
    for (int64_t i = 0; matrix && i < value->dims[0]; i++) {
        for (int64_t j = 0; j < b->seq; j++) {
            int64_t found = data[i * b->seq + j];
            v->kept_numbers &= found == is_token(b, i, j);
            bool pads = is_token(b, i, j) && b->id + i * b->step == padding;
            if (pads) judge_padding(v, &data[i * b->seq], j);
            if ((pads || !is_token(b, i, j)) && value->dims[0] > 1) continue;
            if (v->offset < 0) v->offset = found - j;
            v->positions &= found - j == v->offset && v->offset >= 0;
        }
    }
}

/* A mask that broadcasts to [batch, heads, seq of queries, seq of keys]; rows of padded queries do not matter. */
static void judge_mask(verdict *v, const rt_value *value, const rt_onnx_batch *b) {
    int64_t d0 = value->rank == 4 ? value->dims[0] : 0, d1 = value->rank == 4 ? value->dims[1] : 0;
    int64_t queries = value->rank == 4 ? value->dims[2] : 0;
    bool real = value->dtype == RETORT_F32;
    bool fits =
        value->rank == 4 && d0 == b->batch && (queries == 1 || queries == b->seq) && value->dims[3] == b->seq;
    v->masks[RT_KEYS_ADDED] &= fits && real;
    v->masks[RT_KEYS_KEPT] &= fits && !real;
    v->masks[RT_KEYS_PADDED] &= fits && !real;
    for (int64_t at = 0; fits && at < d0 * d1 * queries * b->seq; at++) {
        int64_t key = at % b->seq, query = at / b->seq % queries, sequence = at / b->seq / queries / d1;
        bool token = is_token(b, sequence, key);
        if (queries > 1 && !is_token(b, sequence, query)) continue;
        if (real) {
            float number = ((const float *)value->data)[at];
            v->masks[RT_KEYS_ADDED] &= token ? number == 0 : number <= -1e4f;
        } else {
            bool truth = ((const bool *)value->data)[at];
            v->masks[RT_KEYS_KEPT] &= truth == token;
            v->masks[RT_KEYS_PADDED] &= truth != token;
        }
    }
}

static void judge(verdict *v, const rt_value *value, const rt_onnx_batch *b, int64_t padding) {
    bool whole = value->dtype == RETORT_I64;
    v->positions &= whole;
    v->zeros &= whole;
    v->lengths &= whole;
    v->kept_numbers &= whole;
    if (whole) judge_integers(v, value, b, padding);
    bool mask = value->dtype == RETORT_F32 || value->dtype == RETORT_BOOL;
    for (int i = 0; i < RT_KEY_MASKS; i++) v->masks[i] &= mask;
    if (mask) judge_mask(v, value, b);
}

/* Evaluates the value for a batch; false when that cannot be done. */
static bool evaluate(const rt_onnx_reader *r, int index, const rt_onnx_batch *batch, verdict *v) {
    rt_graph graph = {.output = -1};
    retort_error ignored = {0};
    rt_onnx_reader probe = {.options = r->options, .batch = batch, .shapes_of = r, .err = &ignored};
    bool done =
        rt_reader_open(&probe, r->index, &graph) && rt_read_push(&probe, r->index->sources[index].node);
    if (done) rt_read_stack(&probe);
    const rt_read *read = done ? &probe.reads[index] : NULL;
    bool kept = read != NULL && (read->kind == RT_READ_VALUE || read->kind == RT_READ_CODES);
    done = kept && probe.status == RETORT_OK && graph.values[read->value].data != NULL;
    if (done) judge(v, &graph.values[read->value], batch, r->options->padding);
    rt_reader_close(&probe);
    rt_graph_free(&graph);
    return done;
}

/* ---- All batches ---- */

/* Puts the plain form in the value's place; false when it is none of the known ones. */
static bool place(rt_onnx_reader *r, const verdict *v, bool by_ids, rt_read *read) {
    *read = (rt_read){.kind = RT_READ_VALUE, .value = -1};
    for (int i = 0; i < RT_KEY_MASKS; i++) {
        if (v->masks[i]) read->value = rt_read_key_mask(r, (rt_key_mask)i);
    }
    if (v->lengths || v->kept_numbers) read->value = rt_read_key_mask(r, RT_KEYS_KEPT);
    if (v->positions) {
        bool counted = by_ids && v->counted && v->offset > 0 && r->options->padding >= 0;
        read->value = counted ? rt_read_counted(r) : rt_read_positions(r);
        read->offset = v->offset - counted;
    }
    if (v->zeros) {
        if (r->zeros < 0) r->zeros = rt_read_index(r, 0);
        read->value = r->zeros;
        read->offset = 0;
    }
    return read->value >= 0;
}

static int64_t ordinary_id(const rt_onnx_reader *r) {
    return r->options->padding == 0;
}

/* A value that depends on ids is evaluated for each id, before and after another id: only padding may change it. */
static bool evaluate_ids(const rt_onnx_reader *r, int index, verdict *v) {
    enum { AT_ONCE = 4096 };
    bool same = r->options->vocab > 0;
    int64_t other = ordinary_id(r);
    for (int64_t first = 0; same && first < r->options->vocab; first += AT_ONCE) {
        int64_t left = r->options->vocab - first;
        rt_onnx_batch batch = {
            .batch = left < AT_ONCE ? left : AT_ONCE, .seq = 5, .id = first, .step = 1, .other = other};
        same = evaluate(r, index, &batch, v);
    }
    for (int i = 0; i < RT_KEY_MASKS; i++) v->masks[i] = false;
    v->lengths = v->kept_numbers = false;
    return same;
}

int rt_read_recognise(rt_onnx_reader *r, int index) {
    int64_t longest = r->options->positions < LONGEST ? r->options->positions : LONGEST;
    int64_t id = ordinary_id(r);
    const rt_onnx_batch batches[] = {
        {.batch = 2, .seq = 3, .id = id, .other = id, .lengths = (const int64_t[]){3, 1}},
        {.batch = 3, .seq = 5, .id = id, .other = id, .lengths = (const int64_t[]){2, 5, 4}},
        {.batch = 1, .seq = longest, .id = id, .other = id},
        {.batch = 1, .seq = longest, .id = id, .other = id, .lengths = (const int64_t[]){longest / 2 + 1}},
    };
    unsigned from = r->index->sources[index].from;
    verdict v = {true, true, true, true, {true, true, true}, true, -1};
    if (r->evaluated >= MOST_EVALUATED || (from & RT_FROM_TYPES) != 0) return 0;
    int ready = shapes_ready(r, index);
    if (ready < 0 || r->status != RETORT_OK) return -1;
    r->evaluated++;
    r->at = &r->index->onnx->nodes[r->index->sources[index].node];
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        if (!evaluate(r, index, &batches[i], &v)) return 0;
    }
    rt_read read;
    bool by_ids = (from & RT_FROM_IDS) != 0;
    if (by_ids && !evaluate_ids(r, index, &v)) return 0;
    if (!place(r, &v, by_ids, &read)) return 0;
    r->reads[index] = read;
    return 1;
}
