/* SPDX-License-Identifier: Apache-2.0
 * New heads and fewer layers: a checkpoint read as an encoder to be trained. */
#include "arch/build.h"
#include "format/path.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const three[] = {"good", "bad", "so so"};
static const char *const five[] = {"O", "B-PER", "I-PER", "B-LOC", "I-LOC"};

static const char *golden(const char *name) {
    static char path[RT_PATH_SIZE];
    const char *root = getenv("RETORT_ROOT");
    snprintf(path, sizeof path, "%s/test/golden/checkpoints/%s", root != NULL ? root : ".", name);
    return path;
}

static rt_encoder open_with(const char *name, const rt_encoder_options *options) {
    rt_encoder e;
    retort_error err = {0};
    if (rt_encoder_open(&e, golden(name), options, &err) != RETORT_OK) fail_msg("%s: %s", name, err.text);
    return e;
}

static int add_text(void *user, const char *text, size_t length) {
    rt_buffer_append(user, text, length);
    return 0;
}

/* The lines about the head, in place: the architectures' files differ in activations and sizes. */
static void keep_head(char *text) {
    char *to = text;
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        const char *about = strstr(line, "head.");
        size_t length = (size_t)(end + 1 - line);
        if (about == NULL || about > end) continue;
        memmove(to, line, length);
        to += length;
    }
    *to = '\0';
    assert_true(to > text);
}

/* The nodes of the head at level 0, as text; constants are shown by name and shape. */
static char *text_of(const rt_encoder *e) {
    rt_graph graph;
    rt_buffer text = {0};
    retort_error err = {0};
    if (rt_graph_build(&graph, e, -1, &err) != RETORT_OK) fail_msg("%s", err.text);
    assert_int_equal(rt_graph_print(&graph, add_text, &text), RETORT_OK);
    rt_graph_free(&graph);
    assert_non_null(text.data);
    keep_head(text.data);
    return text.data;
}

/* A checkpoint without a head, and one of the same architecture, sizes and labels that has the head. */
static const struct {
    const char *plain, *whole;
    retort_task task;
    bool dense; /* the head has one that `plain` lacks */
} pairs[] = {
    {"distilbert-embed", "distilbert-classify", RETORT_TASK_CLASSIFY, true},
    {"distilbert-fill", "distilbert-classify", RETORT_TASK_CLASSIFY, true},
    {"distilbert-classify", "distilbert-tag", RETORT_TASK_TAG, false},
    {"bert-embed", "bert-classify", RETORT_TASK_CLASSIFY, false},
    {"bert-fill", "bert-classify", RETORT_TASK_CLASSIFY, true},
    {"bert-answer", "bert-classify", RETORT_TASK_CLASSIFY, true},
    {"package-mean", "bert-classify", RETORT_TASK_CLASSIFY, false},
    {"bert-embed", "bert-tag", RETORT_TASK_TAG, false},
    {"electra-embed", "electra-classify", RETORT_TASK_CLASSIFY, true},
    {"electra-discriminator", "electra-classify", RETORT_TASK_CLASSIFY, true},
    {"electra-classify", "electra-tag", RETORT_TASK_TAG, false},
    {"roberta-embed", "roberta-classify", RETORT_TASK_CLASSIFY, true},
    {"roberta-fill", "roberta-classify", RETORT_TASK_CLASSIFY, true},
    {"roberta-tag", "roberta-tag", RETORT_TASK_TAG, false},
    {"xlm-roberta-embed", "xlm-roberta-classify", RETORT_TASK_CLASSIFY, true},
    {"camembert-fill", "camembert-tag", RETORT_TASK_TAG, false},
};

static retort_head head_for(retort_task task) {
    bool tag = task == RETORT_TASK_TAG;
    return (retort_head){sizeof(retort_head), task,        RETORT_PROBLEM_SINGLE_LABEL,
                         tag ? five : three,  tag ? 5 : 3, 1};
}

/* The head has the operators and shapes of a trained checkpoint's, which api_test compares with transformers. */
static void test_graph_of_each_architecture(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        retort_head head = head_for(pairs[i].task);
        rt_encoder plain = open_with(pairs[i].plain, &(rt_encoder_options){.head = &head}),
                   whole = open_with(pairs[i].whole, NULL);
        bool file = plain.parts[RT_ROLE_DENSE].weight == NULL ||
                    strcmp(plain.parts[RT_ROLE_DENSE].weight->name, "head") != 0;
        if (file == pairs[i].dense) fail_msg("%s: is its dense layer new?", pairs[i].plain);
        assert_int_equal(plain.config.pooler, whole.config.pooler);
        char *new_text = text_of(&plain), *old_text = text_of(&whole);
        if (strcmp(new_text, old_text) != 0)
            fail_msg("%s as %s:\n%s\n\n%s", pairs[i].plain, pairs[i].whole, new_text, old_text);
        free(new_text);
        free(old_text);
        rt_encoder_close(&plain);
        rt_encoder_close(&whole);
    }
}

static void test_weights(void **state) {
    (void)state;
    retort_head head = head_for(RETORT_TASK_CLASSIFY);
    rt_encoder e = open_with("bert-wide", &(rt_encoder_options){.head = &head});
    const rt_weight *output = &e.parts[RT_ROLE_OUTPUT];
    /* Of the seed 1, on every machine. */
    static const float first[] = {-0x1.5baef6p-18F, 0x1.a6ed1cp-6F, 0x1.cf9f3cp-8F, -0x1.3a2fd8p-6F};
    const float *values = output->weight->data, *zeros = output->bias->data;
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) {
        if (values[i] != first[i]) fail_msg("weight %zu is %a", i, (double)values[i]);
    }
    assert_int_equal(output->weight->shape[0], 3);
    assert_int_equal(output->weight->shape[1], e.config.hidden);
    for (size_t i = 0; i < 3; i++) assert_true(zeros[i] == 0);
    rt_encoder_close(&e);
}

/* 768 x 768 numbers: mean 0, deviation 0.02, and of a normal number's kurtosis. */
static void test_distribution(void **state) {
    (void)state;
    static char labels[4096][8];
    static const char *names[4096];
    for (size_t i = 0; i < 4096; i++) {
        snprintf(labels[i], sizeof labels[i], "%zu", i);
        names[i] = labels[i];
    }
    retort_head head = {sizeof head, RETORT_TASK_TAG, RETORT_PROBLEM_SINGLE_LABEL, names, 4096, 3};
    rt_encoder e = open_with("bert-wide", &(rt_encoder_options){.head = &head});
    const float *values = e.parts[RT_ROLE_OUTPUT].weight->data;
    double n = 4096.0 * (double)e.config.hidden, sum = 0, squares = 0, fourths = 0;
    for (size_t i = 0; i < (size_t)n; i++) {
        double x = (double)values[i] / 0.02;
        sum += x;
        squares += x * x;
        fourths += x * x * x * x;
    }
    double error = 5 / sqrt(n);
    assert_true(fabs(sum / n) < error);
    assert_true(fabs(squares / n - 1) < error * sqrt(2));
    assert_true(fabs(fourths / n - 2.9) < 0.1);
    rt_encoder_close(&e);
}

/* Another seed gives other weights; dense and output are drawn apart. */
static void test_seeds(void **state) {
    (void)state;
    retort_head head = head_for(RETORT_TASK_CLASSIFY);
    rt_encoder one = open_with("roberta-fill", &(rt_encoder_options){.head = &head});
    head.seed = 2;
    rt_encoder two = open_with("roberta-fill", &(rt_encoder_options){.head = &head});
    size_t row = (size_t)one.config.hidden * sizeof(float);
    assert_memory_not_equal(one.parts[RT_ROLE_OUTPUT].weight->data, two.parts[RT_ROLE_OUTPUT].weight->data,
                            row);
    assert_memory_not_equal(one.parts[RT_ROLE_OUTPUT].weight->data, one.parts[RT_ROLE_DENSE].weight->data,
                            row);
    rt_encoder_close(&one);
    rt_encoder_close(&two);
}

static void test_layers(void **state) {
    (void)state;
    static const int64_t last = 1;
    rt_encoder e = open_with("electra-classify", &(rt_encoder_options){.layers = &last, .layer_count = 1});
    assert_int_equal(e.config.layers, 1);
    assert_string_equal(e.layers[0][RT_ROLE_Q].weight->name,
                        "electra.encoder.layer.1.attention.self.query.weight");
    assert_string_equal(e.config.label_names[1], "neutral"); /* it keeps its head */
    rt_encoder_close(&e);
}

static void refused(const char *name, const retort_import_options *options, retort_status wanted,
                    const char *fragment) {
    retort_model *model = NULL;
    retort_error err = {0};
    retort_status status = retort_model_import(&model, golden(name), options, &err);
    if (status != wanted || strstr(err.text, fragment) == NULL)
        fail_msg("expected %d '%s', found %d '%s'", wanted, fragment, status, err.text);
    assert_null(model);
}

static void test_refused(void **state) {
    (void)state;
    static const char *const twice[] = {"a", "b", "a"}, *const lost[] = {"a", NULL};
    static const int64_t falling[] = {1, 0}, beyond[] = {0, 2};
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    retort_head head = head_for(RETORT_TASK_CLASSIFY);
    options.head = &head;
    head.labels = twice;
    refused("bert-classify", &options, RETORT_ARGUMENT, "labels 0 and 2 of the new head are both 'a'");
    head.labels = lost;
    head.count = 2;
    refused("bert-classify", &options, RETORT_ARGUMENT, "name 1 is NULL");
    head.labels = NULL;
    head.count = 1;
    refused("bert-classify", &options, RETORT_ARGUMENT, "a new head for 1 labels; expected 2");
    head.task = RETORT_TASK_FILL;
    refused("bert-classify", &options, RETORT_ARGUMENT, "classifies or tags");
    head = (retort_head){sizeof(retort_head), RETORT_TASK_TAG, RETORT_PROBLEM_REGRESSION, NULL, 1, 0};
    refused("bert-classify", &options, RETORT_ARGUMENT, "numbers of a classifier");
    head = head_for(RETORT_TASK_TAG);
    options.force_task = true;
    refused("bert-classify", &options, RETORT_ARGUMENT, "give one of them");
    options = (retort_import_options)RETORT_IMPORT_OPTIONS;
    options.layers = falling;
    options.layer_count = 2;
    refused("bert-classify", &options, RETORT_ARGUMENT,
            "layer 0 cannot be kept: expected rising indices from 0 to 1");
    options.layers = beyond;
    refused("bert-classify", &options, RETORT_ARGUMENT, "layer 2 cannot be kept");
    options.layer_count = 0;
    refused("bert-classify", &options, RETORT_ARGUMENT, "together");
}

/* An .onnx file has neither another head nor fewer layers. */
static void test_onnx_refused(void **state) {
    (void)state;
    char folder[] = "/tmp/retort-head-test-XXXXXX", path[64], command[128];
    retort_model *model = NULL;
    retort_error err = {0};
    static const int64_t layer = 0;
    retort_head head = head_for(RETORT_TASK_CLASSIFY);
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    if (retort_model_import(&model, golden("bert-classify"), &options, &err) != RETORT_OK)
        fail_msg("%s", err.text);
    if (retort_model_export(model, path, NULL, NULL, &err) != RETORT_OK) fail_msg("%s", err.text);
    retort_model_free(model);
    model = NULL;
    options.head = &head;
    assert_int_equal(retort_model_import(&model, path, &options, &err), RETORT_UNSUPPORTED);
    assert_non_null(strstr(err.text, "for a new head, start from the checkpoint"));
    options.head = NULL;
    options.layers = &layer;
    options.layer_count = 1;
    assert_int_equal(retort_model_import(&model, path, &options, &err), RETORT_UNSUPPORTED);
    assert_non_null(strstr(err.text, "for fewer layers, start from the checkpoint"));
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    assert_int_equal(system(command), 0);
}

/* A regression of one number, and labels without names, through the public API to level 3. */
static void test_imported(void **state) {
    (void)state;
    static const int64_t first = 0;
    retort_model *model = NULL;
    retort_error err = {0};
    retort_info info = {.size = sizeof info};
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    retort_head head = {sizeof head, RETORT_TASK_CLASSIFY, RETORT_PROBLEM_REGRESSION, NULL, 1, 0};
    options.head = &head;
    options.layers = &first;
    options.layer_count = 1;
    if (retort_model_import(&model, golden("package-mean"), &options, &err) != RETORT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(retort_model_info(model, &info), RETORT_OK);
    assert_int_equal(info.task, RETORT_TASK_CLASSIFY);
    assert_int_equal(info.problem, RETORT_PROBLEM_REGRESSION);
    assert_int_equal(info.labels, 1);
    assert_int_equal(info.layers, 1);
    assert_int_equal(info.level, 3);
    assert_string_equal(retort_model_label(model, 0), "LABEL_0");
    retort_session *session = NULL;
    float score = NAN;
    assert_int_equal(retort_session_open(&session, model, NULL, &err), RETORT_OK);
    assert_int_equal(
        retort_classify(session, &(retort_text){.text = "good", .length = 4}, 1, &score, NULL, 1, &err),
        RETORT_OK);
    assert_true(isfinite(score) && score != 0);
    retort_session_close(session);
    retort_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_graph_of_each_architecture),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_distribution),
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_layers),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_onnx_refused),
        cmocka_unit_test(test_imported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
