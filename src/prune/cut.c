/* SPDX-License-Identifier: Apache-2.0
 * Takes units out of the graph. Every constant that has columns or rows of them is replaced by a narrower one. */
#include "graph/match.h"
#include "prune/module.h"

#include <stdlib.h>
#include <string.h>

/* What stays: units `kept` [count] of `unit` columns each. */
typedef struct cut {
    rt_graph *graph;
    const rt_prune_module *module;
    const uint32_t *kept;
    size_t count;
    size_t *columns; /* [capacity] the columns of a matrix that stay, in their order */
    size_t column_count, capacity;
    bool failed;
} cut;

static void keep_column(cut *c, size_t column) {
    if (!rt_grow((void **)&c->columns, &c->capacity, c->column_count + 1, sizeof *c->columns)) {
        c->failed = true;
        return;
    }
    c->columns[c->column_count++] = column;
}

/* The kept units of `width` columns each, of which the first begins at `from`. */
static void keep_units(cut *c, size_t from, size_t width) {
    for (size_t i = 0; i < c->count; i++) {
        for (size_t j = 0; j < width; j++) keep_column(c, from + c->kept[i] * width + j);
    }
}

/* Columns of gate and value stand in turns of a panel each (kernel.h, rt_gate_args). */
static size_t gate_column(size_t n, size_t unit, bool second) {
    size_t turn = unit / RT_PANEL * RT_PANEL, width = rt_min(RT_PANEL, n - turn);
    return 2 * turn + (second ? width : 0) + (unit - turn);
}

static void keep_gated(cut *c) {
    for (size_t from = 0; from < c->count; from += RT_PANEL) {
        size_t to = rt_min(from + RT_PANEL, c->count);
        for (int second = 0; second < 2; second++) {
            for (size_t i = from; i < to; i++)
                keep_column(c, gate_column(c->module->units, c->kept[i], second != 0));
        }
    }
}

/* Replaces a constant by its kept columns: a matrix, packed or in rows, or a vector. */
static void narrow(cut *c, int node, int operand) {
    int value = c->graph->nodes[node].inputs[operand];
    const rt_value v = c->graph->values[value];
    int64_t rows = v.rank == 2 ? v.dims[0] : 1, dims[2] = {rows, (int64_t)c->column_count};
    bool packed = v.layout == RT_LAYOUT_P16;
    size_t n = packed ? rt_round_up(c->column_count, RT_PANEL) : c->column_count;
    const float *from = v.data;
    float *to = c->failed ? NULL : rt_floats(c->graph, rows, (int64_t)n);
    if (to == NULL) {
        c->failed = true;
        return;
    }
    rt_value narrowed = v;
    memcpy(narrowed.dims, dims, sizeof dims);
    for (int64_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < c->column_count; j++) {
            size_t column = c->columns[j];
            if (v.rank == 2)
                to[rt_weight_at(&narrowed, i, (int64_t)j)] = from[rt_weight_at(&v, i, (int64_t)column)];
            else
                to[j] = from[column];
        }
    }
    int changed = rt_change_constant(c->graph, value, v.rank, v.rank == 2 ? dims : dims + 1, to);
    c->failed |= changed < 0;
    rt_node_read(c->graph, node, operand, changed);
}

static void narrow_linear(cut *c, int node) {
    narrow(c, node, LINEAR_WEIGHT);
    const rt_node *linear = &c->graph->nodes[node];
    if (linear->input_count > LINEAR_BIAS && linear->inputs[LINEAR_BIAS] >= 0) narrow(c, node, LINEAR_BIAS);
}

/* The Linear of a part of q, k and v, or of several. */
static void cut_source(cut *c, int node, size_t parts) {
    const rt_prune_module *m = c->module;
    size_t part = rt_max(m->units * m->unit, 1);
    int64_t turned = c->graph->nodes[node].attrs.rotate / (int64_t)part; /* of the parts */
    c->column_count = 0;
    for (size_t i = 0; i < parts; i++) keep_units(c, i * part, m->unit);
    narrow_linear(c, node);
    c->graph->nodes[node].attrs.rotate = turned * (int64_t)(c->count * m->unit);
}

/* A Linear with a block of columns for each head. */
static void cut_blocks(cut *c, int node) {
    rt_node *linear = &c->graph->nodes[node];
    int64_t n = c->graph->values[linear->inputs[LINEAR_WEIGHT]].dims[1];
    c->column_count = 0;
    keep_units(c, 0, (size_t)n / c->module->units);
    narrow_linear(c, node);
    c->graph->nodes[node].attrs.heads = (int64_t)c->count;
}

/* What scores get by distance: a row for each head, or columns of all heads. */
static void cut_tables(cut *c) {
    const rt_prune_module *m = c->module;
    const rt_node *attention = &c->graph->nodes[m->attention];
    int count = attention->input_count;
    c->column_count = 0;
    keep_units(c, 0, m->unit);
    if (count > ATTENTION_POS_KEY && attention->inputs[ATTENTION_POS_KEY] >= 0)
        narrow(c, m->attention, ATTENTION_POS_KEY);
    if (count > ATTENTION_POS_QUERY && attention->inputs[ATTENTION_POS_QUERY] >= 0)
        narrow(c, m->attention, ATTENTION_POS_QUERY);
    int bias = count > ATTENTION_BIAS ? attention->inputs[ATTENTION_BIAS] : -1;
    if (bias < 0) return;
    const rt_value v = c->graph->values[bias];
    float *rows = rt_floats(c->graph, (int64_t)c->count, v.dims[1]);
    for (size_t i = 0; rows != NULL && i < c->count; i++) {
        memcpy(rows + i * (size_t)v.dims[1], (const float *)v.data + c->kept[i] * (size_t)v.dims[1],
               (size_t)v.dims[1] * sizeof *rows);
    }
    int changed = rt_change_constant(c->graph, bias, 2, (int64_t[]){(int64_t)c->count, v.dims[1]}, rows);
    c->failed |= changed < 0;
    rt_node_read(c->graph, m->attention, ATTENTION_BIAS, changed);
}

static void cut_heads(cut *c) {
    const rt_prune_module *m = c->module;
    rt_attrs *attrs = &c->graph->nodes[m->attention].attrs;
    if (attrs->shared) {
        cut_source(c, m->sources[0], 1);
        cut_blocks(c, m->sources[1]);
        cut_blocks(c, m->values);
    } else {
        static const size_t parts[4][3] = {{0}, {3}, {1, 2}, {1, 1, 1}};
        for (int i = 0; i < m->source_count; i++) cut_source(c, m->sources[i], parts[m->source_count][i]);
    }
    cut_tables(c);
    c->graph->nodes[m->attention].attrs.heads = (int64_t)c->count;
}

static void cut_ffn(cut *c) {
    const rt_prune_module *m = c->module;
    c->column_count = 0;
    if (c->graph->nodes[m->sources[0]].attrs.gate)
        keep_gated(c);
    else
        keep_units(c, 0, 1);
    narrow_linear(c, m->sources[0]);
}

/* The rows of `out` that the kept units multiply, or those of `weight`. */
static void cut_rows(cut *c, const float *weight) {
    const rt_prune_module *m = c->module;
    int value = c->graph->nodes[m->out].inputs[LINEAR_WEIGHT];
    const rt_value v = c->graph->values[value];
    rt_value cut_value = v;
    int64_t n = v.dims[1];
    cut_value.dims[0] = (int64_t)(c->count * m->unit);
    float *to = rt_floats(c->graph, cut_value.dims[0], (int64_t)rt_round_up((size_t)n, RT_PANEL));
    const float *from = v.data;
    for (int64_t i = 0; to != NULL && i < cut_value.dims[0]; i++) {
        size_t unit = (size_t)i / m->unit;
        int64_t row = (int64_t)(c->kept[unit] * m->unit + (size_t)i % m->unit);
        for (int64_t j = 0; j < n; j++)
            to[rt_weight_at(&cut_value, i, j)] =
                weight != NULL ? weight[i * n + j] : from[rt_weight_at(&v, row, j)];
    }
    int changed = rt_change_constant(c->graph, value, 2, (int64_t[]){cut_value.dims[0], n}, to);
    c->failed |= changed < 0;
    rt_node_read(c->graph, m->out, LINEAR_WEIGHT, changed);
}

static void set_bias(cut *c, const float *bias) {
    const rt_prune_module *m = c->module;
    const rt_node *out = &c->graph->nodes[m->out];
    int64_t n = c->graph->values[out->inputs[LINEAR_WEIGHT]].dims[1];
    int value = out->inputs[LINEAR_BIAS];
    float *to = rt_floats(c->graph, 1, n);
    if (to != NULL) memcpy(to, bias, (size_t)n * sizeof *to);
    int changed = value >= 0   ? rt_change_constant(c->graph, value, 1, &n, to)
                  : to != NULL ? rt_add_constant(c->graph, out->name, "bias", 1, &n, to)
                               : -1;
    c->failed |= changed < 0;
    rt_node_read(c->graph, m->out, LINEAR_BIAS, changed);
}

retort_status rt_prune_cut(rt_graph *graph, const rt_prune_module *module, const uint32_t *kept, size_t count,
                           const float *weight, const float *bias, retort_error *err) {
    cut c = {.graph = graph, .module = module, .kept = kept, .count = count};
    if (count < module->units) {
        if (module->kind == RT_PRUNE_HEADS)
            cut_heads(&c);
        else
            cut_ffn(&c);
    }
    cut_rows(&c, weight);
    if (bias != NULL) set_bias(&c, bias);
    free(c.columns);
    if (graph->fault.status != RETORT_OK) return rt_fail(err, graph->fault.status, "%s", graph->fault.text);
    if (c.failed) return rt_fail_nomem(err, graph->value_count);
    return rt_graph_infer(graph, err);
}
