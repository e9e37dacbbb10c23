/* SPDX-License-Identifier: Apache-2.0
 * --html: tables and plots of everything measured, in one file. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "bench/engines.h"
#include "cli/output.h"

/* Tables and plots of everything measured, in one file. */
cli_code bench_report(const bench_run *c, const char *title, const char *path);

#endif
