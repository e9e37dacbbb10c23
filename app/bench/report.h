/* SPDX-License-Identifier: Apache-2.0
 * The parts of --html: a page with tables and plots, all in one file. */
#ifndef REPORT_H
#define REPORT_H

#include "bench/engines.h"

/* Text with <, > and & escaped. */
void report_text(FILE *to, const char *text);
/* Number of the entrant's colour: each engine has one. */
size_t report_colour(const entrant *it);
/* File size by median time of one cell: a dot an entrant. */
void report_plot(FILE *to, const contest *c, const contest_result *result);

#endif
