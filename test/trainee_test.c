/* SPDX-License-Identifier: Apache-2.0
 * What training makes of a model: the graph that is trained, and the model that comes out, which is folded like an import. */
#include "golden_names.h"
#include "quant_models.h"
#include "train/qat_start.h"
#include "train/trainee.h"

#include <math.h>

/* ---- Checkpoints ---- */

/* A static embedding has no layers; no gradient goes through Softplus, several poolings side by side, one label against the
 * rest, and SPLADE's logarithm. */
static bool is_refused(const char *name) {
    static const char *const families[] = {"static",           "package-acts", "package-five",
                                           "package-unpooled", "package-sqrt", "package-stack",
                                           "setfit-rest",      "splade-"};
    bool refused = false;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        refused |= strncmp(name, families[i], strlen(families[i])) == 0;
    return refused;
}

/* Calls check for each of the golden checkpoints that can be trained. */
static void each_checkpoint(void (*check)(const char *name)) {
    size_t count = 0;
    for (size_t i = 0; i < name_count; i++) {
        if (is_refused(names[i])) continue;
        check(names[i]);
        count++;
    }
    assert_true(count > 40);
}

static void open_trainee(rt_trainee *trainee, const retort_model *model) {
    retort_error err = {0};
    if (rt_trainee_open(trainee, model, &err) != RETORT_OK) fail_msg("%s", err.text);
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int level;
        const char *words;
    } cases[] = {{"albert-classify", 3, "has copies of the weights"},
                 {"package-acts", 0, "no gradient goes through Softplus"},
                 {"package-stack", 0, "no gradient goes through Concat"},
                 {"splade-max", 0, "no gradient goes through Add"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_trainee trainee;
        retort_error err = {0};
        retort_model *model = golden(cases[i].name, cases[i].level, RETORT_F32);
        assert_int_equal(rt_trainee_open(&trainee, model, &err), RETORT_UNSUPPORTED);
        if (strstr(err.text, cases[i].words) == NULL) fail_msg("%s", err.text);
        retort_model_free(model);
    }
}

static retort_model *result_of(const rt_trainee *trainee) {
    retort_model *model = NULL;
    retort_error err = {0};
    if (rt_trainee_model(&model, trainee, &err) != RETORT_OK) fail_msg("%s", err.text);
    assert_true(model->graph.level == 3);
    return model;
}

/* Moves every parameter a little, as some steps would: biases, too, that were zero. */
static void move(const rt_trainee *trainee) {
    uint32_t state = 1;
    for (size_t i = 0; i < trainee->parameters.count; i++) {
        const rt_parameter *p = &trainee->parameters.items[i];
        size_t columns = p->kind == RT_PARAMETER_MATRIX ? p->n : p->count;
        for (size_t j = 0; j < p->count; j++) {
            state = state * 1664525u + 1013904223u;
            size_t column =
                p->kind == RT_PARAMETER_MATRIX ? j / RT_PANEL / p->rows * RT_PANEL + j % RT_PANEL : 0;
            if (column < columns) p->data[j] += ((float)(state >> 8) / (float)(1 << 23) - 1) * 0.02f;
        }
    }
}

/* ---- Nodes ---- */

/* The same nodes; with `data`, the same bits in all constants. */
static void assert_same_nodes(const char *name, const rt_graph *a, const rt_graph *b, bool data) {
    if (a->node_count != b->node_count)
        fail_msg("%s: %zu nodes, expected %zu", name, a->node_count, b->node_count);
    for (size_t i = 0; i < a->node_count; i++) {
        const rt_node *x = &a->nodes[i], *y = &b->nodes[i];
        assert_string_equal(x->name, y->name);
        if (x->op != y->op || x->input_count != y->input_count || x->attrs.parts != y->attrs.parts ||
            x->attrs.scale != y->attrs.scale || x->attrs.shared != y->attrs.shared ||
            x->attrs.select != y->attrs.select)
            fail_msg("%s: %s differs", name, x->name);
        for (int k = 0; k < x->input_count; k++) {
            size_t bytes[2] = {0};
            if (x->inputs[k] < 0 || y->inputs[k] < 0) {
                assert_int_equal(x->inputs[k], y->inputs[k]);
                continue;
            }
            const rt_value *v = &a->values[x->inputs[k]], *w = &b->values[y->inputs[k]];
            assert_int_equal(v->layout, w->layout);
            assert_int_equal(v->data != NULL, w->data != NULL);
            if (v->data == NULL) continue;
            assert_true(rt_value_bytes(v, &bytes[0]) && rt_value_bytes(w, &bytes[1]));
            assert_int_equal(bytes[0], bytes[1]);
            if (data && memcmp(v->data, w->data, bytes[0]) != 0)
                fail_msg("%s: %s, input %d: other weights", name, x->name, k);
        }
    }
}

/* The same kernels on the same shapes. */
static void assert_same_plan(retort_model *a, retort_model *b) {
    retort_session *sessions[2] = {NULL};
    retort_error err = {0};
    retort_step_info x = {.size = sizeof x}, y = x;
    if (retort_session_open(&sessions[0], a, NULL, &err) != RETORT_OK ||
        retort_session_open(&sessions[1], b, NULL, &err) != RETORT_OK)
        fail_msg("%s", err.text);
    for (size_t i = 0;; i++) {
        retort_status found = retort_session_step(sessions[0], i, &x);
        assert_int_equal(found, retort_session_step(sessions[1], i, &y));
        if (found != RETORT_OK) break;
        assert_string_equal(x.name, y.name);
        assert_string_equal(x.kernel, y.kernel);
        assert_string_equal(x.shape, y.shape);
        assert_int_equal(x.weight_bytes, y.weight_bytes);
    }
    retort_session_close(sessions[0]);
    retort_session_close(sessions[1]);
}

/* Relative to the largest. */
static double difference(retort_model *a, retort_model *b) {
    size_t counts[2];
    float *x = run(a, NULL, 1, &counts[0]), *y = run(b, NULL, 1, &counts[1]);
    double most = 0, largest = 0;
    assert_int_equal(counts[0], counts[1]);
    for (size_t i = 0; i < counts[0]; i++) {
        most = fmax(most, fabs((double)x[i] - (double)y[i]));
        largest = fmax(largest, fabs((double)x[i]));
    }
    free(x);
    free(y);
    return most / largest;
}

/* ---- Of a checkpoint ---- */

/* Without a step, the bits of an import. */
static void check_untrained(const char *name) {
    retort_model *whole = golden(name, 3, RETORT_F32);
    for (int level = 0; level <= 2; level++) {
        rt_trainee trainee;
        retort_model *start = golden(name, level, RETORT_F32);
        open_trainee(&trainee, start);
        retort_model *model = result_of(&trainee);
        bool scaled = level == 2; /* once out of W_Q and back */
        assert_same_nodes(name, &model->graph, &whole->graph, !scaled);
        assert_string_equal(model->provenance.text, "fp32 trained");
        retort_model_free(model);
        rt_trainee_close(&trainee);
        retort_model_free(start);
    }
    retort_model_free(whole);
}

static void test_untrained(void **unused) {
    (void)unused;
    each_checkpoint(check_untrained);
}

static void check_trained(const char *name) {
    rt_trainee trainee;
    retort_model *start = golden(name, 0, RETORT_F32), *whole = golden(name, 3, RETORT_F32);
    open_trainee(&trainee, start);
    move(&trainee);
    retort_model *model = result_of(&trainee);
    assert_same_nodes(name, &model->graph, &whole->graph, false);
    assert_same_plan(model, whole);
    double most = difference(trainee.model, model);
    if (!(most < 1e-5)) fail_msg("%s: %g after the folds", name, most);
    assert_true(difference(whole, model) > 1e-3); /* weights have moved */
    retort_model_free(model);
    rt_trainee_close(&trainee);
    retort_model_free(whole);
    retort_model_free(start);
}

static void test_trained(void **unused) {
    (void)unused;
    each_checkpoint(check_trained);
}

/* The graph in training stays as it is, whatever models are made of it. */
static void test_graph_in_training(void **unused) {
    (void)unused;
    rt_trainee trainee;
    retort_model *start = golden("distilbert-classify", 0, RETORT_F32);
    open_trainee(&trainee, start);
    retort_model *first = result_of(&trainee), *second = result_of(&trainee);
    assert_same_nodes("twice", &first->graph, &second->graph, true);
    move(&trainee);
    assert_true(difference(first, second) == 0);
    retort_model_free(second);
    second = result_of(&trainee);
    assert_true(difference(first, second) > 0);
    retort_model_free(second);
    retort_model_free(first);
    rt_trainee_close(&trainee);
    retort_model_free(start);
}

/* Products of bf16 come out as floats with the same folds. */
static void test_half(void **unused) {
    (void)unused;
    rt_trainee trainee;
    retort_error err = {0};
    retort_model *start = golden("bert-classify", 0, RETORT_F32);
    retort_model *whole = golden("bert-classify", 3, RETORT_F32);
    open_trainee(&trainee, start);
    assert_int_equal(rt_trainee_use_bf16(&trainee, &err), RETORT_OK);
    retort_model *model = result_of(&trainee);
    assert_same_nodes("half", &model->graph, &whole->graph, true);
    retort_model_free(model);
    rt_trainee_close(&trainee);
    retort_model_free(whole);
    retort_model_free(start);
}

/* ---- Of a file ---- */

static void assert_keeps_form(retort_model *start) {
    rt_trainee trainee;
    open_trainee(&trainee, start);
    retort_model *model = result_of(&trainee);
    assert_same_nodes("level 3", &model->graph, &start->graph, false);
    assert_true(difference(start, model) < 1e-5);
    retort_model_free(model);
    rt_trainee_close(&trainee);
}

/* Of level 3, a model keeps its form: also without rewrites that somebody left out. */
static void test_level_3(void **unused) {
    (void)unused;
    static const char *const without[] = {"scale-into-query", "drop-key-bias", "fold-value-bias", "skip-keys",
                                          "prune-rows"};
    retort_error err = {0};
    retort_optimize_options options = RETORT_OPTIMIZE_OPTIONS;
    retort_model *start = golden("distilbert-classify", 0, RETORT_F32);
    retort_model *whole = golden("distilbert-classify", 3, RETORT_F32);
    assert_keeps_form(whole);
    for (size_t i = 0; i < sizeof without / sizeof *without; i++) {
        retort_model *left = NULL;
        options.without = &without[i];
        options.without_count = 1;
        assert_int_equal(retort_model_optimize(&left, start, &options, &err), RETORT_OK);
        assert_keeps_form(left);
        retort_model_free(left);
    }
    retort_model_free(whole);
    retort_model_free(start);
}

/* ---- Afterwards ---- */

/* Saved, quantised, exported: what each gives is what an import gives. */
static void check_use(const char *name) {
    rt_trainee trainee;
    retort_error err = {0};
    retort_export_info wrote[2] = {{.size = sizeof *wrote}, {.size = sizeof *wrote}};
    retort_model *start = golden(name, 0, RETORT_F32), *whole = golden(name, 3, RETORT_F32), *loaded = NULL;
    open_trainee(&trainee, start);
    retort_model *model = result_of(&trainee);
    if (retort_model_export(model, saved, NULL, &wrote[0], &err) != RETORT_OK ||
        retort_model_export(whole, saved, NULL, &wrote[1], &err) != RETORT_OK ||
        retort_model_save(model, saved, &err) != RETORT_OK ||
        retort_model_load(&loaded, saved, &err) != RETORT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(wrote[0].nodes, wrote[1].nodes);
    assert_true(difference(loaded, whole) == 0);
    retort_model *a = quantized(loaded, "int8", 0, 0), *b = quantized(whole, "int8", 0, 0);
    assert_true(difference(a, b) == 0);
    assert_null(strstr(a->provenance.text, "without"));
    retort_model_free(b);
    retort_model_free(a);
    retort_model_free(loaded);
    retort_model_free(model);
    rt_trainee_close(&trainee);
    retort_model_free(whole);
    retort_model_free(start);
}

static void test_use(void **unused) {
    (void)unused;
    static const char *const models[] = {
        "distilbert-classify", "bert-tag",        "bert-embed",  "electra-classify", "roberta-answer",
        "distilbert-fill",     "modernbert-mean", "nomic-embed", "mpnet-answer",     "albert-embed",
        "deberta-fill-new",    "eurobert-bos",    "eurobert-tag"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) check_use(models[i]);
}

/* Integers start from a graph that is folded, and keep it. */
static void test_integers(void **unused) {
    (void)unused;
    rt_trainee trainee;
    retort_error err = {0};
    const rt_qat_options how = {.steps = 10};
    retort_model *whole = golden("distilbert-classify", 3, RETORT_F32);
    retort_model *integer = quantized(whole, "int4", 0, 0);
    if (rt_qat_open(&trainee, integer, whole, &how, &err) != RETORT_OK) fail_msg("%s", err.text);
    retort_model *model = result_of(&trainee);
    char text[256];
    snprintf(text, sizeof text, "%s trained", integer->provenance.text);
    assert_string_equal(model->provenance.text, text);
    assert_same_nodes("integers", &model->graph, &integer->graph, false);
    retort_model_free(model);
    rt_trainee_close(&trainee);
    retort_model_free(integer);
    retort_model_free(whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_untrained), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_trained),   cmocka_unit_test(test_graph_in_training),
        cmocka_unit_test(test_half),      cmocka_unit_test(test_level_3),
        cmocka_unit_test(test_use),       cmocka_unit_test(test_integers),
    };
    return find_checkpoints(NULL) == 0
               ? cmocka_run_group_tests_name("trainee", tests, make_folder, remove_folder)
               : 1;
}
