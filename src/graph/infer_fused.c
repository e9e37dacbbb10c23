/* SPDX-License-Identifier: Apache-2.0
 * Shape rules of the fused operators (levels 2 and 3). "Rows" are all dims but the last: [batch, seq] while
 * batches are padded, [tokens] when they are ragged, [batch] or [rows] after a selection. */
#include "graph/infer.h"

/* Output 0: the rows of `like`, then n. */
static void rows_of(rt_shapes *s, const rt_value *like, int rows_rank, int64_t n) {
    rt_out_begin(s, s->node->attrs.narrow ? RETORT_BF16 : RETORT_F32);
    rt_push_dims(&s->out[0], like->dims, 0, rows_rank);
    rt_push_dim(&s->out[0], n);
}

/* Output 0 is float; a second one, if any, is the same in bf16. */
static void float_and_narrow(rt_shapes *s) {
    s->out[0].dtype = RETORT_F32;
    s->out[1] = s->out[0];
    s->out[1].dtype = RETORT_BF16;
}

static bool is_table(const rt_value *value, int64_t n) {
    return value != NULL && value->dtype == RETORT_F32 && value->rank == 2 && value->dims[1] == n;
}

/* Whether the rows of an activation are padded sequences. */
static bool is_padded(const rt_value *x) {
    return x->rank == 3;
}

retort_status rt_infer_embed(rt_shapes *s) {
    const rt_value *ids = s->in[0], *word = s->in[1];
    bool typed = s->node->input_count > 5;
    if (ids->dtype != RETORT_I64 || ids->rank < 1 || ids->rank > 2 || word->rank != 2) {
        return rt_fail(s->err, RETORT_FORMAT, "expected ids i64 [batch, seq] or [tokens] and a word table");
    }
    int64_t n = word->dims[1];
    if (!is_table(word, n) || !is_table(s->in[2], n) || !rt_is_vector(s->in[3], n, false) ||
        !rt_is_vector(s->in[4], n, false))
        return rt_fail(s->err, RETORT_FORMAT, "tables, gamma and beta do not fit");
    if (typed && (s->node->input_count != 7 || s->in[5] == NULL || s->in[5]->dtype != RETORT_I64 ||
                  !rt_same_dims(s->in[5], ids) || !is_table(s->in[6], n)))
        return rt_fail(s->err, RETORT_FORMAT, "types and their table do not fit");
    rows_of(s, ids, ids->rank, n);
    float_and_narrow(s);
    return RETORT_OK;
}

retort_status rt_infer_linear(rt_shapes *s) {
    const rt_value *x = s->in[0], *weight = s->in[1];
    const rt_value *bias = s->node->input_count > 2 ? s->in[2] : NULL;
    const rt_value *residual = s->node->input_count > 3 ? s->in[3] : NULL;
    bool bf16 = weight->dtype == RETORT_BF16;
    if (x->rank < 2 || weight->rank != 2 || x->dims[x->rank - 1] != weight->dims[0]) {
        return rt_fail(s->err, RETORT_FORMAT, "expected […, k] and [k, n]");
    }
    if ((!bf16 && weight->dtype != RETORT_F32) || x->dtype != weight->dtype) {
        return rt_fail(s->err, RETORT_FORMAT, "expected x and weight both f32 or both bf16");
    }
    rows_of(s, x, x->rank - 1, weight->dims[1]);
    if (!rt_is_vector(bias, weight->dims[1], true))
        return rt_fail(s->err, RETORT_FORMAT, "the bias is not [n]");
    if (residual != NULL && (residual->dtype != RETORT_F32 || !rt_same_dims(residual, &s->out[0]))) {
        return rt_fail(s->err, RETORT_FORMAT, "the residual is not […, n]");
    }
    return RETORT_OK;
}

retort_status rt_infer_layer_norm(rt_shapes *s) {
    retort_status status = rt_infer_layer_normalization(s);
    if (status == RETORT_OK) float_and_narrow(s);
    return status;
}

/* The mask is there when the keys' rows are padded, and only then. */
static bool mask_fits(const rt_shapes *s, int index, const rt_value *keys) {
    const rt_value *mask = s->node->input_count > index ? s->in[index] : NULL;
    if (!is_padded(keys)) return mask == NULL;
    return mask != NULL && mask->dtype == RETORT_I64 && mask->rank == 2 && mask->dims[0] == keys->dims[0] &&
           mask->dims[1] == keys->dims[1];
}

/* Columns of parts 0…parts-1 in units of hidden: (3), (1, 2), (1, 1, 1). */
static const int64_t part_columns[4][3] = {{0}, {3}, {1, 2}, {1, 1, 1}};

retort_status rt_infer_attention(rt_shapes *s) {
    const rt_attrs *attrs = &s->node->attrs;
    const rt_value *q = s->in[0];
    int parts = attrs->parts;
    if (parts < 1 || parts > 3 || s->node->input_count < parts || q->rank < 2) {
        return rt_fail(s->err, RETORT_FORMAT, "parts %d, expected 1 to 3 and so many inputs", parts);
    }
    int64_t columns = q->dims[q->rank - 1], hidden = columns / part_columns[parts][0];
    if (attrs->heads < 1 || hidden < 1 || hidden % attrs->heads != 0 ||
        columns != hidden * part_columns[parts][0])
        return rt_fail(s->err, RETORT_FORMAT, "%lld heads do not divide the columns",
                       (long long)attrs->heads);
    const rt_value *keys = s->in[parts - 1];
    for (int i = 0; i < parts; i++) {
        const rt_value *part = s->in[i];
        if (part == NULL || part->dtype != RETORT_F32 || part->rank < 2 || keys == NULL ||
            part->dims[part->rank - 1] / part_columns[parts][i] != hidden ||
            part->dims[part->rank - 1] % part_columns[parts][i] != 0 || (i > 0 && part->rank != keys->rank))
            return rt_fail(s->err, RETORT_FORMAT, "input %d is not f32 with %lld columns", i,
                           (long long)(hidden * part_columns[parts][i]));
    }
    if (!mask_fits(s, parts, keys)) return rt_fail(s->err, RETORT_FORMAT, "the mask does not fit the keys");
    rows_of(s, q, q->rank - 1, hidden);
    return RETORT_OK;
}

retort_status rt_infer_select(rt_shapes *s) {
    const rt_value *x = s->in[0], *ids = s->node->input_count > 1 ? s->in[1] : NULL;
    bool mask = s->node->attrs.select == RT_SELECT_MASK;
    if (x->dtype != RETORT_F32 || x->rank < 2 || x->rank > 3 || s->node->attrs.select == RT_SELECT_ALL) {
        return rt_fail(s->err, RETORT_FORMAT, "expected f32 […, n] and select=first or select=mask");
    }
    bool fits = ids == NULL ? !mask : ids->dtype == RETORT_I64 && ids->rank == x->rank - 1;
    for (int i = 0; fits && ids != NULL && i < ids->rank; i++) fits = ids->dims[i] == x->dims[i];
    if (!fits) return rt_fail(s->err, RETORT_FORMAT, "the ids do not fit");
    rt_out_begin(s, RETORT_F32);
    rt_push_dim(&s->out[0], mask ? RT_DIM_ROWS : is_padded(x) ? x->dims[0] : RT_DIM_BATCH);
    rt_push_dim(&s->out[0], x->dims[x->rank - 1]);
    return RETORT_OK;
}

retort_status rt_infer_pool(rt_shapes *s) {
    const rt_value *x = s->in[0];
    if (x->dtype != RETORT_F32 || x->rank < 2 || x->rank > 3 || s->node->attrs.pool == RT_REDUCE_NONE) {
        return rt_fail(s->err, RETORT_FORMAT, "expected f32 […, n] and pool=mean or pool=max");
    }
    if (!mask_fits(s, 1, x)) return rt_fail(s->err, RETORT_FORMAT, "the mask does not fit the rows");
    rt_out_begin(s, RETORT_F32);
    rt_push_dim(&s->out[0], is_padded(x) ? x->dims[0] : RT_DIM_BATCH);
    rt_push_dim(&s->out[0], x->dims[x->rank - 1]);
    return RETORT_OK;
}

retort_status rt_infer_narrow(rt_shapes *s) {
    retort_status status = rt_infer_float_same(s);
    s->out[0].dtype = RETORT_BF16;
    return status;
}
