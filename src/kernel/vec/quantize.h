/* SPDX-License-Identifier: Apache-2.0
 * Floats of a row to int8 (kernel.h, "Integers"). */
#ifndef RT_KERNEL_VEC_QUANTIZE_H
#define RT_KERNEL_VEC_QUANTIZE_H

#include "kernel/integers.h"
#include "kernel/vec/math.h"

#include <string.h>

/* 16 elements, those from n on as 0. */
RT_VERB void store_q(int8_t *q, v16 x, float factor, size_t n) {
    v16 y = v16_min(v16_max(v16_mul(x, v16_set(factor)), v16_set(-127.0f)), v16_set(127.0f));
    if (n < 16) y = v16_first(n, y, v16_set(0.0f));
    v16_store_s8(q, y);
}

/* Zeros from the last element on that store_q wrote. */
RT_VERB void pad_q(size_t n, int8_t *q) {
    size_t done = (n + 15) / 16 * 16;
    memset(q + done, 0, rt_row_q(n) - done);
}

#endif
