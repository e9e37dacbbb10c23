/* SPDX-License-Identifier: Apache-2.0
 * Our own engine: a plan, a pool of workers, one parallel region a batch. */
#include "base/cpu.h"
#include "base/thread.h"
#include "engine/prepare.h"
#include "run/provider.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

/* Rows that a worker carries through the network at a time, when the batch is larger; of networks of integer
 * weights also fewer, each of them reading all weights once more. Base shape, 8x128, chunks of 128 rows in
 * place of 512, medians on two cores that others use too: int4 231 ms where it took 262, int8 383 and 393,
 * but float 507 and 475. */
enum { CHUNK_ROWS = 512, INTEGER_ROWS = 128 };

#define TEXT(number)    TEXT_OF(number)
#define TEXT_OF(number) #number
static const char version[] =
    TEXT(RETORT_VERSION_MAJOR) "." TEXT(RETORT_VERSION_MINOR) "." TEXT(RETORT_VERSION_PATCH);

/* Of one worker on one step, in all runs. Operations of a step that workers share are counted
 * by the first. */
typedef struct spent {
    double seconds, operations;
} spent;

typedef struct native {
    rt_plan plan;
    rt_kernels kernels;
    const char *isa;
    rt_pool *pool;
    rt_worker *workers; /* [threads] */
    char *arenas;       /* [threads, arena_stride]: reserved, and touched only as far as used */
    size_t arena_stride;
    rt_limits limits;
    rt_prepared batch;
    atomic_size_t next; /* chunk that no worker has taken yet */
    float *out;
    size_t out_capacity;
    spent *profile; /* [threads, steps] or NULL */
    uint64_t runs;
    retort_tap_fn tap; /* or NULL */
    void *tap_user;
    bool stopped;          /* by the tap; written by worker 0 between two barriers */
    atomic_int untaken[2]; /* part of a step that no worker has taken yet: of every other step, in turns */
} native;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Result rows of one of the caller's sequences. */
static void copy_rows(native *n, size_t sequence, const float *from) {
    size_t columns = n->plan.output_columns, place = (size_t)n->batch.places[sequence];
    size_t rows = (size_t)n->batch.places[sequence + 1] - place;
    memcpy(n->out + place * columns, from, rows * columns * sizeof *from);
}

/* Result rows of a chunk go to their places in the batch's result; padding is left behind. */
static void copy_out(native *n, size_t index, const rt_worker *worker) {
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

/* A value as float rows; no data when it is something else. */
static retort_matrix rows_of(const native *n, const rt_place *place, const rt_chunk *chunk,
                             const rt_worker *worker) {
    rt_rows_kind kind;
    if (place->value < 0) return (retort_matrix){0};
    const rt_value *value = &n->plan.graph->values[place->value];
    if (value->dtype != RETORT_F32 || value->rank != 2 || value->dims[1] < 0 || !rt_value_rows(value, &kind))
        return (retort_matrix){0};
    return (retort_matrix){.data = rt_place_at(place, worker),
                           .rows = rt_chunk_rows(chunk, kind),
                           .columns = (size_t)value->dims[1]};
}

/* Shows a finished step to the tap, while the other workers wait; false: it stops the run. What a step has
 * read is still there: no output shares bytes with an input of the same step (plan/memory.c). */
static bool show(native *n, size_t index, const rt_chunk *chunk, rt_worker *worker, bool leads) {
    const rt_step *step = &n->plan.steps[index];
    if (leads) {
        const retort_tapped tapped = {
            .step = index,
            .op = rt_op_info(step->node->op)->text,
            .name = step->node->name,
            .in = rows_of(n, &step->in[0], chunk, worker),
            .out = rows_of(n, &step->out[0], chunk, worker),
        };
        if (n->tap(n->tap_user, &tapped) != 0) {
            n->stopped = true;
            worker->status =
                rt_fail(&worker->error, RETORT_CANCELLED, "%s: the tap stopped the run", tapped.name);
        }
    }
    rt_pool_barrier(n->pool);
    return !n->stopped;
}

/* A step of so few operations, some 10 µs of one core in 4 bits, is cut into a part a worker: what is gained
 * by more is less than taking them costs. */
enum { PARTS_A_WORKER = 12, FEW_OPERATIONS = 4000000 };

/* The worker's next parts of a step, most of its fair share at first and ever fewer; false: all are taken. A
 * core that others use too, or that runs slower, so does less of each step, and the others need not wait for
 * it: with half of each step for either of two workers, 1x128 in 4 bits took up to 1.5 times as long while
 * something else slowed one core. */
static bool take_parts(native *n, rt_worker *worker, atomic_int *untaken) {
    int from = atomic_load_explicit(untaken, memory_order_relaxed), size;
    do {
        if (from >= worker->parts) return false;
        size = (worker->parts - from) * 7 / (8 * rt_pool_threads(n->pool));
        if (size < 1) size = 1;
    } while (!atomic_compare_exchange_weak_explicit(untaken, &from, from + size, memory_order_relaxed,
                                                    memory_order_relaxed));
    worker->part = from;
    worker->end = from + size;
    return true;
}

/* A step in a team: `count` steps are done. Between two barriers nobody takes parts of the step before, so
 * that its counter can be made ready for the next. */
static void share_step(native *n, const rt_step *step, const rt_chunk *chunk, rt_worker *worker, int index,
                       size_t count) {
    int threads = rt_pool_threads(n->pool);
    bool whole = step->run == rt_step_plain || rt_step_operations(step, chunk) < FEW_OPERATIONS;
    if (index == 0) atomic_store_explicit(&n->untaken[(count + 1) % 2], 0, memory_order_relaxed);
    worker->parts = whole ? threads : PARTS_A_WORKER * threads;
    worker->part = index;
    worker->end = index + 1;
    if (whole)
        step->run(step, chunk, worker);
    else
        while (take_parts(n, worker, &n->untaken[count % 2])) step->run(step, chunk, worker);
    rt_pool_barrier(n->pool);
}

/* done: steps of earlier chunks. */
static void run_steps(native *n, const rt_chunk *chunk, rt_worker *worker, int index, bool team,
                      size_t done) {
    size_t count = n->plan.step_count;
    spent *profile = n->profile == NULL ? NULL : n->profile + (size_t)index * count;
    double before = profile == NULL ? 0 : now();
    for (size_t i = 0; i < count; i++) {
        const rt_step *step = &n->plan.steps[i];
        if (team)
            share_step(n, step, chunk, worker, index, done + i);
        else
            step->run(step, chunk, worker);
        if (n->tap != NULL && !show(n, i, chunk, worker, index == 0)) return;
        if (profile == NULL) continue;
        if (index == 0 || !team) profile[i].operations += rt_step_operations(step, chunk);
        double after = now();
        profile[i].seconds += after - before;
        before = after;
    }
}

/* Every worker does parts of every step. */
static void work_together(void *user, int index) {
    native *n = user;
    rt_worker worker = n->workers[index];
    worker.arena = n->workers[0].arena;
    for (size_t i = 0; i < n->batch.chunk_count && !n->stopped; i++) {
        run_steps(n, &n->batch.chunks[i], &worker, index, true, i * n->plan.step_count);
        if (index == 0 && !n->stopped) copy_out(n, i, &worker);
        rt_pool_barrier(n->pool);
    }
    n->workers[index].status = worker.status;
    n->workers[index].error = worker.error;
}

/* Every worker takes whole chunks, one at a time. */
static void work_apart(void *user, int index) {
    native *n = user;
    rt_worker *worker = &n->workers[index];
    for (;;) {
        size_t i = atomic_fetch_add_explicit(&n->next, 1, memory_order_relaxed);
        if (i >= n->batch.chunk_count) return;
        run_steps(n, &n->batch.chunks[i], worker, index, false, 0);
        copy_out(n, i, worker);
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
    int threads = rt_pool_threads(n->pool);
    for (int i = 0; i < threads; i++) n->workers[i].status = RETORT_OK;
    atomic_store_explicit(&n->next, 0, memory_order_relaxed);
    atomic_store_explicit(&n->untaken[0], 0, memory_order_relaxed);
    n->stopped = false;
    bool together = n->batch.team || n->tap != NULL;
    if (n->batch.chunk_count > 0) rt_pool_run(n->pool, together ? work_together : work_apart, n);
    n->runs += n->batch.chunk_count;
    for (int i = 0; i < threads; i++) {
        if (n->workers[i].status != RETORT_OK)
            return rt_fail(err, n->workers[i].status, "%s", n->workers[i].error.text);
    }
    repeat_results(n);
    *out = (retort_matrix){.data = n->out, .rows = rows, .columns = n->plan.output_columns};
    return RETORT_OK;
}

static void native_close(void *state) {
    native *n = state;
    if (n == NULL) return;
    int threads = n->pool == NULL ? 0 : rt_pool_threads(n->pool);
    rt_pool_close(n->pool);
    for (int i = 0; i < threads && n->workers != NULL; i++) {
        free(n->workers[i].scratch);
        free(n->workers[i].tensors);
    }
    free(n->workers);
    if (n->arenas != NULL) munmap(n->arenas, n->arena_stride * (size_t)threads);
    rt_prepared_free(&n->batch);
    rt_plan_free(&n->plan);
    free(n->out);
    free(n->profile);
    free(n);
}

static retort_status open_workers(native *n, retort_error *err) {
    size_t threads = (size_t)rt_pool_threads(n->pool), total;
    n->arena_stride = rt_round_up(n->plan.arena_bytes + 1, 4096);
    n->workers = rt_calloc(threads, sizeof *n->workers);
    if (n->workers == NULL || !rt_mul(n->arena_stride, threads, &total))
        return rt_fail_nomem(err, n->arena_stride);
    void *arenas =
        mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arenas == MAP_FAILED) return rt_fail_nomem(err, total);
    n->arenas = arenas;
    for (size_t i = 0; i < threads; i++) {
        rt_worker *worker = &n->workers[i];
        worker->arena = n->arenas + i * n->arena_stride;
        worker->end = worker->parts = 1;
        worker->scratch = rt_alloc_aligned(n->plan.scratch_floats * sizeof *worker->scratch);
        worker->tensors = rt_calloc(n->plan.graph->value_count, sizeof *worker->tensors);
        if (worker->scratch == NULL || worker->tensors == NULL)
            return rt_fail_nomem(err, n->plan.scratch_floats);
    }
    return RETORT_OK;
}

static size_t least_rows(const rt_plan *plan) {
    uint64_t integers = 0, all = 0;
    for (size_t i = 0; i < plan->step_count; i++) {
        all += plan->steps[i].weight_bytes;
        if (plan->steps[i].run == rt_step_linear_q) integers += plan->steps[i].weight_bytes;
    }
    return 2 * integers > all ? INTEGER_ROWS : CHUNK_ROWS;
}

static retort_status open_parts(native *n, const retort_model *model, const retort_session_options *options,
                                retort_error *err) {
    uint32_t features;
    if (options->tap != NULL && model->graph.level < 3) {
        return rt_fail(err, RETORT_UNSUPPORTED, "tap: the model is of level %d: expected 3",
                       model->graph.level);
    }
    n->tap = options->tap;
    n->tap_user = options->tap_user;
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
    if (status == RETORT_OK) status = rt_pool_open(&n->pool, options->threads, err);
    if (status == RETORT_OK) status = open_workers(n, err);
    if (status != RETORT_OK || !options->profile) return status;
    n->profile = rt_calloc((size_t)options->threads * n->plan.step_count, sizeof *n->profile);
    return n->profile == NULL ? rt_fail_nomem(err, n->plan.step_count * sizeof *n->profile) : RETORT_OK;
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
    info->threads = rt_pool_threads(n->pool);
    info->arena_bytes = n->arena_stride * (uint64_t)info->threads;
    info->steps = n->plan.step_count;
    info->version = version;
}

static void step_shape(const rt_step *step, char *out, size_t size) {
    static const char *const rows[] = {
        [RT_ROWS_ALL] = "tokens", [RT_ROWS_BATCH] = "batch", [RT_ROWS_MASKS] = "masks"};
    if (step->node->op == RT_OP_LINEAR) {
        snprintf(out, size, "m=%s n=%zu k=%zu", rows[step->rows], step->as.linear.n, step->as.linear.k);
    } else if (step->run == rt_step_attention) {
        snprintf(out, size, "queries=%s heads=%zu dim=%zu", rows[step->rows], step->as.attention.heads,
                 step->as.attention.dim);
    } else {
        snprintf(out, size, "rows=%s", rows[step->rows]);
    }
}

/* What the step's kernel multiplies, by the family that its row's name starts with. */
static void step_arithmetic(retort_step_info *info) {
    static const struct {
        const char *family;
        retort_dtype dtype;
        bool four_bits;
    } families[] = {
        {"gemm_bf16_", RETORT_BF16, false}, {"gemm_s8_", RETORT_S8, false}, {"gemm_s4_", RETORT_S8, true}};
    info->arithmetic = RETORT_F32;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        if (strncmp(info->kernel, families[i].family, strlen(families[i].family)) != 0) continue;
        info->arithmetic = families[i].dtype;
        info->four_bits = families[i].four_bits;
    }
}

static retort_status native_step(const void *state, size_t index, retort_step_info *info) {
    const native *n = state;
    if (index >= n->plan.step_count) return RETORT_ARGUMENT;
    const rt_step *step = &n->plan.steps[index];
    *info = (retort_step_info){
        .op = rt_op_info(step->node->op)->text,
        .name = step->node->name,
        .kernel = step->kernel,
        .weight_bytes = step->weight_bytes,
        .flops_token = step->flops_row,
        .runs = n->runs,
    };
    step_arithmetic(info);
    step_shape(step, info->shape, sizeof info->shape);
    for (int i = 0; n->profile != NULL && i < rt_pool_threads(n->pool); i++) {
        info->seconds += n->profile[(size_t)i * n->plan.step_count + index].seconds;
        info->operations += n->profile[(size_t)i * n->plan.step_count + index].operations;
    }
    if (n->profile != NULL && step->node->op != RT_OP_EMBED)
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
