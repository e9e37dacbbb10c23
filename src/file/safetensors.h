/* SPDX-License-Identifier: Apache-2.0
 * What the reader and the writer of safetensors share. */
#ifndef RT_FILE_SAFETENSORS_H
#define RT_FILE_SAFETENSORS_H

#include "base/tensor.h"

/* The reference implementation's bound on the header. */
enum { RT_SAFETENSORS_MAX_HEADER = 100000000 };

typedef struct rt_safetensors_dtype {
    const char *name;
    retort_dtype dtype;
} rt_safetensors_dtype;
/* One row a dtype that we hold. */
extern const rt_safetensors_dtype rt_safetensors_dtypes[];
extern const size_t rt_safetensors_dtype_count;

#endif
