/* SPDX-License-Identifier: Apache-2.0
 * Quantisation-aware training: the forward pass computes with exactly the integers that are deployed. Masters are floats;
 * before each step they are rounded into the constants of an integer graph, by the functions that quantise. Gradients pass
 * the rounding straight (Bengio et al., 1308.3432), and are 0 where a code is clipped; step sizes are learned as in LSQ
 * (Esser et al., 1902.08153). */
#ifndef RT_TRAIN_QAT_H
#define RT_TRAIN_QAT_H

#include "train/qat_matrix.h"
#include "train/qat_table.h"
#include "train/trainee.h"

#include <stdatomic.h>

typedef struct rt_qat_options {
    size_t steps;         /* of the whole training */
    size_t regroup;       /* integer scales of groups are chosen anew every so many steps; 0: 100 */
    double frozen;        /* they stay for this last share of the steps; 0: a third */
    rt_thread_pool *pool; /* borrowed; NULL: the caller does all the work */
} rt_qat_options;

typedef struct rt_qat {
    rt_qat_options options;
    rt_qat_matrix *matrices;
    rt_qat_table *tables;
    size_t matrix_count, table_count;
    size_t *first; /* [matrix_count + 1] panels of the matrices before */
    char *scratch; /* [threads, stride] */
    size_t stride;
    /* Of the pass in progress. */
    bool regroup;
    atomic_size_t taken; /* panels */
} rt_qat;

/* integer: what a recipe made of `model`, at level 3. Its graph is trained, with constants of its own. Masters start at
 * the weights of `model` (NULL: none) where these round to the codes of `integer`, else at what the codes stand for: the
 * first forward pass is that of `integer`. Parameters: masters of matrices and tables; factors of the scales per channel,
 * which start at 1, so that one learning rate suits all of them; biases, LayerNorm, and what the recipe left in float.
 * RETORT_UNSUPPORTED: a recipe that scales channels. A session on the trainee's model must not outlive a refresh. */
retort_status rt_qat_open(rt_trainee *out, const retort_model *integer, const retort_model *model,
                          const rt_qat_options *options, retort_error *err);

/* What a checkpoint keeps beside the parameters. After reading both, touch all rows. */
typedef struct rt_qat_state {
    void *data;
    size_t bytes;
} rt_qat_state;
/* Part `index`; bytes 0: beyond the last one. */
rt_qat_state rt_qat_state_at(const rt_trainee *trainee, size_t index);

#endif
