/* SPDX-License-Identifier: Apache-2.0
 * Rounding to nearest with the scales of least error (mean squared error of the weights), sixteen columns at
 * a time: w is [k, 16], like a panel of a packed matrix. Columns are independent of each other. */
#ifndef RT_QUANT_PANEL_H
#define RT_QUANT_PANEL_H

#include "kernel/kernel.h"

typedef struct rt_rounded {
    bool three;            /* input: restrict 4-bit codes to -4…3 */
    int8_t *codes;         /* [k, 16] */
    uint8_t *groups;       /* [ceil(k/group), 16] scales of 1…15; 4 bits only */
    float scale[RT_PANEL]; /* w ≈ code * scale, or (code * group scale) * scale */
} rt_rounded;

/* Codes in ±127, one scale per column. False: a weight is not finite. */
bool rt_round_s8(size_t k, const float *w, rt_rounded *out);
/* Rounds to the nearest integer, ties to even, for |x| < 2^22; rintf would prevent vectorisation. */
static inline float rt_nearest(float x) {
    const float magic = 0x1.8p23f;
    return x + magic - magic;
}
/* The nearest scale in bf16: all scales are, which halves their bytes in the file. Codes are rounded with
 * it, so this adds no further error. */
float rt_short_scale(float scale);
/* Codes of -8…7 (or -4…3), an integer scale per column for `group` rows of k, and one scale per column (two
 * levels, as in QoQ, arXiv 2405.04532). `reals`: scratch, [ceil(k/group), 16]. */
bool rt_round_s4(size_t k, size_t group, const float *w, float *reals, rt_rounded *out);

#endif
