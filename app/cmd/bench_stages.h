/* SPDX-License-Identifier: Apache-2.0
 * bench --stages CHECKPOINT: what each pipeline stage gains. */
#ifndef CMD_BENCH_STAGES_H
#define CMD_BENCH_STAGES_H

#include "cli/options.h"
#include "cli/output.h"

cli_code cmd_bench_stages(const cli_args *args);

#endif
