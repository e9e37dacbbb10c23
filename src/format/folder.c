/* SPDX-License-Identifier: Apache-2.0
 * Finds the weight files of a Hugging Face folder. */
#include "base/map.h"
#include "base/names.h"
#include "format/bundle.h"
#include "format/format.h"
#include "format/json.h"
#include "format/path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static retort_status open_index(rt_tensors *out, const char *path, retort_error *err);

/* One row per file; the first that exists is read. */
static const struct {
    const char *name;
    retort_status (*open)(rt_tensors *out, const char *path, retort_error *err);
} weight_files[] = {
    {"model.safetensors", rt_tensors_open}, {"model.safetensors.index.json", open_index},
    {"pytorch_model.bin", rt_tensors_open}, {"pytorch_model.bin.index.json", open_index},
    {"tf_model.h5", rt_tensors_open},       {"bert_model.ckpt.index", rt_bundle_open},
    {"model.ckpt.index", rt_bundle_open},   {"checkpoint", rt_bundle_open_newest},
};
enum { WEIGHT_FILES = sizeof weight_files / sizeof *weight_files };

/* Other weight formats, named in the error if nothing readable exists. */
static const char *const other_files[] = {
    "tf_model.h5.index.json", "flax_model.msgpack", "saved_model.pb",
    "rust_model.ot",          "openvino_model.xml", "pytorch_model.pt",
};

/* Hugging Face splits at about 5 GB; this is ten times the shards of the largest model. */
enum { MAX_SHARDS = 1000 };

bool rt_plain_name(const char *name) {
    return name[0] != '\0' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
           strpbrk(name, "/\\") == NULL;
}

retort_status rt_path_folder(char *out, const char *path, retort_error *err) {
    const char *slash = strrchr(path, '/'), *rest = slash == NULL ? "." : slash == path ? "/" : "";
    size_t length = slash == NULL ? 0 : (size_t)(slash - path);
    if (length + 2 > RT_PATH_SIZE)
        return rt_fail(err, RETORT_LIMIT, "%.200s: a path of over %d bytes", path, RT_PATH_SIZE);
    memcpy(out, path, length);
    snprintf(out + length, RT_PATH_SIZE - length, "%s", rest);
    return RETORT_OK;
}

retort_status rt_path_in(char *out, const char *folder, const char *name, retort_error *err) {
    if (rt_path_join(out, RT_PATH_SIZE, folder, name)) return RETORT_OK;
    return rt_fail(err, RETORT_LIMIT, "%.200s: a path of more than %d bytes", folder, RT_PATH_SIZE);
}

static bool is_file_in(const char *folder, const char *name) {
    char path[RT_PATH_SIZE];
    return rt_path_join(path, sizeof path, folder, name) && rt_is_file(path);
}

static void append_name(rt_buffer *list, const char *name) {
    rt_buffer_format(list, "%s%s", list->length > 0 ? ", " : "", name);
}

static retort_status nothing_readable(const char *folder, retort_error *err) {
    rt_buffer found = {0}, readable = {0};
    if (!rt_is_folder(folder)) {
        return rt_fail(err, RETORT_IO, "%s: %s", folder,
                       rt_is_file(folder) ? "not a folder" : "no such folder");
    }
    if (access(folder, R_OK | X_OK) != 0) {
        return rt_fail(err, RETORT_IO, "%s: cannot list its files: %s", folder, strerror(errno));
    }
    for (size_t i = 0; i < sizeof other_files / sizeof *other_files; i++) {
        if (is_file_in(folder, other_files[i])) append_name(&found, other_files[i]);
    }
    for (size_t i = 0; i < WEIGHT_FILES; i++) append_name(&readable, weight_files[i].name);
    append_name(&readable, "*.onnx");
    retort_status status = found.failed || readable.failed
                               ? rt_fail_nomem(err, sizeof other_files)
                               : rt_fail(err, RETORT_UNSUPPORTED,
                                         "%s: no weights that retort can read: found %s; supported are %s",
                                         folder, found.length > 0 ? found.data : "none", readable.data);
    rt_buffer_free(&found);
    rt_buffer_free(&readable);
    return status;
}

static size_t weight_file(const char *folder) {
    size_t i = 0;
    while (i < WEIGHT_FILES && !is_file_in(folder, weight_files[i].name)) i++;
    return i;
}

const char *rt_tensors_folder_file(const char *folder) {
    size_t i = weight_file(folder);
    return i < WEIGHT_FILES ? weight_files[i].name : NULL;
}

/* The distinct file names of a weight_map, in *out for the caller to free. */
static retort_status shard_names(const json_t *map, const char *path, const char ***out, size_t *count,
                                 retort_error *err) {
    size_t n = 0, kept = 0;
    const char **names = rt_calloc(json_object_size(map), sizeof *names);
    if (names == NULL) return rt_fail_nomem(err, json_object_size(map) * sizeof *names);
    *out = names;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)map, key, value) {
        const char *name = json_string_value(value);
        if (name == NULL || !rt_plain_name(name)) {
            return rt_fail(
                err, RETORT_FORMAT,
                "%s: tensor '%.100s' is in '%.100s', which is not the name of a file in the folder", path,
                key, name == NULL ? "(not a string)" : name);
        }
        names[n++] = name;
    }
    if (n > 1) qsort(names, n, sizeof(char *), rt_compare_names);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(names[i], names[i - 1]) != 0) names[kept++] = names[i];
    }
    *count = kept;
    if (kept > 0 && kept <= MAX_SHARDS) return RETORT_OK;
    return rt_fail(err, RETORT_LIMIT, "%s: names %zu files; expected 1 to %d", path, kept, MAX_SHARDS);
}

static retort_status open_shard(rt_tensors *out, const char *folder, const char *name, retort_error *err) {
    char path[RT_PATH_SIZE];
    rt_map *map = &out->maps[out->map_count];
    retort_status status = rt_path_in(path, folder, name, err);
    if (status == RETORT_OK) status = rt_map_open(map, path, err);
    if (status != RETORT_OK) return status;
    out->map_count++;
    return rt_tensors_read(out, path, map->data, map->size, err);
}

static retort_status check_complete(const rt_tensors *out, const json_t *map, const char *path,
                                    retort_error *err) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)map, key, value) {
        if (rt_tensors_find(out, key) != NULL) continue;
        return rt_fail(err, RETORT_FORMAT, "%s: tensor '%.100s' is not in '%.100s'", path, key,
                       json_string_value(value));
    }
    return RETORT_OK;
}

static retort_status open_shards(rt_tensors *out, const char *folder, const char *path, const json_t *root,
                                 retort_error *err) {
    const char **names = NULL;
    size_t count = 0;
    const json_t *map = json_object_get(root, "weight_map");
    if (!json_is_object(map)) return rt_fail(err, RETORT_FORMAT, "%s: 'weight_map' is missing", path);
    retort_status status = shard_names(map, path, &names, &count, err);
    if (status == RETORT_OK) {
        out->maps = rt_calloc(count, sizeof *out->maps);
        if (out->maps == NULL) status = rt_fail_nomem(err, count * sizeof *out->maps);
    }
    for (size_t i = 0; i < count && status == RETORT_OK; i++) status = open_shard(out, folder, names[i], err);
    if (status == RETORT_OK) status = rt_tensors_seal(out, path, err);
    if (status == RETORT_OK) status = check_complete(out, map, path, err);
    free(names);
    return status;
}

static retort_status open_index(rt_tensors *out, const char *path, retort_error *err) {
    char folder[RT_PATH_SIZE];
    json_t *root = NULL;
    *out = (rt_tensors){0};
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path); /* "folder/name" */
    retort_status status = rt_json_load(&root, path, err);
    if (status == RETORT_OK) status = open_shards(out, folder, path, root, err);
    json_decref(root);
    if (status != RETORT_OK) rt_tensors_close(out);
    return status;
}

retort_status rt_tensors_open_folder(rt_tensors *out, const char *folder, retort_error *err) {
    char path[RT_PATH_SIZE];
    *out = (rt_tensors){0};
    size_t i = weight_file(folder);
    if (i == WEIGHT_FILES) return nothing_readable(folder, err);
    retort_status status = rt_path_in(path, folder, weight_files[i].name, err);
    if (status != RETORT_OK) return status;
    return weight_files[i].open(out, path, err);
}
