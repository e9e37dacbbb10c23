/* SPDX-License-Identifier: Apache-2.0
 * From bytes to the plain structs: protobuf-c parses, with a limit on the memory that a file may make it
 * take; then every tensor's shape is compared with its data. */
#include "base/budget.h"
#include "format/format.h"
#include "onnx/external.h"
#include "format/path.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    MOST_NODES = 1000000,
    /* Memory that parsing may take per byte of the file, and on top of that: the smallest node takes 2 bytes of a
     * file and a struct of 200. Real models take less than 2 per byte. */
    MOST_FOR_BYTE = 32,
    MOST_BESIDES = 1 << 24,
    DATA_LOCATION_EXTERNAL = 1
};

typedef struct reader {
    rt_onnx *out;
    const char *name, *folder;
    retort_error *err;
} reader;

/* ---- Memory of the parser ---- */

typedef struct memory {
    size_t left, taken;
    bool refused; /* by the budget */
} memory;

static void *take_memory(void *data, size_t size) {
    memory *m = data;
    if (size > m->left) return NULL;
    if (!rt_budget_take(size)) {
        m->refused = true;
        return NULL;
    }
    m->left -= size;
    m->taken += size;
    return malloc(size);
}

static void give_memory(void *data, void *pointer) {
    (void)data;
    free(pointer);
}

static retort_status unpack(const reader *r, const uint8_t *data, size_t size) {
    memory m = {0};
    m.left = size > SIZE_MAX / MOST_FOR_BYTE / 2 ? SIZE_MAX : size * MOST_FOR_BYTE + MOST_BESIDES;
    ProtobufCAllocator allocator = {take_memory, give_memory, &m};
    r->out->message = rt_onnx__model__unpack(&allocator, size, data);
    r->out->message_bytes = m.taken;
    if (r->out->message != NULL) return RETORT_OK;
    rt_onnx_close(r->out);
    if (m.refused) return rt_fail_nomem(r->err, m.taken);
    return rt_fail(r->err, RETORT_FORMAT, "%.200s: not an ONNX model (%zu bytes)", r->name, size);
}

/* ---- Parts ---- */

static retort_status no_memory(const reader *r) {
    return rt_fail_nomem(r->err, sizeof(rt_onnx_node));
}

static void *make(const reader *r, size_t count, size_t size) {
    return rt_arena_calloc(&r->out->arena, count == 0 ? 1 : count, size);
}

static const char *or_empty(const char *text) {
    return text != NULL ? text : "";
}

static retort_status bad_tensor(const reader *r, const rt_onnx_tensor *tensor, const char *why) {
    return rt_fail(r->err, RETORT_FORMAT, "%.200s: tensor '%.120s': %s", r->name, tensor->name, why);
}

/* The fields that hold one number for each element: of `in` bytes there, converted to `out` bytes. */
static retort_status narrow(const reader *r, rt_onnx_tensor *tensor, const void *data, size_t in) {
    size_t count = 0;
    rt_shape_count(tensor->dims, tensor->rank, &count);
    size_t out = count > 0 ? tensor->bytes / count : in;
    if (out >= in || count == 0) {
        tensor->data = data;
        return RETORT_OK;
    }
    uint8_t *bytes = make(r, count, out);
    if (bytes == NULL) return no_memory(r);
    for (size_t i = 0; i < count; i++) memcpy(bytes + i * out, (const uint8_t *)data + i * in, out);
    tensor->data = bytes;
    return RETORT_OK;
}

/* One row per data type: the field that may hold it instead of raw_data. */
static retort_status typed_data(const reader *r, const RtOnnx__Tensor *m, rt_onnx_tensor *tensor,
                                size_t count) {
    bool four = tensor->type == RT_ONNX_INT4 || tensor->type == RT_ONNX_UINT4;
    const struct {
        bool holds;
        size_t count, size;
        const void *data;
    } fields[] = {
        {tensor->type == RT_ONNX_FLOAT, m->n_float_data, sizeof(float), m->float_data},
        {tensor->type == RT_ONNX_INT64, m->n_int64_data, sizeof(int64_t), m->int64_data},
        {tensor->type == RT_ONNX_DOUBLE, m->n_double_data, sizeof(double), m->double_data},
        {!four, m->n_int32_data, sizeof(int32_t), m->int32_data},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (!fields[i].holds) continue;
        if (fields[i].count == count) return narrow(r, tensor, fields[i].data, fields[i].size);
        break;
    }
    return bad_tensor(r, tensor, "its data has another number of elements than its shape");
}

static retort_status tensor_data(const reader *r, const RtOnnx__Tensor *m, rt_onnx_tensor *tensor) {
    size_t count = 0;
    if (!rt_shape_count(tensor->dims, tensor->rank, &count) ||
        !rt_onnx_bytes(tensor->type, count, &tensor->bytes)) {
        char text[128], shape[64];
        rt_shape_text(shape, sizeof shape, tensor->dims, tensor->rank);
        snprintf(text, sizeof text, "data type %d of shape %s cannot be read", (int)tensor->type, shape);
        return bad_tensor(r, tensor, text);
    }
    if (m->has_data_location && m->data_location == DATA_LOCATION_EXTERNAL) {
        return rt_onnx_external(r->out, r->name, r->folder, m, tensor, r->err);
    }
    if (!m->has_raw_data) return typed_data(r, m, tensor, count);
    if (m->raw_data.len != tensor->bytes) {
        char text[96];
        snprintf(text, sizeof text, "%zu bytes of data, its shape needs %zu", m->raw_data.len, tensor->bytes);
        return bad_tensor(r, tensor, text);
    }
    tensor->data = m->raw_data.data;
    return RETORT_OK;
}

static retort_status read_tensor(const reader *r, const RtOnnx__Tensor *m, rt_onnx_tensor *out) {
    *out = (rt_onnx_tensor){.name = or_empty(m->name), .type = (rt_onnx_type)m->data_type};
    if (m->segment != NULL) return bad_tensor(r, out, "in segments, which nobody writes");
    if (m->n_dims > RT_MAX_RANK) return bad_tensor(r, out, "over 8 dimensions");
    out->rank = (int)m->n_dims;
    for (size_t i = 0; i < m->n_dims; i++) out->dims[i] = m->dims[i];
    retort_status status = tensor_data(r, m, out);
    bool integers = out->type == RT_ONNX_INT8 || out->type == RT_ONNX_UINT8 || out->type == RT_ONNX_INT4 ||
                    out->type == RT_ONNX_UINT4;
    size_t count;
    if (status == RETORT_OK && integers && rt_shape_count(out->dims, out->rank, &count))
        rt_budget_integers(count, out->bytes);
    return status;
}

static const char *text_of(const reader *r, const ProtobufCBinaryData *bytes) {
    return rt_arena_text(&r->out->arena, (const char *)bytes->data, bytes->len);
}

/* Old files omit the type; then the field that is set tells it. */
static rt_onnx_kind kind_of(const RtOnnx__Attribute *m) {
    if (m->has_type && m->type != 0) return (rt_onnx_kind)m->type;
    if (m->has_f) return RT_ONNX_ATTR_FLOAT;
    if (m->has_i) return RT_ONNX_ATTR_INT;
    if (m->has_s) return RT_ONNX_ATTR_TEXT;
    if (m->t != NULL) return RT_ONNX_ATTR_TENSOR;
    return m->n_floats > 0 ? RT_ONNX_ATTR_FLOATS : RT_ONNX_ATTR_INTS;
}

static retort_status read_attribute(const reader *r, const RtOnnx__Attribute *m, const char *node,
                                    rt_onnx_attr *out) {
    *out = (rt_onnx_attr){.name = or_empty(m->name), .kind = kind_of(m), .i = m->i, .f = m->f, .text = ""};
    if (m->has_g || m->n_graphs > 0) {
        return rt_fail(r->err, RETORT_UNSUPPORTED, "%.200s: node '%.120s': contains a subgraph", r->name,
                       node);
    }
    if (m->has_s && (out->text = text_of(r, &m->s)) == NULL) return no_memory(r);
    out->ints = m->ints;
    out->floats = m->floats;
    out->count = out->kind == RT_ONNX_ATTR_FLOATS ? m->n_floats : m->n_ints;
    if (out->kind != RT_ONNX_ATTR_TENSOR) return RETORT_OK;
    rt_onnx_tensor *tensor = make(r, 1, sizeof *tensor);
    if (tensor == NULL) return no_memory(r);
    out->tensor = tensor;
    if (m->t != NULL) return read_tensor(r, m->t, tensor);
    return rt_fail(r->err, RETORT_FORMAT, "%.200s: node '%.120s': a tensor is missing", r->name, node);
}

static retort_status read_node(const reader *r, const RtOnnx__Node *m, rt_onnx_node *out) {
    *out = (rt_onnx_node){.op = or_empty(m->op_type),
                          .domain = or_empty(m->domain),
                          .name = or_empty(m->name),
                          .inputs = (const char **)(uintptr_t)m->input,
                          .outputs = (const char **)(uintptr_t)m->output,
                          .input_count = m->n_input,
                          .output_count = m->n_output,
                          .attrs = make(r, m->n_attribute, sizeof(rt_onnx_attr)),
                          .attr_count = m->n_attribute};
    if (strcmp(out->domain, "ai.onnx") == 0) out->domain = "";
    if (out->name[0] == '\0' && m->n_output > 0) out->name = m->output[0];
    retort_status status = out->attrs != NULL ? RETORT_OK : no_memory(r);
    for (size_t i = 0; status == RETORT_OK && i < m->n_attribute; i++) {
        status = read_attribute(r, m->attribute[i], out->name, &out->attrs[i]);
    }
    return status;
}

static retort_status read_value(const reader *r, const RtOnnx__Value *m, rt_onnx_value *out) {
    *out = (rt_onnx_value){.name = or_empty(m->name), .rank = -1};
    const RtOnnx__TensorType *type = m->type != NULL ? m->type->tensor_type : NULL;
    if (type == NULL) return RETORT_OK;
    out->type = (rt_onnx_type)type->elem_type;
    if (type->shape == NULL) return RETORT_OK;
    if (type->shape->n_dim > RT_MAX_RANK) {
        return rt_fail(r->err, RETORT_FORMAT, "%.200s: value '%.120s': over 8 dimensions", r->name,
                       out->name);
    }
    out->rank = (int)type->shape->n_dim;
    for (int i = 0; i < out->rank; i++) {
        const RtOnnx__Dim *dim = type->shape->dim[i];
        out->dims[i] = dim->has_dim_value ? dim->dim_value : -1;
        out->params[i] = dim->dim_param;
    }
    return RETORT_OK;
}

/* ---- The whole ---- */

static retort_status check_model(const reader *r, const RtOnnx__Model *m) {
    const RtOnnx__Graph *graph = m->graph;
    const char *why = NULL;
    if (graph == NULL) {
        why = "no graph in it";
    } else if (graph->n_sparse_initializer > 0) {
        why = "sparse tensors are not supported";
    } else if (m->n_functions > 0) {
        why = "local functions are not supported; export without them";
    } else if (graph->n_node > MOST_NODES || graph->n_initializer > RT_MAX_TENSORS) {
        why = "more nodes or tensors than any encoder has";
    }
    return why == NULL ? RETORT_OK : rt_fail(r->err, RETORT_UNSUPPORTED, "%.200s: %s", r->name, why);
}

static bool read_pairs(rt_onnx *out, const RtOnnx__Model *m) {
    bool kept = true;
    for (size_t i = 0; kept && i < m->n_opset_import; i++) {
        const char *domain = or_empty(m->opset_import[i]->domain);
        if (strcmp(domain, "ai.onnx") == 0) domain = "";
        kept = rt_onnx_add_opset(out, domain, m->opset_import[i]->version);
    }
    for (size_t i = 0; kept && i < m->n_metadata_props; i++) {
        kept = rt_onnx_add_metadata(out, or_empty(m->metadata_props[i]->key),
                                    or_empty(m->metadata_props[i]->value));
    }
    return kept;
}

static retort_status read_graph(const reader *r, const RtOnnx__Graph *m) {
    retort_status status = RETORT_OK;
    for (size_t i = 0; status == RETORT_OK && i < m->n_initializer; i++) {
        rt_onnx_tensor *tensor = rt_onnx_add_tensor(r->out);
        status = tensor != NULL ? read_tensor(r, m->initializer[i], tensor) : no_memory(r);
    }
    for (size_t i = 0; status == RETORT_OK && i < m->n_node; i++) {
        rt_onnx_node *node = rt_onnx_add_node(r->out);
        status = node != NULL ? read_node(r, m->node[i], node) : no_memory(r);
    }
    for (size_t i = 0; status == RETORT_OK && i < m->n_input; i++) {
        rt_onnx_value *value = rt_onnx_add_input(r->out);
        status = value != NULL ? read_value(r, m->input[i], value) : no_memory(r);
    }
    for (size_t i = 0; status == RETORT_OK && i < m->n_output; i++) {
        rt_onnx_value *value = rt_onnx_add_output(r->out);
        status = value != NULL ? read_value(r, m->output[i], value) : no_memory(r);
    }
    return status;
}

retort_status rt_onnx_parse(rt_onnx *out, const char *name, const char *folder, const uint8_t *data,
                            size_t size, retort_error *err) {
    *out = (rt_onnx){0};
    reader r = {out, name, folder, err};
    retort_status status = unpack(&r, data, size);
    if (status != RETORT_OK) return status;
    status = check_model(&r, out->message);
    out->ir_version = out->message->ir_version;
    out->producer = or_empty(out->message->producer_name);
    if (status == RETORT_OK && !read_pairs(out, out->message)) status = no_memory(&r);
    if (status == RETORT_OK) status = read_graph(&r, out->message->graph);
    if (status != RETORT_OK) rt_onnx_close(out);
    return status;
}

retort_status rt_onnx_open(rt_onnx *out, const char *path, retort_error *err) {
    rt_map map;
    char folder[RT_PATH_SIZE];
    retort_status status = rt_path_folder(folder, path, err);
    if (status == RETORT_OK) status = rt_map_open(&map, path, err);
    if (status != RETORT_OK) return status;
    status = rt_onnx_parse(out, path, folder, map.data, map.size, err);
    rt_map_close(&map);
    return status;
}
