/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/infer.h"
#include "base/names.h"
#include "graph/ops.h"

#include <math.h>

/* Checks attributes against the row of the operator, and that numbers are finite. */
static retort_status check_attrs(const rt_node *node, retort_error *err) {
    const rt_op_row *op = rt_op_info(node->op);
    size_t count;
    const rt_attr_row *rows = rt_attr_rows(&count);
    for (size_t i = 0; i < count; i++) {
        if ((op->attrs & rows[i].bit) == 0 && !rt_attr_is_zero(&rows[i], &node->attrs)) {
            return rt_fail(err, RETORT_FORMAT, "%.200s: %s has no attribute %s", node->name, op->text,
                           rows[i].text);
        }
    }
    if (!isfinite(node->attrs.epsilon) || node->attrs.epsilon < 0 || !isfinite(node->attrs.scale)) {
        return rt_fail(err, RETORT_FORMAT, "%.200s: epsilon %g or scale %g is not a valid number", node->name,
                       (double)node->attrs.epsilon, (double)node->attrs.scale);
    }
    return RETORT_OK;
}

/* Checks that inputs exist and are made before they are read, and that outputs name this node as their
 * producer. */
static retort_status check_edges(const rt_graph *graph, int index, retort_error *err) {
    const rt_node *node = &graph->nodes[index];
    const rt_op_row *op = rt_op_info(node->op);
    bool single = (op->attrs & RT_ATTR_OUT_DTYPE) != 0 && node->attrs.out_dtype == RETORT_F32;
    if (node->input_count < op->min_inputs || node->input_count > op->max_inputs ||
        node->output_count != (single ? 1 : op->outputs))
        return rt_fail(err, RETORT_FORMAT, "%.200s: %s with %d inputs and %d outputs", node->name, op->text,
                       node->input_count, node->output_count);
    for (int k = 0; k < node->input_count; k++) {
        int input = node->inputs[k];
        if (input < -1 || input >= (int)graph->value_count) {
            return rt_fail(err, RETORT_FORMAT, "%.200s: input %d is not a value", node->name, k);
        }
        if (input >= 0 && graph->values[input].producer >= index) {
            return rt_fail(err, RETORT_FORMAT, "%.200s: reads %.200s before it is made", node->name,
                           graph->values[input].name);
        }
    }
    for (int k = 0; k < node->output_count; k++) {
        int output = node->outputs[k];
        if (output < 0 || output >= (int)graph->value_count || graph->values[output].producer != index) {
            return rt_fail(err, RETORT_FORMAT, "%.200s: output %d is not its own", node->name, k);
        }
    }
    return RETORT_OK;
}

/* Checks that the stored shapes are those of the rule. */
static retort_status check_shapes(const rt_graph *graph, const rt_node *node, retort_error *err) {
    rt_shapes s = {.node = node, .err = err};
    for (int k = 0; k < node->input_count; k++) {
        if (node->inputs[k] >= 0) s.in[k] = &graph->values[node->inputs[k]];
    }
    retort_status status = rt_infer_shapes(&s);
    for (int k = 0; status == RETORT_OK && k < node->output_count; k++) {
        const rt_value *value = &graph->values[node->outputs[k]];
        char found[128], expected[128];
        if (value->dtype == s.out[k].dtype && rt_same_dims(value, &s.out[k]) &&
            value->layout == RT_LAYOUT_ROWS)
            continue;
        rt_dims_text(found, sizeof found, value->dims, value->rank);
        rt_dims_text(expected, sizeof expected, s.out[k].dims, s.out[k].rank);
        status = rt_fail(err, RETORT_FORMAT, "%.120s: output %d is %s %s, expected %s %s", node->name, k,
                         retort_dtype_name(value->dtype), found, retort_dtype_name(s.out[k].dtype), expected);
    }
    return status;
}

static retort_status check_node(const rt_graph *graph, int index, retort_error *err) {
    const rt_node *node = &graph->nodes[index];
    if ((unsigned)node->op >= RT_OP_COUNT || !rt_name_valid(node->name)) {
        return rt_fail(err, RETORT_FORMAT, "node %d: no operator, or a name that text cannot hold", index);
    }
    if (rt_op_info(node->op)->level > graph->level) {
        return rt_fail(err, RETORT_FORMAT, "%.200s: %s may stand from level %d on, the graph is of level %d",
                       node->name, rt_op_info(node->op)->text, rt_op_info(node->op)->level, graph->level);
    }
    retort_status status = check_edges(graph, index, err);
    if (status == RETORT_OK) status = check_attrs(node, err);
    return status == RETORT_OK ? check_shapes(graph, node, err) : status;
}

static retort_status check_value(const rt_graph *graph, int index, retort_error *err) {
    const rt_value *value = &graph->values[index];
    size_t bytes;
    bool made = false;
    if (!rt_name_valid(value->name)) {
        return rt_fail(err, RETORT_FORMAT, "value %d: a name that text cannot hold", index);
    }
    if (value->producer >= (int)graph->node_count || (value->input && value->producer >= 0)) {
        return rt_fail(err, RETORT_FORMAT, "%.200s: no node %d makes it", value->name, value->producer);
    }
    if (value->producer < 0) {
        if (value->input || rt_value_bytes(value, &bytes)) return RETORT_OK;
        return rt_fail(err, RETORT_FORMAT, "%.200s: the constant's shape and layout do not fit", value->name);
    }
    const rt_node *node = &graph->nodes[value->producer];
    for (int k = 0; k < node->output_count; k++) made |= node->outputs[k] == index;
    if (made) return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT, "%.200s: is not an output of %.200s", value->name, node->name);
}

static retort_status check_names(const rt_graph *graph, retort_error *err) {
    rt_names values = {0}, nodes = {0};
    retort_status status = RETORT_OK;
    int known;
    for (size_t i = 0; status == RETORT_OK && i < graph->value_count; i++) {
        const char *name = graph->values[i].name;
        bool added = rt_names_add(&values, name, (int)i, &known);
        if (!added) status = rt_fail_nomem(err, values.capacity);
        if (added && known >= 0)
            status = rt_fail(err, RETORT_FORMAT, "%.200s: two values of this name", name);
    }
    for (size_t i = 0; status == RETORT_OK && i < graph->node_count; i++) {
        const char *name = graph->nodes[i].name;
        bool added = rt_names_add(&nodes, name, (int)i, &known);
        if (!added) status = rt_fail_nomem(err, nodes.capacity);
        if (added && known >= 0) status = rt_fail(err, RETORT_FORMAT, "%.200s: two nodes of this name", name);
    }
    rt_names_free(&values);
    rt_names_free(&nodes);
    return status;
}

retort_status rt_graph_verify(const rt_graph *graph, retort_error *err) {
    retort_status status = RETORT_OK;
    if (graph->fault.status != RETORT_OK) return rt_fail(err, graph->fault.status, "%s", graph->fault.text);
    if (graph->output < 0 || graph->output >= (int)graph->value_count) {
        return rt_fail(err, RETORT_FORMAT, "the graph has no output");
    }
    if (graph->level < 0 || graph->level > 3) {
        return rt_fail(err, RETORT_FORMAT, "level %d, expected 0 to 3", graph->level);
    }
    for (size_t i = 0; status == RETORT_OK && i < graph->value_count; i++) {
        status = check_value(graph, (int)i, err);
    }
    for (size_t i = 0; status == RETORT_OK && i < graph->node_count; i++) {
        status = check_node(graph, (int)i, err);
    }
    return status == RETORT_OK ? check_names(graph, err) : status;
}
