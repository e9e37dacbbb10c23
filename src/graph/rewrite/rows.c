/* SPDX-License-Identifier: Apache-2.0
 * Level 3: removes rows that nobody reads. Where only a Select reads a value, the Select moves before the
 * nodes that make it, back to the queries of the last attention. */
#include "graph/match.h"
#include "graph/ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Marks of values (graph->links->marks): the number of readers found so far that need only the selected
 * rows; then INSIDE, or 1 + the value of its selected rows. */
enum { INSIDE = -1 };

typedef struct region {
    rt_graph *graph;
    int *nodes; /* nodes of whose output only the selected rows are read */
    size_t count, capacity;
    int *marked; /* values with marks */
    size_t marked_count, marked_capacity;
    rt_attrs attrs; /* the Select's attributes: which rows */
    int ids;        /* its second input, -1 without */
    bool failed;    /* out of memory */
} region;

/* The mark of a value, which is cleared with the region. NULL: out of memory. */
static int *mark(region *r, int value) {
    int *at = &r->graph->links->marks[value];
    if (*at != 0) return at;
    if (!rt_grow((void **)&r->marked, &r->marked_capacity, r->marked_count + 1, sizeof *r->marked)) {
        r->failed = true;
        return NULL;
    }
    r->marked[r->marked_count++] = value;
    return at;
}

/* The Linear of Q, K and V of an Attention, from which the queries can be split off. */
static bool query_source(const rt_graph *graph, const rt_node *node, rt_linear_match *qkv) {
    return node->attrs.parts == 1 && rt_match_plain_linear(graph, node->inputs[ATTENTION_Q], qkv) &&
           graph->values[qkv->weight].data != NULL &&
           (qkv->bias < 0 || graph->values[qkv->bias].data != NULL);
}

/* Whether a Linear turns rows by positions that those of the selected ones do not tell. */
static bool turns_unknown(const region *r, const rt_node *linear) {
    return linear->attrs.rotate > 0 && r->attrs.select == RT_SELECT_LAST;
}

/* Whether an operator's output rows come from the same rows of its inputs (of Attention: of the queries). */
static bool keeps_rows(const region *r, const rt_node *node) {
    const rt_graph *graph = r->graph;
    rt_linear_match qkv;
    if (node->attrs.out_dtype != RETORT_F32) return false;
    if (node->op == RT_OP_LINEAR) return !turns_unknown(r, node);
    if (node->op != RT_OP_ATTENTION) return node->op == RT_OP_LAYER_NORM;
    return node->attrs.select == RT_SELECT_ALL &&
           (node->attrs.parts > 1 ||
            (query_source(graph, node, &qkv) && !turns_unknown(r, &graph->nodes[qkv.node])));
}

/* Whether an operator of the region needs only the selected rows of its input. An Attention on one value
 * does not: it reads the keys of all tokens from it. */
static bool wants_rows(const rt_node *node) {
    return node->op != RT_OP_ATTENTION || node->attrs.parts > 1;
}

/* Whether input k of an operator has such rows: x, queries, or the residual of a Linear. */
static bool reads_rows(const rt_node *node, int k) {
    return k == 0 || (node->op == RT_OP_LINEAR && k == 3);
}

/* Counts a read of the selected rows of a value. If there are no other reads, and its rows come from the
 * same rows of its inputs, its node joins the region. */
static void read_rows(region *r, int value) {
    const rt_graph *graph = r->graph;
    int producer = value >= 0 ? graph->values[value].producer : -1;
    if (producer < 0 || graph->output == value || graph->nodes[producer].outputs[0] != value ||
        !keeps_rows(r, &graph->nodes[producer]))
        return;
    int *readers = mark(r, value);
    if (readers == NULL || ++*readers < graph->links->uses[value]) return;
    *readers = INSIDE;
    if (rt_grow((void **)&r->nodes, &r->capacity, r->count + 1, sizeof *r->nodes)) {
        r->nodes[r->count++] = producer;
    } else {
        r->failed = true;
    }
}

static int by_index(const void *a, const void *b) {
    const int *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Grows the region backwards from the Select; sorts its nodes. */
static void draw(region *r, int value) {
    read_rows(r, value);
    for (size_t i = 0; i < r->count && !r->failed; i++) {
        const rt_node *node = &r->graph->nodes[r->nodes[i]];
        for (int k = 0; wants_rows(node) && k < node->input_count; k++) {
            if (reads_rows(node, k)) read_rows(r, node->inputs[k]);
        }
    }
    if (r->count > 0) qsort(r->nodes, r->count, sizeof *r->nodes, by_index);
    for (size_t i = 0; i < r->marked_count; i++) {
        int *at = &r->graph->links->marks[r->marked[i]];
        if (*at != INSIDE) *at = 0;
    }
}

static bool is_inside(const region *r, int value) {
    return r->graph->links->marks[value] == INSIDE;
}

/* The selected rows of a value: one Select per value. */
static int selected(region *r, int value) {
    const rt_graph *graph = r->graph;
    const int *known = mark(r, value);
    if (known == NULL) return -1;
    if (*known != 0) return *known - 1;
    char name[RT_NAME_MAX + 8];
    int producer = graph->values[value].producer;
    snprintf(name, sizeof name, "%s.rows",
             producer >= 0 ? graph->nodes[producer].name : graph->values[value].name);
    int rows =
        rt_add_node(r->graph, name, RT_OP_SELECT, r->ids >= 0 ? 2 : 1, (int[]){value, r->ids}, &r->attrs);
    r->graph->links->marks[value] = rows + 1;
    return rows;
}

static bool is_zero(const rt_graph *graph, int vector, int64_t from, int64_t n) {
    const float *data = graph->values[vector].data;
    for (int64_t i = from; i < from + n; i++) {
        if (data[i] != 0) return false;
    }
    return true;
}

/* Makes the first heads of a Linear turn as those of qkv do. */
static void turn(rt_graph *graph, int value, const rt_linear_match *qkv, int64_t columns) {
    int node = value >= 0 ? graph->values[value].producer : -1;
    if (node < 0 || qkv->rotary < 0) return;
    rt_node_read(graph, node, LINEAR_ROTARY, qkv->rotary);
    graph->nodes[node].attrs.rotate = columns;
}

/* The Linear "attention.part" with columns from…from+n-1 of qkv, on x. Of these, `turned` are. */
static int part_linear(rt_graph *graph, const char *attention, const char *part, const rt_linear_match *qkv,
                       int64_t from, int64_t n, int x, int64_t turned) {
    char name[RT_NAME_MAX + 8];
    snprintf(name, sizeof name, "%s.%s", attention, part);
    bool biased = qkv->bias >= 0 && !is_zero(graph, qkv->bias, from, n);
    int weight = rt_columns_of(graph, qkv->weight, name, "weight", from, n);
    int bias = biased ? rt_columns_of(graph, qkv->bias, name, "bias", from, n) : -1;
    int out = rt_add_node(graph, name, RT_OP_LINEAR, biased ? 3 : 2, (int[]){x, weight, bias}, NULL);
    if (turned > 0) turn(graph, out, qkv, turned);
    return out;
}

/* Queries of the selected rows, keys and values of all. */
static void prune_attention(region *r, int index) {
    rt_linear_match qkv;
    rt_graph *graph = r->graph;
    if (!query_source(graph, &graph->nodes[index], &qkv)) return;
    const char *name = graph->nodes[index].name;
    const rt_attrs *attrs = &graph->nodes[index].attrs;
    int64_t keys = rt_key_heads(attrs), wide = qkv.n / (attrs->heads + 2 * keys) * keys,
            hidden = qkv.n - 2 * wide;
    int q = part_linear(graph, name, "q", &qkv, 0, hidden, selected(r, qkv.x),
                        r->attrs.select != RT_SELECT_FIRST ? hidden : 0);
    int kv = part_linear(graph, name, "kv", &qkv, hidden, 2 * wide, qkv.x, wide);
    rt_node_read(graph, index, ATTENTION_Q, q);
    rt_node_read(graph, index, ATTENTION_KV, kv);
    rt_node_drop(graph, index, 2, ATTENTION_CONSTANTS);
    graph->nodes[index].attrs.parts = 2;
    graph->nodes[index].attrs.select = r->attrs.select;
}

/* Selects the rows that a node of the region reads from outside. */
static void prune_node(region *r, int index) {
    const rt_node node = r->graph->nodes[index];
    if (!wants_rows(&node)) {
        prune_attention(r, index);
        return;
    }
    if (node.op == RT_OP_ATTENTION) r->graph->nodes[index].attrs.select = r->attrs.select;
    if (node.op == RT_OP_LINEAR && node.attrs.rotate > 0 && r->attrs.select == RT_SELECT_FIRST) {
        rt_node_cut(r->graph, index, LINEAR_ROTARY); /* at position 0 nothing turns */
        r->graph->nodes[index].attrs.rotate = 0;
    }
    for (int k = 0; k < node.input_count; k++) {
        if (node.inputs[k] < 0 || !reads_rows(&node, k) || is_inside(r, node.inputs[k])) continue;
        int rows = selected(r, node.inputs[k]);
        rt_node_read(r->graph, index, k, rows);
    }
}

static bool prune(rt_graph *graph, int index) {
    const rt_node select = graph->nodes[index];
    if (select.op != RT_OP_SELECT || graph->values[select.inputs[SELECT_X]].rank != 2) return false;
    region r = {.graph = graph, .attrs = select.attrs, .ids = rt_operand(&select, SELECT_IDS)};
    draw(&r, select.inputs[SELECT_X]);
    bool any = r.count > 0;
    for (size_t i = 0; !r.failed && i < r.count; i++) prune_node(&r, r.nodes[i]);
    if (r.failed) rt_fail_nomem(&graph->fault, sizeof *r.nodes);
    if (any) rt_value_replace(graph, select.outputs[0], select.inputs[SELECT_X]);
    for (size_t i = 0; i < r.marked_count; i++) graph->links->marks[r.marked[i]] = 0;
    free(r.nodes);
    free(r.marked);
    return any;
}

retort_status rt_rewrite_prune_rows(rt_graph *graph, size_t *count, retort_error *err) {
    size_t before = *count;
    retort_status status = rt_rewrite_each(graph, prune, count, err);
    return status == RETORT_OK && *count > before ? rt_graph_infer(graph, err) : status;
}
