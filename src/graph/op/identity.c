/* SPDX-License-Identifier: Apache-2.0
 * Identity. */
#include "graph/evaluate.h"
#include "graph/infer.h"

static retort_status infer_same(rt_shapes *s) {
    rt_out_like(s, 0, s->in[0]);
    return RETORT_OK;
}

static bool is_always(const rt_graph *graph, const rt_node *node) {
    (void)graph;
    (void)node;
    return true;
}

const rt_op_row rt_op_identity = {
    .text = "Identity",
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .kind = RT_OP_KIND_SHAPE,
    .infer = infer_same,
    .evaluate = rt_op_copy,
    .is_identity = is_always,
};
