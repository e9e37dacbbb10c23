/* SPDX-License-Identifier: Apache-2.0
 * ReduceMean, ReduceSum and ReduceMax over some axes. Sums are in double. */
#include "graph/evaluate.h"
#include "graph/infer.h"

#include <math.h>

/* Reduced axes as bits: the second input's, or all when it is empty, or the attribute's one. */
static bool reduced_axes(const rt_shapes *s, unsigned *axes) {
    const rt_value *given = rt_optional(s, REDUCE_AXES);
    int rank = s->in[REDUCE_DATA]->rank, axis;
    if (given == NULL) {
        if (!rt_axis(s->node->attrs.axis, rank, &axis)) return false;
        *axes = 1u << axis;
        return true;
    }
    if (!rt_content_axes(given, rank, axes)) return false;
    if (given->content.count == 0) *axes = (1u << rank) - 1;
    return true;
}

static retort_status infer_reduce(rt_shapes *s) {
    const rt_value *x = s->in[0];
    unsigned axes;
    if (x->dtype != RETORT_F32) return rt_not_float(s);
    if (!reduced_axes(s, &axes)) return rt_fail(s->err, RETORT_FORMAT, "axes are not known or out of range");
    rt_out_begin(s, x->dtype);
    for (int i = 0; i < x->rank; i++) {
        bool reduced = (axes >> i & 1u) != 0;
        if (!reduced || s->node->attrs.keepdims) rt_push_dim(&s->out[0], reduced ? 1 : x->dims[i]);
    }
    return RETORT_OK;
}

/* Some axes of a tensor, as an index over these. */
typedef struct axes {
    int rank;
    size_t dims[RT_MAX_RANK], strides[RT_MAX_RANK]; /* elements */
    size_t count;
} axes;

static axes pick_axes(const rt_tensor *x, unsigned bits) {
    axes picked = {.count = 1};
    int64_t strides[RT_MAX_RANK];
    rt_tensor_strides(x, strides);
    for (int i = 0; i < x->rank; i++) {
        if ((bits >> i & 1u) == 0) continue;
        picked.dims[picked.rank] = (size_t)x->shape[i];
        picked.strides[picked.rank++] = (size_t)strides[i] / sizeof(float);
        picked.count *= (size_t)x->shape[i];
    }
    return picked;
}

static size_t offset_of(const axes *a, size_t index) {
    size_t offset = 0;
    for (int i = a->rank - 1; i >= 0; i--) {
        offset += index % a->dims[i] * a->strides[i];
        index /= a->dims[i];
    }
    return offset;
}

typedef float (*reduction)(const float *x, const axes *over);

static float reduce_sum(const float *x, const axes *over) {
    double sum = 0;
    for (size_t i = 0; i < over->count; i++) sum += (double)x[offset_of(over, i)];
    return (float)sum;
}

static float reduce_mean(const float *x, const axes *over) {
    double sum = 0;
    for (size_t i = 0; i < over->count; i++) sum += (double)x[offset_of(over, i)];
    return (float)(sum / (double)over->count);
}

static float reduce_max(const float *x, const axes *over) {
    float max = -INFINITY;
    for (size_t i = 0; i < over->count; i++) max = rt_greater(x[offset_of(over, i)], max);
    return max;
}

static const reduction reductions[RT_OP_COUNT] = {
    [RT_OP_REDUCE_SUM] = reduce_sum, [RT_OP_REDUCE_MEAN] = reduce_mean, [RT_OP_REDUCE_MAX] = reduce_max};

static retort_status evaluate_reduce(rt_op_evaluation *e, retort_error *err) {
    (void)err;
    const rt_tensor *x = e->inputs[REDUCE_DATA],
                    *given = e->node->input_count > REDUCE_AXES ? e->inputs[REDUCE_AXES] : NULL;
    unsigned all = (1u << x->rank) - 1, bits = 0;
    int axis = 0;
    size_t named = given != NULL ? rt_tensor_count(given) : 1;
    for (size_t i = 0; i < named; i++) {
        int64_t number = given != NULL ? ((const int64_t *)given->data)[i] : e->node->attrs.axis;
        if (rt_axis(number, x->rank, &axis)) bits |= 1u << axis;
    }
    if (named == 0) bits = all;
    axes over = pick_axes(x, bits), kept = pick_axes(x, all & ~bits);
    float *y = rt_floats_of(&e->outputs[0]);
    for (size_t i = 0; i < kept.count; i++) {
        y[i] = reductions[e->node->op]((const float *)x->data + offset_of(&kept, i), &over);
    }
    return RETORT_OK;
}

const rt_op_row rt_op_reduce_mean = {
    .text = "ReduceMean",
    .min_inputs = 1,
    .max_inputs = 2,
    .outputs = 1,
    .attrs = RT_ATTR_AXIS | RT_ATTR_KEEPDIMS,
    .kind = RT_OP_KIND_ROWS,
    .infer = infer_reduce,
    .evaluate = evaluate_reduce,
};
const rt_op_row rt_op_reduce_sum = {
    .text = "ReduceSum",
    .min_inputs = 1,
    .max_inputs = 2,
    .outputs = 1,
    .attrs = RT_ATTR_AXIS | RT_ATTR_KEEPDIMS,
    .kind = RT_OP_KIND_ROWS,
    .infer = infer_reduce,
    .evaluate = evaluate_reduce,
};
const rt_op_row rt_op_reduce_max = {
    .text = "ReduceMax",
    .min_inputs = 1,
    .max_inputs = 2,
    .outputs = 1,
    .attrs = RT_ATTR_AXIS | RT_ATTR_KEEPDIMS,
    .kind = RT_OP_KIND_ROWS,
    .infer = infer_reduce,
    .evaluate = evaluate_reduce,
};
