/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/op/fused.h"

#include <math.h>
#include <string.h>

void rt_rows_like(rt_shapes *s, const rt_value *like, int rows_rank, int64_t n) {
    rt_out_begin(s, s->node->attrs.out_dtype);
    rt_push_dims(&s->out[0], like->dims, 0, rows_rank);
    rt_push_dim(&s->out[0], n);
}

retort_status rt_check_out_dtype(const rt_shapes *s, const rt_value *rows, bool s8) {
    retort_dtype out_dtype = s->node->attrs.out_dtype;
    float min = s->node->attrs.range_min, max = s->node->attrs.range_max;
    bool ranged = min != 0 || max != 0;
    if (ranged && !(out_dtype == RETORT_S8 && isfinite(min) && isfinite(max) && min < max)) {
        return rt_fail(s->err, RETORT_FORMAT, "least=%g, largest=%g is not a range of int8", (double)min,
                       (double)max);
    }
    if (out_dtype == RETORT_F32 || out_dtype == RETORT_BF16 ||
        (out_dtype == RETORT_S8 && s8 && rows->rank == 2)) {
        return RETORT_OK;
    }
    return rt_fail(s->err, RETORT_FORMAT, "narrow=%s is not a dtype it can write",
                   retort_dtype_name(out_dtype));
}

retort_status rt_check_channel_scaling(const rt_shapes *s, int index) {
    const rt_value *factor = rt_optional(s, index), *add = rt_optional(s, index + 1);
    const rt_value *out = &s->out[0];
    if (factor == NULL && add == NULL) return RETORT_OK;
    if (factor != NULL && add != NULL && s->node->attrs.out_dtype == RETORT_S8 &&
        rt_is_vector(factor, out->dims[out->rank - 1], false) &&
        rt_is_vector(add, out->dims[out->rank - 1], false))
        return RETORT_OK;
    return rt_fail(s->err, RETORT_FORMAT, "factor and add do not fit, or nothing becomes int8");
}

retort_status rt_float_and_converted(rt_shapes *s, int scaled) {
    s->out[0].dtype = RETORT_F32;
    s->out[1] = s->out[0];
    s->out[1].dtype = s->node->attrs.out_dtype;
    retort_status status = rt_check_out_dtype(s, &s->out[0], true);
    return status == RETORT_OK ? rt_check_channel_scaling(s, scaled) : status;
}

bool rt_is_rows(const rt_value *value, retort_dtype dtype, int rank, const int64_t *dims) {
    return value != NULL && value->dtype == dtype && value->layout == RT_LAYOUT_ROWS && value->rank == rank &&
           memcmp(value->dims, dims, (size_t)rank * sizeof *dims) == 0;
}

int64_t rt_group_count(const rt_shapes *s, int64_t n, int64_t unit) {
    int64_t group = s->node->attrs.group;
    return group >= unit && group % unit == 0 ? n / group + (n % group != 0) : 0;
}

bool rt_is_table(const rt_value *value, int64_t n) {
    return value != NULL && value->dtype == RETORT_F32 && value->layout == RT_LAYOUT_ROWS &&
           value->rank == 2 && value->dims[1] == n;
}

bool rt_is_padded(const rt_value *x) {
    return x->rank == 3;
}

bool rt_mask_fits(const rt_shapes *s, int index, const rt_value *keys) {
    const rt_value *mask = rt_optional(s, index);
    if (!rt_is_padded(keys)) return mask == NULL;
    return mask != NULL && mask->dtype == RETORT_I64 && mask->rank == 2 && mask->dims[0] == keys->dims[0] &&
           mask->dims[1] == keys->dims[1];
}
