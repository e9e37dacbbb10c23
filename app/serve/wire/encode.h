/* SPDX-License-Identifier: Apache-2.0
 * Texts to ids: the entries of a job, or the tokens of /tokenize. */
#ifndef SERVE_ENCODE_H
#define SERVE_ENCODE_H

#include "serve/wire/call.h"

/* Turn texts or ids into the entries of the job, or texts into the tokens of /tokenize. False: srv_call_fail
 * has been called. */
bool srv_call_encode(srv_call *call);
bool srv_call_tokenize(srv_call *call);

#endif
