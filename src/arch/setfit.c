/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/setfit.h"
#include "base/map.h"
#include "base/names.h"
#include "format/logistic.h"
#include "format/path.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char head_file[] = "model_head.pkl", settings_file[] = "config_setfit.json";

bool rt_setfit_is_in(const char *folder) {
    char path[RT_PATH_SIZE];
    return rt_path_join(path, sizeof path, folder, head_file) && rt_is_file(path);
}

/* ---- Labels ---- */

static retort_status name_label(rt_encoder *e, int64_t label, const char *text, retort_error *err) {
    e->config.label_names[label] = rt_arena_text(&e->arena, text, strlen(text));
    return e->config.label_names[label] != NULL ? RETORT_OK : rt_fail_nomem(err, strlen(text));
}

/* A class that is a text is its own name; number c has name c of the settings, if they name labels. Independent labels have
 * the names in their order. */
static retort_status read_label(rt_encoder *e, const rt_logistic *head, const char *name,
                                const json_t *labels, int64_t label, retort_error *err) {
    char number[32];
    int64_t index = head->numbers != NULL ? head->numbers[label] : label;
    if (head->names != NULL) return name_label(e, label, head->names[label], err);
    snprintf(number, sizeof number, head->numbers != NULL ? "%" PRId64 : "LABEL_%" PRId64, index);
    if (labels == NULL) return name_label(e, label, number, err);
    const json_t *value = index >= 0 ? json_array_get(labels, (size_t)index) : NULL;
    const char *text = json_string_value(value);
    if (json_is_integer(value)) {
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        text = number;
    }
    if (text != NULL) return name_label(e, label, text, err);
    return rt_fail(err, RETORT_FORMAT, "%s: 'labels' has no name for class %" PRId64 " of the head", name,
                   index);
}

/* Two classes of one name could not be told apart, neither in answers nor in data. */
static retort_status check_names(const rt_encoder *e, int64_t count, const char *name, retort_error *err) {
    const char **sorted = rt_calloc((size_t)count, sizeof *sorted);
    if (sorted == NULL) return rt_fail_nomem(err, (size_t)count * sizeof *sorted);
    for (int64_t i = 0; i < count; i++) sorted[i] = e->config.label_names[i];
    qsort(sorted, (size_t)count, sizeof *sorted, rt_compare_names);
    retort_status status = RETORT_OK;
    for (int64_t i = 1; i < count && status == RETORT_OK; i++) {
        if (strcmp(sorted[i - 1], sorted[i]) == 0)
            status = rt_fail(err, RETORT_FORMAT,
                             "%s: two classes have the name '%.60s': give each a name of its own", name,
                             sorted[i]);
    }
    free(sorted);
    return status;
}

static retort_status read_labels(rt_encoder *e, const rt_logistic *head, const char *name, const json_t *root,
                                 retort_error *err) {
    const json_t *labels = json_object_get(root, "labels");
    if (json_is_null(labels)) labels = NULL;
    if (labels != NULL && !json_is_array(labels))
        return rt_fail(err, RETORT_FORMAT, "%s: 'labels' is not a list", name);
    if (labels != NULL && head->link == RT_LOGISTIC_SIGMOIDS && json_array_size(labels) != (size_t)head->rows)
        return rt_fail(err, RETORT_FORMAT, "%s: %zu labels, but the head has %" PRId64, name,
                       json_array_size(labels), head->rows);
    e->config.label_names = rt_arena_calloc(&e->arena, (size_t)head->rows, sizeof *e->config.label_names);
    if (e->config.label_names == NULL)
        return rt_fail_nomem(err, (size_t)head->rows * sizeof *e->config.label_names);
    retort_status status = RETORT_OK;
    for (int64_t i = 0; i < head->rows && status == RETORT_OK; i++)
        status = read_label(e, head, name, labels, i, err);
    return status == RETORT_OK ? check_names(e, head->rows, head->names != NULL ? head_file : name, err)
                               : status;
}

/* ---- Modules ---- */

static retort_status add_module(rt_encoder *e, const rt_module *module, const char *name, retort_error *err) {
    if (e->module_count == RT_MOST_MODULES)
        return rt_fail(err, RETORT_UNSUPPORTED, "%s: more than %d modules before the head", name,
                       RT_MOST_MODULES - 2);
    e->modules[e->module_count++] = *module;
    return RETORT_OK;
}

static const rt_tensor *tensor_of(rt_encoder *e, const char *name, int rank, int64_t rows, int64_t columns,
                                  const float *data) {
    rt_tensor *tensor = rt_arena_calloc(&e->arena, 1, sizeof *tensor);
    if (tensor != NULL)
        *tensor = (rt_tensor){
            .name = name, .dtype = RETORT_F32, .rank = rank, .shape = {rows, columns}, .data = data};
    return tensor;
}

/* Shares are a softmax of the sigmoids' logarithms. */
static retort_status add_head(rt_encoder *e, const rt_logistic *head, const char *name, retort_error *err) {
    rt_module dense = {.kind = RT_MODULE_DENSE,
                       .in = head->columns,
                       .out = head->rows,
                       .bias = true,
                       .activation =
                           head->link == RT_LOGISTIC_SHARES ? RT_MODULE_LOG_SIGMOID : RT_MODULE_IDENTITY};
    if (head->columns != e->config.labels)
        return rt_fail(err, RETORT_FORMAT,
                       "%s: a head for vectors of %" PRId64 " numbers; the package makes %" PRId64, name,
                       head->columns, e->config.labels);
    dense.weights = (rt_weight){tensor_of(e, "coef_", 2, head->rows, head->columns, head->weight),
                                tensor_of(e, "intercept_", 1, head->rows, 0, head->bias)};
    if (dense.weights.weight == NULL || dense.weights.bias == NULL)
        return rt_fail_nomem(err, sizeof *dense.weights.weight);
    return add_module(e, &dense, name, err);
}

static retort_status refuse_package(const rt_encoder *e, const char *name, retort_error *err) {
    if (e->config.pooling == RT_POOL_SPLADE)
        return rt_fail(err, RETORT_UNSUPPORTED, "%s: a head on sparse vectors is not supported", name);
    if (e->config.sentences.columns == 0) return RETORT_OK;
    return rt_fail(err, RETORT_UNSUPPORTED, "%s: a head on vectors that truncate_dim cuts is not supported",
                   name);
}

/* Both files: the head, and the settings, which old packages lack. */
static retort_status read_files(rt_encoder *e, const char *folder, char *path, rt_logistic *head,
                                json_t **settings, retort_error *err) {
    rt_map map = {0};
    char other[RT_PATH_SIZE];
    retort_status status = rt_path_in(path, folder, head_file, err);
    if (status == RETORT_OK) status = rt_map_open(&map, path, err);
    if (status == RETORT_OK) status = rt_logistic_read(head, &e->arena, path, map.data, map.size, err);
    rt_map_close(&map);
    if (status == RETORT_OK) status = rt_path_in(other, folder, settings_file, err);
    if (status != RETORT_OK || !rt_is_file(other)) return status;
    status = rt_json_load(settings, other, err);
    if (status == RETORT_OK && !json_is_object(*settings))
        status = rt_fail(err, RETORT_FORMAT, "%s: not a JSON object", other);
    return status;
}

retort_status rt_setfit_apply(rt_encoder *e, const char *folder, retort_error *err) {
    char path[RT_PATH_SIZE];
    json_t *settings = NULL;
    rt_logistic head;
    rt_module unit = {.kind = RT_MODULE_NORMALIZE};
    retort_status status = read_files(e, folder, path, &head, &settings, err);
    const json_t *normalized = json_object_get(settings, "normalize_embeddings");
    if (status == RETORT_OK) status = refuse_package(e, path, err);
    if (status == RETORT_OK && normalized != NULL && !json_is_boolean(normalized))
        status = rt_fail(err, RETORT_FORMAT, "%s: 'normalize_embeddings' is neither true nor false",
                         settings_file);
    if (status == RETORT_OK && json_is_true(normalized)) status = add_module(e, &unit, path, err);
    if (status == RETORT_OK) status = add_head(e, &head, path, err);
    if (status == RETORT_OK) status = read_labels(e, &head, settings_file, settings, err);
    json_decref(settings);
    if (status != RETORT_OK) return status;
    e->config.task = RETORT_TASK_CLASSIFY;
    e->config.problem =
        head.link == RT_LOGISTIC_SIGMOIDS ? RETORT_PROBLEM_MULTI_LABEL : RETORT_PROBLEM_SINGLE_LABEL;
    e->config.labels = head.rows;
    e->config.pooling = RT_POOL_NONE;
    e->config.normalize = false;
    return RETORT_OK;
}
