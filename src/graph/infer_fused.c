/* SPDX-License-Identifier: Apache-2.0
 * Shape rules of the fused operators (levels 2 and 3). "Rows" are all dims but the last: [batch, seq] while
 * batches are padded, [tokens] when they are ragged, [batch] or [rows] after a selection. */
#include "graph/infer.h"

#include <math.h>
#include <string.h>

/* Output 0: the rows of `like`, then n. */
static void rows_of(rt_shapes *s, const rt_value *like, int rows_rank, int64_t n) {
    rt_out_begin(s, s->node->attrs.narrow);
    rt_push_dims(&s->out[0], like->dims, 0, rows_rank);
    rt_push_dim(&s->out[0], n);
}

/* Whether narrow asks for what the operator can make: bf16, and int8 for ragged rows where `s8` says so, of a
 * range that is one. */
static retort_status check_narrow(const rt_shapes *s, const rt_value *rows, bool s8) {
    retort_dtype narrow = s->node->attrs.narrow;
    float least = s->node->attrs.least, largest = s->node->attrs.largest;
    bool ranged = least != 0 || largest != 0;
    if (ranged && !(narrow == RETORT_S8 && isfinite(least) && isfinite(largest) && least < largest)) {
        return rt_fail(s->err, RETORT_FORMAT, "least=%g, largest=%g is no range of int8", (double)least,
                       (double)largest);
    }
    if (narrow == RETORT_F32 || narrow == RETORT_BF16 || (narrow == RETORT_S8 && s8 && rows->rank == 2)) {
        return RETORT_OK;
    }
    return rt_fail(s->err, RETORT_FORMAT, "narrow=%s is not what it can make", retort_dtype_name(narrow));
}

/* Input `index`, NULL when absent. */
static const rt_value *optional(const rt_shapes *s, int index) {
    return index < s->node->input_count ? s->in[index] : NULL;
}

/* Whether inputs `index` and the next are the factor and the addend of columns that become s8, or absent. */
static retort_status check_moved(const rt_shapes *s, int index) {
    const rt_value *factor = optional(s, index), *add = optional(s, index + 1);
    const rt_value *out = &s->out[0];
    if (factor == NULL && add == NULL) return RETORT_OK;
    if (factor != NULL && add != NULL && s->node->attrs.narrow == RETORT_S8 &&
        rt_is_vector(factor, out->dims[out->rank - 1], false) &&
        rt_is_vector(add, out->dims[out->rank - 1], false))
        return RETORT_OK;
    return rt_fail(s->err, RETORT_FORMAT, "factor and add do not fit, or nothing becomes int8");
}

/* Output 0 is float; a second one, if any, is the same narrowed, moved by input `moved` and the next. */
static retort_status float_and_narrow(rt_shapes *s, int moved) {
    s->out[0].dtype = RETORT_F32;
    s->out[1] = s->out[0];
    s->out[1].dtype = s->node->attrs.narrow;
    retort_status status = check_narrow(s, &s->out[0], true);
    return status == RETORT_OK ? check_moved(s, moved) : status;
}

/* Whether a value has this dtype and these dims, row-major. */
static bool is_rows(const rt_value *value, retort_dtype dtype, int rank, const int64_t *dims) {
    return value != NULL && value->dtype == dtype && value->layout == RT_LAYOUT_ROWS && value->rank == rank &&
           memcmp(value->dims, dims, (size_t)rank * sizeof *dims) == 0;
}

/* Groups along n elements, 0 when `group` is no multiple of `unit`. */
static int64_t group_count(const rt_shapes *s, int64_t n, int64_t unit) {
    int64_t group = s->node->attrs.group;
    return group >= unit && group % unit == 0 ? n / group + (n % group != 0) : 0;
}

static bool is_table(const rt_value *value, int64_t n) {
    return value != NULL && value->dtype == RETORT_F32 && value->layout == RT_LAYOUT_ROWS &&
           value->rank == 2 && value->dims[1] == n;
}

/* Whether the rows of an activation are padded sequences. */
static bool is_padded(const rt_value *x) {
    return x->rank == 3;
}

/* The word table: f32 rows, or s8 rows with their scales, or 4-bit rows with groups. */
static bool word_fits(const rt_shapes *s, int64_t n) {
    const rt_value *word = s->in[EMBED_WORD], *scale = optional(s, EMBED_WORD_SCALE),
                   *groups = optional(s, EMBED_WORD_GROUPS);
    bool grouped = groups != NULL || s->node->attrs.group != 0;
    if (is_table(word, n)) return scale == NULL && !grouped;
    if (!is_rows(scale, RETORT_F32, 1, word->dims)) return false;
    if (is_rows(word, RETORT_S8, 2, word->dims)) return !grouped;
    int64_t count = group_count(s, n, 32);
    return word->layout == RT_LAYOUT_ROWS_S4 && count > 0 &&
           is_rows(groups, RETORT_U8, 2, (int64_t[]){word->dims[0], count});
}

static bool gaps_fit(const rt_value *gaps) {
    return gaps == NULL || (gaps->rank == 2 && gaps->dims[1] == 2 && gaps->dims[0] > 0 &&
                            is_rows(gaps, RETORT_I32, 2, gaps->dims));
}

/* Rows that are s8 where others are 4-bit codes: all three, or none. */
static bool kept_fits(const rt_shapes *s, int64_t n) {
    const rt_value *kept = optional(s, EMBED_S8_IDS), *rows = optional(s, EMBED_S8_ROWS),
                   *scale = optional(s, EMBED_S8_SCALE);
    if (kept == NULL) return rows == NULL && scale == NULL;
    int64_t count = kept->dims[0];
    return kept->rank == 2 && count > 0 && is_rows(kept, RETORT_I32, 2, (int64_t[]){count, 1}) &&
           is_rows(rows, RETORT_S8, 2, (int64_t[]){count, n}) && is_rows(scale, RETORT_F32, 1, &count) &&
           s->in[EMBED_WORD]->layout == RT_LAYOUT_ROWS_S4;
}

/* The position table: f32 rows, or s8 rows with the columns' scales. */
static bool position_fits(const rt_shapes *s, int64_t n) {
    const rt_value *position = s->in[EMBED_POSITION], *scale = optional(s, EMBED_POSITION_SCALE);
    if (is_table(position, n)) return scale == NULL;
    return position->rank == 2 && position->dims[1] == n && is_rows(position, RETORT_S8, 2, position->dims) &&
           is_rows(scale, RETORT_F32, 1, &n);
}

retort_status rt_infer_embed(rt_shapes *s) {
    const rt_value *ids = s->in[EMBED_IDS], *word = s->in[EMBED_WORD], *types = optional(s, EMBED_TYPES),
                   *type = optional(s, EMBED_TYPE);
    if (ids->dtype != RETORT_I64 || ids->rank < 1 || ids->rank > 2 || word->rank != 2) {
        return rt_fail(s->err, RETORT_FORMAT, "expected ids i64 [batch, seq] or [tokens] and a word table");
    }
    int64_t n = word->dims[1];
    if (!position_fits(s, n) || !rt_is_vector(s->in[EMBED_GAMMA], n, false) ||
        !rt_is_vector(s->in[EMBED_BETA], n, false)) {
        return rt_fail(s->err, RETORT_FORMAT, "tables, gamma and beta do not fit");
    }
    if ((types != NULL || type != NULL) &&
        (types == NULL || types->dtype != RETORT_I64 || !rt_same_dims(types, ids) || !is_table(type, n)))
        return rt_fail(s->err, RETORT_FORMAT, "types and their table do not fit");
    if (!gaps_fit(optional(s, EMBED_GAPS))) return rt_fail(s->err, RETORT_FORMAT, "gaps are not i32 [g, 2]");
    if (!kept_fits(s, n)) {
        return rt_fail(s->err, RETORT_FORMAT, "kept rows are not ids i32 [r, 1], s8 [r, %lld] and scales",
                       (long long)n);
    }
    if (!word_fits(s, n)) {
        return rt_fail(s->err, RETORT_FORMAT, "the word table, its scales and groups of %lld do not fit",
                       (long long)s->node->attrs.group);
    }
    rows_of(s, ids, ids->rank, n);
    return float_and_narrow(s, EMBED_CHANNEL_SCALE);
}

/* 2^17 products of 127 and -128 are the most that an int32 holds. */
enum { MAX_INTEGER_K = 1 << 17 };

/* Weak rows, or none: a few int8 rows and the columns of x that they multiply. */
static bool weak_fits(const rt_shapes *s, int64_t n) {
    const rt_value *weak = optional(s, LINEAR_OUTLIERS), *columns = optional(s, LINEAR_OUTLIER_COLUMNS);
    if (weak == NULL || columns == NULL) return weak == columns;
    int64_t count = weak->rank == 2 ? weak->dims[0] : 0;
    return weak->layout == RT_LAYOUT_P16_S8 && count > 0 && count <= RT_WEAK_MOST && count % 8 == 0 &&
           weak->dims[1] == n && is_rows(columns, RETORT_I32, 1, &count);
}

/* What comes with integer weights: scale, sums, groups, weak rows. Others have none of it. */
static retort_status check_integer(const rt_shapes *s) {
    const rt_value *weight = s->in[LINEAR_WEIGHT], *scale = optional(s, LINEAR_SCALE),
                   *sums = optional(s, LINEAR_SUMS), *groups = optional(s, LINEAR_GROUPS);
    int64_t k = weight->dims[0], n = weight->dims[1];
    bool s4 = weight->layout == RT_LAYOUT_P16_S4;
    if (rt_linear_input(weight) != RETORT_S8) {
        bool none = scale == NULL && sums == NULL && groups == NULL && s->node->attrs.group == 0 &&
                    optional(s, LINEAR_OUTLIERS) == NULL && optional(s, LINEAR_OUTLIER_COLUMNS) == NULL;
        return none ? RETORT_OK : rt_fail(s->err, RETORT_FORMAT, "scales for a float weight");
    }
    int64_t count = group_count(s, k, 8);
    bool fits = is_rows(scale, RETORT_F32, 1, &n) && is_rows(sums, RETORT_I32, 1, &n) && k <= MAX_INTEGER_K &&
                s->node->attrs.narrow == RETORT_F32 && s->in[LINEAR_X]->rank == 2;
    if (s4) {
        int64_t dims[] = {(n + RT_PANEL - 1) / RT_PANEL, count, RT_PANEL};
        fits = fits && count > 0 && is_rows(groups, RETORT_U8, 3, dims) && weak_fits(s, n);
    } else {
        fits = fits && groups == NULL && s->node->attrs.group == 0 && optional(s, LINEAR_OUTLIERS) == NULL &&
               optional(s, LINEAR_OUTLIER_COLUMNS) == NULL;
    }
    if (fits) return RETORT_OK;
    return rt_fail(s->err, RETORT_FORMAT,
                   "scale, sums, groups of %lld or weak rows do not fit an integer weight",
                   (long long)s->node->attrs.group);
}

retort_status rt_infer_linear(rt_shapes *s) {
    const rt_value *x = s->in[LINEAR_X], *weight = s->in[LINEAR_WEIGHT];
    const rt_value *bias = optional(s, LINEAR_BIAS), *residual = optional(s, LINEAR_RESIDUAL);
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
    rows_of(s, x, x->rank - 1, weight->dims[1]);
    if (!rt_is_vector(bias, weight->dims[1], true))
        return rt_fail(s->err, RETORT_FORMAT, "the bias is not [n]");
    if (residual != NULL && (residual->dtype != RETORT_F32 || !rt_same_dims(residual, &s->out[0]))) {
        return rt_fail(s->err, RETORT_FORMAT, "the residual is not […, n]");
    }
    retort_status status = check_narrow(s, x, false);
    return status == RETORT_OK ? check_integer(s) : status;
}

retort_status rt_infer_layer_norm(rt_shapes *s) {
    retort_status status = rt_infer_layer_normalization(s);
    return status == RETORT_OK ? float_and_narrow(s, LAYER_NORM_CHANNEL_SCALE) : status;
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

/* Keys and values are x for every head, and the only query of a sequence is its first row. */
static retort_status infer_shared(rt_shapes *s) {
    const rt_attrs *attrs = &s->node->attrs;
    const rt_value *q = s->in[ATTENTION_Q], *x = s->node->attrs.parts == 2 ? s->in[ATTENTION_KV] : NULL;
    bool fits = x != NULL && s->node->input_count == 2 && q->dtype == RETORT_F32 && x->dtype == RETORT_F32 &&
                q->rank == 2 && x->rank == 2 && attrs->heads > 0 && q->dims[1] % attrs->heads == 0 &&
                q->dims[1] / attrs->heads == x->dims[1] && attrs->select == RT_SELECT_FIRST && !attrs->int16;
    if (!fits) return rt_fail(s->err, RETORT_FORMAT, "shared: expected q [batch, heads n] and x [tokens, n]");
    rows_of(s, q, 1, q->dims[1]);
    return check_narrow(s, q, false);
}

retort_status rt_infer_attention(rt_shapes *s) {
    const rt_attrs *attrs = &s->node->attrs;
    const rt_value *q = s->in[ATTENTION_Q];
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
    if (attrs->shared) return infer_shared(s);
    for (int i = 0; i < parts; i++) {
        const rt_value *part = s->in[i];
        if (part == NULL || part->dtype != RETORT_F32 || part->rank < 2 || keys == NULL ||
            part->dims[part->rank - 1] / part_columns[parts][i] != hidden ||
            part->dims[part->rank - 1] % part_columns[parts][i] != 0 || (i > 0 && part->rank != keys->rank))
            return rt_fail(s->err, RETORT_FORMAT, "input %d is not f32 with %lld columns", i,
                           (long long)(hidden * part_columns[parts][i]));
    }
    if (!mask_fits(s, parts, keys)) return rt_fail(s->err, RETORT_FORMAT, "the mask does not fit the keys");
    bool integer = !is_padded(keys) && attrs->select == RT_SELECT_ALL && attrs->narrow == RETORT_F32 &&
                   hidden / attrs->heads <= RT_ATTENTION_S16_DIM;
    if (attrs->int16 && !integer) return rt_fail(s->err, RETORT_FORMAT, "int16 is not for such a node");
    rows_of(s, q, q->rank - 1, hidden);
    return check_narrow(s, q, false);
}

retort_status rt_infer_select(rt_shapes *s) {
    const rt_value *x = s->in[SELECT_X], *ids = s->node->input_count > SELECT_IDS ? s->in[SELECT_IDS] : NULL;
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
    const rt_value *x = s->in[POOL_X];
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
    s->out[0].dtype = s->node->attrs.narrow;
    if (status == RETORT_OK && s->node->attrs.narrow == RETORT_F32) {
        return rt_fail(s->err, RETORT_FORMAT, "expected narrow=bf16 or narrow=s8");
    }
    if (status == RETORT_OK) status = check_narrow(s, &s->out[0], true);
    return status == RETORT_OK ? check_moved(s, NARROW_CHANNEL_SCALE) : status;
}
