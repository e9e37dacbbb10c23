/* SPDX-License-Identifier: Apache-2.0 */
#include "text/steps.h"

#include "base/hash.h"
#include "base/utf8.h"

bool rt_step_room(rt_normalized *text, size_t more) {
    size_t need = text->count + more + 1;
    if (need <= text->point_capacity) return true;
    return need <= RT_POINTS_MAX &&
           rt_grow((void **)&text->points, &text->point_capacity, need, sizeof *text->points);
}

const rt_point *rt_step_begin(rt_normalized *text, size_t *count, size_t room) {
    rt_point *in = text->points;
    size_t capacity = text->point_capacity;
    text->points = text->other;
    text->point_capacity = text->other_capacity;
    text->other = in;
    text->other_capacity = capacity;
    *count = text->count;
    text->count = 0;
    return rt_step_room(text, room) ? in : NULL;
}

void rt_step_end(rt_normalized *text, const rt_point *in, size_t count, size_t skip) {
    size_t next = skip;
    for (size_t i = 0; i < text->count; i++) {
        rt_point *point = &text->points[i];
        int32_t change = (int32_t)point->at;
        size_t of = change > 0 && next > 0 ? next - 1 : next;
        point->source = count > 0 ? in[rt_min(of, count - 1)].source : 0;
        if (change <= 0) next += 1 + (size_t)-change;
    }
}

bool rt_normalized_read(rt_normalized *out, const uint8_t *text, size_t size, uint32_t source,
                        uint32_t *next) {
    const uint8_t *end = text + size;
    out->count = 0;
    if (!rt_step_room(out, size)) return false;
    rt_point *points = out->points;
    while (text < end) {
        uint32_t point = *text;
        size_t length = point < 0x80 ? 1 : rt_utf8_take(text, end, &point);
        text += length;
        *points++ = (rt_point){.point = point, .source = source};
        source++;
    }
    out->count = (size_t)(points - out->points);
    *next = source;
    return true;
}

bool rt_normalized_write(rt_normalized *out, size_t first) {
    size_t count = out->count, bytes = first + 4 * (count - first) + RT_HASH_MARGIN;
    if (!rt_step_room(out, 0)) return false;
    if (bytes > out->byte_capacity && !rt_grow((void **)&out->bytes, &out->byte_capacity, bytes, 1))
        return false;
    rt_point *points = out->points;
    uint8_t *start = out->bytes, *at = start + first;
    for (size_t i = first; i < count; i++) {
        points[i].at = (uint32_t)(at - start);
        at += rt_utf8_put(at, points[i].point);
    }
    points[count] = (rt_point){.at = (uint32_t)(at - start)};
    return true;
}

bool rt_normalize_by_step(const rt_normalizer *normalizer, const uint8_t *text, size_t size, uint32_t source,
                          rt_normalized *out, uint32_t *next) {
    return rt_normalized_read(out, text, size, source, next) &&
           normalizer->row->step(normalizer->data, out) && rt_normalized_write(out, 0);
}

/* Counting sort: a run may be as long as the text. */
static void sort_marks(const rt_point *from, rt_point *to, size_t length) {
    size_t starts[256] = {0};
    for (size_t i = 0; i < length; i++) starts[rt_point_combining(&from[i])]++;
    for (size_t class = 0, sum = 0; class < 256; class ++) {
        size_t count = starts[class];
        starts[class] = sum;
        sum += count;
    }
    for (size_t i = 0; i < length; i++) to[starts[rt_point_combining(&from[i])]++] = from[i];
}

bool rt_marks_order(rt_normalized *text, size_t from, size_t *length, bool *moved) {
    rt_point *run = text->points + from;
    size_t most = text->count - from, n = 0;
    *moved = false;
    for (; n < most && rt_point_combining(&run[n]) != 0; n++)
        *moved |= n > 0 && rt_point_combining(&run[n - 1]) > rt_point_combining(&run[n]);
    *length = n;
    if (!*moved) return true;
    if (!rt_grow((void **)&text->spare, &text->spare_capacity, n, sizeof *text->spare)) return false;
    memcpy(text->spare, run, n * sizeof *run);
    sort_marks(text->spare, run, n);
    return true;
}
