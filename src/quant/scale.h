/* SPDX-License-Identifier: Apache-2.0
 * Finds the channel scaling of x (channel_scale.h): a search for the least error of the output of the Linear on
 * calibration rows, with both x and the weights rounded. */
#ifndef RT_QUANT_SCALE_H
#define RT_QUANT_SCALE_H

#include "quant/calibrate.h"
#include "quant/channel_scale.h"

/* A uniform random sample of the rows x [k] (Vitter's algorithm R). */
enum { RT_SAMPLE_ROWS = 512 };
typedef struct rt_row_sample {
    size_t k, seen, count;
    uint64_t random;
    float *x;         /* [count, k] */
    float *weight;    /* [count] squared weight of an error in y of the row */
    float *min, *max; /* [k] over all rows seen; 0 does not count */
} rt_row_sample;
retort_status rt_row_sample_begin(rt_row_sample *out, size_t k, retort_error *err);
void rt_row_sample_free(rt_row_sample *sample);
/* Adds rows x [rows, k]; false: one is not finite. y [rows, n] if a LayerNorm reads it, which divides by the
 * standard deviation of the row; else NULL. */
bool rt_row_sample_add(rt_row_sample *sample, size_t rows, const float *x, size_t n, const float *y);

/* How magnitudes are balanced between columns of x and rows of the weight: x'_j = (x_j - t_j) / s_j. */
typedef enum rt_scaling {
    RT_SCALE_NONE,
    RT_SCALE_SMOOTH, /* s_j = max|x_j|^a / max|W_j|^(1-a) (SmoothQuant, equation 4) */
    RT_SCALE_AWQ     /* s_j = mean|x_j|^r (AWQ, arXiv 2306.00978, equation 5) */
} rt_scaling;

typedef struct rt_scale_search {
    rt_scaling scaling;
    int bits; /* of the weights */
    size_t group;
    bool fixed; /* x has one range for all rows */
    const rt_kernels *kernels;
} rt_scale_search;
/* A Linear: act(x w + bias), and its reader. */
typedef struct rt_scaled {
    size_t k, n;
    const float *w;    /* [k, n] in panels (p16) */
    const float *bias; /* [n] or NULL */
    rt_act act;
    const float *gamma; /* [n] of the LayerNorm that reads it, or NULL */
} rt_scaled;
/* *out is {0} if nothing helps. loss: {unscaled, scaled}: squared errors of the output as the next operator
 * sees it: after the activation, or times gamma over the standard deviation of the row. */
retort_status rt_scale_choose(const rt_scale_search *search, const rt_scaled *linear,
                              const rt_row_sample *sample, rt_channel_scale *out, double loss[2],
                              retort_error *err);

#endif
