/* SPDX-License-Identifier: Apache-2.0
 * The weight of a Linear in quantisation-aware training. */
#ifndef RT_TRAIN_QAT_MATRIX_H
#define RT_TRAIN_QAT_MATRIX_H

#include "grad/parameters.h"
#include "quant/panel.h"

/* The weight of a Linear, rounded panel by panel: integers of 16 columns, all rows of k. */
typedef struct rt_qat_matrix {
    int weight, steps;           /* values of the graph */
    const rt_parameter *master;  /* P16 */
    const rt_parameter *factors; /* [n] what the scales of the start are multiplied by */
    const rt_grid *grid;
    size_t k, n, panels, group, groups; /* 8 bits: one group of k rows, without a scale */
    size_t outliers;                    /* rows that keep 8 bits */
    bool *is_outlier;                   /* [k] */
    float *start;                       /* [panels, 16] scales at the start */
    float *used;                        /* P16: what the integers stand for */
    float *data[2];                     /* of the parameters */
    /* Constants of the graph. */
    void *packed;
    float *scale;                   /* [n] */
    int32_t *sums;                  /* [n] */
    uint8_t *group_at;              /* [panels, groups, 16]; NULL: 8 bits */
    int8_t *outlier_codes;          /* P16_S8 [outliers, n] */
    const int32_t *outlier_columns; /* [outliers] */
} rt_qat_matrix;

/* node: a Linear with integers, in a graph whose constants may be written. */
retort_status rt_qat_matrix_open(rt_qat_matrix *out, const rt_graph *graph, const rt_node *node,
                                 retort_error *err);
void rt_qat_matrix_free(rt_qat_matrix *m);
/* Master weights that round to the codes: w (P16, or NULL) where it does, else what the code stands for. */
void rt_qat_matrix_start(rt_qat_matrix *m, const float *w);
/* Bytes of scratch for a panel. */
size_t rt_qat_matrix_scratch(const rt_qat_matrix *m);
/* Rounds a panel of the masters, with integer scales chosen anew if `regroup`. scratch: 64-byte aligned. */
void rt_qat_matrix_refresh(const rt_qat_matrix *m, size_t panel, bool regroup, void *scratch);
/* The gradient of a panel, with respect to `used`, becomes that of the masters; adds that of the factors. */
void rt_qat_matrix_gather(const rt_qat_matrix *m, size_t panel);

#endif
