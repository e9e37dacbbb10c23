/* SPDX-License-Identifier: Apache-2.0
 * Cast: f32, i64, i32 and bool. */
#include "graph/evaluate.h"
#include "graph/infer.h"

#include <string.h>

static bool can_cast(retort_dtype dtype) {
    return dtype == RETORT_F32 || dtype == RETORT_I64 || dtype == RETORT_I32 || dtype == RETORT_BOOL;
}

static retort_status infer_cast(rt_shapes *s) {
    if (!can_cast(s->in[0]->dtype) || !can_cast(s->node->attrs.dtype)) {
        return rt_fail(s->err, RETORT_UNSUPPORTED, "to %s: Cast knows f32, i64, i32 and bool",
                       retort_dtype_name(s->node->attrs.dtype));
    }
    rt_out_like(s, 0, s->in[0]);
    s->out[0].dtype = s->node->attrs.dtype;
    if (s->node->attrs.dtype != RETORT_I64) s->out[0].content = (rt_content){0};
    return RETORT_OK;
}

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
    retort_dtype from = row->e->inputs[0]->dtype, to = row->e->outputs[0].dtype;
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

static retort_status evaluate_cast(rt_op_evaluation *e, retort_error *err) {
    (void)err;
    rt_view view = rt_view_broadcast(e->inputs[0], e->outputs[0].rank);
    rt_each_row(e, 1, &view, cast_row);
    return RETORT_OK;
}

static bool is_same_dtype(const rt_graph *graph, const rt_node *node) {
    return node->attrs.dtype == graph->values[node->inputs[0]].dtype;
}

const rt_op_row rt_op_cast = {
    .text = "Cast",
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .attrs = RT_ATTR_DTYPE,
    .kind = RT_OP_KIND_SHAPE,
    .infer = infer_cast,
    .evaluate = evaluate_cast,
    .is_identity = is_same_dtype,
};
