/* SPDX-License-Identifier: Apache-2.0
 * Data to token ids and targets, through the encoders that evaluation and the tasks use. */
#include "train/examples.h"
#include "task/feed.h"

#include <math.h>
#include <stdlib.h>

typedef struct reading {
    rt_examples *out;
    const retort_model *model;
    const retort_dataset *data;
    rt_encode_options encode;
    rt_feed feed;         /* owns the ids and types until all are read */
    rt_encoding words;    /* of one sentence */
    size_t tag_capacity;  /* of out->tags */
    int32_t *model_label; /* [data->own.count] of each collected label; NULL: labels are the model's */
} reading;

/* ---- What a model learns ---- */

static retort_status answer_of(rt_target_kind *out, const rt_config *config, retort_error *err) {
    static const rt_target_kind classes[] = {[RETORT_PROBLEM_SINGLE_LABEL] = RT_TARGET_LABEL,
                                             [RETORT_PROBLEM_MULTI_LABEL] = RT_TARGET_LABELS,
                                             [RETORT_PROBLEM_REGRESSION] = RT_TARGET_VALUE};
    *out = config->task == RETORT_TASK_CLASSIFY ? classes[config->problem]
           : config->task == RETORT_TASK_TAG    ? RT_TARGET_TAGS
           : config->task == RETORT_TASK_EMBED  ? RT_TARGET_PAIR
                                                : RT_TARGET_NONE;
    if (*out == RT_TARGET_NONE)
        return rt_fail(
            err, RETORT_UNSUPPORTED,
            "training: models that answer questions or fill masks are not trained; expected one that "
            "classifies, tags or embeds");
    if (*out == RT_TARGET_VALUE && config->labels != 1)
        return rt_fail(err, RETORT_UNSUPPORTED, "training: the model gives %lld numbers per text: expected 1",
                       (long long)config->labels);
    return RETORT_OK;
}

static bool has_pairs(const retort_dataset *data) {
    bool pairs = data->count > 0;
    for (size_t i = 0; pairs && i < data->count; i++) pairs = data->samples[i].text.pair != NULL;
    return pairs;
}

/* The targets that the data must have, and how to say it. */
static retort_status check_targets(const reading *r, retort_error *err) {
    bool one = r->model->config.labels == 1;
    retort_targets found = r->data->targets;
    static const char *const needs[] = {
        [RT_TARGET_LABEL] = "texts with one label each ('label', or --label-column NAME)",
        [RT_TARGET_LABELS] = "texts with lists of labels ('labels', or --label-column NAME)",
        [RT_TARGET_VALUE] = "texts with numbers ('score', or --label-column NAME)",
        [RT_TARGET_TAGS] = "CoNLL columns (one word and its tag per line), or JSON lines of words and tags",
        [RT_TARGET_PAIR] = "pairs of texts ('sentence1' and 'sentence2', or --text-pair-column NAME)",
    };
    const retort_targets wanted[] = {
        [RT_TARGET_LABEL] = RETORT_TARGETS_LABEL,
        [RT_TARGET_LABELS] = one ? RETORT_TARGETS_VALUE : RETORT_TARGETS_LABELS,
        [RT_TARGET_VALUE] = RETORT_TARGETS_VALUE,
        [RT_TARGET_TAGS] = RETORT_TARGETS_TAGS,
    };
    rt_target_kind kind = r->out->kind;
    bool fits =
        kind == RT_TARGET_NONE || (kind == RT_TARGET_PAIR ? has_pairs(r->data) : found == wanted[kind]);
    if (fits) return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT, "%s: training this model needs %s", r->data->name, needs[kind]);
}

/* ---- Labels ---- */

/* The model's number of each collected label. */
static retort_status map_labels(reading *r, retort_error *err) {
    const rt_label_set *own = &r->data->own;
    const rt_config *config = &r->model->config;
    rt_names names = {0};
    int known;
    bool fine = true;
    if (!r->data->collects || own->count == 0) return RETORT_OK;
    for (int64_t i = 0; fine && i < config->labels; i++)
        fine = rt_names_add(&names, config->label_names[i], (int)i, &known);
    r->model_label = rt_calloc(own->count, sizeof *r->model_label);
    retort_status status =
        fine && r->model_label != NULL ? RETORT_OK : rt_fail_nomem(err, own->count * sizeof *r->model_label);
    for (size_t i = 0; status == RETORT_OK && i < own->count; i++) {
        r->model_label[i] = rt_names_find(&names, own->names[i], strlen(own->names[i]));
        if (r->model_label[i] < 0)
            status = rt_fail(err, RETORT_FORMAT, "%s:%zu: label '%.80s': the model has no such label",
                             r->data->name, own->lines[i], own->names[i]);
    }
    rt_names_free(&names);
    return status;
}

static int32_t label_of(const reading *r, int64_t label) {
    return r->model_label != NULL ? r->model_label[label] : (int32_t)label;
}

static retort_status refuse_sample(const reading *r, const rt_sample *sample, const char *why,
                                   retort_error *err) {
    if (sample->line > 0) return rt_fail(err, RETORT_FORMAT, "%s:%zu: %s", r->data->name, sample->line, why);
    return rt_fail(err, RETORT_FORMAT, "%s: text %zu: %s", r->data->name,
                   (size_t)(sample - r->data->samples) + 1, why);
}

/* Scores in float32, whose squares and their gradients stay finite. */
static const double MOST = 1e15;

static retort_status set_target(const reading *r, size_t index, retort_error *err) {
    const rt_sample *sample = &r->data->samples[index];
    rt_examples *out = r->out;
    float *targets = out->targets + index * out->columns;
    if (fabs(sample->score) > MOST) return refuse_sample(r, sample, "the score is larger than 1e15", err);
    if (out->kind == RT_TARGET_LABEL) {
        out->items[index].label = label_of(r, sample->label);
    } else if (out->kind == RT_TARGET_PAIR) {
        out->items[index].score = (float)sample->score;
    } else if (out->kind == RT_TARGET_LABELS && r->data->targets == RETORT_TARGETS_LABELS) {
        for (size_t i = 0; i < sample->count; i++) targets[label_of(r, r->data->tags[sample->first + i])] = 1;
    } else if (out->kind == RT_TARGET_LABELS || out->kind == RT_TARGET_VALUE) {
        bool unit = sample->score >= 0 && sample->score <= 1;
        if (out->kind == RT_TARGET_LABELS && !unit)
            return refuse_sample(
                r, sample,
                "the score of a yes-no label is not in [0, 1]; models of other numbers have problem_type "
                "regression",
                err);
        targets[0] = (float)sample->score;
    }
    return RETORT_OK;
}

/* Cosines are at most 1: the scores of STS-B, which are up to 5, are not. */
static void scale_scores(rt_examples *out) {
    float most = 0;
    for (size_t i = 0; i < out->count; i++) most = fmaxf(most, fabsf(out->items[i].score));
    for (size_t i = 0; most > 1 && i < out->count; i++) out->items[i].score /= most;
}

/* ---- Tokens ---- */

/* The first piece of a word has its label, as evaluation reads it. */
static retort_status add_tags(reading *r, const rt_sample *sample, size_t first, retort_error *err) {
    rt_examples *out = r->out;
    size_t count = r->words.count;
    if (!rt_grow((void **)&out->tags, &r->tag_capacity, first + count, sizeof *out->tags))
        return rt_fail_nomem(err, (first + count) * sizeof *out->tags);
    int32_t before = -1;
    for (size_t i = 0; i < count; i++) {
        int32_t word = r->words.words[i];
        bool starts = word >= 0 && word > before;
        out->tags[first + i] = starts ? label_of(r, r->data->tags[sample->first + (size_t)word]) : -1;
        if (starts) before = word;
    }
    return RETORT_OK;
}

static retort_status read_words(reading *r, const rt_sample *sample, retort_error *err) {
    size_t first = r->feed.tokens;
    retort_status status = rt_encode_words(r->model->tokenizer, r->data->parts + sample->first, sample->count,
                                           &r->encode, &r->words, err);
    if (status == RETORT_OK) status = rt_feed_encoding(&r->feed, &r->words, err);
    if (status != RETORT_OK || r->out->kind != RT_TARGET_TAGS) return status;
    return add_tags(r, sample, first, err);
}

static retort_status read_text(reading *r, const rt_sample *sample, const retort_text *text, size_t *first,
                               size_t *length, retort_error *err) {
    bool words = r->model->config.task == RETORT_TASK_TAG && r->data->kind == RT_DATA_WORDS;
    *first = r->feed.tokens;
    retort_status status = words ? read_words(r, sample, err)
                                 : rt_feed_text(&r->feed, r->model->tokenizer, &r->encode, text, err);
    *length = r->feed.tokens - *first;
    if (status == RETORT_OK && *length == 0) status = refuse_sample(r, sample, "the text has no tokens", err);
    return status;
}

static retort_status read_example(reading *r, size_t index, retort_error *err) {
    const rt_sample *sample = &r->data->samples[index];
    rt_example *example = &r->out->items[index];
    retort_text text = sample->text, other = {.text = text.pair, .length = text.pair_length};
    bool two = r->out->kind == RT_TARGET_PAIR, alone = r->out->answer == RT_TARGET_PAIR;
    if (alone) text = (retort_text){.text = text.text, .length = text.length};
    retort_status status = read_text(r, sample, &text, &example->first, &example->length, err);
    if (status == RETORT_OK && two)
        status = read_text(r, sample, &other, &example->other_first, &example->other_length, err);
    return status == RETORT_OK ? set_target(r, index, err) : status;
}

/* ---- Opening ---- */

static retort_status reserve(reading *r, retort_error *err) {
    rt_examples *out = r->out;
    size_t floats = 0;
    bool table = out->kind == RT_TARGET_LABELS || out->kind == RT_TARGET_VALUE;
    out->count = r->data->count;
    out->columns = table ? (size_t)r->model->config.labels : 0;
    out->items = rt_calloc(out->count, sizeof *out->items);
    bool made = out->items != NULL && rt_mul(out->count, out->columns, &floats);
    if (made) out->targets = rt_calloc(floats, sizeof *out->targets);
    made = made && out->targets != NULL;
    return made ? RETORT_OK : rt_fail_nomem(err, out->count * sizeof *out->items);
}

static retort_status set_encoding(reading *r, int64_t max_length, retort_error *err) {
    const rt_config *config = &r->model->config;
    int64_t length = max_length < 0 ? config->max_length : max_length;
    if (length <= 0 || length > config->positions) length = config->positions;
    r->encode = (rt_encode_options){.max_length = (size_t)length, .truncated = &r->out->truncated};
    r->encode.words = true;
    retort_status status = rt_config_prompt(config, config->sentences.default_prompt, &r->encode.prompt, err);
    if (status == RETORT_OK && config->sentences.skips_prompt && *r->encode.prompt != '\0')
        return rt_fail(err, RETORT_UNSUPPORTED,
                       "training: the model does not pool the tokens of its default prompt '%.60s' "
                       "(include_prompt is false), and the gradients of that are not computed",
                       config->sentences.default_prompt);
    if (status != RETORT_OK) return status;
    r->encode.cache = rt_word_cache_new(r->model->tokenizer, 0);
    return r->encode.cache != NULL ? RETORT_OK : rt_fail(err, RETORT_NOMEM, "training: out of memory");
}

static retort_status read_all(reading *r, int64_t max_length, bool labels, retort_error *err) {
    rt_examples *out = r->out;
    retort_status status = answer_of(&out->answer, &r->model->config, err);
    if (status != RETORT_OK) return status;
    bool pairs = out->answer == RT_TARGET_PAIR && has_pairs(r->data);
    out->kind = labels || pairs ? out->answer : RT_TARGET_NONE;
    out->scored = out->kind == RT_TARGET_PAIR && r->data->targets == RETORT_TARGETS_VALUE;
    status = check_targets(r, err);
    if (status == RETORT_OK) status = map_labels(r, err);
    if (status == RETORT_OK) status = reserve(r, err);
    if (status == RETORT_OK) status = set_encoding(r, max_length, err);
    for (size_t i = 0; status == RETORT_OK && i < out->count; i++) status = read_example(r, i, err);
    if (status == RETORT_OK && out->scored) scale_scores(out);
    return status;
}

retort_status rt_examples_open(rt_examples *out, const retort_model *model, const retort_dataset *data,
                               int64_t max_length, bool labels, retort_error *err) {
    *out = (rt_examples){0};
    reading r = {.out = out, .model = model, .data = data};
    retort_status status = read_all(&r, max_length, labels, err);
    out->ids = r.feed.ids;
    out->types = r.feed.types;
    out->tokens = r.feed.tokens;
    r.feed.ids = r.feed.types = NULL;
    rt_feed_free(&r.feed);
    rt_encoding_free(&r.words);
    rt_word_cache_free(r.encode.cache);
    free(r.model_label);
    if (status != RETORT_OK) rt_examples_free(out);
    return status;
}

void rt_examples_free(rt_examples *examples) {
    free(examples->items);
    free(examples->targets);
    free(examples->tags);
    free(examples->ids);
    free(examples->types);
    *examples = (rt_examples){0};
}
