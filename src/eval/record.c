/* SPDX-License-Identifier: Apache-2.0 */
#include "eval/record.h"
#include "format/json.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

static retort_status add_field(retort_text **list, size_t *count, size_t *capacity, retort_text field,
                               retort_error *err) {
    if (!rt_grow((void **)list, capacity, *count + 1, sizeof field))
        return rt_fail_nomem(err, (*count + 1) * sizeof field);
    (*list)[(*count)++] = field;
    return RETORT_OK;
}

/* Fields beyond the columns are counted, not kept. */
static retort_status add(rt_records *r, const char *text, size_t length, retort_error *err) {
    enum { MAX_COLUMNS = 1 << 20 };
    if (r->column_count > 0 && r->count >= r->column_count) {
        r->count++;
        return RETORT_OK;
    }
    if (r->count == MAX_COLUMNS)
        return rt_fail(err, RETORT_LIMIT, "%s:%zu: more than %d columns", r->name, r->line, MAX_COLUMNS);
    return add_field(&r->fields, &r->count, &r->capacity, (retort_text){.text = text, .length = length}, err);
}

/* ---- TSV ---- */

static retort_status next_tsv(rt_records *r, bool *more, retort_error *err) {
    retort_text line = {0}, field;
    while ((*more = rt_lines_next(&r->lines, &line)) && line.length == 0) {
    }
    r->line = r->lines.number;
    retort_status status = RETORT_OK;
    while (status == RETORT_OK && *more && rt_field_next(&line, '\t', &field))
        status = add(r, field.text, field.length, err);
    return status;
}

/* ---- CSV ---- */

/* A quoted field, starting after the opening quote; moves lines->at past the closing quote. */
static retort_status quoted(rt_records *r, retort_error *err) {
    const char *from = r->lines.at, *end = r->lines.end, *at = from;
    size_t doubled = 0;
    for (; at < end; at++) {
        if (*at == '\n') r->lines.number++;
        if (*at != '"') continue;
        if (at + 1 == end || at[1] != '"') break;
        doubled++;
        at++;
    }
    if (at == end) {
        return rt_fail(err, RETORT_FORMAT, "%s:%zu: a quote is not closed", r->name, r->line);
    }
    r->lines.at = at + 1;
    size_t length = (size_t)(at - from);
    if (doubled == 0) return add(r, from, length, err);
    char *text = rt_arena_calloc(r->arena, length - doubled, 1);
    if (text == NULL) return rt_fail_nomem(err, length - doubled);
    size_t n = 0;
    for (const char *c = from; c < at; c++) {
        text[n++] = *c;
        c += *c == '"';
    }
    return add(r, text, n, err);
}

/* An unquoted field: up to the comma or the end of the line. */
static retort_status plain(rt_records *r, retort_error *err) {
    const char *from = r->lines.at, *at = from;
    while (at < r->lines.end && *at != ',' && *at != '\n') at++;
    r->lines.at = at;
    bool ends = at == r->lines.end || *at == '\n';
    size_t length = (size_t)(at - from) - (ends && at > from && at[-1] == '\r');
    /* Readers differ on whether it ends a row. */
    if (memchr(from, '\r', length) != NULL)
        return rt_fail(err, RETORT_FORMAT, RT_CARRIAGE_RETURN, r->name, r->line);
    return add(r, from, length, err);
}

/* Skips the separator after a field; *more: another field follows. */
static retort_status separator(rt_records *r, bool *more, retort_error *err) {
    rt_lines *lines = &r->lines;
    if (lines->end - lines->at >= 2 && lines->at[0] == '\r' && lines->at[1] == '\n') lines->at++;
    *more = lines->at < lines->end && *lines->at == ',';
    if (lines->at < lines->end && *lines->at != ',' && *lines->at != '\n') {
        return rt_fail(err, RETORT_FORMAT, "%s:%zu: expected a comma or the end of the line after a quote",
                       r->name, lines->number);
    }
    lines->at += lines->at < lines->end;
    return RETORT_OK;
}

/* The parts between the bytes that matter are skipped by memchr, as texts are long. */
const char *rt_csv_find_end(rt_csv_place *place, const char *at, const char *end) {
    for (; at < end; at++) {
        if (*place == RT_CSV_QUOTED) {
            at = memchr(at, '"', (size_t)(end - at));
            if (at == NULL) return end;
            *place = RT_CSV_QUOTE;
        } else if (*at == '\n') {
            *place = RT_CSV_FIELD;
            return at;
        } else if (*at == '"' && *place != RT_CSV_PLAIN) {
            *place = RT_CSV_QUOTED; /* of a field, or the second of two that stand for one */
        } else {
            *place = *at == ',' ? RT_CSV_FIELD : RT_CSV_PLAIN;
        }
    }
    return end;
}

static retort_status csv_record(rt_records *r, retort_error *err) {
    retort_status status = RETORT_OK;
    r->line = ++r->lines.number;
    r->count = 0;
    for (bool more = true; status == RETORT_OK && more;) {
        bool quote = r->lines.at < r->lines.end && *r->lines.at == '"';
        r->lines.at += quote;
        status = quote ? quoted(r, err) : plain(r, err);
        if (status == RETORT_OK) status = separator(r, &more, err);
    }
    return status;
}

static retort_status next_csv(rt_records *r, bool *more, retort_error *err) {
    while (r->lines.at < r->lines.end) {
        bool empty = *r->lines.at == '\n' || *r->lines.at == '\r';
        retort_status status = csv_record(r, err);
        *more = true;
        if (status != RETORT_OK || !(empty && r->count == 1 && r->fields[0].length == 0)) return status;
    }
    *more = false;
    return RETORT_OK;
}

/* ---- JSON lines ---- */

static bool is_blank(const retort_text *line) {
    for (size_t i = 0; i < line->length; i++) {
        if (strchr(" \t\r", line->text[i]) == NULL || line->text[i] == '\0') return false;
    }
    return true;
}

static retort_status next_object(rt_records *r, json_t **out, bool *more, retort_error *err) {
    retort_text line = r->ahead;
    char name[512];
    r->ahead = (retort_text){0};
    *more = line.text != NULL;
    if (!*more) {
        while ((*more = rt_lines_next(&r->lines, &line)) && is_blank(&line)) {
        }
    }
    *out = NULL;
    if (!*more) return RETORT_OK;
    r->line = r->lines.number;
    r->taken = line;
    snprintf(name, sizeof name, "%.480s:%zu", r->name, r->line);
    retort_status status = rt_json_parse(out, name, line.text, line.length, err);
    if (status == RETORT_OK && !json_is_object(*out)) {
        json_decref(*out);
        *out = NULL;
        return rt_fail(err, RETORT_FORMAT, "%s: expected a JSON object", name);
    }
    return status;
}

static retort_status copy_field(rt_records *r, const char *text, size_t length, retort_text *out,
                                retort_error *err) {
    const char *copy = rt_arena_text(r->arena, text, length);
    *out = (retort_text){.text = copy, .length = length};
    return copy != NULL ? RETORT_OK : rt_fail_nomem(err, length);
}

/* The fewest digits that give the number back; with a decimal point in every locale. */
static size_t write_real(char number[32], double value) {
    locale_t plain =
        newlocale(LC_ALL_MASK, "C", (locale_t)0); /* this one is built in and allocates nothing */
    locale_t before = uselocale(plain);
    int n = 0;
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(number, 32, "%.*g", digits, value);
        if (strtod(number, NULL) == value) break;
    }
    uselocale(before);
    return (size_t)n;
}

/* Texts as they are, numbers and booleans as in JSON; text NULL: null, a list or an object. */
static retort_text scalar(const json_t *value, char number[32]) {
    retort_text out = {0};
    if (json_is_string(value)) {
        out = (retort_text){.text = json_string_value(value), .length = json_string_length(value)};
    } else if (json_is_integer(value) || json_is_real(value)) {
        out.length = json_is_integer(value)
                         ? (size_t)snprintf(number, 32, "%lld", (long long)json_integer_value(value))
                         : write_real(number, json_real_value(value));
        out.text = number;
    } else if (json_is_boolean(value)) {
        out.text = json_is_true(value) ? "true" : "false";
        out.length = strlen(out.text);
    }
    return out;
}

/* The items of a list as one field; no field if one of them is no scalar. */
static retort_status add_list(rt_records *r, const json_t *list, retort_error *err) {
    char number[32];
    rt_buffer all = {0};
    retort_text field = {0};
    bool fits = true;
    for (size_t i = 0; fits && i < json_array_size(list); i++) {
        retort_text item = scalar(json_array_get(list, i), number);
        fits = item.text != NULL && memchr(item.text, RT_LIST_END, item.length) == NULL;
        rt_buffer_append(&all, item.text, fits ? item.length : 0);
        rt_buffer_append(&all, &(char){RT_LIST_END}, 1);
    }
    r->lists += fits;
    retort_status status = all.failed ? rt_fail_nomem(err, all.length) : RETORT_OK;
    if (status == RETORT_OK && fits) status = copy_field(r, all.data, all.length, &field, err);
    rt_buffer_free(&all);
    return status == RETORT_OK ? add(r, field.text, field.length, err) : status;
}

static retort_status add_value(rt_records *r, size_t column, const json_t *value, retort_error *err) {
    char number[32];
    retort_text field = {0}, found = scalar(value, number);
    retort_status status = RETORT_OK;
    bool listed = column >= r->list_from && column - r->list_from < r->list_count;
    if (listed && json_is_array(value)) return add_list(r, value, err);
    if (found.text != NULL) status = copy_field(r, found.text, found.length, &field, err);
    return status == RETORT_OK ? add(r, field.text, field.length, err) : status;
}

static retort_status check_added(const rt_records *r, const json_t *object, retort_error *err) {
    for (size_t i = 0; i < r->added_count; i++) {
        if (json_object_get(object, r->added[i]) == NULL) continue;
        return rt_fail(err, RETORT_FORMAT, "%s:%zu: it has a member '%.80s' already", r->name, r->line,
                       r->added[i]);
    }
    return RETORT_OK;
}

static retort_status next_json(rt_records *r, bool *more, retort_error *err) {
    json_t *object;
    r->lists = 0;
    retort_status status = next_object(r, &object, more, err);
    if (status == RETORT_OK && *more) status = check_added(r, object, err);
    for (size_t i = 0; status == RETORT_OK && *more && i < r->column_count; i++) {
        status = add_value(r, i, json_object_get(object, r->columns[i].text), err);
    }
    json_decref(object); /* which may be NULL */
    return status;
}

static retort_status json_columns(rt_records *r, retort_error *err) {
    json_t *object, *value;
    const char *key;
    bool more;
    retort_status status = next_object(r, &object, &more, err);
    if (status != RETORT_OK || !more) return status;
    r->ahead = r->taken;
    json_object_foreach(object, key, value) {
        retort_text name = {0};
        if (status == RETORT_OK) status = copy_field(r, key, strlen(key), &name, err);
        if (status == RETORT_OK)
            status = add_field(&r->columns, &r->column_count, &r->column_capacity, name, err);
    }
    json_decref(object);
    return status;
}

/* ---- All of them ---- */

retort_status rt_records_next(rt_records *records, bool *more, retort_error *err) {
    static retort_status (*const next[])(rt_records *, bool *, retort_error *) = {
        [RETORT_TABLE_TSV] = next_tsv, [RETORT_TABLE_CSV] = next_csv, [RETORT_TABLE_JSONL] = next_json};
    records->count = 0;
    return next[records->format](records, more, err);
}

retort_status rt_records_open(rt_records *records, retort_error *err) {
    if (records->format == RETORT_TABLE_JSONL) return json_columns(records, err);
    bool more;
    retort_status status = rt_records_next(records, &more, err);
    for (size_t i = 0; status == RETORT_OK && i < records->count; i++) {
        status = add_field(&records->columns, &records->column_count, &records->column_capacity,
                           records->fields[i], err);
    }
    return status;
}

retort_status rt_records_keep(rt_records *records, int *const indices[], size_t n, retort_error *err) {
    if (records->format != RETORT_TABLE_JSONL) return RETORT_OK; /* a record has only its own fields */
    retort_text *kept = rt_calloc(n, sizeof *kept);
    size_t count = 0;
    if (kept == NULL) return rt_fail_nomem(err, n * sizeof *kept);
    for (size_t i = 0; i < n; i++) {
        if (*indices[i] < 0) continue;
        kept[count] = records->columns[*indices[i]];
        *indices[i] = (int)count++;
    }
    if (count > 0) memcpy(records->columns, kept, count * sizeof *kept);
    records->column_count = count;
    free(kept);
    return RETORT_OK;
}

void rt_records_free(rt_records *records) {
    free(records->fields);
    free(records->columns);
}

int rt_records_column(const rt_records *records, const char *name) {
    for (size_t i = 0; i < records->column_count; i++) {
        if (rt_text_is(&records->columns[i], name)) return (int)i;
    }
    return -1;
}
