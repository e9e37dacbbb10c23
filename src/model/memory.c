/* SPDX-License-Identifier: Apache-2.0
 * The memory that a graph needs to run: a few lines of text can ask for values of any size, and their shapes
 * tell before anything runs. */
#include "base/budget.h"
#include "model/file.h"

#include <stdlib.h>

/* One text with as many tokens as most models read at once, all of them mask tokens. Beyond that, memory
 * grows with the text, which is up to the caller. */
enum { TOKENS = 512, MASKS = 16 };

/* Bytes of the value for that text; SIZE_MAX on overflow. */
static size_t bytes_of(const rt_value *value, size_t tokens) {
    const size_t symbols[] = {1, tokens, tokens, rt_min(tokens, MASKS)}; /* batch, seq, tokens, rows */
    size_t total = rt_dtype_size(value->dtype);
    for (int i = 0; i < value->rank; i++) {
        size_t dim = value->dims[i] >= 0 ? (size_t)value->dims[i] : symbols[-1 - value->dims[i]];
        if (!rt_mul(total, dim, &total)) return SIZE_MAX;
    }
    return total;
}

/* 1 + the last node that reads each value. */
static void find_last_reads(const rt_graph *graph, size_t *last) {
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        for (int k = 0; k < node->input_count; k++) {
            if (node->inputs[k] >= 0) last[node->inputs[k]] = i + 1;
        }
    }
}

/* Bytes of the inputs that this node is the last to read. */
static size_t given_back(const rt_graph *graph, size_t index, size_t *last, size_t tokens) {
    const rt_node *node = &graph->nodes[index];
    size_t bytes = 0;
    for (int k = 0; k < node->input_count; k++) {
        int value = node->inputs[k];
        if (value < 0 || last[value] != index + 1 || graph->values[value].producer < 0) continue;
        bytes += bytes_of(&graph->values[value], tokens);
        last[value] = 0; /* once, even if it is read twice */
    }
    return bytes;
}

retort_status rt_model_check_memory(const retort_model *model, retort_error *err) {
    const rt_graph *graph = &model->graph;
    size_t tokens = rt_min((size_t)model->config.max_length, TOKENS), live = 0;
    size_t *last = rt_calloc(graph->value_count, sizeof *last);
    retort_status status = RETORT_OK;
    if (last == NULL) return rt_fail_nomem(err, graph->value_count * sizeof *last);
    find_last_reads(graph, last);
    for (size_t i = 0; status == RETORT_OK && i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        for (int k = 0; k < node->output_count; k++) {
            if (!rt_add(live, bytes_of(&graph->values[node->outputs[k]], tokens), &live)) live = SIZE_MAX;
        }
        status = rt_budget_check(node->name, live, err);
        if (status == RETORT_OK) live -= given_back(graph, i, last, tokens);
    }
    free(last);
    return status;
}
