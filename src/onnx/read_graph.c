/* SPDX-License-Identifier: Apache-2.0
 * The order in which nodes are read: from an output down to what it needs, each node once. */
#include "onnx/reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Opsets whose operators are read as they are defined here: before 11, axes and sizes were written differently. */
enum { OLDEST = 11, NEWEST = 26 };

/* ---- The index of the file's values ---- */

static retort_status check_opset(rt_onnx_index *index, retort_error *err) {
    const rt_onnx *onnx = index->onnx;
    for (size_t i = 0; i < onnx->opset_count; i++) {
        if (onnx->opsets[i].key[0] == '\0') index->opset = onnx->opsets[i].version;
    }
    if (index->opset >= OLDEST && index->opset <= NEWEST && onnx->output_count > 0) return RETORT_OK;
    return rt_fail(err, RETORT_UNSUPPORTED,
                   "%.200s: opset %" PRId64 " and %zu outputs: expected opset %d to %d", index->file,
                   index->opset, onnx->output_count, OLDEST, NEWEST);
}

/* The tensor that a Constant node has in one of several attributes; NULL with *ok false when out of memory. */
static const rt_onnx_tensor *constant_of(rt_onnx_index *index, const rt_onnx_node *node, bool *ok) {
    static const struct {
        const char *name;
        rt_onnx_type type;
        bool list;
    } rows[] = {{"value_float", RT_ONNX_FLOAT, false},
                {"value_int", RT_ONNX_INT64, false},
                {"value_floats", RT_ONNX_FLOAT, true},
                {"value_ints", RT_ONNX_INT64, true}};
    const rt_onnx_attr *whole = rt_onnx_attribute(node, "value");
    if (strcmp(node->op, "Constant") != 0) return NULL;
    if (whole != NULL && whole->kind == RT_ONNX_ATTR_TENSOR) return whole->tensor;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const rt_onnx_attr *attr = rt_onnx_attribute(node, rows[i].name);
        if (attr == NULL) continue;
        bool real = rows[i].type == RT_ONNX_FLOAT;
        rt_onnx_tensor *tensor = rt_arena_calloc(&index->arena, 1, sizeof *tensor);
        *ok = tensor != NULL;
        if (tensor == NULL) return NULL;
        *tensor = (rt_onnx_tensor){.name = node->outputs[0], .type = rows[i].type, .rank = rows[i].list};
        tensor->dims[0] = (int64_t)attr->count;
        tensor->data = !rows[i].list ? (real ? (const void *)&attr->f : &attr->i)
                       : real        ? (const void *)attr->floats
                                     : attr->ints;
        tensor->bytes = (rows[i].list ? attr->count : 1) * (real ? sizeof(float) : sizeof(int64_t));
        return tensor;
    }
    return NULL;
}

static bool is_integer_table(const rt_onnx_tensor *t) {
    return t != NULL && (t->type == RT_ONNX_INT64 || t->type == RT_ONNX_INT32 || t->type == RT_ONNX_BOOL);
}

/* What the node's outputs are computed from. */
static unsigned from_of(const rt_onnx_index *index, const rt_onnx_node *node) {
    unsigned from = 0;
    for (size_t i = 0; i < node->input_count; i++) {
        int at = rt_read_find(index, node->inputs[i]);
        if (at >= 0) from |= index->sources[at].from;
    }
    if (strcmp(node->op, "Shape") == 0) return from != 0 ? RT_FROM_SHAPES : 0;
    int table = rt_read_find(index, rt_read_input(node, 0));
    bool picks = strcmp(node->op, "Gather") == 0 && table >= 0 && index->sources[table].from == 0 &&
                 !is_integer_table(index->sources[table].tensor);
    bool embeds =
        strcmp(node->op, "EmbedLayerNormalization") == 0 || strcmp(node->op, "QEmbedLayerNormalization") == 0;
    return (picks && from != 0) || embeds ? from | RT_FROM_TABLES : from;
}

static bool keeps_input(const rt_onnx_node *node) {
    return strcmp(node->op, "Cast") == 0 || strcmp(node->op, "Identity") == 0;
}

static retort_status add_outputs(rt_onnx_index *index, int at, retort_error *err) {
    const rt_onnx_node *node = &index->onnx->nodes[at];
    bool ok = true;
    for (size_t i = 0; i < node->input_count; i++) {
        if (node->inputs[i][0] == '\0' || rt_read_find(index, node->inputs[i]) >= 0) continue;
        return rt_fail(err, RETORT_FORMAT,
                       "%.200s: node '%.120s' reads '%.120s', which no node before it produces", index->file,
                       node->name, node->inputs[i]);
    }
    unsigned from = from_of(index, node);
    int below = rt_read_find(index, rt_read_input(node, 0));
    for (size_t k = 0; k < node->output_count; k++) {
        int known;
        if (node->outputs[k][0] == '\0') continue;
        rt_onnx_source *source = &index->sources[index->count];
        *source = (rt_onnx_source){
            .node = at, .tensor = k == 0 ? constant_of(index, node, &ok) : NULL, .from = from};
        source->input = keeps_input(node) && below >= 0 && index->sources[below].input;
        if (k == 1 && strstr(node->op, "EmbedLayerNormalization") != NULL) source->from = RT_FROM_MASK;
        if (!ok || !rt_names_add(&index->names, node->outputs[k], (int)index->count, &known))
            return rt_fail_nomem(err, sizeof *source);
        if (known >= 0)
            return rt_fail(err, RETORT_FORMAT, "%.200s: node '%.120s' produces '%.120s' a second time",
                           index->file, node->name, node->outputs[k]);
        index->count++;
    }
    return RETORT_OK;
}

static unsigned input_from(const char *name) {
    return strcmp(name, "input_ids") == 0        ? RT_FROM_IDS
           : strcmp(name, "attention_mask") == 0 ? RT_FROM_MASK
           : strcmp(name, "token_type_ids") == 0 ? RT_FROM_TYPES
                                                 : 0;
}

/* Initializers first: old files list them as inputs, too. */
static retort_status index_sources(rt_onnx_index *index, retort_error *err) {
    const rt_onnx *onnx = index->onnx;
    size_t most = onnx->tensor_count + onnx->input_count;
    for (size_t i = 0; i < onnx->node_count; i++) most += onnx->nodes[i].output_count;
    int known;
    index->sources = rt_calloc(most + 1, sizeof *index->sources);
    bool ok = index->sources != NULL && most < INT32_MAX;
    for (size_t i = 0; ok && i < onnx->tensor_count; i++) {
        index->sources[index->count] = (rt_onnx_source){.node = -1, .tensor = &onnx->tensors[i]};
        ok = rt_names_add(&index->names, onnx->tensors[i].name, (int)index->count, &known);
        if (ok && known < 0) index->count++;
    }
    for (size_t i = 0; ok && i < onnx->input_count; i++) {
        const char *name = onnx->inputs[i].name;
        index->sources[index->count] = (rt_onnx_source){.node = -1, .from = input_from(name), .input = true};
        ok = rt_names_add(&index->names, name, (int)index->count, &known);
        if (ok && known < 0) index->count++;
    }
    retort_status status = ok ? RETORT_OK : rt_fail_nomem(err, most * sizeof *index->sources);
    for (size_t i = 0; status == RETORT_OK && i < onnx->node_count; i++)
        status = add_outputs(index, (int)i, err);
    return status;
}

/* ---- Reading from the stack ---- */

bool rt_reader_open(rt_onnx_reader *r, const rt_onnx_index *index, rt_graph *graph) {
    r->index = index;
    r->graph = graph;
    r->positions = r->counted = r->zeros = -1;
    for (int i = 0; i < RT_KEY_MASKS; i++) r->key_masks[i] = -1;
    r->reads = rt_calloc(index->count + 1, sizeof *r->reads);
    r->states = rt_calloc(index->onnx->node_count + 1, 1);
    return (r->reads != NULL && r->states != NULL) || rt_read_no_memory(r);
}

void rt_reader_close(rt_onnx_reader *r) {
    free(r->reads);
    free(r->states);
    free(r->stack);
    rt_names_free(&r->taken);
    rt_arena_free(&r->names);
}

bool rt_read_push(rt_onnx_reader *r, int node) {
    if (!rt_grow((void **)&r->stack, &r->stack_capacity, r->depth + 1, sizeof *r->stack))
        return rt_read_no_memory(r);
    r->stack[r->depth++] = node;
    return true;
}

/* Turns of Q and K are recognised as what they are the cosine and the sine of. */
static bool is_turn(const rt_onnx_node *node) {
    return strcmp(node->op, "Cos") == 0 || strcmp(node->op, "Sin") == 0;
}

/* Which inputs of a node may be a mask of keys, positions, distances or turns. */
static bool may_be_recognised(const rt_onnx_reader *r, const rt_onnx_node *node, size_t input,
                              const rt_onnx_source *source) {
    if (r->batch != NULL || source->from == 0 || source->input || (source->from & RT_FROM_TABLES) != 0)
        return false;
    bool gathers = strcmp(node->op, "Gather") == 0 || strcmp(node->op, "GatherElements") == 0;
    bool numbers = strcmp(node->op, "Tile") == 0 || strcmp(node->op, "Div") == 0; /* how often, and a scale */
    bool indices =
        ((gathers || numbers) && input == 1) || (strstr(node->op, "EmbedLayerNorm") != NULL && input == 8);
    if (source->from == RT_FROM_SHAPES) return indices || is_turn(node);
    return indices || strcmp(node->op, "Add") == 0 || strcmp(node->op, "QLinearAdd") == 0 ||
           (strcmp(node->op, "Where") == 0 && input == 0) || strstr(node->op, "Attention") != NULL;
}

/* Softmax gives NaN for a row that is masked entirely. Newer exports replace it; here every text has a token. */
static bool is_guard(const rt_onnx_reader *r, const rt_onnx_node *node, size_t input) {
    if (strcmp(node->op, "Where") != 0 || input != 0) return false;
    const rt_onnx_node *test = rt_read_maker(r->index, rt_read_input(node, 0));
    return test != NULL && strcmp(test->op, "IsNaN") == 0 &&
           strcmp(rt_read_input(test, 0), rt_read_input(node, 2)) == 0;
}

/* Pushes the nodes that this node needs; returns whether there are any. */
static bool push_inputs(rt_onnx_reader *r, const rt_onnx_node *node, bool activations) {
    size_t before = r->depth;
    for (size_t i = 0; i < node->input_count && r->status == RETORT_OK; i++) {
        int at = rt_read_find(r->index, node->inputs[i]);
        if (at < 0 || r->reads[at].kind != RT_READ_NOT) continue;
        const rt_onnx_source *source = &r->index->sources[at];
        if (source->tensor != NULL || source->node < 0 || is_guard(r, node, i)) continue;
        if (r->batch != NULL && strcmp(node->op, "Shape") == 0 && (source->from & RT_FROM_TABLES) != 0)
            continue;
        bool repeats = strcmp(node->op, "Tile") == 0;
        if ((activations || repeats || is_turn(node)) && may_be_recognised(r, node, i, source) &&
            rt_read_recognise(r, at) != 0)
            continue;
        if (r->states[source->node] != 2) rt_read_push(r, source->node);
    }
    return r->depth > before;
}

static void read_node(rt_onnx_reader *r, const rt_onnx_node *node) {
    rt_reader_fn read = rt_read_operator(node);
    r->at = node;
    if (read == NULL) {
        rt_read_refuse(r, "a supported operator");
    } else if (!read(r, node) && r->status == RETORT_OK) {
        if (r->graph->fault.status == RETORT_OK) {
            rt_read_refuse(r, "other inputs or attributes");
        } else {
            bool memory = r->graph->fault.status == RETORT_NOMEM; /* that is left to say which limit */
            r->status = rt_fail(r->err, memory ? RETORT_NOMEM : RETORT_UNSUPPORTED, "%.200s: %s",
                                r->index->file, r->graph->fault.text);
        }
    }
}

void rt_read_stack(rt_onnx_reader *r) {
    while (r->depth > 0 && r->status == RETORT_OK) {
        int at = r->stack[r->depth - 1];
        const rt_onnx_node *node = &r->index->onnx->nodes[at];
        int out = node->output_count > 0 ? rt_read_find(r->index, node->outputs[0]) : -1;
        bool activations = out >= 0 && (r->index->sources[out].from & RT_FROM_TABLES) != 0;
        if (r->states[at] == 2) {
            r->depth--;
        } else if (!push_inputs(r, node, activations) && r->status == RETORT_OK) {
            read_node(r, node);
            r->states[at] = 2;
            r->depth--;
        }
    }
}

/* ---- The whole ---- */

static retort_status read_output(rt_onnx_reader *r, const char *name, int *value) {
    int at = rt_read_find(r->index, name);
    if (at < 0)
        return rt_fail(r->err, RETORT_FORMAT, "%.200s: no node produces the output '%.120s'", r->index->file,
                       name);
    const rt_onnx_source *source = &r->index->sources[at];
    if (source->node >= 0 && rt_read_push(r, source->node)) rt_read_stack(r);
    if (r->status != RETORT_OK) return r->status;
    *value = r->reads[at].value;
    if (r->reads[at].kind == RT_READ_VALUE && (source->from & RT_FROM_TABLES) != 0) return RETORT_OK;
    return rt_fail(r->err, RETORT_UNSUPPORTED,
                   "%.200s: output '%.120s': expected numbers computed from embeddings", r->index->file,
                   name);
}

retort_status rt_onnx_graph(rt_graph *graph, const rt_onnx *onnx, const rt_onnx_graph_options *options,
                            size_t count, const char *const *names, int *values, retort_error *err) {
    rt_onnx_index index = {.onnx = onnx, .file = options->file};
    rt_onnx_reader reader = {.options = options, .err = err};
    retort_status status = check_opset(&index, err);
    if (status == RETORT_OK) status = index_sources(&index, err);
    if (status == RETORT_OK && !rt_reader_open(&reader, &index, graph)) status = reader.status;
    for (size_t i = 0; status == RETORT_OK && i < count; i++)
        status = read_output(&reader, names[i], &values[i]);
    rt_reader_close(&reader);
    rt_names_free(&index.names);
    rt_arena_free(&index.arena);
    free(index.sources);
    return status;
}
