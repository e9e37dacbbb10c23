/* SPDX-License-Identifier: Apache-2.0
 * Many texts in several streams: threads that take parts of the input from a queue and run them, each in a session of its
 * own. No stream waits for another, so one whose core is shared with another process does less, and holds up nobody. The
 * caller fills the parts and gets them back in their order. The number of parts under way is bounded. */
#ifndef CLI_STREAMS_H
#define CLI_STREAMS_H

#include "cli/output.h"
#include "retort.h"

#include <stdio.h>

/* A few consecutive texts, and what their run prints. */
typedef struct cli_part {
    const retort_text *texts; /* [count] */
    size_t count, first;      /* first: its number, from 0 */
    FILE *out, *messages;     /* open from cli_part_begin to cli_part_end */
    cli_code code;
    char *output, *message; /* what was printed to both, from cli_part_end on */
    size_t output_length, message_length;
    /* copies of the texts, once the part is in the queue */
    retort_text *copies;
    char *bytes;
    size_t size;
    bool done;
} cli_part;

/* What a stream does. Its errors and warnings go into the part. */
typedef struct cli_stream_calls {
    /* Makes what the stream runs its parts with; called before its first one. */
    cli_code (*open)(void *user, void **worker);
    cli_code (*run)(void *worker, const cli_part *part);
    void (*close)(void *worker); /* called by the thread that closes the streams; accepts NULL */
    void *user;
} cli_stream_calls;

/* From begin to end, errors and warnings of the calling thread go into the part. */
cli_code cli_part_begin(cli_part *part);
void cli_part_end(cli_part *part);
/* Makes the part as good as new. */
void cli_part_clear(cli_part *part);

typedef struct cli_streams cli_streams;
/* Starts `count` threads. Errors are printed. */
cli_code cli_streams_open(cli_streams **out, size_t count, const cli_stream_calls *calls);
/* Ends after the parts in progress, and forgets the others. Accepts NULL. */
void cli_streams_close(cli_streams *streams);
/* Parts that were put and not yet taken back. NULL: 0. */
size_t cli_streams_count(const cli_streams *streams);
/* Whether another part has to wait until one is taken back. */
bool cli_streams_full(const cli_streams *streams);
/* The part to fill next, if they are not full: begin it, set its texts, then put it. They are copied. */
cli_part *cli_streams_next(cli_streams *streams);
void cli_streams_put(cli_streams *streams);
/* The oldest part, of at least one, once it has run; NULL if it has not and `wait` is false. It is valid until
 * cli_streams_drop, which makes room for another. */
const cli_part *cli_streams_oldest(cli_streams *streams, bool wait);
void cli_streams_drop(cli_streams *streams);

#endif
