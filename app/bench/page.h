/* SPDX-License-Identifier: Apache-2.0
 * What the parts of the HTML page share. */
#ifndef BENCH_PAGE_H
#define BENCH_PAGE_H

#include "bench/engines.h"

#include <stddef.h>

/* Index of the engine's colour; a provider has the same one in every plot. */
size_t page_colour(const bench_engine *it);

#endif
