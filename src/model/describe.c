/* SPDX-License-Identifier: Apache-2.0 */
#include "model/describe.h"
#include "model/cascade.h"
#include "model/storage.h"

#include <string.h>

/* ---- Constants ---- */

static const char *const part_names[] = {
    [RT_PART_OTHER] = "vectors", [RT_PART_TABLE] = "embeddings", [RT_PART_MATRIX] = "matrices"};

/* Parameters in a constant; index vectors and scales of integers have none. */
static uint64_t parameters_of(const rt_value *value, const rt_use *use) {
    bool weight = value->dtype != RETORT_I64 && value->dtype != RETORT_BOOL;
    size_t count;
    return weight && !use->scale && rt_shape_count(value->dims, value->rank, &count) ? count : 0;
}

/* How matrix weights are stored, with the names of torch where they exist. */
typedef enum stored { FLOAT32, BFLOAT16, INT8, INT4, INT3, INT2, STORED_COUNT } stored;
static const char *const stored_names[STORED_COUNT] = {
    [FLOAT32] = "float32", [BFLOAT16] = "bfloat16", [INT8] = "int8",
    [INT4] = "int4",       [INT3] = "int3",         [INT2] = "int2"};

static stored stored_as(const rt_value *value) {
    if (value->dtype == RETORT_U8) {
        rt_storage storage = rt_storage_of(value);
        return storage == RT_STORAGE_S2 ? INT2 : storage == RT_STORAGE_S3 ? INT3 : INT4;
    }
    return value->dtype == RETORT_S8 ? INT8 : value->dtype == RETORT_BF16 ? BFLOAT16 : FLOAT32;
}

static retort_status count_constants(const retort_model *model, retort_info *info) {
    const rt_constants *constants = rt_model_constants(model);
    if (constants == NULL) return RETORT_NOMEM;
    uint64_t sums[STORED_COUNT] = {0};
    stored most = FLOAT32;
    info->tensors = constants->count;
    info->parameters = 0;
    for (size_t i = 0; i < constants->count; i++) {
        const struct rt_constant *constant = &constants->items[i];
        const rt_value *value = &model->graph.values[constant->value];
        uint64_t parameters = parameters_of(value, &constant->use);
        info->parameters += parameters;
        if (constant->use.part == RT_PART_MATRIX) sums[stored_as(value)] += parameters;
    }
    for (int kind = 0; kind < STORED_COUNT; kind++) {
        if (sums[kind] > sums[most]) most = (stored)kind;
    }
    info->dtype = stored_names[most];
    return RETORT_OK;
}

retort_status rt_model_describe_tensor(const retort_model *model, size_t index, retort_tensor_info *out) {
    const rt_constants *constants = rt_model_constants(model);
    if (constants == NULL) return RETORT_NOMEM;
    if (index >= constants->count) return RETORT_ARGUMENT;
    const struct rt_constant *constant = &constants->items[index];
    const rt_value *value = &model->graph.values[constant->value];
    *out = (retort_tensor_info){
        .size = sizeof *out, .name = value->name, .dtype = value->dtype, .rank = value->rank};
    rt_storage storage = rt_storage_of(value);
    out->layout = rt_storage_layout_name(value, storage);
    size_t bytes = 0;
    out->parameters = parameters_of(value, &constant->use);
    out->part = part_names[constant->use.part];
    out->bytes = rt_value_bytes(value, &bytes) ? bytes : 0;
    if (rt_storage_narrow_bytes(value, storage) > 0) out->bytes = rt_storage_narrow_bytes(value, storage);
    memcpy(out->shape, value->dims, sizeof out->shape);
    return RETORT_OK;
}

/* ---- The model ---- */

retort_status rt_model_describe(const retort_model *model, retort_info *out) {
    const rt_config *config = &model->config;
    const rt_tokenizer_info text = model->tokenizer != NULL
                                       ? rt_tokenizer_describe(model->tokenizer)
                                       : (rt_tokenizer_info){.mask = -1, .unk = -1, .pad = -1};
    *out = (retort_info){
        .size = sizeof *out,
        .task = config->task,
        .problem = config->problem,
        .family = config->arch->type,
        .source = model->source,
        .recipe = model->provenance.text,
        .level = model->graph.level,
        .layers = config->layers,
        .hidden = config->hidden,
        .heads = config->heads,
        .ffn = config->ffn,
        .vocab = config->vocab,
        .positions = config->positions,
        .types = rt_config_has_types(config) ? config->types : 0,
        .labels = rt_config_columns(config),
        .default_prompt = config->sentences.default_prompt,
        .similarity = rt_similarity_name(config->sentences.similarity),
        .max_length = config->max_length,
        .file_bytes = model->file_bytes,
        .nodes = model->graph.node_count,
        .source_nodes = model->source_nodes,
        .token_vectors = rt_model_pooled_rows(model) >= 0,
        .mask = text.mask,
        .unknown = text.unk,
        .pad = text.pad,
        .sparse = config->task == RETORT_TASK_EMBED && config->pooling == RT_POOL_SPLADE,
        .activation = rt_scoring_name(&config->scoring),
        .padding_idx = config->after_pad != 0 ? -1 : (int32_t)rt_config_pad_id(config),
    };
    return count_constants(model, out);
}

/* ---- Stages of a cascade ---- */

/* Of a stage that is a model, or of the full one. */
static retort_status describe_stage_model(const retort_model *own, retort_stage_info *out) {
    retort_info about;
    retort_status status = rt_model_describe(own, &about);
    out->recipe = about.recipe;
    out->layers = about.layers;
    out->parameters = about.parameters;
    return status;
}

retort_status rt_model_describe_stage(const retort_model *model, size_t index, retort_stage_info *out) {
    const rt_cascade *cascade = model->cascade;
    if (cascade == NULL || index > cascade->count) return RETORT_ARGUMENT;
    *out = (retort_stage_info){.size = sizeof *out,
                               .kind = RETORT_STAGE_FULL,
                               .share = cascade->share,
                               .tested_share = cascade->test_share};
    if (index == cascade->count) return describe_stage_model(rt_cascade_full(model), out);
    const rt_stage *stage = &cascade->stages[index];
    out->kind = stage->model != NULL ? RETORT_STAGE_STUDENT : RETORT_STAGE_LINEAR;
    out->threshold = stage->threshold;
    out->share = stage->share;
    out->tested_share = stage->test_share;
    if (stage->model != NULL) return describe_stage_model(stage->model, out);
    out->recipe = "int8";
    out->parameters = stage->ngrams.buckets * stage->ngrams.labels;
    return RETORT_OK;
}
