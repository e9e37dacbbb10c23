/* SPDX-License-Identifier: Apache-2.0
 * Scales and rounds matrices using the moments of their inputs, wave by wave. */
#include "graph/ops.h"
#include "quant/gptq_weight.h"
#include "quant/quantizer.h"

#include <stdatomic.h>
#include <stdlib.h>

/* A matrix of a wave. */
typedef struct matrix {
    int node;
    rt_scaled linear;
    rt_row_sample sample;
    rt_channel_scale scaling;
    rt_moments moments;
    bool due;                /* its weight is not shared with an earlier matrix */
    rt_gptq_weight *rounded; /* or NULL */
    retort_error error;      /* of making that */
} matrix;

typedef struct wave {
    matrix *matrices;
    const char **names; /* of their Linears */
    size_t count;
} wave;

static void wave_free(wave *w) {
    for (size_t i = 0; i < w->count; i++) {
        rt_row_sample_free(&w->matrices[i].sample);
        rt_channel_scale_free(&w->matrices[i].scaling);
        rt_moments_free(&w->matrices[i].moments);
        rt_gptq_weight_free(w->matrices[i].rounded);
    }
    free(w->matrices);
    free(w->names);
}

static retort_status see_rows(void *user, size_t index, size_t rows, size_t n, const float *x, const float *y,
                              retort_error *err) {
    wave *w = user;
    matrix *m = &w->matrices[index];
    (void)n;
    if (rt_row_sample_add(&m->sample, rows, x, m->linear.n, m->linear.gamma != NULL ? y : NULL))
        return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT, "%.200s: activations are not finite", w->names[index]);
}

static rt_scaled describe(const rt_graph *graph, const rt_node *node) {
    const rt_value *weight = &graph->values[node->inputs[LINEAR_WEIGHT]];
    rt_scaled linear = {.k = (size_t)weight->dims[0], .n = (size_t)weight->dims[1], .w = weight->data};
    linear.bias = rt_operand_data(graph, node, LINEAR_BIAS);
    linear.act = node->attrs.act;
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *reader = &graph->nodes[i];
        if (reader->op == RT_OP_LAYER_NORM && reader->inputs[LAYER_NORM_X] == node->outputs[0])
            linear.gamma = rt_operand_data(graph, reader, LAYER_NORM_GAMMA);
    }
    return linear;
}

/* Chooses the channel scaling of each matrix. */
static retort_status choose_moves(rt_quantizer *q, wave *w, retort_error *err) {
    retort_status status = RETORT_OK;
    rt_scale_search search = {.scaling = q->row->scaling,
                              .bits = q->bits,
                              .group = (size_t)q->group,
                              .fixed = q->fixed,
                              .kernels = &q->calibration.kernels};
    for (size_t i = 0; status == RETORT_OK && i < w->count; i++) {
        matrix *m = &w->matrices[i];
        m->linear = describe(q->graph, &q->graph->nodes[m->node]);
        status = rt_row_sample_begin(&m->sample, m->linear.k, err);
    }
    if (status == RETORT_OK)
        status =
            rt_calibrate_rows(&q->calibration, q->graph, w->names, w->count, RT_WATCH_X, see_rows, w, err);
    for (size_t i = 0; status == RETORT_OK && i < w->count; i++) {
        matrix *m = &w->matrices[i];
        double loss[2];
        status = rt_quantizer_go_on(q, i, w->count, err);
        if (status != RETORT_OK || !rt_can_scale_channels(q->graph, m->node)) continue;
        status = rt_scale_choose(&search, &m->linear, &m->sample, &m->scaling, loss, err);
    }
    return status;
}

static retort_status collect_moments(rt_quantizer *q, wave *w, retort_error *err) {
    rt_moments *moments = rt_calloc(w->count, sizeof *moments);
    retort_status status = moments != NULL ? RETORT_OK : rt_fail_nomem(err, w->count);
    for (size_t i = 0; status == RETORT_OK && i < w->count; i++) {
        matrix *m = &w->matrices[i];
        const rt_value *weight = &q->graph->values[q->graph->nodes[m->node].inputs[LINEAR_WEIGHT]];
        status = rt_moments_begin(&moments[i], w->names[i], (size_t)weight->dims[0], err);
        moments[i].factor = m->scaling.factor;
        moments[i].add = m->scaling.add;
    }
    if (status == RETORT_OK) status = rt_calibrate(&q->calibration, q->graph, moments, w->count, err);
    for (size_t i = 0; moments != NULL && i < w->count; i++) w->matrices[i].moments = moments[i];
    free(moments);
    return status;
}

/* The matrices of a wave, rounded by several threads. */
typedef struct rounds {
    rt_quantizer *q;
    wave *w;
    atomic_size_t left, done;
    retort_error error; /* of a cancelled call */
} rounds;

static void round_learned(rt_quantizer *q, matrix *m) {
    rt_gptq_options how = {.bits = q->bits, .group = (size_t)q->group, .moments = &m->moments};
    how.outliers = rt_quantizer_outliers(q, &q->graph->nodes[m->node]);
    how.outputs = q->row->important ? q->importance.outputs[m->node] : NULL;
    how.kernels = &q->calibration.kernels;
    rt_gptq_weight_round(&m->rounded, q->graph, m->node, &how, &m->error);
}

/* In reverse order: the last of a transformer layer is the second of the FFN, with the largest Hessian. */
static void round_next(void *user, int worker) {
    rounds *r = user;
    size_t left, count = r->w->count;
    while ((left = atomic_fetch_sub(&r->left, 1)) - 1 < count) {
        if (r->w->matrices[left - 1].due) round_learned(r->q, &r->w->matrices[left - 1]);
        size_t done = atomic_fetch_add(&r->done, 1) + 1;
        /* Worker 0 is the thread of the caller. */
        if (worker == 0 && rt_quantizer_go_on(r->q, done, count, &r->error) != RETORT_OK)
            atomic_store(&r->left, 0);
    }
}

/* Rounds the matrices of the wave outside of the graph, on all threads. */
static retort_status round_apart(rt_quantizer *q, wave *w, retort_error *err) {
    rounds r = {.q = q, .w = w};
    double work = 0;
    atomic_init(&r.left, w->count);
    atomic_init(&r.done, 0);
    for (size_t i = 0; i < w->count; i++)
        work += w->matrices[i].due ? rt_work_round(q, w->matrices[i].node) : 0;
    retort_status status = rt_quantizer_report(q, "rounding", work, err);
    if (status == RETORT_OK) rt_thread_pool_run(q->pool, round_next, &r);
    return r.error.status != RETORT_OK ? rt_fail(err, r.error.status, "%s", r.error.text) : status;
}

static void find_due(const rt_quantizer *q, const wave *w) {
    for (size_t i = 0; i < w->count; i++) {
        const rt_node *node = &q->graph->nodes[w->matrices[i].node];
        w->matrices[i].due = rt_quantizer_due(q, node);
        for (size_t k = 0; k < i; k++) {
            if (q->graph->nodes[w->matrices[k].node].inputs[LINEAR_WEIGHT] == node->inputs[LINEAR_WEIGHT])
                w->matrices[i].due = false;
        }
    }
}

static retort_status settle(rt_quantizer *q, matrix *m, retort_error *err) {
    double work = q->row->rounding == RT_ROUND_NEAREST ? rt_work_round(q, m->node) : 0; /* else it is done */
    retort_status status = rt_quantizer_report(q, q->graph->nodes[m->node].name, work, err);
    if (status != RETORT_OK) return status;
    if (m->error.status != RETORT_OK) return rt_fail(err, m->error.status, "%s", m->error.text);
    status = m->rounded != NULL ? rt_gptq_weight_settle(m->rounded, q->graph, m->node, err)
                                : rt_quantizer_round(q, m->node, err);
    if (status == RETORT_OK && m->scaling.factor != NULL)
        status = rt_channel_scale_x(q->graph, m->node, &m->scaling, err);
    return status;
}

static retort_status round_wave(rt_quantizer *q, wave *w, retort_error *err) {
    retort_status status = RETORT_OK;
    find_due(q, w);
    for (size_t i = 0; status == RETORT_OK && i < w->count; i++) {
        matrix *m = &w->matrices[i];
        if (m->due && m->scaling.factor != NULL)
            status = rt_channel_scale_weight(q->graph, m->node, &m->scaling, err);
    }
    if (status == RETORT_OK && w->count > 0 && q->row->rounding != RT_ROUND_NEAREST)
        status = round_apart(q, w, err);
    for (size_t i = 0; status == RETORT_OK && i < w->count; i++) {
        if (w->matrices[i].due) status = settle(q, &w->matrices[i], err);
    }
    return status;
}

static retort_status find_matrices(const rt_quantizer *q, int index, wave *w, retort_error *err) {
    w->matrices = rt_calloc(q->node_count, sizeof *w->matrices);
    w->names = rt_calloc(q->node_count, sizeof *w->names);
    if (w->matrices == NULL || w->names == NULL) return rt_fail_nomem(err, q->node_count);
    for (size_t i = 0; i < q->node_count; i++) {
        if (q->wave[i] != index) continue;
        w->matrices[w->count].node = (int)i;
        w->names[w->count++] = q->graph->nodes[i].name;
    }
    return RETORT_OK;
}

retort_status rt_wave_round(rt_quantizer *q, int index, retort_error *err) {
    wave w = {0};
    retort_status status = find_matrices(q, index, &w, err);
    if (status == RETORT_OK && w.count > 0)
        status = rt_quantizer_report(q, "calibration", rt_work_wave(q, index), err);
    if (status == RETORT_OK && w.count > 0 && q->row->scaling != RT_SCALE_NONE)
        status = choose_moves(q, &w, err);
    if (status == RETORT_OK && w.count > 0 && q->row->rounding != RT_ROUND_NEAREST)
        status = collect_moments(q, &w, err);
    if (status == RETORT_OK) status = round_wave(q, &w, err);
    wave_free(&w);
    return status;
}

/* Consecutive matrices on the path from the ids per wave: a transformer layer has four. All moments of a
 * wave are in memory at once. */
enum { WAVE_DEPTH = 4 };

/* The most Linears on any path to the value, from those of its producers, which come first. */
static int depth_of(const rt_quantizer *q, const int *depth, const rt_node *node) {
    int most = 0;
    for (int k = 0; k < node->input_count; k++) {
        int producer = node->inputs[k] >= 0 ? q->graph->values[node->inputs[k]].producer : -1;
        if (producer >= 0 && depth[producer] > most) most = depth[producer];
    }
    return most + (node->op == RT_OP_LINEAR);
}

retort_status rt_waves_plan(rt_quantizer *q, int *waves, retort_error *err) {
    size_t count = q->node_count = q->graph->node_count;
    int *depth = rt_calloc(count, sizeof *depth);
    q->wave = rt_calloc(count, sizeof *q->wave);
    *waves = 0;
    for (size_t i = 0; depth != NULL && q->wave != NULL && i < count; i++) {
        const rt_node *node = &q->graph->nodes[i];
        depth[i] = depth_of(q, depth, node);
        bool calibrated =
            rt_recipe_calibrates(q->row) && node->op == RT_OP_LINEAR && rt_quantizer_due(q, node);
        bool blocks = node->attrs.heads > 1; /* each block would have its own moments: rounded to nearest */
        q->wave[i] = calibrated && rt_quantizer_wide(q, node) && !blocks ? (depth[i] - 1) / WAVE_DEPTH : -1;
        if (q->wave[i] >= *waves) *waves = q->wave[i] + 1;
    }
    free(depth);
    return depth != NULL && q->wave != NULL ? RETORT_OK : rt_fail_nomem(err, count * sizeof *depth);
}
