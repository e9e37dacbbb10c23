/* SPDX-License-Identifier: Apache-2.0
 * Linear: act(x w + bias) + residual -> […, n]. LINEAR_… in graph/operands.h names its inputs.
 *   weight    [k, n] in rows, or at level 3 packed: p16, p16_bf16 (x is bf16), p16_s8, p16_s4 (x is s8)
 *   scale     f32 [n] per channel, and sums i32 [n], which gemm_q calls b_sum: of p16_s8 and p16_s4
 *   groups    u8 [ceil(n/16), ceil(k/group), 16], integer scales of p16_s4
 *   outliers  p16_s8 [w, n], rows that are added to those of a p16_s4 weight, and which columns of x they multiply
 *   rotary    f32 [pairs]: pair i of a head is turned by position * rotary[i]; rotate: columns of the heads it is for
 * With gate, the output has n / 2 columns: act(first) second of each pair.
 * With an output dtype, the output is bf16. With heads, the weight is block-diagonal: x has that many blocks of
 * k columns, and each block of n / heads columns of y is the product with its own block of x. */
#include "graph/infer.h"
#include "graph/op/fused.h"

/* An int32 holds the sum of at most 2^17 products of 127 and -128. */
enum { MAX_INTEGER_K = 1 << 17 };

/* Outlier rows, or none: a few int8 rows and the columns of x that they multiply. */
static bool outliers_fit(const rt_shapes *s, int64_t n) {
    const rt_value *outliers = rt_optional(s, LINEAR_OUTLIERS),
                   *columns = rt_optional(s, LINEAR_OUTLIER_COLUMNS);
    if (outliers == NULL || columns == NULL) return outliers == columns;
    int64_t count = outliers->rank == 2 ? outliers->dims[0] : 0;
    return outliers->layout == RT_LAYOUT_P16_S8 && count > 0 && count <= RT_MAX_OUTLIERS && count % 8 == 0 &&
           outliers->dims[1] == n && rt_is_rows(columns, RETORT_I32, 1, &count);
}

/* Integer weights have scale, sums, groups and outlier rows; others have none of them. */
static retort_status check_integer(const rt_shapes *s) {
    const rt_value *weight = s->in[LINEAR_WEIGHT], *scale = rt_optional(s, LINEAR_SCALE),
                   *sums = rt_optional(s, LINEAR_SUMS), *groups = rt_optional(s, LINEAR_GROUPS);
    int64_t k = weight->dims[0], n = weight->dims[1];
    bool s4 = weight->layout == RT_LAYOUT_P16_S4;
    if (rt_linear_input(weight) != RETORT_S8) {
        bool none = scale == NULL && sums == NULL && groups == NULL && s->node->attrs.group == 0 &&
                    rt_optional(s, LINEAR_OUTLIERS) == NULL && rt_optional(s, LINEAR_OUTLIER_COLUMNS) == NULL;
        return none ? RETORT_OK : rt_fail(s->err, RETORT_FORMAT, "scales for a float weight");
    }
    int64_t count = rt_group_count(s, k, 8);
    bool fits = rt_is_rows(scale, RETORT_F32, 1, &n) && rt_is_rows(sums, RETORT_I32, 1, &n) &&
                k <= MAX_INTEGER_K && s->node->attrs.out_dtype == RETORT_F32 && s->in[LINEAR_X]->rank == 2;
    if (s4) {
        int64_t dims[] = {(n + RT_PANEL - 1) / RT_PANEL, count, RT_PANEL};
        fits = fits && count > 0 && rt_is_rows(groups, RETORT_U8, 3, dims) && outliers_fit(s, n);
    } else {
        fits = fits && groups == NULL && s->node->attrs.group == 0 &&
               rt_optional(s, LINEAR_OUTLIERS) == NULL && rt_optional(s, LINEAR_OUTLIER_COLUMNS) == NULL;
    }
    if (fits) return RETORT_OK;
    return rt_fail(s->err, RETORT_FORMAT,
                   "scale, sums, groups of %lld or outlier rows do not fit an integer weight",
                   (long long)s->node->attrs.group);
}

/* Gates and rotations are of whole matrices, and nothing else follows them. */
static retort_status check_pairs(const rt_shapes *s, int64_t n) {
    const rt_attrs *attrs = &s->node->attrs;
    const rt_value *rotary = rt_optional(s, LINEAR_ROTARY), *residual = rt_optional(s, LINEAR_RESIDUAL);
    int64_t dim = rotary != NULL && rotary->rank == 1 ? 2 * rotary->dims[0] : 0;
    bool plain = attrs->heads == 0 && residual == NULL;
    if (attrs->gate && (!plain || n % 2 != 0 || n < 2 || rotary != NULL))
        return rt_fail(s->err, RETORT_FORMAT, "gate is for an even number of columns alone");
    if (rotary == NULL && attrs->rotate == 0) return RETORT_OK;
    bool fits = plain && rt_is_vector(rotary, dim / 2, false) && dim > 0 && attrs->rotate > 0 &&
                attrs->rotate <= n && attrs->rotate % dim == 0 && attrs->act == RT_FN_NONE &&
                attrs->out_dtype == RETORT_F32;
    return fits ? RETORT_OK
                : rt_fail(s->err, RETORT_FORMAT, "rotate=%lld does not fit rotary and columns",
                          (long long)attrs->rotate);
}

static retort_status infer_linear(rt_shapes *s) {
    const rt_value *x = s->in[LINEAR_X], *weight = s->in[LINEAR_WEIGHT];
    const rt_value *bias = rt_optional(s, LINEAR_BIAS), *residual = rt_optional(s, LINEAR_RESIDUAL);
    bool rows = weight->layout == RT_LAYOUT_ROWS;
    int64_t blocks = s->node->attrs.heads > 0 ? s->node->attrs.heads : 1;
    if (x->rank < 2 || weight->rank != 2 || x->dims[x->rank - 1] % blocks != 0 ||
        x->dims[x->rank - 1] / blocks != weight->dims[0]) {
        return rt_fail(s->err, RETORT_FORMAT, "expected […, k] and [k, n]");
    }
    if (s->node->attrs.heads < 0 || weight->dims[1] % blocks != 0 ||
        (blocks > 1 && weight->dims[1] / blocks % RT_PANEL != 0)) {
        return rt_fail(s->err, RETORT_FORMAT, "heads=%lld are no blocks of whole panels",
                       (long long)s->node->attrs.heads);
    }
    if (weight->layout == RT_LAYOUT_ROWS_S4 || (rows && weight->dtype != RETORT_F32)) {
        return rt_fail(s->err, RETORT_FORMAT, "%s %s cannot be a weight", retort_dtype_name(weight->dtype),
                       rt_layout_name(weight->layout));
    }
    if (x->dtype != rt_linear_input(weight)) {
        return rt_fail(s->err, RETORT_FORMAT, "expected x as %s for a weight in %s",
                       retort_dtype_name(rt_linear_input(weight)), rt_layout_name(weight->layout));
    }
    rt_rows_like(s, x, x->rank - 1, s->node->attrs.gate ? weight->dims[1] / 2 : weight->dims[1]);
    if (!rt_is_vector(bias, weight->dims[1], true))
        return rt_fail(s->err, RETORT_FORMAT, "the bias is not [n]");
    if (residual != NULL && (residual->dtype != RETORT_F32 || !rt_same_dims(residual, &s->out[0]))) {
        return rt_fail(s->err, RETORT_FORMAT, "the residual is not […, n]");
    }
    retort_status status = rt_check_out_dtype(s, x, false);
    if (status == RETORT_OK) status = check_pairs(s, weight->dims[1]);
    return status == RETORT_OK ? check_integer(s) : status;
}

const rt_op_row rt_op_linear = {
    .text = "Linear",
    .min_inputs = 2,
    .max_inputs = 10,
    .outputs = 1,
    .attrs = RT_ATTR_ACT | RT_ATTR_OUT_DTYPE | RT_ATTR_GROUP | RT_ATTR_HEADS | RT_ATTR_GATE | RT_ATTR_ROTATE,
    .level = 2,
    .kind = RT_OP_KIND_MATRIX,
    .infer = infer_linear,
};
