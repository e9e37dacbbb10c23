/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/gptq.h"
#include "base/memory.h"
#include "quant/cholesky.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- The order ---- */

typedef struct place {
    double size, group_size; /* H_ii of the row, and the largest in its group */
    uint32_t row, group;
    bool outliers;
} place;

/* Outlier rows last, then by group, then by size; ties by number. */
static int compare_places(const void *left, const void *right) {
    const place *a = left, *b = right;
    if (a->outliers != b->outliers) return a->outliers ? 1 : -1;
    if (!a->outliers && a->group_size != b->group_size) return a->group_size > b->group_size ? -1 : 1;
    if (!a->outliers && a->group != b->group) return a->group < b->group ? -1 : 1;
    if (a->size != b->size) return a->size > b->size ? -1 : 1;
    return a->row < b->row ? -1 : 1;
}

static retort_status make_order(rt_factor *f, const double *h, const uint32_t *outlier_rows,
                                retort_error *err) {
    place *places = rt_calloc(f->k, sizeof *places);
    if (places == NULL) return rt_fail_nomem(err, f->k * sizeof *places);
    for (size_t i = 0; i < f->k; i++) {
        places[i] = (place){.size = h[i * f->k + i], .row = (uint32_t)i, .group = (uint32_t)(i / f->group)};
    }
    for (size_t i = 0; i < f->outliers; i++) places[outlier_rows[i]].outliers = true;
    for (size_t from = 0; from < f->k; from += f->group) {
        double most = 0;
        for (size_t i = from; i < rt_min(from + f->group, f->k); i++) {
            if (!places[i].outliers && places[i].size > most) most = places[i].size;
        }
        for (size_t i = from; i < rt_min(from + f->group, f->k); i++) places[i].group_size = most;
    }
    qsort(places, f->k, sizeof *places, compare_places);
    for (size_t i = 0; i < f->k; i++) f->order[i] = places[i].row;
    free(places);
    return RETORT_OK;
}

/* ---- The factor ---- */

/* Damped H in reverse order of steps: with its lower factor L, V_ji = L[k-1-j][k-1-i]. */
static void reverse(const rt_factor *f, const double *h, double *out) {
    size_t k = f->k;
    for (size_t r = 0; r < k; r++) {
        for (size_t s = 0; s <= r; s++) {
            size_t i = f->order[k - 1 - r], j = f->order[k - 1 - s];
            out[r * k + s] = h[rt_max(i, j) * k + rt_min(i, j)];
        }
        out[r * k + r] += f->added;
    }
}

static void keep_factor(rt_factor *f, const double *lower) {
    size_t k = f->k;
    for (size_t i = 0; i < k; i++) {
        size_t column = k - 1 - i;
        double own = lower[column * k + column];
        f->cost[i] = (float)(own * own);
        for (size_t j = 0; j < i; j++) f->back[i * k + j] = (float)(lower[(k - 1 - j) * k + column] / own);
    }
}

enum { DAMPINGS = 14 }; /* from 1 % to 80 times the mean of the diagonal */

/* Damping for numerical stability (section 3.3, step 3): adds 1 % of the mean of the diagonal to it, and
 * doubles that until the factor exists. work: [k + RT_CHOLESKY_ROWS, k] */
static retort_status factor(rt_factor *f, const double *h, double *work, retort_error *err) {
    double mean = 0;
    for (size_t i = 0; i < f->k; i++) mean += h[i * f->k + i] / (double)f->k;
    for (int i = 0; i < DAMPINGS; i++) {
        /* If all inputs were always 0, rows are independent: they are rounded to nearest. */
        f->added = mean > 0 ? ldexp(0.01, i) * mean : 1;
        reverse(f, h, work);
        if (!rt_cholesky(f->k, work, work + f->k * f->k)) continue;
        keep_factor(f, work);
        return RETORT_OK;
    }
    return rt_fail(err, RETORT_FORMAT, "activations are not finite: no factor of their second moments");
}

retort_status rt_factor_make(rt_factor *out, size_t k, size_t group, const double *h,
                             const uint32_t *outlier_rows, size_t outliers, retort_error *err) {
    *out = (rt_factor){.k = k, .group = group, .outliers = outliers};
    double *work = rt_calloc(k + RT_CHOLESKY_ROWS, k * sizeof *work);
    out->order = rt_calloc(k, sizeof *out->order);
    out->cost = rt_calloc(k, sizeof *out->cost);
    out->back = rt_alloc_aligned(rt_round_up(k * k * sizeof *out->back, 64));
    bool made = work != NULL && out->order != NULL && out->cost != NULL && out->back != NULL;
    retort_status status =
        made ? make_order(out, h, outlier_rows, err) : rt_fail_nomem(err, k * k * sizeof *work);
    if (status == RETORT_OK) status = factor(out, h, work, err);
    free(work);
    return status;
}

retort_status rt_factor_keep_hessian(rt_factor *f, const double *h, retort_error *err) {
    size_t k = f->k;
    f->hessian = rt_alloc_aligned(rt_round_up(k * k * sizeof *f->hessian, 64));
    if (f->hessian == NULL) return rt_fail_nomem(err, k * k * sizeof *f->hessian);
    for (size_t i = 0; i < k; i++) {
        for (size_t j = 0; j < i; j++) {
            size_t row = f->order[i], column = f->order[j];
            float value = (float)h[rt_max(row, column) * k + rt_min(row, column)];
            f->hessian[i * k + j] = f->hessian[j * k + i] = value;
        }
        f->hessian[i * k + i] = (float)(h[f->order[i] * (k + 1)] + f->added);
    }
    return RETORT_OK;
}

void rt_factor_free(rt_factor *factor) {
    free(factor->order);
    free(factor->back);
    free(factor->cost);
    free(factor->hessian);
    *factor = (rt_factor){0};
}

/* ---- A panel ---- */

enum { BLOCK = 64 }; /* steps whose gradients one product computes (rt_gptq_descend) */

bool rt_gptq_begin(rt_gptq_scratch *out, const rt_factor *factor) {
    size_t row = RT_PANEL * sizeof(float), groups = (factor->k + factor->group - 1) / factor->group;
    size_t most = rt_max(rt_min(factor->group, factor->k), factor->outliers);
    out->lost = rt_alloc_aligned(factor->k * row);
    out->ahead = rt_alloc_aligned(most * row);
    out->trial = rt_alloc_aligned(most * row);
    out->trial_codes = rt_alloc_aligned(most * RT_PANEL);
    out->best_codes = rt_alloc_aligned(most * RT_PANEL);
    out->inliers = rt_alloc_aligned(factor->k * row);
    out->reals = rt_alloc_aligned(groups * row);
    out->effective = rt_alloc_aligned(factor->k * row);
    out->slope = rt_alloc_aligned(BLOCK * row);
    return out->effective != NULL && out->slope != NULL && out->lost != NULL && out->ahead != NULL &&
           out->trial != NULL && out->trial_codes != NULL && out->best_codes != NULL &&
           out->inliers != NULL && out->reals != NULL;
}

void rt_gptq_end(rt_gptq_scratch *s) {
    free(s->lost);
    free(s->ahead);
    free(s->trial);
    free(s->trial_codes);
    free(s->best_codes);
    free(s->inliers);
    free(s->reals);
    free(s->effective);
    free(s->slope);
    *s = (rt_gptq_scratch){0};
}

/* s->ahead = the rows of steps from…to, compensated for the errors of steps before `from` (lazy batch
 * updates, section 3.3, step 2). */
static void look_back(const rt_factor *f, const rt_kernels *kernels, const float *w, rt_gptq_scratch *s,
                      size_t from, size_t to) {
    for (size_t i = from; i < to; i++) {
        memcpy(s->ahead + (i - from) * RT_PANEL, w + (size_t)f->order[i] * RT_PANEL, RT_PANEL * sizeof *w);
    }
    rt_gemm gemm = {.m = to - from,
                    .n = RT_PANEL,
                    .k = from,
                    .a = f->back + from * f->k,
                    .lda = f->k,
                    .b = s->lost,
                    .residual = s->ahead,
                    .ldr = RT_PANEL,
                    .c = s->ahead,
                    .ldc = RT_PANEL};
    kernels->gemm_f32(&gemm);
}

/* The rows of a group rounded with one scale. */
typedef struct attempt {
    float *lost;          /* [steps, 16] w - q */
    int8_t *codes;        /* [steps, 16] */
    float loss[RT_PANEL]; /* of the layer */
} attempt;

/* Rounds steps from…to in turn with one scale per column. */
static void round_steps(const rt_factor *f, const float *w, const rt_gptq_scratch *s, size_t from, size_t to,
                        const float *scale, rt_grid grid, attempt *out) {
    float inverse[RT_PANEL];
    rt_round_factors(scale, inverse);
    memset(out->loss, 0, sizeof out->loss);
    for (size_t i = 0; i < to - from; i++) {
        float value[RT_PANEL], cost = f->cost[from + i], *lost = out->lost + i * RT_PANEL;
        const float *back = f->back + (from + i) * f->k + from;
        const float *own = w + (size_t)f->order[from + i] * RT_PANEL;
        memcpy(value, s->ahead + i * RT_PANEL, sizeof value);
        for (size_t j = 0; j < i; j++) {
            for (size_t c = 0; c < RT_PANEL; c++) value[c] += back[j] * out->lost[j * RT_PANEL + c];
        }
        for (size_t c = 0; c < RT_PANEL; c++) {
            float code = rt_grid_code(&grid, value[c] * inverse[c]), error = value[c] - code * scale[c];
            out->codes[i * RT_PANEL + c] = (int8_t)code;
            lost[c] = own[c] - code * scale[c];
            out->loss[c] += cost * error * error;
        }
    }
}

/* Chooses the integer scale of each column of a group by the error of the layer, trying all of them. */
static void search_group(const rt_factor *f, const float *w, rt_gptq_scratch *s, size_t from, size_t to,
                         const rt_rounded *out, uint8_t *groups) {
    attempt best = {.lost = s->lost + from * RT_PANEL, .codes = s->best_codes};
    attempt trial = {.lost = s->trial, .codes = s->trial_codes};
    float effective[RT_PANEL];
    for (int g = 1; g <= out->grid->scales; g++) {
        for (int c = 0; c < RT_PANEL; c++) effective[c] = (float)g * out->scale[c];
        round_steps(f, w, s, from, to, effective, *out->grid, &trial);
        for (size_t c = 0; c < RT_PANEL; c++) {
            if (g > 1 && !(trial.loss[c] < best.loss[c])) continue;
            best.loss[c] = trial.loss[c];
            groups[c] = (uint8_t)g;
            for (size_t i = c; i < (to - from) * RT_PANEL; i += RT_PANEL) {
                best.lost[i] = trial.lost[i];
                best.codes[i] = trial.codes[i];
            }
        }
    }
}

/* The end of the group that starts at step `from`. */
static size_t group_end(const rt_factor *f, size_t from) {
    size_t to = from + 1, group = f->order[from] / f->group;
    while (to < f->k - f->outliers && f->order[to] / f->group == group) to++;
    return to;
}

/* Scales of the columns from the original weights without the outliers, which must fit into 127 of them. */
static bool choose_scales(const rt_factor *f, const float *w, rt_gptq_scratch *s, rt_rounded *out) {
    memcpy(s->inliers, w, f->k * RT_PANEL * sizeof *w);
    for (size_t i = f->k - f->outliers; i < f->k; i++) {
        memset(s->inliers + (size_t)f->order[i] * RT_PANEL, 0, RT_PANEL * sizeof *w);
    }
    bool finite = rt_round_grouped(f->k, f->group, s->inliers, s->reals, out);
    for (size_t i = f->k - f->outliers; i < f->k; i++) {
        for (size_t c = 0; c < RT_PANEL; c++) {
            float size = fabsf(w[(size_t)f->order[i] * RT_PANEL + c]);
            finite = finite && isfinite(size);
            if (size / 127 > out->scale[c] && size / 127 >= FLT_MIN * 256)
                out->scale[c] = rt_short_scale(size / 127 * (1 + 0x1p-7F)); /* short and no smaller */
        }
    }
    return finite;
}

/* Where there is no code 0, an outlier row gets ±1, and its int8 code the rest: its size stays within 127. */
static void share_outliers(const rt_factor *f, const rt_rounded *out, int8_t *outliers) {
    for (size_t i = f->k - f->outliers; i < f->k; i++, outliers += RT_PANEL) {
        size_t row = f->order[i];
        const uint8_t *groups = out->groups + row / f->group * RT_PANEL;
        for (size_t c = 0; c < RT_PANEL; c++) {
            int8_t code = outliers[c] < 0 ? -1 : 1;
            out->codes[row * RT_PANEL + c] = code;
            outliers[c] = (int8_t)(outliers[c] - code * groups[c]);
        }
    }
}

bool rt_gptq_panel(const rt_factor *f, const rt_kernels *kernels, const float *w, rt_gptq_scratch *s,
                   rt_rounded *out, int8_t *outliers) {
    size_t inliers = f->k - f->outliers;
    if (!choose_scales(f, w, s, out)) return false;
    memset(out->codes, 0, f->k * RT_PANEL);
    memset(out->groups, 1, (f->k + f->group - 1) / f->group * RT_PANEL);
    for (size_t from = 0, to; from < inliers; from = to) {
        to = group_end(f, from);
        look_back(f, kernels, w, s, from, to);
        search_group(f, w, s, from, to, out, out->groups + f->order[from] / f->group * RT_PANEL);
        for (size_t i = from; i < to; i++) {
            memcpy(out->codes + (size_t)f->order[i] * RT_PANEL, s->best_codes + (i - from) * RT_PANEL,
                   RT_PANEL);
        }
    }
    if (f->outliers > 0) {
        attempt last = {.lost = s->lost + inliers * RT_PANEL, .codes = outliers};
        look_back(f, kernels, w, s, inliers, f->k);
        round_steps(f, w, s, inliers, f->k, out->scale, *rt_grid_of(8), &last);
        if (out->grid->offset != 0) share_outliers(f, out, outliers);
    }
    return true;
}

bool rt_gptq_panel_s8(const rt_factor *f, const rt_kernels *kernels, const float *w, rt_gptq_scratch *s,
                      rt_rounded *out) {
    if (!rt_round_s8(f->k, w, out)) return false;
    for (size_t from = 0, to; from < f->k; from = to) {
        to = group_end(f, from);
        attempt steps = {.lost = s->lost + from * RT_PANEL, .codes = s->best_codes};
        look_back(f, kernels, w, s, from, to);
        round_steps(f, w, s, from, to, out->scale, *rt_grid_of(8), &steps);
        for (size_t i = from; i < to; i++)
            memcpy(out->codes + (size_t)f->order[i] * RT_PANEL, steps.codes + (i - from) * RT_PANEL,
                   RT_PANEL);
    }
    return true;
}

/* ---- Descent ---- */

enum { SWEEPS = 4 };

/* s->slope = H d, the gradient of the error, at steps from…to. */
static void find_slopes(const rt_factor *f, const rt_kernels *kernels, rt_gptq_scratch *s, size_t from,
                        size_t to) {
    rt_gemm gemm = {.m = to - from, .n = RT_PANEL, .k = f->k, .a = f->hessian + from * f->k, .lda = f->k};
    gemm.b = s->lost;
    gemm.c = s->slope;
    gemm.ldc = RT_PANEL;
    kernels->gemm_f32(&gemm);
}

/* Updates the codes of one step, [16], and stores the changes in `change`; whether there were any. */
static bool move_codes(const float *slope, float own, const float *scale, rt_grid grid, int8_t *codes,
                       float *change) {
    float inverse[RT_PANEL];
    bool moved = false;
    rt_round_factors(scale, inverse);
    for (size_t c = 0; c < RT_PANEL; c++) {
        float code = (float)codes[c] + (slope[c] / own * inverse[c] + grid.magic - grid.magic);
        code = code > grid.low ? code : grid.low;
        code = code < grid.high ? code : grid.high;
        change[c] = (code - (float)codes[c]) * scale[c];
        moved |= change[c] != 0;
        codes[c] = (int8_t)code;
    }
    return moved;
}

/* Whether any code has changed. */
static bool sweep(const rt_factor *f, const rt_kernels *kernels, rt_gptq_scratch *s, rt_rounded *out) {
    bool moved = false;
    for (size_t i = 0; i < f->k; i++) {
        size_t from = i / BLOCK * BLOCK, to = rt_min(from + BLOCK, f->k);
        if (i == from) find_slopes(f, kernels, s, from, to);
        float change[RT_PANEL], own = f->hessian[i * f->k + i];
        int8_t *codes = out->codes + (size_t)f->order[i] * RT_PANEL;
        if (!move_codes(s->slope + (i - from) * RT_PANEL, own, s->effective + i * RT_PANEL, *out->grid, codes,
                        change))
            continue;
        moved = true;
        for (size_t c = 0; c < RT_PANEL; c++) s->lost[i * RT_PANEL + c] -= change[c];
        for (size_t j = i + 1; j < to; j++) {
            float h = f->hessian[i * f->k + j], *slope = s->slope + (j - from) * RT_PANEL;
            for (size_t c = 0; c < RT_PANEL; c++) slope[c] -= h * change[c];
        }
    }
    return moved;
}

void rt_gptq_descend(const rt_factor *f, const rt_kernels *kernels, rt_gptq_scratch *s, rt_rounded *out) {
    for (size_t i = 0; i < f->k; i++) {
        const uint8_t *groups = out->groups + f->order[i] / f->group * RT_PANEL;
        for (size_t c = 0; c < RT_PANEL; c++)
            s->effective[i * RT_PANEL + c] = (float)groups[c] * out->scale[c];
    }
    for (int i = 0; i < SWEEPS && sweep(f, kernels, s, out); i++) {
    }
}
