/* SPDX-License-Identifier: Apache-2.0
 * Triton's extensions of the Open Inference Protocol. */
#ifndef SERVE_TRITON_H
#define SERVE_TRITON_H

#include "serve/wire/call.h"

void srv_triton_write_index(srv_call *call);
void srv_triton_write_statistics(srv_call *call);

#endif
