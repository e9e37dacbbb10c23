/* SPDX-License-Identifier: Apache-2.0 */
#include "train/loop.h"
#include "base/check_finite.h"
#include "eval/eval.h"
#include "format/seal.h"
#include "run/session.h"
#include "train/belongs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Progress ---- */

static double epochs_of(const rt_loop *l) {
    return (double)l->optimizer->step / (double)l->batches->steps;
}

static double recent_loss(const rt_loop *l) {
    size_t n = rt_min(l->optimizer->step, RT_LOOP_RECENT);
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += l->state.losses[i];
    return n > 0 ? sum / (double)n : NAN;
}

static retort_train_progress progress_of(const rt_loop *l, const char *what) {
    size_t done = l->optimizer->step - l->first_step, left = l->steps - l->optimizer->step;
    double seconds = (double)(rt_now_ns() - l->started) * 1e-9;
    return (retort_train_progress){
        .size = sizeof(retort_train_progress),
        .what = what,
        .epoch = epochs_of(l),
        .step = l->optimizer->step,
        .steps = l->steps,
        .loss = recent_loss(l),
        .rate = rt_rate_at(&l->optimizer->options.plan, l->optimizer->step),
        .tokens_per_second = l->timed > 0 ? (double)l->timed_tokens / l->timed : 0,
        .seconds_left = done > 0 ? seconds / (double)done * (double)left : 0,
        .metric = l->metric,
        .dev = l->state.dev,
        .best = l->state.best,
    };
}

/* Whether it shall go on. */
static bool report(rt_loop *l, const retort_train_progress *progress) {
    if (l->options->progress != NULL && l->options->progress(l->options->user, progress) != 0)
        l->stopped = l->interrupted = true;
    return !l->stopped;
}

static int report_dev(void *user, const char *what, size_t done, size_t total) {
    rt_loop *l = user;
    retort_train_progress progress = progress_of(l, "dev");
    (void)what;
    progress.step = done;
    progress.steps = total;
    return !report(l, &progress);
}

/* ---- Evaluation ---- */

/* A session of its own each time: what it holds of rounded weights is gone with the next refresh. */
static retort_status run_dev(rt_loop *l, retort_eval_result *result, retort_error *err) {
    retort_session *session = NULL;
    retort_session_options options = RETORT_SESSION_OPTIONS;
    retort_eval_options how = RETORT_EVAL_OPTIONS;
    options.threads = l->threads;
    options.isa = l->options->isa;
    how.progress = report_dev;
    how.progress_user = l;
    retort_status status = retort_session_open(&session, l->trainee->model, &options, err);
    if (status == RETORT_OK) status = rt_evaluate(session, l->options->dev, &how, result, err);
    retort_session_close(session);
    return status;
}

/* The model of now becomes the best, here and beside the checkpoint. */
static retort_status keep_best(rt_loop *l, retort_error *err) {
    retort_model *model = NULL;
    retort_status status = rt_trainee_model(&model, l->trainee, err);
    if (status != RETORT_OK) return status;
    retort_model_free(l->best_model);
    l->best_model = model;
    l->state.best = l->state.dev;
    l->state.best_step = l->optimizer->step;
    l->state.stale = 0;
    return RETORT_OK;
}

/* What the graph computes with, from the parameters. */
static retort_status refresh(rt_loop *l, retort_error *err) {
    retort_status status = rt_trainee_refresh(l->trainee, l->optimizer->step, err);
    rt_tape_refresh(l->objective->tape);
    return status;
}

/* A step may spoil weights that no loss has seen yet. */
static retort_status check_weights(const rt_loop *l, retort_error *err) {
    const rt_parameters *all = &l->trainee->parameters;
    for (size_t i = 0; i < all->count; i++) {
        const rt_parameter *p = &all->items[i];
        if (rt_first_nonfinite(p->data, RETORT_F32, p->count) < p->count)
            return rt_fail(err, RETORT_NONFINITE, "train: step %zu: weights of %.200s are not finite",
                           l->optimizer->step, p->name);
    }
    return RETORT_OK;
}

/* All parameters as they are after the steps so far, and what the graph computes with. */
static retort_status settle(rt_loop *l, retort_error *err) {
    rt_optimizer_settle(l->optimizer);
    rt_trainee_touch(l->trainee, 0, NULL, 0);
    retort_status status = check_weights(l, err);
    return status == RETORT_OK ? refresh(l, err) : status;
}

/* The weights of now on the dev set; keeps the model if it is the best. */
static retort_status evaluate(rt_loop *l, retort_error *err) {
    retort_eval_result result = {.size = sizeof result};
    retort_status status = settle(l, err);
    if (status == RETORT_OK) status = run_dev(l, &result, err);
    if (status != RETORT_OK) return status == RETORT_CANCELLED && l->stopped ? RETORT_OK : status;
    l->metric = result.metric;
    l->state.dev = result.value;
    l->state.evaluated = l->optimizer->step;
    l->state.stale++;
    /* A correlation of equal numbers is NaN: as good as none. */
    return isnan(l->state.best) || l->state.dev > l->state.best ? keep_best(l, err) : RETORT_OK;
}

/* ---- Checkpoints ---- */

enum { STATE_WORDS = sizeof(rt_loop_state) / sizeof(int64_t) };
_Static_assert(STATE_WORDS * sizeof(int64_t) == sizeof(rt_loop_state), "whole words");
_Static_assert((int)STATE_WORDS <= (int)RT_CHECKPOINT_WORDS, "they fit");

/* "PATH.best": a model like any other, with a hash. False: out of memory. */
static bool best_path(const rt_loop *l, rt_buffer *path) {
    rt_buffer_format(path, "%s.best", l->options->checkpoint);
    return !path->failed;
}

static retort_status save_best(rt_loop *l, const char *path, retort_error *err) {
    if (l->best_model == NULL || l->best_saved == l->state.best_step) return RETORT_OK;
    retort_status status = rt_model_save_sealed(l->best_model, path, l->belongs, err);
    if (status == RETORT_OK) l->best_saved = l->state.best_step;
    return status;
}

static retort_status save(rt_loop *l, retort_error *err) {
    rt_buffer path = {0};
    rt_checkpoint checkpoint = {.belongs = l->belongs, .optimizer = l->optimizer, .trainee = l->trainee};
    l->state.step = l->optimizer->step;
    memcpy(checkpoint.words, &l->state, sizeof l->state);
    retort_status status = check_weights(l, err);
    if (status == RETORT_OK && !best_path(l, &path)) status = rt_fail_nomem(err, path.capacity);
    if (status == RETORT_OK) status = save_best(l, path.data, err);
    if (status == RETORT_OK) status = rt_checkpoint_write(l->options->checkpoint, &checkpoint, err);
    rt_buffer_free(&path);
    return status;
}

/* A checkpoint that cannot be written stops nothing: the one before stays, and a warning says so. */
static void try_save(rt_loop *l) {
    retort_error error = {0};
    retort_status status = save(l, &error);
    l->saved = rt_now_ns();
    if (status == RETORT_OK || l->options->warning == NULL) return;
    rt_fail_in(&error, status, "checkpoint not written; training goes on");
    l->options->warning(l->options->user, error.text);
}

/* Whether the last steps look like a divergence, which nobody would go on from. */
static bool is_high(const rt_loop *l) {
    return rt_divergence_is_high(&l->divergence, &l->state.divergence, l->optimizer->step, recent_loss(l));
}

static bool is_due(const rt_loop *l) {
    double minutes = l->options->minutes > 0 ? l->options->minutes : 10;
    return l->options->checkpoint != NULL && (double)(rt_now_ns() - l->saved) * 1e-9 >= 60 * minutes &&
           !is_high(l);
}

/* After a loss that spoils the weights, the best model so far is in a file, and the error says where. */
static void rescue_best(rt_loop *l, retort_error *err) {
    rt_buffer path = {0};
    bool wanted = l->options->checkpoint != NULL && l->best_model != NULL && err != NULL;
    if (wanted && best_path(l, &path) && save_best(l, path.data, NULL) == RETORT_OK) {
        size_t n = strlen(err->text);
        snprintf(err->text + n, sizeof err->text - n, "; the best model so far, of step %llu, is '%s'",
                 (unsigned long long)l->state.best_step, path.data);
    }
    rt_buffer_free(&path);
}

/* The model beside the checkpoint, of this training and as it was written. */
static retort_status load_best(rt_loop *l, const char *path, retort_error *err) {
    rt_tensors tensors;
    retort_status status = rt_tensors_open(&tensors, path, err);
    if (status != RETORT_OK) return status;
    status = rt_seal_check(path, &tensors, err);
    if (status == RETORT_OK)
        status = rt_belongs_check(path, rt_tensors_metadata(&tensors, RT_MODEL_TRAINING), l->belongs, err);
    rt_tensors_close(&tensors);
    return status == RETORT_OK ? rt_model_load(&l->best_model, path, 0, err) : status;
}

retort_status rt_loop_resume(rt_loop *l, retort_error *err) {
    rt_buffer path = {0};
    rt_checkpoint checkpoint = {.belongs = l->belongs, .optimizer = l->optimizer, .trainee = l->trainee};
    retort_status status = rt_checkpoint_read(l->options->checkpoint, &checkpoint, err);
    if (status != RETORT_OK) return status;
    memcpy(&l->state, checkpoint.words, sizeof l->state);
    if (isnan(l->state.best)) return RETORT_OK;
    l->best_saved = l->state.best_step;
    status = best_path(l, &path) ? load_best(l, path.data, err) : rt_fail_nomem(err, path.capacity);
    rt_buffer_free(&path);
    return status;
}

/* ---- A step ---- */

static int compare_ids(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* The distinct of n ids, ascending, in l->rows. */
static size_t distinct(rt_loop *l, const int32_t *ids, size_t n) {
    size_t count = 0;
    memcpy(l->rows, ids, n * sizeof *ids);
    qsort(l->rows, n, sizeof *l->rows, compare_ids);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || l->rows[i] != l->rows[i - 1]) l->rows[count++] = l->rows[i];
    }
    return count;
}

static void catch_up(rt_loop *l, const rt_node *embed, int operand, size_t n) {
    int value = rt_operand(embed, operand);
    const rt_parameter *table = value >= 0 ? rt_parameters_find(&l->trainee->parameters, value) : NULL;
    if (table == NULL) return;
    size_t item = (size_t)(table - l->trainee->parameters.items), rows = rt_min(n, table->rows);
    rt_optimizer_catch_up(l->optimizer, item, l->rows, rows);
    rt_trainee_touch(l->trainee, item, l->rows, rows);
}

/* The rows of tables that a batch reads. */
static retort_status catch_up_tables(rt_loop *l, const rt_batch *batch, retort_error *err) {
    const rt_graph *graph = &l->trainee->model->graph;
    size_t tokens = (size_t)batch->offsets[batch->n], longest = 1;
    for (size_t i = 0; i < batch->n; i++)
        longest = rt_max(longest, (size_t)(batch->offsets[i + 1] - batch->offsets[i]));
    size_t places = longest + (l->limits.after_pad ? 1 : 0); /* padding has the first of them */
    size_t most = rt_max(tokens, rt_max(places, (size_t)l->limits.types));
    if (!rt_grow((void **)&l->rows, &l->row_capacity, most, sizeof *l->rows))
        return rt_fail_nomem(err, most * sizeof *l->rows);
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        if (node->op != RT_OP_EMBED) continue;
        catch_up(l, node, EMBED_WORD, distinct(l, batch->ids, tokens));
        for (size_t j = 0; j < most; j++) l->rows[j] = (int32_t)j;
        catch_up(l, node, EMBED_POSITION, places);
        catch_up(l, node, EMBED_TYPE, (size_t)l->limits.types);
    }
    return RETORT_OK;
}

/* The first value of the last chunk that is not finite. */
static retort_status find_nonfinite(const rt_loop *l, double loss, retort_error *err) {
    const rt_tape *tape = l->objective->tape;
    for (size_t i = 0; tape->chunk != NULL && i < tape->plan.step_count; i++) {
        const rt_node *node = tape->plan.steps[i].node;
        size_t rows, columns;
        if (tape->graph->values[node->outputs[0]].dtype != RETORT_F32) continue;
        const float *data = rt_tape_value(tape, node->outputs[0], &rows, &columns);
        if (rt_first_nonfinite(data, RETORT_F32, rows * columns) < rows * columns)
            return rt_fail(
                err, RETORT_NONFINITE,
                "train: step %zu: the loss is %g; the first values that are not finite come from %.200s",
                l->optimizer->step + 1, loss, node->name);
    }
    return rt_fail(err, RETORT_NONFINITE, "train: step %zu: the loss is %g", l->optimizer->step + 1, loss);
}

static void note_loss(rt_loop *l, size_t step, double loss) {
    l->state.losses[step % RT_LOOP_RECENT] = loss;
    l->state.epoch_loss += loss;
    if ((step + 1) % l->batches->steps != 0 && step + 1 != l->steps) return;
    l->state.last_loss = l->state.epoch_loss / (double)(step % l->batches->steps + 1);
    l->state.epoch_loss = 0;
}

static retort_status check_divergence(const rt_loop *l, retort_error *err) {
    if (l->state.divergence.high < RT_DIVERGENCE_WINDOWS) return RETORT_OK;
    return rt_fail(
        err, RETORT_NONFINITE,
        "train: step %zu: the loss diverges: %.4g over the last %d steps, %.4g before the first: lower "
        "the learning rate (--rate), which is %g",
        l->optimizer->step, recent_loss(l), RT_LOOP_RECENT,
        rt_divergence_start(&l->divergence, &l->state.divergence), l->optimizer->options.plan.rate);
}

static retort_status take_step(rt_loop *l, retort_error *err) {
    rt_optimizer *optimizer = l->optimizer;
    size_t step = optimizer->step, n;
    const size_t *which;
    rt_batch batch;
    double loss = 0, norm;
    int64_t from = rt_now_ns();
    rt_batches_at(l->batches, step, &which, &n);
    retort_status status = rt_batches_sequences(l->batches, which, n, &batch, err);
    /* Tokenizers give the second text of a pair a type for models without types, too. */
    if (!rt_config_has_types(&l->trainee->model->config)) batch.types = NULL;
    if (status == RETORT_OK) status = rt_prepare(&l->prepared, &batch, &l->limits, err);
    if (status == RETORT_OK) status = catch_up_tables(l, &batch, err);
    if (status == RETORT_OK) status = refresh(l, err);
    if (status != RETORT_OK) return status;
    rt_parameters_clear(&l->trainee->parameters);
    status = rt_objective_batch(l->objective, &l->prepared, which, n, &loss, err);
    if (status == RETORT_OK && !isfinite(loss)) status = find_nonfinite(l, loss, err);
    if (status != RETORT_OK) return status;
    rt_trainee_gather(l->trainee);
    status = rt_optimizer_step(optimizer, &norm, err);
    if (status != RETORT_OK) return status;
    note_loss(l, step, loss);
    rt_divergence_note(&l->divergence, &l->state.divergence, step + 1, loss, recent_loss(l));
    l->state.tokens += l->prepared.tokens;
    l->timed_tokens += l->prepared.tokens;
    l->timed += (double)(rt_now_ns() - from) * 1e-9;
    return check_divergence(l, err);
}

/* ---- The loop ---- */

/* Whether dev is evaluated after the last step. */
static bool ends_epoch(const rt_loop *l) {
    size_t step = l->optimizer->step;
    return step > 0 && (step % l->batches->steps == 0 || step == l->steps);
}

static bool is_stale(const rt_loop *l) {
    return l->options->dev != NULL && l->options->patience > 0 && l->state.stale >= l->options->patience;
}

static retort_status end_epoch(rt_loop *l, retort_error *err) {
    bool dev = l->options->dev != NULL;
    retort_status status = dev ? evaluate(l, err) : RETORT_OK;
    if (status != RETORT_OK || l->stopped) return status;
    retort_train_progress progress = progress_of(l, "epoch");
    report(l, &progress);
    if (is_stale(l)) l->stopped = true;
    return RETORT_OK;
}

/* What was left to do when a training was stopped between the last step of an epoch and its evaluation. */
static retort_status catch_up_epoch(rt_loop *l, retort_error *err) {
    bool due = l->options->dev != NULL && ends_epoch(l) && l->state.evaluated != l->optimizer->step;
    if (due) return end_epoch(l, err);
    if (is_stale(l)) l->stopped = true;
    return RETORT_OK;
}

retort_status rt_loop_run(rt_loop *l, retort_error *err) {
    size_t step = l->first_step = l->optimizer->step;
    l->started = l->saved = rt_now_ns();
    retort_status status = catch_up_epoch(l, err);
    while (status == RETORT_OK && !l->stopped && step < l->steps) {
        status = take_step(l, err);
        if (status != RETORT_OK) break;
        step = l->optimizer->step;
        retort_train_progress progress = progress_of(l, "train");
        if (!report(l, &progress)) break;
        if (ends_epoch(l)) status = end_epoch(l, err);
        if (status == RETORT_OK && is_due(l)) try_save(l);
    }
    if (status == RETORT_NONFINITE) rescue_best(l, err);
    /* So that who stopped it can go on, and nobody has to train for long again whose result cannot be written. */
    bool wanted = l->interrupted || l->saved != l->started;
    if (status == RETORT_OK && wanted && l->options->checkpoint != NULL) try_save(l);
    return status;
}

retort_status rt_loop_settle(rt_loop *l, retort_error *err) {
    return l->best_model != NULL ? RETORT_OK : settle(l, err);
}

retort_status rt_loop_model(rt_loop *l, retort_model **out, retort_error *err) {
    if (l->best_model == NULL) return rt_trainee_model(out, l->trainee, err);
    *out = l->best_model;
    l->best_model = NULL;
    return RETORT_OK;
}

double rt_loop_loss(const rt_loop *l) {
    size_t done = l->optimizer->step;
    if (done >= l->batches->steps || done == l->steps) return l->state.last_loss;
    return done > 0 ? l->state.epoch_loss / (double)done : NAN;
}

void rt_loop_close(rt_loop *l) {
    retort_model_free(l->best_model);
    rt_prepared_free(&l->prepared);
    free(l->rows);
    *l = (rt_loop){0};
}
