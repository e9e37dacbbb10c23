/* SPDX-License-Identifier: Apache-2.0
 * A tensor is a view: borrowed data with a dtype and a shape. */
#ifndef RT_BASE_TENSOR_H
#define RT_BASE_TENSOR_H

#include "base/error.h"

#include <string.h>

enum { RT_MAX_RANK = 8 };

typedef struct rt_tensor {
    const char *name;
    const void *data; /* contiguous, row-major; may be unaligned in a foreign file */
    retort_dtype dtype;
    int rank;
    int64_t shape[RT_MAX_RANK];
} rt_tensor;

/* Bytes of one element. */
size_t rt_dtype_size(retort_dtype dtype);
static inline bool rt_tensor_is_float(const rt_tensor *tensor) {
    return tensor->dtype == RETORT_F32 || tensor->dtype == RETORT_F16 || tensor->dtype == RETORT_BF16;
}
/* Number of elements (rank 0: one); false if a dim is negative or the product overflows. */
bool rt_shape_count(const int64_t *shape, int rank, size_t *count);
/* Writes "[2, 384]" to out; returns out. */
const char *rt_shape_text(char *out, size_t size, const int64_t *shape, int rank);

/* Conversions, exact if the target can represent the value, else rounded to nearest even. */
float rt_f16_to_f32(uint16_t half);
static inline float rt_bf16_to_f32(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}
static inline uint16_t rt_f32_to_bf16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40u); /* NaN stays NaN, quiet */
    bits += 0x7fffu + (bits >> 16 & 1u);
    return (uint16_t)(bits >> 16);
}
/* Converts n elements of any float dtype (possibly unaligned) to float; false for another dtype. */
bool rt_to_f32(float *out, const void *data, retort_dtype dtype, size_t n);

#endif
