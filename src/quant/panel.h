/* SPDX-License-Identifier: Apache-2.0
 * Rounding to nearest with the scales that lose least (mean squared error of the weights), sixteen columns at
 * a time: w is [k, 16], as a panel of a packed matrix is. Columns are independent of each other. */
#ifndef RT_QUANT_PANEL_H
#define RT_QUANT_PANEL_H

#include "kernel/kernel.h"

typedef struct rt_rounded {
    bool three;            /* set before: 4-bit codes shall be of -4…3 */
    int8_t *codes;         /* [k, 16] */
    uint8_t *groups;       /* [ceil(k/group), 16] scales of 1…15; 4 bits only */
    float scale[RT_PANEL]; /* w is about code * scale, or (code * group scale) * scale */
} rt_rounded;

/* Codes in ±127, a scale a column. False: a weight is not finite. */
bool rt_round_s8(size_t k, const float *w, rt_rounded *out);
/* To the nearest integer, halves to even, for |x| < 2^22; rintf would keep loops from being vectorised. */
static inline float rt_nearest(float x) {
    const float magic = 0x1.8p23f;
    return x + magic - magic;
}
/* The nearest scale that 16 bits (bf16) hold: all scales are such, which halves their bytes in the file.
 * Codes are rounded with it, so that nothing else is lost. */
float rt_short_scale(float scale);
/* Codes of -8…7 (or -4…3), an integer scale for `group` rows of k in a column, and a scale a column (two
 * levels, as QoQ, arXiv 2405.04532). `reals`: scratch, [ceil(k/group), 16]. */
bool rt_round_s4(size_t k, size_t group, const float *w, float *reals, rt_rounded *out);

#endif
