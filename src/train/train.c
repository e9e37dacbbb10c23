/* SPDX-License-Identifier: Apache-2.0
 * Puts a training together: examples, the model, its objective and the optimiser, then runs the loop. */
#include "train/train.h"
#include "base/cpu.h"
#include "train/belongs.h"
#include "train/loop.h"
#include "train/qat_start.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct training {
    const retort_model *model;
    const retort_train_options *options;
    rt_kernels kernels;
    rt_thread_pool *pool;
    rt_examples examples;
    rt_batches batches;
    rt_trainee trainee;
    size_t rows; /* of a chunk */
    rt_tape tape;
    float *class_weights;
    rt_teacher teacher;
    rt_objective objective;
    double *factors;
    rt_optimizer_options optimizer_options;
    rt_optimizer optimizer;
    char belongs[RT_BELONGS_SIZE];
    rt_loop loop;
    int64_t started; /* rt_now_ns */
} training;

/* ---- Defaults ---- */

static double or_default(double value, double fallback) {
    return value < 0 ? fallback : value;
}

/* Weight of all hidden states. banking77 at 4 bits, 60 steps: KL 2.27e-3 at 100, 2.14e-3 at 10, 2.37e-3 of the last ones at 1. */
static const double INTEGER_HIDDEN = 10;

/* Of integers: the fewer bits, the further masters have to go. banking77 at 2 bits, 60 steps: the mean KL of 3.9e-2 falls to
 * 2.9e-2 at 1e-4 and rises to 4.2e-2 at 3e-4; at 4 bits, that of 2.4e-3 falls to 2.1e-3 at 2e-5 and stays at 5e-5. */
static double integer_rate(const training *t) {
    return t->options->bits == 2 ? 1e-4 : t->options->bits == 3 ? 5e-5 : 2e-5;
}

/* Of integers: they start near where they end. banking77 at 4 bits: KL 2.14e-3 after 100 steps and after 313. At
 * 2 bits they do not: sst2 6.1e-2 after 300 and 3.7e-2 after 1,000, wikiann 1.8e-2 and 1.6e-2. */
static size_t integer_steps(const training *t) {
    return t->options->bits == 2 ? 1000 : 100;
}

/* Of floats, 6 layers of 384 with a new head: banking77 ends at 0.908 with 1e-4 and at 0.931 with 2e-4 and 3e-4; 10,000
 * phrases of sst2, mean of two seeds: 0.860 with 1e-4 and 2e-4, 0.847 with 3e-4. */
static double learning_rate(const training *t) {
    if (t->options->learning_rate > 0) return t->options->learning_rate;
    bool wide = t->model->config.hidden >= 768;
    if (t->options->recipe != NULL) return integer_rate(t) * (wide ? 0.5 : 1);
    return wide ? 5e-5 : 2e-4;
}

static int64_t max_length(const training *t) {
    int64_t own = t->model->config.max_length, wanted = t->options->max_length;
    int64_t most = wanted > 0 ? wanted : 128;
    return most < own ? most : own;
}

static size_t steps_of(const training *t) {
    double epochs = t->options->epochs > 0 ? t->options->epochs : 3, most = (double)INT32_MAX;
    if (t->options->steps > 0) return t->options->steps;
    if (t->options->recipe != NULL && !(t->options->epochs > 0)) most = (double)integer_steps(t);
    double steps = fmin(ceil(epochs * (double)t->batches.steps), most);
    return rt_max(1, (size_t)steps);
}

static bool is_taught(const training *t) {
    return t->options->teacher != NULL || t->options->recipe != NULL;
}

/* Of a training that is taught: the model itself teaches the integers that are made of it. */
static const retort_model *teacher_of(const training *t) {
    return t->options->teacher != NULL ? t->options->teacher : t->model;
}

/* ---- Progress of what comes before the steps ---- */

static int report_teacher(void *user, const char *what, size_t done, size_t total) {
    const training *t = user;
    const retort_train_progress progress = {.size = sizeof progress,
                                            .what = "teacher",
                                            .step = done,
                                            .steps = total,
                                            .loss = NAN,
                                            .dev = NAN,
                                            .best = NAN};
    (void)what;
    return t->options->progress != NULL ? t->options->progress(t->options->user, &progress) : 0;
}

/* ---- Opening ---- */

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
    const retort_train_options *o = t->options;
    bool labels = !is_taught(t) || o->data->labelled;
    retort_status status = rt_examples_open(&t->examples, t->model, o->data, max_length(t), labels, err);
    if (status == RETORT_OK)
        status = rt_examples_check(&t->examples, t->model, o->data, o->warning, o->user, err);
    if (status != RETORT_OK) return status;
    size_t batch = o->batch > 0 ? o->batch : 32;
    if (t->examples.count == 0) return rt_fail(err, RETORT_ARGUMENT, "train: the data has no texts");
    bool contrasts = t->examples.kind == RT_TARGET_PAIR && !t->examples.scored && !is_taught(t);
    if (contrasts && rt_min(batch, t->examples.count) < 2)
        return rt_fail(err, RETORT_ARGUMENT,
                       "train: pairs without scores learn from the other pairs of their batch: expected two "
                       "or more per batch");
    return rt_batches_open(&t->batches, &t->examples, batch, o->seed, err);
}

/* Floats, or integers of a recipe. */
static retort_status open_trainee(training *t, retort_error *err) {
    if (t->options->recipe == NULL) {
        retort_status status = rt_trainee_open(&t->trainee, t->model, err);
        bool half = t->options->arithmetic == RETORT_BF16;
        if (status == RETORT_OK && half) status = rt_trainee_use_bf16(&t->trainee, err);
        if (status == RETORT_OK && t->options->consume && t->options->teacher != t->model)
            rt_model_drop_graph((retort_model *)(uintptr_t)t->model); /* as the caller asked */
        return status;
    }
    const rt_qat_options how = {.steps = steps_of(t), .pool = t->pool};
    return rt_qat_start(&t->trainee, t->model, t->options, &how, err);
}

/* Bytes of a token: its values and their gradients, and what the widest of them is computed with. */
static size_t token_bytes(const rt_graph *graph) {
    size_t all = 0, widest = 0;
    for (size_t i = 0; i < graph->value_count; i++) {
        const rt_value *v = &graph->values[i];
        if (v->producer < 0 || v->rank != 2 || v->dims[1] < 0) continue;
        all += 2 * (size_t)v->dims[1];
        widest = rt_max(widest, (size_t)v->dims[1]);
    }
    return rt_max(1, all + 2 * widest) * sizeof(float);
}

/* Tokens of a chunk, unless memory allows fewer: a usual batch is one chunk. */
enum { CHUNK = 2048 };

static retort_status choose_rows(training *t, retort_error *err) {
    size_t each = token_bytes(&t->trainee.model->graph), longest = (size_t)max_length(t);
    uint64_t most = t->options->memory > 0 ? t->options->memory / each : CHUNK;
    t->rows = rt_max(longest, (size_t)(most < CHUNK ? most : CHUNK));
    if (most >= longest || t->options->memory == 0) return RETORT_OK;
    return rt_fail(
        err, RETORT_LIMIT,
        "train: %zu tokens of a text take %zu bytes, and the limit is %llu: raise it, or cut texts to "
        "fewer tokens",
        longest, longest * each, (unsigned long long)t->options->memory);
}

static retort_status open_tape(training *t, retort_error *err) {
    const rt_config *config = &t->model->config;
    const rt_graph *graph = &t->trainee.model->graph;
    size_t positions = (size_t)max_length(t);
    retort_status status = choose_rows(t, err);
    if (status == RETORT_OK)
        status = rt_tape_open(&t->tape, graph, &t->trainee.parameters, &t->kernels, t->pool, t->rows,
                              positions, err);
    t->loop.limits = (rt_limits){
        .vocab = config->vocab,
        .types = config->types,
        .positions = (int64_t)positions,
        .position_offset = config->position_offset,
        .after_pad = config->after_pad != 0,
        .mask_id = graph->mask_id,
        .capacity = t->rows,
        .max_rows = t->rows,
        .workers = 1,
        .keep_duplicates = true,
        .output = t->tape.plan.output_rows,
    };
    return status;
}

static retort_status open_class_weights(training *t, retort_error *err) {
    size_t labels = (size_t)t->model->config.labels;
    if (!t->options->class_weights) return RETORT_OK;
    t->class_weights = rt_calloc(labels, sizeof *t->class_weights);
    if (t->class_weights == NULL) return rt_fail_nomem(err, labels * sizeof *t->class_weights);
    return rt_examples_class_weights(&t->examples, labels, t->class_weights, err);
}

/* How much the teacher's hidden states count: the last ones, and with integers all. */
static double hidden_share(const training *t) {
    if (!is_taught(t)) return 0;
    double share = t->options->recipe != NULL ? INTEGER_HIDDEN : 1;
    return or_default(t->options->hidden,
                      teacher_of(t)->config.hidden == t->model->config.hidden ? share : 0);
}

/* Labels do not hold for texts that are mixed. */
static retort_status open_mix(training *t, retort_error *err) {
    const retort_train_options *o = t->options;
    bool labels = t->examples.kind != RT_TARGET_NONE && or_default(o->soft, 1) < 1;
    if (o->mix > 0 && (!is_taught(t) || labels))
        return rt_fail(err, RETORT_ARGUMENT, "train: mix %g: mixed texts have no labels: expected %s", o->mix,
                       is_taught(t) ? "soft 1, or texts without labels" : "a teacher");
    t->batches.mix = or_default(o->mix, o->recipe != NULL && !labels ? 0.5 : 0);
    return RETORT_OK;
}

/* Whether the teacher answers each batch as it comes: weights or texts change, or most texts are never reached. */
static bool teaches_live(const training *t) {
    return t->options->recipe != NULL || t->batches.mix > 0 || steps_of(t) < t->batches.steps;
}

static retort_status open_teacher(training *t, retort_error *err) {
    if (!is_taught(t)) return RETORT_OK;
    const rt_teacher_options how = {
        .kernels = &t->kernels,
        .threads = t->loop.threads,
        .rows = t->rows,
        .states = hidden_share(t) > 0,
        .all_states = t->options->recipe != NULL,
        .live = teaches_live(t),
        .memory = t->options->memory,
        .progress = report_teacher,
        .user = t,
    };
    return rt_teacher_open(&t->teacher, teacher_of(t), t->model, &t->examples, &how, err);
}

static retort_status open_objective(training *t, retort_error *err) {
    const retort_train_options *options = t->options;
    const rt_objective_options how = {
        .loss = {.smoothing = (float)options->label_smoothing,
                 .class_weights = t->class_weights,
                 .similarity_scale = 20},
        .teacher = is_taught(t) ? &t->teacher : NULL,
        .temperature = options->temperature > 0 ? options->temperature : 2,
        .soft = or_default(options->soft, 1),
        .hidden = hidden_share(t),
    };
    return rt_objective_open(&t->objective, &t->tape, &t->examples, &how, err);
}

/* The layer in a name such as "layer.3.ffn.lin1.weight": 1 for the first. 0: the embeddings; `layers` + 1: the head. */
static size_t depth_of(const char *name, size_t layers) {
    for (const char *at = name; (at = strstr(at, "layer")) != NULL; at++) {
        const char *digit = at + strcspn(at, ".");
        if (*digit == '.' && isdigit((unsigned char)digit[1]))
            return (size_t)strtoul(digit + 1, NULL, 10) + 1;
    }
    return strstr(name, "embed") != NULL ? 0 : layers + 1;
}

static retort_status open_factors(training *t, retort_error *err) {
    const rt_parameters *all = &t->trainee.parameters;
    size_t layers = (size_t)t->model->config.layers;
    double decay = t->options->layer_decay;
    if (decay == 0 || decay == 1) return RETORT_OK;
    t->factors = rt_calloc(all->count, sizeof *t->factors);
    if (t->factors == NULL) return rt_fail_nomem(err, all->count * sizeof *t->factors);
    for (size_t i = 0; i < all->count; i++) {
        size_t depth = rt_min(depth_of(all->items[i].name, layers), layers + 1);
        t->factors[i] = pow(decay, (double)(layers + 1 - depth));
    }
    return RETORT_OK;
}

static retort_status open_optimizer(training *t, retort_error *err) {
    const retort_train_options *options = t->options;
    retort_status status = open_factors(t, err);
    if (status != RETORT_OK) return status;
    t->optimizer_options = (rt_optimizer_options){
        .plan = {learning_rate(t), or_default(options->warmup, 0.06), options->decay, steps_of(t)},
        .factors = t->factors,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .epsilon = 1e-8,
        .weight_decay = or_default(options->weight_decay, options->recipe == NULL ? 0.01 : 0),
        .clip = or_default(options->clip, 1),
    };
    return rt_optimizer_open(&t->optimizer, &t->trainee.parameters, &t->optimizer_options, &t->kernels,
                             &t->tape.executor, err);
}

/* What labels lose by an answer that is the same for all texts: all labels alike, or 0. */
static double blank_labels(const training *t) {
    const rt_examples *e = &t->examples;
    double squares = 0;
    switch (e->kind) {
    case RT_TARGET_LABEL:
    case RT_TARGET_TAGS:
        return log((double)t->model->config.labels);
    case RT_TARGET_LABELS:
        return log(2);
    case RT_TARGET_PAIR:
        return e->scored ? 1 : log((double)rt_min(t->batches.batch, e->count));
    case RT_TARGET_VALUE:
        for (size_t i = 0; i < e->count; i++) squares += (double)e->targets[i] * (double)e->targets[i];
        return squares / (double)e->count;
    case RT_TARGET_NONE:
        break;
    }
    return 0;
}

/* And by a teacher at most: its labels at its temperature, and hidden states of about unit size. */
static double blank_loss(const training *t) {
    const rt_objective_options *o = &t->objective.options;
    double soft = !is_taught(t) ? 0 : t->examples.kind == RT_TARGET_NONE ? 1 : o->soft;
    double labels = log(fmax(2, (double)t->model->config.labels));
    return (1 - soft) * blank_labels(t) + soft * o->temperature * o->temperature * labels + o->hidden;
}

static retort_status open_loop(training *t, retort_error *err) {
    rt_loop *loop = &t->loop;
    loop->options = t->options;
    loop->trainee = &t->trainee;
    loop->batches = &t->batches;
    loop->objective = &t->objective;
    loop->optimizer = &t->optimizer;
    loop->steps = steps_of(t);
    loop->state.dev = loop->state.best = NAN;
    loop->divergence = (rt_divergence_rule){blank_loss(t), rt_rate_warmup(&t->optimizer.options.plan),
                                            rt_min(t->batches.batch, t->examples.count)};
    loop->belongs = t->belongs;
    if (t->options->checkpoint == NULL) return RETORT_OK;
    retort_status status = rt_belongs(t->belongs, t->options, &t->examples, &t->trainee, &t->teacher,
                                      &t->optimizer_options, t->rows, err);
    return status == RETORT_OK && t->options->resume ? rt_loop_resume(loop, err) : status;
}

typedef retort_status (*open_fn)(training *t, retort_error *err);

static retort_status open_training(training *t, retort_error *err) {
    static const open_fn parts[] = {
        open_threads,       open_examples, open_mix,       open_trainee,   open_tape,
        open_class_weights, open_teacher,  open_objective, open_optimizer, open_loop,
    };
    retort_status status = RETORT_OK;
    for (size_t i = 0; status == RETORT_OK && i < sizeof parts / sizeof *parts; i++)
        status = parts[i](t, err);
    return status;
}

/* What only steps need: moments, gradients and activations make room for the trained model. */
static void close_steps(training *t) {
    rt_optimizer_close(&t->optimizer);
    rt_objective_close(&t->objective);
    rt_teacher_free(&t->teacher);
    rt_tape_close(&t->tape);
    for (size_t i = 0; i < t->trainee.parameters.count; i++)
        rt_parameter_free(&t->trainee.parameters.items[i]);
}

static void close_training(training *t) {
    rt_loop_close(&t->loop);
    free(t->factors);
    free(t->class_weights);
    rt_trainee_close(&t->trainee);
    rt_batches_free(&t->batches);
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
        .best_step = dev ? loop->state.best_step : t->optimizer.step,
        .seconds = (double)(rt_now_ns() - t->started) * 1e-9,
        .tokens_per_second = loop->timed > 0 ? (double)loop->timed_tokens / loop->timed : 0,
        .loss = rt_loop_loss(loop),
        .metric = loop->metric,
        .dev = loop->state.best,
        .stopped = loop->stopped,
        .truncated = t->examples.truncated,
    };
}

retort_status rt_train(retort_model **out, const retort_model *model, const retort_train_options *options,
                       retort_train_result *result, retort_error *err) {
    if (model->config.arch == &rt_arch_static)
        return rt_fail(err, RETORT_UNSUPPORTED, "train: a static embedding is not trained");
    training *t = rt_calloc(1, sizeof *t);
    if (t == NULL) return rt_fail_nomem(err, sizeof *t);
    t->model = model;
    t->options = options;
    t->started = rt_now_ns();
    retort_status status = open_training(t, err);
    if (status == RETORT_OK) status = rt_loop_run(&t->loop, err);
    if (status == RETORT_OK && result != NULL) describe(t, result);
    if (status == RETORT_OK) status = rt_loop_settle(&t->loop, err);
    close_steps(t);
    if (status == RETORT_OK) status = rt_loop_model(&t->loop, out, err);
    close_training(t);
    free(t);
    return status;
}
