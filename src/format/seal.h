/* SPDX-License-Identifier: Apache-2.0
 * Safetensors files that hold their own hash, so that a damaged one is told from one of another kind: a flipped bit of a
 * weight is as valid as the weight was. */
#ifndef RT_FORMAT_SEAL_H
#define RT_FORMAT_SEAL_H

#include "format/tensors.h"

enum { RT_SEAL_MOST_METADATA = 8 };

/* rt_safetensors_write with "retort.hash" beside up to RT_SEAL_MOST_METADATA others: of all tensors and metadata. */
retort_status rt_seal_write(const char *path, const rt_tensor *tensors, size_t count, const char *const *keys,
                            const char *const *values, size_t metadata_count, retort_error *err);
/* RETORT_FORMAT: the file has another hash, or none. */
retort_status rt_seal_check(const char *path, const rt_tensors *tensors, retort_error *err);

#endif
