/* SPDX-License-Identifier: Apache-2.0
 * The closing repair: in the order of the graph, the weight and bias of each Linear into the residual stream are solved
 * for anew, so that the stream after it is that of the dense model as nearly as can be (least squares on the texts; K-prune,
 * Park et al., arXiv 2308.03449). It makes up for what the layers before have lost, too. */
#ifndef RT_PRUNE_REPAIR_H
#define RT_PRUNE_REPAIR_H

#include "prune/probe.h"

/* model: changed in place. Its Linears have the names of those of `dense`. */
retort_status rt_prune_repair(const rt_probe *probe, retort_model *model, retort_model *dense,
                              retort_error *err);

#endif
