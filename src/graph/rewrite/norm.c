/* SPDX-License-Identifier: Apache-2.0
 * Level 2: fuses LayerNorm, also from plain operators and about 0 (RMS), and the embeddings before the first one. */
#include "graph/match.h"

#include <string.h>

/* value = op(x, constant vector [n]), in any order. */
static bool with_vector(const rt_graph *graph, int value, rt_op op, int *x, int *vector) {
    const rt_node *node = rt_made_by(graph, value, op);
    if (node == NULL) return false;
    const rt_value *out = &graph->values[value];
    for (int k = 0; k < 2; k++) {
        *vector = node->inputs[k];
        *x = node->inputs[1 - k];
        if (out->rank > 0 && rt_is_bias(graph, *vector, out->dims[out->rank - 1])) return true;
    }
    return false;
}

/* x - mean(x) over the last axis; -1: something else. */
static int centred(const rt_graph *graph, int value) {
    const rt_node *sub = rt_made_by(graph, value, RT_OP_SUB);
    if (sub == NULL) return -1;
    int x = rt_reduced(graph, sub->inputs[1], RT_OP_REDUCE_MEAN, -1, true);
    return x == sub->inputs[0] ? x : -1;
}

/* The operand of a square, x x or x². */
static int squared(const rt_graph *graph, int value) {
    double two;
    int x;
    const rt_node *mul = rt_made_by(graph, value, RT_OP_MUL);
    if (mul != NULL && mul->inputs[0] == mul->inputs[1]) return mul->inputs[0];
    return rt_with_scalar(graph, value, RT_OP_POW, &x, &two) && two == 2 ? x : -1;
}

/* The x if value is (x - mean) / sqrt(mean((x - mean)²) + epsilon), else -1. */
static int normalized(const rt_graph *graph, int value, double *epsilon) {
    int variance;
    const rt_node *div = rt_made_by(graph, value, RT_OP_DIV);
    const rt_node *root = div != NULL ? rt_made_by(graph, div->inputs[1], RT_OP_SQRT) : NULL;
    if (root == NULL || !rt_with_scalar(graph, root->inputs[0], RT_OP_ADD, &variance, epsilon)) return -1;
    int squares = rt_reduced(graph, variance, RT_OP_REDUCE_MEAN, -1, true);
    int x = centred(graph, div->inputs[0]);
    return x >= 0 && centred(graph, squared(graph, squares)) == x ? x : -1;
}

/* The root if value = numerator / root, or numerator (1 / root) in any order; else -1. */
static int divided_by(const rt_graph *graph, int value, int *numerator) {
    const rt_node *div = rt_made_by(graph, value, RT_OP_DIV), *mul = rt_made_by(graph, value, RT_OP_MUL);
    if (div != NULL) {
        *numerator = div->inputs[0];
        return div->inputs[1];
    }
    for (int k = 0; mul != NULL && k < 2; k++) {
        const rt_node *inverse = rt_made_by(graph, mul->inputs[k], RT_OP_DIV);
        if (inverse == NULL || !rt_scalar_near(graph, inverse->inputs[0], 1)) continue;
        *numerator = mul->inputs[1 - k];
        return inverse->inputs[1];
    }
    return -1;
}

/* The x if value is x / sqrt(mean(x²) + epsilon), else -1. Where x is centred, that is LayerNorm. */
static int divided_by_rms(const rt_graph *graph, int value, double *epsilon) {
    int mean, x = -1;
    int divisor = divided_by(graph, value, &x);
    const rt_node *root = divisor >= 0 ? rt_made_by(graph, divisor, RT_OP_SQRT) : NULL;
    if (root == NULL || !rt_with_scalar(graph, root->inputs[0], RT_OP_ADD, &mean, epsilon)) return -1;
    int squares = rt_reduced(graph, mean, RT_OP_REDUCE_MEAN, -1, true);
    bool rms = squares >= 0 && squared(graph, squares) == x && centred(graph, x) < 0;
    return rms && *epsilon >= 0 ? x : -1;
}

/* gamma x / sqrt(mean(x²) + epsilon) */
static bool to_rms(rt_graph *graph, int index) {
    int normal, inputs[2];
    double epsilon;
    if (!with_vector(graph, graph->nodes[index].outputs[0], RT_OP_MUL, &normal, &inputs[LAYER_NORM_GAMMA]))
        return false;
    inputs[LAYER_NORM_X] = divided_by_rms(graph, normal, &epsilon);
    if (inputs[LAYER_NORM_X] < 0 || !rt_is_of_batch(graph, inputs[LAYER_NORM_X])) return false;
    return rt_replace_node(graph, index, index, RT_OP_LAYER_NORM, 2, inputs,
                           &(rt_attrs){.epsilon = (float)epsilon, .rms = true});
}

static bool to_layer_norm(rt_graph *graph, int index) {
    const rt_node node = graph->nodes[index];
    if (node.op == RT_OP_LAYER_NORMALIZATION && rt_is_of_batch(graph, node.inputs[LAYER_NORM_X])) {
        return rt_replace_node(graph, index, index, RT_OP_LAYER_NORM, 3, node.inputs,
                               &(rt_attrs){.epsilon = node.attrs.epsilon});
    }
    if (node.op == RT_OP_MUL) return to_rms(graph, index);
    int inputs[3], scaled, normal;
    double epsilon;
    if (node.op != RT_OP_ADD || !with_vector(graph, node.outputs[0], RT_OP_ADD, &scaled, &inputs[2]) ||
        !with_vector(graph, scaled, RT_OP_MUL, &normal, &inputs[1]))
        return false;
    inputs[0] = normalized(graph, normal, &epsilon);
    if (inputs[0] < 0 || epsilon < 0) return false;
    return rt_replace_node(graph, index, index, RT_OP_LAYER_NORM, 3, inputs,
                           &(rt_attrs){.epsilon = (float)epsilon});
}

retort_status rt_rewrite_fuse_layer_norm(rt_graph *graph, size_t *count, retort_error *err) {
    return rt_rewrite_each(graph, to_layer_norm, count, err);
}

/* ---- Embeddings ---- */

typedef struct tables {
    int ids, word, position, types, type; /* values, -1 while not found */
    int row;                              /* added to every token: a table of types with one row */
    int terms;
    int64_t after_pad; /* 1 + the id that positions skip, or 0 */
} tables;

/* Classifies one term of the sum. */
static bool take_table(const rt_graph *graph, int value, tables *t) {
    const rt_node *gather = rt_made_by(graph, value, RT_OP_GATHER);
    const rt_value *row = &graph->values[value];
    if (rt_value_is_constant(row) && row->rank > 0 && rt_is_bias(graph, value, row->dims[row->rank - 1])) {
        bool first = t->row < 0;
        t->row = value;
        t->terms++;
        return first;
    }
    if (gather == NULL || gather->attrs.axis != 0 || !rt_is_weight(graph, gather->inputs[GATHER_DATA]))
        return false;
    int indices = gather->inputs[GATHER_INDICES], *table = &t->position;
    const rt_value *v = &graph->values[indices];
    if (v->input) {
        bool types = strcmp(v->name, "token_type_ids") == 0;
        table = types ? &t->type : &t->word;
        *(types ? &t->types : &t->ids) = indices;
    } else if (!rt_is_places(graph, indices)) {
        t->after_pad = rt_counted_pad(graph, indices) + 1;
        if (t->after_pad == 0) return false;
    }
    if (*table >= 0) return false;
    *table = gather->inputs[GATHER_DATA];
    t->terms++;
    return true;
}

/* All terms of a sum of at most three. */
static bool take_sum(const rt_graph *graph, int value, int depth, tables *t) {
    const rt_node *add = rt_made_by(graph, value, RT_OP_ADD);
    if (add == NULL || depth == 0) return take_table(graph, value, t);
    return take_sum(graph, add->inputs[0], depth - 1, t) && take_sum(graph, add->inputs[1], depth - 1, t);
}

/* The table with the vector added to each of its rows. */
static int plus_row(rt_graph *graph, int table, int row) {
    const rt_value *t = &graph->values[table];
    int64_t rows = t->dims[0], n = t->dims[1];
    const float *from = t->data, *add = graph->values[row].data;
    float *data = rt_floats(graph, rows, n);
    for (int64_t i = 0; data != NULL && i < rows * n; i++) data[i] = from[i] + add[i % n];
    return rt_change_constant(graph, table, 2, (int64_t[]){rows, n}, data);
}

/* Rows of words that several nodes read, or one that makes no sum with them, as they are: what no norm follows. */
static bool to_rows(rt_graph *graph, int index) {
    const rt_node gather = graph->nodes[index];
    tables t = {-1, -1, -1, -1, -1, -1, 0, 0};
    int rows = gather.outputs[0], reader = rt_only_reader(graph, rows);
    if (!take_table(graph, rows, &t) || t.word < 0) return false;
    rt_op op = reader >= 0 ? graph->nodes[reader].op : RT_OP_IDENTITY;
    if (op == RT_OP_ADD || op == RT_OP_LAYER_NORM) return false;
    return rt_replace_node(graph, index, index, RT_OP_EMBED, 2, (int[]){t.ids, t.word}, NULL);
}

static bool to_embed(rt_graph *graph, int index) {
    if (graph->nodes[index].op == RT_OP_GATHER) return to_rows(graph, index);
    const rt_node norm = graph->nodes[index];
    tables t = {-1, -1, -1, -1, -1, -1, 0, 0};
    if (norm.op != RT_OP_LAYER_NORM || norm.attrs.rms || !take_sum(graph, norm.inputs[LAYER_NORM_X], 2, &t) ||
        t.word < 0)
        return false;
    int *table = t.position >= 0 ? &t.position : &t.word;
    if (t.row >= 0) *table = plus_row(graph, *table, t.row);
    int inputs[] = {t.ids,   t.word, t.position, norm.inputs[LAYER_NORM_GAMMA], norm.inputs[LAYER_NORM_BETA],
                    t.types, t.type};
    rt_attrs attrs = {.epsilon = norm.attrs.epsilon, .after_pad = t.after_pad};
    return rt_replace_node(graph, index, index, RT_OP_EMBED, t.type >= 0 ? 7 : 5, inputs, &attrs);
}

retort_status rt_rewrite_fuse_embed(rt_graph *graph, size_t *count, retort_error *err) {
    return rt_rewrite_each(graph, to_embed, count, err);
}
