/* SPDX-License-Identifier: Apache-2.0
 * The parts of recipes that calibrate activations, against plain restatements of them. */
#include "quant/frequent.h"
#include "quant/panel.h"
#include "quant/range.h"
#include "quant/scale.h"
#include "quant/pruned_ids.h"
#include "quant_models.h"

#include <math.h>

static uint32_t state = 1;
static float random_float(void) { /* about normal: a sum of four */
    float sum = 0;
    for (int i = 0; i < 4; i++) {
        state = state * 1664525u + 1013904223u;
        sum += (float)(state >> 8) * 0x1p-24F - 0.5F;
    }
    return sum;
}

/* ---- Ranges ---- */

enum { VALUES = 5000, ROWS = 5 };

/* What rounding to 8 bits within a range loses of the values themselves. */
static double loss_of(const float *x, float least, float largest) {
    double loss = 0, step = ((double)largest - (double)least) / 254;
    for (size_t i = 0; i < VALUES; i++) {
        double v = fmin(fmax((double)x[i], (double)least), (double)largest);
        double back = (double)least + rint((v - (double)least) / step) * step;
        loss += (back - (double)x[i]) * (back - (double)x[i]);
    }
    return loss;
}

/* The range loses hardly more of the values than the best of a grid, whatever the order and the chunks. */
static void check_range(const float *x) {
    rt_histogram *whole = calloc(1, sizeof *whole), *parts = calloc(1, sizeof *parts);
    float range[2], same[2], least = 0, largest = 0;
    assert_true(whole != NULL && parts != NULL);
    assert_true(rt_histogram_add(whole, ROWS, VALUES / ROWS, x));
    for (size_t i = ROWS; i-- > 0;) {
        assert_true(rt_histogram_add(parts, 1, VALUES / ROWS, x + i * (VALUES / ROWS)));
    }
    rt_histogram_range(whole, range);
    rt_histogram_range(parts, same);
    assert_memory_equal(range, same, sizeof range);
    for (size_t i = 0; i < VALUES; i++) least = fminf(least, x[i]);
    for (size_t i = 0; i < VALUES; i++) largest = fmaxf(largest, x[i]);
    double found = loss_of(x, range[0], range[1]);
    for (int i = 0; i < 20; i++) {
        for (int j = 0; j < 20; j++) {
            double loss = loss_of(x, least * (1 - 0.04F * (float)i), largest * (1 - 0.04F * (float)j));
            assert_true(found <= loss * 1.02 + 1e-12);
        }
    }
    free(whole);
    free(parts);
}

static void test_ranges(void **unused) {
    (void)unused;
    float x[VALUES];
    for (size_t i = 0; i < VALUES; i++) x[i] = random_float();
    check_range(x);
    for (size_t i = 0; i < VALUES; i++) x[i] = fmaxf(x[i], -0.17F) * 3;
    check_range(x);
    x[77] = 400; /* far out: clipped */
    check_range(x);
    for (size_t i = 0; i < VALUES; i++) x[i] = ldexpf(random_float(), (int)(i % 30) - 25);
    check_range(x);
}

static void test_ranges_of_nothing(void **unused) {
    (void)unused;
    rt_histogram *s = calloc(1, sizeof *s);
    float zeros[3] = {0}, one[] = {1.5F}, bad[] = {1, NAN}, range[2];
    assert_non_null(s);
    rt_histogram_range(s, range);
    assert_true(range[0] == 0 && range[1] == 0);
    assert_true(rt_histogram_add(s, 1, 3, zeros));
    rt_histogram_range(s, range);
    assert_true(range[0] == 0 && range[1] == 0);
    assert_true(rt_histogram_add(s, 1, 1, one));
    rt_histogram_range(s, range);
    assert_true(range[0] == 0 && range[1] > 1.4F && range[1] <= 1.5F);
    assert_false(rt_histogram_add(s, 1, 2, bad));
    free(s);
}

/* ---- Moves ---- */

enum { WIDTH = 48, OUTPUTS = 40, PANELS = 3, DRAWN = 300 };

typedef struct layer {
    float x[DRAWN * WIDTH], w[PANELS * WIDTH * RT_PANEL], bias[OUTPUTS];
    rt_scaled linear;
    rt_row_sample drawn;
} layer;

/* Columns of x of all sizes and middles, one of them constant. */
static layer *make_layer(void) {
    layer *l = calloc(1, sizeof *l);
    assert_non_null(l);
    for (size_t i = 0; i < DRAWN * WIDTH; i++) {
        size_t j = i % WIDTH;
        l->x[i] = j == 7 ? 2.5F : ldexpf(random_float(), (int)(j % 7) - 3) + (float)(j % 5);
    }
    for (size_t i = 0; i < PANELS * WIDTH * RT_PANEL; i++) {
        size_t column = i / (WIDTH * RT_PANEL) * RT_PANEL + i % RT_PANEL;
        l->w[i] = column < OUTPUTS ? random_float() : 0;
    }
    for (size_t j = 0; j < OUTPUTS; j++) l->bias[j] = random_float();
    l->linear = (rt_scaled){.k = WIDTH, .n = OUTPUTS, .w = l->w, .bias = l->bias, .act = RT_FN_NONE};
    assert_int_equal(rt_row_sample_begin(&l->drawn, WIDTH, NULL), RETORT_OK);
    assert_true(rt_row_sample_add(&l->drawn, DRAWN, l->x, 0, NULL));
    return l;
}

static void free_layer(layer *l) {
    rt_row_sample_free(&l->drawn);
    free(l);
}

static float weight_at(const float *w, size_t i, size_t j) {
    return w[(j / RT_PANEL * WIDTH + i) * RT_PANEL + j % RT_PANEL];
}

/* x [DRAWN, WIDTH] moved and rounded by its rows, less what was added, in the scale of the moved x. */
static void round_rows(const layer *l, const rt_channel_scale *move, double *out) {
    for (size_t r = 0; r < DRAWN; r++) {
        float least = 0, largest = 0, moved[WIDTH];
        for (size_t j = 0; j < WIDTH; j++) {
            moved[j] = fmaf(l->x[r * WIDTH + j], move->factor[j], move->add[j]);
            least = fminf(least, moved[j]);
            largest = fmaxf(largest, moved[j]);
        }
        float most = 0.5F * largest - 0.5F * least, middle = 0.5F * least + 0.5F * largest;
        for (size_t j = 0; j < WIDTH; j++) {
            float code = fminf(fmaxf(rintf((moved[j] - middle) * (127.0F / most)), -127), 127);
            out[r * WIDTH + j] =
                (double)code * (double)(most / 127.0F) + (double)middle - (double)move->add[j];
        }
    }
}

/* Squared error of the outputs, x and the weights rounded. */
static double loss_of_move(const layer *l, const rt_channel_scale *move, int bits) {
    double *x = calloc(DRAWN * WIDTH, sizeof *x), *w = calloc(WIDTH * OUTPUTS, sizeof *w), loss = 0;
    float panel[WIDTH * RT_PANEL], reals[2 * RT_PANEL];
    int8_t codes[WIDTH * RT_PANEL];
    uint8_t groups[2 * RT_PANEL];
    rt_rounded rounded = {.grid = rt_grid_of(4), .codes = codes, .groups = groups};
    assert_true(x != NULL && w != NULL);
    round_rows(l, move, x);
    for (size_t p = 0; p < PANELS; p++) {
        for (size_t i = 0; i < WIDTH * RT_PANEL; i++)
            panel[i] = l->w[p * WIDTH * RT_PANEL + i] / move->factor[i / RT_PANEL];
        assert_true(bits == 8 ? rt_round_s8(WIDTH, panel, &rounded)
                              : rt_round_grouped(WIDTH, 32, panel, reals, &rounded));
        for (size_t i = 0; i < WIDTH * RT_PANEL; i++) {
            size_t c = i % RT_PANEL, j = p * RT_PANEL + c;
            double scale =
                (double)rounded.scale[c] * (bits == 8 ? 1 : groups[i / RT_PANEL / 32 * RT_PANEL + c]);
            if (j < OUTPUTS) w[i / RT_PANEL * OUTPUTS + j] = codes[i] * scale;
        }
    }
    for (size_t r = 0; r < DRAWN; r++) {
        for (size_t j = 0; j < OUTPUTS; j++) {
            double lost = 0;
            for (size_t i = 0; i < WIDTH; i++) {
                lost += x[r * WIDTH + i] * w[i * OUTPUTS + j];
                lost -= (double)l->x[r * WIDTH + i] * (double)weight_at(l->w, i, j);
            }
            loss += lost * lost;
        }
    }
    free(x);
    free(w);
    return loss;
}

/* s of equation 4 of SmoothQuant, or equation 5 of AWQ, on columns without their means. */
static void restate(const layer *l, bool smooth, double power, rt_channel_scale *move) {
    double s[WIDTH], least = INFINITY, largest = 0;
    for (size_t j = 0; j < WIDTH; j++) {
        double mean = 0, most = 0, sizes = 0, weight = 0;
        for (size_t r = 0; r < DRAWN; r++) mean += (double)l->x[r * WIDTH + j] / DRAWN;
        for (size_t r = 0; r < DRAWN; r++) {
            double size = fabs((double)l->x[r * WIDTH + j] - mean);
            most = fmax(most, size);
            sizes += size / DRAWN;
        }
        for (size_t i = 0; i < OUTPUTS; i++) weight = fmax(weight, fabs((double)weight_at(l->w, j, i)));
        s[j] = smooth ? pow(fmax(most, 1e-5), power) / pow(weight, 1 - power) : pow(fmax(sizes, 1e-5), power);
        s[j] = fmax(s[j], 1e-4);
        least = fmin(least, s[j]);
        largest = fmax(largest, s[j]);
        move->add[j] = (float)-mean;
    }
    for (size_t j = 0; j < WIDTH; j++) {
        move->factor[j] = (float)(sqrt(least * largest) / s[j]);
        move->add[j] *= move->factor[j];
    }
}

/* The move that is chosen is one of the formula's, and the best of its grid. */
static void check_choice(rt_scaling scaling, int bits) {
    rt_kernels kernels;
    double loss[2], best = INFINITY;
    rt_channel_scale found, trial = {calloc(WIDTH, sizeof(float)), calloc(WIDTH, sizeof(float))};
    layer *l = make_layer();
    rt_kernels_select(&kernels, 0);
    rt_scale_search search = {.scaling = scaling, .bits = bits, .group = 32, .kernels = &kernels};
    assert_int_equal(rt_scale_choose(&search, &l->linear, &l->drawn, &found, loss, NULL), RETORT_OK);
    assert_true(found.factor != NULL && loss[1] < loss[0]);
    for (size_t j = 0; j < WIDTH; j++) trial.factor[j] = 1;
    double plain = loss_of_move(l, &trial, bits), mine = loss_of_move(l, &found, bits), nearest = INFINITY;
    assert_true(fabs(plain - loss[0]) < 0.01 * plain && fabs(mine - loss[1]) < 0.01 * mine);
    for (int i = 0; i < 20; i += scaling == RT_SCALE_SMOOTH ? 2 : 1) {
        double far = 0;
        restate(l, scaling == RT_SCALE_SMOOTH, i / 20.0, &trial);
        for (size_t j = 0; j < WIDTH; j++) {
            far = fmax(far, fabs((double)trial.factor[j] / (double)found.factor[j] - 1));
            far = fmax(far, fabs((double)trial.add[j] - (double)found.add[j]));
        }
        nearest = fmin(nearest, far);
        best = fmin(best, loss_of_move(l, &trial, bits));
    }
    print_message("# %d bits: %g, moved %g, best of the grid %g, off %g\n", bits, plain, mine, best, nearest);
    assert_true(nearest < 1e-3 && mine < best * 1.01);
    rt_channel_scale_free(&found);
    rt_channel_scale_free(&trial);
    free_layer(l);
}

static void test_choices(void **unused) {
    (void)unused;
    check_choice(RT_SCALE_SMOOTH, 8);
    check_choice(RT_SCALE_AWQ, 8);
    check_choice(RT_SCALE_AWQ, 4);
}

/* More rows than are kept: each is as likely to be. */
static void test_drawing(void **unused) {
    (void)unused;
    enum { SEEN = 20 * RT_SAMPLE_ROWS };
    rt_row_sample d;
    size_t halves = 0;
    float bad = INFINITY;
    assert_int_equal(rt_row_sample_begin(&d, 1, NULL), RETORT_OK);
    for (size_t i = 0; i < SEEN; i++) {
        float x = (float)i;
        assert_true(rt_row_sample_add(&d, 1, &x, 0, NULL));
    }
    assert_true(d.count == RT_SAMPLE_ROWS && d.seen == SEEN && d.min[0] == 0 && d.max[0] == SEEN - 1);
    for (size_t i = 0; i < d.count; i++) halves += d.x[i] < SEEN / 2;
    assert_true(halves > RT_SAMPLE_ROWS * 2 / 5 && halves < RT_SAMPLE_ROWS * 3 / 5);
    assert_false(rt_row_sample_add(&d, 1, &bad, 0, NULL));
    rt_row_sample_free(&d);
}

/* ---- Pieces that no text gives ---- */

enum { GAP = 70, GAPS = 20 };

/* The golden checkpoint with another vocabulary: pieces 70…89 are "[unused0]"…, and 20 is one for itself. */
static retort_model *model_with_unused(void) {
    char path[128], source[4096];
    const char *root = getenv("RETORT_ROOT");
    retort_model *plain = golden("distilbert-wide", 3, RETORT_F32), *model = NULL;
    snprintf(path, sizeof path, "%s/vocab.txt", folder);
    snprintf(source, sizeof source, "%s/test/golden/checkpoints/distilbert-wide", root != NULL ? root : ".");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    int32_t pieces = rt_tokenizer_describe(plain->tokenizer).pieces;
    for (int32_t i = 0; i < pieces; i++) {
        if (i == 20 || (i >= GAP && i < GAP + GAPS))
            fprintf(file, "[unused%d]\n", i);
        else
            fprintf(file, "%s\n", rt_tokenizer_piece(plain->tokenizer, i));
    }
    fclose(file);
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    retort_error err = {0};
    options.tokenizer = path;
    if (retort_model_import(&model, source, &options, &err) != RETORT_OK) fail_msg("%s", err.text);
    unlink(path);
    retort_model_free(plain);
    return model;
}

/* Logits of one sequence. */
static float *run_ids(retort_model *model, const int32_t *ids, int32_t count, size_t *columns) {
    retort_session *session = NULL;
    retort_matrix out;
    int32_t offsets[] = {0, count};
    retort_batch batch = {.ids = ids, .offsets = offsets, .n = 1};
    assert_int_equal(retort_session_open(&session, model, NULL, NULL), RETORT_OK);
    assert_int_equal(retort_run(session, &batch, &out, NULL), RETORT_OK);
    float *copy = malloc(out.columns * sizeof *copy);
    assert_true(copy != NULL && out.rows == 1);
    memcpy(copy, out.data, out.columns * sizeof *copy);
    *columns = out.columns;
    retort_session_close(session);
    return copy;
}

static void test_unused(void **unused) {
    (void)unused;
    static const char *const recipes[] = {"int8", "int4"};
    static const int32_t ids[] = {2, 5, 20, 69, 90, 94, 99, 0, 3}, before[] = {2, 69, 3},
                         within[] = {2, 70, 3}, last[] = {2, 89, 3};
    retort_model *model = model_with_unused(), *golden_one = golden("distilbert-wide", 3, RETORT_F32);
    for (size_t r = 0; r < 2; r++) {
        retort_model *whole = quantized(golden_one, recipes[r], 0, 32),
                     *less = quantized(model, recipes[r], 0, 32);
        const rt_graph *graph = &less->graph;
        size_t n, same;
        int word = rt_value_find(graph, "embeddings.word");
        assert_true(word >= 0 && graph->values[word].dims[0] == 100 - GAPS);
        float *a = run_ids(whole, ids, 9, &n), *b = run_ids(less, ids, 9, &same);
        assert_int_equal(n, same);
        assert_memory_equal(a, b, n * sizeof *a);
        float *c = run_ids(less, before, 3, &n), *d = run_ids(less, within, 3, &n),
              *e = run_ids(less, last, 3, &n);
        assert_memory_equal(c, d, n * sizeof *c);
        assert_memory_equal(c, e, n * sizeof *c);
        retort_model *floats = dequantized(less),
                     *whole_floats = dequantized(whole); /* with rows for all ids */
        assert_int_equal(floats->graph.values[rt_value_find(&floats->graph, "embeddings.word")].dims[0], 100);
        float *f = run_ids(floats, ids, 9, &n), *g = run_ids(whole_floats, ids, 9, &n);
        float *h = run_ids(floats, before, 3, &n), *l = run_ids(floats, last, 3, &n);
        assert_memory_equal(f, g, n * sizeof *f);
        assert_memory_equal(h, l, n * sizeof *h);
        check_bits(less, recipes[r]);
        check_round_trip(less);
        check_spoilt("embeddings.gaps i32 rows [1, 2]", "embeddings.gaps i32 rows [2, 1]",
                     "gaps are not i32");
        float *all[] = {a, b, c, d, e, f, g, h, l};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
        retort_model_free(floats);
        retort_model_free(whole_floats);
        retort_model_free(whole);
        retort_model_free(less);
    }
    retort_model_free(golden_one);
    retort_model_free(model);
}

/* A piece of that name which a model has come to use is an added token: it keeps its row. */
static void test_used_after_all(void **unused) {
    (void)unused;
    static const char config[] =
        "{\"added_tokens_decoder\": {\"24\": {\"content\": \"[unused20]\", \"special\": false}}}";
    char vocab[1024] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n";
    size_t size = strlen(vocab);
    for (int i = 0; i < 40; i++)
        size += (size_t)snprintf(vocab + size, sizeof vocab - size, "[unused%d]\n", i);
    for (int added = 0; added < 2; added++) {
        static const int32_t pruned[][4] = {{4, 40}, {4, 20, 25, 19}};
        rt_tokenizer *tokenizer = NULL;
        rt_pruned_ids found;
        assert_int_equal(rt_tokenizer_from_vocab(&tokenizer, "unused", vocab, size, added ? config : NULL,
                                                 added ? sizeof config - 1 : 0, NULL),
                         RETORT_OK);
        assert_int_equal(rt_pruned_ids_find(&found, tokenizer, NULL), RETORT_OK);
        assert_int_equal(found.count, added + 1);
        assert_memory_equal(found.pruned, pruned[added], found.count * 2 * sizeof *found.pruned);
        rt_tokenizer_free(tokenizer);
    }
}

static void test_spoilt_gaps(void **unused) {
    (void)unused;
    static const int32_t bad[][2] = {
        {0, 20}, {-1, 20}, {70, 0}, {70, -1}, {90, 20}, {70, 19}, {INT32_MAX, INT32_MAX}};
    retort_model *model = model_with_unused(), *less = quantized(model, "int8", 0, 0), *loaded = NULL;
    retort_error err = {0};
    int32_t *pruned =
        (int32_t *)(uintptr_t)less->graph.values[rt_value_find(&less->graph, "embeddings.gaps")].data;
    assert_true(pruned[0] == GAP && pruned[1] == GAPS);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        memcpy(pruned, bad[i], sizeof bad[i]);
        assert_int_equal(retort_model_save(less, saved, &err), RETORT_OK);
        assert_int_equal(retort_model_load(&loaded, saved, &err), RETORT_FORMAT);
        bool rows = strstr(err.text, "fewer rows") != NULL;
        assert_true(rows || strstr(err.text, "not ascending ranges of ids") != NULL);
    }
    retort_model_free(less);
    retort_model_free(model);
}

/* Rows of the word table that keep 8 bits: what a file says of them is checked. */
static void test_s8_rows(void **unused) {
    (void)unused;
    static const int32_t bad[][4] = {
        {-1, 1, 2, 3}, {0, 0, 1, 2}, {3, 2, 4, 5}, {0, 1, 2, 100}, {0, 1, 2, INT32_MAX}};
    retort_model *model = golden("distilbert-wide", 3, RETORT_F32), *integer = learned(model, "ptq+owq", 0);
    retort_model *loaded = NULL;
    const rt_graph *graph = &integer->graph;
    int rows = rt_value_find(graph, "embeddings.kept_rows"), word = rt_value_find(graph, "embeddings.word");
    retort_error err = {0};
    assert_true(rows >= 0 && graph->values[rows].dims[0] == 4 && graph->values[word].dims[0] == 96);
    check_round_trip(integer);
    check_spoilt("embeddings.kept i32 rows [4, 1]", "embeddings.kept i32 rows [1, 4]", "s8 rows are not ids");
    check_spoilt("embeddings.kept_rows s8 rows [4, 48]", "embeddings.kept_rows s8 rows [3, 48]",
                 "s8 rows are not ids");
    int32_t *ids = (int32_t *)(uintptr_t)graph->values[rt_value_find(graph, "embeddings.kept")].data;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        memcpy(ids, bad[i], sizeof bad[i]);
        assert_int_equal(retort_model_save(integer, saved, &err), RETORT_OK);
        assert_int_equal(retort_model_load(&loaded, saved, &err), RETORT_FORMAT);
        assert_non_null(strstr(err.text, "s8 rows are not of ascending ids with rows"));
    }
    retort_model_free(integer);
    retort_model_free(model);
}

static void test_frequent(void **unused) {
    (void)unused;
    static const int32_t ids[] = {7, 3, 3, 5, 7, 9, 3, 2, 11};
    rt_frequent found;
    assert_int_equal(rt_frequent_find(&found, ids, 9, 10, 3, NULL), RETORT_OK);
    assert_int_equal(found.count, 3); /* 3 three times, 7 twice, and 2 of those once */
    assert_true(found.ids[0] == 2 && found.ids[1] == 3 && found.ids[2] == 7);
    rt_frequent_free(&found);
    assert_int_equal(rt_frequent_find(&found, ids, 9, 10, 10, NULL), RETORT_OK);
    assert_int_equal(found.count, 5); /* 11 is beyond, and the rest occur nowhere */
    rt_frequent_free(&found);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),      cmocka_unit_test(test_ranges_of_nothing),
        cmocka_unit_test(test_choices),     cmocka_unit_test(test_drawing),
        cmocka_unit_test(test_unused),      cmocka_unit_test(test_used_after_all),
        cmocka_unit_test(test_spoilt_gaps), cmocka_unit_test(test_s8_rows),
        cmocka_unit_test(test_frequent),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
