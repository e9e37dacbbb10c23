/* SPDX-License-Identifier: Apache-2.0
 * info: what is in a model. */
#ifndef CMD_INFO_H
#define CMD_INFO_H

#include "cli/options.h"
#include "cli/output.h"

cli_code cmd_info(const cli_args *args);

#endif
