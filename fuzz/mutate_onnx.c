/* SPDX-License-Identifier: Apache-2.0
 * ONNX models by their messages: tensors, nodes, edges, attributes, metadata. What comes out is protobuf
 * again, also where it says nonsense. */
#include "mutate.h"

#include "onnx/onnx.h"
#include "onnx/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Names and lists ---- */

static void set_text(char **slot, const char *text) {
    char *copy = take_text(text, strlen(text));
    free(*slot);
    *slot = copy;
}

/* A name that stands somewhere in the graph. */
static const char *some_name(dice *d, const RtOnnx__Graph *g) {
    const RtOnnx__Node *node = g->n_node > 0 ? g->node[roll(d, g->n_node)] : NULL;
    const char *name = NULL;
    size_t kind = roll(d, 8);
    if (kind < 3 && g->n_initializer > 0) name = g->initializer[roll(d, g->n_initializer)]->name;
    if (kind > 2 && kind < 6 && node != NULL && node->n_output > 0)
        name = node->output[roll(d, node->n_output)];
    if (kind == 6 && g->n_input > 0) name = g->input[roll(d, g->n_input)]->name;
    return name != NULL ? name : "";
}

/* Room for one more item of a list of pointers, at its end. */
static void *grown(void *list, size_t count) {
    void **more = take(count + 1, sizeof *more);
    if (count > 0) memcpy(more, list, count * sizeof *more);
    free(list);
    return more;
}

/* Item `at` goes to the end of a list of pointers. */
static void *to_end(void *list, size_t count, size_t at) {
    void **items = list, *item = items[at];
    memmove(items + at, items + at + 1, (count - at - 1) * sizeof *items);
    items[count - 1] = item;
    return item;
}

static void swap_items(void *list, size_t a, size_t b) {
    void **items = list, *item = items[a];
    items[a] = items[b];
    items[b] = item;
}

/* A copy of a message, by its bytes. */
static void *copy_of(const ProtobufCMessage *message) {
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = take(size, 1);
    protobuf_c_message_pack(message, bytes);
    void *copy = protobuf_c_message_unpack(message->descriptor, NULL, size, bytes);
    free(bytes);
    if (copy == NULL) abort();
    return copy;
}

/* ---- Tensors ---- */

static const int32_t types[] = {RT_ONNX_FLOAT,
                                RT_ONNX_UINT8,
                                RT_ONNX_INT8,
                                RT_ONNX_INT32,
                                RT_ONNX_INT64,
                                RT_ONNX_BOOL,
                                RT_ONNX_FLOAT16,
                                RT_ONNX_DOUBLE,
                                RT_ONNX_BFLOAT16,
                                RT_ONNX_UINT4,
                                RT_ONNX_INT4,
                                0,
                                23};

static void set_dims(RtOnnx__Tensor *t, size_t count, const int64_t *dims) {
    int64_t *copy = take(count, sizeof *copy);
    memcpy(copy, dims, count * sizeof *dims);
    free(t->dims);
    t->dims = copy;
    t->n_dims = count;
}

/* Bytes that the dims and the type ask for; false for more than any test needs. */
static bool needed(const RtOnnx__Tensor *t, size_t *bytes) {
    size_t count;
    return t->n_dims <= RT_MAX_RANK && rt_shape_count(t->dims, (int)t->n_dims, &count) && count < 1 << 14 &&
           rt_onnx_bytes((rt_onnx_type)t->data_type, count, bytes);
}

/* As many bytes of data as the dims and the type ask for. */
static void fit_data(RtOnnx__Tensor *t) {
    size_t bytes;
    if (!t->has_raw_data || !needed(t, &bytes)) return;
    uint8_t *data = take(bytes == 0 ? 1 : bytes, 1);
    for (size_t i = 0; i < bytes && t->raw_data.len > 0; i++) data[i] = t->raw_data.data[i % t->raw_data.len];
    free(t->raw_data.data);
    t->raw_data = (ProtobufCBinaryData){.len = bytes, .data = data};
}

/* The data in the field of its type, in place of raw_data. */
static void type_data(RtOnnx__Tensor *t) {
    size_t bytes;
    if (!t->has_raw_data || !needed(t, &bytes) || t->n_float_data + t->n_int32_data + t->n_int64_data > 0)
        return;
    size_t count = 0;
    rt_shape_count(t->dims, (int)t->n_dims, &count);
    if (t->data_type == RT_ONNX_FLOAT) {
        t->float_data = take(count, sizeof *t->float_data);
        t->n_float_data = count;
    } else if (t->data_type == RT_ONNX_INT64) {
        t->int64_data = take(count, sizeof *t->int64_data);
        t->n_int64_data = count;
    } else {
        t->int32_data = take(count, sizeof *t->int32_data);
        t->n_int32_data = count;
    }
    t->has_raw_data = 0;
}

/* The same number of elements in other dims. */
static void regroup(dice *d, RtOnnx__Tensor *t) {
    int64_t dims[RT_MAX_RANK];
    size_t count = t->n_dims, a = roll(d, count), b = roll(d, count), kind = roll(d, 5);
    if (count == 0 || count >= RT_MAX_RANK) return;
    memcpy(dims, t->dims, count * sizeof *dims);
    int64_t all = 1;
    for (size_t i = 0; i < count; i++) all = (int64_t)((uint64_t)all * (uint64_t)dims[i]);
    if (kind == 0) {
        dims[a] = t->dims[b];
        dims[b] = t->dims[a];
    } else if (kind == 1) {
        for (size_t i = 0; i < count; i++) dims[i] = i == a ? all : 1;
    } else if (kind == 2) {
        dims[0] = all;
        count = 1;
    } else if (kind == 3) {
        dims[count++] = 1;
        dims[count - 1] = dims[a];
        dims[a] = 1;
    } else if (dims[a] % 2 == 0) {
        dims[a] /= 2;
        dims[count++] = 2;
    }
    set_dims(t, count, dims);
}

static void add_location(dice *d, RtOnnx__Tensor *t) {
    static const char *const keys[] = {"location", "offset", "length", "checksum", "x"};
    static const char *const values[] = {
        "model.onnx.data", "../x", "/etc/passwd", "0", "4096", "18446744073709551615", "-1", ""};
    RtOnnx__Pair *pair = take(1, sizeof *pair);
    rt_onnx__pair__init(pair);
    set_text(&pair->key, PICK(d, keys));
    set_text(&pair->value, PICK(d, values));
    t->external_data = grown(t->external_data, t->n_external_data);
    t->external_data[t->n_external_data++] = pair;
    t->has_data_location = 1;
    t->data_location = (int32_t)roll(d, 3);
}

static void change_tensor(dice *d, RtOnnx__Tensor *t, const RtOnnx__Graph *g) {
    int64_t dims[RT_MAX_RANK + 1] = {0};
    size_t kind = roll(d, 12), count = t->n_dims;
    if (count <= RT_MAX_RANK && count > 0) memcpy(dims, t->dims, count * sizeof *dims);
    if (kind < 2 && count > 0 && count <= RT_MAX_RANK) {
        dims[roll(d, count)] = odd_number(d);
        set_dims(t, count, dims);
    } else if (kind == 2 && count <= RT_MAX_RANK) {
        dims[count] = odd_number(d);
        set_dims(t, count + 1, dims);
    } else if (kind == 3 && count > 0) {
        set_dims(t, count - 1, dims);
    } else if (kind < 7) {
        regroup(d, t);
    } else if (kind == 7) {
        t->data_type = PICK(d, types);
    } else if (kind == 8 && t->has_raw_data) {
        change_bytes(d, t->raw_data.data, t->raw_data.len);
    } else if (kind == 9) {
        type_data(t);
    } else if (kind == 10) {
        set_text(&t->name, some_name(d, g));
    } else if (once_in(d, 4)) {
        add_location(d, t);
    }
    if (!once_in(d, 4)) fit_data(t);
}

/* ---- Nodes ---- */

static const char *const ops[] = {"Add",
                                  "Mul",
                                  "MatMul",
                                  "Gemm",
                                  "FusedGemm",
                                  "FusedMatMul",
                                  "MatMulNBits",
                                  "MatMulInteger",
                                  "DynamicQuantizeLinear",
                                  "DynamicQuantizeMatMul",
                                  "MatMulIntegerToFloat",
                                  "DequantizeLinear",
                                  "QuantizeLinear",
                                  "Attention",
                                  "QAttention",
                                  "MultiHeadAttention",
                                  "EmbedLayerNormalization",
                                  "QEmbedLayerNormalization",
                                  "SkipLayerNormalization",
                                  "LayerNormalization",
                                  "Gelu",
                                  "BiasGelu",
                                  "FastGelu",
                                  "Relu",
                                  "Tanh",
                                  "Erf",
                                  "Identity",
                                  "Cast",
                                  "Gather",
                                  "Slice",
                                  "Shape",
                                  "Reshape",
                                  "Transpose",
                                  "Softmax",
                                  "Where",
                                  "Constant",
                                  "Squeeze",
                                  "Unsqueeze",
                                  "Split",
                                  "Concat",
                                  "Sqrt",
                                  "Pow",
                                  "Div",
                                  "ReduceMean",
                                  "Reciprocal",
                                  "Flatten",
                                  "Sub",
                                  "QLinearMatMul",
                                  "QGemm",
                                  "IsNaN",
                                  "GreaterOrEqual"};
static const char *const keys[] = {
    "axis",      "axes",        "block_size", "K",          "N",           "bits",
    "num_heads", "epsilon",     "alpha",      "beta",       "transA",      "transB",
    "to",        "scale",       "value",      "activation", "approximate", "unidirectional",
    "do_rotary", "value_float", "value_int",  "perm",       "keepdims"};

static void change_attribute(dice *d, RtOnnx__Attribute *a) {
    static const char *const texts[] = {"Relu", "Tanh", "tanh", "none", ""};
    size_t kind = roll(d, 8);
    if (kind < 3 || (kind == 3 && a->t == NULL)) {
        a->has_i = 1;
        a->i = odd_number(d);
        if (a->n_ints > 0) a->ints[roll(d, a->n_ints)] = odd_number(d);
    } else if (kind == 3) {
        change_bytes(d, a->t->raw_data.data, a->t->has_raw_data ? a->t->raw_data.len : 0);
    } else if (kind == 4) {
        a->has_f = 1;
        a->f = odd_float(d);
    } else if (kind == 5) {
        set_text(&a->name, PICK(d, keys));
    } else if (kind == 6) {
        a->has_type = 1;
        a->type = (int32_t)roll(d, 9);
        if (a->type == RT_ONNX_ATTR_FLOATS && a->n_floats == 0) {
            a->floats = take(1, sizeof *a->floats);
            a->n_floats = 1;
        }
    } else {
        const char *text = PICK(d, texts);
        free(a->has_s ? a->s.data : NULL);
        a->has_s = 1;
        a->s = (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)take_text(text, strlen(text))};
    }
}

static RtOnnx__Attribute *add_attribute(RtOnnx__Node *n, const char *key, int64_t value) {
    RtOnnx__Attribute *a = take(1, sizeof *a);
    rt_onnx__attribute__init(a);
    set_text(&a->name, key);
    a->has_i = a->has_type = 1;
    a->i = value;
    a->type = RT_ONNX_ATTR_INT;
    n->attribute = grown(n->attribute, n->n_attribute);
    n->attribute[n->n_attribute++] = a;
    return a;
}

static void add_input(RtOnnx__Node *n, const char *name) {
    n->input = grown(n->input, n->n_input);
    n->input[n->n_input] = NULL;
    set_text(&n->input[n->n_input++], name);
}

static void change_node(dice *d, RtOnnx__Node *n, const RtOnnx__Graph *g) {
    static const char *const domains[] = {"", "com.microsoft", "ai.onnx", "x"};
    size_t kind = roll(d, 12);
    if (kind < 3 && n->n_input > 0) {
        set_text(&n->input[roll(d, n->n_input)], some_name(d, g));
    } else if (kind == 3) {
        add_input(n, some_name(d, g));
    } else if (kind == 4 && n->n_input > 0) {
        free(to_end(n->input, n->n_input, roll(d, n->n_input)));
        n->n_input--;
    } else if (kind == 5 && n->n_input > 1) {
        swap_items(n->input, roll(d, n->n_input), roll(d, n->n_input));
    } else if (kind == 6) {
        set_text(&n->op_type, PICK(d, ops));
    } else if (kind == 7) {
        set_text(&n->domain, PICK(d, domains));
    } else if (kind == 8) {
        add_attribute(n, PICK(d, keys), odd_number(d));
    } else if (kind == 9 && n->n_output > 0 && once_in(d, 4)) {
        set_text(&n->output[roll(d, n->n_output)], some_name(d, g));
    } else if (n->n_attribute > 0) {
        RtOnnx__Attribute *a = n->attribute[roll(d, n->n_attribute)];
        if (a->t != NULL && once_in(d, 2)) {
            change_tensor(d, a->t, g);
        } else {
            change_attribute(d, a);
        }
    }
}

/* ---- Integers in the place of a value ---- */

static RtOnnx__Tensor *add_tensor(RtOnnx__Graph *g, const char *name, int32_t type, size_t rank,
                                  const int64_t *dims) {
    RtOnnx__Tensor *t = take(1, sizeof *t);
    rt_onnx__tensor__init(t);
    set_text(&t->name, name);
    t->has_data_type = t->has_raw_data = 1;
    t->data_type = type;
    t->raw_data = (ProtobufCBinaryData){.len = 1, .data = (uint8_t *)take_text("\1", 1)};
    set_dims(t, rank, dims);
    fit_data(t);
    g->initializer = grown(g->initializer, g->n_initializer);
    g->initializer[g->n_initializer++] = t;
    return t;
}

/* Node `at` reads input `index` from a DequantizeLinear of its own, whose scales fit or nearly fit. */
static void add_integers(dice *d, RtOnnx__Graph *g, size_t at, size_t index) {
    static const int32_t codes[] = {RT_ONNX_INT8, RT_ONNX_UINT8, RT_ONNX_INT4, RT_ONNX_UINT4, RT_ONNX_INT32};
    static const int64_t sizes[] = {2, 4, 6};
    char names[4][16];
    int64_t dims[] = {PICK(d, sizes), PICK(d, sizes)}, block = (int64_t)roll(d, 4),
            axis = (int64_t)roll(d, 2);
    int64_t scales[] = {dims[0], dims[1]};
    if (block > 0) scales[axis] = (dims[axis] + block - 1) / block;
    for (size_t i = 0; i < 4; i++) snprintf(names[i], sizeof names[i], "%c%zu", "wszd"[i], roll(d, 1000000));
    add_tensor(g, names[0], PICK(d, codes), 2, dims);
    RtOnnx__Tensor *scale = block > 0 ? add_tensor(g, names[1], RT_ONNX_FLOAT, 2, scales)
                                      : add_tensor(g, names[1], RT_ONNX_FLOAT, 1, &scales[axis]);
    if (once_in(d, 2)) regroup(d, scale);
    RtOnnx__Node *n = take(1, sizeof *n);
    rt_onnx__node__init(n);
    set_text(&n->op_type, "DequantizeLinear");
    add_input(n, names[0]);
    add_input(n, names[1]);
    if (once_in(d, 3)) {
        add_tensor(g, names[2], RT_ONNX_INT8, block > 0 ? 2 : 1, block > 0 ? scales : &scales[axis]);
        add_input(n, names[2]);
    }
    add_attribute(n, "axis", once_in(d, 8) ? odd_number(d) : axis);
    if (block > 0) add_attribute(n, "block_size", once_in(d, 8) ? odd_number(d) : block);
    n->output = grown(NULL, 0);
    n->output[0] = NULL;
    n->n_output = 1;
    set_text(&n->output[0], names[3]);
    set_text(&g->node[at]->input[index], names[3]);
    g->node = grown(g->node, g->n_node);
    memmove(g->node + at + 1, g->node + at, (g->n_node - at) * sizeof *g->node);
    g->node[at] = n;
    g->n_node++;
}

/* ---- The graph and the model ---- */

static void change_order(dice *d, RtOnnx__Graph *g) {
    size_t at = roll(d, g->n_node), kind = roll(d, 3);
    if (kind == 0) swap_items(g->node, at, roll(d, g->n_node));
    if (kind == 1) {
        rt_onnx__node__free_unpacked(to_end(g->node, g->n_node, at), NULL);
        g->n_node--;
    }
    if (kind == 2) {
        g->node = grown(g->node, g->n_node);
        g->node[g->n_node++] = copy_of(&g->node[at]->base);
    }
}

static void change_initializers(dice *d, RtOnnx__Graph *g) {
    size_t at = roll(d, g->n_initializer);
    if (once_in(d, 2)) {
        rt_onnx__tensor__free_unpacked(to_end(g->initializer, g->n_initializer, at), NULL);
        g->n_initializer--;
    } else {
        g->initializer = grown(g->initializer, g->n_initializer);
        g->initializer[g->n_initializer++] = copy_of(&g->initializer[at]->base);
    }
}

static void change_value(dice *d, RtOnnx__Value *v, const RtOnnx__Graph *g) {
    RtOnnx__TensorType *type = v->type != NULL ? v->type->tensor_type : NULL;
    if (type == NULL || once_in(d, 2)) {
        set_text(&v->name, some_name(d, g));
    } else if (type->shape != NULL && type->shape->n_dim > 0 && once_in(d, 2)) {
        RtOnnx__Dim *dim = type->shape->dim[roll(d, type->shape->n_dim)];
        dim->has_dim_value = 1;
        dim->dim_value = odd_number(d);
    } else {
        type->has_elem_type = 1;
        type->elem_type = PICK(d, types);
    }
}

static void change_pair(dice *d, RtOnnx__Model *m) {
    RtOnnx__Pair *pair = m->metadata_props[roll(d, m->n_metadata_props)];
    if (pair->key == NULL || pair->value == NULL) return;
    if (once_in(d, 20)) {
        set_text(&pair->key, "retort.graph");
        return;
    }
    char *changed = change_metadata(d, pair->key, pair->value);
    free(pair->value);
    pair->value = changed;
}

static void change_model(dice *d, RtOnnx__Model *m) {
    RtOnnx__Graph *g = m->graph;
    size_t kind = roll(d, 40);
    if (m->n_metadata_props > 0 && once_in(d, 2)) {
        change_pair(d, m);
    } else if (kind == 0 && m->n_opset_import > 0) {
        m->opset_import[roll(d, m->n_opset_import)]->version = odd_number(d);
    } else if (kind == 1 && g->n_output > 0) {
        change_value(d, g->output[roll(d, g->n_output)], g);
    } else if (kind == 2 && g->n_input > 0) {
        change_value(d, g->input[roll(d, g->n_input)], g);
    } else if (kind < 5 && g->n_node > 0) {
        change_order(d, g);
    } else if (kind < 6 && g->n_initializer > 0) {
        change_initializers(d, g);
    } else if (kind < 20 && g->n_initializer > 0) {
        change_tensor(d, g->initializer[roll(d, g->n_initializer)], g);
    } else if (kind < 34 && g->n_node > 0) {
        change_node(d, g->node[roll(d, g->n_node)], g);
    } else if (g->n_node > 0) {
        size_t at = roll(d, g->n_node), inputs = g->node[at]->n_input;
        if (inputs > 0) add_integers(d, g, at, roll(d, inputs));
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    dice d = {seed};
    RtOnnx__Model *m = once_in(&d, 32) ? NULL : rt_onnx__model__unpack(NULL, size, data);
    if (m == NULL || m->graph == NULL) {
        if (m != NULL) rt_onnx__model__free_unpacked(m, NULL);
        return LLVMFuzzerMutate(data, size, max_size);
    }
    do change_model(&d, m);
    while (once_in(&d, 2));
    size_t length = rt_onnx__model__get_packed_size(m);
    if (length <= max_size) rt_onnx__model__pack(m, data);
    rt_onnx__model__free_unpacked(m, NULL);
    return length <= max_size ? length : LLVMFuzzerMutate(data, size, max_size);
}
