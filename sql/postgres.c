/* SPDX-License-Identifier: Apache-2.0
 * The extension of PostgreSQL: retort_classify, retort_score, retort_scores and retort_embed. Anybody may call them, so
 * they take the names of models, never paths; retort.models has the folders, and only a superuser sets it. */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "shim.h"

PG_MODULE_MAGIC;

static char *folders;

PGDLLEXPORT void _PG_init(void);

void _PG_init(void) {
    DefineCustomStringVariable("retort.models", "Folders of the models, separated by colons.",
                               "The model NAME is the file NAME.retort in the first folder that has it.",
                               &folders, RETORT_MODELS_FOLDER, PGC_SUSET, 0, NULL, NULL, NULL);
    MarkGUCPrefixReserved("retort");
}

/* What the encoding of the database lacks is escaped: an error in the place of the error would not help. */
static char *message_of(const char *utf8) {
    int encoding = GetDatabaseEncoding();
    Oid convert = encoding != PG_UTF8 ? FindDefaultConversionProc(PG_UTF8, encoding) : InvalidOid;
    if (!OidIsValid(convert)) return pstrdup(utf8);
    int left = (int)strlen(utf8), room = left * MAX_CONVERSION_GROWTH + 1;
    unsigned char *at = (unsigned char *)pstrdup(utf8), *message = palloc((Size)room), *to = message;
    *to = '\0';
    while (left > 0) {
        int done = pg_do_encoding_conversion_buf(convert, PG_UTF8, encoding, at, left, to,
                                                 room - (int)(to - message), true);
        to += strlen((char *)to);
        at += done;
        left -= done;
        if (left == 0) break;
        int n = pg_utf_mblen(at);
        to += snprintf((char *)to, (size_t)(room - (to - message)), "\\u%04x", (unsigned)utf8_to_unicode(at));
        at += n;
        left -= n;
    }
    return (char *)message;
}

static void report(const retort_error *err) {
    int code = err->status == RETORT_NOMEM      ? ERRCODE_OUT_OF_MEMORY
               : err->status == RETORT_IO       ? ERRCODE_UNDEFINED_FILE
               : err->status == RETORT_ARGUMENT ? ERRCODE_INVALID_PARAMETER_VALUE
                                                : ERRCODE_DATA_EXCEPTION;
    ereport(ERROR, (errcode(code), errmsg("%s", message_of(err->text))));
}

/* A call: an error of PostgreSQL leaves by longjmp, and the model has to be released before. */
typedef Datum (*answer_fn)(sql_model *model, const char *text, size_t length);

static Datum answer(FunctionCallInfo fcinfo, answer_fn function) {
    CHECK_FOR_INTERRUPTS();
    text *body = PG_GETARG_TEXT_PP(1);
    char *name = text_to_cstring(PG_GETARG_TEXT_PP(0)), *bytes = VARDATA_ANY(body);
    name = pg_server_to_any(name, (int)strlen(name), PG_UTF8);
    int length = (int)VARSIZE_ANY_EXHDR(body);
    char *utf8 = pg_server_to_any(bytes, length, PG_UTF8);
    size_t n = utf8 == bytes ? (size_t)length : strlen(utf8);
    sql_model *volatile model = NULL;
    volatile Datum result = (Datum)0;
    PG_TRY();
    {
        sql_model *found = NULL;
        retort_error err;
        /* Unpacked weights would be each connection's own. */
        const sql_source source = {folders, false, RETORT_UNPACK_NEVER};
        if (sql_acquire(&found, name, &source, &err) != RETORT_OK) report(&err);
        model = found;
        result = function(found, utf8, n);
    }
    PG_FINALLY();
    { sql_release(model); }
    PG_END_TRY();
    return result;
}

/* Labels are UTF-8, whatever the database is. */
static text *text_of(const char *utf8) {
    return cstring_to_text(pg_any_to_server(utf8, (int)strlen(utf8), PG_UTF8));
}

static const char *find_best(sql_model *model, const char *text, size_t length, float *score) {
    const char *label;
    retort_error err;
    if (sql_label(model, text, length, &label, score, &err) != RETORT_OK) report(&err);
    return label;
}

static Datum best_label(sql_model *model, const char *text, size_t length) {
    float score;
    return PointerGetDatum(text_of(find_best(model, text, length, &score)));
}

static Datum best_score(sql_model *model, const char *text, size_t length) {
    float score;
    find_best(model, text, length, &score);
    return Float4GetDatum(score);
}

static Datum all_scores(sql_model *model, const char *text, size_t length) {
    const char *json;
    retort_error err;
    if (sql_scores(model, text, length, &json, &err) != RETORT_OK) report(&err);
    return PointerGetDatum(text_of(json));
}

static Datum vector(sql_model *model, const char *text, size_t length) {
    const float *values;
    size_t n;
    retort_error err;
    if (sql_embed(model, text, length, &values, &n, &err) != RETORT_OK) report(&err);
    Datum *items = palloc(n * sizeof *items);
    for (size_t i = 0; i < n; i++) items[i] = Float4GetDatum(values[i]);
    return PointerGetDatum(construct_array(items, (int)n, FLOAT4OID, sizeof(float4), true, TYPALIGN_INT));
}

PG_FUNCTION_INFO_V1(retort_pg_classify);
Datum retort_pg_classify(PG_FUNCTION_ARGS) {
    return answer(fcinfo, best_label);
}

PG_FUNCTION_INFO_V1(retort_pg_score);
Datum retort_pg_score(PG_FUNCTION_ARGS) {
    return answer(fcinfo, best_score);
}

PG_FUNCTION_INFO_V1(retort_pg_scores);
Datum retort_pg_scores(PG_FUNCTION_ARGS) {
    return answer(fcinfo, all_scores);
}

PG_FUNCTION_INFO_V1(retort_pg_embed);
Datum retort_pg_embed(PG_FUNCTION_ARGS) {
    return answer(fcinfo, vector);
}
