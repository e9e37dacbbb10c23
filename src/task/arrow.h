/* SPDX-License-Identifier: Apache-2.0
 * Columns of the Arrow C data interface: texts in, answers out. */
#ifndef RT_TASK_ARROW_H
#define RT_TASK_ARROW_H

#include "retort_arrow.h"
#include "task/task.h"

retort_status rt_arrow_schema(const retort_session *session, struct ArrowSchema *out, retort_error *err);
retort_status rt_arrow_array(retort_session *session, const struct ArrowSchema *schema,
                             const struct ArrowArray *texts, const char *column, struct ArrowArray *out,
                             retort_error *err);
/* What one run takes, in bytes of text: so many that Ctrl-C is heard in a fraction of a second. 0: not known yet. */
typedef struct rt_arrow_pace {
    size_t bytes;
} rt_arrow_pace;
/* The scores or vectors [n, labels] of n texts. */
retort_status rt_arrow_run(retort_session *session, const retort_text *texts, size_t n, rt_arrow_pace *pace,
                           float *scores, retort_error *err);
/* An array of n answers that are known: `scores` has a row for each that is no null. */
retort_status rt_arrow_known(retort_session *session, const bool *nulls, size_t n, const float *scores,
                             struct ArrowArray *out, retort_error *err);
retort_status rt_arrow_stream(retort_session *session, struct ArrowArrayStream *texts, const char *column,
                              struct ArrowArrayStream *out, retort_error *err);
retort_status rt_arrow_open(retort_model *model, const retort_session_options *options,
                            struct ArrowArrayStream *texts, const char *column, struct ArrowArrayStream *out,
                            retort_error *err);

bool rt_arrow_own(struct ArrowArrayStream *stream);

#endif
