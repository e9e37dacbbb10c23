/* SPDX-License-Identifier: Apache-2.0
 * Scratch layout of the fused attention, for every ISA. */
#ifndef RT_KERNEL_ATTENTION_H
#define RT_KERNEL_ATTENTION_H

#include "base/memory.h"
#include "kernel/kernel.h"

enum {
    RT_ATTENTION_ROWS = 6, /* queries per block: their scores over 384 keys take 9 KB and stay in L1 */
    RT_ATTENTION_PAD = 16  /* padding between rows of scores: 1024 keys would map all rows to one set of L1 */
};

/* Stride of the scores in floats. */
static inline size_t rt_attention_stride(size_t keys) {
    return rt_round_up(keys, RT_PANEL) + RT_ATTENTION_PAD;
}

/* Three parts: K transposed [keys/16][dim][16], V [dim/16][keys][16], scores [ROWS][stride]. */
static inline size_t rt_attention_keys_size(size_t keys, size_t dim) {
    return rt_round_up(keys, RT_PANEL) * dim;
}
static inline size_t rt_attention_values_size(size_t keys, size_t dim) {
    return keys * rt_round_up(dim, RT_PANEL);
}

/* The same for 16-bit integers; sizes in floats, each a multiple of 16: K in pairs of dim, V in pairs of
 * keys, 16 rows of K or Q, the probabilities of a block of queries. Scales and scores follow. */
static inline size_t rt_attention_s16_width(size_t dim) {
    return rt_round_up(dim, 2 * RT_PANEL);
}
static inline size_t rt_attention_s16_keys(size_t keys, size_t dim) {
    return rt_round_up(keys, RT_PANEL) * ((dim + 1) / 2);
}
static inline size_t rt_attention_s16_values(size_t keys, size_t dim) {
    return rt_round_up(dim, RT_PANEL) * ((keys + 1) / 2);
}
static inline size_t rt_attention_s16_rows(size_t dim) {
    return RT_PANEL * rt_attention_s16_width(dim) / 2;
}
static inline size_t rt_attention_s16_probabilities(size_t keys) {
    return rt_round_up(RT_ATTENTION_ROWS * rt_attention_stride(keys), 2 * RT_PANEL) / 2;
}

#endif
