/* SPDX-License-Identifier: Apache-2.0
 * What sentence-transformers' own classes give for texts: scores of cross-encoders, vectors of static embeddings. */
#include "arch/labels.h"
#include "task/scores.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static json_t *load_json(const char *relative) {
    char path[512];
    json_error_t error;
    const char *root = getenv("RETORT_ROOT");
    snprintf(path, sizeof path, "%s/test/golden/%s", root != NULL ? root : ".", relative);
    json_t *json = json_load_file(path, 0, &error);
    if (json == NULL) fail_msg("%s: %s", path, error.text);
    return json;
}

static json_t *load_golden(const char *name) {
    char file[256];
    snprintf(file, sizeof file, "checkpoints/%s/golden.json", name);
    return load_json(file);
}

static double number_at(const json_t *rows, size_t row, size_t column) {
    return json_number_value(json_array_get(json_array_get(rows, row), column));
}

static retort_model *import(const char *name) {
    char path[512];
    const char *root = getenv("RETORT_ROOT");
    retort_model *model = NULL;
    retort_error err;
    snprintf(path, sizeof path, "%s/test/golden/checkpoints/%s", root != NULL ? root : ".", name);
    if (retort_model_import(&model, path, NULL, &err) != RETORT_OK) fail_msg("%s: %s", name, err.text);
    return model;
}

/* The same model from a file. */
static retort_model *saved(const retort_model *model) {
    char path[] = "/tmp/retort-sentence-XXXXXX";
    retort_model *loaded = NULL;
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    assert_int_equal(retort_model_save(model, path, NULL), RETORT_OK);
    assert_int_equal(retort_model_load(&loaded, path, NULL), RETORT_OK);
    unlink(path);
    return loaded;
}

enum { MOST_TEXTS = 16 };
/* Texts, or pairs of them, of a golden file. */
static size_t texts_named(const char *key, const json_t *golden, retort_text *texts) {
    const json_t *list = json_object_get(golden, key);
    size_t n = json_array_size(list);
    assert_in_range(n, 1, MOST_TEXTS);
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(list, i), *second = json_array_get(item, 1);
        const json_t *first = json_is_array(item) ? json_array_get(item, 0) : item;
        texts[i] = (retort_text){json_string_value(first), json_string_length(first),
                                 json_string_value(second), json_string_length(second)};
    }
    return n;
}

static size_t texts_of(const json_t *golden, retort_text *texts) {
    return texts_named("texts", golden, texts);
}

static retort_session *open_session(retort_model *model, const char *prompt) {
    retort_session_options options = RETORT_SESSION_OPTIONS;
    retort_session *session = NULL;
    retort_error err;
    options.prompt_name = prompt;
    if (retort_session_open(&session, model, &options, &err) != RETORT_OK) fail_msg("session: %s", err.text);
    return session;
}

static void near(const char *what, double wanted, double found) {
    if (!(fabs(wanted - found) <= 1e-5)) fail_msg("%s: expected %.9g, found %.9g", what, wanted, found);
}

/* ---- Cross-encoders ---- */

static void check_scores(const char *name, const json_t *golden, retort_model *model) {
    retort_text texts[MOST_TEXTS];
    float scores[MOST_TEXTS * 4], logits[MOST_TEXTS * 4], again[4];
    const json_t *wanted = json_object_get(golden, "scores"), *raw = json_object_get(golden, "outputs");
    size_t n = texts_of(golden, texts), labels = json_array_size(json_array_get(wanted, 0));
    retort_session *session = open_session(model, NULL);
    assert_int_equal(retort_classify(session, texts, n, scores, logits, n * labels, NULL), RETORT_OK);
    for (size_t i = 0; i < n * labels; i++) {
        near(name, number_at(wanted, i / labels, i % labels), scores[i]);
        near(name, number_at(raw, i / labels, i % labels), logits[i]);
    }
    assert_int_equal(retort_model_scores(model, logits, labels, again, NULL), RETORT_OK);
    assert_memory_equal(again, scores, labels * sizeof *again);
    retort_session_close(session);
}

static void test_cross_encoders(void **state) {
    static const struct {
        const char *name, *activation;
    } cases[] = {{"cross-identity", "Identity"}, {"cross-tanh", "Tanh"}, {"cross-labels", "Sigmoid"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *golden = load_golden(cases[i].name);
        retort_model *model = import(cases[i].name), *loaded = saved(model);
        retort_info info = {.size = sizeof info};
        assert_int_equal(retort_model_info(loaded, &info), RETORT_OK);
        assert_string_equal(info.activation, cases[i].activation);
        check_scores(cases[i].name, golden, model);
        check_scores(cases[i].name, golden, loaded);
        retort_model_free(loaded);
        retort_model_free(model);
        json_decref(golden);
    }
}

/* ---- SetFit ---- */

static void test_setfit(void **state) {
    static const struct {
        const char *name, *labels[3];
    } cases[] = {
        {"setfit-binary", {"bad", "g\xC3\xBCt"}},
        {"setfit-classes", {"a", "c", "d"}},
        {"setfit-rest", {"x", "y", "z"}},
        {"setfit-independent", {"x", "y", "z"}},
        {"setfit-outputs", {"LABEL_0", "LABEL_1", "LABEL_2"}},
        {"setfit-multinomial", {"0", "1"}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *golden = load_golden(cases[i].name);
        retort_model *model = import(cases[i].name), *loaded = saved(model);
        for (int k = 0; k < 3 && cases[i].labels[k] != NULL; k++)
            assert_string_equal(retort_model_label(loaded, k), cases[i].labels[k]);
        check_scores(cases[i].name, golden, model);
        check_scores(cases[i].name, golden, loaded);
        retort_model_free(loaded);
        retort_model_free(model);
        json_decref(golden);
    }
}

static void test_activations(void **state) {
    json_t *all = load_json("sentence.json"), *rows, *logits = json_object_get(all, "logits");
    const char *path;
    size_t paths = 0;
    (void)state;
    json_object_foreach(json_object_get(all, "scores"), path, rows) {
        rt_config config = {.task = RETORT_TASK_CLASSIFY, .labels = 3};
        rt_scoring named;
        json_t *value = json_string(path);
        assert_int_equal(rt_config_scoring(&config.scoring, "c", "k", value, NULL), RETORT_OK);
        assert_true(rt_scoring_find(&named, rt_scoring_name(&config.scoring)));
        assert_memory_equal(&named, &config.scoring, sizeof named);
        json_decref(value);
        for (size_t i = 0; i < 3; i++) {
            float row[3];
            for (size_t k = 0; k < 3; k++) row[k] = (float)number_at(logits, i, k);
            rt_score_row(&config, row, row);
            for (size_t k = 0; k < 3; k++) near(path, number_at(rows, i, k), row[k]);
        }
        paths++;
    }
    assert_int_equal(paths, 13);
    json_decref(all);
}

static void test_refused_activations(void **state) {
    static const char *const paths[] = {"my.module.Act", "torch.nn.modules.activation.Threshold", "Tanh",
                                        "torch.nn.", ""};
    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        rt_scoring scoring;
        retort_error err;
        json_t *value = json_string(paths[i]);
        assert_int_equal(rt_config_scoring(&scoring, "c", "activation_fn", value, &err), RETORT_UNSUPPORTED);
        assert_non_null(strstr(err.text, "activation_fn"));
        assert_non_null(strstr(err.text, paths[i]));
        json_decref(value);
    }
}

/* A table and a mean: what has no meaning for it is refused by name. */
static void test_static_embeddings(void **state) {
    static const char *const names[] = {"static-library", "static-model2vec"};
    (void)state;
    for (size_t m = 0; m < 2; m++) {
        json_t *golden = load_golden(names[m]);
        const json_t *wanted = json_object_get(golden, "outputs");
        retort_model *model = import(names[m]), *loaded = saved(model), *none = NULL;
        retort_session *session = open_session(loaded, NULL);
        retort_text texts[MOST_TEXTS];
        retort_error err;
        float vectors[MOST_TEXTS * 12];
        size_t n = texts_of(golden, texts);
        assert_int_equal(retort_embed(session, texts, n, vectors, n * 12, NULL), RETORT_OK);
        for (size_t i = 0; i < n * 12; i++) near(names[m], number_at(wanted, i / 12, i % 12), vectors[i]);
        /* alone, a text without a token is nothing but padding */
        retort_text empty = {.text = "", .length = 0};
        assert_int_equal(retort_embed(session, &empty, 1, vectors, 12, NULL), RETORT_OK);
        for (size_t i = 0; i < 12; i++) assert_true(vectors[i] == 0);
        assert_int_equal(retort_model_quantize(&none, loaded, NULL, &err), RETORT_UNSUPPORTED);
        assert_non_null(strstr(err.text, "static embedding"));
        assert_null(retort_model_warning(loaded, 0));
        retort_session_close(session);
        retort_model_free(loaded);
        retort_model_free(model);
        json_decref(golden);
    }
}

enum { UNPOOLED_COLUMNS = 80, PROMPTS = 3, UNPOOLED_TEXTS = 4, MOST_TOKENS = 512 };

/* All texts with all prompts in one batch, as a server mixes them: the same bits as those of a session for each prompt. */
static void check_mixed(retort_model *model, const retort_text *texts, const char *const *prompts,
                        const float *wanted) {
    int32_t ids[MOST_TOKENS], types[MOST_TOKENS],
        offsets[PROMPTS * UNPOOLED_TEXTS + 1] = {0}, unpooled[PROMPTS * UNPOOLED_TEXTS];
    retort_encoder *encoder = NULL;
    retort_session *session = open_session(model, NULL);
    retort_matrix out;
    retort_error err;
    size_t n = 0, tokens, skipped;
    assert_int_equal(retort_encoder_open(&encoder, model, NULL), RETORT_OK);
    for (size_t i = 0; i < UNPOOLED_TEXTS; i++) {
        for (size_t p = 0; p < PROMPTS; p++, n++) {
            retort_tokenize_options options = RETORT_TOKENIZE_OPTIONS;
            options.prompt_name = prompts[p];
            assert_int_equal(retort_encoder_unpooled(encoder, &options, &skipped, NULL), RETORT_OK);
            assert_int_equal(retort_encode(encoder, &texts[i], &options, ids + offsets[n], types,
                                           MOST_TOKENS - (size_t)offsets[n], &tokens, NULL),
                             RETORT_OK);
            unpooled[n] = (int32_t)skipped;
            offsets[n + 1] = offsets[n] + (int32_t)tokens;
        }
    }
    retort_batch batch = {ids, NULL, offsets, n};
    assert_int_equal(retort_run_unpooled(session, &batch, unpooled, &out, NULL), RETORT_OK);
    for (size_t i = 0; i < n; i++) {
        size_t at = (i % PROMPTS * UNPOOLED_TEXTS + i / PROMPTS) * UNPOOLED_COLUMNS;
        assert_memory_equal(out.data + i * UNPOOLED_COLUMNS, wanted + at, UNPOOLED_COLUMNS * sizeof *wanted);
    }
    for (int32_t wrong = -1; wrong < 2; wrong += 2) { /* fewer than none, or none left */
        unpooled[n - 1] = wrong < 0 ? -1 : offsets[n] - offsets[n - 1];
        assert_int_equal(retort_run_unpooled(session, &batch, unpooled, &out, &err), RETORT_LIMIT);
        assert_non_null(strstr(err.text, "not to be pooled"));
    }
    /* the same ids, once with the prompt pooled and once without */
    int32_t some[] = {0, 3};
    memcpy(ids + offsets[1], ids, (size_t)offsets[1] * sizeof *ids);
    offsets[2] = 2 * offsets[1];
    batch = (retort_batch){ids, NULL, offsets, 2};
    assert_int_equal(retort_run_unpooled(session, &batch, some, &out, NULL), RETORT_OK);
    assert_memory_not_equal(out.data, out.data + UNPOOLED_COLUMNS, UNPOOLED_COLUMNS * sizeof *out.data);
    retort_encoder_close(encoder);
    retort_session_close(session);
}

/* include_prompt: false. */
static void test_unpooled_prompts(void **state) {
    static const char *const prompts[PROMPTS] = {"query", "none", "long"};
    json_t *golden = load_golden("package-unpooled");
    retort_model *model = import("package-unpooled"), *loaded = saved(model);
    retort_text texts[MOST_TEXTS];
    float vectors[PROMPTS * UNPOOLED_TEXTS * UNPOOLED_COLUMNS];
    (void)state;
    assert_int_equal(texts_named("prompt_texts", golden, texts), UNPOOLED_TEXTS);
    for (size_t p = 0; p < PROMPTS; p++) {
        const json_t *wanted = json_object_get(json_object_get(golden, "prompted"), prompts[p]);
        float *rows = vectors + p * UNPOOLED_TEXTS * UNPOOLED_COLUMNS;
        size_t n = UNPOOLED_TEXTS * UNPOOLED_COLUMNS;
        retort_session *session = open_session(loaded, prompts[p]);
        assert_int_equal(retort_embed(session, texts, UNPOOLED_TEXTS, rows, n, NULL), RETORT_OK);
        for (size_t i = 0; i < n; i++)
            near(prompts[p], number_at(wanted, i / UNPOOLED_COLUMNS, i % UNPOOLED_COLUMNS), rows[i]);
        retort_session_close(session);
    }
    check_mixed(model, texts, prompts, vectors);
    retort_model_free(loaded);
    retort_model_free(model);
    json_decref(golden);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unpooled_prompts), cmocka_unit_test(test_cross_encoders),
        cmocka_unit_test(test_setfit),           cmocka_unit_test(test_static_embeddings),
        cmocka_unit_test(test_activations),      cmocka_unit_test(test_refused_activations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
