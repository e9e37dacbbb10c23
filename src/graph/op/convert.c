/* SPDX-License-Identifier: Apache-2.0
 * Convert ("Narrow" in text): float (, factor, add) -> bf16, or x (* factor + add) in s8, where the producer cannot write it. */
#include "graph/infer.h"
#include "graph/op/fused.h"

static retort_status infer_convert(rt_shapes *s) {
    retort_status status = rt_infer_float_same(s);
    s->out[0].dtype = s->node->attrs.out_dtype;
    if (status == RETORT_OK && s->node->attrs.out_dtype == RETORT_F32) {
        return rt_fail(s->err, RETORT_FORMAT, "expected narrow=bf16 or narrow=s8");
    }
    if (status == RETORT_OK) status = rt_check_out_dtype(s, &s->out[0], true);
    return status == RETORT_OK ? rt_check_channel_scaling(s, CONVERT_CHANNEL_SCALE) : status;
}

const rt_op_row rt_op_convert = {
    .text = "Narrow",
    .min_inputs = 1,
    .max_inputs = 3,
    .outputs = 1,
    .attrs = RT_ATTR_OUT_DTYPE | RT_ATTR_RANGE,
    .level = 3,
    .kind = RT_OP_KIND_CONVERT,
    .infer = infer_convert,
};
