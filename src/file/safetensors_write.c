/* SPDX-License-Identifier: Apache-2.0 */
#include "file/json.h"
#include "file/safetensors.h"
#include "file/tensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A cache line: what the kernels load at a time, and a divisor of the page a mapping starts at. */
enum { DATA_ALIGNMENT = 64 };

static retort_status bad_tensor(retort_error *err, const char *path, const rt_tensor *tensor,
                                const char *why) {
    return rt_fail(err, RETORT_ARGUMENT, "%s: tensor '%s' %s", path, tensor->name, why);
}

static const char *dtype_text(retort_dtype dtype) {
    for (size_t i = 0; i < rt_safetensors_dtype_count; i++) {
        if (rt_safetensors_dtypes[i].dtype == dtype) return rt_safetensors_dtypes[i].name;
    }
    return NULL;
}

static bool tensor_bytes(const rt_tensor *tensor, size_t *bytes) {
    size_t count;
    return dtype_text(tensor->dtype) != NULL && tensor->rank >= 0 && tensor->rank <= RT_MAX_RANK &&
           rt_shape_count(tensor->shape, tensor->rank, &count) &&
           rt_mul(count, rt_dtype_size(tensor->dtype), bytes);
}

/* {"dtype", "shape", "data_offsets"}; NULL when out of memory. */
static json_t *entry_json(const rt_tensor *tensor, size_t begin, size_t end) {
    json_t *shape = json_array();
    for (int i = 0; i < tensor->rank; i++) json_array_append_new(shape, json_integer(tensor->shape[i]));
    if (json_array_size(shape) != (size_t)tensor->rank) {
        json_decref(shape);
        return NULL;
    }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype_text(tensor->dtype), "shape", shape,
                     "data_offsets", (json_int_t)begin, (json_int_t)end);
}

static retort_status add_entry(json_t *root, const char *path, const rt_tensor *tensor, bool last, size_t *at,
                               retort_error *err) {
    size_t bytes, end;
    if (!tensor_bytes(tensor, &bytes) || !rt_add(*at, bytes, &end) || end > INT64_MAX) {
        return bad_tensor(err, path, tensor, "has a shape or a dtype that cannot be written");
    }
    if (!last && bytes % DATA_ALIGNMENT != 0) {
        return rt_fail(err, RETORT_ARGUMENT,
                       "%s: tensor '%s' has %zu bytes, not a multiple of %d, and is not the last", path,
                       tensor->name, bytes, DATA_ALIGNMENT);
    }
    if (strcmp(tensor->name, "__metadata__") == 0 || json_object_get(root, tensor->name) != NULL) {
        return bad_tensor(err, path, tensor, "has a name that is taken");
    }
    if (json_object_set_new(root, tensor->name, entry_json(tensor, *at, end)) != 0) {
        return rt_fail(err, RETORT_NOMEM, "%s: tensor '%s': out of memory, or its name is not UTF-8", path,
                       tensor->name);
    }
    *at = end;
    return RETORT_OK;
}

static retort_status add_metadata(json_t *root, const char *path, const char *const *keys,
                                  const char *const *values, size_t count, retort_error *err) {
    if (count == 0) return RETORT_OK;
    json_t *metadata = json_object();
    if (json_object_set_new(root, "__metadata__", metadata) != 0) return rt_fail_nomem(err, sizeof(json_t));
    for (size_t i = 0; i < count; i++) {
        if (json_object_get(metadata, keys[i]) != NULL) {
            return rt_fail(err, RETORT_ARGUMENT, "%s: metadata '%s' is given twice", path, keys[i]);
        }
        if (json_object_set_new(metadata, keys[i], json_string(values[i])) != 0) {
            return rt_fail(err, RETORT_NOMEM, "%s: metadata '%s': out of memory, or not UTF-8", path,
                           keys[i]);
        }
    }
    return RETORT_OK;
}

/* The header's text, padded with spaces so that the data after it is aligned; the caller frees it. */
static retort_status dump_header(rt_buffer *out, const char *path, const json_t *root, retort_error *err) {
    char *text = json_dumps(root, JSON_COMPACT);
    if (text == NULL) return rt_fail(err, RETORT_NOMEM, "%s: out of memory for the header", path);
    size_t length = strlen(text), padded = rt_round_up(8 + length, DATA_ALIGNMENT) - 8;
    if (padded > RT_SAFETENSORS_MAX_HEADER) {
        free(text);
        return rt_fail(err, RETORT_LIMIT, "%s: a header of %zu bytes; the format allows %d", path, padded,
                       RT_SAFETENSORS_MAX_HEADER);
    }
    for (unsigned shift = 0; shift < 64; shift += 8) {
        rt_buffer_append(out, &(uint8_t){(uint8_t)((uint64_t)padded >> shift)}, 1);
    }
    rt_buffer_append(out, text, length);
    for (; length < padded; length++) rt_buffer_append(out, " ", 1);
    free(text);
    return out->failed ? rt_fail_nomem(err, padded) : RETORT_OK;
}

static retort_status write_file(const char *path, const rt_buffer *header, const rt_tensor *tensors,
                                size_t count, retort_error *err) {
    rt_writer writer;
    retort_status status = rt_writer_open(&writer, path, err);
    if (status == RETORT_OK) status = rt_writer_write(&writer, header->data, header->length, err);
    for (size_t i = 0; i < count && status == RETORT_OK; i++) {
        size_t bytes = 0;
        tensor_bytes(&tensors[i], &bytes);
        status = rt_writer_write(&writer, tensors[i].data, bytes, err);
    }
    if (status == RETORT_OK) status = rt_writer_commit(&writer, err);
    rt_writer_abort(&writer);
    return status;
}

retort_status rt_safetensors_write(const char *path, const rt_tensor *tensors, size_t count,
                                   const char *const *keys, const char *const *values, size_t metadata_count,
                                   retort_error *err) {
    rt_buffer header = {0};
    json_t *root = json_object();
    if (root == NULL) return rt_fail_nomem(err, sizeof(json_t));
    retort_status status = add_metadata(root, path, keys, values, metadata_count, err);
    size_t at = 0;
    for (size_t i = 0; i < count && status == RETORT_OK; i++) {
        status = add_entry(root, path, &tensors[i], i + 1 == count, &at, err);
    }
    if (status == RETORT_OK) status = dump_header(&header, path, root, err);
    if (status == RETORT_OK) status = write_file(path, &header, tensors, count, err);
    json_decref(root);
    rt_buffer_free(&header);
    return status;
}
