/* SPDX-License-Identifier: Apache-2.0 */
#include "model/cascade.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

retort_status rt_cascade_model(retort_model **out, const retort_model *full, rt_cascade *cascade,
                               retort_error *err) {
    retort_status status = rt_model_derive(out, full, err);
    if (status != RETORT_OK) {
        rt_cascade_free(cascade);
        return status;
    }
    (*out)->cascade = cascade;
    (*out)->same_weights = true;
    (*out)->file_bytes = full->file_bytes;
    return RETORT_OK;
}

retort_model *rt_cascade_full(const retort_model *model) {
    return model->shared_with;
}

retort_status rt_cascade_refuse(const retort_model *model, const char *verb, retort_error *err) {
    if (model->cascade == NULL) return RETORT_OK;
    return rt_fail(err, RETORT_UNSUPPORTED,
                   "%s: the model is a cascade of %zu stages: do this to each of them, then make the cascade",
                   verb, model->cascade->count + 1);
}

double rt_cascade_sureness(const float *logits, size_t labels, size_t *label) {
    size_t best = 0;
    double sum = 0;
    for (size_t i = 1; i < labels; i++) {
        if (logits[i] > logits[best]) best = i;
    }
    for (size_t i = 0; i < labels; i++) sum += exp((double)logits[i] - (double)logits[best]);
    if (label != NULL) *label = best;
    return 1 / sum;
}

/* ---- What fits together ---- */

static retort_status check_labels(const rt_config *config, const rt_config *full, const char *what,
                                  retort_error *err) {
    if (config->labels != full->labels)
        return rt_fail(err, RETORT_ARGUMENT,
                       "%.200s: %" PRId64 " labels, the full model has %" PRId64 ": a stage has the same",
                       what, config->labels, full->labels);
    if ((config->label_names == NULL) != (full->label_names == NULL))
        return rt_fail(err, RETORT_ARGUMENT, "%.200s: only one of it and the full model names its labels",
                       what);
    for (int64_t i = 0; config->label_names != NULL && i < config->labels; i++) {
        if (strcmp(config->label_names[i], full->label_names[i]) != 0)
            return rt_fail(err, RETORT_ARGUMENT,
                           "%.200s: label %" PRId64 " is '%.80s', the full model's '%.80s'", what, i,
                           config->label_names[i], full->label_names[i]);
    }
    return RETORT_OK;
}

static bool same_bytes(const void *a, size_t a_size, const void *b, size_t b_size) {
    return a_size == b_size && (a_size == 0 || memcmp(a, b, a_size) == 0);
}

static retort_status check_tokenizer(const rt_tokenizer *tokenizer, const rt_tokenizer *full,
                                     const char *what, retort_error *err) {
    rt_packed_tokenizer a = {0}, b = {0};
    if (tokenizer == full) return RETORT_OK;
    retort_status status = rt_tokenizer_pack(tokenizer, &a, err);
    if (status == RETORT_OK) status = rt_tokenizer_pack(full, &b, err);
    if (status == RETORT_OK &&
        (!same_bytes(a.vocab, a.vocab_size, b.vocab, b.vocab_size) ||
         !same_bytes(a.table, a.table_size, b.table, b.table_size) || strcmp(a.settings, b.settings) != 0))
        status =
            rt_fail(err, RETORT_ARGUMENT,
                    "%.200s: another vocabulary or tokenizer than the full model's: a stage reads the "
                    "same token ids. Expected the same tokenizer, restricted alike (--languages, --texts)",
                    what);
    rt_packed_tokenizer_free(&a);
    rt_packed_tokenizer_free(&b);
    return status;
}

static retort_status check_numbers(const rt_config *config, const rt_config *full, const char *what,
                                   retort_error *err) {
    const struct {
        const char *name;
        int64_t own, full;
    } rows[] = {{"ids of the vocabulary", config->vocab, full->vocab},
                {"positions", config->positions, full->positions},
                {"tokens a text is cut to", config->max_length, full->max_length},
                {"token types", rt_config_has_types(config) ? config->types : 0,
                 rt_config_has_types(full) ? full->types : 0},
                {"as the offset of positions", config->position_offset, full->position_offset}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].own == rows[i].full) continue;
        return rt_fail(err, RETORT_ARGUMENT, "%.200s: %" PRId64 " %s, the full model has %" PRId64, what,
                       rows[i].own, rows[i].name, rows[i].full);
    }
    return RETORT_OK;
}

retort_status rt_cascade_check(const retort_model *model, const retort_model *full, const char *what,
                               retort_error *err) {
    const rt_config *config = &model->config;
    if (model->cascade != NULL)
        return rt_fail(err, RETORT_ARGUMENT, "%.200s: a cascade: its stages are models", what);
    if (config->task != RETORT_TASK_CLASSIFY || config->problem != RETORT_PROBLEM_SINGLE_LABEL)
        return rt_fail(err, RETORT_ARGUMENT,
                       "%.200s: a cascade needs a classifier that gives each text one label", what);
    if (config->labels < 2)
        return rt_fail(err, RETORT_ARGUMENT, "%.200s: a cascade needs two labels or more, it has %" PRId64,
                       what, config->labels);
    if (full == NULL) return RETORT_OK;
    retort_status status = check_labels(config, &full->config, what, err);
    if (status == RETORT_OK) status = check_tokenizer(model->tokenizer, full->tokenizer, what, err);
    return status == RETORT_OK ? check_numbers(config, &full->config, what, err) : status;
}
