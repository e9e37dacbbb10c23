/* SPDX-License-Identifier: Apache-2.0
 * Tables, one record at a time: TSV without quoting, CSV (RFC 4180), and JSON lines. Time is linear in the
 * bytes. */
#ifndef RT_EVAL_RECORD_H
#define RT_EVAL_RECORD_H

#include "eval/dataset.h"

typedef struct rt_records {
    retort_table_format format;
    const char *name; /* of the file */
    rt_lines lines;
    rt_arena *arena;     /* texts that differ from the bytes in the file */
    size_t line;         /* line of the current record, from 1 */
    retort_text *fields; /* [count] of the current record, at most [column_count]; JSON: [column_count], with
                            text NULL where it has none */
    size_t count, capacity;
    retort_text *columns; /* [column_count] names */
    size_t column_count, column_capacity;
    retort_text taken, ahead; /* JSON: the current line; one to be read again */
    /* JSON: so many columns from this one may have lists; `lists`: how many of them the current record has. Such a field has
     * the items, each ended by RT_LIST_END. */
    size_t list_from, list_count, lists;
    const char *const *added; /* [added_count] JSON: members that no object may have */
    size_t added_count;
} rt_records;
#define RT_CARRIAGE_RETURN "%s:%zu: a carriage return outside quotes: lines end with LF or CRLF"
enum { RT_LIST_END = '\x1f' /* the unit separator of ASCII */ };

/* Finds the end of a CSV record whose bytes come in pieces. */
typedef enum rt_csv_place { RT_CSV_FIELD, RT_CSV_PLAIN, RT_CSV_QUOTED, RT_CSV_QUOTE } rt_csv_place;
/* The line feed that ends the record, or `end`. *place: where in the record `at` is, at first RT_CSV_FIELD; then where
 * `end` is. */
const char *rt_csv_find_end(rt_csv_place *place, const char *at, const char *end);
/* Reads the names of the columns: the header, or the keys of the first object. */
retort_status rt_records_open(rt_records *records, retort_error *err);
/* Reads the next record that is not empty; *more is false after the last one. */
retort_status rt_records_next(rt_records *records, bool *more, retort_error *err);
/* Keeps n columns, in this order: JSON records then have no other fields. Indices below 0 stay. */
retort_status rt_records_keep(rt_records *records, int *const indices[], size_t n, retort_error *err);
void rt_records_free(rt_records *records);
/* Index of a column, or -1. */
int rt_records_column(const rt_records *records, const char *name);

#endif
