/* SPDX-License-Identifier: Apache-2.0
 * The extension of SQLite: retort_classify, retort_score, retort_scores and retort_embed. SQLite looks for an interrupt
 * between rows. */
#include "shim.h"

#include <jansson.h>
#include <math.h>
#include <sqlite3ext.h>
#include <stdlib.h>
#include <string.h>

SQLITE_EXTENSION_INIT1

/* The arguments of a call, with its model locked. */
typedef struct call {
    sql_model *model;
    const char *text;
    size_t length;
} call;

static void report(sqlite3_context *context, const retort_error *err) {
    if (err->status == RETORT_NOMEM)
        sqlite3_result_error_nomem(context);
    else
        sqlite3_result_error(context, err->text, -1);
}

/* SQLite does not check what it calls text; jansson does. */
static bool is_utf8(const char *text, size_t length) {
    json_t *checked = json_stringn(text, length);
    bool fine = checked != NULL;
    json_decref(checked);
    return fine;
}

/* False: the result is NULL, or an error. */
static bool begin(call *c, sqlite3_context *context, sqlite3_value **values, retort_error *err) {
    static const char *const blobs[] = {"the name of the model is a blob: expected a text",
                                        "the text is a blob: cast(COLUMN as text) makes a text of it"};
    /* Before their texts are asked for: that may change their types. */
    const int types[] = {sqlite3_value_type(values[0]), sqlite3_value_type(values[1])};
    if (types[0] == SQLITE_NULL || types[1] == SQLITE_NULL) {
        sqlite3_result_null(context);
        return false;
    }
    if (types[0] == SQLITE_BLOB || types[1] == SQLITE_BLOB) {
        sqlite3_result_error(context, blobs[types[0] != SQLITE_BLOB], -1);
        return false;
    }
    const char *name = (const char *)sqlite3_value_text(values[0]);
    c->text = (const char *)sqlite3_value_text(values[1]);
    c->length = (size_t)sqlite3_value_bytes(values[1]);
    if (name == NULL || c->text == NULL) {
        sqlite3_result_error_nomem(context);
        return false;
    }
    bool whole = strlen(name) == (size_t)sqlite3_value_bytes(values[0]);
    if (!whole || !is_utf8(c->text, c->length)) {
        sqlite3_result_error(context, whole ? "the text is not UTF-8" : "the name of the model holds a NUL",
                             -1);
        return false;
    }
    const char *folders = getenv("RETORT_MODELS");
    const sql_source source = {folders != NULL ? folders : RETORT_MODELS_FOLDER, true, RETORT_UNPACK_AUTO};
    if (sql_acquire(&c->model, name, &source, err) == RETORT_OK) return true;
    report(context, err);
    return false;
}

/* Sets the result of a call. */
typedef retort_status (*answer_fn)(sqlite3_context *context, const call *c, retort_error *err);

static retort_status give_label(sqlite3_context *context, const call *c, retort_error *err) {
    const char *label;
    float score;
    retort_status status = sql_label(c->model, c->text, c->length, &label, &score, err);
    if (status == RETORT_OK) sqlite3_result_text(context, label, -1, SQLITE_TRANSIENT);
    return status;
}

static retort_status give_score(sqlite3_context *context, const call *c, retort_error *err) {
    const char *label;
    float score;
    retort_status status = sql_label(c->model, c->text, c->length, &label, &score, err);
    if (status == RETORT_OK) sqlite3_result_double(context, (double)score);
    return status;
}

static retort_status give_scores(sqlite3_context *context, const call *c, retort_error *err) {
    const char *json;
    retort_status status = sql_scores(c->model, c->text, c->length, &json, err);
    if (status == RETORT_OK) sqlite3_result_text(context, json, -1, SQLITE_TRANSIENT);
    return status;
}

static retort_status give_vector(sqlite3_context *context, const call *c, retort_error *err) {
    const float *vector;
    size_t n;
    retort_status status = sql_embed(c->model, c->text, c->length, &vector, &n, err);
    if (status == RETORT_OK) sqlite3_result_blob64(context, vector, n * sizeof *vector, SQLITE_TRANSIENT);
    return status;
}

static const struct named {
    const char *name;
    answer_fn function;
} functions[] = {{"retort_classify", give_label},
                 {"retort_score", give_score},
                 {"retort_scores", give_scores},
                 {"retort_embed", give_vector}};

static void answer(sqlite3_context *context, int count, sqlite3_value **values) {
    const struct named *named = sqlite3_user_data(context);
    call c;
    retort_error err;
    (void)count;
    if (!begin(&c, context, values, &err)) return;
    if (named->function(context, &c, &err) != RETORT_OK) report(context, &err);
    sql_release(c.model);
}

/* Called by sqlite3_load_extension, which makes the name from that of the file. */
__attribute__((visibility("default"))) int sqlite3_retortsqlite_init(sqlite3 *db, char **error,
                                                                     const sqlite3_api_routines *api);

int sqlite3_retortsqlite_init(sqlite3 *db, char **error, const sqlite3_api_routines *api) {
    (void)error;
    SQLITE_EXTENSION_INIT2(api)
    int result = SQLITE_OK;
    /* Not from triggers and views of a database that somebody else made: they would choose the file that is read. */
    for (size_t i = 0; result == SQLITE_OK && i < sizeof functions / sizeof *functions; i++)
        result = sqlite3_create_function_v2(db, functions[i].name, 2,
                                            SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY,
                                            (void *)(uintptr_t)&functions[i], answer, NULL, NULL, NULL);
    return result;
}
