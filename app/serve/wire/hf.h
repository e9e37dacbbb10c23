/* SPDX-License-Identifier: Apache-2.0
 * Hugging Face's inference form. */
#ifndef SERVE_HF_H
#define SERVE_HF_H

#include "serve/base/json.h"
#include "serve/wire/call.h"

bool srv_hf_read(srv_call *call, const srv_json *body);
bool srv_hf_read_model(srv_call *call, const srv_json *body);
void srv_hf_write(srv_call *call);

#endif
