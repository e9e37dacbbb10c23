/* SPDX-License-Identifier: Apache-2.0
 * One kind of evaluation per task: how a sample becomes sequences, and how their logits are scored. */
#include "eval/eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The next free encoding of the batch. NULL: out of memory. */
static rt_encoding *next_slot(rt_evaluation *e) {
    size_t index = e->feed.n;
    if (!rt_grow((void **)&e->encodings, &e->encoding_capacity, index + 1, sizeof *e->encodings) ||
        !rt_grow((void **)&e->targets, &e->target_capacity, index + 1, sizeof *e->targets)) {
        return NULL;
    }
    if (index == e->used) e->encodings[e->used++] = (rt_encoding){0};
    return &e->encodings[index];
}

size_t rt_eval_row(const rt_evaluation *e, size_t sequence) {
    bool tokens = e->config->task == RETORT_TASK_TAG || e->config->task == RETORT_TASK_ANSWER;
    return tokens ? (size_t)e->feed.offsets[sequence] : sequence;
}

static retort_status feed_one(rt_evaluation *e, const retort_text *text, retort_error *err) {
    rt_encoding *slot = next_slot(e);
    if (slot == NULL) return rt_fail_nomem(err, (e->feed.n + 1) * sizeof *slot);
    retort_status status = rt_encode(e->tokenizer, text, &e->encode, slot, err);
    return status == RETORT_OK ? rt_feed_encoding(&e->feed, slot, err) : status;
}

static retort_status feed_text(rt_evaluation *e, const rt_sample *sample, retort_error *err) {
    return feed_one(e, &sample->text, err);
}

static const float *row_of(const retort_matrix *rows, size_t row) {
    return rows->data + row * rows->columns;
}

/* sum[0] of sum[1]: a mean. */
static double mean(const double sum[RT_TALLY]) {
    return sum[0] / sum[1];
}

static double f1(const double sum[RT_TALLY]) {
    return rt_f1(
        &(rt_decisions){.gold = (size_t)sum[0], .predicted = (size_t)sum[1], .correct = (size_t)sum[2]});
}

static rt_tally decided(const rt_decisions *counts) {
    return (rt_tally){{(double)counts->gold, (double)counts->predicted, (double)counts->correct}};
}

static double macro_of_one(const rt_evaluation *e, const rt_sheet *sheet) {
    return rt_f1_macro(sheet->decisions, (size_t)e->config->labels, false);
}

static double macro_of_several(const rt_evaluation *e, const rt_sheet *sheet) {
    return rt_f1_macro(sheet->decisions, (size_t)e->config->labels, true);
}

/* ---- Labels: accuracy of the best one ---- */

static retort_status score_label(rt_evaluation *e, size_t index, size_t first, size_t n,
                                 const retort_matrix *rows, rt_sheet *sheet, retort_error *err) {
    (void)n, (void)err;
    size_t best = rt_score_best(row_of(rows, first), rows->columns);
    size_t label = e->agrees ? rt_score_best(row_of(&e->reference_rows, first), rows->columns)
                             : (size_t)e->data->samples[index].label;
    sheet->rows[index] = (rt_tally){{best == label, 1}};
    sheet->decisions[label].gold++;
    sheet->decisions[best].predicted++;
    sheet->decisions[best].correct += best == label;
    if (sheet == &e->own && e->options->confusion != NULL)
        e->options->confusion[label * rows->columns + best]++;
    return RETORT_OK;
}

/* ---- Several labels: F1 of the decisions, yes where the sigmoid is above one half ---- */

static retort_status score_labels(rt_evaluation *e, size_t index, size_t first, size_t n,
                                  const retort_matrix *rows, rt_sheet *sheet, retort_error *err) {
    (void)n, (void)err;
    const rt_sample *sample = &e->data->samples[index];
    const float *row = row_of(rows, first);
    rt_decisions all = {0};
    memset(e->has, 0, rows->columns * sizeof *e->has);
    for (size_t i = 0; i < sample->count; i++) e->has[e->data->tags[sample->first + i]] = true;
    for (size_t i = 0; i < rows->columns; i++) {
        bool found = row[i] > 0, wanted = e->has[i];
        rt_decisions *of = &sheet->decisions[i];
        of->gold += wanted;
        of->predicted += found;
        of->correct += found && wanted;
        all.gold += wanted;
        all.predicted += found;
        all.correct += found && wanted;
    }
    sheet->rows[index] = decided(&all);
    return RETORT_OK;
}

/* ---- Values and similarities: rank correlation with the scores ---- */

static retort_status score_value(rt_evaluation *e, size_t index, size_t first, size_t n,
                                 const retort_matrix *rows, rt_sheet *sheet, retort_error *err) {
    (void)n, (void)err;
    const float *row = row_of(rows, first);
    float score = row[0];
    if (e->config->labels == 1 && e->config->scoring.stated) rt_score_row(e->config, row, &score);
    sheet->rows[index] = (rt_tally){{score, e->data->samples[index].score}};
    return RETORT_OK;
}

static retort_status feed_both(rt_evaluation *e, const rt_sample *sample, retort_error *err) {
    retort_text first = {.text = sample->text.text, .length = sample->text.length};
    retort_text second = {.text = sample->text.pair, .length = sample->text.pair_length};
    retort_status status = feed_one(e, &first, err);
    return status == RETORT_OK ? feed_one(e, &second, err) : status;
}

static retort_status score_similarity(rt_evaluation *e, size_t index, size_t first, size_t n,
                                      const retort_matrix *rows, rt_sheet *sheet, retort_error *err) {
    (void)n, (void)err;
    double found = rt_similarity_of(e->config->sentences.similarity, row_of(rows, first),
                                    row_of(rows, first + 1), rows->columns);
    sheet->rows[index] = (rt_tally){{found, e->data->samples[index].score}};
    return RETORT_OK;
}

/* ---- Tags: entity F1, a word's label is its first piece's; words that were cut off are not counted ---- */

static retort_status feed_words(rt_evaluation *e, const rt_sample *sample, retort_error *err) {
    rt_encoding *slot = next_slot(e);
    if (slot == NULL) return rt_fail_nomem(err, (e->feed.n + 1) * sizeof *slot);
    retort_status status =
        rt_encode_words(e->tokenizer, e->data->parts + sample->first, sample->count, &e->encode, slot, err);
    return status == RETORT_OK ? rt_feed_encoding(&e->feed, slot, err) : status;
}

/* Number of words left after truncation: up to the last one with a piece. */
static size_t words_left(const rt_evaluation *e, const rt_sample *sample, const rt_encoding *encoding) {
    int32_t last = -1;
    for (size_t i = 0; i < encoding->count; i++) last = encoding->words[i] > last ? encoding->words[i] : last;
    return encoding->count < e->encode.max_length ? sample->count : (size_t)(last + 1);
}

static retort_status score_words(rt_evaluation *e, size_t index, size_t first, size_t n,
                                 const retort_matrix *rows, rt_sheet *sheet, retort_error *err) {
    (void)n;
    const rt_sample *sample = &e->data->samples[index];
    const rt_encoding *encoding = &e->encodings[first];
    if (!rt_grow((void **)&e->words, &e->word_capacity, sample->count, sizeof *e->words)) {
        return rt_fail_nomem(err, sample->count * sizeof *e->words);
    }
    for (size_t i = 0; i < sample->count; i++) e->words[i] = RT_NO_TAG; /* words without a piece */
    for (size_t i = encoding->count; i-- > 0;) { /* in reverse: the first piece of a word wins */
        if (encoding->words[i] < 0) continue;
        const float *row = row_of(rows, rt_eval_row(e, first) + i);
        e->words[encoding->words[i]] = (int32_t)rt_score_best(row, rows->columns);
    }
    size_t left = words_left(e, sample, encoding);
    rt_decisions counts = {0};
    rt_count_entities(e->labels, e->data->tags + sample->first, e->words, left, &counts);
    if (e->options->classes != NULL)
        rt_count_entity_types(e->labels, e->untyped, e->data->tags + sample->first, e->words, left,
                              sheet->decisions);
    sheet->rows[index] = decided(&counts);
    return RETORT_OK;
}

/* ---- Answers: SQuAD's exact match and F1, the best of the accepted answers ---- */

static const retort_answer_options answer_defaults = RETORT_ANSWER_OPTIONS;

static retort_status feed_windows(rt_evaluation *e, const rt_sample *sample, retort_error *err) {
    retort_windows windows = {0};
    retort_status status =
        rt_answer_windows(rt_session_model(e->session), rt_feed_options(e->session, e->options->max_length),
                          &sample->text, &answer_defaults, &windows, err);
    for (size_t i = 0; status == RETORT_OK && i < windows.count; i++) {
        rt_encoding *slot = next_slot(e);
        if (slot == NULL) {
            status = rt_fail_nomem(err, (e->feed.n + 1) * sizeof *slot);
            break;
        }
        rt_encoding_free(slot);
        *slot = windows.items[i];
        windows.items[i] = (rt_encoding){0};
        status = rt_feed_encoding(&e->feed, slot, err);
    }
    rt_windows_clear(&windows);
    return status;
}

/* The answer from windows first … first + n. */
static retort_status best_answer(const rt_evaluation *e, const rt_sample *sample, size_t first, size_t n,
                                 const retort_matrix *rows, retort_text *found, retort_error *err) {
    rt_answers answers;
    retort_spans spans = {0};
    const retort_text *text = &sample->text;
    retort_status status = rt_answers_open(&answers, &answer_defaults, text->pair, text->pair_length, err);
    for (size_t i = first; status == RETORT_OK && i < first + n; i++)
        status = rt_answers_add(&answers, &e->encodings[i], row_of(rows, rt_eval_row(e, i)), err);
    if (status == RETORT_OK) status = rt_answers_take(&answers, &spans, err);
    if (status == RETORT_OK) {
        const retort_span *best = &spans.items[0];
        *found = (retort_text){.text = text->pair + best->byte_start};
        found->length = best->byte_end - best->byte_start;
    }
    free(spans.items);
    rt_answers_close(&answers);
    return status;
}

static retort_status score_answer(rt_evaluation *e, size_t index, size_t first, size_t n,
                                  const retort_matrix *rows, rt_sheet *sheet, retort_error *err) {
    const rt_sample *sample = &e->data->samples[index];
    retort_text found;
    retort_status status = best_answer(e, sample, first, n, rows, &found, err);
    if (status != RETORT_OK) return status;
    static const retort_text no_answer = {.text = ""};
    double best_exact = 0, best_f1 = 0;
    for (size_t i = 0; i < sample->count || i == 0; i++) {
        const retort_text *gold = sample->count > 0 ? &e->data->parts[sample->first + i] : &no_answer;
        double exact, f1;
        status = rt_squad_compare(&found, gold, &exact, &f1, err);
        if (status != RETORT_OK) return status;
        best_exact = fmax(best_exact, exact);
        best_f1 = fmax(best_f1, f1);
    }
    sheet->rows[index] = (rt_tally){{best_exact, 1}};
    sheet->second += best_f1;
    return RETORT_OK;
}

static double mean_f1(const rt_evaluation *e, const rt_sheet *sheet) {
    return sheet->second / (double)e->data->count;
}

/* ---- Mask tokens: exp of the mean negative log-likelihood of each piece, masked alone ---- */

static retort_status copy_ids(rt_encoding *to, const rt_encoding *from, retort_error *err) {
    size_t bytes = from->count * sizeof *from->ids;
    if (to->capacity < from->count) {
        rt_encoding_free(to);
        *to = (rt_encoding){.ids = malloc(bytes), .types = malloc(bytes), .capacity = from->count};
        to->offsets = rt_calloc(from->count, 2 * sizeof *to->offsets);
        to->words = malloc(bytes);
        if (to->ids == NULL || to->types == NULL || to->offsets == NULL || to->words == NULL) {
            rt_encoding_free(to);
            *to = (rt_encoding){0};
            return rt_fail_nomem(err, bytes);
        }
    }
    to->count = from->count;
    memcpy(to->ids, from->ids, bytes);
    memcpy(to->types, from->types, bytes);
    return RETORT_OK;
}

static retort_status feed_masked(rt_evaluation *e, const rt_sample *sample, retort_error *err) {
    int32_t mask = rt_tokenizer_describe(e->tokenizer).mask;
    retort_status status = rt_encode(e->tokenizer, &sample->text, &e->encode, &e->feed.pair, err);
    const rt_encoding *text = &e->feed.pair;
    for (size_t i = 0; status == RETORT_OK && i < text->count; i++) {
        if (text->words[i] < 0) continue; /* special tokens */
        rt_encoding *slot = next_slot(e);
        if (slot == NULL) return rt_fail_nomem(err, (e->feed.n + 1) * sizeof *slot);
        status = copy_ids(slot, text, err);
        if (status != RETORT_OK) return status;
        e->targets[e->feed.n] = text->ids[i];
        slot->ids[i] = mask;
        status = rt_feed_encoding(&e->feed, slot, err);
    }
    return status;
}

static retort_status score_masked(rt_evaluation *e, size_t index, size_t first, size_t n,
                                  const retort_matrix *rows, rt_sheet *sheet, retort_error *err) {
    (void)err;
    rt_tally *tally = &sheet->rows[index];
    *tally = (rt_tally){{0, (double)n}};
    for (size_t i = first; i < first + n; i++) {
        const float *row = row_of(rows, i);
        tally->sum[0] += rt_score_log_sum(row, rows->columns, 1) - row[e->targets[i]];
    }
    return RETORT_OK;
}

static double perplexity(const double sum[RT_TALLY]) {
    return exp(mean(sum));
}

typedef enum kind_index { LABELS, SEVERAL, VALUES, SIMILARITY, ENTITIES, ANSWERS, MASKS } kind_index;
static const rt_eval_kind kinds[] = {
    [LABELS] = {"accuracy",
                "f1_macro",
                RT_DATA_TABLE,
                true,
                false,
                "a table with texts ('sentence', or --text-column NAME) and labels ('label', or "
                "--label-column NAME)",
                feed_text,
                score_label,
                mean,
                true,
                macro_of_one,
                {{{0, 1}}, {{1, 1}}}},
    [SEVERAL] = {"f1",
                 "f1_macro",
                 RT_DATA_TABLE,
                 true,
                 false,
                 "a table with texts ('sentence', or --text-column NAME) and lists of labels ('labels', or "
                 "--label-column NAME)",
                 feed_text,
                 score_labels,
                 f1,
                 false,
                 macro_of_several,
                 {{{1, 1, 0}}, {{1, 1, 1}}}},
    [VALUES] = {"spearman",
                NULL,
                RT_DATA_TABLE,
                true,
                false,
                "a table with texts ('sentence', or --text-column NAME) and scores ('score', or "
                "--label-column NAME)",
                feed_text,
                score_value,
                NULL,
                false,
                NULL,
                {{{0}}}},
    [SIMILARITY] = {"spearman",
                    NULL,
                    RT_DATA_TABLE,
                    true,
                    true,
                    "a table with pairs of texts ('sentence1' and 'sentence2', or --text-column and "
                    "--text-pair-column NAME) and scores ('score', or --label-column NAME)",
                    feed_both,
                    score_similarity,
                    NULL,
                    false,
                    NULL,
                    {{{0}}}},
    [ENTITIES] = {"f1",
                  NULL,
                  RT_DATA_WORDS,
                  true,
                  false,
                  "CoNLL columns (one word and its tag per line), or JSON lines of words and tags",
                  feed_words,
                  score_words,
                  f1,
                  false,
                  NULL,
                  {{{1, 1, 0}}, {{1, 1, 1}}}},
    [ANSWERS] = {"exact_match",
                 "f1",
                 RT_DATA_ANSWERS,
                 true,
                 false,
                 "SQuAD JSON",
                 feed_windows,
                 score_answer,
                 mean,
                 true,
                 mean_f1,
                 {{{0, 1}}, {{1, 1}}}},
    [MASKS] = {"pseudo_perplexity",
               NULL,
               RT_DATA_LINES,
               false,
               false,
               "lines of text",
               feed_masked,
               score_masked,
               perplexity,
               false,
               NULL,
               {{{0}}}},
};

const rt_eval_kind *rt_eval_kind_of(const rt_config *config) {
    switch (config->task) {
    case RETORT_TASK_TAG:
        return &kinds[ENTITIES];
    case RETORT_TASK_ANSWER:
        return &kinds[ANSWERS];
    case RETORT_TASK_FILL:
        return &kinds[MASKS];
    case RETORT_TASK_EMBED:
        return &kinds[SIMILARITY];
    case RETORT_TASK_CLASSIFY:
        break;
    }
    if (rt_config_has_values(config)) return &kinds[VALUES];
    return config->problem == RETORT_PROBLEM_MULTI_LABEL ? &kinds[SEVERAL] : &kinds[LABELS];
}
