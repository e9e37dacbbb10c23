/* SPDX-License-Identifier: Apache-2.0
 * A column of texts in the Arrow C data interface, from whoever made it: every offset, view and index is checked. */
#ifndef RT_TASK_ARROW_TEXTS_H
#define RT_TASK_ARROW_TEXTS_H

#include "base/error.h"
#include "retort_arrow.h"

typedef struct rt_arrow_string_type rt_arrow_string_type;

/* Row i is a null if it is one in the struct around the column, in the column, or in the dictionary. */
typedef struct rt_arrow_texts {
    const struct ArrowArray *around;  /* a record batch, or NULL */
    const struct ArrowArray *indices; /* of a dictionary, or NULL: then the column is `strings` itself */
    const struct ArrowArray *strings;
    const rt_arrow_string_type *type; /* of `strings` */
    int64_t length, offset;           /* of the column: the struct's offset is in it */
    unsigned index_bytes;             /* 1, 2, 4 or 8 */
    bool index_signed;
} rt_arrow_texts;

/* The texts of an array, or of the child `name` of a struct. Points into `array`. */
retort_status rt_arrow_texts_open(rt_arrow_texts *out, const struct ArrowSchema *schema,
                                  const struct ArrowArray *array, const char *name, retort_error *err);
/* False: a null. */
bool rt_arrow_text_at(const rt_arrow_texts *texts, int64_t row, retort_text *out);

#endif
