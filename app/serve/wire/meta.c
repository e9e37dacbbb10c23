/* SPDX-License-Identifier: Apache-2.0
 * The routes about the server itself: health, metrics, the page. */
#include "serve/wire/meta.h"
#include "retort.h"
#include "serve/base/memory.h"
#include "serve/base/metrics.h"
#include "serve/base/out.h"
#include "serve/base/state.h"
#include "serve/queue/engine.h"
#include "serve/queue/queue.h"
#include "serve/queue/service.h"
#include "serve/wire/errors.h"
#include "serve/wire/page.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

void srv_write_live(srv_call *call) {
    srv_out_text(&call->answer, "{\"status\":\"live\"}");
}

void srv_write_ready(srv_call *call) {
    if (srv_service_ready(call->service)) {
        srv_out_text(&call->answer, "{\"status\":\"ready\"}");
        return;
    }
    bool draining = srv_service_leaving(call->service);
    srv_call_fail(call, SRV_ERROR_UNHEALTHY, "%s",
                  draining ? "the server is shutting down" : "a model cannot answer");
}

void srv_write_page(srv_call *call) {
    if (!call->wants_page) { /* as in Text Embeddings Inference */
        srv_write_ready(call);
        return;
    }
    srv_out_bytes(&call->answer, (const char *)srv_page, srv_page_size);
    call->content_type = "text/html; charset=utf-8";
    call->policy = srv_page_policy;
}

static void write_requests(srv_service *service, srv_out *out) {
    srv_metrics_head(out, "retort_requests_total", "counter", "answers by route and status");
    for (size_t route = 0; route <= service->route_count; route++) {
        const char *method = route < service->route_count ? service->routes[route].method : "";
        const char *path = route < service->route_count ? service->routes[route].path : "other";
        for (size_t code = 0; code < SRV_CODES; code++) {
            unsigned long long n =
                atomic_load_explicit(&service->requests[route * SRV_CODES + code], memory_order_relaxed);
            if (n == 0) continue;
            srv_out_format(out, "retort_requests_total{method=\"%s\",route=\"%s\",code=\"%zu\"} %llu\n",
                           method, path, code, n);
        }
    }
}

static void write_memory(const srv_memory *memory, srv_out *out) {
    if (memory == NULL) return;
    srv_metrics_head(out, "retort_memory_bytes", "gauge", "bytes held for requests, by use");
    for (int use = 0; use < SRV_USE_COUNT; use++) {
        srv_out_format(out, "retort_memory_bytes{use=\"%s\"} %zu\n", srv_use_names[use],
                       atomic_load_explicit(&memory->used[use], memory_order_relaxed));
    }
    srv_metrics_head(out, "retort_memory_limit_bytes", "gauge", "the limit set by --request-memory");
    srv_out_format(out, "retort_memory_limit_bytes %zu\n", memory->limit);
}

static void write_gauges(srv_service *service, srv_out *out) {
    srv_metrics_head(out, "retort_inflight", "gauge", "requests between their first line and their answer");
    srv_out_format(out, "retort_inflight %ld\n", atomic_load(&service->in_flight));
    srv_metrics_head(out, "retort_connections", "gauge", "open connections");
    srv_out_format(out, "retort_connections %zu\n", atomic_load(&service->connections));
    srv_metrics_head(out, "retort_log_lines_lost_total", "counter", "lines dropped from the access log");
    srv_out_format(out, "retort_log_lines_lost_total %llu\n", atomic_load(&service->lines_lost));
    srv_metrics_head(out, "retort_state", "gauge", "1 for the current state of the server");
    for (int i = 0; i < SRV_STATE_COUNT; i++)
        srv_out_format(out, "retort_state{state=\"%s\"} %d\n", srv_state_names[i],
                       i == (int)srv_service_state(service));
    size_t unused, retired = srv_service_retired(service, &unused);
    srv_metrics_head(out, "retort_retired_models", "gauge",
                     "replaced models that are finishing their requests");
    srv_out_format(out, "retort_retired_models %zu\n", retired);
    write_memory(service->options->budget, out);
    srv_metrics_head(out, "process_start_time_seconds", "gauge", "seconds since 1970");
    srv_out_format(out, "process_start_time_seconds %lld\n", (long long)service->started);
}

/* Gauges of the models' queues, one row each. */
static double queue_requests(const srv_queue *queue) {
    return (double)queue->waiting;
}
static double queue_tokens(const srv_queue *queue) {
    return (double)(queue->tokens + queue->behind);
}
static double cached_answers(const srv_queue *queue) {
    return (double)queue->cached;
}
static double tokens_per_second(const srv_queue *queue) {
    return queue->rate;
}
static const struct {
    const char *name, *help;
    double (*value)(const srv_queue *queue); /* under its lock */
} queue_gauges[] = {
    {"retort_queue_requests", "requests with texts that no batch has taken", queue_requests},
    {"retort_queue_tokens", "tokens that no batch has taken", queue_tokens},
    {"retort_cached_answers", "answers in the cache", cached_answers},
    {"retort_tokens_per_second", "moving average while batches run", tokens_per_second},
};

static void write_queues(srv_engine *const *engines, size_t n, srv_out *out) {
    for (size_t g = 0; g < sizeof queue_gauges / sizeof *queue_gauges; g++) {
        srv_metrics_head(out, queue_gauges[g].name, "gauge", queue_gauges[g].help);
        for (size_t i = 0; i < n; i++) {
            pthread_mutex_lock(&engines[i]->queue.lock);
            double value = queue_gauges[g].value(&engines[i]->queue);
            pthread_mutex_unlock(&engines[i]->queue.lock);
            srv_out_format(out, "%s{model=\"%s\"} %.9g\n", queue_gauges[g].name, engines[i]->name, value);
        }
    }
    srv_metrics_head(out, "retort_tokenize_tokens", "gauge", "tokens of /tokenize not sent yet");
    for (size_t i = 0; i < n; i++)
        srv_out_format(out, "retort_tokenize_tokens{model=\"%s\"} %zu\n", engines[i]->name,
                       atomic_load(&engines[i]->tokenized));
    srv_metrics_head(out, "retort_model_info", "gauge", "1, with facts as labels");
    for (size_t i = 0; i < n; i++) {
        const srv_engine *engine = engines[i];
        srv_out_format(out, "retort_model_info{model=\"%s\",recipe=\"", engine->name);
        srv_metrics_text(out, engine->info.recipe);
        srv_out_format(
            out, "\",family=\"%s\",isa=\"%s\",provider=\"%s\",threads=\"%d\",version=\"%d.%d.%d\"} 1\n",
            engine->info.family, engine->session.isa, engine->session.provider, engine->session.threads,
            RETORT_VERSION_MAJOR, RETORT_VERSION_MINOR, RETORT_VERSION_PATCH);
    }
}

void srv_write_metrics(srv_call *call) {
    enum { MOST = 64 }; /* models, as in cmd/serve.c */
    srv_service *service = call->service;
    srv_out *out = &call->answer;
    srv_metrics_source sources[MOST];
    srv_engine *engines[MOST];
    srv_shadow *shadows[MOST];
    const char *names[MOST];
    size_t n = 0;
    call->content_type = "text/plain; version=0.0.4; charset=utf-8";
    for (size_t i = 0; i < service->options->model_count && i < MOST; i++) {
        bool known;
        srv_slice name = {service->slots[i].spec->name, strlen(service->slots[i].spec->name)};
        engines[n] = srv_service_engine(service, SRV_ANY_TASK, &name, &known);
        sources[n] = (srv_metrics_source){name.text, &service->slots[i].metrics};
        if (engines[n] != NULL) n++;
    }
    write_requests(service, out);
    write_gauges(service, out);
    srv_metrics_print(out, sources, n);
    write_queues(engines, n, out);
    for (size_t i = 0; i < n; i++) {
        shadows[i] = engines[i]->shadow;
        names[i] = engines[i]->name;
    }
    srv_shadow_print(out, shadows, names, n);
    srv_metrics_process(out);
    for (size_t i = 0; i < n; i++) srv_engine_leave(engines[i]);
}
