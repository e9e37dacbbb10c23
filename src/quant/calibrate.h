/* SPDX-License-Identifier: Apache-2.0
 * Calibration: runs texts through the network and passes selected rows of activations to an observer. Its
 * main use is the second moments of the inputs of each matrix, as the integer engine sees them. */
#ifndef RT_QUANT_CALIBRATE_H
#define RT_QUANT_CALIBRATE_H

#include "model/model.h"
#include "kernel/kernel.h"
#include "quant/gram.h"
#include "eval/dataset.h"
#include "engine/prepare.h"
#include "task/feed.h"

/* Moments of rows x [k]: count, sum of x, sum of x x^T (the lower triangle, row-major). */
typedef struct rt_moments {
    const char *name;          /* of the Linear; lives as long as the graph being quantised */
    const float *factor, *add; /* [k] or NULL: channel scaling of x (rt_rows_q); borrowed */
    size_t k, rows;
    double *sum;  /* [k] */
    double *gram; /* [k, k]: valid for j <= i; some elements beyond are also written */
} rt_moments;
retort_status rt_moments_begin(rt_moments *out, const char *name, size_t k, retort_error *err);
void rt_moments_free(rt_moments *moments);

/* The calibration set and work space. Start with {0}. */
typedef struct rt_calibration {
    rt_kernels kernels;
    const retort_model *model; /* borrowed */
    rt_feed texts;
    /* NULL, or called when `done` of `count` chunks are done; may cancel. */
    retort_status (*pause)(void *user, size_t done, size_t count, retort_error *err);
    void *pause_user;
    /* Scratch of one chunk of rows; grows. */
    float *x, *product;
    rt_gram gram;
    int8_t *codes;
    rt_row_scale *scales;
    size_t x_size, product_size, code_size, scale_size;
} rt_calibration;

/* Chooses up to `samples` texts of the data with the seed, or all if there are fewer, and encodes them. For a
 * fill model, each text gets a mask token. */
retort_status rt_calibration_open(rt_calibration *out, const retort_model *model, const retort_dataset *data,
                                  size_t samples, uint64_t seed, retort_error *err);
void rt_calibration_free(rt_calibration *calibration);
/* Splits the texts into chunks of at most rt_calibration_rows(positions) tokens, the same for every graph. */
size_t rt_calibration_rows(size_t positions);
retort_status rt_calibration_prepare(rt_prepared *out, const rt_calibration *calibration,
                                     const rt_graph *graph, rt_row_set output, retort_error *err);
/* Receives the watched rows [rows, n] of node `index` of the names, chunk by chunk; y: the output of the
 * node, or NULL. */
typedef retort_status (*rt_rows_fn)(void *user, size_t index, size_t rows, size_t n, const float *x,
                                    const float *y, retort_error *err);
typedef enum rt_watch {
    RT_WATCH_X, /* the float x of a Linear, and its y */
    RT_WATCH_Q  /* the int8 output of a node, as floats */
} rt_watch;
/* Runs the texts through `graph` up to the last named node. */
retort_status rt_calibrate_rows(rt_calibration *calibration, const rt_graph *graph, const char *const *names,
                                size_t count, rt_watch watch, rt_rows_fn see, void *user, retort_error *err);
/* Runs the texts through `graph`, some of whose matrices may already be integers, and accumulates the
 * moments of the input rows of the named Linears, rounded to int8 as the engine will round them. Stops after
 * the last named Linear. */
retort_status rt_calibrate(rt_calibration *calibration, const rt_graph *graph, rt_moments *moments,
                           size_t count, retort_error *err);

#endif
