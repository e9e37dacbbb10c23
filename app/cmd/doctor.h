/* SPDX-License-Identifier: Apache-2.0
 * doctor: facts about this machine. */
#ifndef CMD_DOCTOR_H
#define CMD_DOCTOR_H

#include "cli/options.h"
#include "cli/output.h"

cli_code cmd_doctor(const cli_args *args);

#endif
