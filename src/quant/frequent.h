/* SPDX-License-Identifier: Apache-2.0
 * Frequent words: a small part of the vocabulary makes up most tokens of any text. */
#ifndef RT_QUANT_FREQUENT_H
#define RT_QUANT_FREQUENT_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct rt_frequent {
    int32_t *ids; /* [count] ascending */
    size_t count;
} rt_frequent;
/* Finds the `most` ids below `rows` that occur most often in ids [tokens], or fewer if fewer occur; ties go
 * to lower ids. */
retort_status rt_frequent_find(rt_frequent *out, const int32_t *ids, size_t tokens, size_t rows, size_t most,
                               retort_error *err);
void rt_frequent_free(rt_frequent *frequent);

#endif
