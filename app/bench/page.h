/* SPDX-License-Identifier: Apache-2.0
 * What the parts of the HTML page share. */
#ifndef BENCH_PAGE_H
#define BENCH_PAGE_H

#include "bench/engines.h"

#include <stddef.h>
#include <stdio.h>

/* Index of the engine's colour; a provider has the same one in every plot. */
size_t page_colour(const bench_engine *it);

/* Up to and with the heading: a file that needs nothing else, for light and dark, phone and paper. */
void page_begin(FILE *to, const char *title);
/* A warning where other processes, or the hypervisor, took a tenth of the CPUs or more; NaN: unknown. */
void page_busy(FILE *to, double others, double steal);

#endif
