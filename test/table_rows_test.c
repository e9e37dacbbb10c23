/* SPDX-License-Identifier: Apache-2.0
 * Rows of tables: the same ones however the bytes arrive, and what is wrong with bad ones. */
#include "pieces.h"
#include "retort.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static int64_t read_too_much(void *user, void *bytes, size_t size, retort_error *err) {
    (void)user, (void)bytes, (void)err;
    return (int64_t)size + 1;
}

static int64_t read_nothing(void *user, void *bytes, size_t size, retort_error *err) {
    (void)user, (void)bytes, (void)size;
    err->status = RETORT_IO;
    snprintf(err->text, sizeof err->text, "the disk is gone");
    return -1;
}

static pieces pieces_of(const char *text, size_t piece) {
    return (pieces){text, strlen(text), piece};
}

static retort_table *table_of(pieces *p, retort_table_format format, const char *column) {
    retort_table_options options = RETORT_TABLE_OPTIONS;
    retort_table *table = NULL;
    retort_error err;
    options.format = format;
    options.text_column = column;
    if (retort_table_open(&table, &options, read_piece, p, &err) != RETORT_OK) fail_msg("%s", err.text);
    return table;
}

/* "line:text|" or "line:text/pair|" for each row, "line!problem|" for a bad one, and "ERROR text" at the end. */
static void list_rows(char *out, size_t size, retort_table *table) {
    retort_row row;
    retort_error err;
    size_t n = 0;
    out[0] = '\0';
    while (n < size) {
        if (retort_table_next(table, &row, &err) != RETORT_OK) {
            snprintf(out + n, size - n, "ERROR %s", err.text);
            return;
        }
        if (row.record == NULL) return;
        n += (size_t)snprintf(out + n, size - n, "%llu", (unsigned long long)row.line);
        if (row.problem != NULL)
            n += (size_t)snprintf(out + n, size - n, "!%s|", row.problem);
        else
            n += (size_t)snprintf(out + n, size - n, ":%.*s%s%.*s|", (int)row.text.length, row.text.text,
                                  row.text.pair != NULL ? "/" : "", (int)row.text.pair_length,
                                  row.text.pair != NULL ? row.text.pair : "");
    }
}

static void expect_rows(const char *text, retort_table_format format, const char *column,
                        const char *expected) {
    char found[1024];
    for (size_t piece = 1; piece < 40; piece += piece < 8 ? 1 : 13) {
        pieces p = pieces_of(text, piece);
        retort_table *table = table_of(&p, format, column);
        list_rows(found, sizeof found, table);
        assert_string_equal(found, expected);
        retort_table_close(table);
    }
}

static void rows_of_csv(void **state) {
    (void)state;
    expect_rows("id,text\r\n1,plain\r\n\r\n2,\"a \"\"b\"\"\r\nc,d\"\r\n3,\"\"\n4,last", RETORT_TABLE_CSV,
                NULL, "2:plain|4:a \"b\"\r\nc,d|6:|7:last|");
    expect_rows("\xef\xbb\xbftext\nx\n", RETORT_TABLE_CSV, NULL, "2:x|");
    expect_rows("a,b\n1,2,3\n4\n5,6\n\"7\"x,8\n9,un\"quoted\n", RETORT_TABLE_CSV, "b",
                "2!expected 2 columns, found 3|3!expected 2 columns, found 1|4:6|"
                "5!expected a comma or the end of the line after a quote|6:un\"quoted|");
    expect_rows("text\n\"open\nand\non", RETORT_TABLE_CSV, NULL, "ERROR table:2: a quote is not closed");
    expect_rows("sentence1,sentence2\na,b\n", RETORT_TABLE_CSV, NULL, "2:a/b|");
}

/* Some readers end a row there. */
static void carriage_returns_in_csv_are_quoted(void **state) {
    (void)state;
    expect_rows("text,n\na\rb,1\nc\r\r\n\"d\re\",2\nf,3\r\r\n\"g\",\"4\"\r\r\ni,5\r", RETORT_TABLE_CSV, NULL,
                "2!a carriage return outside quotes: lines end with LF or CRLF|"
                "3!a carriage return outside quotes: lines end with LF or CRLF|"
                "4:d\re|5!a carriage return outside quotes: lines end with LF or CRLF|"
                "6!a carriage return outside quotes: lines end with LF or CRLF|7:i|");
}

static void rows_of_tsv(void **state) {
    (void)state;
    expect_rows("text\tn\n\"a\t1\r\n\tempty\nshort\n\xff\t1\n", RETORT_TABLE_TSV, NULL,
                "2:\"a|3:|4!expected 2 columns, found 1|5!byte 1 of the row is not UTF-8|");
}

static void rows_of_json(void **state) {
    (void)state;
    expect_rows(
        "[1]\n{\"text\": \"a\\n\u00e9\", \"n\": 1}\n \n{\"text\": 5}\n{\"text\": null}\n{\"n\": 2}\n{\"text",
        RETORT_TABLE_JSONL, NULL,
        "1!expected a JSON object|2:a\n\u00e9|3!the row is blank|4:5|5!no text or number 'text'|"
        "6!no text or number 'text'|7!line 1 column 7: a string has no end|");
}

/* Pieces of the file lie where the window was before. */
static void objects_without_members_and_blank_lines_may_be_first(void **state) {
    (void)state;
    expect_rows("no\n \r\n{}\n\n{\"text\": \"a\"}\n", RETORT_TABLE_JSONL, NULL,
                "1!line 1 column 1: a value was expected|2!the row is blank|3!no text or number 'text'|"
                "5:a|");
}

static void numbers_of_json_are_short(void **state) {
    (void)state;
    expect_rows("{\"text\": 0.1}\n{\"text\": 1e300}\n{\"text\": 0.30000000000000004}\n{\"text\": "
                "-7}\n{\"text\": 1.5}\n",
                RETORT_TABLE_JSONL, NULL, "1:0.1|2:1e+300|3:0.30000000000000004|4:-7|5:1.5|");
}

/* A NUL is in no text, and strlen is of no use here. */
static void zero_bytes_are_bad(void **state) {
    (void)state;
    static const char bytes[] = "text\nx\0y\nz\n";
    char found[256];
    pieces p = {bytes, sizeof bytes - 1, 3};
    retort_table *table = table_of(&p, RETORT_TABLE_TSV, NULL);
    list_rows(found, sizeof found, table);
    assert_string_equal(found, "2!byte 2 of the row is 0: this is no text|3:z|");
    retort_table_close(table);
}

static void expect_refusal(const char *text, retort_table_format format, const char *column,
                           retort_status status, const char *words) {
    static const char *const added[] = {"label"};
    retort_table_options options = RETORT_TABLE_OPTIONS;
    retort_table *table = NULL;
    retort_error err = {0};
    pieces p = pieces_of(text, 5);
    options.format = format;
    options.text_column = column;
    options.added = added;
    options.added_count = 1;
    assert_int_equal(retort_table_open(&table, &options, read_piece, &p, &err), status);
    assert_null(table);
    if (strstr(err.text, words) == NULL) fail_msg("'%s' does not say '%s'", err.text, words);
}

static void refused_tables(void **state) {
    (void)state;
    expect_refusal("", RETORT_TABLE_CSV, NULL, RETORT_FORMAT, "empty");
    expect_refusal("\xef\xbb\xbf", RETORT_TABLE_JSONL, NULL, RETORT_FORMAT, "empty");
    expect_refusal("\xff\xfet\0", RETORT_TABLE_CSV, NULL, RETORT_FORMAT, "UTF-16");
    expect_refusal("a,b\n1,2\n", RETORT_TABLE_CSV, "c", RETORT_FORMAT, "no column 'c'; there are 'a', 'b'");
    expect_refusal("{\"a\": 1}\n", RETORT_TABLE_JSONL, "c", RETORT_FORMAT, "no column 'c'; there are 'a'");
    expect_refusal("[]\n{}\n", RETORT_TABLE_JSONL, NULL, RETORT_FORMAT,
                   "no line is a JSON object with members: table:1: expected a JSON object");
    expect_refusal("\n{\n\"text\": 1}\n", RETORT_TABLE_JSONL, NULL, RETORT_FORMAT, "with members: table:2: ");
    expect_refusal("\xff\xfe\0\0", RETORT_TABLE_CSV, NULL, RETORT_FORMAT, "UTF-16");
    expect_refusal("a\rb\r", RETORT_TABLE_TSV, NULL, RETORT_FORMAT, "carriage return in the header");
    expect_refusal("a,a\n1,2\n", RETORT_TABLE_CSV, "a", RETORT_FORMAT, "several columns are named 'a'");
    expect_refusal("text\tlabel\n", RETORT_TABLE_TSV, NULL, RETORT_ARGUMENT, "a column 'label' already");
    expect_refusal("\"text,b\n1,2\n", RETORT_TABLE_CSV, NULL, RETORT_FORMAT, "a quote is not closed");
}

static void members_that_are_added_are_bad(void **state) {
    (void)state;
    static const char *const added[] = {"label"};
    retort_table_options options = RETORT_TABLE_OPTIONS;
    retort_table *table = NULL;
    char found[256];
    pieces p = pieces_of("{\"text\": \"a\"}\n{\"text\": \"b\", \"label\": 1}\n", 7);
    options.format = RETORT_TABLE_JSONL;
    options.added = added;
    options.added_count = 1;
    assert_int_equal(retort_table_open(&table, &options, read_piece, &p, NULL), RETORT_OK);
    list_rows(found, sizeof found, table);
    assert_string_equal(found, "1:a|2!it has a member 'label' already|");
    retort_table_close(table);
}

static void reading_goes_on_at_a_position(void **state) {
    (void)state;
    static const char text[] = "text\n\"a\nb\"\nc\nd\n";
    retort_table_position at;
    retort_row row;
    retort_error err;
    char found[64];
    pieces first = pieces_of(text, 4), again = pieces_of(text, 3),
           other = pieces_of("text\n\"A\nb\"\nc\nd\n", 3), shorter = pieces_of("text\n", 3);
    retort_table *table = table_of(&first, RETORT_TABLE_CSV, NULL);
    assert_int_equal(retort_table_next(table, &row, &err), RETORT_OK);
    retort_table_where(table, &at);
    assert_int_equal(at.bytes, 11);
    assert_int_equal(at.lines, 3);
    retort_table_close(table);

    table = table_of(&again, RETORT_TABLE_CSV, NULL);
    assert_int_equal(retort_table_skip(table, &at, &err), RETORT_OK);
    list_rows(found, sizeof found, table);
    assert_string_equal(found, "4:c|5:d|");
    retort_table_close(table);

    table = table_of(&other, RETORT_TABLE_CSV, NULL);
    assert_int_equal(retort_table_skip(table, &at, &err), RETORT_FORMAT);
    assert_non_null(strstr(err.text, "first 11 bytes"));
    retort_table_close(table);
    table = table_of(&shorter, RETORT_TABLE_CSV, NULL);
    assert_int_equal(retort_table_skip(table, &at, &err), RETORT_FORMAT);
    retort_table_close(table);
}

static void records_are_the_bytes_of_the_file(void **state) {
    (void)state;
    static const char text[] = "text,n\r\n\"a\"\"\",1\n  b , 2\r\nc,3";
    static const char *const records[] = {"\"a\"\"\",1", "  b , 2", "c,3"}, *const endings[] = {"\n", "\r\n",
                                                                                                ""};
    pieces p = pieces_of(text, 2);
    retort_row row;
    retort_table *table = table_of(&p, RETORT_TABLE_CSV, NULL);
    retort_table_header(table, &row);
    assert_int_equal(row.length, 6);
    assert_memory_equal(row.record, "text,n", 6);
    assert_string_equal(row.ending, "\r\n");
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(retort_table_next(table, &row, NULL), RETORT_OK);
        assert_int_equal(row.length, strlen(records[i]));
        assert_memory_equal(row.record, records[i], row.length);
        assert_string_equal(row.ending, endings[i]);
    }
    retort_table_close(table);
}

static void errors_keep_the_end_of_long_names(void **state) {
    (void)state;
    char name[2001], found[256];
    retort_table_options options = RETORT_TABLE_OPTIONS;
    retort_table *table = NULL;
    retort_error err;
    memset(name, 'n', sizeof name);
    memcpy(name + sizeof name - 9, "rows.csv", 9);
    options.name = name;
    options.format = RETORT_TABLE_CSV;
    pieces p = pieces_of("id\n", 9), rows = pieces_of("text\na,b\nc\n", 9);
    assert_int_equal(retort_table_open(&table, &options, read_piece, &p, &err), RETORT_FORMAT);
    assert_non_null(strstr(err.text, "nnnrows.csv:1: no column 'sentence'"));
    assert_int_equal(retort_table_open(&table, &options, read_piece, &rows, &err), RETORT_OK);
    list_rows(found, sizeof found, table);
    assert_string_equal(found, "2!expected 1 columns, found 2|3:c|");
    retort_table_close(table);
}

static void bad_arguments(void **state) {
    (void)state;
    retort_table_options options = RETORT_TABLE_OPTIONS;
    retort_table *table = NULL;
    retort_error err;
    pieces p = pieces_of("text\n", 5);
    assert_int_equal(retort_table_open(&table, &options, NULL, NULL, &err), RETORT_ARGUMENT);
    assert_int_equal(retort_table_open(NULL, &options, read_piece, &p, &err), RETORT_ARGUMENT);
    assert_int_equal(retort_table_next(NULL, NULL, &err), RETORT_ARGUMENT);
    assert_int_equal(retort_table_skip(NULL, NULL, &err), RETORT_ARGUMENT);
    assert_int_equal(retort_table_open(&table, &options, read_nothing, NULL, &err), RETORT_IO);
    assert_string_equal(err.text, "the disk is gone");
    assert_int_equal(retort_table_open(&table, &options, read_too_much, NULL, &err), RETORT_ARGUMENT);
    assert_non_null(strstr(err.text, "262145 bytes were read where there was room for 262144"));
    options.size--;
    assert_int_equal(retort_table_open(&table, &options, read_piece, &p, &err), RETORT_ARGUMENT);
    retort_table_close(NULL);
}

/* A record of 65 MB: the window does not grow with it for ever. */
static int64_t read_letters(void *user, void *bytes, size_t size, retort_error *err) {
    size_t *left = user;
    (void)err;
    memset(bytes, 'x', size);
    *left -= size < *left ? size : *left;
    return *left > 0 ? (int64_t)size : 0;
}

static void long_rows_are_refused(void **state) {
    (void)state;
    retort_table_options options = RETORT_TABLE_OPTIONS;
    retort_table *table = NULL;
    retort_error err;
    size_t left = (size_t)200 << 20;
    assert_int_equal(retort_table_open(&table, &options, read_letters, &left, &err), RETORT_FORMAT);
    assert_non_null(strstr(err.text, "table:1: "));
    assert_non_null(strstr(err.text, "longer than 64 MB"));
    assert_true(left > (size_t)130 << 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_csv),
        cmocka_unit_test(carriage_returns_in_csv_are_quoted),
        cmocka_unit_test(rows_of_tsv),
        cmocka_unit_test(rows_of_json),
        cmocka_unit_test(objects_without_members_and_blank_lines_may_be_first),
        cmocka_unit_test(numbers_of_json_are_short),
        cmocka_unit_test(zero_bytes_are_bad),
        cmocka_unit_test(refused_tables),
        cmocka_unit_test(members_that_are_added_are_bad),
        cmocka_unit_test(reading_goes_on_at_a_position),
        cmocka_unit_test(records_are_the_bytes_of_the_file),
        cmocka_unit_test(errors_keep_the_end_of_long_names),
        cmocka_unit_test(bad_arguments),
        cmocka_unit_test(long_rows_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
