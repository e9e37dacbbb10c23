/* SPDX-License-Identifier: Apache-2.0
 * A window moves over the bytes of the file. The end of the next record is searched in it, going on where the search
 * before the last read stopped, so that time is linear; rt_records then parses this record alone. */
#include "eval/table_rows.h"
#include "base/utf8.h"
#include "eval/table_columns.h"
#include "format/crc32c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READ_BYTES = 1 << 18, LONGEST = 64 << 20 };

struct retort_table {
    retort_read_fn read;
    void *user;
    rt_records records;
    rt_table_columns columns;
    char *window; /* [start, length) is not consumed, */
    size_t start, length, capacity;
    size_t searched; /* so many of these bytes have no end of a record */
    rt_csv_place place;
    bool end;           /* all bytes of the file are in the window */
    rt_arena of_header; /* and of the texts of one row: */
    rt_arena of_row;
    retort_row header;
    retort_table_position at;
    rt_crc32c_table crc;
    retort_error problem; /* of the row */
};

/* ---- The window ---- */

static retort_status too_long(const retort_table *table, retort_error *err) {
    bool quoted = table->records.format == RETORT_TABLE_CSV && table->place == RT_CSV_QUOTED;
    return rt_fail(err, RETORT_FORMAT, "%s:%llu: %s", table->records.name,
                   (unsigned long long)table->at.lines + 1,
                   quoted ? "a quote is not closed within 64 MB: which rows follow cannot be told"
                          : "a row, or what precedes the first object, is longer than 64 MB");
}

/* One read; sets `end` at the end of the file. */
static retort_status read_more(retort_table *table, retort_error *err) {
    if (table->start > 0) {
        table->length -= table->start;
        memmove(table->window, table->window + table->start, table->length);
        table->start = 0;
    }
    if (table->length >= LONGEST) return too_long(table, err);
    if (!rt_grow((void **)&table->window, &table->capacity, table->length + READ_BYTES, 1))
        return rt_fail_nomem(err, table->length + READ_BYTES);
    int64_t n = table->read(table->user, table->window + table->length, READ_BYTES, err);
    if (n < 0) return err != NULL ? err->status : RETORT_IO;
    if (n > READ_BYTES)
        return rt_fail(err, RETORT_ARGUMENT, "%s: %lld bytes were read where there was room for %d",
                       table->records.name, (long long)n, READ_BYTES);
    table->end = n == 0;
    table->length += (size_t)n;
    return RETORT_OK;
}

typedef struct span {
    size_t length, ending; /* bytes of a record, and of the end of its line */
} span;

/* Finds the record that begins `from` bytes after the start of the window; length and ending are 0 at the end of the
 * file. */
static retort_status find_record(retort_table *table, size_t from, span *found, retort_error *err) {
    retort_status status = RETORT_OK;
    size_t length = 0;
    for (bool ends = false; !ends;) {
        char *first = table->window + table->start, *at = first + table->searched,
             *last = table->window + table->length, *line;
        if (at == last) {
            line = last;
        } else if (table->records.format == RETORT_TABLE_CSV) {
            line = (char *)rt_csv_find_end(&table->place, at, last);
        } else {
            line = memchr(at, '\n', (size_t)(last - at));
            if (line == NULL) line = last;
        }
        length = (size_t)(line - first) - from;
        table->searched = from + length;
        ends = line < last || table->end;
        if (!ends) status = read_more(table, err);
        if (status != RETORT_OK) return status;
    }
    const char *record = table->window + table->start + from;
    bool line = table->searched < table->length - table->start;
    if (!line && table->records.format == RETORT_TABLE_CSV && table->place == RT_CSV_QUOTED)
        return rt_fail(err, RETORT_FORMAT, "%s:%llu: a quote is not closed", table->records.name,
                       (unsigned long long)table->at.lines + 1);
    bool carriage = length > 0 && record[length - 1] == '\r';
    *found = (span){length - carriage, (size_t)line + carriage};
    table->searched += line;
    return RETORT_OK;
}

static size_t count_lines(const char *text, size_t length) {
    size_t lines = 0;
    for (const char *end = text + length; (text = memchr(text, '\n', (size_t)(end - text))) != NULL; text++) {
        lines++;
    }
    return lines;
}

/* The record at the start of the window has been read. */
static void consume(retort_table *table, size_t bytes) {
    const char *from = table->window + table->start;
    table->at.check = rt_crc32c(&table->crc, table->at.check, (const uint8_t *)from, bytes);
    table->at.bytes += bytes;
    table->at.lines += count_lines(from, bytes);
    table->start += bytes;
    table->searched = 0;
}

/* ---- The columns ---- */

/* Rows, and the header, are text. */
static retort_status check_text(const retort_table *table, const char *record, size_t length, size_t line,
                                retort_error *err) {
    const char *name = table->records.name, *nul = memchr(record, '\0', length),
               *what = line == 1 && table->records.format != RETORT_TABLE_JSONL ? "header" : "row";
    size_t bad;
    if (!rt_utf8_valid((const uint8_t *)record, length, &bad))
        return rt_fail(err, RETORT_FORMAT, "%s:%zu: byte %zu of the %s is not UTF-8", name, line, bad + 1,
                       what);
    if (nul != NULL)
        return rt_fail(err, RETORT_FORMAT, "%s:%zu: byte %zu of the %s is 0: this is no text", name, line,
                       (size_t)(nul - record) + 1, what);
    if (table->records.format == RETORT_TABLE_CSV && length > 0 && record[length - 1] == '\r')
        return rt_fail(err, RETORT_FORMAT, RT_CARRIAGE_RETURN, name,
                       line); /* that of CRLF is not in the record */
    return RETORT_OK;
}

static retort_status note_header(retort_table *table, const span *found, retort_error *err) {
    const char *record = table->window + table->start;
    size_t bytes = found->length + found->ending;
    char *copy = rt_arena_text(&table->of_header, record, bytes);
    if (copy == NULL) return rt_fail_nomem(err, bytes);
    table->header = (retort_row){.record = copy, .length = found->length, .line = 1};
    table->header.ending = rt_arena_text(&table->of_header, record + found->length, found->ending);
    return table->header.ending != NULL ? RETORT_OK : rt_fail_nomem(err, found->ending);
}

/* TSV and CSV: the first line, whose bytes are copied, as columns point to their names. */
static retort_status read_header(retort_table *table, size_t mark, retort_error *err) {
    span found;
    retort_status status = find_record(table, mark, &found, err);
    if (status != RETORT_OK) return status;
    found.length += mark;
    status = note_header(table, &found, err);
    const retort_row *header = &table->header;
    if (status == RETORT_OK) status = check_text(table, header->record, header->length, 1, err);
    if (status != RETORT_OK) return status;
    if (table->records.format == RETORT_TABLE_TSV && memchr(header->record, '\r', header->length) != NULL)
        return rt_fail(err, RETORT_FORMAT, "%s:1: a carriage return in the header: lines end with LF or CRLF",
                       table->records.name);
    table->records.lines = (rt_lines){header->record + mark, header->record + header->length, 0};
    table->records.arena = &table->of_header;
    status = rt_records_open(&table->records, err);
    if (status == RETORT_OK && table->records.column_count == 0)
        return rt_fail(err, RETORT_FORMAT, "%s:1: expected a header with the names of the columns",
                       table->records.name);
    consume(table, found.length + found.ending);
    return status;
}

/* JSON lines: the first object. It is read again later, and so are the lines before it that are none. */
static retort_status read_first_object(retort_table *table, size_t mark, retort_error *err) {
    retort_status status = RETORT_OK;
    rt_records *records = &table->records;
    retort_error problem, first = {0};
    records->arena = &table->of_header;
    for (size_t from = mark, line = 0; status == RETORT_OK && records->column_count == 0; line++) {
        span found;
        status = find_record(table, from, &found, err);
        if (status != RETORT_OK) return status;
        if (found.length + found.ending == 0)
            return rt_fail(err, RETORT_FORMAT, "%s: no line is a JSON object with members%s%s", records->name,
                           first.text[0] != '\0' ? ": " : "", first.text);
        const char *record = table->window + table->start + from;
        records->lines = (rt_lines){record, record + found.length, line};
        status = rt_records_open(records, &problem);
        records->ahead = (retort_text){0}; /* the window may move */
        if (status == RETORT_NOMEM) return rt_fail(err, status, "%s", problem.text);
        if (status != RETORT_OK && first.text[0] == '\0') first = problem;
        status = RETORT_OK; /* a bad row, of which is told when it is read */
        from += found.length + found.ending;
    }
    consume(table, mark);
    return status;
}

/* Of encodings whose files are often marked. */
static retort_status check_mark(const retort_table *table, retort_error *err) {
    static const struct {
        const char *mark;
        size_t length;
        const char *encoding;
    } rows[] = {{"\xff\xfe\0\0", 4, "UTF-32"}, /* begins as that of UTF-16 does */
                {"\0\0\xfe\xff", 4, "UTF-32"},
                {"\xff\xfe", 2, "UTF-16"},
                {"\xfe\xff", 2, "UTF-16"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (table->length < rows[i].length || memcmp(table->window, rows[i].mark, rows[i].length) != 0)
            continue;
        return rt_fail(err, RETORT_FORMAT, "%s: this is %s: expected UTF-8 (iconv -f %s -t UTF-8 writes it)",
                       table->records.name, rows[i].encoding, rows[i].encoding);
    }
    return RETORT_OK;
}

static retort_status check_added(const retort_table *table, retort_error *err) {
    const rt_records *records = &table->records;
    for (size_t i = 0; i < records->added_count; i++) {
        if (rt_records_column(records, records->added[i]) < 0) continue;
        return rt_fail(err, RETORT_ARGUMENT, "%s: it has a column '%.80s' already", records->name,
                       records->added[i]);
    }
    return RETORT_OK;
}

static retort_status read_columns(retort_table *table, const retort_table_options *options,
                                  retort_error *err) {
    retort_dataset_options columns = RETORT_DATASET_OPTIONS;
    retort_status status = RETORT_OK;
    /* A mark and what follows it. */
    while (status == RETORT_OK && !table->end && table->length < 4) status = read_more(table, err);
    if (status != RETORT_OK) return status;
    const char *bytes = table->window;
    size_t mark = table->length >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    if (table->length == mark) return rt_fail(err, RETORT_FORMAT, "%s: the file is empty", options->name);
    status = check_mark(table, err);
    if (status != RETORT_OK) return status;
    table->searched = mark;
    status = (options->format == RETORT_TABLE_JSONL ? read_first_object : read_header)(table, mark, err);
    retort_error taken;
    retort_status added = check_added(table, &taken);
    columns.text_column = options->text_column;
    columns.pair_column = options->pair_column;
    if (status == RETORT_OK) status = rt_table_find_texts(&table->columns, &table->records, &columns, err);
    table->records.arena = &table->of_row;
    if (status == RETORT_OK && added != RETORT_OK) status = rt_fail(err, added, "%s", taken.text);
    return status;
}

retort_status rt_table_open(retort_table **out, const retort_table_options *options, retort_read_fn read,
                            void *user, retort_error *err) {
    retort_table *table = rt_calloc(1, sizeof *table);
    if (table == NULL) return rt_fail_nomem(err, sizeof *table);
    /* Errors have room for the end of a long name, and for what they say of it. */
    enum { LONGEST_NAME = 300 };
    size_t length = strlen(options->name), name = length < LONGEST_NAME ? length : LONGEST_NAME;
    table->read = read;
    table->user = user;
    table->records =
        (rt_records){.format = options->format,
                     .name = rt_arena_text(&table->of_header, options->name + length - name, name),
                     .added = options->added,
                     .added_count = options->added_count};
    rt_crc32c_make(&table->crc);
    retort_status status =
        table->records.name != NULL ? read_columns(table, options, err) : rt_fail_nomem(err, name);
    if (status == RETORT_OK) {
        *out = table;
    } else {
        retort_table_close(table);
    }
    return status;
}

void retort_table_close(retort_table *table) {
    if (table == NULL) return;
    rt_records_free(&table->records);
    rt_arena_free(&table->of_header);
    rt_arena_free(&table->of_row);
    free(table->window);
    free(table);
}

/* ---- Rows ---- */

static retort_status parse(retort_table *table, const char *record, size_t length, retort_error *err) {
    rt_records *records = &table->records;
    bool more;
    records->line = (size_t)table->at.lines + 1;
    retort_status status = check_text(table, record, length, records->line, err);
    records->lines = (rt_lines){record, record + length, (size_t)table->at.lines};
    if (status == RETORT_OK) status = rt_records_next(records, &more, err);
    if (status != RETORT_OK) return status;
    if (!more) return rt_fail(err, RETORT_FORMAT, "%s:%zu: the row is blank", records->name, records->line);
    bool json = records->format == RETORT_TABLE_JSONL;
    if (!json && records->count != records->column_count)
        return rt_fail(err, RETORT_FORMAT, "%s:%zu: expected %zu columns, found %zu", records->name,
                       records->line, records->column_count, records->count);
    return rt_table_check(records, &table->columns, err);
}

/* What is wrong, without "file:line: ". */
static const char *reason(const retort_table *table) {
    char place[sizeof table->problem.text];
    int n = snprintf(place, sizeof place, "%s:%zu: ", table->records.name, table->records.line);
    const char *text = table->problem.text;
    return strncmp(text, place, (size_t)n) == 0 ? text + n : text;
}

static void set_text(const retort_table *table, retort_row *row) {
    const retort_text *fields = table->records.fields;
    row->text = fields[table->columns.text];
    if (table->columns.pair == RT_ABSENT) return;
    row->text.pair = fields[table->columns.pair].text;
    row->text.pair_length = fields[table->columns.pair].length;
}

/* Finds the next record that is not empty. */
static retort_status next_record(retort_table *table, span *found, retort_error *err) {
    for (;;) {
        retort_status status = find_record(table, 0, found, err);
        if (status != RETORT_OK || found->length > 0 || found->ending == 0) return status;
        consume(table, found->ending);
    }
}

retort_status rt_table_next(retort_table *table, retort_row *row, retort_error *err) {
    span found = {0};
    *row = (retort_row){0};
    retort_status status = next_record(table, &found, err);
    if (status != RETORT_OK || found.length == 0) return status;
    const char *record = table->window + table->start, *end = record + found.length;
    *row = (retort_row){.record = record, .length = found.length, .line = table->at.lines + 1};
    row->ending = found.ending == 0 ? "" : *end == '\r' && found.ending == 2 ? "\r\n" : "\n";
    rt_arena_free(&table->of_row);
    status = parse(table, record, found.length, &table->problem);
    if (status == RETORT_NOMEM) return rt_fail(err, status, "%s", table->problem.text);
    if (status == RETORT_OK) {
        set_text(table, row);
    } else {
        row->problem = reason(table);
    }
    consume(table, found.length + found.ending);
    return RETORT_OK;
}

retort_status rt_table_skip(retort_table *table, const retort_table_position *position, retort_error *err) {
    retort_status status = RETORT_OK;
    while (status == RETORT_OK && table->at.bytes < position->bytes) {
        uint64_t wanted = position->bytes - table->at.bytes;
        size_t here = table->length - table->start;
        if (here > 0) {
            consume(table, wanted < here ? (size_t)wanted : here);
        } else if (table->end) {
            break;
        } else {
            status = read_more(table, err);
        }
    }
    if (status != RETORT_OK) return status;
    if (table->at.bytes == position->bytes && table->at.check == position->check) {
        table->at.lines = position->lines;
        return RETORT_OK;
    }
    return rt_fail(err, RETORT_FORMAT, "%s: its first %llu bytes are not those that were read before",
                   table->records.name, (unsigned long long)position->bytes);
}

void retort_table_header(const retort_table *table, retort_row *row) {
    *row = table != NULL ? table->header : (retort_row){0};
}

bool retort_table_pairs(const retort_table *table) {
    return table != NULL && table->columns.pair != RT_ABSENT;
}

void retort_table_where(const retort_table *table, retort_table_position *position) {
    *position = table != NULL ? table->at : (retort_table_position){0};
}
