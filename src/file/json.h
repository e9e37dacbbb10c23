/* SPDX-License-Identifier: Apache-2.0
 * JSON text into jansson's values, with our limits and our errors: duplicate keys and zero bytes are refused,
 * depth is bounded, integers too big for 64 bits become reals (tokenizer_config.json has model_max_length
 * 1e30). */
#ifndef RT_FILE_JSON_H
#define RT_FILE_JSON_H

#include "base/error.h"
#include "base/memory.h"

#include <jansson.h>

/* `name` (a file's name) starts the error text. The caller owns *out (json_decref). */
retort_status rt_json_parse(json_t **out, const char *name, const void *data, size_t size, retort_error *err);
retort_status rt_json_load(json_t **out, const char *path, retort_error *err);
/* Appends `text` as a JSON string, quotes included; false when it is not UTF-8. Whether memory sufficed is in
 * out->failed. */
bool rt_json_append(rt_buffer *out, const char *text);

#endif
