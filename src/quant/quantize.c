/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/quantize.h"
#include "graph/match.h"
#include "graph/ops.h"
#include "quant/calibrate.h"
#include "base/cpu.h"
#include "quant/frequent.h"
#include "quant/importance.h"
#include "quant/learned.h"
#include "quant/ptq.h"
#include "quant/range.h"
#include "quant/unused.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A row of RT_RECIPES. */
typedef struct recipe {
    const char *name;
    int bits, table_bits, group;
    rt_scaling scaling;
    rt_rounding rounding;
    bool weak;
    rt_activations activations;
    bool important;
    const char *help;
} recipe;
static const recipe recipes[] = {
#define RECIPE_ROW(name, bits, table_bits, group, scaling, rounding, weak, activations, important, help)     \
    {                                                                                                        \
        name,                                                                                                \
        bits,                                                                                                \
        table_bits,                                                                                          \
        group,                                                                                               \
        RT_SCALE_##scaling,                                                                                  \
        RT_ROUND_##rounding,                                                                                 \
        weak,                                                                                                \
        RT_ROWS_##activations,                                                                               \
        important,                                                                                           \
        help},
    RT_RECIPES(RECIPE_ROW)
#undef RECIPE_ROW
};
enum {
    RECIPE_COUNT = sizeof recipes / sizeof *recipes,
    DEFAULT_SAMPLES = 1024,
    DEFAULT_WEAK = 8,
    KEPT_SHARE = 24,   /* of the rows of the word table one in so many keeps 8 bits */
    LEAST_COLUMNS = 64 /* of 4-bit matrices: fewer are a head's logits, and no bytes to speak of */
};

const char *retort_recipe(size_t index, const char **help) {
    if (index >= RECIPE_COUNT) return NULL;
    if (help != NULL) *help = recipes[index].help;
    return recipes[index].name;
}

/* Whether matrices are looked at one wave after another. */
static bool is_learned(const recipe *row) {
    return row->scaling != RT_SCALE_NONE || row->rounding != RT_ROUND_NEAREST;
}

/* A matrix of a wave. */
typedef struct matrix {
    int node;
    rt_scaled linear;
    rt_drawn sample;
    rt_move move;
    rt_moments moments;
    bool due;            /* its weight is not another's that comes before it */
    rt_learned *learned; /* or NULL */
    retort_error error;  /* of making that */
} matrix;

typedef struct quantizer {
    rt_graph *graph;
    const rt_tokenizer *tokenizer; /* or NULL */
    const retort_quantize_options *options;
    const recipe *row;
    int bits, table_bits; /* as asked for, else the row's */
    bool fixed;           /* the ranges of activations */
    int64_t group;
    size_t weak;                /* of a matrix */
    size_t samples;             /* texts of calibration */
    rt_calibration calibration; /* of recipes that need data */
    rt_importance importance;   /* of recipes that measure it */
    rt_pool *pool;              /* of recipes that need data */
    size_t node_count;          /* before any were added */
    int *wave;                  /* [nodes] when it is calibrated, from 0; -1: it needs no data */
    const char *doing;          /* now */
    size_t done, total;         /* constants to round, and waves */
} quantizer;

/* ---- What is rounded ---- */

/* Whether a name in `keep` is the node's, or that of a scope around it. */
static bool is_scope(const char *keep, const char *name) {
    size_t length = strlen(keep);
    return strncmp(keep, name, length) == 0 && (name[length] == '\0' || name[length] == '.');
}

static bool has_weight(const rt_node *node) {
    return node->op == RT_OP_LINEAR || node->op == RT_OP_EMBED;
}

static bool is_kept(const quantizer *q, const rt_node *node) {
    for (size_t i = 0; i < q->options->keep_count; i++) {
        if (is_scope(q->options->keep[i], node->name)) return true;
    }
    return false;
}

/* Every name in `keep` is one of a layer. */
static retort_status check_keep(const quantizer *q, retort_error *err) {
    for (size_t i = 0; i < q->options->keep_count; i++) {
        const char *name = q->options->keep[i];
        bool found = false;
        for (size_t n = 0; name != NULL && n < q->graph->node_count; n++) {
            found |= has_weight(&q->graph->nodes[n]) && is_scope(name, q->graph->nodes[n].name);
        }
        if (!found) {
            return rt_fail(err, RETORT_ARGUMENT, "quantize: keep: no layer is named '%.200s'",
                           name != NULL ? name : "");
        }
    }
    return RETORT_OK;
}

/* Whether every reader of input `input` of `node` is such a node, has it there, and is not kept. */
static bool is_free(const quantizer *q, const rt_node *node, int input) {
    for (size_t i = 0; i < q->graph->node_count; i++) {
        const rt_node *reader = &q->graph->nodes[i];
        for (int k = 0; k < reader->input_count; k++) {
            if (reader->inputs[k] != node->inputs[input]) continue;
            if (reader->op != node->op || k != input || is_kept(q, reader)) return false;
        }
    }
    return q->graph->output != node->inputs[input];
}

static bool is_float_constant(const quantizer *q, const rt_node *node, int input) {
    const rt_value *value = &q->graph->values[node->inputs[input]];
    return rt_value_is_constant(value) && value->data != NULL && value->dtype == RETORT_F32 &&
           is_free(q, node, input);
}

/* A float weight that is to be rounded; once it is, its dtype says so. */
static bool is_due(const quantizer *q, const rt_node *node) {
    return has_weight(node) && is_float_constant(q, node, 1);
}

/* ---- The work ---- */

static retort_status check_model(const retort_model *model, retort_error *err) {
    const rt_graph *graph = &model->graph;
    if (graph->level < 3) {
        return rt_fail(err, RETORT_ARGUMENT,
                       "quantize: the graph is of level %d: optimize it to level 3 first", graph->level);
    }
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        if (!has_weight(node) || graph->values[node->inputs[1]].dtype == RETORT_F32) continue;
        return rt_fail(err, RETORT_ARGUMENT,
                       "quantize: %.200s: its weight is %s, expected f32: the model is %.60s", node->name,
                       retort_dtype_name(graph->values[node->inputs[1]].dtype), model->recipe);
    }
    return RETORT_OK;
}

static retort_status check_bits(const quantizer *q, retort_error *err) {
    if (q->bits == 3 && q->row->bits == 8) {
        return rt_fail(err, RETORT_ARGUMENT,
                       "quantize: recipe '%s' is for 8 bits; 3 are for int4, awq, gptq, owq and ptq+owq",
                       q->row->name);
    }
    if (q->row->rounding == RT_ROUND_NEAREST || q->bits < 8) return RETORT_OK;
    return rt_fail(err, RETORT_ARGUMENT, "quantize: recipe '%s' is for fewer than %d bits", q->row->name,
                   q->bits);
}

/* Called often while something lasts, so that it can be cancelled. */
static retort_status go_on(void *user, retort_error *err) {
    const quantizer *q = user;
    const retort_quantize_options *options = q->options;
    if (options->progress == NULL || options->progress(options->user, q->doing, q->done - 1, q->total) == 0) {
        return RETORT_OK;
    }
    return rt_fail(err, RETORT_CANCELLED, "quantize: cancelled at: %.200s", q->doing);
}

static retort_status report(quantizer *q, const char *what, retort_error *err) {
    q->doing = what;
    q->done++;
    return go_on(q, err);
}

/* The rows of the word table that most tokens read. */
static retort_status find_frequent(const quantizer *q, int index, rt_words *words, rt_frequent *out,
                                   retort_error *err) {
    const rt_feed *texts = &q->calibration.texts;
    size_t rows = (size_t)q->graph->values[q->graph->nodes[index].inputs[1]].dims[0];
    retort_status status = rt_frequent_find(out, texts->ids, texts->tokens, rows, rows / KEPT_SHARE, err);
    words->kept = out->ids;
    words->kept_count = out->count;
    return status;
}

/* Positions are few bytes, and every token has one: 8 bits in every recipe. */
static retort_status round_tables(quantizer *q, int index, retort_error *err) {
    bool learned = q->importance.embedded != NULL && q->table_bits < 8;
    const rt_kernels *kernels = &q->calibration.kernels;
    rt_unused unused;
    rt_frequent frequent = {0};
    retort_status status = rt_unused_find(&unused, q->tokenizer, err);
    rt_words words = {.gaps = unused.gaps, .gap_count = unused.count};
    if (status == RETORT_OK && learned) status = find_frequent(q, index, &words, &frequent, err);
    if (status == RETORT_OK && learned)
        status = rt_learned_words(q->graph, index, q->table_bits, q->group, &words, q->importance.embedded,
                                  kernels, err);
    if (status == RETORT_OK && !learned)
        status = rt_ptq_words(q->graph, index, q->table_bits, q->group, &words, NULL, err);
    rt_frequent_free(&frequent);
    bool position = is_float_constant(q, &q->graph->nodes[index], 2);
    return status == RETORT_OK && position ? rt_ptq_positions(q->graph, index, err) : status;
}

static bool is_wide(const quantizer *q, const rt_node *node) {
    return q->graph->values[node->inputs[1]].dims[1] >= LEAST_COLUMNS;
}

static retort_status round_node(quantizer *q, int index, retort_error *err) {
    const rt_node *node = &q->graph->nodes[index];
    if (node->op == RT_OP_EMBED) return round_tables(q, index, err);
    return rt_ptq_matrix(q->graph, index, is_wide(q, node) ? q->bits : 8, q->group, NULL, err);
}

/* A head has few rows of activations, and is small: no weak columns. */
static size_t weak_rows(const quantizer *q, const rt_node *node) {
    return q->row->weak && !is_scope("head", node->name) ? q->weak : 0;
}

/* Rounds what needs no data. */
static retort_status round_rest(quantizer *q, retort_error *err) {
    retort_status status = RETORT_OK;
    for (size_t i = 0; status == RETORT_OK && i < q->graph->node_count; i++) {
        const rt_node *node = &q->graph->nodes[i];
        if (q->wave[i] >= 0 || !is_due(q, node)) continue; /* or its weight is another's too */
        status = report(q, node->name, err);
        if (status == RETORT_OK) status = round_node(q, (int)i, err);
    }
    return status;
}

/* ---- Waves ---- */

typedef struct wave {
    matrix *matrices;
    const char **names; /* of their Linears */
    size_t count;
} wave;

static void wave_free(wave *w) {
    for (size_t i = 0; i < w->count; i++) {
        rt_drawn_free(&w->matrices[i].sample);
        rt_move_free(&w->matrices[i].move);
        rt_moments_free(&w->matrices[i].moments);
        rt_learned_free(w->matrices[i].learned);
    }
    free(w->matrices);
    free(w->names);
}

static retort_status see_rows(void *user, size_t index, size_t rows, size_t n, const float *x, const float *y,
                              retort_error *err) {
    wave *w = user;
    matrix *m = &w->matrices[index];
    (void)n;
    if (rt_drawn_add(&m->sample, rows, x, m->linear.n, m->linear.gamma != NULL ? y : NULL)) return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT, "%.200s: activations are not finite", w->names[index]);
}

/* The data of a constant that is an input of a node; NULL: there is none. */
static const float *constant_of(const rt_graph *graph, const rt_node *node, int input) {
    int value = input < node->input_count ? node->inputs[input] : -1;
    return value >= 0 ? graph->values[value].data : NULL;
}

static rt_scaled describe(const rt_graph *graph, const rt_node *node) {
    const rt_value *weight = &graph->values[node->inputs[1]];
    rt_scaled linear = {.k = (size_t)weight->dims[0], .n = (size_t)weight->dims[1], .w = weight->data};
    linear.bias = constant_of(graph, node, 2);
    linear.act = node->attrs.act;
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *reader = &graph->nodes[i];
        if (reader->op == RT_OP_LAYER_NORM && reader->inputs[0] == node->outputs[0])
            linear.gamma = constant_of(graph, reader, 1);
    }
    return linear;
}

/* How the columns of each matrix's x are moved. */
static retort_status choose_moves(quantizer *q, wave *w, retort_error *err) {
    retort_status status = RETORT_OK;
    rt_scale_search search = {.scaling = q->row->scaling,
                              .bits = q->bits,
                              .group = (size_t)q->group,
                              .fixed = q->fixed,
                              .kernels = &q->calibration.kernels};
    for (size_t i = 0; status == RETORT_OK && i < w->count; i++) {
        matrix *m = &w->matrices[i];
        m->linear = describe(q->graph, &q->graph->nodes[m->node]);
        status = rt_drawn_begin(&m->sample, m->linear.k, err);
    }
    if (status == RETORT_OK)
        status =
            rt_calibrate_rows(&q->calibration, q->graph, w->names, w->count, RT_WATCH_X, see_rows, w, err);
    for (size_t i = 0; status == RETORT_OK && i < w->count; i++) {
        matrix *m = &w->matrices[i];
        double loss[2];
        status = go_on(q, err);
        if (status != RETORT_OK || !rt_can_move(q->graph, m->node)) continue;
        status = rt_scale_choose(&search, &m->linear, &m->sample, &m->move, loss, err);
    }
    return status;
}

static retort_status collect_moments(quantizer *q, wave *w, retort_error *err) {
    rt_moments *moments = rt_calloc(w->count, sizeof *moments);
    retort_status status = moments != NULL ? RETORT_OK : rt_fail_nomem(err, w->count);
    for (size_t i = 0; status == RETORT_OK && i < w->count; i++) {
        matrix *m = &w->matrices[i];
        const rt_value *weight = &q->graph->values[q->graph->nodes[m->node].inputs[1]];
        status = rt_moments_begin(&moments[i], w->names[i], (size_t)weight->dims[0], err);
        moments[i].factor = m->move.factor;
        moments[i].add = m->move.add;
    }
    if (status == RETORT_OK) status = rt_calibrate(&q->calibration, q->graph, moments, w->count, err);
    for (size_t i = 0; moments != NULL && i < w->count; i++) w->matrices[i].moments = moments[i];
    free(moments);
    return status;
}

/* Matrices of a wave that several threads round. */
typedef struct rounds {
    quantizer *q;
    wave *w;
    atomic_size_t left;
} rounds;

static void round_learned(quantizer *q, matrix *m) {
    rt_learned_how how = {.bits = q->bits, .group = (size_t)q->group, .moments = &m->moments};
    how.weak = weak_rows(q, &q->graph->nodes[m->node]);
    how.outputs = q->row->important ? q->importance.outputs[m->node] : NULL;
    how.kernels = &q->calibration.kernels;
    rt_learned_round(&m->learned, q->graph, m->node, &how, &m->error);
}

/* The last first: of a transformer layer that is the FFN's second, of the largest Hessian. */
static void round_next(void *user, int worker) {
    rounds *r = user;
    size_t left;
    (void)worker;
    while ((left = atomic_fetch_sub(&r->left, 1)) - 1 < r->w->count) {
        if (r->w->matrices[left - 1].due) round_learned(r->q, &r->w->matrices[left - 1]);
    }
}

static void find_due(const quantizer *q, const wave *w) {
    for (size_t i = 0; i < w->count; i++) {
        const rt_node *node = &q->graph->nodes[w->matrices[i].node];
        w->matrices[i].due = is_due(q, node);
        for (size_t k = 0; k < i; k++) {
            if (q->graph->nodes[w->matrices[k].node].inputs[1] == node->inputs[1]) w->matrices[i].due = false;
        }
    }
}

static retort_status settle(quantizer *q, matrix *m, retort_error *err) {
    retort_status status = report(q, q->graph->nodes[m->node].name, err);
    if (status != RETORT_OK) return status;
    if (m->error.status != RETORT_OK) return rt_fail(err, m->error.status, "%s", m->error.text);
    status = m->learned != NULL ? rt_learned_settle(m->learned, q->graph, m->node, err)
                                : round_node(q, m->node, err);
    if (status == RETORT_OK && m->move.factor != NULL) status = rt_move_x(q->graph, m->node, &m->move, err);
    return status;
}

static retort_status round_wave(quantizer *q, wave *w, retort_error *err) {
    retort_status status = RETORT_OK;
    rounds r = {.q = q, .w = w};
    atomic_init(&r.left, w->count);
    find_due(q, w);
    for (size_t i = 0; status == RETORT_OK && i < w->count; i++) {
        matrix *m = &w->matrices[i];
        if (m->due && m->move.factor != NULL) status = rt_move_weight(q->graph, m->node, &m->move, err);
    }
    if (status == RETORT_OK && q->row->rounding != RT_ROUND_NEAREST) rt_pool_run(q->pool, round_next, &r);
    for (size_t i = 0; status == RETORT_OK && i < w->count; i++) {
        if (w->matrices[i].due) status = settle(q, &w->matrices[i], err);
    }
    return status;
}

static retort_status find_matrices(const quantizer *q, int index, wave *w, retort_error *err) {
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

/* The inputs of a wave's matrices are those that the integers so far give. */
static retort_status learn_wave(quantizer *q, int index, retort_error *err) {
    wave w = {0};
    retort_status status = find_matrices(q, index, &w, err);
    if (status == RETORT_OK && w.count > 0) status = report(q, "calibration", err);
    if (status == RETORT_OK && w.count > 0 && q->row->scaling != RT_SCALE_NONE)
        status = choose_moves(q, &w, err);
    if (status == RETORT_OK && w.count > 0 && q->row->rounding != RT_ROUND_NEAREST)
        status = collect_moments(q, &w, err);
    if (status == RETORT_OK) status = round_wave(q, &w, err);
    wave_free(&w);
    return status;
}

/* Every so many matrices on the way from the ids make a wave: a transformer layer has four, one behind the
 * other. All of a wave's moments are in memory at once. */
enum { WAVE_DEPTH = 4 };

/* The most Linears on a way to the value, by their producers, which come first. */
static int depth_of(const quantizer *q, const int *depth, const rt_node *node) {
    int most = 0;
    for (int k = 0; k < node->input_count; k++) {
        int producer = node->inputs[k] >= 0 ? q->graph->values[node->inputs[k]].producer : -1;
        if (producer >= 0 && depth[producer] > most) most = depth[producer];
    }
    return most + (node->op == RT_OP_LINEAR);
}

static retort_status plan_waves(quantizer *q, int *waves, retort_error *err) {
    size_t count = q->node_count = q->graph->node_count;
    int *depth = rt_calloc(count, sizeof *depth);
    q->wave = rt_calloc(count, sizeof *q->wave);
    *waves = 0;
    for (size_t i = 0; depth != NULL && q->wave != NULL && i < count; i++) {
        const rt_node *node = &q->graph->nodes[i];
        depth[i] = depth_of(q, depth, node);
        bool learned = is_learned(q->row) && node->op == RT_OP_LINEAR && is_due(q, node);
        bool blocks = node->attrs.heads > 1; /* each block has moments of its own: rounded to nearest */
        q->wave[i] = learned && is_wide(q, node) && !blocks ? (depth[i] - 1) / WAVE_DEPTH : -1;
        if (q->wave[i] >= *waves) *waves = q->wave[i] + 1;
        q->total += is_due(q, node);
    }
    q->total += (size_t)*waves + q->fixed + q->row->important;
    free(depth);
    return depth != NULL && q->wave != NULL ? RETORT_OK : rt_fail_nomem(err, count * sizeof *depth);
}

static bool needs_data(const quantizer *q) {
    return is_learned(q->row) || q->fixed;
}

static retort_status open_calibration(quantizer *q, const retort_model *model, retort_error *err) {
    if (!needs_data(q)) return RETORT_OK;
    if (q->options->data == NULL) {
        return rt_fail(err, RETORT_ARGUMENT, "quantize: recipe '%s' needs data to calibrate with",
                       q->row->name);
    }
    q->samples = q->options->samples != 0 ? q->options->samples : DEFAULT_SAMPLES;
    retort_status status =
        rt_calibration_open(&q->calibration, model, q->options->data, q->samples, q->options->seed, err);
    q->calibration.pause = go_on;
    q->calibration.pause_user = q;
    return status == RETORT_OK ? rt_pool_open(&q->pool, rt_cpu_threads(), err) : status;
}

/* Weak columns are some of a matrix's, not all of them; and a warning where there are fewer tokens than
 * columns, with which their second moments cannot be of full rank. */
static retort_status check_sizes(const quantizer *q, retort_error *err) {
    size_t most = 0, tokens = q->calibration.texts.tokens;
    for (size_t i = 0; i < q->node_count; i++) {
        const rt_node *node = &q->graph->nodes[i];
        size_t k = q->wave[i] >= 0 ? (size_t)q->graph->values[node->inputs[1]].dims[0] : 0;
        most = rt_max(most, k);
        if (k == 0 || weak_rows(q, node) < k) continue;
        return rt_fail(err, RETORT_ARGUMENT, "quantize: %.200s: %zu weak columns of its %zu", node->name,
                       q->weak, k);
    }
    if (q->row->rounding == RT_ROUND_NEAREST || tokens >= most || q->options->warning == NULL)
        return RETORT_OK;
    char text[200];
    snprintf(text, sizeof text,
             "quantize: %zu tokens to calibrate matrices of %zu columns with: fewer than columns is too few",
             tokens, most);
    q->options->warning(q->options->user, text);
    return RETORT_OK;
}

static retort_status fix_ranges(quantizer *q, retort_error *err) {
    retort_status status = report(q, "ranges", err);
    if (status == RETORT_OK) status = rt_fix_ranges(&q->calibration, q->graph, err);
    return status == RETORT_OK ? rt_graph_verify(q->graph, err) : status;
}

/* What the word table's errors cost, before it is rounded. */
static retort_status measure_importance(quantizer *q, retort_error *err) {
    retort_status status = report(q, "importance", err);
    if (status != RETORT_OK) return status;
    return rt_importance_make(&q->importance, &q->calibration, q->pool, q->options->seed, err);
}

static retort_status round_all(quantizer *q, const retort_model *model, retort_error *err) {
    int waves = 0;
    retort_status status = check_keep(q, err);
    if (status == RETORT_OK) status = check_bits(q, err);
    if (status == RETORT_OK) status = open_calibration(q, model, err);
    if (status == RETORT_OK) status = plan_waves(q, &waves, err);
    if (status == RETORT_OK) status = check_sizes(q, err);
    if (status == RETORT_OK && q->row->important) status = measure_importance(q, err);
    if (status == RETORT_OK) status = round_rest(q, err);
    for (int i = 0; status == RETORT_OK && i < waves; i++) status = learn_wave(q, i, err);
    if (status == RETORT_OK) status = rt_graph_narrow_inputs(q->graph, err);
    if (status == RETORT_OK && q->fixed) status = fix_ranges(q, err);
    rt_importance_free(&q->importance);
    rt_pool_close(q->pool);
    rt_calibration_free(&q->calibration);
    free(q->wave);
    return status;
}

/* "int8", "int4 group=64 embeddings=4 keep=head.output,layer.0", and which rewrites the float model lacks */
static retort_status keep_recipe(retort_model *model, const quantizer *q, retort_error *err) {
    rt_buffer text = {0};
    rt_buffer_text(&text, q->row->name);
    if (q->bits != q->row->bits) rt_buffer_format(&text, " bits=%d", q->bits);
    if (q->bits < 8 || q->table_bits < 8) rt_buffer_format(&text, " group=%lld", (long long)q->group);
    rt_buffer_format(&text, " embeddings=%d", q->table_bits);
    if (q->fixed != (q->row->activations == RT_ROWS_STATIC)) {
        rt_buffer_format(&text, " activations=%s", q->fixed ? "static" : "dynamic");
    }
    if (needs_data(q)) {
        rt_buffer_format(&text, " samples=%zu seed=%llu", q->samples, (unsigned long long)q->options->seed);
    }
    if (q->row->weak) rt_buffer_format(&text, " weak=%zu", q->weak);
    for (size_t i = 0; i < q->options->keep_count; i++) {
        rt_buffer_format(&text, "%s%s", i > 0 ? "," : " keep=", q->options->keep[i]);
    }
    const char *without = strstr(model->recipe, RT_PACKAGE_WITHOUT);
    if (without != NULL) rt_buffer_text(&text, without);
    model->recipe = text.failed ? NULL : rt_arena_text(&model->arena, text.data, text.length);
    rt_buffer_free(&text);
    return model->recipe != NULL ? RETORT_OK : rt_fail_nomem(err, 64);
}

static const recipe *find_recipe(const char *name, retort_error *err) {
    for (size_t i = 0; i < RECIPE_COUNT; i++) {
        if (strcmp(recipes[i].name, name) == 0) return &recipes[i];
    }
    rt_buffer known = {0};
    for (size_t i = 0; i < RECIPE_COUNT; i++) rt_buffer_format(&known, " %s", recipes[i].name);
    rt_fail(err, RETORT_ARGUMENT, "quantize: no recipe '%.60s'; there is%s", name,
            known.failed ? "" : known.data);
    rt_buffer_free(&known);
    return NULL;
}

retort_status rt_quantize(retort_model **out, const retort_model *model,
                          const retort_quantize_options *options, retort_error *err) {
    const recipe *row = find_recipe(options->recipe != NULL ? options->recipe : recipes[0].name, err);
    if (row == NULL) return RETORT_ARGUMENT;
    retort_model *next = NULL;
    retort_status status = check_model(model, err);
    if (status == RETORT_OK) status = rt_model_derive(&next, model, err);
    if (status != RETORT_OK) return status;
    quantizer q = {.graph = &next->graph, .tokenizer = model->tokenizer, .options = options, .row = row};
    q.fixed = options->activations != RETORT_ACTIVATIONS_DEFAULT
                  ? options->activations == RETORT_ACTIVATIONS_STATIC
                  : row->activations == RT_ROWS_STATIC;
    q.bits = options->bits != 0 ? options->bits : row->bits;
    q.table_bits = options->embeddings != 0 ? options->embeddings : q.bits == 3 ? 3 : row->table_bits;
    q.group = options->group != 0 ? options->group : row->group;
    q.weak = options->weak_columns != 0 ? options->weak_columns : DEFAULT_WEAK;
    rt_graph_use_int16(&next->graph);
    status = round_all(&q, model, err);
    if (status == RETORT_OK) status = keep_recipe(next, &q, err);
    if (status == RETORT_OK) {
        *out = next;
    } else {
        retort_model_free(next);
    }
    return status;
}
