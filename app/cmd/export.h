/* SPDX-License-Identifier: Apache-2.0
 * export: the model as ONNX. */
#ifndef CMD_EXPORT_H
#define CMD_EXPORT_H

#include "cli/options.h"
#include "cli/output.h"

cli_code cmd_export(const cli_args *args);

#endif
