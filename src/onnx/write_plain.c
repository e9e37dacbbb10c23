/* SPDX-License-Identifier: Apache-2.0
 * Plain operators: ONNX's own, one node each. */
#include "onnx/writer.h"

enum { MAX_ATTRS = 4, REDUCE_AXES_OPSET = 18 };

/* Attributes of an operator that have ONNX's names; *count of them in out[MAX_ATTRS]. */
static void plain_attrs(const rt_node *node, int64_t perm[4], rt_onnx_attr *out, size_t *count) {
    unsigned has = rt_op_info(node->op)->attrs;
    const rt_attrs *attrs = &node->attrs;
    *count = 0;
    if ((has & RT_ATTR_AXIS) != 0 && (has & RT_ATTR_KEEPDIMS) == 0) {
        out[(*count)++] = RT_ONNX_INT("axis", attrs->axis);
    }
    if ((has & RT_ATTR_KEEPDIMS) != 0) out[(*count)++] = RT_ONNX_INT("keepdims", attrs->keepdims);
    if ((has & RT_ATTR_DTYPE) != 0) out[(*count)++] = RT_ONNX_INT("to", rt_onnx_type_of(attrs->dtype));
    if ((has & RT_ATTR_TRANS_B) != 0) out[(*count)++] = RT_ONNX_INT("transB", attrs->trans_b);
    if ((has & RT_ATTR_EPSILON) != 0) out[(*count)++] = RT_ONNX_REAL("epsilon", attrs->epsilon);
    if ((has & RT_ATTR_PERM) != 0 && attrs->perm_count > 0) {
        for (int i = 0; i < attrs->perm_count; i++) perm[i] = attrs->perm[i];
        out[(*count)++] = RT_ONNX_INTS("perm", perm, (size_t)attrs->perm_count);
    }
}

/* Axes of ReduceSum are an input since opset 13, of the others since 18. */
static void put_reduce(rt_onnx_writer *w, const rt_node *node, rt_onnx_attr *attrs, size_t count) {
    const rt_value *axes =
        node->input_count > REDUCE_AXES ? &w->graph->values[node->inputs[REDUCE_AXES]] : NULL;
    bool input = node->op == RT_OP_REDUCE_SUM || w->opset >= REDUCE_AXES_OPSET;
    const char *x = rt_put_value(w, node->inputs[REDUCE_DATA]), *op = rt_op_info(node->op)->text;
    if (input) {
        const char *given = axes != NULL ? rt_put_value(w, node->inputs[REDUCE_AXES])
                                         : rt_put_ints(w, "axes", 1, &node->attrs.axis);
        rt_put_output(w, node, rt_put(w, op, "out", 2, (const char *[]){x, given}, count, attrs));
        return;
    }
    const int64_t *values = axes != NULL ? axes->data : &node->attrs.axis;
    attrs[count] = RT_ONNX_INTS("axes", values, axes != NULL ? (size_t)axes->content.count : 1);
    count++;
    rt_put_output(w, node, rt_put(w, op, "out", 1, &x, count, attrs));
}

void rt_put_plain(rt_onnx_writer *w, const rt_node *node) {
    rt_onnx_attr attrs[MAX_ATTRS];
    int64_t perm[4];
    size_t count;
    const char *inputs[RT_MAX_INPUTS];
    plain_attrs(node, perm, attrs, &count);
    if ((rt_op_info(node->op)->attrs & RT_ATTR_KEEPDIMS) != 0) {
        put_reduce(w, node, attrs, count);
        return;
    }
    if (node->op == RT_OP_CUM_SUM) { /* its axis is an input there */
        inputs[0] = rt_put_value(w, node->inputs[0]);
        inputs[1] = rt_put_ints(w, "axis", 1, &node->attrs.axis);
        rt_put_output(w, node, rt_put(w, "CumSum", "out", 2, inputs, 0, NULL));
        return;
    }
    for (int i = 0; i < node->input_count; i++) inputs[i] = rt_put_value(w, node->inputs[i]);
    if (node->op == RT_OP_SPLIT && node->input_count == 1 && w->opset >= REDUCE_AXES_OPSET) {
        attrs[count++] = RT_ONNX_INT("num_outputs", node->output_count);
    }
    rt_onnx_node *out =
        rt_put_node(w, rt_op_info(node->op)->text, "out", (size_t)node->input_count, inputs, count, attrs);
    const char **names = rt_put_alloc(w, (size_t)node->output_count, sizeof *names);
    if (names == NULL) return;
    for (int i = 0; i < node->output_count; i++) {
        names[i] = w->graph->values[node->outputs[i]].name;
        w->names[node->outputs[i]] = names[i];
    }
    out->outputs = names;
    out->output_count = (size_t)node->output_count;
    out->name = node->name;
}
