/* SPDX-License-Identifier: Apache-2.0
 * Equal. */
#include "graph/evaluate.h"
#include "graph/infer.h"

#include <string.h>

/* Whether two known elements are equal: 1, 0, or -1 when that cannot be known (a symbol is at least 1). gcc 12 at -O3 takes
 * symbols for numbers where this reads the bits of both itself. */
static int content_equal(const rt_value *a, int i, const rt_value *b, int j) {
    int64_t x = 0, y = 0;
    bool number = rt_content_number(a, i, &x), other = rt_content_number(b, j, &y);
    if (number && other) return x == y;
    if (!number && !other) return a->content.at[i] == b->content.at[j] ? 1 : -1;
    return (number ? x : y) <= 0 ? 0 : -1;
}

static retort_status infer_equal(rt_shapes *s) {
    const rt_content *a = &s->in[0]->content, *b = &s->in[1]->content;
    if (s->in[0]->dtype != s->in[1]->dtype) return rt_fail(s->err, RETORT_FORMAT, "dtypes differ");
    rt_out_like(s, 0, s->in[0]);
    s->out[0].dtype = RETORT_BOOL;
    s->out[0].content = (rt_content){0};
    retort_status status = rt_broadcast_with(s, s->in[1]);
    int count = status == RETORT_OK ? rt_content_count(&s->out[0], a, b) : -1;
    rt_content equal = {.known = count >= 0, .count = count};
    for (int i = 0; i < count; i++) {
        int verdict = content_equal(s->in[0], rt_content_at(a, i), s->in[1], rt_content_at(b, i));
        equal.at[i] = verdict;
        if (verdict < 0) equal.known = false;
    }
    if (equal.known) s->out[0].content = equal;
    return status;
}

static void equal_row(const rt_row *row) {
    retort_dtype dtype = row->e->inputs[0]->dtype;
    size_t size = rt_dtype_size(dtype);
    for (size_t i = 0; i < row->n; i++) {
        const char *a = row->in[0] + (int64_t)i * row->step[0], *b = row->in[1] + (int64_t)i * row->step[1];
        float x, y;
        bool same = memcmp(a, b, size) == 0;
        if (dtype == RETORT_F32) {
            memcpy(&x, a, sizeof x);
            memcpy(&y, b, sizeof y);
            same = x == y;
        }
        row->out[i] = same;
    }
}

static retort_status evaluate_equal(rt_op_evaluation *e, retort_error *err) {
    (void)err;
    rt_each_broadcast(e, 2, equal_row);
    return RETORT_OK;
}

const rt_op_row rt_op_equal = {
    .text = "Equal",
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .infer = infer_equal,
    .evaluate = evaluate_equal,
};
