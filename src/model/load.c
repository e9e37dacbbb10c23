/* SPDX-License-Identifier: Apache-2.0
 * Loads a model from a .retort file: reads and checks everything except the weights. */
#include "base/budget.h"
#include "graph/ops.h"
#include "model/file.h"
#include "model/storage.h"

#include <stdlib.h>
#include <string.h>

static retort_status look_up(void *user, rt_graph *graph, const rt_value *value, rt_tensor *out) {
    const rt_tensor *stored = rt_tensors_find(user, value->name);
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

/* Checks all constants, and that there are no other tensors. */
static retort_status check_constants(const retort_model *model, const char *name, retort_error *err) {
    size_t stored = rt_tensors_find(&model->file, RT_MODEL_TABLE) != NULL ? 2 : 1; /* of the tokenizer */
    for (size_t i = 0; i < model->graph.value_count; i++) {
        const rt_value *value = &model->graph.values[i];
        if (!rt_value_is_constant(value) || rt_value_is_inline(value)) continue;
        retort_status status = check_constant(value, rt_tensors_find(&model->file, value->name), name, err);
        if (status != RETORT_OK) return status;
        stored++;
    }
    if (stored == model->file.count) return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT, "%.200s: %zu tensors, the graph and the tokenizer have %zu", name,
                   model->file.count, stored);
}

/* Indices and sizes are copied, so that they stay as checked even if somebody overwrites the mapped file:
 * every i64, and i32 except the column sums of a Linear. Weights and their sums may change, since they are
 * only multiplied and added. */
static retort_status keep_indices(rt_graph *graph, retort_error *err) {
    bool *sums = rt_calloc(graph->value_count, sizeof *sums), kept = sums != NULL;
    for (size_t i = 0; kept && i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        if (node->op == RT_OP_LINEAR && node->input_count > LINEAR_SUMS && node->inputs[LINEAR_SUMS] >= 0)
            sums[node->inputs[LINEAR_SUMS]] = true;
    }
    for (size_t i = 0; kept && i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        for (int k = 0; k < node->input_count; k++) {
            bool other = node->inputs[k] >= 0 && (node->op != RT_OP_LINEAR || k != 5);
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

/* Fills the model from model->file. */
static retort_status assemble(retort_model *model, const char *name, retort_error *err) {
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
    retort_status status =
        rt_graph_parse(&model->graph, name, text[GRAPH], strlen(text[GRAPH]), look_up, &model->file, err);
    if (status == RETORT_OK) status = check_constants(model, name, err);
    if (status == RETORT_OK) status = keep_indices(&model->graph, err);
    if (status == RETORT_OK) status = rt_model_read_config(model, name, text[CONFIG], err);
    if (status == RETORT_OK) status = rt_model_read_origin(model, name, text[ORIGIN], err);
    if (status == RETORT_OK) status = read_tokenizer(model, name, text[TOKENIZER], err);
    return status == RETORT_OK ? rt_model_check(model, name, err) : status;
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
    if (status == RETORT_OK) status = assemble(model, path, err);
    status = rt_budget_end(&budget, status, err);
    for (size_t i = 0; i < model->file.map_count; i++) model->file_bytes += model->file.maps[i].size;
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
    if (status == RETORT_OK) status = assemble(model, name, err);
    status = rt_budget_end(&budget, status, err);
    return settle(out, model, status);
}
