/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/quantizer.h"
#include "base/cpu.h"
#include "graph/match.h"
#include "graph/ops.h"
#include "quant/frequent.h"
#include "quant/gptq_weight.h"
#include "quant/ptq.h"
#include "quant/range.h"
#include "quant/pruned_ids.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const rt_recipe recipes[] = {
#define RECIPE_ROW(name, bits, table_bits, group, scaling, rounding, outliers, activations, important, help) \
    {name,                                                                                                   \
     bits,                                                                                                   \
     table_bits,                                                                                             \
     group,                                                                                                  \
     RT_SCALE_##scaling,                                                                                     \
     RT_ROUND_##rounding,                                                                                    \
     outliers,                                                                                               \
     RT_ACTIVATIONS_##activations,                                                                           \
     important,                                                                                              \
     help},
    RT_RECIPES(RECIPE_ROW)
#undef RECIPE_ROW
};
enum {
    RECIPE_COUNT = sizeof recipes / sizeof *recipes,
    DEFAULT_SAMPLES = 1024,
    DEFAULT_OUTLIERS = 8,
    FREQUENT_SHARE = 24, /* one in this many rows of the word table keeps 8 bits */
    MIN_COLUMNS = 64     /* of 4-bit matrices: fewer are logits of a head, and take hardly any bytes */
};

const char *retort_recipe(size_t index, const char **help) {
    if (index >= RECIPE_COUNT) return NULL;
    if (help != NULL) *help = recipes[index].help;
    return recipes[index].name;
}

/* ---- What is rounded ---- */

/* Whether a name in `keep` is that of the node or of an enclosing scope. */
static bool is_scope(const char *keep, const char *name) {
    size_t length = strlen(keep);
    return strncmp(keep, name, length) == 0 && (name[length] == '\0' || name[length] == '.');
}

static bool has_weight(const rt_node *node) {
    return node->op == RT_OP_LINEAR || node->op == RT_OP_EMBED;
}

static bool is_kept(const rt_quantizer *q, const rt_node *node) {
    for (size_t i = 0; i < q->options->keep_count; i++) {
        if (is_scope(q->options->keep[i], node->name)) return true;
    }
    return false;
}

/* Checks that every name in `keep` is that of a layer. */
static retort_status check_keep(const rt_quantizer *q, retort_error *err) {
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

/* Whether every reader of operand `input` of `node` is the same operator, reads it as that operand, and is
 * not kept in float. */
static bool is_free(const rt_quantizer *q, const rt_node *node, int input) {
    const struct rt_links *links = q->graph->links;
    int value = node->inputs[input];
    for (int r = links->first[value]; r >= 0; r = links->next[r]) {
        const rt_node *reader = &q->graph->nodes[r / RT_MAX_INPUTS];
        if (reader->op != node->op || r % RT_MAX_INPUTS != input || is_kept(q, reader)) return false;
    }
    return q->graph->output != value;
}

static bool is_float_constant(const rt_quantizer *q, const rt_node *node, int input) {
    const rt_value *value = &q->graph->values[node->inputs[input]];
    return rt_value_is_constant(value) && value->data != NULL && value->dtype == RETORT_F32 &&
           is_free(q, node, input);
}

bool rt_quantizer_due(const rt_quantizer *q, const rt_node *node) {
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
        if (!has_weight(node)) continue;
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
    if (q->bits == 3 && q->row->bits == 8) {
        return rt_fail(err, RETORT_ARGUMENT,
                       "quantize: recipe '%s' is for 8 bits; 3 are for int4, awq, gptq, owq and ptq+owq",
                       q->row->name);
    }
    if (q->row->rounding == RT_ROUND_NEAREST || q->bits < 8) return RETORT_OK;
    return rt_fail(err, RETORT_ARGUMENT, "quantize: recipe '%s' is for fewer than %d bits", q->row->name,
                   q->bits);
}

/* Resolution of progress. */
enum { PROGRESS_PARTS = 1000 };

retort_status rt_quantizer_go_on(void *user, size_t done, size_t count, retort_error *err) {
    rt_quantizer *q = user;
    const retort_quantize_options *options = q->options;
    q->share = count > 0 ? (double)done / (double)count : 0;
    double whole = q->total > 0 ? (q->done + q->part * q->share) / q->total : 0;
    size_t parts = rt_min((size_t)(fmin(whole, 1) * PROGRESS_PARTS), PROGRESS_PARTS - 1);
    if (options->progress == NULL || options->progress(options->user, q->doing, parts, PROGRESS_PARTS) == 0) {
        return RETORT_OK;
    }
    return rt_fail(err, RETORT_CANCELLED, "quantize: cancelled at: %.200s", q->doing);
}

retort_status rt_quantizer_report(rt_quantizer *q, const char *what, double work, retort_error *err) {
    q->doing = what;
    q->done += q->part;
    q->part = work;
    return rt_quantizer_go_on(q, 0, 1, err);
}

/* The rows of the word table that are read most often. */
static retort_status find_frequent(const rt_quantizer *q, int index, rt_word_rows *words, rt_frequent *out,
                                   retort_error *err) {
    const rt_feed *texts = &q->calibration.texts;
    size_t rows = (size_t)q->graph->values[q->graph->nodes[index].inputs[LINEAR_WEIGHT]].dims[0];
    retort_status status = rt_frequent_find(out, texts->ids, texts->tokens, rows, rows / FREQUENT_SHARE, err);
    words->s8_ids = out->ids;
    words->s8_count = out->count;
    return status;
}

/* Positions take few bytes, and every token reads one: 8 bits in every recipe. */
static retort_status round_tables(rt_quantizer *q, int index, retort_error *err) {
    bool by_importance = q->importance.embedded != NULL && q->table_bits < 8;
    const rt_kernels *kernels = &q->calibration.kernels;
    rt_pruned_ids unused;
    rt_frequent frequent = {0};
    retort_status status = rt_pruned_ids_find(&unused, q->tokenizer, err);
    rt_word_rows words = {.pruned = unused.pruned, .pruned_count = unused.count};
    if (status == RETORT_OK && by_importance) status = find_frequent(q, index, &words, &frequent, err);
    if (status == RETORT_OK && by_importance)
        status = rt_gptq_word_table(q->graph, index, q->table_bits, q->group, &words, q->importance.embedded,
                                    kernels, err);
    if (status == RETORT_OK && !by_importance)
        status = rt_ptq_word_table(q->graph, index, q->table_bits, q->group, &words, NULL, err);
    rt_frequent_free(&frequent);
    bool position = is_float_constant(q, &q->graph->nodes[index], 2);
    return status == RETORT_OK && position ? rt_ptq_positions(q->graph, index, err) : status;
}

bool rt_quantizer_wide(const rt_quantizer *q, const rt_node *node) {
    return q->graph->values[node->inputs[LINEAR_WEIGHT]].dims[1] >= MIN_COLUMNS;
}

retort_status rt_quantizer_round(rt_quantizer *q, int index, retort_error *err) {
    const rt_node *node = &q->graph->nodes[index];
    if (node->op == RT_OP_EMBED) return round_tables(q, index, err);
    return rt_ptq_matrix(q->graph, index, rt_quantizer_wide(q, node) ? q->bits : 8, q->group, NULL, err);
}

/* A head is small and has few rows of activations: no outlier columns. */
size_t rt_quantizer_outliers(const rt_quantizer *q, const rt_node *node) {
    return q->row->outliers && !rt_node_in_head(q->graph, node) ? q->outliers : 0;
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

static retort_status open_calibration(rt_quantizer *q, const retort_model *model, retort_error *err) {
    if (!needs_data(q)) {
        char text[120];
        snprintf(text, sizeof text, "quantize: recipe '%s' reads no data: what is given has no effect",
                 q->row->name);
        if (q->options->data != NULL && q->options->warning != NULL)
            q->options->warning(q->options->user, text);
        return RETORT_OK;
    }
    if (q->options->data == NULL) {
        return rt_fail(err, RETORT_ARGUMENT,
                       "quantize: recipe '%s' needs data to calibrate with: --data FILE, in C options.data",
                       q->row->name);
    }
    q->samples = q->options->samples != 0 ? q->options->samples : DEFAULT_SAMPLES;
    retort_status status =
        rt_calibration_open(&q->calibration, model, q->options->data, q->samples, q->options->seed, err);
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

/* Measures the importance of the word table before rounding it. */
static retort_status measure_importance(rt_quantizer *q, retort_error *err) {
    retort_status status = rt_quantizer_report(q, "importance", rt_work_importance(q), err);
    if (status != RETORT_OK) return status;
    return rt_importance_make(&q->importance, &q->calibration, q->pool, q->options->seed, err);
}

static retort_status round_all(rt_quantizer *q, const retort_model *model, retort_error *err) {
    int waves = 0;
    retort_status status = check_keep(q, err);
    if (status == RETORT_OK && !rt_links_open(q->graph))
        status = rt_fail_nomem(err, q->graph->node_count * sizeof(rt_node));
    if (status == RETORT_OK) status = check_bits(q, err);
    if (status == RETORT_OK) status = open_calibration(q, model, err);
    if (status == RETORT_OK) status = rt_waves_plan(q, &waves, err);
    if (status == RETORT_OK) status = check_sizes(q, err);
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

static const rt_recipe *find_recipe(const char *name, retort_error *err) {
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
    const rt_recipe *row = find_recipe(options->recipe != NULL ? options->recipe : recipes[0].name, err);
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
    q.table_bits = options->embeddings != 0 ? options->embeddings : q.bits == 3 ? 3 : row->table_bits;
    q.group = options->group != 0 ? options->group : row->group;
    q.outliers = options->weak_columns != 0 ? options->weak_columns : DEFAULT_OUTLIERS;
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
