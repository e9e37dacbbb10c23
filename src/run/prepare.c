/* SPDX-License-Identifier: Apache-2.0 */
#include "run/prepare.h"

#include <stdlib.h>

static size_t length_of(const retort_batch *batch, size_t i) {
    return (size_t)(batch->offsets[i + 1] - batch->offsets[i]);
}

static retort_status check_lengths(const retort_batch *batch, const rt_limits *limits, retort_error *err) {
    if (batch->n > 0 && batch->offsets[0] != 0) {
        return rt_fail(err, RETORT_ARGUMENT, "offsets[0] is %d: expected 0", batch->offsets[0]);
    }
    for (size_t i = 0; i < batch->n; i++) {
        int64_t length = (int64_t)batch->offsets[i + 1] - batch->offsets[i];
        if (length < 1 || length > limits->positions) {
            return rt_fail(err, RETORT_LIMIT, "sequence %zu has %lld tokens: expected 1 to %lld", i,
                           (long long)length, (long long)limits->positions);
        }
    }
    return RETORT_OK;
}

static retort_status check_values(const char *what, const int32_t *values, size_t n, int64_t limit,
                                  retort_error *err) {
    for (size_t i = 0; i < n; i++) {
        if (values[i] < 0 || values[i] >= limit) {
            return rt_fail(err, RETORT_ARGUMENT, "%s %zu is %d: expected 0 to %lld", what, i, values[i],
                           (long long)limit - 1);
        }
    }
    return RETORT_OK;
}

static retort_status check(const retort_batch *batch, const rt_limits *limits, retort_error *err) {
    retort_status status = check_lengths(batch, limits, err);
    size_t tokens = status == RETORT_OK && batch->n > 0 ? (size_t)batch->offsets[batch->n] : 0;
    if (status == RETORT_OK) status = check_values("token id", batch->ids, tokens, limits->vocab, err);
    if (status == RETORT_OK && batch->types != NULL) {
        status = check_values("token type", batch->types, tokens, limits->types > 0 ? limits->types : 1, err);
    }
    return status;
}

/* Rows that sequences from…to take: their tokens, or all of them padded to the longest. */
static size_t chunk_cost(const rt_limits *limits, size_t sequences, size_t tokens, size_t longest) {
    return limits->padded ? sequences * longest : tokens;
}

/* First sequence after a chunk that starts at `from`: cut at `target` tokens in all so far (as near as whole
 * sequences allow), and never beyond the capacity. */
static size_t chunk_end(const retort_batch *batch, const rt_limits *limits, size_t from, size_t target) {
    size_t tokens = 0, longest = 0, end = from;
    while (end < batch->n) {
        size_t length = length_of(batch, end);
        size_t now_longest = rt_max(longest, length), total = (size_t)batch->offsets[end] + length / 2;
        bool fits = chunk_cost(limits, end - from + 1, tokens + length, now_longest) <= limits->capacity;
        if (end > from && (!fits || total >= target)) break;
        tokens += length;
        longest = now_longest;
        end++;
    }
    return end;
}

static bool reserve_chunks(rt_prepared *p, size_t n) {
    return rt_grow((void **)&p->chunks, &p->chunk_capacity, n, sizeof *p->chunks) &&
           rt_grow((void **)&p->first_sequence, &p->first_capacity[0], n, sizeof *p->first_sequence) &&
           rt_grow((void **)&p->first_token, &p->first_capacity[1], n, sizeof *p->first_token) &&
           rt_grow((void **)&p->first_mask, &p->first_capacity[2], n, sizeof *p->first_mask);
}

static bool reserve_rows(rt_prepared *p, size_t rows, size_t sequences, size_t chunks, bool padded) {
    bool fits = rt_grow((void **)&p->mask_rows, &p->mask_capacity, rows, sizeof *p->mask_rows) &&
                rt_grow((void **)&p->mask_starts, &p->mask_start_capacity, sequences + chunks,
                        sizeof *p->mask_starts);
    for (int i = 0; i < 3; i++) {
        fits = fits && rt_grow((void **)&p->rows32[i], &p->row_capacity[i], rows, sizeof *p->rows32[i]);
        if (padded)
            fits = fits && rt_grow((void **)&p->rows64[i], &p->wide_capacity[i], rows, sizeof *p->rows64[i]);
    }
    for (int i = 0; i < 2; i++) {
        fits = fits &&
               rt_grow((void **)&p->sequence[i], &p->sequence_capacity[i], sequences, sizeof *p->sequence[i]);
    }
    return fits;
}

/* Cuts the batch into `count` chunks of about the same number of tokens (more where the capacity asks for
 * it); sets each chunk's batch, seq and rows. */
static retort_status cut(rt_prepared *p, const retort_batch *batch, const rt_limits *limits, size_t count,
                         retort_error *err) {
    size_t from = 0;
    p->chunk_count = 0;
    for (size_t i = 1; from < batch->n; i++) {
        size_t target = i < count ? p->tokens * i / count : SIZE_MAX;
        size_t end = chunk_end(batch, limits, from, target), longest = 0;
        if (!reserve_chunks(p, p->chunk_count + 1))
            return rt_fail_nomem(err, (p->chunk_count + 1) * sizeof *p->chunks);
        for (size_t s = from; s < end; s++) longest = rt_max(longest, length_of(batch, s));
        size_t tokens = (size_t)(batch->offsets[end] - batch->offsets[from]);
        p->first_sequence[p->chunk_count] = from;
        p->first_token[p->chunk_count] = (size_t)batch->offsets[from];
        p->chunks[p->chunk_count++] = (rt_chunk){
            .batch = end - from,
            .seq = limits->padded ? longest : 0,
            .rows = chunk_cost(limits, end - from, tokens, longest),
        };
        from = end;
    }
    return RETORT_OK;
}

/* Working apart needs no barrier, but each worker reads all weights for its rows alone, and the slowest
 * decides: worth it from this many rows a worker, and with chunks that differ by no more than a sixth. */
enum { ROWS_APART = 48 };

static bool work_apart(const rt_prepared *p, const rt_limits *limits) {
    size_t most = 0, rows = 0, rounds = (p->chunk_count + limits->workers - 1) / limits->workers;
    for (size_t i = 0; i < p->chunk_count; i++) {
        most = rt_max(most, p->chunks[i].rows);
        rows += p->chunks[i].rows;
    }
    size_t ideal = rows / limits->workers;
    return ideal >= ROWS_APART && most * rounds <= ideal + ideal / 6;
}

static retort_status choose_chunks(rt_prepared *p, const retort_batch *batch, const rt_limits *limits,
                                   retort_error *err) {
    size_t whole = (p->tokens + limits->wanted - 1) / limits->wanted;
    size_t even = (whole + limits->workers - 1) / limits->workers * limits->workers;
    p->team = false;
    retort_status status = cut(p, batch, limits, rt_max(even, 1), err);
    if (status != RETORT_OK || limits->workers == 1 || work_apart(p, limits)) return status;
    p->team = true;
    return cut(p, batch, limits, rt_max(whole, 1), err);
}

/* Copies one sequence to its rows, and notes its mask tokens. `row` is the first one in the chunk, `at` in
 * the storage. */
static void fill_sequence(rt_prepared *p, const retort_batch *batch, const rt_limits *limits, size_t sequence,
                          size_t row, size_t at) {
    size_t from = (size_t)batch->offsets[sequence], length = length_of(batch, sequence);
    for (size_t i = 0; i < length; i++) {
        int32_t id = batch->ids[from + i];
        p->rows32[0][at + i] = id;
        p->rows32[1][at + i] = batch->types == NULL ? 0 : batch->types[from + i];
        p->rows32[2][at + i] = (int32_t)i;
        if (id == limits->mask_id) p->mask_rows[p->masks++] = (int32_t)(row + i);
    }
}

/* Padding rows, and the wide inputs of plain graphs. */
static void fill_padding(rt_prepared *p, size_t at, size_t length, size_t seq) {
    for (size_t i = length; i < seq; i++) {
        p->rows32[0][at + i] = 0;
        p->rows32[1][at + i] = 0;
        p->rows32[2][at + i] = (int32_t)i;
    }
    for (size_t i = 0; i < seq; i++) {
        p->rows64[0][at + i] = p->rows32[0][at + i];
        p->rows64[1][at + i] = p->rows32[1][at + i];
        p->rows64[2][at + i] = i < length;
    }
}

static void fill_chunk(rt_prepared *p, const retort_batch *batch, const rt_limits *limits, size_t index,
                       size_t at) {
    rt_chunk *chunk = &p->chunks[index];
    size_t first = p->first_sequence[index], row = 0;
    int32_t *mask_starts = p->mask_starts + first + index;
    p->first_mask[index] = p->masks;
    for (size_t b = 0; b < chunk->batch; b++) {
        size_t length = length_of(batch, first + b);
        p->sequence[0][first + b] = (int32_t)row;
        p->sequence[1][first + b] = (int32_t)length;
        mask_starts[b] = (int32_t)(p->masks - p->first_mask[index]);
        fill_sequence(p, batch, limits, first + b, row, at + row);
        if (limits->padded) fill_padding(p, at + row, length, chunk->seq);
        row += limits->padded ? chunk->seq : length;
    }
    chunk->masks = p->masks - p->first_mask[index];
    mask_starts[chunk->batch] = (int32_t)chunk->masks;
    chunk->starts = p->sequence[0] + first;
    chunk->lengths = p->sequence[1] + first;
    chunk->mask_starts = mask_starts;
    chunk->mask_rows = p->mask_rows + p->first_mask[index];
    chunk->ids = p->rows32[0] + at;
    chunk->types = p->rows32[1] + at;
    chunk->positions = p->rows32[2] + at;
    if (!limits->padded) return;
    chunk->wide_ids = p->rows64[0] + at;
    chunk->wide_types = p->rows64[1] + at;
    chunk->wide_mask = p->rows64[2] + at;
}

retort_status rt_prepare(rt_prepared *out, const retort_batch *batch, const rt_limits *limits,
                         retort_error *err) {
    retort_status status = check(batch, limits, err);
    out->sequences = batch->n;
    out->tokens = status == RETORT_OK && batch->n > 0 ? (size_t)batch->offsets[batch->n] : 0;
    out->masks = 0;
    if (status == RETORT_OK) status = choose_chunks(out, batch, limits, err);
    if (status != RETORT_OK) return status;
    size_t rows = 0, at = 0;
    for (size_t i = 0; i < out->chunk_count; i++) rows += out->chunks[i].rows;
    if (!reserve_rows(out, rows, batch->n, out->chunk_count, limits->padded)) {
        return rt_fail_nomem(err, rows * sizeof **out->rows32);
    }
    for (size_t i = 0; i < out->chunk_count; i++) {
        fill_chunk(out, batch, limits, i, at);
        at += out->chunks[i].rows;
    }
    return RETORT_OK;
}

void rt_prepared_free(rt_prepared *prepared) {
    free(prepared->chunks);
    free(prepared->first_sequence);
    free(prepared->first_token);
    free(prepared->first_mask);
    free(prepared->mask_rows);
    free(prepared->mask_starts);
    for (int i = 0; i < 3; i++) {
        free(prepared->rows32[i]);
        free(prepared->rows64[i]);
    }
    for (int i = 0; i < 2; i++) free(prepared->sequence[i]);
    *prepared = (rt_prepared){0};
}
