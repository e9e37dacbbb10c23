/* SPDX-License-Identifier: Apache-2.0
 * What recipes ask of the engine: outlier rows of a product, static ranges of activations, and columns of
 * activations that are moved on their way to integers. */
#include "graph/match.h"
#include "kernel/integers.h"
#include "quant_models.h"

enum { OUTLIERS = 8, GROUP = 32 };

static int find_linear(const rt_graph *graph, rt_layout layout) {
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        if (node->op == RT_OP_LINEAR && graph->values[node->inputs[LINEAR_WEIGHT]].layout == layout)
            return (int)i;
    }
    fail_msg("no such Linear");
    return -1;
}

/* Moves OUTLIERS rows of a 4-bit weight to the outliers: the same product. */
static void move_rows(rt_graph *graph, int index) {
    rt_node *node = &graph->nodes[index];
    rt_value *weight = &graph->values[node->inputs[LINEAR_WEIGHT]];
    int64_t k = weight->dims[0], n = weight->dims[1], count = OUTLIERS;
    size_t bytes = 0, outlier_bytes = 0;
    assert_true(rt_value_bytes(weight, &bytes) && rt_pack_count_s8(OUTLIERS, (size_t)n, &outlier_bytes));
    uint8_t *codes = rt_graph_alloc(graph, bytes);
    int8_t *packed = rt_graph_alloc(graph, outlier_bytes), *plain = calloc((size_t)(k * n), 1);
    int32_t *columns = rt_graph_alloc(graph, OUTLIERS * sizeof *columns),
            *sums = calloc((size_t)n, sizeof *sums);
    assert_true(codes != NULL && packed != NULL && plain != NULL && columns != NULL && sums != NULL);
    const uint8_t *groups = graph->values[node->inputs[LINEAR_GROUPS]].data;
    memcpy(codes, weight->data, bytes);
    rt_unpack_s4((size_t)k, (size_t)n, GROUP, codes, groups, plain);
    int8_t rows[OUTLIERS * 256];
    assert_true(n <= 256);
    for (int i = 0; i < OUTLIERS; i++) {
        size_t row = (size_t)((i * 29 + 3) % k);
        columns[i] = (int32_t)row;
        memcpy(rows + i * n, plain + row * (size_t)n, (size_t)n);
        for (size_t j = 0; j < (size_t)n; j++) {
            codes[rt_panel_byte((size_t)k, 8, row, j)] &= row % 8 < 4 ? 0xf0 : 0x0f;
        }
    }
    rt_pack_s8(OUTLIERS, (size_t)n, rows, (size_t)n, 1, packed, sums);
    weight->data = codes;
    int outliers =
        rt_graph_constant(graph, "weak", RETORT_S8, RT_LAYOUT_P16_S8, 2, (int64_t[]){count, n}, packed);
    int index_of = rt_graph_constant(graph, "columns", RETORT_I32, RT_LAYOUT_ROWS, 1, &count, columns);
    node = &graph->nodes[index];
    while (node->input_count < 9) node->inputs[node->input_count++] = -1;
    node->inputs[LINEAR_OUTLIERS] = outliers;
    node->inputs[LINEAR_OUTLIER_COLUMNS] = index_of;
    free(plain);
    free(sums);
}

static retort_model *model_with_outlier_rows(const char *name) {
    retort_error err = {0};
    retort_model *model = golden(name, 3, RETORT_F32), *integer = quantized(model, "int4", 0, GROUP);
    size_t count, same;
    float *before = run(integer, NULL, 1, &count), *floats = run_floats(integer, &count);
    move_rows(&integer->graph, find_linear(&integer->graph, RT_LAYOUT_P16_S4));
    if (rt_graph_sweep(&integer->graph, &err) != RETORT_OK) fail_msg("%s", err.text);
    if (rt_graph_verify(&integer->graph, &err) != RETORT_OK) fail_msg("%s", err.text);
    float *after = run(integer, NULL, 1, &same), *floats_after = run_floats(integer, &same);
    assert_int_equal(count, same);
    assert_memory_equal(before, after, count * sizeof *after);
    assert_memory_equal(floats, floats_after, count * sizeof *floats);
    free(before);
    free(after);
    free(floats);
    free(floats_after);
    retort_model_free(model);
    return integer;
}

static void test_outlier_rows(void **unused) {
    (void)unused;
    static const char *const names[] = {"distilbert-wide", "bert-wide"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        retort_model *integer = model_with_outlier_rows(names[i]);
        check_bits(integer, names[i]);
        check_round_trip(integer);
        retort_model_free(integer);
    }
}

static void test_spoilt_outlier_rows(void **unused) {
    (void)unused;
    retort_error err = {0};
    retort_model *integer = model_with_outlier_rows("distilbert-wide");
    rt_graph *graph = &integer->graph;
    int32_t *columns = (int32_t *)(uintptr_t)graph->values[rt_value_find(graph, "columns")].data;
    if (retort_model_save(integer, saved, &err) != RETORT_OK) fail_msg("%s", err.text);
    check_spoilt("columns i32 rows [8]", "columns i32 rows [4]", "outlier rows do not fit");
    check_spoilt("weak s8 p16_s8 [8,", "weak s8 p16_s8 [6,", "outlier rows do not fit");
    static const int32_t bad[] = {-1, 48, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        retort_model *loaded = NULL;
        columns[3] = bad[i];
        assert_int_equal(retort_model_save(integer, saved, &err), RETORT_OK);
        assert_int_equal(retort_model_load(&loaded, saved, &err), RETORT_FORMAT);
        assert_non_null(strstr(err.text, "an outlier column is not of x"));
    }
    retort_model_free(integer);
}

/* Every range of int8 rows fixed: other bits than each row's own, the same on every tier. */
static void test_static_ranges(void **unused) {
    (void)unused;
    retort_error err = {0};
    retort_model *model = golden("bert-wide", 3, RETORT_F32), *integer = quantized(model, "int8", 0, 0);
    size_t count, same, ranged = 0;
    float *own = run(integer, NULL, 1, &count);
    for (size_t i = 0; i < integer->graph.node_count; i++) {
        rt_attrs *attrs = &integer->graph.nodes[i].attrs;
        if (attrs->out_dtype != RETORT_S8) continue;
        attrs->range_min = -4;
        attrs->range_max = 5;
        ranged++;
    }
    assert_true(ranged >= 3);
    if (rt_graph_verify(&integer->graph, &err) != RETORT_OK) fail_msg("%s", err.text);
    float *fixed = run(integer, NULL, 1, &same);
    assert_int_equal(count, same);
    assert_memory_not_equal(own, fixed, count * sizeof *own);
    for (size_t i = 0; i < count; i++) assert_true(own[i] - fixed[i] < 0.5F && fixed[i] - own[i] < 0.5F);
    check_bits(integer, "bert-wide");
    check_round_trip(integer);
    check_spoilt("least=-4 largest=5", "least=-4 largest=~", "expected attribute=value");
    check_spoilt("least=-4 largest=5", "least=5 largest=-4", "not a range of int8");
    free(own);
    free(fixed);
    retort_model_free(integer);
    retort_model_free(model);
}

/* Multiplies the columns of every value that becomes int8 by -2, and adds 1; the weights behind it are not
 * changed. Returns how many values there were. */
static size_t move_columns(rt_graph *graph) {
    size_t moved = 0;
    for (size_t i = 0; i < graph->node_count; i++) {
        rt_node *node = &graph->nodes[i];
        if (node->attrs.out_dtype != RETORT_S8) continue;
        int at = node->op == RT_OP_CONVERT ? 1 : node->op == RT_OP_LAYER_NORM ? 3 : 10;
        const rt_value *out = &graph->values[node->outputs[node->output_count - 1]];
        int64_t n = out->dims[out->rank - 1];
        float *factor = rt_floats(graph, 1, n), *add = rt_floats(graph, 1, n);
        assert_true(factor != NULL && add != NULL);
        for (int64_t j = 0; j < n; j++) factor[j] = -2;
        for (int64_t j = 0; j < n; j++) add[j] = 1;
        int values[] = {rt_add_constant(graph, node->name, "factor", 1, &n, factor),
                        rt_add_constant(graph, node->name, "add", 1, &n, add)};
        node = &graph->nodes[i];
        while (node->input_count < at) node->inputs[node->input_count++] = -1;
        for (int k = 0; k < 2; k++) node->inputs[node->input_count++] = values[k];
        moved++;
    }
    return moved;
}

/* x becomes 1 - 2 x, and with scales of -1/2 and biases that undo the 1 the same product: what each row's
 * integers stand for is not changed but for the last bit. */
static void undo_columns(rt_graph *graph) {
    for (size_t i = 0; i < graph->node_count; i++) {
        rt_node *node = &graph->nodes[i];
        if (node->op != RT_OP_LINEAR ||
            rt_linear_input(&graph->values[node->inputs[LINEAR_WEIGHT]]) != RETORT_S8)
            continue;
        int64_t n = graph->values[node->inputs[LINEAR_WEIGHT]].dims[1];
        float *scale = rt_floats(graph, 1, n), *bias = rt_floats(graph, 1, n);
        const float *old = graph->values[node->inputs[LINEAR_SCALE]].data;
        const int32_t *sums = graph->values[node->inputs[LINEAR_SUMS]].data;
        const float *from =
            node->inputs[LINEAR_BIAS] >= 0 ? graph->values[node->inputs[LINEAR_BIAS]].data : NULL;
        assert_true(scale != NULL && bias != NULL);
        for (int64_t j = 0; j < n; j++) scale[j] = -0.5F * old[j];
        for (int64_t j = 0; j < n; j++) {
            bias[j] = (from != NULL ? from[j] : 0) - (float)(sums[j] / 128) * scale[j];
        }
        graph->values[node->inputs[LINEAR_SCALE]].data = scale;
        int moved = rt_add_constant(graph, node->name, "moved", 1, &n, bias);
        graph->nodes[i].inputs[LINEAR_BIAS] = moved;
    }
}

static void test_moved_columns(void **unused) {
    (void)unused;
    static const char *const names[] = {"bert-wide", "distilbert-wide"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        retort_error err = {0};
        retort_model *model = golden(names[i], 3, RETORT_F32), *integer = quantized(model, "int8", 0, 0);
        size_t count, same;
        float *own = run(integer, NULL, 1, &count), *floats = run_floats(integer, &count);
        assert_true(move_columns(&integer->graph) >= 4);
        float *moved = run(integer, NULL, 1, &same);
        assert_memory_not_equal(own, moved, count * sizeof *own);
        free(moved);
        undo_columns(&integer->graph);
        if (rt_graph_sweep(&integer->graph, &err) != RETORT_OK) fail_msg("%s", err.text);
        if (rt_graph_verify(&integer->graph, &err) != RETORT_OK) fail_msg("%s", err.text);
        moved = run(integer, NULL, 1, &same);
        assert_int_equal(count, same);
        /* 0 is in every row's range, and so is 1 now: a step may be half of the 2 x wider. */
        assert_true(are_near(own, moved, count, 0.05F));
        float *floats_moved = run_floats(integer, &same); /* scales are powers of 2, biases rounded anew */
        assert_true(are_near(floats, floats_moved, count, 1e-5F));
        check_bits(integer, names[i]);
        check_round_trip(integer);
        check_spoilt(".norm.factor f32 rows [48]", ".norm.factor f32 rows [47]", "factor and add do not fit");
        free(own);
        free(moved);
        free(floats);
        free(floats_moved);
        retort_model_free(integer);
        retort_model_free(model);
    }
}

/* Weights a column of which is its integers times its scale, by rt_unpack alone. */
static void check_weights(const rt_graph *integer, const rt_graph *floats) {
    size_t found = 0;
    for (size_t v = 0; v < integer->node_count; v++) {
        const rt_node *node = &integer->nodes[v];
        const rt_value *w = node->op == RT_OP_LINEAR ? &integer->values[node->inputs[LINEAR_WEIGHT]] : NULL;
        if (w == NULL || node->attrs.heads > 1) continue;
        size_t k = (size_t)w->dims[0], n = (size_t)w->dims[1];
        int8_t *rows = calloc(k, n);
        const float *scale = integer->values[node->inputs[LINEAR_SCALE]].data;
        const rt_value *back = &floats->values[rt_value_find(floats, w->name)];
        assert_true(rows != NULL && back->layout == RT_LAYOUT_P16 && back->dtype == RETORT_F32);
        if (w->layout == RT_LAYOUT_P16_S8) rt_unpack_s8(k, n, w->data, rows);
        if (w->layout == RT_LAYOUT_P16_S4) {
            rt_unpack_s4(k, n, GROUP, w->data, integer->values[node->inputs[LINEAR_GROUPS]].data, rows);
        }
        for (size_t i = 0; i < k * n; i++) {
            size_t row = i / n, j = i % n, panel = j / RT_PANEL * k * RT_PANEL;
            float wanted = (float)rows[i] * scale[j];
            assert_true(((const float *)back->data)[panel + row * RT_PANEL + j % RT_PANEL] == wanted);
        }
        free(rows);
        found++;
    }
    assert_true(found >= 4);
}

static void test_dequantized(void **unused) {
    (void)unused;
    static const struct {
        const char *model, *recipe;
        float near;
    } rows[] = {{"bert-wide", "int8", 0.05F},        {"bert-wide", "int4", 0.05F},
                {"distilbert-wide", "int4", 0.05F},  {"bert-tag", "int8", 0.05F},
                {"bert-wide", "int4 bits=3", 0.05F}, {"bert-wide", "int4 bits=2", 0.05F}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        retort_model *model = golden(rows[i].model, 3, RETORT_F32), *none = NULL;
        int bits = strchr(rows[i].recipe, '=') == NULL ? 0 : rows[i].recipe[strlen(rows[i].recipe) - 1] - '0';
        retort_model *integer = bits > 0 ? few_bits(model, bits) : quantized(model, rows[i].recipe, 0, GROUP);
        retort_model *floats = dequantized(integer);
        retort_error err = {0};
        size_t count, same;
        float *a = run(integer, NULL, 1, &count), *b = run(floats, NULL, 1, &same);
        assert_int_equal(count, same);
        assert_true(are_near(a, b, count, rows[i].near) && memcmp(a, b, count * sizeof *a) != 0);
        check_weights(&integer->graph, &floats->graph);
        assert_non_null(strstr(floats->provenance.text, rows[i].recipe));
        assert_int_equal(floats->graph.node_count, model->graph.node_count);
        check_bits(floats, rows[i].model);
        check_round_trip(floats);
        retort_model *again = quantized(floats, "int8", 0, 0);
        check_bits(again, rows[i].model);
        assert_int_equal(retort_model_dequantize(&none, floats, &err), RETORT_ARGUMENT);
        assert_true(none == NULL && strstr(err.text, "no integer weights") != NULL);
        free(a);
        free(b);
        retort_model_free(again);
        retort_model_free(floats);
        retort_model_free(integer);
        retort_model_free(model);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outlier_rows),  cmocka_unit_test(test_spoilt_outlier_rows),
        cmocka_unit_test(test_static_ranges), cmocka_unit_test(test_moved_columns),
        cmocka_unit_test(test_dequantized),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
