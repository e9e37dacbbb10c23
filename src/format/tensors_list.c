/* SPDX-License-Identifier: Apache-2.0
 * A list of tensors: added, sorted, found by name. */
#include "format/format.h"

#include <stdlib.h>
#include <string.h>

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
            return rt_fail(err, RETORT_FORMAT, "%s: tensor '%s' appears twice", file, out->items[i].name);
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
