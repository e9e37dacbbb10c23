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

/* Parts of the scratch for relative positions: for blocks of queries, for 16 keys, and for a span of queries. */
enum {
    RT_RELATIVE_SPAN = 96, /* queries */
    RT_RELATIVE_BAND =
        RT_RELATIVE_SPAN + RT_PANEL + 2 * RT_PANEL /* columns of 16 keys and a span of queries */
};
/* Columns of all keys and a block of queries, in whole panels. */
static inline size_t rt_relative_band(size_t keys) {
    return rt_round_up(keys + RT_ATTENTION_ROWS, RT_PANEL) + 2 * RT_PANEL;
}

/* Queries row…row+rows-1 with the keys that they read between them, the first of which is *from. */
static inline rt_attention_back rt_attention_back_block(const rt_attention_back *at, size_t row, size_t rows,
                                                        size_t *from) {
    const rt_attention view = {.keys = at->keys, .window = at->window};
    rt_attention_back block = *at;
    size_t end;
    rt_attention_keys(&view, row, row + rows, from, &end);
    block.queries = rows;
    block.keys = end - *from;
    block.q += row * at->ldq;
    block.dy += row * at->ldy;
    block.dq += row * at->ldq;
    block.k += *from * at->ldk;
    block.dk += *from * at->ldk;
    block.v += *from * at->ldv;
    block.dv += *from * at->ldv;
    return block;
}
/* The forward pass of the same attention, as far as scores need it. */
static inline rt_attention rt_attention_forward(const rt_attention_back *at) {
    return (rt_attention){.queries = at->queries,
                          .keys = at->keys,
                          .dim = at->dim,
                          .q = at->q,
                          .k = at->k,
                          .ldq = at->ldq,
                          .ldk = at->ldk,
                          .window = at->window,
                          .scale = at->scale,
                          .relative = at->relative};
}
/* Where a query stands. */
static inline ptrdiff_t rt_attention_place(const rt_relative *relative, size_t query) {
    return relative->places != NULL ? relative->places[query] - relative->start : (ptrdiff_t)query;
}
/* The row of rt_relative_back for a distance. */
static inline size_t rt_relative_row(const rt_relative_back *tables, ptrdiff_t distance) {
    int64_t inside = distance < -tables->reach  ? -tables->reach
                     : distance > tables->reach ? tables->reach
                                                : distance;
    return (size_t)tables->index[inside + tables->reach];
}

/* Parts of the scratch of attention_s8: where each begins, in floats, with room for elements of 16 bits. */
enum {
    RT_ATTENTION_S8_PANELS = 2, /* of 16 queries per block: their scores over 384 keys take 48 KB */
    RT_ATTENTION_S8_SPAN = 64   /* keys whose elements are transposed together */
};
typedef struct rt_attention_s8_parts {
    size_t keys, values, queries, p;
    size_t key_scale, value_scale, value_mean, scores, out, end;
} rt_attention_s8_parts;
rt_attention_s8_parts rt_attention_s8_layout(size_t keys, size_t dim);

#endif
