/* SPDX-License-Identifier: Apache-2.0
 * The samples of a data set, and what its readers share: lines, fields, labels. */
#include "eval/dataset.h"
#include "base/sized.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool rt_text_is(const retort_text *text, const char *word) {
    return strlen(word) == text->length && memcmp(text->text, word, text->length) == 0;
}

bool rt_field_next(retort_text *rest, char separator, retort_text *field) {
    if (rest->text == NULL) return false;
    const char *end = memchr(rest->text, separator, rest->length);
    *field = (retort_text){.text = rest->text, .length = rest->length};
    if (end == NULL) {
        *rest = (retort_text){0};
        return true;
    }
    field->length = (size_t)(end - rest->text);
    *rest = (retort_text){.text = end + 1, .length = rest->length - field->length - 1};
    return true;
}

bool rt_lines_next(rt_lines *lines, retort_text *line) {
    if (lines->at == lines->end) return false;
    retort_text rest = {.text = lines->at, .length = (size_t)(lines->end - lines->at)};
    rt_field_next(&rest, '\n', line);
    lines->at = rest.text != NULL ? rest.text : lines->end;
    lines->number++;
    if (line->length > 0 && line->text[line->length - 1] == '\r') line->length--;
    return true;
}

retort_status rt_dataset_add(retort_dataset *data, const rt_sample *sample, retort_error *err) {
    if (!rt_grow((void **)&data->samples, &data->capacity, data->count + 1, sizeof *sample)) {
        return rt_fail_nomem(err, (data->count + 1) * sizeof *sample);
    }
    data->samples[data->count++] = *sample;
    return RETORT_OK;
}

retort_status rt_dataset_part(retort_dataset *data, const retort_text *part, retort_error *err) {
    if (!rt_grow((void **)&data->parts, &data->part_capacity, data->part_count + 1, sizeof *part)) {
        return rt_fail_nomem(err, (data->part_count + 1) * sizeof *part);
    }
    data->parts[data->part_count++] = *part;
    return RETORT_OK;
}

retort_status rt_dataset_sentence(retort_dataset *data, size_t first, size_t line, retort_error *err) {
    if (first == data->part_count) return RETORT_OK;
    size_t length = data->part_count - first - 1;
    for (size_t i = first; i < data->part_count; i++) length += data->parts[i].length;
    char *text = rt_arena_calloc(&data->arena, length + 1, 1), *at = text;
    if (text == NULL) return rt_fail_nomem(err, length + 1);
    for (size_t i = first; i < data->part_count; i++) {
        if (i > first) *at++ = ' ';
        memcpy(at, data->parts[i].text, data->parts[i].length);
        at += data->parts[i].length;
    }
    rt_sample sample = {.text = {.text = text, .length = length}, .first = first, .line = line};
    sample.count = data->part_count - first;
    return rt_dataset_add(data, &sample, err);
}

/* The label number, or -1 if the text is not a number below `labels`. */
static int64_t label_number(const retort_text *value, int64_t labels) {
    int64_t number = 0;
    for (size_t i = 0; i < value->length; i++) {
        if (value->text[i] < '0' || value->text[i] > '9') return -1;
        number = number * 10 + (value->text[i] - '0');
        if (number >= labels) return -1;
    }
    return value->length > 0 ? number : -1;
}

/* False if out of memory. */
static bool note_labels(retort_dataset *data, const rt_config *config) {
    int known;
    bool fine = true;
    for (int64_t i = 0; fine && config->label_names != NULL && i < config->labels; i++) {
        fine = rt_names_add(&data->labels, config->label_names[i], (int)i, &known);
    }
    return fine;
}

static retort_status refuse_label(const retort_dataset *data, size_t line, const retort_text *value,
                                  const rt_config *config, retort_error *err) {
    char known[200] = "";
    int64_t i = 0;
    for (size_t n = 0; config->label_names != NULL && i < config->labels; i++) {
        const char *name = config->label_names[i];
        if (i > 0 && n + strlen(name) + sizeof ", '', …" > sizeof known) break;
        n += (size_t)snprintf(known + n, sizeof known - n, "%s'%.100s'", i > 0 ? ", " : ": ", name);
    }
    return rt_fail(err, RETORT_FORMAT, "%s:%zu: label '%.*s': the model has no such label (it has %lld%s%s)",
                   data->name, line, (int)rt_min(value->length, 80), value->text, (long long)config->labels,
                   known, i > 0 && i < config->labels ? ", …" : "");
}

retort_status rt_dataset_tag(retort_dataset *data, int64_t label, retort_error *err) {
    if (!rt_grow((void **)&data->tags, &data->tag_capacity, data->tag_count + 1, sizeof *data->tags))
        return rt_fail_nomem(err, (data->tag_count + 1) * sizeof *data->tags);
    data->tags[data->tag_count++] = (int32_t)label;
    return RETORT_OK;
}

retort_status rt_dataset_model_label(retort_dataset *data, size_t line, const retort_text *value,
                                     const rt_config *config, int64_t *label, retort_error *err) {
    if (data->labels.count == 0 && !note_labels(data, config)) {
        return rt_fail_nomem(err, (size_t)config->labels * sizeof *data->labels.slots);
    }
    *label = rt_names_find(&data->labels, value->text, value->length);
    if (*label >= 0) return RETORT_OK;
    *label = label_number(value, config->labels);
    return *label >= 0 ? RETORT_OK : refuse_label(data, line, value, config, err);
}

retort_status rt_dataset_own_label(retort_dataset *data, size_t line, const retort_text *value,
                                   int64_t *label, retort_error *err) {
    size_t bad;
    if (!rt_utf8_valid((const uint8_t *)value->text, value->length, &bad) ||
        (value->length > 0 && memchr(value->text, 0, value->length) != NULL))
        return rt_fail(err, RETORT_FORMAT, "%s:%zu: label '%.*s' is not UTF-8 text", data->name, line,
                       (int)rt_min(value->length, 80), value->text);
    return rt_labels_add(&data->own, &data->arena, line, value, label, err);
}

retort_status rt_dataset_label(retort_dataset *data, size_t line, const retort_text *value,
                               const rt_config *config, int64_t *label, retort_error *err) {
    if (!data->collects) return rt_dataset_model_label(data, line, value, config, label, err);
    if (value->length == 0)
        return rt_fail(err, RETORT_FORMAT, "%s:%zu: the label is empty", data->name, line);
    return rt_dataset_own_label(data, line, value, label, err);
}

retort_status retort_dataset_describe(const retort_dataset *data, retort_dataset_info *info) {
    retort_dataset_info full;
    if (data == NULL || info == NULL || rt_read_dataset_info("data set", info, &full, NULL) != RETORT_OK)
        return RETORT_ARGUMENT;
    bool numbers = data->targets == RETORT_TARGETS_VALUE || data->own.count > 0;
    for (size_t i = 0; numbers && i < data->own.count; i++) numbers = rt_is_whole(data->own.names[i]);
    bool pairs = data->count > 0;
    for (size_t i = 0; pairs && i < data->count; i++) pairs = data->samples[i].text.pair != NULL;
    full = (retort_dataset_info){.targets = data->targets,
                                 .pairs = pairs,
                                 .numbers = numbers,
                                 .labels = data->collects ? data->own.count : 0};
    rt_give_dataset_info(info, &full);
    return RETORT_OK;
}

const char *retort_dataset_label(const retort_dataset *data, size_t index) {
    return data != NULL && data->collects && index < data->own.count ? data->own.names[index] : NULL;
}

size_t retort_dataset_label_count(const retort_dataset *data, size_t index) {
    size_t count = 0;
    if (data == NULL || index >= data->own.count) return 0;
    bool one = data->targets == RETORT_TARGETS_LABEL;
    for (size_t i = 0; one && i < data->count; i++) count += data->samples[i].label == (int64_t)index;
    for (size_t i = 0; i < data->tag_count; i++) count += data->tags[i] == (int32_t)index;
    return count;
}

size_t retort_dataset_count(const retort_dataset *data) {
    return data != NULL ? data->count : 0;
}

retort_status retort_dataset_text(const retort_dataset *data, size_t index, retort_text *text) {
    if (data == NULL || text == NULL || index >= data->count) return RETORT_ARGUMENT;
    *text = data->samples[index].text;
    return RETORT_OK;
}

void retort_dataset_free(retort_dataset *data) {
    if (data == NULL) return;
    free(data->samples);
    free(data->parts);
    free(data->tags);
    rt_names_free(&data->labels);
    rt_labels_free(&data->own);
    json_decref(data->json);
    rt_map_close(&data->map);
    free(data->bytes);
    rt_arena_free(&data->arena);
    free(data);
}
