/* SPDX-License-Identifier: Apache-2.0 */
#include "tune/page_parts.h"
#include "tune/sealed.h"

#include <math.h>

const tune_trial *tune_trial_of_claim(const tune *t, const tune_claim *claim) {
    return &t->trials[claim->trial];
}

size_t tune_shown(const tune *t, const tune_claim *shown[TUNE_SHOWN]) {
    size_t n = 0;
    if (t->fastest >= 0) shown[n++] = &t->claims[t->fastest];
    if (t->smallest >= 0 && t->smallest != t->fastest) shown[n++] = &t->claims[t->smallest];
    if (n == 0 && tune_nearest(t) != NULL) shown[n++] = tune_nearest(t);
    return n;
}

void tune_cell(FILE *to, const char *format, double value) {
    fputs("<td>", to);
    if (isfinite(value)) fprintf(to, format, value);
    fputs("</td>", to);
}
