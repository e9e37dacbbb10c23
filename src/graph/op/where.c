/* SPDX-License-Identifier: Apache-2.0
 * Where. */
#include "graph/evaluate.h"
#include "graph/infer.h"

#include <string.h>

/* The content of a Where on a known condition and known vectors. */
static void where_content(rt_shapes *s) {
    const rt_content *condition = &s->in[0]->content, *x = &s->in[1]->content, *y = &s->in[2]->content;
    int count = rt_content_count(&s->out[0], x, y);
    if (count < 0 || !condition->known) return;
    rt_content picked = {.known = true, .count = count};
    for (int i = 0; i < count; i++) {
        const rt_content *from = condition->at[rt_content_at(condition, i)] != 0 ? x : y;
        int at = rt_content_at(from, i);
        picked.at[i] = from->at[at];
        picked.symbols |= (from->symbols >> at & 1u) << i;
    }
    s->out[0].content = picked;
}

static retort_status infer_where(rt_shapes *s) {
    if (s->in[0]->dtype != RETORT_BOOL || s->in[1]->dtype != s->in[2]->dtype) {
        return rt_fail(s->err, RETORT_FORMAT, "expected bool and two of one dtype");
    }
    rt_out_like(s, 0, s->in[1]);
    s->out[0].content = (rt_content){0};
    retort_status status = rt_broadcast_with(s, s->in[2]);
    if (status == RETORT_OK) status = rt_broadcast_with(s, s->in[0]);
    if (status == RETORT_OK) where_content(s);
    return status;
}

static void where_row(const rt_row *row) {
    size_t size = rt_dtype_size(row->e->outputs[0].dtype);
    for (size_t i = 0; i < row->n; i++) {
        int from = row->in[0][(int64_t)i * row->step[0]] != 0 ? 1 : 2;
        memcpy(row->out + i * size, row->in[from] + (int64_t)i * row->step[from], size);
    }
}

static retort_status evaluate_where(rt_op_evaluation *e, retort_error *err) {
    (void)err;
    rt_each_broadcast(e, 3, where_row);
    return RETORT_OK;
}

const rt_op_row rt_op_where = {
    .text = "Where",
    .min_inputs = 3,
    .max_inputs = 3,
    .outputs = 1,
    .infer = infer_where,
    .evaluate = evaluate_where,
};
