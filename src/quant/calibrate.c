/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/calibrate.h"
#include "base/cpu.h"
#include "engine/execute.h"
#include "graph/rewrite.h"
#include "base/random.h"
#include "engine/prepare.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS = 512 /* of a chunk: summed in floats before being added to doubles */ };

retort_status rt_moments_begin(rt_moments *out, const char *name, size_t k, retort_error *err) {
    size_t count = 0;
    *out = (rt_moments){.name = name, .k = k, .sum = rt_calloc(k, sizeof *out->sum)};
    if (rt_mul(k, k, &count)) out->gram = rt_calloc(count, sizeof *out->gram);
    return out->sum != NULL && out->gram != NULL ? RETORT_OK : rt_fail_nomem(err, k * k * sizeof(double));
}

void rt_moments_free(rt_moments *moments) {
    free(moments->sum);
    free(moments->gram);
    *moments = (rt_moments){0};
}

/* ---- Texts ---- */

/* Replaces the middle token with the mask token, unless there is one already. */
static void set_mask(rt_feed *texts, int64_t mask) {
    int32_t *from = texts->ids + texts->offsets[texts->n - 1], *to = texts->ids + texts->tokens;
    for (int32_t *at = from; at < to; at++) {
        if (*at == mask) return;
    }
    if (from < to) from[(to - from) / 2] = (int32_t)mask;
}

static retort_status add_text(rt_calibration *c, const rt_encode_options *options, const retort_text *text,
                              retort_error *err) {
    retort_status status = rt_feed_text(&c->texts, c->model->tokenizer, options, text, err);
    bool fill = c->model->config.task == RETORT_TASK_FILL && c->model->graph.mask_id >= 0;
    if (status == RETORT_OK && fill) set_mask(&c->texts, c->model->graph.mask_id);
    return status;
}

/* The first `samples` of a Fisher-Yates shuffle of all texts, in the order of the file. */
static retort_status choose(rt_calibration *c, const retort_dataset *data, size_t samples, uint64_t seed,
                            retort_error *err) {
    const rt_config *config = &c->model->config;
    int64_t most = config->max_length > 0 ? config->max_length : config->positions;
    rt_encode_options options = {.max_length = (size_t)(most < config->positions ? most : config->positions),
                                 .special_as_text = true};
    size_t *index = rt_calloc(data->count, sizeof *index);
    bool *chosen = rt_calloc(data->count, sizeof *chosen);
    bool made = index != NULL && chosen != NULL;
    for (size_t i = 0; made && i < data->count; i++) index[i] = i;
    for (size_t i = 0; made && i < rt_min(samples, data->count); i++) {
        size_t at = i + (size_t)(rt_random(&seed) % (data->count - i)), taken = index[at];
        index[at] = index[i];
        chosen[taken] = true;
    }
    retort_status status = made ? RETORT_OK : rt_fail_nomem(err, data->count * sizeof *index);
    for (size_t i = 0; status == RETORT_OK && i < data->count; i++) {
        if (chosen[i]) status = add_text(c, &options, &data->samples[i].text, err);
    }
    free(index);
    free(chosen);
    return status;
}

retort_status rt_calibration_open(rt_calibration *out, const retort_model *model, const retort_dataset *data,
                                  size_t samples, uint64_t seed, retort_error *err) {
    uint32_t features;
    *out = (rt_calibration){.model = model};
    retort_status status = rt_isa_select(NULL, &features, NULL, err);
    if (status != RETORT_OK) return status;
    rt_kernels_select(&out->kernels, features);
    if (model->tokenizer == NULL || data->count == 0) {
        return rt_fail(err, RETORT_ARGUMENT, "quantize: %.200s: %s", data->name,
                       data->count == 0 ? "there are no texts" : "the model has no tokenizer for texts");
    }
    return choose(out, data, samples, seed, err);
}

void rt_calibration_free(rt_calibration *c) {
    rt_feed_free(&c->texts);
    free(c->x);
    rt_gram_free(&c->gram);
    free(c->product);
    free(c->codes);
    free(c->scales);
    *c = (rt_calibration){0};
}

/* ---- Rows ---- */

/* Grows to an aligned block of at least `bytes`; loses its contents. */
static bool reserve(void **block, size_t *size, size_t bytes) {
    if (bytes <= *size) return true;
    free(*block);
    *block = rt_alloc_aligned(rt_round_up(bytes, 64));
    *size = *block != NULL ? bytes : 0;
    return *block != NULL;
}

/* c->x [rows, k] = dequantised codes */
static void to_floats(rt_calibration *c, size_t rows, size_t k, const int8_t *codes,
                      const rt_row_scale *scales) {
    size_t stride = rt_row_q(k);
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < k; j++) {
            c->x[i * k + j] = (float)codes[i * stride + j] * scales[i].scale + scales[i].shift;
        }
    }
}

/* ---- Running ---- */

typedef struct runner {
    rt_calibration *calibration;
    rt_graph graph; /* a runnable copy */
    rt_plan plan;
    rt_prepared batch;
    rt_executor executor;
    size_t *of_step; /* [steps] 1 + index of the name; 0: not watched */
    rt_watch watch;
    rt_rows_fn see;
    void *user;
} runner;

static void runner_close(runner *r) {
    rt_executor_close(&r->executor);
    free(r->of_step);
    rt_prepared_free(&r->batch);
    rt_plan_free(&r->plan);
    rt_graph_free(&r->graph);
}

static retort_status find_steps(runner *r, const char *const *names, size_t count, retort_error *err) {
    r->of_step = rt_calloc(r->plan.step_count, sizeof *r->of_step);
    r->executor.steps = 0;
    if (r->of_step == NULL) return rt_fail_nomem(err, r->plan.step_count);
    for (size_t i = 0; i < r->plan.step_count; i++) {
        for (size_t name = 0; name < count; name++) {
            if (strcmp(r->plan.steps[i].node->name, names[name]) != 0) continue;
            r->of_step[i] = name + 1;
            r->executor.steps = i + 1;
        }
    }
    return RETORT_OK;
}

size_t rt_calibration_rows(size_t positions) {
    return rt_max(ROWS + positions / 2, positions);
}

retort_status rt_calibration_prepare(rt_prepared *out, const rt_calibration *c, const rt_graph *graph,
                                     rt_row_set output, retort_error *err) {
    const rt_config *config = &c->model->config;
    rt_limits limits = {
        .vocab = config->vocab,
        .types = config->types,
        .positions = config->positions,
        .position_offset = config->position_offset,
        .after_pad = config->after_pad != 0,
        .mask_id = graph->mask_id,
        .capacity = rt_calibration_rows((size_t)config->positions),
        .max_rows = ROWS,
        .workers = 1,
        .output = output,
    };
    rt_batch batch = {c->texts.ids, rt_config_has_types(config) ? c->texts.types : NULL, c->texts.offsets,
                      c->texts.n, c->texts.unpooled};
    return rt_prepare(out, &batch, &limits, err);
}

static retort_status runner_open(runner *r, const rt_calibration *c, const rt_graph *graph,
                                 retort_error *err) {
    size_t positions = (size_t)c->model->config.positions;
    r->graph.output = -1;
    retort_status status = rt_graph_copy(&r->graph, graph, err);
    if (status == RETORT_OK) status = rt_graph_convert_inputs(&r->graph, err);
    if (status == RETORT_OK)
        status = rt_plan_make(&r->plan, &r->graph, &c->kernels, NULL, rt_calibration_rows(positions),
                              positions, err);
    if (status == RETORT_OK) status = rt_calibration_prepare(&r->batch, c, graph, r->plan.output_rows, err);
    return status == RETORT_OK ? rt_executor_open(&r->executor, &r->plan, NULL, err) : status;
}

/* The int8 rows that the step computed. */
static retort_status see_codes(const runner *r, const rt_event *event, const rt_step *step, size_t rows,
                               retort_error *err) {
    rt_calibration *c = r->calibration;
    const rt_place *place = &step->out[step->node->output_count - 1];
    const rt_value *value = &r->graph.values[place->value];
    size_t n = (size_t)value->dims[value->rank - 1];
    const char *out = rt_place_at(place, event->worker);
    if (rows == 0) return RETORT_OK;
    if (!reserve((void **)&c->x, &c->x_size, rows * n * sizeof *c->x)) return rt_fail_nomem(err, rows * n);
    to_floats(c, rows, n, (const int8_t *)out,
              (const rt_row_scale *)(const void *)(out + rt_row_scales_at(&r->plan, n)));
    return r->see(r->user, r->of_step[event->step] - 1, rows, n, c->x, NULL, err);
}

static retort_status see_x(const runner *r, const rt_event *event, const rt_step *step, size_t rows,
                           retort_error *err) {
    const rt_value *value = &r->graph.values[step->in[LINEAR_X].value];
    size_t n = (size_t)value->dims[value->rank - 1];
    const float *x = rt_place_at(&step->in[LINEAR_X], event->worker);
    const float *y = rt_place_at(&step->out[0], event->worker);
    return r->see(r->user, r->of_step[event->step] - 1, rows, n, x, y, err);
}

static retort_status see_step(void *user, const rt_event *event, retort_error *err) {
    const runner *r = user;
    const rt_step *step = &r->plan.steps[event->step];
    size_t rows = rt_chunk_rows(event->chunk, step->rows);
    if (r->of_step[event->step] == 0) return RETORT_OK;
    return r->watch == RT_WATCH_X ? see_x(r, event, step, rows, err) : see_codes(r, event, step, rows, err);
}

retort_status rt_calibrate_rows(rt_calibration *calibration, const rt_graph *graph, const char *const *names,
                                size_t count, rt_watch watch, rt_rows_fn see, void *user, retort_error *err) {
    runner r = {.calibration = calibration, .watch = watch, .see = see, .user = user};
    const rt_observer observer = {.user = &r, .see = see_step};
    retort_status status = runner_open(&r, calibration, graph, err);
    if (status == RETORT_OK) status = find_steps(&r, names, count, err);
    r.executor.observers = &observer;
    r.executor.observer_count = 1;
    for (size_t i = 0; status == RETORT_OK && i < r.batch.chunk_count; i++) {
        const rt_work work = {.chunks = &r.batch.chunks[i], .count = 1};
        if (calibration->pause != NULL)
            status = calibration->pause(calibration->pause_user, i, r.batch.chunk_count, err);
        if (status == RETORT_OK) status = rt_execute(&r.executor, &work, err);
    }
    runner_close(&r);
    return status;
}

/* ---- Moments ---- */

static bool reserve_all(rt_calibration *c, size_t rows, size_t k) {
    return reserve((void **)&c->x, &c->x_size, rows * rt_round_up(k, RT_PANEL) * sizeof(float)) &&
           reserve((void **)&c->product, &c->product_size, k * RT_GRAM_COLUMNS * sizeof(float)) &&
           reserve((void **)&c->codes, &c->code_size, rows * rt_row_q(k)) &&
           reserve((void **)&c->scales, &c->scale_size, rows * sizeof *c->scales);
}

/* c->x [rows, k] = x rounded to 8 bits and back */
static void round_rows(rt_calibration *c, const rt_moments *moments, size_t rows, size_t k, const float *x) {
    rt_rows_q how = {.factor = moments->factor, .add = moments->add};
    c->kernels.quantize(rows, k, x, k, &how, c->codes, rt_row_q(k), c->scales);
    to_floats(c, rows, k, c->codes, c->scales);
}

/* squares += x^T x, the lower triangle, summed over these rows in floats. */
static void add_squares(rt_calibration *c, rt_moments *moments) {
    size_t k = moments->k;
    for (size_t from = 0; from < k; from += RT_GRAM_COLUMNS) {
        size_t n = rt_min(RT_GRAM_COLUMNS, k - from);
        rt_gram_product(&c->gram, &c->kernels, from, c->product);
        for (size_t i = from; i < k; i++) {
            double *out = moments->gram + i * k + from;
            const float *in = c->product + (i - from) * RT_GRAM_COLUMNS;
            for (size_t j = 0; j < n; j++) out[j] += (double)in[j];
        }
    }
}

static retort_status add_rows(rt_calibration *c, rt_moments *moments, size_t rows, const float *x,
                              retort_error *err) {
    size_t k = moments->k;
    if (rows == 0) return RETORT_OK;
    if (!reserve_all(c, rows, k)) return rt_fail_nomem(err, rows * k * sizeof *c->x);
    round_rows(c, moments, rows, k, x);
    if (!rt_gram_set(&c->gram, rows, k, c->x)) return rt_fail_nomem(err, rows * k * sizeof *c->x);
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < k; j++) moments->sum[j] += (double)c->x[i * k + j];
    }
    add_squares(c, moments);
    moments->rows += rows;
    return RETORT_OK;
}

typedef struct collector {
    rt_calibration *calibration;
    rt_moments *moments;
} collector;

static retort_status collect(void *user, size_t index, size_t rows, size_t n, const float *x, const float *y,
                             retort_error *err) {
    collector *c = user;
    (void)n;
    (void)y;
    return add_rows(c->calibration, &c->moments[index], rows, x, err);
}

retort_status rt_calibrate(rt_calibration *calibration, const rt_graph *graph, rt_moments *moments,
                           size_t count, retort_error *err) {
    collector c = {calibration, moments};
    const char **names = rt_calloc(count, sizeof *names);
    if (names == NULL) return rt_fail_nomem(err, count * sizeof *names);
    for (size_t i = 0; i < count; i++) names[i] = moments[i].name;
    retort_status status = rt_calibrate_rows(calibration, graph, names, count, RT_WATCH_X, collect, &c, err);
    free(names);
    return status;
}
