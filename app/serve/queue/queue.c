/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/queue/queue.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

int64_t srv_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static struct timespec at_time(int64_t ns) {
    return (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}

static bool open_condition(pthread_cond_t *condition) {
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0) return false;
    bool fine = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
                pthread_cond_init(condition, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    return fine;
}

bool srv_queue_open(srv_queue *queue, const srv_queue_limits *limits, srv_model_metrics *metrics) {
    size_t slots = 1024, rows = limits->cache_bytes / sizeof(srv_row);
    if (rows > limits->cache) rows = limits->cache;
    *queue = (srv_queue){.limits = *limits, .metrics = metrics, .alarm_at = INT64_MAX};
    while (slots < 2 * rows && slots < (size_t)1 << 24) slots *= 2;
    queue->mask = slots - 1;
    queue->table = calloc(slots, sizeof *queue->table);
    /* Without random bytes, hashes are predictable: that may cost time, but is never wrong. */
    if (getrandom(&queue->seed, sizeof queue->seed, GRND_NONBLOCK) < 0) queue->seed = (uint64_t)srv_now();
    bool fine = queue->table != NULL && pthread_mutex_init(&queue->lock, NULL) == 0;
    return fine && open_condition(&queue->work) && open_condition(&queue->alarm);
}

/* ---- Rows and their table ---- */

srv_row *srv_row_new(size_t tokens, size_t size) {
    bool fits = tokens < UINT32_MAX && size < UINT32_MAX;
    srv_row *row = fits ? malloc(sizeof *row + size * sizeof *row->key) : NULL;
    if (row != NULL) *row = (srv_row){.refs = 1, .tokens = (uint32_t)tokens, .size = (uint32_t)size};
    return row;
}

bool srv_row_take(srv_queue *queue, srv_row *row, size_t answer) {
    size_t bytes = sizeof *row + row->size * sizeof *row->key + answer;
    if (!srv_memory_take(queue->limits.memory, SRV_USE_INPUTS, bytes)) return false;
    row->bytes = bytes;
    return true;
}

static void row_drop(const srv_queue *queue, srv_row *row) {
    if (--row->refs > 0) return;
    srv_memory_give(queue->limits.memory, row->cached ? SRV_USE_CACHE : SRV_USE_INPUTS, row->bytes);
    free(row->answer);
    free(row);
}

static uint64_t hash_row(const srv_queue *queue, const srv_row *row) {
    uint64_t hash = queue->seed ^ row->size;
    for (size_t i = 0; i < row->size; i++) {
        hash = (hash ^ (uint32_t)row->key[i]) * UINT64_C(0xD6E8FEB86659FD93);
        hash ^= hash >> 32;
    }
    return hash;
}

static srv_row *table_find(const srv_queue *queue, const srv_row *like) {
    srv_row *row = queue->table[like->hash & queue->mask];
    for (; row != NULL; row = row->chain) {
        if (row->hash == like->hash && row->size == like->size &&
            memcmp(row->key, like->key, row->size * sizeof *row->key) == 0)
            break;
    }
    return row;
}

static void table_add(srv_queue *queue, srv_row *row) {
    srv_row **slot = &queue->table[row->hash & queue->mask];
    row->chain = *slot;
    *slot = row;
    row->refs++;
}

static void table_unlink(srv_queue *queue, srv_row *row) {
    srv_row **slot = &queue->table[row->hash & queue->mask];
    while (*slot != row) slot = &(*slot)->chain;
    *slot = row->chain;
}

static void table_remove(srv_queue *queue, srv_row *row) {
    table_unlink(queue, row);
    row_drop(queue, row);
}

static void cache_unlink(srv_queue *queue, srv_row *row) {
    *(row->newer != NULL ? &row->newer->older : &queue->newest) = row->older;
    *(row->older != NULL ? &row->older->newer : &queue->oldest) = row->newer;
    row->newer = row->older = NULL;
}

static void cache_link(srv_queue *queue, srv_row *row) {
    row->older = queue->newest;
    *(queue->newest != NULL ? &queue->newest->newer : &queue->oldest) = row;
    queue->newest = row;
}

/* Accounts for a row that enters or leaves the cache. */
static void cache_count(srv_queue *queue, srv_row *row, bool cached) {
    static const srv_use uses[] = {SRV_USE_INPUTS, SRV_USE_CACHE};
    srv_memory_move(queue->limits.memory, uses[row->cached], uses[cached], row->bytes);
    row->cached = cached;
    if (cached) {
        queue->cached++;
        queue->cached_bytes += row->bytes;
    } else {
        queue->cached--;
        queue->cached_bytes -= row->bytes;
    }
}

/* A computed row stays in the table as long as the cache has room for it, by count and by bytes. */
static void cache_add(srv_queue *queue, srv_row *row) {
    cache_link(queue, row);
    cache_count(queue, row, true);
    while (queue->cached > queue->limits.cache || queue->cached_bytes > queue->limits.cache_bytes) {
        srv_row *oldest = queue->oldest;
        cache_unlink(queue, oldest);
        cache_count(queue, oldest, false);
        table_remove(queue, oldest);
    }
}

void srv_queue_free(srv_queue *queue) {
    while (queue->oldest != NULL) {
        srv_row *row = queue->oldest;
        cache_unlink(queue, row);
        table_remove(queue, row);
    }
    free(queue->table);
    pthread_mutex_destroy(&queue->lock);
    pthread_cond_destroy(&queue->work);
    pthread_cond_destroy(&queue->alarm);
}

/* ---- Jobs ---- */

static void item_wait(srv_item *item) {
    srv_row *row = item->row;
    item->next = row->waiters;
    item->link = &row->waiters;
    if (item->next != NULL) item->next->link = &item->next;
    row->waiters = item;
}

static void item_leave(srv_item *item) {
    if (item->link == NULL) return;
    *item->link = item->next;
    if (item->next != NULL) item->next->link = item->link;
    item->link = NULL;
}

static void list_append(srv_queue *queue, srv_job *job) {
    job->next = NULL;
    job->previous = queue->tail;
    *(queue->tail != NULL ? &queue->tail->next : &queue->head) = job;
    queue->tail = job;
}

static void list_remove(srv_queue *queue, srv_job *job) {
    *(job->previous != NULL ? &job->previous->next : &queue->head) = job->next;
    *(job->next != NULL ? &job->next->previous : &queue->tail) = job->previous;
}

/* All items have been taken: the job only waits for running batches. */
static void stop_waiting(srv_queue *queue, srv_job *job) {
    list_remove(queue, job);
    job->waiting = false;
    queue->waiting--;
}

/* The counter that a queued row's tokens belong to. */
static size_t *tokens_with(srv_queue *queue, const srv_row *row) {
    return row->behind ? &queue->behind : &queue->tokens;
}

/* Ends a job and adds it to the list `ended`. */
static void end_job(srv_queue *queue, srv_job *job, srv_end end, srv_job **ended) {
    if (job->waiting) stop_waiting(queue, job);
    for (size_t i = 0; i < job->count; i++) {
        srv_row *row = job->items[i].row;
        item_leave(&job->items[i]);
        if (row->state != SRV_ROW_QUEUED || row->waiters != NULL) continue;
        row->state = SRV_ROW_NEW;
        *tokens_with(queue, row) -= row->tokens;
        table_unlink(queue, row);
        row->refs--; /* the table's; the item has one */
    }
    queue->jobs--;
    job->end = end;
    job->finished = srv_now();
    job->next = *ended;
    *ended = job;
}

static void call_ended(srv_job *ended) {
    while (ended != NULL) {
        srv_job *next = ended->next;
        ended->done(ended);
        ended = next;
    }
}

/* Tokens that this job adds to the queue, and texts that still need an answer. Equal texts within the job
 * count separately: they are only found later, when they enter the table. */
static size_t new_tokens(const srv_queue *queue, const srv_job *job, size_t *pending) {
    size_t tokens = 0;
    *pending = 0;
    for (size_t i = 0; i < job->count; i++) {
        const srv_row *known = table_find(queue, job->items[i].row);
        if (known == NULL) tokens += job->items[i].row->tokens;
        *pending += known == NULL || known->state != SRV_ROW_DONE;
    }
    return tokens;
}

/* A job that alone exceeds the queue is not refused: half of the limit counts, and it takes turns with
 * others. */
static size_t counted_tokens(const srv_queue *queue, size_t tokens) {
    return tokens > queue->limits.queue_tokens ? queue->limits.queue_tokens / 2 : tokens;
}

static srv_verdict judge(const srv_queue *queue, const srv_job *job, size_t tokens, int64_t now,
                         double *wait) {
    size_t after = queue->tokens + counted_tokens(queue, tokens);
    *wait = queue->rate > 0 ? (double)queue->tokens / queue->rate : 1;
    if (queue->closed) return SRV_CLOSED;
    if (queue->jobs >= queue->limits.jobs) return SRV_REFUSED_JOBS;
    if (after > queue->limits.queue_tokens) {
        double excess = (double)(after - queue->limits.queue_tokens);
        *wait = queue->rate > 0 ? excess / queue->rate : 1;
        return SRV_REFUSED_TOKENS;
    }
    bool late = queue->rate > 0 && job->deadline != INT64_MAX && *wait * 1e9 > (double)(job->deadline - now);
    if (!late || queue->tokens == 0) return SRV_ADMITTED;
    *wait -= (double)(job->deadline - now) * 1e-9;
    return SRV_REFUSED_LATE;
}

/* Puts an item's row into the table, or uses the one that is there. *room: tokens of the job that still
 * count. */
static void enter_item(srv_queue *queue, srv_item *item, size_t *room) {
    srv_row *known = table_find(queue, item->row);
    if (known == NULL) {
        item->row->state = SRV_ROW_QUEUED;
        item->row->behind = item->row->tokens > *room;
        *room -= item->row->behind ? *room : item->row->tokens;
        *tokens_with(queue, item->row) += item->row->tokens;
        table_add(queue, item->row);
    } else {
        row_drop(queue, item->row);
        item->row = known;
        known->refs++;
        srv_count(&queue->metrics->counters[known->state == SRV_ROW_DONE ? SRV_CACHED : SRV_SHARED], 1);
    }
    if (item->row->state != SRV_ROW_DONE) {
        item_wait(item);
        return;
    }
    cache_unlink(queue, item->row);
    cache_link(queue, item->row);
}

/* Threads to wake for a new job, after the lock is released. */
typedef struct wakes {
    bool worker, watcher;
} wakes;

static void enter(srv_queue *queue, srv_job *job, size_t tokens, size_t pending, int64_t now, wakes *wake) {
    size_t room = counted_tokens(queue, tokens);
    job->cursor = 0;
    job->pending = pending;
    job->end = pending > 0 ? SRV_END_NONE : SRV_END_DONE;
    job->queued = job->taken = job->finished = now;
    srv_count(&queue->metrics->counters[SRV_TEXTS], job->count);
    if (pending > 0 && job->hold != NULL) job->hold(job);
    for (size_t i = 0; i < job->count; i++) enter_item(queue, &job->items[i], &room);
    if (pending == 0) return;
    job->waiting = true;
    queue->waiting++;
    queue->jobs++;
    list_append(queue, job);
    wake->worker = queue->idle > 0;
    wake->watcher = job->deadline < queue->alarm_at;
    if (wake->watcher) queue->alarm_at = job->deadline;
}

srv_verdict srv_queue_submit(srv_queue *queue, srv_job *job, double *wait) {
    size_t pending;
    wakes wake = {false, false};
    int64_t now = srv_now();
    for (size_t i = 0; i < job->count; i++) {
        job->items[i].job = job;
        job->items[i].link = NULL;
        job->items[i].row->hash = hash_row(queue, job->items[i].row);
    }
    pthread_mutex_lock(&queue->lock);
    size_t tokens = new_tokens(queue, job, &pending);
    srv_verdict verdict = judge(queue, job, tokens, now, wait);
    if (pending == 0 && verdict != SRV_CLOSED) verdict = SRV_ANSWERED;
    if (verdict == SRV_ADMITTED || verdict == SRV_ANSWERED) enter(queue, job, tokens, pending, now, &wake);
    pthread_mutex_unlock(&queue->lock);
    if (wake.worker) pthread_cond_signal(&queue->work);
    if (wake.watcher) pthread_cond_signal(&queue->alarm);
    return verdict;
}

void srv_queue_release(srv_queue *queue, srv_job *job) {
    pthread_mutex_lock(&queue->lock);
    for (size_t i = 0; i < job->count; i++) {
        if (job->items[i].row != NULL) row_drop(queue, job->items[i].row);
        job->items[i].row = NULL;
    }
    pthread_mutex_unlock(&queue->lock);
}

/* ---- Batches ---- */

static void expire(srv_queue *queue, int64_t now, srv_job **ended) {
    for (srv_job *job = queue->head, *next; job != NULL; job = next) {
        next = job->next;
        if (job->deadline > now) continue;
        srv_count(&queue->metrics->rejected[SRV_DEADLINE], 1);
        end_job(queue, job, SRV_END_DEADLINE, ended);
    }
}

/* Ends jobs at the head of the queue whose clients have disconnected. Skips clients that have only just
 * arrived. */
static void drop_dead(srv_queue *queue, int64_t now, srv_job **ended) {
    enum { LOOKED_AT = 64, JUST_NOW = 1000000 };
    struct pollfd fds[LOOKED_AT];
    srv_job *jobs[LOOKED_AT];
    nfds_t n = 0;
    for (srv_job *job = queue->head; job != NULL && n < LOOKED_AT; job = job->next) {
        if (job->fd < 0 || now - job->queued < JUST_NOW) continue;
        fds[n] = (struct pollfd){.fd = job->fd, .events = POLLRDHUP};
        jobs[n++] = job;
    }
    if (n == 0 || poll(fds, n, 0) <= 0) return;
    for (nfds_t i = 0; i < n; i++) {
        if ((fds[i].revents & (POLLRDHUP | POLLHUP | POLLERR)) == 0) continue;
        srv_count(&queue->metrics->rejected[SRV_CLIENT_GONE], 1);
        end_job(queue, jobs[i], SRV_END_GONE, ended);
    }
}

static bool has_room(const srv_queue *queue, const srv_batch *batch, size_t tokens) {
    return batch->count == 0 ||
           (batch->count < queue->limits.batch_rows && batch->tokens + tokens <= queue->limits.batch_tokens);
}

/* Takes a job's texts, up to `share` tokens. False: the batch is full. */
static bool take_from(srv_queue *queue, srv_batch *batch, srv_job *job, size_t share) {
    size_t taken = 0;
    for (; job->cursor < job->count && taken < share; job->cursor++) {
        srv_row *row = job->items[job->cursor].row;
        if (row->state != SRV_ROW_QUEUED) continue;
        if (!has_room(queue, batch, row->tokens)) return false;
        row->state = SRV_ROW_RUNNING;
        row->refs++;
        *tokens_with(queue, row) -= row->tokens;
        batch->answers[batch->count] = NULL;
        batch->rows[batch->count++] = row;
        batch->tokens += row->tokens;
        taken += row->tokens;
        if (job->taken == job->queued) {
            job->taken = batch->started;
            srv_observe(queue->metrics, SRV_QUEUE, (unsigned long long)(job->taken - job->queued));
        }
    }
    return true;
}

/* Takes jobs in turn; if others wait, each fills a quarter of a batch per turn. */
static void fill(srv_queue *queue, srv_batch *batch) {
    size_t share = queue->limits.batch_tokens / 4 + 1;
    bool room = true;
    while (room && queue->head != NULL) {
        srv_job *job = queue->head;
        room = take_from(queue, batch, job, job->next != NULL ? share : SIZE_MAX);
        if (job->cursor == job->count) {
            stop_waiting(queue, job);
        } else if (room) {
            list_remove(queue, job);
            list_append(queue, job);
        }
    }
}

/* Whether to wait for more texts to fill the batch; *until: the end of the wait. */
static bool may_wait(const srv_queue *queue, int64_t now, int64_t *until) {
    *until = queue->head->queued + queue->limits.wait;
    return queue->limits.wait > 0 && queue->tokens + queue->behind < queue->limits.batch_tokens &&
           now < *until && !queue->closed;
}

bool srv_queue_take(srv_queue *queue, srv_batch *batch) {
    srv_job *ended = NULL;
    int64_t until;
    batch->count = batch->tokens = 0;
    pthread_mutex_lock(&queue->lock);
    while (batch->count == 0 && ended == NULL) {
        batch->started = srv_now();
        if (queue->head == NULL) {
            if (queue->closed) break;
            queue->idle++;
            pthread_cond_wait(&queue->work, &queue->lock);
            queue->idle--;
        } else if (may_wait(queue, batch->started, &until)) {
            struct timespec limit = at_time(until);
            queue->idle++;
            pthread_cond_timedwait(&queue->work, &queue->lock, &limit);
            queue->idle--;
        } else {
            expire(queue, batch->started, &ended);
            drop_dead(queue, batch->started, &ended);
            fill(queue, batch);
        }
    }
    bool more = batch->count > 0 || ended != NULL;
    if (queue->head != NULL && queue->idle > 0) pthread_cond_signal(&queue->work);
    pthread_mutex_unlock(&queue->lock);
    call_ended(ended);
    return more;
}

/* Gives the answer to all items that wait for it. */
static void answer_waiters(srv_queue *queue, srv_row *row, srv_job **ended) {
    while (row->waiters != NULL) {
        srv_item *item = row->waiters;
        srv_job *job = item->job;
        item_leave(item);
        if (row->state == SRV_ROW_FAILED) job->error = row->error;
        if (--job->pending > 0) continue;
        end_job(queue, job, job->error != RETORT_OK ? SRV_END_FAILED : SRV_END_DONE, ended);
    }
}

static void finish_row(srv_queue *queue, srv_row *row, void *answer, retort_status error, srv_job **ended) {
    row->answer = answer;
    row->state = answer != NULL ? SRV_ROW_DONE : SRV_ROW_FAILED;
    row->error = error;
    answer_waiters(queue, row, ended);
    row->refs--; /* the batch's; the table has one */
    if (row->state == SRV_ROW_DONE && queue->limits.cache > 0) {
        cache_add(queue, row);
    } else {
        table_remove(queue, row);
    }
}

static void measure(srv_queue *queue, const srv_batch *batch, int64_t now) {
    struct timespec wall;
    double seconds = (double)(now - batch->started + 1) * 1e-9;
    double rate = (double)batch->tokens / seconds * (double)queue->limits.workers;
    queue->rate = queue->rate > 0 ? 0.9 * queue->rate + 0.1 * rate : rate;
    clock_gettime(CLOCK_REALTIME, &wall);
    atomic_store(&queue->metrics->last_run, wall.tv_sec * INT64_C(1000) + wall.tv_nsec / 1000000);
    srv_observe(queue->metrics, SRV_INFERENCE, (unsigned long long)(now - batch->started));
    srv_observe(queue->metrics, SRV_SEQUENCES, batch->count);
    srv_observe(queue->metrics, SRV_TOKENS, batch->tokens);
}

void srv_queue_finish(srv_queue *queue, srv_batch *batch, retort_status error) {
    srv_job *ended = NULL;
    if (batch->count == 0) return;
    int64_t now = srv_now();
    pthread_mutex_lock(&queue->lock);
    measure(queue, batch, now);
    for (size_t i = 0; i < batch->count; i++)
        finish_row(queue, batch->rows[i], batch->answers[i], error, &ended);
    pthread_mutex_unlock(&queue->lock);
    call_ended(ended);
}

/* ---- Deadlines and the end ---- */

static int64_t next_deadline(const srv_queue *queue) {
    int64_t next = INT64_MAX;
    for (const srv_job *job = queue->head; job != NULL; job = job->next) {
        if (job->deadline < next) next = job->deadline;
    }
    return next;
}

void srv_queue_watch(srv_queue *queue) {
    pthread_mutex_lock(&queue->lock);
    while (!queue->closed) {
        srv_job *ended = NULL;
        if (queue->alarm_at == INT64_MAX) {
            pthread_cond_wait(&queue->alarm, &queue->lock);
        } else {
            struct timespec limit = at_time(queue->alarm_at);
            pthread_cond_timedwait(&queue->alarm, &queue->lock, &limit);
        }
        int64_t now = srv_now();
        if (now < queue->alarm_at) continue;
        expire(queue, now, &ended);
        queue->alarm_at = next_deadline(queue);
        pthread_mutex_unlock(&queue->lock);
        call_ended(ended);
        pthread_mutex_lock(&queue->lock);
    }
    pthread_mutex_unlock(&queue->lock);
}

void srv_queue_close(srv_queue *queue) {
    pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    pthread_cond_broadcast(&queue->work);
    pthread_cond_broadcast(&queue->alarm);
    pthread_mutex_unlock(&queue->lock);
}

void srv_queue_drop(srv_queue *queue, srv_end end) {
    srv_job *ended = NULL;
    pthread_mutex_lock(&queue->lock);
    while (queue->head != NULL) {
        srv_count(&queue->metrics->rejected[SRV_DRAINING], 1);
        end_job(queue, queue->head, end, &ended);
    }
    pthread_mutex_unlock(&queue->lock);
    call_ended(ended);
}
