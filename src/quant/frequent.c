/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/frequent.h"
#include "base/memory.h"

#include <stdlib.h>

typedef struct entry {
    size_t count;
    int32_t id;
} entry;

static int by_count(const void *left, const void *right) {
    const entry *a = left, *b = right;
    if (a->count != b->count) return a->count > b->count ? -1 : 1;
    return a->id < b->id ? -1 : 1;
}

static int by_id(const void *left, const void *right) {
    const int32_t *a = left, *b = right;
    return *a < *b ? -1 : *a > *b;
}

retort_status rt_frequent_find(rt_frequent *out, const int32_t *ids, size_t tokens, size_t rows, size_t most,
                               retort_error *err) {
    entry *entries = rt_calloc(rows, sizeof *entries);
    *out = (rt_frequent){.ids = rt_calloc(rt_min(most, rows), sizeof *out->ids)};
    if (entries == NULL || out->ids == NULL) {
        free(entries);
        return rt_fail_nomem(err, rows * sizeof *entries);
    }
    for (size_t i = 0; i < rows; i++) entries[i].id = (int32_t)i;
    for (size_t i = 0; i < tokens; i++) {
        if ((size_t)ids[i] < rows) entries[ids[i]].count++;
    }
    qsort(entries, rows, sizeof *entries, by_count);
    for (size_t i = 0; i < rt_min(most, rows) && entries[i].count > 0; i++)
        out->ids[out->count++] = entries[i].id;
    qsort(out->ids, out->count, sizeof *out->ids, by_id);
    free(entries);
    return RETORT_OK;
}

void rt_frequent_free(rt_frequent *frequent) {
    free(frequent->ids);
    *frequent = (rt_frequent){0};
}
