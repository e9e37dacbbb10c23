/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/prepare.h"

#include <stdlib.h>

static retort_status check_lengths(const rt_batch *batch, const rt_limits *limits, retort_error *err) {
    if (batch->n > 0 && batch->offsets[0] != 0) {
        return rt_fail(err, RETORT_ARGUMENT, "offsets[0] is %d: expected 0", batch->offsets[0]);
    }
    for (size_t i = 0; i < batch->n; i++) {
        int64_t length = (int64_t)batch->offsets[i + 1] - batch->offsets[i];
        int64_t least = limits->may_be_empty ? 0 : 1;
        if (length < least || length > limits->positions) {
            return rt_fail(err, RETORT_LIMIT, "sequence %zu has %lld tokens: expected %lld to %lld", i,
                           (long long)length, (long long)least, (long long)limits->positions);
        }
    }
    return RETORT_OK;
}

static retort_status check_unpooled(const rt_batch *batch, retort_error *err) {
    for (size_t i = 0; batch->unpooled != NULL && i < batch->n; i++) {
        int32_t most = (int32_t)rt_batch_length(batch, i) - 1, n = batch->unpooled[i];
        if (n == 0 || (n > 0 && n <= most)) continue;
        return rt_fail(err, RETORT_LIMIT,
                       "sequence %zu: %d of its %d tokens are not to be pooled: expected 0 to %d", i, n,
                       most + 1, most);
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

static retort_status check_padding(const rt_batch *batch, size_t n, const rt_limits *limits,
                                   retort_error *err) {
    int64_t pad = limits->after_pad ? -1 : limits->position_offset - 1;
    for (size_t i = 0; pad >= 0 && i < n; i++) {
        if (batch->ids[i] == pad)
            return rt_fail(
                err, RETORT_ARGUMENT,
                "token id %zu is %lld, padding: the model's positions skip it, which is not computed", i,
                (long long)pad);
    }
    return RETORT_OK;
}

retort_status rt_batch_check(const rt_batch *batch, const rt_limits *limits, retort_error *err) {
    retort_status status = check_lengths(batch, limits, err);
    size_t tokens = status == RETORT_OK && batch->n > 0 ? (size_t)batch->offsets[batch->n] : 0;
    if (status == RETORT_OK) status = check_values("token id", batch->ids, tokens, limits->vocab, err);
    if (status == RETORT_OK) status = check_padding(batch, tokens, limits, err);
    if (status == RETORT_OK) status = check_unpooled(batch, err);
    if (status == RETORT_OK && batch->types != NULL) {
        status = check_values("token type", batch->types, tokens, limits->types > 0 ? limits->types : 1, err);
    }
    return status;
}

/* Rows of sequences from…to: their tokens, or all of them padded to the longest. */
static size_t chunk_cost(const rt_limits *limits, size_t sequences, size_t tokens, size_t longest) {
    return limits->padded ? sequences * longest : tokens;
}

/* The length of computed sequence i. */
static size_t computed_length(const rt_prepared *p, const rt_batch *batch, size_t i) {
    return rt_batch_length(batch, p->distinct.first[i]);
}

/* Consecutive computed sequences. */
typedef struct span {
    size_t end; /* one past the last */
    size_t tokens, longest;
} span;

/* The chunk that starts at `from`: ends as near to `target` tokens as whole sequences allow, and never
 * exceeds the capacity. */
static span take(const rt_prepared *p, const rt_batch *batch, const rt_limits *limits, size_t from,
                 size_t target) {
    span s = {.end = from, .longest = limits->padded}; /* one row of padding at least */
    while (s.end < p->distinct.count) {
        size_t length = computed_length(p, batch, s.end), longest = rt_max(s.longest, length);
        bool fits = chunk_cost(limits, s.end - from + 1, s.tokens + length, longest) <= limits->capacity;
        if (s.end > from && (!fits || s.tokens + length / 2 >= target)) break;
        s.tokens += length;
        s.longest = longest;
        s.end++;
    }
    return s;
}

static bool reserve_chunks(rt_prepared *p, size_t n) {
    return rt_grow((void **)&p->chunks, &p->chunk_capacity, n, sizeof *p->chunks) &&
           rt_grow((void **)&p->first_sequence, &p->first_capacity, n, sizeof *p->first_sequence);
}

static bool reserve_rows(rt_prepared *p, size_t rows, size_t sequences, bool padded) {
    bool fits =
        rt_grow((void **)&p->mask_token_rows, &p->mask_token_capacity, rows, sizeof *p->mask_token_rows) &&
        rt_grow((void **)&p->mask_token_starts, &p->mask_token_start_capacity, sequences + p->chunk_count,
                sizeof *p->mask_token_starts) &&
        rt_grow((void **)&p->places, &p->place_capacity, sequences + 1, sizeof *p->places);
    for (int i = 0; i < 4; i++) {
        fits = fits &&
               rt_grow((void **)&p->sequence[i], &p->sequence_capacity[i], sequences, sizeof *p->sequence[i]);
    }
    for (int i = 0; i < 3; i++) {
        fits = fits && rt_grow((void **)&p->rows32[i], &p->row_capacity[i], rows, sizeof *p->rows32[i]);
        if (padded)
            fits = fits && rt_grow((void **)&p->rows64[i], &p->wide_capacity[i], rows, sizeof *p->rows64[i]);
    }
    return fits;
}

/* Cuts the computed sequences into `count` chunks with about equally many tokens, or more chunks if the
 * capacity requires it. Sets batch, seq and rows of each chunk. */
static retort_status cut(rt_prepared *p, const rt_batch *batch, const rt_limits *limits, size_t count,
                         retort_error *err) {
    size_t from = 0, tokens = 0;
    p->chunk_count = 0;
    for (size_t i = 1; from < p->distinct.count; i++) {
        size_t mark = i < count ? p->tokens * i / count : SIZE_MAX;
        span s = take(p, batch, limits, from, mark > tokens ? mark - tokens : 0);
        if (!reserve_chunks(p, p->chunk_count + 1))
            return rt_fail_nomem(err, (p->chunk_count + 1) * sizeof *p->chunks);
        p->first_sequence[p->chunk_count] = from;
        p->chunks[p->chunk_count++] = (rt_chunk){
            .batch = s.end - from,
            .seq = limits->padded ? s.longest : 0,
            .rows = chunk_cost(limits, s.end - from, s.tokens, s.longest),
        };
        from = s.end;
        tokens += s.tokens;
    }
    return RETORT_OK;
}

/* Every chunk reads all weights again. Base shape, 8x128, chunks of 128 rows instead of 512, medians on
 * two cores of a busy host: int4 231 ms instead of 262, int8 383 instead of 393, but float 507 instead of
 * 475. */
enum { INTEGER_ROWS = 128 };

size_t rt_chunk_min_rows(const rt_plan *plan) {
    uint64_t integers = 0, all = 0;
    for (size_t i = 0; i < plan->step_count; i++) {
        all += plan->steps[i].weight_bytes;
        if (plan->steps[i].arithmetic == RETORT_S8) integers += plan->steps[i].weight_bytes;
    }
    return 2 * integers > all ? INTEGER_ROWS : RT_CHUNK_ROWS;
}

/* Whole chunks per worker need no barriers, but each worker then reads all weights for its own rows, and
 * the slowest worker decides. Worthwhile from this many rows per worker, if chunks are so even or so small
 * that no worker waits for longer than a sixth. */
enum { ROWS_APART = 48 };

static bool work_apart(const rt_prepared *p, const rt_limits *limits) {
    size_t most = 0, rows = 0, rounds = (p->chunk_count + limits->workers - 1) / limits->workers;
    for (size_t i = 0; i < p->chunk_count; i++) {
        most = rt_max(most, p->chunks[i].rows);
        rows += p->chunks[i].rows;
    }
    size_t ideal = rows / limits->workers;
    return ideal >= ROWS_APART && (most * rounds <= ideal + ideal / 6 || most * 3 <= ideal);
}

/* Several chunks per worker, so that a worker on a slower core takes fewer. */
enum { ROUNDS = 4 };

static size_t even_chunks(const rt_limits *limits, size_t tokens) {
    size_t whole = (tokens + limits->max_rows - 1) / limits->max_rows;
    if (limits->workers > 1) {
        size_t small = (tokens + limits->min_rows - 1) / limits->min_rows;
        whole = rt_max(whole, rt_min(small, ROUNDS * limits->workers));
    }
    return (whole + limits->workers - 1) / limits->workers * limits->workers;
}

static retort_status choose_chunks(rt_prepared *p, const rt_batch *batch, const rt_limits *limits,
                                   retort_error *err) {
    p->team = false;
    retort_status status = cut(p, batch, limits, rt_max(even_chunks(limits, p->tokens), 1), err);
    if (status != RETORT_OK || limits->workers == 1 || work_apart(p, limits)) return status;
    p->team = true;
    return cut(p, batch, limits, rt_max((p->tokens + limits->max_rows - 1) / limits->max_rows, 1), err);
}

/* Copies a sequence to its rows and records its mask tokens. `row`: its first row in the chunk; `at`: in
 * the storage. */
static void fill_sequence(rt_prepared *p, const rt_batch *batch, const rt_limits *limits, size_t sequence,
                          size_t row, size_t at) {
    size_t from = (size_t)batch->offsets[sequence], length = rt_batch_length(batch, sequence);
    int64_t pad = limits->after_pad ? limits->position_offset - 1 : -1;
    int32_t counted = 0;
    for (size_t i = 0; i < length; i++) {
        int32_t id = batch->ids[from + i];
        bool counts = pad < 0 || id != pad;
        p->rows32[0][at + i] = id;
        p->rows32[1][at + i] = batch->types == NULL ? 0 : batch->types[from + i];
        p->rows32[2][at + i] = counts ? counted + (pad >= 0) : 0;
        counted += counts;
        if (id == limits->mask_id) p->mask_token_rows[p->mask_tokens++] = (int32_t)(row + i);
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

static void fill_chunk(rt_prepared *p, const rt_batch *batch, const rt_limits *limits, size_t index,
                       size_t at) {
    rt_chunk *chunk = &p->chunks[index];
    size_t first = p->first_sequence[index], row = 0, mask_tokens = p->mask_tokens;
    int32_t *mask_token_starts = p->mask_token_starts + first + index;
    for (size_t b = 0; b < chunk->batch; b++) {
        size_t length = computed_length(p, batch, first + b), before = p->mask_tokens;
        p->sequence[0][first + b] = (int32_t)row;
        p->sequence[1][first + b] = (int32_t)length;
        p->sequence[3][first + b] =
            batch->unpooled != NULL ? batch->unpooled[p->distinct.first[first + b]] : 0;
        mask_token_starts[b] = (int32_t)(before - mask_tokens);
        fill_sequence(p, batch, limits, p->distinct.first[first + b], row, at + row);
        if (limits->padded) fill_padding(p, at + row, length, chunk->seq);
        row += limits->padded ? chunk->seq : length;
        const size_t results[] = {[RT_ROW_SET_TOKENS] = length,
                                  [RT_ROW_SET_SEQUENCES] = 1,
                                  [RT_ROW_SET_MASK_TOKENS] = p->mask_tokens - before};
        p->sequence[2][first + b] = (int32_t)results[limits->output];
    }
    chunk->mask_tokens = p->mask_tokens - mask_tokens;
    mask_token_starts[chunk->batch] = (int32_t)chunk->mask_tokens;
    chunk->starts = p->sequence[0] + first;
    chunk->lengths = p->sequence[1] + first;
    chunk->unpooled = p->sequence[3] + first;
    chunk->mask_token_starts = mask_token_starts;
    chunk->mask_token_rows = p->mask_token_rows + mask_tokens;
    chunk->ids = p->rows32[0] + at;
    chunk->types = p->rows32[1] + at;
    chunk->positions = p->rows32[2] + at;
    if (!limits->padded) return;
    chunk->wide_ids = p->rows64[0] + at;
    chunk->wide_types = p->rows64[1] + at;
    chunk->wide_mask = p->rows64[2] + at;
}

static void fill(rt_prepared *p, const rt_batch *batch, const rt_limits *limits) {
    size_t at = 0;
    p->mask_tokens = 0;
    for (size_t i = 0; i < p->chunk_count; i++) {
        fill_chunk(p, batch, limits, i, at);
        at += p->chunks[i].rows;
    }
    p->places[0] = 0;
    for (size_t i = 0; i < batch->n; i++) { /* equal sequences have equally many result rows */
        p->places[i + 1] = p->places[i] + p->sequence[2][p->distinct.same[i]];
    }
}

retort_status rt_prepare(rt_prepared *out, const rt_batch *batch, const rt_limits *limits,
                         retort_error *err) {
    retort_status status = rt_batch_check(batch, limits, err);
    if (status == RETORT_OK) {
        rt_hash_fn hash = limits->keep_duplicates ? NULL : rt_distinct_hash;
        status = rt_distinct_find(&out->distinct, batch, hash, err);
    }
    if (status != RETORT_OK) return status;
    /* Reserves room for all sequences, because the next batch may have no duplicates. */
    size_t rows = 0, all = batch->n > 0 ? (size_t)batch->offsets[batch->n] : 0;
    out->sequences = batch->n;
    out->tokens = 0;
    for (size_t i = 0; i < out->distinct.count; i++) out->tokens += computed_length(out, batch, i);
    if (!reserve_chunks(out, even_chunks(limits, all) + 1)) return rt_fail_nomem(err, all);
    status = choose_chunks(out, batch, limits, err);
    if (status != RETORT_OK) return status;
    for (size_t i = 0; i < out->chunk_count; i++) rows += out->chunks[i].rows;
    if (!reserve_rows(out, rt_max(rows, all), batch->n, limits->padded)) {
        return rt_fail_nomem(err, rt_max(rows, all) * sizeof **out->rows32);
    }
    fill(out, batch, limits);
    return RETORT_OK;
}

void rt_prepared_free(rt_prepared *prepared) {
    rt_distinct_free(&prepared->distinct);
    free(prepared->chunks);
    free(prepared->first_sequence);
    free(prepared->places);
    free(prepared->mask_token_rows);
    free(prepared->mask_token_starts);
    for (int i = 0; i < 3; i++) {
        free(prepared->rows32[i]);
        free(prepared->rows64[i]);
    }
    for (int i = 0; i < 4; i++) free(prepared->sequence[i]);
    *prepared = (rt_prepared){0};
}
