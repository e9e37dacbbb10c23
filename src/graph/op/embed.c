/* SPDX-License-Identifier: Apache-2.0
 * Embed: tables looked up by id, summed and, with gamma and beta, normalised -> […, hidden]. EMBED_… in graph/operands.h
 * names its inputs.
 *   word      f32, or s8 with a scale per row, or 4-bit codes (rows_s4) that have integer scales per group as well
 *   position  f32, or s8 with a scale per channel; may be absent
 *   after_pad   positions are by ids: 0 for one id, the others count themselves from 1
 *   pruned      ranges of ids without a row in word: first id and count; they take the row before
 *   s8 ids    ids whose rows are int8 where word holds 4-bit codes; word has no row for them
 * With an output dtype, a second output holds the same in bf16 or s8; what becomes s8 is x * channel scale + channel shift
 * where these are given. */
#include "graph/infer.h"
#include "graph/op/fused.h"

/* The word table: f32 rows, or s8 rows with their scales, or 4-bit rows with groups. */
static bool word_fits(const rt_shapes *s, int64_t n) {
    const rt_value *word = s->in[EMBED_WORD], *scale = rt_optional(s, EMBED_WORD_SCALE),
                   *groups = rt_optional(s, EMBED_WORD_GROUPS);
    bool grouped = groups != NULL || s->node->attrs.group != 0;
    if (rt_is_table(word, n)) return scale == NULL && !grouped;
    if (!rt_is_rows(scale, RETORT_F32, 1, word->dims)) return false;
    if (rt_is_rows(word, RETORT_S8, 2, word->dims)) return !grouped;
    int64_t count = rt_group_count(s, n, 32);
    return word->layout == RT_LAYOUT_ROWS_S4 && count > 0 &&
           rt_is_rows(groups, RETORT_U8, 2, (int64_t[]){word->dims[0], count});
}

static bool pruned_fits(const rt_value *pruned) {
    return pruned == NULL || (pruned->rank == 2 && pruned->dims[1] == 2 && pruned->dims[0] > 0 &&
                              rt_is_rows(pruned, RETORT_I32, 2, pruned->dims));
}

/* Rows that are s8 where others are 4-bit codes: all three, or none. */
static bool s8_rows_fit(const rt_shapes *s, int64_t n) {
    const rt_value *s8_ids = rt_optional(s, EMBED_S8_IDS), *rows = rt_optional(s, EMBED_S8_ROWS),
                   *scale = rt_optional(s, EMBED_S8_SCALE);
    if (s8_ids == NULL) return rows == NULL && scale == NULL;
    int64_t count = s8_ids->dims[0];
    return s8_ids->rank == 2 && count > 0 && rt_is_rows(s8_ids, RETORT_I32, 2, (int64_t[]){count, 1}) &&
           rt_is_rows(rows, RETORT_S8, 2, (int64_t[]){count, n}) &&
           rt_is_rows(scale, RETORT_F32, 1, &count) && s->in[EMBED_WORD]->layout == RT_LAYOUT_ROWS_S4;
}

/* The position table: f32 rows, or s8 rows with the columns' scales. */
static bool position_fits(const rt_shapes *s, int64_t n) {
    const rt_value *position = rt_optional(s, EMBED_POSITION), *scale = rt_optional(s, EMBED_POSITION_SCALE);
    if (position == NULL || rt_is_table(position, n)) return scale == NULL;
    return position->rank == 2 && position->dims[1] == n &&
           rt_is_rows(position, RETORT_S8, 2, position->dims) && rt_is_rows(scale, RETORT_F32, 1, &n);
}

/* Gamma and beta, or neither: then rows are what the tables hold, and there is no copy in another dtype. */
static bool norm_fits(const rt_shapes *s, int64_t n) {
    const rt_value *gamma = rt_optional(s, EMBED_GAMMA), *beta = rt_optional(s, EMBED_BETA);
    if (gamma == NULL) return beta == NULL && s->node->attrs.out_dtype == RETORT_F32;
    return rt_is_vector(gamma, n, false) && rt_is_vector(beta, n, false);
}

static retort_status infer_embed(rt_shapes *s) {
    const rt_value *ids = s->in[EMBED_IDS], *word = s->in[EMBED_WORD], *types = rt_optional(s, EMBED_TYPES),
                   *type = rt_optional(s, EMBED_TYPE);
    if (ids->dtype != RETORT_I64 || ids->rank < 1 || ids->rank > 2 || word->rank != 2) {
        return rt_fail(s->err, RETORT_FORMAT, "expected ids i64 [batch, seq] or [tokens] and a word table");
    }
    int64_t n = word->dims[1];
    if (!position_fits(s, n) || !norm_fits(s, n))
        return rt_fail(s->err, RETORT_FORMAT, "tables, gamma and beta do not fit");
    if ((types != NULL || type != NULL) &&
        (types == NULL || types->dtype != RETORT_I64 || !rt_same_dims(types, ids) || !rt_is_table(type, n)))
        return rt_fail(s->err, RETORT_FORMAT, "types and their table do not fit");
    if (!pruned_fits(rt_optional(s, EMBED_PRUNED)))
        return rt_fail(s->err, RETORT_FORMAT, "gaps are not i32 [g, 2]");
    if (!s8_rows_fit(s, n)) {
        return rt_fail(s->err, RETORT_FORMAT, "s8 rows are not ids i32 [r, 1], s8 [r, %lld] and scales",
                       (long long)n);
    }
    if (!word_fits(s, n)) {
        return rt_fail(s->err, RETORT_FORMAT, "the word table, its scales and groups of %lld do not fit",
                       (long long)s->node->attrs.group);
    }
    rt_rows_like(s, ids, ids->rank, n);
    return rt_float_and_converted(s, EMBED_CHANNEL_SCALE);
}

const rt_op_row rt_op_embed = {
    .text = "Embed",
    .min_inputs = 2,
    .max_inputs = 16,
    .outputs = 2,
    .attrs = RT_ATTR_EPSILON | RT_ATTR_OUT_DTYPE | RT_ATTR_GROUP | RT_ATTR_RANGE | RT_ATTR_AFTER_PAD,
    .level = 2,
    .kind = RT_OP_KIND_EMBED,
    .infer = infer_embed,
};
