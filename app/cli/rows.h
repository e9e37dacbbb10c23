/* SPDX-License-Identifier: Apache-2.0
 * Rows of a table on their way through a run: read ahead, given out as texts, kept until they are written. */
#ifndef CLI_ROWS_H
#define CLI_ROWS_H

#include "cli/output.h"
#include "retort.h"

typedef struct cli_row {
    char *bytes;         /* [length] the record; the texts follow */
    size_t length, size; /* of the record; of all bytes */
    char ending[3];      /* of its line */
    uint64_t line;
    char *problem; /* NULL: it has texts */
    retort_text text;
    retort_table_position after; /* where the next row begins */
} cli_row;

/* Writes and drops the oldest rows as long as they have problems. */
typedef cli_code (*cli_refuse_fn)(void *user);
typedef struct cli_rows {
    retort_table *table;
    cli_row *ring;                /* [capacity] */
    size_t capacity;              /* a power of 2 */
    size_t dropped, given, count; /* rows so far: dropped, given out as texts or passed over, read */
    size_t ahead;                 /* texts that were read and not given out, */
    size_t bytes;                 /* and their bytes */
    uint64_t most;                /* rows still to be read */
    bool end;
    bool failed; /* reading has, after the rows that are here: */
    retort_error err;
    cli_refuse_fn refuse;
    void *user;
} cli_rows;

/* Reads at most `most` rows of the table, which the caller keeps. `refuse` is called when rows with problems need not
 * wait for others. */
void cli_rows_open(cli_rows *rows, retort_table *table, uint64_t most, cli_refuse_fn refuse, void *user);
/* Texts that can be given out: reads until there are `most`, or a megabyte of them, or no more rows; or until rows with
 * problems fill the queue behind texts that were given out. If reading fails, the texts before that are given out first. */
cli_code cli_rows_look(cli_rows *rows, size_t most, size_t *n);
/* Gives out up to `max` texts, valid until their rows are dropped. */
size_t cli_rows_take(cli_rows *rows, retort_text *texts, size_t max);
/* The oldest row, if it was given out or has a problem; NULL: there is none. */
const cli_row *cli_rows_oldest(const cli_rows *rows);
void cli_rows_drop(cli_rows *rows);
void cli_rows_close(cli_rows *rows);

#endif
