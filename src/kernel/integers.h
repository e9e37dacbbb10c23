/* SPDX-License-Identifier: Apache-2.0
 * The place of an integer weight in its panels, and the rounding of a row to int8 (kernel.h, "Integers"). */
#ifndef RT_KERNEL_INTEGERS_H
#define RT_KERNEL_INTEGERS_H

#include "kernel/kernel.h"

/* Byte of element (i, j) of a [k, n] matrix in panels of `step` rows to 64 bytes: 4, or 8 for 4-bit codes. */
static inline size_t rt_panel_byte(size_t k, size_t step, size_t i, size_t j) {
    size_t steps = (k + step - 1) / step;
    return (j / RT_PANEL * steps + i / step) * RT_PANEL * 4 + j % RT_PANEL * 4 + i % 4;
}
static inline int rt_panel_code(const uint8_t *packed, size_t k, size_t i, size_t j) {
    int bits = packed[rt_panel_byte(k, 8, i, j)] >> (i % 8 < 4 ? 0 : 4) & 15;
    return (bits ^ 8) - 8;
}
/* Element i of a row of 4-bit codes (rt_embed_args). */
static inline int rt_row_code(const uint8_t *row, size_t i) {
    return ((row[i / 32 * 16 + i % 16] >> (i % 32 < 16 ? 0 : 4) & 15) ^ 8) - 8;
}
/* Byte offset of the scale of element (i, j). */
static inline size_t rt_panel_group(size_t k, size_t group, size_t i, size_t j) {
    return (j / RT_PANEL * ((k + group - 1) / group) + i / group) * RT_PANEL + j % RT_PANEL;
}

/* A smaller range has no integers but 0: 127 / range might overflow. */
#define RT_LEAST_RANGE 0x1p-100f

/* The factor for a row with this range, after subtracting the shift; *out undoes both. */
static inline float rt_quantum(float min, float max, rt_row_scale *out) {
    float most = 0.5f * max - 0.5f * min;
    if (most < RT_LEAST_RANGE) {
        *out = (rt_row_scale){0.0f, 0.0f};
        return 0.0f;
    }
    *out = (rt_row_scale){most / 127.0f, 0.5f * min + 0.5f * max};
    return 127.0f / most;
}

/* The factor for numbers with this largest |x|; *scale undoes it. */
static inline float rt_levels(float most, float *scale) {
    if (most < RT_LEAST_RANGE) most = 0.0f;
    *scale = most / RT_ATTENTION_LEVELS;
    return most > 0.0f ? RT_ATTENTION_LEVELS / most : 0.0f;
}

#endif
