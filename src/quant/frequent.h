/* SPDX-License-Identifier: Apache-2.0
 * The words that texts consist of: a small part of the vocabulary is most of their tokens. */
#ifndef RT_QUANT_FREQUENT_H
#define RT_QUANT_FREQUENT_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct rt_frequent {
    int32_t *ids; /* [count] ascending */
    size_t count;
} rt_frequent;
/* The `most` ids below `rows` that occur most often among ids [tokens], or as many as occur at all; of equals
 * the lower ones. */
retort_status rt_frequent_find(rt_frequent *out, const int32_t *ids, size_t tokens, size_t rows, size_t most,
                               retort_error *err);
void rt_frequent_free(rt_frequent *frequent);

#endif
