/* SPDX-License-Identifier: Apache-2.0
 * The rows, split once into those that train, those that select and those that stay sealed until the end. */
#ifndef TUNE_SPLIT_H
#define TUNE_SPLIT_H

#include "tune/state.h"

/* Writes the parts into DIR/data. Which row goes where follows from the seed and the row's text: equal texts are never in
 * two parts. Rows of the data that the test has, too, are dropped. Errors and warnings are printed. */
cli_code tune_split_write(tune *t, const cli_args *args, const retort_model *model);

#endif
