/* SPDX-License-Identifier: Apache-2.0
 * Floats of a row to int8 (kernel.h, "Integers"). */
#ifndef RT_KERNEL_VEC_QUANTIZE_H
#define RT_KERNEL_VEC_QUANTIZE_H

#include "kernel/integers.h"
#include "kernel/vec/math.h"

#include <string.h>

/* The least and the largest so far; NaN does not count. */
typedef struct span16 {
    v16 least, largest;
} span16;

RT_VERB span16 span_zero(void) {
    return (span16){v16_set(0.0f), v16_set(0.0f)};
}
/* With the first n of 16 elements. */
RT_VERB span16 span_widen(span16 s, v16 x, size_t n) {
    if (n < 16) x = v16_first(n, x, v16_set(0.0f));
    return (span16){v16_min(x, s.least), v16_max(x, s.largest)};
}
/* What makes int8 of a row; range: {least, largest} in place of the row's own, or NULL. */
RT_VERB float span_factor(span16 s, const float *range, rt_row_scale *scale) {
    if (range != NULL) return rt_quantum(range[0], range[1], scale);
    return rt_quantum(least16(s.least), most16(s.largest), scale);
}

/* The first n of 16 elements from column i on, as they are rounded; `moved` (a constant): by
 * factor and add. */
RT_VERB v16 to_round(const rt_rows_q *how, bool moved, v16 x, size_t i, size_t n) {
    return moved ? v16_fma(x, v16_load_n(how->factor + i, n), v16_load_n(how->add + i, n)) : x;
}

/* 16 elements, those from n on as 0. */
RT_VERB void store_q(int8_t *q, v16 x, float shift, float factor, size_t n) {
    v16 y = v16_mul(v16_sub(x, v16_set(shift)), v16_set(factor));
    y = v16_min(v16_max(y, v16_set(-127.0f)), v16_set(127.0f));
    if (n < 16) y = v16_first(n, y, v16_set(0.0f));
    v16_store_s8(q, y);
}

/* Zeros from the last element on that store_q wrote. */
RT_VERB void pad_q(size_t n, int8_t *q) {
    size_t done = (n + 15) / 16 * 16;
    memset(q + done, 0, rt_row_q(n) - done);
}

#endif
