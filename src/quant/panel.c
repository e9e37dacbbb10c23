/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/panel.h"
#include "base/memory.h"
#include "base/tensor.h"

#include <math.h>
#include <string.h>

static const rt_grid grids[] = {
    [8] = {-127, 127, 0, 0x1.8p23F, 0, 48},
    [4] = {-8, 7, 0, 0x1.8p23F, 15, 33},
    [3] = {-4, 3, 0, 0x1.8p23F, 15, 33},
    [2] = {-3, 3, 1, 0x1.8p24F, 42, 49},
};

const rt_grid *rt_grid_of(int bits) {
    return &grids[bits];
}

void rt_round_factors(const float *scale, float *inverse) {
    for (int c = 0; c < RT_PANEL; c++) inverse[c] = rt_round_factor(scale[c]);
}

/* errors[c] += sum over the rows of (w - code * scale)^2 */
static void add_errors(size_t rows, const float *w, const float *scale, rt_grid grid, float *errors) {
    float inverse[RT_PANEL], sum[RT_PANEL] = {0};
    rt_round_factors(scale, inverse);
    for (size_t i = 0; i < rows; i++, w += RT_PANEL) {
        for (int c = 0; c < RT_PANEL; c++) {
            float lost = w[c] - rt_grid_code(&grid, w[c] * inverse[c]) * scale[c];
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
 * clips of the grid; whether no error is NaN. */
static bool search(size_t rows, const float *w, rt_grid grid, int steps, float *best) {
    float most[RT_PANEL], scale[RT_PANEL], best_error[RT_PANEL];
    bool finite = true;
    max_abs(rows, w, most);
    start_search(best_error, best);
    for (int i = 0; i < grid.clips; i++) {
        float errors[RT_PANEL] = {0}, factor = 1.0F - (float)i / (float)steps;
        for (int c = 0; c < RT_PANEL; c++) scale[c] = rt_short_scale(most[c] * factor / grid.high);
        add_errors(rows, w, scale, grid, errors);
        for (int c = 0; c < RT_PANEL; c++) finite = finite && isfinite(errors[c]);
        keep_better(scale, errors, best_error, best);
    }
    return finite;
}

void rt_round_rows(const rt_grid *grid, size_t rows, const float *w, const float *inverse, int8_t *out) {
    const rt_grid g = *grid;
    for (size_t i = 0; i < rows; i++, w += RT_PANEL, out += RT_PANEL) {
        for (size_t c = 0; c < RT_PANEL; c++) out[c] = (int8_t)rt_grid_code(&g, w[c] * inverse[c]);
    }
}

static void round_rows(size_t rows, const float *w, const float *scale, rt_grid grid, int8_t *out) {
    float inverse[RT_PANEL];
    rt_round_factors(scale, inverse);
    rt_round_rows(&grid, rows, w, inverse, out);
}

static void drop_tiny(float *scale) {
    for (int c = 0; c < RT_PANEL; c++) scale[c] = scale[c] >= FLT_MIN * 256 ? scale[c] : 0.0F;
}

/* 48 clips from the largest weight down to half of it: with 8 bits the best one is rarely below 0.7. */
bool rt_round_s8(size_t k, const float *w, rt_rounded *out) {
    bool finite = search(k, w, grids[8], 96, out->scale);
    drop_tiny(out->scale);
    round_rows(k, w, out->scale, grids[8], out->codes);
    return finite;
}

/* ---- 4 bits and fewer ---- */

/* The integer scale nearest to real / scale. */
static float group_scale(float real, float scale, float most) {
    float g = scale > 0 ? rt_nearest(real / scale) : 1.0F;
    g = g > 1.0F ? g : 1.0F;
    return g < most ? g : most;
}

/* Errors of the columns if the scales of their groups are integers times `scale`. */
static void grouped_errors(size_t k, size_t group, rt_grid grid, const float *w, const float *reals,
                           const float *scale, float *errors) {
    float scales = (float)grid.scales;
    memset(errors, 0, RT_PANEL * sizeof *errors);
    for (size_t i = 0; i < k; i += group, reals += RT_PANEL) {
        float effective[RT_PANEL];
        for (int c = 0; c < RT_PANEL; c++) effective[c] = group_scale(reals[c], scale[c], scales) * scale[c];
        add_errors(rt_min(group, k - i), w + i * RT_PANEL, effective, grid, errors);
    }
}

/* The scale of the column: maps the largest real scale to a quarter more than the largest integer down to 0.63 of
 * it, by the least error. */
static void search_column(size_t k, size_t group, rt_grid grid, const float *w, const float *reals,
                          float *best) {
    size_t groups = (k + group - 1) / group;
    float scales = (float)grid.scales, step = 0.25F * scales / 15;
    float most[RT_PANEL], scale[RT_PANEL], errors[RT_PANEL], best_error[RT_PANEL];
    max_abs(groups, reals, most);
    start_search(best_error, best);
    for (int i = 0; i < 24; i++) {
        for (int c = 0; c < RT_PANEL; c++)
            scale[c] = rt_short_scale(most[c] / (scales + 0.25F - step * (float)i));
        grouped_errors(k, group, grid, w, reals, scale, errors);
        keep_better(scale, errors, best_error, best);
    }
}

/* Codes are rounded once, with the final scale. The clips of a group go from the largest weight at the
 * highest code down to half of that, and with 2 bits, whose best clip of normal weights is at 1.5 standard
 * deviations, down to a quarter. */
bool rt_round_grouped(size_t k, size_t group, const float *w, float *reals, rt_rounded *out) {
    bool finite = true;
    const rt_grid grid = *out->grid;
    for (size_t i = 0; i < k; i += group) {
        finite &= search(rt_min(group, k - i), w + i * RT_PANEL, grid, 64, reals + i / group * RT_PANEL);
    }
    search_column(k, group, grid, w, reals, out->scale);
    drop_tiny(out->scale);
    for (size_t i = 0; i < k; i += group) {
        const float *real = reals + i / group * RT_PANEL;
        uint8_t *groups = out->groups + i / group * RT_PANEL;
        float effective[RT_PANEL];
        for (int c = 0; c < RT_PANEL; c++) {
            groups[c] = (uint8_t)group_scale(real[c], out->scale[c], (float)grid.scales);
            effective[c] = (float)groups[c] * out->scale[c];
        }
        round_rows(rt_min(group, k - i), w + i * RT_PANEL, effective, grid, out->codes + i * RT_PANEL);
    }
    return finite;
}

/* ---- With scales that are there already ---- */

void rt_round_regroup(const rt_grid *grid, size_t k, size_t group, const float *w, const float *scale,
                      uint8_t *groups) {
    for (size_t i = 0; i < k; i += group, groups += RT_PANEL) {
        float best[RT_PANEL], best_error[RT_PANEL];
        start_search(best_error, best);
        for (int step = 0; step < 3; step++) { /* as it is, one less, one more */
            float tried[RT_PANEL], effective[RT_PANEL], errors[RT_PANEL] = {0};
            for (int c = 0; c < RT_PANEL; c++) {
                float g = (float)groups[c] + (step == 0 ? 0.0F : step == 1 ? -1.0F : 1.0F);
                tried[c] = g < 1 ? 1 : g > (float)grid->scales ? (float)grid->scales : g;
                effective[c] = tried[c] * scale[c];
            }
            add_errors(rt_min(group, k - i), w + i * RT_PANEL, effective, *grid, errors);
            keep_better(tried, errors, best_error, best);
        }
        for (int c = 0; c < RT_PANEL; c++)
            groups[c] = best_error[c] < INFINITY ? (uint8_t)best[c] : groups[c];
    }
}
