/* SPDX-License-Identifier: Apache-2.0 */
#include "task/feed.h"
#include "base/check_finite.h"

#include <stdlib.h>
#include <string.h>

rt_encode_options rt_feed_options(retort_session *session, int64_t max_length) {
    const rt_config *config = &rt_session_model(session)->config;
    int64_t length = max_length < 0 ? config->max_length : max_length;
    if (length <= 0 || length > config->positions) length = config->positions;
    return (rt_encode_options){.max_length = (size_t)length,
                               .special_as_text = rt_session_special_as_text(session),
                               .prompt = rt_session_prompt(session),
                               .truncated = rt_session_truncated(session),
                               .cache = rt_session_cache(session)};
}

void rt_windows_clear(retort_windows *windows) {
    for (size_t i = 0; i < windows->count; i++) rt_encoding_free(&windows->items[i]);
    free(windows->items);
    *windows = (retort_windows){0};
}

void rt_feed_clear(rt_feed *feed) {
    feed->tokens = feed->n = 0;
}

void rt_feed_free(rt_feed *feed) {
    free(feed->ids);
    free(feed->types);
    free(feed->offsets);
    free(feed->unpooled);
    free(feed->texts);
    rt_encoding_free(&feed->pair);
    *feed = (rt_feed){0};
}

static retort_status reserve(rt_feed *feed, size_t more, retort_error *err) {
    size_t need = feed->tokens + more;
    if (need > INT32_MAX)
        return rt_fail(err, RETORT_LIMIT, "batch: more than %d tokens in one batch", INT32_MAX);
    if (!rt_grow((void **)&feed->ids, &feed->id_capacity, need, sizeof *feed->ids) ||
        !rt_grow((void **)&feed->types, &feed->type_capacity, need, sizeof *feed->types) ||
        !rt_grow((void **)&feed->offsets, &feed->offset_capacity, feed->n + 2, sizeof *feed->offsets) ||
        !rt_grow((void **)&feed->unpooled, &feed->unpooled_capacity, feed->n + 1, sizeof *feed->unpooled) ||
        !rt_grow((void **)&feed->texts, &feed->text_capacity, feed->n + 1, sizeof *feed->texts)) {
        return rt_fail_nomem(err, need * sizeof *feed->ids);
    }
    return RETORT_OK;
}

static void end_sequence(rt_feed *feed, size_t tokens) {
    feed->offsets[0] = 0;
    feed->tokens = tokens;
    feed->texts[feed->n] = feed->text;
    feed->unpooled[feed->n] = (int32_t)feed->skip;
    feed->offsets[++feed->n] = (int32_t)tokens;
}

retort_status rt_feed_encoding(rt_feed *feed, const rt_encoding *encoding, retort_error *err) {
    retort_status status = reserve(feed, encoding->count, err);
    if (status != RETORT_OK) return status;
    if (encoding->count > 0) {
        memcpy(feed->ids + feed->tokens, encoding->ids, encoding->count * sizeof *feed->ids);
        memcpy(feed->types + feed->tokens, encoding->types, encoding->count * sizeof *feed->types);
    }
    end_sequence(feed, feed->tokens + encoding->count);
    return RETORT_OK;
}

retort_status rt_feed_text(rt_feed *feed, const rt_tokenizer *tokenizer, const rt_encode_options *options,
                           const retort_text *text, retort_error *err) {
    if (text->pair != NULL) { /* the types of a pair are known to the full encoder only */
        retort_status status = rt_encode(tokenizer, text, options, &feed->pair, err);
        return status == RETORT_OK ? rt_feed_encoding(feed, &feed->pair, err) : status;
    }
    retort_status status = reserve(feed, options->max_length, err);
    if (status != RETORT_OK) return status;
    size_t tokens = feed->tokens;
    status = rt_encode_ids(tokenizer, text, options, feed->ids, feed->id_capacity, &tokens, err);
    if (status != RETORT_OK) return status;
    memset(feed->types + feed->tokens, 0, (tokens - feed->tokens) * sizeof *feed->types);
    end_sequence(feed, tokens);
    return RETORT_OK;
}

/* The text whose answer is not finite; rows are sequences or tokens. */
static retort_status name_text(const rt_feed *feed, const retort_matrix *out, retort_error *err) {
    size_t at = rt_first_nonfinite(out->data, RETORT_F32, out->rows * out->columns);
    size_t row = at / out->columns, sequence = 0;
    bool tokens = out->rows == feed->tokens;
    while (sequence + 1 < feed->n && row >= (tokens ? (size_t)feed->offsets[sequence + 1] : sequence + 1))
        sequence++;
    return rt_fail(err, RETORT_NONFINITE, "text %zu: the model's answer is not finite: number %zu is %g",
                   feed->texts[sequence], at % out->columns, (double)out->data[at]);
}

retort_status rt_feed_run(const rt_feed *feed, retort_session *session, retort_matrix *out,
                          retort_error *err) {
    bool types = rt_config_has_types(&rt_session_model(session)->config);
    rt_batch batch = {feed->ids, types ? feed->types : NULL, feed->offsets, feed->n, feed->unpooled};
    retort_status status = rt_session_run(session, &batch, out, err);
    return status == RETORT_NONFINITE ? name_text(feed, out, err) : status;
}
