/* SPDX-License-Identifier: Apache-2.0
 * Runs models on the texts that pruning decides by: what their answers lose, what their Linears read, and how long
 * their modules take. */
#ifndef RT_PRUNE_PROBE_H
#define RT_PRUNE_PROBE_H

#include "base/thread.h"
#include "prune/module.h"
#include "quant/calibrate.h"

typedef struct rt_probe {
    rt_calibration texts; /* and kernels */
    rt_thread_pool *pool;
    int threads;
    size_t few;    /* the first texts, whose answers are compared */
    float *logits; /* of the dense model for these */
    size_t rows, columns;
    /* NULL, or called often; a status other than RETORT_OK ends the work. */
    retort_status (*pause)(void *user, retort_error *err);
    void *pause_user;
} rt_probe;

/* Chooses `samples` texts of the data with the seed; the answers of `dense` to the first of them are what others are
 * compared with. dense: borrowed. */
retort_status rt_probe_open(rt_probe *out, const retort_model *dense, const retort_dataset *data,
                            size_t samples, uint64_t seed, int threads, retort_error *err);
void rt_probe_free(rt_probe *probe);

/* Mean KL of the answers of a model from those of the dense one, of softmaxes at a temperature; embeddings and numbers: the
 * squared distance, relative to the mean square of the dense answers. A model is so sure of the texts that it was trained on
 * that at 1 only a few of them tell anything: decisions are taken at RT_PROBE_TEMPERATURE. */
#define RT_PROBE_TEMPERATURE 4.0
retort_status rt_probe_loss(const rt_probe *probe, retort_model *model, double temperature, double *loss,
                            retort_error *err);

/* Gives the rows x [rows, k] and y [rows, n] of the Linear names[index], chunk by chunk in the order of the texts. */
typedef retort_status (*rt_probe_fn)(void *user, const retort_tapped *linear, size_t index,
                                     retort_error *err);
retort_status rt_probe_rows(const rt_probe *probe, retort_model *model, const char *const *names,
                            size_t count, rt_probe_fn see, void *user, retort_error *err);

/* Seconds of each module of a model [modules->count] in the integers that it will be served in (int8), and of the whole: sums of the
 * least of several passes over the texts. `modules` are those of the model's graph. */
retort_status rt_probe_time(const rt_probe *probe, const retort_model *model, const rt_prune_modules *modules,
                            double *seconds, double *whole, retort_error *err);

#endif
