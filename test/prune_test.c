/* SPDX-License-Identifier: Apache-2.0
 * Pruning. Units that nothing reads can be cut without a change, whatever the architecture; the order is that of a direct
 * search on small matrices, and what stays is the least-squares solution; budgets are shared out as by trying everything;
 * pruned models go everywhere that others go. */
#include "base/cpu.h"
#include "base/random.h"
#include "graph/match.h"
#include "prune/budget.h"
#include "prune/module.h"
#include "prune/order.h"
#include "quant/cholesky.h"
#include "quant_models.h"

#include <math.h>

static const char *const checkpoints[] = {
    "distilbert-classify", "bert-tag",         "bert-embed",        "roberta-classify",    "electra-classify",
    "mpnet-classify",      "deberta-classify", "deberta-tag",       "modernbert-classify", "modernbert-local",
    "nomic-classify",      "gte-tag",          "eurobert-classify", "distilbert-fill"};

static double uniform(uint64_t *seed) {
    return (double)(rt_random(seed) >> 11) * 0x1p-53 * 2 - 1;
}

static retort_model *derive(const retort_model *model) {
    retort_model *next = NULL;
    retort_error err = {0};
    if (rt_model_derive(&next, model, &err) != RETORT_OK) fail_msg("%s", err.text);
    return next;
}

static rt_prune_modules modules_of(const retort_model *model) {
    rt_prune_modules modules;
    retort_error err = {0};
    if (rt_prune_modules_find(&modules, &model->graph, &err) != RETORT_OK) fail_msg("%s", err.text);
    return modules;
}

static void same_logits(retort_model *a, retort_model *b, float tolerance) {
    size_t n = 0, m = 0;
    float *x = run(a, NULL, 1, &n), *y = run(b, NULL, 1, &m);
    assert_int_equal(n, m);
    for (size_t i = 0; i < n; i++) {
        if (fabsf(x[i] - y[i]) > tolerance)
            fail_msg("logit %zu: %g, expected %g", i, (double)y[i], (double)x[i]);
    }
    free(x);
    free(y);
}

/* ---- Cutting ---- */

/* The module's Linear reads nothing of its first unit. */
static void silence(rt_graph *graph, const rt_prune_module *m) {
    rt_value *v = &graph->values[graph->nodes[m->out].inputs[LINEAR_WEIGHT]];
    size_t bytes = 0;
    assert_true(rt_value_bytes(v, &bytes));
    float *weight = rt_graph_alloc(graph, bytes);
    assert_non_null(weight);
    memcpy(weight, v->data, bytes);
    for (int64_t i = 0; i < (int64_t)m->unit; i++) {
        for (int64_t j = 0; j < v->dims[1]; j++) weight[rt_weight_at(v, i, j)] = 0;
    }
    v->data = weight;
}

static void cut_first(retort_model *model, const rt_prune_module *m) {
    uint32_t kept[256];
    retort_error err = {0};
    assert_true(m->units <= 256);
    for (uint32_t i = 1; i < m->units; i++) kept[i - 1] = i;
    if (rt_prune_cut(&model->graph, m, kept, m->units - 1, NULL, NULL, &err) != RETORT_OK)
        fail_msg("%s", err.text);
    if (rt_graph_verify(&model->graph, &err) != RETORT_OK) fail_msg("%s", err.text);
}

static void cutting_a_silent_unit_changes_nothing(void **unused) {
    (void)unused;
    for (size_t i = 0; i < sizeof checkpoints / sizeof *checkpoints; i++) {
        retort_model *model = golden(checkpoints[i], 3, RETORT_F32);
        rt_prune_modules modules = modules_of(model);
        size_t heads = 0, ffn = 0;
        for (size_t j = 0; j < modules.count; j++) {
            const rt_prune_module *m = &modules.items[j];
            retort_model *silent = derive(model), *cut = NULL;
            silence(&silent->graph, m);
            cut = derive(silent);
            cut_first(cut, m);
            same_logits(silent, cut, 2e-6F);
            *(m->kind == RT_PRUNE_HEADS ? &heads : &ffn) += 1;
            retort_model_free(cut);
            retort_model_free(silent);
        }
        bool grouped =
            strncmp(checkpoints[i], "eurobert", 8) == 0; /* no head of queries has keys of its own */
        if (ffn == 0 || (heads == 0) != grouped)
            fail_msg("%s: %zu and %zu modules", checkpoints[i], heads, ffn);
        rt_prune_modules_free(&modules);
        retort_model_free(model);
    }
}

/* A checkpoint imported without some of its layers. */
static retort_model *without_first(const char *name, size_t layers) {
    static const int64_t all[] = {0, 1, 2, 3, 4, 5, 6, 7};
    char path[4096];
    const char *root = getenv("RETORT_ROOT");
    retort_model *model = NULL;
    retort_error err = {0};
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    options.level = 3;
    options.layers = all + 1;
    options.layer_count = layers - 1;
    snprintf(path, sizeof path, "%s/test/golden/checkpoints/%.64s", root != NULL ? root : ".", name);
    if (retort_model_import(&model, path, &options, &err) != RETORT_OK) fail_msg("%s", err.text);
    return model;
}

/* A model without its first layer is the checkpoint without it, names included. */
static void layers_go(void **unused) {
    (void)unused;
    for (size_t i = 0; i < sizeof checkpoints / sizeof *checkpoints; i++) {
        retort_model *model = golden(checkpoints[i], 3, RETORT_F32), *shorter = derive(model);
        retort_error err = {0};
        size_t layers = rt_prune_layer_count(&model->graph);
        retort_model *wanted = without_first(checkpoints[i], layers);
        char last[32];
        assert_true(rt_prune_layer_fits(&shorter->graph, 0));
        assert_false(rt_prune_layer_fits(&shorter->graph, layers - 1));
        if (rt_prune_layer(&shorter->graph, 0, &err) != RETORT_OK) fail_msg("%s", err.text);
        if (rt_prune_number_layers(&shorter->graph, &err) != RETORT_OK) fail_msg("%s", err.text);
        assert_int_equal(rt_prune_layer_count(&shorter->graph), layers - 1);
        same_logits(wanted, shorter, 2e-6F);
        snprintf(last, sizeof last, "layer.%zu.", layers - 1);
        for (size_t j = 0; j < shorter->graph.node_count; j++)
            assert_null(strstr(shorter->graph.nodes[j].name, last));
        retort_model_free(wanted);
        retort_model_free(shorter);
        retort_model_free(model);
    }
}

/* ---- The order ---- */

enum { UNITS = 8, N = 3 };

typedef struct problem {
    double h[(UNITS * 2 + 1) * (UNITS * 2 + 1)];
    float weight[UNITS * 2 * RT_PANEL], g[N * N];
    rt_prune_task task;
} problem;

static void make_problem(problem *p, size_t unit, uint64_t seed, const rt_kernels *kernels) {
    size_t k = UNITS * unit + 1;
    memset(p, 0, sizeof *p);
    for (int row = 0; row < 200; row++) {
        double x[UNITS * 2 + 1], shared = uniform(&seed);
        for (size_t i = 0; i + 1 < k; i++) x[i] = uniform(&seed) + (i % 3 == 0 ? shared : 0.2);
        x[k - 1] = 1;
        for (size_t i = 0; i < k; i++) {
            for (size_t j = 0; j <= i; j++) p->h[i * k + j] += x[i] * x[j];
        }
    }
    for (size_t i = 0; i + 1 < k; i++) {
        for (size_t j = 0; j < N; j++) p->weight[i * RT_PANEL + j] = (float)uniform(&seed);
    }
    p->task = (rt_prune_task){UNITS, unit, N, 200, p->h, p->weight, NULL, kernels};
}

/* The least mean squared error that the columns of `kept` (a bit each) leave, and their weights [count + 1, N]. */
static double solve_directly(const problem *p, unsigned kept, double *solved) {
    size_t unit = p->task.unit, k = UNITS * unit + 1, at[UNITS * 2 + 1], n = 0;
    double full[(UNITS * 2 + 1) * (UNITS * 2 + 1)], a[(UNITS * 2 + 1) * (UNITS * 2 + 1)],
        scratch[RT_CHOLESKY_ROWS * 17];
    for (size_t i = 0; i < k; i++) {
        for (size_t j = 0; j <= i; j++) full[i * k + j] = p->h[i * k + j] / 200;
    }
    rt_prune_damp(k, full, 1);
    for (size_t i = 0; i < k; i++) {
        for (size_t j = 0; j < i; j++) full[j * k + i] = full[i * k + j];
        if (i + 1 == k || (kept >> i / unit & 1) != 0) at[n++] = i;
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) a[i * n + j] = full[at[i] * k + at[j]];
        for (size_t c = 0; c < N; c++) {
            solved[i * N + c] = 0;
            for (size_t j = 0; j + 1 < k; j++)
                solved[i * N + c] += full[at[i] * k + j] * (double)p->weight[j * RT_PANEL + c];
        }
    }
    assert_true(rt_prune_solve(n, N, a, solved, scratch));
    double error = 0;
    for (size_t c = 0; c < N; c++) {
        double d[UNITS * 2 + 1] = {0};
        for (size_t j = 0; j + 1 < k; j++) d[j] = (double)p->weight[j * RT_PANEL + c];
        for (size_t i = 0; i < n; i++) d[at[i]] -= solved[i * N + c];
        for (size_t i = 0; i < k; i++) {
            for (size_t j = 0; j < k; j++) error += d[i] * full[i * k + j] * d[j];
        }
    }
    return error;
}

static unsigned mask_of(const rt_prune_level *level) {
    unsigned mask = 0;
    for (size_t i = 0; i < level->count; i++) mask |= 1U << level->kept[i];
    return mask;
}

/* One unit at a time is the best one; weights, bias and cost are those of a direct solution for what is left. */
static void the_order_is_that_of_least_squares(void **unused) {
    (void)unused;
    uint32_t features;
    retort_error err = {0};
    rt_kernels kernels;
    assert_int_equal(rt_isa_select(NULL, &features, NULL, &err), RETORT_OK);
    rt_kernels_select(&kernels, features);
    for (size_t unit = 1; unit <= 2; unit++) {
        for (uint64_t seed = 1; seed <= 20; seed++) {
            static problem p;
            make_problem(&p, unit, seed, &kernels);
            rt_prune_level levels[UNITS - 1] = {{0}};
            double solved[(UNITS * 2 + 1) * N], wanted[(UNITS * 2 + 1) * N];
            for (size_t i = 0; i < UNITS - 1; i++) levels[i].count = UNITS - 1 - i;
            if (rt_prune_order(&p.task, levels, UNITS - 1, &err) != RETORT_OK) fail_msg("%s", err.text);
            unsigned before = (1U << UNITS) - 1;
            for (size_t i = 0; i < UNITS - 1; i++) {
                unsigned kept = mask_of(&levels[i]);
                double error = solve_directly(&p, kept, wanted);
                for (unsigned u = 0; u < UNITS; u++) {
                    if ((before >> u & 1) == 0) continue;
                    assert_true(error <= solve_directly(&p, before & ~(1U << u), solved) * 1.0001 + 1e-9);
                }
                assert_true(fabs(levels[i].cost - error) < 1e-3 * error + 1e-5);
                size_t n = levels[i].count * unit * N;
                for (size_t j = 0; j < n; j++)
                    assert_true(fabs((double)levels[i].weight[j] - wanted[j]) < 2e-4);
                for (size_t j = 0; j < N; j++)
                    assert_true(fabs((double)levels[i].bias[j] - wanted[n + j]) < 2e-4);
                before = kept;
                rt_prune_level_free(&levels[i]);
            }
        }
    }
}

/* An output whose errors cost nothing decides nothing. */
static void outputs_count_by_what_they_cost(void **unused) {
    (void)unused;
    uint32_t features;
    retort_error err = {0};
    rt_kernels kernels;
    static problem p;
    assert_int_equal(rt_isa_select(NULL, &features, NULL, &err), RETORT_OK);
    rt_kernels_select(&kernels, features);
    make_problem(&p, 1, 5, &kernels);
    for (size_t i = 0; i < UNITS; i++) {
        p.weight[i * RT_PANEL] = i == 2 ? 0.01F : 1;    /* output 0 hardly needs unit 2 */
        p.weight[i * RT_PANEL + 1] = i == 2 ? 3 : 0.1F; /* output 1 needs little else */
        p.weight[i * RT_PANEL + 2] = 0;
    }
    rt_prune_level level = {.count = UNITS - 1};
    assert_int_equal(rt_prune_order(&p.task, &level, 1, &err), RETORT_OK);
    assert_true((mask_of(&level) >> 2 & 1) != 0);
    rt_prune_level_free(&level);
    p.g[0] = 1000;
    p.g[N + 1] = p.g[2 * N + 2] = 0;
    p.task.g = p.g;
    level = (rt_prune_level){.count = UNITS - 1};
    assert_int_equal(rt_prune_order(&p.task, &level, 1, &err), RETORT_OK);
    bool without = (mask_of(&level) >> 2 & 1) == 0;
    rt_prune_level_free(&level);
    assert_true(without);
}

/* Columns that are all the same and never change, as those of weights that nobody trained, have an order, too: any. */
static void columns_that_go_together_have_an_order(void **unused) {
    (void)unused;
    enum { MANY = 1024, ROWS = 200 };
    uint32_t features;
    retort_error err = {0};
    rt_kernels kernels;
    size_t k = MANY + 1;
    double *h = calloc(k * k, sizeof *h);
    float *weight = calloc((size_t)MANY * RT_PANEL, sizeof *weight);
    assert_non_null(h);
    assert_non_null(weight);
    assert_int_equal(rt_isa_select(NULL, &features, NULL, &err), RETORT_OK);
    rt_kernels_select(&kernels, features);
    for (size_t i = 0; i < k; i++) {
        for (size_t j = 0; j <= i; j++) h[i * k + j] = ROWS * (i < MANY ? 3.0 : 1.0) * (j < MANY ? 3.0 : 1.0);
    }
    for (size_t i = 0; i < MANY; i++) weight[i * RT_PANEL] = 1;
    rt_prune_task task = {MANY, 1, 1, ROWS, h, weight, NULL, &kernels};
    rt_prune_level level = {.count = MANY / 2};
    if (rt_prune_order(&task, &level, 1, &err) != RETORT_OK) fail_msg("%s", err.text);
    double sum = level.bias[0];
    for (size_t i = 0; i < MANY / 2; i++) sum += 3 * (double)level.weight[i];
    assert_true(fabs(sum - 3.0 * MANY) < 0.01 * 3.0 * MANY); /* what the output was */
    rt_prune_level_free(&level);
    free(weight);
    free(h);
}

/* ---- Budgets ---- */

static void budgets_are_shared_as_by_trying_everything(void **unused) {
    (void)unused;
    enum { MODULES = 4, CHOICES = 3 };
    for (uint64_t seed = 1; seed <= 200; seed++) {
        uint64_t random = seed;
        rt_budget_choice choices[MODULES * CHOICES];
        size_t counts[MODULES], chosen[MODULES];
        double least = INFINITY, lowest = 0, limit = 2 + uniform(&random);
        bool fits;
        for (size_t i = 0; i < MODULES * CHOICES; i++)
            choices[i] = (rt_budget_choice){fabs(uniform(&random)), fabs(uniform(&random))};
        for (size_t i = 0; i < MODULES; i++) counts[i] = CHOICES;
        for (int all = 0; all < 81; all++) {
            double cost = 0, loss = 0;
            for (int i = 0, rest = all; i < MODULES; i++, rest /= CHOICES) {
                cost += choices[i * CHOICES + rest % CHOICES].cost;
                loss += choices[i * CHOICES + rest % CHOICES].loss;
            }
            if (cost <= limit * 0.998 && loss < least) least = loss; /* costs are rounded up to a 4,000th */
            if (all == 0 || cost < lowest) lowest = cost;
        }
        assert_true(rt_budget_share(choices, counts, MODULES, limit, chosen, &fits));
        double cost = 0, loss = 0;
        for (size_t i = 0; i < MODULES; i++) {
            cost += choices[i * CHOICES + chosen[i]].cost;
            loss += choices[i * CHOICES + chosen[i]].loss;
        }
        if (isfinite(least)) assert_true(fits && cost <= limit * (1 + 1e-9) && loss <= least + 1e-12);
        if (!fits) assert_true(fabs(cost - lowest) < 1e-12);
    }
}

/* ---- Whole models ---- */

static retort_dataset *open_data(const retort_model *model) {
    char path[4096];
    const char *root = getenv("RETORT_ROOT");
    retort_dataset *data = NULL;
    retort_error err = {0};
    snprintf(path, sizeof path, "%s/test/golden/training.tsv", root != NULL ? root : ".");
    if (retort_dataset_open(&data, path, model, NULL, &err) != RETORT_OK) fail_msg("%s", err.text);
    return data;
}

static retort_status try_prune(retort_model **out, const retort_model *model,
                               const retort_prune_options *wanted, retort_prune_result *result,
                               retort_error *err) {
    retort_prune_options options = *wanted;
    retort_dataset *data = options.data == NULL ? open_data(model) : NULL;
    if (data != NULL) options.data = data;
    options.threads = options.threads > 0 ? options.threads : 1;
    retort_status status = retort_model_prune(out, model, &options, result, err);
    retort_dataset_free(data);
    return status;
}

static retort_model *pruned(const retort_model *model, const retort_prune_options *options) {
    retort_model *out = NULL;
    retort_error err = {0};
    if (try_prune(&out, model, options, NULL, &err) != RETORT_OK) fail_msg("%s", err.text);
    return out;
}

static void check_layer(const retort_model *model, size_t index, int64_t heads) {
    retort_layer_info layer = {.size = sizeof layer};
    assert_int_equal(retort_model_layer(model, index, &layer), RETORT_OK);
    assert_int_equal(layer.heads, heads);
}

/* Through a file, into integers, to ONNX's form of them and into a training. */
static void pruned_models_go_everywhere(void **unused) {
    (void)unused;
    retort_model *model = golden("distilbert-classify", 3, RETORT_F32), *loaded = NULL;
    retort_prune_options options = RETORT_PRUNE_OPTIONS;
    retort_train_options train = RETORT_TRAIN_OPTIONS;
    retort_error err = {0};
    options.heads = 1;
    retort_model *out = pruned(model, &options), *again = pruned(model, &options), *trained = NULL;
    retort_info info = {.size = sizeof info};
    retort_model_info(out, &info);
    assert_int_equal(info.heads, 1);
    assert_non_null(strstr(info.recipe, "fp32 pruned"));
    check_layer(out, 0, 1);
    check_layer(out, 1, 1);
    same_logits(out, again, 0);
    if (retort_model_save(out, saved, &err) != RETORT_OK) fail_msg("%s", err.text);
    if (retort_model_load(&loaded, saved, &err) != RETORT_OK) fail_msg("%s", err.text);
    same_logits(out, loaded, 0);
    retort_model *integers = quantized(loaded, "int4", 0, 0);
    size_t n = 0;
    free(run(integers, NULL, 2, &n));
    retort_dataset *data = open_data(loaded);
    train.data = data;
    train.steps = 3;
    train.threads = 1;
    if (retort_train(&trained, loaded, &train, NULL, &err) != RETORT_OK) fail_msg("%s", err.text);
    check_layer(trained, 0, 1);
    retort_dataset_free(data);
    retort_model_free(trained);
    retort_model_free(integers);
    retort_model_free(loaded);
    retort_model_free(again);
    retort_model_free(out);
    retort_model_free(model);
}

static void layers_and_threads(void **unused) {
    (void)unused;
    retort_model *model = golden("bert-classify", 3, RETORT_F32);
    retort_prune_options options = RETORT_PRUNE_OPTIONS;
    retort_info info = {.size = sizeof info};
    options.layers = 1;
    options.heads = 2;
    retort_model *one = pruned(model, &options);
    options.threads = 3;
    retort_model *three = pruned(model, &options);
    retort_model_info(one, &info);
    assert_int_equal(info.layers, 1);
    same_logits(one, three, 0);
    retort_model_free(three);
    retort_model_free(one);
    retort_model_free(model);
}

static void what_is_refused(void **unused) {
    (void)unused;
    static const struct bad {
        const char *checkpoint;
        int level;
        retort_dtype dtype;
        size_t layers;
        double heads, ffn, time;
        const char *why;
    } rows[] = {
        {"distilbert-classify", 3, RETORT_F32, 0, 0, 0, 0, "say what stays"},
        {"distilbert-classify", 3, RETORT_F32, 0, 0, 1.5, 0, "ffn must be the share"},
        {"distilbert-classify", 3, RETORT_F32, 0, 0, 0, (double)NAN, "time must be the share"},
        {"distilbert-classify", 3, RETORT_F32, 0, 2, 0, 0.5, "one or the other"},
        {"distilbert-classify", 3, RETORT_F32, 0, 9, 0, 0, "9 heads a layer cannot be kept: the model has 4"},
        {"distilbert-classify", 3, RETORT_F32, 7, 0, 0, 0, "7 layers cannot be kept: the model has 2"},
        {"distilbert-classify", 1, RETORT_F32, 1, 0, 0, 0, "level 1: optimize it to level 3"},
        {"distilbert-classify", 3, RETORT_BF16, 1, 0, 0, 0, "expected float32 weights"},
        {"albert-classify", 3, RETORT_F32, 1, 0, 0, 0, "share their weights"},
        {"eurobert-classify", 3, RETORT_F32, 0, 1, 0, 0, "no head can be removed"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct bad *row = &rows[i];
        retort_model *model = golden(row->checkpoint, row->level, row->dtype), *out = NULL;
        retort_prune_options options = RETORT_PRUNE_OPTIONS;
        retort_error err = {0};
        options.layers = row->layers;
        options.heads = row->heads;
        options.ffn = row->ffn;
        options.time = row->time;
        assert_int_not_equal(try_prune(&out, model, &options, NULL, &err), RETORT_OK);
        if (strstr(err.text, row->why) == NULL) fail_msg("row %zu: %s", i, err.text);
        assert_null(out);
        retort_model_free(model);
    }
}

static int cancel(void *user, const char *what, size_t done, size_t total) {
    size_t *left = user;
    (void)what;
    (void)done;
    (void)total;
    return *left == 0 || --*left == 0;
}

/* At any report: nothing is made, nothing leaks. */
static void cancelled_at_any_time(void **unused) {
    (void)unused;
    retort_model *model = golden("distilbert-classify", 3, RETORT_F32);
    retort_status status = RETORT_CANCELLED;
    for (size_t at = 1; status == RETORT_CANCELLED && at < 10000; at += 1 + at / 4) {
        retort_model *out = NULL;
        size_t left = at;
        retort_prune_options options = RETORT_PRUNE_OPTIONS;
        retort_error err = {0};
        options.heads = 2;
        options.rounds = 2;
        options.progress = cancel;
        options.user = &left;
        status = try_prune(&out, model, &options, NULL, &err);
        if (status != RETORT_OK && status != RETORT_CANCELLED) fail_msg("%s", err.text);
        retort_model_free(out);
    }
    assert_int_equal(status, RETORT_OK);
    retort_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cutting_a_silent_unit_changes_nothing),
        cmocka_unit_test(layers_go),
        cmocka_unit_test(the_order_is_that_of_least_squares),
        cmocka_unit_test(outputs_count_by_what_they_cost),
        cmocka_unit_test(columns_that_go_together_have_an_order),
        cmocka_unit_test(budgets_are_shared_as_by_trying_everything),
        cmocka_unit_test(pruned_models_go_everywhere),
        cmocka_unit_test(layers_and_threads),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(cancelled_at_any_time),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
