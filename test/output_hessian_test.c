/* SPDX-License-Identifier: Apache-2.0
 * Rounding with regard to a matrix's outputs: what panels hand on against the inverse of what is still to
 * come, what it saves of the cost it is meant to save, and the gradients' moments that it goes by. */
#include "quant/output_hessian.h"
#include "quant/gptq.h"
#include "quant/importance.h"
#include "quant_models.h"

#include <math.h>

static uint32_t state = 7;
static double random_number(void) {
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        state = state * 1664525u + 1013904223u;
        sum += (double)(state >> 8) * 0x1p-24 - 0.5;
    }
    return sum;
}

enum { N = 50, WIDE = 64, K = 96, GROUP = 32 };

/* Second moments of rows that share three causes: [n, n], full. */
static double *make_moments(size_t n) {
    double *out = calloc(n * n, sizeof *out), *x = calloc(n, sizeof *x), *mix = calloc(3 * n, sizeof *mix);
    assert_true(out != NULL && x != NULL && mix != NULL);
    for (size_t i = 0; i < 3 * n; i++) mix[i] = random_number();
    for (size_t r = 0; r < 4 * n; r++) {
        double cause[3] = {random_number(), random_number(), random_number()};
        for (size_t i = 0; i < n; i++) {
            x[i] = 0.3 * random_number();
            for (size_t f = 0; f < 3; f++) x[i] += mix[3 * i + f] * cause[f];
        }
        for (size_t i = 0; i < n * n; i++) out[i] += x[i / n] * x[i % n] / (4 * (double)n);
    }
    free(mix);
    free(x);
    return out;
}

static void to_floats(const double *from, float *to) {
    for (size_t i = 0; i < N * N; i++) to[i] = i % N <= i / N ? (float)from[i] : NAN; /* not to be read */
}

/* Solves a x = b for b [n, RT_PANEL] in place; a [n, n] is lost. Without pivots: positive definite. */
static void solve(size_t n, double *a, double *b) {
    for (size_t p = 0; p < n; p++) {
        for (size_t i = 0; i < n; i++) {
            double factor = a[i * n + p] / a[p * n + p];
            if (i == p) continue;
            for (size_t j = p; j < n; j++) a[i * n + j] -= factor * a[p * n + j];
            for (size_t c = 0; c < RT_PANEL; c++) b[i * RT_PANEL + c] -= factor * b[p * RT_PANEL + c];
        }
    }
    for (size_t i = 0; i < n * RT_PANEL; i++) b[i] /= a[i / RT_PANEL * (n + 1)];
}

/* The columns behind panel p shall be free: G less what they can make up for, S = G_AA - G_AB G_BB^-1 G_BA,
 * column by column of Gauss's elimination from the end. Then the best w_p is that of S_pp x = S_pq. */
static void check_back(const double *g, const rt_output_hessian *outputs) {
    double full[WIDE * WIDE] = {0}, mean = 0;
    for (size_t i = 0; i < N; i++) mean += g[i * N + i] / N;
    for (size_t i = 0; i < WIDE; i++) {
        for (size_t j = 0; i < N && j < N; j++) full[i * WIDE + j] = g[i * N + j];
        full[i * WIDE + i] += 0.1 * mean;
    }
    const float *back = outputs->back;
    for (size_t at = RT_PANEL; at < WIDE; back += at * RT_PANEL, at += RT_PANEL) {
        double s[WIDE * WIDE], own[RT_PANEL * RT_PANEL], right[RT_PANEL * RT_PANEL];
        memcpy(s, full, sizeof s);
        for (size_t p = WIDE; p-- > at + RT_PANEL;) {
            for (size_t i = 0; i < p; i++) {
                for (size_t j = 0; j < p; j++)
                    s[i * WIDE + j] -= s[i * WIDE + p] * s[p * WIDE + j] / s[p * WIDE + p];
            }
        }
        for (size_t from = 0; from < at; from += RT_PANEL) {
            for (size_t i = 0; i < RT_PANEL * RT_PANEL; i++) {
                own[i] = s[(at + i / RT_PANEL) * WIDE + at + i % RT_PANEL];
                right[i] = s[(at + i / RT_PANEL) * WIDE + from + i % RT_PANEL];
            }
            solve(RT_PANEL, own, right);
            for (size_t r = 0; r < RT_PANEL; r++) {
                for (size_t c = 0; c < RT_PANEL; c++) {
                    double found = (double)back[(from + r) * RT_PANEL + c];
                    assert_true(fabs(found - right[c * RT_PANEL + r]) < 1e-5);
                }
            }
        }
    }
}

static void test_back(void **unused) {
    (void)unused;
    double *g = make_moments(N);
    float lower[N * N];
    rt_output_hessian outputs;
    retort_error err = {0};
    to_floats(g, lower);
    assert_int_equal(rt_output_hessian_make(&outputs, K, N, lower, &err), RETORT_OK);
    assert_int_equal(outputs.wide, WIDE);
    check_back(g, &outputs);
    rt_output_hessian_free(&outputs);
    for (size_t i = 0; i < N * N; i++) lower[i] = i / N == i % N ? 1.0F + (float)i : 0; /* columns apart */
    assert_int_equal(rt_output_hessian_make(&outputs, K, N, lower, &err), RETORT_OK);
    for (size_t i = 0; i < (16 + 32 + 48) * RT_PANEL; i++) assert_true(outputs.back[i] == 0);
    rt_output_hessian_free(&outputs);
    memset(lower, 0, sizeof lower);
    assert_int_equal(rt_output_hessian_make(&outputs, K, N, lower, &err), RETORT_OK);
    assert_null(outputs.back);
    rt_output_hessian_free(&outputs);
    lower[N + 1] = NAN;
    assert_int_equal(rt_output_hessian_make(&outputs, K, N, lower, &err), RETORT_FORMAT);
    assert_non_null(strstr(err.text, "gradients are not finite"));
    rt_output_hessian_free(&outputs);
    free(g);
}

/* ---- Rounding ---- */

/* trace(G D^T H D), D [K, WIDE] */
static double cost_of(const double *g, const double *h, const double *lost) {
    double sum = 0;
    for (size_t a = 0; a < N; a++) {
        for (size_t i = 0; i < K; i++) {
            double slope = 0;
            for (size_t j = 0; j < K; j++) slope += h[i * K + j] * lost[j * WIDE + a];
            for (size_t b = 0; b < N; b++) sum += g[a * N + b] * slope * lost[i * WIDE + b];
        }
    }
    return sum;
}

typedef struct work {
    float w[WIDE / RT_PANEL][K * RT_PANEL], moved[K * RT_PANEL], lost[K * RT_PANEL];
    int8_t codes[K * RT_PANEL];
    uint8_t groups[K / GROUP * RT_PANEL];
    double all[K * WIDE];
} work;

/* Rounds all panels, one after another; t->all is what each weight lost. */
static void round_all(work *t, const rt_factor *f, const rt_kernels *kernels, rt_output_hessian *outputs) {
    rt_gptq_scratch s = {0};
    rt_rounded out = {.grid = rt_grid_of(4), .codes = t->codes, .groups = t->groups};
    assert_true(rt_gptq_begin(&s, f));
    for (size_t p = 0; p < WIDE / RT_PANEL; p++) {
        memcpy(t->moved, t->w[p], sizeof t->moved);
        if (outputs != NULL) rt_output_hessian_compensate(outputs, kernels, p, t->w[p], t->moved);
        assert_true(rt_gptq_panel(f, kernels, t->moved, &s, &out, NULL));
        for (size_t i = 0; i < K; i++) {
            for (size_t c = 0; c < RT_PANEL; c++) {
                size_t row = f->order[i], at = row * RT_PANEL + c;
                float scale = (float)t->groups[row / GROUP * RT_PANEL + c] * out.scale[c];
                t->lost[i * RT_PANEL + c] = t->w[p][at] - (float)t->codes[at] * scale;
                t->all[row * WIDE + p * RT_PANEL + c] = (double)t->lost[i * RT_PANEL + c];
            }
        }
        if (outputs != NULL) rt_output_hessian_keep(outputs, p, f->order, t->lost);
    }
    rt_gptq_end(&s);
}

static void test_cost(void **unused) {
    (void)unused;
    double *g = make_moments(N), *h = make_moments(K);
    work *t = calloc(1, sizeof *t);
    float lower[N * N];
    rt_factor f;
    rt_output_hessian outputs;
    rt_kernels kernels;
    assert_non_null(t);
    rt_kernels_select(&kernels, 0);
    to_floats(g, lower);
    for (size_t i = 0; i < K * WIDE; i++) {
        size_t column = i % WIDE;
        if (column < N)
            t->w[column / RT_PANEL][i / WIDE * RT_PANEL + column % RT_PANEL] = (float)random_number();
    }
    assert_int_equal(rt_factor_make(&f, K, GROUP, h, NULL, 0, NULL), RETORT_OK);
    assert_int_equal(rt_output_hessian_make(&outputs, K, N, lower, NULL), RETORT_OK);
    round_all(t, &f, &kernels, NULL);
    double apart = cost_of(g, h, t->all);
    round_all(t, &f, &kernels, &outputs);
    double together = cost_of(g, h, t->all);
    print_message("# cost: %g when columns are apart, %g together\n", apart, together);
    assert_true(together < 0.7 * apart);
    rt_output_hessian_free(&outputs);
    rt_factor_free(&f);
    free(t);
    free(h);
    free(g);
}

/* ---- Gradients ---- */

/* Of every Linear; those of a softmax's logits sum to nothing, since what is added to all
 * changes no answer. */
static void test_importance(void **unused) {
    (void)unused;
    retort_model *model = golden("bert-classify", 3, RETORT_F32);
    retort_dataset *data = open_lines(model);
    rt_calibration c;
    rt_importance one, two;
    rt_thread_pool *pool = NULL;
    retort_error err = {0};
    assert_int_equal(rt_calibration_open(&c, model, data, 100, 0, &err), RETORT_OK);
    assert_int_equal(rt_thread_pool_open(&pool, 1, &err), RETORT_OK);
    assert_int_equal(rt_importance_make(&one, &c, pool, 3, &err), RETORT_OK);
    rt_thread_pool_close(pool);
    assert_int_equal(rt_thread_pool_open(&pool, 3, &err), RETORT_OK);
    assert_int_equal(rt_importance_make(&two, &c, pool, 3, &err), RETORT_OK);
    assert_int_equal(one.nodes, model->graph.node_count);
    size_t seen = 0;
    for (size_t i = 0; i < one.nodes; i++) {
        const rt_node *node = &model->graph.nodes[i];
        assert_true((one.outputs[i] != NULL) == (node->op == RT_OP_LINEAR));
        if (one.outputs[i] == NULL) continue;
        size_t n = (size_t)model->graph.values[node->inputs[LINEAR_WEIGHT]].dims[1];
        double trace = 0, sum = 0;
        for (size_t r = 0; r < n; r++) {
            trace += (double)one.outputs[i][r * n + r];
            for (size_t j = 0; j <= r; j++) sum += (r == j ? 1 : 2) * (double)one.outputs[i][r * n + j];
        }
        assert_true(trace > 0);
        assert_memory_equal(one.outputs[i], two.outputs[i], n * n * sizeof(float));
        if (node->outputs[0] == model->graph.output) assert_true(fabs(sum) < 1e-5 * trace);
        seen++;
    }
    assert_true(seen > 4);
    rt_importance_free(&one);
    rt_importance_free(&two);
    rt_thread_pool_close(pool);
    rt_calibration_free(&c);
    retort_dataset_free(data);
    retort_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_back),
        cmocka_unit_test(test_cost),
        cmocka_unit_test(test_importance),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
