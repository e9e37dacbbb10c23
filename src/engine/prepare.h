/* SPDX-License-Identifier: Apache-2.0
 * A caller's batch, checked and cut into chunks of whole sequences. */
#ifndef RT_ENGINE_PREPARE_H
#define RT_ENGINE_PREPARE_H

#include "engine/plan.h"
#include "engine/distinct.h"

/* Rows of a chunk if the batch has more. */
enum { RT_CHUNK_ROWS = 512 };
/* Rows of the smallest worthwhile chunk: fewer if most weights are integers. */
size_t rt_chunk_min_rows(const rt_plan *plan);

/* Limits that a batch is checked against, and that decide how it is cut. */
typedef struct rt_limits {
    int64_t vocab, types, positions, mask_id;
    int64_t position_offset; /* > 0: the id before it is padding, */
    bool
        after_pad; /* which has position 0, others counting from 1 without it; else no sequence may have it */
    size_t capacity; /* rows of a chunk */
    size_t max_rows; /* of a chunk, when there are several */
    size_t min_rows; /* of a chunk; smaller ones cost more than an even share of work gains */
    size_t workers;
    bool padded;
    bool may_be_empty;    /* sequences without a token are fine: padded ones, of which the mean is taken */
    bool keep_duplicates; /* compute duplicate sequences, too */
    rt_row_set output;    /* what the rows of the result are */
} rt_limits;

/* Arrays grow to the largest batch so far. Start with {0}. */
typedef struct rt_prepared {
    rt_distinct distinct; /* which sequences are computed: those without an earlier duplicate */
    rt_chunk *chunks;
    size_t chunk_count;
    bool team;                  /* all workers share each chunk; else each worker takes whole chunks */
    size_t sequences;           /* of the caller */
    size_t tokens, mask_tokens; /* that are computed */
    size_t *first_sequence;     /* [chunk_count] index in distinct.first of the chunk's first sequence */
    int32_t *places;            /* [sequences + 1] first result row of each sequence; last: number of rows */
    size_t chunk_capacity, first_capacity, place_capacity;
    /* Storage that the chunks point into. */
    int32_t *rows32[3];   /* ids, types, positions: [rows] each */
    int64_t *rows64[3];   /* the same as ONNX feeds them: ids, types, mask */
    int32_t *sequence[4]; /* starts, lengths, rows of the result, unpooled: [distinct.count] */
    int32_t *mask_token_rows, *mask_token_starts;
    size_t row_capacity[3], wide_capacity[3], sequence_capacity[4], mask_token_capacity,
        mask_token_start_capacity;
} rt_prepared;

/* Whether lengths, ids, types and unpooled of a batch are within the limits. */
retort_status rt_batch_check(const rt_batch *batch, const rt_limits *limits, retort_error *err);
/* Allocates only if the batch is larger than any before. */
retort_status rt_prepare(rt_prepared *out, const rt_batch *batch, const rt_limits *limits, retort_error *err);
void rt_prepared_free(rt_prepared *prepared);

#endif
