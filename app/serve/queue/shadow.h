/* SPDX-License-Identifier: Apache-2.0
 * What a served cascade does: how much each stage answers, and, of a sample of the texts, whether the full model agrees. A
 * thread of its own asks it, when nothing else wants the CPU: no request waits for it. */
#ifndef SERVE_SHADOW_H
#define SERVE_SHADOW_H

#include "retort.h"
#include "serve/base/options.h"
#include "serve/base/out.h"

typedef struct srv_shadow srv_shadow;

/* *out is NULL if the model is no cascade. */
retort_status srv_shadow_open(srv_shadow **out, retort_model *model, const srv_options *options,
                              retort_error *err);
/* What waits is not asked any more. Accepts NULL. */
void srv_shadow_close(srv_shadow *shadow);
/* Notes a batch that ran; by [rows]: the stage of each answer. Never waits: where the sample is busy or full, it is skipped. */
void srv_shadow_note(srv_shadow *shadow, const retort_batch *batch, const retort_matrix *out,
                     const uint8_t *by);
/* Its metrics, one family after the other; shadows [n] may be NULL. */
void srv_shadow_print(srv_out *out, srv_shadow *const *shadows, const char *const *names, size_t n);

#endif
