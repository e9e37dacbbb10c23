/* SPDX-License-Identifier: Apache-2.0
 * Small files that ask for much memory are refused by name, with what would allow them; real ones pass. */
#include "base/budget.h"
#include "base/map.h"
#include "format/json.h"
#include "onnx/onnx.h"
#include "model/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64], path[96], graph_path[96];

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/retort-budget-test-XXXXXX");
    if (mkdtemp(folder) == NULL) return -1;
    snprintf(path, sizeof path, "%s/model.retort", folder);
    snprintf(graph_path, sizeof graph_path, "%s/model.onnx", folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    unlink(path);
    unlink(graph_path);
    return rmdir(folder);
}

static const char *golden(const char *name) {
    static char out[4096];
    const char *root = getenv("RETORT_ROOT");
    snprintf(out, sizeof out, "%s/test/golden/checkpoints/%s", root != NULL ? root : ".", name);
    return out;
}

static retort_model *import_golden(const char *name, int level) {
    retort_model *model = NULL;
    retort_error err = {0};
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    options.level = level;
    if (retort_model_import(&model, golden(name), &options, &err) != RETORT_OK) fail_msg("%s", err.text);
    return model;
}

static void assert_refused(retort_status status, const retort_error *err, const char *name) {
    if (status != RETORT_LIMIT || strstr(err->text, name) == NULL || strstr(err->text, "--memory") == NULL)
        fail_msg("status %d: %s", (int)status, err->text);
}

/* ---- The account ---- */

static void test_files_count_once(void **state) {
    (void)state;
    rt_budget budget;
    rt_map map[2];
    const char *file = golden("bert-classify/config.json");
    rt_budget_begin(&budget, "test", 0);
    for (int i = 0; i < 2; i++) assert_int_equal(rt_map_open(&map[i], file, NULL), RETORT_OK);
    assert_int_equal(budget.files, map[0].size);
    assert_int_equal(budget.limit, RT_BUDGET_BASE + RT_BUDGET_TIMES * map[0].size);
    rt_budget_integers(2 * map[0].size, map[0].size);
    assert_int_equal(budget.decoded, 7 * map[0].size);
    rt_budget_integers(2 * map[0].size, map[0].size); /* laid over the first: the file has no more */
    assert_int_equal(budget.decoded, 7 * map[0].size);
    assert_int_equal(rt_budget_end(&budget, RETORT_OK, NULL), RETORT_OK);
    for (int i = 0; i < 2; i++) rt_map_close(&map[i]);
}

static void test_freed_memory_is_given_back(void **state) {
    (void)state;
    rt_budget budget;
    retort_error err = {0};
    rt_arena arena = {0};
    rt_budget_begin(&budget, "test", 1 << 20);
    for (int i = 0; i < 100; i++) {
        assert_non_null(rt_arena_calloc(&arena, 500000, 1));
        rt_arena_free(&arena);
    }
    assert_int_equal(budget.used, 0);
    assert_non_null(rt_arena_calloc(&arena, 500000, 1));
    rt_budget_about("layer", "weight");
    assert_null(rt_arena_calloc(&arena, 600000, 1));
    assert_null(rt_calloc(600000, 1));
    rt_arena_free(&arena);
    assert_refused(rt_budget_end(&budget, RETORT_NOMEM, &err), &err, "layer.weight needs 600064 bytes");
    void *free_again = rt_calloc(600000, 4); /* no budget any more */
    assert_non_null(free_again);
    free(free_again);
}

/* ---- JSON ---- */

static void test_values_of_json(void **state) {
    (void)state;
    static const char *const items[] = {"[]", "{}", "\"\"", "0"};
    enum { BYTES = 9 << 20 };
    char *text = malloc(BYTES);
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        size_t length = strlen(items[i]), at = 0;
        rt_budget budget;
        json_t *json = NULL;
        retort_error err = {0};
        text[at++] = '[';
        while (at + length + 1 < BYTES) {
            memcpy(text + at, items[i], length);
            at += length;
            text[at++] = ',';
        }
        text[at - 1] = ']';
        rt_budget_begin(&budget, "test", 0);
        rt_budget_file(1, 1, at);
        retort_status status = rt_json_parse(&json, "many.json", text, at, &err);
        status = rt_budget_end(&budget, status, &err);
        assert_refused(status, &err, "many.json");
        assert_int_equal(rt_json_parse(&json, "many.json", "[[], {}]", 8, &err), RETORT_OK);
        json_decref(json);
    }
    free(text);
}

/* ---- Imports ---- */

static void test_tensors_of_a_checkpoint(void **state) {
    (void)state;
    static const char *const names[] = {"bert-classify", "distilbert-classify-zip", "bert-wide"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        retort_model *model = NULL;
        retort_error err = {0};
        retort_import_options options = RETORT_IMPORT_OPTIONS;
        options.memory = i < 2 ? 200 << 10 : 500 << 10;
        assert_refused(retort_model_import(&model, golden(names[i]), &options, &err), &err, names[i]);
        assert_null(model);
        options.memory = 8 << 20;
        assert_int_equal(retort_model_import(&model, golden(names[i]), &options, &err), RETORT_OK);
        retort_model_free(model);
    }
}

/* `text` with `from` made `to`; freed by the caller. */
static char *replaced(const char *text, const char *from, const char *to) {
    const char *at = strstr(text, from);
    if (at == NULL) fail_msg("no '%s'", from);
    size_t size = strlen(text) + strlen(to) + 1;
    char *out = malloc(size);
    snprintf(out, size, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    return out;
}

/* A constant of our own export that the file does not hold. */
static void test_constants_of_our_export(void **state) {
    (void)state;
    retort_error err = {0};
    retort_model *model = import_golden("bert-classify", 3), *small = NULL, *again = NULL;
    assert_int_equal(retort_model_quantize(&small, model, NULL, &err), RETORT_OK);
    rt_onnx onnx;
    uint64_t bytes;
    bool external;
    assert_int_equal(retort_model_export(small, graph_path, NULL, NULL, &err), RETORT_OK);
    assert_int_equal(rt_onnx_open(&onnx, graph_path, &err), RETORT_OK);
    char *one = NULL, *two = NULL;
    for (size_t i = 0; i < onnx.metadata_count; i++) {
        if (strcmp(onnx.metadata[i].key, "retort.graph") != 0) continue;
        one = replaced(onnx.metadata[i].value, "embeddings.position_scale)",
                       "embeddings.position_scale, _, _, gaps)");
        two = replaced(one, "\nembeddings = ", "\nconst gaps i32 rows [100000000, 2]\nembeddings = ");
        onnx.metadata[i].value = two;
    }
    assert_non_null(two);
    assert_int_equal(rt_onnx_save(&onnx, graph_path, 0, &bytes, &external, &err), RETORT_OK);
    rt_onnx_close(&onnx);
    assert_refused(retort_model_import(&again, graph_path, NULL, &err), &err, "gaps needs 8000000");
    free(one);
    free(two);
    retort_model_free(small);
    retort_model_free(model);
}

/* ---- Values ---- */

/* The model's output plus a number that is picked from 2^doublings. */
static void grow_values(rt_graph *graph, int doublings) {
    float *number = rt_graph_alloc(graph, sizeof *number);
    int64_t *index = rt_graph_alloc(graph, sizeof *index), one = 1;
    int last = rt_graph_constant(graph, "z.number", RETORT_F32, RT_LAYOUT_ROWS, 1, &one, number);
    int first = rt_graph_constant(graph, "z.index", RETORT_I64, RT_LAYOUT_ROWS, 0, NULL, index);
    for (int i = 0; i < doublings; i++) {
        char name[32];
        snprintf(name, sizeof name, "z.double%d", i);
        last = rt_node_output(
            graph, rt_graph_node(graph, RT_OP_CONCAT, name, 2, (int[]){last, last}, &(rt_attrs){0}), 0);
    }
    int picked = rt_graph_node(graph, RT_OP_GATHER, "z.pick", 2, (int[]){last, first}, &(rt_attrs){0});
    int sum = rt_graph_node(graph, RT_OP_ADD, "z.sum", 2,
                            (int[]){graph->output, rt_node_output(graph, picked, 0)}, NULL);
    graph->output = rt_node_output(graph, sum, 0);
}

static void test_values_of_a_graph(void **state) {
    (void)state;
    static const int doublings[] = {20, 27};
    for (size_t i = 0; i < 2; i++) {
        retort_error err = {0};
        retort_model *model = import_golden("bert-classify", 0), *loaded = NULL;
        retort_load_options options = RETORT_LOAD_OPTIONS;
        grow_values(&model->graph, doublings[i]);
        assert_int_equal(retort_model_save(model, path, &err), RETORT_OK);
        retort_status status = retort_model_load(&loaded, path, &err);
        if (i == 0) assert_int_equal(status, RETORT_OK);
        if (i == 1) assert_refused(status, &err, "z.double");
        retort_model_free(loaded);
        loaded = NULL;
        options.memory = UINT64_C(1) << 30;
        assert_int_equal(retort_model_load_with(&loaded, path, &options, &err), RETORT_OK);
        retort_model_free(loaded);
        retort_model_free(model);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_count_once),        cmocka_unit_test(test_freed_memory_is_given_back),
        cmocka_unit_test(test_values_of_json),          cmocka_unit_test(test_tensors_of_a_checkpoint),
        cmocka_unit_test(test_constants_of_our_export), cmocka_unit_test(test_values_of_a_graph),
    };
    return cmocka_run_group_tests_name("budget", tests, make_folder, remove_folder);
}
