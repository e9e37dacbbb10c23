/* SPDX-License-Identifier: Apache-2.0
 * The model in training: a level-3 graph whose constants are its own and change from step to step. */
#ifndef RT_TRAIN_TRAINEE_H
#define RT_TRAIN_TRAINEE_H

#include "grad/tape.h"
#include "model/model.h"

typedef struct rt_trainee rt_trainee;

/* How parameters become what the graph computes with, where that is not the parameters themselves (train/qat.h). */
typedef struct rt_trainee_rounding {
    retort_status (*refresh)(rt_trainee *trainee, size_t step, retort_error *err);
    void (*gather)(rt_trainee *trainee);
    void (*touch)(rt_trainee *trainee, size_t item, const int32_t *rows, size_t n);
    void (*close)(rt_trainee *trainee);
} rt_trainee_rounding;

enum { RT_TRAINEE_LEFT_OUT = 7 };
struct rt_trainee {
    retort_model *base; /* that it was opened from */
    retort_model *
        model; /* owns the graph that is trained; runs in a session like any other, with the weights of now */
    rt_parameters parameters;
    bool half; /* the graph multiplies bf16; parameters are floats, of which rt_tape_refresh rounds it */
    rt_graph floats; /* half: the same graph in float, over the parameters */
    const char
        *left_out[RT_TRAINEE_LEFT_OUT]; /* rewrites that the graph lacks, and that the trained model has */
    size_t left_out_count;
    const rt_trainee_rounding *rounding; /* NULL: floats are trained as floats */
    struct rt_qat *qat;                  /* state of the rounding */
    struct rt_positions *positions;      /* what position keys and queries are made of, or NULL */
};

/* A float32 model of any level, in the form that is trained: the graph is brought to level 3 without the folds that
 * change how AdamW moves (scale into W_Q, drop b_K, b_V into b_O), and where 1/sqrt(d) is folded into W_Q already it
 * is taken out again. All float constants are copied, one copy for each reader. Other dtypes: RETORT_ARGUMENT. */
retort_status rt_trainee_open(rt_trainee *out, const retort_model *model, retort_error *err);
/* Refuses what has no gradient, by the name of its node. */
retort_status rt_trainee_check(const retort_model *model, retort_error *err);
/* Products of bf16 with float sums, before the first step. */
retort_status rt_trainee_use_bf16(rt_trainee *trainee, retort_error *err);
void rt_trainee_close(rt_trainee *trainee);
/* Rows of a table, parameter `item`, that the next refresh shall round: those that the forward passes read. NULL: all rows
 * of all tables. */
void rt_trainee_touch(rt_trainee *trainee, size_t item, const int32_t *rows, size_t n);
/* Before the forward passes of a step (from 0): rounds the parameters to what the graph computes with, if that is not
 * floats. */
retort_status rt_trainee_refresh(rt_trainee *trainee, size_t step, retort_error *err);
/* After the backward passes of a step: turns gradients with respect to rounded weights into those of the parameters. */
void rt_trainee_gather(rt_trainee *trainee);
/* A model that has the weights of now, its own copy, and says that it was trained. Of floats, it has the folds that the
 * graph in training lacks: it is as fast as the same checkpoint imported. */
retort_status rt_trainee_model(retort_model **out, const rt_trainee *trainee, retort_error *err);

/* Drops the parameters that LayerNorms without β have zeros for. */
void rt_trainee_drop_absent(rt_trainee *trainee);
/* Every constant of the model's graph becomes memory of that graph, to be written: each has its own, though several
 * nodes may read it. */
retort_status rt_trainee_own(retort_model *model, retort_error *err);

#endif
