/* SPDX-License-Identifier: Apache-2.0
 * prune: a model without the heads, columns and layers that its answers need least. */
#ifndef CMD_PRUNE_H
#define CMD_PRUNE_H

#include "cli/options.h"
#include "cli/output.h"

cli_code cmd_prune(const cli_args *args);

#endif
