/* SPDX-License-Identifier: Apache-2.0
 * The loss of a batch and its gradients: forward, loss and backward over the chunks of the batch. The caller clears the
 * gradients before, and takes the step of the optimiser afterwards. */
#ifndef RT_TRAIN_OBJECTIVE_H
#define RT_TRAIN_OBJECTIVE_H

#include "engine/prepare.h"
#include "grad/tape.h"
#include "train/loss.h"
#include "train/teacher.h"

/* (1 - soft) times the loss of the labels, plus soft times that of the teacher's logits, plus hidden times the sum of those
 * of its hidden states: of its norms, or of the last one alone if the graph has other norms. */
typedef struct rt_objective_options {
    rt_loss_options loss;
    rt_teacher *teacher; /* NULL: labels alone. Borrowed */
    double temperature;  /* of the logits: 2 is usual */
    double soft, hidden; /* only with a teacher; examples without labels: soft is 1 */
} rt_objective_options;

typedef struct rt_objective {
    rt_tape *tape;               /* borrowed */
    const rt_examples *examples; /* borrowed */
    rt_objective_options options;
    rt_row_set rows; /* of the graph's output: of texts or of tokens */
    int *states;     /* [state_count] values that the last norms of the teacher are compared with, in order */
    size_t state_count;
    float *vectors;  /* RT_TARGET_PAIR: [sequences, columns] of the whole batch, */
    float *gradient; /* and the gradient of its loss */
    size_t vector_capacity, gradient_capacity;
} rt_objective;

/* RETORT_ARGUMENT: the teacher's last hidden states have another width than the graph's, and options->hidden > 0. */
retort_status rt_objective_open(rt_objective *out, rt_tape *tape, const rt_examples *examples,
                                const rt_objective_options *options, retort_error *err);
void rt_objective_close(rt_objective *objective);
/* Computes the loss of the examples `which` [n], the mean over the whole batch however it is cut, and adds its gradients
 * to those of the parameters. Sequence i of `batch` is example which[i]; RT_TARGET_PAIR: n first sequences, then the n
 * second ones in the same order. `batch` keeps duplicates (rt_limits.keep_duplicates), and its chunks run in turn, each
 * by all workers. Pairs in several chunks run forward twice, so that only one chunk's values are kept (Gao et al.,
 * 2101.06983). */
retort_status rt_objective_batch(rt_objective *objective, const rt_prepared *batch, const size_t *which,
                                 size_t n, double *loss, retort_error *err);

#endif
