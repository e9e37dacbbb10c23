/* SPDX-License-Identifier: Apache-2.0
 * Sets of label names, in the order found, and whether they are numbers. */
#ifndef RT_EVAL_LABELS_H
#define RT_EVAL_LABELS_H

#include "base/error.h"
#include "base/names.h"

typedef struct rt_label_set {
    const char **names; /* [count] */
    size_t *lines;      /* [count] the line where each was found first */
    size_t count, name_capacity, line_capacity;
    rt_names index;
    bool fixed; /* in the order of the columns that they are named after */
} rt_label_set;

/* Finds or adds a label; the arena owns its name. */
retort_status rt_labels_add(rt_label_set *labels, rt_arena *arena, size_t line, const retort_text *value,
                            int64_t *label, retort_error *err);
void rt_labels_free(rt_label_set *labels);

/* Whether a label is [-]digits[.zeros]. */
bool rt_is_whole(const char *name);
/* [-]digits[.digits][e[-]digits], independent of the locale; false for anything else. */
bool rt_parse_number(const retort_text *field, double *out);

#endif
