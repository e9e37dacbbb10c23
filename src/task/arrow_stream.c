/* SPDX-License-Identifier: Apache-2.0
 * A stream of answers: computed when they are asked for. Small arrays are read ahead and answered in one run, as one of a single text
 * would take many times as long for each. Their texts are copied, so that of a record batch no more than one is kept. */
#include "task/arrow.h"
#include "base/memory.h"
#include "base/thread.h"
#include "task/arrow_texts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    GATHER_ROWS = 512,
    GATHER_BYTES = 1 << 16,
    SMALL_ROWS = 128,
    SMALL_BYTES = 1 << 14,
    GATHER_NS = 20000000
};

/* An array that was read ahead. */
typedef struct small_array {
    size_t rows, texts; /* rows without nulls are texts */
} small_array;

/* Arrays that are answered together, and how far they are given out. */
typedef struct gathered {
    small_array arrays[GATHER_ROWS];
    bool nulls[GATHER_ROWS];
    retort_text texts[GATHER_ROWS];
    char bytes[GATHER_BYTES];
    size_t count, rows, text_count, used; /* of the fields above */
    size_t next, next_row, next_text;     /* to be given out */
    float *scores;                        /* [GATHER_ROWS, labels] */
    bool answered, alone;                 /* all at once; or each of its own, after they failed together */
} gathered;

/* What was read after the gathered arrays. */
typedef enum held { HELD_NOTHING, HELD_ARRAY, HELD_END, HELD_FAILURE } held;

typedef struct answer_stream {
    retort_session *session;
    bool owned; /* the session ends with the stream */
    struct ArrowArrayStream texts;
    struct ArrowSchema schema; /* of the texts */
    char *column;              /* or NULL */
    gathered small;
    rt_arrow_pace pace;
    held held;
    struct ArrowArray array;     /* HELD_ARRAY */
    int code;                    /* HELD_FAILURE */
    retort_error failure, error; /* HELD_FAILURE; the last one */
} answer_stream;

/* The code that the interface has for a status. */
static int code_of(retort_status status) {
    return status == RETORT_OK          ? 0
           : status == RETORT_NOMEM     ? ENOMEM
           : status == RETORT_IO        ? EIO
           : status == RETORT_LIMIT     ? EOVERFLOW
           : status == RETORT_CANCELLED ? EINTR
                                        : EINVAL;
}

static int get_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out) {
    answer_stream *s = stream->private_data;
    return code_of(rt_arrow_schema(s->session, out, &s->error));
}

/* ---- Reading ahead ---- */

/* Copies the texts of the held array; false: it is not small, has no room, or is to fail when it is its turn. */
static bool gather(answer_stream *s) {
    gathered *g = &s->small;
    rt_arrow_texts c;
    retort_text text;
    size_t rows = (size_t)s->array.length, bytes = 0;
    if (s->array.length < 0 || rows > SMALL_ROWS || rows > GATHER_ROWS - g->rows) return false;
    if (rt_arrow_texts_open(&c, &s->schema, &s->array, s->column, NULL) != RETORT_OK) return false;
    for (size_t row = 0; row < rows; row++) {
        if (rt_arrow_text_at(&c, (int64_t)row, &text)) bytes += text.length;
        if (bytes > SMALL_BYTES || bytes > GATHER_BYTES - g->used) return false;
    }
    size_t first = g->text_count;
    for (size_t row = 0; row < rows; row++) {
        bool null = !rt_arrow_text_at(&c, (int64_t)row, &text);
        g->nulls[g->rows++] = null;
        if (null) continue;
        if (text.length > 0) memcpy(g->bytes + g->used, text.text, text.length);
        g->texts[g->text_count++] = (retort_text){.text = g->bytes + g->used, .length = text.length};
        g->used += text.length;
    }
    g->arrays[g->count++] = (small_array){rows, g->text_count - first};
    return true;
}

static bool is_enough(const gathered *g, int64_t begun) {
    return g->count == GATHER_ROWS || (g->count > 0 && rt_now_ns() - begun > GATHER_NS);
}

/* Reads until the small arrays are many enough, or something else comes. What a slow source has sent does not wait for more. */
static void read_ahead(answer_stream *s) {
    gathered *g = &s->small;
    int64_t begun = rt_now_ns();
    g->count = g->rows = g->text_count = g->used = g->next = g->next_row = g->next_text = 0;
    g->answered = g->alone = false;
    while (s->held == HELD_NOTHING && !is_enough(g, begun)) {
        s->array = (struct ArrowArray){0};
        s->code = s->texts.get_next(&s->texts, &s->array);
        if (s->code != 0) {
            const char *why = s->texts.get_last_error(&s->texts);
            rt_fail(&s->failure, RETORT_IO, "arrow: the texts: %s", why != NULL ? why : strerror(s->code));
            s->held = HELD_FAILURE;
        } else if (s->array.release == NULL) {
            s->held = HELD_END;
        } else if (!gather(s)) {
            s->held = HELD_ARRAY;
        } else {
            s->array.release(&s->array);
        }
    }
}

/* ---- Answers ---- */

/* Runs the texts of the gathered arrays. If that fails, each is run when it is given out, so that only those fail that must. */
static retort_status answer_gathered(answer_stream *s) {
    gathered *g = &s->small;
    size_t labels = (size_t)rt_session_model(s->session)->config.labels;
    if (g->scores == NULL) g->scores = rt_calloc(GATHER_ROWS * labels, sizeof *g->scores);
    if (g->scores == NULL) return rt_fail_nomem(&s->error, GATHER_ROWS * labels * sizeof *g->scores);
    retort_status status = rt_arrow_run(s->session, g->texts, g->text_count, &s->pace, g->scores, &s->error);
    if (status == RETORT_CANCELLED) return status;
    g->alone = status != RETORT_OK;
    g->answered = true;
    return RETORT_OK;
}

static retort_status give_gathered(answer_stream *s, struct ArrowArray *out) {
    gathered *g = &s->small;
    retort_status status = g->answered ? RETORT_OK : answer_gathered(s);
    if (status != RETORT_OK) return status;
    const small_array *array = &g->arrays[g->next];
    float *scores = g->scores + g->next_text * (size_t)rt_session_model(s->session)->config.labels;
    if (g->alone)
        status = rt_arrow_run(s->session, g->texts + g->next_text, array->texts, &s->pace, scores, &s->error);
    if (status == RETORT_OK)
        status = rt_arrow_known(s->session, g->nulls + g->next_row, array->rows, scores, out, &s->error);
    if (status == RETORT_CANCELLED) return status;
    g->next++;
    g->next_row += array->rows;
    g->next_text += array->texts;
    return status;
}

static retort_status give_held(answer_stream *s, struct ArrowArray *out) {
    retort_status status = rt_arrow_array(s->session, &s->schema, &s->array, s->column, out, &s->error);
    if (status == RETORT_CANCELLED) return status;
    s->array.release(&s->array);
    s->held = HELD_NOTHING;
    return status;
}

/* A call that was cancelled goes on where it was when it is repeated. */
static int get_next(struct ArrowArrayStream *stream, struct ArrowArray *out) {
    answer_stream *s = stream->private_data;
    *out = (struct ArrowArray){0}; /* released: the end of the stream */
    if (s->small.next == s->small.count) read_ahead(s);
    if (s->small.next < s->small.count) return code_of(give_gathered(s, out));
    if (s->held == HELD_ARRAY) return code_of(give_held(s, out));
    if (s->held == HELD_FAILURE) s->error = s->failure;
    s->held = HELD_NOTHING;
    return s->code;
}

static const char *get_last_error(struct ArrowArrayStream *stream) {
    const answer_stream *s = stream->private_data;
    return s->error.status != RETORT_OK ? s->error.text : NULL;
}

static void release(struct ArrowArrayStream *stream) {
    answer_stream *s = stream->private_data;
    if (s->schema.release != NULL) s->schema.release(&s->schema);
    if (s->held == HELD_ARRAY) s->array.release(&s->array);
    s->texts.release(&s->texts);
    if (s->owned) retort_session_close(s->session);
    free(s->small.scores);
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

bool rt_arrow_own(struct ArrowArrayStream *stream) {
    if (stream->release != release) return false;
    ((answer_stream *)stream->private_data)->owned = true;
    return true;
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
        rt_arrow_own(out);
    else
        retort_session_close(session);
    return status;
}
