/* SPDX-License-Identifier: Apache-2.0
 * ONNX files: our own and plain ones read again, and what is refused. What other engines make of them:
 * test/cli/exchange.py. */
#include "file/path.h"
#include "onnx_files.h"

#include <sys/stat.h>

static const char *const names[] = {
    "bert-answer",     "bert-classify",  "bert-classify-bare", "bert-embed",    "bert-fill",
    "bert-multilabel", "bert-tag",       "bert-regression",    "bert-wide",     "distilbert-classify",
    "distilbert-fill", "distilbert-tag", "package-mean",       "package-dense",
};
enum { NAMES = sizeof names / sizeof *names };

static void test_own_files_come_back(void **state) {
    (void)state;
    for (size_t i = 0; i < NAMES; i++) {
        for (int level = 0; level <= 3; level++) {
            retort_error err = {0};
            retort_model *model = golden(names[i], level, RETORT_F32), *again = NULL;
            if (retort_model_export(model, graph_path, NULL, NULL, &err) != RETORT_OK)
                fail_msg("%s", err.text);
            if (try_import(&again, level, &err) != RETORT_OK) fail_msg("%s: %s", names[i], err.text);
            assert_same_model(model, again);
            assert_string_equal(model->source, again->source);
            retort_model_free(again);
            retort_model_free(model);
        }
    }
}

static void test_bf16_comes_back(void **state) {
    (void)state;
    retort_error err = {0};
    retort_model *model = golden("distilbert-wide", 3, RETORT_BF16), *again = NULL;
    assert_int_equal(retort_model_export(model, graph_path, NULL, NULL, &err), RETORT_OK);
    if (try_import(&again, 3, &err) != RETORT_OK) fail_msg("%s", err.text);
    assert_same_model(model, again);
    assert_string_equal(again->recipe, "bf16");
    retort_model_free(again);
    retort_model_free(model);
}

/* In each form that integers have, and with ONNX Runtime's operators. */
static void assert_comes_back(const retort_model *model) {
    for (int form = 0; form < 3; form++) {
        retort_error err = {0};
        retort_model *again = NULL;
        retort_export_options options = RETORT_EXPORT_OPTIONS;
        options.fused = form == 1;
        options.standard = form == 2;
        if (retort_model_export(model, graph_path, &options, NULL, &err) != RETORT_OK)
            fail_msg("%s", err.text);
        if (try_import(&again, 3, &err) != RETORT_OK) fail_msg("form %d: %s", form, err.text);
        assert_same_model(model, again);
        assert_string_equal(model->recipe, again->recipe);
        retort_model_free(again);
    }
}

static void test_integers_come_back(void **state) {
    (void)state;
    static const char *const models[] = {"bert-wide", "distilbert-wide", "bert-tag", "package-dense"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        retort_model *model = golden(models[i], 3, RETORT_F32);
        retort_model *eight = quantized(model, "int8", 0, 0), *four = quantized(model, "int4", 0, 32);
        retort_model *mixed = quantized(model, "int4", 8, 32), *three = three_bits(model);
        assert_comes_back(model);
        assert_comes_back(eight);
        assert_comes_back(four);
        assert_comes_back(mixed);
        assert_comes_back(three);
        retort_model_free(three);
        retort_model_free(mixed);
        retort_model_free(four);
        retort_model_free(eight);
        retort_model_free(model);
    }
}

static void test_groups_that_matmulnbits_has_not(void **state) {
    (void)state;
    retort_error err = {0};
    retort_export_options standard = RETORT_EXPORT_OPTIONS;
    standard.standard = true;
    retort_model *model = golden("bert-wide", 3, RETORT_F32), *four = quantized(model, "int4", 0, 96);
    assert_int_equal(retort_model_export(four, graph_path, NULL, NULL, &err), RETORT_UNSUPPORTED);
    assert_non_null(strstr(err.text, "groups of 96"));
    assert_int_equal(retort_model_export(four, graph_path, &standard, NULL, &err), RETORT_OK);
    retort_model_free(four);
    retort_model_free(model);
}

static void test_plain_files_are_the_checkpoint(void **state) {
    (void)state;
    for (size_t i = 0; i < NAMES; i++) {
        if (strstr(names[i], "embed") != NULL || strstr(names[i], "package") != NULL) continue;
        retort_model *model = golden(names[i], 3, RETORT_F32), *plain = golden(names[i], 0, RETORT_F32),
                     *again = NULL;
        retort_error err = {0};
        write_plain(plain, NULL);
        link_checkpoint(names[i]);
        if (try_import(&again, 3, &err) != RETORT_OK) fail_msg("%s: %s", names[i], err.text);
        assert_same_model(model, again);
        retort_model_free(again);
        retort_model_free(plain);
        retort_model_free(model);
    }
}

/* ---- What is refused ---- */

static void reorder(rt_onnx *onnx) {
    rt_onnx_node last = onnx->nodes[onnx->node_count - 1];
    memmove(onnx->nodes + 1, onnx->nodes, (onnx->node_count - 1) * sizeof last);
    onnx->nodes[0] = last;
}
static void unknown_operator(rt_onnx *onnx) {
    for (size_t i = 0; i < onnx->node_count; i++) {
        if (strcmp(onnx->nodes[i].op, "Softmax") == 0) onnx->nodes[i].op = "Hardmax";
    }
}
static void old_opset(rt_onnx *onnx) {
    onnx->opsets[0].version = 7;
}
static void future_opset(rt_onnx *onnx) {
    onnx->opsets[0].version = 99;
}
static void no_output(rt_onnx *onnx) {
    onnx->output_count = 0;
}
static void twice(rt_onnx *onnx) {
    onnx->nodes[1].outputs = onnx->nodes[0].outputs;
}
static rt_onnx_tensor *largest(rt_onnx *onnx) {
    rt_onnx_tensor *out = &onnx->tensors[0];
    for (size_t i = 0; i < onnx->tensor_count; i++) {
        if (onnx->tensors[i].bytes > out->bytes) out = &onnx->tensors[i];
    }
    return out;
}
static void huge(rt_onnx *onnx) {
    largest(onnx)->dims[0] = INT64_C(1) << 40;
}
static void overflowing(rt_onnx *onnx) {
    rt_onnx_tensor *t = largest(onnx);
    t->dims[0] = t->dims[1] = INT64_C(1) << 40;
}
static void negative(rt_onnx *onnx) {
    largest(onnx)->dims[0] = -1;
}
static void other_shape(rt_onnx *onnx) {
    rt_onnx_tensor *t = largest(onnx);
    int64_t rows = t->dims[0];
    t->dims[0] = t->dims[1];
    t->dims[1] = rows;
}
static void other_scale(rt_onnx *onnx) {
    static const float four = 4;
    for (size_t i = 0; i < onnx->tensor_count; i++) {
        if (strstr(onnx->tensors[i].name, "attention.scale.value") != NULL) onnx->tensors[i].data = &four;
    }
}
static void causal(rt_onnx *onnx) {
    for (size_t i = 0; i < onnx->node_count; i++) {
        if (strcmp(onnx->nodes[i].op, "Sub") == 0) onnx->nodes[i].op = "Trilu";
    }
}
static void other_activation(rt_onnx *onnx) {
    for (size_t i = 0; i < onnx->node_count; i++) {
        if (strcmp(onnx->nodes[i].op, "Erf") == 0) onnx->nodes[i].op = "Sigmoid";
    }
}

static void test_other_graphs_are_refused(void **state) {
    (void)state;
    static const struct {
        void (*change)(rt_onnx *);
        const char *words;
    } rows[] = {
        {reorder, "which nothing before it makes"},
        {unknown_operator, "(Hardmax): expected Softmax over keys"},
        {old_opset, "opset 7"},
        {future_opset, "opset 99"},
        {no_output, "0 outputs"},
        {twice, "a second time"},
        {huge, "its shape needs"},
        {overflowing, "cannot be read"},
        {negative, "cannot be read"},
        {other_shape, "expected [100, 16] from config.json"},
        {other_scale, "the root of the head's size"},
        {causal, "(Trilu): expected nothing but a mask"},
        {other_activation, "config.json's activation"},
    };
    retort_model *plain = golden("bert-classify", 0, RETORT_F32);
    link_checkpoint("bert-classify");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        write_plain(plain, rows[i].change);
        assert_refused(rows[i].words);
    }
    retort_model_free(plain);
}

/* A file of ours whose graph somebody has changed is read as anybody's. */
static void test_changed_files_are_not_ours(void **state) {
    (void)state;
    retort_error err = {0};
    retort_model *model = golden("bert-classify", 0, RETORT_F32);
    assert_int_equal(retort_model_export(model, graph_path, NULL, NULL, &err), RETORT_OK);
    rt_onnx onnx;
    uint64_t bytes;
    bool external;
    assert_int_equal(rt_onnx_open(&onnx, graph_path, &err), RETORT_OK);
    for (size_t i = 0; i < onnx.node_count; i++) {
        if (strcmp(onnx.nodes[i].op, "Erf") == 0) onnx.nodes[i].op = "Sigmoid";
    }
    assert_int_equal(rt_onnx_save(&onnx, graph_path, 0, &bytes, &external, &err), RETORT_OK);
    rt_onnx_close(&onnx);
    link_checkpoint("bert-classify");
    assert_refused("config.json's activation");
    retort_model_free(model);
}

static void test_truncated_files(void **state) {
    (void)state;
    uint8_t *bytes = NULL;
    size_t length = 0;
    retort_error err = {0};
    retort_model *model = golden("distilbert-classify", 3, RETORT_F32);
    assert_int_equal(rt_onnx_write(model, NULL, &bytes, &length, &err), RETORT_OK);
    for (size_t cut = 0; cut < length; cut += 61) {
        rt_onnx onnx;
        uint8_t *copy = malloc(cut + 1); /* a block of its own, so that a sanitizer sees a read beyond it */
        memcpy(copy, bytes, cut);
        if (rt_onnx_parse(&onnx, "cut", NULL, copy, cut, &err) == RETORT_OK) rt_onnx_close(&onnx);
        free(copy);
    }
    free(bytes);
    retort_model_free(model);
}

/* ---- External data ---- */

static void export_external(const retort_model *model) {
    retort_error err = {0};
    retort_export_options options = RETORT_EXPORT_OPTIONS;
    retort_export_info info;
    options.external_over = 10000;
    unlink(data_path);
    if (retort_model_export(model, graph_path, &options, &info, &err) != RETORT_OK) fail_msg("%s", err.text);
    assert_true(info.external);
}

static void test_external_data_comes_back(void **state) {
    (void)state;
    retort_error err = {0};
    retort_model *model = golden("bert-wide", 3, RETORT_F32), *again = NULL;
    export_external(model);
    if (try_import(&again, 3, &err) != RETORT_OK) fail_msg("%s", err.text);
    assert_same_model(model, again);
    retort_model_free(again);
    retort_model_free(model);
}

/* The bytes of "model.onnx.data" in the graph's file, as another location of that length. */
static void relocate(const char *location) {
    rt_map map;
    retort_error err = {0};
    assert_int_equal(strlen(location), 15);
    assert_int_equal(rt_map_open(&map, graph_path, &err), RETORT_OK);
    char *copy = malloc(map.size);
    size_t size = map.size;
    memcpy(copy, map.data, size);
    rt_map_close(&map);
    for (size_t i = 0; i + 15 <= size; i++) {
        if (memcmp(copy + i, "model.onnx.data", 15) == 0) memcpy(copy + i, location, 15);
    }
    FILE *file = fopen(graph_path, "wb");
    assert_int_equal(fwrite(copy, 1, size, file), size);
    fclose(file);
    free(copy);
}

static void test_external_data_stays_in_the_folder(void **state) {
    (void)state;
    static const char *const outside[] = {"../../etc/hosts", "/etc/nsswitch.c", "./../model.dat1",
                                          "././././././abc", "..\\..\\..\\..\\abc"};
    char other[128];
    retort_model *model = golden("bert-wide", 3, RETORT_F32);
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        export_external(model);
        relocate(outside[i]);
        assert_refused("below the model's folder");
    }
    export_external(model);
    snprintf(other, sizeof other, "%s/other", folder);
    assert_int_equal(link(data_path, other), 0); /* a second name may be a file of anywhere */
    assert_refused("not a regular file with one name");
    unlink(data_path);
    assert_int_equal(symlink(other, data_path), 0);
    assert_refused("below the model's folder");
    unlink(data_path);
    assert_refused("No such file");
    assert_int_equal(rename(other, data_path), 0);
    assert_int_equal(truncate(data_path, 5000), 0);
    assert_refused("which has 5000");
    retort_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_files_come_back),
        cmocka_unit_test(test_bf16_comes_back),
        cmocka_unit_test(test_integers_come_back),
        cmocka_unit_test(test_groups_that_matmulnbits_has_not),
        cmocka_unit_test(test_plain_files_are_the_checkpoint),
        cmocka_unit_test(test_other_graphs_are_refused),
        cmocka_unit_test(test_changed_files_are_not_ours),
        cmocka_unit_test(test_truncated_files),
        cmocka_unit_test(test_external_data_comes_back),
        cmocka_unit_test(test_external_data_stays_in_the_folder),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
