/* SPDX-License-Identifier: Apache-2.0
 * A cascade at work: each stage runs the sequences that no earlier one was sure of. */
#ifndef RT_RUN_STAGES_H
#define RT_RUN_STAGES_H

#include "model/cascade.h"
#include "run/provider.h"

typedef struct rt_stages rt_stages;

/* The stages of model->cascade, each model of which runs in the provider. */
retort_status rt_stages_open(rt_stages **out, const retort_model *model, const rt_provider *provider,
                             const retort_session_options *options, retort_error *err);
/* Accepts NULL. */
void rt_stages_close(rt_stages *stages);
/* *out: [n, labels], as retort_run gives it, each row from the stage that answered. Valid until the next call. */
retort_status rt_stages_run(rt_stages *stages, const rt_batch *batch, retort_matrix *out, retort_error *err);
/* The stage of each row of the last run. */
const uint8_t *rt_stages_answered_by(const rt_stages *stages);
/* The state of the provider for the full model. */
void *rt_stages_full(const rt_stages *stages);
/* Adds what the stages before the full model take. */
void rt_stages_describe(const rt_stages *stages, retort_session_info *info);

#endif
