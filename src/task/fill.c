/* SPDX-License-Identifier: Apache-2.0
 * Masked language models: the most likely pieces for each mask token. */
#include "task/feed.h"
#include "task/task.h"

#include <stdlib.h>

void rt_fill_best(const float *scores, const int32_t *ids, size_t n, retort_fill_guess *guesses, size_t k) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t id = ids != NULL ? ids[i] : (int32_t)i;
        float score = scores[id];
        if (kept == k && score <= guesses[k - 1].score) continue;
        size_t at = kept < k ? kept++ : k - 1;
        for (; at > 0 && guesses[at - 1].score < score; at--) guesses[at] = guesses[at - 1];
        guesses[at] = (retort_fill_guess){id, score};
    }
    for (; kept < k; kept++) guesses[kept] = (retort_fill_guess){-1, 0};
}

/* ---- Targets ---- */

/* The piece that equals the whole text, else its first piece. */
static retort_status target_id(const rt_tokenizer *tokenizer, const retort_text *target, int32_t *id,
                               retort_error *err) {
    rt_encoding encoding = {0};
    *id = rt_tokenizer_id(tokenizer, target->text, target->length);
    if (*id >= 0) return RETORT_OK;
    rt_encode_options options = {.max_length = 1, .no_special = true};
    retort_text text = {.text = target->text, .length = target->length};
    retort_status status = rt_encode(tokenizer, &text, &options, &encoding, err);
    if (status == RETORT_OK && encoding.count == 0)
        status = rt_fail(err, RETORT_ARGUMENT, "fill: the target '%.*s' has no piece",
                         (int)rt_min(target->length, 100), target->text);
    if (status == RETORT_OK) *id = encoding.ids[0];
    rt_encoding_free(&encoding);
    return status;
}

/* The ids of the targets, without duplicates; *ids NULL: all pieces are candidates. */
static retort_status target_ids(const rt_tokenizer *tokenizer, const retort_fill_options *options,
                                int32_t **ids, size_t *count, retort_error *err) {
    *ids = NULL;
    *count = 0;
    if (options->targets == NULL) return RETORT_OK;
    if (options->target_count == 0)
        return rt_fail(err, RETORT_ARGUMENT, "fill: the list of targets is empty");
    *ids = rt_calloc(options->target_count, sizeof **ids);
    if (*ids == NULL) return rt_fail_nomem(err, options->target_count * sizeof **ids);
    size_t pieces = (size_t)rt_tokenizer_describe(tokenizer).pieces;
    bool *seen = rt_calloc(pieces, sizeof *seen);
    retort_status status = seen != NULL ? RETORT_OK : rt_fail_nomem(err, pieces);
    for (size_t i = 0; status == RETORT_OK && i < options->target_count; i++) {
        int32_t id;
        status = target_id(tokenizer, &options->targets[i], &id, err);
        if (status != RETORT_OK || seen[id]) continue;
        seen[id] = true;
        (*ids)[(*count)++] = id;
    }
    free(seen);
    return status;
}

/* ---- Masks ---- */

typedef struct wanted {
    size_t k;
    const int32_t *ids; /* [count] of targets, or NULL */
    size_t count;
    bool cut; /* the text is longer than what is read of it */
} wanted;

static retort_status fill_fed(retort_session *session, const rt_feed *feed, const wanted *want,
                              retort_fill_guess *guesses, size_t max_masks, size_t *masks,
                              retort_error *err) {
    retort_matrix rows;
    retort_status status = rt_feed_run(feed, session, &rows, err);
    if (status != RETORT_OK) return status;
    if (rows.rows == 0 && want->cut)
        return rt_fail(err, RETORT_ARGUMENT,
                       "fill: no mask token among the %zu tokens that are read of the text", feed->tokens);
    if (rows.rows == 0) return rt_fail(err, RETORT_ARGUMENT, "fill: the text has no mask token");
    *masks = rows.rows;
    if (rows.rows > max_masks) {
        return rt_fail(err, RETORT_LIMIT,
                       "fill: the %zu mask tokens of the text do not fit into room for %zu", rows.rows,
                       max_masks);
    }
    float *scores = rt_calloc(rows.columns, sizeof *scores);
    if (scores == NULL) return rt_fail_nomem(err, rows.columns * sizeof *scores);
    for (size_t i = 0; want->k > 0 && i < rows.rows; i++) {
        rt_score_softmax(rows.data + i * rows.columns, rows.columns, scores);
        rt_fill_best(scores, want->ids, want->ids != NULL ? want->count : rows.columns, guesses + i * want->k,
                     want->k);
    }
    free(scores);
    return RETORT_OK;
}

retort_status rt_fill_windows(const rt_tokenizer *tokenizer, rt_encode_options encode,
                              const retort_text *text, retort_windows *out, retort_error *err) {
    encode.special_as_text = false; /* the mask is a special token of the text */
    out->items = rt_calloc(1, sizeof *out->items);
    if (out->items == NULL) return rt_fail_nomem(err, sizeof *out->items);
    out->count = 1;
    return rt_encode(tokenizer, text, &encode, out->items, err);
}

retort_status rt_fill(retort_session *session, const retort_text *text, size_t k,
                      const retort_fill_options *options, retort_fill_guess *guesses, size_t max_masks,
                      size_t *masks, retort_error *err) {
    const rt_tokenizer *tokenizer = rt_session_model(session)->tokenizer;
    rt_feed feed = {0};
    rt_encode_options encode = rt_feed_options(session, -1);
    encode.special_as_text = false; /* as in rt_fill_windows */
    uint64_t before = *encode.truncated;
    int32_t *ids;
    wanted want = {.k = k};
    retort_status status = target_ids(tokenizer, options, &ids, &want.count, err);
    want.ids = ids;
    if (status == RETORT_OK)
        status = options->windows != NULL ? rt_feed_encoding(&feed, options->windows->items, err)
                                          : rt_feed_text(&feed, tokenizer, &encode, text, err);
    want.cut = options->windows != NULL ? options->windows->truncated > 0 : *encode.truncated > before;
    if (status == RETORT_OK) status = fill_fed(session, &feed, &want, guesses, max_masks, masks, err);
    rt_feed_free(&feed);
    free(ids);
    return status;
}
