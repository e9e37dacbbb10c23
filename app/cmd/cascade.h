/* SPDX-License-Identifier: Apache-2.0
 * cascade: cheaper stages before a classifier. */
#ifndef CMD_CASCADE_H
#define CMD_CASCADE_H

#include "cli/options.h"
#include "cli/output.h"

cli_code cmd_cascade(const cli_args *args);

#endif
