/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/panel.h"
#include "base/memory.h"
#include "base/tensor.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Codes from low to high. */
typedef struct span {
    float low, high;
} span;

/* NaN becomes the lowest code. */
static float code_of(float w, float inverse, span codes) {
    float q = w * inverse;
    q = q > codes.low ? q : codes.low;
    return rt_nearest(q < codes.high ? q : codes.high);
}

/* The factor of code_of. A scale too small for a reciprocal gives 0: all codes are 0. */
static void invert(const float *scale, float *inverse) {
    for (int c = 0; c < RT_PANEL; c++) inverse[c] = scale[c] >= FLT_MIN * 256 ? 1.0F / scale[c] : 0.0F;
}

/* errors[c] += sum over the rows of (w - code * scale)^2 */
static void add_errors(size_t rows, const float *w, const float *scale, span codes, float *errors) {
    float inverse[RT_PANEL], sum[RT_PANEL] = {0};
    invert(scale, inverse);
    for (size_t i = 0; i < rows; i++, w += RT_PANEL) {
        for (int c = 0; c < RT_PANEL; c++) {
            float lost = w[c] - code_of(w[c], inverse[c], codes) * scale[c];
            sum[c] += lost * lost;
        }
    }
    for (int c = 0; c < RT_PANEL; c++) errors[c] += sum[c];
}

static void max_abs(size_t rows, const float *w, float *most) {
    memset(most, 0, RT_PANEL * sizeof *most);
    for (size_t i = 0; i < rows; i++, w += RT_PANEL) {
        for (int c = 0; c < RT_PANEL; c++) {
            float size = fabsf(w[c]);
            most[c] = size > most[c] ? size : most[c];
        }
    }
}

/* Keeps each scale with a smaller error than the best so far. */
static void keep_better(const float *scale, const float *errors, float *best_error, float *best) {
    for (int c = 0; c < RT_PANEL; c++) {
        if (!(errors[c] < best_error[c])) continue;
        best_error[c] = errors[c];
        best[c] = scale[c];
    }
}

static void start_search(float *best_error, float *best) {
    for (int c = 0; c < RT_PANEL; c++) {
        best_error[c] = INFINITY;
        best[c] = 0.0F;
    }
}

float rt_short_scale(float scale) {
    return rt_bf16_to_f32(rt_f32_to_bf16(scale));
}

/* best[c] = the scale of least error among the bf16 ones nearest to largest / high * (1 - i / steps), i <
 * tries; whether no error is NaN. */
static bool search(size_t rows, const float *w, span codes, int tries, int steps, float *best) {
    float most[RT_PANEL], scale[RT_PANEL], best_error[RT_PANEL];
    bool finite = true;
    max_abs(rows, w, most);
    start_search(best_error, best);
    for (int i = 0; i < tries; i++) {
        float errors[RT_PANEL] = {0}, factor = 1.0F - (float)i / (float)steps;
        for (int c = 0; c < RT_PANEL; c++) scale[c] = rt_short_scale(most[c] * factor / codes.high);
        add_errors(rows, w, scale, codes, errors);
        for (int c = 0; c < RT_PANEL; c++) finite = finite && isfinite(errors[c]);
        keep_better(scale, errors, best_error, best);
    }
    return finite;
}

static void round_rows(size_t rows, const float *w, const float *scale, span codes, int8_t *out) {
    float inverse[RT_PANEL];
    invert(scale, inverse);
    for (size_t i = 0; i < rows * RT_PANEL; i++) out[i] = (int8_t)code_of(w[i], inverse[i % RT_PANEL], codes);
}

static void drop_tiny(float *scale) {
    for (int c = 0; c < RT_PANEL; c++) scale[c] = scale[c] >= FLT_MIN * 256 ? scale[c] : 0.0F;
}

/* 48 clips from the largest weight down to half of it: with 8 bits the best one is rarely below 0.7. */
bool rt_round_s8(size_t k, const float *w, rt_rounded *out) {
    static const span codes = {-127, 127};
    bool finite = search(k, w, codes, 48, 96, out->scale);
    drop_tiny(out->scale);
    round_rows(k, w, out->scale, codes, out->codes);
    return finite;
}

/* ---- 4 bits ---- */

static span codes_of(const rt_rounded *out) {
    return out->three ? (span){-4, 3} : (span){-8, 7};
}

/* The integer scale nearest to real / scale. */
static float group_scale(float real, float scale) {
    float g = scale > 0 ? rt_nearest(real / scale) : 1.0F;
    g = g > 1.0F ? g : 1.0F;
    return g < 15.0F ? g : 15.0F;
}

/* Errors of the columns if the scales of their groups are integers times `scale`. */
static void grouped_errors(size_t k, size_t group, span codes, const float *w, const float *reals,
                           const float *scale, float *errors) {
    memset(errors, 0, RT_PANEL * sizeof *errors);
    for (size_t i = 0; i < k; i += group, reals += RT_PANEL) {
        float effective[RT_PANEL];
        for (int c = 0; c < RT_PANEL; c++) effective[c] = group_scale(reals[c], scale[c]) * scale[c];
        add_errors(rt_min(group, k - i), w + i * RT_PANEL, effective, codes, errors);
    }
}

/* The scale of the column: maps the largest real scale to 15.25 (rounds to 15) down to 9.5, in quarters, by
 * the least error. */
static void search_column(size_t k, size_t group, span codes, const float *w, const float *reals,
                          float *best) {
    size_t groups = (k + group - 1) / group;
    float most[RT_PANEL], scale[RT_PANEL], errors[RT_PANEL], best_error[RT_PANEL];
    max_abs(groups, reals, most);
    start_search(best_error, best);
    for (int i = 0; i < 24; i++) {
        for (int c = 0; c < RT_PANEL; c++) scale[c] = rt_short_scale(most[c] / (15.25F - 0.25F * (float)i));
        grouped_errors(k, group, codes, w, reals, scale, errors);
        keep_better(scale, errors, best_error, best);
    }
}

/* Codes are rounded once, with the final scale. The clips of a group go from the largest weight at the
 * highest code down to half of that. */
bool rt_round_s4(size_t k, size_t group, const float *w, float *reals, rt_rounded *out) {
    bool finite = true;
    span codes = codes_of(out);
    for (size_t i = 0; i < k; i += group) {
        finite &= search(rt_min(group, k - i), w + i * RT_PANEL, codes, 33, 64, reals + i / group * RT_PANEL);
    }
    search_column(k, group, codes, w, reals, out->scale);
    drop_tiny(out->scale);
    for (size_t i = 0; i < k; i += group) {
        const float *real = reals + i / group * RT_PANEL;
        uint8_t *groups = out->groups + i / group * RT_PANEL;
        float effective[RT_PANEL];
        for (int c = 0; c < RT_PANEL; c++) {
            groups[c] = (uint8_t)group_scale(real[c], out->scale[c]);
            effective[c] = (float)groups[c] * out->scale[c];
        }
        round_rows(rt_min(group, k - i), w + i * RT_PANEL, effective, codes, out->codes + i * RT_PANEL);
    }
    return finite;
}
