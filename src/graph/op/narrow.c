/* SPDX-License-Identifier: Apache-2.0
 * Narrow: float (, factor, add) -> bf16, or x (* factor + add) in s8, where no producer can do it
 * itself. */
#include "graph/infer.h"
#include "graph/op/fused.h"

static retort_status infer_narrow(rt_shapes *s) {
    retort_status status = rt_infer_float_same(s);
    s->out[0].dtype = s->node->attrs.narrow;
    if (status == RETORT_OK && s->node->attrs.narrow == RETORT_F32) {
        return rt_fail(s->err, RETORT_FORMAT, "expected narrow=bf16 or narrow=s8");
    }
    if (status == RETORT_OK) status = rt_check_narrow(s, &s->out[0], true);
    return status == RETORT_OK ? rt_check_channel_scaling(s, NARROW_CHANNEL_SCALE) : status;
}

const rt_op_row rt_op_narrow = {
    .text = "Narrow",
    .least = 1,
    .most = 3,
    .outputs = 1,
    .attrs = RT_ATTR_NARROW | RT_ATTR_RANGE,
    .level = 3,
    .kind = RT_OP_KIND_NARROW,
    .infer = infer_narrow,
};
