/* SPDX-License-Identifier: Apache-2.0
 * Tables that arrive in pieces. The first byte chooses the format and the size of the pieces; however large they are, the
 * rows are the same, and their bytes are those of the file. */
#include "pieces.h"
#include "retort.h"

#include <stdlib.h>
#include <string.h>

/* A sum over all that is known of the rows. */
static uint64_t sum_of(uint64_t sum, const void *bytes, size_t n) {
    const uint8_t *at = bytes;
    for (size_t i = 0; i < n; i++) sum = (sum ^ at[i]) * UINT64_C(0x100000001b3);
    return sum * 31 + n;
}

static uint64_t read_rows(const uint8_t *data, size_t size, retort_table_format format, size_t piece) {
    static const char *const added[] = {"label"};
    retort_table_options options = RETORT_TABLE_OPTIONS;
    retort_table *table = NULL;
    retort_table_position where = {0};
    retort_row row;
    retort_error err;
    pieces p = {data, size, piece};
    uint64_t sum = 1;
    options.format = format;
    options.added = added;
    options.added_count = 1;
    retort_status status = retort_table_open(&table, &options, read_piece, &p, &err);
    while (status == RETORT_OK && (status = retort_table_next(table, &row, &err)) == RETORT_OK &&
           row.record != NULL) {
        retort_table_where(table, &where);
        size_t from = (size_t)where.bytes - row.length - strlen(row.ending);
        /* A line that ends the file with a carriage return has the ending "\n". */
        if (where.bytes > size || memcmp(data + from, row.record, row.length) != 0) abort();
        sum = sum_of(sum, row.record, row.length);
        sum = sum_of(sum, &row.line, sizeof row.line);
        if (row.problem != NULL)
            sum = sum_of(sum, row.problem, strlen(row.problem));
        else
            sum = sum_of(sum_of(sum, row.text.text, row.text.length), row.text.pair, row.text.pair_length);
    }
    if (status != RETORT_OK) sum = sum_of(sum, err.text, strlen(err.text));
    retort_table_close(table);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    retort_table_format format = (retort_table_format)(data[0] % 3);
    size_t piece = 1 + data[0] / 3;
    uint64_t whole = read_rows(data + 1, size - 1, format, size);
    if (read_rows(data + 1, size - 1, format, piece) != whole) abort();
    return 0;
}
