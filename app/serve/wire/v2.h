/* SPDX-License-Identifier: Apache-2.0
 * The Open Inference Protocol v2. */
#ifndef SERVE_V2_H
#define SERVE_V2_H

#include "serve/base/json.h"
#include "serve/wire/call.h"

bool srv_v2_read_infer(srv_call *call, const srv_json *body);
void srv_v2_write_infer(srv_call *call);
void srv_v2_write_server(srv_call *call);
void srv_v2_write_live(srv_call *call);
void srv_v2_write_ready(srv_call *call);
void srv_v2_write_model(srv_call *call);
void srv_v2_write_model_ready(srv_call *call);
void srv_triton_write_config(srv_call *call);

#endif
