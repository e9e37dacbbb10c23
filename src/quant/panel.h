/* SPDX-License-Identifier: Apache-2.0
 * Rounding to nearest with the scales of least error (mean squared error of the weights), sixteen columns at
 * a time: w is [k, 16], like a panel of a packed matrix. Columns are independent of each other. */
#ifndef RT_QUANT_PANEL_H
#define RT_QUANT_PANEL_H

#include "kernel/kernel.h"

#include <float.h>

/* The codes of a width: offset + a multiple of the step, from low to high. With 2 bits there is none for 0: four
 * levels cover a bell-shaped distribution better where they are symmetric. */
typedef struct rt_grid {
    float low, high, offset;
    float magic; /* 1.5 · 2^23 times the step: adding and subtracting it rounds to a multiple of the step */
    int scales;  /* integer scales of groups are 1…scales: code * scale stays within ±127 */
    int clips;   /* to try, from the one that maps the largest weight to the highest code */
} rt_grid;
const rt_grid *rt_grid_of(int bits); /* 8, 4, 3 or 2 */

/* The code nearest to q, ties to the even multiple. NaN becomes the lowest code. */
static inline float rt_grid_code(const rt_grid *grid, float q) {
    q = q > grid->low ? q : grid->low;
    q = q < grid->high ? q : grid->high;
    return q - grid->offset + grid->magic - grid->magic + grid->offset;
}

typedef struct rt_rounded {
    const rt_grid *grid;   /* input, of rt_round_grouped */
    int8_t *codes;         /* [k, 16] */
    uint8_t *groups;       /* [ceil(k/group), 16] integer scales; below 8 bits only */
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
/* Codes of the grid, an integer scale per column for `group` rows of k, and one scale per column (two levels, as
 * in QoQ, arXiv 2405.04532). `reals`: scratch, [ceil(k/group), 16]. */
bool rt_round_grouped(size_t k, size_t group, const float *w, float *reals, rt_rounded *out);

/* ---- With scales that are there already ---- */

/* The factor of codes of this scale. One too small for a reciprocal gives 0: all codes are that of 0. */
static inline float rt_round_factor(float scale) {
    return scale >= FLT_MIN * 256 ? 1.0F / scale : 0.0F;
}
void rt_round_factors(const float *scale, float *inverse); /* [16] */
/* out [rows, 16] = the codes of w [rows, 16]. */
void rt_round_rows(const rt_grid *grid, size_t rows, const float *w, const float *inverse, int8_t *out);
/* Moves each integer scale in `groups` [ceil(k/group), 16] by one where that lowers the squared error of w [k, 16]. */
void rt_round_regroup(const rt_grid *grid, size_t k, size_t group, const float *w, const float *scale,
                      uint8_t *groups);

#endif
