/* SPDX-License-Identifier: Apache-2.0
 * The parts of the report, in the order of the page. */
#ifndef TUNE_PAGE_PARTS_H
#define TUNE_PAGE_PARTS_H

#include "tune/state.h"

#include <stdio.h>

/* The models given, or else the nearest miss: different claims, the fastest first; their number. */
enum { TUNE_SHOWN = 2 };
size_t tune_shown(const tune *t, const tune_claim *shown[TUNE_SHOWN]);
const tune_trial *tune_trial_of_claim(const tune *t, const tune_claim *claim);
/* A cell of a table; empty where the value is not finite. */
void tune_cell(FILE *to, const char *format, double value);

/* Why the models that are given are. */
void tune_page_why(FILE *to, const tune *t);
/* Points by speed and by size, on the rows that select. */
void tune_page_plots(FILE *to, const tune *t);
/* Every claim with its interval and its bound, beside the floor. */
void tune_page_forest(FILE *to, const tune *t);
/* Texts whose answers changed, confusion and reliability, before and after. */
void tune_page_details(FILE *to, const tune *t);
/* Time, bytes and error: of layers, and of each step. */
void tune_page_steps(FILE *to, const tune *t);
/* What would have been faster or smaller, and why it is not given. */
void tune_page_road(FILE *to, const tune *t);

#endif
