/* SPDX-License-Identifier: Apache-2.0
 * Labels of a classifier or tagger: id2label, else label2id, else num_labels, else two (transformers'
 * PretrainedConfig), and how a classifier's logits become scores. */
#include "arch/labels.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static retort_status new_names(rt_config *out, rt_arena *arena, const char *name, int64_t count,
                               retort_error *err) {
    if (count < 1 || count > RT_MOST_LABELS) {
        return rt_fail(err, RETORT_FORMAT, "%s: %" PRId64 " labels; expected 1 to %d", name, count,
                       RT_MOST_LABELS);
    }
    out->labels = count;
    out->label_names = rt_arena_calloc(arena, (size_t)count, sizeof *out->label_names);
    return out->label_names == NULL ? rt_fail_nomem(err, (size_t)count * sizeof *out->label_names)
                                    : RETORT_OK;
}

static retort_status set_name(rt_config *out, rt_arena *arena, const char *name, int64_t index,
                              const char *label, retort_error *err) {
    if (index < 0 || index >= out->labels || out->label_names[index] != NULL) {
        return rt_fail(err, RETORT_FORMAT,
                       "%s: label %" PRId64 " '%.60s' of %" PRId64 " labels is out of range or appears twice",
                       name, index, label, out->labels);
    }
    out->label_names[index] = rt_arena_text(arena, label, strlen(label));
    return out->label_names[index] == NULL ? rt_fail_nomem(err, strlen(label)) : RETORT_OK;
}

/* A decimal index, the whole of `text`. */
static bool parse_index(const char *text, int64_t *out) {
    char *end;
    if (text[0] < '0' || text[0] > '9' || strlen(text) > 9) return false;
    *out = strtoll(text, &end, 10);
    return *end == '\0';
}

static retort_status from_id2label(rt_config *out, rt_arena *arena, const char *name, const json_t *map,
                                   retort_error *err) {
    const char *key;
    json_t *value;
    retort_status status = new_names(out, arena, name, (int64_t)json_object_size(map), err);
    json_object_foreach((json_t *)map, key, value) {
        char number[32];
        int64_t index = -1;
        const char *label = json_string_value(value);
        if (status != RETORT_OK) return status;
        if (json_is_integer(value)) { /* {"0": 0} is seen */
            snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
            label = number;
        }
        if (label == NULL || !parse_index(key, &index)) {
            return rt_fail(err, RETORT_FORMAT, "%s: id2label '%.60s': expected an index and a name", name,
                           key);
        }
        status = set_name(out, arena, name, index, label, err);
    }
    return status;
}

static retort_status from_label2id(rt_config *out, rt_arena *arena, const char *name, const json_t *map,
                                   retort_error *err) {
    const char *key;
    json_t *value;
    retort_status status = new_names(out, arena, name, (int64_t)json_object_size(map), err);
    json_object_foreach((json_t *)map, key, value) {
        if (status != RETORT_OK) return status;
        if (!json_is_integer(value)) {
            return rt_fail(err, RETORT_FORMAT, "%s: label2id '%.60s': its index is not an integer", name,
                           key);
        }
        status = set_name(out, arena, name, json_integer_value(value), key, err);
    }
    return status;
}

static retort_status from_count(rt_config *out, rt_arena *arena, const char *name, const json_t *value,
                                retort_error *err) {
    if (value != NULL && !json_is_integer(value)) {
        return rt_fail(err, RETORT_FORMAT, "%s: 'num_labels' is not an integer", name);
    }
    retort_status status = new_names(out, arena, name, value != NULL ? json_integer_value(value) : 2, err);
    for (int64_t i = 0; status == RETORT_OK && i < out->labels; i++) {
        char label[32];
        snprintf(label, sizeof label, "LABEL_%" PRId64, i);
        status = set_name(out, arena, name, i, label, err);
    }
    return status;
}

/* As transformers' pipeline takes it: one label's logit goes through the sigmoid, whatever else the file
 * says, unless it is stated to be a regression; more labels exclude each other unless the file says
 * otherwise. */
static retort_status read_problem(rt_config *out, const char *name, const json_t *root, retort_error *err) {
    static const struct {
        const char *name;
        retort_problem problem;
    } problems[] = {
        {"single_label_classification", RETORT_PROBLEM_SINGLE_LABEL},
        {"multi_label_classification", RETORT_PROBLEM_MULTI_LABEL},
        {"regression", RETORT_PROBLEM_REGRESSION},
    };
    const char *text = json_string_value(json_object_get(root, "problem_type"));
    out->problem = out->labels == 1 ? RETORT_PROBLEM_MULTI_LABEL : RETORT_PROBLEM_SINGLE_LABEL;
    if (text == NULL) return RETORT_OK;
    for (size_t i = 0; i < sizeof problems / sizeof *problems; i++) {
        if (strcmp(text, problems[i].name) != 0) continue;
        if (out->labels > 1 || problems[i].problem == RETORT_PROBLEM_REGRESSION) {
            out->problem = problems[i].problem;
        }
        return RETORT_OK;
    }
    return rt_fail(err, RETORT_UNSUPPORTED, "%s: problem_type '%.60s' is unknown", name, text);
}

/* Where sentence-transformers since 4, and before, wrote the activation of a cross-encoder. */
static retort_status read_scoring(rt_config *out, const char *name, const json_t *root, retort_error *err) {
    const json_t *package = json_object_get(root, "sentence_transformers");
    const json_t *value = json_object_get(package, "activation_fn");
    const char *key =
        value != NULL ? "sentence_transformers.activation_fn" : "sbert_ce_default_activation_function";
    if (value == NULL) value = json_object_get(root, key);
    return rt_config_scoring(&out->scoring, name, key, value, err);
}

retort_status rt_config_scoring(rt_scoring *out, const char *name, const char *key, const json_t *value,
                                retort_error *err) {
    char known[256];
    const char *path = json_string_value(value);
    *out = (rt_scoring){0};
    if (value == NULL || json_is_null(value)) return RETORT_OK;
    if (path != NULL && strchr(path, '.') != NULL && rt_scoring_find(out, path)) return RETORT_OK;
    return rt_fail(err, RETORT_UNSUPPORTED, "%s: %s '%.80s'; known are those of torch.nn: Softmax, %s", name,
                   key, path != NULL ? path : "(not a string)", rt_module_act_names(known, sizeof known));
}

retort_status rt_config_labels(rt_config *out, rt_arena *arena, const char *name, const json_t *root,
                               retort_error *err) {
    const json_t *id2label = json_object_get(root, "id2label"), *label2id = json_object_get(root, "label2id");
    retort_status status;
    if (json_object_size(id2label) > 0) {
        status = from_id2label(out, arena, name, id2label, err);
    } else if (json_object_size(label2id) > 0) {
        status = from_label2id(out, arena, name, label2id, err);
    } else {
        status = from_count(out, arena, name, json_object_get(root, "num_labels"), err);
    }
    if (status != RETORT_OK || out->task != RETORT_TASK_CLASSIFY) return status;
    status = read_problem(out, name, root, err);
    return status == RETORT_OK ? read_scoring(out, name, root, err) : status;
}
