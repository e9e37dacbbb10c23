/* SPDX-License-Identifier: Apache-2.0
 * Weights of a level-3 graph to integers, rounded to nearest: no data is needed. */
#ifndef RT_QUANT_PTQ_H
#define RT_QUANT_PTQ_H

#include "graph/graph.h"
#include "quant/panel.h"

/* Another way of rounding than to nearest, for 4 bits. */
typedef struct rt_rounder {
    /* w [k, 16], panel `panel` of the matrix; false: a weight is not finite. */
    bool (*round)(void *user, size_t panel, const float *w, rt_rounded *out);
    void *user;
    size_t weak;              /* rows that keep 8 bits, a multiple of 8 */
    const int32_t *weak_rows; /* [weak] */
    const int8_t *weak_codes; /* [weak, 16] what round made of them, in units of the columns' scales */
} rt_rounder;

/* The weight of a Linear (p16) to p16_s8 or p16_s4, with scale, sums and groups, in every Linear that has it.
 * `bits` 8, 4 or 3, which are p16_s4 with codes of -4…3; `group`: 4 and 3 bits, a multiple of 8; `rounder`:
 * NULL: to nearest. */
retort_status rt_ptq_matrix(rt_graph *graph, int node, int bits, int64_t group, const rt_rounder *rounder,
                            retort_error *err);
/* The word table of an Embed to int8 rows or to 4-bit rows (of 4 or 3 bits) with groups, a multiple of 32.
 * gaps: ids whose rows are left out (Embed's gaps). rounder: as above, a panel is 16 rows. kept: with 4 or 3
 * bits, ids whose rows get 8. */
typedef struct rt_words {
    const int32_t *gaps; /* [gap_count, 2] first id, how many */
    const int32_t *kept; /* [kept_count] ascending, in no gap */
    size_t gap_count, kept_count;
} rt_words;
retort_status rt_ptq_words(rt_graph *graph, int node, int bits, int64_t group, const rt_words *words,
                           const rt_rounder *rounder, retort_error *err);
/* Its table of positions to int8 with a scale a column: a few columns are ten times as large as the others in
 * every row (models/sst2: a quarter of the error of scales a row). */
retort_status rt_ptq_positions(rt_graph *graph, int node, retort_error *err);

#endif
