/* SPDX-License-Identifier: Apache-2.0
 * quantize: weights to integers; dequantize: back to floats. */
#ifndef CMD_QUANTIZE_H
#define CMD_QUANTIZE_H

#include "cli/options.h"
#include "cli/output.h"

cli_code cmd_quantize(const cli_args *args);
cli_code cmd_dequantize(const cli_args *args);

#endif
