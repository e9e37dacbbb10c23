/* SPDX-License-Identifier: Apache-2.0
 * What attention's scores get by distance (rt_relative). Products with position keys, q key[column], are made for a block
 * of queries, and those with position queries, query[column] k, for 16 keys, in both cases with the columns of the
 * distances that occur there: a band along the diagonal. A score then finds its number at the column of its distance, and
 * near the diagonal, where each distance has a column, 16 scores find 16 adjacent numbers. */
#ifndef RT_KERNEL_VEC_RELATIVE_H
#define RT_KERNEL_VEC_RELATIVE_H

#include "kernel/attention.h"
#include "kernel/vec/gemm.h"

/* The parts of rt_attention_relative_scratch. */
typedef struct relative_room {
    float *band;     /* [V16_ROWS][…] products of a block of queries with columns */
    float *turned;   /* [16][RT_RELATIVE_BAND] of 16 keys with columns */
    float *by_query; /* [RT_RELATIVE_SPAN][stride] those for the scores of queries from…to-1 */
    size_t from, to;
} relative_room;

RT_VERB relative_room relative_cut(size_t keys, float *scratch) {
    relative_room room = {.band = scratch};
    room.turned = room.band + RT_ATTENTION_ROWS * rt_relative_band(keys);
    room.by_query = room.turned + RT_PANEL * RT_RELATIVE_BAND;
    return room;
}

RT_VERB ptrdiff_t place_of(const rt_attention *at, size_t query) {
    return rt_attention_place(at->relative, query);
}

/* The bias of key 0, and of those after it, for a query; NULL: none. */
RT_VERB const float *bias_of(const rt_attention *at, size_t query) {
    bool biased = at->relative != NULL && at->relative->bias != NULL;
    return biased ? at->relative->bias - place_of(at, query) : NULL;
}

/* Columns from…to-1 of a table, whole panels. */
typedef struct relative_columns {
    size_t from, to;
} relative_columns;

RT_VERB relative_columns columns_between(const rt_attention *at, ptrdiff_t first, ptrdiff_t last) {
    const int32_t *column = at->relative->column;
    return (relative_columns){(size_t)column[first] / RT_PANEL * RT_PANEL,
                              rt_round_up((size_t)column[last] + 1, RT_PANEL)};
}

/* out[rows][ldo] = x times these columns */
static void with_columns(const rt_attention *at, size_t rows, const float *x, size_t ldx, const float *table,
                         relative_columns some, float *out, size_t ldo) {
    size_t blocks = block_count(rows);
    for (size_t block = 0, row = 0; block < blocks; block++) {
        size_t high = block_rows(rows, blocks, block), wide = v16_panels(high) * RT_PANEL;
        for (size_t c = some.from; c < some.to; c += wide) {
            rt_sums_tile *tile = RT_ISA(sums_f32)[rt_min(wide, some.to - c) / RT_PANEL - 1][high - 1];
            tile(x + row * ldx, ldx, table + c * at->dim, at->dim, out + row * ldo + (c - some.from), ldo);
        }
        row += high;
    }
}

/* The numbers at column[0…n-1], n at most 16; 0 in the other lanes. */
RT_VERB v16 pick(const float *numbers, const int32_t *column, size_t n) {
    if (n >= 16 && column[15] - column[0] == 15) return v16_load(numbers + column[0]);
    float picked[16] = {0};
    for (size_t i = 0; i < rt_min(n, 16); i++) picked[i] = numbers[column[i]];
    return v16_load(picked);
}

/* Adds the terms of position keys to the scores of a block of queries. */
static void add_key_terms(const rt_attention *at, size_t row, size_t rows, float *scores,
                          const relative_room *room) {
    size_t ldo = rt_relative_band(at->keys), stride = rt_attention_stride(at->keys);
    ptrdiff_t first = -place_of(at, row + rows - 1), last = (ptrdiff_t)at->keys - 1 - place_of(at, row);
    if (at->keys == 0) return;
    relative_columns some = columns_between(at, first, last);
    with_columns(at, rows, at->q + row * at->ldq, at->ldq, at->relative->key, some, room->band, ldo);
    for (size_t r = 0; r < rows; r++) {
        const int32_t *column = at->relative->column - place_of(at, row + r);
        const float *band = room->band + r * ldo - some.from;
        float *to = scores + r * stride;
        for (size_t j = 0; j < at->keys; j += 16)
            v16_store(to + j, v16_add(v16_load(to + j), pick(band, column + j, at->keys - j)));
    }
}

/* The terms of position queries for 16 keys from `key` on and queries from…to-1, whose places are adjacent. */
static void query_terms(const rt_attention *at, size_t key, const relative_room *room) {
    size_t n = rt_min(RT_PANEL, at->keys - key), count = room->to - room->from;
    size_t stride = rt_attention_stride(at->keys);
    ptrdiff_t place = place_of(at, room->from), first = (ptrdiff_t)key - place;
    relative_columns some = columns_between(at, first - (ptrdiff_t)(count - 1), first + (ptrdiff_t)(n - 1));
    with_columns(at, n, at->k + key * at->ldk, at->ldk, at->relative->query, some, room->turned,
                 RT_RELATIVE_BAND);
    for (size_t i = 0; i < count; i += RT_PANEL) {
        size_t high = rt_min(RT_PANEL, count - i);
        v16 block[RT_PANEL];
        for (size_t l = 0; l < RT_PANEL; l++) { /* lane m is for the query `high` - 1 - m places after i */
            const int32_t *column = at->relative->column + (first + (ptrdiff_t)l - (ptrdiff_t)(i + high - 1));
            const float *band = room->turned + l * RT_RELATIVE_BAND - some.from;
            block[l] = l < n ? pick(band, column, high) : v16_set(0.0f);
        }
        v16_transpose(block);
        for (size_t m = 0; m < high; m++)
            v16_store(room->by_query + (i + high - 1 - m) * stride + key, block[m]);
    }
}

static void add_query_terms(const rt_attention *at, size_t row, size_t rows, float *scores,
                            relative_room *room) {
    size_t stride = rt_attention_stride(at->keys);
    if (row + rows > room->to) {
        size_t most = at->relative->places != NULL ? rows : RT_RELATIVE_SPAN;
        room->from = row;
        room->to = rt_min(at->queries, row + most);
        for (size_t key = 0; key < at->keys; key += RT_PANEL) query_terms(at, key, room);
    }
    for (size_t r = 0; r < rows; r++) {
        const float *from = room->by_query + (row + r - room->from) * stride;
        float *to = scores + r * stride;
        for (size_t j = 0; j < at->keys; j += 16)
            v16_store(to + j, v16_add(v16_load(to + j), v16_load(from + j)));
    }
}

#endif
