/* SPDX-License-Identifier: Apache-2.0 */
#include "model/onnx_metadata.h"

#include "graph/ops.h"
#include "model/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Bytes as hexadecimal digits ---- */

static const char digits[] = "0123456789abcdef";

bool rt_onnx_is_metadata(const rt_value *v) {
    bool pruned = v->dtype == RETORT_I32 && v->rank == 2;
    return rt_value_is_constant(v) && v->layout == RT_LAYOUT_ROWS && (pruned || v->dtype == RETORT_U8);
}

/* A copy as digits, in the arena; NULL when out of memory. */
static const char *digits_of(rt_onnx *onnx, const void *data, size_t bytes) {
    char *two = rt_arena_calloc(&onnx->arena, bytes + 1, 2);
    for (size_t b = 0; two != NULL && b < bytes; b++) {
        uint8_t byte = ((const uint8_t *)data)[b];
        two[2 * b] = digits[byte >> 4];
        two[2 * b + 1] = digits[byte & 15];
    }
    return two;
}

bool rt_onnx_read_digits(const char *text, uint8_t *out, size_t bytes) {
    for (size_t b = 0; b < bytes; b++) {
        const char *high = text[2 * b] != '\0' ? strchr(digits, text[2 * b]) : NULL;
        const char *low = high != NULL && text[2 * b + 1] != '\0' ? strchr(digits, text[2 * b + 1]) : NULL;
        if (low == NULL) return false;
        out[b] = (uint8_t)((high - digits) << 4 | (low - digits));
    }
    return true;
}

static bool describe_groups(rt_onnx *onnx, const rt_graph *graph) {
    bool added = true;
    for (size_t i = 0; added && i < graph->value_count; i++) {
        const rt_value *v = &graph->values[i];
        size_t bytes, key_size = strlen(v->name) + sizeof RT_ONNX_GROUPS;
        if (!rt_onnx_is_metadata(v) || !rt_value_bytes(v, &bytes)) continue;
        char *key = rt_arena_calloc(&onnx->arena, key_size, 1);
        const char *text = digits_of(onnx, v->data, bytes);
        if (key == NULL || text == NULL) return false;
        snprintf(key, key_size, RT_ONNX_GROUPS "%s", v->name);
        added = rt_onnx_add_metadata(onnx, key, text);
    }
    return added;
}

bool rt_onnx_read_groups(const rt_onnx_index *index, const rt_value *v, uint8_t *out, size_t bytes) {
    int found = rt_names_find(&index->groups, v->name, strlen(v->name));
    const char *text = found >= 0 ? index->onnx->metadata[found].value : "";
    return found >= 0 && strlen(text) == 2 * bytes && rt_onnx_read_digits(text, out, bytes);
}

/* ---- The model ---- */

static bool add_text(rt_onnx *onnx, const char *key, const char *text, size_t length) {
    char *copy = text != NULL ? rt_arena_text(&onnx->arena, text, length) : NULL;
    return copy != NULL && rt_onnx_add_metadata(onnx, key, copy);
}

static bool add_tokenizer(rt_onnx *onnx, const rt_packed_tokenizer *packed) {
    const char *table = packed->table_size > 0 ? digits_of(onnx, packed->table, packed->table_size) : "";
    return add_text(onnx, "retort.tokenizer", packed->settings, strlen(packed->settings)) &&
           add_text(onnx, RT_ONNX_VOCAB, packed->vocab, packed->vocab_size) &&
           (packed->table_size == 0 || (table != NULL && rt_onnx_add_metadata(onnx, RT_ONNX_TABLE, table)));
}

static const char *export_text(const rt_onnx_options *options) {
    return options->fused ? "fused" : options->standard ? "standard" : "";
}

retort_status rt_onnx_describe(rt_onnx *onnx, const retort_model *model, const rt_onnx_options *options,
                               retort_error *err) {
    rt_packed_tokenizer packed;
    rt_buffer graph = {0};
    retort_status status = rt_tokenizer_pack(model->tokenizer, &packed, err);
    if (status != RETORT_OK) return status;
    char *config = rt_model_config_text(&model->config), *origin = rt_model_origin_text(model);
    bool added = rt_graph_text(&model->graph, &graph) == RETORT_OK && config != NULL && origin != NULL &&
                 rt_onnx_add_metadata(onnx, "retort.version", RT_MODEL_VERSION) &&
                 rt_onnx_add_metadata(onnx, RT_ONNX_EXPORT, export_text(options)) &&
                 add_text(onnx, "retort.graph", graph.data, graph.length) &&
                 add_text(onnx, "retort.config", config, strlen(config)) &&
                 add_text(onnx, "retort.origin", origin, strlen(origin)) && add_tokenizer(onnx, &packed) &&
                 describe_groups(onnx, &model->graph);
    rt_packed_tokenizer_free(&packed);
    free(config);
    free(origin);
    rt_buffer_free(&graph);
    return added ? RETORT_OK : rt_fail_nomem(err, graph.capacity);
}

/* ---- The index ---- */

bool rt_onnx_index_make(rt_onnx_index *index, const rt_onnx *onnx) {
    const size_t prefix = sizeof RT_ONNX_GROUPS - 1;
    bool made = true;
    int known;
    index->onnx = onnx;
    for (size_t i = 0; made && i < onnx->tensor_count; i++) {
        made = rt_names_add(&index->tensors, onnx->tensors[i].name, (int)i, &known);
    }
    for (size_t i = 0; made && i < onnx->metadata_count; i++) {
        const char *key = onnx->metadata[i].key;
        if (strncmp(key, RT_ONNX_GROUPS, prefix) == 0)
            made = rt_names_add(&index->groups, key + prefix, (int)i, &known);
    }
    return made;
}

void rt_onnx_index_free(rt_onnx_index *index) {
    rt_names_free(&index->tensors);
    rt_names_free(&index->groups);
}

const rt_onnx_tensor *rt_onnx_find(const rt_onnx_index *index, const char *name) {
    int found = rt_names_find(&index->tensors, name, strlen(name));
    return found >= 0 ? &index->onnx->tensors[found] : NULL;
}
