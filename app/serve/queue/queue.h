/* SPDX-License-Identifier: Apache-2.0
 * What waits for a model: jobs of tokenised texts, from which batches are made.
 *
 * A job is admitted with all its texts or not at all. A text that is in the queue or being computed already
 * is computed once for all jobs that ask for it; answers may be kept. Batches take the jobs in turn, so that
 * one with many texts does not hold up one with few. */
#ifndef SERVE_QUEUE_H
#define SERVE_QUEUE_H

#include "retort.h"
#include "serve/base/memory.h"
#include "serve/base/metrics.h"

#include <pthread.h>

typedef struct srv_entry srv_entry;
typedef struct srv_item srv_item;
typedef struct srv_job srv_job;

typedef enum srv_entry_state {
    SRV_ENTRY_NEW,
    SRV_ENTRY_QUEUED,
    SRV_ENTRY_RUNNING,
    SRV_ENTRY_DONE,
    SRV_ENTRY_FAILED
} srv_entry_state;

/* A text with what is asked about it, and its answer once computed; reference-counted. Rows with equal
 * keys are shared. */
struct srv_entry {
    srv_entry_state state;
    uint32_t refs;
    uint64_t hash;
    uint32_t tokens;          /* its cost */
    uint32_t size;            /* of the key, in int32 */
    size_t bytes;             /* taken from the budget, for the entry and its answer */
    bool behind;              /* it does not count towards queue_tokens: see there */
    bool cached;              /* counted as SRV_USE_CACHE, otherwise as SRV_USE_INPUTS */
    srv_entry *chain;         /* of the table */
    srv_entry *newer, *older; /* of the cache */
    srv_item *waiters;
    retort_windows *windows; /* of tasks over texts, until it has run */
    void *answer;            /* malloc'ed, if DONE */
    retort_status error;     /* if FAILED */
    int32_t key[]; /* [size]; for models with one row of numbers per text: [2, tokens] ids, then types */
};

/* For models with one row of numbers per text: whether the token vectors are requested, [tokens, hidden], and how many of the first
 * tokens are not pooled. One more number at the end of the key says so, if it is not 0: the second twice, plus the first. */
static inline bool srv_entry_has_tokens(const srv_entry *entry) {
    return entry->size > 2 * entry->tokens && entry->key[2 * entry->tokens] % 2 == 1;
}
static inline int32_t srv_entry_unpooled(const srv_entry *entry) {
    return entry->size > 2 * entry->tokens ? entry->key[2 * entry->tokens] / 2 : 0;
}

/* One text of a job. */
struct srv_item {
    srv_entry *entry;
    srv_job *job;
    srv_item *next, **link; /* in the entry's list of waiters; link NULL: not waiting */
};

/* How a job ended. */
typedef enum srv_end {
    SRV_END_NONE,
    SRV_END_DONE,
    SRV_END_FAILED,
    SRV_END_DEADLINE,
    SRV_END_GONE,
    SRV_END_DRAINED
} srv_end;

/* The texts of a request. The owner fills the first group. Times are nanoseconds of CLOCK_MONOTONIC. */
struct srv_job {
    srv_item *items; /* [count] each with a new entry */
    size_t count;
    int64_t deadline;           /* for starting it; INT64_MAX: none */
    int fd;                     /* the client's; -1: do not check it */
    void (*hold)(srv_job *job); /* called on admission, before any thread can end the job */
    void (*done)(srv_job *job); /* called once, by any thread; the job may be freed when it returns */

    size_t cursor;  /* items before it were taken, or are computed for another job */
    size_t pending; /* items without an answer */
    srv_end end;
    retort_status error; /* if FAILED */
    int64_t queued, taken, finished;
    srv_job *next, *previous; /* of the queue */
    bool waiting;
};

typedef struct srv_queue_limits {
    size_t batch_tokens, batch_texts; /* per batch; a longer text is a batch of its own */
    size_t queue_tokens; /* not yet taken, of all jobs; a job that alone exceeds this counts half of it */
    size_t jobs;         /* in flight */
    int64_t wait;        /* ns to wait for a batch to fill; 0: none */
    size_t cache, cache_bytes; /* answers to keep, and the bytes of them and the ids of their texts */
    size_t workers;
    /* The workers have one thread each, and share a session of all threads for a job that is alone: while that runs, nothing
     * else is taken. Otherwise each takes a part of its share of what is in flight. */
    bool team;
    srv_memory *memory; /* budget of the entries; NULL: not counted */
} srv_queue_limits;

typedef struct srv_queue {
    srv_queue_limits limits;
    srv_model_metrics *metrics;
    pthread_mutex_t lock;
    pthread_cond_t work, alarm; /* for workers; for the thread that watches deadlines */
    int64_t alarm_at;           /* no waiting job has an earlier deadline; INT64_MAX: none */
    srv_job *head, *tail;
    size_t tokens, waiting, jobs; /* tokens and jobs not completely taken; jobs in flight */
    size_t behind;                /* tokens that do not count towards queue_tokens */
    size_t idle;                  /* workers that wait */
    size_t running;               /* tokens of batches that run */
    bool closed;
    bool teamed; /* a batch runs that is alone */
    double rate; /* tokens per second of all workers; 0: unknown */
    srv_entry **table;
    size_t mask;
    srv_entry *newest, *oldest;
    size_t cached, cached_bytes;
    uint64_t seed;
} srv_queue;

/* Owned by a worker, reused. */
typedef struct srv_batch {
    srv_entry **entries; /* [limits.batch_texts] */
    void **answers;      /* [limits.batch_texts] NULL until the batch has run, then malloc'ed */
    size_t count, tokens;
    bool alone; /* nothing else is in flight; with limits.team only */
    int64_t started;
} srv_batch;

typedef enum srv_verdict {
    SRV_ADMITTED,
    SRV_ANSWERED, /* every text was in the cache: `hold` and `done` are not called */
    SRV_REFUSED_TOKENS,
    SRV_REFUSED_JOBS,
    SRV_REFUSED_LATE, /* it would miss its deadline */
    SRV_CLOSED
} srv_verdict;

int64_t srv_now(void);
bool srv_queue_open(srv_queue *queue, const srv_queue_limits *limits, srv_model_metrics *metrics);
/* When no thread uses it any more. */
void srv_queue_free(srv_queue *queue);
/* A new entry, with room for a key of `size` int32; NULL if out of memory. */
srv_entry *srv_entry_new(size_t tokens, size_t size);
/* Takes the bytes of a new entry and `answer` more from the budget. False: no room. */
bool srv_entry_take(srv_queue *queue, srv_entry *entry, size_t answer);
/* *wait: if refused, seconds until there is likely to be room. */
srv_verdict srv_queue_submit(srv_queue *queue, srv_job *job, double *wait);
/* Releases a job's entries, after its end or its refusal. */
void srv_queue_release(srv_queue *queue, srv_job *job);
/* Waits for the next batch. False: closed and empty. */
bool srv_queue_take(srv_queue *queue, srv_batch *batch);
/* Distributes the answers of a batch; a entry without one has failed with `error`. */
void srv_queue_finish(srv_queue *queue, srv_batch *batch, retort_status error);
/* Ends jobs whose deadline has passed, until the queue is closed. */
void srv_queue_watch(srv_queue *queue);
/* Admits no more jobs; workers return once the queue is empty. */
void srv_queue_close(srv_queue *queue);
/* Ends all waiting jobs. */
void srv_queue_drop(srv_queue *queue, srv_end end);

#endif
