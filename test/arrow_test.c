/* SPDX-License-Identifier: Apache-2.0
 * Columns of Arrow: texts in, the answers of retort_classify and retort_embed out. */
#include "retort_arrow.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

static retort_session *session_of(const char *name, retort_model **model) {
    char path[512];
    const char *root = getenv("RETORT_ROOT");
    retort_session_options options = RETORT_SESSION_OPTIONS;
    retort_session *session = NULL;
    retort_error err;
    options.threads = 1;
    snprintf(path, sizeof path, "%s/test/golden/checkpoints/%s", root != NULL ? root : ".", name);
    if (retort_model_import(model, path, NULL, &err) != RETORT_OK) fail_msg("%s", err.text);
    if (retort_session_open(&session, *model, &options, &err) != RETORT_OK) fail_msg("%s", err.text);
    return session;
}

/* ---- A column of texts, in the memory of the test ---- */

static void keep(struct ArrowArray *array) {
    array->release = NULL;
}
static void keep_schema(struct ArrowSchema *schema) {
    schema->release = NULL;
}

enum { ROWS = 6 };
static const char letters[] = "skippedgood filmbadthe film";
static const int32_t offsets[] = {0, 7, 16, 16, 19, 19, 27};
static const int64_t large_offsets[] = {0, 7, 16, 16, 19, 19, 27};
static const uint8_t valid[] = {0x2F}; /* all but row 4 */
static const retort_text rows[] = {{"skipped", 7, NULL, 0}, {"good film", 9, NULL, 0},
                                   {"", 0, NULL, 0},        {"bad", 3, NULL, 0},
                                   {"", 0, NULL, 0},        {"the film", 8, NULL, 0}};

typedef struct texts {
    struct ArrowSchema schema, child_schema, *child_schemas[1];
    struct ArrowArray array, child, *children[1];
    const void *buffers[3], *around[1];
} texts;

static void texts_of(texts *t, const char *format, int64_t from) {
    bool large = format[0] == 'U';
    *t = (texts){.buffers = {valid, large ? (const void *)large_offsets : (const void *)offsets, letters}};
    t->schema = (struct ArrowSchema){.format = format, .name = "", .flags = 2, .release = keep_schema};
    t->array = (struct ArrowArray){.length = ROWS - from,
                                   .null_count = -1,
                                   .offset = from,
                                   .n_buffers = 3,
                                   .buffers = t->buffers,
                                   .release = keep};
}

/* A record batch without its first row, and its row 3 is a null. */
static void batch_of(texts *t, const uint8_t *validity) {
    texts_of(t, "u", 0);
    t->child_schema = t->schema;
    t->child_schema.name = "body";
    t->child = t->array;
    t->child_schemas[0] = &t->child_schema;
    t->children[0] = &t->child;
    t->around[0] = validity;
    t->schema = (struct ArrowSchema){
        .format = "+s", .name = "", .n_children = 1, .children = t->child_schemas, .release = keep_schema};
    t->array = (struct ArrowArray){.length = ROWS - 1,
                                   .null_count = validity != NULL,
                                   .offset = 1,
                                   .n_buffers = 1,
                                   .n_children = 1,
                                   .buffers = t->around,
                                   .children = t->children,
                                   .release = keep};
}

static bool is_valid(const struct ArrowArray *array, int64_t row) {
    return (((const uint8_t *)array->buffers[0])[row / 8] >> row % 8 & 1) != 0;
}

/* The answers are those to the rows from `from` on, and nulls for the rows in `nulls`, a bit each. */
static void check_labels(retort_session *session, const retort_model *model, const struct ArrowArray *out,
                         int64_t from, unsigned nulls) {
    retort_info info = {.size = sizeof info};
    float scores[64];
    int64_t count = 0;
    retort_model_info(model, &info);
    const struct ArrowArray *label = out->children[0], *score = out->children[1], *names = label->dictionary;
    assert_int_equal(out->length, ROWS - from);
    assert_int_equal(names->length, info.labels);
    for (int64_t row = 0; row < out->length; row++) {
        bool null = (nulls >> (row + from) & 1) != 0;
        count += null;
        assert_int_equal(is_valid(label, row), !null);
        assert_int_equal(is_valid(score, row), !null);
        if (null) continue;
        uint32_t best;
        assert_int_equal(retort_classify(session, &rows[row + from], 1, scores, NULL, 64, NULL), RETORT_OK);
        retort_best(scores, (size_t)info.labels, &best, 1);
        assert_int_equal(((const int32_t *)label->buffers[1])[row], best);
        assert_memory_equal((const float *)score->buffers[1] + row, &scores[best], sizeof(float));
    }
    assert_int_equal(label->null_count, count);
    assert_int_equal(score->null_count, count);
    for (int64_t i = 0; i < info.labels; i++) {
        const int32_t *at = names->buffers[1];
        const char *name = retort_model_label(model, i);
        assert_int_equal(at[i + 1] - at[i], strlen(name));
        assert_memory_equal((const char *)names->buffers[2] + at[i], name, strlen(name));
    }
}

static void labels_of_texts(void **state) {
    (void)state;
    retort_model *model;
    retort_session *session = session_of("distilbert-classify", &model);
    texts t;
    struct ArrowArray out;
    retort_error err;
    static const char *const formats[] = {"u", "U"};
    for (size_t i = 0; i < 2; i++) {
        for (int64_t from = 0; from < ROWS; from++) {
            texts_of(&t, formats[i], from);
            if (retort_arrow_array(session, &t.schema, &t.array, NULL, &out, &err) != RETORT_OK)
                fail_msg("%s", err.text);
            check_labels(session, model, &out, from, 1u << 4);
            out.release(&out);
            assert_null(out.release);
        }
    }
    static const uint8_t all_but_3[] = {0xF7};
    batch_of(&t, NULL);
    assert_int_equal(retort_arrow_array(session, &t.schema, &t.array, "body", &out, &err), RETORT_OK);
    check_labels(session, model, &out, 1, 1u << 4);
    out.release(&out);
    batch_of(&t, all_but_3);
    assert_int_equal(retort_arrow_array(session, &t.schema, &t.array, "body", &out, &err), RETORT_OK);
    check_labels(session, model, &out, 1, 1u << 4 | 1u << 3);
    out.release(&out);
    retort_session_close(session);
    retort_model_free(model);
}

/* ---- String views and dictionaries ---- */

typedef struct view {
    int32_t length;
    union {
        char letters[12];
        struct {
            char first[4];
            int32_t buffer, from;
        };
    };
} view;

/* As the other columns: "good film" in the view itself, "the film" and "skipped" in a buffer. Row 4 is a null, and noise. */
static view views[ROWS + 1] = {{7, {{"skipped"}}},
                               {9, {{"good film"}}},
                               {0, {{0}}},
                               {3, {{"bad"}}},
                               {77, {{"nonsense!!!!"}}},
                               {8, {{"the film"}}},
                               {19, {.first = "good", .buffer = 1, .from = 2}}};
static const char apart[] = "x good film, good film";
static const int64_t view_sizes[] = {0, 21};
static const void *view_buffers[] = {valid, views, letters, apart + 1, view_sizes};

static void views_of(texts *t) {
    texts_of(t, "vu", 0);
    t->array.n_buffers = 5;
    t->array.buffers = view_buffers;
}

static const uint8_t no_nulls[] = {0xFF};
static const retort_text long_text = {"ood film, good film", 19, NULL, 0};

static void views_of_texts(void **state) {
    (void)state;
    retort_model *model;
    retort_session *session = session_of("distilbert-classify", &model);
    texts t;
    struct ArrowArray out;
    retort_error err;
    views_of(&t);
    if (retort_arrow_array(session, &t.schema, &t.array, NULL, &out, &err) != RETORT_OK)
        fail_msg("%s", err.text);
    check_labels(session, model, &out, 0, 1u << 4);
    out.release(&out);

    float scores[64];
    uint32_t best;
    retort_info info = {.size = sizeof info};
    retort_model_info(model, &info);
    t.array.offset = ROWS; /* the one in a buffer */
    t.array.length = 1;
    view_buffers[0] = no_nulls;
    assert_int_equal(retort_arrow_array(session, &t.schema, &t.array, NULL, &out, &err), RETORT_OK);
    assert_int_equal(retort_classify(session, &long_text, 1, scores, NULL, 64, NULL), RETORT_OK);
    retort_best(scores, (size_t)info.labels, &best, 1);
    assert_memory_equal(out.children[1]->buffers[1], &scores[best], sizeof(float));
    out.release(&out);
    view_buffers[0] = valid;
    retort_session_close(session);
    retort_model_free(model);
}

static const char dictionary_letters[] = "badgood filmthe filmskipped";
static const int32_t dictionary_offsets[] = {0, 0, 3, 12, 20, 27};
static const uint8_t index_bytes[] = {4, 2, 0, 1, 99, 3};
static const uint16_t index_shorts[] = {4, 2, 0, 1, 99, 3};
static const int32_t index_ints[] = {4, 2, 0, 1, -99, 3};
static const int64_t index_longs[] = {4, 2, 0, 1, 99, 3};

typedef struct coded {
    texts t;
    struct ArrowSchema words_schema;
    struct ArrowArray words;
    const void *buffers[3];
} coded;

static void dictionary_of(coded *c, const char *format, const void *indices) {
    *c = (coded){.buffers = {NULL, dictionary_offsets, dictionary_letters}};
    texts_of(&c->t, format, 0);
    c->words_schema = (struct ArrowSchema){.format = "u", .name = "", .release = keep_schema};
    c->words = (struct ArrowArray){.length = 5, .n_buffers = 3, .buffers = c->buffers, .release = keep};
    c->t.buffers[1] = indices;
    c->t.array.n_buffers = 2;
    c->t.array.dictionary = &c->words;
    c->t.schema.dictionary = &c->words_schema;
}

static void dictionaries_of_texts(void **state) {
    (void)state;
    retort_model *model;
    retort_session *session = session_of("distilbert-classify", &model);
    static const struct {
        const char *format;
        const void *indices;
    } rows_of[] = {{"c", index_bytes}, {"C", index_bytes}, {"s", index_shorts}, {"S", index_shorts},
                   {"i", index_ints},  {"I", index_ints},  {"l", index_longs},  {"L", index_longs}};
    coded c;
    struct ArrowArray out;
    retort_error err;
    for (size_t i = 0; i < sizeof rows_of / sizeof *rows_of; i++) {
        dictionary_of(&c, rows_of[i].format, rows_of[i].indices);
        if (retort_arrow_array(session, &c.t.schema, &c.t.array, NULL, &out, &err) != RETORT_OK)
            fail_msg("%s: %s", rows_of[i].format, err.text);
        check_labels(session, model, &out, 0, 1u << 4);
        out.release(&out);
    }
    static const uint8_t not_the_first[] = {0x1E}; /* row 2 is a null of the dictionary */
    dictionary_of(&c, "i", index_ints);
    c.buffers[0] = not_the_first;
    c.words.null_count = 1;
    assert_int_equal(retort_arrow_array(session, &c.t.schema, &c.t.array, NULL, &out, &err), RETORT_OK);
    check_labels(session, model, &out, 0, 1u << 4 | 1u << 2);
    out.release(&out);
    retort_session_close(session);
    retort_model_free(model);
}

static void types_of_answers(void **state) {
    (void)state;
    retort_model *model;
    struct ArrowSchema schema;
    retort_session *session = session_of("distilbert-classify", &model);
    assert_int_equal(retort_arrow_schema(session, &schema, NULL), RETORT_OK);
    assert_string_equal(schema.format, "+s");
    assert_int_equal(schema.n_children, 2);
    assert_string_equal(schema.children[0]->name, "label");
    assert_string_equal(schema.children[0]->format, "i");
    assert_string_equal(schema.children[0]->dictionary->format, "u");
    assert_string_equal(schema.children[1]->name, "score");
    assert_string_equal(schema.children[1]->format, "f");
    schema.release(&schema);
    assert_null(schema.release);
    retort_session_close(session);
    retort_model_free(model);

    session = session_of("bert-embed", &model);
    retort_info info = {.size = sizeof info};
    char list[32];
    retort_model_info(model, &info);
    snprintf(list, sizeof list, "+w:%lld", (long long)info.labels);
    assert_int_equal(retort_arrow_schema(session, &schema, NULL), RETORT_OK);
    assert_int_equal(schema.n_children, 1);
    assert_string_equal(schema.children[0]->name, "embedding");
    assert_string_equal(schema.children[0]->format, list);
    assert_string_equal(schema.children[0]->children[0]->format, "f");
    schema.release(&schema);
    retort_session_close(session);
    retort_model_free(model);
}

/* A child that was taken out lives on when the rest is released. */
static void vectors_of_texts(void **state) {
    (void)state;
    retort_model *model;
    retort_session *session = session_of("bert-embed", &model);
    retort_info info = {.size = sizeof info};
    float vector[256];
    texts t;
    struct ArrowArray out, list;
    retort_error err;
    retort_model_info(model, &info);
    size_t n = (size_t)info.labels;
    texts_of(&t, "u", 1);
    assert_int_equal(retort_arrow_array(session, &t.schema, &t.array, NULL, &out, &err), RETORT_OK);
    list = *out.children[0];
    out.children[0]->release = NULL;
    out.release(&out);
    assert_int_equal(list.length, ROWS - 1);
    assert_int_equal(list.null_count, 1);
    assert_int_equal(list.children[0]->length, (ROWS - 1) * info.labels);
    const float *values = list.children[0]->buffers[1];
    for (size_t row = 0; row < ROWS - 1; row++) {
        assert_int_equal(is_valid(&list, (int64_t)row), row != 3);
        if (row == 3) continue;
        assert_int_equal(retort_embed(session, &rows[row + 1], 1, vector, 256, NULL), RETORT_OK);
        assert_memory_equal(values + row * n, vector, n * sizeof *vector);
    }
    list.release(&list);
    retort_session_close(session);
    retort_model_free(model);
}

static void expect_refusal(retort_session *session, const texts *t, const char *column, retort_status status,
                           const char *words) {
    struct ArrowArray out;
    retort_error err = {0};
    assert_int_equal(retort_arrow_array(session, &t->schema, &t->array, column, &out, &err), status);
    if (strstr(err.text, words) == NULL) fail_msg("'%s' does not say '%s'", err.text, words);
}

static void refuse_views(retort_session *session) {
    texts t;
    view kept = views[3];
    static const struct {
        view view;
        const char *words;
    } wrong[] = {
        {{-1, {{0}}}, "text 3: offset 4 and length -1"},
        {{20, {.first = "", .buffer = 1, .from = 2}}, "text 3: offset 2 and length 20"}, /* one too many */
        {{19, {.first = "", .buffer = 1, .from = -2}}, "text 3: offset -2 and length 19"},
        {{19, {.first = "", .buffer = 2, .from = 0}}, "text 3: offset 0 and length 19"},
        {{19, {.first = "", .buffer = -1, .from = 0}}, "text 3: offset 0 and length 19"},
        {{13, {.first = "", .buffer = 0, .from = 0}},
         "text 3: offset 0 and length 13"}, /* of an empty buffer */
    };
    views_of(&t);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        views[3] = wrong[i].view;
        expect_refusal(session, &t, NULL, RETORT_ARGUMENT, wrong[i].words);
    }
    views[3] = kept;
    t.array.n_buffers = 2;
    expect_refusal(session, &t, NULL, RETORT_ARGUMENT, "no array of texts: 2 buffers");
}

static void refuse_dictionaries(retort_session *session) {
    coded c;
    static const uint8_t far[] = {4, 2, 0, 5, 0, 3}, negative[] = {4, 2, 0, 0xFF, 0, 3};
    dictionary_of(&c, "C", far);
    expect_refusal(session, &c.t, NULL, RETORT_ARGUMENT, "text 3: index 5 of a dictionary of 5");
    dictionary_of(&c, "c", negative);
    expect_refusal(session, &c.t, NULL, RETORT_ARGUMENT, "text 3: index -1 of a dictionary of 5");
    dictionary_of(&c, "f", index_ints);
    expect_refusal(session, &c.t, NULL, RETORT_ARGUMENT, "a dictionary with indices of type 'f'");
    dictionary_of(&c, "i", index_ints);
    c.words_schema.format = "l";
    expect_refusal(session, &c.t, NULL, RETORT_UNSUPPORTED, "texts of type 'int64'");
    dictionary_of(&c, "i", index_ints);
    c.t.array.n_buffers = 1;
    expect_refusal(session, &c.t, NULL, RETORT_ARGUMENT, "these are no indices: 1 buffers");
}

static void refuse_equal_names(retort_session *session) {
    texts t;
    batch_of(&t, NULL);
    struct ArrowSchema *schemas[] = {&t.child_schema, &t.child_schema};
    struct ArrowArray *arrays[] = {&t.child, &t.child};
    t.schema.children = schemas;
    t.array.children = arrays;
    t.schema.n_children = t.array.n_children = 2;
    expect_refusal(session, &t, "body", RETORT_ARGUMENT, "2 columns are named 'body'");
}

static void refused_columns(void **state) {
    (void)state;
    retort_model *model, *tags;
    retort_session *session = session_of("distilbert-classify", &model);
    texts t;
    texts_of(&t, "u", 0);
    t.schema.format = "l";
    expect_refusal(session, &t, NULL, RETORT_UNSUPPORTED, "type 'int64': expected utf8");
    expect_refusal(session, &t, "body", RETORT_ARGUMENT, "not a struct");
    batch_of(&t, NULL);
    expect_refusal(session, &t, NULL, RETORT_ARGUMENT, "a table: name its column of texts");
    expect_refusal(session, &t, "other", RETORT_ARGUMENT, "there is no column 'other'");
    t.child.length = 3;
    expect_refusal(session, &t, "body", RETORT_ARGUMENT, "column 'body' has 3 rows, and the struct has 6");
    static const int32_t falling[] = {0, 7, 5, 16, 19, 19, 27}, negative[] = {-1, 7, 16, 16, 19, 19, 27};
    texts_of(&t, "u", 0);
    t.buffers[1] = falling;
    expect_refusal(session, &t, NULL, RETORT_ARGUMENT,
                   "text 1: offset 7 and length -2 are not in its buffer");
    t.buffers[1] = negative;
    expect_refusal(session, &t, NULL, RETORT_ARGUMENT,
                   "text 0: offset -1 and length 8 are not in its buffer");
    texts_of(&t, "u", 0);
    t.buffers[2] = "skippedgood\xFF"
                   "film"
                   "bad"
                   "the fil\xC3"; /* "é" would go on beyond the text */
    expect_refusal(session, &t, NULL, RETORT_ARGUMENT, "text 1 is not UTF-8 from byte 4 on");
    texts_of(&t, "u", 2);
    t.buffers[2] = "skippedgood\xFF"
                   "film"
                   "bad"
                   "the fil\xC3";
    expect_refusal(session, &t, NULL, RETORT_ARGUMENT, "text 3 is not UTF-8 from byte 7 on");
    t.array.n_buffers = 2;
    expect_refusal(session, &t, NULL, RETORT_ARGUMENT, "no array of texts");
    keep(&t.array);
    expect_refusal(session, &t, NULL, RETORT_ARGUMENT, "was released");
    refuse_views(session);
    refuse_equal_names(session);
    refuse_dictionaries(session);
    retort_session_close(session);
    retort_model_free(model);

    session = session_of("bert-tag", &tags);
    texts_of(&t, "u", 0);
    expect_refusal(session, &t, NULL, RETORT_UNSUPPORTED, "neither classifies nor embeds");
    assert_int_equal(retort_arrow_schema(session, &t.schema, NULL), RETORT_UNSUPPORTED);
    retort_session_close(session);
    retort_model_free(tags);
}

/* ---- Streams ---- */

typedef struct source {
    texts t;
    int left; /* arrays; below 0: the source fails */
    bool released;
} source;

static int source_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out) {
    source *s = stream->private_data;
    *out = s->t.schema;
    return 0;
}

static int source_next(struct ArrowArrayStream *stream, struct ArrowArray *out) {
    source *s = stream->private_data;
    *out = s->t.array;
    if (s->left == 0) out->release = NULL;
    return s->left-- < 0 ? EPIPE : 0;
}

static const char *source_error(struct ArrowArrayStream *stream) {
    (void)stream;
    return "the pipe is gone";
}

static void source_release(struct ArrowArrayStream *stream) {
    ((source *)stream->private_data)->released = true;
    stream->release = NULL;
}

static void streams_of_batches(void **state) {
    (void)state;
    retort_model *model;
    retort_session *session = session_of("distilbert-classify", &model);
    source s = {.left = 3};
    struct ArrowArrayStream in = {source_schema, source_next, source_error, source_release, &s}, out;
    struct ArrowArray array;
    struct ArrowSchema schema;
    retort_error err;
    batch_of(&s.t, NULL);
    assert_int_equal(retort_arrow_stream(session, &in, "body", &out, &err), RETORT_OK);
    assert_null(in.release); /* it was taken over */
    assert_int_equal(out.get_schema(&out, &schema), 0);
    assert_int_equal(schema.n_children, 2);
    schema.release(&schema);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(out.get_next(&out, &array), 0);
        check_labels(session, model, &array, 1, 1u << 4);
        array.release(&array);
    }
    assert_int_equal(out.get_next(&out, &array), 0);
    assert_null(array.release); /* the end */
    assert_int_equal(out.get_next(&out, &array), EPIPE);
    assert_non_null(strstr(out.get_last_error(&out), "the pipe is gone"));
    assert_false(s.released);
    out.release(&out);
    assert_true(s.released);
    assert_null(out.release);

    s = (source){.left = 1};
    in = (struct ArrowArrayStream){source_schema, source_next, source_error, source_release, &s};
    texts_of(&s.t, "u", 0);
    assert_int_equal(retort_arrow_stream(session, &in, "body", &out, &err), RETORT_OK);
    assert_int_equal(out.get_next(&out, &array), EINVAL);
    assert_non_null(strstr(out.get_last_error(&out), "not a struct"));
    out.release(&out);
    retort_session_close(session);
    retort_model_free(model);
}

/* The stream is all that is left of session and model. */
static void streams_with_a_session(void **state) {
    (void)state;
    retort_model *model, *same;
    retort_session *session = session_of("distilbert-classify", &same);
    retort_session_close(session_of("distilbert-classify", &model));
    retort_session_options options = RETORT_SESSION_OPTIONS;
    source s = {.left = 2};
    struct ArrowArrayStream in = {source_schema, source_next, source_error, source_release, &s}, out;
    struct ArrowArray array;
    retort_error err = {0};
    options.threads = 1;
    batch_of(&s.t, NULL);
    assert_int_equal(retort_arrow_open(model, &options, &in, "body", &out, &err), RETORT_OK);
    retort_model_free(model);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(out.get_next(&out, &array), 0);
        check_labels(session, same, &array, 1, 1u << 4);
        array.release(&array);
    }
    assert_int_equal(out.get_next(&out, &array), 0);
    assert_null(array.release);
    out.release(&out);
    assert_true(s.released);

    options.isa = "nothing"; /* no session: the texts are released all the same */
    s = (source){.left = 1};
    in = (struct ArrowArrayStream){source_schema, source_next, source_error, source_release, &s};
    assert_int_equal(retort_arrow_open(same, &options, &in, "body", &out, &err), RETORT_ARGUMENT);
    assert_true(s.released);
    assert_int_equal(retort_arrow_open(same, NULL, &in, "body", &out, &err), RETORT_ARGUMENT);
    assert_non_null(strstr(err.text, "a stream that is not released"));
    retort_session_close(session);
    retort_model_free(same);
}

/* ---- Small arrays ---- */

/* Arrays of one row each, but for one that is large: a row of `rows`, or a null. */
typedef struct trickle {
    texts t;
    retort_model *model;
    int at, count, bad; /* arrays; the one that is not UTF-8 (-1: none) */
    int large;          /* the one that has all rows, 200 times */
    int runs, cancel;   /* groups of texts that were run; the one that is cancelled (-1: none) */
    bool slow;          /* each array takes a while */
    int32_t many[200 * ROWS + 1];
    char letters[200 * sizeof letters];
} trickle;

static void trickle_release(struct ArrowArrayStream *stream) {
    stream->release = NULL;
}

static int trickle_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out) {
    *out = ((trickle *)stream->private_data)->t.schema;
    return 0;
}

static int trickle_next(struct ArrowArrayStream *stream, struct ArrowArray *out) {
    static const char noise[] = "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"
                                "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF";
    trickle *s = stream->private_data;
    if (s->slow) nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
    texts_of(&s->t, "u", s->at % ROWS);
    *out = s->t.array;
    out->length = 1;
    s->t.buffers[2] = s->at == s->bad ? noise : letters;
    if (s->at == s->large) {
        s->t.buffers[0] = NULL;
        s->t.buffers[1] = s->many;
        s->t.buffers[2] = s->letters;
        out->offset = 0;
        out->length = 200 * ROWS;
    }
    if (s->at++ < s->count) return 0;
    out->release = NULL;
    return s->at > s->count + 1 ? EPIPE : 0;
}

static int count_runs(void *user) {
    trickle *s = user;
    return s->runs++ == s->cancel;
}

static retort_session *open_trickle(trickle *s, struct ArrowArrayStream *out) {
    retort_session_options options = RETORT_SESSION_OPTIONS;
    retort_session *session;
    retort_error err;
    struct ArrowArrayStream in = {trickle_schema, trickle_next, source_error, trickle_release, s};
    retort_session_close(session_of("distilbert-classify", &s->model));
    options.threads = 1;
    options.cancel = count_runs;
    options.cancel_user = s;
    for (int i = 0; i < 200; i++) {
        memcpy(s->letters + i * offsets[ROWS], letters, (size_t)offsets[ROWS]);
        for (int row = 0; row <= ROWS; row++) s->many[i * ROWS + row] = i * offsets[ROWS] + offsets[row];
    }
    texts_of(&s->t, "u", 0);
    assert_int_equal(retort_session_open(&session, s->model, &options, &err), RETORT_OK);
    assert_int_equal(retort_arrow_stream(session, &in, NULL, out, &err), RETORT_OK);
    return session;
}

/* The answer to one row is that of retort_classify to it alone. */
static void check_row(retort_session *session, const struct ArrowArray *out, int64_t at,
                      const retort_text *text) {
    float scores[64];
    const struct ArrowArray *label = out->children[0], *score = out->children[1];
    assert_int_equal(is_valid(label, at), text != NULL);
    assert_int_equal(is_valid(score, at), text != NULL);
    if (text == NULL) return;
    uint32_t best;
    assert_int_equal(retort_classify(session, text, 1, scores, NULL, 64, NULL), RETORT_OK);
    retort_best(scores, (size_t)label->dictionary->length, &best, 1);
    assert_int_equal(((const int32_t *)label->buffers[1])[at], best);
    assert_memory_equal((const float *)score->buffers[1] + at, &scores[best], sizeof(float));
}

static void expect_array(retort_session *session, struct ArrowArrayStream *out, const trickle *s, int i) {
    struct ArrowArray array;
    int code = out->get_next(out, &array);
    if (i == s->bad) {
        assert_int_equal(code, EINVAL);
        assert_non_null(strstr(out->get_last_error(out), "text 0 is not UTF-8 from byte 0 on"));
        return;
    }
    assert_int_equal(code, 0);
    assert_int_equal(array.length, i == s->large ? 200 * ROWS : 1);
    for (int64_t row = 0; row < array.length; row++) {
        int64_t text = i == s->large ? row % ROWS : i % ROWS;
        check_row(session, &array, row, i != s->large && text == 4 ? NULL : &rows[text]);
    }
    array.release(&array);
}

static void small_arrays_are_answered_together(void **state) {
    (void)state;
    struct ArrowArrayStream out;
    struct ArrowArray array;
    retort_error err;
    trickle *s = malloc(sizeof *s);
    assert_non_null(s);
    *s = (trickle){.count = 1500, .bad = 601, .large = 700, .cancel = -1};
    retort_session *session = open_trickle(s, &out);
    for (int i = 0; i < s->count; i++) expect_array(session, &out, s, i);
    assert_true(s->runs >= 5 && s->runs < 100); /* instead of 1,250 */
    assert_int_equal(out.get_next(&out, &array), 0);
    assert_null(array.release); /* the end */
    assert_int_equal(out.get_next(&out, &array), EPIPE);
    out.release(&out);
    assert_int_equal(retort_arrow_own(&out, &err), RETORT_ARGUMENT);
    retort_session_close(session);
    retort_model_free(s->model);

    *s = (trickle){.count = 10, .bad = -1, .large = 5, .cancel = 0}; /* what is cancelled goes on */
    session = open_trickle(s, &out);
    for (int i = 0; i < s->count; i++) {
        if (i == 0 || i == s->large) {
            assert_int_equal(out.get_next(&out, &array), EINTR);
            assert_non_null(strstr(out.get_last_error(&out), "cancelled"));
        }
        if (i == s->large - 1) s->cancel = s->runs;
        expect_array(session, &out, s, i);
    }
    assert_int_equal(retort_arrow_own(&out, &err), RETORT_OK);
    retort_model_free(s->model);
    out.release(&out); /* and the session with it */
    free(s);
}

static void arrays_of_a_slow_source_are_answered_at_once(void **state) {
    (void)state;
    struct ArrowArrayStream out;
    trickle *s = malloc(sizeof *s);
    assert_non_null(s);
    *s = (trickle){.count = 3, .bad = -1, .large = -1, .cancel = -1, .slow = true};
    retort_session *session = open_trickle(s, &out);
    for (int i = 0; i < s->count; i++) {
        expect_array(session, &out, s, i);
        assert_int_equal(s->at, i + 1);
    }
    out.release(&out);
    retort_session_close(session);
    retort_model_free(s->model);
    free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_of_texts),
        cmocka_unit_test(types_of_answers),
        cmocka_unit_test(vectors_of_texts),
        cmocka_unit_test(refused_columns),
        cmocka_unit_test(streams_of_batches),
        cmocka_unit_test(views_of_texts),
        cmocka_unit_test(dictionaries_of_texts),
        cmocka_unit_test(streams_with_a_session),
        cmocka_unit_test(small_arrays_are_answered_together),
        cmocka_unit_test(arrays_of_a_slow_source_are_answered_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
