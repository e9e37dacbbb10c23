/* SPDX-License-Identifier: Apache-2.0
 * The places of tokens in their sequences, 0, 1, …, in standard operators. */
#include "onnx/writer.h"

const char *rt_put_index(rt_onnx_writer *w, const char *leaf, int64_t value) {
    int64_t *data = rt_put_alloc(w, 1, sizeof *data);
    if (data == NULL) return "";
    *data = value;
    return rt_put_tensor(w, leaf, RT_ONNX_INT64, 0, NULL, data, sizeof *data);
}

const char *rt_put_places(rt_onnx_writer *w) {
    const char *scope = w->scope, *ids = "input_ids";
    if (w->places != NULL) return w->places;
    w->scope = "places";
    const char *shape = rt_put1(w, "Shape", "shape", ids), *one = rt_put_index(w, "one", 1);
    const char *length = rt_put2(w, "Gather", "length", shape, one);
    const char *inputs[] = {rt_put_index(w, "zero", 0), length, one};
    w->places = rt_put(w, "Range", "range", 3, inputs, 0, NULL);
    w->scope = scope;
    return w->places;
}

/* The places of the queries of an Attention: [sequence, 1], or of the only one, [1, 1] or [batch, 1] */
static const char *query_places(rt_onnx_writer *w, const rt_node *node) {
    const char *one = rt_put_ints(w, "axis", 1, (int64_t[]){1}), *mask = "attention_mask";
    if (node->attrs.select == RT_SELECT_FIRST)
        return rt_put_reshape(w, "first", rt_put_index(w, "first.place", 0), 2, (int64_t[]){1, 1});
    if (node->attrs.select != RT_SELECT_LAST)
        return rt_put2(w, "Unsqueeze", "queries", rt_put_places(w), one);
    const char *count = rt_put2(w, "ReduceSum", "count", mask, one);
    return rt_put2(w, "Sub", "last", count, rt_put_index(w, "last.one", 1));
}

const char *rt_put_distance(rt_onnx_writer *w, const rt_node *node) {
    return rt_put2(w, "Sub", "distance", rt_put_places(w), query_places(w, node));
}
