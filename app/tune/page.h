/* SPDX-License-Identifier: Apache-2.0
 * The report: one HTML file about the whole tuning. */
#ifndef TUNE_PAGE_H
#define TUNE_PAGE_H

#include "tune/state.h"

/* Writes DIR/report.html. Errors are printed. */
cli_code tune_page_write(const tune *t);
/* The one sentence about a claim: "5.4 MB (16.8x smaller), …"; a line of text without a line feed. */
void tune_sentence(char *out, size_t size, const tune *t, const tune_claim *c);

#endif
