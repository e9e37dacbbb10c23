/* SPDX-License-Identifier: Apache-2.0
 * Rounding against a restatement of it, and quantised models: near the float ones, the same bits on every
 * tier and thread count, through files. $RETORT_SHARED/models/sst2 gives figures on real weights. */
#include "base/map.h"
#include "kernel/integers.h"
#include "quant/panel.h"
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

/* ---- Rounding ---- */

enum { K = 200, GROUP = 64, GROUPS = 4 };

typedef struct panel {
    float w[K * RT_PANEL], reals[GROUPS * RT_PANEL];
    int8_t codes[K * RT_PANEL];
    uint8_t groups[GROUPS * RT_PANEL];
    rt_rounded out;
} panel;

/* Columns of all sizes; column 3 is zero, 4 has one outlier, group 1 of column 5 is zero. */
static panel *make_panel(void) {
    panel *p = calloc(1, sizeof *p);
    assert_non_null(p);
    for (size_t i = 0; i < K; i++) {
        for (size_t c = 0; c < RT_PANEL; c++) p->w[i * RT_PANEL + c] = ldexpf(random_float(), (int)c - 8);
        p->w[i * RT_PANEL + 3] = 0;
        if (i / GROUP == 1) p->w[i * RT_PANEL + 5] = 0;
    }
    p->w[17 * RT_PANEL + 4] = 1.5F;
    p->out.codes = p->codes;
    p->out.groups = p->groups;
    return p;
}

/* What is stored with a width: codes from low to high, with 2 bits only the odd ones; group scales. */
static const struct width {
    float low, high;
    int scales, tries;
} widths[] = {[2] = {-3, 3, 42, 49}, [3] = {-4, 3, 15, 33}, [4] = {-8, 7, 15, 33}, [8] = {-127, 127, 0, 48}};

static float code_of(float w, float scale, int bits) {
    float q = scale > 0 ? w * (1 / scale) : 0;
    if (bits == 2) return fminf(fmaxf(2 * rintf((q - 1) / 2) + 1, -3), 3);
    return fminf(fmaxf(rintf(q), widths[bits].low), widths[bits].high);
}

static float error_of(const panel *p, size_t c, size_t from, size_t to, float scale, int bits) {
    float sum = 0;
    for (size_t i = from; i < to; i++) {
        float w = p->w[i * RT_PANEL + c], lost = w - code_of(w, scale, bits) * scale;
        sum += lost * lost;
    }
    return sum;
}

/* To 8 significant bits, halves to even. */
static float to_bf16(float x) {
    int exponent;
    float fraction = frexpf(x, &exponent);
    return ldexpf(rintf(fraction * 256), exponent - 8);
}

/* The best clip of one column's rows. */
static float best_scale(const panel *p, size_t c, size_t from, size_t to, float steps, int bits) {
    float most = 0, best = 0, least = INFINITY;
    for (size_t i = from; i < to; i++) most = fmaxf(most, fabsf(p->w[i * RT_PANEL + c]));
    for (int t = 0; t < widths[bits].tries; t++) {
        float scale = to_bf16(most * (1 - (float)t / steps) / widths[bits].high);
        float error = error_of(p, c, from, to, scale, bits);
        if (error < least) {
            least = error;
            best = scale;
        }
    }
    return best;
}

static void test_eight_bits(void **unused) {
    (void)unused;
    panel *p = make_panel();
    assert_true(rt_round_s8(K, p->w, &p->out));
    for (size_t c = 0; c < RT_PANEL; c++) {
        float scale = best_scale(p, c, 0, K, 96, 8);
        assert_true(p->out.scale[c] == scale);
        for (size_t i = 0; i < K; i++) {
            assert_true((float)p->codes[i * RT_PANEL + c] == code_of(p->w[i * RT_PANEL + c], scale, 8));
        }
    }
    assert_true(p->out.scale[3] == 0 && p->out.scale[0] > 0);
    free(p);
}

static float integer_scale(float real, float scale, int bits) {
    return scale > 0 ? fminf(fmaxf(rintf(real / scale), 1), (float)widths[bits].scales) : 1;
}

static float grouped_error(const panel *p, size_t c, const float *reals, float scale, int bits) {
    float sum = 0;
    for (size_t g = 0; g < GROUPS; g++) {
        float effective = integer_scale(reals[g], scale, bits) * scale;
        sum += error_of(p, c, g * GROUP, g * GROUP + GROUP < K ? g * GROUP + GROUP : K, effective, bits);
    }
    return sum;
}

static void check_column(const panel *p, size_t c, int bits) {
    float reals[GROUPS], most = 0, scale = 0, least = INFINITY, scales = (float)widths[bits].scales;
    for (size_t g = 0; g < GROUPS; g++) {
        size_t end = g * GROUP + GROUP < K ? g * GROUP + GROUP : K;
        reals[g] = best_scale(p, c, g * GROUP, end, 64, bits);
        most = fmaxf(most, reals[g]);
    }
    for (int t = 0; t < 24; t++) {
        float candidate = to_bf16(most / (scales + 0.25F - scales / 60 * (float)t));
        float error = grouped_error(p, c, reals, candidate, bits);
        if (error >= least) continue;
        least = error;
        scale = candidate;
    }
    assert_true(p->out.scale[c] == scale);
    for (size_t i = 0; i < K; i++) {
        int code = p->codes[i * RT_PANEL + c], group = p->groups[i / GROUP * RT_PANEL + c];
        float effective = integer_scale(reals[i / GROUP], scale, bits) * scale;
        assert_true((float)group == integer_scale(reals[i / GROUP], scale, bits));
        assert_true((float)code == code_of(p->w[i * RT_PANEL + c], effective, bits));
        assert_true(abs(code * group) <= 127);
    }
}

static void test_four_and_fewer_bits(void **unused) {
    (void)unused;
    for (int bits = 2; bits <= 4; bits++) {
        panel *p = make_panel();
        p->out.grid = rt_grid_of(bits);
        assert_true(rt_round_grouped(K, GROUP, p->w, p->reals, &p->out));
        for (size_t c = 0; c < RT_PANEL; c++) check_column(p, c, bits);
        free(p);
    }
}

/* A line of golden/two_bits.txt: the scale of column c, the scales of its groups, its levels. */
static void check_golden(const panel *p, size_t k, size_t c, char *line) {
    assert_true(p->out.scale[c] == strtof(line, &line));
    for (size_t g = 0; g < (k + GROUP - 1) / GROUP; g++)
        assert_int_equal(p->groups[g * RT_PANEL + c], strtol(line, &line, 10));
    assert_int_equal(*line, ' ');
    for (size_t i = 0; i < k; i++) assert_int_equal(p->codes[i * RT_PANEL + c], 2 * (line[1 + i] - '0') - 3);
    assert_int_equal(line[1 + k], '\0');
}

/* Against numpy. */
static void test_two_bits_as_numpy_rounds(void **unused) {
    (void)unused;
    enum { ROWS = 160 };
    char path[4096];
    const char *root = getenv("RETORT_ROOT");
    retort_error err = {0};
    rt_map map;
    snprintf(path, sizeof path, "%s/test/golden/two_bits.txt", root != NULL ? root : ".");
    if (rt_map_open(&map, path, &err) != RETORT_OK) fail_msg("%s", err.text);
    char *text = calloc(map.size + 1, 1), *rest = text;
    assert_non_null(text);
    memcpy(text, map.data, map.size);
    rt_map_close(&map);
    state = 2;
    panel *p = make_panel();
    p->out.grid = rt_grid_of(2);
    assert_true(rt_round_grouped(ROWS, GROUP, p->w, p->reals, &p->out));
    for (size_t c = 0; c < RT_PANEL; c++) check_golden(p, ROWS, c, strsep(&rest, "\n"));
    free(p);
    free(text);
}

static void test_weights_that_are_no_numbers(void **unused) {
    (void)unused;
    static const float bad[] = {NAN, INFINITY, -INFINITY, 3e38F};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        panel *p = make_panel();
        p->out.grid = rt_grid_of(4);
        p->w[7 * RT_PANEL + 2] = bad[i];
        assert_false(rt_round_s8(K, p->w, &p->out) && isfinite(bad[i]) == 0);
        assert_false(rt_round_grouped(K, GROUP, p->w, p->reals, &p->out) && isfinite(bad[i]) == 0);
        free(p);
    }
}

/* ---- Models ---- */

/* ||a - b|| / ||b|| */
static double distance(const float *a, const float *b, size_t count) {
    double lost = 0, all = 0;
    for (size_t i = 0; i < count; i++) {
        lost += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        all += (double)b[i] * (double)b[i];
    }
    return sqrt(lost / all);
}

static const char *const names[] = {
    "distilbert-classify",
    "distilbert-tag",
    "distilbert-answer",
    "distilbert-fill",
    "distilbert-embed",
    "bert-classify",
    "bert-tag",
    "distilbert-regression",
    "bert-fill",
    "package-mean",
    "package-dense",
    "bert-wide",
    "package-old-dense",
    "electra-classify",
    "electra-tag",
    "electra-fill",
    "electra-embed",
    "roberta-classify",
    "roberta-answer",
    "roberta-fill",
    "roberta-embed",
    "roberta-bytes-classify",
    "roberta-bytes-tag",
    "roberta-bytes-answer",
    "package-stack",
    "package-last",
    "package-sqrt",
    "package-weighted",
    "splade-max",
    "roberta-pads",
    "albert-classify",
    "albert-fill",
    "mpnet-classify",
    "mpnet-tag",
    "mpnet-embed",
    "deberta-classify",
    "deberta-tag",
    "deberta-fill",
    "modernbert-classify",
    "modernbert-tag",
    "nomic-classify",
    "gte-tag",
    "eurobert-mean",
    /* Sixteenths of the largest weight are a tenth of these rows, which nothing else is added to: PyTorch with matrices and words
     * rounded to 4 bits is 0.15 to 0.33 off. */
    "eurobert-bos",
    "eurobert-tag",
};
enum { NAMES = sizeof names / sizeof *names, ONLY_8_BITS = 2 };

/* Random weights of 16 to 48 columns. What was measured is at most 0.021 with 8 bits and 0.132 with 4; on
 * trained weights see below. */
static const struct {
    const char *recipe;
    int embeddings;
    double bound;
} recipes[] = {{"int8", 0, 0.03}, {"int8", 4, 0.15}, {"int4", 0, 0.2}, {"int4", 8, 0.15}};
enum { RECIPES = sizeof recipes / sizeof *recipes };

static size_t recipes_of(size_t name) {
    return name + ONLY_8_BITS < NAMES ? RECIPES : 1;
}

static void test_near_the_float_model(void **unused) {
    (void)unused;
    for (size_t i = 0; i < NAMES; i++) {
        size_t count, same;
        retort_model *model = golden(names[i], 3, RETORT_F32);
        float *wanted = run(model, NULL, 1, &count);
        for (size_t r = 0; r < recipes_of(i); r++) {
            retort_model *integer = quantized(model, recipes[r].recipe, recipes[r].embeddings, 32);
            float *found = run(integer, NULL, 1, &same);
            assert_int_equal(count, same);
            double d = distance(found, wanted, count);
            print_message("# %s %s %d: %.4f\n", names[i], recipes[r].recipe, recipes[r].embeddings, d);
            if (!(d < recipes[r].bound) || d == 0)
                fail_msg("%s: %s: distance %g", names[i], recipes[r].recipe, d);
            free(found);
            retort_model_free(integer);
        }
        free(wanted);
        retort_model_free(model);
    }
}

static void test_same_bits_everywhere(void **unused) {
    (void)unused;
    for (size_t i = 0; i < NAMES; i++) {
        retort_model *model = golden(names[i], 3, RETORT_F32);
        for (size_t r = 0; r < recipes_of(i); r++) {
            retort_model *integer = quantized(model, recipes[r].recipe, recipes[r].embeddings, 32);
            check_bits(integer, names[i]);
            retort_model_free(integer);
        }
        retort_model_free(model);
    }
}

static void test_files(void **unused) {
    (void)unused;
    for (size_t i = 0; i < NAMES; i++) {
        retort_model *model = golden(names[i], 3, RETORT_F32);
        for (size_t r = 0; r < RECIPES; r++) {
            retort_model *integer = quantized(model, recipes[r].recipe, recipes[r].embeddings, 64);
            check_round_trip(integer);
            retort_model_free(integer);
        }
        retort_model_free(model);
    }
}

/* What info says of the parts: as many parameters as before, in fewer bytes. */
static void test_info(void **unused) {
    (void)unused;
    retort_model *model = golden("distilbert-wide", 3, RETORT_F32), *integer = quantized(model, "int4", 8, 0);
    retort_info before = {.size = sizeof before}, after = {.size = sizeof after};
    retort_tensor_info tensor = {.size = sizeof tensor};
    uint64_t parameters = 0;
    assert_int_equal(retort_model_info(model, &before), RETORT_OK);
    retort_model_free(model); /* the integer model keeps what it borrows */
    assert_int_equal(retort_model_info(integer, &after), RETORT_OK);
    assert_int_equal(before.parameters, after.parameters);
    assert_string_equal(after.recipe, "int4 group=64 embeddings=8");
    assert_string_equal(before.dtype, "float32");
    assert_string_equal(after.dtype, "int4");
    for (size_t i = 0; retort_model_tensor(integer, i, &tensor) == RETORT_OK; i++) {
        parameters += tensor.parameters;
        if (strcmp(tensor.name, "layer.0.ffn.lin1.weight") == 0) {
            assert_string_equal(tensor.layout, "p16_s4");
            assert_string_equal(tensor.part, "matrices");
            assert_int_equal(tensor.bytes, 48 * 96 / 2);
        }
        if (strcmp(tensor.name, "embeddings.scale") == 0) assert_int_equal(tensor.parameters, 0);
    }
    assert_int_equal(parameters, after.parameters);
    retort_model_free(integer);
}

/* ---- Options and refusals ---- */

static void test_keep(void **unused) {
    (void)unused;
    static const char *const keep[] = {"layer.0", "head.output"};
    retort_model *model = golden("distilbert-classify", 3, RETORT_F32), *integer = NULL;
    retort_quantize_options options = RETORT_QUANTIZE_OPTIONS;
    retort_error err = {0};
    retort_tensor_info tensor = {.size = sizeof tensor};
    options.keep = keep;
    options.keep_count = 2;
    assert_int_equal(retort_model_quantize(&integer, model, &options, &err), RETORT_OK);
    assert_string_equal(integer->provenance.text, "int8 embeddings=8 keep=layer.0,head.output");
    for (size_t i = 0; retort_model_tensor(integer, i, &tensor) == RETORT_OK; i++) {
        bool kept = strncmp(tensor.name, "layer.0.", 8) == 0 || strncmp(tensor.name, "head.output", 11) == 0;
        bool weight = strstr(tensor.name, ".weight") != NULL || strcmp(tensor.name, "embeddings.word") == 0;
        if (weight) assert_int_equal(tensor.dtype, kept ? RETORT_F32 : RETORT_S8);
    }
    check_round_trip(integer);
    retort_model_free(integer);
    retort_model_free(model);
}

/* int8 with 4 bits is int4 with a table of 8. */
static void test_bits(void **unused) {
    (void)unused;
    retort_model *model = golden("distilbert-wide", 3, RETORT_F32), *integer = NULL;
    retort_model *four = quantized(model, "int4", 8, 0);
    retort_quantize_options options = RETORT_QUANTIZE_OPTIONS;
    retort_tensor_info a = {.size = sizeof a}, b = a;
    options.bits = 4;
    assert_int_equal(retort_model_quantize(&integer, model, &options, NULL), RETORT_OK);
    assert_string_equal(integer->provenance.text, "int8 bits=4 group=64 embeddings=8");
    for (size_t i = 0; retort_model_tensor(four, i, &b) == RETORT_OK; i++) {
        assert_int_equal(retort_model_tensor(integer, i, &a), RETORT_OK);
        assert_string_equal(a.name, b.name);
        assert_string_equal(a.layout, b.layout);
    }
    retort_model_free(four);
    retort_model_free(integer);
    retort_model_free(model);
}

/* ---- 3 bits ---- */

static bool find_tensor(const retort_model *model, const char *name, retort_tensor_info *out) {
    for (size_t i = 0; retort_model_tensor(model, i, out) == RETORT_OK; i++) {
        if (strcmp(out->name, name) == 0) return true;
    }
    return false;
}

/* In memory they are codes of 4 bits, of which half are used; in the file, three quarters of their bytes. */
static void test_three_bits(void **unused) {
    (void)unused;
    retort_model *model = golden("distilbert-wide", 3, RETORT_F32), *three = few_bits(model, 3);
    retort_model *four = quantized(model, "int4", 0, 32);
    retort_tensor_info matrix = {.size = sizeof matrix}, table = matrix, wide = matrix;
    size_t count, same;
    assert_string_equal(three->provenance.text, "int4 bits=3 group=32 embeddings=3");
    const rt_value *codes = &three->graph.values[rt_value_find(&three->graph, "layer.0.ffn.lin1.weight")];
    assert_true(codes->layout == RT_LAYOUT_P16_S4);
    for (size_t i = 0; i < 48; i++) {
        for (size_t j = 0; j < 96; j++) assert_true(abs(2 * rt_panel_code(codes->data, 48, i, j) + 1) <= 7);
    }
    assert_true(find_tensor(three, "layer.0.ffn.lin1.weight", &matrix) &&
                find_tensor(three, "embeddings.word", &table));
    assert_true(find_tensor(four, "embeddings.word", &wide));
    assert_string_equal(matrix.layout, "p16_s3");
    assert_int_equal(matrix.bytes, 48 * 96 / 8 * 3);
    assert_string_equal(table.layout, "rows_s3");
    assert_true(table.bytes < wide.bytes * 77 / 100);
    float *wanted = run(model, NULL, 1, &count), *found = run(three, NULL, 1, &same),
          *nearer = run(four, NULL, 1, &same);
    double d = distance(found, wanted, count);
    print_message("# 3 bits %.4f, 4 bits %.4f\n", d, distance(nearer, wanted, count));
    assert_true(d < 0.3 && d > distance(nearer, wanted, count));
    check_bits(three, "3 bits");
    check_round_trip(three);
    free(wanted);
    free(found);
    free(nearer);
    retort_model_free(four);
    retort_model_free(three);
    retort_model_free(model);
}

/* Matrices have no code 0 but in their padding; half of the bytes of 4 bits in the file. */
static void test_two_bits(void **unused) {
    (void)unused;
    retort_model *model = golden("distilbert-wide", 3, RETORT_F32), *two = few_bits(model, 2);
    retort_model *four = quantized(model, "int4", 0, 32);
    retort_tensor_info matrix = {.size = sizeof matrix}, table = matrix;
    retort_info info = {.size = sizeof info};
    size_t count, same;
    assert_string_equal(two->provenance.text, "int4 bits=2 group=32 embeddings=2");
    assert_int_equal(retort_model_info(two, &info), RETORT_OK);
    assert_string_equal(info.dtype, "int2");
    const rt_value *codes = &two->graph.values[rt_value_find(&two->graph, "layer.0.ffn.lin1.weight")];
    const rt_value *groups = &two->graph.values[rt_value_find(&two->graph, "layer.0.ffn.lin1.groups")];
    int most = 0;
    for (size_t i = 0; i < 48; i++) {
        for (size_t j = 0; j < 96; j++) {
            int code = abs(rt_panel_code(codes->data, 48, i, j));
            int scale = ((const uint8_t *)groups->data)[rt_panel_group(48, 32, i, j)];
            assert_true((code == 1 || code == 3) && code * scale <= 127);
            most = scale > most ? scale : most;
        }
    }
    assert_true(most > 40); /* the range of int8 is used */
    assert_true(find_tensor(two, "layer.0.ffn.lin1.weight", &matrix) &&
                find_tensor(two, "embeddings.word", &table));
    assert_string_equal(matrix.layout, "p16_s2");
    assert_int_equal(matrix.bytes, 48 * 96 / 4);
    assert_string_equal(table.layout, "rows_s2");
    float *wanted = run(model, NULL, 1, &count), *found = run(two, NULL, 1, &same),
          *nearer = run(four, NULL, 1, &same);
    double d = distance(found, wanted, count);
    print_message("# 2 bits %.4f, 4 bits %.4f\n", d, distance(nearer, wanted, count));
    assert_true(d < 0.6 && d > distance(nearer, wanted, count));
    check_bits(two, "2 bits");
    check_round_trip(two);
    free(wanted);
    free(found);
    free(nearer);
    retort_model_free(four);
    retort_model_free(two);
    retort_model_free(model);
}

static void test_spoilt_two_bits(void **unused) {
    (void)unused;
    retort_error err = {0};
    retort_model *model = golden("distilbert-wide", 3, RETORT_F32), *two = few_bits(model, 2);
    if (retort_model_save(two, saved, &err) != RETORT_OK) fail_msg("%s", err.text);
    check_spoilt("ffn.lin1.weight u8 p16_s4 [48, 96]", "ffn.lin1.weight u8 p16_s4 [48, 80]", "ffn.lin1");
    check_spoilt("ffn.lin1.weight u8 p16_s4 [48, 96]", "ffn.lin1.weight u8 p16_s4 [40, 96]", "ffn.lin1");
    check_spoilt("ffn.lin1.weight u8 p16_s4 [48, 96]", "ffn.lin1.weight u8 p16_s4 [99, 96]", "smaller");
    check_spoilt("word u8 rows_s4 [100, 48]", "word u8 rows_s4 [999, 48]", "smaller");
    check_spoilt("\"dtype\":\"U8\",\"shape\":[1152]", "\"dtype\":\"I8\",\"shape\":[1152]",
                 "lin1.weight is smaller, or not u8");
    check_spoilt("\"dtype\":\"U8\",\"shape\":[1152]", "\"dtype\":\"U8\",\"shape\":[1088]", "1088");
    retort_model_free(two);
    retort_model_free(model);
}

/* A stored tensor of another size, or one that is no longer one of 3 bits, is refused by name. */
static void test_spoilt_three_bits(void **unused) {
    (void)unused;
    retort_error err = {0};
    retort_model *model = golden("distilbert-wide", 3, RETORT_F32), *three = few_bits(model, 3);
    if (retort_model_save(three, saved, &err) != RETORT_OK) fail_msg("%s", err.text);
    check_spoilt("ffn.lin1.weight u8 p16_s4 [48, 96]", "ffn.lin1.weight u8 p16_s4 [48, 80]", "ffn.lin1");
    check_spoilt("ffn.lin1.weight u8 p16_s4 [48, 96]", "ffn.lin1.weight u8 p16_s4 [40, 96]", "ffn.lin1");
    check_spoilt("ffn.lin1.weight u8 p16_s4 [48, 96]", "ffn.lin1.weight u8 p16_s4 [99, 96]", "smaller");
    check_spoilt("ffn.lin1.weight u8 p16_s4 [48, 96]", "ffn.lin1.weight u8 rows [1728]    ", "ffn.lin1");
    check_spoilt("word u8 rows_s4 [100, 48]", "word u8 rows_s4 [ 99, 48]", "the word table");
    check_spoilt("word u8 rows_s4 [100, 48]", "word u8 rows_s4 [999, 48]", "smaller");
    check_spoilt("\"dtype\":\"U8\",\"shape\":[1728]", "\"dtype\":\"I8\",\"shape\":[1728]",
                 "lin1.weight is smaller, or not u8");
    check_spoilt("\"dtype\":\"U8\",\"shape\":[1728]", "\"dtype\":\"U8\",\"shape\":[1664]", "1664");
    retort_model_free(three);
    retort_model_free(model);
}

static void refuse(const retort_model *model, const retort_quantize_options *options, retort_status wanted,
                   const char *words) {
    retort_model *integer = NULL;
    retort_error err = {0};
    retort_status status = retort_model_quantize(&integer, model, options, &err);
    if (status != wanted || err.status != wanted || strstr(err.text, words) == NULL || integer != NULL) {
        fail_msg("expected %d '%s', found %d '%s'", wanted, words, status, err.text);
    }
}

static int cancel_third(void *user, const char *what, size_t done, size_t total) {
    assert_true(done < total && *what != '\0');
    return ++*(int *)user == 3;
}

static void test_refusals(void **unused) {
    (void)unused;
    static const char *const unknown[] = {"layer.0", "layer.7"};
    retort_model *model = golden("bert-tag", 3, RETORT_F32), *plain = golden("bert-tag", 2, RETORT_F32);
    retort_model *narrow = golden("bert-wide", 3, RETORT_BF16), *integer = quantized(model, "int8", 0, 0);
    retort_quantize_options options = RETORT_QUANTIZE_OPTIONS;
    int calls = 0;
    refuse(plain, &options, RETORT_ARGUMENT, "of level 2: optimize it to level 3 first");
    refuse(narrow, &options, RETORT_ARGUMENT, "its weight is bf16, expected f32: the model is bf16");
    refuse(integer, &options, RETORT_ARGUMENT,
           "its weight is s8, expected f32: the model is int8 embeddings=8");
    options.recipe = "int2";
    refuse(model, &options, RETORT_ARGUMENT, "no recipe 'int2'; there is int8 int8-static ");
    options = (retort_quantize_options)RETORT_QUANTIZE_OPTIONS;
    options.keep = unknown;
    options.keep_count = 2;
    refuse(model, &options, RETORT_ARGUMENT, "no layer is named 'layer.7'");
    options = (retort_quantize_options)RETORT_QUANTIZE_OPTIONS;
    options.group = 40;
    refuse(model, &options, RETORT_ARGUMENT, "a multiple of 32");
    options = (retort_quantize_options)RETORT_QUANTIZE_OPTIONS;
    options.embeddings = 1;
    refuse(model, &options, RETORT_ARGUMENT, "embeddings must be of 8, 4, 3 or 2 bits");
    options = (retort_quantize_options)RETORT_QUANTIZE_OPTIONS;
    options.bits = 5;
    refuse(model, &options, RETORT_ARGUMENT, "matrices must be of 8, 4, 3 or 2 bits");
    options.bits = 1;
    refuse(model, &options, RETORT_ARGUMENT, "matrices must be of 8, 4, 3 or 2 bits");
    options.bits = 3;
    refuse(model, &options, RETORT_ARGUMENT, "recipe 'int8' makes 8 bits; for 3, use int4, awq,");
    options.bits = 2;
    refuse(model, &options, RETORT_ARGUMENT, "recipe 'int8' makes 8 bits; for 2, use int4, awq,");
    options = (retort_quantize_options)RETORT_QUANTIZE_OPTIONS;
    options.progress = cancel_third;
    options.user = &calls;
    refuse(model, &options, RETORT_CANCELLED, "cancelled at: ");
    assert_int_equal(calls, 3);
    size_t recipe = 0;
    for (const char *help = NULL; retort_recipe(recipe, &help) != NULL; recipe++)
        assert_true(strlen(help) > 9);
    assert_string_equal(retort_recipe(0, NULL), "int8");
    assert_true(recipe >= 4 && retort_recipe(recipe + 1, NULL) == NULL);
    retort_model_free(integer);
    retort_model_free(narrow);
    retort_model_free(plain);
    retort_model_free(model);
}

/* ---- Spoilt files ---- */

static void save_quantized(const char *name, const char *recipe) {
    retort_error err = {0};
    retort_model *model = golden(name, 3, RETORT_F32), *integer = quantized(model, recipe, 0, 32);
    if (retort_model_save(integer, saved, &err) != RETORT_OK) fail_msg("%s", err.text);
    retort_model_free(integer);
    retort_model_free(model);
}

static void test_spoilt_files(void **unused) {
    (void)unused;
    save_quantized("distilbert-wide", "int4");
    check_spoilt("ffn.lin1.scale f32 rows [96]", "ffn.lin1.scale f32 rows [95]",
                 "do not fit an integer weight");
    check_spoilt("ffn.lin1.scale f32 rows [96]", "ffn.lin1.scale i32 rows [96]", "layer.0.ffn.lin1");
    check_spoilt("ffn.lin1.sums i32 rows [96]", "ffn.lin1.sums i32 rows [ 8]",
                 "do not fit an integer weight");
    check_spoilt("ffn.lin1.groups u8 rows [6, 2, 16]", "ffn.lin1.groups u8 rows [6, 2, 15]", "groups of 32");
    check_spoilt("ffn.lin1.groups u8 rows [6, 2, 16]", "ffn.lin1.groups u8 rows [6, 1, 16]", "groups of 32");
    check_spoilt("ffn.lin1.weight u8 p16_s4 [48, 96]", "ffn.lin1.weight u8 p16_s4 [48, 99]", "smaller");
    check_spoilt("ffn.lin1.weight u8 p16_s4 [48, 96]", "ffn.lin1.weight s8 p16_s4 [48, 96]", "s8");
    check_spoilt("ffn.lin1.weight u8 p16_s4 [48, 96]", "ffn.lin1.weight u8 rows [48, 96]  ", "ffn.lin1");
    check_spoilt("act=gelu group=32", "act=gelu group=31", "groups of 31");
    check_spoilt("act=gelu group=32", "act=gelu group=-8", "groups of -8");
    check_spoilt("act=gelu group=32", "act=gelu group=00", "groups of 0");
    check_spoilt("narrow=s8", "narrow=i8", "attribute=value");
    check_spoilt("word u8 rows_s4 [100, 48]", "word u8 rows_s4 [100, 80]", "embeddings");
    check_spoilt("embeddings.scale f32 rows [100]", "embeddings.scale f32 rows [ 99]", "word table");
    check_spoilt("embeddings.groups u8 rows [100, 2]", "embeddings.groups u8 rows [100, 1]", "word table");
    save_quantized("distilbert-classify", "int8");
    check_spoilt("narrow=s8", "narrow=u8", "narrow=u8 is not a dtype it can write");
    check_spoilt("(layer.0.ffn.norm:1", "(layer.0.ffn.norm:0", "expected x as s8");
    check_spoilt("(layer.0.ffn.norm:1", "(embeddings.word   ", "reads int8 rows without their scales");
    check_spoilt("kv.weight s8 p16_s8", "kv.weight s8 p16_s4", "smaller, or not s8");
}

/* ---- Real weights ---- */

static uint64_t file_bytes(retort_model *model) {
    retort_model *loaded = NULL;
    retort_info info = {.size = sizeof info};
    assert_int_equal(retort_model_save(model, saved, NULL), RETORT_OK);
    assert_int_equal(retort_model_load(&loaded, saved, NULL), RETORT_OK);
    retort_model_info(loaded, &info);
    retort_model_free(loaded);
    return info.file_bytes;
}

static void check_sst2(retort_model *model, const char *data_path, const char *recipe, double agreement,
                       double kl, uint64_t bytes) {
    retort_model *integer = quantized(model, recipe, 0, 0);
    retort_session *reference = NULL, *session = NULL;
    retort_dataset *data = NULL;
    retort_eval_options options = RETORT_EVAL_OPTIONS;
    retort_eval_result result = {.size = sizeof result};
    assert_int_equal(retort_session_open(&reference, model, NULL, NULL), RETORT_OK);
    assert_int_equal(retort_session_open(&session, integer, NULL, NULL), RETORT_OK);
    assert_int_equal(retort_dataset_open(&data, data_path, model, NULL, NULL), RETORT_OK);
    options.reference = reference;
    assert_int_equal(retort_eval(session, data, &options, &result, NULL), RETORT_OK);
    uint64_t size = file_bytes(integer);
    print_message("# sst2 %s: accuracy %.4f, agreement %.4f, KL %.2e, %.2f MB\n", recipe, result.value,
                  result.agreement, result.kl, (double)size / 1e6);
    assert_true(result.agreement >= agreement && result.kl <= kl && size <= bytes);
    retort_dataset_free(data);
    retort_session_close(session);
    retort_session_close(reference);
    retort_model_free(integer);
}

/* Measured: agreement 0.9954 and KL 1.03e-3 with 8 bits, half of it from the rounded activations after GELU;
 * 0.9759 and 1.5e-2 with 4. */
static void test_real_weights(void **unused) {
    (void)unused;
    char path[4096], data[4096];
    const char *shared = getenv("RETORT_SHARED");
    snprintf(path, sizeof path, "%s/models/sst2", shared != NULL ? shared : "");
    snprintf(data, sizeof data, "%s/data/sst2/test.tsv", shared != NULL ? shared : "");
    if (shared == NULL || access(path, R_OK) != 0 || access(data, R_OK) != 0) {
        print_message("skipped: $RETORT_SHARED/models/sst2 is not there\n");
        skip();
    }
    if (getenv("RETORT_ISA") !=
        NULL) { /* test_same_bits_everywhere covers the tiers; ref takes minutes here */
        print_message("skipped: real weights are measured on the best tier only\n");
        skip();
    }
    retort_model *model = import(path, 3, RETORT_F32);
    check_sst2(model, data, "int8", 0.994, 1.2e-3, 23100000);
    check_sst2(model, data, "int4", 0.97, 2e-2, 12400000);
    retort_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_eight_bits),
        cmocka_unit_test(test_four_and_fewer_bits),
        cmocka_unit_test(test_two_bits_as_numpy_rounds),
        cmocka_unit_test(test_weights_that_are_no_numbers),
        cmocka_unit_test(test_near_the_float_model),
        cmocka_unit_test(test_same_bits_everywhere),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_keep),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_three_bits),
        cmocka_unit_test(test_spoilt_three_bits),
        cmocka_unit_test(test_two_bits),
        cmocka_unit_test(test_spoilt_two_bits),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_spoilt_files),
        cmocka_unit_test(test_real_weights),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
