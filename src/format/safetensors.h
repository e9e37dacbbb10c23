/* SPDX-License-Identifier: Apache-2.0
 * Shared by the reader and the writer of safetensors. */
#ifndef RT_FORMAT_SAFETENSORS_H
#define RT_FORMAT_SAFETENSORS_H

#include "base/tensor.h"

/* Header limit of the reference implementation. */
enum { RT_SAFETENSORS_MAX_HEADER = 100000000 };

typedef struct rt_safetensors_dtype {
    const char *name;
    retort_dtype dtype;
} rt_safetensors_dtype;
/* One row per supported dtype. */
extern const rt_safetensors_dtype rt_safetensors_dtypes[];
extern const size_t rt_safetensors_dtype_count;

#endif
