/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_TRAIN_H
#define CMD_TRAIN_H

#include "cli/options.h"
#include "cli/output.h"

cli_code cmd_train(const cli_args *args);

#endif
