/* SPDX-License-Identifier: Apache-2.0 */
#include "model/cascade_file.h"

#include "base/check_finite.h"
#include "format/json.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

const char *const rt_ngrams_names[RT_NGRAMS_TENSORS] = {"weights", "scales", "biases"};

/* ---- JSON ---- */

static const struct count {
    const char *key;
    size_t offset;
} counts[] = {
    {"trained", offsetof(retort_cascade_info, trained)},
    {"ordered", offsetof(retort_cascade_info, ordered)},
    {"calibrated", offsetof(retort_cascade_info, calibrated)},
    {"calibrated_differ", offsetof(retort_cascade_info, calibrated_differ)},
    {"tested", offsetof(retort_cascade_info, tested)},
    {"tested_differ", offsetof(retort_cascade_info, tested_differ)},
};
enum { COUNTS = sizeof counts / sizeof *counts };

static const char *const kinds[] = {[RETORT_STAGE_LINEAR] = "linear", [RETORT_STAGE_STUDENT] = "student"};

static json_t *stage_object(const rt_stage *stage) {
    return json_pack("{s:s, s:f, s:f, s:f}", "kind",
                     kinds[stage->model != NULL ? RETORT_STAGE_STUDENT : RETORT_STAGE_LINEAR], "threshold",
                     stage->threshold, "share", stage->share, "tested_share", stage->test_share);
}

char *rt_cascade_text(const rt_cascade *cascade) {
    json_t *stages = json_array();
    bool failed = stages == NULL;
    for (size_t i = 0; i < cascade->count && !failed; i++)
        failed = json_array_append_new(stages, stage_object(&cascade->stages[i])) != 0;
    json_t *root = json_pack("{s:f, s:f, s:o, s:f, s:f}", "epsilon", cascade->info.epsilon, "confidence",
                             cascade->info.confidence, "stages", stages, "share", cascade->share,
                             "tested_share", cascade->test_share);
    for (size_t i = 0; i < COUNTS && !failed; i++) {
        uint64_t value;
        memcpy(&value, (const char *)&cascade->info + counts[i].offset, sizeof value);
        failed = json_object_set_new(root, counts[i].key, json_integer((json_int_t)value)) != 0;
    }
    char *text = failed ? NULL : json_dumps(root, JSON_COMPACT);
    json_decref(root);
    return text;
}

static retort_status malformed(const char *name, const char *key, const char *expected, retort_error *err) {
    return rt_fail(err, RETORT_FORMAT, "%.200s: " RT_CASCADE_KEY ": %s: expected %s", name, key, expected);
}

static retort_status read_share(double *out, const json_t *object, const char *name, const char *key,
                                retort_error *err) {
    const json_t *member = json_object_get(object, key);
    *out = json_number_value(member);
    return json_is_number(member) && *out >= 0 && *out <= 1
               ? RETORT_OK
               : malformed(name, key, "a number from 0 to 1", err);
}

static retort_status read_stage(rt_stage *stage, bool *ngrams, const json_t *object, const char *name,
                                retort_error *err) {
    const char *kind = json_string_value(json_object_get(object, "kind"));
    *ngrams = kind != NULL && strcmp(kind, kinds[RETORT_STAGE_LINEAR]) == 0;
    if (!*ngrams && (kind == NULL || strcmp(kind, kinds[RETORT_STAGE_STUDENT]) != 0))
        return malformed(name, "kind", "linear or student", err);
    retort_status status = read_share(&stage->threshold, object, name, "threshold", err);
    if (status == RETORT_OK) status = read_share(&stage->share, object, name, "share", err);
    return status == RETORT_OK ? read_share(&stage->test_share, object, name, "tested_share", err) : status;
}

static retort_status read_root(rt_cascade *cascade, bool ngrams[RT_MOST_STAGES], const json_t *root,
                               const char *name, retort_error *err) {
    const json_t *stages = json_object_get(root, "stages");
    size_t count = json_array_size(stages);
    if (!json_is_array(stages) || count < 1 || count > RT_MOST_STAGES)
        return malformed(name, "stages", "1 to 7 of them", err);
    retort_status status = read_share(&cascade->info.epsilon, root, name, "epsilon", err);
    if (status == RETORT_OK) status = read_share(&cascade->info.confidence, root, name, "confidence", err);
    if (status == RETORT_OK) status = read_share(&cascade->share, root, name, "share", err);
    if (status == RETORT_OK) status = read_share(&cascade->test_share, root, name, "tested_share", err);
    for (size_t i = 0; status == RETORT_OK && i < COUNTS; i++) {
        const json_t *member = json_object_get(root, counts[i].key);
        uint64_t value = (uint64_t)json_integer_value(member);
        if (!json_is_integer(member) || value > INT64_MAX)
            return malformed(name, counts[i].key, "a count", err);
        memcpy((char *)&cascade->info + counts[i].offset, &value, sizeof value);
    }
    for (size_t i = 0; status == RETORT_OK && i < count; i++)
        status = read_stage(&cascade->stages[i], &ngrams[i], json_array_get(stages, i), name, err);
    cascade->count = count;
    return status;
}

retort_status rt_cascade_read(rt_cascade *cascade, bool ngrams[RT_MOST_STAGES], const char *name,
                              const char *text, retort_error *err) {
    json_t *root;
    retort_status status = rt_json_parse(&root, name, text, strlen(text), err);
    if (status != RETORT_OK) return status;
    status = read_root(cascade, ngrams, root, name, err);
    json_decref(root);
    return status;
}

/* ---- Names ---- */

static const char *numbered(rt_arena *arena, const char *prefix, size_t index, const char *name) {
    size_t size = strlen(prefix) + strlen(name) + 24;
    char *out = rt_arena_calloc(arena, size, 1);
    if (out != NULL) snprintf(out, size, "%s%zu.%s", prefix, index + 1, name);
    return out;
}

const char *rt_stage_tensor_name(rt_arena *arena, size_t index, const char *name) {
    return numbered(arena, "stage.", index, name);
}

const char *rt_stage_key(rt_arena *arena, size_t index, const char *name) {
    return numbered(arena, "retort.stage.", index, name);
}

/* ---- N-grams ---- */

static size_t padded(size_t labels) {
    return rt_round_up(labels, 64 / sizeof(float));
}

static bool store_floats(const float *values, size_t labels, rt_arena *arena, rt_tensor *out) {
    float *data = rt_arena_calloc(arena, padded(labels), sizeof *data);
    if (data == NULL) return false;
    memcpy(data, values, labels * sizeof *data);
    *out = (rt_tensor){.data = data, .dtype = RETORT_F32, .rank = 1, .shape = {(int64_t)padded(labels)}};
    return true;
}

bool rt_ngrams_store(const rt_ngrams *ngrams, rt_arena *arena, rt_tensor out[RT_NGRAMS_TENSORS]) {
    out[RT_NGRAMS_WEIGHTS] = (rt_tensor){.data = ngrams->weights,
                                         .dtype = RETORT_S8,
                                         .rank = 2,
                                         .shape = {(int64_t)ngrams->buckets, (int64_t)ngrams->labels}};
    return store_floats(ngrams->scales, ngrams->labels, arena, &out[RT_NGRAMS_SCALES]) &&
           store_floats(ngrams->biases, ngrams->labels, arena, &out[RT_NGRAMS_BIASES]);
}

retort_status rt_ngrams_load(rt_ngrams *out, const rt_tensor *const tensors[RT_NGRAMS_TENSORS], size_t labels,
                             const char *name, size_t index, retort_error *err) {
    const rt_tensor *weights = tensors[RT_NGRAMS_WEIGHTS];
    int64_t buckets = weights != NULL && weights->rank == 2 ? weights->shape[0] : 0;
    bool good = buckets > 0 && (buckets & (buckets - 1)) == 0 && weights->dtype == RETORT_S8 &&
                weights->shape[1] == (int64_t)labels;
    for (int i = RT_NGRAMS_SCALES; good && i < RT_NGRAMS_TENSORS; i++) {
        const rt_tensor *floats = tensors[i];
        good = floats != NULL && floats->dtype == RETORT_F32 && floats->rank == 1 &&
               floats->shape[0] == (int64_t)padded(labels) && (uintptr_t)floats->data % 64 == 0 &&
               rt_first_nonfinite(floats->data, RETORT_F32, labels) == labels;
    }
    if (!good)
        return rt_fail(err, RETORT_FORMAT,
                       "%.200s: stage %zu: expected weights s8 [a power of two, %zu], scales and biases f32 "
                       "[%zu], finite",
                       name, index + 1, labels, padded(labels));
    *out = (rt_ngrams){(size_t)buckets, labels, weights->data, tensors[RT_NGRAMS_SCALES]->data,
                       tensors[RT_NGRAMS_BIASES]->data};
    return RETORT_OK;
}
