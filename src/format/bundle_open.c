/* SPDX-License-Identifier: Apache-2.0
 * The files of a tensor bundle. */
#include "format/bundle.h"
#include "format/path.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* The file "checkpoint" holds two lines, or six. */
enum { MAX_STATE = 1 << 20 };

static retort_status add_tensor(rt_tensors *out, const rt_bundle *bundle, const rt_bundle_entry *e,
                                const char *name, const rt_map *shards, size_t *unread, retort_error *err) {
    size_t count, bytes;
    char shape[128];
    rt_tensor tensor = e->tensor;
    rt_shape_text(shape, sizeof shape, tensor.shape, tensor.rank);
    if (!rt_shape_count(tensor.shape, tensor.rank, &count) ||
        !rt_mul(count, rt_dtype_size(tensor.dtype), &bytes)) {
        return rt_fail(err, RETORT_FORMAT, "%s: tensor '%s': shape %s is too big for any memory", name,
                       tensor.name, shape);
    }
    if (bytes != e->size) {
        return rt_fail(err, RETORT_FORMAT, "%s: tensor '%s': %s %s needs %zu bytes, found %" PRIu64, name,
                       tensor.name, retort_dtype_name(tensor.dtype), shape, bytes, e->size);
    }
    if (e->shard >= bundle->shards) {
        return rt_fail(err, RETORT_FORMAT,
                       "%s: tensor '%s': expected it in a file below %" PRIu64 ", found %" PRIu64, name,
                       tensor.name, bundle->shards, e->shard);
    }
    const rt_map *map = &shards[e->shard];
    if (e->offset > map->size || bytes > map->size - e->offset) {
        return rt_fail(err, RETORT_FORMAT,
                       "%s: tensor '%s': %zu bytes at %" PRIu64 " of data file %" PRIu64 ", which has %zu",
                       name, tensor.name, bytes, e->offset, e->shard, map->size);
    }
    if (bytes > *unread) {
        return rt_fail(err, RETORT_FORMAT, "%s: tensor '%s' shares its bytes with another", name,
                       tensor.name);
    }
    *unread -= bytes;
    tensor.data = map->data + e->offset;
    if (e->crc != rt_bundle_mask(rt_crc32c(&bundle->crc, 0, tensor.data, bytes))) {
        return rt_fail(err, RETORT_FORMAT, "%s: tensor '%s': its bytes do not have its checksum", name,
                       tensor.name);
    }
    return rt_tensors_add(out, name, &tensor, err);
}

retort_status rt_bundle_tensors(rt_tensors *out, const rt_bundle *bundle, const char *name,
                                const rt_map *shards, retort_error *err) {
    size_t unread = 0;
    retort_status status = RETORT_OK;
    for (size_t i = 0; i < bundle->shards; i++) unread += shards[i].size;
    for (size_t i = 0; i < bundle->count && status == RETORT_OK; i++) {
        status = add_tensor(out, bundle, &bundle->entries[i], name, shards, &unread, err);
    }
    out->naming = RT_NAMES_TENSORFLOW;
    return status;
}

retort_status rt_bundle_parse(rt_tensors *out, const char *name, const uint8_t *index, size_t size,
                              const rt_map *data, retort_error *err) {
    rt_bundle bundle;
    *out = (rt_tensors){0};
    retort_status status = rt_bundle_read(&bundle, name, index, size, err);
    if (status == RETORT_OK && bundle.shards > 1)
        status = rt_fail(err, RETORT_FORMAT, "%s: expected 1 data file, found %" PRIu64, name, bundle.shards);
    if (status == RETORT_OK) status = rt_bundle_tensors(out, &bundle, name, data, err);
    if (status == RETORT_OK) status = rt_tensors_seal(out, name, err);
    rt_bundle_close(&bundle);
    if (status != RETORT_OK) rt_tensors_close(out);
    return status;
}

/* The index's mapping stays the first; its data files follow. */
static retort_status open_shards(rt_tensors *out, const rt_bundle *bundle, const char *path,
                                 retort_error *err) {
    char shard[RT_PATH_SIZE];
    int stem = (int)strlen(path) - (int)strlen(".index");
    rt_map *maps = rt_calloc((size_t)bundle->shards + 1, sizeof *maps);
    if (maps == NULL) return rt_fail_nomem(err, ((size_t)bundle->shards + 1) * sizeof *maps);
    maps[0] = out->maps[0];
    free(out->maps);
    out->maps = maps;
    for (uint64_t i = 0; i < bundle->shards; i++) {
        int n = snprintf(shard, sizeof shard, "%.*s.data-%05" PRIu64 "-of-%05" PRIu64, stem, path, i,
                         bundle->shards);
        if (n < 0 || (size_t)n >= sizeof shard) {
            return rt_fail(err, RETORT_LIMIT, "%.200s: a path of more than %d bytes", path, RT_PATH_SIZE);
        }
        retort_status status = rt_map_open(&maps[out->map_count], shard, err);
        if (status != RETORT_OK) return status;
        out->map_count++;
    }
    return rt_bundle_tensors(out, bundle, path, maps + 1, err);
}

retort_status rt_bundle_open(rt_tensors *out, const char *path, retort_error *err) {
    rt_bundle bundle = {0};
    *out = (rt_tensors){.maps = rt_calloc(1, sizeof *out->maps)};
    if (out->maps == NULL) return rt_fail_nomem(err, sizeof *out->maps);
    retort_status status = rt_map_open(&out->maps[0], path, err);
    if (status == RETORT_OK) {
        out->map_count = 1;
        status = rt_bundle_read(&bundle, path, out->maps[0].data, out->maps[0].size, err);
    }
    if (status == RETORT_OK) status = open_shards(out, &bundle, path, err);
    if (status == RETORT_OK) status = rt_tensors_seal(out, path, err);
    rt_bundle_close(&bundle);
    if (status != RETORT_OK) rt_tensors_close(out);
    return status;
}

/* model_checkpoint_path: "model.ckpt-343", often with the path of the machine that it was trained on. */
static retort_status newest_index(char *out, const char *path, const rt_map *state, retort_error *err) {
    static const char key[] = "model_checkpoint_path: \"";
    const char *text = (const char *)state->data, *slash = strrchr(path, '/');
    const char *end = state->size < sizeof key || memcmp(text, key, sizeof key - 1) != 0
                          ? NULL
                          : memchr(text + sizeof key - 1, '"', state->size - sizeof key + 1);
    if (end == NULL || state->size > MAX_STATE) {
        return rt_fail(err, RETORT_FORMAT, "%s: expected it to begin with %s", path, key);
    }
    const char *name = end;
    while (name[-1] != '/' && name[-1] != '"') name--;
    int folder = slash == NULL ? 0 : (int)(slash + 1 - path), length = (int)(end - name);
    int n = snprintf(out, RT_PATH_SIZE, "%.*s%.*s.index", folder, path, length, name);
    if (length > 0 && memchr(name, '\\', (size_t)length) == NULL && n > 0 && n < RT_PATH_SIZE)
        return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT, "%s: '%.*s' is not the name of a file in the folder", path,
                   length < 100 ? length : 100, name);
}

retort_status rt_bundle_open_newest(rt_tensors *out, const char *path, retort_error *err) {
    char index[RT_PATH_SIZE];
    rt_map state;
    *out = (rt_tensors){0};
    retort_status status = rt_map_open(&state, path, err);
    if (status != RETORT_OK) return status;
    status = newest_index(index, path, &state, err);
    rt_map_close(&state);
    return status == RETORT_OK ? rt_bundle_open(out, index, err) : status;
}
