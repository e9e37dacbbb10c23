/* SPDX-License-Identifier: Apache-2.0
 * Evaluation: runs samples in batches through one or two sessions, then computes a metric. */
#include "eval/eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static retort_status write_logits(rt_evaluation *e, const retort_matrix *rows, retort_error *err) {
    for (size_t i = 0; i < rows->rows; i++) {
        e->line.length = 0;
        for (size_t j = 0; j < rows->columns; j++) {
            rt_buffer_format(&e->line, "%s%.9g", j > 0 ? "\t" : "",
                             (double)rows->data[i * rows->columns + j]);
        }
        rt_buffer_text(&e->line, "\n");
        if (e->line.failed) return rt_fail_nomem(err, rows->columns * 16);
        if (e->options->logits(e->options->logits_user, e->line.data, e->line.length) != 0) {
            return rt_fail(err, RETORT_CANCELLED, "evaluation: stopped by the receiver of the logits");
        }
    }
    return RETORT_OK;
}

/* Without a reference, its rows are not set. */
static retort_status run_batch(rt_evaluation *e, retort_matrix *rows, retort_matrix *reference,
                               retort_error *err) {
    rt_count_tokens(&e->tokens, e->tokenizer, e->feed.ids, e->feed.tokens);
    retort_status status = rt_feed_run(&e->feed, e->session, rows, err);
    if (status == RETORT_OK && e->options->logits != NULL) status = write_logits(e, rows, err);
    if (status != RETORT_OK || e->options->reference == NULL) return status;
    status = rt_feed_run(&e->feed, e->options->reference, reference, err);
    if (status != RETORT_OK) return status;
    if (reference->rows != rows->rows || reference->columns != rows->columns) {
        return rt_fail(err, RETORT_ARGUMENT,
                       "reference: %zu rows of %zu logits where the model gives %zu rows of %zu",
                       reference->rows, reference->columns, rows->rows, rows->columns);
    }
    rt_eval_compare(e, rows, reference);
    return RETORT_OK;
}

/* Feeds the samples from *index on until a batch is full, runs it and scores each sample. */
static retort_status next_batch(rt_evaluation *e, const rt_eval_kind *kind, size_t *index, size_t *ends,
                                retort_error *err) {
    size_t from = *index, first = 0;
    retort_matrix rows, reference = {0};
    retort_status status = RETORT_OK;
    rt_feed_clear(&e->feed);
    for (; status == RETORT_OK && *index < e->data->count && e->feed.tokens < e->budget; ++*index) {
        e->feed.text = *index;
        status = kind->feed(e, &e->data->samples[*index], err);
        ends[*index] = e->feed.n;
    }
    if (status == RETORT_OK && e->feed.n > 0) status = run_batch(e, &rows, &reference, err);
    if (status == RETORT_NONFINITE) rt_fail_in(err, status, e->data->name);
    e->reference_rows = reference;
    for (size_t i = from; status == RETORT_OK && i < *index; first = ends[i++]) {
        status = kind->score(e, i, first, ends[i] - first, &rows, &e->own, err);
        if (status == RETORT_OK && e->options->reference != NULL)
            status = kind->score(e, i, first, ends[i] - first, &reference, &e->reference, err);
        if (status == RETORT_OK && e->options->each != NULL)
            status = rt_eval_tell(e, i, first, ends[i] - first, &rows, &reference, err);
    }
    return status;
}

static retort_status run_all(rt_evaluation *e, const rt_eval_kind *kind, retort_error *err) {
    size_t *ends =
        rt_calloc(e->data->count, sizeof *ends); /* one past the last sequence of a sample in its batch */
    if (ends == NULL) return rt_fail_nomem(err, e->data->count * sizeof *ends);
    retort_status status = RETORT_OK;
    for (size_t index = 0; status == RETORT_OK && index < e->data->count;) {
        status = next_batch(e, kind, &index, ends, err);
        if (status == RETORT_OK && e->options->progress != NULL &&
            e->options->progress(e->options->progress_user, "texts", index, e->data->count) != 0) {
            status = rt_fail(err, RETORT_CANCELLED, "evaluation: cancelled after %zu texts", index);
        }
    }
    free(ends);
    return status;
}

static retort_status check_data(const rt_evaluation *e, const rt_eval_kind *kind, retort_error *err) {
    const retort_dataset *data = e->data;
    bool fits = e->agrees || (data->kind == kind->data && (data->labelled || !kind->labelled));
    if (kind->data == RT_DATA_LINES) fits = true; /* any text will do */
    if (data->collects && data->own.count > 0)
        return rt_fail(err, RETORT_ARGUMENT,
                       "%s: its labels were collected: evaluation needs it opened with the model",
                       data->name);
    for (size_t i = 0; fits && kind->pairs && i < data->count; i++) fits = data->samples[i].text.pair != NULL;
    if (fits) return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT, "%s: evaluating this model needs %s", data->name, kind->needs);
}

static retort_status check_reference(const rt_evaluation *e, retort_error *err) {
    if (e->options->reference == NULL) return RETORT_OK;
    const retort_model *model = rt_session_model(e->session),
                       *other = rt_session_model(e->options->reference);
    if (e->options->reference == e->session) {
        return rt_fail(err, RETORT_ARGUMENT, "reference: must not be the session that is evaluated");
    }
    if (model->config.task != other->config.task ||
        rt_config_columns(&model->config) != rt_config_columns(&other->config) ||
        model->config.vocab != other->config.vocab || model->config.types != other->config.types) {
        return rt_fail(err, RETORT_ARGUMENT,
                       "reference: task, labels (%lld), vocabulary (%lld) or token types differ from the "
                       "model's (%lld, %lld)",
                       (long long)other->config.labels, (long long)other->config.vocab,
                       (long long)model->config.labels, (long long)model->config.vocab);
    }
    return RETORT_OK;
}

static bool make_sheet(const rt_evaluation *e, rt_sheet *sheet) {
    sheet->rows = rt_calloc(e->data->count + 1, sizeof *sheet->rows); /* and one for rt_eval_kind.worse */
    sheet->decisions = rt_calloc((size_t)e->config->labels, sizeof *sheet->decisions);
    return sheet->rows != NULL && sheet->decisions != NULL;
}

static retort_status prepare(rt_evaluation *e, retort_error *err) {
    bool tag = e->config->task == RETORT_TASK_TAG;
    if (tag) e->labels = rt_entity_labels_new(e->config);
    e->has = rt_calloc((size_t)e->config->labels, sizeof *e->has);
    bool made = make_sheet(e, &e->own) && (e->options->reference == NULL || make_sheet(e, &e->reference)) &&
                e->has != NULL && (e->labels != NULL || !tag);
    if (e->labels != NULL) e->untyped = rt_untyped_label(e->labels, (size_t)e->config->labels);
    return made ? RETORT_OK : rt_fail_nomem(err, e->data->count * sizeof *e->own.rows);
}

static void free_sheet(rt_sheet *sheet) {
    free(sheet->rows);
    free(sheet->decisions);
}

static void evaluation_free(rt_evaluation *e) {
    for (size_t i = 0; i < e->used; i++) rt_encoding_free(&e->encodings[i]);
    free(e->encodings);
    free(e->targets);
    free(e->labels);
    free(e->words);
    free(e->has);
    free_sheet(&e->own);
    free_sheet(&e->reference);
    rt_buffer_free(&e->line);
    rt_feed_free(&e->feed);
}

static void set_comparison(const rt_evaluation *e, retort_eval_result *result) {
    const rt_comparison *c = &e->comparison;
    bool compared = c->rows > 0;
    result->kl = compared ? c->kl / (double)c->rows : NAN;
    result->agreement = compared ? c->agree / (double)c->rows : NAN;
    result->max_abs_logit_error = compared ? c->worst : NAN;
}

/* Counts of each label only where there are labels (tags: of each type), and of two labels only where a text has one. */
static retort_status check_classes(const rt_evaluation *e, retort_error *err) {
    const rt_config *config = e->config;
    bool labelled = config->task == RETORT_TASK_CLASSIFY && !rt_config_has_values(config);
    bool one = labelled && config->problem != RETORT_PROBLEM_MULTI_LABEL,
         counted = labelled || config->task == RETORT_TASK_TAG;
    if ((e->options->classes != NULL && !counted) || (e->options->confusion != NULL && !one))
        return rt_fail(err, RETORT_ARGUMENT, "evaluation: this model does not give each text %s",
                       labelled ? "one label" : "labels");
    bool wanted = e->options->classes != NULL || e->options->confusion != NULL;
    if (!wanted || (size_t)config->labels <= e->options->class_capacity) return RETORT_OK;
    return rt_fail(err, RETORT_LIMIT,
                   "evaluation: classes and confusion have room for %zu labels, not for %lld",
                   e->options->class_capacity, (long long)config->labels);
}

static void clear_classes(const rt_evaluation *e) {
    size_t labels = (size_t)e->config->labels;
    if (e->options->confusion != NULL)
        memset(e->options->confusion, 0, labels * labels * sizeof *e->options->confusion);
}

static void set_classes(const rt_evaluation *e) {
    for (int64_t i = 0; e->options->classes != NULL && i < e->config->labels; i++) {
        const rt_decisions *of = &e->own.decisions[i];
        e->options->classes[i] = (retort_class_counts){of->gold, of->predicted, of->correct};
    }
}

/* The bound of the difference, of the rows and one that the reference alone gets right. */
static retort_status set_bound(const rt_evaluation *e, const rt_eval_kind *kind, retort_eval_result *result,
                               retort_error *err) {
    rt_bound bound = {.draws = e->options->draws, .floor = e->options->floor};
    rt_statistic own, reference = {0};
    size_t n = e->data->count + (kind->worse[1].sum[0] > 0);
    bound.confidence = e->options->confidence > 0 ? e->options->confidence : 0.95;
    e->own.rows[e->data->count] = kind->worse[0];
    e->reference.rows[e->data->count] = kind->worse[1];
    retort_status status = rt_statistic_open(&own, e->own.rows, n, kind->of, err);
    if (status == RETORT_OK) status = rt_statistic_open(&reference, e->reference.rows, n, kind->of, err);
    if (status == RETORT_OK) status = rt_bootstrap_bound(&own, &reference, &bound, err);
    result->bound = bound.low;
    result->p = bound.p;
    rt_statistic_free(&own);
    rt_statistic_free(&reference);
    return status;
}

/* The metric of the rows, and how sure it is. */
static retort_status finish(const rt_evaluation *e, const rt_eval_kind *kind, retort_eval_result *result,
                            retort_error *err) {
    rt_statistic own, reference = {0};
    rt_interval value = {NAN, NAN}, difference = {NAN, NAN};
    bool compared = e->options->reference != NULL;
    retort_status status = rt_statistic_open(&own, e->own.rows, e->data->count, kind->of, err);
    if (status == RETORT_OK && compared)
        status = rt_statistic_open(&reference, e->reference.rows, e->data->count, kind->of, err);
    if (status == RETORT_OK) result->value = rt_statistic_of(&own, NULL);
    if (kind->share) value = rt_wilson(result->value * (double)e->data->count, e->data->count);
    /* Nothing is drawn for the interval of a share alone: that is what training asks after each epoch. */
    if (status == RETORT_OK && (compared || !kind->share))
        status =
            rt_bootstrap(&own, compared ? &reference : NULL, kind->share ? NULL : &value, &difference, err);
    if (status == RETORT_OK) {
        result->second_value = kind->second_of != NULL ? kind->second_of(e, &e->own) : 0;
        result->low = value.low;
        result->high = value.high;
        result->difference = compared ? result->value - rt_statistic_of(&reference, NULL) : NAN;
        result->difference_low = difference.low;
        result->difference_high = difference.high;
    }
    rt_statistic_free(&own);
    rt_statistic_free(&reference);
    bool bounded = status == RETORT_OK && compared && e->options->draws > 0;
    return bounded ? set_bound(e, kind, result, err) : status;
}

/* Taggers are trained and measured on the first 128 tokens of a sentence (max_seq_length of the usual
 * scripts), and published figures refer to that; the caller may choose a larger limit. */
enum { TAG_LENGTH = 128 };

static int64_t default_length(const rt_config *config) {
    return config->task == RETORT_TASK_TAG && config->max_length > TAG_LENGTH ? TAG_LENGTH : -1;
}

retort_status rt_evaluate(retort_session *session, const retort_dataset *data,
                          const retort_eval_options *options, retort_eval_result *result, retort_error *err) {
    const retort_model *model = rt_session_model(session);
    const rt_eval_kind *kind = rt_eval_kind_of(&model->config);
    rt_evaluation e = {.session = session, .config = &model->config, .tokenizer = model->tokenizer};
    e.data = data;
    e.options = options;
    e.encode = rt_feed_options(session, options->max_length < 0 ? default_length(&model->config)
                                                                : options->max_length);
    e.encode.words = true;
    e.budget = RT_FEED_TOKENS;
    if (model->config.task == RETORT_TASK_FILL) {
        e.encode.special_as_text = true; /* each sequence has exactly one mask token, set here */
        e.budget = RT_FEED_MASKED;
    }
    if (options->batch_tokens > 0) e.budget = (size_t)options->batch_tokens;
    *result = (retort_eval_result){.size = sizeof *result, .metric = kind->metric, .n = data->count};
    result->second_metric = kind->second_metric;
    result->bound = result->p = NAN;
    e.agrees = strcmp(kind->metric, "accuracy") == 0 && !data->labelled && options->reference != NULL;
    if (e.agrees) {
        result->metric = "agreement";
        result->second_metric = NULL;
    }
    retort_status status = check_data(&e, kind, err);
    if (status == RETORT_OK) status = check_classes(&e, err);
    if (status == RETORT_OK) status = rt_model_unpooled(model, &e.encode, &e.feed.skip, err);
    if (status == RETORT_OK) status = check_reference(&e, err);
    if (status == RETORT_OK) status = prepare(&e, err);
    uint64_t before = *rt_session_truncated(session);
    if (status == RETORT_OK) clear_classes(&e);
    if (status == RETORT_OK) status = run_all(&e, kind, err);
    result->truncated = *rt_session_truncated(session) - before;
    result->tokens = e.tokens.tokens;
    result->unknown = e.tokens.unknown;
    if (status == RETORT_OK) status = finish(&e, kind, result, err);
    if (status == RETORT_OK) set_classes(&e);
    set_comparison(&e, result);
    evaluation_free(&e);
    return status;
}
