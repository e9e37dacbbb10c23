/* SPDX-License-Identifier: Apache-2.0
 * A stream of answers: each array is computed when it is asked for. */
#include "task/arrow.h"
#include "base/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct answer_stream {
    retort_session *session;
    bool owned; /* the session ends with the stream */
    struct ArrowArrayStream texts;
    struct ArrowSchema schema; /* of the texts */
    char *column;              /* or NULL */
    retort_error error;
} answer_stream;

/* The code that the interface has for a status. */
static int code_of(retort_status status) {
    return status == RETORT_OK      ? 0
           : status == RETORT_NOMEM ? ENOMEM
           : status == RETORT_IO    ? EIO
           : status == RETORT_LIMIT ? EOVERFLOW
                                    : EINVAL;
}

static int get_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out) {
    answer_stream *s = stream->private_data;
    return code_of(rt_arrow_schema(s->session, out, &s->error));
}

static int get_next(struct ArrowArrayStream *stream, struct ArrowArray *out) {
    answer_stream *s = stream->private_data;
    struct ArrowArray texts = {0};
    int code = s->texts.get_next(&s->texts, &texts);
    *out = (struct ArrowArray){0}; /* released: the end of the stream */
    if (code != 0) {
        const char *why = s->texts.get_last_error(&s->texts);
        rt_fail(&s->error, RETORT_IO, "arrow: the texts: %s", why != NULL ? why : strerror(code));
        return code;
    }
    if (texts.release == NULL) return 0;
    code = code_of(rt_arrow_array(s->session, &s->schema, &texts, s->column, out, &s->error));
    texts.release(&texts);
    return code;
}

static const char *get_last_error(struct ArrowArrayStream *stream) {
    const answer_stream *s = stream->private_data;
    return s->error.status != RETORT_OK ? s->error.text : NULL;
}

static void release(struct ArrowArrayStream *stream) {
    answer_stream *s = stream->private_data;
    if (s->schema.release != NULL) s->schema.release(&s->schema);
    s->texts.release(&s->texts);
    if (s->owned) retort_session_close(s->session);
    free(s->column);
    free(s);
    stream->release = NULL;
}

retort_status rt_arrow_stream(retort_session *session, struct ArrowArrayStream *texts, const char *column,
                              struct ArrowArrayStream *out, retort_error *err) {
    answer_stream *s = rt_calloc(1, sizeof *s);
    size_t length = column != NULL ? strlen(column) + 1 : 0;
    if (s == NULL) {
        texts->release(texts);
        return rt_fail_nomem(err, sizeof *s);
    }
    s->session = session;
    s->texts = *texts; /* moved, as the interface has it */
    texts->release = NULL;
    *out = (struct ArrowArrayStream){get_schema, get_next, get_last_error, release, s};
    s->column = length > 0 ? rt_calloc(length, 1) : NULL;
    if (s->column != NULL) memcpy(s->column, column, length);
    retort_status status = length == 0 || s->column != NULL ? RETORT_OK : rt_fail_nomem(err, length);
    if (status == RETORT_OK && s->texts.get_schema(&s->texts, &s->schema) != 0) {
        const char *why = s->texts.get_last_error(&s->texts);
        status = rt_fail(err, RETORT_IO, "arrow: the schema of the texts: %s", why != NULL ? why : "unknown");
    }
    if (status != RETORT_OK) release(out);
    return status;
}

retort_status rt_arrow_open(retort_model *model, const retort_session_options *options,
                            struct ArrowArrayStream *texts, const char *column, struct ArrowArrayStream *out,
                            retort_error *err) {
    retort_session *session = NULL;
    retort_status status = retort_session_open(&session, model, options, err);
    if (status != RETORT_OK) {
        texts->release(texts);
        return status;
    }
    status = rt_arrow_stream(session, texts, column, out, err);
    if (status == RETORT_OK)
        ((answer_stream *)out->private_data)->owned = true;
    else
        retort_session_close(session);
    return status;
}
