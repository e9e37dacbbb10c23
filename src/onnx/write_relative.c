/* SPDX-License-Identifier: Apache-2.0
 * What an Attention's scores get by distance, in standard operators: the row of each distance is gathered, then the
 * number of each row. */
#include "onnx/writer.h"

#include <stdio.h>

static const char *unsqueeze(rt_onnx_writer *w, const char *leaf, const char *x, size_t count,
                             const int64_t *axes) {
    char name[32];
    snprintf(name, sizeof name, "axes.%.24s", leaf);
    return rt_put2(w, "Unsqueeze", leaf, x, rt_put_ints(w, name, count, axes));
}

/* The row of each distance [queries, keys], or [batch, keys] for the last query. */
static const char *rows(rt_onnx_writer *w, const rt_node *node) {
    const rt_value *index = &w->graph->values[node->inputs[ATTENTION_INDEX]];
    int64_t reach = index->dims[0] / 2;
    const char *apart = rt_put_distance(w, node);
    apart = rt_put2(w, "Max", "not_below", apart, rt_put_index(w, "least", -reach));
    apart = rt_put2(w, "Min", "not_above", apart, rt_put_index(w, "most", reach));
    apart = rt_put2(w, "Add", "place", apart, rt_put_index(w, "reach", reach));
    return rt_put2(w, "Gather", "distance.rows", rt_put_value(w, node->inputs[ATTENTION_INDEX]), apart);
}

/* A table [rows, hidden] as [heads, rows, dim], or turned as [heads, dim, rows]. */
static const char *heads_of(rt_onnx_writer *w, const rt_node *node, const char *leaf, int table,
                            bool turned) {
    const rt_value *v = &w->graph->values[table];
    int64_t heads = node->attrs.heads, perm[] = {1, turned ? 2 : 0, turned ? 0 : 2};
    const char *wide = rt_put_reshape(w, leaf, rt_put_value(w, table), 3,
                                      (int64_t[]){v->dims[0], heads, v->dims[1] / heads});
    return rt_put(w, "Transpose", turned ? "pos_key.turned" : "pos_query.turned", 1, &wide, 1,
                  &RT_ONNX_INTS("perm", perm, 3));
}

/* scores + the elements of x at the rows along an axis */
static const char *add_elements(rt_onnx_writer *w, const char *leaf, const char *scores, const char *x,
                                const char *at, int64_t axis) {
    const char *picked =
        rt_put(w, "GatherElements", leaf, 2, (const char *[]){x, at}, 1, &RT_ONNX_INT("axis", axis));
    return rt_put2(w, "Add", axis == 3 ? "with_key" : "with_query", scores, picked);
}

/* q and k [batch, heads, …] as they are multiplied, their product, and the scale. */
const char *rt_put_relative(rt_onnx_writer *w, const rt_node *node, const char *q, const char *k,
                            const char *scores, float scale) {
    bool last = node->attrs.select == RT_SELECT_LAST;
    int key = rt_operand(node, ATTENTION_POS_KEY), query = rt_operand(node, ATTENTION_POS_QUERY),
        bias = rt_operand(node, ATTENTION_BIAS);
    const char *row = rows(w, node), *at = row;
    if (key >= 0 || query >= 0) {
        const char *shape = rt_put(w, "Shape", "scores.shape", 1, &scores, 0, NULL);
        if (last) at = unsqueeze(w, "wide", row, 2, (int64_t[]){1, 2});
        at = rt_put2(w, "Expand", "rows.all", at, shape);
    }
    if (key >= 0) {
        const char *x = rt_put2(w, "MatMul", "by_key", q, heads_of(w, node, "pos_key", key, true));
        scores = add_elements(w, "key.picked", scores, x, at, 3);
    }
    if (query >= 0) {
        const char *x = rt_put2(w, "MatMul", "by_query", heads_of(w, node, "pos_query", query, false), k);
        scores = add_elements(w, "query.picked", scores, x, at, 2);
    }
    if (scale != 1) scores = rt_put2(w, "Mul", "scaled", scores, rt_put_scalar(w, "scale", scale));
    if (bias < 0) return scores;
    const char *inputs[] = {rt_put_value(w, bias), row};
    const char *numbers = rt_put(w, "Gather", "bias", 2, inputs, 1, &RT_ONNX_INT("axis", 1));
    if (last) {
        int64_t perm[] = {1, 0, 2};
        numbers = rt_put(w, "Transpose", "bias.turned", 1, &numbers, 1, &RT_ONNX_INTS("perm", perm, 3));
        numbers = unsqueeze(w, "bias.wide", numbers, 1, (int64_t[]){2});
    }
    return rt_put2(w, "Add", "biased", scores, numbers);
}
