/* SPDX-License-Identifier: Apache-2.0
 * Where the rows of run --input go, so that a run that was killed can go on.
 *
 * Rows are collected in blocks. A regular file OUT is written as OUT.part, a block after the other (a gzip member or zstd
 * frame each), beside OUT.bad.jsonl. When both are on the disk, OUT.state says how long they are and what was read of the
 * input until there; it replaces the state before it in one step. --resume cuts both files to these lengths and reads on
 * from there, so no row is lost or doubled. In the end OUT.part becomes OUT, and OUT.state goes. Compressed blocks end after
 * a fixed number of rows or bytes, so that the file does not depend on when the run was killed. */
#ifndef CMD_RUN_STORE_H
#define CMD_RUN_STORE_H

#include "cli/codec.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/rows.h"

/* How far the run has come. */
typedef struct run_mark {
    retort_table_position input;
    uint64_t output, bad; /* bytes of the files */
    uint64_t rows, bad_rows, cut;
} run_mark;

typedef struct run_store {
    char *path;                    /* "-": stdout */
    char *part, *state, *bad_path; /* bad_path NULL: bad rows are only told */
    char *next;                    /* becomes the state */
    char *settings;                /* what the answers depend on */
    bool keeps;                    /* a regular file: OUT.part and OUT.state */
    bool done;                     /* by an earlier run, down to the last row */
    bool resumed;
    bool failed;     /* a file could not be written */
    bool bad_device; /* bad_path is a device, a pipe or a folder */
    int fd, bad_fd;  /* -1: not open */
    cli_codec codec;
    FILE *block, *bad_block; /* rows that are not in the files yet */
    char *data, *bad_data;
    size_t length, bad_length;
    size_t block_rows;
    run_mark mark;
    double ended, saved; /* when the last block ended, and when the state was saved */
} run_store;

/* Opens the files that -o and --bad-rows name, for a run with these settings (taken over, from malloc). With --resume,
 * mark says where to go on. Errors are printed. */
cli_code run_store_open(run_store *store, const cli_args *args, char *settings);
/* The row that was written to store->block is complete, and the next one begins there. */
cli_code run_store_row(run_store *store, const retort_table_position *next, bool cut);
/* Puts a row aside. */
cli_code run_store_bad(run_store *store, const cli_row *row, const char *why);
/* What was written so far may be read: of stdout and of pipes. */
cli_code run_store_flush(run_store *store);
cli_code run_store_finish(run_store *store);
/* Instead of that, if the run cannot go on: what it has stays. */
void run_store_keep(run_store *store);
void run_store_close(run_store *store);

#endif
