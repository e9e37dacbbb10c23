/* SPDX-License-Identifier: Apache-2.0
 * Columns of Arrow and rows of tables when memory runs out: for every n, the n-th allocation fails (and again all from the
 * n-th on), and each piece of work reports an error or manages without, and leaks nothing. */
#include "failing_works.h"
#include "pieces.h"
#include "retort_arrow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static retort_model *classifier, *encoder;

/* ---- Arrow ---- */

static void keep(struct ArrowArray *array) {
    array->release = NULL;
}
static void keep_schema(struct ArrowSchema *schema) {
    schema->release = NULL;
}

/* "good film", null, "bad" of a dictionary, in a record batch. */
static const char letters[] = "good filmbad";
static const int32_t offsets[] = {0, 9, 12};
static const uint8_t valid[] = {5};
static const int8_t indices[] = {0, 0, 1};
static const void *word_buffers[] = {NULL, offsets, letters}, *index_buffers[] = {valid, indices},
                  *batch_buffers[] = {NULL};
static struct ArrowSchema word_schema = {.format = "u", .name = "", .release = keep_schema},
                          column_schema = {.format = "c",
                                           .name = "body",
                                           .flags = ARROW_FLAG_NULLABLE,
                                           .dictionary = &word_schema,
                                           .release = keep_schema},
                          *column_schemas[] = {&column_schema};
static const struct ArrowSchema batch_schema = {
    .format = "+s", .name = "", .n_children = 1, .children = column_schemas, .release = keep_schema};
static struct ArrowArray words = {.length = 2, .n_buffers = 3, .buffers = word_buffers, .release = keep},
                         column = {.length = 3,
                                   .null_count = 1,
                                   .n_buffers = 2,
                                   .buffers = index_buffers,
                                   .dictionary = &words,
                                   .release = keep},
                         *columns[] = {&column};
static const struct ArrowArray batch = {.length = 3,
                                        .n_buffers = 1,
                                        .n_children = 1,
                                        .buffers = batch_buffers,
                                        .children = columns,
                                        .release = keep};

static retort_status answer_array(retort_model *model, retort_error *err) {
    retort_session_options options = RETORT_SESSION_OPTIONS;
    retort_session *session = NULL;
    struct ArrowArray out = {0};
    struct ArrowSchema type = {0};
    options.threads = 1;
    retort_status status = retort_session_open(&session, model, &options, err);
    if (status == RETORT_OK) status = retort_arrow_schema(session, &type, err);
    if (status == RETORT_OK) status = retort_arrow_array(session, &batch_schema, &batch, "body", &out, err);
    if (type.release != NULL) type.release(&type);
    if (out.release != NULL) out.release(&out);
    retort_session_close(session);
    return status;
}

static retort_status work_labels(retort_error *err) {
    return answer_array(classifier, err);
}

static retort_status work_vectors(retort_error *err) {
    return answer_array(encoder, err);
}

typedef struct source {
    int left; /* arrays */
    bool released;
} source;

static int source_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out) {
    (void)stream;
    *out = batch_schema;
    return 0;
}

static int source_next(struct ArrowArrayStream *stream, struct ArrowArray *out) {
    source *s = stream->private_data;
    *out = batch;
    if (s->left-- == 0) out->release = NULL;
    return 0;
}

static const char *source_error(struct ArrowArrayStream *stream) {
    (void)stream;
    return NULL;
}

static void source_release(struct ArrowArrayStream *stream) {
    ((source *)stream->private_data)->released = true;
    stream->release = NULL;
}

/* The source is released whatever happens. */
static retort_status work_stream(retort_error *err) {
    retort_session_options options = RETORT_SESSION_OPTIONS;
    source s = {.left = 2};
    struct ArrowArrayStream in = {source_schema, source_next, source_error, source_release, &s}, out;
    struct ArrowArray array = {0};
    int code = 0;
    options.threads = 1;
    retort_status status = retort_arrow_open(classifier, &options, &in, "body", &out, err);
    if (status == RETORT_OK) {
        do {
            code = out.get_next(&out, &array);
            bool more = array.release != NULL;
            if (more) array.release(&array);
            if (!more) break;
        } while (code == 0);
        if (code != 0) {
            status = err->status = code == ENOMEM ? RETORT_NOMEM : RETORT_IO;
            snprintf(err->text, sizeof err->text, "%s", out.get_last_error(&out));
        }
        out.release(&out);
    }
    assert_true(s.released);
    return status;
}

/* ---- Tables ---- */

static retort_status read_table(retort_table_format format, const char *text, retort_error *err) {
    static const char *const added[] = {"label", "score"};
    retort_table_options options = RETORT_TABLE_OPTIONS;
    retort_table *table = NULL;
    retort_row row;
    pieces p = {text, strlen(text), 7};
    size_t count = 0;
    options.format = format;
    options.added = added;
    options.added_count = 2;
    retort_status status = retort_table_open(&table, &options, read_piece, &p, err);
    do {
        if (status == RETORT_OK) status = retort_table_next(table, &row, err);
        count += status == RETORT_OK && row.record != NULL && row.problem == NULL;
    } while (status == RETORT_OK && row.record != NULL);
    if (status == RETORT_OK) assert_int_equal(count, 2);
    retort_table_close(table);
    return status;
}

static retort_status work_tsv(retort_error *err) {
    return read_table(RETORT_TABLE_TSV, "id\ttext\n1\tgood film\nbad\n2\t\xc3\xa9\n", err);
}

static retort_status work_csv(retort_error *err) {
    return read_table(RETORT_TABLE_CSV, "id,text\r\n1,\"a \"\"good\"\"\r\nfilm\"\r\nbad\r\n2,film\r\n", err);
}

static retort_status work_json_lines(retort_error *err) {
    return read_table(
        RETORT_TABLE_JSONL,
        "{\"text\": \"good \\\"film\\\"\", \"more\": [1, {\"a\": null}]}\nbad\n{\"text\": \"\"}\n", err);
}

/* ---- */

static const failing_work works[] = {{"labels", work_labels}, {"vectors", work_vectors},
                                     {"stream", work_stream}, {"tsv", work_tsv},
                                     {"csv", work_csv},       {"json lines", work_json_lines}};

static void every_allocation_may_fail(void **state) {
    (void)state;
    every_allocation_fails(works, sizeof works / sizeof *works, 5);
}

static retort_status import(retort_model **out, const char *name, retort_error *err) {
    char path[4096];
    const char *root = getenv("RETORT_ROOT");
    snprintf(path, sizeof path, "%s/test/golden/checkpoints/%s", root != NULL ? root : ".", name);
    return retort_model_import(out, path, NULL, err);
}

static int open_all(void **state) {
    (void)state;
    retort_error err;
    bool opened = import(&classifier, "distilbert-classify", &err) == RETORT_OK &&
                  import(&encoder, "bert-embed", &err) == RETORT_OK;
    return opened ? 0 : -1;
}

static int close_all(void **state) {
    (void)state;
    retort_model_free(classifier);
    retort_model_free(encoder);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation_may_fail)};
    return cmocka_run_group_tests(tests, open_all, close_all);
}
