/* SPDX-License-Identifier: Apache-2.0
 * Texts to ids: the rows of a job, or the tokens of /tokenize. */
#ifndef SERVE_ENCODE_H
#define SERVE_ENCODE_H

#include "serve/wire/call.h"

/* Texts or ids to the rows of the job; texts to the tokens of /tokenize. False: failed. */
bool srv_call_encode(srv_call *call);
bool srv_call_tokenize(srv_call *call);

#endif
