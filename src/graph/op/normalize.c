/* SPDX-License-Identifier: Apache-2.0
 * Normalize: rows of length 1. */
#include "graph/infer.h"

const rt_op_row rt_op_normalize = {
    .text = "Normalize",
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .level = 2,
    .kind = RT_OP_KIND_NORM,
    .infer = rt_infer_float_same,
};
