/* SPDX-License-Identifier: Apache-2.0
 * The order in which the units of a module go, and what the rest becomes: the optimal brain surgeon for whole units
 * (Hassibi and Stork, 1993; ZipLM, Kurtic et al., arXiv 2302.04089). With the second moments H of the columns that a
 * Linear reads and its weight W, removing the columns S costs
 *     trace(W_S^T ((H^-1)_SS)^-1 W_S)
 * in the squared error of its output, if the other columns take over what they can:
 *     W -= (H^-1)_:S ((H^-1)_SS)^-1 W_S
 * after which S is eliminated from H^-1 in the same way. Outputs count by what their errors cost the answers: with second
 * moments G = L L^T of the gradient at the outputs, the cost is that of W L. A last column of ones, which never goes,
 * stands for the bias. */
#ifndef RT_PRUNE_ORDER_H
#define RT_PRUNE_ORDER_H

#include "prune/moments.h"

/* A module with `count` of its units. */
typedef struct rt_prune_level {
    size_t count;
    uint32_t *kept; /* [count] ascending */
    float *weight;  /* [count * unit, n] row-major */
    float *bias;    /* [n] what is added to the bias */
    double cost;    /* mean squared error of the output, weighted */
} rt_prune_level;

typedef struct rt_prune_task {
    size_t units, unit, n;
    size_t rows;         /* that the moments are sums of */
    const double *h;     /* [units * unit + 1, ·] moments, the lower triangle; not damped */
    const float *weight; /* P16 [units * unit, n] */
    const float *g;      /* [n, n] second moments of gradients at the outputs (lower triangle), or NULL */
    const rt_kernels *kernels;
} rt_prune_task;

/* Fills `levels` [level_count], whose `count` is set and falls from one to the next, from 1 to `units`. */
retort_status rt_prune_order(const rt_prune_task *task, rt_prune_level *levels, size_t level_count,
                             retort_error *err);
void rt_prune_level_free(rt_prune_level *level);

#endif
