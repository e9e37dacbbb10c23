/* SPDX-License-Identifier: Apache-2.0
 * File names stated in a file. */
#ifndef RT_FORMAT_PATH_H
#define RT_FORMAT_PATH_H

#include "base/error.h"

/* Longest path built here: PATH_MAX of Linux. */
enum { RT_PATH_SIZE = 4096 };

/* Whether `name` is one plain component ("model-00001-of-00002.safetensors"): not empty, not "." or "..", no
 * slash or backslash, so that "folder/name" stays in the folder. A link there may lead out of it: the
 * Hugging Face cache consists of links. */
bool rt_plain_name(const char *name);
/* Writes the folder of a file to out[RT_PATH_SIZE]; "." if its path has none. */
retort_status rt_path_folder(char *out, const char *path, retort_error *err);
/* Writes "folder/name" to out[RT_PATH_SIZE]. */
retort_status rt_path_in(char *out, const char *folder, const char *name, retort_error *err);

#endif
