/* SPDX-License-Identifier: Apache-2.0 */
#include "prune/moments.h"
#include "quant/cholesky.h"
#include "quant/gram.h"

#include <stdlib.h>
#include <string.h>

/* GPTQ's share of the mean of the diagonal. */
static const double DAMPING = 0.01;

void rt_prune_moments_free(rt_prune_moments *moments) {
    free(moments->h);
    free(moments->c);
    *moments = (rt_prune_moments){0};
}

typedef struct maker {
    const rt_probe *probe;
    rt_prune_moments *all, *out; /* [count], and that of the chunk */
    const float *target;
    rt_gram gram;
    float *x, *lost; /* [rows, k] and [rows, n] of this chunk */
    size_t x_capacity, lost_capacity;
    float *packed; /* P16 of `lost` */
    size_t packed_size;
    float *across;    /* [k, n] x^T lost */
    float **products; /* [threads] [k, RT_GRAM_COLUMNS] */
    size_t product_size;
} maker;

static bool reserve_products(maker *m, size_t k) {
    size_t bytes = 0;
    bool made = rt_mul(k, RT_GRAM_COLUMNS * sizeof(float), &bytes);
    if (bytes <= m->product_size) return made;
    for (int i = 0; made && i < m->probe->threads; i++) {
        free(m->products[i]);
        m->products[i] = rt_alloc_aligned(rt_round_up(bytes, 64));
        made = m->products[i] != NULL;
    }
    m->product_size = made ? bytes : 0;
    return made;
}

static retort_status reserve(maker *m, size_t k, size_t n, retort_error *err) {
    rt_prune_moments *out = m->out;
    if (out->h != NULL) return RETORT_OK;
    size_t square = 0, wide = 0;
    out->k = k;
    out->n = m->target != NULL ? n : 0;
    bool fits = rt_mul(k, k, &square) && rt_mul(k, n, &wide);
    out->h = fits ? rt_calloc(square, sizeof *out->h) : NULL;
    if (fits && m->target != NULL) {
        out->c = rt_calloc(wide, sizeof *out->c);
        m->across = rt_calloc(wide, sizeof *m->across);
    }
    bool made = out->h != NULL && (m->target == NULL || (out->c != NULL && m->across != NULL));
    return made && reserve_products(m, k) ? RETORT_OK : rt_fail_nomem(err, square * sizeof *out->h);
}

/* m->x: the rows with a one behind each. m->lost: what their output lacks. */
static bool copy_rows(maker *m, const retort_tapped *linear) {
    size_t rows = linear->in.rows, k = m->out->k, n = m->out->n;
    if (!rt_grow((void **)&m->x, &m->x_capacity, rows * k, sizeof *m->x) ||
        !rt_grow((void **)&m->lost, &m->lost_capacity, rows * n + 1, sizeof *m->lost))
        return false;
    for (size_t i = 0; i < rows; i++) {
        memcpy(m->x + i * k, linear->in.data + i * (k - 1), (k - 1) * sizeof *m->x);
        m->x[i * k + k - 1] = 1;
    }
    const float *target = n > 0 ? m->target + m->out->rows * n : NULL;
    for (size_t i = 0; i < rows * n; i++) m->lost[i] = target[i] - linear->out.data[i];
    return true;
}

/* Columns of the triangle are taken in order: the first are the longest. Each worker sums its own. */
static void add_products(void *user, int worker) {
    maker *m = user;
    size_t k = m->out->k;
    for (size_t from = (size_t)worker * RT_GRAM_COLUMNS; from < k;
         from += (size_t)m->probe->threads * RT_GRAM_COLUMNS) {
        size_t columns = rt_min(RT_GRAM_COLUMNS, k - from);
        const float *product = m->products[worker];
        rt_gram_product(&m->gram, &m->probe->texts.kernels, from, m->products[worker]);
        for (size_t i = from; i < k; i++, product += RT_GRAM_COLUMNS) {
            for (size_t j = 0; j < columns; j++) m->out->h[i * k + from + j] += (double)product[j];
        }
    }
}

/* c += x^T lost */
static void add_lost(void *user, int worker) {
    maker *m = user;
    size_t n = m->out->n;
    rt_range share = rt_share(m->out->k, 1, worker, m->probe->threads);
    rt_gemm gemm = {.m = share.to - share.from, .n = n, .k = m->gram.rows, .lda = m->gram.rows, .ldc = n};
    gemm.a = m->gram.across + share.from * m->gram.rows;
    gemm.b = m->packed;
    gemm.c = m->across + share.from * n;
    if (gemm.m > 0) m->probe->texts.kernels.gemm_f32(&gemm);
    for (size_t i = share.from * n; i < share.to * n; i++) m->out->c[i] += (double)m->across[i];
}

static bool pack_lost(maker *m, size_t rows) {
    size_t n = m->out->n, bytes = rows * rt_round_up(n, RT_PANEL) * sizeof(float);
    if (bytes > m->packed_size) {
        free(m->packed);
        m->packed = rt_alloc_aligned(rt_round_up(bytes, 64));
        m->packed_size = m->packed != NULL ? bytes : 0;
    }
    if (m->packed == NULL) return false;
    rt_pack_f32(rows, n, m->lost, n, 1, m->packed);
    return true;
}

static retort_status add_rows(void *user, const retort_tapped *linear, size_t index, retort_error *err) {
    maker *m = user;
    size_t rows = linear->in.rows, k = linear->in.columns + 1;
    if (rows == 0) return RETORT_OK;
    m->out = &m->all[index];
    retort_status status = reserve(m, k, linear->out.columns, err);
    if (status != RETORT_OK) return status;
    if (!copy_rows(m, linear) || !rt_gram_set(&m->gram, rows, k, m->x))
        return rt_fail_nomem(err, rows * k * sizeof *m->x);
    rt_thread_pool_run(m->probe->pool, add_products, m);
    if (m->out->n > 0 && !pack_lost(m, rows)) return rt_fail_nomem(err, rows * m->out->n * sizeof *m->lost);
    if (m->out->n > 0) rt_thread_pool_run(m->probe->pool, add_lost, m);
    m->out->rows += rows;
    return RETORT_OK;
}

static void maker_free(maker *m) {
    for (int i = 0; m->products != NULL && i < m->probe->threads; i++) free(m->products[i]);
    free(m->products);
    free(m->x);
    free(m->lost);
    free(m->packed);
    free(m->across);
    rt_gram_free(&m->gram);
}

retort_status rt_prune_moments_make(rt_prune_moments *out, const rt_probe *probe, retort_model *model,
                                    const char *const *names, size_t count, const float *target,
                                    retort_error *err) {
    maker m = {.probe = probe, .all = out, .target = target};
    memset(out, 0, count * sizeof *out);
    m.products = rt_calloc((size_t)probe->threads, sizeof *m.products);
    retort_status status = m.products != NULL ? RETORT_OK : rt_fail_nomem(err, sizeof *m.products);
    if (status == RETORT_OK) status = rt_probe_rows(probe, model, names, count, add_rows, &m, err);
    maker_free(&m);
    for (size_t i = 0; status == RETORT_OK && i < count; i++) {
        if (out[i].h == NULL)
            status = rt_fail(err, RETORT_ARGUMENT, "prune: no text reaches %.200s", names[i]);
    }
    for (size_t i = 0; status != RETORT_OK && i < count; i++) rt_prune_moments_free(&out[i]);
    return status;
}

double rt_prune_damp(size_t k, double *h, double times) {
    double mean = 0;
    for (size_t i = 0; i + 1 < k; i++) mean += h[i * k + i];
    double added = times * DAMPING * mean / (double)(k > 1 ? k - 1 : 1);
    if (!(added > 0)) added = 1; /* columns of zeros */
    for (size_t i = 0; i + 1 < k; i++) h[i * k + i] += added;
    return added;
}

bool rt_prune_solve(size_t k, size_t n, double *a, double *b, double *scratch) {
    if (!rt_cholesky(k, a, scratch)) return false;
    for (size_t i = 0; i < k; i++) {
        double *row = b + i * n;
        for (size_t j = 0; j < i; j++) {
            double f = a[i * k + j];
            for (size_t c = 0; c < n; c++) row[c] -= f * b[j * n + c];
        }
        for (size_t c = 0; c < n; c++) row[c] /= a[i * k + i];
    }
    for (size_t i = k; i-- > 0;) {
        double *row = b + i * n;
        for (size_t j = i + 1; j < k; j++) {
            double f = a[j * k + i];
            for (size_t c = 0; c < n; c++) row[c] -= f * b[j * n + c];
        }
        for (size_t c = 0; c < n; c++) row[c] /= a[i * k + i];
    }
    return true;
}
