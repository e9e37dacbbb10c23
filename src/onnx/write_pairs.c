/* SPDX-License-Identifier: Apache-2.0
 * Gates, turns and windows in standard operators. Columns that are pairs keep their order; constants say where partners are. */
#include "onnx/writer.h"

#include <stdio.h>

/* x with its columns in another order */
static const char *columns(rt_onnx_writer *w, const char *leaf, const char *x, size_t count,
                           const int64_t *indices) {
    const char *inputs[] = {x, rt_put_tensor(w, leaf, RT_ONNX_INT64, 1, (int64_t[]){(int64_t)count}, indices,
                                             count * sizeof *indices)};
    char name[32];
    snprintf(name, sizeof name, "%.20s.columns", leaf);
    return rt_put(w, "Gather", name, 2, inputs, 1, &RT_ONNX_INT("axis", -1));
}

/* Where the first of pair j of n stands, and how far behind it the second. */
static size_t first_of(size_t j, size_t n, size_t *half) {
    size_t block = j / RT_PANEL * RT_PANEL;
    *half = rt_min(RT_PANEL, n - block);
    return 2 * block + j % RT_PANEL;
}

const char *rt_put_gate(rt_onnx_writer *w, const rt_node *node, const char *x) {
    size_t n = (size_t)w->graph->values[node->inputs[LINEAR_WEIGHT]].dims[1] / 2, half;
    int64_t *first = rt_put_alloc(w, n, sizeof *first), *second = rt_put_alloc(w, n, sizeof *second);
    for (size_t j = 0; first != NULL && second != NULL && j < n; j++) {
        first[j] = (int64_t)first_of(j, n, &half);
        second[j] = first[j] + (int64_t)half;
    }
    const char *a = rt_put_activation(w, node->attrs.act, columns(w, "first", x, n, first));
    return rt_put2(w, "Mul", "gate", a, columns(w, "second", x, n, second));
}

/* The places of rows as floats, [sequence, 1] */
static const char *row_places(rt_onnx_writer *w) {
    const char *at = rt_put_places(w);
    at = rt_put(w, "Cast", "places", 1, &at, 1, &RT_ONNX_INT("to", RT_ONNX_FLOAT));
    return rt_put2(w, "Unsqueeze", "column", at, rt_put_ints(w, "axis", 1, (int64_t[]){1}));
}

/* Vectors [n] that say of each column where its partner and its angle are, and with which sign that counts. */
typedef struct turn_columns {
    int64_t *partner, *pair;
    float *used, *sign;
} turn_columns;

static bool find_columns(rt_onnx_writer *w, const rt_node *node, size_t n, size_t pairs, turn_columns *out) {
    size_t half;
    *out = (turn_columns){rt_put_alloc(w, n, sizeof(int64_t)), rt_put_alloc(w, n, sizeof(int64_t)),
                          rt_put_alloc(w, n, sizeof(float)), rt_put_alloc(w, n, sizeof(float))};
    if (out->partner == NULL || out->pair == NULL || out->used == NULL || out->sign == NULL) return false;
    for (size_t i = 0; i < n; i++) out->partner[i] = (int64_t)i;
    for (size_t head = 0; head < (size_t)node->attrs.rotate; head += 2 * pairs) {
        for (size_t j = 0; j < pairs; j++) {
            size_t a = head + first_of(j, pairs, &half), b = a + half;
            out->partner[a] = (int64_t)b;
            out->partner[b] = (int64_t)a;
            out->pair[a] = out->pair[b] = (int64_t)j;
            out->used[a] = out->used[b] = out->sign[b] = 1;
            out->sign[a] = -1;
        }
    }
    return true;
}

const char *rt_put_turns(rt_onnx_writer *w, const rt_node *node, const char *x) {
    size_t n = (size_t)w->graph->values[node->inputs[LINEAR_WEIGHT]].dims[1],
           pairs = (size_t)w->graph->values[node->inputs[LINEAR_ROTARY]].dims[0];
    int64_t dims[] = {(int64_t)n};
    turn_columns c;
    if (!find_columns(w, node, n, pairs, &c)) return x;
    const char *at = row_places(w),
               *angles = columns(w, "pairs", rt_put_value(w, node->inputs[LINEAR_ROTARY]), n, c.pair);
    const char *turns = rt_put2(w, "Mul", "turns", at, angles);
    const char *used = rt_put_tensor(w, "used", RT_ONNX_FLOAT, 1, dims, c.used, n * sizeof *c.used),
               *sign = rt_put_tensor(w, "sign", RT_ONNX_FLOAT, 1, dims, c.sign, n * sizeof *c.sign);
    const char *cosine = rt_put1(w, "Cos", "cosine", rt_put2(w, "Mul", "turned.by", turns, used)),
               *sine = rt_put1(w, "Sin", "sine", rt_put2(w, "Mul", "signed", turns, sign));
    const char *moved = rt_put2(w, "Mul", "across", columns(w, "partners", x, n, c.partner), sine);
    return rt_put2(w, "Add", "turned", rt_put2(w, "Mul", "along", x, cosine), moved);
}

const char *rt_put_window(rt_onnx_writer *w, const rt_node *node, const char *scores) {
    const char *distance = rt_put1(w, "Abs", "apart", rt_put_distance(w, node));
    distance = rt_put(w, "Cast", "apart.float", 1, &distance, 1, &RT_ONNX_INT("to", RT_ONNX_FLOAT));
    if (node->attrs.select == RT_SELECT_LAST) /* [batch, keys], for all heads */
        distance = rt_put2(w, "Unsqueeze", "wide", distance, rt_put_ints(w, "axes", 2, (int64_t[]){1, 2}));
    const char *beyond =
        rt_put2(w, "Sub", "beyond", distance, rt_put_scalar(w, "window", (float)node->attrs.window));
    const char *far =
        rt_put2(w, "Mul", "far", rt_put1(w, "Relu", "outside", beyond), rt_put_scalar(w, "low", -1e30F));
    return rt_put2(w, "Add", "near", scores, far);
}
