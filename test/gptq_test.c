/* SPDX-License-Identifier: Apache-2.0
 * GPTQ against the paper's own form, with the inverse of the Hessian; the Cholesky factor; and what
 * calibration says of a model's inputs. */
#include "quant/importance.h"
#include "quant/cholesky.h"
#include "quant/gptq.h"
#include "graph/rewrite.h"
#include "quant/calibrate.h"
#include "quant_models.h"

#include <math.h>

static uint32_t state = 1;
static double random_number(void) { /* about normal: a sum of four */
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        state = state * 1664525u + 1013904223u;
        sum += (double)(state >> 8) * 0x1p-24 - 0.5;
    }
    return sum;
}

/* ---- Linear algebra ---- */

/* Rows of inputs that hang together, and some that are large: H = sum x x^T / rows, full. */
static double *make_hessian(size_t k, size_t rows) {
    double *h = calloc(k * k, sizeof *h), *x = calloc(k, sizeof *x), *mix = calloc(k * 4, sizeof *mix);
    assert_true(h != NULL && x != NULL && mix != NULL);
    for (size_t i = 0; i < k * 4; i++) mix[i] = random_number();
    for (size_t r = 0; r < rows; r++) {
        double common[4];
        for (int f = 0; f < 4; f++) common[f] = random_number();
        for (size_t i = 0; i < k; i++) {
            x[i] = random_number() * (i % 29 == 3 ? 6 : 1);
            for (size_t f = 0; f < 4; f++) x[i] += mix[i * 4 + f] * common[f];
        }
        for (size_t i = 0; i < k; i++) {
            for (size_t j = 0; j < k; j++) h[i * k + j] += x[i] * x[j] / (double)rows;
        }
    }
    free(mix);
    free(x);
    return h;
}

static void test_cholesky(void **unused) {
    (void)unused;
    static const size_t sizes[] = {1, 2, 5, 63, 64, 65, 131, 200};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t n = sizes[s];
        double *h = make_hessian(n, 2 * n + 8), *l = calloc((n + RT_CHOLESKY_ROWS) * n, sizeof *l);
        assert_non_null(l);
        memcpy(l, h, n * n * sizeof *l);
        assert_true(rt_cholesky(n, l, l + n * n));
        for (size_t i = 0; i < n; i++) {
            for (size_t j = 0; j <= i; j++) {
                double sum = 0;
                for (size_t k = 0; k <= j; k++) sum += l[i * n + k] * l[j * n + k];
                assert_true(fabs(sum - h[i * n + j]) < 1e-9);
            }
        }
        memcpy(l, h, n * n * sizeof *l);
        l[n * n - 1] = n > 1 ? -1 : 0; /* the last pivot */
        assert_false(rt_cholesky(n, l, l + n * n));
        free(l);
        free(h);
    }
}

/* Gauss and Jordan: a [n, n] to its inverse, without pivots (a is positive definite). */
static void invert(size_t n, double *a) {
    for (size_t p = 0; p < n; p++) {
        double pivot = a[p * n + p];
        a[p * n + p] = 1;
        for (size_t j = 0; j < n; j++) a[p * n + j] /= pivot;
        for (size_t i = 0; i < n; i++) {
            double x = a[i * n + p];
            if (i == p) continue;
            a[i * n + p] = 0;
            for (size_t j = 0; j < n; j++) a[i * n + j] -= x * a[p * n + j];
        }
    }
}

/* ---- The paper's form ---- */

enum { K = 200, GROUP = 64, GROUPS = 4, COLUMNS = RT_PANEL };

/* H in the order of the factor and damped as it says, then its inverse's factor U, U^T U = H^-1. */
static double *upper_factor(const rt_factor *f, const double *h) {
    double *u = calloc(K * K, sizeof *u);
    assert_non_null(u);
    for (size_t i = 0; i < K; i++) {
        for (size_t j = 0; j < K; j++) u[i * K + j] = h[f->order[i] * K + f->order[j]];
        u[i * K + i] += f->added;
    }
    invert(K, u);
    for (size_t i = 0; i < K; i++) {
        for (size_t r = 0; r < i; r++) {
            for (size_t j = i; j < K; j++) u[i * K + j] -= u[r * K + i] * u[r * K + j];
        }
        double root = sqrt(u[i * K + i]);
        for (size_t j = i; j < K; j++) u[i * K + j] /= root;
    }
    return u;
}

static double clamp(double x, double low, double high) {
    return x < low ? low : x > high ? high : x;
}

/* One column, w in the order of steps: rounds steps from…to with one scale, each error taken off the weights
 * ahead (equation 3); returns what that costs (equation 2). */
static double round_steps(const double *u, double *w, size_t from, size_t to, double scale, int bits,
                          int *codes) {
    static const double low[] = {[2] = -3, [3] = -4, [4] = -8, [8] = -127},
                        high[] = {[2] = 3, [3] = 3, [4] = 7, [8] = 127};
    double loss = 0;
    for (size_t i = from; i < to; i++) {
        double q = scale > 0 ? w[i] / scale : 0, nearest = bits == 2 ? 2 * rint((q - 1) / 2) + 1 : rint(q);
        codes[i] = (int)clamp(nearest, low[bits], high[bits]);
        double error = (w[i] - codes[i] * scale) / u[i * K + i];
        loss += error * error;
        for (size_t j = i; j < K; j++) w[j] -= error * u[i * K + j];
    }
    return loss;
}

static void check_column(const rt_factor *f, const double *u, const float *w, const rt_rounded *out, size_t c,
                         int bits, const int8_t *outliers) {
    double now[K], trial[K], scale = (double)out->scale[c];
    int codes[K], tried[K], scales = bits == 8 ? 1 : bits == 2 ? 42 : 15;
    size_t inliers = K - f->outliers;
    for (size_t i = 0; i < K; i++) now[i] = (double)w[f->order[i] * COLUMNS + c];
    for (size_t from = 0, to; from < inliers; from = to) {
        size_t group = f->order[from] / GROUP;
        for (to = from; to < inliers && f->order[to] / GROUP == group;) to++;
        int chosen = out->groups[group * COLUMNS + c];
        memcpy(trial, now, sizeof trial);
        double loss = round_steps(u, now, from, to, scale * chosen, bits, codes);
        for (int g = 1; g <= scales; g++) {
            double other[K];
            memcpy(other, trial, sizeof other);
            assert_true(round_steps(u, other, from, to, scale * g, bits, tried) >= loss * (1 - 1e-4));
        }
        for (size_t i = from; i < to; i++) {
            assert_int_equal(out->codes[f->order[i] * COLUMNS + c], codes[i]);
            assert_true(abs(codes[i] * chosen) <= 127);
        }
    }
    round_steps(u, now, inliers, K, scale, 8, codes);
    for (size_t i = inliers; i < K; i++) {
        size_t row = f->order[i];
        int code = out->codes[row * COLUMNS + c], group = out->groups[row / GROUP * COLUMNS + c];
        assert_int_equal(abs(code), bits == 2 ? 1 : 0); /* 2 bits have no code for 0 */
        assert_int_equal(outliers[(i - inliers) * COLUMNS + c] + code * group, codes[i]);
    }
}

/* (w - q)^T H (w - q) of a column */
static double loss_of(const double *h, const double *lost) {
    double sum = 0;
    for (size_t i = 0; i < K; i++) {
        for (size_t j = 0; j < K; j++) sum += lost[i] * h[i * K + j] * lost[j];
    }
    return sum;
}

static double mean_of(const double *h) {
    double mean = 0;
    for (size_t i = 0; i < K; i++) mean += h[i * K + i] / K;
    return mean;
}

static double weight_of(const rt_rounded *out, size_t row, size_t c) {
    return (double)out->codes[row * COLUMNS + c] * (double)out->groups[row / GROUP * COLUMNS + c] *
           (double)out->scale[c];
}

typedef struct panel {
    float w[K * COLUMNS], reals[GROUPS * COLUMNS];
    int8_t codes[K * COLUMNS], nearest[K * COLUMNS], outliers[8 * COLUMNS];
    uint8_t groups[GROUPS * COLUMNS], nearest_groups[GROUPS * COLUMNS];
    rt_rounded out, plain;
} panel;

static double check_loss(const rt_factor *f, const double *h, const panel *p, size_t c) {
    double lost[K], plain[K];
    for (size_t i = 0; i < K; i++) {
        double w = (double)p->w[i * COLUMNS + c];
        lost[i] = w - weight_of(&p->out, i, c);
        plain[i] = w - weight_of(&p->plain, i, c);
    }
    for (size_t i = 0; i < f->outliers; i++) {
        lost[f->order[K - f->outliers + i]] -= (double)p->outliers[i * COLUMNS + c] * (double)p->out.scale[c];
    }
    double ours = loss_of(h, lost), nearest = loss_of(h, plain);
    if (c != 3 && !(ours < 0.95 * nearest)) fail_msg("column %zu: loss %g, to nearest %g", c, ours, nearest);
    for (size_t i = 0; i < K; i++) ours += f->added * lost[i] * lost[i];
    return ours;
}

/* Columns of all sizes; column 3 is zero, row 70 of 4 is large, and input 9 never was anything but 0. */
static void check_panel(int bits, size_t outlier_count, const uint32_t *outlier_rows) {
    panel *p = calloc(1, sizeof *p);
    rt_kernels kernels;
    rt_factor f;
    rt_gptq_scratch s = {0};
    double *h = make_hessian(K, 3 * K), before[COLUMNS];
    size_t less = 0;
    assert_non_null(p);
    for (size_t i = 0; i < K; i++) {
        h[i * K + 9] = h[9 * K + i] = 0;
        for (size_t c = 0; c < COLUMNS; c++) {
            p->w[i * COLUMNS + c] = c == 3 ? 0 : ldexpf((float)random_number(), (int)c - 8);
        }
    }
    p->w[70 * COLUMNS + 4] = 1;
    p->out = (rt_rounded){.grid = rt_grid_of(bits), .codes = p->codes, .groups = p->groups};
    p->plain = (rt_rounded){.grid = rt_grid_of(bits), .codes = p->nearest, .groups = p->nearest_groups};
    rt_kernels_select(&kernels, 0);
    assert_int_equal(rt_factor_make(&f, K, GROUP, h, outlier_rows, outlier_count, NULL), RETORT_OK);
    assert_true(f.added < 0.0101 * mean_of(h) && rt_gptq_begin(&s, &f)); /* the first damping did */
    if (bits == 8) { /* one scale per column: as in groups whose integer scales are 1 */
        memset(p->groups, 1, sizeof p->groups);
        memset(p->nearest_groups, 1, sizeof p->nearest_groups);
        assert_true(rt_gptq_panel_s8(&f, &kernels, p->w, &s, &p->out));
        assert_true(rt_round_s8(K, p->w, &p->plain));
    } else {
        assert_true(rt_gptq_panel(&f, &kernels, p->w, &s, &p->out, p->outliers));
        assert_true(rt_round_grouped(K, GROUP, p->w, p->reals, &p->plain));
    }
    double *u = upper_factor(&f, h);
    for (size_t c = 0; c < COLUMNS; c++) {
        check_column(&f, u, p->w, &p->out, c, bits, p->outliers);
        before[c] = check_loss(&f, h, p, c);
    }
    if (outlier_count == 0 && bits < 8) {
        assert_int_equal(rt_factor_keep_hessian(&f, h, NULL), RETORT_OK);
        rt_gptq_descend(&f, &kernels, &s, &p->out);
        for (size_t c = 0; c < COLUMNS; c++) {
            double after = check_loss(&f, h, p, c);
            less += after < before[c] * 0.99;
            assert_true(after <= before[c] * (1 + 1e-5));
        }
        print_message("# descent: %zu of %d columns lose less\n", less, COLUMNS);
        assert_true(less >= COLUMNS / 4);
    }
    free(u);
    free(h);
    free(p);
    rt_gptq_end(&s);
    rt_factor_free(&f);
}

static void test_gptq(void **unused) {
    (void)unused;
    for (int bits = 2; bits <= 4; bits++) check_panel(bits, 0, NULL);
    check_panel(8, 0, NULL);
}

static void test_outlier_rows(void **unused) {
    (void)unused;
    check_panel(4, 4, (const uint32_t[]){3, 61, 70, 148});
    check_panel(4, 8, (const uint32_t[]){192, 193, 194, 195, 196, 197, 198, 199}); /* a whole group */
    check_panel(3, 8, (const uint32_t[]){0, 3, 61, 70, 71, 72, 148, 199});
    check_panel(2, 8, (const uint32_t[]){0, 3, 61, 70, 71, 72, 148, 199});
    check_panel(2, 8, (const uint32_t[]){192, 193, 194, 195, 196, 197, 198, 199});
}

/* All rows of the inputs equal: H has rank one, and is factored all the same. */
static void test_few_rows(void **unused) {
    (void)unused;
    double *h = calloc(K * K, sizeof *h);
    rt_factor f;
    assert_non_null(h);
    for (size_t i = 0; i < K * K; i++) h[i] = 1e6;
    assert_int_equal(rt_factor_make(&f, K, GROUP, h, NULL, 0, NULL), RETORT_OK);
    rt_factor_free(&f);
    memset(h, 0, K * K * sizeof *h);
    assert_int_equal(rt_factor_make(&f, K, GROUP, h, NULL, 0, NULL), RETORT_OK);
    for (size_t i = 0; i < K; i++) assert_true(f.cost[i] > 0 && (i == 0 || f.back[i * K] == 0));
    rt_factor_free(&f);
    h[7] = h[7 * K] = h[7 * K + 7] = NAN;
    assert_int_equal(rt_factor_make(&f, K, GROUP, h, NULL, 0, NULL), RETORT_FORMAT);
    rt_factor_free(&f);
    free(h);
}

/* ---- Calibration ---- */

/* The rows of a value on the calibration's texts, through a session. */
static float *rows_of(const retort_model *model, const rt_feed *texts, const char *value, size_t *rows) {
    retort_model *part = NULL;
    retort_session *session = NULL;
    retort_matrix out;
    retort_error err = {0};
    assert_int_equal(rt_model_derive(&part, model, &err), RETORT_OK);
    part->graph.output = rt_value_find(&part->graph, value);
    assert_true(part->graph.output >= 0);
    assert_int_equal(rt_graph_sweep(&part->graph, &err), RETORT_OK);
    assert_int_equal(retort_session_open(&session, part, NULL, &err), RETORT_OK);
    retort_batch batch = {texts->ids, model->config.types > 0 ? texts->types : NULL, texts->offsets,
                          texts->n};
    assert_int_equal(retort_run(session, &batch, &out, &err), RETORT_OK);
    float *copy = calloc(out.rows * out.columns, sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, out.data, out.rows * out.columns * sizeof *copy);
    *rows = out.rows;
    retort_session_close(session);
    retort_model_free(part);
    return copy;
}

/* Within what 8 bits round away. */
static void check_moments(const retort_model *model, const rt_feed *texts, const rt_node *node,
                          const rt_moments *m) {
    size_t rows;
    float *x = rows_of(model, texts, model->graph.values[node->inputs[LINEAR_X]].name, &rows);
    assert_int_equal(rows, m->rows);
    double lost = 0, all = 0;
    for (size_t i = 0; i < m->k; i++) {
        for (size_t j = 0; j <= i; j++) {
            double sum = 0;
            for (size_t r = 0; r < rows; r++) sum += (double)x[r * m->k + i] * (double)x[r * m->k + j];
            lost += (sum - m->gram[i * m->k + j]) * (sum - m->gram[i * m->k + j]);
            all += sum * sum;
        }
    }
    if (!(lost < 1e-4 * all) || lost == 0) fail_msg("%s: moments differ by %g", node->name, sqrt(lost / all));
    free(x);
}

static void test_moments(void **unused) {
    (void)unused;
    static const char *const names[] = {"distilbert-wide", "bert-classify", "distilbert-fill"};
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        retort_model *model = golden(names[n], 3, RETORT_F32);
        retort_dataset *data = open_lines(model);
        rt_calibration c;
        retort_error err = {0};
        assert_int_equal(rt_calibration_open(&c, model, data, 100, 0, &err), RETORT_OK);
        assert_int_equal(c.texts.n, 5);
        for (size_t i = 0; i < model->graph.node_count; i++) {
            const rt_node *node = &model->graph.nodes[i];
            rt_moments m;
            if (node->op != RT_OP_LINEAR) continue;
            size_t k = (size_t)model->graph.values[node->inputs[LINEAR_WEIGHT]].dims[0];
            assert_int_equal(rt_moments_begin(&m, node->name, k, &err), RETORT_OK);
            assert_int_equal(rt_calibrate(&c, &model->graph, &m, 1, &err), RETORT_OK);
            check_moments(model, &c.texts, node, &m);
            rt_moments_free(&m);
        }
        rt_calibration_free(&c);
        retort_dataset_free(data);
        retort_model_free(model);
    }
}

/* Which texts are chosen: as many as were asked for, by the seed, in the order of the file. */
static void test_choice(void **unused) {
    (void)unused;
    retort_model *model = golden("distilbert-wide", 3, RETORT_F32);
    retort_dataset *data = open_lines(model);
    size_t other = 0;
    for (uint64_t seed = 0; seed < 8; seed++) {
        rt_calibration all, some, again;
        assert_int_equal(rt_calibration_open(&all, model, data, 5, seed, NULL), RETORT_OK);
        assert_int_equal(rt_calibration_open(&some, model, data, 2, seed, NULL), RETORT_OK);
        assert_int_equal(rt_calibration_open(&again, model, data, 2, seed, NULL), RETORT_OK);
        assert_true(all.texts.n == 5 && some.texts.n == 2 && again.texts.tokens == some.texts.tokens);
        assert_memory_equal(some.texts.ids, again.texts.ids, some.texts.tokens * sizeof *some.texts.ids);
        other += memcmp(some.texts.ids, all.texts.ids, some.texts.tokens * sizeof *some.texts.ids) != 0;
        rt_calibration_free(&all);
        rt_calibration_free(&some);
        rt_calibration_free(&again);
    }
    assert_true(other > 0);
    retort_dataset_free(data);
    retort_model_free(model);
}

/* ---- Models ---- */

static rt_buffer file_of(const retort_model *model) {
    rt_map map;
    rt_buffer bytes = {0};
    assert_int_equal(retort_model_save(model, saved, NULL), RETORT_OK);
    assert_int_equal(rt_map_open(&map, saved, NULL), RETORT_OK);
    rt_buffer_append(&bytes, map.data, map.size);
    rt_map_close(&map);
    assert_false(bytes.failed);
    return bytes;
}

/* The same file on every tier; through files; the same bits everywhere. */
static void test_models(void **unused) {
    (void)unused;
    static const char *const names[] = {"distilbert-wide", "bert-wide", "bert-classify", "distilbert-fill",
                                        "distilbert-embed"};
    static const char *const recipes[] = {
        "gptq", "owq", "ptq+owq", "int8-static", "smoothquant", "smoothquant+gptq", "awq"};
    const char *cap = getenv("RETORT_ISA");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        retort_model *model = golden(names[i], 3, RETORT_F32);
        for (size_t r = 0; r < sizeof recipes / sizeof *recipes; r++) {
            retort_model *integer = learned(model, recipes[r], 0);
            rt_buffer best = file_of(integer);
            check_bits(integer, names[i]);
            check_round_trip(integer);
            setenv("RETORT_ISA", "ref", 1);
            retort_model *plain = learned(model, recipes[r], 0);
            if (cap != NULL) setenv("RETORT_ISA", cap, 1);
            if (cap == NULL) unsetenv("RETORT_ISA");
            rt_buffer again = file_of(plain);
            assert_int_equal(best.length, again.length);
            assert_memory_equal(best.data, again.data, best.length);
            rt_buffer_free(&best);
            rt_buffer_free(&again);
            retort_model_free(plain);
            retort_model_free(integer);
        }
        retort_model_free(model);
    }
}

/* H_jj |dW_j|^2 of each row of a packed [k, n], on covariances; dW of rounding to nearest. */
static void sensitivities(const rt_value *weight, const rt_moments *m, double *out) {
    size_t k = (size_t)weight->dims[0], n = (size_t)weight->dims[1];
    float *reals = calloc(k * RT_PANEL, sizeof *reals);
    rt_rounded r = {.grid = rt_grid_of(4), .codes = calloc(k, RT_PANEL), .groups = calloc(k, RT_PANEL)};
    assert_true(reals != NULL && r.codes != NULL && r.groups != NULL);
    memset(out, 0, k * sizeof *out);
    for (size_t from = 0; from < n; from += RT_PANEL) {
        const float *w = (const float *)weight->data + from * k;
        assert_true(rt_round_grouped(k, 32, w, reals, &r));
        for (size_t i = 0; i < k * RT_PANEL; i++) {
            size_t row = i / RT_PANEL, c = i % RT_PANEL;
            double q = (double)r.codes[i] * (double)r.groups[row / 32 * RT_PANEL + c] * (double)r.scale[c];
            out[row] += ((double)w[i] - q) * ((double)w[i] - q);
        }
    }
    for (size_t i = 0; i < k; i++) {
        double mean = m->sum[i] / (double)m->rows;
        out[i] *= m->gram[i * k + i] / (double)m->rows - mean * mean;
    }
    free(reals);
    free(r.codes);
    free(r.groups);
}

/* The outlier columns of the first matrix are the most sensitive ones, and 4-bit codes there are 0. */
static void test_outlier_choice(void **unused) {
    (void)unused;
    static const char *const keep[] = {"layer.0", "layer.1", "head"};
    retort_model *model = golden("distilbert-wide", 3, RETORT_F32), *words = NULL;
    retort_model *integer = learned(model, "owq", 0);
    assert_string_equal(integer->provenance.text, "owq group=32 embeddings=4 samples=1024 seed=0 weak=8");
    retort_quantize_options options = RETORT_QUANTIZE_OPTIONS;
    options.recipe = "int4";
    options.group = 32;
    options.keep = keep;
    options.keep_count = 3;
    assert_int_equal(retort_model_quantize(&words, model, &options, NULL), RETORT_OK);
    retort_dataset *data = open_lines(model);
    rt_calibration c;
    rt_moments m;
    double rank[64];
    int index = rt_value_find(&words->graph, "layer.0.attention.qkv.weight");
    const rt_value *weight = &words->graph.values[index];
    assert_true(index >= 0 && weight->dims[0] <= 64);
    assert_int_equal(rt_calibration_open(&c, model, data, 128, 0, NULL), RETORT_OK);
    assert_int_equal(rt_moments_begin(&m, "layer.0.attention.qkv", (size_t)weight->dims[0], NULL), RETORT_OK);
    assert_int_equal(rt_calibrate(&c, &words->graph, &m, 1, NULL), RETORT_OK);
    sensitivities(weight, &m, rank);
    int found = rt_value_find(&integer->graph, "layer.0.attention.qkv.weak_columns");
    assert_true(found >= 0 && integer->graph.values[found].dims[0] == 8);
    const int32_t *columns = integer->graph.values[found].data;
    for (int64_t i = 0; i < weight->dims[0]; i++) {
        bool outliers = false;
        int larger = 0;
        for (int j = 0; j < 8; j++) outliers |= columns[j] == i;
        for (int64_t j = 0; j < weight->dims[0]; j++) larger += rank[j] > rank[i];
        assert_int_equal(outliers, larger < 8);
    }
    assert_true(rt_value_find(&integer->graph, "head.dense.weak") < 0);
    rt_moments_free(&m);
    rt_calibration_free(&c);
    retort_dataset_free(data);
    retort_model_free(integer);
    retort_model_free(words);
    retort_model_free(model);
}

static void test_refusals(void **unused) {
    (void)unused;
    retort_model *model = golden("distilbert-wide", 3, RETORT_F32), *integer = NULL;
    retort_quantize_options options = RETORT_QUANTIZE_OPTIONS;
    retort_error err = {0};
    options.recipe = "gptq";
    assert_int_equal(retort_model_quantize(&integer, model, &options, &err), RETORT_ARGUMENT);
    assert_non_null(strstr(err.text, "recipe 'gptq' needs calibration data"));
    options.bits = 8;
    assert_int_equal(retort_model_quantize(&integer, model, &options, &err), RETORT_ARGUMENT);
    assert_non_null(strstr(err.text, "recipe 'gptq' is for fewer than 8 bits"));
    options = (retort_quantize_options)RETORT_QUANTIZE_OPTIONS;
    options.recipe = "owq";
    options.data = open_lines(model);
    options.weak_columns = 48;
    assert_int_equal(retort_model_quantize(&integer, model, &options, &err), RETORT_ARGUMENT);
    assert_non_null(strstr(err.text, "layer.0.attention.qkv: 48 outlier columns of its 48"));
    retort_dataset_free((retort_dataset *)(uintptr_t)options.data);
    options.data = NULL;
    options.weak_columns = 6;
    assert_int_equal(retort_model_quantize(&integer, model, &options, &err), RETORT_ARGUMENT);
    assert_non_null(strstr(err.text, "a multiple of 8, at most 64"));
    assert_null(integer);
    retort_model_free(model);
}

static void keep_warning(void *user, const char *text) {
    snprintf(user, 200, "%s", text);
}

/* Outputs are weighed in every architecture, and that changes what is rounded. */
static void test_gradients(void **unused) {
    (void)unused;
    static const char *const names[] = {"modernbert-classify", "nomic-classify",   "gte-classify",
                                        "mpnet-classify",      "deberta-classify", "albert-classify",
                                        "eurobert-classify",   "eurobert-bos"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        retort_model *model = golden(names[i], 3, RETORT_F32), *integer[2] = {NULL};
        float *x[2];
        size_t counts[2];
        for (int weighed = 0; weighed < 2; weighed++) {
            retort_quantize_options options = RETORT_QUANTIZE_OPTIONS;
            retort_error err = {0};
            options.recipe = weighed ? "ptq+owq" : "owq";
            options.data = open_lines(model);
            if (retort_model_quantize(&integer[weighed], model, &options, &err) != RETORT_OK)
                fail_msg("%s: %s", names[i], err.text);
            retort_dataset_free((retort_dataset *)(uintptr_t)options.data);
            x[weighed] = run(integer[weighed], NULL, 1, &counts[weighed]);
            retort_model_free(integer[weighed]);
        }
        assert_int_equal(counts[0], counts[1]);
        assert_true(memcmp(x[0], x[1], counts[0] * sizeof(float)) != 0);
        free(x[0]);
        free(x[1]);
        retort_model_free(model);
    }
}

/* The n-th call of progress cancels, for every n: nothing is made, and the next try is not the
 * worse for it. */
static int cancel_later(void *user, const char *what, size_t done, size_t total) {
    size_t *left = user;
    assert_true(done < total && *what != '\0');
    return (*left)-- == 0;
}

static void test_cancelling(void **unused) {
    (void)unused;
    static const char *const recipes[] = {"ptq+owq", "awq", "int8-static"};
    retort_model *model = golden("distilbert-wide", 3, RETORT_F32);
    retort_dataset *data = open_lines(model);
    for (size_t r = 0; r < sizeof recipes / sizeof *recipes; r++) {
        retort_quantize_options options = RETORT_QUANTIZE_OPTIONS;
        retort_model *integer = NULL;
        size_t calls = 0, left;
        options.recipe = recipes[r];
        options.data = data;
        options.group = 32;
        options.progress = cancel_later;
        options.user = &left;
        for (retort_status status = RETORT_CANCELLED; status != RETORT_OK; calls++) {
            retort_error err = {0};
            left = calls;
            status = retort_model_quantize(&integer, model, &options, &err);
            assert_true(status == RETORT_OK || status == RETORT_CANCELLED);
            assert_true((integer != NULL) == (status == RETORT_OK));
            assert_true(status == RETORT_OK || strstr(err.text, "cancelled at") != NULL);
        }
        assert_true(calls > 10);
        retort_model_free(integer);
    }
    retort_dataset_free(data);
    retort_model_free(model);
}

/* A head of a vocabulary has too many labels for a matrix of all pairs of them; an FFN has not. */
static void test_wide_heads(void **unused) {
    (void)unused;
    static const struct {
        int64_t labels;
        bool head, joint;
    } rows[] = {{RT_IMPORTANCE_LABELS, true, true},
                {RT_IMPORTANCE_LABELS + 1, true, false},
                {RT_IMPORTANCE_LABELS + 1, false, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rt_graph graph = {.output = -1, .level = 2};
        int64_t dims[] = {8, rows[i].labels};
        int x = rt_graph_input(&graph, "x", RETORT_F32, 2, (int64_t[]){RT_DIM_BATCH, 8});
        void *data = rt_graph_alloc(&graph, 8 * sizeof(float) * (size_t)rows[i].labels);
        int weight = rt_graph_constant(&graph, "w", RETORT_F32, RT_LAYOUT_ROWS, 2, dims, data);
        int node = rt_graph_node(&graph, RT_OP_LINEAR, "linear", 2, (int[]){x, weight}, NULL);
        assert_true(node >= 0);
        graph.output = rows[i].head ? rt_node_output(&graph, node, 0) : x;
        assert_true(rt_importance_joint(&graph, &graph.nodes[node]) == rows[i].joint);
        rt_graph_free(&graph);
    }
}

/* What learning takes is known before it begins. */
static void test_memory_is_bounded(void **unused) {
    (void)unused;
    retort_model *model = golden("distilbert-wide", 3, RETORT_F32), *integer = NULL;
    retort_dataset *data = open_lines(model);
    retort_quantize_options options = RETORT_QUANTIZE_OPTIONS;
    retort_error err = {0};
    options.recipe = "ptq+owq";
    options.data = data;
    options.group = 32;
    options.memory = 100000;
    assert_int_equal(retort_model_quantize(&integer, model, &options, &err), RETORT_LIMIT);
    assert_non_null(strstr(err.text, "recipe 'ptq+owq' needs up to"));
    assert_non_null(strstr(err.text, "--memory"));
    options.memory = 1 << 30;
    assert_int_equal(retort_model_quantize(&integer, model, &options, &err), RETORT_OK);
    retort_model_free(integer);
    retort_dataset_free(data);
    retort_model_free(model);
}

/* One token to calibrate with: a warning, and a model that works. Recipes that keep no moments give none. */
static void test_few_tokens(void **unused) {
    (void)unused;
    static const char *const recipes[] = {"gptq", "ptq+owq",     "smoothquant+gptq",
                                          "awq",  "smoothquant", "int8-static"};
    retort_model *model = golden("distilbert-wide", 3, RETORT_F32);
    char path[128];
    snprintf(path, sizeof path, "%s/one.txt", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("\n", file); /* an empty text: [CLS] and [SEP] */
    fclose(file);
    for (size_t r = 0; r < sizeof recipes / sizeof *recipes; r++) {
        retort_quantize_options options = RETORT_QUANTIZE_OPTIONS;
        retort_dataset *data = NULL;
        retort_model *integer = NULL;
        char text[200] = "";
        assert_int_equal(retort_dataset_open(&data, path, model, NULL, NULL), RETORT_OK);
        options.recipe = recipes[r];
        options.data = data;
        options.warning = keep_warning;
        options.user = text;
        assert_int_equal(retort_model_quantize(&integer, model, &options, NULL), RETORT_OK);
        assert_true((strstr(text, "2 tokens to calibrate matrices of 48 columns") != NULL) == (r < 3));
        size_t count;
        float *logits = run(integer, NULL, 1, &count);
        for (size_t i = 0; i < count; i++) assert_true(isfinite(logits[i]));
        free(logits);
        retort_model_free(integer);
        retort_dataset_free(data);
    }
    unlink(path);
    retort_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cholesky),     cmocka_unit_test(test_gptq),
        cmocka_unit_test(test_outlier_rows), cmocka_unit_test(test_few_rows),
        cmocka_unit_test(test_moments),      cmocka_unit_test(test_choice),
        cmocka_unit_test(test_models),       cmocka_unit_test(test_outlier_choice),
        cmocka_unit_test(test_refusals),     cmocka_unit_test(test_cancelling),
        cmocka_unit_test(test_wide_heads),   cmocka_unit_test(test_memory_is_bounded),
        cmocka_unit_test(test_few_tokens),   cmocka_unit_test(test_gradients),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
