/* SPDX-License-Identifier: Apache-2.0
 * Slice. Symbols are taken to be at least 1: a batch has a sequence and a sequence has a token. */
#include "graph/evaluate.h"
#include "graph/infer.h"

static int64_t clamp(int64_t x, int64_t low, int64_t high) {
    return x < low ? low : x > high ? high : x;
}

int64_t rt_slice_count(int64_t dim, int64_t *start, int64_t end, int64_t step) {
    bool forward = step > 0;
    if (dim == 0) return 0;
    *start = clamp(*start < 0 ? *start + dim : *start, 0, forward ? dim : dim - 1);
    end = clamp(end < 0 ? end + dim : end, forward ? 0 : -1, forward ? dim : dim - 1);
    int64_t span = forward ? end - *start : *start - end;
    return span > 0 ? (span - 1) / (forward ? step : -step) + 1 : 0;
}

/* One axis of Slice. Two rules for symbols: a slice that ends at a symbol has that symbol's length (positions
 * [1, 512] to [1, seq]), and of a symbolic dim a slice is the whole of it, or its first or last element. */
static bool slice_dim(const rt_shapes *s, int i, int64_t *dim) {
    int64_t start, end, step = 1;
    const rt_content *ends = &s->in[SLICE_ENDS]->content;
    if (!rt_content_number(s->in[SLICE_STARTS], i, &start)) return false;
    const rt_value *steps = rt_optional(s, SLICE_STEPS);
    if (steps != NULL && !rt_content_number(steps, i, &step)) return false;
    if (step == 0 || step == INT64_MIN || !ends->known) return false;
    if ((ends->symbols >> i & 1u) != 0) {
        bool prefix = start == 0 && step == 1;
        *dim = ends->at[i];
        return prefix;
    }
    end = ends->at[i];
    if (*dim >= 0) {
        *dim = rt_slice_count(*dim, &start, end, step);
        return true;
    }
    if (step != 1) return false;
    bool first = start == 0 && end == 1, last = start == -1 && end == INT64_MAX;
    if (first || last) *dim = 1;
    return first || last || (start == 0 && end == INT64_MAX);
}

/* A slice by step 1 of a known vector. */
static void slice_content(rt_shapes *s, const int64_t *dims) {
    const rt_content *data = &s->in[SLICE_DATA]->content;
    int64_t start;
    if (!data->known || s->in[SLICE_DATA]->rank != 1 || dims[0] < 0 ||
        !rt_content_number(s->in[SLICE_STARTS], 0, &start))
        return;
    const rt_value *steps = rt_optional(s, SLICE_STEPS);
    int64_t step = 1;
    if (steps != NULL && (!rt_content_number(steps, 0, &step) || step != 1)) return;
    rt_content cut = {.known = true};
    if (start < 0) start += data->count;
    if (start < 0) start = 0;
    for (int64_t i = 0; i < dims[0]; i++) rt_push_content(&cut, data, (int)(start + i));
    s->out[0].content = cut;
}

static retort_status infer_slice(rt_shapes *s) {
    const rt_value *data = s->in[SLICE_DATA], *starts = s->in[SLICE_STARTS], *ends = s->in[SLICE_ENDS];
    const rt_value *axes = rt_optional(s, SLICE_AXES);
    int count = starts->content.known ? starts->content.count : -1;
    unsigned seen = 0;
    rt_out_like(s, 0, data);
    s->out[0].content = (rt_content){0};
    if (count < 0 || count > data->rank || (ends->content.known && ends->content.count != count)) {
        return rt_fail(s->err, RETORT_FORMAT, "starts are not known, or not as many as ends");
    }
    for (int i = 0; i < count; i++) {
        int64_t number = i;
        int axis = 0;
        if ((axes != NULL && !rt_content_number(axes, i, &number)) || !rt_axis(number, data->rank, &axis) ||
            (seen >> axis & 1u) != 0)
            return rt_fail(s->err, RETORT_FORMAT, "axes are not known, repeated or out of range");
        seen |= 1u << axis;
        if (!slice_dim(s, i, &s->out[0].dims[axis])) {
            return rt_fail(s->err, RETORT_FORMAT, "the slice of dim %d has no known length", axis);
        }
    }
    if (count == 1) slice_content(s, s->out[0].dims);
    return RETORT_OK;
}

static retort_status evaluate_slice(rt_op_evaluation *e, retort_error *err) {
    (void)err;
    const rt_tensor *data = e->inputs[SLICE_DATA], *starts = e->inputs[SLICE_STARTS],
                    *ends = e->inputs[SLICE_ENDS];
    const rt_tensor *axes = e->node->input_count > SLICE_AXES ? e->inputs[SLICE_AXES] : NULL;
    const rt_tensor *steps = e->node->input_count > SLICE_STEPS ? e->inputs[SLICE_STEPS] : NULL;
    rt_view view = {.data = data->data};
    rt_tensor_strides(data, view.stride);
    for (size_t i = 0; i < rt_tensor_count(starts); i++) {
        int axis = 0;
        int64_t start = ((const int64_t *)starts->data)[i];
        int64_t step = steps != NULL ? ((const int64_t *)steps->data)[i] : 1;
        rt_axis(axes != NULL ? ((const int64_t *)axes->data)[i] : (int64_t)i, data->rank, &axis);
        int64_t count = rt_slice_count(data->shape[axis], &start, ((const int64_t *)ends->data)[i], step);
        if (count > 0) view.data += start * view.stride[axis];
        if (count > 1) view.stride[axis] *= step;
    }
    rt_each_row(e, 1, &view, rt_copy_row);
    return RETORT_OK;
}

const rt_op_row rt_op_slice = {
    .text = "Slice",
    .min_inputs = 3,
    .max_inputs = 5,
    .outputs = 1,
    .kind = RT_OP_KIND_SHAPE,
    .infer = infer_slice,
    .evaluate = evaluate_slice,
};
