/* SPDX-License-Identifier: Apache-2.0 */
#include "base/names.h"
#include "format/json.h"
#include "format/safetensors.h"
#include "format/tensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A cache line: what the kernels load at a time, and a divisor of the page a mapping starts at. */
enum { DATA_ALIGNMENT = 64 };
/* The length and the opening brace. */
enum { HEADER_BEGIN = 9 };

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

/* {"dtype", "shape", "data_offsets"} */
static void append_entry(rt_buffer *header, const rt_tensor *tensor, size_t begin, size_t end) {
    rt_buffer_format(header, ":{\"dtype\":\"%s\",\"shape\":[", dtype_text(tensor->dtype));
    for (int i = 0; i < tensor->rank; i++) {
        rt_buffer_format(header, "%s%" PRId64, i > 0 ? "," : "", tensor->shape[i]);
    }
    rt_buffer_format(header, "],\"data_offsets\":[%zu,%zu]}", begin, end);
}

static retort_status add_tensor(rt_buffer *header, const char *path, const rt_tensor *tensor, bool last,
                                size_t *at, retort_error *err) {
    size_t bytes, end;
    if (!tensor_bytes(tensor, &bytes) || !rt_add(*at, bytes, &end) || end > INT64_MAX) {
        return bad_tensor(err, path, tensor, "has a shape or a dtype that cannot be written");
    }
    if (!last && bytes % DATA_ALIGNMENT != 0) {
        return rt_fail(err, RETORT_ARGUMENT,
                       "%s: tensor '%s' has %zu bytes, not a multiple of %d, and is not the last", path,
                       tensor->name, bytes, DATA_ALIGNMENT);
    }
    if (header->length > HEADER_BEGIN) rt_buffer_text(header, ",");
    if (!rt_json_append(header, tensor->name))
        return bad_tensor(err, path, tensor, "has a name that is not UTF-8");
    append_entry(header, tensor, *at, end);
    *at = end;
    return RETORT_OK;
}

static retort_status add_metadata(rt_buffer *header, const char *path, const char *const *keys,
                                  const char *const *values, size_t count, retort_error *err) {
    rt_buffer_text(header, "\"__metadata__\":{");
    for (size_t i = 0; i < count; i++) {
        if (i > 0) rt_buffer_text(header, ",");
        bool valid = rt_json_append(header, keys[i]);
        rt_buffer_text(header, ":");
        if (!valid || !rt_json_append(header, values[i])) {
            return rt_fail(err, RETORT_ARGUMENT, "%s: metadata '%s' is not UTF-8", path, keys[i]);
        }
    }
    rt_buffer_text(header, "}");
    return RETORT_OK;
}

/* A JSON object may hold a key once. Sorts `names`. */
static retort_status check_unique(const char **names, size_t count, const char *path, retort_error *err) {
    if (count > 1) qsort(names, count, sizeof *names, rt_compare_names);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(names[i - 1], names[i]) != 0) continue;
        return rt_fail(err, RETORT_ARGUMENT, "%s: the name '%s' is given twice", path, names[i]);
    }
    return RETORT_OK;
}

static retort_status check_names(const char *path, const rt_tensor *tensors, size_t count,
                                 const char *const *keys, size_t metadata_count, retort_error *err) {
    size_t most = rt_max(count + 1, metadata_count);
    const char **names = rt_calloc(most, sizeof *names);
    if (names == NULL) return rt_fail_nomem(err, most * sizeof *names);
    for (size_t i = 0; i < count; i++) names[i] = tensors[i].name;
    names[count] = "__metadata__";
    retort_status status = check_unique(names, count + 1, path, err);
    for (size_t i = 0; i < metadata_count; i++) names[i] = keys[i];
    if (status == RETORT_OK) status = check_unique(names, metadata_count, path, err);
    free(names);
    return status;
}

/* Padded with spaces so that the data after it is aligned; then its length is known. */
static retort_status finish_header(rt_buffer *header, const char *path, retort_error *err) {
    rt_buffer_text(header, "}");
    while (!header->failed && header->length % DATA_ALIGNMENT != 0) rt_buffer_text(header, " ");
    if (header->failed) return rt_fail_nomem(err, header->length);
    uint64_t length = header->length - 8;
    if (length > RT_SAFETENSORS_MAX_HEADER) {
        return rt_fail(err, RETORT_LIMIT, "%s: a header of %" PRIu64 " bytes; the format allows %d", path,
                       length, RT_SAFETENSORS_MAX_HEADER);
    }
    for (unsigned i = 0; i < 8; i++) header->data[i] = (char)(length >> 8 * i & 0xff);
    return RETORT_OK;
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
    size_t at = 0;
    rt_buffer_append(&header, "\0\0\0\0\0\0\0\0{", HEADER_BEGIN); /* the length is filled in last */
    retort_status status = check_names(path, tensors, count, keys, metadata_count, err);
    if (status == RETORT_OK && metadata_count > 0) {
        status = add_metadata(&header, path, keys, values, metadata_count, err);
    }
    for (size_t i = 0; i < count && status == RETORT_OK; i++) {
        status = add_tensor(&header, path, &tensors[i], i + 1 == count, &at, err);
    }
    if (status == RETORT_OK) status = finish_header(&header, path, err);
    if (status == RETORT_OK) status = write_file(path, &header, tensors, count, err);
    rt_buffer_free(&header);
    return status;
}
