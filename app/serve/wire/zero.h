/* SPDX-License-Identifier: Apache-2.0
 * Zero-shot classification of POST /. */
#ifndef SERVE_ZERO_H
#define SERVE_ZERO_H

#include "serve/wire/call.h"

bool srv_zero_read(srv_call *call);
void srv_zero_write(srv_call *call);

#endif
