/* SPDX-License-Identifier: Apache-2.0
 * Prepend: a string in front of a text that is not empty. */
#include "text/steps.h"

#include "base/utf8.h"

#include <string.h>

typedef struct prefix {
    uint32_t *points; /* [count] */
    size_t count;
} prefix;

static bool step(const void *data, rt_normalized *text) {
    const prefix *put = data;
    if (text->count == 0) return true;
    if (!rt_step_room(text, put->count)) return false;
    memmove(text->points + put->count, text->points, text->count * sizeof *text->points);
    for (size_t i = 0; i < put->count; i++) {
        text->points[i] = (rt_point){.point = put->points[i], .source = text->points[put->count].source};
    }
    text->count += put->count;
    return true;
}

static retort_status read_part(const rt_component_reader *in, const json_t *part, rt_normalizer *out) {
    const char *text = json_string_value(json_object_get(part, "prepend"));
    if (text == NULL || *text == '\0' || strlen(text) > RT_PIECE_MAX) {
        return rt_fail(in->err, RETORT_FORMAT, "%s: normalizer: Prepend needs a string of 1 to %d bytes",
                       in->name, RT_PIECE_MAX);
    }
    const uint8_t *at = (const uint8_t *)text, *end = at + strlen(text);
    prefix *put = rt_arena_calloc(in->arena, 1, sizeof *put);
    uint32_t *points = rt_arena_calloc(in->arena, strlen(text), sizeof *points);
    if (put == NULL || points == NULL) return rt_fail_nomem(in->err, sizeof *put);
    while (at < end) at += rt_utf8_take(at, end, &points[put->count++]);
    put->points = points;
    out->data = put;
    return RETORT_OK;
}

const rt_normalizer_row rt_prepend_row = {.type = "Prepend", .read = read_part, .step = step};
