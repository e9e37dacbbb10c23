/* SPDX-License-Identifier: Apache-2.0
 * tune: the fastest and the smallest model above an accuracy floor. */
#ifndef CMD_TUNE_H
#define CMD_TUNE_H

#include "cli/options.h"
#include "cli/output.h"

cli_code cmd_tune(const cli_args *args);

#endif
