/* SPDX-License-Identifier: Apache-2.0
 * Transpose. */
#include "graph/evaluate.h"
#include "graph/infer.h"

static retort_status infer_transpose(rt_shapes *s) {
    const rt_value *data = s->in[0];
    const rt_attrs *attrs = &s->node->attrs;
    unsigned seen = 0;
    rt_out_begin(s, data->dtype);
    if (attrs->perm_count != data->rank) {
        return rt_fail(s->err, RETORT_FORMAT, "perm has %d axes, the input %d", attrs->perm_count,
                       data->rank);
    }
    for (int i = 0; i < data->rank; i++) {
        int axis = attrs->perm[i];
        if (axis < 0 || axis >= data->rank || (seen >> axis & 1u) != 0) {
            return rt_fail(s->err, RETORT_FORMAT, "perm is not a permutation");
        }
        seen |= 1u << axis;
        rt_push_dim(&s->out[0], data->dims[axis]);
    }
    return RETORT_OK;
}

static retort_status evaluate_transpose(rt_op_evaluation *e, retort_error *err) {
    (void)err;
    const rt_tensor *data = e->inputs[0];
    rt_view view = {.data = data->data};
    int64_t own[RT_MAX_RANK];
    rt_tensor_strides(data, own);
    for (int i = 0; i < data->rank; i++) view.stride[i] = own[e->node->attrs.perm[i]];
    rt_each_row(e, 1, &view, rt_copy_row);
    return RETORT_OK;
}

static bool is_same_order(const rt_graph *graph, const rt_node *node) {
    (void)graph;
    bool same = true;
    for (int i = 0; i < node->attrs.perm_count; i++) same = same && node->attrs.perm[i] == i;
    return same;
}

const rt_op_row rt_op_transpose = {
    .text = "Transpose",
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .attrs = RT_ATTR_PERM,
    .kind = RT_OP_KIND_SHAPE,
    .infer = infer_transpose,
    .evaluate = evaluate_transpose,
    .is_identity = is_same_order,
};
