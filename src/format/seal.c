/* SPDX-License-Identifier: Apache-2.0 */
#include "format/seal.h"
#include "base/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char KEY[] = "retort.hash";

/* The key is always the same, since nobody gains by a collision with his own file. */
static uint64_t hash_text(const char *text) {
    return rt_hash((rt_hash_key){{0, 0}}, text, strlen(text));
}

/* Sums of hashes: tensors and metadata are read in another order than they are written. */
static uint64_t hash_tensors(const rt_tensor *tensors, size_t count) {
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        const rt_tensor *t = &tensors[i];
        size_t elements = 0;
        rt_hash_key key = {{hash_text(t->name), (uint64_t)t->dtype}};
        rt_shape_count(t->shape, t->rank, &elements); /* which writing and reading have checked */
        sum += rt_hash(key, t->data, elements * rt_dtype_size(t->dtype));
        sum += rt_hash(key, t->shape, (size_t)t->rank * sizeof *t->shape);
    }
    return sum;
}

static uint64_t hash_metadata(const char *key, const char *value) {
    return rt_hash((rt_hash_key){{hash_text(key), 0}}, value, strlen(value));
}

static void put(char out[17], uint64_t hash) {
    snprintf(out, 17, "%016" PRIx64, hash);
}

retort_status rt_seal_write(const char *path, const rt_tensor *tensors, size_t count, const char *const *keys,
                            const char *const *values, size_t metadata_count, retort_error *err) {
    char text[17];
    const char *all_keys[RT_SEAL_MOST_METADATA + 1] = {KEY}, *all_values[RT_SEAL_MOST_METADATA + 1] = {text};
    uint64_t hash = hash_tensors(tensors, count);
    if (metadata_count > RT_SEAL_MOST_METADATA)
        return rt_fail(err, RETORT_ARGUMENT, "%.200s: %zu texts of metadata, expected up to %d", path,
                       metadata_count, RT_SEAL_MOST_METADATA);
    for (size_t i = 0; i < metadata_count; i++) {
        all_keys[i + 1] = keys[i];
        all_values[i + 1] = values[i];
        hash += hash_metadata(keys[i], values[i]);
    }
    put(text, hash);
    return rt_safetensors_write(path, tensors, count, all_keys, all_values, metadata_count + 1, err);
}

retort_status rt_seal_check(const char *path, const rt_tensors *tensors, retort_error *err) {
    char text[17];
    const char *found = rt_tensors_metadata(tensors, KEY);
    uint64_t hash = hash_tensors(tensors->items, tensors->count);
    for (size_t i = 0; i < tensors->metadata_count; i++) {
        if (strcmp(tensors->metadata[i].key, KEY) != 0)
            hash += hash_metadata(tensors->metadata[i].key, tensors->metadata[i].value);
    }
    put(text, hash);
    if (found != NULL && strcmp(found, text) == 0) return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT,
                   "%.200s: the file is damaged: its contents have the hash %s, not %.16s", path, text,
                   found != NULL ? found : "(none)");
}
