/* SPDX-License-Identifier: Apache-2.0
 * bench MODEL… --provider A,B: models in several engines, interleaved. */
#ifndef CMD_BENCH_ENGINES_H
#define CMD_BENCH_ENGINES_H

#include "cli/options.h"
#include "cli/output.h"

cli_code cmd_bench_engines(const cli_args *args);

#endif
