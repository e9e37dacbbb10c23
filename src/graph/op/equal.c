/* SPDX-License-Identifier: Apache-2.0
 * Equal. */
#include "graph/evaluate.h"
#include "graph/infer.h"

#include <string.h>

/* Whether two known elements are equal: 1, 0, or -1 when that cannot be known (a symbol is at least 1). */
static int content_equal(const rt_content *a, int i, const rt_content *b, int j) {
    bool a_symbol = (a->symbols >> i & 1u) != 0, b_symbol = (b->symbols >> j & 1u) != 0;
    if (a_symbol == b_symbol) return a->at[i] == b->at[j] ? 1 : a_symbol ? -1 : 0;
    return (a_symbol ? b->at[j] : a->at[i]) <= 0 ? 0 : -1;
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
        int verdict = content_equal(a, rt_content_at(a, i), b, rt_content_at(b, i));
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
