/* SPDX-License-Identifier: Apache-2.0
 * Rounds the floats of a row to int8 (kernel.h, "Integers"). */
#ifndef RT_KERNEL_VEC_QUANTIZE_H
#define RT_KERNEL_VEC_QUANTIZE_H

#include "kernel/integers.h"
#include "kernel/vec/math.h"

#include <string.h>

/* The range so far, ignoring NaN. */
typedef struct span16 {
    v16 min, max;
} span16;

RT_VERB span16 span_zero(void) {
    return (span16){v16_set(0.0f), v16_set(0.0f)};
}
/* Updated with the first n of 16 elements. */
RT_VERB span16 span_widen(span16 s, v16 x, size_t n) {
    if (n < 16) x = v16_first(n, x, v16_set(0.0f));
    return (span16){v16_min(x, s.min), v16_max(x, s.max)};
}
/* The factors that round a row to int8; range: {min, max}; NULL: that of the row. */
RT_VERB float span_factor(span16 s, const float *range, rt_row_scale *scale) {
    if (range != NULL) return rt_quantum(range[0], range[1], scale);
    return rt_quantum(min16(s.min), max16(s.max), scale);
}

/* The first n of 16 elements from column i on, ready to be rounded; `scaled` (a constant): with factor and
 * add. */
RT_VERB v16 to_round(const rt_rows_q *how, bool scaled, v16 x, size_t i, size_t n) {
    return scaled ? v16_fma(x, v16_load_n(how->factor + i, n), v16_load_n(how->add + i, n)) : x;
}

/* Stores 16 elements, with 0 from n on. */
RT_VERB void store_q(int8_t *q, v16 x, float shift, float factor, size_t n) {
    v16 y = v16_mul(v16_sub(x, v16_set(shift)), v16_set(factor));
    y = v16_min(v16_max(y, v16_set(-127.0f)), v16_set(127.0f));
    if (n < 16) y = v16_first(n, y, v16_set(0.0f));
    v16_store_s8(q, y);
}

/* Pads with zeros after the last element that store_q wrote. */
RT_VERB void pad_q(size_t n, int8_t *q) {
    size_t done = (n + 15) / 16 * 16;
    memset(q + done, 0, rt_row_q(n) - done);
}

#endif
