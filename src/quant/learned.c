/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/learned.h"
#include "graph/match.h"
#include "quant/gptq.h"
#include "quant/move.h"
#include "quant/outputs.h"
#include "quant/ptq.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct learner {
    size_t k, n, group, weak;
    int bits;
    const rt_moments *moments;
    const rt_kernels *kernels;
    rt_factor factor;
    rt_gptq_scratch scratch;
    rt_outputs outputs;
    float *moved;        /* [k, 16] a panel as it is rounded */
    uint32_t *weak_rows; /* [weak] ascending */
    int32_t *weak_order; /* [weak] in the order of steps */
    int8_t *weak_codes;  /* [weak, 16] */
    double *shift;       /* [n] what the columns' outputs lose on average */
} learner;

static void learner_free(learner *l) {
    rt_factor_free(&l->factor);
    rt_gptq_end(&l->scratch);
    rt_outputs_free(&l->outputs);
    free(l->moved);
    free(l->weak_rows);
    free(l->weak_order);
    free(l->weak_codes);
    free(l->shift);
}

/* Second moments to covariances: the mean of what a rounding loses is made up for by the bias, so that only
 * what varies counts (a bias is the weight of an input that is always 1, and is not rounded). */
static void to_covariance(rt_moments *m) {
    double inverse = 1 / (double)m->rows;
    for (size_t i = 0; i < m->k; i++) m->sum[i] *= inverse;
    for (size_t i = 0; i < m->k; i++) {
        double *row = m->squares + i * m->k;
        row[i] = fmax(row[i] * inverse - m->sum[i] * m->sum[i], 0);
        for (size_t j = 0; j < i; j++) {
            /* Of hardly any rows differences are roundings, which keep to no law: Cauchy and Schwarz's is
             * enforced. */
            double value = row[j] * inverse - m->sum[i] * m->sum[j], most = row[i] * m->squares[j * m->k + j];
            row[j] = value * value <= most ? value : copysign(sqrt(most), value);
        }
    }
}

/* ---- Weak rows ---- */

typedef struct rank {
    double sensitivity;
    uint32_t row;
} rank;

static int by_sensitivity(const void *left, const void *right) {
    const rank *a = left, *b = right;
    if (a->sensitivity != b->sensitivity) return a->sensitivity > b->sensitivity ? -1 : 1;
    return a->row < b->row ? -1 : 1;
}

static int by_row(const void *left, const void *right) {
    const uint32_t *a = left, *b = right;
    return *a < *b ? -1 : *a > *b;
}

/* ranks[row].sensitivity += what rounding a panel to nearest loses of the row, squared. */
static bool add_losses(const learner *l, const float *w, float *reals, rt_rounded *rounded, rank *ranks) {
    if (!rt_round_s4(l->k, l->group, w, reals, rounded)) return false;
    for (size_t i = 0; i < l->k; i++) {
        const uint8_t *groups = rounded->groups + i / l->group * RT_PANEL;
        for (size_t c = 0; c < RT_PANEL; c++) {
            size_t at = i * RT_PANEL + c;
            double lost =
                (double)w[at] - (double)rounded->codes[at] * (double)groups[c] * (double)rounded->scale[c];
            ranks[i].sensitivity += lost * lost;
        }
    }
    return true;
}

/* The `weak` rows of the largest H_jj |dW_j|^2, dW what rounding to nearest loses (OWQ, equation 5). */
static void rank_rows(learner *l, const float *w, float *reals, rt_rounded *rounded, rank *ranks) {
    for (size_t from = 0; from < l->n; from += RT_PANEL) {
        if (!add_losses(l, w + from * l->k, reals, rounded, ranks)) break; /* rounding will say so */
    }
    for (size_t i = 0; i < l->k; i++) {
        ranks[i].sensitivity *= l->moments->squares[i * l->k + i];
        ranks[i].row = (uint32_t)i;
    }
    qsort(ranks, l->k, sizeof *ranks, by_sensitivity);
    for (size_t i = 0; i < l->weak; i++) l->weak_rows[i] = ranks[i].row;
    qsort(l->weak_rows, l->weak, sizeof *l->weak_rows, by_row);
}

static retort_status find_weak(learner *l, const float *w, retort_error *err) {
    size_t groups = (l->k + l->group - 1) / l->group;
    if (l->weak == 0) return RETORT_OK;
    rt_rounded rounded = {
        .three = l->bits == 3, .codes = rt_calloc(l->k, RT_PANEL), .groups = rt_calloc(groups, RT_PANEL)};
    float *reals = rt_calloc(groups, RT_PANEL * sizeof *reals);
    rank *ranks = rt_calloc(l->k, sizeof *ranks);
    bool made = rounded.codes != NULL && rounded.groups != NULL && reals != NULL && ranks != NULL;
    if (made) rank_rows(l, w, reals, &rounded, ranks);
    free(rounded.codes);
    free(rounded.groups);
    free(reals);
    free(ranks);
    return made ? RETORT_OK : rt_fail_nomem(err, l->k * sizeof *ranks);
}

/* ---- Rounding ---- */

/* What the panel lost of w, by step, when `moved` was rounded in its place; and its rows to l->outputs. */
static void look_at_losses(learner *l, size_t panel, const float *w, const float *moved) {
    float *lost = l->scratch.lost;
    for (size_t i = 0; i < l->k; i++) {
        size_t row = (size_t)l->factor.order[i] * RT_PANEL;
        for (size_t c = 0; c < RT_PANEL; c++) lost[i * RT_PANEL + c] += w[row + c] - moved[row + c];
    }
    rt_outputs_keep(&l->outputs, panel, l->factor.order, lost);
}

static bool round_panel(void *user, size_t panel, const float *w, rt_rounded *out) {
    learner *l = user;
    const rt_factor *f = &l->factor;
    bool joint = l->outputs.back != NULL;
    if (joint) rt_outputs_move(&l->outputs, l->kernels, panel, w, l->moved);
    if (!rt_gptq_panel(f, l->kernels, joint ? l->moved : w, &l->scratch, out, l->weak_codes)) return false;
    if (joint) look_at_losses(l, panel, w, l->moved);
    for (size_t c = 0; c < rt_min(RT_PANEL, l->n - panel * RT_PANEL); c++) {
        double shift = 0;
        for (size_t i = 0; i < f->k; i++) {
            shift += l->moments->sum[f->order[i]] * (double)l->scratch.lost[i * RT_PANEL + c];
        }
        l->shift[panel * RT_PANEL + c] = shift;
    }
    return true;
}

static retort_status learn(learner *l, rt_graph *graph, int node, const float *outputs, retort_error *err) {
    int weight = graph->nodes[node].inputs[1];
    retort_status status = find_weak(l, graph->values[weight].data, err);
    if (status == RETORT_OK)
        status = rt_factor_make(&l->factor, l->k, l->group, l->moments->squares, l->weak_rows, l->weak, err);
    if (status == RETORT_OK && outputs != NULL)
        status = rt_outputs_make(&l->outputs, l->k, l->n, outputs, err);
    if (status != RETORT_OK) return status;
    l->moved = rt_alloc_aligned(l->k * RT_PANEL * sizeof *l->moved);
    l->shift = rt_calloc(l->n, sizeof *l->shift);
    if (!rt_gptq_begin(&l->scratch, &l->factor) || l->shift == NULL || l->moved == NULL)
        return rt_fail_nomem(err, l->k);
    for (size_t i = 0; i < l->weak; i++) l->weak_order[i] = (int32_t)l->factor.order[l->k - l->weak + i];
    rt_rounder rounder = {.round = round_panel, .user = l, .weak = l->weak};
    rounder.weak_rows = l->weak_order;
    rounder.weak_codes = l->weak_codes;
    status = rt_ptq_matrix(graph, node, l->bits, (int64_t)l->group, &rounder, err);
    return status == RETORT_OK ? rt_shift_bias(graph, weight, l->shift, err) : status;
}

retort_status rt_learned_matrix(rt_graph *graph, int node, int bits, int64_t group, size_t weak,
                                const float *outputs, rt_moments *moments, const rt_kernels *kernels,
                                retort_error *err) {
    if (moments->rows == 0) return rt_ptq_matrix(graph, node, bits, group, NULL, err);
    learner l = {
        .k = moments->k, .group = (size_t)group, .weak = weak, .moments = moments, .kernels = kernels};
    l.bits = bits;
    l.n = (size_t)graph->values[graph->nodes[node].inputs[1]].dims[1];
    to_covariance(moments);
    l.weak_rows = rt_calloc(weak, sizeof *l.weak_rows);
    l.weak_order = rt_calloc(weak, sizeof *l.weak_order);
    l.weak_codes = rt_calloc(weak, RT_PANEL);
    bool made = l.weak_rows != NULL && l.weak_order != NULL && l.weak_codes != NULL;
    retort_status status = made ? learn(&l, graph, node, outputs, err) : rt_fail_nomem(err, weak * RT_PANEL);
    learner_free(&l);
    return status;
}

static bool round_rows(void *user, size_t panel, const float *w, rt_rounded *out) {
    learner *l = user;
    (void)panel;
    if (!rt_gptq_panel(&l->factor, l->kernels, w, &l->scratch, out, NULL)) return false;
    rt_gptq_descend(&l->factor, l->kernels, &l->scratch, out);
    return true;
}

retort_status rt_learned_words(rt_graph *graph, int node, int bits, int64_t group, const rt_words *words,
                               const double *moments, const rt_kernels *kernels, retort_error *err) {
    learner l = {.k = (size_t)graph->values[graph->nodes[node].inputs[1]].dims[1], .kernels = kernels};
    retort_status status = rt_factor_make(&l.factor, l.k, (size_t)group, moments, NULL, 0, err);
    if (status == RETORT_OK && !rt_gptq_begin(&l.scratch, &l.factor)) status = rt_fail_nomem(err, l.k);
    rt_rounder rounder = {.round = round_rows, .user = &l};
    if (status == RETORT_OK) status = rt_ptq_words(graph, node, bits, group, words, &rounder, err);
    learner_free(&l);
    return status;
}
