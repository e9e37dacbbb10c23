/* SPDX-License-Identifier: Apache-2.0
 * Removes heads of attention, columns of feed-forward networks and whole layers by what that costs the answers, and lets what
 * stays make up for them: no gradient step, no label. In rounds: the order in which units of each module go (order.h); the
 * loss of the answers with each module alone at each of some levels; the level of each that the budget allows
 * (budget.h). At the end, a repair against the dense model (repair.h). After Kwon et al. (arXiv 2204.09656), ZipLM
 * (2302.04089) and K-prune (2308.03449). */
#ifndef RT_PRUNE_PRUNE_H
#define RT_PRUNE_PRUNE_H

#include "model/model.h"

/* Options, already checked by retort_model_prune. */
retort_status rt_prune(retort_model **out, const retort_model *model, const retort_prune_options *options,
                       retort_prune_result *result, retort_error *err);

#endif
