/* SPDX-License-Identifier: Apache-2.0
 *
 * retort: columns of the Arrow C data interface; see retort.h for the conventions. */
#ifndef RETORT_ARROW_H
#define RETORT_ARROW_H

#include "retort.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The structs of the Arrow C data and C stream interfaces, as their specification has them, for programs to repeat. */
#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE
#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE           2
#define ARROW_FLAG_MAP_KEYS_SORTED    4
struct ArrowSchema {
    const char *format, *name, *metadata;
    int64_t flags, n_children;
    struct ArrowSchema **children, *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};
struct ArrowArray {
    int64_t length, null_count, offset, n_buffers, n_children;
    const void **buffers;
    struct ArrowArray **children, *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};
#endif
#ifndef ARROW_C_STREAM_INTERFACE
#define ARROW_C_STREAM_INTERFACE
struct ArrowArrayStream {
    int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *out);
    int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *out);
    const char *(*get_last_error)(struct ArrowArrayStream *);
    void (*release)(struct ArrowArrayStream *);
    void *private_data;
};
#endif

/* The type of the answers: of a classifier struct<label: dictionary<int32, utf8>, score: float32>, the best label and its
 * score; of a model that embeds struct<embedding: fixed_size_list<float32>[labels of retort_info]>. Other tasks:
 * RETORT_UNSUPPORTED. */
RETORT_API retort_status retort_arrow_schema(const retort_session *session, struct ArrowSchema *out,
                                             retort_error *err);
/* Answers the texts of an array of utf8, large_utf8 or utf8_view, or of a dictionary of them; `column` names one of the
 * children of a struct (a record batch) that is. A null has null answers; a text that is not UTF-8 is refused, by its row. The
 * caller keeps schema and texts, and releases *out. */
RETORT_API retort_status retort_arrow_array(retort_session *session, const struct ArrowSchema *schema,
                                            const struct ArrowArray *texts, const char *column,
                                            struct ArrowArray *out, retort_error *err);
/* The same of each array of a stream, when it is asked for; small arrays that come within 20 ms, up to 512 texts, are answered in one run. *out
 * takes the stream over, also if this fails, and uses the session until it is released; one thread at a time may ask. A call that
 * was cancelled (retort_session_options.cancel) fails with EINTR, and goes on when it is repeated. */
RETORT_API retort_status retort_arrow_stream(retort_session *session, struct ArrowArrayStream *texts,
                                             const char *column, struct ArrowArrayStream *out,
                                             retort_error *err);
/* The same with a session of its own, opened as by retort_session_open: *out needs nothing else, and may be given away. */
RETORT_API retort_status retort_arrow_open(retort_model *model, const retort_session_options *options,
                                           struct ArrowArrayStream *texts, const char *column,
                                           struct ArrowArrayStream *out, retort_error *err);
/* From now on the session of a stream that retort_arrow_stream made ends with it: it may be given away. */
RETORT_API retort_status retort_arrow_own(struct ArrowArrayStream *stream, retort_error *err);

#ifdef __cplusplus
}
#endif

#endif
