/* SPDX-License-Identifier: Apache-2.0 */
#include "format/format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool starts_with(const uint8_t *data, size_t size, const char *magic, size_t length) {
    return size >= length && memcmp(data, magic, length) == 0;
}
static bool lfs_probe(const uint8_t *data, size_t size) {
    return starts_with(data, size, "version https://git-lfs", 23);
}
static bool tar_probe(const uint8_t *data, size_t size) {
    return size >= 512 && memcmp(data + 257, "ustar", 5) == 0;
}
/* One row a format, tried from the top. Rows without a reader are there for the word they give. */
static const rt_format formats[] = {
    {"torch zip", rt_torch_zip_probe, rt_torch_zip_read, NULL},
    {"torch legacy", rt_torch_legacy_probe, rt_torch_legacy_read, NULL},
    {"tar", tar_probe, NULL, "a tar archive (torch before 0.1.10) is not read; load and save it with torch"},
    {"hdf5", rt_hdf5_probe, rt_hdf5_read, NULL},
    {"git lfs", lfs_probe, NULL, "a Git LFS pointer, not the weights; fetch them with 'git lfs pull'"},
    {"safetensors", rt_safetensors_probe, rt_safetensors_read, NULL},
};

retort_status rt_tensors_read(rt_tensors *out, const char *name, const uint8_t *data, size_t size,
                              retort_error *err) {
    if (size == 0) return rt_fail(err, RETORT_FORMAT, "%s: the file is empty", name);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (!formats[i].probe(data, size)) continue;
        if (formats[i].read != NULL) return formats[i].read(out, name, data, size, err);
        return rt_fail(err, RETORT_UNSUPPORTED, "%s: %s", name, formats[i].refusal);
    }
    return rt_fail(err, RETORT_FORMAT,
                   "%s: %zu bytes that are neither safetensors, a torch checkpoint nor HDF5", name, size);
}

retort_status rt_tensors_add(rt_tensors *out, const char *file, const rt_tensor *tensor, retort_error *err) {
    size_t length = strlen(tensor->name);
    if (length == 0 || length > RT_MAX_TENSOR_NAME) {
        return rt_fail(err, RETORT_LIMIT, "%s: a tensor's name of %zu bytes; expected 1 to %d", file, length,
                       RT_MAX_TENSOR_NAME);
    }
    if (out->count >= RT_MAX_TENSORS) {
        return rt_fail(err, RETORT_LIMIT, "%s: more than %d tensors", file, RT_MAX_TENSORS);
    }
    char *name = rt_arena_text(&out->arena, tensor->name, length);
    if (name == NULL || !rt_grow((void **)&out->items, &out->capacity, out->count + 1, sizeof *out->items)) {
        return rt_fail_nomem(err, (out->count + 1) * sizeof *out->items);
    }
    out->items[out->count] = *tensor;
    out->items[out->count++].name = name;
    return RETORT_OK;
}

static int compare_names(const void *a, const void *b) {
    const rt_tensor *left = a, *right = b;
    return strcmp(left->name, right->name);
}

retort_status rt_tensors_seal(rt_tensors *out, const char *file, retort_error *err) {
    if (out->count > 1) qsort(out->items, out->count, sizeof *out->items, compare_names);
    for (size_t i = 1; i < out->count; i++) {
        if (strcmp(out->items[i - 1].name, out->items[i].name) == 0) {
            return rt_fail(err, RETORT_FORMAT, "%s: tensor '%s' is there twice", file, out->items[i].name);
        }
    }
    return RETORT_OK;
}

retort_status rt_tensors_parse(rt_tensors *out, const rt_format *format, const char *name,
                               const uint8_t *data, size_t size, retort_error *err) {
    *out = (rt_tensors){0};
    retort_status status = format->read(out, name, data, size, err);
    if (status == RETORT_OK) status = rt_tensors_seal(out, name, err);
    if (status != RETORT_OK) rt_tensors_close(out);
    return status;
}

retort_status rt_tensors_open(rt_tensors *out, const char *path, retort_error *err) {
    *out = (rt_tensors){.maps = rt_calloc(1, sizeof *out->maps)};
    if (out->maps == NULL) return rt_fail_nomem(err, sizeof *out->maps);
    out->map_count = 1;
    retort_status status = rt_map_open(&out->maps[0], path, err);
    if (status == RETORT_OK) status = rt_tensors_read(out, path, out->maps[0].data, out->maps[0].size, err);
    if (status == RETORT_OK) status = rt_tensors_seal(out, path, err);
    if (status != RETORT_OK) rt_tensors_close(out);
    return status;
}

void rt_tensors_close(rt_tensors *tensors) {
    if (tensors == NULL) return;
    for (size_t i = 0; i < tensors->map_count; i++) rt_map_close(&tensors->maps[i]);
    free(tensors->maps);
    free(tensors->items);
    free(tensors->metadata);
    rt_names_free(&tensors->metadata_keys);
    rt_arena_free(&tensors->arena);
    *tensors = (rt_tensors){0};
}

const rt_tensor *rt_tensors_find(const rt_tensors *tensors, const char *name) {
    if (tensors->count == 0) return NULL;
    rt_tensor key = {.name = name};
    return bsearch(&key, tensors->items, tensors->count, sizeof *tensors->items, compare_names);
}

const char *rt_tensors_metadata(const rt_tensors *tensors, const char *key) {
    int place = rt_names_find(&tensors->metadata_keys, key, strlen(key));
    return place >= 0 ? tensors->metadata[place].value : NULL;
}
