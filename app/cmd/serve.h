/* SPDX-License-Identifier: Apache-2.0
 * serve: models over HTTP. */
#ifndef CMD_SERVE_H
#define CMD_SERVE_H

#include "cli/options.h"
#include "cli/output.h"

cli_code cmd_serve(const cli_args *args);

#endif
