/* SPDX-License-Identifier: Apache-2.0
 * What readers of operators share: inputs and attributes of ONNX nodes, nodes and constants of the graph. */
#include "onnx/reader.h"
#include "base/budget.h"
#include "graph/evaluate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool rt_read_refuse(rt_onnx_reader *r, const char *expected) {
    const rt_onnx_node *node = r->at;
    if (r->status != RETORT_OK) return false;
    r->status = rt_fail(r->err, RETORT_UNSUPPORTED, "%.160s: node '%.100s' (%.60s%s%.40s): expected %s",
                        r->index->file, node->name, node->domain, node->domain[0] != '\0' ? "." : "",
                        node->op, expected);
    return false;
}

bool rt_read_no_memory(rt_onnx_reader *r) {
    if (r->status == RETORT_OK) r->status = rt_fail_nomem(r->err, sizeof(rt_read));
    return false;
}

/* ---- Nodes of the file ---- */

int64_t rt_read_int(const rt_onnx_node *node, const char *attr, int64_t otherwise) {
    const rt_onnx_attr *found = rt_onnx_attribute(node, attr);
    return found != NULL && found->kind == RT_ONNX_ATTR_INT ? found->i : otherwise;
}

float rt_read_real(const rt_onnx_node *node, const char *attr, float otherwise) {
    const rt_onnx_attr *found = rt_onnx_attribute(node, attr);
    return found != NULL && found->kind == RT_ONNX_ATTR_FLOAT ? found->f : otherwise;
}

const char *rt_read_text(const rt_onnx_node *node, const char *attr) {
    const rt_onnx_attr *found = rt_onnx_attribute(node, attr);
    return found != NULL && found->kind == RT_ONNX_ATTR_TEXT ? found->text : "";
}

int rt_read_find(const rt_onnx_index *index, const char *name) {
    return name[0] != '\0' ? rt_names_find(&index->names, name, strlen(name)) : -1;
}

const rt_onnx_node *rt_read_maker(const rt_onnx_index *index, const char *name) {
    int at = rt_read_find(index, name);
    return at >= 0 && index->sources[at].node >= 0 ? &index->onnx->nodes[index->sources[at].node] : NULL;
}

const rt_onnx_tensor *rt_read_tensor(const rt_onnx_index *index, const char *name) {
    int at = rt_read_find(index, name);
    return at >= 0 ? index->sources[at].tensor : NULL;
}

/* ---- Names ---- */

/* 0: input_ids, 1: attention_mask, 2: token_type_ids, the graph's inputs; -1: another name. */
static int input_of(const char *name) {
    static const char *const inputs[] = {"input_ids", "attention_mask", "token_type_ids"};
    for (int i = 0; i < (int)(sizeof inputs / sizeof *inputs); i++) {
        if (strcmp(name, inputs[i]) == 0) return i;
    }
    return -1;
}

/* The text as a name that the graph can hold and has not yet; NULL when out of memory. */
static const char *name_of(rt_onnx_reader *r, const char *text) {
    enum { MOST_NAME = 400, NUMBER = 12 };
    char name[MOST_NAME + NUMBER];
    size_t length = 0;
    for (; length < MOST_NAME - 1 && text[length] != '\0'; length++) {
        unsigned char c = (unsigned char)text[length];
        bool plain = c > ' ' && c < 0x7f && strchr(",()=[]{}", c) == NULL;
        name[length] = plain ? (char)c : '_';
    }
    name[length] = '\0';
    /* "_" means something else; a constant that is called like an input is none */
    if (length < 2 || input_of(name) >= 0) name[length++] = '.';
    name[length] = '\0';
    for (int before;;) {
        const char *kept = rt_arena_text(&r->names, name, strlen(name));
        if (kept == NULL || !rt_names_add(&r->taken, kept, 1, &before)) return NULL;
        if (before < 0) return kept;
        const char *stem = rt_arena_text(&r->names, name, length);
        if (stem == NULL || !rt_names_put(&r->taken, stem, before + 1)) return NULL;
        snprintf(name + length, NUMBER, ".%d", before);
    }
}

/* What new nodes and constants are named after. */
static const char *here(const rt_onnx_reader *r) {
    return r->at->output_count > 0 ? r->at->outputs[0] : r->at->name;
}

/* ---- Values of the graph ---- */

/* One of the graph's inputs; when values are evaluated, what the batch holds there. -1: another name. */
static int input_value(rt_onnx_reader *r, const char *name) {
    static const int64_t dims[] = {RT_DIM_BATCH, RT_DIM_SEQ};
    int input = input_of(name), there = rt_value_find(r->graph, name);
    if (input < 0 || there >= 0) return input < 0 ? -1 : there;
    if (r->batch == NULL) return rt_graph_input(r->graph, name, RETORT_I64, 2, dims);
    const rt_onnx_batch *b = r->batch;
    int64_t *data = rt_graph_alloc(r->graph, (size_t)(b->batch * b->seq) * sizeof *data);
    for (int64_t j = 0; data != NULL && j < b->batch * b->seq; j++) {
        int64_t sequence = j / b->seq, place = j % b->seq;
        data[j] = input == 0   ? (place % 3 == 1 ? b->other : b->id + sequence * b->step)
                  : input == 1 ? place < rt_onnx_length(b, sequence)
                               : 0;
    }
    if (data == NULL) return -1;
    return rt_graph_constant(r->graph, name, RETORT_I64, RT_LAYOUT_ROWS, 2, (int64_t[]){b->batch, b->seq},
                             data);
}

const rt_read *rt_read_of(const rt_onnx_reader *r, const rt_onnx_node *node, size_t index) {
    int at = rt_read_find(r->index, rt_read_input(node, index));
    return at >= 0 ? &r->reads[at] : NULL;
}

/* Operators that move numbers and compute none: codes come out with the scale that they have. */
static bool moves(const rt_onnx_node *node) {
    static const char *const names[] = {"Expand", "Flatten", "Gather",  "Identity",  "Reshape",
                                        "Slice",  "Split",   "Squeeze", "Transpose", "Unsqueeze"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(node->op, names[i]) == 0) return true;
    }
    return false;
}

int rt_read_value(rt_onnx_reader *r, const rt_onnx_node *node, size_t index) {
    const char *name = rt_read_input(node, index);
    int at = rt_read_find(r->index, name);
    if (at < 0 || r->reads == NULL) return -1;
    const rt_read read = r->reads[at];
    const rt_onnx_source *source = &r->index->sources[at];
    if (read.kind == RT_READ_VALUE && read.offset == 0 && read.heads == 0) return read.value;
    if (read.kind == RT_READ_CODES && (moves(r->at) || rt_read_integer_operator(r->at) != NULL))
        return read.value;
    if (read.kind != RT_READ_NOT) {
        rt_read_refuse(r, "plain floats or integers");
        return -1;
    }
    int value = source->tensor != NULL ? rt_read_constant(r, source->tensor)
                : source->node < 0     ? input_value(r, name)
                                       : -1;
    if (value < 0) {
        rt_read_refuse(r,
                       "inputs input_ids, attention_mask and token_type_ids, and constants that can be read");
        return -1;
    }
    r->reads[at] = (rt_read){.kind = RT_READ_VALUE, .value = value};
    return value;
}

bool rt_read_put(rt_onnx_reader *r, const rt_onnx_node *node, size_t index, rt_read read) {
    int at = index < node->output_count ? rt_read_find(r->index, node->outputs[index]) : -1;
    if (at >= 0 && r->reads != NULL) r->reads[at] = read;
    return true;
}

bool rt_read_as(rt_onnx_reader *r, const rt_onnx_node *node, size_t index, int value) {
    rt_read read = {.kind = RT_READ_VALUE};
    const rt_read *moved = moves(r->at) ? rt_read_of(r, node, 0) : NULL;
    if (moved != NULL && moved->kind == RT_READ_CODES) read = *moved;
    read.value = value;
    return value >= 0 && rt_read_put(r, node, index, read);
}

/* ---- Nodes of the graph ---- */

/* Computes the node: all that it reads has data. */
static bool evaluate(rt_onnx_reader *r, int node) {
    enum { MOST = 256 << 20 };
    const rt_node *n = &r->graph->nodes[node];
    for (int i = 0; i < n->output_count; i++) {
        size_t bytes;
        if (!rt_value_bytes(&r->graph->values[n->outputs[i]], &bytes) || bytes > MOST - r->bytes)
            return false;
        r->bytes += bytes;
    }
    return rt_node_fold(r->graph, n, r->err) == RETORT_OK;
}

int rt_read_emit(rt_onnx_reader *r, rt_op op, int count, const int *inputs, const rt_attrs *attrs) {
    for (int i = 0; i < count; i++) {
        if (inputs[i] < 0 && r->status != RETORT_OK) return -1;
    }
    const char *name = name_of(r, here(r));
    if (name == NULL) return rt_read_no_memory(r), -1;
    int node = rt_graph_node(r->graph, op, name, count, inputs, attrs);
    if (node < 0 || (r->batch != NULL && !evaluate(r, node))) return -1;
    return rt_node_output(r->graph, node, 0);
}

int rt_read_emit1(rt_onnx_reader *r, rt_op op, int x) {
    return rt_read_emit(r, op, 1, &x, NULL);
}

int rt_read_emit2(rt_onnx_reader *r, rt_op op, int x, int y) {
    return rt_read_emit(r, op, 2, (int[]){x, y}, NULL);
}

/* ---- Constants ---- */

static int constant(rt_onnx_reader *r, const char *text, retort_dtype dtype, int rank, const int64_t *dims,
                    const void *data) {
    const char *name = data != NULL ? name_of(r, text) : NULL;
    if (name == NULL) return rt_read_no_memory(r), -1;
    return rt_graph_constant(r->graph, name, dtype, RT_LAYOUT_ROWS, rank, dims, data);
}

int rt_read_scalar(rt_onnx_reader *r, float number) {
    float *data = rt_graph_alloc(r->graph, sizeof *data);
    if (data != NULL) *data = number;
    return constant(r, here(r), RETORT_F32, 0, NULL, data);
}

int rt_read_index(rt_onnx_reader *r, int64_t number) {
    int64_t *data = rt_graph_alloc(r->graph, sizeof *data);
    if (data != NULL) *data = number;
    return constant(r, here(r), RETORT_I64, 0, NULL, data);
}

int rt_read_ints(rt_onnx_reader *r, size_t count, const int64_t *numbers) {
    int64_t *data = rt_graph_alloc(r->graph, count * sizeof *data);
    if (data != NULL && count > 0) memcpy(data, numbers, count * sizeof *data);
    return constant(r, here(r), RETORT_I64, 1, (int64_t[]){(int64_t)count}, data);
}

int rt_read_floats(rt_onnx_reader *r, int rank, const int64_t *dims, const float *data) {
    return constant(r, here(r), RETORT_F32, rank, dims, data);
}

/* There is no float16 near 1e-12: a converter has raised an epsilon to the least that there is, or to 1e-7. */
static float before_float16(const rt_onnx_reader *r, float number) {
    float epsilon = r->options->epsilon;
    return epsilon > 0 && number > epsilon && number < 1.3e-7f ? epsilon : number;
}

static bool convert_floats(const rt_onnx_reader *r, const rt_onnx_tensor *t, size_t count, float *out) {
    retort_dtype dtype;
    if (t->type == RT_ONNX_DOUBLE) {
        for (size_t i = 0; i < count; i++) {
            double wide;
            memcpy(&wide, (const char *)t->data + i * sizeof wide, sizeof wide);
            out[i] = (float)wide;
        }
        return true;
    }
    if (!rt_onnx_dtype(t->type, &dtype) || !rt_to_f32(out, t->data, dtype, count)) return false;
    if (t->type == RT_ONNX_FLOAT16 && count == 1) *out = before_float16(r, *out);
    return true;
}

static void convert_ints(const rt_onnx_tensor *t, size_t count, int64_t *out) {
    for (size_t i = 0; i < count; i++) {
        int32_t narrow;
        if (t->type == RT_ONNX_INT32) {
            memcpy(&narrow, (const char *)t->data + i * sizeof narrow, sizeof narrow);
            out[i] = narrow;
        } else {
            memcpy(&out[i], (const char *)t->data + i * sizeof *out, sizeof *out);
        }
    }
}

int rt_read_constant(rt_onnx_reader *r, const rt_onnx_tensor *t) {
    size_t count, bytes;
    bool integers = t->type == RT_ONNX_INT64 || t->type == RT_ONNX_INT32, truth = t->type == RT_ONNX_BOOL;
    bool real = t->type == RT_ONNX_FLOAT || t->type == RT_ONNX_FLOAT16 || t->type == RT_ONNX_BFLOAT16 ||
                t->type == RT_ONNX_DOUBLE;
    size_t size = integers ? sizeof(int64_t) : truth ? 1 : sizeof(float);
    rt_budget_about(t->name, "data");
    if ((!integers && !truth && !real) || !rt_shape_count(t->dims, t->rank, &count) ||
        !rt_mul(count, size, &bytes))
        return -1;
    void *data = rt_graph_alloc(r->graph, bytes);
    if (data == NULL) return rt_read_no_memory(r), -1;
    if (integers) convert_ints(t, count, data);
    if (truth && count > 0) memcpy(data, t->data, count);
    if (real && count > 0 && !convert_floats(r, t, count, data)) return -1;
    return constant(r, t->name,
                    integers ? RETORT_I64
                    : truth  ? RETORT_BOOL
                             : RETORT_F32,
                    t->rank, t->dims, data);
}

static bool is_matrix(const rt_value *v) {
    return rt_value_is_constant(v) && v->data != NULL && v->dtype == RETORT_F32 && v->rank >= 1 &&
           v->rank <= 2;
}

int rt_read_columns(rt_onnx_reader *r, int value, int64_t from, int64_t n) {
    if (value < 0 || !is_matrix(&r->graph->values[value])) return -1;
    const rt_value v = r->graph->values[value];
    int64_t rows = v.rank == 2 ? v.dims[0] : 1, columns = v.dims[v.rank - 1];
    if (from < 0 || n < 0 || from + n > columns) return -1;
    float *data = rt_graph_alloc(r->graph, (size_t)(rows * n) * sizeof *data);
    for (int64_t i = 0; data != NULL && i < rows; i++) {
        memcpy(data + i * n, (const float *)v.data + i * columns + from, (size_t)n * sizeof *data);
    }
    return constant(r, v.name, RETORT_F32, v.rank, v.rank == 2 ? (int64_t[]){rows, n} : &n, data);
}

int rt_read_turned(rt_onnx_reader *r, int value) {
    if (value < 0 || !is_matrix(&r->graph->values[value]) || r->graph->values[value].rank != 2) return -1;
    const rt_value v = r->graph->values[value];
    int64_t rows = v.dims[0], columns = v.dims[1];
    float *data = rt_graph_alloc(r->graph, (size_t)(rows * columns) * sizeof *data);
    if (data != NULL) rt_transpose(data, v.data, rows, columns);
    return constant(r, v.name, RETORT_F32, 2, (int64_t[]){columns, rows}, data);
}

/* ---- A few operators at once ---- */

int rt_read_linear(rt_onnx_reader *r, int x, int weight, int bias) {
    int product = rt_read_emit2(r, RT_OP_MATMUL, x, weight);
    return bias >= 0 ? rt_read_emit2(r, RT_OP_ADD, product, bias) : product;
}

/* The table without its first rows. */
static int later_rows(rt_onnx_reader *r, int table, int64_t offset) {
    const rt_value v = r->graph->values[table];
    if (!is_matrix(&v) || v.rank != 2 || v.dims[0] <= offset) return -1;
    size_t n = (size_t)v.dims[1], rows = (size_t)(v.dims[0] - offset);
    float *data = rt_graph_alloc(r->graph, rows * n * sizeof *data);
    if (data != NULL) memcpy(data, (const float *)v.data + (size_t)offset * n, rows * n * sizeof *data);
    return constant(r, v.name, RETORT_F32, 2, (int64_t[]){(int64_t)rows, v.dims[1]}, data);
}

int rt_read_places(rt_onnx_reader *r, const rt_onnx_node *node, size_t index, int64_t *offset) {
    const rt_read *read = rt_read_of(r, node, index);
    bool moved = read != NULL && read->kind == RT_READ_VALUE && read->offset > 0;
    *offset = moved ? read->offset : 0;
    return moved ? read->value : rt_read_value(r, node, index);
}

int rt_read_rows(rt_onnx_reader *r, int table, int places, int64_t offset, int64_t axis) {
    if (offset > 0 && table >= 0) table = axis == 0 ? later_rows(r, table, offset) : -1;
    if (places < 0 || table < 0) return rt_read_refuse(r, "rows of a table"), -1;
    return rt_read_emit(r, RT_OP_GATHER, 2, (int[]){table, places}, &(rt_attrs){.axis = axis});
}

int rt_read_gelu(rt_onnx_reader *r, int x, bool tanh) {
    int inner;
    if (tanh) { /* √(2/π) (x + 0.044715 x³) */
        int cube = rt_read_emit2(r, RT_OP_POW, x, rt_read_scalar(r, 3));
        int small = rt_read_emit2(r, RT_OP_MUL, cube, rt_read_scalar(r, 0.044715f));
        int sum = rt_read_emit2(r, RT_OP_ADD, x, small);
        inner = rt_read_emit1(r, RT_OP_TANH,
                              rt_read_emit2(r, RT_OP_MUL, sum, rt_read_scalar(r, (float)sqrt(2 / M_PI))));
    } else {
        inner =
            rt_read_emit1(r, RT_OP_ERF, rt_read_emit2(r, RT_OP_DIV, x, rt_read_scalar(r, 0x1.6a09e6p+0f)));
    }
    int one = rt_read_emit2(r, RT_OP_ADD, inner, rt_read_scalar(r, 1));
    return rt_read_emit2(r, RT_OP_MUL, rt_read_emit2(r, RT_OP_MUL, x, one), rt_read_scalar(r, 0.5f));
}

int rt_read_key_mask(rt_onnx_reader *r, rt_key_mask how) {
    if (r->key_masks[how] >= 0) return r->key_masks[how];
    int mask = input_value(r, "attention_mask");
    int wide = rt_read_emit2(r, RT_OP_UNSQUEEZE, mask, rt_read_ints(r, 2, (int64_t[]){1, 2}));
    if (how == RT_KEYS_KEPT)
        return r->key_masks[how] = rt_read_emit(r, RT_OP_CAST, 1, &wide, &(rt_attrs){.dtype = RETORT_BOOL});
    if (how == RT_KEYS_PADDED)
        return r->key_masks[how] = rt_read_emit2(r, RT_OP_EQUAL, wide, rt_read_index(r, 0));
    int real = rt_read_emit(r, RT_OP_CAST, 1, &wide, &(rt_attrs){.dtype = RETORT_F32});
    int padding = rt_read_emit2(r, RT_OP_SUB, rt_read_scalar(r, 1), real);
    return r->key_masks[how] = rt_read_emit2(r, RT_OP_MUL, padding, rt_read_scalar(r, -0x1.fffffep+127f));
}

int rt_read_counted(rt_onnx_reader *r) {
    if (r->counted >= 0) return r->counted;
    int ids = input_value(r, "input_ids");
    int equal = rt_read_emit2(r, RT_OP_EQUAL, ids, rt_read_index(r, r->options->padding));
    int whole = rt_read_emit(r, RT_OP_CAST, 1, &equal, &(rt_attrs){.dtype = RETORT_I64});
    int counts = rt_read_emit2(r, RT_OP_SUB, rt_read_index(r, 1), whole);
    int sums = rt_read_emit(r, RT_OP_CUM_SUM, 1, &counts, &(rt_attrs){.axis = 1});
    return r->counted = rt_read_emit2(r, RT_OP_MUL, sums, counts);
}

int rt_read_positions(rt_onnx_reader *r) {
    int64_t count = r->options->positions;
    if (r->positions >= 0) return r->positions;
    int64_t *all = rt_graph_alloc(r->graph, (size_t)count * sizeof *all);
    for (int64_t i = 0; all != NULL && i < count; i++) all[i] = i;
    int buffer = constant(r, here(r), RETORT_I64, 2, (int64_t[]){1, count}, all);
    int shape = rt_read_emit1(r, RT_OP_SHAPE, input_value(r, "input_ids"));
    int end = rt_read_emit2(r, RT_OP_GATHER, shape, rt_read_ints(r, 1, (int64_t[]){1}));
    int inputs[] = {buffer, rt_read_ints(r, 1, (int64_t[]){0}), end, rt_read_ints(r, 1, (int64_t[]){1})};
    return r->positions = rt_read_emit(r, RT_OP_SLICE, 4, inputs, NULL);
}

/* The positions as floats, with axes of 1. */
static int real_places(rt_onnx_reader *r, size_t count, const int64_t *axes) {
    int positions = rt_read_positions(r);
    int real = rt_read_emit(r, RT_OP_CAST, 1, &positions, &(rt_attrs){.dtype = RETORT_F32});
    return rt_read_emit2(r, RT_OP_UNSQUEEZE, real, rt_read_ints(r, count, axes));
}

int rt_read_window(rt_onnx_reader *r, int64_t window) {
    int queries = real_places(r, 2, (int64_t[]){1, 3}), keys = real_places(r, 2, (int64_t[]){1, 2});
    int after = rt_read_emit2(r, RT_OP_SUB, keys, queries),
        before = rt_read_emit2(r, RT_OP_SUB, queries, keys);
    int distance = rt_read_emit2(r, RT_OP_MAX, after, before);
    int beyond = rt_read_emit2(r, RT_OP_SUB, distance, rt_read_scalar(r, (float)window));
    return rt_read_emit2(r, RT_OP_MUL, rt_read_emit1(r, RT_OP_RELU, beyond), rt_read_scalar(r, -1e30F));
}

int rt_read_turns(rt_onnx_reader *r, int64_t count, const float *angles) {
    int places = real_places(r, 1, (int64_t[]){2});
    int64_t pairs = count / 2;
    bool twice = count % 2 == 0 && memcmp(angles, angles + pairs, (size_t)pairs * sizeof *angles) == 0;
    if (!twice) return rt_read_emit2(r, RT_OP_MUL, places, rt_read_floats(r, 1, &count, angles));
    int turns = rt_read_emit2(r, RT_OP_MUL, places, rt_read_floats(r, 1, &pairs, angles));
    return rt_read_emit(r, RT_OP_CONCAT, 2, (int[]){turns, turns}, &(rt_attrs){.axis = -1});
}

int rt_read_repeats(rt_onnx_reader *r) {
    int shape = rt_read_emit1(r, RT_OP_SHAPE, input_value(r, "input_ids"));
    int batch = rt_read_emit(r, RT_OP_GATHER, 2, (int[]){shape, rt_read_ints(r, 1, (int64_t[]){0})},
                             &(rt_attrs){.axis = 0});
    int ones = rt_read_ints(r, 2, (int64_t[]){1, 1});
    return rt_read_emit(r, RT_OP_CONCAT, 2, (int[]){batch, ones}, &(rt_attrs){.axis = 0});
}

int rt_read_distances(rt_onnx_reader *r, int64_t longest, const int64_t *rows, int rank) {
    static const int64_t axes[RT_MAX_RANK] = {0, 1, 2, 3};
    int64_t count = 2 * longest - 1;
    int keys = rt_read_positions(r);
    int queries = rt_read_emit(r, RT_OP_TRANSPOSE, 1, &keys, &(rt_attrs){.perm = {1, 0}, .perm_count = 2});
    int apart = rt_read_emit2(r, RT_OP_SUB, keys, queries);
    int at = rt_read_emit2(r, RT_OP_ADD, apart, rt_read_index(r, longest - 1));
    int index = constant(r, here(r), RETORT_I64, 1, &count, rows);
    int out = rt_read_emit2(r, RT_OP_GATHER, index, at);
    return rank > 2 ? rt_read_emit2(r, RT_OP_UNSQUEEZE, out, rt_read_ints(r, (size_t)rank - 2, axes)) : out;
}
