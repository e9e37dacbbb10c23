/* SPDX-License-Identifier: Apache-2.0
 * Level 2: fuses MatMul + Add, and Gemm, into Linear, and residuals into it. */
#include "graph/evaluate.h"
#include "graph/infer.h"
#include "graph/match.h"

/* The only reader of the value, if it adds a vector [n], the *bias; else -1. */
static int bias_add(const rt_graph *graph, int value, int64_t n, int *bias) {
    int reader = rt_only_reader(graph, value);
    if (reader < 0 || graph->nodes[reader].op != RT_OP_ADD) return -1;
    const rt_node *add = &graph->nodes[reader];
    *bias = add->inputs[add->inputs[0] == value ? 1 : 0];
    return rt_is_bias(graph, *bias, n) ? reader : -1;
}

/* MatMul(x, W) (+ b) */
static bool matmul_to_linear(rt_graph *graph, int index) {
    const rt_node node = graph->nodes[index];
    if (!rt_is_weight(graph, node.inputs[MATMUL_B]) || !rt_is_of_batch(graph, node.inputs[MATMUL_A]))
        return false;
    int bias = -1;
    int add = bias_add(graph, node.outputs[0], graph->values[node.inputs[MATMUL_B]].dims[1], &bias);
    int inputs[] = {node.inputs[MATMUL_A], node.inputs[MATMUL_B], bias};
    return rt_replace_node(graph, add >= 0 ? add : index, index, RT_OP_LINEAR, add >= 0 ? 3 : 2, inputs,
                           NULL);
}

/* The [in, out] weight of a Gemm, or -1. */
static int gemm_weight(rt_graph *graph, const rt_node *node) {
    int weight = node->inputs[GEMM_B];
    const rt_value *w = &graph->values[weight];
    int64_t rows = w->dims[0], columns = w->dims[1];
    if (!node->attrs.trans_b) return weight;
    const float *data = w->data;
    float *transposed = rt_floats(graph, rows, columns);
    if (transposed != NULL) rt_transpose(transposed, data, rows, columns);
    return rt_change_constant(graph, weight, 2, (int64_t[]){columns, rows}, transposed);
}

static bool gemm_to_linear(rt_graph *graph, int index) {
    const rt_node node = graph->nodes[index];
    bool biased = rt_operand(&node, GEMM_C) >= 0;
    if (!rt_is_weight(graph, node.inputs[GEMM_B]) || !rt_is_of_batch(graph, node.inputs[GEMM_A]))
        return false;
    int64_t n = graph->values[node.inputs[GEMM_B]].dims[node.attrs.trans_b ? 0 : 1];
    if (biased && !rt_is_bias(graph, node.inputs[GEMM_C], n)) return false;
    int inputs[] = {node.inputs[GEMM_A], gemm_weight(graph, &node), biased ? node.inputs[GEMM_C] : -1};
    return rt_replace_node(graph, index, index, RT_OP_LINEAR, biased ? 3 : 2, inputs, NULL);
}

static bool to_linear(rt_graph *graph, int index) {
    if (graph->nodes[index].op == RT_OP_MATMUL) return matmul_to_linear(graph, index);
    return graph->nodes[index].op == RT_OP_GEMM && gemm_to_linear(graph, index);
}

retort_status rt_rewrite_fuse_linear(rt_graph *graph, size_t *count, retort_error *err) {
    return rt_rewrite_each(graph, to_linear, count, err);
}

/* Add(Linear(x), r): r becomes the Linear's residual. */
static bool take_residual(rt_graph *graph, int index) {
    const rt_node add = graph->nodes[index];
    if (add.op != RT_OP_ADD) return false;
    for (int k = 0; k < 2; k++) {
        rt_linear_match linear;
        int sum = add.inputs[k], other = add.inputs[1 - k];
        if (!rt_match_linear(graph, sum, &linear) || linear.residual >= 0 || rt_only_reader(graph, sum) < 0 ||
            rt_value_is_constant(&graph->values[other]) ||
            !rt_same_dims(&graph->values[sum], &graph->values[other]))
            continue;
        rt_node_read(graph, linear.node, 2, linear.bias);
        rt_node_read(graph, linear.node, 3, other);
        rt_value_replace(graph, add.outputs[0], sum);
        return true;
    }
    return false;
}

retort_status rt_rewrite_fuse_residual(rt_graph *graph, size_t *count, retort_error *err) {
    return rt_rewrite_each(graph, take_residual, count, err);
}
