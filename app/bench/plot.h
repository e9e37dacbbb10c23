/* SPDX-License-Identifier: Apache-2.0
 * File size by median time, as SVG. */
#ifndef BENCH_PLOT_H
#define BENCH_PLOT_H

#include "bench/engines.h"

#include <stdio.h>

/* File size by median time of one cell, one dot per engine. */
void page_plot(FILE *to, const bench_run *c, const bench_result *result);

#endif
