/* SPDX-License-Identifier: Apache-2.0
 * Models in several engines, interleaved: each pair of a model and an engine takes turns on the same
 * inputs. */
#ifndef BENCH_ENGINES_H
#define BENCH_ENGINES_H

#include "bench/busy.h"
#include "bench/corpus.h"
#include "bench/random.h"
#include "cli/options.h"
#include "cli/output.h"
#include "retort.h"

enum { BENCH_PATH = 512 };

/* How long one engine took for one cell. */
typedef struct bench_times {
    double *ms;
    size_t count, capacity;
    double p50, p90, p99, tokens_per_s, texts_per_s;
} bench_times;

typedef struct bench_engine {
    const char *name;        /* of the model, or of a pipeline stage */
    char provider[32];       /* as retort_session_options has it */
    const char *graph_level; /* NULL: all */
    retort_model *model;     /* borrowed */
    char file[BENCH_PATH];   /* what the engine reads: .retort or .onnx */
    char path[BENCH_PATH];   /* the model's .retort */
    uint64_t bytes;          /* of `file` */
    retort_session *session;
    char version[32];
    double load_ms, peak_mb; /* in a process of its own */
    double difference;       /* largest difference of a result value from the model's first engine */
    float *rows;             /* its result, to compare others with */
    size_t row_values;
    bench_times times; /* of the current cell */
    double value, kl;  /* accuracy; NaN: not measured */
    bool missing;      /* its provider is not available; pipeline stages only */
} bench_engine;

typedef struct bench_cell {
    long batch, seq; /* seq 0: texts of --data */
} bench_cell;

/* A cell's figures, kept for the report. */
typedef struct bench_result {
    bench_cell cell;
    bench_times *times; /* [engines] without `ms` */
    bench_busy busy;    /* meanwhile */
} bench_result;

typedef struct bench_run {
    const cli_args *args;
    char folder[BENCH_PATH]; /* temporary */
    bench_engine *items;
    size_t count;
    retort_model **models; /* owned */
    size_t model_count;
    retort_machine machine;
    int threads;
    double seconds;
    bench_result *results;
    size_t result_count;
    size_t texts, tokens; /* of --data */
    const char *metric;   /* of `value`; NULL: not measured */
    bench_busy busy;      /* while the last cell was measured */
} bench_run;

/* Sets up an empty run with a temporary folder; bench_close removes the folder. */
cli_code bench_open(bench_run *c, const cli_args *args);
void bench_close(bench_run *c);
/* Takes ownership of a model. */
cli_code bench_keep(bench_run *c, retort_model *model);
/* The model's .retort file: `path` itself, or one saved in the folder if that is a checkpoint or an .onnx. */
cli_code bench_file(bench_run *c, const retort_model *model, const char *path, const char *name, char *out);
/* A new engine for a kept model whose .retort file is `path`; NULL when out of memory, which is printed. */
bench_engine *bench_add(bench_run *c, const char *name, const char *provider, retort_model *model,
                        const char *path);
/* Exports what the engine needs (once per model and form) and opens its session. */
cli_code bench_enter(bench_run *c, bench_engine *it, bool fused);
/* All sessions take turns on one cell; results stay in their times until the next cell. */
cli_code bench_measure(bench_run *c, const bench_cell *cell);
/* Parses "8x128" and returns what follows the comma; NULL if malformed. */
const char *bench_next_cell(const char *text, bench_cell *out);

/* What a turn runs: a batch of random ids, or a pass over texts. Close it even after a failure. */
typedef struct bench_work {
    bench_random random;
    bench_corpus corpus;
    size_t batch;
    bool texts;
} bench_work;
cli_code bench_work_open(bench_work *w, bench_run *c, const bench_cell *cell);
void bench_work_close(bench_work *w);
bool bench_add_time(bench_times *times, double ms);
/* Percentiles and rates from the times. */
void bench_summarise(const bench_work *w, bench_engine *it, const bench_cell *cell);
uint64_t bench_file_bytes(const char *path);

#endif
