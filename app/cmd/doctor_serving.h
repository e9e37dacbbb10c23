/* SPDX-License-Identifier: Apache-2.0
 * doctor --model: which form of a model to serve here, and what each would cost. */
#ifndef CMD_DOCTOR_SERVING_H
#define CMD_DOCTOR_SERVING_H

#include "cmd/doctor_forms.h"

void doctor_print_serving(const doctor_forms *f);
json_t *doctor_serving_json(const doctor_forms *f);

#endif
