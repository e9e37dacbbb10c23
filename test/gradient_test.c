/* SPDX-License-Identifier: Apache-2.0
 * Gradients of whole models against PyTorch's (golden/make_gradients.py), on every tier, with the same bytes on all of them
 * and with any number of threads. */
#include "engine/prepare.h"
#include "quant_models.h"
#include "train/trainee.h"

#include <math.h>

enum { TEXTS = 3, CAPACITY = 64 };
static const int32_t lengths[TEXTS] = {5, 23, 3};

typedef struct bench {
    retort_model *model;
    rt_trainee trainee;
    rt_kernels kernels;
    rt_thread_pool *pool;
    rt_tape tape;
    rt_prepared prepared;
} bench;

/* A factor in [-1, 1) that differs from place to place. */
static float wish_at(size_t i) {
    return (float)((uint64_t)i * 2654435761u % 1000) / 500.0F - 1.0F;
}

/* The ids of make_gradients.py. */
static void prepare(bench *b) {
    int32_t ids[CAPACITY], types[CAPACITY], offsets[TEXTS + 1] = {0};
    const rt_config *config = &b->trainee.model->config;
    retort_error err = {0};
    for (int32_t s = 0; s < TEXTS; s++) {
        offsets[s + 1] = offsets[s] + lengths[s];
        for (int32_t i = 0; i < lengths[s]; i++) {
            ids[offsets[s] + i] = 5 + (s * 31 + i * 7) % ((int32_t)config->vocab - 5);
            types[offsets[s] + i] = i >= lengths[s] / 2 && config->types > 1;
        }
    }
    rt_limits limits = {.vocab = config->vocab,
                        .types = config->types,
                        .positions = config->positions,
                        .position_offset = config->position_offset,
                        .after_pad = config->after_pad != 0,
                        .mask_id = -1,
                        .capacity = CAPACITY,
                        .max_rows = CAPACITY,
                        .workers = 1,
                        .keep_duplicates = true,
                        .output = b->tape.plan.output_rows};
    rt_batch batch = {ids, types, offsets, TEXTS, NULL};
    if (config->types < 2) batch.types = NULL;
    if (rt_prepare(&b->prepared, &batch, &limits, &err) != RETORT_OK) fail_msg("%s", err.text);
    assert_int_equal(b->prepared.chunk_count, 1);
}

static void open_bench(bench *b, const char *name, const char *isa, int threads, bool bf16) {
    retort_error err = {0};
    uint32_t features;
    *b = (bench){.model = golden(name, 0, RETORT_F32)};
    assert_int_equal(rt_isa_select(isa, &features, NULL, &err), RETORT_OK);
    rt_kernels_select(&b->kernels, features);
    if (rt_trainee_open(&b->trainee, b->model, &err) != RETORT_OK) fail_msg("%s: %s", name, err.text);
    if (bf16) assert_int_equal(rt_trainee_use_bf16(&b->trainee, &err), RETORT_OK);
    assert_int_equal(rt_thread_pool_open(&b->pool, threads, &err), RETORT_OK);
    if (rt_tape_open(&b->tape, &b->trainee.model->graph, &b->trainee.parameters, &b->kernels, b->pool,
                     CAPACITY, (size_t)b->model->config.positions, &err) != RETORT_OK)
        fail_msg("%s: %s", name, err.text);
    prepare(b);
}

static void close_bench(bench *b) {
    rt_prepared_free(&b->prepared);
    rt_tape_close(&b->tape);
    rt_thread_pool_close(b->pool);
    rt_trainee_close(&b->trainee);
    retort_model_free(b->model);
}

static void pass(bench *b) {
    size_t rows, n;
    retort_error err = {0};
    rt_tape_refresh(&b->tape);
    if (rt_tape_forward(&b->tape, b->prepared.chunks, &err) != RETORT_OK) fail_msg("%s", err.text);
    rt_tape_value(&b->tape, b->tape.graph->output, &rows, &n);
    float *grad = rt_tape_grad(&b->tape, b->tape.graph->output);
    for (size_t i = 0; i < rows * n; i++) grad[i] = wish_at(i);
    assert_int_equal(rt_tape_backward(&b->tape, &err), RETORT_OK);
    rt_trainee_gather(&b->trainee);
}

/* ---- PyTorch ---- */

/* A line of gradients.txt. */
typedef struct expected {
    char name[128];
    size_t rows, n;
    float key[3];
    double norm;
    size_t place[8], places;
    double grad[8];
} expected;

static bool read_line(char *line, expected *out) {
    int used = 0;
    *out = (expected){.places = 0};
    if (sscanf(line, "%127s %zu %zu %f %f %f %lf%n", out->name, &out->rows, &out->n, &out->key[0],
               &out->key[1], &out->key[2], &out->norm, &used) != 7)
        return false;
    for (char *at = line + used; out->places < 8; out->places++) {
        if (sscanf(at, " %zu:%lf%n", &out->place[out->places], &out->grad[out->places], &used) != 2) break;
        at += used;
    }
    return out->places > 0;
}

/* Where element i of a PyTorch tensor is, whose columns are those of the parameter from `column` on. */
static size_t at(const rt_parameter *p, size_t n, size_t column, size_t i) {
    size_t row = i / n, j = column + i % n;
    if (p->kind != RT_PARAMETER_MATRIX) return row * p->n + j;
    return j / RT_PANEL * p->rows * RT_PANEL + row * RT_PANEL + j % RT_PANEL;
}

static bool matches(const rt_parameter *p, const expected *e, size_t column) {
    size_t count = e->rows * e->n;
    const size_t places[] = {0, count / 2, count - 1};
    for (size_t i = 0; i < 3; i++) {
        if (p->data[at(p, e->n, column, places[i])] != e->key[i]) return false;
    }
    return true;
}

static const rt_parameter *find(const rt_parameters *all, const expected *e, size_t *column) {
    for (size_t i = 0; i < all->count; i++) {
        const rt_parameter *p = &all->items[i];
        if (p->rows != e->rows) continue;
        for (*column = 0; *column + e->n <= p->n; ++*column) {
            if (matches(p, e, *column)) return p;
        }
    }
    return NULL;
}

/* The gradient of element i; that of a table's row that does not occur is 0. */
static double gradient(const rt_parameter *p, size_t n, size_t column, size_t i) {
    if (p->kind != RT_PARAMETER_TABLE) return (double)p->grad[at(p, n, column, i)];
    for (size_t t = 0; t < p->touched_count; t++) {
        if ((size_t)p->touched[t] == i / n) return (double)p->grad[t * p->n + i % n];
    }
    return 0;
}

/* With biases that a softmax cancels, rounding errors are all there is: 1e-6. */
static void check_parameter(const bench *b, const char *model, const expected *e, double bound) {
    size_t column = 0;
    double squares = 0;
    const rt_parameter *p = find(&b->trainee.parameters, e, &column);
    if (p == NULL) fail_msg("%s: no parameter has the weights of %s", model, e->name);
    for (size_t i = 0; i < e->rows * e->n; i++) squares += pow(gradient(p, e->n, column, i), 2);
    if (fabs(sqrt(squares) - e->norm) > bound * e->norm + 2e-6)
        fail_msg("%s, %s: norm %.9g, in PyTorch %.9g", model, e->name, sqrt(squares), e->norm);
    for (size_t i = 0; i < e->places; i++) {
        double found = gradient(p, e->n, column, e->place[i]);
        if (fabs(found - e->grad[i]) > bound * e->norm + 1e-6) {
            fail_msg("%s, %s, element %zu: %.9g, in PyTorch %.9g", model, e->name, e->place[i], found,
                     e->grad[i]);
        }
    }
}

/* All models of the file; returns the number of parameters compared. */
static size_t check_file(const char *isa, bool bf16, double bound) {
    char path[4096], line[1024], model[64] = "";
    const char *root = getenv("RETORT_ROOT");
    snprintf(path, sizeof path, "%s/test/golden/gradients.txt", root != NULL ? root : ".");
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    bench b;
    expected e;
    size_t count = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "model ", 6) == 0) {
            if (model[0] != 0) close_bench(&b);
            assert_int_equal(sscanf(line, "model %63s", model), 1);
            open_bench(&b, model, isa, 2, bf16);
            pass(&b);
            continue;
        }
        if (!read_line(line, &e)) fail_msg("gradients.txt: %s", line);
        check_parameter(&b, model, &e, bound);
        count++;
    }
    fclose(file);
    if (model[0] != 0) close_bench(&b);
    return count;
}

static void gradients_are_pytorchs(void **unused) {
    (void)unused;
    assert_true(check_file(NULL, false, 1e-4) > 700);
}

/* Products of bf16 have 8 bits of mantissa. */
static void gradients_of_bf16_are_near(void **unused) {
    (void)unused;
    assert_true(check_file(NULL, true, 0.1) > 700);
}

/* ---- The same bytes ---- */

static void check_same(const char *name, const char *isa, int threads) {
    bench want, got;
    open_bench(&want, name, "ref", 1, false);
    open_bench(&got, name, isa, threads, false);
    pass(&want);
    pass(&want); /* gradients add up */
    pass(&got);
    pass(&got);
    for (size_t i = 0; i < want.trainee.parameters.count; i++) {
        const rt_parameter *a = &want.trainee.parameters.items[i], *c = &got.trainee.parameters.items[i];
        size_t count = a->kind == RT_PARAMETER_TABLE ? a->touched_count * a->n : a->count;
        assert_int_equal(a->touched_count, c->touched_count);
        if (memcmp(a->grad, c->grad, count * sizeof(float)) != 0)
            fail_msg("%s, %s, %d threads: %s differs", name, isa, threads, a->name);
    }
    close_bench(&want);
    close_bench(&got);
}

static void bytes_are_the_same(void **unused) {
    (void)unused;
    static const char *const names[] = {
        "distilbert-multilabel", "bert-tag",        "electra-classify",
        "roberta-classify",      "package-mean",    "bert-fill",
        "modernbert-tag",        "modernbert-fill", "modernbert-local-classify",
        "gte-classify",          "mpnet-tag",       "albert-groups",
        "deberta-classify",      "deberta-tag",     "package-weighted",
        "eurobert-classify",     "eurobert-bos",    "eurobert-tag",
        "eurobert-fill",         "eurobert-embed"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        for (int threads = 1; threads <= 3; threads++) {
            check_same(names[i], NULL, threads);
            check_same(names[i], "ref", threads);
        }
    }
}

/* After rt_parameters_clear, a pass gives what the first one gave. */
static void cleared_is_new(void **unused) {
    (void)unused;
    bench a, b;
    open_bench(&a, "bert-classify", NULL, 2, false);
    open_bench(&b, "bert-classify", NULL, 2, false);
    pass(&a);
    pass(&b);
    rt_parameters_clear(&b.trainee.parameters);
    pass(&b);
    for (size_t i = 0; i < a.trainee.parameters.count; i++) {
        const rt_parameter *x = &a.trainee.parameters.items[i], *y = &b.trainee.parameters.items[i];
        size_t count = x->kind == RT_PARAMETER_TABLE ? x->touched_count * x->n : x->count;
        assert_memory_equal(x->grad, y->grad, count * sizeof(float));
    }
    close_bench(&a);
    close_bench(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_pytorchs),
        cmocka_unit_test(gradients_of_bf16_are_near),
        cmocka_unit_test(bytes_are_the_same),
        cmocka_unit_test(cleared_is_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
