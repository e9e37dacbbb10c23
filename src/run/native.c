/* SPDX-License-Identifier: Apache-2.0
 * The native engine: a plan, a thread pool, one parallel region per batch. */
#include "base/cpu.h"
#include "base/thread.h"
#include "engine/execute.h"
#include "engine/prepare.h"
#include "engine/profile.h"
#include "engine/results.h"
#include "run/provider.h"
#include "run/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT(number)    TEXT_OF(number)
#define TEXT_OF(number) #number
static const char version[] =
    TEXT(RETORT_VERSION_MAJOR) "." TEXT(RETORT_VERSION_MINOR) "." TEXT(RETORT_VERSION_PATCH);

typedef struct native {
    const retort_model *model; /* whose int8 panels are in use, if they are */
    const rt_unpacked_set *unpacked;
    const char *unpack_reason;
    uint64_t int8_bytes;
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

static retort_status native_run(void *state, const rt_batch *batch, retort_matrix *out, retort_error *err) {
    native *n = state;
    retort_status status = rt_prepare(&n->batch, batch, &n->limits, err);
    if (status != RETORT_OK) return status;
    size_t rows = (size_t)n->batch.places[batch->n], count;
    if (!rt_mul(rows, n->plan.output_columns, &count) ||
        !rt_grow((void **)&n->out, &n->out_capacity, rt_max(count, 1), sizeof *n->out)) {
        return rt_fail_nomem(err, rows * n->plan.output_columns * sizeof *n->out);
    }
    rt_results results = {&n->plan, &n->batch, n->out};
    const rt_work work = {n->batch.chunks, n->batch.chunk_count, n->batch.team, rt_results_put, &results};
    status = rt_execute(&n->executor, &work, err);
    n->runs += n->batch.chunk_count;
    if (status != RETORT_OK) return status;
    rt_results_repeat(&results);
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
    if (n->unpacked != NULL) rt_model_unpacked_end(n->model);
    rt_profile_close(&n->profile);
    free(n);
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

/* Int8 panels that exceed L3 this many times are not worth their memory. They are faster all the same, with more rows
 * than `few`, because a product waits for its weights only with fewer. */
enum { MOST_OF_L3 = 4 };

/* Why products with codes read int8 panels, or do not; sets how->all and how->cached. *use: whether any does. */
static const char *choose_form(retort_unpack unpack, const rt_kernels *kernels, size_t bytes,
                               rt_unpacking *how, bool *use) {
    uint64_t caches[RT_CACHES];
    rt_cpu_caches(caches);
    uint64_t l3 = caches[RETORT_L3];
    how->all = unpack == RETORT_UNPACK_ALWAYS;
    how->cached = bytes <= l3;
    *use = unpack != RETORT_UNPACK_NEVER;
    if (unpack == RETORT_UNPACK_ALWAYS) return "always, as requested";
    if (unpack == RETORT_UNPACK_NEVER) return "never, as requested";
    *use = kernels->gemm_s4_few != SIZE_MAX && bytes / MOST_OF_L3 <= l3;
    if (kernels->gemm_s4_few == SIZE_MAX) return "products with codes are faster on this CPU";
    if (bytes / MOST_OF_L3 > l3) return "int8 would take more than four times the L3 cache";
    return how->cached ? "int8 fits into the L3 cache"
                       : "int8 exceeds the L3 cache: products of a few rows read codes";
}

/* The int8 panels of the model's codes, if there are any and the session uses them. */
static retort_status open_unpacked(native *n, const retort_model *model, retort_unpack unpack,
                                   rt_unpacking *how, retort_error *err) {
    bool use;
    n->model = model;
    retort_status status = rt_model_unpacked_begin(&n->unpacked, model, err);
    if (status != RETORT_OK) return status;
    n->int8_bytes = n->unpacked->bytes;
    if (n->int8_bytes > 0) {
        n->unpack_reason = choose_form(unpack, &n->kernels, n->unpacked->bytes, how, &use);
        if (use) how->set = n->unpacked;
    }
    if (how->set == NULL) {
        rt_model_unpacked_end(model);
        n->unpacked = NULL;
    }
    return RETORT_OK;
}

static void unpack_all(const rt_plan *plan) {
    for (size_t i = 0; i < plan->step_count; i++) {
        const rt_step *step = &plan->steps[i];
        bool unpacked = step->node->op == RT_OP_LINEAR && step->as.linear.unpacked != NULL;
        if (unpacked) rt_unpacked_make(step->as.linear.unpacked, step->as.linear.widen);
    }
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
    size_t wanted = options->chunk_tokens > 0 ? (size_t)options->chunk_tokens : RT_CHUNK_ROWS;
    n->limits = (rt_limits){
        .vocab = model->config.vocab,
        .types = model->config.types,
        .positions = model->config.positions,
        .position_offset = model->config.position_offset,
        .after_pad = model->config.after_pad != 0,
        .mask_id = model->graph.mask_id,
        .capacity =
            rt_max(wanted + positions / 2, positions), /* a chunk may exceed its target by half a sequence */
        .max_rows = wanted,
        .workers = options->tap != NULL ? 1 : (size_t)options->threads, /* chunks in turn */
        .padded = model->graph.level < 3,
        .may_be_empty = model->config.arch == &rt_arch_static,
        .keep_duplicates = options->keep_duplicates,
    };
    rt_unpacking unpacking = {0};
    status = open_unpacked(n, model, options->unpack, &unpacking, err);
    if (status == RETORT_OK)
        status = rt_plan_make(&n->plan, &model->graph, &n->kernels, &unpacking, n->limits.capacity, positions,
                              err);
    if (status == RETORT_OK && unpacking.all) unpack_all(&n->plan);
    n->limits.output = n->plan.output_rows;
    if (status == RETORT_OK) n->limits.min_rows = rt_chunk_min_rows(&n->plan);
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
    info->int8_bytes = n->int8_bytes;
    info->unpacked_bytes = n->unpacked != NULL ? rt_unpacked_made(n->unpacked) : 0;
    info->unpack_reason = n->unpack_reason;
}

static void step_shape(const rt_step *step, char *out, size_t size) {
    static const char *const rows[] = {
        [RT_ROW_SET_TOKENS] = "tokens", [RT_ROW_SET_SEQUENCES] = "batch", [RT_ROW_SET_MASK_TOKENS] = "masks"};
    if (step->node->op == RT_OP_LINEAR) {
        snprintf(out, size, "m=%s n=%zu k=%zu", rows[step->rows], step->as.linear.n, step->as.linear.k);
    } else if (step->node->op == RT_OP_ATTENTION) {
        snprintf(out, size, "queries=%s heads=%zu dim=%zu", rows[step->rows], step->as.attention.heads,
                 step->as.attention.dim);
    } else {
        snprintf(out, size, "rows=%s", rows[step->rows]);
    }
}

/* The form of a weight of fewer than 8 bits. */
static void step_form(const rt_linear_step *linear, retort_step_info *info) {
    info->form = linear->unpacked != NULL ? "int8" : "codes";
    if (linear->unpacked == NULL) return;
    info->codes_up_to = linear->few;
    if (info->weights_read > 0) info->weights_read = linear->k * linear->n * info->runs;
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
    if (step->node->op == RT_OP_LINEAR && step->as.linear.panel_groups > 0) step_form(&step->as.linear, info);
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
