/* SPDX-License-Identifier: Apache-2.0
 * Times a training step: forward, backward by operator, AdamW.
 *
 *     train_bench CHECKPOINT DATA.tsv [THREADS [STEPS [bf16]]]
 *
 * The first 32 * STEPS texts, in batches of similar lengths. Prints one line of JSON: tokens per second, GFLOP/s of the products
 * with weights and how much of the measured peak that is, and milliseconds of each part of the median step.
 * bench/train_peer.py does the same in PyTorch. */
#include "base/cpu.h"
#include "engine/prepare.h"
#include "train/examples.h"
#include "train/optimizer.h"
#include "train/trainee.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 32, CAPACITY = 2048, WARM = 2, MOST_STEPS = 64, PARTS = RT_OP_COUNT + 4 };
enum { FORWARD = RT_OP_COUNT, UPDATE, CLEAR, REFRESH };

typedef struct bench {
    retort_model *model;
    retort_dataset *data;
    rt_examples examples;
    rt_trainee trainee;
    rt_kernels kernels;
    rt_thread_pool *pool;
    rt_tape tape;
    rt_optimizer optimizer;
    rt_prepared prepared;
    int threads;
    int64_t at;                   /* of rt_now_ns, when the part began */
    double ms[MOST_STEPS][PARTS]; /* of each step and part */
    size_t step;
    double rates[MOST_STEPS], gflops[MOST_STEPS]; /* of each step: tokens per second, operations per ns */
    size_t tokens;
} bench;

static void end_part(bench *b, int part) {
    int64_t now = rt_now_ns();
    b->ms[b->step][part] += 1e-6 * (double)(now - b->at);
    b->at = now;
}

static void watch(rt_tape *tape, const rt_step *step) {
    end_part(tape->user, (int)step->node->op);
}

static int by_length(const void *a, const void *b) {
    const rt_example *x = a, *y = b;
    if (x->length != y->length) return x->length < y->length ? -1 : 1;
    return (x->first > y->first) - (x->first < y->first);
}

/* The texts of a batch as one chunk. */
static retort_status prepare(bench *b, size_t batch, retort_error *err) {
    static int32_t ids[CAPACITY], types[CAPACITY], offsets[BATCH + 1];
    const rt_config *config = &b->model->config;
    size_t at = 0;
    for (size_t i = 0; i < BATCH; i++) {
        const rt_example *example = &b->examples.items[batch * BATCH + i];
        offsets[i] = (int32_t)at;
        if (at + example->length > CAPACITY) return rt_fail(err, RETORT_LIMIT, "texts are too long");
        memcpy(ids + at, b->examples.ids + example->first, example->length * sizeof *ids);
        memcpy(types + at, b->examples.types + example->first, example->length * sizeof *types);
        at += example->length;
    }
    offsets[BATCH] = (int32_t)at;
    b->tokens = at;
    rt_limits limits = {.vocab = config->vocab,
                        .types = config->types,
                        .positions = config->positions,
                        .position_offset = config->position_offset,
                        .mask_id = -1,
                        .capacity = CAPACITY,
                        .max_rows = CAPACITY,
                        .workers = 1,
                        .keep_duplicates = true,
                        .output = b->tape.plan.output_rows};
    return rt_prepare(&b->prepared, &(rt_batch){ids, types, offsets, BATCH, NULL}, &limits, err);
}

/* Of the products with weights in this batch: forward, and those of dX and dW. Rows that nobody reads are not computed. */
static double operations_of(const bench *b) {
    double sum = 0;
    for (size_t i = 0; i < b->tape.plan.step_count; i++) {
        const rt_step *step = &b->tape.plan.steps[i];
        if (step->node->op == RT_OP_LINEAR) sum += 3 * rt_step_operations(step, b->prepared.chunks);
    }
    return sum;
}

static retort_status step(bench *b, retort_error *err) {
    size_t rows, n;
    double norm;
    int64_t start = b->at = rt_now_ns();
    rt_parameters_clear(&b->trainee.parameters);
    end_part(b, CLEAR);
    rt_tape_refresh(&b->tape);
    end_part(b, REFRESH);
    retort_status status = rt_tape_forward(&b->tape, b->prepared.chunks, err);
    if (status != RETORT_OK) return status;
    end_part(b, FORWARD);
    const float *logits = rt_tape_value(&b->tape, b->tape.graph->output, &rows, &n);
    float *grad = rt_tape_grad(&b->tape, b->tape.graph->output);
    for (size_t i = 0; grad != NULL && i < rows * n; i++) grad[i] = (logits[i] - 1) / BATCH;
    status = rt_tape_backward(&b->tape, err);
    b->at = rt_now_ns();
    if (status == RETORT_OK) status = rt_optimizer_step(&b->optimizer, &norm, err);
    end_part(b, UPDATE);
    double ns = (double)(rt_now_ns() - start);
    b->rates[b->step] = 1e9 * (double)b->tokens / ns;
    b->gflops[b->step] = operations_of(b) / ns;
    return status;
}

static int by_number(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double median(const double *of, size_t n) {
    double sorted[MOST_STEPS];
    memcpy(sorted, of, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_number);
    return sorted[n / 2];
}

/* GOP/s of one thread */
static double peak_of(rt_peak_fn peak) {
    float sums[16];
    double best = 0;
    for (int i = 0; i < 20; i++) {
        int64_t start = rt_now_ns();
        uint64_t operations = peak(100000, 1, sums);
        double rate = (double)operations / (double)(rt_now_ns() - start);
        best = rate > best ? rate : best;
    }
    return best;
}

static void report(const bench *b, size_t steps, bool bf16) {
    double rate = median(b->rates + WARM, steps - WARM), of[MOST_STEPS];
    double flops = median(b->gflops + WARM, steps - WARM);
    double peak = b->threads * peak_of(bf16 ? b->kernels.peak_bf16 : b->kernels.peak_f32);
    printf("{\"engine\": \"retort\", \"dtype\": \"%s\", \"threads\": %d, \"tokens_per_second\": %.0f, "
           "\"gflops\": %.1f, "
           "\"peak\": %.1f, \"of_peak\": %.3f",
           bf16 ? "bf16" : "float32", b->threads, rate, flops, peak, flops / peak);
    static const char *const others[] = {"forward", "adamw", "clear", "refresh"};
    for (int part = 0; part < PARTS; part++) {
        for (size_t i = WARM; i < steps; i++) of[i - WARM] = b->ms[i][part];
        double ms = median(of, steps - WARM);
        const char *name = part < RT_OP_COUNT ? rt_op_info((rt_op)part)->text : others[part - RT_OP_COUNT];
        if (ms > 0) printf(", \"%s_ms\": %.2f", name, ms);
    }
    printf("}\n");
}

static retort_status open_bench(bench *b, char **args, bool bf16, retort_error *err) {
    uint32_t features;
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    options.level = 1; /* as `retort train` reads a checkpoint */
    retort_status status = retort_model_import(&b->model, args[1], &options, err);
    if (status == RETORT_OK) status = retort_dataset_open(&b->data, args[2], b->model, NULL, err);
    if (status == RETORT_OK) status = rt_examples_open(&b->examples, b->model, b->data, -1, true, err);
    if (status == RETORT_OK) status = rt_trainee_open(&b->trainee, b->model, err);
    if (status == RETORT_OK && bf16) status = rt_trainee_use_bf16(&b->trainee, err);
    if (status == RETORT_OK) rt_model_drop_graph(b->model); /* as retort train does */
    if (status == RETORT_OK) status = rt_isa_select(NULL, &features, NULL, err);
    if (status != RETORT_OK) return status;
    rt_kernels_select(&b->kernels, features);
    status = rt_thread_pool_open(&b->pool, b->threads, err);
    if (status == RETORT_OK)
        status = rt_tape_open(&b->tape, &b->trainee.model->graph, &b->trainee.parameters, &b->kernels,
                              b->pool, CAPACITY, (size_t)b->model->config.positions, err);
    const rt_optimizer_options how = {.plan = {.rate = 1e-5, .decay = RETORT_DECAY_CONSTANT, .steps = 1000},
                                      .beta1 = 0.9,
                                      .beta2 = 0.999,
                                      .epsilon = 1e-8,
                                      .clip = 1};
    if (status == RETORT_OK)
        status = rt_optimizer_open(&b->optimizer, &b->trainee.parameters, &how, &b->kernels,
                                   &b->tape.executor, err);
    return status;
}

int main(int argc, char **args) {
    static bench b;
    retort_error err = {0};
    bool bf16 = argc > 5 && strcmp(args[5], "bf16") == 0;
    if (argc < 3) return 2;
    b.threads = argc > 3 ? atoi(args[3]) : 1;
    size_t steps = argc > 4 ? (size_t)atoi(args[4]) : 12;
    retort_status status = open_bench(&b, args, bf16, &err);
    if (status == RETORT_OK && (steps <= WARM || steps > MOST_STEPS || b.examples.count < steps * BATCH))
        status = rt_fail(&err, RETORT_ARGUMENT, "3 to %d steps, and 32 texts for each", MOST_STEPS);
    if (status == RETORT_OK) qsort(b.examples.items, steps * BATCH, sizeof *b.examples.items, by_length);
    b.tape.user = &b;
    b.tape.watch = watch;
    for (; status == RETORT_OK && b.step < steps; b.step++) {
        status = prepare(&b, b.step * 7 % steps, &err); /* lengths mixed; steps not a multiple of 7 */
        if (status == RETORT_OK) status = step(&b, &err);
    }
    if (status == RETORT_OK)
        report(&b, steps, bf16);
    else
        fprintf(stderr, "%s\n", err.text);
    return status != RETORT_OK;
}
