/* SPDX-License-Identifier: Apache-2.0
 * Rounds the weights of a level-3 graph to integers; to nearest, without data. */
#ifndef RT_QUANT_PTQ_H
#define RT_QUANT_PTQ_H

#include "graph/graph.h"
#include "quant/panel.h"

/* A rounding method other than nearest, for 4 bits. */
typedef struct rt_rounder {
    /* w [k, 16], panel `panel` of the matrix; false: a weight is not finite. */
    bool (*round)(void *user, size_t panel, const float *w, rt_rounded *out);
    void *user;
    size_t outliers;             /* rows that keep 8 bits, a multiple of 8 */
    const int32_t *outlier_rows; /* [outliers] */
    const int8_t *outlier_codes; /* [outliers, 16] their integers, in units of the scales of the columns */
} rt_rounder;

/* Rounds the weight of a Linear (p16) to p16_s8 or p16_s4, with scale, sums and groups, in every Linear that
 * uses it. bits: 8, or 4, 3 or 2 (p16_s4 with fewer codes). group: below 8 bits, a multiple of 8. rounder:
 * NULL to round to nearest. */
retort_status rt_ptq_matrix(rt_graph *graph, int node, int bits, int64_t group, const rt_rounder *rounder,
                            retort_error *err);
/* Rounds the word table of an Embed to int8 rows, or to 4-bit rows (of 4, 3 or 2 bits) with groups, a multiple
 * of 32. pruned: ids whose rows are omitted (pruned of Embed). rounder: as above, where a panel is 16 rows.
 * s8_ids: ids whose rows get 8 bits, where the others get fewer. */
typedef struct rt_word_rows {
    const int32_t *pruned; /* [pruned_count, 2] first id, count */
    const int32_t *s8_ids; /* [s8_count] ascending, not pruned */
    size_t pruned_count, s8_count;
    /* NULL, or called after some rows with how many are done of how many: what it returns ends the rounding. */
    retort_status (*go_on)(void *user, size_t done, size_t count, retort_error *err);
    void *user;
} rt_word_rows;
retort_status rt_ptq_word_table(rt_graph *graph, int node, int bits, int64_t group, const rt_word_rows *words,
                                const rt_rounder *rounder, retort_error *err);
/* Rounds the position table to int8 with a scale per column: a few columns are ten times as large as the
 * others in every row (models/sst2: a quarter of the error of scales per row). */
retort_status rt_ptq_positions(rt_graph *graph, int node, retort_error *err);

#endif
