/* SPDX-License-Identifier: Apache-2.0
 * tokenize: token ids of texts. */
#ifndef CMD_TOKENIZE_H
#define CMD_TOKENIZE_H

#include "cli/options.h"
#include "cli/output.h"

cli_code cmd_tokenize(const cli_args *args);

#endif
