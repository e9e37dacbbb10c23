/* SPDX-License-Identifier: Apache-2.0
 * Whole models through the public API: every head and option against the official implementation, every level
 * against level 0, every tier and thread count against each other. */
#include "golden_names.h"
#include "retort.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A batch and the rows that transformers gives for it (of mask tokens only for fill heads); made by
 * tools/make_checkpoints.py. */
typedef struct golden {
    int32_t *ids, *types, *offsets;
    size_t n, rows, columns;
    double *outputs; /* [rows, columns] */
} golden;

static int32_t *flatten(const json_t *lists, int32_t *offsets) {
    size_t total = 0, at = 0, i, j;
    json_t *list, *item;
    json_array_foreach(lists, i, list) total += json_array_size(list);
    int32_t *out = calloc(total + 1, sizeof *out);
    assert_non_null(out);
    json_array_foreach(lists, i, list) {
        offsets[i] = (int32_t)at;
        json_array_foreach(list, j, item) out[at++] = (int32_t)json_integer_value(item);
    }
    offsets[json_array_size(lists)] = (int32_t)at;
    return out;
}

static golden load_golden(const char *name) {
    char path[4096], file[4200];
    checkpoint_path(path, sizeof path, name);
    snprintf(file, sizeof file, "%s/golden.json", path);
    json_error_t error;
    json_t *all = json_load_file(file, 0, &error);
    if (all == NULL) fail_msg("%s: %s", file, error.text);
    const json_t *ids = json_object_get(all, "ids"), *types = json_object_get(all, "types");
    const json_t *outputs = json_object_get(all, "outputs");
    golden g = {.n = json_array_size(ids), .rows = json_array_size(outputs)};
    g.columns = json_array_size(json_array_get(outputs, 0));
    g.offsets = calloc(g.n + 1, sizeof *g.offsets);
    g.outputs = calloc(g.rows * g.columns + 1, sizeof *g.outputs);
    assert_true(g.n > 0 && g.columns > 0 && g.offsets != NULL && g.outputs != NULL);
    g.ids = flatten(ids, g.offsets);
    if (json_array_size(types) == g.n) g.types = flatten(types, g.offsets);
    for (size_t r = 0; r < g.rows; r++) {
        for (size_t c = 0; c < g.columns; c++) {
            g.outputs[r * g.columns + c] = json_number_value(json_array_get(json_array_get(outputs, r), c));
        }
    }
    json_decref(all);
    return g;
}

static void free_golden(golden *g) {
    free(g->ids);
    free(g->types);
    free(g->offsets);
    free(g->outputs);
}

/* NULL where it is refused, and *err says why. */
static retort_model *import_with(const char *name, const retort_import_options *options, retort_error *err) {
    char path[4096];
    retort_model *model = NULL;
    checkpoint_path(path, sizeof path, name);
    return retort_model_import(&model, path, options, err) == RETORT_OK ? model : NULL;
}

static retort_model *import_at(const char *name, int level, retort_dtype dtype) {
    retort_error err = {0};
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    options.level = level;
    options.dtype = dtype;
    retort_model *model = import_with(name, &options, &err);
    if (model == NULL) fail_msg("%s: %s", name, err.text);
    return model;
}

static retort_model *import_without(const char *name, int level, const char *without, retort_error *err) {
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    options.level = level;
    options.without = &without;
    options.without_count = 1;
    return import_with(name, &options, err);
}

static retort_session *open_at(retort_model *model, const char *isa, int threads) {
    retort_error err = {0};
    retort_session *session = NULL;
    retort_session_options options = RETORT_SESSION_OPTIONS;
    options.isa = isa;
    options.threads = threads;
    retort_status status = retort_session_open(&session, model, &options, &err);
    if (status == RETORT_UNSUPPORTED && strstr(err.text, "not supported on this CPU") != NULL) return NULL;
    if (status != RETORT_OK) fail_msg("session: %s", err.text);
    return session;
}

static retort_matrix run(retort_session *session, const golden *g) {
    retort_error err = {0};
    retort_matrix out = {0};
    retort_batch batch = {.ids = g->ids, .types = g->types, .offsets = g->offsets, .n = g->n};
    if (retort_run(session, &batch, &out, &err) != RETORT_OK) fail_msg("run: %s", err.text);
    return out;
}

static double worst_difference(const retort_matrix *out, const golden *g) {
    double worst = 0;
    for (size_t i = 0; i < out->rows * out->columns; i++) {
        double difference = fabs((double)out->data[i] - g->outputs[i]);
        if (!(difference <= worst)) worst = difference; /* a NaN is the worst */
    }
    return worst;
}

static void check_against_golden(const char *name, int level, retort_dtype dtype, double bound) {
    golden g = load_golden(name);
    retort_model *model = import_at(name, level, dtype);
    retort_session *session = open_at(model, NULL, 2);
    retort_matrix out = run(session, &g);
    assert_int_equal(out.rows, g.rows);
    assert_int_equal(out.columns, g.columns);
    double worst = worst_difference(&out, &g);
    if (!(worst <= bound)) fail_msg("%s level %d: differs by %g, bound %g", name, level, worst, bound);
    retort_session_close(session);
    retort_model_free(model);
    free_golden(&g);
}

static void test_heads_equal_transformers(void **unused) {
    (void)unused;
    for (size_t i = 0; i < name_count; i++) {
        for (int level = 0; level <= 3; level++) check_against_golden(names[i], level, RETORT_F32, 1e-5);
    }
}

/* The default one's name, or NULL. */
static const char *prompt_of(const retort_model *model) {
    retort_info info = {.size = sizeof info};
    assert_int_equal(retort_model_info(model, &info), RETORT_OK);
    return info.default_prompt;
}

/* The ids of the texts that the goldens of a checkpoint are of, also as stored in a file. */
static size_t check_texts(const char *name, const retort_model *model) {
    char path[4096], file[4200];
    checkpoint_path(path, sizeof path, name);
    snprintf(file, sizeof file, "%s/golden.json", path);
    json_t *all = json_load_file(file, 0, NULL), *item;
    const json_t *ids = json_object_get(all, "ids"), *texts = json_object_get(all, "texts");
    retort_tokens tokens = {0};
    size_t i, count = json_array_size(texts);
    json_array_foreach(texts, i, item) {
        const json_t *first = json_is_array(item) ? json_array_get(item, 0) : item,
                     *wanted = json_array_get(ids, i);
        const json_t *second = json_array_get(item, 1);
        retort_text text = {json_string_value(first), json_string_length(first), json_string_value(second),
                            json_string_length(second)};
        retort_tokenize_options options = RETORT_TOKENIZE_OPTIONS;
        options.prompt_name = prompt_of(model);
        assert_int_equal(retort_tokenize(model, &text, &options, &tokens, NULL), RETORT_OK);
        assert_int_equal(tokens.count, json_array_size(wanted));
        for (size_t k = 0; k < tokens.count; k++)
            assert_int_equal(tokens.ids[k], json_integer_value(json_array_get(wanted, k)));
    }
    retort_tokens_free(&tokens);
    json_decref(all);
    return count;
}

static void test_texts_equal_transformers(void **state) {
    (void)state;
    char path[] = "/tmp/retort-api-XXXXXX";
    int file = mkstemp(path);
    size_t texts = 0;
    assert_true(file >= 0);
    close(file);
    for (size_t i = 0; i < name_count; i++) {
        retort_model *model = import_at(names[i], 3, RETORT_F32), *loaded = NULL;
        texts += check_texts(names[i], model);
        assert_int_equal(retort_model_save(model, path, NULL), RETORT_OK);
        assert_int_equal(retort_model_load(&loaded, path, NULL), RETORT_OK);
        check_texts(names[i], loaded);
        retort_model_free(loaded);
        retort_model_free(model);
    }
    assert_true(texts >= 20);
    unlink(path);
}

/* bf16 keeps 8 bits of each factor: a rough bound, that a wrong layout or a lost row would break at once. */
static void test_bf16_is_near(void **unused) {
    (void)unused;
    for (size_t i = 0; i < name_count; i++) {
        if (has_matrices(names[i])) check_against_golden(names[i], 3, RETORT_BF16, 0.05);
    }
}

static void test_same_bits_everywhere(void **unused) {
    (void)unused;
    static const char *const isas[] = {"ref", "neon", "avx2", "vnni", "amx"};
    for (size_t i = 0; i < name_count; i++) {
        golden g = load_golden(names[i]);
        retort_model *model = import_at(names[i], 3, RETORT_F32);
        retort_session *first = open_at(model, "ref", 1);
        retort_matrix expected = run(first, &g);
        for (size_t k = 0; k < sizeof isas / sizeof *isas; k++) {
            for (int threads = 1; threads <= 3; threads++) {
                retort_session *session = open_at(model, isas[k], threads);
                if (session == NULL) continue;
                retort_matrix out = run(session, &g);
                assert_int_equal(out.rows, expected.rows);
                if (memcmp(out.data, expected.data, out.rows * out.columns * sizeof(float)) != 0) {
                    fail_msg("%s: %s with %d threads differs from ref with one", names[i], isas[k], threads);
                }
                retort_session_close(session);
            }
        }
        retort_session_close(first);
        retort_model_free(model);
        free_golden(&g);
    }
}

/* A sequence's result does not depend on what else is in the batch. */
static void test_batch_does_not_matter(void **unused) {
    (void)unused;
    for (size_t i = 0; i < name_count; i++) {
        golden g = load_golden(names[i]);
        retort_model *model = import_at(names[i], 3, RETORT_F32);
        retort_session *session = open_at(model, NULL, 2);
        retort_matrix out = run(session, &g);
        size_t bytes = out.rows * out.columns * sizeof(float), at = 0;
        float *together = malloc(bytes + 1);
        assert_non_null(together);
        memcpy(together, out.data, bytes);
        for (size_t s = 0; s < g.n; s++) {
            int32_t offsets[2] = {0, g.offsets[s + 1] - g.offsets[s]};
            golden one = {.ids = g.ids + g.offsets[s], .offsets = offsets, .n = 1};
            if (g.types != NULL) one.types = g.types + g.offsets[s];
            out = run(session, &one);
            size_t floats = out.rows * out.columns;
            assert_true((at + floats) * sizeof(float) <= bytes);
            assert_memory_equal(out.data, together + at, floats * sizeof(float));
            at += floats;
        }
        assert_int_equal(at * sizeof(float), bytes);
        free(together);
        retort_session_close(session);
        retort_model_free(model);
        free_golden(&g);
    }
}

/* import → save → load gives the same bits, and saving twice the same file. */
static void test_saved_model_is_the_same(void **unused) {
    (void)unused;
    char path[] = "/tmp/retort-api-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    for (size_t i = 0; i < name_count; i++) {
        golden g = load_golden(names[i]);
        retort_error err = {0};
        retort_model *model = import_at(names[i], 3, RETORT_F32), *loaded = NULL;
        if (retort_model_save(model, path, &err) != RETORT_OK) fail_msg("%s: %s", names[i], err.text);
        if (retort_model_load(&loaded, path, &err) != RETORT_OK) fail_msg("%s: %s", names[i], err.text);
        retort_session *a = open_at(model, NULL, 1), *b = open_at(loaded, NULL, 1);
        retort_matrix x = run(a, &g), y = run(b, &g);
        assert_int_equal(x.rows, y.rows);
        assert_memory_equal(x.data, y.data, x.rows * x.columns * sizeof(float));
        retort_session_close(a);
        retort_session_close(b);
        retort_model_free(model);
        retort_model_free(loaded);
        free_golden(&g);
    }
    remove(path);
}

/* ---- Rewrites that are left out ---- */

static double worst_of(retort_model *model, const golden *g) {
    retort_session *session = open_at(model, NULL, 1);
    retort_matrix out = run(session, g);
    assert_int_equal(out.rows, g->rows);
    double worst = worst_difference(&out, g);
    retort_session_close(session);
    return worst;
}

static bool is_among(const char *name, const char *const *list) {
    for (; *list != NULL; list++) {
        if (strcmp(name, *list) == 0) return true;
    }
    return false;
}

/* What level 3 may refuse: where a model has what they fuse, the plain operators need padded batches. */
static const char *const fusions[] = {"fuse-layer-norm", "fuse-embed", "fuse-linear", "fuse-attention",
                                      "fuse-select",     "fuse-pool",  NULL};
static const char *const needed[] = {"remove-padding", "pack-weights", NULL};
static const char *const savings[] = {"prune-rows",    "fuse-qkv",        "scale-into-query",
                                      "drop-key-bias", "fold-value-bias", NULL};

static void check_refused(const char *name, int level, const char *rewrite, const retort_error *err) {
    char prefix[80];
    bool is_needed = is_among(rewrite, needed);
    snprintf(prefix, sizeof prefix, is_needed ? "%s cannot be left out of level 3" : "without %s: ", rewrite);
    bool clear = strncmp(err->text, prefix, strlen(prefix)) == 0 &&
                 (is_needed || strstr(err->text, "needs padded batches") != NULL) &&
                 err->status == (is_needed ? RETORT_ARGUMENT : RETORT_UNSUPPORTED);
    /* DeBERTa's position keys and queries are computed from constants. */
    bool folds = strcmp(rewrite, "fold-constants") == 0 && strncmp(name, "deberta-", 8) == 0;
    if (level < 3 || !clear || !(is_needed || folds || is_among(rewrite, fusions))) {
        fail_msg("%s level %d without %s: %s", name, level, rewrite, err->text);
    }
}

/* Each rewrite on each checkpoint: the answers stay right, or leaving it out is refused with a reason. */
static void test_each_rewrite_left_out(void **unused) {
    (void)unused;
    const char *sanitizer = getenv("RETORT_SANITIZER");
    if (sanitizer != NULL && strcmp(sanitizer, "thread") == 0)
        skip(); /* on one thread: TSan has nothing to see for minutes */
    const char *rewrite;
    int first;
    for (size_t i = 0; i < name_count; i++) {
        golden g = load_golden(names[i]);
        for (size_t r = 0; (rewrite = retort_rewrite(r, NULL, &first)) != NULL; r++) {
            for (int level = first; level <= 3; level++) {
                retort_error err = {0};
                retort_model *model = import_without(names[i], level, rewrite, &err);
                if (model == NULL) {
                    check_refused(names[i], level, rewrite, &err);
                    continue;
                }
                double worst = worst_of(model, &g);
                if (!(worst <= 1e-5) || (level == 3 && is_among(rewrite, needed) && has_matrices(names[i])))
                    fail_msg("%s level %d without %s: differs by %g", names[i], level, rewrite, worst);
                retort_model_free(model);
            }
        }
        free_golden(&g);
    }
}

static int append(void *user, const char *text, size_t length) {
    char *graph = user;
    strncat(graph, text, length);
    return 0;
}

static void print_graph(const retort_model *model, char *out, size_t size) {
    out[0] = '\0';
    assert_int_equal(retort_model_print(model, append, out), RETORT_OK);
    assert_true(strlen(out) < size - 1);
}

/* A model without a saving is another one, says so, and its integer and bf16 forms answer right as well. */
static void check_saving(const char *name, const char *const *without, size_t count, const char *recipe) {
    static char all[1 << 16], less[1 << 16];
    golden g = load_golden(name);
    retort_error err = {0};
    retort_info info = {.size = sizeof info};
    retort_model *plain = import_at(name, 0, RETORT_F32), *full = import_at(name, 3, RETORT_F32);
    retort_model *model = NULL, *whole = NULL, *integer = NULL, *whole_integer = NULL;
    retort_optimize_options options = RETORT_OPTIMIZE_OPTIONS;
    assert_int_equal(retort_model_optimize(&whole, plain, NULL, &err), RETORT_OK);
    options.without = without;
    options.without_count = count;
    if (retort_model_optimize(&model, plain, &options, &err) != RETORT_OK) fail_msg("%s", err.text);
    print_graph(full, all, sizeof all);
    print_graph(whole, less, sizeof less);
    assert_string_equal(all, less);
    print_graph(model, less, sizeof less);
    assert_string_not_equal(all, less);
    assert_true(worst_of(model, &g) <= 1e-5);
    assert_int_equal(retort_model_quantize(&integer, model, NULL, &err), RETORT_OK);
    assert_int_equal(retort_model_quantize(&whole_integer, full, NULL, &err), RETORT_OK);
    double worst = worst_of(integer, &g), usual = worst_of(whole_integer, &g);
    if (!(worst <= 2 * usual + 0.01)) fail_msg("%s: int8 differs by %g, usually %g", recipe, worst, usual);
    assert_int_equal(retort_model_info(integer, &info), RETORT_OK);
    assert_string_equal(strstr(info.recipe, " without="), strchr(recipe, ' '));
    assert_int_equal(retort_model_info(model, &info), RETORT_OK);
    assert_string_equal(info.recipe, recipe);
    retort_model *const models[] = {plain, full, model, whole, integer, whole_integer};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) retort_model_free(models[i]);
    free_golden(&g);
}

static void test_savings_left_out(void **unused) {
    (void)unused;
    static const char *const checkpoints[] = {"bert-classify", "distilbert-fill", "package-dense"};
    char recipe[128];
    for (size_t i = 0; i < sizeof checkpoints / sizeof *checkpoints; i++) {
        size_t count = 0;
        for (; savings[count] != NULL; count++) {
            snprintf(recipe, sizeof recipe, "fp32 without=%s", savings[count]);
            check_saving(checkpoints[i], &savings[count], 1, recipe);
        }
        check_saving(checkpoints[i], savings, count,
                     "fp32 without=prune-rows,fuse-qkv,scale-into-query,drop-key-bias,fold-value-bias");
    }
}

/* In two steps, with bf16 weights; what is left out too late, or does not exist, is refused. */
static void test_left_out_step_by_step(void **unused) {
    (void)unused;
    static const char *const bias[] = {"drop-key-bias"}, *const rows[] = {"prune-rows"},
                             *const none[] = {NULL};
    retort_error err = {0};
    retort_info info = {.size = sizeof info};
    golden g = load_golden("bert-classify");
    retort_model *base = import_at("bert-classify", 0, RETORT_F32), *fused = NULL, *last = NULL, *no = NULL;
    retort_optimize_options options = RETORT_OPTIMIZE_OPTIONS;
    options.without_count = 1;
    options.without = bias;
    options.level = 2;
    assert_int_equal(retort_model_optimize(&fused, base, &options, &err), RETORT_OK);
    options.level = 3;
    assert_int_equal(retort_model_optimize(&no, fused, &options, &err), RETORT_ARGUMENT);
    assert_non_null(strstr(err.text, "level 2 already"));
    options.without = rows;
    assert_int_equal(retort_model_optimize(&last, fused, &options, &err), RETORT_OK);
    assert_int_equal(retort_model_info(last, &info), RETORT_OK);
    assert_string_equal(info.recipe, "fp32 without=drop-key-bias,prune-rows");
    assert_true(worst_of(last, &g) <= 1e-5);
    options.without = none;
    assert_int_equal(retort_model_optimize(&no, base, &options, &err), RETORT_ARGUMENT);
    options.without = NULL;
    assert_int_equal(retort_model_optimize(&no, base, &options, &err), RETORT_ARGUMENT);
    options.size--;
    assert_int_equal(retort_model_optimize(&no, base, &options, &err), RETORT_ARGUMENT);
    assert_null(import_without("bert-classify", 3, "prune", &err));
    assert_non_null(strstr(err.text, "no rewrite 'prune'; there is "));
    retort_model_free(base);
    retort_model_free(fused);
    retort_model_free(last);
    free_golden(&g);
}

static void test_bf16_without_savings(void **unused) {
    (void)unused;
    retort_error err = {0};
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    options.dtype = RETORT_BF16;
    options.without = savings;
    options.without_count = sizeof savings / sizeof *savings - 1;
    for (size_t i = 0; i < name_count; i++) {
        if (!has_matrices(names[i])) continue;
        golden g = load_golden(names[i]);
        retort_info info = {.size = sizeof info};
        retort_model *model = import_with(names[i], &options, &err);
        if (model == NULL) fail_msg("%s: %s", names[i], err.text);
        assert_int_equal(retort_model_info(model, &info), RETORT_OK);
        assert_true(strncmp(info.recipe, "bf16 without=prune-rows,", 24) == 0);
        const char *pad = strstr(names[i], "roberta-bytes") != NULL ? "<pad>"
                          : strcmp(names[i], "eurobert-fill") == 0  ? "<|pad|>"
                                                                    : "[PAD]";
        assert_string_equal(retort_model_piece(model, info.pad), pad);
        double worst = worst_of(model, &g);
        if (!(worst <= 0.05)) fail_msg("%s: differs by %g", names[i], worst);
        retort_model_free(model);
        free_golden(&g);
    }
}

/* RoBERTa's positions skip padding: a text that has it runs at every level. Its token types are one, so that those of a
 * pair's second text do not count. */
static void test_padding_and_pairs(void **unused) {
    (void)unused;
    static const struct {
        const char *name, *text;
        bool typed;
    } cases[] = {{"roberta-classify", "good [PAD]", false},
                 {"roberta-zero", "[PAD]", false},
                 {"roberta-bytes-classify", "<pad>", false},
                 {"bert-classify", "good [PAD]", true}};
    for (size_t i = 0; i < 4 * sizeof cases / sizeof *cases; i++) {
        const char *name = cases[i / 4].name;
        retort_text text = {.text = cases[i / 4].text, .length = strlen(cases[i / 4].text)};
        const retort_text pair = {.text = "good", .length = 4, .pair = "film", .pair_length = 4};
        float scores[3], logits[3];
        retort_error err = {0};
        retort_session *session = NULL;
        retort_tokens tokens = {0};
        retort_matrix out;
        retort_model *model = import_at(name, (int)(i % 4), RETORT_F32);
        assert_int_equal(retort_session_open(&session, model, NULL, NULL), RETORT_OK);
        assert_int_equal(retort_classify(session, &text, 1, scores, NULL, 3, &err), RETORT_OK);
        assert_int_equal(retort_tokenize(model, &pair, NULL, &tokens, NULL), RETORT_OK);
        assert_int_equal(tokens.types[tokens.count - 1], strstr(name, "roberta-bytes") == NULL);
        assert_int_equal(retort_classify(session, &pair, 1, scores, logits, 3, &err), RETORT_OK);
        const int32_t offsets[] = {0, (int32_t)tokens.count};
        const retort_batch batch = {tokens.ids, cases[i / 4].typed ? tokens.types : NULL, offsets, 1};
        assert_int_equal(retort_run(session, &batch, &out, NULL), RETORT_OK);
        assert_memory_equal(out.data, logits, sizeof logits);
        retort_tokens_free(&tokens);
        retort_session_close(session);
        retort_model_free(model);
    }
}

/* What a profile counts: a linear step's operations per row, attention's per pair of query and key. */
static void test_profile_counts_operations(void **unused) {
    (void)unused;
    static const int32_t ids[] = {5, 6, 7, 8, 9, 10, 11}, offsets[] = {0, 4, 7};
    golden g = {.ids = (int32_t *)(uintptr_t)ids, .offsets = (int32_t *)(uintptr_t)offsets, .n = 2};
    retort_model *model = import_at("distilbert-classify", 3, RETORT_F32);
    for (int threads = 1; threads <= 3; threads++) {
        retort_session *session = NULL;
        retort_session_options options = RETORT_SESSION_OPTIONS;
        retort_step_info step = {.size = sizeof step};
        options.threads = threads;
        options.profile = true;
        assert_int_equal(retort_session_open(&session, model, &options, NULL), RETORT_OK);
        run(session, &g);
        run(session, &g);
        assert_int_equal(retort_session_step(session, 0, &step), RETORT_OK);
        assert_string_equal(step.op, "Embed");
        assert_true(step.weights_read == 0);
        for (size_t i = 1; i <= 2; i++) { /* q, k and v of all rows; then attention */
            assert_int_equal(retort_session_step(session, i, &step), RETORT_OK);
            double rows = i == 1 ? 4 + 3 : 4 * 4 + 3 * 3;
            assert_true(step.flops_token > 0 && step.operations == 2 * rows * step.flops_token);
            assert_true(step.arithmetic == RETORT_F32 && !step.four_bits);
            assert_true(step.seconds > 0 && step.weights_read == step.runs * step.weight_bytes);
        }
        retort_session_close(session);
    }
    retort_model_free(model);
}

/* Ids and types as retort_tokenize has them, cut and uncut, of pairs too, twice with what was remembered. */
static void test_encodes_as_it_tokenizes(void **unused) {
    (void)unused;
    static const char *const texts[] = {"", "a very good film", "[SEP] Caf\xc3\xa9, \xff\xe4\xb8\xad!",
                                        "a b c d e f g h"};
    retort_model *model = import_at("bert-classify", 3, RETORT_F32);
    retort_encoder *encoder = NULL;
    retort_tokens tokens = {0};
    int32_t ids[64], types[64];
    size_t count;
    assert_int_equal(retort_encoder_open(&encoder, model, NULL), RETORT_OK);
    for (size_t i = 0; i < 2 * 4 * 4 * 4; i++) {
        const char *first = texts[i % 4], *second = texts[i / 4 % 4];
        retort_text text = {first, strlen(first), i / 64 ? second : NULL, i / 64 ? strlen(second) : 0};
        retort_tokenize_options options = RETORT_TOKENIZE_OPTIONS;
        options.max_length = (const int64_t[]){-1, 0, 6, 40}[i / 16 % 4];
        options.special_as_text = i % 2 == 0;
        assert_int_equal(retort_tokenize(model, &text, &options, &tokens, NULL), RETORT_OK);
        assert_int_equal(retort_encode(encoder, &text, &options, ids, types, 64, &count, NULL), RETORT_OK);
        assert_int_equal(count, tokens.count);
        assert_memory_equal(ids, tokens.ids, count * sizeof *ids);
        assert_memory_equal(types, tokens.types, count * sizeof *types);
        ids[count - 1] = -7;
        retort_status status = retort_encode(encoder, &text, &options, ids, types, count - 1, &count, NULL);
        assert_true(status == RETORT_LIMIT && count == tokens.count && ids[count - 1] == -7);
    }
    assert_int_equal(retort_encode(encoder, NULL, NULL, ids, types, 64, &count, NULL), RETORT_ARGUMENT);
    retort_encoder_close(encoder);
    retort_encoder_close(NULL);
    retort_tokens_free(&tokens);
    retort_model_free(model);
}

/* Calls that write into the caller's array refuse one that is too small, with the numbers, and leave it. */
static void test_capacities(void **unused) {
    (void)unused;
    retort_error err;
    float scores[6] = {-7, -7, -7, -7, -7, -7};
    retort_text texts[2] = {{.text = "good", .length = 4}, {.text = "bad", .length = 3}};
    retort_model *model = import_at("distilbert-classify", 3, RETORT_F32);
    retort_session *session = open_at(model, NULL, 1);
    assert_int_equal(retort_classify(session, texts, 2, scores, NULL, 5, &err), RETORT_LIMIT);
    assert_non_null(strstr(err.text, "2 texts of 3 floats"));
    assert_non_null(strstr(err.text, "5 floats"));
    for (size_t i = 0; i < 6; i++) assert_true(scores[i] == -7);
    assert_int_equal(retort_classify(session, texts, 2, scores, NULL, 6, &err), RETORT_OK);
    assert_true(fabsf(scores[3] + scores[4] + scores[5] - 1) < 1e-5f);
    retort_session_close(session);
    retort_model_free(model);

    model = import_at("package-mean", 3, RETORT_F32);
    session = open_at(model, NULL, 1);
    scores[0] = -7;
    assert_int_equal(retort_embed(session, texts, 1, scores, 6, &err), RETORT_LIMIT);
    assert_true(scores[0] == -7);
    retort_session_close(session);
    retort_model_free(model);

    model = import_at("distilbert-fill", 3, RETORT_F32);
    session = open_at(model, NULL, 1);
    retort_text masked = {.text = "[MASK] good [MASK]", .length = 18};
    retort_fill_guess guesses[2] = {{-7, 0}, {-7, 0}};
    size_t masks = 0;
    assert_int_equal(retort_fill(session, &masked, 1, NULL, guesses, 1, &masks, &err), RETORT_LIMIT);
    assert_true(masks == 2 && guesses[0].id == -7 && strstr(err.text, "room for 1") != NULL);
    assert_int_equal(retort_fill(session, &masked, 1, NULL, guesses, 2, &masks, &err), RETORT_OK);
    assert_true(masks == 2 && guesses[1].id >= 0);
    retort_session_close(session);
    retort_model_free(model);
}

/* What retort_classify_each gave for the texts so far. */
typedef struct given {
    const float *scores, *logits; /* [texts, 3] expected */
    size_t texts, most;           /* seen; the call is stopped at `most` */
} given;

static int check_classified(void *user, const retort_classified *text) {
    given *g = user;
    uint32_t best;
    assert_int_equal(text->size, sizeof *text);
    assert_int_equal(text->text, g->texts);
    assert_int_equal(text->labels, 3);
    assert_memory_equal(text->scores, g->scores + 3 * text->text, 3 * sizeof(float));
    assert_memory_equal(text->logits, g->logits + 3 * text->text, 3 * sizeof(float));
    assert_int_equal(retort_best(text->scores, 3, &best, 1), 1);
    assert_int_equal(text->best, best);
    assert_true(text->score == text->scores[best]);
    assert_true(strlen(text->label) > 0);
    return ++g->texts == g->most;
}

/* The answers of retort_classify one by one, of more texts than one batch has; and what stops it. */
static void test_classify_each(void **unused) {
    (void)unused;
    enum { MANY = 3000 };
    static const char *const words[] = {"good", "a bad film", "", "the plot [SEP] is thin"};
    retort_text *texts = calloc(MANY, sizeof *texts);
    float *scores = calloc(2 * 3 * MANY, sizeof *scores), *logits = scores + 3 * (size_t)MANY;
    retort_error err = {0};
    assert_true(texts != NULL && scores != NULL);
    for (size_t i = 0; i < MANY; i++) texts[i] = (retort_text){words[i % 4], strlen(words[i % 4]), NULL, 0};
    retort_model *model = import_at("bert-classify", 3, RETORT_F32);
    retort_session *session = open_at(model, NULL, 2);
    assert_int_equal(retort_classify(session, texts, MANY, scores, logits, 3 * (size_t)MANY, &err),
                     RETORT_OK);
    given g = {scores, logits, 0, 0};
    assert_int_equal(retort_classify_each(session, texts, MANY, check_classified, &g, &err), RETORT_OK);
    assert_int_equal(g.texts, MANY);
    g = (given){scores, logits, 0, 7};
    assert_int_equal(retort_classify_each(session, texts, MANY, check_classified, &g, &err),
                     RETORT_CANCELLED);
    assert_int_equal(g.texts, 7);
    assert_string_equal(err.text, "classify: stopped at text 6");
    assert_int_equal(retort_classify_each(session, texts, 1, NULL, NULL, &err), RETORT_ARGUMENT);
    assert_int_equal(retort_model_scores(model, logits, 3 * (size_t)MANY, logits, &err), RETORT_OK);
    assert_memory_equal(logits, scores, 3 * MANY * sizeof *scores);
    assert_int_equal(retort_model_scores(model, scores, 4, logits, &err), RETORT_ARGUMENT);
    assert_string_equal(err.text, "scores: 4 logits are no whole rows of 3 labels");
    retort_session_close(session);
    retort_model_free(model);
    free(scores);
    free(texts);
}

/* Against counting what comes before: every k of up to 40 scores, with many equal ones. */
static void test_best(void **unused) {
    (void)unused;
    float scores[40];
    uint32_t best[42], seed = 1;
    for (size_t n = 0; n <= 40; n++) {
        for (size_t i = 0; i < n; i++) {
            seed = seed * 1664525 + 1013904223;
            scores[i] = (float)(seed >> 24) * 0.125f - (float)(seed >> 28);
            if (n % 3 == 0) scores[i] = (float)(seed >> 30);
        }
        for (size_t k = 0; k <= 41; k++) {
            best[k] = 99;
            size_t found = retort_best(scores, n, best, k);
            assert_int_equal(found, k < n ? k : n);
            assert_int_equal(best[k], 99);
            for (size_t at = 0; at < found; at++) {
                size_t before = 0, i = best[at];
                for (size_t j = 0; j < n; j++)
                    before += scores[j] > scores[i] || (scores[j] == scores[i] && j < i);
                assert_int_equal(before, at);
            }
        }
    }
}

static void assert_same_spans(const retort_spans *a, const retort_spans *b) {
    assert_true(a->count > 0 && a->count == b->count);
    for (size_t i = 0; i < a->count; i++) {
        const retort_span *x = &a->items[i], *y = &b->items[i];
        assert_memory_equal(&x->score, &y->score, sizeof x->score);
        assert_true(x->start == y->start && x->end == y->end && x->label == y->label && x->token == y->token);
    }
}

static size_t count_windows(const retort_windows *windows) {
    retort_windows_info info = {.size = sizeof info};
    assert_int_equal(retort_windows_describe(windows, &info), RETORT_OK);
    assert_true(info.tokens > 2 && info.bytes > info.tokens && !info.truncated);
    return info.windows;
}

/* A long text tagged in the windows that were made beforehand. */
static void tag_windows(retort_session *session, retort_encoder *encoder, const retort_text *text) {
    retort_tag_options options = RETORT_TAG_OPTIONS;
    retort_spans whole = {0}, spans = {0};
    retort_windows *windows;
    retort_error err;
    options.ignore = (const char *const[]){"none"};
    options.ignore_count = 1;
    assert_int_equal(retort_tag(session, text, 1, &options, &whole, &err), RETORT_OK);
    assert_int_equal(retort_tag_windows(&windows, encoder, text, &options, false, &err), RETORT_OK);
    assert_true(count_windows(windows) > 1);
    options.windows = windows;
    for (int i = 0; i < 2; i++) { /* they can be used again */
        assert_int_equal(retort_tag(session, text, 1, &options, &spans, &err), RETORT_OK);
        assert_same_spans(&whole, &spans);
    }
    assert_int_equal(retort_tag(session, (const retort_text[]){*text, *text}, 2, &options, &spans, &err),
                     RETORT_ARGUMENT);
    const retort_text shorter = {.text = text->text, .length = text->length - 1};
    assert_int_equal(retort_tag(session, &shorter, 1, &options, &spans, &err), RETORT_ARGUMENT);
    assert_non_null(strstr(err.text, "the windows were made of another text, or with another model"));
    retort_windows_free(windows);
    options.cut = true;
    options.windows = NULL;
    retort_windows_info info = {.size = sizeof info};
    assert_int_equal(retort_tag_windows(&windows, encoder, text, &options, false, &err), RETORT_OK);
    assert_int_equal(retort_windows_describe(windows, &info), RETORT_OK);
    assert_true(info.truncated && info.windows == 1);
    retort_windows_free(windows);
    options.stride = 1 << 20;
    windows = NULL;
    assert_int_equal(retort_tag_windows(&windows, encoder, text, &options, false, &err), RETORT_ARGUMENT);
    assert_null(windows);
    assert_int_equal(retort_fill_windows(&windows, encoder, text, &err), RETORT_ARGUMENT);
    retort_spans_free(&whole);
    retort_spans_free(&spans);
}

static void answer_windows(retort_session *session, retort_encoder *encoder, const retort_text *text) {
    retort_answer_options options = RETORT_ANSWER_OPTIONS;
    retort_spans whole = {0}, spans = {0};
    retort_windows *windows;
    retort_error err;
    options.top = 3;
    assert_int_equal(retort_answer(session, text->text, text->length, text->pair, text->pair_length, &options,
                                   &whole, &err),
                     RETORT_OK);
    assert_int_equal(retort_answer_windows(&windows, encoder, text, &options, false, &err), RETORT_OK);
    assert_true(count_windows(windows) > 1);
    options.windows = windows;
    assert_int_equal(retort_answer(session, text->text, text->length, text->pair, text->pair_length, &options,
                                   &spans, &err),
                     RETORT_OK);
    assert_same_spans(&whole, &spans);
    retort_windows_free(windows);
    const retort_text single = {.text = text->text, .length = text->length};
    assert_int_equal(retort_answer_windows(&windows, encoder, &single, NULL, false, &err), RETORT_ARGUMENT);
    retort_spans_free(&whole);
    retort_spans_free(&spans);
}

static void fill_windows(retort_session *session, retort_encoder *encoder, const retort_text *text) {
    retort_fill_options options = RETORT_FILL_OPTIONS;
    retort_fill_guess whole[4], guesses[4];
    size_t masks;
    retort_windows *windows;
    retort_error err;
    assert_int_equal(retort_fill(session, text, 4, NULL, whole, 1, &masks, &err), RETORT_OK);
    assert_int_equal(retort_fill_windows(&windows, encoder, text, &err), RETORT_OK);
    assert_int_equal(count_windows(windows), 1);
    options.windows = windows;
    assert_int_equal(retort_fill(session, text, 4, &options, guesses, 1, &masks, &err), RETORT_OK);
    assert_memory_equal(whole, guesses, sizeof whole);
    retort_model *copy = import_at("bert-fill", 3, RETORT_F32);
    retort_session *other = open_at(copy, NULL, 1);
    assert_int_equal(retort_fill(other, text, 4, &options, guesses, 1, &masks, &err), RETORT_ARGUMENT);
    retort_session_close(other);
    retort_model_free(copy);
    options = (retort_fill_options){.size = sizeof options, .target_count = 1};
    assert_int_equal(retort_fill(session, text, 4, &options, guesses, 1, &masks, &err), RETORT_ARGUMENT);
    assert_int_equal(retort_fill(session, text, SIZE_MAX / 8, NULL, guesses, 2, &masks, &err),
                     RETORT_ARGUMENT);
    retort_windows_free(windows);
}

/* Texts tokenised beforehand have the answers of texts. */
static void test_windows_made_beforehand(void **state) {
    static char words[1000];
    static const struct {
        const char *name;
        retort_text text;
        void (*check)(retort_session *session, retort_encoder *encoder, const retort_text *text);
    } rows[] = {{"bert-tag", {.text = words, .length = sizeof words}, tag_windows},
                {"distilbert-answer", {"was it good", 11, words, sizeof words}, answer_windows},
                {"bert-fill", {.text = "a [MASK] film", .length = 13}, fill_windows}};
    (void)state;
    for (size_t i = 0; i < sizeof words; i++) words[i] = "a good film, "[i % 13];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        retort_model *model = import_at(rows[i].name, 3, RETORT_F32);
        retort_session *session = open_at(model, NULL, 1);
        retort_encoder *encoder = NULL;
        retort_error err;
        assert_int_equal(retort_encoder_open(&encoder, model, &err), RETORT_OK);
        rows[i].check(session, encoder, &rows[i].text);
        retort_encoder_close(encoder);
        retort_session_close(session);
        retort_model_free(model);
    }
    retort_windows_free(NULL);
}

/* Calls that return no status take NULL, too. */
static void test_null_arguments(void **state) {
    float scores[3] = {1, 2, 3};
    uint32_t best[3];
    retort_row row = {.length = 7};
    retort_table_position position = {.bytes = 7};
    retort_model *model = import_at("bert-embed", 3, RETORT_F32);
    (void)state;
    assert_true(isnan(retort_similarity(NULL, scores, scores, 3)));
    assert_true(isnan(retort_similarity(model, NULL, scores, 3)));
    assert_int_equal(retort_best(NULL, 3, best, 2), 0);
    assert_int_equal(retort_best(scores, 3, NULL, 2), 0);
    retort_table_header(NULL, &row);
    retort_table_where(NULL, &position);
    assert_true(row.record == NULL && row.length == 0 && position.bytes == 0 && !retort_table_pairs(NULL));
    retort_model_free(model);
}

static void test_unknown_side(void **state) {
    retort_model *model = import_at("bert-embed", 3, RETORT_F32);
    retort_tokenize_options options = RETORT_TOKENIZE_OPTIONS;
    const retort_text text = {.text = "a film", .length = 6};
    retort_tokens tokens = {0};
    retort_error err;
    (void)state;
    options.side = (retort_side)(RETORT_SIDE_RIGHT + 1);
    assert_int_equal(retort_tokenize(model, &text, &options, &tokens, &err), RETORT_ARGUMENT);
    assert_non_null(strstr(err.text, "side"));
    retort_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows_made_beforehand),
        cmocka_unit_test(test_encodes_as_it_tokenizes),
        cmocka_unit_test(test_null_arguments),
        cmocka_unit_test(test_unknown_side),
        cmocka_unit_test(test_capacities),
        cmocka_unit_test(test_classify_each),
        cmocka_unit_test(test_best),
        cmocka_unit_test(test_heads_equal_transformers),
        cmocka_unit_test(test_texts_equal_transformers),
        cmocka_unit_test(test_bf16_is_near),
        cmocka_unit_test(test_same_bits_everywhere),
        cmocka_unit_test(test_batch_does_not_matter),
        cmocka_unit_test(test_saved_model_is_the_same),
        cmocka_unit_test(test_padding_and_pairs),
        cmocka_unit_test(test_profile_counts_operations),
        cmocka_unit_test(test_each_rewrite_left_out),
        cmocka_unit_test(test_savings_left_out),
        cmocka_unit_test(test_left_out_step_by_step),
        cmocka_unit_test(test_bf16_without_savings),
    };
    return cmocka_run_group_tests(tests, find_checkpoints, NULL);
}
