/* SPDX-License-Identifier: Apache-2.0
 * Softmax over one axis. Sums are in double. */
#include "graph/evaluate.h"
#include "graph/infer.h"

#include <math.h>

static retort_status infer_softmax(rt_shapes *s) {
    int axis;
    if (!rt_axis(s->node->attrs.axis, s->in[0]->rank, &axis)) {
        return rt_fail(s->err, RETORT_FORMAT, "there is no axis %lld", (long long)s->node->attrs.axis);
    }
    return rt_infer_float_same(s);
}

/* y = exp(x - max) / sum over n elements, `step` apart */
static void softmax(const float *x, float *y, size_t n, size_t step) {
    float max = -INFINITY;
    double sum = 0;
    for (size_t i = 0; i < n; i++) max = rt_greater(x[i * step], max);
    for (size_t i = 0; i < n; i++) {
        y[i * step] = expf(x[i * step] - max);
        sum += (double)y[i * step];
    }
    for (size_t i = 0; i < n; i++) y[i * step] = (float)((double)y[i * step] / sum);
}

static retort_status evaluate_softmax(rt_op_evaluation *e, retort_error *err) {
    (void)err;
    const rt_tensor *x = e->inputs[0];
    size_t outer, n, inner;
    int axis = 0;
    rt_axis(e->node->attrs.axis, x->rank, &axis);
    rt_around_axis(x, axis, &outer, &n, &inner);
    for (size_t i = 0; i < outer; i++) {
        for (size_t k = 0; k < inner; k++) {
            size_t at = i * n * inner + k;
            softmax((const float *)x->data + at, rt_floats_of(&e->outputs[0]) + at, n, inner);
        }
    }
    return RETORT_OK;
}

const rt_op_row rt_op_softmax = {
    .text = "Softmax",
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .attrs = RT_ATTR_AXIS,
    .kind = RT_OP_KIND_ATTENTION,
    .infer = infer_softmax,
    .evaluate = evaluate_softmax,
};
