/* SPDX-License-Identifier: Apache-2.0
 * What the extensions of SQLite and PostgreSQL share: models by name, one answer at a time.
 *
 * A model is opened once per process and stays open. Its weights are mapped, so the processes of a server share them.
 * Answers take one thread: a database runs statements in parallel. The functions may be called from any thread. */
#ifndef SQL_SHIM_H
#define SQL_SHIM_H

#include "retort.h"

/* A model, locked for the calling thread until sql_release. */
typedef struct sql_model sql_model;

/* Where models lie, and how they are opened. */
typedef struct sql_source {
    const char *folders; /* separated by colons; may be NULL */
    bool paths;          /* whether a path may name a model, too */
    retort_unpack unpack;
} sql_source;

/* Finds the model NAME.retort in the folders, or by its path. */
retort_status sql_acquire(sql_model **out, const char *name, const sql_source *source, retort_error *err);
void sql_release(sql_model *model);

/* Results are valid until sql_release. */
retort_status sql_label(sql_model *model, const char *text, size_t length, const char **label, float *score,
                        retort_error *err);
/* A JSON object of all labels and their scores, highest first. */
retort_status sql_scores(sql_model *model, const char *text, size_t length, const char **json,
                         retort_error *err);
/* vector: [*n] */
retort_status sql_embed(sql_model *model, const char *text, size_t length, const float **vector, size_t *n,
                        retort_error *err);

#endif
