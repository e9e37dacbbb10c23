/* SPDX-License-Identifier: Apache-2.0
 * What an error in a word's row, or in an output of a matrix, costs the answers: second moments of the loss's
 * gradient at the sum of rows that Embed normalises, and at the sums of a Linear, in the float model. The
 * loss is how far answers are from the model's own: KL of softmaxes, else the squared distance; its gradient
 * at the answers themselves is zero, so random ones stand in, whose second moments are the loss's Hessian
 * (Fisher's information). Softmaxes are taken at a temperature: a model is so sure of the texts that it was
 * trained on that at 1 only a few of them would count. */
#ifndef RT_QUANT_IMPORTANCE_H
#define RT_QUANT_IMPORTANCE_H

#include "base/thread.h"
#include "quant/calibrate.h"

typedef struct rt_importance {
    double *embedded; /* [n, n], the lower triangle; NULL: not measured */
    size_t n;
    float **outputs; /* [nodes] of a Linear that is rt_importance_joint: the same at its outputs, before the
                        activation */
    size_t nodes;
} rt_importance;

/* Labels of a head whose outputs are looked at together. Those of a softmax over more, such as a vocabulary,
 * are rounded each for itself: their second moments are diag(p) - p p^T, which beside its diagonal holds
 * only products of two probabilities, while it would take labels^2 numbers, and labels^3 steps to factor. */
enum { RT_IMPORTANCE_LABELS = 2048 };
/* Whether the outputs of a Linear are looked at together. */
bool rt_importance_joint(const rt_graph *graph, const rt_node *node);

retort_status rt_importance_make(rt_importance *out, const rt_calibration *calibration, rt_pool *pool,
                                 uint64_t seed, retort_error *err);
void rt_importance_free(rt_importance *importance);

#endif
