/* SPDX-License-Identifier: Apache-2.0
 * eval: a model on labelled data. */
#ifndef CMD_EVAL_H
#define CMD_EVAL_H

#include "cli/options.h"
#include "cli/output.h"

cli_code cmd_eval(const cli_args *args);

#endif
