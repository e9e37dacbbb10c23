/* SPDX-License-Identifier: Apache-2.0
 * Triton's extensions of the Open Inference Protocol: the repository index and model statistics
 * (docs/protocol/extension_{model_repository,statistics}.md of triton-inference-server/server). */
#include "serve/wire/triton.h"
#include "serve/base/metrics.h"
#include "serve/base/options.h"
#include "serve/base/out.h"
#include "serve/queue/service.h"

#include <stdatomic.h>
#include <string.h>

/* ---- The repository's index ---- */

/* The body may restrict the list to ready models: all are, or the server would not have started. */
void srv_triton_write_index(srv_call *call) {
    const srv_options *options = call->service->options;
    srv_out *out = &call->answer;
    srv_out_text(out, "[");
    for (size_t i = 0; i < options->model_count; i++) {
        srv_out_format(out, "%s{\"name\":", i > 0 ? "," : "");
        srv_out_string(out, options->models[i].name, strlen(options->models[i].name));
        srv_out_text(out, ",\"version\":\"1\",\"state\":\"READY\",\"reason\":\"\"}");
    }
    srv_out_text(out, "]");
}

/* ---- Statistics ---- */

static void write_duration(srv_out *out, const char *name, unsigned long long count, unsigned long long ns) {
    srv_out_format(out, "\"%s\":{\"count\":%llu,\"ns\":%llu}", name, count, ns);
}

static unsigned long long counter(const srv_model_metrics *metrics, srv_counter_id id) {
    return atomic_load_explicit(&metrics->counters[id], memory_order_relaxed);
}

/* Triton counts what a model has computed; cached and shared answers are cache hits. Computing inputs
 * means tokenising; outputs are written while they are sent, which is not timed. */
static void write_model_statistics(srv_out *out, const srv_slot *slot) {
    const srv_model_metrics *metrics = &slot->metrics;
    srv_histogram_sum requests = srv_histogram_read(metrics, SRV_DURATION),
                      queue = srv_histogram_read(metrics, SRV_QUEUE),
                      encode = srv_histogram_read(metrics, SRV_TOKENIZE),
                      batches = srv_histogram_read(metrics, SRV_INFERENCE),
                      sequences = srv_histogram_read(metrics, SRV_SEQUENCES);
    unsigned long long failed = counter(metrics, SRV_FAILURES),
                       hits = counter(metrics, SRV_CACHED) + counter(metrics, SRV_SHARED);
    srv_out_text(out, "{\"name\":");
    srv_out_string(out, slot->spec->name, strlen(slot->spec->name));
    srv_out_format(out,
                   ",\"version\":\"1\",\"last_inference\":%lld,\"inference_count\":%llu,"
                   "\"execution_count\":%llu,\"inference_stats\":{",
                   atomic_load(&metrics->last_run), sequences.sum, batches.count);
    write_duration(out, "success", requests.count, requests.sum);
    srv_out_text(out, ",");
    write_duration(out, "fail", failed, 0);
    srv_out_text(out, ",");
    write_duration(out, "queue", queue.count, queue.sum);
    srv_out_text(out, ",");
    write_duration(out, "compute_input", encode.count, encode.sum);
    srv_out_text(out, ",");
    write_duration(out, "compute_infer", batches.count, batches.sum);
    srv_out_text(out, ",");
    write_duration(out, "compute_output", 0, 0);
    srv_out_text(out, ",");
    write_duration(out, "cache_hit", hits, 0);
    srv_out_text(out, ",");
    write_duration(out, "cache_miss", sequences.sum, 0);
    srv_out_text(out, "},\"batch_stats\":[]}");
}

/* Of the model in the path, or of all. */
void srv_triton_write_statistics(srv_call *call) {
    const srv_options *options = call->service->options;
    srv_out *out = &call->answer;
    bool first = true;
    if (call->model.text != NULL && !srv_call_find_model(call)) return;
    srv_out_text(out, "{\"model_stats\":[");
    for (size_t i = 0; i < options->model_count; i++) {
        const srv_slot *slot = &call->service->slots[i];
        if (call->engine != NULL && call->engine->queue.metrics != &slot->metrics) continue;
        if (!first) srv_out_text(out, ",");
        first = false;
        write_model_statistics(out, slot);
    }
    srv_out_text(out, "]}");
}
