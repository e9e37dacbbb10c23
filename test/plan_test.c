/* SPDX-License-Identifier: Apache-2.0
 * Plans of real graphs: places in the arena, and parts of steps. */
#include "base/cpu.h"
#include "model/model.h"
#include "engine/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const char *const checkpoints[] = {"distilbert-classify", "bert-tag", "bert-fill", "package-mean"};
enum { CHECKPOINTS = sizeof checkpoints / sizeof *checkpoints, CAPACITY = 96 };

typedef struct planned {
    retort_model *model;
    rt_plan plan;
} planned;

static planned *make_plan(const char *name, int level) {
    char path[4096];
    retort_error err = {0};
    rt_kernels kernels;
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    planned *p = calloc(1, sizeof *p);
    assert_non_null(p);
    options.level = level;
    snprintf(path, sizeof path, "%s/test/golden/checkpoints/%s", getenv("RETORT_ROOT"), name);
    if (rt_model_import(&p->model, path, &options, &err) != RETORT_OK) fail_msg("%s: %s", name, err.text);
    rt_kernels_select(&kernels, 0);
    retort_status status = rt_plan_make(&p->plan, &p->model->graph, &kernels, NULL, CAPACITY,
                                        (size_t)p->model->config.positions, &err);
    if (status != RETORT_OK) fail_msg("%s level %d: %s", name, level, err.text);
    return p;
}

static void free_plan(planned *p) {
    rt_plan_free(&p->plan);
    retort_model_free(p->model);
    free(p);
}

static size_t last_use(const rt_plan *plan, int value) {
    size_t last = 0;
    for (size_t s = 0; s < plan->step_count; s++) {
        for (int i = 0; i < RT_MAX_INPUTS; i++) {
            if (plan->steps[s].in[i].value == value) last = s;
        }
    }
    return value == plan->graph->output ? plan->step_count : last;
}

/* What a step writes may not touch what a later step still reads. */
static void check_step(const rt_plan *plan, size_t s, size_t out) {
    const rt_place *place = &plan->steps[s].out[out];
    size_t bytes = plan->steps[s].out_bytes[out];
    assert_int_equal(place->offset % 64, 0);
    assert_true(place->offset + bytes <= plan->arena_bytes);
    for (size_t e = 0; e <= s; e++) {
        for (size_t i = 0; i < RT_MAX_OUTPUTS; i++) {
            const rt_place *other = &plan->steps[e].out[i];
            if (other->value < 0 || (e == s && i == out)) continue;
            bool alive = e == s || last_use(plan, other->value) >= s;
            bool apart = other->offset + plan->steps[e].out_bytes[i] <= place->offset ||
                         place->offset + bytes <= other->offset;
            if (alive && !apart) {
                fail_msg("'%s' overwrites '%s'", plan->steps[s].node->name, plan->steps[e].node->name);
            }
        }
    }
}

static void test_living_values_do_not_share_bytes(void **unused) {
    (void)unused;
    for (int c = 0; c < CHECKPOINTS; c++) {
        for (int level = 0; level <= 3; level++) {
            planned *p = make_plan(checkpoints[c], level);
            for (size_t s = 0; s < p->plan.step_count; s++) {
                for (size_t i = 0; i < RT_MAX_OUTPUTS; i++) {
                    if (p->plan.steps[s].out[i].value >= 0) check_step(&p->plan, s, i);
                }
            }
            free_plan(p);
        }
    }
}

/* Values that are dead make room: the arena is far smaller than all values together. */
static void test_arena_is_shared(void **unused) {
    (void)unused;
    planned *p = make_plan("distilbert-classify", 3);
    size_t all = 0;
    for (size_t s = 0; s < p->plan.step_count; s++) {
        for (int i = 0; i < RT_MAX_OUTPUTS; i++) all += p->plan.steps[s].out_bytes[i];
    }
    assert_true(p->plan.arena_bytes * 2 < all);
    free_plan(p);
}

/* ---- Graphs of many nodes ---- */

/* "b0 = Relu(x)", then each node of the one before it and, every fourth time, of one `back` before. */
static void parse_long(rt_graph *graph, size_t nodes, size_t back) {
    rt_buffer text = {0};
    retort_error err = {0};
    rt_buffer_format(&text, "graph level=0 mask_id=-1\ninput x f32 [batch, 4]\nb0 = Relu(x)\n");
    for (size_t i = 1; i < nodes; i++) {
        if (i % 4 == 0 && i >= back) {
            rt_buffer_format(&text, "b%zu = Add(b%zu:0, b%zu:0)\n", i, i - 1, i - back);
        } else {
            rt_buffer_format(&text, "b%zu = Relu(b%zu:0)\n", i, i - 1);
        }
    }
    rt_buffer_format(&text, "output b%zu:0\n", nodes - 1);
    assert_false(text.failed);
    if (rt_graph_parse(graph, "test", text.data, text.length, NULL, NULL, &err) != RETORT_OK)
        fail_msg("%s", err.text);
    rt_buffer_free(&text);
}

/* Each value still stands where it was written when it is read: a walk over the steps notes the last writer
 * of every 64 bytes. */
static void check_readers(const rt_plan *plan) {
    int *writer = calloc(plan->arena_bytes / 64, sizeof *writer);
    assert_non_null(writer);
    for (size_t s = 0; s < plan->step_count; s++) {
        const rt_step *step = &plan->steps[s];
        assert_int_equal(step->out[0].offset % 64, 0);
        assert_true(step->out[0].offset + step->out_bytes[0] <= plan->arena_bytes);
        for (size_t b = 0; b < step->out_bytes[0] / 64; b++)
            writer[step->out[0].offset / 64 + b] = step->out[0].value;
        for (int i = 0; i < step->node->input_count; i++) {
            const rt_value *value = &plan->graph->values[step->in[i].value];
            if (value->producer < 0) continue;
            for (size_t b = 0; b < plan->steps[value->producer].out_bytes[0] / 64; b++)
                assert_int_equal(writer[step->in[i].offset / 64 + b], step->in[i].value);
        }
    }
    free(writer);
}

/* Slots: at most those values stand side by side that live together. */
static void test_long_graphs_share_the_arena(void **unused) {
    (void)unused;
    static const size_t counts[] = {100, 8192, 8193, 20000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        rt_graph graph = {.output = -1};
        rt_kernels kernels;
        rt_plan plan;
        retort_error err = {0};
        parse_long(&graph, counts[i], 20);
        rt_kernels_select(&kernels, 0);
        if (rt_plan_make(&plan, &graph, &kernels, NULL, 64, 64, &err) != RETORT_OK) fail_msg("%s", err.text);
        check_readers(&plan);
        assert_in_range(plan.arena_bytes / plan.steps[0].out_bytes[0], 6, 8);
        assert_int_equal(rt_plan_memory(&plan, true, &err), RETORT_OK);
        assert_int_equal(plan.arena_bytes, counts[i] * plan.steps[0].out_bytes[0]);
        rt_plan_free(&plan);
        rt_graph_free(&graph);
    }
}

/* Each value fits into the address space, all together do not: 17 of 2^60 bytes. */
static void test_sizes_do_not_wrap(void **unused) {
    (void)unused;
    static const char head[] = "graph level=0 mask_id=-1\ninput x f32 [batch, 4]\n"
                               "const shape i64 rows [3] = {1048576, 1048576, 262144}\n"
                               "const one f32 rows [] = {1}\ne0 = Expand(one, shape)\n";
    rt_buffer text = {0};
    rt_graph graph = {.output = -1};
    rt_kernels kernels;
    rt_plan plan;
    retort_error err = {0};
    rt_buffer_format(&text, "%s", head);
    for (int i = 1; i < 17; i++) rt_buffer_format(&text, "e%d = Relu(e%d:0)\n", i, i - 1);
    rt_buffer_format(&text, "y = Relu(x)\noutput y:0\n");
    if (rt_graph_parse(&graph, "test", text.data, text.length, NULL, NULL, &err) != RETORT_OK)
        fail_msg("%s", err.text);
    rt_kernels_select(&kernels, 0);
    assert_int_equal(rt_plan_make(&plan, &graph, &kernels, NULL, 64, 64, &err), RETORT_LIMIT);
    assert_non_null(strstr(err.text, "too large for 64 rows"));
    rt_graph_free(&graph);
    rt_buffer_free(&text);
}

/* A level-3 graph has no plain step left, and the plain graph no fused one. */
static void test_levels_choose_kernels(void **unused) {
    (void)unused;
    for (int c = 0; c < CHECKPOINTS; c++) {
        planned *plain = make_plan(checkpoints[c], 0), *fused = make_plan(checkpoints[c], 3);
        for (size_t s = 0; s < plain->plan.step_count; s++) {
            assert_string_equal(plain->plan.steps[s].kernel, "plain C");
        }
        for (size_t s = 0; s < fused->plan.step_count; s++) {
            assert_string_not_equal(fused->plan.steps[s].kernel, "plain C");
        }
        free_plan(plain);
        free_plan(fused);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_living_values_do_not_share_bytes),
        cmocka_unit_test(test_arena_is_shared),
        cmocka_unit_test(test_long_graphs_share_the_arena),
        cmocka_unit_test(test_sizes_do_not_wrap),
        cmocka_unit_test(test_levels_choose_kernels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
