/* SPDX-License-Identifier: Apache-2.0
 * Saves a model as a safetensors file. */
#include "format/seal.h"
#include "graph/ops.h"
#include "model/storage.h"
#include "model/file.h"

#include <stdlib.h>
#include <string.h>

/* Allocations of one save. */
typedef struct package {
    rt_arena arena; /* of vectors in bf16, and codes of 3 bits */
    rt_tensor *tensors;
    size_t count;
    rt_buffer graph;
    rt_packed_tokenizer tokenizer;
    char *config, *origin;
} package;

static void package_free(package *p) {
    rt_arena_free(&p->arena);
    free(p->tensors);
    rt_buffer_free(&p->graph);
    rt_packed_tokenizer_free(&p->tokenizer);
    free(p->config);
    free(p->origin);
}

static rt_tensor tensor_of_bytes(const char *name, const void *data, size_t size) {
    return (rt_tensor){.name = name, .data = data, .dtype = RETORT_U8, .rank = 1, .shape = {(int64_t)size}};
}

/* The constants that the graph's text does not hold, then the tokenizer's. */
static retort_status gather_tensors(package *p, const rt_graph *graph, retort_error *err) {
    p->tensors = rt_calloc(graph->value_count + 2, sizeof *p->tensors);
    if (p->tensors == NULL) return rt_fail_nomem(err, graph->value_count * sizeof *p->tensors);
    for (size_t i = 0; i < graph->value_count; i++) {
        const rt_value *value = &graph->values[i];
        if (!rt_value_is_constant(value) || rt_value_is_inline(value)) continue;
        if (value->data == NULL)
            return rt_fail(err, RETORT_ARGUMENT, "%.200s: this constant has no data", value->name);
        if (!rt_storage_tensor(value, &p->arena, &p->tensors[p->count]))
            return rt_fail_nomem(err, sizeof *value);
        p->count++;
    }
    const rt_packed_tokenizer *tokenizer = &p->tokenizer;
    p->tensors[p->count++] = tensor_of_bytes(RT_MODEL_VOCAB, tokenizer->vocab, tokenizer->vocab_size);
    if (tokenizer->table_size > 0)
        p->tensors[p->count++] = tensor_of_bytes(RT_MODEL_TABLE, tokenizer->table, tokenizer->table_size);
    return RETORT_OK;
}

static retort_status gather(package *p, const retort_model *model, retort_error *err) {
    retort_status status = rt_tokenizer_pack(model->tokenizer, &p->tokenizer, err);
    if (status != RETORT_OK) return status;
    p->config = rt_model_config_text(&model->config);
    p->origin = rt_model_origin_text(model);
    if (p->config == NULL || p->origin == NULL || rt_graph_text(&model->graph, &p->graph) != RETORT_OK)
        return rt_fail_nomem(err, p->graph.capacity);
    return gather_tensors(p, &model->graph, err);
}

static retort_status save(const retort_model *model, const char *path, const char *training,
                          retort_error *err) {
    package p = {0};
    retort_status status = gather(&p, model, err);
    if (status == RETORT_OK) {
        enum { COUNT = 6 };
        const char *keys[COUNT + 1] = {"format",         "retort.version",   "retort.graph",
                                       "retort.config",  "retort.tokenizer", "retort.origin",
                                       RT_MODEL_TRAINING};
        const char *values[COUNT + 1] = {
            "pt", RT_MODEL_VERSION, p.graph.data, p.config, p.tokenizer.settings, p.origin, training};
        status = training == NULL ? rt_safetensors_write(path, p.tensors, p.count, keys, values, COUNT, err)
                                  : rt_seal_write(path, p.tensors, p.count, keys, values, COUNT + 1, err);
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
