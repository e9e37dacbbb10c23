/* SPDX-License-Identifier: Apache-2.0
 * bench: latency and throughput. */
#ifndef CMD_BENCH_H
#define CMD_BENCH_H

#include "cli/options.h"
#include "cli/output.h"

cli_code cmd_bench(const cli_args *args);

#endif
