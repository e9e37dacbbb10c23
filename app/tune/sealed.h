/* SPDX-License-Identifier: Apache-2.0
 * The sealed rows are opened once, for the models that the other rows have chosen. */
#ifndef TUNE_SEALED_H
#define TUNE_SEALED_H

#include "tune/state.h"

/* Tests what is chosen and not yet tested: the fastest, the smallest, and the safest to fall back on. Sets t->fastest and
 * t->smallest among what is proven. */
cli_code tune_sealed_open(tune *t, const cli_args *args);
/* The claim whose loss is nearest to what the floor allows; NULL: none was tested. */
const tune_claim *tune_nearest(const tune *t);

#endif
