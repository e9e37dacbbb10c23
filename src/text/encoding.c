/* SPDX-License-Identifier: Apache-2.0
 * Tokens of one or two texts to what a model reads: truncation, windows, template. */
#include "text/state.h"

#include <stdlib.h>
#include <string.h>

/* A request on its way. */
typedef struct encode_request {
    const rt_tokenizer *tokenizer;
    const rt_encode_options *options;
    const rt_template *template;
    rt_scratch *scratch, own; /* the cache's, or our own */
    const rt_tokens *texts[2];
    bool paired;
    bool left;     /* texts are cut at their beginning */
    bool ids_only; /* offsets are not wanted */
    size_t budget; /* tokens of the texts; SIZE_MAX: not cut */
    size_t limit;  /* tokens of a text after which no more are needed */
    retort_error *err;
} encode_request;

/* Tokens [start, start + count) of each text. */
typedef struct token_window {
    size_t start[2], count[2];
} token_window;

void rt_encoding_free(rt_encoding *encoding) {
    free(encoding->ids);
    free(encoding->types);
    free(encoding->offsets);
    free(encoding->words);
    *encoding = (rt_encoding){0};
}

static bool grow_array(void **array, size_t capacity, size_t size) {
    size_t bytes;
    void *grown = rt_mul(capacity, size, &bytes) ? realloc(*array, bytes) : NULL;
    if (grown != NULL) *array = grown;
    return grown != NULL;
}

static bool reserve(rt_encoding *out, size_t count) {
    if (count <= out->capacity) return true;
    size_t capacity = rt_max(count, 2 * out->capacity);
    if (!grow_array((void **)&out->ids, capacity, sizeof *out->ids) ||
        !grow_array((void **)&out->types, capacity, sizeof *out->types) ||
        !grow_array((void **)&out->offsets, capacity, 2 * sizeof *out->offsets) ||
        !grow_array((void **)&out->words, capacity, sizeof *out->words)) {
        return false;
    }
    out->capacity = capacity;
    return true;
}

/* ---- A request ---------------------------------------------------------------------------------------- */

static size_t special_count(const encode_request *request) {
    return request->options->no_special ? 0 : request->template->special;
}

static retort_status open_request(encode_request *request, const rt_tokenizer *tokenizer, bool paired,
                                  const rt_encode_options *options, retort_error *err) {
    *request = (encode_request){.tokenizer = tokenizer, .options = options, .paired = paired, .err = err};
    request->left =
        options->side == RETORT_SIDE_MODEL ? tokenizer->info.cut_left : options->side == RETORT_SIDE_LEFT;
    request->template = paired ? &tokenizer->pair : &tokenizer->single;
    request->scratch = options->cache != NULL ? &options->cache->scratch : &request->own;
    request->texts[0] = &request->scratch->first;
    request->texts[1] = &request->scratch->second;
    request->scratch->second.count = 0;
    request->budget = request->limit = SIZE_MAX;
    if (options->cache != NULL && options->cache->tokenizer != tokenizer) {
        return rt_fail(err, RETORT_ARGUMENT, "the word cache belongs to another tokenizer");
    }
    if (options->max_length == 0) return RETORT_OK;
    if (options->max_length < special_count(request)) {
        return rt_fail(err, RETORT_ARGUMENT, "max_length %zu has no room for %zu special tokens",
                       options->max_length, special_count(request));
    }
    request->budget = options->max_length - special_count(request);
    /* How much is cut from one text of a pair depends on both, and what an end is needs all of the text. */
    if (!paired && !request->left && options->truncation != RT_ONLY_SECOND)
        request->limit = request->budget + 1; /* the one too many shows that it is cut */
    return RETORT_OK;
}

static void close_request(encode_request *request) {
    rt_scratch_free(&request->own);
}

/* Whether white space in tokens must be counted. */
static bool is_measured(const encode_request *request) {
    return request->template->trim && !request->ids_only;
}

static retort_status walk(encode_request *request, rt_tokens *tokens, const char *text, size_t length,
                          bool segmented) {
    rt_walk walk = {.tokenizer = request->tokenizer,
                    .cache = request->options->cache,
                    .normalized = &request->scratch->normalized,
                    .tokens = tokens,
                    .limit = request->limit,
                    .segmented = segmented,
                    .special_as_text = request->options->special_as_text,
                    .measured = is_measured(request)};
    return rt_walk_text(&walk, text, length, request->err);
}

static void forget_first(rt_scratch *scratch) {
    scratch->first.count = 0;
    scratch->is_known = false;
}

static bool is_known(const rt_scratch *scratch, const retort_text *text, bool special_as_text,
                     bool measured) {
    return scratch->is_known && scratch->known_special_as_text == special_as_text &&
           (scratch->known_measured || !measured) && scratch->known_length == text->length &&
           (text->length == 0 || memcmp(scratch->known, text->text, text->length) == 0);
}

/* Without memory for a copy it is tokenised again the next time. */
static void know_first(rt_scratch *scratch, const retort_text *text, bool special_as_text, bool measured) {
    if (!rt_grow((void **)&scratch->known, &scratch->known_capacity, text->length + 1, 1)) return;
    if (text->length > 0) memcpy(scratch->known, text->text, text->length);
    scratch->known_length = text->length;
    scratch->known_special_as_text = special_as_text;
    scratch->known_measured = measured;
    scratch->is_known = true;
}

static retort_status walk_first(encode_request *request, const retort_text *text, bool segmented) {
    rt_scratch *scratch = request->scratch;
    bool special_as_text = request->options->special_as_text;
    if (request->paired && is_known(scratch, text, special_as_text, is_measured(request))) return RETORT_OK;
    forget_first(scratch);
    retort_status status = walk(request, &scratch->first, text->text, text->length, segmented);
    bool kept = request->paired && request->options->cache != NULL;
    if (kept && status == RETORT_OK) know_first(scratch, text, special_as_text, is_measured(request));
    return status;
}

/* The text with the prompt before it. */
static retort_status put_prompt(const encode_request *request, const retort_text *text, retort_text *out) {
    const char *prompt = request->options->prompt;
    rt_scratch *scratch = request->scratch;
    size_t length = prompt != NULL ? strlen(prompt) : 0;
    *out = *text;
    if (length == 0) return RETORT_OK;
    if (!rt_grow((void **)&scratch->joined, &scratch->joined_capacity, length + text->length, 1)) {
        return rt_fail_nomem(request->err, length + text->length);
    }
    memcpy(scratch->joined, prompt, length);
    if (text->length > 0) memcpy(scratch->joined + length, text->text, text->length);
    out->text = scratch->joined;
    out->length = length + text->length;
    return RETORT_OK;
}

static retort_status walk_texts(encode_request *request, const retort_text *text, bool segmented) {
    rt_scratch *scratch = request->scratch;
    retort_text first;
    retort_status status = put_prompt(request, text, &first);
    if (status == RETORT_OK) status = walk_first(request, &first, segmented);
    if (status != RETORT_OK || !request->paired) return status;
    return walk(request, &scratch->second, text->pair, text->pair_length, segmented);
}

/* ---- Truncation --------------------------------------------------------------------------------------- */

/* Hugging Face's closed form: first the longer text gives way, then both get half of the budget, the odd
 * token going to the longer one (to the second if they are equally long). */
static void cut_longest(size_t budget, size_t count[2]) {
    size_t longer = count[0] > count[1] ? 0 : 1, shorter = 1 - longer;
    size_t least = count[shorter];
    count[longer] = least > budget ? least : rt_max(least, budget - least);
    if (count[0] + count[1] > budget) {
        count[shorter] = budget / 2;
        count[longer] = budget / 2 + budget % 2;
    }
}

/* Tokens of each text that a window has room for. */
static retort_status cut(const encode_request *request, size_t count[2]) {
    count[0] = request->texts[0]->count;
    count[1] = request->texts[1]->count;
    size_t total = count[0] + count[1];
    if (total <= request->budget) return RETORT_OK;
    rt_truncation truncation = request->options->truncation;
    if (request->budget == 0) {
        count[0] = count[1] = 0;
        return RETORT_OK;
    }
    if (truncation == RT_LONGEST_FIRST) {
        if (request->paired) {
            cut_longest(request->budget, count);
        } else {
            count[0] = request->budget;
        }
        return RETORT_OK;
    }
    size_t target = truncation == RT_ONLY_SECOND, excess = total - request->budget;
    if (count[target] > excess) {
        count[target] -= excess;
        return RETORT_OK;
    }
    return rt_fail(request->err, RETORT_ARGUMENT,
                   "truncation: %zu tokens are too many, and the %s text has only %zu that could be cut",
                   excess, target == 0 ? "first" : "second", count[target]);
}

/* The one window that is left of texts which are cut. */
static retort_status cut_window(const encode_request *request, token_window *window) {
    retort_status status = cut(request, window->count);
    bool less = window->count[0] + window->count[1] < request->texts[0]->count + request->texts[1]->count;
    if (status == RETORT_OK && less && request->options->truncated != NULL) ++*request->options->truncated;
    for (size_t i = 0; i < 2 && status == RETORT_OK; i++) {
        window->start[i] = request->left ? request->texts[i]->count - window->count[i] : 0;
    }
    return status;
}

/* ---- Template ----------------------------------------------------------------------------------------- */

static void put_special(rt_encoding *out, const rt_template_part *part, bool words) {
    for (size_t i = 0; i < part->count; i++) {
        size_t at = out->count++;
        out->ids[at] = part->ids[i];
        out->types[at] = part->type;
        out->offsets[2 * at] = out->offsets[2 * at + 1] = 0;
        if (words) out->words[at] = -1;
    }
}

/* Takes white space at its ends out of the offsets of token i of a text, as the library does. */
static void trim(const rt_template *template, const rt_token *token, size_t i, uint32_t offsets[2]) {
    bool first = i == 0 || offsets[0] == 0;
    uint32_t before = first && template->keep_prefix && token->before == 1 ? 0 : token->before;
    offsets[0] = (uint32_t)rt_min((uint64_t)offsets[0] + before, offsets[1]);
    if (offsets[1] >= token->after) offsets[1] = (uint32_t)rt_max(offsets[1] - token->after, offsets[0]);
}

static void put_tokens(rt_encoding *out, const rt_template *template, const rt_token *tokens, size_t count,
                       int32_t type, bool words) {
    for (size_t i = 0; i < count; i++) {
        size_t at = out->count++;
        out->ids[at] = tokens[i].id;
        out->types[at] = type;
        out->offsets[2 * at] = tokens[i].start;
        out->offsets[2 * at + 1] = tokens[i].end;
        if (template->trim) trim(template, &tokens[i], i, &out->offsets[2 * at]);
        if (words) out->words[at] = tokens[i].word;
    }
}

static retort_status assemble(const encode_request *request, const token_window *window, rt_encoding *out) {
    const rt_template *template = request->template;
    size_t need = special_count(request) + window->count[0] + window->count[1];
    out->count = 0;
    if (!reserve(out, need)) return rt_fail(request->err, RETORT_NOMEM, "out of memory for %zu tokens", need);
    for (size_t i = 0; i < template->count; i++) {
        const rt_template_part *part = &template->parts[i];
        if (part->sequence < 0) {
            if (!request->options->no_special) put_special(out, part, request->options->words);
            continue;
        }
        const rt_token *tokens = request->texts[part->sequence]->data;
        if (window->count[part->sequence] > 0) {
            put_tokens(out, template, tokens + window->start[part->sequence], window->count[part->sequence],
                       part->type, request->options->words);
        }
    }
    return RETORT_OK;
}

retort_status rt_encode(const rt_tokenizer *tokenizer, const retort_text *text,
                        const rt_encode_options *options, rt_encoding *out, retort_error *err) {
    encode_request request;
    token_window window = {0};
    retort_status status = open_request(&request, tokenizer, text->pair != NULL, options, err);
    if (status == RETORT_OK) status = walk_texts(&request, text, options->cache != NULL);
    if (status == RETORT_OK) status = cut_window(&request, &window);
    if (status == RETORT_OK) status = assemble(&request, &window, out);
    close_request(&request);
    return status;
}

/* ---- Ids only ----------------------------------------------------------------------------------------- */

static retort_status copy_ids(const encode_request *request, const token_window *window, int32_t *ids,
                              size_t capacity, size_t *count) {
    size_t need = special_count(request) + window->count[0] + window->count[1];
    if (need > capacity - *count) {
        return rt_fail(request->err, RETORT_LIMIT, "%zu tokens do not fit into the %zu there is room for",
                       need, capacity - *count);
    }
    for (size_t i = 0; i < request->template->count; i++) {
        const rt_template_part *part = &request->template->parts[i];
        if (part->sequence < 0) {
            for (size_t k = 0; !request->options->no_special && k < part->count; k++)
                ids[(*count)++] = part->ids[k];
            continue;
        }
        size_t start = window->start[part->sequence], end = start + window->count[part->sequence];
        for (size_t k = start; k < end; k++) ids[(*count)++] = request->texts[part->sequence]->data[k].id;
    }
    return RETORT_OK;
}

retort_status rt_encode_ids(const rt_tokenizer *tokenizer, const retort_text *text,
                            const rt_encode_options *options, int32_t *ids, size_t capacity, size_t *count,
                            retort_error *err) {
    encode_request request;
    token_window window = {0};
    retort_status status = open_request(&request, tokenizer, text->pair != NULL, options, err);
    request.ids_only = true;
    if (status == RETORT_OK) status = walk_texts(&request, text, true);
    if (status == RETORT_OK) status = cut_window(&request, &window);
    if (status == RETORT_OK) status = copy_ids(&request, &window, ids, capacity, count);
    close_request(&request);
    return status;
}

/* ---- Pre-split words ---------------------------------------------------------------------------------- */

retort_status rt_encode_words(const rt_tokenizer *tokenizer, const retort_text *words, size_t n,
                              const rt_encode_options *options, rt_encoding *out, retort_error *err) {
    encode_request request;
    token_window window = {0};
    retort_status status = open_request(&request, tokenizer, false, options, err);
    rt_tokens *tokens = &request.scratch->first;
    forget_first(request.scratch);
    if (n > INT32_MAX)
        status = rt_fail(err, RETORT_LIMIT, "%zu words, at most %d are supported", n, INT32_MAX);
    for (size_t i = 0; i < n && status == RETORT_OK && tokens->count < request.limit; i++) {
        size_t from = tokens->count;
        status = walk(&request, tokens, words[i].text, words[i].length, options->cache != NULL);
        for (size_t k = from; k < tokens->count; k++) tokens->data[k].word = (int32_t)i;
    }
    if (status == RETORT_OK) status = cut_window(&request, &window);
    if (status == RETORT_OK) status = assemble(&request, &window, out);
    close_request(&request);
    return status;
}

/* ---- Windows ------------------------------------------------------------------------------------------ */

/* The windows of one text: `size` tokens each, the last one shorter, `step` apart; `left`: the first one ends
 * where the text does. */
typedef struct text_slices {
    size_t total, size, step, count;
    bool left;
} text_slices;

static retort_status slice(const encode_request *request, size_t total, size_t size, text_slices *out) {
    *out = (text_slices){total, size, size, 1, request->left};
    if (total <= size) return RETORT_OK;
    if (size <= request->options->stride) {
        return rt_fail(request->err, RETORT_ARGUMENT,
                       "windows of %zu tokens with a stride of %zu do not advance", size,
                       request->options->stride);
    }
    out->step = size - request->options->stride;
    out->count = 1 + (total - size + out->step - 1) / out->step;
    return RETORT_OK;
}

static void take_slice(const text_slices *slices, size_t index, token_window *window, size_t text) {
    size_t gone = index * slices->step; /* tokens that come before it */
    window->count[text] = rt_min(slices->size, slices->total - gone);
    window->start[text] = slices->left ? slices->total - gone - window->count[text] : gone;
}

/* Hugging Face's order of the pairs of windows: (0, 0), then each further window of the first text with all
 * of the second, then the first one with the further windows of the second. */
static void window_at(const text_slices slices[2], size_t index, token_window *window) {
    size_t first = 0, second = index, further = (slices[0].count - 1) * slices[1].count;
    if (index > 0 && index <= further) {
        first = 1 + (index - 1) / slices[1].count;
        second = (index - 1) % slices[1].count;
    } else if (index > 0) {
        second = index - further;
    }
    take_slice(&slices[0], first, window, 0);
    take_slice(&slices[1], second, window, 1);
}

static void free_windows(rt_encoding *windows, size_t count) {
    for (size_t i = 0; i < count; i++) rt_encoding_free(&windows[i]);
    free(windows);
}

static retort_status make_windows(const encode_request *request, size_t limit, rt_encoding **windows,
                                  size_t *count) {
    size_t room[2], total;
    text_slices slices[2];
    retort_status status = cut(request, room);
    for (size_t i = 0; i < 2 && status == RETORT_OK; i++) {
        status = slice(request, request->texts[i]->count, room[i], &slices[i]);
    }
    if (status != RETORT_OK) return status;
    if (!rt_mul(slices[0].count, slices[1].count, &total) || total > limit) {
        return rt_fail(request->err, RETORT_LIMIT, "%zu times %zu windows, at most %zu are allowed",
                       slices[0].count, slices[1].count, limit);
    }
    rt_encoding *made = rt_calloc(total, sizeof *made);
    if (made == NULL) return rt_fail_nomem(request->err, total * sizeof *made);
    for (size_t i = 0; i < total && status == RETORT_OK; i++) {
        token_window window;
        window_at(slices, i, &window);
        status = assemble(request, &window, &made[i]);
    }
    if (status != RETORT_OK) {
        free_windows(made, total);
        return status;
    }
    *windows = made;
    *count = total;
    return RETORT_OK;
}

retort_status rt_encode_windows(const rt_tokenizer *tokenizer, const retort_text *text,
                                const rt_encode_options *options, size_t limit, rt_encoding **windows,
                                size_t *count, retort_error *err) {
    encode_request request;
    retort_status status = open_request(&request, tokenizer, text->pair != NULL, options, err);
    request.limit = SIZE_MAX;
    if (status == RETORT_OK) status = walk_texts(&request, text, options->cache != NULL);
    if (status == RETORT_OK) status = make_windows(&request, limit, windows, count);
    close_request(&request);
    return status;
}
