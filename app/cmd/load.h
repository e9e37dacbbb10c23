/* SPDX-License-Identifier: Apache-2.0
 * load: the latency of a server at given rates. */
#ifndef CMD_LOAD_H
#define CMD_LOAD_H

#include "cli/options.h"
#include "cli/output.h"

cli_code cmd_load(const cli_args *args);

#endif
