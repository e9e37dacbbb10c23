/* SPDX-License-Identifier: Apache-2.0
 * bench with several engines or models: each pair is an entrant, and all take turns on the same inputs. */
#ifndef CONTEST_H
#define CONTEST_H

#include "cli/cli.h"

enum { CONTEST_PATH = 512 };

/* What one entrant took for one cell. */
typedef struct contest_times {
    double *ms;
    size_t count, capacity;
    double p50, p90, p99, tokens_per_s, texts_per_s;
} contest_times;

typedef struct entrant {
    const char *name;        /* of the model, or of a step of the road */
    char provider[32];       /* as retort_session_options has it */
    const char *graph_level; /* NULL: all */
    retort_model *model;     /* borrowed */
    char file[CONTEST_PATH]; /* what the engine reads: .retort or .onnx */
    char path[CONTEST_PATH]; /* the model's .retort */
    uint64_t bytes;          /* of `file` */
    retort_session *session;
    char version[32];
    double load_ms, peak_mb; /* in a process of its own */
    double difference;       /* largest, of any value of a result from that of the model's first entrant */
    float *rows;             /* its result, for others to compare with */
    size_t row_values;
    contest_times times; /* of the cell at hand */
    double value, kl;    /* accuracy; NaN: not measured */
    bool missing;        /* its provider is not there: only on the road */
} entrant;

typedef struct contest_cell {
    long batch, seq; /* seq 0: texts of --data */
} contest_cell;

/* A cell's figures, kept for the report. */
typedef struct contest_result {
    contest_cell cell;
    contest_times *times; /* [entrants]; their `ms` are gone */
} contest_result;

typedef struct contest {
    const cli_args *args;
    char folder[CONTEST_PATH]; /* temporary */
    entrant *items;
    size_t count;
    retort_model **models; /* owned */
    size_t model_count;
    retort_machine machine;
    int threads;
    double seconds;
    contest_result *results;
    size_t result_count;
    size_t texts, tokens; /* of --data */
} contest;

/* Sets up an empty contest with a temporary folder, which contest_close removes with all in it. */
cli_code contest_open(contest *c, const cli_args *args);
void contest_close(contest *c);
/* Takes ownership of a model. */
cli_code contest_keep(contest *c, retort_model *model);
/* The model's .retort file: `path` itself, or one saved in the folder when that is a checkpoint
 * or an .onnx. */
cli_code contest_file(contest *c, const retort_model *model, const char *path, const char *name, char *out);
/* A new entrant of a kept model whose .retort is `path`; NULL when out of memory, which is said. */
entrant *contest_add(contest *c, const char *name, const char *provider, retort_model *model,
                     const char *path);
/* Exports what the engine needs (once for each model and form), opens its session. */
cli_code contest_enter(contest *c, entrant *it, bool fused);
/* All sessions take turns on one cell; results stay in the entrants' times until the next cell. */
cli_code contest_measure(contest *c, const contest_cell *cell);
/* Peak memory and load time of each entrant, measured by this program run again on the cell. */
cli_code contest_memory(contest *c, const contest_cell *cell);
cli_code contest_print_entrants(const contest *c);
cli_code contest_print_cell(const contest *c, const contest_cell *cell);
/* --html: tables and plots of everything measured, in one file. */
cli_code contest_report(const contest *c, const char *title, const char *path);
/* "8x128" and what follows its comma; NULL when it is not that. */
const char *contest_next_cell(const char *text, contest_cell *out);

/* ---- What the parts share ---- */

/* What a turn runs: a batch of random ids, or a pass over texts. contest_work_close also frees
 * what failed. */
typedef struct contest_work {
    cli_random_batch random;
    cli_corpus corpus;
    size_t batch;
    bool texts;
} contest_work;
cli_code contest_work_open(contest_work *w, contest *c, const contest_cell *cell);
void contest_work_close(contest_work *w);
bool contest_add_time(contest_times *times, double ms);
/* Percentiles and rates from the times. */
void contest_summarise(const contest_work *w, entrant *it, const contest_cell *cell);
uint64_t contest_file_bytes(const char *path);
/* Arguments of a program; texts are borrowed. `value` may be NULL. */
typedef struct contest_arguments {
    char *items[32];
    size_t count;
} contest_arguments;
void contest_argument(contest_arguments *a, const char *name, const char *value);
/* Runs it; its standard output, which the caller frees, or NULL when it failed. */
char *contest_output(const char *program, contest_arguments *a);
/* PyTorch's figures, by --python. */
cli_code contest_torch(contest *c, entrant *it, const contest_cell *cell, const char *checkpoint);

/* bench MODEL… --provider A,B and bench --road CHECKPOINT. */
cli_code cmd_contest(const cli_args *args);
cli_code cmd_road(const cli_args *args);

#endif
