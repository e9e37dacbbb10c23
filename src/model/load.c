/* SPDX-License-Identifier: Apache-2.0
 * Loads a model from a .retort file: reads and checks everything except the weights. */
#include "base/budget.h"
#include "graph/ops.h"
#include "model/cascade.h"
#include "model/cascade_file.h"
#include "model/file.h"
#include "model/storage.h"

#include <stdlib.h>
#include <string.h>

/* Where the constants of a model are looked for. */
typedef struct tensor_place {
    const rt_tensors *file;
    rt_arena names;
    size_t stage;  /* index of a stage of a cascade, or NO_STAGE */
    size_t stored; /* tensors of its own that were found */
} tensor_place;
enum { NO_STAGE = RT_MOST_STAGES };

/* What a stage does not store is the full model's. *own: it is not. NULL: not there, or out of memory. */
static const rt_tensor *find_tensor(tensor_place *place, const char *name, bool *own) {
    const char *prefixed = name;
    if (place->stage != NO_STAGE) prefixed = rt_stage_tensor_name(&place->names, place->stage, name);
    const rt_tensor *tensor = prefixed != NULL ? rt_tensors_find(place->file, prefixed) : NULL;
    *own = tensor != NULL;
    return tensor != NULL || prefixed == name ? tensor : rt_tensors_find(place->file, name);
}

static retort_status look_up(void *user, rt_graph *graph, const rt_value *value, rt_tensor *out) {
    bool own;
    const rt_tensor *stored = find_tensor(user, value->name, &own);
    if (stored == NULL) return RETORT_FORMAT;
    return rt_storage_load(value, stored, graph, out) ? RETORT_OK : RETORT_NOMEM;
}

/* A stored constant must have exactly the shape that its layout requires, and start on a cache line. */
static retort_status check_constant(const rt_value *value, const rt_tensor *tensor, const char *name,
                                    retort_error *err) {
    rt_tensor like;
    rt_value stored = *value;
    rt_storage storage = tensor != NULL ? rt_storage_found(value, tensor) : RT_STORAGE_PLAIN;
    if (storage == RT_STORAGE_BF16) stored.dtype = RETORT_BF16;
    if (tensor == NULL || !rt_storage_plain(&stored, &like)) {
        return rt_fail(err, RETORT_FORMAT, "%.200s: %.200s: not in the file", name, value->name);
    }
    if (rt_storage_narrow_bytes(value, storage) > 0) like = *tensor;
    if (tensor->dtype != like.dtype || tensor->rank != like.rank ||
        memcmp(tensor->shape, like.shape, (size_t)like.rank * sizeof *like.shape) != 0) {
        char expected[96], found[96];
        return rt_fail(err, RETORT_FORMAT, "%.120s: %.120s: expected %s %s, found %s %s", name, value->name,
                       retort_dtype_name(like.dtype),
                       rt_shape_text(expected, sizeof expected, like.shape, like.rank),
                       retort_dtype_name(tensor->dtype),
                       rt_shape_text(found, sizeof found, tensor->shape, tensor->rank));
    }
    if ((uintptr_t)tensor->data % 64 == 0) return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT, "%.200s: %.200s: not aligned to 64 bytes", name, value->name);
}

/* Checks all constants, and counts those that are stored for this model. */
static retort_status check_constants(const rt_graph *graph, tensor_place *place, const char *name,
                                     retort_error *err) {
    for (size_t i = 0; i < graph->value_count; i++) {
        const rt_value *value = &graph->values[i];
        bool own;
        if (!rt_value_is_constant(value) || rt_value_is_inline(value)) continue;
        retort_status status = check_constant(value, find_tensor(place, value->name, &own), name, err);
        if (status != RETORT_OK) return status;
        place->stored += own;
    }
    return RETORT_OK;
}

/* Indices and sizes are copied, so that they stay as checked even if somebody overwrites the mapped file:
 * every i64, and i32 except the column sums of a Linear. Weights and their sums may change, since they are
 * only multiplied and added. */
static retort_status keep_indices(rt_graph *graph, retort_error *err) {
    bool *sums = rt_calloc(graph->value_count, sizeof *sums), kept = sums != NULL;
    for (size_t i = 0; kept && i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        int value = node->op == RT_OP_LINEAR ? rt_operand(node, LINEAR_SUMS) : -1;
        if (value >= 0) sums[value] = true;
    }
    for (size_t i = 0; kept && i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        for (int k = 0; k < node->input_count; k++) {
            bool other = node->inputs[k] >= 0 && (node->op != RT_OP_LINEAR || k != LINEAR_SUMS);
            if (other) sums[node->inputs[k]] = false; /* also read as another operand */
        }
    }
    for (size_t i = 0; kept && i < graph->value_count; i++) {
        rt_value *v = &graph->values[i];
        size_t bytes = 0;
        bool index = v->dtype == RETORT_I64 || (v->dtype == RETORT_I32 && !sums[i]);
        if (!index || v->data == NULL || rt_value_is_inline(v) || !rt_value_bytes(v, &bytes)) continue;
        void *own = rt_graph_alloc(graph, bytes);
        kept = own != NULL;
        if (kept && bytes > 0) memcpy(own, v->data, bytes);
        if (kept) v->data = own;
    }
    free(sums);
    return kept ? RETORT_OK : rt_fail_nomem(err, graph->value_count);
}

static bool are_bytes(const rt_tensor *tensor) {
    return tensor != NULL && tensor->dtype == RETORT_U8 && tensor->rank == 1;
}

static retort_status read_tokenizer(retort_model *model, const char *name, const char *settings,
                                    retort_error *err) {
    const rt_tensor *vocab = rt_tensors_find(&model->file, RT_MODEL_VOCAB),
                    *table = rt_tensors_find(&model->file, RT_MODEL_TABLE);
    if (!are_bytes(vocab) || (table != NULL && !are_bytes(table))) {
        return rt_fail(err, RETORT_FORMAT, "%.200s: %s: expected u8 [bytes]", name,
                       are_bytes(vocab) ? RT_MODEL_TABLE : RT_MODEL_VOCAB);
    }
    rt_packed_tokenizer packed = {
        .vocab = vocab->data, .vocab_size = (size_t)vocab->shape[0], .settings = settings};
    if (table != NULL) packed.table = table->data, packed.table_size = (size_t)table->shape[0];
    return rt_tokenizer_unpack(&model->tokenizer, name, &packed, err);
}

/* What the metadata says about a model. */
typedef struct model_texts {
    const char *graph, *config, *origin;
} model_texts;

/* All but the tokenizer; adds the tensors that are stored for it to *stored. */
static retort_status read_model(retort_model *model, const rt_tensors *file, size_t stage,
                                const model_texts *texts, const char *name, size_t *stored,
                                retort_error *err) {
    tensor_place place = {.file = file, .stage = stage};
    retort_status status =
        rt_graph_parse(&model->graph, name, texts->graph, strlen(texts->graph), look_up, &place, err);
    if (status == RETORT_OK) status = check_constants(&model->graph, &place, name, err);
    rt_arena_free(&place.names);
    if (status == RETORT_OK) status = keep_indices(&model->graph, err);
    if (status == RETORT_OK) status = rt_model_read_config(model, name, texts->config, err);
    if (status == RETORT_OK) status = rt_model_read_origin(model, name, texts->origin, err);
    *stored += place.stored;
    return status;
}

/* Fills the model from model->file: all of it, or the full model of a cascade. */
static retort_status assemble_full(retort_model *model, const char *name, size_t *stored, retort_error *err) {
    static const char *const keys[] = {"retort.version", "retort.graph", "retort.config", "retort.tokenizer",
                                       "retort.origin"};
    enum { VERSION, GRAPH, CONFIG, TOKENIZER, ORIGIN, KEYS };
    const char *text[KEYS];
    for (int i = 0; i < KEYS; i++) {
        text[i] = rt_tensors_metadata(&model->file, keys[i]);
        if (text[i] == NULL) {
            return rt_fail(err, RETORT_FORMAT, "%.200s: not a .retort file: no %s in its metadata", name,
                           keys[i]);
        }
    }
    if (strcmp(text[VERSION], RT_MODEL_VERSION) != 0) {
        return rt_fail(err, RETORT_UNSUPPORTED, "%.200s: retort.version %.40s, expected %s", name,
                       text[VERSION], RT_MODEL_VERSION);
    }
    const model_texts texts = {text[GRAPH], text[CONFIG], text[ORIGIN]};
    retort_status status = read_model(model, &model->file, NO_STAGE, &texts, name, stored, err);
    if (status == RETORT_OK) status = read_tokenizer(model, name, text[TOKENIZER], err);
    *stored += rt_tensors_find(&model->file, RT_MODEL_TABLE) != NULL ? 2 : 1;
    return status == RETORT_OK ? rt_model_check(model, name, err) : status;
}

/* ---- Stages ---- */

static retort_status read_ngrams(rt_cascade *cascade, size_t index, const retort_model *full,
                                 const char *name, retort_error *err) {
    const rt_tensor *tensors[RT_NGRAMS_TENSORS];
    for (int i = 0; i < RT_NGRAMS_TENSORS; i++) {
        const char *key = rt_stage_tensor_name(&cascade->arena, index, rt_ngrams_names[i]);
        tensors[i] = key != NULL ? rt_tensors_find(&full->file, key) : NULL;
    }
    return rt_ngrams_load(&cascade->stages[index].ngrams, tensors, (size_t)full->config.labels, name, index,
                          err);
}

/* What the caller may not combine is a malformed file here. */
static retort_status check_fits(const retort_model *model, const retort_model *full, const char *what,
                                const char *name, retort_error *err) {
    retort_error why = {0};
    retort_status status = rt_cascade_check(model, full, what, &why);
    if (status == RETORT_OK || status == RETORT_NOMEM) return status;
    return rt_fail(err, RETORT_FORMAT, "%.200s: %.250s", name, why.text);
}

/* A model that borrows mapping and tokenizer of the full one. */
static retort_status read_stage(rt_cascade *cascade, size_t index, retort_model *full, const char *name,
                                size_t *stored, retort_error *err) {
    const char *const keys[] = {"graph", "config", "origin"};
    const char *text[3], *what = rt_stage_key(&cascade->arena, index, "graph");
    for (int i = 0; i < 3; i++) {
        const char *key = rt_stage_key(&cascade->arena, index, keys[i]);
        text[i] = key != NULL ? rt_tensors_metadata(&full->file, key) : NULL;
        if (text[i] == NULL)
            return rt_fail(err, RETORT_FORMAT, "%.200s: no retort.stage.%zu.%s in its metadata", name,
                           index + 1, keys[i]);
    }
    retort_model *model = rt_model_new();
    if (model == NULL || what == NULL) {
        retort_model_free(model);
        return rt_fail_nomem(err, sizeof *model);
    }
    cascade->stages[index].model = model;
    model->shared_with = retort_model_retain(full);
    model->tokenizer = full->tokenizer;
    const model_texts texts = {text[0], text[1], text[2]};
    retort_status status = read_model(model, &full->file, index, &texts, name, stored, err);
    if (status == RETORT_OK) status = rt_model_check(model, name, err);
    return status == RETORT_OK ? check_fits(model, full, what, name, err) : status;
}

/* Makes *model the cascade that its file describes. */
static retort_status read_cascade(retort_model **model, const char *text, const char *name, size_t *stored,
                                  retort_error *err) {
    retort_model *full = *model;
    bool ngrams[RT_MOST_STAGES] = {false};
    rt_cascade *cascade = rt_calloc(1, sizeof *cascade);
    if (cascade == NULL) return rt_fail_nomem(err, sizeof *cascade);
    retort_status status = rt_cascade_read(cascade, ngrams, name, text, err);
    if (status == RETORT_OK) status = check_fits(full, NULL, RT_CASCADE_KEY, name, err);
    for (size_t i = 0; status == RETORT_OK && i < cascade->count; i++) {
        if (ngrams[i]) *stored += RT_NGRAMS_TENSORS;
        status = ngrams[i] ? read_ngrams(cascade, i, full, name, err)
                           : read_stage(cascade, i, full, name, stored, err);
    }
    if (status != RETORT_OK) {
        rt_cascade_free(cascade);
        return status;
    }
    status = rt_cascade_model(model, full, cascade, err);
    if (status == RETORT_OK) retort_model_free(full); /* the cascade has its own reference */
    return status;
}

/* Reads the model, or the cascade, in the file of *model. */
static retort_status assemble(retort_model **model, const char *name, retort_error *err) {
    size_t stored = 0, count = (*model)->file.count;
    const char *cascade = rt_tensors_metadata(&(*model)->file, RT_CASCADE_KEY);
    retort_status status = assemble_full(*model, name, &stored, err);
    if (status == RETORT_OK && cascade != NULL) status = read_cascade(model, cascade, name, &stored, err);
    if (status != RETORT_OK || stored == count) return status;
    return rt_fail(err, RETORT_FORMAT, "%.200s: %zu tensors, the graph and the tokenizer have %zu", name,
                   count, stored);
}

/* Returns the model, or frees it. */
static retort_status settle(retort_model **out, retort_model *model, retort_status status) {
    if (status == RETORT_OK) {
        *out = model;
    } else {
        retort_model_free(model);
    }
    return status;
}

retort_status rt_model_load(retort_model **out, const char *path, uint64_t memory, retort_error *err) {
    rt_budget budget;
    retort_model *model = rt_model_new();
    if (model == NULL) return rt_fail_nomem(err, sizeof *model);
    rt_budget_begin(&budget, path, memory);
    retort_status status = rt_tensors_open(&model->file, path, err);
    for (size_t i = 0; i < model->file.map_count; i++) model->file_bytes += model->file.maps[i].size;
    if (status == RETORT_OK) status = assemble(&model, path, err);
    status = rt_budget_end(&budget, status, err);
    return settle(out, model, status);
}

retort_status rt_model_parse(retort_model **out, const char *name, const uint8_t *data, size_t size,
                             retort_error *err) {
    rt_budget budget;
    retort_model *model = rt_model_new();
    if (model == NULL) return rt_fail_nomem(err, sizeof *model);
    rt_budget_begin(&budget, name, 0);
    rt_budget_file(0, 0, size);
    retort_status status = rt_safetensors_parse(&model->file, name, data, size, err);
    if (status == RETORT_OK) status = assemble(&model, name, err);
    status = rt_budget_end(&budget, status, err);
    return settle(out, model, status);
}
