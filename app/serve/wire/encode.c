/* SPDX-License-Identifier: Apache-2.0
 * Texts to ids: the entries of a job, or the tokens of /tokenize. */
#include "serve/wire/encode.h"
#include "retort.h"
#include "serve/base/json.h"
#include "serve/base/memory.h"
#include "serve/base/metrics.h"
#include "serve/queue/engine.h"
#include "serve/queue/queue.h"
#include "serve/queue/texts.h"
#include "serve/wire/ask.h"
#include "serve/wire/errors.h"
#include "serve/wire/field.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Longer texts need additional memory, which is counted and not kept: WORK bytes per byte. */
enum { LONG_TEXT = 64 << 10, WORK = 24 };

/* ---- Ids ---- */

static bool too_long(srv_call *call, size_t index, size_t tokens, int64_t max) {
    return srv_call_fail(call, SRV_ERROR_TOKENIZER, "text %zu has %zu tokens: max_input_length is %lld",
                         index, tokens, (long long)max);
}

/* All tokens of a text, however many. */
static retort_status encode_whole(srv_encoder *s, const retort_text *text, retort_tokenize_options options,
                                  size_t *n) {
    options.max_length = 0;
    retort_status status = retort_encode(s->encoder, text, &options, s->ids, s->types, s->capacity, n, NULL);
    if (status != RETORT_LIMIT || *n <= s->capacity) return status;
    if (!srv_encoder_grow(s, *n)) return RETORT_NOMEM;
    return retort_encode(s->encoder, text, &options, s->ids, s->types, s->capacity, n, NULL);
}

static bool may_truncate(const srv_call *call) {
    return call->ask.truncate == SRV_YES ||
           (call->ask.truncate == SRV_UNSAID && !call->service->options->refuse_long);
}

/* Puts the *n ids of text `index` into s. One token more than the model takes shows that the text is too
 * long. */
static bool make_ids(srv_call *call, size_t index, srv_encoder *s, size_t *n) {
    const retort_text *text = &call->ask.texts[index];
    retort_tokenize_options options = RETORT_TOKENIZE_OPTIONS;
    int64_t max = call->engine->info.max_length;
    retort_error err = {0};
    options.special_as_text = !call->service->options->keep_special;
    options.side = (retort_side)call->ask.direction;
    options.prompt_name = call->prompt_name;
    options.max_length = max + 1;
    options.only_first = call->ask.label_count > 0; /* the hypothesis must not be truncated */
    retort_status status = retort_encode(s->encoder, text, &options, s->ids, s->types, s->capacity, n, &err);
    if (status == RETORT_OK && *n <= (size_t)max) return true;
    if (status == RETORT_OK && !may_truncate(call)) {
        status = encode_whole(s, text, options, n);
        if (status == RETORT_OK) return too_long(call, index, *n, max);
    } else if (status == RETORT_OK) {
        options.max_length = max;
        status = retort_encode(s->encoder, text, &options, s->ids, s->types, s->capacity, n, &err);
    }
    call->truncated++;
    if (status == RETORT_OK) return true;
    return srv_call_fail(call, status == RETORT_NOMEM ? SRV_ERROR_INTERNAL : SRV_ERROR_TOKENIZER,
                         "text %zu: %s", index, err.text[0] != '\0' ? err.text : retort_status_text(status));
}

/* Takes working memory for a text; false: the budget has no room. */
static bool take_work(srv_call *call, const retort_text *text, size_t *work) {
    size_t length = text->length + text->pair_length;
    *work = length > LONG_TEXT ? WORK * length : 0;
    if (srv_memory_take(call->service->options->budget, SRV_USE_INPUTS, *work)) return true;
    *work = 0;
    return srv_call_over(call);
}

static void give_work(srv_call *call, size_t work) {
    srv_memory_give(call->service->options->budget, SRV_USE_INPUTS, work);
}

/* ---- Windows of tasks over texts ---- */

static srv_text_options text_options(const srv_ask *ask) {
    return (srv_text_options){.top = (int32_t)(ask->top > 0 ? ask->top : ask->old_top),
                              .aggregation = ask->aggregation,
                              .stride = (int32_t)ask->stride,
                              .longest = (int32_t)ask->longest,
                              .window = (int32_t)ask->window,
                              .question = (int32_t)ask->question,
                              .impossible = ask->impossible,
                              .pieces = ask->align == SRV_NO,
                              .cut = ask->truncate == SRV_YES,
                              .spans = ask->spans,
                              .words = ask->targets != NULL ? ask->targets : ask->ignore};
}

/* Whether a long text is read whole, in windows. */
static bool in_windows(const srv_call *call) {
    retort_task task = call->engine->info.task;
    return task == RETORT_TASK_ANSWER || (task == RETORT_TASK_TAG && call->ask.truncate != SRV_YES);
}

/* The cost of a text: its tokens, or those of all its windows if they were full. */
static size_t cost_of(const srv_call *call, const retort_windows_info *windows) {
    enum { WINDOW = 384 }; /* the pipeline's */
    const srv_ask *ask = &call->ask;
    size_t max = (size_t)call->engine->info.max_length, window = max;
    if (windows->windows <= 1) return windows->tokens;
    if (call->engine->info.task == RETORT_TASK_ANSWER)
        window = ask->window > 0 ? (size_t)ask->window : max < WINDOW ? max : WINDOW;
    return windows->windows < INT32_MAX / window ? windows->windows * window : INT32_MAX;
}

/* A text beyond the model's length, which has been truncated. */
static bool note_truncated(srv_call *call, size_t index, srv_encoder *s) {
    retort_tokenize_options options = RETORT_TOKENIZE_OPTIONS;
    size_t whole;
    call->truncated++;
    if (may_truncate(call)) return true;
    if (encode_whole(s, &call->ask.texts[index], options, &whole) != RETORT_OK)
        return srv_call_fail(call, SRV_ERROR_INTERNAL, "out of memory");
    return too_long(call, index, whole, call->engine->info.max_length);
}

/* Tokenises text `index` into its windows, which cost *n tokens. */
static bool make_windows(srv_call *call, size_t index, srv_encoder *s, retort_windows **windows, size_t *n) {
    const srv_text_options options = text_options(&call->ask);
    retort_windows_info info = {.size = sizeof info};
    retort_error err = {0};
    retort_status status =
        srv_text_windows(windows, s->encoder, call->engine->info.task, &options, &call->ask.texts[index],
                         !call->service->options->keep_special, &err);
    if (status == RETORT_NOMEM) return srv_call_fail(call, SRV_ERROR_INTERNAL, "out of memory");
    if (status != RETORT_OK) return srv_call_fail(call, SRV_ERROR_INVALID, "text %zu: %s", index, err.text);
    retort_windows_describe(*windows, &info);
    *n = cost_of(call, &info);
    return in_windows(call) || !info.truncated || note_truncated(call, index, s);
}

/* Ids, or windows for models without rows of numbers. */
static bool encode_text(srv_call *call, size_t index, srv_encoder *s, retort_windows **windows, size_t *n) {
    size_t work;
    if (!take_work(call, &call->ask.texts[index], &work)) return false;
    s->worn = s->worn || work > 0;
    bool rows = srv_engine_has_rows(call->engine);
    bool fine = rows ? make_ids(call, index, s, n) : make_windows(call, index, s, windows, n);
    give_work(call, work);
    return fine;
}

/* Number i; false: it is not a whole number. */
static bool int_at(const srv_ints *ints, size_t i, int64_t *out) {
    if (ints->raw == NULL) {
        *out = ints->json[i].integer;
        return ints->json[i].kind == SRV_INTEGER;
    }
    uint64_t bits = 0;
    for (size_t k = ints->width; k-- > 0;) bits = bits << 8 | (unsigned char)ints->raw[i * ints->width + k];
    *out = ints->width == 4 ? (int32_t)(uint32_t)bits : (int64_t)bits;
    return true;
}

static bool read_id(srv_call *call, const srv_ints *ints, const char *what, size_t at, int64_t limit,
                    int32_t *out) {
    int64_t value;
    if (!int_at(ints, at, &value))
        return srv_call_fail(call, SRV_ERROR_INVALID, "%s %zu is %s: expected a whole number", what, at,
                             srv_json_kind_name(&ints->json[at]));
    if (value < 0 || value >= limit)
        return srv_call_fail(call, SRV_ERROR_INVALID, "%s %zu is %lld: expected 0 to %lld", what, at,
                             (long long)value, (long long)limit - 1);
    *out = (int32_t)value;
    return true;
}

/* *n tokens from *first on have a mask of 1; those with a mask of 0 must come before or after them. */
static bool read_mask(srv_call *call, const srv_ids *ids, size_t *first, size_t *n) {
    int32_t mask = 1;
    *first = *n = 0;
    for (size_t i = 0; i < ids->n; i++) {
        if (srv_has_ints(&ids->mask) && !read_id(call, &ids->mask, "attention_mask", i, 2, &mask))
            return false;
        if (mask == 0) continue;
        if (*n == 0) *first = i;
        if (i != *first + *n)
            return srv_call_fail(call, SRV_ERROR_INVALID,
                                 "attention_mask %zu is 1 after a 0 after a 1: padding must be at the ends",
                                 i);
        ++*n;
    }
    return true;
}

static bool read_ids(srv_call *call, size_t index, srv_encoder *s, size_t *n) {
    const srv_ids *ids = &call->ask.ids[index];
    const retort_info *info = &call->engine->info;
    size_t first;
    if (!read_mask(call, ids, &first, n)) return false;
    if (*n > (size_t)info->positions) return too_long(call, index, *n, info->positions);
    if (*n == 0) return srv_call_fail(call, SRV_ERROR_INVALID, "text %zu has no tokens", index);
    if (*n > s->capacity && !srv_encoder_grow(s, *n))
        return srv_call_fail(call, SRV_ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < *n; i++) {
        s->types[i] = 0;
        if (!read_id(call, &ids->ids, "token id", first + i, info->vocab, &s->ids[i])) return false;
        if (srv_has_ints(&ids->types) && !read_id(call, &ids->types, "token_type_ids", first + i,
                                                  info->types > 0 ? info->types : 1, &s->types[i]))
            return false;
    }
    return true;
}

/* Where the model's positions skip padding, it is refused here: it would fail all of a batch. */
static bool has_no_padding(srv_call *call, size_t index, const srv_encoder *s, size_t n) {
    int32_t pad = call->engine->info.padding_idx;
    for (size_t i = 0; pad >= 0 && i < n; i++) {
        if (s->ids[i] == pad)
            return srv_call_fail(call, SRV_ERROR_INVALID,
                                 "text %zu: token %zu is padding, which the model skips", index, i);
    }
    return true;
}

/* A text that is nothing but its prompt is refused here, too. */
static bool has_pooled(srv_call *call, size_t index, size_t n) {
    return call->unpooled < n || call->unpooled == 0 ||
           srv_call_fail(call, SRV_ERROR_INVALID, "text %zu has no tokens but those of the prompt, %zu",
                         index, n);
}

/* Adds an entry to the job, with so many bytes more than its own. */
static bool add_entry(srv_call *call, srv_entry *entry, size_t index, size_t bytes) {
    call->job.items[index].entry = entry;
    call->job.count = index + 1;
    call->tokens += entry->tokens;
    return srv_entry_take(&call->engine->queue, entry, bytes) || srv_call_over(call);
}

static bool add_ids(srv_call *call, size_t index, const srv_encoder *s, size_t n) {
    bool all = call->ask.token_vectors;
    const retort_info *info = &call->engine->info;
    size_t numbers = all ? n * (size_t)info->hidden : (size_t)info->labels;
    size_t more = 2 * (all ? 0 : call->unpooled) + all;
    srv_entry *entry = srv_entry_new(n, 2 * n + (more > 0));
    if (entry == NULL) return srv_call_fail(call, SRV_ERROR_INTERNAL, "out of memory");
    if (!add_entry(call, entry, index, numbers * sizeof(float))) return false;
    memcpy(entry->key, s->ids, n * sizeof *s->ids);
    memcpy(entry->key + n, s->types, n * sizeof *s->types);
    if (more > 0) entry->key[2 * n] = (int32_t)more;
    return true;
}

/* Takes the windows. */
static bool add_windows(srv_call *call, size_t index, retort_windows *windows, size_t n) {
    const srv_text_options options = text_options(&call->ask);
    retort_windows_info info = {.size = sizeof info};
    srv_entry *entry = srv_text_entry(&options, &call->ask.texts[index], n);
    retort_windows_describe(windows, &info);
    if (entry == NULL) {
        retort_windows_free(windows);
        return srv_call_fail(call, SRV_ERROR_INTERNAL, "out of memory");
    }
    entry->windows = windows;
    return add_entry(call, entry, index, info.bytes);
}

/* Models that tag do not take pairs. */
static bool are_single(srv_call *call) {
    bool tags = call->engine->info.task == RETORT_TASK_TAG && call->ask.texts != NULL;
    for (size_t i = 0; tags && i < call->ask.count; i++) {
        if (call->ask.texts[i].pair != NULL)
            return srv_call_fail(call, SRV_ERROR_INVALID, "text %zu is a pair: the model tags single texts",
                                 i);
    }
    return true;
}

/* A text runs in one go, without interruption: all its windows must fit into the queue. */
static bool can_wait(srv_call *call, size_t index, size_t tokens) {
    long max = call->service->options->queue_tokens;
    return !in_windows(call) || tokens <= (size_t)max ||
           srv_call_fail(call, SRV_ERROR_TOO_LARGE,
                         "text %zu has %zu tokens in all its windows: max_queue_tokens is %ld", index, tokens,
                         max);
}

static bool add_input(srv_call *call, size_t index, srv_encoder *s) {
    retort_windows *windows = NULL;
    size_t n = 0;
    bool fine =
        call->ask.texts != NULL ? encode_text(call, index, s, &windows, &n) : read_ids(call, index, s, &n);
    if (!srv_engine_has_rows(call->engine)) {
        if (fine && can_wait(call, index, n)) return add_windows(call, index, windows, n);
        retort_windows_free(windows);
        return false;
    }
    return fine && has_no_padding(call, index, s, n) && has_pooled(call, index, n) &&
           add_ids(call, index, s, n);
}

/* How many tokens of the prompt are not pooled. */
static bool count_unpooled(srv_call *call, srv_encoder *s) {
    retort_tokenize_options options = RETORT_TOKENIZE_OPTIONS;
    const char *provider = call->service->options->provider;
    retort_error err = {0};
    if (call->ask.texts == NULL || call->prompt_name == NULL) return true;
    options.special_as_text = !call->service->options->keep_special;
    options.prompt_name = call->prompt_name;
    retort_status status = retort_encoder_unpooled(s->encoder, &options, &call->unpooled, &err);
    if (status == RETORT_NOMEM) return srv_call_fail(call, SRV_ERROR_INTERNAL, "out of memory");
    if (status != RETORT_OK) return srv_call_fail(call, SRV_ERROR_INVALID, "prompt_name: %s", err.text);
    return call->unpooled == 0 || provider == NULL || strcmp(provider, "native") == 0 ||
           srv_call_fail(call, SRV_ERROR_INVALID,
                         "prompt_name: the model does not pool the tokens of '%s', which only the provider "
                         "native can leave out",
                         call->prompt_name);
}

bool srv_call_encode(srv_call *call) {
    size_t count = call->ask.count;
    if (!are_single(call)) return false;
    if (call->ask.texts == NULL && !srv_engine_has_rows(call->engine))
        return srv_call_fail(call, SRV_ERROR_INVALID, "the model takes texts, not token ids");
    if (!srv_call_charge(call, count * sizeof *call->job.items)) return false;
    srv_encoder *s = srv_engine_encoder(call->engine);
    call->job.items = calloc(count, sizeof *call->job.items);
    bool fine = s != NULL && call->job.items != NULL;
    if (!fine) srv_call_fail(call, SRV_ERROR_INTERNAL, "out of memory");
    fine = fine && count_unpooled(call, s);
    for (size_t i = 0; fine && i < count; i++) fine = add_input(call, i, s);
    if (s != NULL) srv_engine_encoder_back(call->engine, s);
    return fine;
}

/* ---- The tokens of /tokenize ---- */

static bool reserve_tokens(srv_call *call, size_t more) {
    srv_writing *to = &call->writing;
    size_t need = to->token_count + more;
    if (need <= to->token_capacity) return true;
    size_t capacity = to->token_capacity > 0 ? need + need / 2 : need;
    if (!srv_call_charge(call, (capacity - to->token_capacity) * sizeof *to->tokens)) return false;
    srv_token *grown = realloc(to->tokens, capacity * sizeof *grown);
    if (grown == NULL) return srv_call_fail(call, SRV_ERROR_INTERNAL, "out of memory");
    to->tokens = grown;
    to->token_capacity = capacity;
    return true;
}

/* Adds the tokens that are requested. */
static void keep_tokens(srv_call *call, const retort_tokens *tokens) {
    srv_writing *to = &call->writing;
    for (size_t i = 0; i < tokens->count; i++) {
        srv_token token = {tokens->ids[i], tokens->offsets[2 * i], tokens->offsets[2 * i + 1]};
        if (token.start == token.stop && call->ask.no_special) continue;
        to->tokens[to->token_count++] = token;
    }
}

static bool tokenize_text(srv_call *call, size_t index, retort_tokens *tokens) {
    retort_tokenize_options options = RETORT_TOKENIZE_OPTIONS;
    const retort_text *text = &call->ask.texts[index];
    retort_error err;
    size_t work;
    options.max_length = 0;
    options.special_as_text = !call->service->options->keep_special;
    if (!take_work(call, text, &work)) return false;
    retort_status status = retort_tokenize(call->engine->model, text, &options, tokens, &err);
    if (status != RETORT_OK) {
        srv_call_fail(call, status == RETORT_NOMEM ? SRV_ERROR_INTERNAL : SRV_ERROR_TOKENIZER, "text %zu: %s",
                      index, err.text);
    }
    bool fine = status == RETORT_OK && reserve_tokens(call, tokens->count);
    if (fine) keep_tokens(call, tokens);
    if (work > 0) retort_tokens_free(tokens);
    give_work(call, work);
    return fine;
}

/* Refuses many tokens while the answers of other requests hold many. A single request always fits. */
static bool admit_tokens(srv_call *call) {
    size_t n = call->writing.token_count, limit = (size_t)call->service->options->queue_tokens;
    atomic_size_t *held = &call->engine->tokenized;
    size_t others = atomic_fetch_add(held, n);
    call->writing.admitted = n;
    bool small = n <= (size_t)call->service->options->batch_tokens;
    if (small || others == 0 || others + n <= limit) return true;
    srv_count(&call->engine->queue.metrics->rejected[SRV_QUEUE_FULL], 1);
    call->wait = 1;
    return srv_call_fail(call, SRV_ERROR_OVERLOADED,
                         "overloaded: %zu more tokens would exceed max_queue_tokens, which is %zu", n, limit);
}

bool srv_call_tokenize(srv_call *call) {
    size_t count = call->ask.count;
    retort_tokens tokens = {0};
    if (!srv_call_charge(call, count * sizeof *call->writing.ends)) return false;
    call->writing.ends = calloc(count, sizeof *call->writing.ends);
    bool fine = call->writing.ends != NULL || srv_call_fail(call, SRV_ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; fine && i < count; i++) {
        fine = tokenize_text(call, i, &tokens);
        call->writing.ends[i] = call->writing.token_count;
    }
    retort_tokens_free(&tokens);
    return fine && admit_tokens(call);
}
