/* SPDX-License-Identifier: Apache-2.0
 * Parses JSON into jansson values, with limits and error texts of its own: refuses duplicate keys and zero
 * bytes, bounds the depth, and turns integers beyond 64 bits into reals (tokenizer_config.json has
 * model_max_length 1e30). */
#ifndef RT_FORMAT_JSON_H
#define RT_FORMAT_JSON_H

#include "base/error.h"
#include "base/memory.h"

#include <jansson.h>

/* `name` (a file name) starts the error text. The caller owns *out (json_decref). */
retort_status rt_json_parse(json_t **out, const char *name, const void *data, size_t size, retort_error *err);
retort_status rt_json_load(json_t **out, const char *path, retort_error *err);
/* Appends `text` as a JSON string with quotes; false if it is not UTF-8. out->failed: out of memory. */
bool rt_json_append(rt_buffer *out, const char *text);

#endif
