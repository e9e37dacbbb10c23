/* SPDX-License-Identifier: Apache-2.0
 * What retort load prints. */
#ifndef LOAD_REPORT_H
#define LOAD_REPORT_H

#include "cli/options.h"
#include "cli/output.h"
#include "load/plan.h"
#include "load/result.h"

typedef struct load_report {
    const cli_args *args;
    const char *url, *form;
    const load_plan *plan;
    size_t texts;
} load_report;
void load_print_heading(const load_report *report);
cli_code load_print_result(const load_report *report, const load_result *result);

#endif
