/* SPDX-License-Identifier: Apache-2.0
 * In floats, on columns scaled to a diagonal of ones. Columns of H^-1 are eliminated in blocks, a matrix product each. */
#include "prune/order.h"
#include "quant/cholesky.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 64,   /* columns of a step of the inversion */
    TOGETHER = 16 /* units of one column that go at a time: their scores hardly change within */
};

typedef struct order {
    const rt_prune_task *task;
    size_t k;     /* columns, with the ones */
    size_t wide;  /* n, or 2 n: the weight, and the weight times L */
    float *p;     /* [k, k] H, then H^-1 */
    float *w;     /* [k, wide] */
    float *scale; /* [k] of the columns */
    bool *gone;   /* [units] */
    size_t left;  /* units */
    double cost;
    /* Scratch of a block of b columns. */
    float *columns; /* [k, b] */
    float *rows;    /* [b, k + wide] */
    float *packed;  /* P16 of it */
    double *corner; /* [b, b] */
    double *cholesky;
} order;

/* ---- Elimination ---- */

/* corner [b, b] = its inverse. False: it is not positive definite. */
static bool invert_corner(order *o, size_t b, double *out) {
    for (size_t i = 0; i < b; i++) {
        for (size_t j = 0; j < b; j++) out[i * b + j] = i == j;
    }
    return rt_prune_solve(b, b, o->corner, out, o->cholesky);
}

/* matrix [k, n] -= columns [k, b] times rows [b, n], the rows already times the inverse of the corner. */
static void subtract(order *o, size_t b, size_t n, const float *rows, float *matrix) {
    rt_gemm gemm = {.m = o->k, .n = n, .k = b, .a = o->columns, .lda = b, .b = o->packed};
    gemm.residual = gemm.c = matrix;
    gemm.ldr = gemm.ldc = n;
    rt_pack_f32(b, n, rows, n, 1, o->packed);
    o->task->kernels->gemm_f32(&gemm);
}

/* out [b, n] = -inverse [b, b] times the rows index[·] of matrix [k, n]. */
static void multiply_rows(const double *inverse, size_t b, const size_t *index, size_t n, const float *matrix,
                          float *out) {
    for (size_t i = 0; i < b; i++) {
        float *row = out + i * n;
        memset(row, 0, n * sizeof *row);
        for (size_t r = 0; r < b; r++) {
            float f = -(float)inverse[i * b + r];
            const float *from = matrix + index[r] * n;
            for (size_t j = 0; j < n; j++) row[j] += f * from[j];
        }
    }
}

static void take_columns(order *o, const size_t *index, size_t b) {
    for (size_t i = 0; i < o->k; i++) {
        for (size_t r = 0; r < b; r++) o->columns[i * b + r] = o->p[i * o->k + index[r]];
    }
    for (size_t i = 0; i < b; i++) {
        for (size_t r = 0; r < b; r++) o->corner[i * b + r] = (double)o->p[index[i] * o->k + index[r]];
    }
}

/* The sweep operator: after all columns, p = -H^-1. */
static bool sweep(order *o, size_t from, size_t b, double *inverse) {
    size_t index[BLOCK], k = o->k;
    for (size_t r = 0; r < b; r++) index[r] = from + r;
    take_columns(o, index, b);
    if (!invert_corner(o, b, inverse)) return false;
    multiply_rows(inverse, b, index, k, o->p, o->rows);
    subtract(o, b, k, o->rows, o->p);
    for (size_t r = 0; r < b; r++) {
        for (size_t j = 0; j < k; j++)
            o->p[(from + r) * k + j] = o->p[j * k + from + r] = -o->rows[r * k + j];
    }
    for (size_t i = 0; i < b; i++) {
        for (size_t j = 0; j < b; j++) o->p[(from + i) * k + from + j] = -(float)inverse[i * b + j];
    }
    return true;
}

static bool invert(order *o, double *inverse) {
    for (size_t from = 0; from < o->k; from += BLOCK) {
        if (!sweep(o, from, rt_min(BLOCK, o->k - from), inverse)) return false;
    }
    for (size_t i = 0; i < o->k * o->k; i++) o->p[i] = -o->p[i];
    return true;
}

/* Takes b columns out of H^-1 and of the weight. */
static bool eliminate(order *o, const size_t *index, size_t b, double *inverse) {
    take_columns(o, index, b);
    if (!invert_corner(o, b, inverse)) return false;
    multiply_rows(inverse, b, index, o->wide, o->w, o->rows);
    subtract(o, b, o->wide, o->rows, o->w);
    multiply_rows(inverse, b, index, o->k, o->p, o->rows);
    subtract(o, b, o->k, o->rows, o->p);
    for (size_t r = 0; r < b; r++) {
        memset(o->w + index[r] * o->wide, 0, o->wide * sizeof *o->w);
        memset(o->p + index[r] * o->k, 0, o->k * sizeof *o->p);
        for (size_t i = 0; i < o->k; i++) o->p[i * o->k + index[r]] = 0;
    }
    return true;
}

/* ---- Scores ---- */

/* The part of a row of w that costs are counted in. */
static const float *counted(const order *o, size_t column) {
    return o->w + column * o->wide + (o->wide - o->task->n);
}

/* trace(W_S^T ((H^-1)_SS)^-1 W_S); infinite where the corner has no inverse. inverse: scratch. */
static double score(order *o, size_t unit, double *inverse) {
    size_t b = o->task->unit, n = o->task->n, first = unit * b;
    double sum = 0;
    if (b == 1) {
        const float *row = counted(o, first);
        double p = (double)o->p[first * o->k + first];
        for (size_t j = 0; j < n; j++) sum += (double)row[j] * (double)row[j];
        return p > 0 ? sum / p : INFINITY;
    }
    for (size_t i = 0; i < b; i++) {
        for (size_t r = 0; r < b; r++) o->corner[i * b + r] = (double)o->p[(first + i) * o->k + first + r];
    }
    if (!invert_corner(o, b, inverse)) return INFINITY;
    for (size_t i = 0; i < b; i++) {
        for (size_t r = 0; r < b; r++) {
            double product = 0;
            const float *x = counted(o, first + i), *y = counted(o, first + r);
            for (size_t j = 0; j < n; j++) product += (double)x[j] * (double)y[j];
            sum += inverse[i * b + r] * product;
        }
    }
    return sum;
}

typedef struct ranked {
    double score;
    size_t unit;
} ranked;

static int by_score(const void *left, const void *right) {
    const ranked *a = left, *b = right;
    if (a->score != b->score) return a->score < b->score ? -1 : 1;
    return a->unit < b->unit ? -1 : 1;
}

/* Removes `most` units or fewer: those whose loss is least. ranks: [units] */
static bool remove_least(order *o, size_t most, ranked *ranks, double *inverse) {
    size_t count = 0, b = o->task->unit, index[BLOCK * 16], columns = 0;
    size_t take = b == 1 ? rt_min(most, TOGETHER) : 1;
    for (size_t u = 0; u < o->task->units; u++) {
        if (!o->gone[u]) ranks[count++] = (ranked){score(o, u, inverse), u};
    }
    qsort(ranks, count, sizeof *ranks, by_score);
    for (size_t i = 0; i < take; i++) {
        for (size_t j = 0; j < b; j++) index[columns++] = ranks[i].unit * b + j;
        o->gone[ranks[i].unit] = true;
        o->cost += ranks[i].score;
    }
    o->left -= take;
    return eliminate(o, index, columns, inverse);
}

/* ---- Levels ---- */

static retort_status keep_level(const order *o, rt_prune_level *level, retort_error *err) {
    size_t unit = o->task->unit, n = o->task->n, ones = o->k - 1;
    level->kept = rt_calloc(level->count, sizeof *level->kept);
    level->weight = rt_calloc(level->count * unit * n, sizeof *level->weight);
    level->bias = rt_calloc(n, sizeof *level->bias);
    level->cost = o->cost;
    if (level->kept == NULL || level->weight == NULL || level->bias == NULL)
        return rt_fail_nomem(err, level->count * unit * n * sizeof *level->weight);
    float *to = level->weight;
    for (size_t u = 0, at = 0; u < o->task->units; u++) {
        if (o->gone[u]) continue;
        level->kept[at++] = (uint32_t)u;
        for (size_t i = u * unit; i < (u + 1) * unit; i++, to += n) {
            for (size_t j = 0; j < n; j++) to[j] = o->w[i * o->wide + j] * o->scale[i];
        }
    }
    for (size_t j = 0; j < n; j++) level->bias[j] = o->w[ones * o->wide + j] * o->scale[ones];
    return RETORT_OK;
}

void rt_prune_level_free(rt_prune_level *level) {
    free(level->kept);
    free(level->weight);
    free(level->bias);
    *level = (rt_prune_level){0};
}

/* ---- Set-up ---- */

/* Columns of b at most: a unit, units that go together, or a step of the inversion. */
static size_t widest(const rt_prune_task *task) {
    return rt_max(BLOCK, rt_max(task->unit, TOGETHER));
}

static bool reserve(order *o, ranked **ranks, double **inverse) {
    size_t k = o->k, b = widest(o->task), square = 0, wide = 0, packed = 0;
    if (!rt_mul(k, k, &square) || !rt_mul(k, o->wide, &wide) ||
        !rt_mul(rt_round_up(k + o->wide, RT_PANEL), b, &packed) || packed > SIZE_MAX / sizeof(double))
        return false;
    o->p = rt_calloc(square, sizeof *o->p);
    o->w = rt_calloc(wide, sizeof *o->w);
    o->scale = rt_calloc(k, sizeof *o->scale);
    o->gone = rt_calloc(o->task->units, sizeof *o->gone);
    o->columns = rt_calloc(k * b, sizeof *o->columns);
    o->rows = rt_calloc(packed, sizeof *o->rows);
    o->packed = rt_alloc_aligned(rt_round_up(packed * sizeof *o->packed, 64));
    o->corner = rt_calloc(b * b, sizeof *o->corner);
    o->cholesky = rt_calloc(RT_CHOLESKY_ROWS * b, sizeof *o->cholesky);
    *ranks = rt_calloc(o->task->units, sizeof **ranks);
    *inverse = rt_calloc(b * b, sizeof **inverse);
    return o->p != NULL && o->w != NULL && o->scale != NULL && o->gone != NULL && o->columns != NULL &&
           o->rows != NULL && o->packed != NULL && o->corner != NULL && o->cholesky != NULL &&
           *ranks != NULL && *inverse != NULL;
}

static void order_free(order *o) {
    free(o->p);
    free(o->w);
    free(o->scale);
    free(o->gone);
    free(o->columns);
    free(o->rows);
    free(o->packed);
    free(o->corner);
    free(o->cholesky);
}

/* p = H per row, damped `times` as much as usual, with a diagonal of ones; scale: what that takes. False: out of memory. */
static bool set_moments(order *o, size_t rows, double times) {
    size_t k = o->k;
    double *h = rt_calloc(k * k, sizeof *h);
    if (h == NULL) return false;
    for (size_t i = 0; i < k; i++) {
        for (size_t j = 0; j <= i; j++) h[i * k + j] = o->task->h[i * k + j] / (double)rows;
    }
    rt_prune_damp(k, h, times);
    for (size_t i = 0; i < k; i++) o->scale[i] = (float)(1 / sqrt(h[i * k + i]));
    for (size_t i = 0; i < k; i++) {
        for (size_t j = 0; j <= i; j++)
            o->p[i * k + j] = o->p[j * k + i] =
                (float)(h[i * k + j] * (double)o->scale[i] * (double)o->scale[j]);
    }
    free(h);
    return true;
}

/* The factor L [n, n] of g, damped a little more than H is: few texts say much about gradients. NULL: out of memory, or
 * it has none (*none). */
static double *factor_of(const float *g, size_t n, bool *none) {
    double *l = rt_calloc(n * n, sizeof *l), *scratch = rt_calloc(RT_CHOLESKY_ROWS * n, sizeof *scratch),
           mean = 0;
    *none = false;
    for (size_t i = 0; i < n; i++) mean += (double)g[i * n + i] / (double)n;
    for (size_t i = 0; l != NULL && i < n; i++) {
        for (size_t j = 0; j <= i; j++) l[i * n + j] = (double)g[i * n + j] / (mean > 0 ? mean : 1);
        l[i * n + i] += 0.1;
    }
    if (l != NULL && scratch != NULL && (!(mean > 0) || !rt_cholesky(n, l, scratch))) *none = true;
    if (scratch == NULL || *none) {
        free(l);
        l = NULL;
    }
    free(scratch);
    return l;
}

/* w = W, and W L, on scaled columns. */
static void set_weight(order *o, const double *l) {
    size_t n = o->task->n, columns = o->k - 1;
    for (size_t i = 0; i < columns; i++) {
        float *row = o->w + i * o->wide;
        for (size_t j = 0; j < n; j++)
            row[j] = o->task->weight[(j / RT_PANEL * columns + i) * RT_PANEL + j % RT_PANEL] / o->scale[i];
        for (size_t c = 0; l != NULL && c < n; c++) {
            double sum = 0;
            for (size_t j = c; j < n; j++) sum += (double)row[j] * l[j * n + c];
            row[n + c] = (float)sum;
        }
    }
}

static retort_status go_down(order *o, rt_prune_level *levels, size_t level_count, ranked *ranks,
                             double *inverse, retort_error *err) {
    for (size_t i = 0; i < level_count; i++) {
        while (o->left > levels[i].count) {
            if (!remove_least(o, o->left - levels[i].count, ranks, inverse))
                return rt_fail(err, RETORT_NONFINITE,
                               "prune: second moments of %zu columns are not positive definite", o->k - 1);
        }
        retort_status status = keep_level(o, &levels[i], err);
        if (status != RETORT_OK) return status;
    }
    return RETORT_OK;
}

static retort_status find_order(const rt_prune_task *task, rt_prune_level *levels, size_t level_count,
                                double times, retort_error *err) {
    bool none = true;
    double *l = task->g != NULL ? factor_of(task->g, task->n, &none) : NULL, *inverse = NULL;
    order o = {.task = task, .k = task->units * task->unit + 1, .left = task->units};
    ranked *ranks = NULL;
    o.wide = l != NULL ? 2 * task->n : task->n;
    bool made = (l != NULL || none) && reserve(&o, &ranks, &inverse) && set_moments(&o, task->rows, times);
    retort_status status = made ? RETORT_OK : rt_fail_nomem(err, o.k * o.k * sizeof *o.p);
    if (status == RETORT_OK) {
        set_weight(&o, l);
        if (!invert(&o, inverse))
            status = rt_fail(err, RETORT_NONFINITE,
                             "prune: second moments of %zu columns are not positive definite", o.k - 1);
    }
    if (status == RETORT_OK) status = go_down(&o, levels, level_count, ranks, inverse, err);
    for (size_t i = 0; status != RETORT_OK && i < level_count; i++) {
        size_t count = levels[i].count;
        rt_prune_level_free(&levels[i]);
        levels[i].count = count;
    }
    free(l);
    free(ranks);
    free(inverse);
    order_free(&o);
    return status;
}

/* Columns that always go together, as those of weights that nobody trained, leave H without an inverse in single precision. */
retort_status rt_prune_order(const rt_prune_task *task, rt_prune_level *levels, size_t level_count,
                             retort_error *err) {
    static const double damping[] = {1, 10, 100};
    retort_status status = RETORT_OK;
    for (size_t i = 0; i < sizeof damping / sizeof *damping; i++) {
        status = find_order(task, levels, level_count, damping[i], err);
        if (status != RETORT_NONFINITE) return status;
    }
    return status;
}
