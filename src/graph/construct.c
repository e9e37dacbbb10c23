/* SPDX-License-Identifier: Apache-2.0
 * Construction and edits of graphs, and questions about one value. */
#include "graph/graph.h"
#include "graph/links.h"
#include "graph/ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Construction ---- */

/* Records a failure; only the first is kept. */
static retort_error *fault_of(rt_graph *graph) {
    return graph->fault.status == RETORT_OK ? &graph->fault : NULL;
}

/* Appends a value with a copy of its name; -1 when that fails. */
static int add_value(rt_graph *graph, const char *name, const rt_value *value) {
    if (graph->value_count >= RT_GRAPH_MAX) {
        rt_fail(fault_of(graph), RETORT_LIMIT, "%.200s: the graph has more than %d values", name,
                RT_GRAPH_MAX);
        return -1;
    }
    char *copy = rt_arena_text(&graph->arena, name, strlen(name));
    if (copy == NULL || !rt_grow((void **)&graph->values, &graph->value_capacity, graph->value_count + 1,
                                 sizeof *graph->values)) {
        rt_fail_nomem(fault_of(graph), sizeof *graph->values);
        return -1;
    }
    graph->values[graph->value_count] = *value;
    graph->values[graph->value_count++].name = copy;
    if (graph->links != NULL && !rt_links_add_value(graph)) { /* an edit would read beyond the links */
        graph->value_count--;
        rt_fail_nomem(fault_of(graph), sizeof(int));
        return -1;
    }
    return (int)graph->value_count - 1;
}

/* Appends a value that no node makes; -1 if its dims are not legal. `symbols`: whether they may be
 * symbolic. */
static int add_source(rt_graph *graph, const char *name, rt_value *value, int rank, const int64_t *dims,
                      bool symbols) {
    bool legal = rank >= 0 && rank <= RT_MAX_RANK;
    for (int i = 0; legal && i < rank; i++) {
        value->dims[i] = dims[i];
        legal = dims[i] >= 0 || (symbols && dims[i] >= RT_DIM_MASK_TOKENS);
    }
    if (!legal) {
        char text[128];
        rt_dims_text(text, sizeof text, dims, rank < 0 ? 0 : rank);
        rt_fail(fault_of(graph), RETORT_FORMAT, "%.200s: not a legal shape: rank %d, %s", name, rank, text);
        return -1;
    }
    value->rank = rank;
    value->producer = -1;
    return add_value(graph, name, value);
}

int rt_graph_input(rt_graph *graph, const char *name, retort_dtype dtype, int rank, const int64_t *dims) {
    rt_value value = {.dtype = dtype, .input = true};
    return add_source(graph, name, &value, rank, dims, true);
}

void rt_value_read_content(rt_value *value) {
    int64_t count = value->rank == 0 ? 1 : value->dims[0];
    if (value->dtype != RETORT_I64 || value->rank > 1 || count > RT_MAX_RANK || value->data == NULL) return;
    value->content = (rt_content){.known = true, .count = (int)count};
    memcpy(value->content.at, value->data, (size_t)count * sizeof(int64_t));
}

int rt_graph_constant(rt_graph *graph, const char *name, retort_dtype dtype, rt_layout layout, int rank,
                      const int64_t *dims, const void *data) {
    rt_value value = {.dtype = dtype, .layout = layout, .data = data};
    int index = add_source(graph, name, &value, rank, dims, false);
    size_t bytes;
    if (index < 0) return -1;
    if (!rt_value_bytes(&graph->values[index], &bytes)) {
        char text[128];
        rt_dims_text(text, sizeof text, dims, rank);
        rt_fail(fault_of(graph), RETORT_FORMAT, "%.200s: no %s %s can have the shape %s", name,
                rt_layout_name(layout), retort_dtype_name(dtype), text);
        graph->value_count--;
        return -1;
    }
    rt_value_read_content(&graph->values[index]);
    return index;
}

void *rt_graph_alloc(rt_graph *graph, size_t bytes) {
    void *block = NULL;
    if (bytes <= SIZE_MAX - 64) block = rt_arena_calloc(&graph->arena, rt_round_up(rt_max(bytes, 1), 64), 1);
    if (block == NULL) rt_fail_nomem(fault_of(graph), bytes);
    return block;
}

/* The number of outputs of a node with these attributes: the second one needs an output dtype. */
static int output_count(rt_op op, const rt_attrs *attrs) {
    const rt_op_row *row = rt_op_info(op);
    return (row->attrs & RT_ATTR_OUT_DTYPE) != 0 && attrs->out_dtype == RETORT_F32 ? 1 : row->outputs;
}

/* Appends the values of missing outputs. */
static bool add_outputs(rt_graph *graph, int index) {
    rt_node *node = &graph->nodes[index];
    int count = output_count(node->op, &node->attrs);
    while (node->output_count < count) {
        char name[RT_NAME_MAX + 16];
        rt_value value = {.producer = index};
        snprintf(name, sizeof name, "%s:%d", node->name, node->output_count);
        int output = add_value(graph, name, &value);
        if (output < 0) return false;
        node->outputs[node->output_count++] = output;
    }
    return true;
}

/* Whether a node may be appended with these inputs; the fault says why not. */
static bool node_is_legal(rt_graph *graph, rt_op op, const char *name, int input_count, const int *inputs) {
    const rt_op_row *row = rt_op_info(op);
    if (strlen(name) > RT_NAME_MAX || graph->node_count >= RT_GRAPH_MAX) {
        rt_fail(fault_of(graph), RETORT_LIMIT, "%.200s: name over %d characters, or over %d nodes", name,
                RT_NAME_MAX, RT_GRAPH_MAX);
        return false;
    }
    bool legal = input_count >= row->min_inputs && input_count <= row->max_inputs;
    for (int i = 0; legal && i < input_count; i++) {
        legal = inputs[i] < (int)graph->value_count && inputs[i] >= (i < row->min_inputs ? 0 : -1);
    }
    if (!legal) {
        rt_fail(fault_of(graph), RETORT_FORMAT,
                "%.200s: %s takes %d to %d inputs, found %d, or one is missing", name, row->text,
                row->min_inputs, row->max_inputs, input_count);
    }
    return legal;
}

int rt_graph_node(rt_graph *graph, rt_op op, const char *name, int input_count, const int *inputs,
                  const rt_attrs *attrs) {
    if (!node_is_legal(graph, op, name, input_count, inputs)) return -1;
    size_t values_before = graph->value_count;
    rt_node node = {.op = op, .input_count = input_count};
    if (attrs != NULL) node.attrs = *attrs;
    memcpy(node.inputs, inputs, (size_t)input_count * sizeof *inputs);
    node.name = rt_arena_text(&graph->arena, name, strlen(name));
    if (node.name == NULL ||
        !rt_grow((void **)&graph->nodes, &graph->node_capacity, graph->node_count + 1, sizeof node)) {
        rt_fail_nomem(fault_of(graph), sizeof node);
        return -1;
    }
    int index = (int)graph->node_count++;
    graph->nodes[index] = node;
    if (add_outputs(graph, index) && rt_infer(graph, (size_t)index, fault_of(graph)) == RETORT_OK) {
        if (graph->links == NULL || rt_links_add_node(graph)) return index;
        rt_fail_nomem(fault_of(graph), sizeof(int));
    }
    graph->node_count--;
    graph->value_count = values_before;
    return -1;
}

const rt_value *rt_operand_value(const rt_graph *graph, const rt_node *node, int operand) {
    int value = rt_operand(node, operand);
    return value >= 0 ? &graph->values[value] : NULL;
}

const void *rt_operand_data(const rt_graph *graph, const rt_node *node, int operand) {
    const rt_value *value = rt_operand_value(graph, node, operand);
    return value != NULL ? value->data : NULL;
}

int rt_node_output(const rt_graph *graph, int node, int index) {
    if (node < 0 || index >= graph->nodes[node].output_count) return -1;
    return graph->nodes[node].outputs[index];
}

void rt_graph_free(rt_graph *graph) {
    if (graph == NULL) return;
    rt_links_free(graph);
    free(graph->values);
    free(graph->nodes);
    rt_arena_free(&graph->arena);
    *graph = (rt_graph){.output = -1};
}

/* Copies a name into the graph's own arena. */
static bool own_name(rt_graph *graph, const char **name) {
    *name = rt_arena_text(&graph->arena, *name, strlen(*name));
    return *name != NULL;
}

retort_status rt_graph_copy(rt_graph *out, const rt_graph *graph, retort_error *err) {
    rt_graph copy = *graph;
    bool made = true;
    copy.arena = (rt_arena){0};
    copy.links = copy.idle_links = NULL;
    copy.value_capacity = graph->value_count;
    copy.node_capacity = graph->node_count;
    copy.values = rt_calloc(graph->value_count, sizeof *copy.values);
    copy.nodes = rt_calloc(graph->node_count, sizeof *copy.nodes);
    made = copy.values != NULL && copy.nodes != NULL;
    if (made && graph->value_count > 0) {
        memcpy(copy.values, graph->values, graph->value_count * sizeof *copy.values);
    }
    if (made && graph->node_count > 0) {
        memcpy(copy.nodes, graph->nodes, graph->node_count * sizeof *copy.nodes);
    }
    for (size_t i = 0; made && i < copy.value_count; i++) made = own_name(&copy, &copy.values[i].name);
    for (size_t i = 0; made && i < copy.node_count; i++) made = own_name(&copy, &copy.nodes[i].name);
    if (!made) {
        rt_graph_free(&copy);
        return rt_fail_nomem(err, graph->value_count * sizeof *copy.values);
    }
    *out = copy;
    return RETORT_OK;
}

/* ---- Questions and small edits ---- */

bool rt_value_is_constant(const rt_value *value) {
    return value->producer < 0 && !value->input;
}

/* One row per layout: its dtype, if it is packed, and the multiples that its two dims are padded to. */
static const struct layout_row {
    retort_dtype dtype;
    size_t rows, columns;
    int codes; /* elements per byte of a U8 layout */
} layout_rows[] = {
    [RT_LAYOUT_P16] = {RETORT_F32, 1, RT_PANEL, 1},   [RT_LAYOUT_P16_BF16] = {RETORT_BF16, 2, RT_PANEL, 1},
    [RT_LAYOUT_P16_S8] = {RETORT_S8, 4, RT_PANEL, 1}, [RT_LAYOUT_P16_S4] = {RETORT_U8, 8, RT_PANEL, 2},
    [RT_LAYOUT_ROWS_S4] = {RETORT_U8, 1, 32, 2},
};

/* Stored elements: packed matrices are padded (kernel.h). */
static bool layout_count(const rt_value *value, size_t *count) {
    const struct layout_row *row = &layout_rows[value->layout];
    if (value->layout == RT_LAYOUT_ROWS) return rt_shape_count(value->dims, value->rank, count);
    if (value->rank != 2 || value->dims[0] < 0 || value->dims[1] < 0 || value->dtype != row->dtype ||
        value->dims[0] > INT64_MAX - 32 || value->dims[1] > INT64_MAX - 32)
        return false;
    return rt_mul(rt_round_up((size_t)value->dims[0], row->rows),
                  rt_round_up((size_t)value->dims[1], row->columns) / (size_t)row->codes, count);
}

bool rt_value_bytes(const rt_value *value, size_t *bytes) {
    size_t count;
    return layout_count(value, &count) && rt_mul(count, rt_dtype_size(value->dtype), bytes) &&
           *bytes <= PTRDIFF_MAX - 64;
}

retort_dtype rt_linear_input(const rt_value *weight) {
    bool integer = weight->layout == RT_LAYOUT_P16_S8 || weight->layout == RT_LAYOUT_P16_S4;
    return integer ? RETORT_S8 : weight->dtype;
}

int rt_value_find(const rt_graph *graph, const char *name) {
    if (graph->links != NULL) return rt_links_value(graph, name);
    for (size_t i = 0; i < graph->value_count; i++) {
        if (strcmp(graph->values[i].name, name) == 0) return (int)i;
    }
    return -1;
}

size_t rt_value_uses(const rt_graph *graph, int value) {
    size_t uses = graph->output == value;
    if (graph->links != NULL) return uses + (size_t)graph->links->uses[value];
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        for (int k = 0; k < node->input_count; k++) uses += node->inputs[k] == value;
    }
    return uses;
}

/* The producer of the only activation that this node reads; NULL if it reads none, or several. */
static const rt_node *only_producer(const rt_graph *graph, const rt_node *node) {
    const rt_node *found = NULL;
    for (int i = 0; i < node->input_count; i++) {
        int producer = node->inputs[i] >= 0 ? graph->values[node->inputs[i]].producer : -1;
        if (producer >= 0 && found != NULL) return NULL;
        if (producer >= 0) found = &graph->nodes[producer];
    }
    return found;
}

bool rt_node_in_head(const rt_graph *graph, const rt_node *node) {
    int last = graph->values[graph->output].producer;
    const rt_node *head = last >= 0 ? &graph->nodes[last] : NULL;
    while (head != NULL && head != node) head = only_producer(graph, head);
    return head != NULL && only_producer(graph, node) != NULL;
}

void rt_value_replace(rt_graph *graph, int from, int to) {
    int reader = graph->links != NULL && from != to ? graph->links->first[from] : -1;
    for (; reader >= 0; reader = graph->links->first[from]) {
        rt_node_read(graph, reader / RT_MAX_INPUTS, reader % RT_MAX_INPUTS, to);
    }
    for (size_t i = 0; graph->links == NULL && i < graph->node_count; i++) {
        rt_node *node = &graph->nodes[i];
        for (int k = 0; k < node->input_count; k++) {
            if (node->inputs[k] == from) node->inputs[k] = to;
        }
    }
    if (graph->output == from) graph->output = to;
}

retort_status rt_node_update(rt_graph *graph, int node, retort_error *err) {
    if (!add_outputs(graph, node)) {
        retort_error fault = graph->fault;
        return rt_fail(err, fault.status, "%s", fault.text);
    }
    return rt_infer(graph, (size_t)node, err);
}
