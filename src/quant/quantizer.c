/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/quantizer.h"
#include "graph/links.h"
#include "quant/frequent.h"
#include "quant/gptq_weight.h"
#include "quant/pruned_ids.h"

#include <math.h>
#include <string.h>

enum {
    FREQUENT_SHARE = 24, /* one in this many rows of the word table keeps 8 bits */
    MIN_COLUMNS = 64     /* of 4-bit matrices: fewer are logits of a head, and take hardly any bytes */
};

/* At 2 bits, the scales of groups and the rows of 8 bits are a larger part of the file. models/banking77 in groups of 64,
 * mean KL on its test texts and MB: 3.88e-2 and 7.14 as at other bits, 3.91e-2 and 7.06 with wider groups, 3.59e-2 and
 * 7.04 with one row in 32 as well. */
enum { TWO_BITS_FREQUENT_SHARE = 40, TWO_BITS_WIDER = 2 };

/* ---- What is rounded ---- */

/* Whether a name in `keep` is that of the node or of an enclosing scope. */
static bool is_scope(const char *keep, const char *name) {
    size_t length = strlen(keep);
    return strncmp(keep, name, length) == 0 && (name[length] == '\0' || name[length] == '.');
}

bool rt_quantizer_has_weight(const rt_node *node) {
    return node->op == RT_OP_LINEAR || node->op == RT_OP_EMBED;
}

static bool is_kept(const rt_quantizer *q, const rt_node *node) {
    for (size_t i = 0; i < q->options->keep_count; i++) {
        if (is_scope(q->options->keep[i], node->name)) return true;
    }
    return false;
}

retort_status rt_quantizer_check_keep(const rt_quantizer *q, retort_error *err) {
    for (size_t i = 0; i < q->options->keep_count; i++) {
        const char *name = q->options->keep[i];
        bool found = false;
        for (size_t n = 0; name != NULL && n < q->graph->node_count; n++) {
            found |= rt_quantizer_has_weight(&q->graph->nodes[n]) && is_scope(name, q->graph->nodes[n].name);
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
    if (input >= node->input_count || node->inputs[input] < 0) return false;
    const rt_value *value = &q->graph->values[node->inputs[input]];
    return rt_value_is_constant(value) && value->data != NULL && value->dtype == RETORT_F32 &&
           is_free(q, node, input);
}

bool rt_quantizer_due(const rt_quantizer *q, const rt_node *node) {
    return rt_quantizer_has_weight(node) && is_float_constant(q, node, 1);
}

/* ---- Progress ---- */

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

/* ---- Rounding to nearest ---- */

/* The rows of the word table that are read most often. */
static retort_status find_frequent(const rt_quantizer *q, int index, rt_word_rows *words, rt_frequent *out,
                                   retort_error *err) {
    const rt_feed *texts = &q->calibration.texts;
    size_t rows = (size_t)q->graph->values[q->graph->nodes[index].inputs[LINEAR_WEIGHT]].dims[0];
    size_t most = rows / (q->table_bits == 2 ? TWO_BITS_FREQUENT_SHARE : FREQUENT_SHARE);
    retort_status status = rt_frequent_find(out, texts->ids, texts->tokens, rows, most, err);
    words->s8_ids = out->ids;
    words->s8_count = out->count;
    return status;
}

/* Positions take few bytes, and every token reads one: 8 bits in every recipe. */
static retort_status round_tables(rt_quantizer *q, int index, retort_error *err) {
    bool by_importance = q->importance.embedded != NULL && q->table_bits < 8;
    const rt_kernels *kernels = &q->calibration.kernels;
    rt_pruned_ids pruned;
    rt_frequent frequent = {0};
    retort_status status = rt_pruned_ids_find(&pruned, q->tokenizer, err);
    rt_word_rows words = {
        .pruned = pruned.pruned, .pruned_count = pruned.count, .go_on = rt_quantizer_go_on, .user = q};
    if (status == RETORT_OK && by_importance) status = find_frequent(q, index, &words, &frequent, err);
    if (status == RETORT_OK && by_importance)
        status = rt_gptq_word_table(q->graph, index, q->table_bits,
                                    q->table_bits == 2 ? TWO_BITS_WIDER * q->group : q->group, &words,
                                    q->importance.embedded, kernels, err);
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
