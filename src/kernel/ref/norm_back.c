/* SPDX-License-Identifier: Apache-2.0
 * Backward passes of what is done element by element or row by row. */
#include "base/memory.h"
#include "kernel/ref/scalar.h"
#include "kernel/rows.h"

static float gelu_slope(float x) {
    if (isnan(x)) return x;
    float z = fabsf(x) < RT_GELU_LIMIT ? fabsf(x) : RT_GELU_LIMIT;
    float y = fmaf(ref_poly(rt_gelu_poly, 10, z), z, -1.0f), n = rintf(y);
    float t = ldexpf(fmaf(ref_poly(rt_exp2_poly, 6, y - n), y - n, 1.0f), (int)n);
    float pdf = ref_exp(x * x * -0.5f) * RT_GELU_PDF;
    return fmaf(x, pdf, x < 0.0f ? t : 1.0f - t);
}

static float gelu_tanh_slope(float x) {
    x = x > -RT_GELU_TANH_SLOPE_LIMIT || isnan(x) ? x : -RT_GELU_TANH_SLOPE_LIMIT;
    x = x < RT_GELU_TANH_SLOPE_LIMIT || isnan(x) ? x : RT_GELU_TANH_SLOPE_LIMIT;
    float y = x * fmaf(RT_GELU_TANH_B, x * x, RT_GELU_TANH_A);
    float s = 1.0f / (1.0f + ref_exp(y));
    float turn = fmaf(3.0f * RT_GELU_TANH_B, x * x, RT_GELU_TANH_A);
    return fmaf(-(x * (s * (1.0f - s))), turn, s);
}

static float silu_slope(float x) {
    float y = 0.0f - x, s = 1.0f / (1.0f + ref_exp(y > RT_EXP_HIGH ? RT_EXP_HIGH : y));
    return fmaf(x, s * (1.0f - s), s);
}

static float slope(rt_act act, float z) {
    switch (act) {
    case RT_FN_GELU:
    case RT_FN_GELU_SHORT:
        return gelu_slope(z);
    case RT_FN_GELU_TANH:
        return gelu_tanh_slope(z);
    case RT_FN_RELU:
        return 0.0f < z ? 1.0f : 0.0f;
    case RT_FN_TANH:
        return fmaf(-ref_tanh(z), ref_tanh(z), 1.0f);
    case RT_FN_SILU:
        return silu_slope(z);
    case RT_FN_NONE:
        break;
    }
    return 1.0f;
}

void rt_act_back_ref(rt_act act, size_t n, const float *z, float *d) {
    for (size_t i = 0; i < n; i++) d[i] *= slope(act, z[i]);
}

void rt_gate_back_ref(const rt_gate_back *gate) {
    for (size_t r = 0; r < gate->rows; r++) {
        for (size_t j = 0; j < gate->n; j++) {
            size_t block = j / RT_PANEL * RT_PANEL, half = rt_min(RT_PANEL, gate->n - block);
            const float *a = gate->x + r * gate->ldx + 2 * block + j % RT_PANEL;
            float *da = gate->dx + r * gate->lddx + 2 * block + j % RT_PANEL,
                  dy = gate->dy[r * gate->lddy + j];
            da[0] = dy * a[half] * slope(gate->act, a[0]);
            da[half] = dy * ref_activate(a[0], gate->act);
        }
    }
}

/* mean and 1 / sqrt(variance + epsilon) of a row, as in ref/norm.c */
static float inverse_of(const rt_norm_back *norm, const float *x, float *mean) {
    float lane[16] = {0}, square[16] = {0};
    for (size_t i = 0; i < norm->n; i++) lane[i % 16] += x[i];
    *mean = norm->rms ? 0.0f : ref_sum16(lane) / (float)norm->n;
    for (size_t i = 0; i < norm->n; i++) square[i % 16] = fmaf(x[i] - *mean, x[i] - *mean, square[i % 16]);
    return 1.0f / sqrtf(ref_sum16(square) / (float)norm->n + norm->epsilon);
}

static void back_row(const rt_norm_back *norm, const float *x, const float *dy, float *dx) {
    float mean, inverse = inverse_of(norm, x, &mean), first[16] = {0}, second[16] = {0};
    for (size_t i = 0; i < norm->n; i++) {
        float g = dy[i] * norm->gamma[i], xn = (x[i] - mean) * inverse;
        first[i % 16] += g;
        second[i % 16] = fmaf(g, xn, second[i % 16]);
        if (norm->dgamma == NULL) continue;
        norm->dbeta[i] += dy[i];
        norm->dgamma[i] = fmaf(dy[i], xn, norm->dgamma[i]);
    }
    float along = ref_sum16(second) / (float)norm->n;
    float sum = norm->rms ? 0.0f : ref_sum16(first) / (float)norm->n;
    for (size_t i = 0; i < norm->n; i++) {
        float g = dy[i] * norm->gamma[i], xn = (x[i] - mean) * inverse;
        float d = inverse * fmaf(-xn, along, g - sum);
        dx[i] = norm->add ? dx[i] + d : d;
    }
}

void rt_layer_norm_back_ref(const rt_norm_back *norm) {
    for (size_t r = 0; r < norm->rows; r++)
        back_row(norm, norm->x + r * norm->ldx, norm->dy + r * norm->lddy, norm->dx + r * norm->lddx);
}
