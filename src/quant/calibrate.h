/* SPDX-License-Identifier: Apache-2.0
 * What activations look like: texts run through the network, and the rows that are wanted shown to who wants
 * them; above all the second moments of what each matrix multiplies, as the integer engine sees it. */
#ifndef RT_QUANT_CALIBRATE_H
#define RT_QUANT_CALIBRATE_H

#include "graph/package.h"
#include "kernel/kernel.h"
#include "quant/squares.h"
#include "task/dataset.h"
#include "run/prepare.h"
#include "task/feed.h"

/* Of the rows x [k] that were seen: how many, sum of x, sum of x x^T (the lower triangle, rows first). */
typedef struct rt_moments {
    const char *name;          /* of the Linear; lives as long as the graph that is quantised */
    const float *factor, *add; /* [k] or NULL: how x is moved before it is rounded (rt_rows_q); borrowed */
    size_t k, rows;
    double *sum;     /* [k] */
    double *squares; /* [k, k]: [i][j] for j <= i, and some beyond */
} rt_moments;
retort_status rt_moments_begin(rt_moments *out, const char *name, size_t k, retort_error *err);
void rt_moments_free(rt_moments *moments);

/* Texts for calibration, and room to work. Start with {0}. */
typedef struct rt_calibration {
    rt_kernels kernels;
    const retort_model *model; /* borrowed */
    rt_feed texts;
    /* NULL, or called when `done` of `count` chunks are: may cancel. */
    retort_status (*pause)(void *user, size_t done, size_t count, retort_error *err);
    void *pause_user;
    /* Scratch of one chunk of rows; grows. */
    float *x, *product;
    rt_squares squares;
    int8_t *codes;
    rt_row_scale *scales;
    size_t x_size, product_size, code_size, scale_size;
} rt_calibration;

/* Chooses and encodes up to `samples` texts of the data, by the seed; data of fewer gives all. A model that
 * fills masks gets one in each text. */
retort_status rt_calibration_open(rt_calibration *out, const retort_model *model, const retort_dataset *data,
                                  size_t samples, uint64_t seed, retort_error *err);
void rt_calibration_free(rt_calibration *calibration);
/* The texts in chunks of at most rt_calibration_rows(positions) tokens, the same whatever the graph. */
size_t rt_calibration_rows(size_t positions);
retort_status rt_calibration_prepare(rt_prepared *out, const rt_calibration *calibration,
                                     const rt_graph *graph, rt_rows_kind output, retort_error *err);
/* Sees rows [rows, n] of what is watched at node `index` of the names, chunk after chunk; y: what the node
 * made of them, or NULL. */
typedef retort_status (*rt_rows_fn)(void *user, size_t index, size_t rows, size_t n, const float *x,
                                    const float *y, retort_error *err);
typedef enum rt_watch {
    RT_WATCH_X, /* a Linear's x, a float still, and its y */
    RT_WATCH_Q  /* the int8 that a node makes, as floats */
} rt_watch;
/* Runs the texts through `graph` as far as the last node that is named. */
retort_status rt_calibrate_rows(rt_calibration *calibration, const rt_graph *graph, const char *const *names,
                                size_t count, rt_watch watch, rt_rows_fn see, void *user, retort_error *err);
/* Runs the texts through `graph`, of which some matrices may be integers already, and adds up the moments of
 * the rows of x that the named Linears read, rounded to int8 as the engine will round them. Linears behind
 * the last one that is named are not run. */
retort_status rt_calibrate(rt_calibration *calibration, const rt_graph *graph, rt_moments *moments,
                           size_t count, retort_error *err);

#endif
