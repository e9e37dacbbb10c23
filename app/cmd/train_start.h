/* SPDX-License-Identifier: Apache-2.0
 * Where a training starts: a model whose head has the labels of the data, or of the teacher. */
#ifndef CMD_TRAIN_START_H
#define CMD_TRAIN_START_H

#include "cli/options.h"
#include "cli/output.h"
#include "retort.h"

typedef struct train_start {
    retort_model *model, *teacher; /* teacher: NULL without --teacher */
    retort_dataset *data, *dev;    /* for the model; dev: NULL without --dev */
    bool new_head;
    bool floats_first; /* integers are wanted of a head, or of fewer layers, that has to be learned first */
    size_t layers;     /* of the checkpoint, if the student has fewer; else 0 */
} train_start;

/* Whether integers are trained: --recipe or --bits. */
bool train_has_integers(const cli_args *args);
/* Opens the four, and says what became of the head. Errors are printed; close in any case. */
cli_code train_start_open(train_start *out, const cli_args *args);
void train_start_close(train_start *start);

#endif
