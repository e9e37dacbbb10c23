/* SPDX-License-Identifier: Apache-2.0
 * A caller's batch, checked and cut into chunks of whole sequences. */
#ifndef RT_RUN_PREPARE_H
#define RT_RUN_PREPARE_H

#include "plan/plan.h"

/* What a batch is checked against, and how it is cut. */
typedef struct rt_limits {
    int64_t vocab, types, positions, mask_id;
    size_t capacity; /* rows of a chunk */
    size_t wanted;   /* rows of a chunk when there are several */
    size_t workers;
    bool padded;
} rt_limits;

/* Arrays grow to the largest batch met and stay. Start with {0}. */
typedef struct rt_prepared {
    rt_chunk *chunks;
    size_t chunk_count;
    bool team; /* all workers together on each chunk, in turn; else each worker takes whole chunks */
    size_t sequences, tokens, masks;
    size_t *first_sequence, *first_token, *first_mask; /* [chunk_count] where a chunk's results go */
    size_t chunk_capacity, first_capacity[3];
    /* Storage that the chunks point into. */
    int32_t *rows32[3];   /* ids, types, positions: [rows] each */
    int64_t *rows64[3];   /* the same as ONNX feeds them: ids, types, mask */
    int32_t *sequence[2]; /* starts, lengths: [sequences] */
    int32_t *mask_rows, *mask_starts;
    size_t row_capacity[3], wide_capacity[3], sequence_capacity[2], mask_capacity, mask_start_capacity;
} rt_prepared;

/* Allocates only when the batch is larger than every one before. */
retort_status rt_prepare(rt_prepared *out, const retort_batch *batch, const rt_limits *limits,
                         retort_error *err);
void rt_prepared_free(rt_prepared *prepared);

#endif
