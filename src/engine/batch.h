/* SPDX-License-Identifier: Apache-2.0
 * What a network runs on: retort_batch, and how many of the first tokens of each sequence are not pooled. */
#ifndef RT_ENGINE_BATCH_H
#define RT_ENGINE_BATCH_H

#include <stddef.h>
#include <stdint.h>

typedef struct rt_batch {
    const int32_t *ids;
    const int32_t *types;   /* NULL: all 0 */
    const int32_t *offsets; /* [n + 1] */
    size_t n;
    const int32_t *unpooled; /* [n]; NULL: all are pooled */
} rt_batch;

/* Tokens of sequence i. */
static inline size_t rt_batch_length(const rt_batch *batch, size_t i) {
    return (size_t)(batch->offsets[i + 1] - batch->offsets[i]);
}

#endif
