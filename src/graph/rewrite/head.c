/* SPDX-License-Identifier: Apache-2.0
 * Level 2: fuses operators of heads on rows: selection, pooling, normalisation. */
#include "graph/match.h"

/* Whether the node is x[:, 0:1]. */
static bool is_first_slice(const rt_graph *graph, const rt_node *node) {
    if (node->op != RT_OP_SLICE || rt_operand(node, SLICE_AXES) < 0) return false;
    int steps = rt_operand(node, SLICE_STEPS);
    bool by_one = steps < 0 || rt_scalar_near(graph, steps, 1);
    double start, end, axis;
    return by_one && rt_scalar(graph, node->inputs[SLICE_STARTS], &start) && start == 0 &&
           rt_scalar(graph, node->inputs[SLICE_ENDS], &end) && end == 1 &&
           rt_scalar(graph, node->inputs[SLICE_AXES], &axis) && axis == 1;
}

/* The only reader of the value, if it takes [batch, 1, n] to [batch, n]; else -1. */
static int squeezed(const rt_graph *graph, int value) {
    int reader = rt_only_reader(graph, value);
    if (reader < 0) return -1;
    const rt_node *node = &graph->nodes[reader];
    const rt_value *out = &graph->values[node->outputs[0]], *in = &graph->values[value];
    bool moves = node->op == RT_OP_SQUEEZE || node->op == RT_OP_RESHAPE;
    return moves && out->rank == 2 && out->dims[0] == RT_DIM_BATCH && out->dims[1] == in->dims[2] ? reader
                                                                                                  : -1;
}

/* x[:, 0] of padded rows, and the rows of mask tokens */
static bool to_select(rt_graph *graph, int index) {
    const rt_node node = graph->nodes[index];
    const rt_value *x = &graph->values[node.inputs[0]];
    bool padded =
        x->rank == 3 && x->dims[0] == RT_DIM_BATCH && x->dims[1] == RT_DIM_SEQ && x->dtype == RETORT_F32;
    if (!padded) return false;
    if (node.op == RT_OP_MASK_TOKEN_ROWS) {
        return rt_replace_node(graph, index, index, RT_OP_SELECT, 2, node.inputs,
                               &(rt_attrs){.select = RT_SELECT_MASK_TOKENS});
    }
    if (is_first_slice(graph, &node)) {
        int last = squeezed(graph, node.outputs[0]);
        return last >= 0 && rt_replace_node(graph, last, index, RT_OP_SELECT, 1, node.inputs,
                                            &(rt_attrs){.select = RT_SELECT_FIRST});
    }
    double zero;
    if (node.op != RT_OP_GATHER || node.attrs.axis != 1 ||
        !rt_scalar(graph, node.inputs[GATHER_INDICES], &zero) || zero != 0 ||
        graph->values[node.outputs[0]].rank != 2)
        return false;
    return rt_replace_node(graph, index, index, RT_OP_SELECT, 1, node.inputs,
                           &(rt_attrs){.select = RT_SELECT_FIRST});
}

retort_status rt_rewrite_fuse_select(rt_graph *graph, size_t *count, retort_error *err) {
    return rt_rewrite_each(graph, to_select, count, err);
}

/* The mask whose values 1 are 1, 2, 3, … in the value: mask * count(mask). -1: something else. */
static int rising_mask(const rt_graph *graph, int value) {
    const rt_node *mul = rt_made_by(graph, rt_mask_base(graph, value, false), RT_OP_MUL);
    for (int k = 0; mul != NULL && k < 2; k++) {
        const rt_node *sum = rt_made_by(graph, mul->inputs[k], RT_OP_CUM_SUM);
        int mask = rt_mask_input(graph, mul->inputs[1 - k], false);
        if (sum != NULL && sum->attrs.axis == 1 && mask >= 0 && sum->inputs[0] == mask) return mask;
    }
    return -1;
}

/* What is summed to count tokens, [batch, seq, 1] or [batch, seq], also as integers; -1: something else. */
static int counted_weights(const rt_graph *graph, int value) {
    for (const rt_node *cast = rt_made_by(graph, value, RT_OP_CAST); cast != NULL;
         cast = rt_made_by(graph, value, RT_OP_CAST))
        value = cast->inputs[0];
    int weights = rt_reduced(graph, value, RT_OP_REDUCE_SUM, 1, false);
    if (weights >= 0 && graph->values[weights].rank == 3) return weights;
    weights = rt_reduced(graph, value, RT_OP_REDUCE_SUM, 1, true);
    return weights >= 0 && graph->values[weights].rank == 2 ? weights : -1;
}

/* Mean: sum(x mask) / max(sum(mask), tiny), or / its root, also without the max: a text has a token. Of a weighted mean the
 * mask rises. The mask, -1: something else. */
static int mean_of(const rt_graph *graph, const rt_node *root, int *x, rt_pool_kind *kind) {
    double tiny;
    int count, clamped = rt_operand(root, 1);
    const rt_node *sqrt = rt_made_by(graph, clamped, RT_OP_SQRT);
    *kind = sqrt != NULL ? RT_REDUCE_MEAN_SQRT : RT_REDUCE_MEAN;
    if (sqrt != NULL) clamped = sqrt->inputs[0];
    if (root->op != RT_OP_DIV) return -1;
    if (!rt_with_scalar(graph, clamped, RT_OP_MAX, &count, &tiny)) {
        count = clamped;
        tiny = 0;
    }
    int weights = tiny <= 1e-3 ? counted_weights(graph, count) : -1;
    int rising = sqrt == NULL ? rising_mask(graph, weights) : -1;
    int mask = rising >= 0 ? rising : rt_mask_input(graph, weights, false);
    if (rising >= 0) *kind = RT_REDUCE_WEIGHTED_MEAN;
    int masked = rt_reduced(graph, root->inputs[0], RT_OP_REDUCE_SUM, 1, false);
    const rt_node *mul = rt_made_by(graph, masked, RT_OP_MUL);
    for (int k = 0; mul != NULL && mask >= 0 && k < 2; k++) {
        *x = mul->inputs[1 - k];
        int found =
            rising >= 0 ? rising_mask(graph, mul->inputs[k]) : rt_mask_input(graph, mul->inputs[k], false);
        if (found == mask) return mask;
    }
    return -1;
}

/* Max: max(where(mask == 0, low, x)). */
static int max_of(const rt_graph *graph, const rt_node *root, int *x) {
    double low, zero;
    int padding;
    int masked = rt_reduced(graph, root->outputs[0], RT_OP_REDUCE_MAX, 1, false);
    const rt_node *where = rt_made_by(graph, masked, RT_OP_WHERE);
    if (where == NULL || !rt_scalar(graph, where->inputs[WHERE_X], &low) || low > -1e4 ||
        !rt_with_scalar(graph, where->inputs[WHERE_CONDITION], RT_OP_EQUAL, &padding, &zero) || zero != 0)
        return -1;
    *x = where->inputs[WHERE_Y];
    return rt_mask_input(graph, padding, false);
}

/* The mask of which the value is the running count, as floats; -1: something else. */
static int counted_mask(const rt_graph *graph, int value) {
    const rt_node *cast = rt_made_by(graph, value, RT_OP_CAST);
    const rt_node *sum = cast != NULL ? rt_made_by(graph, cast->inputs[0], RT_OP_CUM_SUM) : NULL;
    return sum != NULL && sum->attrs.axis == 1 ? rt_mask_input(graph, sum->inputs[0], false) : -1;
}

/* Whether the value is 1 for the last token of the mask, and else 0: (count == max(count)) mask. */
static int last_of(const rt_graph *graph, int value) {
    const rt_node *wide = rt_made_by(graph, value, RT_OP_UNSQUEEZE);
    const rt_node *mul = wide != NULL ? rt_made_by(graph, wide->inputs[0], RT_OP_MUL) : NULL;
    for (int k = 0; mul != NULL && k < 2; k++) {
        const rt_node *cast = rt_made_by(graph, mul->inputs[k], RT_OP_CAST);
        const rt_node *equal = cast != NULL ? rt_made_by(graph, cast->inputs[0], RT_OP_EQUAL) : NULL;
        if (equal == NULL) continue;
        int mask = counted_mask(graph, equal->inputs[0]);
        bool most = rt_reduced(graph, equal->inputs[1], RT_OP_REDUCE_MAX, 1, true) == equal->inputs[0];
        if (most && mask >= 0 && rt_mask_input(graph, mul->inputs[1 - k], false) == mask) return mask;
    }
    return -1;
}

/* The last row: sum(x last). */
static bool to_last(rt_graph *graph, int index) {
    const rt_node *root = &graph->nodes[index];
    int read = rt_reduced(graph, root->outputs[0], RT_OP_REDUCE_SUM, 1, false);
    const rt_node *mul = rt_made_by(graph, read, RT_OP_MUL);
    for (int k = 0; mul != NULL && k < 2; k++) {
        int x = mul->inputs[1 - k], mask = last_of(graph, mul->inputs[k]);
        if (mask < 0 || graph->values[x].rank != 3) continue;
        return rt_replace_node(graph, index, index, RT_OP_SELECT, 2, (int[]){x, mask},
                               &(rt_attrs){.select = RT_SELECT_LAST});
    }
    return false;
}

/* Sum: sum(x mask), which is no part of a mean. The mask, -1: something else. */
static int sum_of(const rt_graph *graph, const rt_node *root, int *x) {
    int read = rt_reduced(graph, root->outputs[0], RT_OP_REDUCE_SUM, 1, false);
    const rt_node *mul = rt_made_by(graph, read, RT_OP_MUL);
    int reader = rt_only_reader(graph, root->outputs[0]);
    bool alone = root->outputs[0] == graph->output || (reader >= 0 && graph->nodes[reader].op != RT_OP_DIV);
    if (mul == NULL || !alone) return -1;
    for (int k = 0; k < 2; k++) {
        int mask = rt_mask_input(graph, mul->inputs[k], false);
        *x = mul->inputs[1 - k];
        if (mask >= 0) return mask;
    }
    return -1;
}

static bool to_pool(rt_graph *graph, int index) {
    const rt_node *root = &graph->nodes[index];
    rt_pool_kind kind;
    if (to_last(graph, index)) return true;
    int x = -1, mask = mean_of(graph, root, &x, &kind);
    if (mask < 0) {
        mask = max_of(graph, root, &x);
        kind = RT_REDUCE_MAX;
    }
    if (mask < 0) {
        mask = sum_of(graph, root, &x);
        kind = RT_REDUCE_SUM_ROWS;
    }
    if (mask < 0 || graph->values[x].rank != 3) return false;
    return rt_replace_node(graph, index, index, RT_OP_POOL, 2, (int[]){x, mask}, &(rt_attrs){.pool = kind});
}

retort_status rt_rewrite_fuse_pool(rt_graph *graph, size_t *count, retort_error *err) {
    return rt_rewrite_each(graph, to_pool, count, err);
}

/* x / max(sqrt(sum(x²)), tiny) over the last axis */
static bool to_normalize(rt_graph *graph, int index) {
    const rt_node *root = &graph->nodes[index];
    if (root->op != RT_OP_DIV) return false;
    int x = root->inputs[0], length = root->inputs[1], root_of;
    double tiny, two;
    const rt_node *expand = rt_made_by(graph, length, RT_OP_EXPAND);
    if (!rt_with_scalar(graph, expand != NULL ? expand->inputs[0] : length, RT_OP_MAX, &root_of, &tiny) ||
        tiny > 1e-6)
        return false;
    const rt_node *sqrt = rt_made_by(graph, root_of, RT_OP_SQRT);
    int squares = sqrt != NULL ? rt_reduced(graph, sqrt->inputs[0], RT_OP_REDUCE_SUM, -1, true) : -1;
    const rt_node *mul = rt_made_by(graph, squares, RT_OP_MUL);
    bool square = mul != NULL && mul->inputs[0] == x && mul->inputs[1] == x;
    int base;
    if (!square) square = rt_with_scalar(graph, squares, RT_OP_POW, &base, &two) && two == 2 && base == x;
    if (!square || graph->values[x].rank != 2) return false;
    return rt_replace_node(graph, index, index, RT_OP_NORMALIZE, 1, &x, NULL);
}

retort_status rt_rewrite_fuse_normalize(rt_graph *graph, size_t *count, retort_error *err) {
    return rt_rewrite_each(graph, to_normalize, count, err);
}
