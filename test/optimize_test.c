/* SPDX-License-Identifier: Apache-2.0
 * The driver of the rewrites: levels, and rewrites that are left out. */
#include "base/budget.h"
#include "graph/rewrite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static _Alignas(64) float floats[256];

static retort_status look_up(void *user, rt_graph *graph, const rt_value *value, rt_tensor *out) {
    (void)user;
    (void)graph;
    (void)value;
    *out = (rt_tensor){.data = floats, .dtype = RETORT_F32, .rank = 1, .shape = {256}};
    return RETORT_OK;
}

static rt_graph parse(const char *text) {
    rt_graph graph;
    retort_error err = {0};
    retort_status status = rt_graph_parse(&graph, "test", text, strlen(text), look_up, NULL, &err);
    if (status != RETORT_OK) fail_msg("%s", err.text);
    return graph;
}

typedef struct tally {
    size_t rows, levels, applied;
} tally;

static void count_report(void *user, const retort_rewrite_info *info) {
    tally *t = user;
    *(info->rewrite != NULL ? &t->rows : &t->levels) += 1;
    if (info->rewrite != NULL) t->applied += info->count;
    assert_true((info->rewrite != NULL) == (info->help != NULL));
}

static retort_status optimize(rt_graph *graph, int level, const char *without, tally *t, retort_error *err) {
    retort_optimize_options options = RETORT_OPTIMIZE_OPTIONS;
    options.level = level;
    options.without = &without;
    options.without_count = without != NULL;
    options.report = t != NULL ? count_report : NULL;
    options.user = t;
    return rt_graph_optimize(graph, &options, true, err);
}

#define PADDED                                                                                               \
    "graph level=%d mask_id=4\ninput input_ids i64 [batch, seq]\nconst w f32 rows [8, 8]\n"                  \
    "const b f32 rows [8]\nconst table f32 rows [9, 8]\nx = Gather(table, input_ids)\n"

static rt_graph parse_at(int level, const char *nodes) {
    char text[1024];
    snprintf(text, sizeof text, PADDED "%s", level, nodes);
    return parse(text);
}

static const char *const linear = "m = MatMul(x:0, w)\ns = Add(m:0, b)\nt = Add(s:0, x:0)\noutput t:0\n";

static void test_levels(void **state) {
    (void)state;
    rt_graph graph = parse_at(0, linear);
    tally t = {0};
    retort_error err = {0};
    assert_int_equal(optimize(&graph, 2, NULL, &t, &err), RETORT_OK);
    assert_int_equal(graph.level, 2);
    assert_int_equal(t.levels, 2);
    assert_int_equal(t.rows, 3); /* Embed, Linear, residual */
    assert_int_equal(t.applied, 3);
    assert_int_equal(graph.node_count, 2); /* Embed, Linear with its residual */
    assert_int_equal(graph.nodes[1].op, RT_OP_LINEAR);
    assert_int_equal(graph.nodes[1].input_count, 4);
    assert_int_equal(optimize(&graph, 1, NULL, NULL, &err), RETORT_ARGUMENT);
    assert_int_equal(optimize(&graph, 4, NULL, NULL, &err), RETORT_ARGUMENT);
    assert_int_equal(optimize(&graph, 2, NULL, NULL, &err), RETORT_OK);
    rt_graph_free(&graph);
}

static void test_failed_level_is_not_reached(void **state) {
    (void)state;
    rt_graph graph = parse_at(2, "odd = Transpose(x:0) perm=[1, 0, 2]\noutput odd:0\n");
    retort_error err = {0};
    size_t nodes = graph.node_count;
    assert_int_equal(optimize(&graph, 3, NULL, NULL, &err), RETORT_UNSUPPORTED);
    assert_non_null(strstr(err.text, "x: Gather needs padded batches"));
    assert_int_equal(graph.level, 2);
    assert_int_equal(graph.node_count, nodes);
    assert_int_equal(rt_graph_verify(&graph, &err), RETORT_OK);
    rt_graph_free(&graph);
}

static void test_left_out(void **state) {
    (void)state;
    rt_graph graph = parse_at(0, linear);
    tally t = {0};
    retort_error err = {0};
    assert_int_equal(optimize(&graph, 2, "fuse-residual", &t, &err), RETORT_OK);
    assert_int_equal(t.rows, 2);
    assert_int_equal(graph.node_count, 3); /* Embed, Linear, Add */
    assert_int_equal(optimize(&graph, 3, "fuse-residual", NULL, &err), RETORT_ARGUMENT);
    assert_non_null(
        strstr(err.text, "fuse-residual is a rewrite of level 2, and the graph is of level 2 already"));
    assert_int_equal(optimize(&graph, 3, "remove-padding", NULL, &err), RETORT_ARGUMENT);
    assert_non_null(strstr(err.text, "remove-padding cannot be left out of level 3: level 2 is without it"));
    assert_int_equal(graph.level, 2);
    rt_graph_free(&graph);
    graph = parse_at(0, linear);
    assert_int_equal(optimize(&graph, 2, "remove-padding", NULL, &err),
                     RETORT_OK); /* it would not run anyway */
    rt_graph_free(&graph);
}

/* An unknown name is answered with all that there are. */
static void test_names(void **state) {
    (void)state;
    rt_graph graph = parse_at(0, linear);
    retort_error err = {0};
    assert_int_equal(optimize(&graph, 3, "prune_rows", NULL, &err), RETORT_ARGUMENT);
    assert_non_null(strstr(err.text, "no rewrite 'prune_rows'; there is fold-constants, "));
    const char *name, *help;
    int level, last = 1;
    size_t count = 0;
    for (; (name = retort_rewrite(count, &help, &level)) != NULL; count++, last = level) {
        assert_non_null(strstr(err.text, name));
        assert_true(level >= last && level <= 3 && strlen(help) > 0 && strchr(name, '_') == NULL);
        assert_string_equal(retort_rewrite(count, NULL, NULL), name);
    }
    assert_true(count > 10 && last == 3);
    assert_int_equal(graph.level, 0);
    rt_graph_free(&graph);
}

/* What rewrites note of a graph is held against the budget of reading it once, not with each of them. */
static void test_notes_are_taken_once(void **state) {
    (void)state;
    enum { NODES = 4000 };
    rt_buffer text = {0};
    rt_budget budget;
    retort_error err = {0};
    rt_buffer_format(&text, PADDED "c0 = Relu(x:0)\n", 0);
    for (int i = 1; i < NODES; i++) rt_buffer_format(&text, "c%d = Tanh(c%d:0)\n", i, i - 1);
    rt_buffer_format(&text, "output c%d:0\n", NODES - 1);
    assert_false(text.failed);
    rt_graph graph = parse(text.data);
    rt_budget_begin(&budget, "test", 1 << 30);
    retort_status status = optimize(&graph, 2, NULL, NULL, &err);
    size_t used = budget.used;
    status = rt_budget_end(&budget, status, &err);
    if (status != RETORT_OK) fail_msg("%s", err.text);
    assert_in_range(used, NODES, 4 * RT_MAX_INPUTS * sizeof(int) * NODES);
    rt_graph_free(&graph);
    rt_buffer_free(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_failed_level_is_not_reached),
        cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_notes_are_taken_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
