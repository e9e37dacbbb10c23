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
retort_status rt_arrow_stream(retort_session *session, struct ArrowArrayStream *texts, const char *column,
                              struct ArrowArrayStream *out, retort_error *err);
retort_status rt_arrow_open(retort_model *model, const retort_session_options *options,
                            struct ArrowArrayStream *texts, const char *column, struct ArrowArrayStream *out,
                            retort_error *err);

#endif
