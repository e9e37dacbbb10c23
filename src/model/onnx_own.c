/* SPDX-License-Identifier: Apache-2.0
 * Reading our own exports. */
#include "model/onnx_own.h"

#include "base/budget.h"
#include "model/onnx_export.h"
#include "model/onnx_own_integer.h"
#include "graph/ops.h"
#include "model/file.h"

#include <stdlib.h>

typedef struct loader {
    retort_model *model;
    const rt_onnx *onnx;
    rt_onnx_index index;
    const char *name;
    bool differs; /* from what we would write */
    retort_error *err;
} loader;

static const char *metadata(const rt_onnx *onnx, const char *key) {
    for (size_t i = 0; i < onnx->metadata_count; i++) {
        if (strcmp(onnx->metadata[i].key, key) == 0) return onnx->metadata[i].value;
    }
    return NULL;
}

/* Takes the data of a constant from the tensor of its name, and packs it as the graph says. */
static retort_status take_constant(loader *l, rt_value *v) {
    const rt_onnx_tensor *t = rt_onnx_find(&l->index, v->name);
    size_t bytes;
    bool packed = v->layout != RT_LAYOUT_ROWS;
    rt_onnx_type type = packed ? RT_ONNX_FLOAT : rt_onnx_type_of(v->dtype);
    l->differs = t == NULL || t->type != type || t->rank != v->rank ||
                 memcmp(t->dims, v->dims, (size_t)v->rank * sizeof *v->dims) != 0 ||
                 !rt_value_bytes(v, &bytes);
    if (l->differs) return RETORT_OK;
    rt_budget_about(v->name, "");
    void *data = rt_graph_alloc(&l->model->graph, bytes);
    float *rows = packed ? rt_alloc_aligned(t->bytes) : NULL;
    if (data == NULL || (packed && rows == NULL)) return rt_fail_nomem(l->err, bytes);
    if (packed) {
        size_t k = (size_t)v->dims[0], n = (size_t)v->dims[1];
        memcpy(rows, t->data, t->bytes);
        if (v->layout == RT_LAYOUT_P16) rt_pack_f32(k, n, rows, n, 1, data);
        if (v->layout == RT_LAYOUT_P16_BF16) rt_pack_bf16(k, n, rows, n, 1, data);
        free(rows);
    } else if (bytes > 0) {
        memcpy(data, t->data, bytes);
    }
    v->data = data;
    return RETORT_OK;
}

static retort_status take_graph(loader *l, const char *text) {
    rt_graph *graph = &l->model->graph;
    if (!rt_onnx_index_make(&l->index, l->onnx)) return rt_fail_nomem(l->err, l->onnx->tensor_count);
    retort_status status = rt_graph_parse(graph, l->name, text, strlen(text), NULL, NULL, l->err);
    for (size_t i = 0; status == RETORT_OK && !l->differs && i < graph->value_count; i++) {
        rt_value *v = &graph->values[i];
        bool stored = rt_value_is_constant(v) && !rt_value_is_inline(v) && !rt_onnx_is_made(v);
        if (stored) status = take_constant(l, v);
    }
    bool memory = true;
    if (status == RETORT_OK && !l->differs) l->differs = !rt_onnx_take_integers(graph, &l->index, &memory);
    return memory ? status : rt_fail_nomem(l->err, 1);
}

/* Copies the pieces, and what the model has besides as digits (NULL: nothing), and reads the tokenizer from them. */
static retort_status take_tokenizer(loader *l, const char *settings, const char *vocab, const char *digits) {
    size_t size = strlen(vocab), table = digits != NULL ? strlen(digits) / 2 : 0;
    retort_model *model = l->model;
    model->vocab = malloc(size + 1);
    model->table = rt_alloc_aligned(table);
    if (model->vocab == NULL || model->table == NULL) return rt_fail_nomem(l->err, size + table);
    memcpy(model->vocab, vocab, size + 1);
    if (table > 0 && !rt_onnx_read_digits(digits, model->table, table))
        return rt_fail(l->err, RETORT_FORMAT, "%s: " RT_ONNX_TABLE " is not hexadecimal", l->name);
    const rt_packed_tokenizer packed = {model->vocab, size, model->table, table, settings};
    return rt_tokenizer_unpack(&model->tokenizer, l->name, &packed, l->err);
}

static retort_status take_rest(loader *l, const char *config, const char *origin, const char *settings,
                               const char *vocab) {
    retort_status status = rt_model_read_config(l->model, l->name, config, l->err);
    if (status == RETORT_OK) status = rt_model_read_origin(l->model, l->name, origin, l->err);
    if (status == RETORT_OK) {
        status = take_tokenizer(l, settings, vocab, metadata(l->onnx, RT_ONNX_TABLE));
    }
    return status == RETORT_OK ? rt_model_check(l->model, l->name, l->err) : status;
}

static bool same_texts(const char *const *a, const char *const *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(a[i], b[i]) != 0) return false;
    }
    return true;
}

static bool same_attr(const rt_onnx_attr *a, const rt_onnx_attr *b) {
    bool same = b != NULL && a->kind == b->kind && a->i == b->i && a->f == b->f && a->count == b->count;
    if (same && a->kind == RT_ONNX_ATTR_TEXT) same = strcmp(a->text, b->text) == 0;
    return same &&
           (a->kind != RT_ONNX_ATTR_INTS || memcmp(a->ints, b->ints, a->count * sizeof *a->ints) == 0);
}

static bool same_node(const rt_onnx_node *a, const rt_onnx_node *b) {
    bool same = strcmp(a->op, b->op) == 0 && strcmp(a->domain, b->domain) == 0 &&
                a->input_count == b->input_count && a->output_count == b->output_count &&
                a->attr_count == b->attr_count && same_texts(a->inputs, b->inputs, a->input_count) &&
                same_texts(a->outputs, b->outputs, a->output_count);
    for (size_t i = 0; same && i < a->attr_count; i++) {
        same = same_attr(&a->attrs[i], rt_onnx_attribute(b, a->attrs[i].name));
    }
    return same;
}

/* Whether the nodes of the file are those that we would write for the model. */
static retort_status compare(loader *l, const char *how) {
    rt_onnx again;
    rt_onnx_options options = {.fused = strcmp(how, "fused") == 0, .standard = strcmp(how, "standard") == 0};
    retort_status status = rt_onnx_from_model(&again, l->model, &options, l->err);
    if (status != RETORT_OK) return status;
    l->differs = again.node_count != l->onnx->node_count || again.tensor_count != l->onnx->tensor_count;
    for (size_t i = 0; !l->differs && i < again.node_count; i++) {
        l->differs = !same_node(&again.nodes[i], &l->onnx->nodes[i]);
    }
    rt_onnx_close(&again);
    return RETORT_OK;
}

/* Frees everything filled so far. */
static void empty(retort_model *model) {
    rt_tokenizer_free(model->tokenizer);
    rt_graph_free(&model->graph);
    free(model->vocab);
    free(model->table);
    model->tokenizer = NULL;
    model->vocab = NULL;
    model->table = NULL;
    model->graph = (rt_graph){.output = -1};
    model->config = (rt_config){0};
    model->source = NULL;
    model->provenance = (rt_provenance){0};
}

static retort_status fill(loader *l) {
    static const char *const keys[] = {"retort.graph",     "retort.config", "retort.origin",
                                       "retort.tokenizer", RT_ONNX_VOCAB,   RT_ONNX_EXPORT};
    enum { GRAPH, CONFIG, ORIGIN, TOKENIZER, VOCAB, EXPORT, KEYS };
    const char *texts[KEYS];
    for (int i = 0; i < KEYS; i++) {
        texts[i] = metadata(l->onnx, keys[i]);
        l->differs |= texts[i] == NULL;
    }
    const char *version = metadata(l->onnx, "retort.version");
    l->differs |= version == NULL || strcmp(version, RT_MODEL_VERSION) != 0;
    retort_status status = l->differs ? RETORT_OK : take_graph(l, texts[GRAPH]);
    if (status == RETORT_OK && !l->differs) {
        status = take_rest(l, texts[CONFIG], texts[ORIGIN], texts[TOKENIZER], texts[VOCAB]);
    }
    return status == RETORT_OK && !l->differs ? compare(l, texts[EXPORT]) : status;
}

retort_status rt_onnx_own(retort_model *model, const char *name, const rt_onnx *onnx, bool *own,
                          retort_error *err) {
    loader l = {.model = model, .onnx = onnx, .name = name, .err = err};
    retort_status status = fill(&l);
    *own = status == RETORT_OK && !l.differs;
    if (!*own) empty(model);
    rt_onnx_index_free(&l.index);
    return status;
}
