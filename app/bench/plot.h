/* SPDX-License-Identifier: Apache-2.0
 * Time by file size or by accuracy, as SVG. */
#ifndef BENCH_PLOT_H
#define BENCH_PLOT_H

#include "bench/engines.h"

#include <stdio.h>

/* What time is drawn against. */
typedef enum page_measure { PAGE_BY_SIZE, PAGE_BY_METRIC } page_measure;
/* The times of one cell, one dot per engine: the median, and a line up to the 99th percentile. */
void page_plot(FILE *to, const bench_run *c, const bench_result *result, page_measure measure);

#endif
