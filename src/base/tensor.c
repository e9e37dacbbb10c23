/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tensor.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* One row per dtype, in the order of retort_dtype: public name and bytes of an element. */
static const struct {
    const char *name;
    size_t size;
} dtypes[] = {
    [RETORT_F32] = {"f32", 4}, [RETORT_F16] = {"f16", 2},   [RETORT_BF16] = {"bf16", 2},
    [RETORT_I64] = {"i64", 8}, [RETORT_I32] = {"i32", 4},   [RETORT_S8] = {"s8", 1},
    [RETORT_U8] = {"u8", 1},   [RETORT_BOOL] = {"bool", 1},
};

const char *retort_dtype_name(retort_dtype dtype) {
    return (size_t)dtype < sizeof dtypes / sizeof *dtypes ? dtypes[dtype].name : "unknown";
}

size_t rt_dtype_size(retort_dtype dtype) {
    return dtypes[dtype].size;
}

bool rt_shape_count(const int64_t *shape, int rank, size_t *count) {
    size_t n = 1;
    bool zero = false;
    for (int i = 0; i < rank; i++) {
        if (shape[i] < 0) return false;
        if (shape[i] == 0) zero = true;
        if (shape[i] > 0 && !rt_mul(n, (size_t)shape[i], &n)) return false;
    }
    *count = zero ? 0 : n;
    return true;
}

const char *rt_shape_text(char *out, size_t size, const int64_t *shape, int rank) {
    size_t at = (size_t)snprintf(out, size, "[");
    for (int i = 0; i < rank && at < size; i++) {
        at += (size_t)snprintf(out + at, size - at, "%s%" PRId64, i > 0 ? ", " : "", shape[i]);
    }
    if (at < size) snprintf(out + at, size - at, "]");
    return out;
}

float rt_f16_to_f32(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = half >> 10 & 31u, fraction = half & 1023u,
             bits;
    if (exponent == 31) {
        bits = sign | 0x7f800000u | fraction << 13;
    } else if (exponent > 0) {
        bits = sign | (exponent + 112) << 23 | fraction << 13;
    } else { /* zero and subnormals: fraction * 2^-24 is exact */
        float magnitude = (float)fraction * 0x1p-24f;
        memcpy(&bits, &magnitude, sizeof bits);
        bits |= sign;
    }
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

bool rt_to_f32(float *out, const void *data, retort_dtype dtype, size_t n) {
    const unsigned char *bytes = data;
    uint16_t narrow;
    if (dtype == RETORT_F32) {
        memcpy(out, data, n * sizeof *out);
        return true;
    }
    if (dtype != RETORT_F16 && dtype != RETORT_BF16) return false;
    for (size_t i = 0; i < n; i++) {
        memcpy(&narrow, bytes + 2 * i, 2);
        out[i] = dtype == RETORT_F16 ? rt_f16_to_f32(narrow) : rt_bf16_to_f32(narrow);
    }
    return true;
}
