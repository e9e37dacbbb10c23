/* SPDX-License-Identifier: Apache-2.0
 * Reader of safetensors: u64 length of the header, JSON header {name: {dtype, shape, data_offsets}}, data.
 * Makes the checks of the reference (safetensors 0.7, tensor.rs), and also refuses duplicate names. */
#include "base/cursor.h"
#include "format/format.h"
#include "format/json.h"
#include "format/safetensors.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

const rt_safetensors_dtype rt_safetensors_dtypes[] = {
    {"F32", RETORT_F32}, {"F16", RETORT_F16}, {"BF16", RETORT_BF16}, {"I64", RETORT_I64},
    {"I32", RETORT_I32}, {"I8", RETORT_S8},   {"U8", RETORT_U8},     {"BOOL", RETORT_BOOL},
};
const size_t rt_safetensors_dtype_count = sizeof rt_safetensors_dtypes / sizeof *rt_safetensors_dtypes;

typedef struct entry {
    rt_tensor tensor;
    size_t begin, end; /* in the data part */
} entry;

typedef struct reader {
    rt_tensors *out;
    const char *name;
    const uint8_t *data; /* what follows the header */
    size_t size;
    entry *entries;
    size_t count;
    retort_error *err;
} reader;

bool rt_safetensors_probe(const uint8_t *data, size_t size) {
    size_t i = 8;
    while (i < size && (data[i] == ' ' || data[i] == '\n' || data[i] == '\r' || data[i] == '\t')) i++;
    return i < size && data[i] == '{';
}

static bool get_count(const json_t *value, size_t *out) {
    if (!json_is_integer(value)) return false;
    json_int_t n = json_integer_value(value);
    if (n < 0 || n > (1LL << 53) - 1) return false; /* limit of the format: exact in a double */
    *out = (size_t)n;
    return true;
}

static retort_status read_dtype(const reader *r, entry *e, const json_t *value) {
    const char *text = json_string_value(value);
    for (size_t i = 0; text != NULL && i < rt_safetensors_dtype_count; i++) {
        if (strcmp(text, rt_safetensors_dtypes[i].name) != 0) continue;
        e->tensor.dtype = rt_safetensors_dtypes[i].dtype;
        return RETORT_OK;
    }
    return rt_fail(r->err, text == NULL ? RETORT_FORMAT : RETORT_UNSUPPORTED,
                   "%s: tensor '%s': dtype %s; expected F32, F16, BF16, I64, I32, I8, U8 or BOOL", r->name,
                   e->tensor.name, text == NULL ? "is missing" : text);
}

static retort_status read_shape(const reader *r, entry *e, const json_t *value) {
    size_t rank = json_array_size(value);
    if (!json_is_array(value) || rank > RT_MAX_RANK) {
        return rt_fail(r->err, RETORT_FORMAT,
                       "%s: tensor '%s': its shape is not a list of at most %d numbers", r->name,
                       e->tensor.name, RT_MAX_RANK);
    }
    e->tensor.rank = (int)rank;
    for (size_t i = 0; i < rank; i++) {
        size_t dim;
        if (!get_count(json_array_get(value, i), &dim)) {
            return rt_fail(r->err, RETORT_FORMAT, "%s: tensor '%s': dimension %zu is not a count", r->name,
                           e->tensor.name, i);
        }
        e->tensor.shape[i] = (int64_t)dim;
    }
    return RETORT_OK;
}

static retort_status read_offsets(const reader *r, entry *e, const json_t *value) {
    if (json_array_size(value) != 2 || !get_count(json_array_get(value, 0), &e->begin) ||
        !get_count(json_array_get(value, 1), &e->end)) {
        return rt_fail(r->err, RETORT_FORMAT, "%s: tensor '%s': data_offsets are not two counts", r->name,
                       e->tensor.name);
    }
    if (e->end < e->begin || e->end > r->size) {
        return rt_fail(r->err, RETORT_FORMAT, "%s: tensor '%s': data at %zu to %zu of %zu bytes", r->name,
                       e->tensor.name, e->begin, e->end, r->size);
    }
    size_t count, bytes;
    char shape[128];
    rt_shape_text(shape, sizeof shape, e->tensor.shape, e->tensor.rank);
    if (!rt_shape_count(e->tensor.shape, e->tensor.rank, &count) ||
        !rt_mul(count, rt_dtype_size(e->tensor.dtype), &bytes)) {
        return rt_fail(r->err, RETORT_FORMAT, "%s: tensor '%s': shape %s is too big for any memory", r->name,
                       e->tensor.name, shape);
    }
    if (bytes != e->end - e->begin) {
        return rt_fail(r->err, RETORT_FORMAT, "%s: tensor '%s': %s %s needs %zu bytes, found %zu", r->name,
                       e->tensor.name, retort_dtype_name(e->tensor.dtype), shape, bytes, e->end - e->begin);
    }
    e->tensor.data = r->data + e->begin;
    return RETORT_OK;
}

static retort_status read_entry(reader *r, const char *name, const json_t *value) {
    entry *e = &r->entries[r->count++];
    e->tensor.name = name;
    retort_status status = read_dtype(r, e, json_object_get(value, "dtype"));
    if (status == RETORT_OK) status = read_shape(r, e, json_object_get(value, "shape"));
    if (status == RETORT_OK) status = read_offsets(r, e, json_object_get(value, "data_offsets"));
    if (status == RETORT_OK && json_object_size(value) != 3) {
        status = rt_fail(r->err, RETORT_FORMAT,
                         "%s: tensor '%s': a key other than dtype, shape, data_offsets", r->name, name);
    }
    return status;
}

/* Copies strings, since the JSON tree is freed after reading. A key from an earlier shard stays. */
static retort_status read_metadata(reader *r, json_t *metadata) {
    rt_tensors *out = r->out;
    size_t total = out->metadata_count + json_object_size(metadata);
    if (total > INT_MAX ||
        !rt_grow((void **)&out->metadata, &out->metadata_capacity, total, sizeof *out->metadata))
        return rt_fail_nomem(r->err, total * sizeof *out->metadata);
    const char *key;
    json_t *value;
    json_object_foreach(metadata, key, value) {
        if (!json_is_string(value)) {
            return rt_fail(r->err, RETORT_FORMAT, "%s: __metadata__ '%.64s' is not text", r->name, key);
        }
        if (rt_tensors_metadata(out, key) != NULL) continue;
        char *key_copy = rt_arena_text(&out->arena, key, strlen(key));
        char *copy = rt_arena_text(&out->arena, json_string_value(value), json_string_length(value));
        int known, place = (int)out->metadata_count;
        if (key_copy == NULL || copy == NULL || !rt_names_add(&out->metadata_keys, key_copy, place, &known))
            return rt_fail_nomem(r->err, json_string_length(value));
        out->metadata[out->metadata_count].key = key_copy;
        out->metadata[out->metadata_count++].value = copy;
    }
    return RETORT_OK;
}

static int compare_offsets(const void *a, const void *b) {
    const entry *left = a, *right = b;
    if (left->begin != right->begin) return left->begin < right->begin ? -1 : 1;
    return left->end < right->end ? -1 : left->end > right->end;
}

/* Data may have no hole, no overlap and no tail: a second file could hide there. */
static retort_status check_layout(const reader *r) {
    size_t at = 0;
    qsort(r->entries, r->count, sizeof *r->entries, compare_offsets);
    for (size_t i = 0; i < r->count; i++) {
        const entry *e = &r->entries[i];
        if (e->begin != at) {
            return rt_fail(
                r->err, RETORT_FORMAT, "%s: tensor '%s': %s: expected it to begin at %zu, found %zu", r->name,
                e->tensor.name, e->begin < at ? "overlaps another" : "a hole before it", at, e->begin);
        }
        at = e->end;
    }
    if (at == r->size) return RETORT_OK;
    return rt_fail(r->err, RETORT_FORMAT, "%s: expected %zu bytes of tensors, found %zu", r->name, at,
                   r->size);
}

static retort_status read_header(reader *r, json_t *root) {
    size_t count = json_object_size(root);
    if (!json_is_object(root))
        return rt_fail(r->err, RETORT_FORMAT, "%s: its header is not an object", r->name);
    if (count > RT_MAX_TENSORS + 1) {
        return rt_fail(r->err, RETORT_LIMIT, "%s: %zu tensors; at most %d are read", r->name, count,
                       RT_MAX_TENSORS);
    }
    r->entries = rt_calloc(count, sizeof *r->entries);
    if (r->entries == NULL) return rt_fail_nomem(r->err, count * sizeof *r->entries);
    const char *key;
    json_t *value;
    retort_status status = RETORT_OK;
    json_object_foreach(root, key, value) {
        if (!json_is_object(value)) {
            status =
                rt_fail(r->err, RETORT_FORMAT, "%s: header entry '%.64s' is not an object", r->name, key);
        } else if (strcmp(key, "__metadata__") == 0) {
            status = read_metadata(r, value);
        } else {
            status = read_entry(r, key, value);
        }
        if (status != RETORT_OK) return status;
    }
    status = check_layout(r);
    for (size_t i = 0; i < r->count && status == RETORT_OK; i++) {
        status = rt_tensors_add(r->out, r->name, &r->entries[i].tensor, r->err);
    }
    /* transformers' TensorFlow classes say so when they write safetensors. */
    const char *writer = rt_tensors_metadata(r->out, "format");
    if (writer != NULL && strcmp(writer, "tf") == 0) r->out->naming = RT_NAMES_KERAS;
    return status;
}

retort_status rt_safetensors_read(rt_tensors *out, const char *name, const uint8_t *data, size_t size,
                                  retort_error *err) {
    rt_cursor cursor = rt_cursor_make(data, size);
    uint64_t length = 0;
    if (!rt_take_u64(&cursor, &length) || length > rt_cursor_left(&cursor)) {
        return rt_fail(err, RETORT_FORMAT, "%s: cut short: a header of %" PRIu64 " bytes in a file of %zu",
                       name, length, size);
    }
    if (length > RT_SAFETENSORS_MAX_HEADER) {
        return rt_fail(err, RETORT_LIMIT, "%s: a header of %" PRIu64 " bytes; at most %d are read", name,
                       length, RT_SAFETENSORS_MAX_HEADER);
    }
    const uint8_t *header = rt_take(&cursor, (size_t)length);
    reader r = {out, name, cursor.at, rt_cursor_left(&cursor), NULL, 0, err};
    json_t *root = NULL;
    retort_status status = rt_json_parse(&root, name, header, (size_t)length, err);
    if (status == RETORT_OK) status = read_header(&r, root);
    json_decref(root);
    free(r.entries);
    return status;
}

retort_status rt_safetensors_parse(rt_tensors *out, const char *name, const uint8_t *data, size_t size,
                                   retort_error *err) {
    static const rt_format format = {"safetensors", rt_safetensors_probe, rt_safetensors_read, NULL};
    return rt_tensors_parse(out, &format, name, data, size, err);
}
