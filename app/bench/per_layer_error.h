/* SPDX-License-Identifier: Apache-2.0
 * Where the outputs of a model diverge from those of its reference, step by step. */
#ifndef BENCH_PER_LAYER_ERROR_H
#define BENCH_PER_LAYER_ERROR_H

#include "cli/output.h"
#include "retort.h"

#include <jansson.h>

/* The error of each step of a model relative to the step of the same name in a reference; both run the
 * same batches in turn. Start with {0}. */
typedef struct layer_error {
    const char *name, *op;
    size_t rows, columns;
    double difference, norm; /* sums of squares: of the difference, and of the reference */
    bool unlike;             /* the shapes differ, or one of them has no floats */
    float *queue; /* rows of the model that the reference has not reached yet: floats head…count */
    size_t head, count, capacity;
    double kl; /* of the answers, if the reference goes on from this step's rows; NaN: not measured here */
} layer_error;
/* What the reference's tap does. */
typedef enum layer_mode {
    LAYER_COMPARE, /* its rows with those of the model */
    LAYER_LEAVE,   /* nothing */
    LAYER_PUT      /* writes the model's rows over its own, up to the step `until` */
} layer_mode;
typedef struct layer_errors {
    layer_error *items; /* [steps] of the model */
    size_t steps;
    ptrdiff_t *of; /* [reference_steps] the item that each step of the reference is compared with, or -1 */
    size_t reference_steps;
    bool answered; /* the reference has run the current batch */
    layer_mode mode;
    size_t until;
    bool unput; /* a step that computes floats could not be written */
} layer_errors;
/* Taps of the model's and of the reference's session. */
int layer_errors_tap(void *user, const retort_tapped *tapped);
int layer_errors_tap_reference(void *user, const retort_tapped *tapped);
/* Pairs the steps, before anything runs. */
cli_code layer_errors_pair(layer_errors *layers, const retort_session *model,
                           const retort_session *reference);
/* Bytes of a step's name that are its layer's: "layer.0" of "layer.0.ffn.lin1", else up to the first dot. */
size_t layer_name_length(const char *name);
void layer_errors_print(const layer_errors *layers);
json_t *layer_errors_json(const layer_errors *layers);
void layer_errors_free(layer_errors *layers);

#endif
