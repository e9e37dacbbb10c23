/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/quantize.h"
#include "base/cpu.h"
#include "grad/tape.h"
#include "graph/match.h"
#include "quant/quantizer.h"
#include "quant/range.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_SAMPLES = 1024, DEFAULT_OUTLIERS = 8 };

/* ---- The work ---- */

static retort_status check_model(const retort_model *model, retort_error *err) {
    const rt_graph *graph = &model->graph;
    if (model->config.arch == &rt_arch_static)
        return rt_fail(err, RETORT_UNSUPPORTED,
                       "quantize: a static embedding has no matrices: its table stays float");
    if (graph->level < 3) {
        return rt_fail(err, RETORT_ARGUMENT,
                       "quantize: the graph is of level %d: optimize it to level 3 first", graph->level);
    }
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        if (!rt_quantizer_has_weight(node)) continue;
        retort_dtype dtype = graph->values[node->inputs[LINEAR_WEIGHT]].dtype;
        if (dtype == RETORT_F32) continue;
        const char *advice = dtype == RETORT_BF16 ? "quantize what it was imported from"
                                                  : "'retort dequantize' makes it float";
        return rt_fail(err, RETORT_ARGUMENT,
                       "quantize: %.200s: its weight is %s, expected f32: the model is %.60s; %s", node->name,
                       retort_dtype_name(dtype), model->provenance.text, advice);
    }
    return RETORT_OK;
}

static retort_status check_bits(const rt_quantizer *q, retort_error *err) {
    bool gptq = q->row->rounding == RT_ROUND_GPTQ;
    if (q->row->bits == 8 && q->bits < (gptq ? 8 : 4)) {
        return rt_fail(err, RETORT_ARGUMENT,
                       "quantize: recipe '%s' makes 8 bits; for %d, use int4, awq, gptq, owq or ptq+owq",
                       q->row->name, q->bits);
    }
    if (!gptq || q->row->bits == 8 || q->bits < 8) return RETORT_OK;
    return rt_fail(err, RETORT_ARGUMENT,
                   "quantize: recipe '%s' is for fewer than %d bits; for 8, use smoothquant+gptq",
                   q->row->name, q->bits);
}

/* Refuses options that the recipe would not use. */
static retort_status check_options(const rt_quantizer *q, retort_error *err) {
    if (q->options->weak_columns != 0 && !q->row->outliers) {
        return rt_fail(err, RETORT_ARGUMENT,
                       "quantize: recipe '%s' has no outlier columns; use owq or ptq+owq", q->row->name);
    }
    return check_bits(q, err);
}

/* Rounds what needs no data. */
static retort_status round_rest(rt_quantizer *q, retort_error *err) {
    retort_status status = RETORT_OK;
    for (size_t i = 0; status == RETORT_OK && i < q->graph->node_count; i++) {
        const rt_node *node = &q->graph->nodes[i];
        if (q->wave[i] >= 0 || !rt_quantizer_due(q, node)) continue; /* or shares its weight */
        status = rt_quantizer_report(q, node->name, rt_work_round(q, (int)i), err);
        if (status == RETORT_OK) status = rt_quantizer_round(q, (int)i, err);
    }
    return status;
}

static bool needs_data(const rt_quantizer *q) {
    return rt_recipe_calibrates(q->row) || q->fixed;
}

static void warn_of(const rt_quantizer *q, const char *what) {
    char text[120];
    snprintf(text, sizeof text, "quantize: recipe '%s' %s: what is given has no effect", q->row->name, what);
    if (q->options->warning != NULL) q->options->warning(q->options->user, text);
}

static void warn_unknown(const rt_quantizer *q) {
    const rt_feed *texts = &q->calibration.texts;
    rt_token_count count = {0};
    char text[200];
    rt_count_tokens(&count, q->tokenizer, texts->ids, texts->tokens);
    if (!rt_many_unknown(&count) || q->options->warning == NULL) return;
    snprintf(text, sizeof text, "quantize: the tokenizer does not know %zu of %zu tokens of the data",
             count.unknown, count.tokens);
    q->options->warning(q->options->user, text);
}

static retort_status open_calibration(rt_quantizer *q, const retort_model *model, retort_error *err) {
    if (q->options->group != 0 && q->bits == 8 && q->table_bits == 8) warn_of(q, "has no groups");
    if (!needs_data(q)) {
        if (q->options->data != NULL) warn_of(q, "reads no data");
        return RETORT_OK;
    }
    if (q->options->data == NULL) {
        return rt_fail(err, RETORT_ARGUMENT,
                       "quantize: recipe '%s' needs calibration data: --data FILE (in C: options.data)",
                       q->row->name);
    }
    q->samples = q->options->samples != 0 ? q->options->samples : DEFAULT_SAMPLES;
    retort_status status =
        rt_calibration_open(&q->calibration, model, q->options->data, q->samples, q->options->seed, err);
    if (status == RETORT_OK) warn_unknown(q);
    q->calibration.pause = rt_quantizer_go_on;
    q->calibration.pause_user = q;
    return status == RETORT_OK ? rt_thread_pool_open(&q->pool, rt_cpu_threads(), err) : status;
}

/* Refuses as many outlier columns as a matrix has, and warns if there are fewer tokens than columns, since
 * second moments then cannot have full rank. */
static retort_status check_sizes(const rt_quantizer *q, retort_error *err) {
    size_t most = 0, tokens = q->calibration.texts.tokens;
    for (size_t i = 0; i < q->node_count; i++) {
        const rt_node *node = &q->graph->nodes[i];
        size_t k = q->wave[i] >= 0 ? (size_t)q->graph->values[node->inputs[LINEAR_WEIGHT]].dims[0] : 0;
        most = rt_max(most, k);
        if (k == 0 || rt_quantizer_outliers(q, node) < k) continue;
        return rt_fail(err, RETORT_ARGUMENT, "quantize: %.200s: %zu outlier columns of its %zu", node->name,
                       q->outliers, k);
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

/* Above this, warn before allocating. */
static const size_t LARGE_MEMORY = (size_t)2 << 30;

static retort_status check_memory(const rt_quantizer *q, int waves, retort_error *err) {
    size_t bytes = rt_work_memory(q, waves);
    char text[200];
    if (q->options->memory > 0 && bytes > q->options->memory) {
        return rt_fail(err, RETORT_LIMIT,
                       "quantize: recipe '%s' needs up to %zu bytes beside the model, and memory is %" PRIu64
                       ": --memory SIZE, in C options.memory, allows more; owq and gptq need less",
                       q->row->name, bytes, q->options->memory);
    }
    if (bytes < LARGE_MEMORY || q->options->memory > 0 || q->options->warning == NULL) return RETORT_OK;
    snprintf(text, sizeof text, "quantize: recipe '%s' may take %.1f GB of memory beside the model",
             q->row->name, (double)bytes / 1e9);
    q->options->warning(q->options->user, text);
    return RETORT_OK;
}

static retort_status fix_ranges(rt_quantizer *q, retort_error *err) {
    retort_status status = rt_quantizer_report(q, "ranges", 0, err);
    if (status == RETORT_OK) status = rt_fix_ranges(&q->calibration, q->graph, err);
    return status == RETORT_OK ? rt_graph_verify(q->graph, err) : status;
}

/* Importance is measured with gradients: refuses what they do not go through. */
static retort_status check_gradients(const rt_quantizer *q, retort_error *err) {
    for (size_t i = 0; i < q->graph->node_count; i++) {
        const rt_node *node = &q->graph->nodes[i];
        if (!rt_tape_has_back(node->op))
            return rt_fail(err, RETORT_UNSUPPORTED,
                           "quantize: recipe '%s' needs gradients, and none goes through %s (%.120s): use %s",
                           q->row->name, rt_op_info(node->op)->text, node->name,
                           q->bits < 8 ? "owq" : "smoothquant");
    }
    return RETORT_OK;
}

/* Measures the importance of the word table before rounding it. */
static retort_status measure_importance(rt_quantizer *q, retort_error *err) {
    retort_status status = rt_quantizer_report(q, "importance", rt_work_importance(q), err);
    if (status != RETORT_OK) return status;
    return rt_importance_make(&q->importance, &q->calibration, q->pool, q->options->seed, err);
}

static retort_status round_all(rt_quantizer *q, const retort_model *model, retort_error *err) {
    int waves = 0;
    retort_status status = rt_quantizer_check_keep(q, err);
    if (status == RETORT_OK && !rt_links_open(q->graph))
        status = rt_fail_nomem(err, q->graph->node_count * sizeof(rt_node));
    if (status == RETORT_OK) status = check_options(q, err);
    if (status == RETORT_OK) status = open_calibration(q, model, err);
    if (status == RETORT_OK) status = rt_waves_plan(q, &waves, err);
    if (status == RETORT_OK) status = check_sizes(q, err);
    if (status == RETORT_OK && q->row->important) status = check_gradients(q, err);
    if (status == RETORT_OK) status = check_memory(q, waves, err);
    if (status == RETORT_OK) rt_work_plan(q, waves);
    if (status == RETORT_OK && q->row->important) status = measure_importance(q, err);
    if (status == RETORT_OK) status = round_rest(q, err);
    for (int i = 0; status == RETORT_OK && i < waves; i++) status = rt_wave_round(q, i, err);
    rt_links_free(q->graph);
    if (status == RETORT_OK) status = rt_graph_convert_inputs(q->graph, err);
    if (status == RETORT_OK && q->fixed) status = fix_ranges(q, err);
    rt_importance_free(&q->importance);
    rt_thread_pool_close(q->pool);
    rt_calibration_free(&q->calibration);
    free(q->wave);
    return status;
}

/* "int8", "int4 group=64 embeddings=4 keep=head.output,layer.0" */
static retort_status keep_recipe(retort_model *model, const rt_quantizer *q, retort_error *err) {
    rt_buffer text = {0};
    rt_buffer_text(&text, q->row->name);
    if (q->bits != q->row->bits) rt_buffer_format(&text, " bits=%d", q->bits);
    if (q->bits < 8 || q->table_bits < 8) rt_buffer_format(&text, " group=%lld", (long long)q->group);
    rt_buffer_format(&text, " embeddings=%d", q->table_bits);
    if (q->fixed != (q->row->activations == RT_ACTIVATIONS_STATIC)) {
        rt_buffer_format(&text, " activations=%s", q->fixed ? "static" : "dynamic");
    }
    if (needs_data(q)) {
        rt_buffer_format(&text, " samples=%zu seed=%llu", q->samples, (unsigned long long)q->options->seed);
    }
    if (q->row->outliers) rt_buffer_format(&text, " weak=%zu", q->outliers);
    for (size_t i = 0; i < q->options->keep_count; i++) {
        rt_buffer_format(&text, "%s%s", i > 0 ? "," : " keep=", q->options->keep[i]);
    }
    retort_status status =
        text.failed ? rt_fail_nomem(err, 64)
                    : rt_provenance_set(&model->provenance, &model->arena, RETORT_S8, text.data, err);
    rt_buffer_free(&text);
    return status;
}

retort_status rt_quantize(retort_model **out, const retort_model *model,
                          const retort_quantize_options *options, retort_error *err) {
    const rt_recipe *row = rt_recipe_find(options->recipe, err);
    if (row == NULL) return RETORT_ARGUMENT;
    retort_model *next = NULL;
    retort_status status = check_model(model, err);
    if (status == RETORT_OK) status = rt_model_derive(&next, model, err);
    if (status != RETORT_OK) return status;
    rt_quantizer q = {.graph = &next->graph, .tokenizer = model->tokenizer, .options = options, .row = row};
    q.fixed = options->activations != RETORT_ACTIVATIONS_DEFAULT
                  ? options->activations == RETORT_ACTIVATIONS_STATIC
                  : row->activations == RT_ACTIVATIONS_STATIC;
    q.bits = options->bits != 0 ? options->bits : row->bits;
    q.table_bits = options->embeddings != 0 ? options->embeddings : q.bits < 4 ? q.bits : row->table_bits;
    q.group = options->group != 0 ? options->group : row->group;
    q.outliers = options->weak_columns != 0 ? options->weak_columns : DEFAULT_OUTLIERS;
    rt_graph_use_integers(&next->graph);
    status = round_all(&q, model, err);
    if (status == RETORT_OK) status = keep_recipe(next, &q, err);
    if (status == RETORT_OK) {
        *out = next;
    } else {
        retort_model_free(next);
    }
    return status;
}
