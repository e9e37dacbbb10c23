/* SPDX-License-Identifier: Apache-2.0
 * A table of an Embed in quantisation-aware training. */
#ifndef RT_TRAIN_QAT_TABLE_H
#define RT_TRAIN_QAT_TABLE_H

#include "grad/parameters.h"
#include "quant/panel.h"

/* A table of an Embed. Its master has a row per id or position; only dirty rows are rounded anew. Scales
 * stay as they are. */
typedef struct rt_qat_table {
    int table; /* value of the graph */
    rt_parameter *master;
    const rt_grid *grid;
    size_t rows, n, group, groups; /* 8 bits: one group of n, without a scale */
    /* Words: [rows] the stored row of an id, ~row among those that keep 8 bits, or RT_QAT_NO_ROW. NULL: positions, which
     * have a scale per column. */
    int32_t *places;
    float *used, *data; /* [rows, n] */
    bool *dirty;        /* [rows] to be rounded in the next refresh */
    /* Constants of the graph. */
    void *packed;
    int8_t *s8_rows; /* NULL: no row keeps 8 bits */
    const float *scale, *s8_scale;
    const uint8_t *group_at; /* NULL: 8 bits */
} rt_qat_table;
enum { RT_QAT_NO_ROW = INT32_MIN /* pruned: no text has the id */ };

/* operand: EMBED_WORD or EMBED_POSITION, a table of integers. vocab: ids. */
retort_status rt_qat_table_open(rt_qat_table *out, const rt_graph *graph, const rt_node *node, int operand,
                                size_t vocab, retort_error *err);
void rt_qat_table_free(rt_qat_table *t);
/* Master rows that round to the codes, as above. w: [rows, n] or NULL. */
void rt_qat_table_start(rt_qat_table *t, const float *w);
void rt_qat_table_refresh(rt_qat_table *t);
/* The gradients of rows, as above. */
void rt_qat_table_gather(rt_qat_table *t);

#endif
