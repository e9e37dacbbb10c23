/* SPDX-License-Identifier: Apache-2.0
 * What the parts of a quantisation share: quantize.c decides what is rounded and rounds what needs no data,
 * quantize_wave.c what is learnt from activations. */
#ifndef RT_QUANT_QUANTIZER_H
#define RT_QUANT_QUANTIZER_H

#include "quant/calibrate.h"
#include "quant/importance.h"
#include "quant/quantize.h"

/* A row of RT_RECIPES. */
typedef struct rt_recipe {
    const char *name;
    int bits, table_bits, group;
    rt_scaling scaling;
    rt_rounding rounding;
    bool weak;
    rt_activations activations;
    bool important;
    const char *help;
} rt_recipe;

/* A quantisation under way. */
typedef struct rt_quantizer {
    rt_graph *graph;
    const rt_tokenizer *tokenizer; /* or NULL */
    const retort_quantize_options *options;
    const rt_recipe *row;
    int bits, table_bits; /* as asked for, else the row's */
    bool fixed;           /* the ranges of activations */
    int64_t group;
    size_t weak;                /* of a matrix */
    size_t samples;             /* texts of calibration */
    rt_calibration calibration; /* of recipes that need data */
    rt_importance importance;   /* of recipes that measure it */
    rt_pool *pool;              /* of recipes that need data */
    size_t node_count;          /* before any were added */
    int *wave;                  /* [nodes] when it is calibrated, from 0; -1: it needs no data */
    const char *doing;          /* now */
    /* Of all work, in products of two numbers: what is done, the part at hand and how far it is, all. */
    double done, part, share, total;
} rt_quantizer;

/* Whether matrices are looked at one wave after another. */
static inline bool rt_recipe_learns(const rt_recipe *row) {
    return row->scaling != RT_SCALE_NONE || row->rounding != RT_ROUND_NEAREST;
}

/* ---- quantize.c ---- */

/* Called often while a part lasts, so that it is seen and can be cancelled: `done` of `count`. user: an
 * rt_quantizer. */
retort_status rt_quantizer_go_on(void *user, size_t done, size_t count, retort_error *err);
/* The next part of the work begins: `what`, which is kept, of so much work. */
retort_status rt_quantizer_report(rt_quantizer *q, const char *what, double work, retort_error *err);
/* Whether the node has a float weight that is to be rounded; once it is, its dtype says so. */
bool rt_quantizer_due(const rt_quantizer *q, const rt_node *node);
/* Whether its matrix is so wide that it gets the recipe's bits. */
bool rt_quantizer_wide(const rt_quantizer *q, const rt_node *node);
/* Columns of its matrix that keep 8 bits: rows here, where k comes first. */
size_t rt_quantizer_weak(const rt_quantizer *q, const rt_node *node);
/* To the nearest, with no data. */
retort_status rt_quantizer_round(rt_quantizer *q, int node, retort_error *err);

/* ---- quantize_work.c: how much there is to do ---- */

/* To round a matrix or a table; to measure what a wave's matrices multiply; to measure importance. */
double rt_work_round(const rt_quantizer *q, int node);
double rt_work_wave(const rt_quantizer *q, int wave);
double rt_work_importance(const rt_quantizer *q);
/* q->total. */
void rt_work_plan(rt_quantizer *q, int waves);
/* Bytes that learning takes at most at a time, beside the model. */
size_t rt_work_memory(const rt_quantizer *q, int waves);

/* ---- quantize_wave.c ---- */

/* Which matrices are learnt together, to q->wave and *waves. */
retort_status rt_waves_plan(rt_quantizer *q, int *waves, retort_error *err);
/* Rounds a wave. The inputs of its matrices are those that the integers so far give. */
retort_status rt_wave_learn(rt_quantizer *q, int index, retort_error *err);

#endif
