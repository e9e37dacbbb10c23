/* SPDX-License-Identifier: Apache-2.0
 * Attention in standard operators: heads split, scores, mask, softmax, context, heads joined. */
#include <stdio.h>
#include "onnx/writer.h"

/* Names of q, k and v. */
typedef struct parts {
    const char *q, *k, *v;
    int64_t hidden;
} parts;

/* The columns of one value as `count` parts, of as many columns as `columns` says; NULL: all of the same. */
static void split(rt_onnx_writer *w, const char *x, size_t count, const int64_t *columns, const char **out) {
    static const char *const leaves[] = {"q", "k", "v"};
    const char **names = rt_put_alloc(w, count, sizeof *names);
    const char *inputs[] = {x, columns != NULL ? rt_put_ints(w, "columns", count, columns) : NULL};
    rt_onnx_attr attrs[] = {RT_ONNX_INT("axis", -1), RT_ONNX_INT("num_outputs", (int64_t)count)};
    bool counted = columns == NULL && w->opset >= 18;
    rt_onnx_node *node =
        rt_put_node(w, "Split", "split", columns != NULL ? 2 : 1, inputs, counted ? 2 : 1, attrs);
    if (w->failed != RETORT_OK) return;
    for (size_t i = 0; i < count; i++) {
        names[i] = rt_put_name(w, leaves[3 - count + i]);
        out[i] = names[i];
    }
    node->outputs = names;
    node->output_count = count;
}

static parts parts_of(rt_onnx_writer *w, const rt_node *node) {
    const char *out[3] = {"", "", ""};
    int count = node->attrs.parts;
    for (int i = 0; i < count; i++) out[i] = rt_put_value(w, node->inputs[i]);
    const rt_value *last = &w->graph->values[node->inputs[count - 1]];
    int64_t heads = node->attrs.heads, keys = rt_key_heads(&node->attrs);
    int64_t all = (count == 1 ? heads : 0) + (count < 3 ? 2 : 1) * keys,
            dim = last->dims[last->rank - 1] / all;
    int64_t columns[] = {heads * dim, keys * dim, keys * dim};
    if (count == 1) split(w, out[0], 3, keys < heads ? columns : NULL, out);
    if (count == 2) split(w, out[1], 2, NULL, out + 1);
    return (parts){out[0], out[1], out[2], heads * dim};
}

/* Heads [batch, sequence, keys, dim], each as often as queries read it, side by side. */
static const char *copies_of(rt_onnx_writer *w, const char *leaf, const char *x, int64_t keys,
                             int64_t heads) {
    char name[32];
    int64_t *index = rt_put_alloc(w, (size_t)heads, sizeof *index);
    for (int64_t i = 0; index != NULL && i < heads; i++) index[i] = i / (heads / keys);
    snprintf(name, sizeof name, "%.16s.read.by", leaf);
    const char *inputs[] = {
        x, rt_put_tensor(w, name, RT_ONNX_INT64, 1, &heads, index, (size_t)heads * sizeof *index)};
    snprintf(name, sizeof name, "%.16s.copies", leaf);
    return rt_put(w, "Gather", name, 2, inputs, 1, &RT_ONNX_INT("axis", 2));
}

/* [batch, sequence, hidden] to [batch, heads, sequence, dim], or keys to [batch, heads, dim, sequence]; a row
 * a sequence [batch, hidden] is one query. `own`: heads that x has. */
static const char *heads_of(rt_onnx_writer *w, const char *leaf, const char *x, int rank,
                            const int64_t dims[2], int64_t own, bool keys) {
    int64_t perm[] = {0, 2, keys ? 3 : 1, keys ? 1 : 3};
    const char *wide = rt_put_reshape(w, leaf, x, 4, (int64_t[]){0, rank == 2 ? 1 : 0, own, dims[1]});
    char name[32];
    if (own < dims[0]) wide = copies_of(w, leaf, wide, own, dims[0]);
    snprintf(name, sizeof name, "%.24s.heads", leaf);
    return rt_put(w, "Transpose", name, 1, &wide, 1, &RT_ONNX_INTS("perm", perm, 4));
}

static const char *probabilities(rt_onnx_writer *w, const rt_node *node, const char *q, const char *k) {
    const char *scores = rt_put2(w, "MatMul", "scores", q, k);
    float scale = node->attrs.scale;
    bool relative = node->input_count > ATTENTION_INDEX && node->inputs[ATTENTION_INDEX] >= 0;
    if (relative) scores = rt_put_relative(w, node, q, k, scores, scale);
    if (scale != 1 && !relative)
        scores = rt_put2(w, "Mul", "scaled", scores, rt_put_scalar(w, "scale", scale));
    if (node->attrs.window > 0) scores = rt_put_window(w, node, scores);
    scores = rt_put2(w, "Add", "masked", scores, rt_put_mask(w));
    return rt_put(w, "Softmax", "softmax", 1, &scores, 1, &RT_ONNX_INT("axis", -1));
}

/* Every head's keys and values are x itself: q [batch, heads n], x [batch, sequence, n] */
static void put_shared(rt_onnx_writer *w, const rt_node *node) {
    const rt_value *x = &w->graph->values[node->inputs[ATTENTION_KV]];
    int64_t heads = node->attrs.heads, n = x->dims[x->rank - 1];
    const char *values = rt_put2(w, "Unsqueeze", "x", rt_put_value(w, node->inputs[ATTENTION_KV]),
                                 rt_put_ints(w, "axis", 1, (int64_t[]){1}));
    const char *q =
        rt_put_reshape(w, "q", rt_put_value(w, node->inputs[ATTENTION_Q]), 4, (int64_t[]){0, heads, 1, n});
    int64_t perm[] = {0, 1, 3, 2};
    const char *keys = rt_put(w, "Transpose", "keys", 1, &values, 1, &RT_ONNX_INTS("perm", perm, 4));
    const char *context = rt_put2(w, "MatMul", "context", probabilities(w, node, q, keys), values);
    rt_put_output(w, node, rt_put_reshape(w, "join", context, 2, (int64_t[]){0, heads * n}));
}

void rt_put_attention(rt_onnx_writer *w, const rt_node *node) {
    if (w->options->fused && rt_put_fused_attention(w, node)) return;
    if (node->attrs.shared) {
        put_shared(w, node);
        return;
    }
    parts p = parts_of(w, node);
    int64_t dims[] = {node->attrs.heads, p.hidden / node->attrs.heads}, perm[] = {0, 2, 1, 3};
    int rank = node->attrs.parts == 1 ? 3 : rt_put_rank(w, node->inputs[ATTENTION_Q]);
    int64_t keys = rt_key_heads(&node->attrs);
    const char *q = heads_of(w, "query", p.q, rank, dims, dims[0], false),
               *k = heads_of(w, "key", p.k, 3, dims, keys, true);
    const char *v = heads_of(w, "value", p.v, 3, dims, keys, false);
    const char *context = rt_put2(w, "MatMul", "context", probabilities(w, node, q, k), v);
    const char *rows = rt_put(w, "Transpose", "rows", 1, &context, 1, &RT_ONNX_INTS("perm", perm, 4));
    int64_t joined[] = {0, rank == 2 ? p.hidden : 0, p.hidden};
    rt_put_output(w, node, rt_put_reshape(w, "join", rows, rank == 2 ? 2 : 3, joined));
}
