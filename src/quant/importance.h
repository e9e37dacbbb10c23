/* SPDX-License-Identifier: Apache-2.0
 * Importance: what an error in a row of the word table, or in an output of a matrix, costs the answers. It
 * is the second moments of the gradient of the loss, at the sum of rows that Embed normalises and at the
 * sums of a Linear, in the float model. The loss is the distance of answers from those of the model: KL of
 * softmaxes, or the squared distance. Its gradient at these answers is zero, so random gradients are used
 * whose second moments are the Hessian of the loss (Fisher information). Softmaxes have a temperature: at 1,
 * a model is so confident on the texts it was trained on that only a few of them would count. */
#ifndef RT_QUANT_IMPORTANCE_H
#define RT_QUANT_IMPORTANCE_H

#include "base/thread.h"
#include "quant/calibrate.h"

typedef struct rt_importance {
    double *embedded; /* [n, n], the lower triangle; NULL: not measured */
    size_t n;
    float **outputs; /* [nodes] for a Linear with rt_importance_joint: the same at its outputs, before the
                        activation */
    size_t nodes;
} rt_importance;

/* Most labels of a head whose outputs are treated jointly. With more, such as a vocabulary, each output is
 * rounded on its own: the second moments of a softmax are diag(p) - p p^T, which has only products of two
 * probabilities off its diagonal, but would take labels^2 numbers and labels^3 steps to factor. */
enum { RT_IMPORTANCE_LABELS = 2048 };
/* Whether the outputs of a Linear are treated jointly. */
bool rt_importance_joint(const rt_graph *graph, const rt_node *node);

retort_status rt_importance_make(rt_importance *out, const rt_calibration *calibration, rt_thread_pool *pool,
                                 uint64_t seed, retort_error *err);
void rt_importance_free(rt_importance *importance);

#endif
