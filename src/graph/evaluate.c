/* SPDX-License-Identifier: Apache-2.0
 * Plain evaluation: dispatch to the operators, shapes by the same rules as inference, broadcasting row by
 * row. Written to be obviously right, not fast. */
#include "graph/evaluate.h"
#include "graph/infer.h"

#include <math.h>
#include <string.h>

/* ---- What the evaluators share ---- */

size_t rt_tensor_count(const rt_tensor *tensor) {
    size_t count = 1;
    for (int i = 0; i < tensor->rank; i++) count *= (size_t)tensor->shape[i];
    return count;
}

void rt_tensor_strides(const rt_tensor *tensor, int64_t stride[RT_MAX_RANK]) {
    int64_t bytes = (int64_t)rt_dtype_size(tensor->dtype);
    for (int i = tensor->rank - 1; i >= 0; i--) {
        stride[i] = bytes;
        bytes *= tensor->shape[i];
    }
}

rt_view rt_view_broadcast(const rt_tensor *tensor, int rank) {
    int64_t own[RT_MAX_RANK];
    rt_view view = {.data = tensor->data};
    rt_tensor_strides(tensor, own);
    for (int i = 0; i < tensor->rank; i++) {
        view.stride[rank - tensor->rank + i] = tensor->shape[i] == 1 ? 0 : own[i];
    }
    return view;
}

void rt_each_row(const rt_op_evaluation *e, int count, const rt_view *views, rt_row_fn fn) {
    const rt_tensor *out = &e->outputs[0];
    int last = out->rank - 1;
    rt_row row = {.n = last < 0 ? 1 : (size_t)out->shape[last], .e = e};
    size_t total = rt_tensor_count(out), rows = row.n == 0 ? 0 : total / row.n;
    char *data = (char *)(uintptr_t)out->data; /* the caller's, writable */
    for (size_t r = 0; r < rows; r++) {
        row.out = data + r * row.n * rt_dtype_size(out->dtype);
        for (int v = 0; v < count; v++) {
            size_t left = r;
            row.in[v] = views[v].data;
            row.step[v] = last < 0 ? 0 : views[v].stride[last];
            for (int i = last - 1; i >= 0; i--) {
                row.in[v] += (int64_t)(left % (size_t)out->shape[i]) * views[v].stride[i];
                left /= (size_t)out->shape[i];
            }
        }
        fn(&row);
    }
}

void rt_copy_row(const rt_row *row) {
    size_t size = rt_dtype_size(row->e->outputs[0].dtype);
    if (row->step[0] == (int64_t)size) {
        memcpy(row->out, row->in[0], row->n * size);
        return;
    }
    for (size_t i = 0; i < row->n; i++) {
        memcpy(row->out + i * size, row->in[0] + (int64_t)i * row->step[0], size);
    }
}

void rt_around_axis(const rt_tensor *tensor, int axis, size_t *outer, size_t *n, size_t *inner) {
    *outer = *inner = 1;
    *n = (size_t)tensor->shape[axis];
    for (int i = 0; i < axis; i++) *outer *= (size_t)tensor->shape[i];
    for (int i = axis + 1; i < tensor->rank; i++) *inner *= (size_t)tensor->shape[i];
}

void rt_each_broadcast(const rt_op_evaluation *e, int count, rt_row_fn fn) {
    rt_view views[3];
    for (int i = 0; i < count; i++) {
        views[i] = rt_view_broadcast(e->inputs[i], e->outputs[0].rank);
    }
    rt_each_row(e, count, views, fn);
}

float *rt_floats_of(const rt_tensor *out) {
    return (float *)(uintptr_t)out->data; /* the caller lets it be written */
}

char *rt_bytes_of(const rt_tensor *out) {
    return (char *)(uintptr_t)out->data;
}

void rt_copy_bytes(char *to, const void *from, size_t bytes) {
    if (bytes > 0) memcpy(to, from, bytes);
}

void rt_multiply(size_t m, size_t n, size_t k, const float *restrict a, const float *restrict b,
                 float *restrict c) {
    for (size_t i = 0; i < m; i++) {
        for (size_t l = 0; l < k; l++) {
            float x = a[i * k + l];
            for (size_t j = 0; j < n; j++) c[i * n + j] += x * b[l * n + j];
        }
    }
}

float rt_greater(float a, float b) {
    return isnan(a) || a > b ? a : b;
}

retort_status rt_op_copy(rt_op_evaluation *e, retort_error *err) {
    (void)err;
    const rt_tensor *out = &e->outputs[0];
    rt_copy_bytes(rt_bytes_of(out), e->inputs[0]->data, rt_tensor_count(out) * rt_dtype_size(out->dtype));
    return RETORT_OK;
}

/* ---- The frame ---- */

/* A tensor as a value for the shape rules: concrete dims, and the content of a short i64 vector. */
static rt_value value_of(const rt_tensor *tensor) {
    rt_value value = {.dtype = tensor->dtype, .rank = tensor->rank, .producer = -1, .data = tensor->data};
    memcpy(value.dims, tensor->shape, (size_t)tensor->rank * sizeof *tensor->shape);
    rt_value_read_content(&value);
    return value;
}

/* Rows of ids that hold the mask token. */
static int64_t count_mask_tokens(const rt_op_evaluation *e) {
    const int64_t *ids = e->inputs[1]->data; /* NOLINT: rt_infer_shapes has found it there */
    int64_t rows = 0;
    for (size_t i = 0; i < rt_tensor_count(e->inputs[1]); i++) rows += ids[i] == e->mask_id;
    return rows;
}

static retort_status set_shapes(rt_op_evaluation *e, retort_error *err) {
    rt_value values[RT_MAX_INPUTS];
    rt_shapes s = {.node = e->node, .err = err};
    for (int i = 0; i < e->node->input_count; i++) {
        const rt_tensor *input = e->inputs[i];
        size_t count;
        if (input == NULL) continue;
        if (input->data == NULL || input->rank > RT_MAX_RANK ||
            !rt_shape_count(input->shape, input->rank, &count)) {
            return rt_fail(err, RETORT_ARGUMENT, "%.200s: input %d has no data", e->node->name, i);
        }
        values[i] = value_of(input);
        s.in[i] = &values[i];
    }
    retort_status status = rt_infer_shapes(&s);
    for (int k = 0; status == RETORT_OK && k < e->node->output_count; k++) {
        rt_tensor *out = &e->outputs[k];
        out->dtype = s.out[k].dtype;
        out->rank = s.out[k].rank;
        memcpy(out->shape, s.out[k].dims, sizeof out->shape);
        if (out->rank > 0 && out->shape[0] == RT_DIM_MASK_TOKENS) out->shape[0] = count_mask_tokens(e);
    }
    return status;
}

retort_status rt_op_evaluate(rt_op_evaluation *e, retort_error *err) {
    const rt_node *node = e->node;
    if (rt_op_info(node->op)->evaluate == NULL) {
        return rt_fail(err, RETORT_UNSUPPORTED, "%.200s: %s has no plain evaluation", node->name,
                       rt_op_info(node->op)->text);
    }
    retort_status status = set_shapes(e, err);
    for (int k = 0; k < node->output_count; k++) {
        if (e->outputs[k].data == NULL) return status;
    }
    return status == RETORT_OK ? rt_op_info(node->op)->evaluate(e, err) : status;
}

/* In tiles that fit the L1 cache on both sides. */
void rt_transpose(float *b, const float *a, int64_t rows, int64_t columns) {
    enum { TILE = 32 };
    for (int64_t i0 = 0; i0 < rows; i0 += TILE) {
        for (int64_t j0 = 0; j0 < columns; j0 += TILE) {
            for (int64_t i = i0; i < rows && i < i0 + TILE; i++) {
                for (int64_t j = j0; j < columns && j < j0 + TILE; j++) b[j * rows + i] = a[i * columns + j];
            }
        }
    }
}
