/* SPDX-License-Identifier: Apache-2.0
 * Tasks whose answers are parts of a text: entities, answers, guesses for mask tokens. Answers have the JSON
 * form of Hugging Face's pipelines. */
#include "serve/queue/texts.h"
#include "serve/base/out.h"

#include <stdlib.h>
#include <string.h>

/* A key: the options, the lengths of the text and its pair (-1: none) and of the words (labels to ignore,
 * targets), and the bytes of all of them, padded with zeros. */
enum { TOP, AGGREGATION, STRIDE, LONGEST, WINDOW, QUESTION, FLAGS, WORDS, LENGTH, PAIR_LENGTH, HEAD };
enum { IMPOSSIBLE = 1, PIECES = 2, CUT = 4, SPANS = 8, LISTED = 16 }; /* of FLAGS */

/* Word i of a string or a list of strings. */
static const srv_json *word_at(const srv_json *words, size_t i) {
    return words->kind == SRV_STRING ? words
                                     : srv_json_first(words) + i; /* strings have consecutive values */
}

static void set_head(int32_t *key, const srv_text_options *options, const retort_text *text, size_t words) {
    key[TOP] = options->top;
    key[AGGREGATION] = options->aggregation;
    key[STRIDE] = options->stride;
    key[LONGEST] = options->longest;
    key[WINDOW] = options->window;
    key[QUESTION] = options->question;
    key[FLAGS] = (options->impossible ? IMPOSSIBLE : 0) | (options->pieces ? PIECES : 0) |
                 (options->cut ? CUT : 0) | (options->spans ? SPANS : 0) |
                 (options->words != NULL ? LISTED : 0);
    key[WORDS] = (int32_t)words;
    key[LENGTH] = (int32_t)text->length;
    key[PAIR_LENGTH] = text->pair != NULL ? (int32_t)text->pair_length : -1;
}

srv_entry *srv_text_entry(const srv_text_options *options, const retort_text *text, size_t tokens) {
    const srv_json *list = options->words;
    size_t words = list == NULL ? 0 : list->kind == SRV_STRING ? 1 : list->count;
    size_t bytes = text->length + text->pair_length;
    for (size_t i = 0; i < words; i++) bytes += word_at(list, i)->length + 1;
    size_t size = HEAD + words + bytes / sizeof(int32_t) + 1;
    srv_entry *entry = bytes < INT32_MAX ? srv_entry_new(tokens, size) : NULL;
    if (entry == NULL) return NULL;
    entry->key[size - 1] = 0;
    set_head(entry->key, options, text, words);
    char *to = (char *)(entry->key + HEAD + words);
    if (text->length > 0) memcpy(to, text->text, text->length);
    to += text->length;
    if (text->pair_length > 0) memcpy(to, text->pair, text->pair_length);
    to += text->pair_length;
    for (size_t i = 0; i < words; i++) {
        const srv_json *word = word_at(list, i);
        entry->key[HEAD + i] = (int32_t)word->length;
        if (word->length > 0) memcpy(to, word->text, word->length);
        to[word->length] = '\0';
        to += word->length + 1;
    }
    return entry;
}

/* An entry that is being run. */
typedef struct text_run {
    const srv_text_runner *by;
    const retort_windows *windows;
    const int32_t *key;
    retort_text text;
    retort_text *words; /* [key[WORDS]] each NUL-terminated; NULL: none given */
    srv_out *out;
    retort_error err;
} text_run;

static bool open_run(text_run *run, const srv_entry *entry) {
    const int32_t *key = entry->key;
    size_t words = (size_t)key[WORDS], length = (size_t)key[LENGTH];
    bool paired = key[PAIR_LENGTH] >= 0;
    const char *at = (const char *)(key + HEAD + words);
    run->key = key;
    run->text = (retort_text){at, length, paired ? at + length : NULL, paired ? (size_t)key[PAIR_LENGTH] : 0};
    at += run->text.length + run->text.pair_length;
    if ((key[FLAGS] & LISTED) == 0) return true;
    run->words = calloc(words + 1, sizeof *run->words);
    for (size_t i = 0; run->words != NULL && i < words; i++) {
        run->words[i] = (retort_text){.text = at, .length = (size_t)key[HEAD + i]};
        at += run->words[i].length + 1;
    }
    return run->words != NULL;
}

static void write_member(srv_out *out, const char *name, const char *text, size_t length) {
    srv_out_format(out, ",\"%s\":", name);
    srv_out_string(out, text, length);
}

static void write_place(srv_out *out, const retort_span *span) {
    srv_out_text(out, "{\"score\":");
    srv_out_real(out, (double)span->score);
    srv_out_format(out, ",\"start\":%u,\"end\":%u", span->start, span->end);
}

/* ---- Entities ---- */

static void write_entity(text_run *run, const retort_span *span) {
    bool token = run->key[AGGREGATION] == SRV_NONE, known = span->piece != run->by->info->unknown;
    const char *piece = token && known ? retort_model_piece(run->by->model, span->piece) : NULL;
    write_place(run->out, span);
    if (token) srv_out_format(run->out, ",\"index\":%u", span->token);
    write_member(run->out, token ? "entity" : "entity_group", span->name, strlen(span->name));
    if (piece != NULL) {
        write_member(run->out, "word", piece, strlen(piece));
    } else {
        write_member(run->out, "word", run->text.text + span->byte_start, span->byte_end - span->byte_start);
    }
    srv_out_text(run->out, "}");
}

static void write_spans(text_run *run, const retort_spans *spans) {
    if ((run->key[FLAGS] & SPANS) != 0) {
        srv_spans head = {.mark = ' ', .count = spans->count};
        srv_out_bytes(run->out, (const char *)&head, sizeof head);
        if (spans->count > 0)
            srv_out_bytes(run->out, (const char *)spans->items, spans->count * sizeof *spans->items);
        return;
    }
    srv_out_text(run->out, "[");
    for (size_t i = 0; i < spans->count; i++) {
        if (i > 0) srv_out_text(run->out, ",");
        write_entity(run, &spans->items[i]);
    }
    srv_out_text(run->out, "]");
}

/* Those that decide about windows. */
static retort_tag_options tag_options(int32_t aggregation, int32_t stride, bool cut) {
    static const retort_aggregation aggregations[] = {[0] = RETORT_AGGREGATION_SIMPLE,
                                                      [SRV_NONE] = RETORT_AGGREGATION_NONE,
                                                      [SRV_SIMPLE] = RETORT_AGGREGATION_SIMPLE,
                                                      [SRV_FIRST] = RETORT_AGGREGATION_FIRST,
                                                      [SRV_AVERAGE] = RETORT_AGGREGATION_AVERAGE,
                                                      [SRV_MAX] = RETORT_AGGREGATION_MAX};
    retort_tag_options options = RETORT_TAG_OPTIONS;
    options.aggregation = aggregations[aggregation];
    options.stride = stride;
    options.cut = cut;
    return options;
}

static retort_status run_tag(text_run *run) {
    static const char *const no_names[] = {NULL};
    retort_tag_options options =
        tag_options(run->key[AGGREGATION], run->key[STRIDE], (run->key[FLAGS] & CUT) != 0);
    retort_spans spans = {0};
    size_t words = (size_t)run->key[WORDS];
    const char **names = run->words != NULL ? calloc(words + 1, sizeof *names) : NULL;
    if (run->words != NULL && names == NULL) return RETORT_NOMEM;
    for (size_t i = 0; names != NULL && i < words; i++) names[i] = run->words[i].text;
    bool every = (run->key[FLAGS] & SPANS) != 0;
    options.ignore = every ? no_names : names;
    options.ignore_count = words;
    options.windows = run->windows;
    retort_status status = RETORT_OK;
    if (!run->by->no_op) status = retort_tag(run->by->session, &run->text, 1, &options, &spans, &run->err);
    if (status == RETORT_OK) write_spans(run, &spans);
    retort_spans_free(&spans);
    free(names);
    return status;
}

/* ---- Answers ---- */

/* Those that decide about windows. */
static retort_answer_options answer_options(int32_t window, int32_t stride, int32_t question) {
    retort_answer_options options = RETORT_ANSWER_OPTIONS;
    options.window = window;
    options.stride = stride;
    options.question = question;
    return options;
}

static retort_status run_answer(text_run *run) {
    retort_answer_options options = answer_options(run->key[WINDOW], run->key[STRIDE], run->key[QUESTION]);
    const retort_text *text = &run->text;
    retort_spans spans = {0};
    options.top = (size_t)run->key[TOP];
    options.longest = run->key[LONGEST];
    options.windows = run->windows;
    options.impossible = (run->key[FLAGS] & IMPOSSIBLE) != 0;
    options.pieces = (run->key[FLAGS] & PIECES) != 0;
    retort_status status = RETORT_OK;
    if (!run->by->no_op)
        status = retort_answer(run->by->session, text->text, text->length, text->pair, text->pair_length,
                               &options, &spans, &run->err);
    bool list = spans.count != 1; /* as in the pipeline */
    if (list) srv_out_text(run->out, "[");
    for (size_t i = 0; status == RETORT_OK && i < spans.count; i++) {
        const retort_span *span = &spans.items[i];
        if (i > 0) srv_out_text(run->out, ",");
        write_place(run->out, span);
        write_member(run->out, "answer", text->pair + span->byte_start, span->byte_end - span->byte_start);
        srv_out_text(run->out, "}");
    }
    if (list) srv_out_text(run->out, "]");
    retort_spans_free(&spans);
    return status;
}

/* ---- Mask tokens ---- */

/* The text around one of its mask tokens, decoded when the first guess is written. */
typedef struct around {
    size_t mask; /* index among the tokens */
    srv_out before, behind, whole;
    size_t shown; /* pieces after it that the decoder has written */
    bool made;
} around;

/* All but the first piece, which is the guess. */
static int add_behind(void *user, const char *text, size_t length) {
    around *a = user;
    if (a->shown++ > 0) srv_out_bytes(&a->behind, text, length);
    return 0;
}

/* The last piece. */
static int set_text(void *user, const char *text, size_t length) {
    srv_out *out = user;
    out->length = 0;
    srv_out_bytes(out, text, length);
    return 0;
}

static size_t find_mask(const text_run *run, const retort_tokens *tokens, size_t mask) {
    size_t at = 0;
    for (size_t masks = 0; at < tokens->count; at++) {
        if (tokens->ids[at] == run->by->info->mask && masks++ == mask) break;
    }
    return at;
}

/* The text before and after the mask token is the same for every guess that is shown. */
static void make_around(text_run *run, around *a, retort_tokens *tokens, int32_t guess, bool single) {
    const retort_model *model = run->by->model;
    tokens->ids[a->mask] = guess;
    retort_decode(model, tokens->ids, a->mask, single, srv_out_write, &a->before, NULL);
    retort_decode(model, tokens->ids + a->mask, tokens->count - a->mask, single, add_behind, a, NULL);
    tokens->ids[a->mask] = run->by->info->mask;
    a->made = true;
}

/* The text with one guess instead of the mask token. */
static void write_sequence(text_run *run, around *a, retort_tokens *tokens, int32_t guess, bool single) {
    const retort_model *model = run->by->model;
    const char *piece = retort_model_piece(model, guess);
    const int32_t twice[] = {guess, guess}; /* not the first piece of a text */
    srv_out *whole = &a->whole, shown = {0};
    whole->length = 0;
    if (a->mask < tokens->count && piece != NULL) {
        retort_decode(model, twice, 1, single, set_text, &shown, NULL);
        if (shown.length > 0 && !a->made) make_around(run, a, tokens, guess, single);
        if (shown.length > 0 && a->before.length > 0)
            retort_decode(model, twice, 2, single, set_text, &shown, NULL);
        if (shown.length > 0) {
            srv_out_bytes(whole, a->before.data, a->before.length);
            srv_out_bytes(whole, shown.data, shown.length);
            srv_out_bytes(whole, a->behind.data, a->behind.length);
        } else { /* a special token, which is omitted */
            tokens->ids[a->mask] = guess;
            retort_decode(model, tokens->ids, tokens->count, single, srv_out_write, whole, NULL);
            tokens->ids[a->mask] = run->by->info->mask;
        }
    }
    write_member(run->out, "sequence", whole->length > 0 ? whole->data : "", whole->length);
    run->out->failed |= whole->failed || shown.failed || a->before.failed || a->behind.failed;
    srv_out_free(&shown);
}

static void write_guesses(text_run *run, const retort_fill_guess *guesses, size_t k, size_t mask,
                          retort_tokens *tokens, bool single) {
    srv_out *out = run->out;
    around a = {.mask = find_mask(run, tokens, mask)};
    srv_out_text(out, "[");
    for (size_t i = 0; i < k && guesses[i].id >= 0 && !out->failed; i++) {
        const char *piece = retort_model_piece(run->by->model, guesses[i].id);
        if (piece == NULL) piece = "";
        srv_out_format(out, "%s{\"score\":", i > 0 ? "," : "");
        srv_out_real(out, (double)guesses[i].score);
        srv_out_format(out, ",\"token\":%d", guesses[i].id);
        write_member(out, "token_str", piece, strlen(piece));
        write_sequence(run, &a, tokens, guesses[i].id, single);
        srv_out_text(out, "}");
    }
    srv_out_free(&a.before);
    srv_out_free(&a.behind);
    srv_out_free(&a.whole);
    srv_out_text(out, "]");
}

/* Guesses for the mask token; one list each if there are several. */
static void write_masks(text_run *run, const retort_fill_guess *guesses, size_t k, size_t masks,
                        retort_tokens *tokens) {
    if (masks != 1) srv_out_text(run->out, "[");
    for (size_t i = 0; i < masks && !run->out->failed; i++) {
        if (i > 0) srv_out_text(run->out, ",");
        write_guesses(run, guesses + i * k, k, i, tokens, masks == 1);
    }
    if (masks != 1) srv_out_text(run->out, "]");
}

static retort_status run_fill(text_run *run) {
    enum { GUESSES = 5 }; /* the pipeline's */
    retort_fill_options options = {sizeof options, run->words, (size_t)run->key[WORDS], run->windows};
    size_t k = run->key[TOP] > 0 ? (size_t)run->key[TOP] : GUESSES, masks = 0;
    size_t max = (size_t)run->by->info->positions; /* a mask is a token */
    retort_tokens tokens = {0};
    retort_fill_guess *guesses = calloc(max * k, sizeof *guesses);
    if (guesses == NULL) return RETORT_NOMEM;
    retort_status status = RETORT_OK;
    if (!run->by->no_op) {
        status = retort_fill(run->by->session, &run->text, k, &options, guesses, max, &masks, &run->err);
        if (status == RETORT_OK)
            status = retort_tokenize(run->by->model, &run->text, NULL, &tokens, &run->err);
    }
    if (status == RETORT_OK) write_masks(run, guesses, k, masks, &tokens);
    retort_tokens_free(&tokens);
    free(guesses);
    return status;
}

/* ---- All of them ---- */

static retort_status (*const runs[])(text_run *run) = {
    [RETORT_TASK_TAG] = run_tag, [RETORT_TASK_ANSWER] = run_answer, [RETORT_TASK_FILL] = run_fill};

retort_status srv_text_windows(retort_windows **out, retort_encoder *encoder, retort_task task,
                               const srv_text_options *options, const retort_text *text, bool special_as_text,
                               retort_error *err) {
    retort_tag_options tag = tag_options(options->aggregation, options->stride, options->cut);
    retort_answer_options answer = answer_options(options->window, options->stride, options->question);
    if (task == RETORT_TASK_TAG) return retort_tag_windows(out, encoder, text, &tag, special_as_text, err);
    if (task == RETORT_TASK_ANSWER)
        return retort_answer_windows(out, encoder, text, &answer, special_as_text, err);
    return retort_fill_windows(out, encoder, text, err);
}

static void free_windows(srv_memory *budget, srv_entry *entry) {
    retort_windows_info info = {.size = sizeof info};
    if (entry->windows == NULL) return;
    retort_windows_describe(entry->windows, &info);
    srv_memory_give(budget, SRV_USE_INPUTS, info.bytes);
    entry->bytes -= info.bytes;
    retort_windows_free(entry->windows);
    entry->windows = NULL;
}

char *srv_text_run(const srv_text_runner *runner, srv_entry *entry, retort_status *why) {
    srv_out out = {.memory = runner->budget, .use = SRV_USE_INPUTS};
    text_run run = {.by = runner, .windows = entry->windows, .out = &out};
    retort_status status = open_run(&run, entry) ? runs[runner->info->task](&run) : RETORT_NOMEM;
    free(run.words);
    free_windows(runner->budget, entry);
    if (status == RETORT_ARGUMENT || status == RETORT_LIMIT) {
        out.length = 0;
        srv_out_text(&out, "!");
        srv_out_text(&out, run.err.text);
        status = RETORT_OK;
    }
    srv_out_bytes(&out, "", 1);
    if (status == RETORT_OK && out.failed) status = out.over ? RETORT_LIMIT : RETORT_NOMEM;
    if (status == RETORT_OK) {
        entry->bytes += out.capacity;
        return out.data;
    }
    *why = status;
    srv_out_free(&out);
    return NULL;
}
