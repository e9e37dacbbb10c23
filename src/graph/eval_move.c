/* SPDX-License-Identifier: Apache-2.0
 * Evaluators that move or convert data. */
#include "graph/eval.h"
#include "graph/infer.h"

#include <string.h>

/* The output's data, which the caller lets be written. */
static char *bytes_of(const rt_tensor *out) {
    return (char *)(uintptr_t)out->data;
}

static void copy_bytes(char *to, const void *from, size_t bytes) {
    if (bytes > 0) memcpy(to, from, bytes);
}

retort_status rt_eval_copy(rt_eval *eval, retort_error *err) {
    (void)err;
    const rt_tensor *out = &eval->outputs[0];
    copy_bytes(bytes_of(out), eval->inputs[0]->data, rt_tensor_count(out) * rt_dtype_size(out->dtype));
    return RETORT_OK;
}

/* ---- Cast ---- */

static int64_t float_to_int(float x) {
    if (!(x > -0x1p63f)) return x <= -0x1p63f ? INT64_MIN : 0; /* NaN: 0 */
    return x >= 0x1p63f ? INT64_MAX : (int64_t)x;
}

static int64_t read_int(const char *at, retort_dtype dtype) {
    int64_t wide = *at != 0; /* bool */
    int32_t narrow;
    float real;
    if (dtype == RETORT_I64) memcpy(&wide, at, sizeof wide);
    if (dtype == RETORT_I32) {
        memcpy(&narrow, at, sizeof narrow);
        wide = narrow;
    }
    if (dtype == RETORT_F32) {
        memcpy(&real, at, sizeof real);
        wide = float_to_int(real);
    }
    return wide;
}

static float read_float(const char *at, retort_dtype dtype) {
    float real;
    if (dtype != RETORT_F32) return (float)read_int(at, dtype);
    memcpy(&real, at, sizeof real);
    return real;
}

static void cast_row(const rt_row *row) {
    retort_dtype from = row->eval->inputs[0]->dtype, to = row->eval->outputs[0].dtype;
    size_t size = rt_dtype_size(to);
    for (size_t i = 0; i < row->n; i++) {
        const char *at = row->in[0] + (int64_t)i * row->step[0];
        float real = read_float(at, from);
        int64_t wide = read_int(at, from);
        int32_t narrow = (int32_t)wide;
        bool truth = from == RETORT_F32 ? real != 0 : wide != 0;
        const void *chosen = to == RETORT_F32   ? (const void *)&real
                             : to == RETORT_I64 ? (const void *)&wide
                             : to == RETORT_I32 ? (const void *)&narrow
                                                : (const void *)&truth;
        memcpy(row->out + i * size, chosen, size);
    }
}

retort_status rt_eval_cast(rt_eval *eval, retort_error *err) {
    (void)err;
    rt_view view = rt_view_broadcast(eval->inputs[0], eval->outputs[0].rank);
    rt_each_row(eval, 1, &view, cast_row);
    return RETORT_OK;
}

/* ---- Shapes, indices, slices ---- */

retort_status rt_eval_shape(rt_eval *eval, retort_error *err) {
    (void)err;
    const rt_tensor *x = eval->inputs[0];
    copy_bytes(bytes_of(&eval->outputs[0]), x->shape, (size_t)x->rank * sizeof *x->shape);
    return RETORT_OK;
}

retort_status rt_eval_gather(rt_eval *eval, retort_error *err) {
    const rt_tensor *data = eval->inputs[0];
    const int64_t *indices = eval->inputs[1]->data;
    size_t outer, n, inner, count = rt_tensor_count(eval->inputs[1]);
    int axis = 0;
    rt_axis(eval->node->attrs.axis, data->rank, &axis);
    rt_around_axis(data, axis, &outer, &n, &inner);
    size_t block = inner * rt_dtype_size(data->dtype);
    char *to = bytes_of(&eval->outputs[0]);
    for (size_t i = 0; i < outer; i++) {
        for (size_t k = 0; k < count; k++, to += block) {
            int64_t at = indices[k] < 0 ? indices[k] + (int64_t)n : indices[k];
            if (at < 0 || at >= (int64_t)n) {
                return rt_fail(err, RETORT_ARGUMENT, "%.200s: index %lld of %zu", eval->node->name,
                               (long long)indices[k], n);
            }
            copy_bytes(to, (const char *)data->data + (i * n + (size_t)at) * block, block);
        }
    }
    return RETORT_OK;
}

retort_status rt_eval_slice(rt_eval *eval, retort_error *err) {
    (void)err;
    const rt_tensor *data = eval->inputs[0], *starts = eval->inputs[1], *ends = eval->inputs[2];
    const rt_tensor *axes = eval->node->input_count > 3 ? eval->inputs[3] : NULL;
    const rt_tensor *steps = eval->node->input_count > 4 ? eval->inputs[4] : NULL;
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
    rt_each_row(eval, 1, &view, rt_copy_row);
    return RETORT_OK;
}

retort_status rt_eval_concat(rt_eval *eval, retort_error *err) {
    (void)err;
    const rt_tensor *out = &eval->outputs[0];
    size_t outer, n, inner, before = 0, size = rt_dtype_size(out->dtype);
    int axis = 0;
    rt_axis(eval->node->attrs.axis, out->rank, &axis);
    rt_around_axis(out, axis, &outer, &n, &inner);
    for (int k = 0; k < eval->node->input_count; k++) {
        const rt_tensor *part = eval->inputs[k];
        size_t own = (size_t)part->shape[axis], block = own * inner * size;
        for (size_t i = 0; i < outer; i++) {
            copy_bytes(bytes_of(out) + (i * n + before) * inner * size, (const char *)part->data + i * block,
                       block);
        }
        before += own;
    }
    return RETORT_OK;
}

retort_status rt_eval_split(rt_eval *eval, retort_error *err) {
    (void)err;
    const rt_tensor *data = eval->inputs[0];
    size_t outer, n, inner, before = 0, size = rt_dtype_size(data->dtype);
    int axis = 0;
    rt_axis(eval->node->attrs.axis, data->rank, &axis);
    rt_around_axis(data, axis, &outer, &n, &inner);
    for (int k = 0; k < eval->node->output_count; k++) {
        const rt_tensor *part = &eval->outputs[k];
        size_t own = (size_t)part->shape[axis], block = own * inner * size;
        for (size_t i = 0; i < outer; i++) {
            copy_bytes(bytes_of(part) + i * block, (const char *)data->data + (i * n + before) * inner * size,
                       block);
        }
        before += own;
    }
    return RETORT_OK;
}

retort_status rt_eval_transpose(rt_eval *eval, retort_error *err) {
    (void)err;
    const rt_tensor *data = eval->inputs[0];
    rt_view view = {.data = data->data};
    int64_t own[RT_MAX_RANK];
    rt_tensor_strides(data, own);
    for (int i = 0; i < data->rank; i++) view.stride[i] = own[eval->node->attrs.perm[i]];
    rt_each_row(eval, 1, &view, rt_copy_row);
    return RETORT_OK;
}

retort_status rt_eval_expand(rt_eval *eval, retort_error *err) {
    (void)err;
    rt_view view = rt_view_broadcast(eval->inputs[0], eval->outputs[0].rank);
    rt_each_row(eval, 1, &view, rt_copy_row);
    return RETORT_OK;
}

retort_status rt_eval_mask_rows(rt_eval *eval, retort_error *err) {
    (void)err;
    const rt_tensor *x = eval->inputs[0];
    const int64_t *ids = eval->inputs[1]->data;
    size_t row = (size_t)x->shape[2] * sizeof(float);
    char *to = bytes_of(&eval->outputs[0]);
    for (size_t i = 0; i < rt_tensor_count(eval->inputs[1]); i++) {
        if (ids[i] != eval->mask_id) continue;
        copy_bytes(to, (const char *)x->data + i * row, row);
        to += row;
    }
    return RETORT_OK;
}
