/* SPDX-License-Identifier: Apache-2.0
 * Level 2, for fuse-attention: a bias, position keys and position queries, each gathered by the distance of key and
 * query. */
#include "graph/rewrite/relative.h"
#include "graph/evaluate.h"
#include "graph/ops.h"

#include <stdio.h>
#include <string.h>

/* The index [2 m + 1] if value = index[places - places^T + m], [seq, seq]; else -1. */
static int distances(const rt_graph *graph, int value) {
    double most;
    int apart;
    const rt_node *gather = rt_made_by(graph, value, RT_OP_GATHER);
    if (gather == NULL || gather->attrs.axis != 0) return -1;
    const rt_value *index = &graph->values[gather->inputs[GATHER_DATA]];
    if (!rt_value_is_constant(index) || index->dtype != RETORT_I64 || index->rank != 1 ||
        !rt_with_scalar(graph, gather->inputs[GATHER_INDICES], RT_OP_ADD, &apart, &most) ||
        index->dims[0] != 2 * (int64_t)most + 1)
        return -1;
    const rt_node *sub = rt_made_by(graph, apart, RT_OP_SUB);
    const rt_node *turned = sub != NULL ? rt_made_by(graph, sub->inputs[1], RT_OP_TRANSPOSE) : NULL;
    bool fits = turned != NULL && turned->inputs[0] == sub->inputs[0] && rt_is_places(graph, sub->inputs[0]);
    return fits ? gather->inputs[GATHER_DATA] : -1;
}

/* Whether all tables so far are read by the same distances. */
static bool take_index(rt_relative_match *m, int index) {
    bool same = index >= 0 && (m->index < 0 || m->index == index);
    if (same) m->index = index;
    return same;
}

/* numbers[:, rows] of a table [heads, columns], [heads, seq, seq]: the rows of distances; the table, or -1. */
static int gathered_columns(const rt_graph *graph, int value, int *rows) {
    const rt_node *gather = rt_made_by(graph, value, RT_OP_GATHER);
    if (gather == NULL || gather->attrs.axis != 1 || !rt_is_weight(graph, gather->inputs[GATHER_DATA]))
        return -1;
    *rows = gather->inputs[GATHER_INDICES];
    return gather->inputs[GATHER_DATA];
}

/* The same of a table [columns, heads] whose rows are gathered, and then turned. */
static int gathered_rows(const rt_graph *graph, int value, int *rows) {
    static const int heads_first[] = {2, 0, 1};
    const rt_node *turn = rt_made_by(graph, value, RT_OP_TRANSPOSE);
    const rt_node *gather = turn != NULL ? rt_made_by(graph, turn->inputs[0], RT_OP_GATHER) : NULL;
    if (gather == NULL || gather->attrs.axis != 0 || !rt_is_weight(graph, gather->inputs[GATHER_DATA]) ||
        turn->attrs.perm_count != 3 || memcmp(turn->attrs.perm, heads_first, sizeof heads_first) != 0)
        return -1;
    *rows = gather->inputs[GATHER_INDICES];
    return gather->inputs[GATHER_DATA];
}

int rt_match_bias(const rt_graph *graph, int value, rt_relative_match *m) {
    const rt_node *add = rt_made_by(graph, value, RT_OP_ADD);
    for (int k = 0; add != NULL && k < 2; k++) {
        int rows = -1, numbers = add->inputs[k];
        const rt_node *expand = rt_made_by(graph, numbers, RT_OP_EXPAND);
        if (expand != NULL) numbers = expand->inputs[0];
        const rt_node *wide = rt_made_by(graph, numbers, RT_OP_UNSQUEEZE);
        if (wide == NULL || graph->values[numbers].rank != 4 || graph->values[numbers].dims[0] != 1) continue;
        int table = gathered_columns(graph, wide->inputs[0], &rows);
        bool turned = table < 0;
        if (turned) table = gathered_rows(graph, wide->inputs[0], &rows);
        if (table < 0 || !take_index(m, distances(graph, rows))) continue;
        m->bias = table;
        m->bias_turned = turned;
        return add->inputs[1 - k];
    }
    return value;
}

/* Layers share it: the graph has it already after the first of them. */
int rt_bias_operand(rt_graph *graph, const rt_relative_match *m) {
    char name[RT_NAME_MAX + 16];
    if (!m->bias_turned) return m->bias;
    const rt_value v = graph->values[m->bias];
    snprintf(name, sizeof name, "%s.turned", v.name);
    int before = rt_value_find(graph, name);
    if (before >= 0 && rt_is_weight(graph, before) && graph->values[before].dims[0] == v.dims[1] &&
        graph->values[before].dims[1] == v.dims[0])
        return before;
    float *turned = v.data != NULL ? rt_floats(graph, v.dims[1], v.dims[0]) : NULL;
    if (turned != NULL) rt_transpose(turned, v.data, v.dims[0], v.dims[1]);
    return rt_add_constant(graph, v.name, "turned", 2, (int64_t[]){v.dims[1], v.dims[0]}, turned);
}

static bool is_table(const rt_graph *graph, int value) {
    const rt_value *v = &graph->values[value];
    return rt_value_is_constant(v) && v->data != NULL && v->dtype == RETORT_F32 &&
           v->layout == RT_LAYOUT_ROWS && (v->rank == 3 || (v->rank == 4 && v->dims[0] == 1));
}

/* Keys times position queries, picked along rows of each key, and then turned: takes them. */
static bool take_turned(const rt_graph *graph, int value, rt_relative_match *m, double *scale) {
    static const int last_two[] = {0, 1, 3, 2};
    const rt_node *turn = rt_made_by(graph, value, RT_OP_TRANSPOSE);
    int numbers = turn != NULL ? rt_strip_scale(graph, turn->inputs[0], scale) : -1;
    const rt_node *picked = rt_made_by(graph, numbers, RT_OP_GATHER_ELEMENTS);
    const rt_node *product = picked != NULL ? rt_made_by(graph, picked->inputs[0], RT_OP_MATMUL) : NULL;
    const rt_node *all = picked != NULL ? rt_made_by(graph, picked->inputs[1], RT_OP_EXPAND) : NULL;
    const rt_node *wide = all != NULL ? rt_made_by(graph, all->inputs[0], RT_OP_UNSQUEEZE) : NULL;
    if (turn == NULL || product == NULL || wide == NULL || m->pos_query >= 0 || turn->attrs.perm_count != 4 ||
        memcmp(turn->attrs.perm, last_two, sizeof last_two) != 0 || !is_table(graph, product->inputs[1]) ||
        (picked->attrs.axis != 3 && picked->attrs.axis != -1))
        return false;
    m->turned_index = distances(graph, wide->inputs[0]);
    m->pos_query = product->inputs[1];
    m->keys = product->inputs[0];
    m->query_turned = true;
    return m->turned_index >= 0;
}

/* GatherElements of a product with a table, along rows: takes it. */
static bool take_picked(const rt_graph *graph, int value, rt_relative_match *m) {
    const rt_node *picked = rt_made_by(graph, value, RT_OP_GATHER_ELEMENTS);
    const rt_node *product = picked != NULL ? rt_made_by(graph, picked->inputs[0], RT_OP_MATMUL) : NULL;
    const rt_node *all = picked != NULL ? rt_made_by(graph, picked->inputs[1], RT_OP_EXPAND) : NULL;
    const rt_node *wide = all != NULL ? rt_made_by(graph, all->inputs[0], RT_OP_UNSQUEEZE) : NULL;
    if (product == NULL || wide == NULL) return false;
    int64_t axis = picked->attrs.axis < 0 ? picked->attrs.axis + 4 : picked->attrs.axis;
    bool key = axis == 3 && m->pos_key < 0 && is_table(graph, product->inputs[1]);
    bool query = axis == 2 && m->pos_query < 0 && is_table(graph, product->inputs[0]);
    if ((!key && !query) || !take_index(m, distances(graph, wide->inputs[0]))) return false;
    if (key) {
        m->queries = product->inputs[0];
        m->pos_key = product->inputs[1];
    } else {
        m->pos_query = product->inputs[0];
        m->keys = product->inputs[1];
    }
    return true;
}

/* A picked product, each of which has the same scale. */
static bool take_scaled(const rt_graph *graph, int value, rt_relative_match *m) {
    bool first = m->pos_key < 0 && m->pos_query < 0;
    double scale = 1;
    int x = rt_strip_scale(graph, value, &scale);
    if (!take_turned(graph, x, m, &scale) && !take_picked(graph, x, m)) return false;
    bool same = first || m->scale == scale;
    m->scale = scale;
    return same;
}

/* One picked product, or the sum of two. */
static bool take_products(const rt_graph *graph, int value, rt_relative_match *m) {
    rt_relative_match before = *m;
    const rt_node *add = rt_made_by(graph, value, RT_OP_ADD);
    bool taken = add != NULL ? take_scaled(graph, add->inputs[0], m) && take_scaled(graph, add->inputs[1], m)
                             : take_scaled(graph, value, m);
    if (!taken) *m = before;
    return taken;
}

int rt_match_positions(const rt_graph *graph, int value, rt_relative_match *m) {
    const rt_node *add = rt_made_by(graph, value, RT_OP_ADD);
    for (int k = 0; add != NULL && k < 2; k++) {
        if (take_products(graph, add->inputs[k], m)) return rt_match_positions(graph, add->inputs[1 - k], m);
    }
    return value;
}

bool rt_indices_agree(const rt_graph *graph, const rt_relative_match *m) {
    if (m->index < 0 || m->turned_index < 0) return true;
    const rt_value *a = &graph->values[m->index], *b = &graph->values[m->turned_index];
    const int64_t *x = a->data, *y = b->data;
    bool same = x != NULL && y != NULL && a->dims[0] == b->dims[0];
    for (int64_t i = 0; same && i < a->dims[0]; i++) same = x[i] == y[a->dims[0] - 1 - i];
    return same;
}

int rt_index_operand(rt_graph *graph, const char *scope, const rt_relative_match *m) {
    if (m->index >= 0 || m->turned_index < 0) return m->index;
    const rt_value v = graph->values[m->turned_index];
    const int64_t *from = v.data;
    int64_t n = v.dims[0], *to = rt_graph_alloc(graph, (size_t)n * sizeof *to);
    for (int64_t i = 0; to != NULL && from != NULL && i < n; i++) to[i] = from[n - 1 - i];
    char name[RT_NAME_MAX + 16];
    snprintf(name, sizeof name, "%s.distances", scope);
    return to != NULL ? rt_graph_constant(graph, name, RETORT_I64, RT_LAYOUT_ROWS, 1, &n, to) : -1;
}

int rt_position_operand(rt_graph *graph, const char *scope, const rt_relative_match *m, bool is_key) {
    bool keys = is_key || m->query_turned; /* the layout */
    const rt_value v = graph->values[is_key ? m->pos_key : m->pos_query];
    const int64_t *dims = v.dims + (v.rank - 3);
    int64_t heads = dims[0], rows = dims[keys ? 2 : 1], dim = dims[keys ? 1 : 2];
    const float *from = v.data;
    float *to = rt_floats(graph, rows, heads * dim);
    for (int64_t h = 0; to != NULL && h < heads; h++) {
        for (int64_t r = 0; r < rows; r++) {
            for (int64_t d = 0; d < dim; d++)
                to[r * heads * dim + h * dim + d] =
                    from[keys ? (h * dim + d) * rows + r : (h * rows + r) * dim + d];
        }
    }
    return rt_add_constant(graph, scope, is_key ? "pos_key" : "pos_query", 2, (int64_t[]){rows, heads * dim},
                           to);
}
