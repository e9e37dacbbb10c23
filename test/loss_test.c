/* SPDX-License-Identifier: Apache-2.0
 * Losses and their gradients against PyTorch's, and against differences of the loss. */
#include "train/loss.h"
#include "format/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MOST = 64 };

typedef struct loss_case {
    const char *name;
    rt_target_kind kind;
    size_t n, columns; /* rows */
    float rows[MOST], grad[MOST], teacher[MOST], weights[MOST];
    double loss, temperature;
    rt_loss_options options;
    rt_examples examples;
    rt_example items[MOST];
    float targets[MOST];
    int32_t tags[MOST], ids[MOST]; /* of pairs: a token for each text */
} loss_case;

static size_t numbers(const json_t *object, const char *key, float *out) {
    const json_t *list = json_object_get(object, key);
    assert_true(json_array_size(list) <= MOST);
    for (size_t i = 0; i < json_array_size(list); i++)
        out[i] = (float)json_number_value(json_array_get(list, i));
    return json_array_size(list);
}

static rt_target_kind kind_of(const char *text) {
    static const char *const names[] = {
        [RT_TARGET_NONE] = "none",   [RT_TARGET_LABEL] = "label", [RT_TARGET_LABELS] = "labels",
        [RT_TARGET_VALUE] = "value", [RT_TARGET_TAGS] = "tags",   [RT_TARGET_PAIR] = "pair"};
    size_t i = 0;
    while (strcmp(names[i], text) != 0) i++;
    return (rt_target_kind)i;
}

/* Tags are two sentences: of the first three tokens, and of the others. */
static void set_examples(loss_case *c, const float *labels, const float *scores) {
    rt_examples *e = &c->examples;
    *e = (rt_examples){.kind = c->kind,
                       .answer = c->kind,
                       .items = c->items,
                       .targets = c->targets,
                       .tags = c->tags,
                       .ids = c->ids};
    e->columns = c->kind == RT_TARGET_LABELS || c->kind == RT_TARGET_VALUE ? c->columns : 0;
    e->count = c->kind == RT_TARGET_TAGS ? 2 : c->kind == RT_TARGET_PAIR ? c->n / 2 : c->n;
    for (size_t i = 0; i < c->n; i++) {
        c->tags[i] = (int32_t)labels[i];
        c->items[i] = (rt_example){.label = (int64_t)labels[i], .score = scores[i]};
    }
    for (size_t i = 0; c->kind == RT_TARGET_PAIR && i < e->count; i++)
        c->items[i] = (rt_example){i, 1, e->count + i, 1, 0, scores[i]};
    if (c->kind != RT_TARGET_TAGS) return;
    c->items[0].length = c->items[1].first = 3;
    c->items[1].length = c->n - 3;
}

static void read_case(loss_case *c, const json_t *object) {
    float labels[MOST] = {0}, scores[MOST] = {0}, texts[MOST];
    *c = (loss_case){.name = json_string_value(json_object_get(object, "name"))};
    c->kind = kind_of(json_string_value(json_object_get(object, "kind")));
    c->columns = (size_t)json_integer_value(json_object_get(object, "columns"));
    c->n = numbers(object, "rows", c->rows) / c->columns;
    numbers(object, "grad", c->grad);
    numbers(object, "teacher", c->teacher);
    numbers(object, "targets", c->targets);
    numbers(object, "labels", labels);
    c->loss = json_number_value(json_object_get(object, "loss"));
    c->temperature = json_number_value(json_object_get(object, "temperature"));
    c->options.smoothing = (float)json_number_value(json_object_get(object, "smoothing"));
    c->options.similarity_scale = 20;
    if (numbers(object, "weights", c->weights) > 0) c->options.class_weights = c->weights;
    bool scored = numbers(object, "scores", scores) > 0, equal = numbers(object, "texts", texts) > 0;
    for (size_t i = 0; i < c->n; i++) c->ids[i] = equal ? (int32_t)texts[i] : (int32_t)i;
    set_examples(c, labels, scores);
    c->examples.scored = scored;
}

/* Both halves of a batch, as two chunks would be; pairs need the whole batch. */
static double compute(const loss_case *c, double share, float *grad) {
    static const size_t which[MOST] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                       16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};
    double loss = 0;
    retort_error err;
    const rt_examples *e = &c->examples;
    memset(grad, 0, MOST * sizeof *grad);
    if (c->temperature > 0) {
        rt_loss_teacher(c->kind, c->n, c->columns, c->rows, c->teacher, c->temperature, (double)c->n, share,
                        grad, &loss);
    } else if (c->kind == RT_TARGET_PAIR) {
        assert_int_equal(
            rt_loss_pairs(e, &c->options, which, e->count, share, c->rows, c->columns, grad, &loss, &err),
            RETORT_OK);
    } else {
        double weight = rt_loss_weight(e, &c->options, which, e->count);
        size_t half = e->count / 2, rows = c->kind == RT_TARGET_TAGS ? c->items[0].length : half;
        rt_loss_rows(e, &c->options, which, half, weight, share, c->rows, c->columns, grad, &loss);
        rt_loss_rows(e, &c->options, which + half, e->count - half, weight, share,
                     c->rows + rows * c->columns, c->columns, grad + rows * c->columns, &loss);
    }
    return loss;
}

static void check_against_golden(const loss_case *c) {
    float grad[MOST], half[MOST];
    double loss = compute(c, 1, grad);
    if (fabs(loss - c->loss) > 1e-6 * (1 + fabs(c->loss)))
        fail_msg("%s: loss %.9g, PyTorch %.9g", c->name, loss, c->loss);
    compute(c, 0.5, half);
    for (size_t i = 0; i < c->n * c->columns; i++) {
        if (fabsf(grad[i] - c->grad[i]) > 1e-6F * (1 + fabsf(c->grad[i])))
            fail_msg("%s: gradient %zu is %g, PyTorch's %g", c->name, i, (double)grad[i], (double)c->grad[i]);
        if (fabsf(half[i] - grad[i] / 2) > 1e-7F * (1 + fabsf(grad[i])))
            fail_msg("%s: half a share", c->name);
    }
}

/* Slopes of the loss in each number. */
static void check_against_differences(loss_case *c) {
    float grad[MOST], unused[MOST];
    compute(c, 1, grad);
    for (size_t i = 0; i < c->n * c->columns; i++) {
        const float step = 0.015625F, at = c->rows[i];
        double slope = 0;
        c->rows[i] = at + step;
        slope += compute(c, 1, unused);
        c->rows[i] = at - step;
        slope -= compute(c, 1, unused);
        c->rows[i] = at;
        slope /= 2 * (double)step;
        if (fabs(slope - (double)grad[i]) > 2e-3 * (0.1 + fabs(slope)))
            fail_msg("%s: gradient %zu is %g, the slope %g", c->name, i, (double)grad[i], slope);
    }
}

static void each_case(void (*check)(loss_case *c)) {
    char path[4096];
    json_t *cases;
    retort_error err;
    const char *root = getenv("RETORT_ROOT");
    snprintf(path, sizeof path, "%s/test/golden/losses.json", root != NULL ? root : ".");
    if (rt_json_load(&cases, path, &err) != RETORT_OK) fail_msg("%s", err.text);
    assert_int_equal(json_array_size(cases), 17);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        loss_case c;
        read_case(&c, json_array_get(cases, i));
        check(&c);
    }
    json_decref(cases);
}

static void golden(loss_case *c) {
    check_against_golden(c);
}

static void are_pytorchs(void **state) {
    (void)state;
    each_case(golden);
}

static void gradients_are_slopes(void **state) {
    (void)state;
    each_case(check_against_differences);
}

static void hidden_states_add(void **state) {
    (void)state;
    const float a[] = {1, 2, 3, 4}, b[] = {0, 2, 5, 4};
    float grad[4] = {10, 0, 0, 0};
    double loss = 100;
    rt_loss_hidden(2, 2, a, b, 4, 0.5, grad, &loss);
    assert_true(loss == 100 + 5.0 / 8);
    assert_true(grad[0] == 10 + 0.125F && grad[1] == 0 && grad[2] == -0.25F && grad[3] == 0);
}

static void nothing_scored_costs_nothing(void **state) {
    (void)state;
    int32_t tags[] = {-1, -1};
    rt_example item = {.length = 2};
    const rt_examples e = {.kind = RT_TARGET_TAGS, .items = &item, .count = 1, .tags = tags, .tokens = 2};
    const rt_loss_options options = {0};
    const float rows[] = {1, 2, 3, 4};
    float grad[4] = {0};
    double loss = 0;
    assert_true(rt_loss_weight(&e, &options, &(size_t){0}, 1) == 0);
    rt_loss_rows(&e, &options, &(size_t){0}, 1, 0, 1, rows, 2, grad, &loss);
    assert_true(loss == 0 && grad[0] == 0 && grad[3] == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(are_pytorchs),
        cmocka_unit_test(gradients_are_slopes),
        cmocka_unit_test(hidden_states_add),
        cmocka_unit_test(nothing_scored_costs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
