/* SPDX-License-Identifier: Apache-2.0
 * Normalizers that are steps: code points to code points. Each character that comes out belongs to one of the original
 * text. Hugging Face calls what a step does a list of changes: a character of change 0 takes the next character's place,
 * one of change 1 is put in behind and belongs to the same, one of change -k takes the place of the next and of the k
 * behind it, and belongs to the first of them. */
#ifndef RT_TEXT_STEPS_H
#define RT_TEXT_STEPS_H

#include "text/component.h"
#include "text/unicode.h"

/* What a text may become in a step: `at` counts its bytes in 32 bits. */
enum { RT_POINTS_MAX = 1 << 29 };

/* Begins a step on `text`: returns the `*count` characters so far. What they become is pushed; there is room for `room`
 * characters at once. NULL when out of memory. */
const rt_point *rt_step_begin(rt_normalized *text, size_t *count, size_t room);
/* Room for `more` characters beyond those that are there. False when out of memory. */
bool rt_step_room(rt_normalized *text, size_t more);
/* Where there is room. `change` is kept in `at`, until rt_step_end. */
static inline void rt_step_put(rt_normalized *text, uint32_t point, int32_t change) {
    text->points[text->count++] = (rt_point){.point = point, .at = (uint32_t)change};
}
/* Where there is room: a character that stays, or becomes another one. */
static inline void rt_step_keep(rt_normalized *text, uint32_t point, uint32_t source) {
    text->points[text->count++] = (rt_point){.point = point, .source = source};
}
/* Gives each character that was put its source, by the changes; the first one goes with in[skip]. */
void rt_step_end(rt_normalized *text, const rt_point *in, size_t count, size_t skip);

/* The canonical combining class of a point; 0: no mark, or one that never moves. */
static inline uint8_t rt_point_combining(const rt_point *point) {
    return rt_unicode(point->point)->combining;
}
/* Puts the run of marks that begins with point `from`, *length of them, in canonical order: stably by combining class
 * (Unicode, D109). *moved: they were in another order, in which text->spare has them. False when out of memory. */
bool rt_marks_order(rt_normalized *text, size_t from, size_t *length, bool *moved);

/* Code points of a text as they are; the bytes are not written. */
bool rt_normalized_read(rt_normalized *out, const uint8_t *text, size_t size, uint32_t source,
                        uint32_t *next);
/* The bytes of the points from `first` on; there are as many bytes before it. */
bool rt_normalized_write(rt_normalized *out, size_t first);

#endif
