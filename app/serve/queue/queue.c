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
    size_t slots = 1024, entries = limits->cache_bytes / sizeof(srv_entry);
    if (entries > limits->cache) entries = limits->cache;
    *queue = (srv_queue){.limits = *limits, .metrics = metrics, .alarm_at = INT64_MAX};
    while (slots < 2 * entries && slots < (size_t)1 << 24) slots *= 2;
    queue->mask = slots - 1;
    queue->table = calloc(slots, sizeof *queue->table);
    /* Without random bytes, hashes are predictable: that may cost time, but is never wrong. */
    if (getrandom(&queue->seed, sizeof queue->seed, GRND_NONBLOCK) < 0) queue->seed = (uint64_t)srv_now();
    bool fine = queue->table != NULL && pthread_mutex_init(&queue->lock, NULL) == 0;
    return fine && open_condition(&queue->work) && open_condition(&queue->alarm);
}

/* ---- Rows and their table ---- */

srv_entry *srv_entry_new(size_t tokens, size_t size) {
    bool fits = tokens < UINT32_MAX && size < UINT32_MAX;
    srv_entry *entry = fits ? malloc(sizeof *entry + size * sizeof *entry->key) : NULL;
    if (entry != NULL) *entry = (srv_entry){.refs = 1, .tokens = (uint32_t)tokens, .size = (uint32_t)size};
    return entry;
}

bool srv_entry_take(srv_queue *queue, srv_entry *entry, size_t answer) {
    size_t bytes = sizeof *entry + entry->size * sizeof *entry->key + answer;
    if (!srv_memory_take(queue->limits.memory, SRV_USE_INPUTS, bytes)) return false;
    entry->bytes = bytes;
    return true;
}

static void entry_drop(const srv_queue *queue, srv_entry *entry) {
    if (--entry->refs > 0) return;
    srv_memory_give(queue->limits.memory, entry->cached ? SRV_USE_CACHE : SRV_USE_INPUTS, entry->bytes);
    retort_windows_free(entry->windows);
    free(entry->answer);
    free(entry);
}

static uint64_t hash_entry(const srv_queue *queue, const srv_entry *entry) {
    uint64_t hash = queue->seed ^ entry->size;
    for (size_t i = 0; i < entry->size; i++) {
        hash = (hash ^ (uint32_t)entry->key[i]) * UINT64_C(0xD6E8FEB86659FD93);
        hash ^= hash >> 32;
    }
    return hash;
}

static srv_entry *table_find(const srv_queue *queue, const srv_entry *like) {
    srv_entry *entry = queue->table[like->hash & queue->mask];
    for (; entry != NULL; entry = entry->chain) {
        if (entry->hash == like->hash && entry->size == like->size &&
            memcmp(entry->key, like->key, entry->size * sizeof *entry->key) == 0)
            break;
    }
    return entry;
}

static void table_add(srv_queue *queue, srv_entry *entry) {
    srv_entry **slot = &queue->table[entry->hash & queue->mask];
    entry->chain = *slot;
    *slot = entry;
    entry->refs++;
}

static void table_unlink(srv_queue *queue, srv_entry *entry) {
    srv_entry **slot = &queue->table[entry->hash & queue->mask];
    while (*slot != entry) slot = &(*slot)->chain;
    *slot = entry->chain;
}

static void table_remove(srv_queue *queue, srv_entry *entry) {
    table_unlink(queue, entry);
    entry_drop(queue, entry);
}

static void cache_unlink(srv_queue *queue, srv_entry *entry) {
    *(entry->newer != NULL ? &entry->newer->older : &queue->newest) = entry->older;
    *(entry->older != NULL ? &entry->older->newer : &queue->oldest) = entry->newer;
    entry->newer = entry->older = NULL;
}

static void cache_link(srv_queue *queue, srv_entry *entry) {
    entry->older = queue->newest;
    *(queue->newest != NULL ? &queue->newest->newer : &queue->oldest) = entry;
    queue->newest = entry;
}

/* Accounts for a entry that enters or leaves the cache. */
static void cache_count(srv_queue *queue, srv_entry *entry, bool cached) {
    static const srv_use uses[] = {SRV_USE_INPUTS, SRV_USE_CACHE};
    srv_memory_move(queue->limits.memory, uses[entry->cached], uses[cached], entry->bytes);
    entry->cached = cached;
    if (cached) {
        queue->cached++;
        queue->cached_bytes += entry->bytes;
    } else {
        queue->cached--;
        queue->cached_bytes -= entry->bytes;
    }
}

/* A computed entry stays in the table as long as the cache has room for it, by count and by bytes. */
static void cache_add(srv_queue *queue, srv_entry *entry) {
    cache_link(queue, entry);
    cache_count(queue, entry, true);
    while (queue->cached > queue->limits.cache || queue->cached_bytes > queue->limits.cache_bytes) {
        srv_entry *oldest = queue->oldest;
        cache_unlink(queue, oldest);
        cache_count(queue, oldest, false);
        table_remove(queue, oldest);
    }
}

void srv_queue_free(srv_queue *queue) {
    while (queue->oldest != NULL) {
        srv_entry *entry = queue->oldest;
        cache_unlink(queue, entry);
        table_remove(queue, entry);
    }
    free(queue->table);
    pthread_mutex_destroy(&queue->lock);
    pthread_cond_destroy(&queue->work);
    pthread_cond_destroy(&queue->alarm);
}

/* ---- Jobs ---- */

static void item_wait(srv_item *item) {
    srv_entry *entry = item->entry;
    item->next = entry->waiters;
    item->link = &entry->waiters;
    if (item->next != NULL) item->next->link = &item->next;
    entry->waiters = item;
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

/* The counter that a queued entry's tokens belong to. */
static size_t *tokens_with(srv_queue *queue, const srv_entry *entry) {
    return entry->behind ? &queue->behind : &queue->tokens;
}

/* Ends a job and adds it to the list `ended`. */
static void end_job(srv_queue *queue, srv_job *job, srv_end end, srv_job **ended) {
    if (job->waiting) stop_waiting(queue, job);
    for (size_t i = 0; i < job->count; i++) {
        srv_entry *entry = job->items[i].entry;
        item_leave(&job->items[i]);
        if (entry->state != SRV_ENTRY_QUEUED || entry->waiters != NULL) continue;
        entry->state = SRV_ENTRY_NEW;
        *tokens_with(queue, entry) -= entry->tokens;
        table_unlink(queue, entry);
        entry->refs--; /* the table's; the item has one */
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
        const srv_entry *known = table_find(queue, job->items[i].entry);
        if (known == NULL) tokens += job->items[i].entry->tokens;
        *pending += known == NULL || known->state != SRV_ENTRY_DONE;
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

/* Puts an item's entry into the table, or uses the one that is there. *room: tokens of the job that still
 * count. */
static void enter_item(srv_queue *queue, srv_item *item, size_t *room) {
    srv_entry *known = table_find(queue, item->entry);
    if (known == NULL) {
        item->entry->state = SRV_ENTRY_QUEUED;
        item->entry->behind = item->entry->tokens > *room;
        *room -= item->entry->behind ? *room : item->entry->tokens;
        *tokens_with(queue, item->entry) += item->entry->tokens;
        table_add(queue, item->entry);
    } else {
        entry_drop(queue, item->entry);
        item->entry = known;
        known->refs++;
        srv_count(&queue->metrics->counters[known->state == SRV_ENTRY_DONE ? SRV_CACHED : SRV_SHARED], 1);
    }
    if (item->entry->state != SRV_ENTRY_DONE) {
        item_wait(item);
        return;
    }
    cache_unlink(queue, item->entry);
    cache_link(queue, item->entry);
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
    wake->worker = queue->idle > 0 && !queue->teamed;
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
        job->items[i].entry->hash = hash_entry(queue, job->items[i].entry);
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
        if (job->items[i].entry != NULL) entry_drop(queue, job->items[i].entry);
        job->items[i].entry = NULL;
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

/* `most`: tokens at which the batch is full, though a text may go beyond. */
static bool has_room(const srv_queue *queue, const srv_batch *batch, size_t tokens, size_t most) {
    return batch->count == 0 || (batch->count < queue->limits.batch_texts && batch->tokens < most &&
                                 batch->tokens + tokens <= queue->limits.batch_tokens);
}

/* Takes a job's texts, up to `share` tokens. False: the batch is full. */
static bool take_from(srv_queue *queue, srv_batch *batch, srv_job *job, size_t share, size_t most) {
    size_t taken = 0;
    for (; job->cursor < job->count && taken < share; job->cursor++) {
        srv_entry *entry = job->items[job->cursor].entry;
        if (entry->state != SRV_ENTRY_QUEUED) continue;
        if (!has_room(queue, batch, entry->tokens, most)) return false;
        entry->state = SRV_ENTRY_RUNNING;
        entry->refs++;
        *tokens_with(queue, entry) -= entry->tokens;
        batch->answers[batch->count] = NULL;
        batch->entries[batch->count++] = entry;
        batch->tokens += entry->tokens;
        taken += entry->tokens;
        if (job->taken == job->queued) {
            job->taken = batch->started;
            srv_observe(queue->metrics, SRV_QUEUE, (unsigned long long)(job->taken - job->queued));
        }
    }
    return true;
}

/* Half of a worker's share of all tokens in flight: with more, it would keep what others could begin at once. 8 connections
 * with short texts, two workers, beside one busy loop: p99 12.5 ms, 13.8 with all of its share; undisturbed 7.1 and 9.7. */
static size_t half_share(const srv_queue *queue) {
    size_t parts = 2 * queue->limits.workers;
    return (queue->tokens + queue->behind + queue->running + parts - 1) / parts;
}

/* Takes jobs in turn; if others wait, each fills a quarter of a batch per turn. */
static void fill(srv_queue *queue, srv_batch *batch) {
    size_t share = queue->limits.batch_tokens / 4 + 1, most = SIZE_MAX;
    bool room = true;
    batch->alone = queue->limits.team && queue->running == 0 && queue->waiting == 1;
    if (queue->limits.team && !batch->alone) most = half_share(queue);
    while (room && queue->head != NULL) {
        srv_job *job = queue->head;
        room = take_from(queue, batch, job, job->next != NULL ? share : SIZE_MAX, most);
        if (job->cursor == job->count) {
            stop_waiting(queue, job);
        } else if (room) {
            list_remove(queue, job);
            list_append(queue, job);
        }
    }
    queue->running += batch->tokens;
    queue->teamed = batch->count > 0 && batch->alone;
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
        if (queue->head == NULL || queue->teamed) {
            if (queue->closed && queue->head == NULL) break;
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
    if (queue->head != NULL && queue->idle > 0 && !queue->teamed) pthread_cond_signal(&queue->work);
    pthread_mutex_unlock(&queue->lock);
    call_ended(ended);
    return more;
}

/* Gives the answer to all items that wait for it. */
static void answer_waiters(srv_queue *queue, srv_entry *entry, srv_job **ended) {
    while (entry->waiters != NULL) {
        srv_item *item = entry->waiters;
        srv_job *job = item->job;
        item_leave(item);
        if (entry->state == SRV_ENTRY_FAILED) job->error = entry->error;
        if (--job->pending > 0) continue;
        end_job(queue, job, job->error != RETORT_OK ? SRV_END_FAILED : SRV_END_DONE, ended);
    }
}

static void finish_entry(srv_queue *queue, srv_entry *entry, void *answer, retort_status error,
                         srv_job **ended) {
    entry->answer = answer;
    entry->state = answer != NULL ? SRV_ENTRY_DONE : SRV_ENTRY_FAILED;
    entry->error = error;
    answer_waiters(queue, entry, ended);
    entry->refs--; /* the batch's; the table has one */
    if (entry->state == SRV_ENTRY_DONE && queue->limits.cache > 0) {
        cache_add(queue, entry);
    } else {
        table_remove(queue, entry);
    }
}

static void measure(srv_queue *queue, const srv_batch *batch, int64_t now) {
    struct timespec wall;
    double seconds = (double)(now - batch->started + 1) * 1e-9;
    double rate = (double)batch->tokens / seconds * (double)(batch->alone ? 1 : queue->limits.workers);
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
        finish_entry(queue, batch->entries[i], batch->answers[i], error, &ended);
    queue->running -= batch->tokens;
    if (batch->alone) queue->teamed = false;
    bool wake = batch->alone && queue->idle > 0 && (queue->head != NULL || queue->closed);
    pthread_mutex_unlock(&queue->lock);
    if (wake) pthread_cond_broadcast(&queue->work);
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
