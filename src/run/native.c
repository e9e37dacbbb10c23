/* SPDX-License-Identifier: Apache-2.0
 * Our own engine: a plan, a pool of workers, one parallel region a batch. */
#include "base/cpu.h"
#include "base/thread.h"
#include "engine/execute.h"
#include "engine/prepare.h"
#include "engine/profile.h"
#include "run/provider.h"
#include "run/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows that a worker carries through the network at a time, when the batch is larger; of networks of integer
 * weights also fewer, each of them reading all weights once more. Base shape, 8x128, chunks of 128 rows in
 * place of 512, medians on two cores that others use too: int4 231 ms where it took 262, int8 383 and 393,
 * but float 507 and 475. */
enum { CHUNK_ROWS = 512, INTEGER_ROWS = 128 };

#define TEXT(number)    TEXT_OF(number)
#define TEXT_OF(number) #number
static const char version[] =
    TEXT(RETORT_VERSION_MAJOR) "." TEXT(RETORT_VERSION_MINOR) "." TEXT(RETORT_VERSION_PATCH);

typedef struct native {
    rt_plan plan;
    rt_kernels kernels;
    const char *isa;
    rt_thread_pool *pool;
    rt_executor executor;
    rt_profile profile; /* open if the session profiles */
    rt_tap tap;
    rt_observer observers[2];
    rt_limits limits;
    rt_prepared batch;
    float *out;
    size_t out_capacity;
    uint64_t runs;
} native;

/* Result rows of one of the caller's sequences. */
static void copy_rows(native *n, size_t sequence, const float *from) {
    size_t columns = n->plan.output_columns, place = (size_t)n->batch.places[sequence];
    size_t rows = (size_t)n->batch.places[sequence + 1] - place;
    memcpy(n->out + place * columns, from, rows * columns * sizeof *from);
}

/* Result rows of a chunk go to their places in the batch's result; padding is left behind. */
static void copy_out(void *user, size_t index, const rt_worker *worker) {
    native *n = user;
    const rt_chunk *chunk = &n->batch.chunks[index];
    const uint32_t *sequences = n->batch.distinct.first + n->batch.first_sequence[index];
    const float *from = rt_place_at(&n->plan.output, worker);
    for (size_t b = 0; b < chunk->batch; b++) {
        const size_t row[] = {[RT_ROWS_ALL] = (size_t)chunk->starts[b],
                              [RT_ROWS_BATCH] = b,
                              [RT_ROWS_MASKS] = (size_t)chunk->mask_starts[b]};
        copy_rows(n, sequences[b], from + row[n->plan.output_rows] * n->plan.output_columns);
    }
}

/* Sequences that equal an earlier one get its rows. */
static void repeat_results(native *n) {
    const rt_distinct *distinct = &n->batch.distinct;
    for (size_t i = 0; distinct->count < n->batch.sequences && i < n->batch.sequences; i++) {
        size_t first = distinct->first[distinct->same[i]];
        if (first == i) continue;
        copy_rows(n, i, n->out + (size_t)n->batch.places[first] * n->plan.output_columns);
    }
}

static retort_status native_run(void *state, const retort_batch *batch, retort_matrix *out,
                                retort_error *err) {
    native *n = state;
    retort_status status = rt_prepare(&n->batch, batch, &n->limits, err);
    if (status != RETORT_OK) return status;
    size_t rows = (size_t)n->batch.places[batch->n], count;
    if (!rt_mul(rows, n->plan.output_columns, &count) ||
        !rt_grow((void **)&n->out, &n->out_capacity, rt_max(count, 1), sizeof *n->out)) {
        return rt_fail_nomem(err, rows * n->plan.output_columns * sizeof *n->out);
    }
    const rt_work work = {n->batch.chunks, n->batch.chunk_count, n->batch.team, copy_out, n};
    status = rt_execute(&n->executor, &work, err);
    n->runs += n->batch.chunk_count;
    if (status != RETORT_OK) return status;
    repeat_results(n);
    *out = (retort_matrix){.data = n->out, .rows = rows, .columns = n->plan.output_columns};
    return RETORT_OK;
}

static void native_close(void *state) {
    native *n = state;
    if (n == NULL) return;
    rt_executor_close(&n->executor);
    rt_thread_pool_close(n->pool);
    rt_prepared_free(&n->batch);
    rt_plan_free(&n->plan);
    free(n->out);
    rt_profile_close(&n->profile);
    free(n);
}

static size_t least_rows(const rt_plan *plan) {
    uint64_t integers = 0, all = 0;
    for (size_t i = 0; i < plan->step_count; i++) {
        all += plan->steps[i].weight_bytes;
        if (plan->steps[i].arithmetic == RETORT_S8) integers += plan->steps[i].weight_bytes;
    }
    return 2 * integers > all ? INTEGER_ROWS : CHUNK_ROWS;
}

static retort_status open_observers(native *n, const retort_session_options *options, retort_error *err) {
    retort_status status = RETORT_OK;
    n->executor.observers = n->observers;
    if (options->profile) {
        status = rt_profile_open(&n->profile, (size_t)options->threads, n->plan.step_count, err);
        n->observers[n->executor.observer_count++] = rt_profile_observer(&n->profile);
    }
    n->tap = (rt_tap){options->tap, options->tap_user};
    if (options->tap != NULL) n->observers[n->executor.observer_count++] = rt_tap_observer(&n->tap);
    return status;
}

static retort_status open_parts(native *n, const retort_model *model, const retort_session_options *options,
                                retort_error *err) {
    uint32_t features;
    if (options->tap != NULL && model->graph.level < 3) {
        return rt_fail(err, RETORT_UNSUPPORTED, "tap: the model is of level %d: expected 3",
                       model->graph.level);
    }
    retort_status status = rt_isa_select(options->isa, &features, &n->isa, err);
    if (status != RETORT_OK) return status;
    rt_kernels_select(&n->kernels, features);
    size_t positions = (size_t)model->config.positions;
    size_t wanted = options->chunk_tokens > 0 ? (size_t)options->chunk_tokens : CHUNK_ROWS;
    n->limits = (rt_limits){
        .vocab = model->config.vocab,
        .types = model->config.types,
        .positions = model->config.positions,
        .mask_id = model->graph.mask_id,
        .capacity =
            rt_max(wanted + positions / 2, positions), /* a chunk may pass its mark by half a sequence */
        .wanted = wanted,
        .workers = options->tap != NULL ? 1 : (size_t)options->threads, /* chunks in turn */
        .padded = model->graph.level < 3,
        .keep_duplicates = options->keep_duplicates,
    };
    status = rt_plan_make(&n->plan, &model->graph, &n->kernels, n->limits.capacity, positions, err);
    n->limits.output = n->plan.output_rows;
    if (status == RETORT_OK) n->limits.least = least_rows(&n->plan);
    if (status == RETORT_OK) status = rt_thread_pool_open(&n->pool, options->threads, err);
    if (status == RETORT_OK) status = rt_executor_open(&n->executor, &n->plan, n->pool, err);
    return status == RETORT_OK ? open_observers(n, options, err) : status;
}

static retort_status native_probe(const rt_provider *provider, retort_provider_info *info,
                                  retort_error *err) {
    (void)provider;
    (void)err;
    memcpy(info->version, version, sizeof version);
    return RETORT_OK;
}

static retort_status native_open(const rt_provider *provider, void **state, const retort_model *model,
                                 const retort_session_options *options, retort_error *err) {
    const char *foreign = options->onnx != NULL ? "onnx" : "graph_level";
    if (options->onnx != NULL || options->graph_level != NULL) {
        return rt_fail(err, RETORT_UNSUPPORTED, "provider '%s': '%s' is for other engines only",
                       provider->name, foreign);
    }
    native *n = rt_calloc(1, sizeof *n);
    if (n == NULL) return rt_fail_nomem(err, sizeof *n);
    retort_status status = open_parts(n, model, options, err);
    if (status == RETORT_OK) {
        *state = n;
    } else {
        native_close(n);
    }
    return status;
}

static void native_describe(const void *state, retort_session_info *info) {
    const native *n = state;
    info->isa = n->isa;
    info->threads = rt_thread_pool_size(n->pool);
    info->arena_bytes = n->executor.arena_stride * (uint64_t)info->threads;
    info->steps = n->plan.step_count;
    info->version = version;
}

static void step_shape(const rt_step *step, char *out, size_t size) {
    static const char *const rows[] = {
        [RT_ROWS_ALL] = "tokens", [RT_ROWS_BATCH] = "batch", [RT_ROWS_MASKS] = "masks"};
    if (step->node->op == RT_OP_LINEAR) {
        snprintf(out, size, "m=%s n=%zu k=%zu", rows[step->rows], step->as.linear.n, step->as.linear.k);
    } else if (step->node->op == RT_OP_ATTENTION) {
        snprintf(out, size, "queries=%s heads=%zu dim=%zu", rows[step->rows], step->as.attention.heads,
                 step->as.attention.dim);
    } else {
        snprintf(out, size, "rows=%s", rows[step->rows]);
    }
}

static retort_status native_step(const void *state, size_t index, retort_step_info *info) {
    const native *n = state;
    if (index >= n->plan.step_count) return RETORT_ARGUMENT;
    const rt_step *step = &n->plan.steps[index];
    rt_spent spent = rt_profile_step(&n->profile, index);
    *info = (retort_step_info){
        .op = rt_op_info(step->node->op)->text,
        .name = step->node->name,
        .kernel = step->kernel,
        .weight_bytes = step->weight_bytes,
        .flops_token = step->flops_row,
        .seconds = spent.seconds,
        .runs = n->runs,
        .arithmetic = step->arithmetic,
        .four_bits = step->four_bits,
        .operations = spent.operations,
    };
    step_shape(step, info->shape, sizeof info->shape);
    if (n->profile.spent != NULL && step->node->op != RT_OP_EMBED)
        info->weights_read = step->weight_bytes * n->runs;
    return RETORT_OK;
}

const rt_provider rt_provider_native = {
    .name = "native",
    .help = "retort's own engine",
    .probe = native_probe,
    .open = native_open,
    .run = native_run,
    .describe = native_describe,
    .step = native_step,
    .close = native_close,
};
