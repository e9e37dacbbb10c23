/* SPDX-License-Identifier: Apache-2.0
 * The parts of an ONNX model in memory. */
#include "onnx/onnx.h"
#include "onnx/message.h"

#include "base/budget.h"

#include <stdlib.h>

static const rt_onnx_type types[] = {
    [RETORT_F32] = RT_ONNX_FLOAT, [RETORT_F16] = RT_ONNX_FLOAT16, [RETORT_BF16] = RT_ONNX_BFLOAT16,
    [RETORT_I64] = RT_ONNX_INT64, [RETORT_I32] = RT_ONNX_INT32,   [RETORT_S8] = RT_ONNX_INT8,
    [RETORT_U8] = RT_ONNX_UINT8,  [RETORT_BOOL] = RT_ONNX_BOOL,
};

rt_onnx_type rt_onnx_type_of(retort_dtype dtype) {
    return types[dtype];
}

bool rt_onnx_dtype(rt_onnx_type type, retort_dtype *dtype) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (types[i] != type) continue;
        *dtype = (retort_dtype)i;
        return true;
    }
    return false;
}

bool rt_onnx_bytes(rt_onnx_type type, size_t count, size_t *bytes) {
    retort_dtype dtype;
    if (type == RT_ONNX_INT4 || type == RT_ONNX_UINT4) {
        *bytes = count / 2 + count % 2;
        return true;
    }
    if (type == RT_ONNX_DOUBLE) return rt_mul(count, sizeof(double), bytes);
    return rt_onnx_dtype(type, &dtype) && rt_mul(count, rt_dtype_size(dtype), bytes);
}

bool rt_onnx_is_shaped(const rt_onnx_tensor *tensor, rt_onnx_type type, int rank, const int64_t *dims) {
    return tensor != NULL && tensor->type == type && tensor->rank == rank &&
           memcmp(tensor->dims, dims, (size_t)rank * sizeof *dims) == 0;
}

const rt_onnx_attr *rt_onnx_attribute(const rt_onnx_node *node, const char *name) {
    for (size_t i = 0; i < node->attr_count; i++) {
        if (strcmp(node->attrs[i].name, name) == 0) return &node->attrs[i];
    }
    return NULL;
}

/* The next item of a growing array, zeroed. */
static void *next(void **array, size_t *count, size_t *capacity, size_t size) {
    if (!rt_grow(array, capacity, *count + 1, size)) return NULL;
    return memset((char *)*array + (*count)++ * size, 0, size);
}

rt_onnx_node *rt_onnx_add_node(rt_onnx *onnx) {
    return next((void **)&onnx->nodes, &onnx->node_count, &onnx->node_capacity, sizeof *onnx->nodes);
}
rt_onnx_tensor *rt_onnx_add_tensor(rt_onnx *onnx) {
    return next((void **)&onnx->tensors, &onnx->tensor_count, &onnx->tensor_capacity, sizeof *onnx->tensors);
}
rt_onnx_value *rt_onnx_add_input(rt_onnx *onnx) {
    return next((void **)&onnx->inputs, &onnx->input_count, &onnx->input_capacity, sizeof *onnx->inputs);
}
rt_onnx_value *rt_onnx_add_output(rt_onnx *onnx) {
    return next((void **)&onnx->outputs, &onnx->output_count, &onnx->output_capacity, sizeof *onnx->outputs);
}

bool rt_onnx_add_opset(rt_onnx *onnx, const char *domain, int64_t version) {
    rt_onnx_pair *pair =
        next((void **)&onnx->opsets, &onnx->opset_count, &onnx->opset_capacity, sizeof *onnx->opsets);
    if (pair != NULL) *pair = (rt_onnx_pair){.key = domain, .version = version};
    return pair != NULL;
}

bool rt_onnx_add_metadata(rt_onnx *onnx, const char *key, const char *value) {
    rt_onnx_pair *pair = next((void **)&onnx->metadata, &onnx->metadata_count, &onnx->metadata_capacity,
                              sizeof *onnx->metadata);
    if (pair != NULL) *pair = (rt_onnx_pair){.key = key, .value = value};
    return pair != NULL;
}

void rt_onnx_close(rt_onnx *onnx) {
    if (onnx == NULL) return;
    for (size_t i = 0; i < onnx->file_count; i++) rt_map_close(&onnx->files[i]);
    free(onnx->files);
    rt_names_free(&onnx->locations);
    free(onnx->opsets);
    free(onnx->metadata);
    free(onnx->nodes);
    free(onnx->tensors);
    free(onnx->inputs);
    free(onnx->outputs);
    if (onnx->message != NULL) rt_onnx__model__free_unpacked(onnx->message, NULL);
    rt_budget_give(onnx->message_bytes);
    rt_arena_free(&onnx->arena);
    *onnx = (rt_onnx){0};
}
