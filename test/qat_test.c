/* SPDX-License-Identifier: Apache-2.0
 * Quantisation-aware training: the first forward pass is that of the recipe's result; masters are rounded as recipes
 * round; what is deployed gives the bits of the trained forward pass; gradients are slopes of a smooth stand-in. */
#include "engine/prepare.h"
#include "kernel/integers.h"
#include "quant_models.h"
#include "train/qat.h"

#include <math.h>

static uint32_t state = 1;
/* In [-1, 1). */
static float random_float(void) {
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) * 0x1p-23F - 1.0F;
}

/* Models of every form: 8 bits, groups, outlier rows, frequent words, blocks of shared heads, positions. */
static const struct form {
    const char *checkpoint, *recipe;
    int bits;
} forms[] = {
    {"distilbert-classify", "int8", 0}, {"bert-wide", "int8", 0},
    {"bert-wide", "int4", 0},           {"distilbert-wide", "gptq", 3},
    {"distilbert-wide", "ptq+owq", 0},  {"bert-wide", "ptq+owq", 3},
    {"distilbert-wide", "ptq+owq", 2},  {"electra-classify", "owq", 2},
    {"roberta-classify", "ptq+owq", 2}, {"bert-tag", "int4", 2},
    {"bert-regression", "int8", 0},     {"bert-embed", "ptq+owq", 0},
};
enum { FORMS = sizeof forms / sizeof *forms };

typedef struct bench {
    retort_model *model, *integer;
    rt_thread_pool *pool;
    rt_trainee trainee;
} bench;

static retort_model *integers_of(const retort_model *model, const struct form *form) {
    bool learns = strcmp(form->recipe, "int8") != 0 && strcmp(form->recipe, "int4") != 0;
    if (learns) return learned_bits(model, form->recipe, form->bits, 0);
    retort_model *integer = NULL;
    retort_error err = {0};
    retort_quantize_options options = RETORT_QUANTIZE_OPTIONS;
    options.recipe = form->recipe;
    options.bits = form->bits;
    options.group = 32;
    if (retort_model_quantize(&integer, model, &options, &err) != RETORT_OK) fail_msg("%s", err.text);
    return integer;
}

static void open_bench(bench *b, const struct form *form) {
    retort_error err = {0};
    *b = (bench){.model = golden(form->checkpoint, 3, RETORT_F32)};
    b->integer = integers_of(b->model, form);
    assert_int_equal(rt_thread_pool_open(&b->pool, 2, &err), RETORT_OK);
    rt_qat_options options = {.steps = 30, .regroup = 5, .pool = b->pool};
    if (rt_qat_open(&b->trainee, b->integer, b->model, &options, &err) != RETORT_OK)
        fail_msg("%s %s: %s", form->checkpoint, form->recipe, err.text);
}

static void close_bench(bench *b) {
    rt_trainee_close(&b->trainee);
    rt_thread_pool_close(b->pool);
    retort_model_free(b->integer);
    retort_model_free(b->model);
}

static void refresh(bench *b, size_t step) {
    retort_error err = {0};
    if (rt_trainee_refresh(&b->trainee, step, &err) != RETORT_OK) fail_msg("%s", err.text);
}

/* All rows of tables have been touched. */
static void touch_all(bench *b) {
    rt_trainee_touch(&b->trainee, 0, NULL, 0);
}

static void assert_same_constants(const retort_model *a, const retort_model *b) {
    assert_int_equal(a->graph.value_count, b->graph.value_count);
    for (size_t i = 0; i < a->graph.value_count; i++) {
        size_t bytes = 0;
        const rt_value *x = &a->graph.values[i], *y = &b->graph.values[i];
        if (x->data == NULL || !rt_value_bytes(x, &bytes)) continue;
        if (memcmp(x->data, y->data, bytes) != 0) fail_msg("%s differs", x->name);
    }
}

/* ---- The start ---- */

/* `used` is what rt_dequantize makes of the integers. */
static void check_used(const bench *b) {
    retort_model *floats = dequantized(b->integer);
    size_t checked = 0;
    for (size_t i = 0; i < b->trainee.parameters.count; i++) {
        const rt_parameter *p = &b->trainee.parameters.items[i];
        int found = rt_value_find(&floats->graph, p->name);
        if (p->used == p->data || p->kind == RT_PARAMETER_VECTOR) continue;
        assert_true(found >= 0);
        const rt_value *value = &floats->graph.values[found];
        if (memcmp(value->data, p->used, p->count * sizeof(float)) != 0) fail_msg("%s differs", p->name);
        checked++;
    }
    assert_true(checked >= 3);
    retort_model_free(floats);
}

/* Whether masters are the weights of the model wherever these round to the codes. */
static void check_masters(const bench *b) {
    size_t own = 0, all = 0;
    for (size_t i = 0; i < b->trainee.parameters.count; i++) {
        const rt_parameter *p = &b->trainee.parameters.items[i];
        int found = rt_value_find(&b->model->graph, p->name);
        if (p->used == p->data || p->kind != RT_PARAMETER_MATRIX) continue;
        assert_true(found >= 0);
        const float *w = b->model->graph.values[found].data;
        for (size_t j = 0; j < p->count; j++) {
            own += p->data[j] == w[j];
            assert_true(p->data[j] == w[j] || p->data[j] == p->used[j]);
        }
        all += p->count;
    }
    assert_true(own * 2 > all);
}

static void test_start(void **unused) {
    (void)unused;
    for (size_t f = 0; f < FORMS; f++) {
        bench b;
        open_bench(&b, &forms[f]);
        refresh(&b, 0);
        assert_same_constants(b.integer, b.trainee.model);
        check_used(&b);
        check_masters(&b);
        touch_all(&b);
        refresh(&b, 1);
        assert_same_constants(b.integer, b.trainee.model);
        close_bench(&b);
    }
}

/* ---- Rounding ---- */

/* Moves masters by up to a step, and scales by up to a tenth. */
static void move_parameters(bench *b) {
    for (size_t i = 0; i < b->trainee.parameters.count; i++) {
        rt_parameter *p = &b->trainee.parameters.items[i];
        float most = 0;
        bool rounded = p->used != p->data;
        for (size_t j = 0; j < p->count; j++) most = fmaxf(most, fabsf(p->data[j]));
        float by = !rounded ? 0.01F * most : p->kind == RT_PARAMETER_VECTOR ? 0.1F : 0.2F * most;
        if (p->kind == RT_PARAMETER_MATRIX && !rounded) continue;
        for (size_t j = 0; j < p->count; j++) p->data[j] += p->data[j] != 0 ? by * random_float() : 0;
    }
}

static float nearest_code(int bits, float q) {
    static const float low[] = {[3] = -4, [4] = -8, [8] = -127}, high[] = {[3] = 3, [4] = 7, [8] = 127};
    if (bits == 2) return fminf(fmaxf(2 * rintf((q - 1) / 2) + 1, -3), 3);
    return fminf(fmaxf(rintf(q), low[bits]), high[bits]);
}

static int bits_of(const rt_grid *grid) {
    return grid->high > 7 ? 8 : grid->offset != 0 ? 2 : grid->high > 3 ? 4 : 3;
}

/* A matrix rounded by hand, [k, n]. */
typedef struct again {
    int8_t *codes;
    uint8_t *groups;
    int32_t *outlier_sums;
} again;

static float master_at(const rt_qat_matrix *m, size_t i, size_t j) {
    return m->master->data[(j / RT_PANEL * m->k + i) * RT_PANEL + j % RT_PANEL];
}

static float group_at(const rt_qat_matrix *m, size_t i, size_t j) {
    uint8_t g = m->group_at != NULL ? m->group_at[rt_panel_group(m->k, m->group, i, j)] : 1;
    return (float)g;
}

static float over(float w, float scale) {
    return scale > 0 ? w * (1 / scale) : 0;
}

static void round_column(const rt_qat_matrix *m, again *a, size_t j) {
    int bits = bits_of(m->grid);
    assert_true(m->scale[j] == rt_short_scale(m->start[j] * m->factors->data[j]));
    for (size_t i = 0; i < m->k; i++) {
        float g = group_at(m, i, j);
        a->groups[i / m->group * m->n + j] = (uint8_t)g;
        a->codes[i * m->n + j] = (int8_t)nearest_code(bits, over(master_at(m, i, j), g * m->scale[j]));
    }
    for (size_t o = 0; o < m->outliers; o++) {
        size_t row = (size_t)m->outlier_columns[o];
        float total = nearest_code(8, over(master_at(m, row, j), m->scale[j]));
        int code = bits != 2 ? 0 : total < 0 ? -1 : 1, rest = (int)total - code * (int)group_at(m, row, j);
        a->codes[row * m->n + j] = (int8_t)code;
        a->outlier_sums[j] += 128 * rest;
        assert_int_equal(m->outlier_codes[rt_panel_byte(m->outliers, 4, o, j)], rest);
    }
}

/* The functions of recipes pack the same codes to the same bytes. */
static void check_packed(const rt_qat_matrix *m, const again *a) {
    size_t bytes = 0, group_bytes = 0;
    bool eight = m->group_at == NULL;
    assert_true(eight ? rt_pack_count_s8(m->k, m->n, &bytes) : rt_pack_count_s4(m->k, m->n, &bytes));
    assert_true(rt_pack_count_group(m->k, m->n, m->group, &group_bytes));
    uint8_t *packed = calloc(bytes, 1), *groups = calloc(group_bytes, 1);
    int32_t *sums = calloc(m->n, sizeof *sums);
    assert_non_null(packed);
    assert_non_null(groups);
    assert_non_null(sums);
    if (eight)
        rt_pack_s8(m->k, m->n, a->codes, m->n, 1, (int8_t *)packed, sums);
    else
        rt_pack_s4(m->k, m->n, m->group, a->codes, m->n, 1, a->groups, packed, groups, sums);
    assert_memory_equal(packed, m->packed, bytes);
    for (size_t j = 0; j < m->n; j++) assert_int_equal(sums[j] + a->outlier_sums[j], m->sums[j]);
    free(packed);
    free(groups);
    free(sums);
}

static void check_matrix(const rt_qat_matrix *m) {
    again a = {calloc(m->k, m->n), calloc(m->groups, m->n), calloc(m->n, sizeof *a.outlier_sums)};
    assert_non_null(a.codes);
    assert_non_null(a.groups);
    assert_non_null(a.outlier_sums);
    for (size_t j = 0; j < m->n; j++) round_column(m, &a, j);
    check_packed(m, &a);
    free(a.codes);
    free(a.groups);
    free(a.outlier_sums);
}

static void test_rounding(void **unused) {
    (void)unused;
    for (size_t f = 0; f < FORMS; f++) {
        bench b;
        open_bench(&b, &forms[f]);
        refresh(&b, 0);
        move_parameters(&b);
        touch_all(&b);
        refresh(&b, 1);
        for (size_t i = 0; i < b.trainee.qat->matrix_count; i++) check_matrix(&b.trainee.qat->matrices[i]);
        close_bench(&b);
    }
}

/* Integer scales move to where the error is smaller, but not in the last third of the steps. */
static double squared_error(const bench *b) {
    double sum = 0;
    for (size_t i = 0; i < b->trainee.parameters.count; i++) {
        const rt_parameter *p = &b->trainee.parameters.items[i];
        for (size_t j = 0; p->kind == RT_PARAMETER_MATRIX && j < p->count; j++)
            sum += pow((double)p->data[j] - (double)p->used[j], 2);
    }
    return sum;
}

static void test_groups(void **unused) {
    (void)unused;
    bench b;
    open_bench(&b, &(struct form){"bert-wide", "ptq+owq", 3});
    for (size_t i = 0; i < b.trainee.parameters.count; i++) {
        rt_parameter *p = &b.trainee.parameters.items[i];
        for (size_t j = 0; p->kind == RT_PARAMETER_MATRIX && j < p->count; j++) p->data[j] *= 1.5F;
    }
    refresh(&b, 4);
    double before = squared_error(&b);
    refresh(&b, 25); /* frozen */
    assert_true(squared_error(&b) == before);
    refresh(&b, 5);
    double after = squared_error(&b);
    assert_true(after < before);
    for (size_t i = 0; i < b.trainee.qat->matrix_count; i++) check_matrix(&b.trainee.qat->matrices[i]);
    close_bench(&b);
}

/* ---- Tables ---- */

static rt_parameter *find_table(const bench *b, const char *part) {
    for (size_t i = 0; i < b->trainee.parameters.count; i++) {
        rt_parameter *p = &b->trainee.parameters.items[i];
        if (p->kind == RT_PARAMETER_TABLE && strstr(p->name, part) != NULL) return p;
    }
    fail_msg("no table %s", part);
    return NULL;
}

/* Only rows that were touched are rounded. */
static void check_rows(const struct form *form, const char *part) {
    bench b;
    open_bench(&b, form);
    refresh(&b, 0);
    rt_parameter *p = find_table(&b, part);
    static const int32_t ids[] = {1, 5, 7};
    float *before = malloc(p->count * sizeof *before);
    assert_non_null(before);
    memcpy(before, p->used, p->count * sizeof *before);
    for (size_t i = 0; i < p->count; i++) p->data[i] = -p->data[i];
    rt_trainee_touch(&b.trainee, (size_t)(p - b.trainee.parameters.items), ids, 3);
    refresh(&b, 1);
    for (size_t row = 0; row < p->rows; row++) {
        bool moved = memcmp(before + row * p->n, p->used + row * p->n, p->n * sizeof *before) != 0;
        assert_int_equal(moved, row == 1 || row == 5 || row == 7);
    }
    retort_model *floats = dequantized(b.trainee.model); /* the constants are what `used` says */
    const rt_value *value = &floats->graph.values[rt_value_find(&floats->graph, p->name)];
    assert_memory_equal(value->data, p->used, p->count * sizeof *before);
    retort_model_free(floats);
    free(before);
    close_bench(&b);
}

static void test_tables(void **unused) {
    (void)unused;
    check_rows(&(struct form){"distilbert-wide", "ptq+owq", 2}, "word");
    check_rows(&(struct form){"bert-wide", "ptq+owq", 0}, "word");
    check_rows(&(struct form){"bert-wide", "int8", 0}, "word");
    check_rows(&(struct form){"distilbert-wide", "ptq+owq", 2}, "position");
}

/* ---- What is deployed ---- */

static void test_deployed(void **unused) {
    (void)unused;
    for (size_t f = 0; f < FORMS; f++) {
        bench b;
        retort_error err = {0};
        size_t count, same;
        retort_model *trained = NULL;
        open_bench(&b, &forms[f]);
        refresh(&b, 0);
        float *start = run(b.trainee.model, NULL, 2, &count);
        move_parameters(&b);
        touch_all(&b);
        refresh(&b, 5);
        if (rt_trainee_model(&trained, &b.trainee, &err) != RETORT_OK) fail_msg("%s", err.text);
        float *forward = run(b.trainee.model, NULL, 2, &count), *found = run(trained, NULL, 1, &same);
        assert_int_equal(count, same);
        assert_memory_equal(forward, found, count * sizeof *found);
        assert_true(memcmp(start, found, count * sizeof *found) != 0);
        check_bits(trained, forms[f].checkpoint);
        check_round_trip(trained);
        free(start);
        free(forward);
        free(found);
        retort_model_free(trained);
        close_bench(&b);
    }
}

/* ---- Gradients ---- */

/* One weight: what it was rounded with. */
typedef struct weight {
    double w, g, code, low, high, up;
} weight;

static weight weight_at(const rt_qat_matrix *m, const float *up, size_t i, size_t j) {
    size_t at = (j / RT_PANEL * m->k + i) * RT_PANEL + j % RT_PANEL;
    const rt_grid *grid = m->is_outlier[i] ? rt_grid_of(8) : m->grid;
    weight x = {.w = (double)m->master->data[at],
                .low = (double)grid->low,
                .high = (double)grid->high,
                .up = (double)up[at]};
    x.g = m->is_outlier[i] ? 1 : (double)group_at(m, i, j);
    x.code = rint((double)m->used[at] / (x.g * (double)m->scale[j]));
    return x;
}

static bool is_inside(const weight *x, double s) {
    return x->w / (x->g * s) >= x->low && x->w / (x->g * s) <= x->high;
}

/* `used` as a smooth function of the weight and the scale: what rounding added at scale s0 stays, in steps. */
static double stand_in(const weight *x, double w, double s, double s0) {
    return is_inside(x, s0) ? w + s * x->g * (x->code - x->w / (x->g * s0)) : s * x->g * x->code;
}

static void check_column(const rt_qat_matrix *m, const float *up, size_t j) {
    double s0 = (double)m->scale[j], f = (double)m->factors->data[j], step = 1e-3, slope = 0, size = 1e-9;
    if (s0 == 0) return;
    for (size_t i = 0; i < m->k; i++) {
        weight x = weight_at(m, up, i, j);
        double grad = (double)m->master->grad[(j / RT_PANEL * m->k + i) * RT_PANEL + j % RT_PANEL];
        double by_w = (stand_in(&x, x.w + 1e-3, s0, s0) - stand_in(&x, x.w - 1e-3, s0, s0)) / 2e-3;
        bool border = fabs(x.w / (x.g * s0) - x.low) < 1e-5 || fabs(x.w / (x.g * s0) - x.high) < 1e-5;
        if (border) return; /* the slope jumps there */
        assert_true(fabs(grad - x.up * by_w) < 1e-5);
        slope += x.up *
                 (stand_in(&x, x.w, s0 * (1 + step / f), s0) - stand_in(&x, x.w, s0 * (1 - step / f), s0)) /
                 (2 * step);
        size += fabs(x.up * x.code * x.g * s0);
    }
    double share = 1 / sqrt((double)m->k * (double)m->grid->high);
    assert_true(fabs((double)m->factors->grad[j] - share * slope) < 1e-4 * size);
}

static void test_gradients(void **unused) {
    (void)unused;
    for (size_t f = 0; f < FORMS; f++) {
        bench b;
        open_bench(&b, &forms[f]);
        move_parameters(&b);
        refresh(&b, 0);
        const rt_qat *qat = b.trainee.qat;
        float **up = calloc(qat->matrix_count, sizeof *up);
        assert_non_null(up);
        for (size_t i = 0; i < qat->matrix_count; i++) {
            const rt_parameter *p = qat->matrices[i].master;
            up[i] = calloc(p->count, sizeof **up);
            assert_non_null(up[i]);
            for (size_t j = 0; j < p->count; j++) up[i][j] = p->grad[j] = random_float();
        }
        rt_trainee_gather(&b.trainee);
        for (size_t i = 0; i < qat->matrix_count; i++) {
            for (size_t j = 0; j < qat->matrices[i].n; j++) check_column(&qat->matrices[i], up[i], j);
            free(up[i]);
        }
        free(up);
        close_bench(&b);
    }
}

/* A clipped entry of a table has no gradient. */
static void test_clipped_rows(void **unused) {
    (void)unused;
    bench b;
    open_bench(&b, &(struct form){"distilbert-wide", "ptq+owq", 2});
    refresh(&b, 0);
    rt_parameter *p = find_table(&b, "word");
    static const int32_t ids[] = {6, 9};
    assert_true(rt_parameter_touch(p, ids, 2));
    for (size_t i = 0; i < 2 * p->n; i++) p->grad[i] = 1;
    p->data[6 * p->n + 3] = 1e3F;
    p->data[9 * p->n + 4] = -1e3F;
    rt_trainee_gather(&b.trainee);
    assert_true(p->grad[3] == 0 && p->grad[p->n + 4] == 0);
    size_t passed = 0;
    for (size_t i = 0; i < 2 * p->n; i++) passed += p->grad[i] == 1;
    assert_true(passed > p->n);
    close_bench(&b);
}

/* ---- The tape ---- */

/* A forward and a backward pass of a loss that wishes for fixed logits. */
typedef struct pass {
    rt_tape tape;
    rt_prepared prepared;
    sample sample;
    float *logits;
    size_t count;
} pass;

static void run_pass(pass *p, const bench *b, const retort_model *model, const rt_parameters *parameters) {
    retort_error err = {0};
    uint32_t features;
    rt_kernels kernels;
    size_t rows, n;
    const rt_config *config = &model->config;
    assert_int_equal(rt_isa_select(NULL, &features, NULL, &err), RETORT_OK);
    rt_kernels_select(&kernels, features);
    retort_status status = rt_tape_open(&p->tape, &model->graph, parameters, &kernels, b->pool, 256,
                                        (size_t)config->positions, &err);
    if (status != RETORT_OK) fail_msg("%s", err.text);
    rt_limits limits = {
        .vocab = config->vocab, .types = config->types, .positions = config->positions, .mask_id = -1};
    limits.capacity = limits.max_rows = 256;
    limits.workers = 1;
    limits.output = p->tape.plan.output_rows;
    make_sample(&p->sample);
    const retort_batch *public = &p->sample.batch;
    const rt_batch batch = {public->ids, public->types, public->offsets, public->n, NULL};
    assert_int_equal(rt_prepare(&p->prepared, &batch, &limits, &err), RETORT_OK);
    assert_int_equal(rt_tape_forward(&p->tape, p->prepared.chunks, &err), RETORT_OK);
    p->logits = rt_tape_value(&p->tape, model->graph.output, &rows, &n);
    p->count = rows * n;
    float *grad = rt_tape_grad(&p->tape, model->graph.output);
    for (size_t i = 0; i < p->count; i++) grad[i] = (float)(i * 7 % 11) - 5;
    assert_int_equal(rt_tape_backward(&p->tape, &err), RETORT_OK);
}

static void end_pass(pass *p) {
    rt_prepared_free(&p->prepared);
    rt_tape_close(&p->tape);
}

/* How far a lies from b, relative to b. */
static double distance(const float *a, const float *b, size_t n) {
    double apart = 0, size = 1e-12;
    for (size_t i = 0; i < n; i++) {
        apart += pow((double)a[i] - (double)b[i], 2);
        size += pow((double)b[i], 2);
    }
    return sqrt(apart / size);
}

/* Gradients with respect to what integers stand for are nearly those of the float model that they stand for. */
static void test_backward(void **unused) {
    (void)unused;
    bench b;
    retort_error err = {0};
    retort_model *floats, *own = NULL;
    rt_parameters parameters;
    pass integer = {0}, real = {0};
    size_t count;
    open_bench(&b, &(struct form){"distilbert-classify", "int8", 0});
    refresh(&b, 0);
    run_pass(&integer, &b, b.trainee.model, &b.trainee.parameters);
    float *deployed = run(b.integer, "ref", 1, &count);
    assert_int_equal(count, integer.count);
    assert_memory_equal(deployed, integer.logits, count * sizeof *deployed);
    floats = dequantized(b.integer);
    assert_int_equal(rt_model_derive(&own, floats, &err), RETORT_OK);
    assert_int_equal(rt_trainee_own(own, &err), RETORT_OK);
    assert_int_equal(rt_parameters_open(&parameters, &own->graph, &err), RETORT_OK);
    run_pass(&real, &b, own, &parameters);
    for (size_t i = 0; i < parameters.count; i++) {
        const rt_parameter *wanted = &parameters.items[i];
        const rt_parameter *found =
            rt_parameters_find(&b.trainee.parameters, rt_value_find(&b.trainee.model->graph, wanted->name));
        bool table = wanted->kind == RT_PARAMETER_TABLE;
        size_t n = table ? wanted->touched_count * wanted->n : wanted->count;
        assert_non_null(found);
        assert_int_equal(found->touched_count, wanted->touched_count);
        double apart = distance(found->grad, wanted->grad, n);
        if (apart > 0.1) fail_msg("%s: %.3f apart", wanted->name, apart);
    }
    end_pass(&integer);
    end_pass(&real);
    free(deployed);
    rt_parameters_free(&parameters);
    retort_model_free(own);
    retort_model_free(floats);
    close_bench(&b);
}

/* ---- State, refusals ---- */

static void test_state(void **unused) {
    (void)unused;
    bench a, b;
    const struct form form = {"distilbert-wide", "ptq+owq", 3};
    open_bench(&a, &form);
    open_bench(&b, &form);
    move_parameters(&a);
    touch_all(&a);
    refresh(&a, 5);
    size_t parts = 0;
    for (;; parts++) {
        rt_qat_state from = rt_qat_state_at(&a.trainee, parts), to = rt_qat_state_at(&b.trainee, parts);
        assert_int_equal(from.bytes, to.bytes);
        if (from.bytes == 0) break;
        memcpy(to.data, from.data, from.bytes);
    }
    size_t grouped = 0;
    for (size_t i = 0; i < a.trainee.qat->matrix_count; i++)
        grouped += a.trainee.qat->matrices[i].group_at != NULL;
    assert_int_equal(parts, grouped);
    for (size_t i = 0; i < a.trainee.parameters.count; i++) {
        rt_parameter *to = &b.trainee.parameters.items[i];
        memcpy(to->data, a.trainee.parameters.items[i].data, to->count * sizeof *to->data);
    }
    touch_all(&b);
    refresh(&b, 6);
    assert_same_constants(a.trainee.model, b.trainee.model);
    close_bench(&a);
    close_bench(&b);
}

static void check_refusal(const retort_model *integer, const char *words) {
    retort_error err = {0};
    rt_trainee trainee;
    retort_status status = rt_qat_open(&trainee, integer, NULL, &(rt_qat_options){.steps = 1}, &err);
    assert_int_not_equal(status, RETORT_OK);
    if (strstr(err.text, words) == NULL) fail_msg("'%s'", err.text);
}

static void test_refusals(void **unused) {
    (void)unused;
    retort_model *model = golden("bert-wide", 3, RETORT_F32), *awq = learned(model, "awq", 0);
    check_refusal(model, "no integer weights");
    check_refusal(awq, "scales channels");
    retort_model_free(awq);
    retort_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start),        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_groups),       cmocka_unit_test(test_tables),
        cmocka_unit_test(test_deployed),     cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_clipped_rows), cmocka_unit_test(test_backward),
        cmocka_unit_test(test_state),        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
