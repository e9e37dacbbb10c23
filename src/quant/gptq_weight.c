/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/gptq_weight.h"
#include "graph/match.h"
#include "quant/gptq.h"
#include "quant/channel_scale.h"
#include "quant/output_hessian.h"
#include "quant/ptq.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* State while a matrix or a table is rounded. */
typedef struct rounding {
    size_t k, n, group, outliers;
    int bits;
    const rt_moments *moments;
    const rt_kernels *kernels;
    rt_factor factor;
    rt_gptq_scratch scratch;
    rt_output_hessian outputs;
    float *compensated;     /* [k, 16] the panel to round, compensated */
    uint32_t *outlier_rows; /* [outliers] ascending */
} rounding;

static void rounding_free(rounding *job) {
    rt_factor_free(&job->factor);
    rt_gptq_end(&job->scratch);
    rt_output_hessian_free(&job->outputs);
    free(job->compensated);
    free(job->outlier_rows);
}

/* Turns second moments into covariances: the bias compensates the mean error, so only the variation counts (a
 * bias is the weight of an input that is always 1, and is not rounded). */
static void to_covariance(rt_moments *m) {
    double inverse = 1 / (double)m->rows;
    for (size_t i = 0; i < m->k; i++) m->sum[i] *= inverse;
    for (size_t i = 0; i < m->k; i++) {
        double *row = m->gram + i * m->k;
        row[i] = fmax(row[i] * inverse - m->sum[i] * m->sum[i], 0);
        for (size_t j = 0; j < i; j++) {
            /* With few rows, the differences are rounding errors: enforce the Cauchy-Schwarz inequality. */
            double value = row[j] * inverse - m->sum[i] * m->sum[j], most = row[i] * m->gram[j * m->k + j];
            row[j] = value * value <= most ? value : copysign(sqrt(most), value);
        }
    }
}

/* ---- Outlier rows ---- */

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

/* ranks[row].sensitivity += squared error of the row when the panel is rounded to nearest. */
static bool add_losses(const rounding *job, const float *w, float *reals, rt_rounded *rounded, rank *ranks) {
    if (!rt_round_grouped(job->k, job->group, w, reals, rounded)) return false;
    for (size_t i = 0; i < job->k; i++) {
        const uint8_t *groups = rounded->groups + i / job->group * RT_PANEL;
        for (size_t c = 0; c < RT_PANEL; c++) {
            size_t at = i * RT_PANEL + c;
            double lost =
                (double)w[at] - (double)rounded->codes[at] * (double)groups[c] * (double)rounded->scale[c];
            ranks[i].sensitivity += lost * lost;
        }
    }
    return true;
}

/* The `outliers` rows with the largest H_jj |dW_j|^2, where dW is the error of rounding to nearest (OWQ, equation
 * 5). */
static void rank_rows(rounding *job, const float *w, float *reals, rt_rounded *rounded, rank *ranks) {
    for (size_t from = 0; from < job->n; from += RT_PANEL) {
        if (!add_losses(job, w + from * job->k, reals, rounded, ranks)) break; /* rounding will report it */
    }
    for (size_t i = 0; i < job->k; i++) {
        ranks[i].sensitivity *= job->moments->gram[i * job->k + i];
        ranks[i].row = (uint32_t)i;
    }
    qsort(ranks, job->k, sizeof *ranks, by_sensitivity);
    for (size_t i = 0; i < job->outliers; i++) job->outlier_rows[i] = ranks[i].row;
    qsort(job->outlier_rows, job->outliers, sizeof *job->outlier_rows, by_row);
}

static retort_status find_outliers(rounding *job, const float *w, retort_error *err) {
    size_t groups = (job->k + job->group - 1) / job->group;
    if (job->outliers == 0) return RETORT_OK;
    rt_rounded rounded = {.grid = rt_grid_of(job->bits),
                          .codes = rt_calloc(job->k, RT_PANEL),
                          .groups = rt_calloc(groups, RT_PANEL)};
    float *reals = rt_calloc(groups, RT_PANEL * sizeof *reals);
    rank *ranks = rt_calloc(job->k, sizeof *ranks);
    bool made = rounded.codes != NULL && rounded.groups != NULL && reals != NULL && ranks != NULL;
    if (made) rank_rows(job, w, reals, &rounded, ranks);
    free(rounded.codes);
    free(rounded.groups);
    free(reals);
    free(ranks);
    return made ? RETORT_OK : rt_fail_nomem(err, job->k * sizeof *ranks);
}

/* ---- Rounding ---- */

/* The error of the panel relative to w, by step, after `compensated` was rounded instead; also goes to
 * job->outputs. */
static void look_at_losses(rounding *job, size_t panel, const float *w, const float *compensated) {
    float *lost = job->scratch.lost;
    for (size_t i = 0; i < job->k; i++) {
        size_t row = (size_t)job->factor.order[i] * RT_PANEL;
        for (size_t c = 0; c < RT_PANEL; c++) lost[i * RT_PANEL + c] += w[row + c] - compensated[row + c];
    }
    rt_output_hessian_keep(&job->outputs, panel, job->factor.order, lost);
}

struct rt_gptq_weight {
    size_t k, n, groups, outliers, group;
    int bits;
    int8_t *codes;          /* [panels, k, 16]; NULL: to be rounded to nearest */
    uint8_t *group_at;      /* [panels, groups, 16] */
    int8_t *outlier_codes;  /* [panels, outliers, 16] */
    int32_t *outlier_order; /* [outliers] in the order of steps */
    float *scale;           /* [panels, 16] */
    double *shift;          /* [n] mean error of the output of each column */
};

void rt_gptq_weight_free(rt_gptq_weight *rounded) {
    if (rounded == NULL) return;
    free(rounded->codes);
    free(rounded->group_at);
    free(rounded->outlier_codes);
    free(rounded->outlier_order);
    free(rounded->scale);
    free(rounded->shift);
    free(rounded);
}

static bool reserve(rt_gptq_weight *r) {
    size_t wide = rt_round_up(r->n, RT_PANEL);
    r->codes = rt_calloc(r->k, wide);
    r->group_at = rt_calloc(rt_max(r->groups, 1), wide);
    r->outlier_codes = rt_calloc(rt_max(r->outliers, 1), wide);
    r->outlier_order = rt_calloc(rt_max(r->outliers, 1), sizeof *r->outlier_order);
    r->scale = rt_calloc(wide, sizeof *r->scale);
    r->shift = rt_calloc(wide, sizeof *r->shift);
    return r->codes != NULL && r->group_at != NULL && r->outlier_codes != NULL && r->outlier_order != NULL &&
           r->scale != NULL && r->shift != NULL;
}

static bool round_panel(rounding *job, size_t panel, const float *w, rt_gptq_weight *to) {
    bool joint = job->outputs.back != NULL;
    rt_rounded out = {.grid = rt_grid_of(job->bits)};
    out.codes = to->codes + panel * job->k * RT_PANEL;
    out.groups = to->group_at + panel * to->groups * RT_PANEL;
    if (joint) rt_output_hessian_compensate(&job->outputs, job->kernels, panel, w, job->compensated);
    const float *from = joint ? job->compensated : w;
    bool finite = job->bits == 8 ? rt_gptq_panel_s8(&job->factor, job->kernels, from, &job->scratch, &out)
                                 : rt_gptq_panel(&job->factor, job->kernels, from, &job->scratch, &out,
                                                 to->outlier_codes + panel * job->outliers * RT_PANEL);
    if (!finite) return false;
    memcpy(to->scale + panel * RT_PANEL, out.scale, sizeof out.scale);
    if (joint) look_at_losses(job, panel, w, job->compensated);
    for (size_t c = 0; c < RT_PANEL; c++) {
        double shift = 0;
        for (size_t i = 0; i < job->k; i++) {
            shift += job->moments->sum[job->factor.order[i]] * (double)job->scratch.lost[i * RT_PANEL + c];
        }
        to->shift[panel * RT_PANEL + c] = shift;
    }
    return true;
}

static retort_status round_panels(rounding *job, const rt_value *weight, rt_gptq_weight *to,
                                  retort_error *err) {
    for (size_t i = 0; i < job->outliers; i++)
        to->outlier_order[i] = (int32_t)job->factor.order[job->k - job->outliers + i];
    for (size_t from = 0; from < job->n; from += RT_PANEL) {
        const float *w = (const float *)weight->data + from * job->k;
        if (!round_panel(job, from / RT_PANEL, w, to))
            return rt_fail(err, RETORT_FORMAT, "%.200s: not all weights are finite", weight->name);
    }
    return RETORT_OK;
}

static retort_status round_weight(rounding *job, const rt_value *weight, const float *outputs,
                                  rt_gptq_weight *to, retort_error *err) {
    retort_status status = find_outliers(job, weight->data, err);
    if (status == RETORT_OK)
        status = rt_factor_make(&job->factor, job->k, job->group, job->moments->gram, job->outlier_rows,
                                job->outliers, err);
    if (status == RETORT_OK && outputs != NULL)
        status = rt_output_hessian_make(&job->outputs, job->k, job->n, outputs, err);
    if (status != RETORT_OK) return status;
    job->compensated = rt_alloc_aligned(job->k * RT_PANEL * sizeof *job->compensated);
    if (!rt_gptq_begin(&job->scratch, &job->factor) || job->compensated == NULL)
        return rt_fail_nomem(err, job->k);
    return round_panels(job, weight, to, err);
}

retort_status rt_gptq_weight_round(rt_gptq_weight **out, const rt_graph *graph, int node,
                                   const rt_gptq_options *how, retort_error *err) {
    const rt_value *weight = &graph->values[graph->nodes[node].inputs[LINEAR_WEIGHT]];
    rounding job = {.k = (size_t)weight->dims[0], .n = (size_t)weight->dims[1], .group = how->group};
    rt_gptq_weight *to = *out = rt_calloc(1, sizeof *to);
    if (to == NULL) return rt_fail_nomem(err, sizeof *to);
    *to = (rt_gptq_weight){
        .k = job.k, .n = job.n, .outliers = how->outliers, .group = how->group, .bits = how->bits};
    to->groups = how->bits < 8 ? (job.k + job.group - 1) / job.group : 0;
    if (how->moments->rows == 0) return RETORT_OK;
    job.outliers = how->outliers;
    job.bits = how->bits;
    job.moments = how->moments;
    job.kernels = how->kernels;
    job.outlier_rows = rt_calloc(rt_max(job.outliers, 1), sizeof *job.outlier_rows);
    to_covariance(how->moments);
    bool made = job.outlier_rows != NULL && reserve(to);
    retort_status status = made ? round_weight(&job, weight, how->outputs, to, err)
                                : rt_fail_nomem(err, job.k * rt_round_up(job.n, RT_PANEL));
    rounding_free(&job);
    return status;
}

/* The rt_rounder of rt_ptq_matrix, panel by panel. */
typedef struct giver {
    const rt_gptq_weight *from;
    int8_t *outliers; /* [outliers, 16] */
} giver;

static bool give_panel(void *user, size_t panel, const float *w, rt_rounded *out) {
    const giver *g = user;
    const rt_gptq_weight *r = g->from;
    (void)w;
    memcpy(out->codes, r->codes + panel * r->k * RT_PANEL, r->k * RT_PANEL);
    memcpy(out->groups, r->group_at + panel * r->groups * RT_PANEL, r->groups * RT_PANEL);
    memcpy(g->outliers, r->outlier_codes + panel * r->outliers * RT_PANEL, r->outliers * RT_PANEL);
    memcpy(out->scale, r->scale + panel * RT_PANEL, sizeof out->scale);
    return true;
}

retort_status rt_gptq_weight_settle(const rt_gptq_weight *r, rt_graph *graph, int node, retort_error *err) {
    int weight = graph->nodes[node].inputs[LINEAR_WEIGHT];
    if (r->codes == NULL) return rt_ptq_matrix(graph, node, r->bits, (int64_t)r->group, NULL, err);
    giver g = {.from = r, .outliers = rt_calloc(rt_max(r->outliers, 1), RT_PANEL)};
    if (g.outliers == NULL) return rt_fail_nomem(err, r->outliers * RT_PANEL);
    rt_rounder rounder = {.round = give_panel, .user = &g, .outliers = r->outliers};
    rounder.outlier_rows = r->outlier_order;
    rounder.outlier_codes = g.outliers;
    retort_status status = rt_ptq_matrix(graph, node, r->bits, (int64_t)r->group, &rounder, err);
    free(g.outliers);
    return status == RETORT_OK ? rt_shift_bias(graph, weight, r->shift, err) : status;
}

/* ---- Words ---- */

static bool round_rows(void *user, size_t panel, const float *w, rt_rounded *out) {
    rounding *job = user;
    (void)panel;
    if (!rt_gptq_panel(&job->factor, job->kernels, w, &job->scratch, out, NULL)) return false;
    rt_gptq_descend(&job->factor, job->kernels, &job->scratch, out);
    return true;
}

retort_status rt_gptq_word_table(rt_graph *graph, int node, int bits, int64_t group,
                                 const rt_word_rows *words, const double *moments, const rt_kernels *kernels,
                                 retort_error *err) {
    rounding job = {.k = (size_t)graph->values[graph->nodes[node].inputs[LINEAR_WEIGHT]].dims[1],
                    .kernels = kernels};
    retort_status status = rt_factor_make(&job.factor, job.k, (size_t)group, moments, NULL, 0, err);
    if (status == RETORT_OK) status = rt_factor_keep_hessian(&job.factor, moments, err);
    if (status == RETORT_OK && !rt_gptq_begin(&job.scratch, &job.factor)) status = rt_fail_nomem(err, job.k);
    rt_rounder rounder = {.round = round_rows, .user = &job};
    if (status == RETORT_OK) status = rt_ptq_word_table(graph, node, bits, group, words, &rounder, err);
    rounding_free(&job);
    return status;
}
