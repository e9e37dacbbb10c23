/* SPDX-License-Identifier: Apache-2.0
 * Sequence: normalizers one after the other. */
#include "text/steps.h"

enum { MAX_PARTS = 64 };

typedef struct sequence {
    rt_normalizer *parts; /* [count] */
    size_t count;
} sequence;

static bool step(const void *data, rt_normalized *text) {
    const sequence *all = data;
    for (size_t i = 0; i < all->count; i++) {
        if (!all->parts[i].row->step(all->parts[i].data, text)) return false;
    }
    return true;
}

static retort_status take(const char *name, json_t *part, rt_buffer *map, retort_error *err) {
    json_t *parts = json_object_get(part, "normalizers"), *item;
    retort_status status = RETORT_OK;
    size_t i;
    json_array_foreach(parts, i, item) {
        if (status == RETORT_OK) status = rt_normalizer_take(name, item, map, err);
    }
    return status;
}

static retort_status read_part(const rt_component_reader *in, const json_t *part, rt_normalizer *out) {
    const json_t *parts = json_object_get(part, "normalizers");
    size_t count = json_array_size(parts);
    if (!json_is_array(parts) || count > MAX_PARTS) {
        return rt_fail(in->err, RETORT_FORMAT, "%s: normalizer: a Sequence must list 0 to %d normalizers",
                       in->name, MAX_PARTS);
    }
    sequence *all = rt_arena_calloc(in->arena, 1, sizeof *all);
    if (all != NULL) all->parts = rt_arena_calloc(in->arena, count, sizeof *all->parts);
    if (all == NULL || all->parts == NULL) return rt_fail_nomem(in->err, sizeof *all);
    out->data = all;
    for (; all->count < count; all->count++) {
        rt_normalizer *next = &all->parts[all->count];
        const json_t *item = json_array_get(parts, all->count);
        if (!json_is_object(item))
            return rt_fail(in->err, RETORT_FORMAT, "%s: normalizer: part %zu of a Sequence is no normalizer",
                           in->name, all->count);
        retort_status status = rt_normalizer_read(in, item, next);
        if (status != RETORT_OK) return status;
        out->lower |= next->lower;
        out->strip |= next->strip;
        out->ideographs |= next->ideographs;
    }
    return RETORT_OK;
}

const rt_normalizer_row rt_normalizer_sequence_row = {
    .type = "Sequence", .take = take, .read = read_part, .step = step};
