/* SPDX-License-Identifier: Apache-2.0
 * The messages of tensorflow/core/protobuf/tensor_bundle.proto: BundleHeaderProto and BundleEntryProto. */
#include "format/bundle.h"

#include <inttypes.h>

/* By DataType of tensorflow/core/framework/types.proto: what is read, and what has only a name. */
static const struct {
    const char *name;
    bool read;
    retort_dtype dtype;
} dtypes[] = {
    [1] = {"float", true, RETORT_F32},      [2] = {"double", false, RETORT_F32},
    [3] = {"int32", true, RETORT_I32},      [4] = {"uint8", true, RETORT_U8},
    [5] = {"int16", false, RETORT_F32},     [6] = {"int8", true, RETORT_S8},
    [7] = {"string", false, RETORT_F32},    [8] = {"complex64", false, RETORT_F32},
    [9] = {"int64", true, RETORT_I64},      [10] = {"bool", true, RETORT_BOOL},
    [14] = {"bfloat16", true, RETORT_BF16}, [19] = {"half", true, RETORT_F16},
};
enum { DTYPES = sizeof dtypes / sizeof *dtypes };

/* What tf.train.Checkpoint and Keras's save_weights put beside the tensors: then these are named by the
 * objects that own them. */
static const char OBJECT_GRAPH[] = "_CHECKPOINTABLE_OBJECT_GRAPH";

/* A field of a message: its number and its value (varint, 32 or 64 bits), or its bytes. */
typedef struct field {
    uint64_t number, value;
    rt_cursor bytes;
} field;

bool rt_bundle_varint(rt_cursor *c, uint64_t *out) {
    uint8_t byte = 0x80;
    *out = 0;
    for (int shift = 0; shift < 64 && (byte & 0x80) != 0; shift += 7) {
        if (!rt_take_u8(c, &byte)) return false;
        *out |= (uint64_t)(byte & 0x7f) << shift;
    }
    return (byte & 0x80) == 0;
}

static bool next_field(rt_cursor *c, field *out) {
    uint64_t tag, length;
    uint32_t word;
    *out = (field){0};
    if (!rt_bundle_varint(c, &tag)) return false;
    out->number = tag >> 3;
    switch (tag & 7) {
    case 0:
        return rt_bundle_varint(c, &out->value);
    case 1:
        return rt_take_u64(c, &out->value);
    case 2:
        if (!rt_bundle_varint(c, &length) || length > rt_cursor_left(c)) return false;
        out->bytes = rt_cursor_make(rt_take(c, (size_t)length), (size_t)length);
        return true;
    case 5:
        if (!rt_take_u32(c, &word)) return false;
        out->value = word;
        return true;
    default:
        return false; /* groups, which proto3 does not have */
    }
}

/* num_shards 1, endianness 2 (0: little), version 3. */
retort_status rt_bundle_header(rt_bundle *out, const char *name, rt_cursor value, retort_error *err) {
    field f;
    bool big = false;
    while (rt_cursor_left(&value) > 0) {
        if (!next_field(&value, &f)) {
            return rt_fail(err, RETORT_FORMAT, "%s: TensorFlow checkpoint: its header is malformed", name);
        }
        if (f.number == 1) out->shards = f.value;
        if (f.number == 2) big = f.value != 0;
    }
    if (big) return rt_fail(err, RETORT_UNSUPPORTED, "%s: written on a big-endian machine", name);
    if (out->shards >= 1 && out->shards <= RT_BUNDLE_SHARDS) return RETORT_OK;
    return rt_fail(err, RETORT_LIMIT, "%s: names %" PRIu64 " data files; expected 1 to %d", name, out->shards,
                   RT_BUNDLE_SHARDS);
}

/* TensorShapeProto: dim 2 {size 1, name 2}, unknown_rank 3. */
static bool read_shape(rt_tensor *out, rt_cursor shape) {
    field f, of;
    while (rt_cursor_left(&shape) > 0) {
        if (!next_field(&shape, &f) || f.number == 3) return false;
        if (f.number != 2) continue;
        if (out->rank == RT_MAX_RANK) return false;
        uint64_t size = 0;
        while (rt_cursor_left(&f.bytes) > 0) {
            if (!next_field(&f.bytes, &of)) return false;
            if (of.number == 1) size = of.value;
        }
        if (size > INT64_MAX) return false;
        out->shape[out->rank++] = (int64_t)size;
    }
    return true;
}

static retort_status check_dtype(rt_bundle_entry *out, const char *name, const char *key, uint64_t dtype,
                                 retort_error *err) {
    if (dtype < DTYPES && dtypes[dtype].read) {
        out->tensor.dtype = dtypes[dtype].dtype;
        return RETORT_OK;
    }
    if (strcmp(key, OBJECT_GRAPH) == 0) {
        return rt_fail(err, RETORT_UNSUPPORTED,
                       "%s: a checkpoint of TensorFlow 2's objects; expected one whose tensors have names "
                       "(bert/encoder/layer_0/…), as tf.compat.v1.train.Saver writes",
                       name);
    }
    return rt_fail(err, RETORT_UNSUPPORTED,
                   "%s: tensor '%s': expected float, half or bfloat16, found %s (type %" PRIu64 ")", name,
                   key, dtype < DTYPES && dtypes[dtype].name != NULL ? dtypes[dtype].name : "another", dtype);
}

/* dtype 1, shape 2, shard_id 3, offset 4, size 5, crc32c 6, slices 7. */
retort_status rt_bundle_entry_read(rt_bundle_entry *out, const char *name, const char *key, rt_cursor value,
                                   retort_error *err) {
    uint64_t dtype = 0;
    field f;
    *out = (rt_bundle_entry){0};
    while (rt_cursor_left(&value) > 0) {
        if (!next_field(&value, &f) || (f.number == 2 && !read_shape(&out->tensor, f.bytes))) {
            return rt_fail(err, RETORT_FORMAT, "%s: tensor '%s': its entry or shape is malformed", name, key);
        }
        if (f.number == 1) dtype = f.value;
        if (f.number == 3) out->shard = f.value;
        if (f.number == 4) out->offset = f.value;
        if (f.number == 5) out->size = f.value;
        if (f.number == 6) out->crc = (uint32_t)f.value;
        if (f.number == 7) {
            return rt_fail(err, RETORT_UNSUPPORTED, "%s: tensor '%s': a variable in slices is not supported",
                           name, key);
        }
    }
    return check_dtype(out, name, key, dtype, err);
}
