/* SPDX-License-Identifier: Apache-2.0
 * The configuration and the origin as JSON, one row per member. */
#include "format/json.h"
#include "model/file.h"
#include "arch/sentences.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct integer {
    const char *key;
    size_t offset;
    int64_t min, max;
    bool optional; /* absent where it is 0 */
} integers[] = {
    {"layers", offsetof(rt_config, layers), 0, 1 << 12, false},
    {"hidden", offsetof(rt_config, hidden), 1, 1 << 20, false},
    {"heads", offsetof(rt_config, heads), 1, 1 << 16, false},
    {"ffn", offsetof(rt_config, ffn), 1, 1 << 24, false},
    {"vocab", offsetof(rt_config, vocab), 1, INT32_MAX, false},
    {"positions", offsetof(rt_config, positions), 1, 1 << 24, false},
    {"types", offsetof(rt_config, types), 0, 1 << 16, false},
    {"labels", offsetof(rt_config, labels), 1, INT32_MAX, false},
    {"max_length", offsetof(rt_config, max_length), 1, 1 << 24, false},
    {"position_offset", offsetof(rt_config, position_offset), 0, 1 << 24, true},
    {"groups", offsetof(rt_config, groups), 0, 1 << 10, true},
    {"after_pad", offsetof(rt_config, after_pad), 0, 1, true},
    {"plain_norms", offsetof(rt_config, plain_norms), 0, 1, true},
};
enum { INTEGER_COUNT = sizeof integers / sizeof *integers };

static const struct choice {
    const char *key;
    size_t offset; /* of an enum */
    const char *names[12];
} choices[] = {
    {"task", offsetof(rt_config, task), {"classify", "tag", "answer", "fill", "embed"}},
    {"problem", offsetof(rt_config, problem), {"single_label", "multi_label", "regression"}},
    {"activation", offsetof(rt_config, activation), {"none", "gelu", "gelu_tanh", "relu", "tanh", "silu"}},
    {"pooling",
     offsetof(rt_config, pooling),
     {"none", "cls", "mean", "max", "mean_sqrt_len_tokens", "lasttoken", "weightedmean", "splade",
      "several"}},
};
enum { CHOICE_COUNT = sizeof choices / sizeof *choices };
_Static_assert(sizeof(retort_task) == sizeof(int) && sizeof(retort_problem) == sizeof(int) &&
                   sizeof(rt_act) == sizeof(int) && sizeof(rt_pooling) == sizeof(int),
               "choices are read as int");

static const struct flag {
    const char *key;
    size_t offset;
} flags[] = {
    {"normalize", offsetof(rt_config, normalize)},
    {"pooler", offsetof(rt_config, pooler)},
};
enum { FLAG_COUNT = sizeof flags / sizeof *flags };

/* ---- Writing ---- */

static json_t *label_array(const rt_config *config) {
    json_t *array = json_array();
    for (int64_t i = 0; i < config->labels && array != NULL; i++) {
        if (json_array_append_new(array, json_string(config->label_names[i])) == 0) continue;
        json_decref(array);
        array = NULL;
    }
    return array;
}

char *rt_model_config_text(const rt_config *config) {
    const char *base = (const char *)config;
    json_t *root = json_object();
    int failed = root == NULL || json_object_set_new(root, "family", json_string(config->arch->type));
    for (size_t i = 0; i < CHOICE_COUNT; i++) {
        int value;
        memcpy(&value, base + choices[i].offset, sizeof value);
        failed |= json_object_set_new(root, choices[i].key, json_string(choices[i].names[value]));
    }
    for (size_t i = 0; i < INTEGER_COUNT; i++) {
        int64_t value;
        memcpy(&value, base + integers[i].offset, sizeof value);
        if (integers[i].optional && value == 0) continue;
        failed |= json_object_set_new(root, integers[i].key, json_integer(value));
    }
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        bool value;
        memcpy(&value, base + flags[i].offset, sizeof value);
        failed |= json_object_set_new(root, flags[i].key, json_boolean(value));
    }
    failed |= json_object_set_new(root, "epsilon", json_real((double)config->epsilon));
    if (config->label_names != NULL) {
        failed |= json_object_set_new(root, "label_names", label_array(config));
    }
    if (config->scoring.stated) {
        failed |= json_object_set_new(root, "scoring", json_string(rt_scoring_name(&config->scoring)));
    }
    if (rt_config_has_sentences(config)) {
        failed |= json_object_set_new(root, "sentences", rt_sentences_write(&config->sentences));
    }
    char *text = failed ? NULL : json_dumps(root, JSON_COMPACT);
    json_decref(root);
    return text;
}

static json_t *restriction_object(const retort_restriction *restriction) {
    return json_pack("{s:s*, s:I, s:I, s:I, s:I, s:I}", "languages", restriction->languages, "pieces",
                     (json_int_t)restriction->pieces, "before", (json_int_t)restriction->pieces_before,
                     "texts", (json_int_t)restriction->texts, "identical", (json_int_t)restriction->identical,
                     "identical_unseen", (json_int_t)restriction->identical_unseen);
}

char *rt_model_origin_text(const retort_model *model) {
    char library[48];
    snprintf(library, sizeof library, "retort %d.%d.%d", RETORT_VERSION_MAJOR, RETORT_VERSION_MINOR,
             RETORT_VERSION_PATCH);
    json_t *root = json_pack("{s:s, s:s, s:s}", "source", model->source, "library", library, "recipe",
                             model->provenance.text);
    json_t *warnings = model->warning_count > 0 ? json_array() : NULL;
    bool failed = root == NULL || (model->warning_count > 0 && warnings == NULL);
    for (size_t i = 0; i < model->warning_count && !failed; i++) {
        failed = json_array_append_new(warnings, json_string(model->warnings[i])) != 0;
    }
    if (warnings != NULL && !failed) failed = json_object_set(root, "warnings", warnings) != 0;
    if (model->restriction.pieces > 0 && !failed)
        failed = json_object_set_new(root, "vocabulary", restriction_object(&model->restriction)) != 0;
    char *text = failed ? NULL : json_dumps(root, JSON_COMPACT);
    json_decref(warnings);
    json_decref(root);
    return text;
}

/* ---- Reading ---- */

static retort_status read_integer(rt_config *config, const json_t *root, const struct integer *row,
                                  const char *name, retort_error *err) {
    const json_t *member = json_object_get(root, row->key);
    int64_t value = json_integer_value(member);
    if (member == NULL && row->optional) return RETORT_OK;
    if (!json_is_integer(member) || value < row->min || value > row->max) {
        return rt_fail(err, RETORT_FORMAT, "%.200s: retort.config: %s: expected an integer from %lld to %lld",
                       name, row->key, (long long)row->min, (long long)row->max);
    }
    memcpy((char *)config + row->offset, &value, sizeof value);
    return RETORT_OK;
}

static retort_status read_choice(rt_config *config, const json_t *root, const struct choice *row,
                                 const char *name, retort_error *err) {
    const char *text = json_string_value(json_object_get(root, row->key));
    for (int i = 0; text != NULL && row->names[i] != NULL; i++) {
        if (strcmp(text, row->names[i]) != 0) continue;
        memcpy((char *)config + row->offset, &i, sizeof i);
        return RETORT_OK;
    }
    return rt_fail(err, RETORT_FORMAT, "%.200s: retort.config: %s: %.60s is unknown", name, row->key,
                   text != NULL ? text : "a missing value");
}

/* A copy in the model's arena. */
static const char *own(retort_model *model, const char *text) {
    return rt_arena_text(&model->arena, text, strlen(text));
}

static retort_status read_labels(retort_model *model, const json_t *root, const char *name,
                                 retort_error *err) {
    const json_t *array = json_object_get(root, "label_names");
    if (array == NULL) return RETORT_OK;
    size_t count = json_array_size(array);
    if (!json_is_array(array) || count != (size_t)model->config.labels) {
        return rt_fail(err, RETORT_FORMAT, "%.200s: retort.config: %zu label_names, expected %lld", name,
                       count, (long long)model->config.labels);
    }
    const char **labels = rt_arena_calloc(&model->arena, count, sizeof *labels);
    if (labels == NULL) return rt_fail_nomem(err, count * sizeof *labels);
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(array, i));
        if (text == NULL) {
            return rt_fail(err, RETORT_FORMAT, "%.200s: retort.config: label %zu is not a string", name, i);
        }
        labels[i] = own(model, text);
        if (labels[i] == NULL) return rt_fail_nomem(err, strlen(text) + 1);
    }
    model->config.label_names = labels;
    return RETORT_OK;
}

/* Older files do not have it. */
static retort_status read_sentences(retort_model *model, const json_t *root, const char *name,
                                    retort_error *err) {
    const json_t *object = json_object_get(root, "sentences");
    rt_sentences *out = &model->config.sentences;
    retort_task task = model->config.task;
    if (object == NULL || (task != RETORT_TASK_EMBED && task != RETORT_TASK_CLASSIFY)) return RETORT_OK;
    out->skips_prompt = json_is_false(json_object_get(object, "include_prompt"));
    retort_status status = rt_sentences_read(out, &model->arena, name, object, err);
    if (task == RETORT_TASK_CLASSIFY) out->columns = 0;
    if (status != RETORT_OK || out->columns <= model->config.labels) return status;
    return rt_fail(err, RETORT_FORMAT,
                   "%.200s: retort.config: truncate_dim is over the %lld numbers of a vector", name,
                   (long long)model->config.labels);
}

/* Files of models that state none do not have it. */
static retort_status read_scoring(rt_config *config, const json_t *root, const char *name,
                                  retort_error *err) {
    const json_t *member = json_object_get(root, "scoring");
    const char *text = json_string_value(member);
    if (member == NULL) return RETORT_OK;
    if (config->task == RETORT_TASK_CLASSIFY && rt_scoring_find(&config->scoring, text)) return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT,
                   "%.200s: retort.config: scoring: %.60s is unknown, or the task is not classify", name,
                   text != NULL ? text : "what is no string");
}

static retort_status read_arch(rt_config *config, const json_t *root, const char *name, retort_error *err) {
    const char *text = json_string_value(json_object_get(root, "family"));
    config->arch = text != NULL ? rt_arch_family(text) : NULL;
    if (config->arch != NULL) return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT, "%.200s: retort.config: family: %.60s is unknown", name,
                   text != NULL ? text : "a missing value");
}

static retort_status read_members(retort_model *model, const json_t *root, const char *name,
                                  retort_error *err) {
    rt_config *config = &model->config;
    retort_status status = read_arch(config, root, name, err);
    for (size_t i = 0; status == RETORT_OK && i < INTEGER_COUNT; i++) {
        status = read_integer(config, root, &integers[i], name, err);
    }
    for (size_t i = 0; status == RETORT_OK && i < CHOICE_COUNT; i++) {
        status = read_choice(config, root, &choices[i], name, err);
    }
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        bool value = json_is_true(json_object_get(root, flags[i].key));
        memcpy((char *)config + flags[i].offset, &value, sizeof value);
    }
    config->epsilon = (float)json_number_value(json_object_get(root, "epsilon"));
    if (status == RETORT_OK) status = read_scoring(config, root, name, err);
    if (status == RETORT_OK) status = read_sentences(model, root, name, err);
    return status == RETORT_OK ? read_labels(model, root, name, err) : status;
}

retort_status rt_model_read_config(retort_model *model, const char *name, const char *text,
                                   retort_error *err) {
    json_t *root;
    retort_status status = rt_json_parse(&root, name, text, strlen(text), err);
    if (status != RETORT_OK) return status;
    status = read_members(model, root, name, err);
    json_decref(root);
    return status;
}

static retort_status read_warnings(retort_model *model, const json_t *list, retort_error *err) {
    size_t count = json_array_size(list);
    for (size_t i = 0; i < count && model->warning_count < RT_MODEL_WARNINGS; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (text == NULL) continue;
        model->warnings[model->warning_count] = own(model, text);
        if (model->warnings[model->warning_count++] == NULL) return rt_fail_nomem(err, strlen(text));
    }
    return RETORT_OK;
}

/* Counts that no restriction has are taken as none. */
static retort_status read_restriction(retort_model *model, const json_t *object, retort_error *err) {
    retort_restriction *out = &model->restriction;
    const char *languages = json_string_value(json_object_get(object, "languages"));
    *out = (retort_restriction){
        .pieces = json_integer_value(json_object_get(object, "pieces")),
        .pieces_before = json_integer_value(json_object_get(object, "before")),
        .texts = (uint64_t)json_integer_value(json_object_get(object, "texts")),
        .identical = (uint64_t)json_integer_value(json_object_get(object, "identical")),
        .identical_unseen = (uint64_t)json_integer_value(json_object_get(object, "identical_unseen"))};
    if (out->pieces <= 0 || out->pieces > out->pieces_before || out->texts > INT64_MAX ||
        out->identical > out->texts || out->identical_unseen > out->identical)
        *out = (retort_restriction){0};
    if (out->pieces == 0 || languages == NULL) return RETORT_OK;
    out->languages = own(model, languages);
    return out->languages != NULL ? RETORT_OK : rt_fail_nomem(err, strlen(languages));
}

retort_status rt_model_read_origin(retort_model *model, const char *name, const char *text,
                                   retort_error *err) {
    json_t *root;
    retort_status status = rt_json_parse(&root, name, text, strlen(text), err);
    if (status != RETORT_OK) return status;
    const char *source = json_string_value(json_object_get(root, "source"));
    const char *recipe = json_string_value(json_object_get(root, "recipe"));
    if (source == NULL || recipe == NULL) {
        status = rt_fail(err, RETORT_FORMAT, "%.200s: retort.origin: no source or no recipe", name);
    } else {
        model->source = own(model, source);
        status = model->source != NULL ? rt_provenance_parse(&model->provenance, &model->arena, recipe, err)
                                       : rt_fail_nomem(err, strlen(source));
    }
    if (status == RETORT_OK) status = read_warnings(model, json_object_get(root, "warnings"), err);
    if (status == RETORT_OK) status = read_restriction(model, json_object_get(root, "vocabulary"), err);
    json_decref(root);
    return status;
}
