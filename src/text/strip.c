/* SPDX-License-Identifier: Apache-2.0
 * Strip: without the white space at the begin, the end or both. */
#include "text/steps.h"

#include "text/unicode.h"

#include <string.h>

typedef struct strip {
    bool left, right;
} strip;

static bool is_blank(const rt_point *point) {
    return rt_unicode(point->point)->flags & RT_SPACE;
}

static bool step(const void *data, rt_normalized *text) {
    const strip *sides = data;
    size_t from = 0, to = text->count;
    while (sides->left && from < to && is_blank(&text->points[from])) from++;
    while (sides->right && to > from && is_blank(&text->points[to - 1])) to--;
    if (from > 0) memmove(text->points, text->points + from, (to - from) * sizeof *text->points);
    text->count = to - from;
    return true;
}

static retort_status read_part(const rt_component_reader *in, const json_t *part, rt_normalizer *out) {
    strip *sides = rt_arena_calloc(in->arena, 1, sizeof *sides);
    if (sides == NULL) return rt_fail_nomem(in->err, sizeof *sides);
    out->data = sides;
    retort_status status = rt_component_flag(in, part, "strip_left", true, &sides->left);
    return status == RETORT_OK ? rt_component_flag(in, part, "strip_right", true, &sides->right) : status;
}

const rt_normalizer_row rt_strip_row = {.type = "Strip", .read = read_part, .step = step};
