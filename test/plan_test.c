/* SPDX-License-Identifier: Apache-2.0
 * Plans of real graphs: places in the arena, and parts of steps. */
#include "base/cpu.h"
#include "graph/package.h"
#include "plan/plan.h"

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
    if (rt_package_import(&p->model, path, &options, &err) != RETORT_OK) fail_msg("%s: %s", name, err.text);
    rt_kernels_select(&kernels, 0);
    retort_status status = rt_plan_make(&p->plan, &p->model->graph, &kernels, CAPACITY,
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
        cmocka_unit_test(test_levels_choose_kernels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
