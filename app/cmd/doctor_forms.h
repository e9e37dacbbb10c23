/* SPDX-License-Identifier: Apache-2.0
 * The forms that a model can be served in, made and measured here in a few seconds. */
#ifndef CMD_DOCTOR_FORMS_H
#define CMD_DOCTOR_FORMS_H

#include "bench/corpus.h"
#include "bench/engines.h"

typedef enum doctor_form_id {
    DOCTOR_AS_IT_IS, /* integers, or bf16 */
    DOCTOR_AS_CODES, /* the same, if its integers would be unpacked */
    DOCTOR_FLOAT,
    DOCTOR_BF16,
    DOCTOR_INT8,
    DOCTOR_INT4,
    DOCTOR_INT4_CODES, /* 4 bits that stay codes in memory */
    DOCTOR_FORM_COUNT
} doctor_form_id;

/* One form, and what it costs. */
typedef struct doctor_form {
    doctor_form_id id;
    char name[32];       /* "int4", "int4 codes" */
    retort_model *model; /* NULL: it cannot be made */
    char reason[508];    /* why */
    retort_unpack unpack;
    char path[BENCH_PATH];         /* of its file */
    retort_session *team, *single; /* all threads, and one; the same if there is one */
    uint64_t bytes;                /* of the file */
    double load_ms, memory_mb;     /* of a process that answers one text at a time */
    /* A text alone, with all threads and with one; a batch with all. */
    bench_times alone, alone_single, batches;
    double texts_per_s;
} doctor_form;

typedef struct doctor_forms {
    bench_run run; /* folder, machine, threads; it owns the models */
    retort_model *input;
    bench_corpus corpus; /* the sample */
    size_t batch;        /* texts */
    double tokens_p50, tokens_most;
    doctor_form items[DOCTOR_FORM_COUNT];
    size_t count;
    double seconds; /* all of it */
} doctor_forms;

/* Makes and measures them. Free even after a failure. Errors are printed. */
cli_code doctor_forms_measure(doctor_forms *f, const cli_args *args);
void doctor_forms_free(doctor_forms *f);

#endif
