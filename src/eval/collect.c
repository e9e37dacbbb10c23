/* SPDX-License-Identifier: Apache-2.0
 * When all is read: what collected labels are, and their final order. Time is linear in the samples, plus the sorting of
 * the distinct labels. */
#include "eval/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static retort_text text_of(const char *name) {
    return (retort_text){.text = name, .length = strlen(name)};
}

/* ---- Numbers ---- */

static bool are_whole(const rt_label_set *labels) {
    bool whole = labels->count > 0;
    for (size_t i = 0; whole && i < labels->count; i++) whole = rt_is_whole(labels->names[i]);
    return whole;
}

/* The values of all names; NULL in *out: they are not all numbers, and *other is one that is not. */
static retort_status values_of(const rt_label_set *labels, double **out, size_t *other, retort_error *err) {
    double *values = rt_calloc(labels->count, sizeof *values);
    if (values == NULL) return rt_fail_nomem(err, labels->count * sizeof *values);
    *out = values;
    for (size_t i = 0; *out != NULL && i < labels->count; i++) {
        retort_text name = text_of(labels->names[i]);
        if (rt_parse_number(&name, &values[i])) continue;
        *other = i;
        *out = NULL;
    }
    if (*out == NULL) free(values);
    return RETORT_OK;
}

/* Labels that are numbers become values, where that is wanted or where not all are whole. */
static retort_status find_values(retort_dataset *data, retort_targets wanted, retort_error *err) {
    double *values = NULL;
    size_t other = 0;
    bool must = wanted == RETORT_TARGETS_VALUE;
    if (wanted != RETORT_TARGETS_NONE && !must) return RETORT_OK;
    if (!must && are_whole(&data->own)) return RETORT_OK;
    retort_status status = values_of(&data->own, &values, &other, err);
    if (status != RETORT_OK) return status;
    if (values == NULL && must)
        return rt_fail(err, RETORT_FORMAT, "%s:%zu: '%.80s' is not a number", data->name,
                       data->own.lines[other], data->own.names[other]);
    if (values == NULL) return RETORT_OK;
    for (size_t i = 0; i < data->count; i++) data->samples[i].score = values[data->samples[i].label];
    free(values);
    data->targets = RETORT_TARGETS_VALUE;
    rt_labels_free(&data->own);
    return RETORT_OK;
}

/* ---- Vectors of 0 and 1 ---- */

static int yes_no(const char *name) {
    if (strcmp(name, "1") == 0 || strcmp(name, "true") == 0) return 1;
    return strcmp(name, "0") == 0 || strcmp(name, "false") == 0 ? 0 : -1;
}

/* Whether all lists are equally long and have nothing but 0 and 1. */
static bool are_vectors(const retort_dataset *data) {
    bool fits = data->lists && data->count > 0 && data->samples[0].count > 1;
    for (size_t i = 0; fits && i < data->count; i++) fits = data->samples[i].count == data->samples[0].count;
    for (size_t i = 0; fits && i < data->own.count; i++) fits = yes_no(data->own.names[i]) >= 0;
    return fits;
}

/* Replaces 0 and 1 by the places of 1, and the labels by numbers. */
static retort_status take_vectors(retort_dataset *data, retort_error *err) {
    size_t n = data->samples[0].count, kept = 0;
    for (size_t i = 0; i < data->count; i++) {
        rt_sample *sample = &data->samples[i];
        size_t first = sample->first;
        sample->first = kept;
        for (size_t j = 0; j < n; j++) {
            if (yes_no(data->own.names[data->tags[first + j]]) == 1) data->tags[kept++] = (int32_t)j;
        }
        sample->count = kept - sample->first;
    }
    data->tag_count = kept;
    rt_labels_free(&data->own);
    retort_status status = RETORT_OK;
    for (size_t j = 0; status == RETORT_OK && j < n; j++) {
        char name[24];
        int64_t label;
        snprintf(name, sizeof name, "%zu", j);
        retort_text text = text_of(name);
        status = rt_dataset_own_label(data, data->samples[0].line, &text, &label, err);
    }
    data->vectors = true;
    return status;
}

/* ---- The final order ---- */

typedef struct ordered {
    const char *name;
    double value; /* 0 if they are ordered as text */
    size_t index, line;
} ordered;

static int compare_ordered(const void *left, const void *right) {
    const ordered *a = left, *b = right;
    if (a->value != b->value) return a->value < b->value ? -1 : 1;
    return strcmp(a->name, b->name);
}

/* Labels get the numbers next[old]. */
static void renumber(retort_dataset *data, const int32_t *next) {
    bool one = data->targets == RETORT_TARGETS_LABEL;
    for (size_t i = 0; one && i < data->count; i++) data->samples[i].label = next[data->samples[i].label];
    for (size_t i = 0; i < data->tag_count; i++) data->tags[i] = next[data->tags[i]];
}

static bool place_names(rt_label_set *own, const ordered *sorted, int32_t *next) {
    int known;
    rt_names_clear(&own->index);
    for (size_t i = 0; i < own->count; i++) {
        own->names[i] = sorted[i].name;
        own->lines[i] = sorted[i].line;
        next[sorted[i].index] = (int32_t)i;
        if (!rt_names_add(&own->index, own->names[i], (int)i, &known)) return false;
    }
    return true;
}

static retort_status sort_labels(retort_dataset *data, retort_error *err) {
    rt_label_set *own = &data->own;
    bool whole = are_whole(own);
    ordered *sorted = rt_calloc(own->count, sizeof *sorted);
    int32_t *next = rt_calloc(own->count, sizeof *next);
    bool made = sorted != NULL && next != NULL;
    for (size_t i = 0; made && i < own->count; i++) {
        sorted[i] = (ordered){.name = own->names[i], .index = i, .line = own->lines[i]};
        retort_text name = text_of(own->names[i]);
        if (whole) rt_parse_number(&name, &sorted[i].value);
    }
    if (made) qsort(sorted, own->count, sizeof *sorted, compare_ordered);
    made = made && place_names(own, sorted, next);
    if (made) renumber(data, next);
    free(sorted);
    free(next);
    return made ? RETORT_OK : rt_fail_nomem(err, own->count * sizeof *sorted);
}

/* Labels of the data become those of the model. */
static retort_status use_model(retort_dataset *data, const rt_config *config, retort_error *err) {
    rt_label_set *own = &data->own;
    if (data->vectors && (int64_t)own->count != config->labels)
        return rt_fail(err, RETORT_FORMAT, "%s:%zu: a list of %zu numbers 0 and 1: the model has %lld labels",
                       data->name, own->lines[0], own->count, (long long)config->labels);
    int32_t *next = rt_calloc(own->count, sizeof *next);
    if (next == NULL) return rt_fail_nomem(err, own->count * sizeof *next);
    retort_status status = RETORT_OK;
    for (size_t i = 0; status == RETORT_OK && i < own->count; i++) {
        int64_t label = (int64_t)i;
        retort_text name = text_of(own->names[i]);
        if (!data->vectors) status = rt_dataset_model_label(data, own->lines[i], &name, config, &label, err);
        next[i] = (int32_t)label;
    }
    if (status == RETORT_OK) renumber(data, next);
    free(next);
    rt_labels_free(own);
    return status;
}

static const char *targets_text(retort_targets targets) {
    static const char *const texts[] = {
        [RETORT_TARGETS_NONE] = "texts without labels",      [RETORT_TARGETS_LABEL] = "one label per text",
        [RETORT_TARGETS_LABELS] = "several labels per text", [RETORT_TARGETS_VALUE] = "a number per text",
        [RETORT_TARGETS_TAGS] = "a label per word",          [RETORT_TARGETS_ANSWERS] = "accepted answers",
    };
    return texts[targets];
}

retort_status rt_dataset_collect(retort_dataset *data, const rt_config *config, retort_targets wanted,
                                 retort_error *err) {
    bool several = data->targets == RETORT_TARGETS_LABELS;
    retort_status status = RETORT_OK;
    if (!data->collects && !several) return RETORT_OK;
    if (wanted < RETORT_TARGETS_NONE || wanted > RETORT_TARGETS_ANSWERS)
        return rt_fail(err, RETORT_ARGUMENT, "%s: targets %d are unknown", data->name, (int)wanted);
    if (several && are_vectors(data)) status = take_vectors(data, err);
    if (status == RETORT_OK && !data->collects) return use_model(data, config, err);
    if (status == RETORT_OK && data->targets == RETORT_TARGETS_LABEL) status = find_values(data, wanted, err);
    bool sorts = data->own.count > 0 && !data->vectors && !data->own.fixed;
    if (status == RETORT_OK && sorts) status = sort_labels(data, err);
    if (status != RETORT_OK || wanted == RETORT_TARGETS_NONE || wanted == data->targets) return status;
    return rt_fail(err, RETORT_ARGUMENT, "%s: expected %s, found %s", data->name, targets_text(wanted),
                   targets_text(data->targets));
}
