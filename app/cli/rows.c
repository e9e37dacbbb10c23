/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/rows.h"

#include <stdlib.h>
#include <string.h>

enum { LOOK_BYTES = 1 << 20, MOST_PROBLEMS = 1 << 14 };

void cli_rows_open(cli_rows *rows, retort_table *table, uint64_t most, cli_refuse_fn refuse, void *user) {
    *rows = (cli_rows){.table = table, .most = most, .refuse = refuse, .user = user};
}

static cli_row *row_at(const cli_rows *rows, size_t index) {
    return &rows->ring[index & (rows->capacity - 1)];
}

static bool grow(cli_rows *rows) {
    if (rows->count - rows->dropped < rows->capacity) return true;
    cli_rows grown = *rows;
    grown.capacity = rows->capacity > 0 ? 2 * rows->capacity : 256;
    grown.ring = calloc(grown.capacity, sizeof *grown.ring);
    if (grown.ring == NULL) return false;
    for (size_t i = rows->dropped; i < rows->count; i++) *row_at(&grown, i) = *row_at(rows, i);
    free(rows->ring);
    rows->ring = grown.ring;
    rows->capacity = grown.capacity;
    return true;
}

static char *append(char *to, const char *bytes, size_t length) {
    if (length > 0) memcpy(to, bytes, length);
    return to + length;
}

static bool copy(cli_row *row, const retort_row *from) {
    row->size = from->length + from->text.length + from->text.pair_length;
    row->bytes = malloc(row->size + 1);
    row->problem = from->problem != NULL ? strdup(from->problem) : NULL;
    if (row->bytes == NULL || (from->problem != NULL && row->problem == NULL)) {
        free(row->bytes);
        free(row->problem);
        return false;
    }
    row->length = from->length;
    row->line = from->line;
    memcpy(row->ending, from->ending, strlen(from->ending) + 1);
    char *text = append(row->bytes, from->record, from->length);
    char *pair = append(text, from->text.text, from->text.length);
    append(pair, from->text.pair, from->text.pair_length);
    row->text =
        (retort_text){text, from->text.length, from->text.pair != NULL ? pair : NULL, from->text.pair_length};
    return true;
}

static cli_code read_row(cli_rows *rows) {
    retort_row from;
    rows->end = rows->most == 0;
    if (rows->end) return CLI_DONE;
    rows->failed = retort_table_next(rows->table, &from, &rows->err) != RETORT_OK;
    rows->end = rows->failed || from.record == NULL;
    if (rows->end) return CLI_DONE;
    if (!grow(rows)) return cli_no_memory();
    cli_row *row = row_at(rows, rows->count);
    if (!copy(row, &from)) return cli_no_memory();
    retort_table_where(rows->table, &row->after);
    rows->count++;
    rows->most--;
    if (row->problem != NULL) return CLI_DONE;
    rows->ahead++;
    rows->bytes += row->size;
    return CLI_DONE;
}

cli_code cli_rows_look(cli_rows *rows, size_t most, size_t *n) {
    cli_code code = CLI_DONE;
    while (code == CLI_DONE && !rows->end && rows->ahead < most && rows->bytes < LOOK_BYTES &&
           rows->count - rows->given < most + MOST_PROBLEMS) {
        code = read_row(rows);
        const cli_row *oldest = cli_rows_oldest(rows);
        if (code == CLI_DONE && oldest != NULL && oldest->problem != NULL) code = rows->refuse(rows->user);
    }
    *n = rows->ahead;
    if (code != CLI_DONE || !rows->failed || rows->ahead > 0) return code;
    rows->failed = false;
    return cli_fail(&rows->err, true);
}

size_t cli_rows_take(cli_rows *rows, retort_text *texts, size_t max) {
    size_t n = 0;
    for (; n < max && rows->ahead > 0; rows->given++) {
        const cli_row *row = row_at(rows, rows->given);
        if (row->problem != NULL) continue;
        texts[n++] = row->text;
        rows->ahead--;
        rows->bytes -= row->size;
    }
    return n;
}

const cli_row *cli_rows_oldest(const cli_rows *rows) {
    if (rows->dropped == rows->count) return NULL;
    const cli_row *row = row_at(rows, rows->dropped);
    return row->problem != NULL || rows->dropped < rows->given ? row : NULL;
}

void cli_rows_drop(cli_rows *rows) {
    cli_row *row = row_at(rows, rows->dropped);
    if (rows->given == rows->dropped) rows->given++;
    rows->dropped++;
    free(row->bytes);
    free(row->problem);
}

void cli_rows_close(cli_rows *rows) {
    for (; rows->dropped < rows->count; rows->dropped++) {
        free(row_at(rows, rows->dropped)->bytes);
        free(row_at(rows, rows->dropped)->problem);
    }
    free(rows->ring);
    *rows = (cli_rows){0};
}
