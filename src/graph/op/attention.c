/* SPDX-License-Identifier: Apache-2.0
 * Attention: (qkv […, 3 hidden]) or (q, kv […, 2 hidden]) or (q, k, v), then below level 3 the mask [batch, seq]
 * -> [rows of q, hidden]. Q, K and V are column ranges of one, two or three values (parts). The rows of Q may be a
 * selection (select) of the sequences' rows. With key_heads there are fewer heads of keys and values, and head i of
 * the queries reads number i key_heads / heads of these (grouped-query attention, arXiv 2305.13245).
 * By the distance j - i of key j from query i, scores get bias[head, index[j - i]], and before they are scaled
 * q pos_key[index[j - i]] and pos_query[index[j - i]] k: what MPNet and DeBERTa have. All are optional.
 * selection (select) of the sequences' rows. With a window, a query reads the keys up to so far before and after it.
 * shared (level 3, select=first): (q [batch, heads n], x [tokens, n]) -> [batch, heads n]: the keys and values of
 * every head are x itself. */
#include "graph/infer.h"
#include "graph/op/fused.h"

enum { RT_MOST_WINDOW = 1 << 20, RT_MOST_HEADS = 1 << 20 };

/* Heads in each part of q, k and v: all three, (1, 2), (1, 1, 1). */
static void part_heads(const rt_attrs *attrs, int64_t out[3]) {
    int64_t keys = rt_key_heads(attrs);
    out[0] = attrs->heads + (attrs->parts == 1 ? 2 * keys : 0);
    out[1] = attrs->parts == 2 ? 2 * keys : keys;
    out[2] = keys;
}

/* Every head has x as keys and values, and the only query of a sequence is its first row. */
static retort_status infer_shared(rt_shapes *s) {
    const rt_attrs *attrs = &s->node->attrs;
    const rt_value *q = s->in[ATTENTION_Q], *x = s->node->attrs.parts == 2 ? s->in[ATTENTION_KV] : NULL;
    bool fits = x != NULL && s->node->input_count == 2 && q->dtype == RETORT_F32 && x->dtype == RETORT_F32 &&
                q->rank == 2 && x->rank == 2 && attrs->heads > 0 && q->dims[1] % attrs->heads == 0 &&
                q->dims[1] / attrs->heads == x->dims[1] && attrs->select == RT_SELECT_FIRST &&
                !attrs->integers && attrs->window == 0 && attrs->key_heads == 0;
    if (!fits) return rt_fail(s->err, RETORT_FORMAT, "shared: expected q [batch, heads n] and x [tokens, n]");
    rt_rows_like(s, q, 1, q->dims[1]);
    return rt_check_out_dtype(s, q, false);
}

/* The tables by distance, or none. */
static bool relative_fits(const rt_shapes *s, int64_t heads, int64_t hidden) {
    const rt_value *index = rt_optional(s, ATTENTION_INDEX), *bias = rt_optional(s, ATTENTION_BIAS),
                   *key = rt_optional(s, ATTENTION_POS_KEY), *query = rt_optional(s, ATTENTION_POS_QUERY);
    if (index == NULL) return bias == NULL && key == NULL && query == NULL;
    bool odd =
        index->dtype == RETORT_I64 && index->rank == 1 && index->dims[0] > 0 && index->dims[0] % 2 == 1;
    return odd && (bias != NULL || key != NULL || query != NULL) &&
           (bias == NULL ||
            (bias->rank == 2 && bias->dims[0] == heads && rt_is_table(bias, bias->dims[1]))) &&
           (key == NULL || rt_is_table(key, hidden)) && (query == NULL || rt_is_table(query, hidden));
}

/* Columns of a head, whose number divides those of each part; 0: it does not, or parts differ otherwise. */
static int64_t dim_of(const rt_shapes *s) {
    const rt_attrs *attrs = &s->node->attrs;
    const rt_value *q = s->in[ATTENTION_Q], *keys = s->in[attrs->parts - 1];
    int64_t heads[3], columns = q->dims[q->rank - 1];
    part_heads(attrs, heads);
    int64_t dim = columns / heads[0];
    for (int i = 0; i < attrs->parts; i++) {
        const rt_value *part = s->in[i];
        if (part == NULL || part->dtype != RETORT_F32 || part->rank < 2 || keys == NULL ||
            part->dims[part->rank - 1] != heads[i] * dim || (i > 0 && part->rank != keys->rank))
            return 0;
    }
    return dim;
}

static bool key_heads_fit(const rt_shapes *s) {
    const rt_attrs *attrs = &s->node->attrs;
    if (attrs->key_heads == 0) return true;
    return attrs->key_heads > 0 && attrs->key_heads < attrs->heads && attrs->heads % attrs->key_heads == 0 &&
           rt_optional(s, ATTENTION_INDEX) == NULL;
}

static retort_status infer_attention(rt_shapes *s) {
    const rt_attrs *attrs = &s->node->attrs;
    const rt_value *q = s->in[ATTENTION_Q];
    int parts = attrs->parts;
    if (parts < 1 || parts > 3 || s->node->input_count < parts || q->rank < 2) {
        return rt_fail(s->err, RETORT_FORMAT, "parts %d, expected 1 to 3 and so many inputs", parts);
    }
    if (attrs->heads < 1 || attrs->heads > RT_MOST_HEADS || !key_heads_fit(s))
        return rt_fail(s->err, RETORT_FORMAT, "%lld heads, %lld of keys", (long long)attrs->heads,
                       (long long)attrs->key_heads);
    const rt_value *keys = s->in[parts - 1];
    if (attrs->shared) return infer_shared(s);
    int64_t dim = dim_of(s), hidden = attrs->heads * dim;
    if (dim < 1) {
        return rt_fail(s->err, RETORT_FORMAT, "%lld heads do not divide f32 columns, with %lld of keys",
                       (long long)attrs->heads, (long long)rt_key_heads(attrs));
    }
    if (!rt_mask_fits(s, parts, keys))
        return rt_fail(s->err, RETORT_FORMAT, "the mask does not fit the keys");
    if (!relative_fits(s, attrs->heads, hidden))
        return rt_fail(s->err, RETORT_FORMAT, "index, bias and position keys and queries do not fit");
    bool tables = rt_optional(s, ATTENTION_POS_KEY) != NULL || rt_optional(s, ATTENTION_POS_QUERY) != NULL;
    bool integer =
        !rt_is_padded(keys) && attrs->select == RT_SELECT_ALL && !tables && dim <= RT_ATTENTION_S8_DIM;
    if (attrs->window < 0 || attrs->window > RT_MOST_WINDOW ||
        (attrs->window > 0 && rt_optional(s, ATTENTION_INDEX) != NULL))
        return rt_fail(s->err, RETORT_FORMAT, "window=%lld does not fit", (long long)attrs->window);
    if (attrs->integers && !integer) return rt_fail(s->err, RETORT_FORMAT, "int16 is not for such a node");
    rt_rows_like(s, q, q->rank - 1, hidden);
    return rt_check_out_dtype(s, q, false);
}

const rt_op_row rt_op_attention = {
    .text = "Attention",
    .min_inputs = 1,
    .max_inputs = ATTENTION_OPERANDS,
    .outputs = 1,
    .attrs = RT_ATTR_HEADS | RT_ATTR_SCALE | RT_ATTR_PARTS | RT_ATTR_SELECT | RT_ATTR_OUT_DTYPE |
             RT_ATTR_INTEGERS | RT_ATTR_SHARED | RT_ATTR_WINDOW | RT_ATTR_KEY_HEADS,
    .level = 2,
    .kind = RT_OP_KIND_ATTENTION,
    .infer = infer_attention,
};
