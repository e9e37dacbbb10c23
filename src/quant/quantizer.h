/* SPDX-License-Identifier: Apache-2.0
 * A quantisation in progress: what is rounded, and its state. quantize.c rounds what needs no data, calibrate_wave.c
 * what depends on activations. */
#ifndef RT_QUANT_QUANTIZER_H
#define RT_QUANT_QUANTIZER_H

#include "quant/calibrate.h"
#include "quant/importance.h"
#include "quant/recipe.h"

/* A quantisation in progress. */
typedef struct rt_quantizer {
    rt_graph *graph;
    const rt_tokenizer *tokenizer; /* or NULL */
    const retort_quantize_options *options;
    const rt_recipe *row;
    int bits, table_bits; /* as requested, or else that of the recipe */
    bool fixed;           /* the ranges of activations */
    int64_t group;
    size_t outliers;            /* of a matrix */
    size_t samples;             /* calibration texts */
    rt_calibration calibration; /* of recipes that need data */
    rt_importance importance;   /* for recipes that measure it */
    rt_thread_pool *pool;       /* of recipes that need data */
    size_t node_count;          /* before any are added */
    int *wave;                  /* [nodes] the wave in which it is calibrated, from 0; -1: needs no data */
    const char *doing;          /* the current one */
    /* Work, in multiplications: done, the current part and its progress, total. */
    double done, part, share, total;
} rt_quantizer;

/* ---- quantizer.c ---- */

/* Checks that every name in options->keep is that of a layer. */
retort_status rt_quantizer_check_keep(const rt_quantizer *q, retort_error *err);
/* Whether the node has a weight that a recipe rounds. */
bool rt_quantizer_has_weight(const rt_node *node);
/* Called often during a part, to report progress and to allow cancelling: `done` of `count`. user: an
 * rt_quantizer. */
retort_status rt_quantizer_go_on(void *user, size_t done, size_t count, retort_error *err);
/* Starts the next part of the work; keeps the pointer `what`. */
retort_status rt_quantizer_report(rt_quantizer *q, const char *what, double work, retort_error *err);
/* Whether the node has a float weight still to be rounded; afterwards, its dtype is an integer. */
bool rt_quantizer_due(const rt_quantizer *q, const rt_node *node);
/* Whether its matrix is wide enough for the bits of the recipe. */
bool rt_quantizer_wide(const rt_quantizer *q, const rt_node *node);
/* Outlier columns of its matrix, which keep 8 bits: rows here, where k comes first. */
size_t rt_quantizer_outliers(const rt_quantizer *q, const rt_node *node);
/* Rounds to nearest, without data. */
retort_status rt_quantizer_round(rt_quantizer *q, int node, retort_error *err);

/* ---- quantize_work.c: how much there is to do ---- */

/* Work to round a matrix or a table; to calibrate a wave; to measure importance. */
double rt_work_round(const rt_quantizer *q, int node);
double rt_work_wave(const rt_quantizer *q, int wave);
double rt_work_importance(const rt_quantizer *q);
/* q->total. */
void rt_work_plan(rt_quantizer *q, int waves);
/* Peak memory of calibration and rounding, in addition to the model. */
size_t rt_work_memory(const rt_quantizer *q, int waves);

/* ---- calibrate_wave.c ---- */

/* Assigns matrices to waves: q->wave and *waves. */
retort_status rt_waves_plan(rt_quantizer *q, int *waves, retort_error *err);
/* Rounds a wave, whose inputs are computed with the integers of earlier waves. */
retort_status rt_wave_round(rt_quantizer *q, int index, retort_error *err);

#endif
