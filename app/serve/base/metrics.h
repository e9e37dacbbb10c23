/* SPDX-License-Identifier: Apache-2.0
 * Metrics, one row each. Any thread updates them, without locks. */
#ifndef SERVE_METRICS_H
#define SERVE_METRICS_H

#include "serve/base/out.h"

#include <stdatomic.h>
#include <stddef.h>

/* Per model: id, name, stored units per printed unit, first bound, help */
#define SRV_HISTOGRAMS(X)                                                                                    \
    X(DURATION, "retort_request_duration_seconds", 1e9, 50e-6, "from the head of a request to its answer")   \
    X(TOKENIZE, "retort_tokenize_seconds", 1e9, 50e-6, "tokenising the texts of a request")                  \
    X(QUEUE, "retort_queue_wait_seconds", 1e9, 50e-6, "waiting until the first text of a request was taken") \
    X(INFERENCE, "retort_inference_seconds", 1e9, 50e-6, "running a batch")                                  \
    X(SEQUENCES, "retort_batch_sequences", 1, 1, "texts per batch")                                          \
    X(TOKENS, "retort_batch_tokens", 1, 8, "tokens per batch")

/* id, name, help */
#define SRV_COUNTERS(X)                                                                                      \
    X(TEXTS, "retort_texts_total", "texts of admitted requests")                                             \
    X(SHARED, "retort_shared_total", "texts that shared the computation of an equal text in flight")         \
    X(CACHED, "retort_cache_hits_total", "texts answered from the cache")                                    \
    X(TRUNCATED, "retort_truncated_total", "texts that were truncated")                                      \
    X(RELOADS, "retort_reloads_total", "reloads of the model")                                               \
    X(FAILURES, "retort_inference_failures_total", "batches that could not be run")

/* Why a request was refused or given up: id, label */
#define SRV_REASONS(X)                                                                                       \
    X(QUEUE_FULL, "queue_full")                                                                              \
    X(TOO_MANY, "too_many_requests")                                                                         \
    X(TOO_LATE, "would_miss_deadline")                                                                       \
    X(DEADLINE, "deadline")                                                                                  \
    X(CLIENT_GONE, "client_gone")                                                                            \
    X(DRAINING, "draining")                                                                                  \
    X(CONNECTIONS, "connections")                                                                            \
    X(SLOW_CLIENT, "slow_client")                                                                            \
    X(MEMORY, "memory")

#define SRV_ROW_ID(id, ...) SRV_##id,
typedef enum srv_histogram_id { SRV_HISTOGRAMS(SRV_ROW_ID) SRV_HISTOGRAM_COUNT } srv_histogram_id;
typedef enum srv_counter_id { SRV_COUNTERS(SRV_ROW_ID) SRV_COUNTER_COUNT } srv_counter_id;
typedef enum srv_reason { SRV_REASONS(SRV_ROW_ID) SRV_REASON_COUNT } srv_reason;
#undef SRV_ROW_ID

/* Bounds double: 50 µs … 26 s, 1 … 2^19 texts. */
enum { SRV_BUCKETS = 20 };
typedef struct srv_histogram {
    atomic_ullong buckets[SRV_BUCKETS + 1]; /* the last: beyond all bounds */
    atomic_ullong sum;
} srv_histogram;

typedef struct srv_model_metrics {
    srv_histogram histograms[SRV_HISTOGRAM_COUNT];
    atomic_ullong counters[SRV_COUNTER_COUNT];
    atomic_ullong rejected[SRV_REASON_COUNT];
    atomic_llong last_run; /* when the last batch ended: milliseconds since 1970; 0: there was none */
} srv_model_metrics;

static inline void srv_count(atomic_ullong *counter, unsigned long long n) {
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}
/* `value` in the histogram's own unit: nanoseconds, or a number. */
void srv_observe(srv_model_metrics *metrics, srv_histogram_id id, unsigned long long value);
/* The number of values in a histogram, and their sum in its own unit. */
typedef struct srv_histogram_sum {
    unsigned long long count, sum;
} srv_histogram_sum;
srv_histogram_sum srv_histogram_read(const srv_model_metrics *metrics, srv_histogram_id id);

/* Prometheus' text format: one family after the other, each with one line per model. */
typedef struct srv_metrics_source {
    const char *name; /* of the model */
    const srv_model_metrics *metrics;
} srv_metrics_source;
void srv_metrics_print(srv_out *out, const srv_metrics_source *models, size_t n);
/* "# HELP", "# TYPE". */
/* Text from a file, as the value of a label. */
void srv_metrics_text(srv_out *out, const char *value);
void srv_metrics_head(srv_out *out, const char *name, const char *type, const char *help);
/* process_*: CPU, memory, descriptors, start. */
void srv_metrics_process(srv_out *out);
extern const char *const srv_reason_names[SRV_REASON_COUNT];

#endif
