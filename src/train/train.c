/* SPDX-License-Identifier: Apache-2.0
 * Puts a training together: examples, the model, its objective and the optimiser, then runs the loop. */
#include "train/train.h"
#include "base/cpu.h"
#include "train/loop.h"
#include "train/qat_start.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct training {
    const retort_model *model;
    const retort_train_options *options;
    rt_kernels kernels;
    rt_thread_pool *pool;
    rt_examples examples;
    rt_trainee trainee;
    rt_tape tape;
    rt_batches batches;
    float *class_weights;
    rt_teacher teacher;
    rt_objective objective;
    rt_optimizer optimizer;
    rt_loop loop;
} training;

/* ---- Defaults ---- */

static double or_default(double value, double fallback) {
    return value < 0 ? fallback : value;
}

static double learning_rate(const training *t) {
    if (t->options->learning_rate > 0) return t->options->learning_rate;
    return t->model->config.hidden >= 768 ? 5e-5 : 1e-4;
}

static int64_t max_length(const training *t) {
    int64_t own = t->model->config.max_length, wanted = t->options->max_length;
    int64_t most = wanted > 0 ? wanted : 128;
    return most < own ? most : own;
}

static size_t steps_of(const training *t) {
    double epochs = t->options->epochs > 0 ? t->options->epochs : 3;
    if (t->options->steps > 0) return t->options->steps;
    return (size_t)rt_max(1, (size_t)ceil(epochs * (double)t->batches.steps));
}

/* The model itself teaches the integers that are made of it. */
static const retort_model *teacher_of(const training *t) {
    return t->options->teacher != NULL || t->options->recipe == NULL ? t->options->teacher : t->model;
}

/* ---- Opening ---- */

/* Tokens of a chunk. */
enum { CHUNK = 2048 };

static retort_status open_threads(training *t, retort_error *err) {
    uint32_t features;
    int threads = t->options->threads > 0 ? t->options->threads : rt_cpu_threads();
    retort_status status = rt_isa_select(t->options->isa, &features, NULL, err);
    if (status != RETORT_OK) return status;
    rt_kernels_select(&t->kernels, features);
    t->loop.threads = threads;
    return rt_thread_pool_open(&t->pool, threads, err);
}

static retort_status open_examples(training *t, retort_error *err) {
    bool taught = t->options->teacher != NULL || t->options->recipe != NULL;
    retort_status status = rt_examples_open(&t->examples, t->model, t->options->data, max_length(t),
                                            !taught || t->options->data->labelled, err);
    if (status == RETORT_OK)
        status = rt_examples_check(&t->examples, t->model, t->options->data, t->options->warning,
                                   t->options->user, err);
    size_t batch = t->options->batch > 0 ? t->options->batch : 32;
    if (status == RETORT_OK)
        status = rt_batches_open(&t->batches, &t->examples, batch, t->options->seed, err);
    return status;
}

/* Floats, or integers of a recipe. */
static retort_status open_trainee(training *t, retort_error *err) {
    if (t->options->recipe == NULL) return rt_trainee_open(&t->trainee, t->model, err);
    const rt_qat_options how = {.steps = steps_of(t), .pool = t->pool};
    return rt_qat_start(&t->trainee, t->model, t->options, &how, err);
}

static retort_status open_tape(training *t, retort_error *err) {
    const rt_config *config = &t->model->config;
    size_t positions = (size_t)max_length(t), rows = rt_max(CHUNK, positions);
    retort_status status = rt_tape_open(&t->tape, &t->trainee.model->graph, &t->trainee.parameters,
                                        &t->kernels, t->pool, rows, positions, err);
    t->loop.limits = (rt_limits){
        .vocab = config->vocab,
        .types = config->types,
        .positions = (int64_t)positions,
        .position_offset = config->position_offset,
        .mask_id = t->trainee.model->graph.mask_id,
        .capacity = rows,
        .max_rows = rows,
        .workers = 1,
        .keep_duplicates = true,
        .output = t->tape.plan.output_rows,
    };
    return status;
}

static retort_status open_class_weights(training *t, retort_error *err) {
    size_t labels = (size_t)t->model->config.labels;
    rt_target_kind kind = t->examples.kind;
    if (!t->options->class_weights) return RETORT_OK;
    if (kind != RT_TARGET_LABEL && kind != RT_TARGET_TAGS)
        return rt_fail(err, RETORT_ARGUMENT,
                       "train: class weights are for texts or words with one label each");
    t->class_weights = rt_calloc(labels, sizeof *t->class_weights);
    if (t->class_weights == NULL) return rt_fail_nomem(err, labels * sizeof *t->class_weights);
    return rt_examples_class_weights(&t->examples, labels, t->class_weights, err);
}

static int report_teacher(void *user, const char *what, size_t done, size_t total) {
    const retort_train_options *options = user;
    (void)what;
    if (options->progress == NULL) return 0;
    retort_train_progress progress = {
        .size = sizeof progress, .what = "teacher", .step = done, .steps = total};
    return options->progress(options->user, &progress);
}

/* Hidden states are compared where the widths agree, unless options->hidden says otherwise. */
static double hidden_share(const training *t) {
    const retort_model *teacher = teacher_of(t);
    if (teacher == NULL) return 0;
    return or_default(t->options->hidden, teacher->config.hidden == t->model->config.hidden ? 1 : 0);
}

static retort_status open_teacher(training *t, retort_error *err) {
    if (teacher_of(t) == NULL) return RETORT_OK;
    const rt_teacher_options how = {
        .kernels = &t->kernels,
        .threads = t->loop.threads,
        .rows = t->tape.plan.capacity,
        .states = hidden_share(t) > 0,
        .memory = t->options->memory,
        .progress = report_teacher,
        .user = (void *)(uintptr_t)t->options, /* report_teacher only reads it */
    };
    return rt_teacher_open(&t->teacher, teacher_of(t), t->model, &t->examples, &how, err);
}

static retort_status open_objective(training *t, retort_error *err) {
    const retort_train_options *options = t->options;
    const rt_objective_options how = {
        .loss = {.smoothing = (float)options->label_smoothing,
                 .class_weights = t->class_weights,
                 .similarity_scale = 20},
        .temperature = options->temperature > 0 ? options->temperature : 2,
        .soft = or_default(options->soft, 1),
        .teacher = teacher_of(t) != NULL ? &t->teacher : NULL,
        .hidden = hidden_share(t),
    };
    return rt_objective_open(&t->objective, &t->tape, &t->examples, &how, err);
}

static retort_status open_optimizer(training *t, retort_error *err) {
    const retort_train_options *options = t->options;
    const rt_optimizer_options how = {
        .plan = {learning_rate(t), or_default(options->warmup, 0.06), options->decay, steps_of(t)},
        .beta1 = 0.9,
        .beta2 = 0.999,
        .epsilon = 1e-8,
        .weight_decay = or_default(options->weight_decay, options->recipe == NULL ? 0.01 : 0),
        .clip = or_default(options->clip, 1),
    };
    return rt_optimizer_open(&t->optimizer, &t->trainee.parameters, &how, &t->kernels, &t->tape.executor,
                             err);
}

static retort_status open_training(training *t, retort_error *err) {
    retort_status status = open_threads(t, err);
    if (status == RETORT_OK) status = open_examples(t, err);
    if (status == RETORT_OK) status = open_trainee(t, err);
    if (status == RETORT_OK) status = open_tape(t, err);
    if (status == RETORT_OK) status = open_class_weights(t, err);
    if (status == RETORT_OK) status = open_teacher(t, err);
    if (status == RETORT_OK) status = open_objective(t, err);
    return status == RETORT_OK ? open_optimizer(t, err) : status;
}

static void close_training(training *t) {
    rt_loop_close(&t->loop);
    rt_optimizer_close(&t->optimizer);
    rt_objective_close(&t->objective);
    rt_teacher_free(&t->teacher);
    free(t->class_weights);
    rt_batches_free(&t->batches);
    rt_tape_close(&t->tape);
    rt_trainee_close(&t->trainee);
    rt_examples_free(&t->examples);
    rt_thread_pool_close(t->pool);
}

/* ---- Running ---- */

static void describe(const training *t, retort_train_result *result) {
    const rt_loop *loop = &t->loop;
    bool dev = loop->best_model != NULL;
    *result = (retort_train_result){
        .size = sizeof *result,
        .epochs = (double)t->optimizer.step / (double)t->batches.steps,
        .steps = t->optimizer.step,
        .best_step = dev ? loop->best_step : t->optimizer.step,
        .seconds = (double)(rt_now_ns() - loop->started) * 1e-9,
        .tokens_per_second = loop->timed > 0 ? (double)loop->timed_tokens / loop->timed : 0,
        .loss = loop->last_loss,
        .metric = loop->metric,
        .dev = loop->best,
        .stopped = loop->stopped,
        .truncated = t->examples.truncated,
    };
}

static retort_status run_training(training *t, retort_model **out, retort_train_result *result,
                                  retort_error *err) {
    rt_loop *loop = &t->loop;
    loop->options = t->options;
    loop->trainee = &t->trainee;
    loop->batches = &t->batches;
    loop->objective = &t->objective;
    loop->optimizer = &t->optimizer;
    loop->steps = steps_of(t);
    loop->dev = loop->best = NAN;
    retort_status status = rt_loop_run(loop, err);
    if (status != RETORT_OK) return status;
    if (result != NULL) describe(t, result);
    return rt_loop_model(loop, out, err);
}

retort_status rt_train(retort_model **out, const retort_model *model, const retort_train_options *options,
                       retort_train_result *result, retort_error *err) {
    training *t = rt_calloc(1, sizeof *t);
    if (t == NULL) return rt_fail_nomem(err, sizeof *t);
    t->model = model;
    t->options = options;
    retort_status status = open_training(t, err);
    if (status == RETORT_OK) status = run_training(t, out, result, err);
    close_training(t);
    free(t);
    return status;
}
