/* SPDX-License-Identifier: Apache-2.0
 * Token classification: finds entities in texts. */
#include "task/feed.h"
#include "task/task.h"
#include "base/names.h"
#include "base/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Advances *point and its byte offset to `wanted`. */
static const uint8_t *walk(const uint8_t *at, const uint8_t *end, uint32_t *point, uint32_t wanted) {
    uint32_t unused;
    for (; *point < wanted && at < end; ++*point) at += rt_utf8_take(at, end, &unused);
    return at;
}

void rt_span_bytes(const char *text, size_t length, retort_span *spans, size_t count) {
    const uint8_t *from = (const uint8_t *)text, *end = from + length, *at = from;
    uint32_t point = 0;
    for (size_t i = 0; i < count; i++) { /* starts rarely go back; several tokens may share one character */
        if (spans[i].start < point) {
            at = from;
            point = 0;
        }
        at = walk(at, end, &point, spans[i].start);
        spans[i].byte_start = (uint32_t)(at - from);
        spans[i].byte_end = (uint32_t)(walk(at, end, &(uint32_t){point}, spans[i].end) - from);
    }
}

static retort_status append(retort_spans *out, const retort_span *span, retort_error *err) {
    if (!rt_grow((void **)&out->items, &out->capacity, out->count + 1, sizeof *span)) {
        return rt_fail_nomem(err, (out->count + 1) * sizeof *span);
    }
    out->items[out->count++] = *span;
    return RETORT_OK;
}

/* ---- Entities of one window ---- */

static const char *name_of(const rt_tagger *tagger, int64_t label) {
    const char *name = tagger->names[label], *mark = strchr(name, '-');
    return mark != NULL && tagger->options->aggregation != RETORT_AGGREGATION_NONE ? mark + 1 : name;
}

/* Closes the open entity, if any, with the mean score of its parts. */
static retort_status close_entity(const rt_tagger *tagger, rt_open_entity *open, retort_spans *out,
                                  retort_error *err) {
    if (open->parts == 0) return RETORT_OK;
    retort_span span = open->span;
    span.score = (float)(open->sum / (double)open->parts);
    span.name = name_of(tagger, span.label);
    open->parts = 0;
    return tagger->ignored[span.label] ? RETORT_OK : append(out, &span, err);
}

/* Adds a token or a word to the open entity, or opens a new one. */
static retort_status add_part(const rt_tagger *tagger, rt_open_entity *open, const retort_span *part,
                              retort_spans *out, retort_error *err) {
    const rt_tag_label *labels = tagger->labels;
    bool same = open->parts > 0 && tagger->options->aggregation != RETORT_AGGREGATION_NONE &&
                labels[open->span.label].type == labels[part->label].type && labels[part->label].mark != 'B';
    if (!same) {
        retort_status status = close_entity(tagger, open, out, err);
        if (status != RETORT_OK) return status;
        *open = (rt_open_entity){.span = *part};
    }
    open->span.end = part->end;
    open->sum += (double)part->score;
    open->parts++;
    return RETORT_OK;
}

/* Whether a token continues the previous word, by the rule of the pipelines: its piece is longer or shorter
 * than its span in the text, because of the prefix of continuing pieces. */
static bool goes_on(const rt_tagger *tagger, const rt_encoding *encoding, size_t token) {
    int32_t id = encoding->ids[token];
    const char *piece = rt_tokenizer_piece(tagger->tokenizer, id);
    if (piece == NULL || id == tagger->unknown) return false;
    size_t points = rt_utf8_count((const uint8_t *)piece, (const uint8_t *)piece + strlen(piece));
    return points != encoding->offsets[2 * token + 1] - encoding->offsets[2 * token];
}

/* The label and score of tokens [from, to) of a word; for a single token, all strategies agree. */
static void choose(const rt_tagger *tagger, const float *logits, size_t from, size_t to, retort_span *out) {
    size_t n = tagger->label_count, chosen = from;
    float *scores = tagger->scores, *sums = scores + n, most = -1;
    retort_aggregation aggregation = tagger->options->aggregation;
    memset(sums, 0, n * sizeof *sums);
    for (size_t i = from; i < to; i++) {
        rt_score_softmax(logits + i * n, n, scores);
        for (size_t k = 0; k < n; k++) sums[k] += scores[k] / (float)(to - from);
        float best = scores[rt_score_best(scores, n)];
        if (best > most && (i == from || aggregation == RETORT_AGGREGATION_MAX)) {
            most = best;
            chosen = i;
        }
    }
    if (aggregation == RETORT_AGGREGATION_AVERAGE) {
        out->label = (int64_t)rt_score_best(sums, n);
        out->score = sums[out->label];
    } else {
        out->label = (int64_t)rt_score_best(logits + chosen * n, n);
        out->score = most;
    }
}

retort_status rt_tag_aggregate(const rt_tagger *tagger, const rt_encoding *encoding, const float *logits,
                               retort_span place, retort_spans *out, retort_error *err) {
    bool words = tagger->options->aggregation >= RETORT_AGGREGATION_FIRST;
    rt_open_entity open = {.parts = 0};
    retort_status status = RETORT_OK;
    for (size_t from = 0, to; status == RETORT_OK && from < encoding->count; from = to) {
        to = from + 1;
        if (encoding->words[from] < 0) continue; /* special tokens */
        while (words && to < encoding->count && encoding->words[to] >= 0 && goes_on(tagger, encoding, to))
            to++;
        retort_span part = place;
        part.start = encoding->offsets[2 * from];
        part.end = encoding->offsets[2 * to - 1];
        part.piece = encoding->ids[from];
        part.token += (uint32_t)from;
        choose(tagger, logits, from, to, &part);
        status = add_part(tagger, &open, &part, out, err);
    }
    return status == RETORT_OK ? close_entity(tagger, &open, out, err) : status;
}

/* ---- Windows of one text ---- */

static int by_start(const void *left, const void *right) {
    const retort_span *a = left, *b = right; /* ties in the order of their windows */
    if (a->start != b->start) return a->start < b->start ? -1 : 1;
    return a->token < b->token ? -1 : a->token > b->token;
}

void rt_tag_merge(retort_span *spans, size_t *count) {
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++) spans[i].token = (uint32_t)i;
    if (*count > 0) qsort(spans, *count, sizeof *spans, by_start);
    for (size_t i = 1; i < *count; i++) {
        retort_span *last = &spans[kept];
        const retort_span *span = &spans[i];
        uint32_t length = span->end - span->start, before = last->end - last->start;
        if (span->start >= last->end) {
            spans[++kept] = *span;
        } else if (length > before || (length == before && span->score > last->score)) {
            *last = *span;
        }
    }
    if (*count > 0) *count = kept + 1;
}

/* ---- Texts ---- */

/* A window of the current batch, and its place. */
typedef struct fed_window {
    rt_encoding encoding;
    size_t text;
    uint32_t before; /* tokens of the text before it, without special ones */
    bool first, last;
    bool borrowed; /* the encoding is the caller's */
} fed_window;

/* The windows of one run, and the text they are taken from. */
typedef struct text_group {
    const rt_tagger *tagger;
    const retort_text *texts;
    rt_feed feed;
    fed_window *windows; /* [feed.n] */
    size_t capacity;
    size_t spans; /* number of spans of earlier texts */
} text_group;

static void group_clear(text_group *group) {
    for (size_t i = 0; i < group->feed.n; i++) {
        if (!group->windows[i].borrowed) rt_encoding_free(&group->windows[i].encoding);
    }
    rt_feed_clear(&group->feed);
}

static void group_free(text_group *group) {
    group_clear(group);
    free(group->windows);
    rt_feed_free(&group->feed);
}

/* Finishes the spans of a text. */
static void end_text(text_group *group, const fed_window *window, retort_spans *out) {
    const retort_text *text = &group->texts[window->text];
    size_t count = out->count - group->spans;
    retort_span *spans = out->items + group->spans;
    if (count == 0) return;
    bool tokens = group->tagger->options->aggregation == RETORT_AGGREGATION_NONE;
    if (!window->first && !tokens) rt_tag_merge(spans, &count);
    rt_span_bytes(text->text, text->length, spans, count);
    for (size_t i = 0; i < count && !tokens; i++) {
        spans[i].piece = -1;
        spans[i].token = 0;
    }
    out->count = group->spans + count;
}

static retort_status group_run(text_group *group, retort_session *session, retort_spans *out,
                               retort_error *err) {
    retort_matrix rows;
    retort_status status = rt_feed_run(&group->feed, session, &rows, err);
    for (size_t i = 0; status == RETORT_OK && i < group->feed.n; i++) {
        const fed_window *window = &group->windows[i];
        const float *logits = rows.data + (size_t)group->feed.offsets[i] * rows.columns;
        retort_span place = {.text = window->text, .token = window->before};
        if (window->first) group->spans = out->count;
        status = rt_tag_aggregate(group->tagger, &window->encoding, logits, place, out, err);
        if (status == RETORT_OK && window->last) end_text(group, window, out);
    }
    group_clear(group);
    return status;
}

/* Takes ownership of the encoding of the window, even on failure, unless it is borrowed. */
static retort_status group_add(text_group *group, retort_session *session, fed_window *window,
                               retort_spans *out, retort_error *err) {
    retort_status status = RETORT_OK;
    if (group->feed.tokens >= RT_FEED_TOKENS) status = group_run(group, session, out, err);
    if (status == RETORT_OK &&
        !rt_grow((void **)&group->windows, &group->capacity, group->feed.n + 1, sizeof *group->windows))
        status = rt_fail_nomem(err, (group->feed.n + 1) * sizeof *group->windows);
    size_t index = group->feed.n;
    group->feed.text = window->text;
    if (status == RETORT_OK) status = rt_feed_encoding(&group->feed, &window->encoding, err);
    if (status == RETORT_OK) {
        group->windows[index] = *window;
    } else if (!window->borrowed) {
        rt_encoding_free(&window->encoding);
    }
    return status;
}

static retort_status add_windows(text_group *group, retort_session *session, const retort_windows *windows,
                                 size_t index, bool borrowed, retort_spans *out, retort_error *err) {
    retort_status status = RETORT_OK;
    uint32_t before = 0;
    for (size_t i = 0; i < windows->count; i++) {
        fed_window window = {windows->items[i], index, before, i == 0, i + 1 == windows->count, borrowed};
        for (size_t k = 0; k < windows->items[i].count; k++) before += windows->items[i].words[k] >= 0;
        if (status == RETORT_OK) {
            status = group_add(group, session, &window, out, err);
        } else if (!borrowed) {
            rt_encoding_free(&windows->items[i]);
        }
    }
    return status;
}

static retort_status add_text(text_group *group, retort_session *session, const rt_encode_options *encode,
                              size_t index, retort_spans *out, retort_error *err) {
    const rt_tagger *tagger = group->tagger;
    retort_windows windows = {0};
    retort_status status =
        rt_tag_windows(tagger->tokenizer, *encode, &group->texts[index], tagger->options, &windows, err);
    if (status == RETORT_OK) {
        status = add_windows(group, session, &windows, index, false, out, err);
        windows.count = 0; /* the group has them */
    }
    rt_windows_clear(&windows);
    return status;
}

/* How long texts are split into windows. */
static retort_status set_windows(const retort_tag_options *options, rt_encode_options *encode,
                                 retort_error *err) {
    bool tokens = options->aggregation == RETORT_AGGREGATION_NONE;
    encode->words = true;
    encode->stride = rt_min(encode->max_length / 2, RT_ANSWER_STRIDE);
    if (tokens) encode->stride = 0;
    if (options->stride < 0) return RETORT_OK;
    if (tokens && options->stride > 0)
        return rt_fail(err, RETORT_ARGUMENT,
                       "tag: stride %lld: windows of single tokens share none, only those of entities do",
                       (long long)options->stride);
    if ((uint64_t)options->stride + 2 >= encode->max_length)
        return rt_fail(err, RETORT_ARGUMENT,
                       "tag: stride %lld: windows of %zu tokens, with special ones, do not advance by it",
                       (long long)options->stride, encode->max_length);
    encode->stride = (size_t)options->stride;
    return RETORT_OK;
}

retort_status rt_tag_windows(const rt_tokenizer *tokenizer, rt_encode_options encode, const retort_text *text,
                             const retort_tag_options *options, retort_windows *out, retort_error *err) {
    retort_status status = set_windows(options, &encode, err);
    if (status != RETORT_OK) return status;
    if (!options->cut)
        return rt_encode_windows(tokenizer, text, &encode, RT_ANSWER_WINDOWS, &out->items, &out->count, err);
    out->items = rt_calloc(1, sizeof *out->items);
    if (out->items == NULL) return rt_fail_nomem(err, sizeof *out->items);
    out->count = 1;
    return rt_encode(tokenizer, text, &encode, out->items, err);
}

retort_status rt_tag(retort_session *session, const retort_text *texts, size_t n,
                     const retort_tag_options *options, retort_spans *out, retort_error *err) {
    const retort_model *model = rt_session_model(session);
    rt_encode_options encode = rt_feed_options(session, -1), checked = encode;
    rt_tagger tagger;
    text_group group = {.tagger = &tagger, .texts = texts};
    out->count = 0;
    retort_status status = set_windows(options, &checked, err);
    if (status != RETORT_OK) return status;
    status = rt_tagger_open(&tagger, &model->config, model->tokenizer, options, err);
    if (status == RETORT_OK && options->windows != NULL) {
        status = add_windows(&group, session, options->windows, 0, true, out, err);
        n = 0;
    }
    for (size_t i = 0; status == RETORT_OK && i < n; i++)
        status = add_text(&group, session, &encode, i, out, err);
    if (status == RETORT_OK && group.feed.n > 0) status = group_run(&group, session, out, err);
    group_free(&group);
    rt_tagger_close(&tagger);
    return status;
}

/* Which labels are omitted; each name is looked up only once. */
static retort_status find_ignored(rt_tagger *tagger, retort_error *err) {
    static const char *const outside[] = {"O"};
    const retort_tag_options *options = tagger->options;
    size_t count = options->ignore != NULL ? options->ignore_count : 1;
    const char **names = rt_calloc(count + 1, sizeof *names);
    if (names == NULL) return rt_fail_nomem(err, (count + 1) * sizeof *names);
    if (count > 0) memcpy(names, options->ignore != NULL ? options->ignore : outside, count * sizeof *names);
    qsort(names, count, sizeof *names, rt_compare_names);
    for (size_t i = 0; i < tagger->label_count; i++) {
        const char *name = name_of(tagger, (int64_t)i);
        tagger->ignored[i] = bsearch(&name, names, count, sizeof *names, rt_compare_names) != NULL;
    }
    free(names);
    return RETORT_OK;
}

static const char *type_of(const char *name) {
    return (name[0] == 'B' || name[0] == 'I') && name[1] == '-' ? name + 2 : name;
}

rt_tag_label *rt_tag_labels_new(const rt_config *config) {
    rt_tag_label *labels = rt_calloc((size_t)config->labels, sizeof *labels);
    for (int64_t i = 0; labels != NULL && i < config->labels; i++) {
        const char *name = config->label_names[i];
        labels[i].mark = strcmp(name, "O") == 0 ? 'O' : strncmp(name, "B-", 2) == 0 ? 'B' : 'I';
        while (strcmp(type_of(config->label_names[labels[i].type]), type_of(name)) != 0) labels[i].type++;
    }
    return labels;
}

retort_status rt_tagger_open(rt_tagger *tagger, const rt_config *config, const rt_tokenizer *tokenizer,
                             const retort_tag_options *options, retort_error *err) {
    *tagger = (rt_tagger){.label_count = (size_t)config->labels,
                          .names = config->label_names,
                          .tokenizer = tokenizer,
                          .options = options,
                          .unknown = tokenizer != NULL ? rt_tokenizer_describe(tokenizer).unk : -1};
    tagger->labels = rt_tag_labels_new(config);
    tagger->scores = rt_calloc(tagger->label_count, 2 * sizeof *tagger->scores);
    tagger->ignored = rt_calloc(tagger->label_count, sizeof *tagger->ignored);
    if (tagger->labels != NULL && tagger->scores != NULL && tagger->ignored != NULL)
        return find_ignored(tagger, err);
    return rt_fail_nomem(err, tagger->label_count * sizeof *tagger->labels);
}

void rt_tagger_close(rt_tagger *tagger) {
    free(tagger->labels);
    free(tagger->scores);
    free(tagger->ignored);
}
