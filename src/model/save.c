/* SPDX-License-Identifier: Apache-2.0
 * Saves a model as a safetensors file. */
#include "format/seal.h"
#include "graph/ops.h"
#include "model/cascade_file.h"
#include "model/file.h"
#include "model/storage.h"

#include <stdlib.h>
#include <string.h>

/* format, version, graph, config, tokenizer, origin, training; of a cascade its thresholds, and three of each stage. */
enum { MOST_KEYS = 7 + 1 + 3 * RT_MOST_STAGES };

/* Allocations of one save. */
typedef struct package {
    rt_arena arena; /* of vectors in bf16, codes of 3 bits, and names of stages */
    rt_tensor *tensors;
    size_t count, capacity;
    size_t shared; /* the first tensors, those of the full model: a stage does not store them again */
    rt_buffer graphs[1 + RT_MOST_STAGES];
    char *texts[3 + 2 * RT_MOST_STAGES]; /* JSON */
    size_t text_count;
    rt_packed_tokenizer tokenizer;
    const char *keys[MOST_KEYS], *values[MOST_KEYS];
    size_t key_count;
} package;

static void package_free(package *p) {
    rt_arena_free(&p->arena);
    free(p->tensors);
    for (size_t i = 0; i <= RT_MOST_STAGES; i++) rt_buffer_free(&p->graphs[i]);
    for (size_t i = 0; i < p->text_count; i++) free(p->texts[i]);
    rt_packed_tokenizer_free(&p->tokenizer);
}

static void add_key(package *p, const char *key, const char *value) {
    p->keys[p->key_count] = key;
    p->values[p->key_count++] = value;
}

static rt_tensor tensor_of_bytes(const char *name, const void *data, size_t size) {
    return (rt_tensor){.name = name, .data = data, .dtype = RETORT_U8, .rank = 1, .shape = {(int64_t)size}};
}

static bool add_tensor(package *p, const rt_tensor *tensor) {
    if (!rt_grow((void **)&p->tensors, &p->capacity, p->count + 1, sizeof *p->tensors)) return false;
    p->tensors[p->count++] = *tensor;
    return true;
}

/* Whether the full model stores the same bytes under this name. */
static bool is_shared(const package *p, const rt_tensor *tensor) {
    size_t count;
    for (size_t i = 0; i < p->shared; i++) {
        const rt_tensor *other = &p->tensors[i];
        if (strcmp(other->name, tensor->name) != 0) continue;
        return other->dtype == tensor->dtype && other->rank == tensor->rank &&
               memcmp(other->shape, tensor->shape, (size_t)tensor->rank * sizeof *tensor->shape) == 0 &&
               rt_shape_count(tensor->shape, tensor->rank, &count) &&
               memcmp(other->data, tensor->data, count * rt_dtype_size(tensor->dtype)) == 0;
    }
    return false;
}

/* Adds the constants that the graph's text does not hold; stage: index of a stage, or NO_STAGE. */
enum { NO_STAGE = RT_MOST_STAGES };
static retort_status add_constants(package *p, const rt_graph *graph, size_t stage, retort_error *err) {
    for (size_t i = 0; i < graph->value_count; i++) {
        const rt_value *value = &graph->values[i];
        rt_tensor tensor;
        if (!rt_value_is_constant(value) || rt_value_is_inline(value)) continue;
        if (value->data == NULL)
            return rt_fail(err, RETORT_ARGUMENT, "%.200s: this constant has no data", value->name);
        bool stored = rt_storage_tensor(value, &p->arena, &tensor);
        if (stored && stage != NO_STAGE) {
            if (is_shared(p, &tensor)) continue;
            tensor.name = rt_stage_tensor_name(&p->arena, stage, tensor.name);
        }
        if (!stored || tensor.name == NULL || !add_tensor(p, &tensor))
            return rt_fail_nomem(err, sizeof *value);
    }
    return RETORT_OK;
}

/* Takes a malloc'ed text. */
static bool add_text(package *p, const char *key, char *text) {
    if (key == NULL || text == NULL) {
        free(text);
        return false;
    }
    p->texts[p->text_count++] = text;
    add_key(p, key, text);
    return true;
}

static retort_status add_model_stage(package *p, const retort_model *model, size_t stage, retort_error *err) {
    rt_buffer *graph = &p->graphs[1 + stage];
    const char *key = rt_stage_key(&p->arena, stage, "graph");
    if (key == NULL || rt_graph_text(&model->graph, graph) != RETORT_OK)
        return rt_fail_nomem(err, graph->capacity);
    add_key(p, key, graph->data);
    if (!add_text(p, rt_stage_key(&p->arena, stage, "config"), rt_model_config_text(&model->config)) ||
        !add_text(p, rt_stage_key(&p->arena, stage, "origin"), rt_model_origin_text(model)))
        return rt_fail_nomem(err, sizeof *p);
    return add_constants(p, &model->graph, stage, err);
}

static retort_status add_ngrams_stage(package *p, const rt_ngrams *ngrams, size_t stage, retort_error *err) {
    rt_tensor tensors[RT_NGRAMS_TENSORS];
    bool fine = rt_ngrams_store(ngrams, &p->arena, tensors);
    for (int i = 0; fine && i < RT_NGRAMS_TENSORS; i++) {
        tensors[i].name = rt_stage_tensor_name(&p->arena, stage, rt_ngrams_names[i]);
        fine = tensors[i].name != NULL && add_tensor(p, &tensors[i]);
    }
    return fine ? RETORT_OK : rt_fail_nomem(err, sizeof tensors);
}

static retort_status add_cascade(package *p, const rt_cascade *cascade, retort_error *err) {
    p->shared = p->count;
    if (!add_text(p, RT_CASCADE_KEY, rt_cascade_text(cascade))) return rt_fail_nomem(err, sizeof *cascade);
    retort_status status = RETORT_OK;
    for (size_t i = 0; status == RETORT_OK && i < cascade->count; i++) {
        const rt_stage *stage = &cascade->stages[i];
        status = stage->model != NULL ? add_model_stage(p, stage->model, i, err)
                                      : add_ngrams_stage(p, &stage->ngrams, i, err);
    }
    return status;
}

static retort_status add_model(package *p, const retort_model *model, retort_error *err) {
    retort_status status = rt_tokenizer_pack(model->tokenizer, &p->tokenizer, err);
    if (status != RETORT_OK) return status;
    if (rt_graph_text(&model->graph, &p->graphs[0]) != RETORT_OK)
        return rt_fail_nomem(err, p->graphs[0].capacity);
    add_key(p, "format", "pt");
    add_key(p, "retort.version", RT_MODEL_VERSION);
    add_key(p, "retort.graph", p->graphs[0].data);
    bool config = add_text(p, "retort.config", rt_model_config_text(&model->config));
    add_key(p, "retort.tokenizer", p->tokenizer.settings);
    if (!config || !add_text(p, "retort.origin", rt_model_origin_text(model)))
        return rt_fail_nomem(err, sizeof *p);
    return add_constants(p, &model->graph, NO_STAGE, err);
}

/* The tokenizer's, last. */
static retort_status add_tokenizer(package *p, retort_error *err) {
    const rt_packed_tokenizer *tokenizer = &p->tokenizer;
    rt_tensor vocab = tensor_of_bytes(RT_MODEL_VOCAB, tokenizer->vocab, tokenizer->vocab_size),
              table = tensor_of_bytes(RT_MODEL_TABLE, tokenizer->table, tokenizer->table_size);
    bool added = add_tensor(p, &vocab) && (tokenizer->table_size == 0 || add_tensor(p, &table));
    return added ? RETORT_OK : rt_fail_nomem(err, sizeof table);
}

static retort_status gather(package *p, const retort_model *model, retort_error *err) {
    retort_status status = add_model(p, model, err);
    if (status == RETORT_OK && model->cascade != NULL) status = add_cascade(p, model->cascade, err);
    return status == RETORT_OK ? add_tokenizer(p, err) : status;
}

static retort_status save(const retort_model *model, const char *path, const char *training,
                          retort_error *err) {
    package p = {0};
    retort_status status = gather(&p, model, err);
    if (status == RETORT_OK && training != NULL) {
        add_key(&p, RT_MODEL_TRAINING, training);
        status = rt_seal_write(path, p.tensors, p.count, p.keys, p.values, p.key_count, err);
    } else if (status == RETORT_OK) {
        status = rt_safetensors_write(path, p.tensors, p.count, p.keys, p.values, p.key_count, err);
    }
    package_free(&p);
    return status;
}

retort_status rt_model_save(const retort_model *model, const char *path, retort_error *err) {
    return save(model, path, NULL, err);
}

retort_status rt_model_save_sealed(const retort_model *model, const char *path, const char *training,
                                   retort_error *err) {
    return save(model, path, training, err);
}
