/* SPDX-License-Identifier: Apache-2.0
 * retort load: what its files share. Times are nanoseconds of CLOCK_MONOTONIC. */
#ifndef LOAD_H
#define LOAD_H

#include "cli/cli.h"

#include <signal.h>
#include <sys/socket.h>

/* ---- Latencies: bins that widen with their values, each 1/128 of it; 2^41 ns, 37 minutes, is the most. */
enum { LOAD_BINS = 36 * 128 };
typedef struct load_histogram {
    uint64_t bins[LOAD_BINS], count, largest;
    double sum;
} load_histogram;
void load_histogram_add(load_histogram *h, uint64_t ns);
/* Milliseconds that `percent` of the values do not exceed, rounded up to the end of a bin; NaN without
 * values. */
double load_histogram_ms(const load_histogram *h, double percent);

/* ---- One answer of a server (HTTP/1.0 and 1.1), taken in pieces of any size. Start with {0}. ---- */
typedef enum load_stage {
    LOAD_STATUS_LINE,
    LOAD_FIELDS,
    LOAD_BODY,       /* `left` bytes of it */
    LOAD_CHUNK_SIZE, /* the line with the size of a chunk */
    LOAD_CHUNK,      /* `left` bytes of it */
    LOAD_CHUNK_END,  /* the line end behind it */
    LOAD_TRAILERS,
    LOAD_TO_THE_END, /* the body ends with the connection */
    LOAD_COMPLETE
} load_stage;
typedef struct load_answer {
    load_stage stage;
    int status;
    bool keep, chunked, sized, retry_after; /* what its header said */
    bool touched;                           /* a byte of it has come */
    uint64_t left;
    uint64_t hash;             /* FNV-1a of the body */
    char line[256], body[512]; /* the line at hand; how the body starts */
    size_t line_length, body_length;
} load_answer;
/* Takes up to n bytes and says how many were its own; stops behind its end. False: this is not HTTP. */
bool load_answer_take(load_answer *answer, const char *bytes, size_t n, size_t *taken);
/* The connection has ended; whether the answer is complete with that. */
bool load_answer_end(load_answer *answer);

/* ---- What is asked ---- */

/* Texts of a file or, without one, made up from parts. */
typedef struct load_texts {
    retort_text *items;
    size_t count;
    char *buffer; /* that they point into, or: */
    retort_dataset *data;
} load_texts;
/* Of --data, else built-in texts. Errors are printed. */
cli_code load_texts_read(load_texts *out, const cli_args *args);
void load_texts_free(load_texts *texts);

/* Where to: http://HOST[:PORT][/PATH], or a UNIX socket. */
typedef struct load_target {
    char host[256], port[8], path[512]; /* path "": that of the form */
    struct sockaddr_storage address;
    socklen_t length;
} load_target;
/* `socket`: path of a UNIX socket to connect to in place of the host, or NULL. Errors are printed. */
cli_code load_target_make(load_target *out, const char *url, const char *socket);

/* The bytes of every request, made beforehand: sending is a copy. */
typedef struct load_requests {
    char *bytes;
    size_t *starts;      /* [count + 1] */
    size_t count, texts; /* texts of each */
} load_requests;
typedef struct load_wire {
    const char *form;   /* one of CLI_FORM's choices */
    const char *model;  /* its name in requests that tell one, or NULL */
    const char *header; /* "Name: value" to add, or NULL */
    size_t texts;       /* of a request */
} load_wire;
/* Sets the target's path to the form's when it has none. Errors are printed. */
cli_code load_requests_make(load_requests *out, load_target *target, const load_wire *wire,
                            const load_texts *texts);
void load_requests_free(load_requests *requests);

/* ---- A run ---- */

/* Ways a request can end without an answer: id, name, what it means. */
#define LOAD_LOSSES(X)                                                                                       \
    X(CONNECT, "connect", "the connection was refused")                                                      \
    X(RESET, "reset", "the connection ended before the answer did")                                          \
    X(TIMEOUT, "timeout", "no answer within --timeout")                                                      \
    X(UNSENT, "unsent", "no connection was free within --timeout")                                           \
    X(PROTOCOL, "protocol", "the answer was not HTTP")
typedef enum load_loss {
#define LOAD_LOSS_ID(id, name, meaning) LOAD_##id,
    LOAD_LOSSES(LOAD_LOSS_ID)
#undef LOAD_LOSS_ID
        LOAD_LOSS_COUNT
} load_loss;
extern const struct load_loss_row { const char *name, *meaning; } load_losses[LOAD_LOSS_COUNT];

/* What a server said with answers that were none: up to so many different ones are kept. */
enum { LOAD_REASONS = 8 };
typedef struct load_reason {
    int status;
    char text[96];
    uint64_t count;
} load_reason;

typedef struct load_plan {
    const load_target *target;
    const load_requests *requests;
    double rate;  /* requests a second; 0: closed loop, a connection sends when it has its answer */
    bool poisson; /* arrivals at random, at that rate on average */
    size_t connections;
    double warmup, duration, timeout; /* seconds */
    double deadline;                  /* seconds; an answer is good until then; 0: always */
    uint64_t *hashes; /* [requests] of the first answer to each, 0: none yet; NULL: not checked */
    const volatile sig_atomic_t *stop; /* once it is not 0 the run ends, and has measured what it has */
} load_plan;

/* Of the requests that were due within the `duration` after the `warmup`. Every one is counted once: in
 * statuses or in losses. */
typedef struct load_result {
    double rate, seconds;
    uint64_t requests, statuses[600], losses[LOAD_LOSS_COUNT];
    uint64_t good;        /* 2xx within the deadline */
    uint64_t refused;     /* 429 and 503 */
    uint64_t retry_after; /* refused with Retry-After */
    uint64_t different;   /* 2xx, but not what the first answer to this text was */
    uint64_t resent;      /* sent again, since a kept connection ended before its answer began */
    uint64_t answered;    /* 2xx that came within the `duration`, whenever they were due */
    /* From when it was due to its end: of 2xx and of those without an answer, which count as long as they
     * were waited for; of refused ones; and until it was sent, while connections were free. */
    load_histogram latency, refusal, lag;
    load_reason reasons[LOAD_REASONS];
} load_result;
/* Errors of this side (memory, descriptors) are printed. */
cli_code load_run(load_result *out, const load_plan *plan);

/* One request, to say early what is wrong. Errors are printed. */
cli_code load_probe(const load_plan *plan);

/* What an error says: its type where it has one, else its message or how its body starts. */
void load_read_reason(load_reason *out, const load_answer *answer);
/* The same, in the words for people. */
void load_read_message(load_reason *out, const load_answer *answer);
/* Counts an error by what it says. */
void load_note_reason(load_result *result, const load_answer *answer);

/* ---- The search for the most that a server sustains ---- */
typedef cli_code (*load_show_fn)(void *user, const load_result *result);
/* Runs up to LOAD_STEPS loads, shows each, and gives the highest rate of good answers that was sustained: at
 * least 98 % of what was due was answered in time and within the run. */
enum { LOAD_STEPS = 8 };
cli_code load_saturate(const load_plan *plan, load_show_fn show, void *user, double *rate);

/* ---- Output ---- */
typedef struct load_report {
    const cli_args *args;
    const char *url, *form;
    const load_plan *plan;
    size_t texts;
} load_report;
void load_print_heading(const load_report *report);
cli_code load_print_result(const load_report *report, const load_result *result);
double load_answers_per_second(const load_result *result);
uint64_t load_lost(const load_result *result);
#endif
