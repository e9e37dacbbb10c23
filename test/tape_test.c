/* SPDX-License-Identifier: Apache-2.0
 * The tape's gradient of the word table against differences of the loss: the table is moved a little along
 * it, up and down. */
#include "grad/tape.h"
#include "quant_models.h"
#include "engine/prepare.h"

#include <math.h>

typedef struct bench {
    retort_model *model;
    rt_graph graph; /* with constants of its own */
    rt_kernels kernels;
    rt_thread_pool *pool;
    rt_parameters parameters;
    rt_tape tape;
    rt_prepared prepared;
    sample sample;
} bench;

/* A factor in [-1, 1) that differs from place to place. */
static float wish_at(size_t i) {
    return (float)(i * 2654435761u % 1000) / 500.0F - 1.0F;
}

static double loss(bench *b) {
    size_t rows, n;
    retort_error err = {0};
    rt_tape_refresh(&b->tape);
    if (rt_tape_forward(&b->tape, b->prepared.chunks, &err) != RETORT_OK) fail_msg("%s", err.text);
    const float *out = rt_tape_value(&b->tape, b->graph.output, &rows, &n);
    double sum = 0;
    for (size_t i = 0; i < rows * n; i++) sum += (double)(wish_at(i) * out[i]);
    return sum;
}

static void prepare(bench *b, bool types) {
    retort_error err = {0};
    const rt_config *config = &b->model->config;
    rt_limits limits = {.vocab = config->vocab,
                        .types = config->types,
                        .positions = config->positions,
                        .mask_id = b->graph.mask_id,
                        .capacity = 256,
                        .max_rows = 256,
                        .workers = 1,
                        .output = b->tape.plan.output_rows};
    make_sample(&b->sample);
    if (!types) b->sample.batch.types = NULL;
    const retort_batch *public = &b->sample.batch;
    const rt_batch batch = {public->ids, public->types, public->offsets, public->n, NULL};
    if (rt_prepare(&b->prepared, &batch, &limits, &err) != RETORT_OK) fail_msg("%s", err.text);
    assert_int_equal(b->prepared.chunk_count, 1);
}

/* Copies every float constant, so that it may be moved. */
static void own_constants(rt_graph *graph) {
    for (size_t i = 0; i < graph->value_count; i++) {
        rt_value *value = &graph->values[i];
        size_t bytes = 0;
        if (!rt_value_is_constant(value) || value->data == NULL || value->dtype != RETORT_F32) continue;
        assert_true(rt_value_bytes(value, &bytes));
        void *copy = rt_graph_alloc(graph, bytes);
        assert_non_null(copy);
        memcpy(copy, value->data, bytes);
        value->data = copy;
    }
}

static void open_bench(bench *b, const char *name, int threads) {
    retort_error err = {0};
    uint32_t features;
    *b = (bench){.model = golden(name, 3, RETORT_F32), .graph = {.output = -1}};
    assert_int_equal(rt_isa_select(NULL, &features, NULL, &err), RETORT_OK);
    rt_kernels_select(&b->kernels, features);
    assert_int_equal(rt_graph_copy(&b->graph, &b->model->graph, &err), RETORT_OK);
    own_constants(&b->graph);
    assert_int_equal(rt_thread_pool_open(&b->pool, threads, &err), RETORT_OK);
    assert_int_equal(rt_parameters_open(&b->parameters, &b->graph, &err), RETORT_OK);
    retort_status status = rt_tape_open(&b->tape, &b->graph, &b->parameters, &b->kernels, b->pool, 256,
                                        (size_t)b->model->config.positions, &err);
    if (status != RETORT_OK) fail_msg("%s: %s", name, err.text);
    prepare(b, b->model->config.types > 0);
}

static void close_bench(bench *b) {
    rt_prepared_free(&b->prepared);
    rt_tape_close(&b->tape);
    rt_parameters_free(&b->parameters);
    rt_thread_pool_close(b->pool);
    rt_graph_free(&b->graph);
    retort_model_free(b->model);
}

static void backward(bench *b) {
    size_t rows, n;
    loss(b);
    rt_tape_value(&b->tape, b->graph.output, &rows, &n);
    float *grad = rt_tape_grad(&b->tape, b->graph.output);
    for (size_t i = 0; i < rows * n; i++) grad[i] = wish_at(i);
    assert_int_equal(rt_tape_backward(&b->tape, NULL), RETORT_OK);
}

/* Moves the constant by t along its gradient; the loss then. */
static double moved_loss(bench *b, int value, size_t count, const float *grad, const float *before,
                         double t) {
    float *data = (float *)(uintptr_t)b->graph.values[value].data;
    for (size_t i = 0; i < count; i++) data[i] = (float)((double)before[i] + t * (double)grad[i]);
    return loss(b);
}

/* The slope along the gradient is its squared length. */
static void check_slope(bench *b, const char *name, int value, size_t count, const float *grad) {
    double squares = 0;
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) squares += (double)grad[i] * (double)grad[i];
    assert_true(rt_value_bytes(&b->graph.values[value], &bytes));
    float *before = malloc(bytes);
    assert_non_null(before);
    memcpy(before, b->graph.values[value].data, bytes);
    double step = 1e-3 / sqrt(squares + 1e-12);
    double up = moved_loss(b, value, count, grad, before, step);
    double down = moved_loss(b, value, count, grad, before, -step);
    moved_loss(b, value, count, grad, before, 0);
    free(before);
    double slope = (up - down) / (2 * step);
    if (fabs(slope - squares) > 0.02 * squares + 1e-5)
        fail_msg("%s, %s: slope %g, gradient %g", name, b->graph.values[value].name, slope, squares);
}

/* The gradient of a parameter, with those of a table's rows in their places. */
static float *whole_gradient(const rt_parameter *parameter) {
    float *grad = calloc(parameter->count, sizeof *grad);
    assert_non_null(grad);
    if (parameter->kind != RT_PARAMETER_TABLE) memcpy(grad, parameter->grad, parameter->count * sizeof *grad);
    for (size_t i = 0; i < parameter->touched_count; i++) {
        memcpy(grad + (size_t)parameter->touched[i] * parameter->n, parameter->grad + i * parameter->n,
               parameter->n * sizeof *grad);
    }
    return grad;
}

static void check_parameters(const char *name) {
    bench b;
    open_bench(&b, name, 2);
    backward(&b);
    for (size_t i = 0; i < b.parameters.count; i++) {
        const rt_parameter *parameter = &b.parameters.items[i];
        float *grad = whole_gradient(parameter);
        check_slope(&b, name, parameter->value, parameter->count, grad);
        free(grad);
    }
    close_bench(&b);
}

/* The word table is at the far end: its gradient went through every step. That of a row is the sum over the
 * tokens that have it. */
static void check_model(const char *name) {
    bench b;
    open_bench(&b, name, 2);
    const rt_node *node = b.tape.embed->node;
    const rt_value *words = &b.graph.values[node->inputs[EMBED_WORD]];
    size_t v = (size_t)words->dims[0], n = (size_t)words->dims[1];
    backward(&b);
    float *grad = calloc(v * n, sizeof *grad);
    assert_non_null(grad);
    for (size_t i = 0; i < b.prepared.chunks->rows * n; i++)
        grad[(size_t)b.prepared.chunks->ids[i / n] * n + i % n] += b.tape.embedded[i];
    check_slope(&b, name, node->inputs[EMBED_WORD], v * n, grad);
    free(grad);
    close_bench(&b);
}

static void gradients_are_slopes(void **unused) {
    (void)unused;
    static const char *const names[] = {"bert-classify",     "distilbert-classify", "bert-tag",
                                        "bert-fill",         "bert-answer",         "bert-embed",
                                        "distilbert-long",   "package-mean",        "bert-multilabel",
                                        "package-last",      "modernbert-classify", "modernbert-mean",
                                        "modernbert-answer", "modernbert-fill",     "modernbert-local",
                                        "nomic-classify",    "nomic-embed",         "gte-fill",
                                        "gte-ntk",           "mpnet-classify",      "mpnet-tag",
                                        "mpnet-fill",        "deberta-classify",    "deberta-c2p",
                                        "deberta-p2c",       "deberta-tag",         "deberta-fill",
                                        "albert-groups",     "albert-fill",         "eurobert-classify",
                                        "eurobert-bos",      "eurobert-mean",       "eurobert-tag",
                                        "eurobert-fill",     "eurobert-tied",       "eurobert-embed"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        check_model(names[i]);
        check_parameters(names[i]);
    }
}

/* The same bits with one thread and with three. */
static void threads_do_not_matter(void **unused) {
    (void)unused;
    bench one, three;
    open_bench(&one, "bert-classify", 1);
    open_bench(&three, "bert-classify", 3);
    backward(&one);
    backward(&three);
    size_t count = one.prepared.chunks->rows * one.tape.embed->as.embed.norm.n;
    assert_memory_equal(one.tape.embedded, three.tape.embedded, count * sizeof(float));
    close_bench(&one);
    close_bench(&three);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_slopes),
        cmocka_unit_test(threads_do_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
