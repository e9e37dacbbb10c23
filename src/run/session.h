/* SPDX-License-Identifier: Apache-2.0
 * A session: a provider, its plan, memory and threads; for the layers above (task/, api.c). */
#ifndef RT_RUN_SESSION_H
#define RT_RUN_SESSION_H

#include "engine/batch.h"
#include "model/model.h"

struct retort_session; /* retort_session_open / close / run / step / describe are in session.c */

/* The model of a session (borrowed), and its options for text. */
const retort_model *rt_session_model(const retort_session *session);
bool rt_session_special_as_text(const retort_session *session);
bool rt_session_token_vectors(const retort_session *session);
/* retort_run. */
retort_status rt_session_run(retort_session *session, const rt_batch *batch, retort_matrix *out,
                             retort_error *err);
/* The prompt before each text. */
const char *rt_session_prompt(const retort_session *session);
/* The word cache of the session. */
rt_word_cache *rt_session_cache(retort_session *session);
/* Whether the caller may end a call between groups of texts; whether it does so now: CANCELLED. */
bool rt_session_may_cancel(const retort_session *session);
retort_status rt_session_cancel(const retort_session *session, retort_error *err);
/* The counter of truncated texts. */
uint64_t *rt_session_truncated(retort_session *session);

#endif
