/* SPDX-License-Identifier: Apache-2.0
 * Plain evaluation of every operator against golden/ops.txt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/map.h"
#include "graph/ops.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A file of the source tree as text that ends. */
static char *read_text(const char *name) {
    char path[4096];
    rt_map map;
    retort_error err = {0};
    const char *root = getenv("RETORT_ROOT");
    assert_true(rt_path_join(path, sizeof path, root != NULL ? root : ".", name));
    if (rt_map_open(&map, path, &err) != RETORT_OK) fail_msg("%s", err.text);
    char *text = rt_calloc(map.size + 1, 1);
    assert_non_null(text);
    memcpy(text, map.data, map.size);
    rt_map_close(&map);
    return text;
}

enum { CASE_TENSORS = 12 };

/* One case of ops.txt. */
typedef struct golden {
    char node[256];
    rt_tensor inputs[CASE_TENSORS], expected[RT_MAX_OUTPUTS];
    int input_count, expected_count;
    rt_arena arena;
} golden;

static void read_element(retort_dtype dtype, void *data, size_t i, const char *text) {
    if (dtype == RETORT_F32) ((float *)data)[i] = strtof(text, NULL);
    if (dtype == RETORT_I64) ((int64_t *)data)[i] = strtoimax(text, NULL, 10);
    if (dtype == RETORT_I32) ((int32_t *)data)[i] = (int32_t)strtoimax(text, NULL, 10);
    if (dtype == RETORT_BOOL) ((bool *)data)[i] = text[0] == '1';
}

/* "a f32 [2, 3] 1 2 3 4 5 6" */
static void read_tensor(golden *g, rt_tensor *tensor, char *line) {
    char *rest, *word = strtok_r(line, " ", &rest);
    size_t count;
    tensor->name = rt_arena_text(&g->arena, word, strlen(word));
    word = strtok_r(NULL, " [", &rest);
    assert_true(rt_dtype_find(word, strlen(word), &tensor->dtype));
    while (*rest != ']') {
        rest += strspn(rest, "[, ");
        if (*rest != ']') tensor->shape[tensor->rank++] = strtoimax(rest, &rest, 10);
    }
    rest++;
    assert_true(rt_shape_count(tensor->shape, tensor->rank, &count));
    void *data = rt_arena_calloc(&g->arena, rt_max(count * rt_dtype_size(tensor->dtype), 64), 1);
    assert_non_null(data);
    for (size_t i = 0; i < count; i++) {
        word = strtok_r(NULL, " ", &rest);
        assert_non_null(word);
        read_element(tensor->dtype, data, i, word);
    }
    tensor->data = data;
}

static const rt_tensor *find(const golden *g, const char *name) {
    for (int i = 0; i < g->input_count; i++) {
        if (strcmp(g->inputs[i].name, name) == 0) return &g->inputs[i];
    }
    return NULL;
}

static retort_status look_up(void *user, rt_graph *graph, const rt_value *value, rt_tensor *out) {
    const rt_tensor *found = find(user, value->name);
    (void)graph;
    if (found != NULL) *out = *found;
    return found != NULL ? RETORT_OK : RETORT_FORMAT;
}

static bool close_enough(float found, float expected) {
    if (!(found == found) || !(expected == expected)) return !(found == found) && !(expected == expected);
    if (found == expected) return true;
    float size = expected < 0 ? -expected : expected,
          gap = found > expected ? found - expected : expected - found;
    return gap <= 2e-6f * (size > 1 ? size : 1); /* about 16 units in the last place */
}

static void compare(const golden *g, const rt_tensor *found, const rt_tensor *expected) {
    size_t count;
    assert_int_equal(found->dtype, expected->dtype);
    assert_int_equal(found->rank, expected->rank);
    for (int i = 0; i < found->rank; i++) assert_int_equal(found->shape[i], expected->shape[i]);
    assert_true(rt_shape_count(found->shape, found->rank, &count));
    for (size_t i = 0; i < count; i++) {
        const float *a = found->data, *b = expected->data;
        size_t size = rt_dtype_size(found->dtype);
        bool same = found->dtype == RETORT_F32 ? close_enough(a[i], b[i])
                                               : memcmp((const char *)found->data + i * size,
                                                        (const char *)expected->data + i * size, size) == 0;
        if (!same) fail_msg("%s: element %zu differs", g->node, i);
    }
}

/* The case's node in a graph whose inputs are constants: parsed, its shapes asked for, then its values. */
static void run_case(golden *g) {
    char text[4096], shape[128];
    retort_error err = {0};
    rt_graph graph;
    int at = snprintf(text, sizeof text, "graph level=0 mask_id=103\n");
    for (int i = 0; i < g->input_count; i++) {
        const rt_tensor *t = &g->inputs[i];
        rt_dims_text(shape, sizeof shape, t->shape, t->rank);
        at += snprintf(text + at, sizeof text - (size_t)at, "const %s %s rows %s\n", t->name,
                       retort_dtype_name(t->dtype), shape);
    }
    snprintf(text + at, sizeof text - (size_t)at, "%s\noutput node:0\n", g->node);
    if (rt_graph_parse(&graph, "golden", text, strlen(text), look_up, g, &err) != RETORT_OK)
        fail_msg("%s", err.text);
    rt_op_evaluation eval = {.node = &graph.nodes[0], .mask_id = graph.mask_id};
    for (int i = 0; i < eval.node->input_count; i++) {
        int input = eval.node->inputs[i];
        if (input >= 0) eval.inputs[i] = find(g, graph.values[input].name);
    }
    if (rt_op_evaluate(&eval, &err) != RETORT_OK) fail_msg("%s", err.text);
    assert_int_equal(eval.node->output_count, g->expected_count);
    for (int k = 0; k < g->expected_count; k++) {
        size_t count;
        assert_true(rt_shape_count(eval.outputs[k].shape, eval.outputs[k].rank, &count));
        eval.outputs[k].data = rt_graph_alloc(&graph, count * rt_dtype_size(eval.outputs[k].dtype));
    }
    if (rt_op_evaluate(&eval, &err) != RETORT_OK) fail_msg("%s", err.text);
    for (int k = 0; k < g->expected_count; k++) compare(g, &eval.outputs[k], &g->expected[k]);
    rt_graph_free(&graph);
}

static void test_operators(void **state) {
    (void)state;
    char *text = read_text("test/golden/ops.txt"), *rest = text;
    size_t cases = 0;
    golden g = {0};
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        if (strncmp(line, "node = ", 7) == 0) {
            snprintf(g.node, sizeof g.node, "%s", line);
        } else if (line[0] == '=') {
            read_tensor(&g, &g.expected[g.expected_count++], line);
        } else if (line[0] >= 'a' && line[0] <= 'h') {
            read_tensor(&g, &g.inputs[g.input_count++], line);
        } else if (g.node[0] != '\0') { /* the empty line after a case */
            run_case(&g);
            cases++;
            rt_arena_free(&g.arena);
            g = (golden){0};
        }
    }
    free(text);
    assert_true(cases > 50);
}

static void test_evaluation_refuses(void **state) {
    (void)state;
    const char *text = "graph level=2 mask_id=-1\ninput x f32 [batch, 4]\ninput a i64 [1]\n"
                       "const zero i64 rows [] = {0}\ny = Normalize(x)\nz = Div(a, zero)\noutput y:0\n";
    int64_t one = 1, zero = 0, out = 0;
    rt_tensor a = {.data = &one, .dtype = RETORT_I64, .rank = 1, .shape = {1}};
    rt_tensor b = {.data = &zero, .dtype = RETORT_I64};
    retort_error err = {0};
    rt_graph graph;
    assert_int_equal(rt_graph_parse(&graph, "test", text, strlen(text), NULL, NULL, &err), RETORT_OK);
    rt_op_evaluation fused = {.node = &graph.nodes[0], .inputs = {&a}};
    assert_int_equal(rt_op_evaluate(&fused, &err), RETORT_UNSUPPORTED);
    assert_string_equal(err.text, "y: Normalize has no plain evaluation");
    rt_op_evaluation division = {.node = &graph.nodes[1], .inputs = {&a, &b}, .outputs = {{.data = &out}}};
    assert_int_equal(rt_op_evaluate(&division, &err), RETORT_ARGUMENT);
    assert_string_equal(err.text, "z: division by zero");
    rt_op_evaluation missing = {.node = &graph.nodes[1], .inputs = {&a}};
    assert_int_equal(rt_op_evaluate(&missing, &err), RETORT_FORMAT);
    assert_string_equal(err.text, "z: Div without input 1");
    rt_graph_free(&graph);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operators),
        cmocka_unit_test(test_evaluation_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
