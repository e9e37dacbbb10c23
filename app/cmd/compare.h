/* SPDX-License-Identifier: Apache-2.0
 * compare: models side by side on labelled data. */
#ifndef CMD_COMPARE_H
#define CMD_COMPARE_H

#include "cli/options.h"
#include "cli/output.h"

cli_code cmd_compare(const cli_args *args);

#endif
