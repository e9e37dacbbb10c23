/* SPDX-License-Identifier: Apache-2.0
 * The tables of a benchmark of engines. */
#ifndef BENCH_PRINT_H
#define BENCH_PRINT_H

#include "bench/engines.h"
#include "cli/output.h"

cli_code bench_print_engines(const bench_run *c);
cli_code bench_print_cell(const bench_run *c, const bench_cell *cell);

#endif
