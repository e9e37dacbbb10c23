/* SPDX-License-Identifier: Apache-2.0
 * From the plain structs to protobuf's, whose bytes go to memory or, piece by piece, to a file. */
#include "onnx/onnx.h"
#include "onnx/message.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    EXTERNAL_MIN = 1024,  /* bytes of a tensor that is worth a place outside */
    EXTERNAL_UNIT = 4096, /* pages: such a tensor can be mapped by itself */
    DATA_LOCATION_EXTERNAL = 1
};

/* Messages live in the arena; a failed allocation is noted, and later ones give NULL too. */
typedef struct maker {
    rt_arena arena;
    bool failed;
    const char *location; /* of external data; NULL: all inside */
    uint64_t at;          /* end of the external data so far */
} maker;

static void *make(maker *m, size_t count, size_t size) {
    void *out = m->failed ? NULL : rt_arena_calloc(&m->arena, count == 0 ? 1 : count, size);
    m->failed = out == NULL;
    return out;
}

/* protobuf-c writes what its char pointers point to nowhere. */
static char *text(const char *constant) {
    return constant == NULL || constant[0] == '\0' ? NULL : (char *)(uintptr_t)constant;
}

static ProtobufCBinaryData bytes_of(const void *data, size_t length) {
    return (ProtobufCBinaryData){.len = length, .data = (uint8_t *)(uintptr_t)data};
}

static RtOnnx__Pair *pair(maker *m, const char *key, const char *value) {
    RtOnnx__Pair *out = make(m, 1, sizeof *out);
    if (out == NULL) return NULL;
    rt_onnx__pair__init(out);
    out->key = text(key);
    out->value = (char *)(uintptr_t)value;
    return out;
}

static RtOnnx__Pair *number_pair(maker *m, const char *key, uint64_t number) {
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%" PRIu64, number);
    return pair(m, key, rt_arena_text(&m->arena, digits, (size_t)length));
}

static void place_outside(maker *m, RtOnnx__Tensor *out, const rt_onnx_tensor *tensor) {
    m->at = (m->at + EXTERNAL_UNIT - 1) / EXTERNAL_UNIT * EXTERNAL_UNIT;
    RtOnnx__Pair **pairs = make(m, 3, sizeof *pairs);
    if (pairs == NULL) return;
    pairs[0] = pair(m, "location", m->location);
    pairs[1] = number_pair(m, "offset", m->at);
    pairs[2] = number_pair(m, "length", tensor->bytes);
    out->external_data = pairs;
    out->n_external_data = 3;
    out->has_data_location = true;
    out->data_location = DATA_LOCATION_EXTERNAL;
    m->at += tensor->bytes;
}

static bool goes_outside(const rt_onnx_tensor *tensor) {
    return tensor->bytes >= EXTERNAL_MIN;
}

static RtOnnx__Tensor *tensor_message(maker *m, const rt_onnx_tensor *tensor, bool inside) {
    RtOnnx__Tensor *out = make(m, 1, sizeof *out);
    if (out == NULL) return NULL;
    rt_onnx__tensor__init(out);
    out->name = text(tensor->name);
    out->n_dims = (size_t)tensor->rank;
    out->dims = (int64_t *)(uintptr_t)tensor->dims;
    out->has_data_type = true;
    out->data_type = (int32_t)tensor->type;
    if (!inside && m->location != NULL && goes_outside(tensor)) {
        place_outside(m, out, tensor);
    } else {
        out->has_raw_data = true;
        out->raw_data = bytes_of(tensor->data, tensor->bytes);
    }
    return out;
}

static RtOnnx__Attribute *attribute(maker *m, const rt_onnx_attr *attr) {
    RtOnnx__Attribute *out = make(m, 1, sizeof *out);
    if (out == NULL) return NULL;
    rt_onnx__attribute__init(out);
    out->name = text(attr->name);
    out->has_type = true;
    out->type = (int32_t)attr->kind;
    out->has_f = attr->kind == RT_ONNX_ATTR_FLOAT;
    out->f = attr->f;
    out->has_i = attr->kind == RT_ONNX_ATTR_INT;
    out->i = attr->i;
    out->has_s = attr->kind == RT_ONNX_ATTR_TEXT;
    if (out->has_s) out->s = bytes_of(attr->text, strlen(attr->text));
    if (attr->kind == RT_ONNX_ATTR_TENSOR) out->t = tensor_message(m, attr->tensor, true);
    if (attr->kind == RT_ONNX_ATTR_INTS) {
        out->n_ints = attr->count;
        out->ints = (int64_t *)(uintptr_t)attr->ints;
    }
    if (attr->kind == RT_ONNX_ATTR_FLOATS) {
        out->n_floats = attr->count;
        out->floats = (float *)(uintptr_t)attr->floats;
    }
    return out;
}

static RtOnnx__Node *node_message(maker *m, const rt_onnx_node *node) {
    RtOnnx__Node *out = make(m, 1, sizeof *out);
    RtOnnx__Attribute **attrs = make(m, node->attr_count, sizeof *attrs);
    if (out == NULL || attrs == NULL) return NULL;
    rt_onnx__node__init(out);
    out->n_input = node->input_count;
    out->input = (char **)(uintptr_t)node->inputs;
    out->n_output = node->output_count;
    out->output = (char **)(uintptr_t)node->outputs;
    out->name = text(node->name);
    out->op_type = text(node->op);
    out->domain = text(node->domain);
    out->n_attribute = node->attr_count;
    out->attribute = attrs;
    for (size_t i = 0; i < node->attr_count; i++) attrs[i] = attribute(m, &node->attrs[i]);
    return out;
}

static RtOnnx__Shape *shape_message(maker *m, const rt_onnx_value *value) {
    RtOnnx__Shape *out = make(m, 1, sizeof *out);
    RtOnnx__Dim **dims = make(m, (size_t)value->rank, sizeof *dims);
    if (out == NULL || dims == NULL) return NULL;
    rt_onnx__shape__init(out);
    out->n_dim = (size_t)value->rank;
    out->dim = dims;
    for (int i = 0; i < value->rank && (dims[i] = make(m, 1, sizeof **dims)) != NULL; i++) {
        rt_onnx__dim__init(dims[i]);
        dims[i]->has_dim_value = value->dims[i] >= 0;
        dims[i]->dim_value = value->dims[i];
        if (value->dims[i] < 0) dims[i]->dim_param = text(value->params[i]);
    }
    return out;
}

static RtOnnx__Value *value_message(maker *m, const rt_onnx_value *value) {
    RtOnnx__Value *out = make(m, 1, sizeof *out);
    RtOnnx__Type *type = make(m, 1, sizeof *type);
    RtOnnx__TensorType *tensor = make(m, 1, sizeof *tensor);
    if (out == NULL || type == NULL || tensor == NULL) return NULL;
    rt_onnx__value__init(out);
    rt_onnx__type__init(type);
    rt_onnx__tensor_type__init(tensor);
    out->name = text(value->name);
    out->type = type;
    type->tensor_type = tensor;
    tensor->has_elem_type = true;
    tensor->elem_type = (int32_t)value->type;
    tensor->shape = shape_message(m, value);
    return out;
}

static RtOnnx__Graph *graph_message(maker *m, const rt_onnx *onnx) {
    RtOnnx__Graph *out = make(m, 1, sizeof *out);
    RtOnnx__Node **nodes = make(m, onnx->node_count, sizeof *nodes);
    RtOnnx__Tensor **tensors = make(m, onnx->tensor_count, sizeof *tensors);
    RtOnnx__Value **inputs = make(m, onnx->input_count, sizeof *inputs);
    RtOnnx__Value **outputs = make(m, onnx->output_count, sizeof *outputs);
    if (m->failed) return NULL;
    rt_onnx__graph__init(out);
    for (size_t i = 0; i < onnx->node_count; i++) nodes[i] = node_message(m, &onnx->nodes[i]);
    for (size_t i = 0; i < onnx->tensor_count; i++) tensors[i] = tensor_message(m, &onnx->tensors[i], false);
    for (size_t i = 0; i < onnx->input_count; i++) inputs[i] = value_message(m, &onnx->inputs[i]);
    for (size_t i = 0; i < onnx->output_count; i++) outputs[i] = value_message(m, &onnx->outputs[i]);
    out->name = text(onnx->graph_name);
    out->n_node = onnx->node_count;
    out->node = nodes;
    out->n_initializer = onnx->tensor_count;
    out->initializer = tensors;
    out->n_input = onnx->input_count;
    out->input = inputs;
    out->n_output = onnx->output_count;
    out->output = outputs;
    return out;
}

static RtOnnx__Opset *opset_message(maker *m, const rt_onnx_pair *opset) {
    RtOnnx__Opset *out = make(m, 1, sizeof *out);
    if (out == NULL) return NULL;
    rt_onnx__opset__init(out);
    out->domain = text(opset->key);
    out->has_version = true;
    out->version = opset->version;
    return out;
}

/* NULL: out of memory. Sizes and data of tensors stay where they are. */
static RtOnnx__Model *model_message(maker *m, const rt_onnx *onnx) {
    RtOnnx__Model *out = make(m, 1, sizeof *out);
    RtOnnx__Opset **opsets = make(m, onnx->opset_count, sizeof *opsets);
    RtOnnx__Pair **metadata = make(m, onnx->metadata_count, sizeof *metadata);
    if (m->failed) return NULL;
    rt_onnx__model__init(out);
    out->has_ir_version = true;
    out->ir_version = onnx->ir_version;
    out->producer_name = text(onnx->producer);
    out->graph = graph_message(m, onnx);
    for (size_t i = 0; i < onnx->opset_count; i++) opsets[i] = opset_message(m, &onnx->opsets[i]);
    for (size_t i = 0; i < onnx->metadata_count; i++) {
        metadata[i] = pair(m, onnx->metadata[i].key, onnx->metadata[i].value);
    }
    out->n_opset_import = onnx->opset_count;
    out->opset_import = opsets;
    out->n_metadata_props = onnx->metadata_count;
    out->metadata_props = metadata;
    return m->failed ? NULL : out;
}

retort_status rt_onnx_pack(const rt_onnx *onnx, uint8_t **bytes, size_t *length, retort_error *err) {
    maker m = {0};
    retort_status status = RETORT_OK;
    const RtOnnx__Model *model = model_message(&m, onnx);
    size_t size = model != NULL ? rt_onnx__model__get_packed_size(model) : 0;
    uint8_t *out = NULL;
    if (size > RT_ONNX_MAX_BYTES) {
        status = rt_fail(err, RETORT_LIMIT, "an ONNX model of %zu bytes in memory; it may have %" PRId64,
                         size, RT_ONNX_MAX_BYTES);
    } else {
        out = model != NULL ? malloc(size + 1) : NULL;
        if (out == NULL) status = rt_fail_nomem(err, size);
    }
    if (out != NULL) {
        *length = rt_onnx__model__pack(model, out);
        *bytes = out;
    }
    rt_arena_free(&m.arena);
    return status;
}

/* ---- Files ---- */

/* protobuf-c's view of a writer: its append cannot fail, so the first failure is kept. */
typedef struct sink {
    ProtobufCBuffer base;
    rt_writer *writer;
    retort_status status;
    retort_error *err;
} sink;

static void append(ProtobufCBuffer *buffer, size_t length, const uint8_t *data) {
    sink *s = (sink *)buffer;
    if (s->status == RETORT_OK) s->status = rt_writer_write(s->writer, data, length, s->err);
}

static retort_status write_message(const RtOnnx__Model *model, rt_writer *writer, retort_error *err) {
    sink s = {.base = {.append = append}, .writer = writer, .err = err};
    rt_onnx__model__pack_to_buffer(model, &s.base);
    return s.status;
}

/* The tensors that go outside, at the places that place_outside gave them. */
static retort_status write_data(const rt_onnx *onnx, rt_writer *writer, retort_error *err) {
    static const char zeros[EXTERNAL_UNIT];
    retort_status status = RETORT_OK;
    for (size_t i = 0; status == RETORT_OK && i < onnx->tensor_count; i++) {
        if (!goes_outside(&onnx->tensors[i])) continue;
        size_t over = (size_t)(writer->written % EXTERNAL_UNIT);
        if (over > 0) status = rt_writer_write(writer, zeros, EXTERNAL_UNIT - over, err);
        if (status == RETORT_OK)
            status = rt_writer_write(writer, onnx->tensors[i].data, onnx->tensors[i].bytes, err);
    }
    return status;
}

/* The data is complete and in its place before the file that names it is. */
static retort_status save_files(const rt_onnx *onnx, const RtOnnx__Model *model, const char *path,
                                const char *data_path, uint64_t *bytes, retort_error *err) {
    rt_writer main = {0}, data = {0};
    *bytes = 0;
    retort_status status = rt_writer_open(&main, path, err);
    if (status == RETORT_OK) status = write_message(model, &main, err);
    if (status == RETORT_OK && data_path != NULL) {
        status = rt_writer_open(&data, data_path, err);
        if (status == RETORT_OK) status = write_data(onnx, &data, err);
        *bytes = data.written;
        if (status == RETORT_OK) status = rt_writer_commit(&data, err);
        rt_writer_abort(&data);
    }
    *bytes += main.written;
    if (status == RETORT_OK) status = rt_writer_commit(&main, err);
    rt_writer_abort(&main);
    return status;
}

/* "path.data", and its last component as the location. */
static char *name_data(maker *m, const char *path) {
    size_t size = strlen(path) + sizeof ".data";
    char *out = make(m, size, 1);
    if (out == NULL) return NULL;
    snprintf(out, size, "%s.data", path);
    const char *slash = strrchr(out, '/');
    m->location = slash != NULL ? slash + 1 : out;
    return out;
}

retort_status rt_onnx_save(const rt_onnx *onnx, const char *path, uint64_t external_over, uint64_t *bytes,
                           bool *external, retort_error *err) {
    maker m = {0};
    char *data_path = NULL;
    if (external_over == 0) external_over = RT_ONNX_MAX_BYTES;
    const RtOnnx__Model *model = model_message(&m, onnx);
    *external = model != NULL && rt_onnx__model__get_packed_size(model) > external_over;
    if (*external) {
        data_path = name_data(&m, path);
        model = model_message(&m, onnx);
    }
    retort_status status = model == NULL || m.failed ? rt_fail_nomem(err, sizeof *model)
                                                     : save_files(onnx, model, path, data_path, bytes, err);
    rt_arena_free(&m.arena);
    return status;
}
