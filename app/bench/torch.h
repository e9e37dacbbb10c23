/* SPDX-License-Identifier: Apache-2.0
 * PyTorch beside the other engines. */
#ifndef BENCH_TORCH_H
#define BENCH_TORCH_H

#include "bench/engines.h"
#include "cli/output.h"

/* Measures PyTorch with --python. */
cli_code bench_torch(bench_run *c, bench_engine *it, const bench_cell *cell, const char *checkpoint);

#endif
