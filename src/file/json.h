/* SPDX-License-Identifier: Apache-2.0
 * jansson with our limits and our errors: duplicate keys are refused, depth is bounded, integers too big for
 * 64 bits become reals (tokenizer_config.json has model_max_length 1e30). */
#ifndef RT_FILE_JSON_H
#define RT_FILE_JSON_H

#include "base/error.h"

#include <jansson.h>

/* `name` (a file's name) starts the error text. The caller owns *out (json_decref). */
retort_status rt_json_parse(json_t **out, const char *name, const void *data, size_t size, retort_error *err);
retort_status rt_json_load(json_t **out, const char *path, retort_error *err);

#endif
