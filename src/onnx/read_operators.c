/* SPDX-License-Identifier: Apache-2.0
 * ONNX's own operators. Most become one node of the graph, some become several. */
#include "graph/match.h"
#include "onnx/reader.h"

#include <stdlib.h>
#include <string.h>

/* ---- Helpers ---- */

static const rt_value *value_of(const rt_onnx_reader *r, int value) {
    return &r->graph->values[value];
}

/* op(x, y) as the node's output */
static bool binary(rt_onnx_reader *r, const rt_onnx_node *node, rt_op op) {
    int x = rt_read_value(r, node, 0), y = rt_read_value(r, node, 1);
    return x >= 0 && y >= 0 && rt_read_as(r, node, 0, rt_read_emit2(r, op, x, y));
}

/* The numbers of an integer vector: an attribute (until opset 12), or a constant input. */
static bool integers(rt_onnx_reader *r, const rt_onnx_node *node, const char *attr, size_t input,
                     size_t *count, int64_t out[RT_MAX_RANK]) {
    const rt_onnx_attr *given = rt_onnx_attribute(node, attr);
    *count = 0;
    if (given != NULL && given->kind == RT_ONNX_ATTR_INTS && given->count <= RT_MAX_RANK) {
        *count = given->count;
        for (size_t i = 0; i < given->count; i++) out[i] = given->ints[i];
        return true;
    }
    if (given != NULL) return false;
    if (rt_read_input(node, input)[0] == '\0') return true;
    int value = rt_read_value(r, node, input);
    if (value < 0) return false;
    const rt_content *content = &value_of(r, value)->content;
    if (!content->known || content->symbols != 0) return false;
    *count = (size_t)content->count;
    for (int i = 0; i < content->count; i++) out[i] = content->at[i];
    return true;
}

static int true_or_false(rt_onnx_reader *r, bool truth) {
    int number = rt_read_index(r, truth);
    return rt_read_emit(r, RT_OP_CAST, 1, &number, &(rt_attrs){.dtype = RETORT_BOOL});
}

static int negated(rt_onnx_reader *r, int x) {
    if (x < 0) return -1;
    bool real = value_of(r, x)->dtype == RETORT_F32;
    return rt_read_emit2(r, RT_OP_MUL, x, real ? rt_read_scalar(r, -1) : rt_read_index(r, -1));
}

static int negation(rt_onnx_reader *r, int truth) {
    return rt_read_emit2(r, RT_OP_EQUAL, truth, true_or_false(r, false));
}

static bool is_number(const rt_onnx_reader *r, int value, double number) {
    double found;
    return rt_scalar(r->graph, value, &found) && found == number;
}

/* ---- What the graph has itself ---- */

static bool same(rt_onnx_reader *r, const rt_onnx_node *node) {
    const rt_read *x = rt_read_of(r, node, 0);
    if (x != NULL && x->kind != RT_READ_NOT) return rt_read_put(r, node, 0, *x);
    int value = rt_read_value(r, node, 0);
    return rt_read_as(r, node, 0, value);
}

/* A node on rows that Reshape has merged into one dim works on the rows before the Reshape. */
static bool on_merged(rt_onnx_reader *r, const rt_onnx_node *node, rt_op op, int y, bool first) {
    rt_read x = *rt_read_of(r, node, first ? 0 : 1);
    if (x.swapped || value_of(r, x.value)->rank != 3) return rt_read_refuse(r, "rows of tokens");
    if (op == RT_OP_ADD || op == RT_OP_MUL || op == RT_OP_MATMUL) {
        if (y < 0 || value_of(r, y)->rank > 2 || !rt_value_is_constant(value_of(r, y)))
            return rt_read_refuse(r, "a constant beside rows of tokens");
        x.value = first ? rt_read_emit2(r, op, x.value, y) : rt_read_emit2(r, op, y, x.value);
    } else {
        x.value = rt_read_emit1(r, op, x.value);
    }
    return x.value >= 0 && rt_read_put(r, node, 0, x);
}

static bool is_merged(const rt_onnx_reader *r, const rt_onnx_node *node, size_t input) {
    const rt_read *read = rt_read_of(r, node, input);
    return read != NULL && read->kind == RT_READ_MERGED;
}

/* The last two dims of a value with four swapped. */
static int swapped(rt_onnx_reader *r, int x) {
    if (value_of(r, x)->rank != 4) return -1;
    return rt_read_emit(r, RT_OP_TRANSPOSE, 1, &x, &(rt_attrs){.perm = {0, 1, 3, 2}, .perm_count = 4});
}

/* Two of which each is merged: as before the Reshape of both. */
static bool both_merged(rt_onnx_reader *r, const rt_onnx_node *node, rt_op op) {
    const rt_read *a = rt_read_of(r, node, 0), *b = rt_read_of(r, node, 1);
    rt_read out = {.kind = RT_READ_MERGED, .swapped = op != RT_OP_MATMUL && a->swapped && b->swapped};
    int x = a->swapped && !out.swapped ? swapped(r, a->value) : a->value;
    int y = b->swapped && !out.swapped ? swapped(r, b->value) : b->value;
    out.value = x >= 0 && y >= 0 ? rt_read_emit2(r, op, x, y) : -1;
    return out.value >= 0 && rt_read_put(r, node, 0, out);
}

/* A merged one and a number. */
static bool by_number(rt_onnx_reader *r, const rt_onnx_node *node, rt_op op) {
    rt_read x = *rt_read_of(r, node, 0);
    double number;
    int y = rt_read_value(r, node, 1);
    if (!rt_scalar(r->graph, y, &number)) return rt_read_refuse(r, "a number beside rows of heads");
    if (op != RT_OP_ADD || number != 0) x.value = rt_read_emit2(r, op, x.value, y);
    return x.value >= 0 && rt_read_put(r, node, 0, x);
}

static bool has_heads(const rt_onnx_reader *r, const rt_onnx_node *node) {
    return is_merged(r, node, 0) && value_of(r, rt_read_of(r, node, 0)->value)->rank == 4;
}

/* Integers and their scales are read apart (read_integers.c). */
static bool product(rt_onnx_reader *r, const rt_onnx_node *node) {
    rt_reader_fn integer = rt_read_integer_operator(node);
    const rt_read *a = rt_read_of(r, node, 0), *b = rt_read_of(r, node, 1);
    bool scales = (a != NULL && (a->kind == RT_READ_SCALE || a->kind == RT_READ_PRODUCT)) ||
                  (b != NULL && (b->kind == RT_READ_SCALE || b->kind == RT_READ_PRODUCT));
    if (scales && integer != NULL) return integer(r, node);
    if (is_merged(r, node, 0)) return on_merged(r, node, RT_OP_MUL, rt_read_value(r, node, 1), true);
    return binary(r, node, RT_OP_MUL);
}

static bool add(rt_onnx_reader *r, const rt_onnx_node *node) {
    if (is_merged(r, node, 0) && is_merged(r, node, 1)) return both_merged(r, node, RT_OP_ADD);
    if (has_heads(r, node)) return by_number(r, node, RT_OP_ADD);
    if (is_merged(r, node, 0)) return on_merged(r, node, RT_OP_ADD, rt_read_value(r, node, 1), true);
    if (is_merged(r, node, 1)) return on_merged(r, node, RT_OP_ADD, rt_read_value(r, node, 0), false);
    return binary(r, node, RT_OP_ADD);
}

static bool sub(rt_onnx_reader *r, const rt_onnx_node *node) {
    return binary(r, node, RT_OP_SUB);
}

static bool divide(rt_onnx_reader *r, const rt_onnx_node *node) {
    return is_merged(r, node, 0) ? by_number(r, node, RT_OP_DIV) : binary(r, node, RT_OP_DIV);
}

static bool power(rt_onnx_reader *r, const rt_onnx_node *node) {
    int x = rt_read_value(r, node, 0), y = rt_read_value(r, node, 1);
    if (x < 0 || y < 0) return false;
    if (value_of(r, y)->dtype == RETORT_I64)
        y = rt_read_emit(r, RT_OP_CAST, 1, &y, &(rt_attrs){.dtype = RETORT_F32});
    return rt_read_as(r, node, 0, rt_read_emit2(r, RT_OP_POW, x, y));
}

static bool equal(rt_onnx_reader *r, const rt_onnx_node *node) {
    return binary(r, node, RT_OP_EQUAL);
}

static bool unary(rt_onnx_reader *r, const rt_onnx_node *node, rt_op op) {
    if (is_merged(r, node, 0)) return on_merged(r, node, op, -1, true);
    int x = rt_read_value(r, node, 0);
    return x >= 0 && rt_read_as(r, node, 0, rt_read_emit1(r, op, x));
}

static bool root(rt_onnx_reader *r, const rt_onnx_node *node) {
    return unary(r, node, RT_OP_SQRT);
}

static bool error_function(rt_onnx_reader *r, const rt_onnx_node *node) {
    return unary(r, node, RT_OP_ERF);
}

static bool tangent(rt_onnx_reader *r, const rt_onnx_node *node) {
    return unary(r, node, RT_OP_TANH);
}

static bool sigmoid(rt_onnx_reader *r, const rt_onnx_node *node) {
    return unary(r, node, RT_OP_SIGMOID);
}

static bool cosine(rt_onnx_reader *r, const rt_onnx_node *node) {
    return unary(r, node, RT_OP_COS);
}

static bool sine(rt_onnx_reader *r, const rt_onnx_node *node) {
    return unary(r, node, RT_OP_SIN);
}

static bool softplus(rt_onnx_reader *r, const rt_onnx_node *node) {
    return unary(r, node, RT_OP_SOFTPLUS);
}

static bool natural_log(rt_onnx_reader *r, const rt_onnx_node *node) {
    return unary(r, node, RT_OP_LOG);
}

static bool rectify(rt_onnx_reader *r, const rt_onnx_node *node) {
    return unary(r, node, RT_OP_RELU);
}

static bool cast(rt_onnx_reader *r, const rt_onnx_node *node) {
    const rt_read *read = rt_read_of(r, node, 0);
    int64_t to = rt_read_int(node, "to", 0);
    bool real =
        to == RT_ONNX_FLOAT || to == RT_ONNX_FLOAT16 || to == RT_ONNX_BFLOAT16 || to == RT_ONNX_DOUBLE;
    if (read != NULL && (read->kind == RT_READ_PRODUCT || read->kind == RT_READ_MERGED) && real)
        return same(r, node);
    int x = rt_read_value(r, node, 0);
    if (x < 0) return false;
    retort_dtype dtype = real ? RETORT_F32 : to == RT_ONNX_BOOL ? RETORT_BOOL : RETORT_I64;
    if (!real && to != RT_ONNX_BOOL && to != RT_ONNX_INT64 && to != RT_ONNX_INT32)
        return rt_read_refuse(r, "a cast to floats, to 32 or 64-bit integers, or to bool");
    if (value_of(r, x)->dtype == dtype) return rt_read_as(r, node, 0, x);
    return rt_read_as(r, node, 0, rt_read_emit(r, RT_OP_CAST, 1, &x, &(rt_attrs){.dtype = dtype}));
}

/* The dims of what is evaluated elsewhere, for this batch. */
static int shape_elsewhere(rt_onnx_reader *r, const rt_onnx_node *node) {
    const rt_read *read = rt_read_of(r->shapes_of, node, 0);
    int64_t dims[RT_MAX_RANK] = {0};
    bool is_merged = read != NULL && read->kind == RT_READ_MERGED;
    if (read == NULL || (read->kind != RT_READ_VALUE && !is_merged)) return -1;
    const rt_value *v = &r->shapes_of->graph->values[read->value];
    for (int i = 0; i < v->rank; i++) {
        dims[i] = v->dims[i] == RT_DIM_BATCH ? r->batch->batch
                  : v->dims[i] == RT_DIM_SEQ ? r->batch->seq
                                             : v->dims[i];
        if (dims[i] < 0) return -1;
    }
    if (!is_merged) return rt_read_ints(r, (size_t)v->rank, dims);
    int last = v->rank - 1;
    int64_t swapped[] = {dims[last], dims[last - 1]};
    if (read->swapped) memcpy(&dims[last - 1], swapped, sizeof swapped);
    dims[1] *= dims[0];
    return rt_read_ints(r, (size_t)last, dims + 1);
}

static bool shape(rt_onnx_reader *r, const rt_onnx_node *node) {
    int at = rt_read_find(r->index, rt_read_input(node, 0));
    bool elsewhere = r->batch != NULL && at >= 0 && (r->index->sources[at].from & RT_FROM_TABLES) != 0;
    int out;
    if (!elsewhere && is_merged(r, node, 0)) {
        rt_read dims = *rt_read_of(r, node, 0);
        dims.kind = RT_READ_DIMS;
        return rt_read_int(node, "start", 0) == 0 && rt_onnx_attribute(node, "end") == NULL &&
               rt_read_put(r, node, 0, dims);
    }
    if (elsewhere) {
        out = shape_elsewhere(r, node);
    } else {
        int x = rt_read_value(r, node, 0);
        if (x < 0) return false;
        out = rt_read_emit1(r, RT_OP_SHAPE, x);
    }
    int64_t start = rt_read_int(node, "start", 0), end = rt_read_int(node, "end", INT64_MAX);
    if (out < 0 || (start == 0 && end == INT64_MAX)) return rt_read_as(r, node, 0, out);
    int inputs[] = {out, rt_read_ints(r, 1, &start), rt_read_ints(r, 1, &end),
                    rt_read_ints(r, 1, (int64_t[]){0})};
    return rt_read_as(r, node, 0, rt_read_emit(r, RT_OP_SLICE, 4, inputs, NULL));
}

/* Dim `at` of rows whose first two dims are one, as a number; the first is the product of two. */
static int merged_dim(rt_onnx_reader *r, const rt_read *x, int64_t at) {
    const rt_attrs along = {.axis = 0};
    int rank = value_of(r, x->value)->rank, shape = rt_read_emit1(r, RT_OP_SHAPE, x->value);
    int64_t from = at + 1;
    if (x->swapped && from >= rank - 2) from = 2 * rank - 3 - from;
    int dim = rt_read_emit(r, RT_OP_GATHER, 2, (int[]){shape, rt_read_index(r, from)}, &along);
    if (at > 0) return dim;
    int batch = rt_read_emit(r, RT_OP_GATHER, 2, (int[]){shape, rt_read_index(r, 0)}, &along);
    return rt_read_emit2(r, RT_OP_MUL, batch, dim);
}

/* One of the dims: Gather of a number, or Slice. */
static bool one_dim(rt_onnx_reader *r, const rt_onnx_node *node, int64_t at, bool vector) {
    const rt_read x = *rt_read_of(r, node, 0);
    int count = value_of(r, x.value)->rank - 1;
    if (at < 0) at += count;
    if (at < 0 || at >= count) return rt_read_refuse(r, "one of the dims");
    int dim = merged_dim(r, &x, at);
    if (vector) dim = rt_read_emit2(r, RT_OP_UNSQUEEZE, dim, rt_read_ints(r, 1, (int64_t[]){0}));
    return rt_read_as(r, node, 0, dim);
}

static bool is_dims(const rt_onnx_reader *r, const rt_onnx_node *node) {
    const rt_read *read = rt_read_of(r, node, 0);
    return read != NULL && read->kind == RT_READ_DIMS;
}

static bool known_integer(const rt_onnx_reader *r, int value, int64_t *out) {
    const rt_content *content = value >= 0 ? &value_of(r, value)->content : NULL;
    bool known = content != NULL && content->known && content->count == 1 && content->symbols == 0;
    if (known) *out = content->at[0];
    return known;
}

static bool gather(rt_onnx_reader *r, const rt_onnx_node *node) {
    int64_t which;
    if (is_dims(r, node)) {
        int index = rt_read_value(r, node, 1);
        return known_integer(r, index, &which) ? one_dim(r, node, which, value_of(r, index)->rank == 1)
                                               : rt_read_refuse(r, "one of the dims");
    }
    const rt_onnx_tensor *codes = rt_read_tensor(r->index, rt_read_input(node, 0));
    int64_t axis = rt_read_int(node, "axis", 0), offset;
    int places = rt_read_places(r, node, 1, &offset);
    if (codes != NULL && rt_read_is_integer(codes) && codes->type != RT_ONNX_INT32) {
        rt_read picked = {.kind = RT_READ_PICKED, .value = places, .offset = offset, .codes = codes};
        return places >= 0 && (axis == 0 || rt_read_refuse(r, "rows of a table")) &&
               rt_read_put(r, node, 0, picked);
    }
    int data = rt_read_value(r, node, 0);
    return data >= 0 && rt_read_as(r, node, 0, rt_read_rows(r, data, places, offset, axis));
}

/* Unsqueeze and Squeeze: axes are an attribute until opset 12. */
static bool with_axes(rt_onnx_reader *r, const rt_onnx_node *node, rt_op op) {
    size_t count;
    int64_t axes[RT_MAX_RANK];
    int x = rt_read_value(r, node, 0);
    if (x < 0 || !integers(r, node, "axes", 1, &count, axes)) return rt_read_refuse(r, "known axes");
    if (count == 0 && op == RT_OP_SQUEEZE) {
        for (int i = 0; i < value_of(r, x)->rank; i++) {
            if (value_of(r, x)->dims[i] == 1) axes[count++] = i;
        }
    }
    if (count == 0) return rt_read_as(r, node, 0, x);
    return rt_read_as(r, node, 0, rt_read_emit2(r, op, x, rt_read_ints(r, count, axes)));
}

static bool unsqueeze(rt_onnx_reader *r, const rt_onnx_node *node) {
    return with_axes(r, node, RT_OP_UNSQUEEZE);
}

static bool squeeze(rt_onnx_reader *r, const rt_onnx_node *node) {
    return with_axes(r, node, RT_OP_SQUEEZE);
}

/* The dims from `start` to `end`: one of them. */
static bool slice_of_dims(rt_onnx_reader *r, const rt_onnx_node *node) {
    int64_t start, end, count = value_of(r, rt_read_of(r, node, 0)->value)->rank - 1;
    if (!known_integer(r, rt_read_value(r, node, 1), &start) ||
        !known_integer(r, rt_read_value(r, node, 2), &end))
        return rt_read_refuse(r, "one of the dims");
    if (start < 0) start += count;
    if (end < 0) end += count;
    if (end > count) end = count;
    return end == start + 1 ? one_dim(r, node, start, true) : rt_read_refuse(r, "one of the dims");
}

static bool slice(rt_onnx_reader *r, const rt_onnx_node *node) {
    int inputs[5] = {-1, -1, -1, -1, -1};
    int count = (int)rt_min(node->input_count, 5);
    if (is_dims(r, node)) return slice_of_dims(r, node);
    for (int i = 0; i < count; i++) {
        inputs[i] = rt_read_value(r, node, (size_t)i);
        bool needed = i < 3 || r->status != RETORT_OK;
        if (needed && inputs[i] < 0) return false;
    }
    return count >= 3 && rt_read_as(r, node, 0, rt_read_emit(r, RT_OP_SLICE, count, inputs, NULL));
}

/* Each part is a Slice. */
static bool split(rt_onnx_reader *r, const rt_onnx_node *node) {
    size_t count;
    int64_t sizes[RT_MAX_RANK], axis = rt_read_int(node, "axis", 0), start = 0;
    int x = rt_read_value(r, node, 0);
    if (x < 0 || !integers(r, node, "split", 1, &count, sizes)) return rt_read_refuse(r, "known sizes");
    int rank = value_of(r, x)->rank;
    if (axis < 0) axis += rank;
    if (axis < 0 || axis >= rank || node->output_count == 0 || (count > 0 && count != node->output_count))
        return rt_read_refuse(r, "a size for each output");
    int64_t dim = value_of(r, x)->dims[axis], parts = (int64_t)node->output_count;
    for (size_t i = 0; i < node->output_count; i++) {
        int64_t end = start + (count > 0 ? sizes[i] : (dim + parts - 1) / parts);
        if (end > dim) end = dim;
        int inputs[] = {x, rt_read_ints(r, 1, &start), rt_read_ints(r, 1, &end), rt_read_ints(r, 1, &axis)};
        if (dim < 0 || !rt_read_as(r, node, i, rt_read_emit(r, RT_OP_SLICE, 4, inputs, NULL))) return false;
        start = end;
    }
    return true;
}

static bool concat(rt_onnx_reader *r, const rt_onnx_node *node) {
    int inputs[8];
    if (node->input_count == 0 || node->input_count > 8) return rt_read_refuse(r, "at most 8 inputs");
    for (size_t i = 0; i < node->input_count; i++) {
        inputs[i] = rt_read_value(r, node, i);
        if (inputs[i] < 0) return false;
    }
    rt_attrs attrs = {.axis = rt_read_int(node, "axis", 0)};
    return rt_read_as(r, node, 0, rt_read_emit(r, RT_OP_CONCAT, (int)node->input_count, inputs, &attrs));
}

/* ---- Reshape ---- */

/* Whether Reshape puts the first two dims of x into one, and leaves the others. */
static bool merges(const rt_value *x, const rt_content *target) {
    if (x->rank < 3 || target->count != x->rank - 1) return false;
    bool first = (target->symbols & 1u) == 0 && target->at[0] == -1 && (x->dims[0] < 0 || x->dims[1] < 0);
    for (int i = 1; first && i < target->count; i++) {
        bool copied = (target->symbols >> i & 1u) == 0 && target->at[i] == -1;
        first = !copied && target->at[i] == x->dims[i + 1];
    }
    return first;
}

/* Back to the dims that were put into one. */
static bool unmerge(rt_onnx_reader *r, const rt_onnx_node *node, const rt_content *target) {
    const rt_read x = *rt_read_of(r, node, 0);
    const rt_value *v = value_of(r, x.value);
    int free = 0;
    bool fits = target->known && target->count == v->rank;
    for (int i = 0; fits && i < v->rank; i++) {
        int from = x.swapped && i >= v->rank - 2 ? 2 * v->rank - 3 - i : i;
        bool number = (target->symbols >> i & 1u) == 0;
        if (number && target->at[i] == -1) {
            free++;
        } else {
            fits = target->at[i] == v->dims[from];
        }
    }
    if (!fits || free > 1) return rt_read_refuse(r, "the shape before two dims were merged");
    if (!x.swapped) return rt_read_as(r, node, 0, x.value);
    rt_attrs attrs = {.perm_count = v->rank, .perm = {0, 1, v->rank == 3 ? 2 : 3, v->rank == 3 ? 1 : 2}};
    if (v->rank == 3) attrs.perm[1] = 2, attrs.perm[2] = 1;
    return rt_read_as(r, node, 0, rt_read_emit(r, RT_OP_TRANSPOSE, 1, &x.value, &attrs));
}

static bool reshape(rt_onnx_reader *r, const rt_onnx_node *node) {
    int target = rt_read_value(r, node, 1);
    if (target < 0) return false;
    const rt_content content = value_of(r, target)->content;
    if (is_merged(r, node, 0)) return unmerge(r, node, &content);
    int x = rt_read_value(r, node, 0);
    if (x < 0) return false;
    for (int i = 0; rt_read_int(node, "allowzero", 0) != 0 && content.known && i < content.count; i++) {
        if (content.at[i] == 0 && (content.symbols >> i & 1u) == 0) return rt_read_refuse(r, "no dim of 0");
    }
    if (content.known && merges(value_of(r, x), &content))
        return rt_read_put(r, node, 0, (rt_read){.kind = RT_READ_MERGED, .value = x});
    return rt_read_as(r, node, 0, rt_read_emit2(r, RT_OP_RESHAPE, x, target));
}

static int flattened(rt_onnx_reader *r, int x, int rank, const int64_t *dims) {
    return rt_read_emit2(r, RT_OP_RESHAPE, x, rt_read_ints(r, (size_t)rank, dims));
}

static bool flatten(rt_onnx_reader *r, const rt_onnx_node *node) {
    int64_t axis = rt_read_int(node, "axis", 1), before = 1;
    int x = rt_read_value(r, node, 0);
    if (x < 0) return false;
    const rt_value *v = value_of(r, x);
    if (axis < 0) axis += v->rank;
    for (int i = 0; i < axis && i < v->rank; i++)
        before = v->dims[i] < 0 || before < 0 ? -1 : before * v->dims[i];
    if (before < 0 || axis > v->rank) return rt_read_refuse(r, "known dims");
    return rt_read_as(r, node, 0, flattened(r, x, 2, (int64_t[]){before, -1}));
}

static bool transpose(rt_onnx_reader *r, const rt_onnx_node *node) {
    const rt_onnx_attr *perm = rt_onnx_attribute(node, "perm");
    rt_attrs attrs = {0};
    if (is_merged(r, node, 0)) {
        rt_read x = *rt_read_of(r, node, 0);
        if (perm == NULL || perm->count != 3 || perm->ints[0] != 0 || perm->ints[1] != 2)
            return rt_read_refuse(r, "the last two dims swapped");
        x.swapped = !x.swapped;
        return rt_read_put(r, node, 0, x);
    }
    int x = rt_read_value(r, node, 0);
    if (x < 0) return false;
    const rt_value *v = value_of(r, x);
    attrs.perm_count = v->rank;
    if (v->rank > 4 || (perm != NULL && perm->count != (size_t)v->rank))
        return rt_read_refuse(r, "at most 4 dims");
    for (int i = 0; i < v->rank; i++) {
        int64_t from = perm != NULL ? perm->ints[i] : v->rank - 1 - i;
        if (from < 0 || from >= v->rank) return rt_read_refuse(r, "a permutation");
        attrs.perm[i] = (int)from;
    }
    bool turned = v->rank == 2 && attrs.perm[0] == 1 && rt_value_is_constant(v) && v->dtype == RETORT_F32;
    if (turned && r->batch == NULL) return rt_read_as(r, node, 0, rt_read_turned(r, x));
    return rt_read_as(r, node, 0, rt_read_emit(r, RT_OP_TRANSPOSE, 1, &x, &attrs));
}

/* A table [heads, rows, n] for each sequence. */
static bool tile(rt_onnx_reader *r, const rt_onnx_node *node) {
    int x = rt_read_value(r, node, 0), by = rt_read_value(r, node, 1);
    if (x < 0 || by < 0) return false;
    const rt_content times = value_of(r, by)->content;
    const rt_value v = *value_of(r, x);
    bool evaluated = r->batch != NULL;
    bool fits = times.known && times.count == 3 && times.symbols == !evaluated &&
                times.at[0] == (evaluated ? r->batch->batch : RT_DIM_BATCH) && times.at[1] == 1 &&
                times.at[2] == 1 && v.rank == 3;
    for (int i = 0; fits && i < 3; i++) fits = v.dims[i] > 0;
    if (!fits) return rt_read_refuse(r, "a table of heads for each sequence");
    int wide = rt_read_emit2(r, RT_OP_UNSQUEEZE, x, rt_read_ints(r, 1, (int64_t[]){0}));
    if (evaluated) {
        const int64_t dims[] = {times.at[0], v.dims[0], v.dims[1], v.dims[2]};
        wide = rt_read_emit2(r, RT_OP_EXPAND, wide, rt_read_ints(r, 4, dims));
    }
    return wide >= 0 && rt_read_put(r, node, 0, (rt_read){.kind = RT_READ_MERGED, .value = wide});
}

static bool expand(rt_onnx_reader *r, const rt_onnx_node *node) {
    return binary(r, node, RT_OP_EXPAND);
}

/* ---- Logic and numbers that the graph has in other words ---- */

static bool where(rt_onnx_reader *r, const rt_onnx_node *node) {
    const rt_read *condition = rt_read_of(r, node, 0);
    bool guard = condition != NULL && condition->kind == RT_READ_NOT; /* against NaN: read_graph.c */
    int y = rt_read_value(r, node, 2);
    if (guard && y >= 0 && rt_read_tensor(r->index, rt_read_input(node, 0)) == NULL &&
        rt_read_maker(r->index, rt_read_input(node, 0)) != NULL)
        return rt_read_as(r, node, 0, y);
    int inputs[] = {rt_read_value(r, node, 0), rt_read_value(r, node, 1), y};
    if (inputs[0] < 0 || inputs[1] < 0 || y < 0) return false;
    return rt_read_as(r, node, 0, rt_read_emit(r, RT_OP_WHERE, 3, inputs, NULL));
}

static bool logical_not(rt_onnx_reader *r, const rt_onnx_node *node) {
    int x = rt_read_value(r, node, 0);
    return x >= 0 && rt_read_as(r, node, 0, negation(r, x));
}

/* a ? b : a, and a ? a : b */
static bool logical_and(rt_onnx_reader *r, const rt_onnx_node *node) {
    int a = rt_read_value(r, node, 0), b = rt_read_value(r, node, 1);
    return a >= 0 && b >= 0 &&
           rt_read_as(r, node, 0, rt_read_emit(r, RT_OP_WHERE, 3, (int[]){a, b, a}, NULL));
}

static bool logical_or(rt_onnx_reader *r, const rt_onnx_node *node) {
    int a = rt_read_value(r, node, 0), b = rt_read_value(r, node, 1);
    return a >= 0 && b >= 0 &&
           rt_read_as(r, node, 0, rt_read_emit(r, RT_OP_WHERE, 3, (int[]){a, a, b}, NULL));
}

/* a >= b when the greater of both is a. */
static int at_least(rt_onnx_reader *r, int a, int b) {
    if (a < 0 || b < 0) return -1;
    return rt_read_emit2(r, RT_OP_EQUAL, rt_read_emit2(r, RT_OP_MAX, a, b), a);
}

static bool greater_or_equal(rt_onnx_reader *r, const rt_onnx_node *node) {
    return rt_read_as(r, node, 0, at_least(r, rt_read_value(r, node, 0), rt_read_value(r, node, 1)));
}

static bool less_or_equal(rt_onnx_reader *r, const rt_onnx_node *node) {
    return rt_read_as(r, node, 0, at_least(r, rt_read_value(r, node, 1), rt_read_value(r, node, 0)));
}

static bool less(rt_onnx_reader *r, const rt_onnx_node *node) {
    int greater = at_least(r, rt_read_value(r, node, 0), rt_read_value(r, node, 1));
    return greater >= 0 && rt_read_as(r, node, 0, negation(r, greater));
}

static bool greater(rt_onnx_reader *r, const rt_onnx_node *node) {
    int lesser = at_least(r, rt_read_value(r, node, 1), rt_read_value(r, node, 0));
    return lesser >= 0 && rt_read_as(r, node, 0, negation(r, lesser));
}

static bool maximum(rt_onnx_reader *r, const rt_onnx_node *node) {
    return node->input_count == 1   ? same(r, node)
           : node->input_count == 2 ? binary(r, node, RT_OP_MAX)
                                    : rt_read_refuse(r, "two inputs");
}

static bool minimum(rt_onnx_reader *r, const rt_onnx_node *node) {
    if (node->input_count != 2) return rt_read_refuse(r, "two inputs");
    int a = negated(r, rt_read_value(r, node, 0)), b = negated(r, rt_read_value(r, node, 1));
    return a >= 0 && b >= 0 && rt_read_as(r, node, 0, negated(r, rt_read_emit2(r, RT_OP_MAX, a, b)));
}

static bool negative(rt_onnx_reader *r, const rt_onnx_node *node) {
    return rt_read_as(r, node, 0, negated(r, rt_read_value(r, node, 0)));
}

static bool absolute(rt_onnx_reader *r, const rt_onnx_node *node) {
    int x = rt_read_value(r, node, 0);
    return x >= 0 && rt_read_as(r, node, 0, rt_read_emit2(r, RT_OP_MAX, x, negated(r, x)));
}

static int as(rt_onnx_reader *r, int x, retort_dtype dtype) {
    return x >= 0 ? rt_read_emit(r, RT_OP_CAST, 1, &x, &(rt_attrs){.dtype = dtype}) : -1;
}

/* Of integers: whether x > 0 less whether x < 0. */
static bool sign(rt_onnx_reader *r, const rt_onnx_node *node) {
    int x = rt_read_value(r, node, 0);
    if (x < 0) return false;
    if (value_of(r, x)->dtype != RETORT_I64) return rt_read_refuse(r, "integers");
    int zero = rt_read_index(r, 0);
    int above = as(r, negation(r, at_least(r, zero, x)), RETORT_I64);
    int below = as(r, negation(r, at_least(r, x, zero)), RETORT_I64);
    return above >= 0 && below >= 0 && rt_read_as(r, node, 0, rt_read_emit2(r, RT_OP_SUB, above, below));
}

/* The whole part, and 1 more where x is larger. */
static bool ceiling(rt_onnx_reader *r, const rt_onnx_node *node) {
    int x = rt_read_value(r, node, 0);
    if (x < 0) return false;
    int whole = as(r, as(r, x, RETORT_I64), RETORT_F32);
    int more = as(r, negation(r, at_least(r, whole, x)), RETORT_F32);
    return whole >= 0 && more >= 0 && rt_read_as(r, node, 0, rt_read_emit2(r, RT_OP_ADD, whole, more));
}

static bool clip(rt_onnx_reader *r, const rt_onnx_node *node) {
    int x = rt_read_value(r, node, 0);
    if (rt_onnx_attribute(node, "min") != NULL || rt_onnx_attribute(node, "max") != NULL)
        return rt_read_refuse(r, "bounds as inputs");
    if (x >= 0 && rt_read_input(node, 1)[0] != '\0') {
        int low = rt_read_value(r, node, 1);
        x = low >= 0 ? rt_read_emit2(r, RT_OP_MAX, x, low) : -1;
    }
    if (x >= 0 && rt_read_input(node, 2)[0] != '\0') {
        int high = negated(r, rt_read_value(r, node, 2)), turned = negated(r, x);
        x = high >= 0 && turned >= 0 ? negated(r, rt_read_emit2(r, RT_OP_MAX, turned, high)) : -1;
    }
    return rt_read_as(r, node, 0, x);
}

static bool reciprocal(rt_onnx_reader *r, const rt_onnx_node *node) {
    int x = rt_read_value(r, node, 0);
    return x >= 0 && rt_read_as(r, node, 0, rt_read_emit2(r, RT_OP_DIV, rt_read_scalar(r, 1), x));
}

/* x is NaN when it is not equal to itself. */
static bool is_nan(rt_onnx_reader *r, const rt_onnx_node *node) {
    int x = rt_read_value(r, node, 0);
    return x >= 0 && rt_read_as(r, node, 0, negation(r, rt_read_emit2(r, RT_OP_EQUAL, x, x)));
}

static bool constant_of_shape(rt_onnx_reader *r, const rt_onnx_node *node) {
    const rt_onnx_attr *given = rt_onnx_attribute(node, "value");
    int shape = rt_read_value(r, node, 0), number;
    if (shape < 0) return false;
    if (given == NULL) {
        number = rt_read_scalar(r, 0);
    } else {
        rt_onnx_tensor scalar = *given->tensor;
        if (scalar.rank > 1 || (scalar.rank == 1 && scalar.dims[0] != 1))
            return rt_read_refuse(r, "one number");
        scalar.rank = 0;
        scalar.name = node->outputs[0];
        number = rt_read_constant(r, &scalar);
    }
    const rt_content *content = &value_of(r, shape)->content;
    if (content->known && content->count == 0) return rt_read_as(r, node, 0, number);
    return rt_read_as(r, node, 0, rt_read_emit2(r, RT_OP_EXPAND, number, shape));
}

/* 0, 1, … n-1 for n a value: a sum along ones. */
static int counted(rt_onnx_reader *r, int n) {
    int length = value_of(r, n)->rank == 0
                     ? rt_read_emit2(r, RT_OP_UNSQUEEZE, n, rt_read_ints(r, 1, (int64_t[]){0}))
                     : n;
    int ones = rt_read_emit2(r, RT_OP_EXPAND, rt_read_index(r, 1), length);
    int sums = rt_read_emit(r, RT_OP_CUM_SUM, 1, &ones, &(rt_attrs){.axis = 0});
    return rt_read_emit2(r, RT_OP_SUB, sums, rt_read_index(r, 1));
}

static bool range(rt_onnx_reader *r, const rt_onnx_node *node) {
    int start = rt_read_value(r, node, 0), limit = rt_read_value(r, node, 1),
        step = rt_read_value(r, node, 2);
    if (start < 0 || limit < 0 || step < 0) return false;
    if (!is_number(r, start, 0) || !is_number(r, step, 1) || value_of(r, limit)->dtype != RETORT_I64)
        return rt_read_refuse(r, "consecutive integers from 0");
    return rt_read_as(r, node, 0, counted(r, limit));
}

static bool cumulative_sum(rt_onnx_reader *r, const rt_onnx_node *node) {
    int x = rt_read_value(r, node, 0), axis = rt_read_value(r, node, 1);
    if (x < 0 || axis < 0) return false;
    const rt_content *content = &value_of(r, axis)->content;
    if (!content->known || content->symbols != 0 || content->count != 1 ||
        rt_read_int(node, "exclusive", 0) != 0 || rt_read_int(node, "reverse", 0) != 0)
        return rt_read_refuse(r, "an inclusive forward sum along a known axis");
    return rt_read_as(r, node, 0, rt_read_emit(r, RT_OP_CUM_SUM, 1, &x, &(rt_attrs){.axis = content->at[0]}));
}

/* Elements of a matrix [rows, columns] that two indices name: of its elements in one row. */
static int element_at(rt_onnx_reader *r, int data, int row, int column) {
    int shape = rt_read_emit1(r, RT_OP_SHAPE, data);
    int columns =
        rt_read_emit(r, RT_OP_GATHER, 2, (int[]){shape, rt_read_index(r, 1)}, &(rt_attrs){.axis = 0});
    int at = rt_read_emit2(r, RT_OP_ADD, rt_read_emit2(r, RT_OP_MUL, row, columns), column);
    int flat = flattened(r, data, 1, (int64_t[]){-1});
    return rt_read_emit(r, RT_OP_GATHER, 2, (int[]){flat, at}, &(rt_attrs){.axis = 0});
}

/* Of a matrix alone: data[i, j] for the pairs (i, j) along the last axis. */
static bool gather_nd(rt_onnx_reader *r, const rt_onnx_node *node) {
    int data = rt_read_value(r, node, 0), pairs = rt_read_value(r, node, 1);
    if (data < 0 || pairs < 0) return false;
    const rt_value *v = value_of(r, pairs);
    if (value_of(r, data)->rank != 2 || rt_read_int(node, "batch_dims", 0) != 0 || v->rank < 1 ||
        v->dims[v->rank - 1] != 2)
        return rt_read_refuse(r, "pairs of indices into a matrix");
    rt_attrs attrs = {.axis = v->rank - 1};
    int row = rt_read_emit(r, RT_OP_GATHER, 2, (int[]){pairs, rt_read_index(r, 0)}, &attrs);
    int column = rt_read_emit(r, RT_OP_GATHER, 2, (int[]){pairs, rt_read_index(r, 1)}, &attrs);
    return rt_read_as(r, node, 0, element_at(r, data, row, column));
}

/* Of products [batch, heads, queries, rows] those at the distances of queries and keys. */
static bool gather_distances(rt_onnx_reader *r, const rt_onnx_node *node) {
    rt_read x = *rt_read_of(r, node, 0);
    const rt_read *index = rt_read_of(r, node, 1);
    const rt_value *v = value_of(r, x.value);
    int64_t axis = rt_read_int(node, "axis", 0), to[] = {0, 1, 2, 2};
    bool fits = index != NULL && index->kind == RT_READ_VALUE && index->heads > 0 && !x.swapped &&
                (axis == 2 || axis == -1) && v->rank == 4 && v->dims[0] == RT_DIM_BATCH &&
                v->dims[1] == index->heads && v->dims[2] == RT_DIM_SEQ;
    if (!fits) return rt_read_refuse(r, "distances of queries and keys");
    int axes = rt_read_ints(r, 2, (int64_t[]){0, 1});
    int wide = rt_read_emit2(r, RT_OP_UNSQUEEZE, index->value, axes);
    int shape = rt_read_emit(r, RT_OP_GATHER, 2,
                             (int[]){rt_read_emit1(r, RT_OP_SHAPE, x.value), rt_read_ints(r, 4, to)},
                             &(rt_attrs){.axis = 0});
    int rows = rt_read_emit2(r, RT_OP_EXPAND, wide, shape);
    x.value = rt_read_emit(r, RT_OP_GATHER_ELEMENTS, 2, (int[]){x.value, rows}, &(rt_attrs){.axis = 3});
    return x.value >= 0 && rt_read_put(r, node, 0, x);
}

/* Of a matrix along its rows alone, data[i, indices[i, j]]; of what has more dims as it is. */
static bool gather_elements(rt_onnx_reader *r, const rt_onnx_node *node) {
    if (is_merged(r, node, 0)) return gather_distances(r, node);
    int data = rt_read_value(r, node, 0), indices = rt_read_value(r, node, 1);
    int64_t axis = rt_read_int(node, "axis", 0);
    if (data < 0 || indices < 0) return false;
    if (value_of(r, data)->rank > 2)
        return rt_read_as(
            r, node, 0,
            rt_read_emit(r, RT_OP_GATHER_ELEMENTS, 2, (int[]){data, indices}, &(rt_attrs){.axis = axis}));
    if (value_of(r, data)->rank != 2 || value_of(r, indices)->rank != 2 || (axis != 1 && axis != -1))
        return rt_read_refuse(r, "elements of each row of a matrix");
    int shape = rt_read_emit1(r, RT_OP_SHAPE, indices);
    int rows = rt_read_emit(r, RT_OP_GATHER, 2, (int[]){shape, rt_read_index(r, 0)}, &(rt_attrs){.axis = 0});
    int row = rows < 0
                  ? -1
                  : rt_read_emit2(r, RT_OP_UNSQUEEZE, counted(r, rows), rt_read_ints(r, 1, (int64_t[]){1}));
    return rt_read_as(r, node, 0, element_at(r, data, row, indices));
}

/* ---- Rows ---- */

static bool reduce(rt_onnx_reader *r, const rt_onnx_node *node, rt_op op) {
    size_t count;
    int64_t axes[RT_MAX_RANK];
    int x = rt_read_value(r, node, 0);
    if (x < 0 || !integers(r, node, "axes", 1, &count, axes)) return rt_read_refuse(r, "known axes");
    if (count == 0 && rt_read_int(node, "noop_with_empty_axes", 0) != 0) return rt_read_as(r, node, 0, x);
    bool whole = value_of(r, x)->dtype == RETORT_I64;
    if (whole) x = rt_read_emit(r, RT_OP_CAST, 1, &x, &(rt_attrs){.dtype = RETORT_F32});
    rt_attrs attrs = {.keepdims = rt_read_int(node, "keepdims", 1) != 0};
    int out = rt_read_emit(r, op, 2, (int[]){x, rt_read_ints(r, count, axes)}, &attrs);
    if (whole) out = rt_read_emit(r, RT_OP_CAST, 1, &out, &(rt_attrs){.dtype = RETORT_I64});
    return rt_read_as(r, node, 0, out);
}

static bool reduce_mean(rt_onnx_reader *r, const rt_onnx_node *node) {
    return reduce(r, node, RT_OP_REDUCE_MEAN);
}

static bool reduce_sum(rt_onnx_reader *r, const rt_onnx_node *node) {
    return reduce(r, node, RT_OP_REDUCE_SUM);
}

static bool reduce_max(rt_onnx_reader *r, const rt_onnx_node *node) {
    return reduce(r, node, RT_OP_REDUCE_MAX);
}

/* Until opset 12 Softmax takes all axes from its axis on as one. */
static bool softmax(rt_onnx_reader *r, const rt_onnx_node *node) {
    enum { ONE_AXIS = 13 };
    int x = rt_read_value(r, node, 0);
    if (x < 0) return false;
    bool one = r->index->opset >= ONE_AXIS;
    int64_t axis = rt_read_int(node, "axis", one ? -1 : 1);
    int rank = value_of(r, x)->rank;
    if (axis < 0) axis += rank;
    if (!one && axis != rank - 1) return rt_read_refuse(r, "the last axis");
    return rt_read_as(
        r, node, 0, rt_read_emit(r, RT_OP_SOFTMAX, 1, &x, &(rt_attrs){.axis = axis == rank - 1 ? -1 : axis}));
}

/* Zeros like a vector of floats. */
static int zeros_like(rt_onnx_reader *r, int vector) {
    const rt_value *v = value_of(r, vector);
    if (v->rank != 1 || v->dims[0] < 0 || !rt_value_is_constant(v)) return -1;
    int64_t n = v->dims[0];
    return rt_read_floats(r, 1, &n, rt_graph_alloc(r->graph, (size_t)n * sizeof(float)));
}

static bool layer_normalization(rt_onnx_reader *r, const rt_onnx_node *node) {
    int inputs[] = {rt_read_value(r, node, 0), rt_read_value(r, node, 1), rt_read_value(r, node, 2)};
    if (inputs[0] < 0 || inputs[1] < 0) return false;
    if (rt_read_input(node, 2)[0] == '\0') inputs[2] = zeros_like(r, inputs[1]);
    int64_t axis = rt_read_int(node, "axis", -1);
    if (inputs[2] < 0 || (axis != -1 && axis != value_of(r, inputs[0])->rank - 1))
        return rt_read_refuse(r, "the last axis, with a vector of gains");
    rt_attrs attrs = {.epsilon = rt_read_real(node, "epsilon", 1e-5f)};
    return rt_read_as(r, node, 0, rt_read_emit(r, RT_OP_LAYER_NORMALIZATION, 3, inputs, &attrs));
}

static bool gelu(rt_onnx_reader *r, const rt_onnx_node *node) {
    int x = rt_read_value(r, node, 0);
    bool tanh = strcmp(rt_read_text(node, "approximate"), "tanh") == 0;
    return x >= 0 && rt_read_as(r, node, 0, rt_read_gelu(r, x, tanh));
}

/* ---- Products ---- */

static bool matmul(rt_onnx_reader *r, const rt_onnx_node *node) {
    if (is_merged(r, node, 0) && is_merged(r, node, 1)) return both_merged(r, node, RT_OP_MATMUL);
    if (is_merged(r, node, 0)) return on_merged(r, node, RT_OP_MATMUL, rt_read_value(r, node, 1), true);
    return binary(r, node, RT_OP_MATMUL);
}

static bool gemm(rt_onnx_reader *r, const rt_onnx_node *node) {
    bool plain = rt_read_real(node, "alpha", 1) == 1 && rt_read_real(node, "beta", 1) == 1 &&
                 rt_read_int(node, "transA", 0) == 0;
    bool turned = rt_read_int(node, "transB", 0) != 0, biased = rt_read_input(node, 2)[0] != '\0';
    int weight = rt_read_value(r, node, 1), bias = rt_read_value(r, node, 2);
    if (!plain) return rt_read_refuse(r, "x w + b with factors of 1");
    if (weight < 0 || (biased && bias < 0)) return false;
    if (is_merged(r, node, 0)) {
        if (turned) weight = rt_read_turned(r, weight);
        if (weight < 0 || !on_merged(r, node, RT_OP_MATMUL, weight, true)) return false;
        rt_read out = r->reads[rt_read_find(r->index, node->outputs[0])];
        if (biased) out.value = rt_read_emit2(r, RT_OP_ADD, out.value, bias);
        return out.value >= 0 && rt_read_put(r, node, 0, out);
    }
    int x = rt_read_value(r, node, 0);
    if (x < 0) return false;
    return rt_read_as(r, node, 0,
                      rt_read_emit(r, RT_OP_GEMM, biased ? 3 : 2, (int[]){x, weight, bias},
                                   &(rt_attrs){.trans_b = turned}));
}

/* ---- The table ---- */

rt_reader_fn rt_read_find_row(const rt_read_row *rows, size_t count, const char *op) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rows[i].op, op) == 0) return rows[i].read;
    }
    return NULL;
}

rt_reader_fn rt_read_operator(const rt_onnx_node *node) {
    static const rt_read_row rows[] = {
        {"Abs", absolute},
        {"Add", add},
        {"And", logical_and},
        {"Cast", cast},
        {"Ceil", ceiling},
        {"Clip", clip},
        {"Concat", concat},
        {"ConstantOfShape", constant_of_shape},
        {"Cos", cosine},
        {"CumSum", cumulative_sum},
        {"Div", divide},
        {"Dropout", same},
        {"Equal", equal},
        {"Erf", error_function},
        {"Expand", expand},
        {"Flatten", flatten},
        {"Gather", gather},
        {"GatherElements", gather_elements},
        {"GatherND", gather_nd},
        {"Gelu", gelu},
        {"Gemm", gemm},
        {"Greater", greater},
        {"GreaterOrEqual", greater_or_equal},
        {"Identity", same},
        {"IsNaN", is_nan},
        {"LayerNormalization", layer_normalization},
        {"Less", less},
        {"LessOrEqual", less_or_equal},
        {"Log", natural_log},
        {"MatMul", matmul},
        {"Max", maximum},
        {"Min", minimum},
        {"Mul", product},
        {"Neg", negative},
        {"Not", logical_not},
        {"Or", logical_or},
        {"Pow", power},
        {"Range", range},
        {"Reciprocal", reciprocal},
        {"ReduceMax", reduce_max},
        {"ReduceMean", reduce_mean},
        {"ReduceSum", reduce_sum},
        {"Relu", rectify},
        {"Reshape", reshape},
        {"Shape", shape},
        {"Sign", sign},
        {"Sigmoid", sigmoid},
        {"Sin", sine},
        {"Slice", slice},
        {"Softmax", softmax},
        {"Softplus", softplus},
        {"Split", split},
        {"Sqrt", root},
        {"Squeeze", squeeze},
        {"Sub", sub},
        {"Tile", tile},
        {"Tanh", tangent},
        {"Transpose", transpose},
        {"Unsqueeze", unsqueeze},
        {"Where", where},
    };
    bool own = node->domain[0] == '\0';
    if (!own && strcmp(node->domain, "com.microsoft") != 0) return NULL;
    rt_reader_fn read = own ? rt_read_find_row(rows, sizeof rows / sizeof *rows, node->op) : NULL;
    if (read == NULL) read = rt_read_integer_operator(node);
    return read != NULL ? read : rt_read_microsoft(node);
}
