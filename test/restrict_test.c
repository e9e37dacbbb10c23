/* SPDX-License-Identifier: Apache-2.0
 * Fewer pieces: each golden checkpoint, which have every model and post-processor, restricted to some texts and to
 * languages. Its tokens of these texts must be the old ones by their new ids, and its answers the same bits. */
#include "golden_names.h"
#include "model/model.h"
#include "text/restrict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MOST_IDS = 256, PATH_SIZE = 512 };

static const retort_text texts[] = {
    {.text = "the film is a good one, 1 2", .length = 27},
    {.text = "\xED\x95\x9C\xEA\xB5\xAD \xEC\x98\x81\xED\x99\x94", .length = 13},
    {.text = "caf\xC3\xA9 <mask> [MASK] unaffable zz",
     .length = 31,
     .pair = "not a bad one",
     .pair_length = 13},
    {.text = "\xD0\x94\xD0\xB0 \xE4\xB8\xAD\xE5\x9B\xBD \xF0\x9F\x98\x80", .length = 16},
};
enum { TEXTS = sizeof texts / sizeof *texts };

/* Calls `check` for each folder of the golden checkpoints. */
static void each_checkpoint(void (*check)(const char *path, const char *name)) {
    char path[PATH_SIZE];
    for (size_t i = 0; i < name_count; i++) {
        checkpoint_path(path, sizeof path, names[i]);
        check(path, names[i]);
    }
}

static retort_model *import(const char *path, const retort_import_options *options) {
    retort_model *model = NULL;
    retort_error err;
    if (retort_model_import(&model, path, options, &err) != RETORT_OK) fail_msg("%s", err.text);
    return model;
}

/* ---- Tokens ---- */

static size_t encode(const retort_model *model, const retort_text *text, int32_t *ids) {
    rt_encoding encoding = {0};
    assert_int_equal(rt_encode(model->tokenizer, text, &(rt_encode_options){0}, &encoding, NULL), RETORT_OK);
    assert_in_range(encoding.count, 0, MOST_IDS);
    for (size_t i = 0; i < encoding.count; i++) ids[i] = encoding.ids[i];
    size_t count = encoding.count;
    rt_encoding_free(&encoding);
    return count;
}

/* The same pieces. Ids of pieces that stay rise with the old ones. */
static void check_tokens(const retort_model *whole, const retort_model *less, const char *name) {
    for (size_t t = 0; t < TEXTS; t++) {
        int32_t old[MOST_IDS] = {0}, new[MOST_IDS] = {0};
        size_t count = encode(whole, &texts[t], old);
        if (encode(less, &texts[t], new) != count) fail_msg("%s: text %zu has other tokens", name, t);
        for (size_t i = 0; i < count; i++) {
            const char *before = rt_tokenizer_piece(whole->tokenizer, old[i]),
                       *now = rt_tokenizer_piece(less->tokenizer, new[i]);
            if (before == NULL || now == NULL || strcmp(before, now) != 0 || new[i] > old[i])
                fail_msg("%s: text %zu: token %zu is another piece", name, t, i);
        }
    }
}

/* ---- Answers ---- */

static const float *answer(retort_session *session, const int32_t *ids, size_t count, retort_matrix *out) {
    retort_error err;
    const int32_t offsets[] = {0, (int32_t)count};
    const retort_batch batch = {.ids = ids, .offsets = offsets, .n = 1};
    if (retort_run(session, &batch, out, &err) != RETORT_OK) fail_msg("%s", err.text);
    return out->data;
}

/* Whether the columns of a row are the same; of a model that predicts words, of those pieces that stay. */
static bool same_row(const retort_model *whole, const retort_model *less, const float *old,
                     const float *new) {
    int64_t labels = less->config.labels;
    if (less->config.task != RETORT_TASK_FILL && less->config.pooling != RT_POOL_SPLADE)
        return labels == whole->config.labels && memcmp(old, new, (size_t)labels * sizeof *old) == 0;
    for (int64_t i = 0; i < labels; i++) {
        const char *piece = rt_tokenizer_piece(less->tokenizer, (int32_t)i);
        int32_t id = piece != NULL ? rt_tokenizer_id(whole->tokenizer, piece, strlen(piece)) : -1;
        if (id >= 0 && old[id] != new[i]) return false;
    }
    return true;
}

static void check_answers(retort_model *whole, retort_model *less, const char *name) {
    const retort_session_options options = RETORT_SESSION_OPTIONS;
    retort_session *old = NULL, *new = NULL;
    assert_int_equal(retort_session_open(&old, whole, &options, NULL), RETORT_OK);
    assert_int_equal(retort_session_open(&new, less, &options, NULL), RETORT_OK);
    for (size_t t = 0; t < TEXTS; t++) {
        int32_t ids[MOST_IDS] = {0}, other[MOST_IDS] = {0};
        retort_matrix before, now;
        size_t count = encode(whole, &texts[t], ids);
        encode(less, &texts[t], other);
        if ((int64_t)count > whole->config.positions) continue;
        const float *a = answer(old, ids, count, &before), *b = answer(new, other, count, &now);
        assert_int_equal(before.rows, now.rows);
        for (size_t row = 0; row < now.rows; row++) {
            if (!same_row(whole, less, a + row * before.columns, b + row * now.columns))
                fail_msg("%s: text %zu has other answers", name, t);
        }
    }
    retort_session_close(old);
    retort_session_close(new);
}

static void check_facts(const retort_model *model, size_t count, const char *languages) {
    retort_restriction found = {.size = sizeof found};
    assert_int_equal(retort_model_restriction(model, &found, NULL), RETORT_OK);
    assert_int_equal(found.texts, count);
    assert_int_equal(found.identical, count);
    assert_true(found.identical_unseen <= count && found.pieces <= found.pieces_before);
    assert_int_equal(found.pieces, model->config.vocab);
    if (languages == NULL) assert_null(found.languages);
    if (languages != NULL) assert_string_equal(found.languages, languages);
}

/* ---- Files ---- */

static void temporary(char path[PATH_SIZE]) {
    snprintf(path, PATH_SIZE, "/tmp/retort-restrict-XXXXXX");
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
}

/* The model again from a .retort file. */
static retort_model *reloaded(const retort_model *model) {
    char path[PATH_SIZE];
    retort_model *loaded = NULL;
    retort_error err;
    temporary(path);
    assert_int_equal(retort_model_save(model, path, NULL), RETORT_OK);
    if (retort_model_load(&loaded, path, &err) != RETORT_OK) fail_msg("%s: %s", model->source, err.text);
    unlink(path);
    return loaded;
}

/* And from an .onnx file of ours; NULL: there is none, or it cannot be read without the checkpoint. */
static retort_model *exported(const retort_model *model) {
    char path[PATH_SIZE], onnx[PATH_SIZE + 8];
    retort_model *loaded = NULL;
    temporary(path);
    snprintf(onnx, sizeof onnx, "%s.onnx", path);
    unlink(path);
    retort_status status = retort_model_export(model, onnx, NULL, NULL, NULL);
    if (status == RETORT_OK) status = retort_model_import(&loaded, onnx, NULL, NULL);
    unlink(onnx);
    return status == RETORT_OK ? loaded : NULL;
}

static void check_files(const retort_model *whole, const retort_model *model, const char *name) {
    retort_model *loaded = reloaded(model), *as_before = exported(whole);
    check_tokens(whole, loaded, name);
    check_facts(loaded, TEXTS, NULL);
    retort_model_free(loaded);
    if (as_before != NULL) {
        loaded = exported(model);
        if (loaded == NULL) {
            fail_msg("%s: its .onnx file cannot be read", name);
            return;
        }
        check_tokens(whole, loaded, name);
        check_facts(loaded, TEXTS, NULL);
        retort_model_free(loaded);
    }
    retort_model_free(as_before);
}

static void check_texts(const char *path, const char *name) {
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    retort_model *whole = import(path, NULL);
    options.texts = texts;
    options.text_count = TEXTS;
    for (options.level = 0; options.level <= 3; options.level += 3) {
        retort_model *plain =
            options.level == 3 ? retort_model_retain(whole)
                               : import(path, &(retort_import_options){.size = sizeof options, .level = 0});
        retort_model *less = import(path, &options);
        check_facts(less, TEXTS, NULL);
        check_tokens(plain, less, name);
        check_answers(plain, less, name);
        if (options.level == 3) check_files(plain, less, name);
        retort_model_free(less);
        retort_model_free(plain);
    }
    retort_model_free(whole);
}

static void test_texts(void **state) {
    (void)state;
    each_checkpoint(check_texts);
}

/* ---- Languages ---- */

/* A WordPiece vocabulary of some scripts; the unused piece of two Latin letters is "xy". */
static const char vocab[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nz\nxy\n##y\n\xC3\xA9\n\xED\x95\x9C\n##\xED\x95\x9C\n"
    "\xED\x95\x9C\xEA\xB5\xAD\n\xD0\x94\n\xD0\x94\xD0\xB0\n!\n12\n";

static void open_whole(rt_tokenizer **out) {
    static const char config[] = "{\"do_lower_case\": false, \"strip_accents\": false}";
    assert_int_equal(
        rt_tokenizer_from_vocab(out, "test", vocab, sizeof vocab - 1, config, sizeof config - 1, NULL),
        RETORT_OK);
}

static rt_tokenizer *restricted(const rt_restriction_options *options) {
    rt_tokenizer *whole, *less;
    rt_restriction made;
    retort_error err;
    open_whole(&whole);
    retort_status status = rt_tokenizer_restrict(&less, &made, whole, options, "test", &err);
    if (status != RETORT_OK) fail_msg("%s", err.text);
    for (size_t i = 0; i < made.count; i++)
        assert_string_equal(rt_tokenizer_piece(less, (int32_t)i), rt_tokenizer_piece(whole, made.ids[i]));
    rt_restriction_free(&made);
    rt_tokenizer_free(whole);
    return less;
}

static bool has(const rt_tokenizer *tokenizer, const char *piece) {
    return rt_tokenizer_id(tokenizer, piece, strlen(piece)) >= 0;
}

static void check_pieces(const rt_restriction_options *options, const char *const *kept,
                         const char *const *gone) {
    rt_tokenizer *tokenizer = restricted(options);
    for (size_t i = 0; kept[i] != NULL; i++) {
        if (!has(tokenizer, kept[i])) fail_msg("'%s' is gone", kept[i]);
    }
    for (size_t i = 0; gone[i] != NULL; i++) {
        if (has(tokenizer, gone[i])) fail_msg("'%s' is still there", gone[i]);
    }
    rt_tokenizer_free(tokenizer);
}

#define KO        "\xED\x95\x9C"
#define KO_WITHIN "##\xED\x95\x9C"
#define KO2       "\xED\x95\x9C\xEA\xB5\xAD"
#define RU        "\xD0\x94"
#define RU2       "\xD0\x94\xD0\xB0"
#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_languages(void **state) {
    (void)state;
    const retort_text some = {.text = RU2 " a", .length = 6};
    check_pieces(&(rt_restriction_options){.languages = "ko"},
                 LIST("[PAD]", "[UNK]", "[MASK]", KO, KO_WITHIN, KO2, "!", "12", "a", "z", "##y"),
                 LIST(RU, RU2, "xy", "\xC3\xA9"));
    check_pieces(&(rt_restriction_options){.languages = "ru,ko"}, LIST(KO2, RU, RU2, "a"),
                 LIST("xy", "\xC3\xA9"));
    check_pieces(&(rt_restriction_options){.languages = "en"}, LIST("xy", "\xC3\xA9", "a"),
                 LIST(KO, KO2, RU2));
    /* Other languages are written in Latin letters as well, so texts decide; not of Hangul. */
    check_pieces(&(rt_restriction_options){.languages = "en,ko", .texts = &some, .count = 1},
                 LIST("a", "\xC3\xA9", RU2, KO2, KO), LIST("xy", RU));
    check_pieces(&(rt_restriction_options){.texts = &some, .count = 1}, LIST("a", RU, RU2, KO),
                 LIST("xy", KO2));
    check_pieces(&(rt_restriction_options){.languages = "en", .first = 8}, LIST("xy", "a"), LIST(KO2));
}

/* Half of the texts have a piece of their own. */
static void test_unseen(void **state) {
    (void)state;
    static const retort_text four[] = {{.text = "xy", .length = 2},
                                       {.text = KO2, .length = 6},
                                       {.text = KO2 " a", .length = 8},
                                       {.text = RU2 " q", .length = 6}};
    rt_tokenizer *whole, *less;
    rt_restriction made;
    open_whole(&whole);
    const rt_restriction_options options = {.texts = four, .count = 4};
    assert_int_equal(rt_tokenizer_restrict(&less, &made, whole, &options, "test", NULL), RETORT_OK);
    assert_int_equal(made.identical, 4);
    assert_int_equal(made.identical_unseen, 2);
    rt_restriction_free(&made);
    rt_tokenizer_free(less);
    rt_tokenizer_free(whole);
}

static void test_what_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"", "xx", "ko,", "ko,,en", "KO", "kor", "ko en"};
    rt_tokenizer *whole, *less;
    rt_restriction made;
    retort_error err;
    open_whole(&whole);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const rt_restriction_options options = {.languages = bad[i]};
        assert_int_equal(rt_tokenizer_restrict(&less, &made, whole, &options, "test", &err), RETORT_ARGUMENT);
        assert_non_null(strstr(err.text, " ko "));
        assert_non_null(strstr(err.text, " zu"));
    }
    rt_tokenizer_free(whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_languages),
        cmocka_unit_test(test_unseen),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests_name("restrict", tests, find_checkpoints, NULL);
}
