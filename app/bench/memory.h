/* SPDX-License-Identifier: Apache-2.0
 * Peak memory and load time of each engine. */
#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

#include "bench/engines.h"
#include "cli/output.h"

/* Peak memory and load time of each engine on a cell, measured in a new process of this program. */
cli_code bench_measure_memory(bench_run *c, const bench_cell *cell);

#endif
