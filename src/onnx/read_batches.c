/* SPDX-License-Identifier: Apache-2.0
 * Masks and positions, recognised by what they hold. Exporters compute them in dozens of ways, out of Range,
 * Expand, GatherND, Where … Whatever depends on nothing but attention_mask, ids and shapes is evaluated in plain C
 * for a few batches, and compared with what a mask of keys, the positions of tokens, or zeros would be. The
 * batches are padded on the right, as all of ours are; the longest text that the model reads shows windows, causal
 * masks and clipped positions. */
#include "onnx/reader.h"

#include <math.h>
#include <string.h>

enum { LONGEST = 1024 };
/* Values, and bytes of all that they are computed from. The distances of DeBERTa-v3-large, two values a layer of 512 tokens, take
 * 14 GB in all, and a few seconds. */
enum { MOST_EVALUATED = 320 };
#define MOST_BYTES ((size_t)32 << 30)

/* What a value can still be after the batches so far. */
typedef struct verdict {
    bool positions, counted, zeros, lengths, masks[RT_KEY_MASKS], kept_numbers, turns, distances, repeats,
        number;
    int64_t offset; /* of positions; -1 before the first batch */
    int64_t near,
        far; /* of an added mask: how far tokens are that are read, at most, and that are not, at least */
    int64_t pairs;       /* of turns: how many angles; 0 before the first batch */
    const float *angles; /* at position 1 */
    int64_t *rows; /* of distances: the number of each, from 1 - longest on; UNKNOWN before it has been met */
    int64_t longest;
    int rank;
    int64_t heads; /* of distances, as in rt_read */
    float scalar;  /* the number; NaN before the first batch */
} verdict;

#define UNKNOWN INT64_MIN

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

/* Distances may stand there for each head of each sequence, as one dim. */
static int64_t heads_of(const rt_value *value, const rt_onnx_batch *b) {
    bool repeated = value->rank == 3 && value->dims[0] > 1 && value->dims[0] % b->batch == 0;
    return repeated ? value->dims[0] / b->batch : 0;
}

/* A number for each pair of a query i and a key j, that depends on j - i alone: [seq, seq], or with axes of 1 before. */
static void judge_distances(verdict *v, const rt_value *value, const rt_onnx_batch *b) {
    const int64_t *data = value->data;
    int rank = value->rank;
    v->distances &= v->rows != NULL && rank >= 2 && b->seq <= v->longest && value->dims[rank - 1] == b->seq &&
                    value->dims[rank - 2] == b->seq;
    int64_t heads = heads_of(value, b), copies = heads > 0 ? value->dims[0] : 1;
    v->distances &= v->heads < 0 || v->heads == heads;
    v->heads = heads;
    v->rank = heads > 0 ? 2 : rank;
    for (int i = 0; v->distances && i < v->rank - 2; i++) v->distances = value->dims[i] == 1;
    for (int64_t at = 0; v->distances && at < copies * b->seq * b->seq; at++) {
        int64_t *row = &v->rows[v->longest - 1 + at % b->seq - at / b->seq % b->seq];
        if (*row == UNKNOWN) *row = data[at];
        v->distances = *row == data[at];
    }
}

/* Positions times the angle of each column: [1, seq, pairs] */
static void judge_turns(verdict *v, const rt_onnx_reader *r, const rt_value *value, const rt_onnx_batch *b) {
    const float *data = value->data;
    int64_t n = value->rank == 3 ? value->dims[2] : 0;
    v->turns &= n > 0 && value->dims[0] == 1 && value->dims[1] == b->seq && b->seq > 1 &&
                (v->pairs == 0 || v->pairs == n);
    if (v->turns && v->pairs == 0) {
        float *angles = rt_graph_alloc(r->graph, (size_t)n * sizeof *angles);
        if (angles != NULL) memcpy(angles, data + n, (size_t)n * sizeof *angles);
        v->angles = angles;
        v->pairs = n;
        v->turns = angles != NULL;
    }
    for (int64_t t = 0; v->turns && t < b->seq; t++) {
        for (int64_t k = 0; v->turns && k < n; k++) v->turns = data[t * n + k] == (float)t * v->angles[k];
    }
}

/* [batch, 1, 1] */
static bool is_repeats(const rt_value *value, const rt_onnx_batch *b) {
    const int64_t *data = value->data;
    return value->rank == 1 && value->dims[0] == 3 && data[0] == b->batch && data[1] == 1 && data[2] == 1;
}

/* One number, which is the same in all batches. */
static bool is_number(verdict *v, const rt_value *value) {
    if (value->rank != 0) return false;
    float found = *(const float *)value->data;
    if (isnan(v->scalar)) v->scalar = found;
    return v->scalar == found;
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
            int64_t apart = key > query ? key - query : query - key;
            bool read = number == 0;
            v->masks[RT_KEYS_ADDED] &= read ? token : number <= -1e4f && (!token || queries > 1);
            if (token && read && apart > v->near) v->near = apart;
            if (token && !read && apart < v->far) v->far = apart;
        } else {
            bool truth = ((const bool *)value->data)[at];
            v->masks[RT_KEYS_KEPT] &= truth == token;
            v->masks[RT_KEYS_PADDED] &= truth != token;
        }
    }
}

static void judge(verdict *v, const rt_onnx_reader *r, const rt_value *value, const rt_onnx_batch *b) {
    bool whole = value->dtype == RETORT_I64;
    v->repeats &= whole && is_repeats(value, b);
    v->number &= value->dtype == RETORT_F32 && is_number(v, value);
    v->turns &= value->dtype == RETORT_F32;
    v->distances &= whole;
    v->positions &= whole;
    v->zeros &= whole;
    v->lengths &= whole;
    v->kept_numbers &= whole;
    if (whole) judge_integers(v, value, b, r->options->padding);
    if (v->distances) judge_distances(v, value, b);
    if (v->turns) judge_turns(v, r, value, b);
    bool mask = value->dtype == RETORT_F32 || value->dtype == RETORT_BOOL;
    for (int i = 0; i < RT_KEY_MASKS; i++) v->masks[i] &= mask;
    if (mask) judge_mask(v, value, b);
}

/* Evaluates the value for a batch; false when that cannot be done. */
static bool evaluate(rt_onnx_reader *r, int index, const rt_onnx_batch *batch, verdict *v) {
    rt_graph graph = {.output = -1};
    retort_error ignored = {0};
    rt_onnx_reader probe = {.options = r->options, .batch = batch, .shapes_of = r, .err = &ignored};
    bool done =
        rt_reader_open(&probe, r->index, &graph) && rt_read_push(&probe, r->index->sources[index].node);
    if (done) rt_read_stack(&probe);
    const rt_read *read = done ? &probe.reads[index] : NULL;
    bool kept = read != NULL && (read->kind == RT_READ_VALUE || read->kind == RT_READ_CODES);
    done = kept && probe.status == RETORT_OK && graph.values[read->value].data != NULL;
    if (done) judge(v, r, &graph.values[read->value], batch);
    r->probed += probe.bytes;
    rt_reader_close(&probe);
    rt_graph_free(&graph);
    return done;
}

/* ---- All batches ---- */

/* A mask of keys, which beyond a window lets queries read none; -1: what is read is neither all nor a window. */
static int mask_of(rt_onnx_reader *r, const verdict *v, rt_key_mask how) {
    int keys = rt_read_key_mask(r, how);
    if (how != RT_KEYS_ADDED || v->far == INT64_MAX) return keys;
    return v->near > 0 && v->far == v->near + 1
               ? rt_read_emit2(r, RT_OP_ADD, keys, rt_read_window(r, v->near))
               : -1;
}

/* Puts the plain form in the value's place; false when it is none of the known ones. */
static bool place(rt_onnx_reader *r, const verdict *v, bool by_ids, rt_read *read) {
    *read = (rt_read){.kind = RT_READ_VALUE, .value = -1};
    for (int i = 0; i < RT_KEY_MASKS; i++) {
        if (v->masks[i]) read->value = mask_of(r, v, (rt_key_mask)i);
    }
    if (v->turns) read->value = rt_read_turns(r, v->pairs, v->angles);
    if (v->distances && !v->zeros) {
        read->value = rt_read_distances(r, v->longest, v->rows, v->rank);
        read->heads = v->heads;
    }
    if (v->number) read->value = rt_read_scalar(r, v->scalar);
    if (v->repeats) read->value = rt_read_repeats(r);
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
static bool evaluate_ids(rt_onnx_reader *r, int index, verdict *v) {
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

static int64_t *room_for_distances(const rt_onnx_reader *r, int64_t longest) {
    size_t count = 2 * (size_t)longest - 1;
    int64_t *rows = rt_graph_alloc(r->graph, count * sizeof *rows);
    for (size_t i = 0; rows != NULL && i < count; i++) rows[i] = UNKNOWN;
    return rows;
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
    bool shaped = from == RT_FROM_SHAPES;
    verdict v = {true,   true,   true,   true, {true, true, true}, true,        shaped,
                 shaped, shaped, shaped, -1,   .far = INT64_MAX,   .heads = -1, .scalar = NAN};
    if (r->evaluated >= MOST_EVALUATED || r->probed >= MOST_BYTES || (from & RT_FROM_TYPES) != 0) return 0;
    int ready = shapes_ready(r, index);
    if (ready < 0 || r->status != RETORT_OK) return -1;
    r->evaluated++;
    if (shaped && longest == r->options->positions) v.rows = room_for_distances(r, longest);
    v.longest = longest;
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
