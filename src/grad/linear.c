/* SPDX-License-Identifier: Apache-2.0
 * Backward pass of y = act(z) + residual, z = x W + b: dz = dy * act'(z), dx += dz W^T, dresidual += dy. */
#include "grad/tape.h"

#include <math.h>
#include <string.h>

/* ---- The activation ---- */

/* Derivative of GELU, x in [-8, 8], linear between its values at multiples of 1/64: error below 6e-5. */
enum { GELU_MAX = 8, GELU_STEPS = 64, GELU_POINTS = 2 * GELU_MAX * GELU_STEPS + 2 };

static double gelu_slope(double x) {
    return 0.5 * (1 + erf(x * 0.70710678118654752)) + x * 0.39894228040143268 * exp(-0.5 * x * x);
}

static void fill_gelu(float *table) {
    for (int i = 0; i < GELU_POINTS; i++) table[i] = (float)gelu_slope((double)i / GELU_STEPS - GELU_MAX);
}

static float gelu_at(const float *table, float x) {
    float at = (x + GELU_MAX) * GELU_STEPS;
    if (!(at > 0)) return 0;
    if (at >= 2 * GELU_MAX * GELU_STEPS) return 1;
    int i = (int)at;
    return table[i] + (at - (float)i) * (table[i + 1] - table[i]);
}

/* Rows of 16 at most: dz = dy * act'(z). The tanh form of GELU uses the slope of GELU: they differ by less
 * than 5e-4. */
static void through_act(rt_act act, const float *table, size_t n, const float *z, const float *dy,
                        float *dz) {
    for (size_t i = 0; i < n; i++) {
        float slope = 1;
        if (act == RT_FN_RELU) {
            slope = z[i] > 0 ? 1.0F : 0.0F;
        } else if (act == RT_FN_TANH) {
            float t = tanhf(z[i]);
            slope = 1 - t * t;
        } else if (act != RT_FN_NONE) {
            slope = gelu_at(table, z[i]);
        }
        dz[i] = dy[i] * slope;
    }
}

/* z [rows, n]: recomputes the step without its epilogue. */
static void forward_again(rt_tape *tape, const rt_step *step) {
    rt_step plain = *step;
    plain.as.linear.act = RT_FN_NONE;
    plain.in[LINEAR_RESIDUAL].value = -1;
    plain.out[0] = (rt_place){.value = step->out[0].value, .data = tape->room.z};
    rt_execute_step(&tape->executor, &plain, tape->chunk);
}

/* ---- Columns of y: dz, and the weight in rows ---- */

static const float *weight_of(const rt_tape *tape, const rt_step *step) {
    const rt_parameter *parameter = rt_tape_parameter(tape, step, LINEAR_WEIGHT);
    return parameter != NULL ? parameter->used : step->as.linear.weight;
}

/* Unpacks columns of a panel of the weight to tape->room.weight [k, n]. */
static void unpack_panel(const rt_tape *tape, const rt_step *step, size_t panel) {
    const rt_linear_step *linear = &step->as.linear;
    const float *packed = weight_of(tape, step) + panel * linear->k * RT_PANEL;
    size_t from = panel * RT_PANEL, columns = rt_min(RT_PANEL, linear->n - from);
    float *to = tape->room.weight + from;
    for (size_t i = 0; i < linear->k; i++)
        memcpy(to + i * linear->n, packed + i * RT_PANEL, columns * sizeof *to);
}

static void back_columns(rt_tape *tape, const rt_step *step, int part, int parts) {
    const rt_linear_step *linear = &step->as.linear;
    const rt_tape_room *room = &tape->room;
    size_t n = linear->n, rows = rt_chunk_rows(tape->chunk, step->rows);
    rt_range columns = rt_share(n, RT_PANEL, part, parts);
    const float *dy = tape->grad[step->out[0].value];
    float table[GELU_POINTS];
    fill_gelu(table);
    for (size_t at = columns.from; at < columns.to; at += RT_PANEL) {
        size_t width = rt_min(RT_PANEL, n - at);
        for (size_t i = 0; i < rows; i++) {
            float *dz = room->dz + i * n + at;
            through_act(linear->act, table, width, room->z + i * n + at, dy + i * n + at, dz);
        }
        unpack_panel(tape, step, at / RT_PANEL);
    }
}

/* ---- Columns of x ---- */

/* Columns from…to of x, all in one block: dx += dz W^T. */
static void input_columns(rt_tape *tape, const rt_step *step, rt_range k, size_t block, float *dx) {
    const rt_linear_step *linear = &step->as.linear;
    size_t width = linear->n / linear->blocks, count = k.to - k.from, ldx = linear->k * linear->blocks;
    const float *weight = tape->room.weight + (k.from - block * linear->k) * linear->n + block * width;
    float *packed = tape->room.packed + k.from * width;
    rt_pack_f32(width, count, weight, 1, linear->n, packed);
    rt_gemm gemm = {.m = rt_chunk_rows(tape->chunk, step->rows), .n = count, .k = width, .lda = linear->n};
    gemm.a = tape->room.dz + block * width;
    gemm.b = packed;
    gemm.c = dx + k.from;
    gemm.ldc = ldx;
    gemm.residual = dx + k.from;
    gemm.ldr = ldx;
    tape->kernels->gemm_f32(&gemm);
}

static void back_inputs(rt_tape *tape, const rt_step *step, int part, int parts) {
    const rt_linear_step *linear = &step->as.linear;
    float *dx = tape->grad[rt_tape_source(tape, step->in[LINEAR_X].value)];
    rt_range all = rt_share(linear->k * linear->blocks, RT_PANEL, part, parts);
    while (all.from < all.to) {
        size_t block = all.from / linear->k;
        rt_range k = {all.from, rt_min(all.to, (block + 1) * linear->k)};
        input_columns(tape, step, k, block, dx);
        all.from = k.to;
    }
}

/* ---- The weight: dW += x^T dz in panels, db += the sums of the columns of dz ---- */

/* room.x: what the int8 rows of x stand for. */
static void expand_rows(rt_tape *tape, const rt_step *step, int part, int parts) {
    const rt_linear_step *linear = &step->as.linear;
    size_t n = linear->k * linear->blocks, stride = rt_row_q(n);
    const int8_t *x = rt_tape_at(tape, &step->in[LINEAR_X]);
    const rt_row_scale *scales = (const rt_row_scale *)(const void *)(x + linear->x_scale_at);
    rt_range rows = rt_share(rt_chunk_rows(tape->chunk, step->rows), 1, part, parts);
    for (size_t i = rows.from; i < rows.to; i++) {
        for (size_t j = 0; j < n; j++)
            tape->room.x[i * n + j] = scales[i].scale * (float)x[i * stride + j] + scales[i].shift;
    }
}

static void weight_panel(const rt_tape *tape, const rt_step *step, size_t panel, float *dw) {
    const rt_linear_step *linear = &step->as.linear;
    size_t from = panel * RT_PANEL, columns = rt_min(RT_PANEL, linear->n - from);
    size_t rows = rt_chunk_rows(tape->chunk, step->rows), ldx = linear->k * linear->blocks;
    const float *x = linear->gemm_q != NULL ? tape->room.x : rt_tape_at(tape, &step->in[LINEAR_X]);
    x += from / (linear->n / linear->blocks) * linear->k;
    for (size_t i = 0; i < linear->k; i++) {
        float sum[RT_PANEL] = {0};
        for (size_t row = 0; row < rows; row++) {
            const float *dz = tape->room.dz + row * linear->n + from;
            for (size_t j = 0; j < columns; j++) sum[j] = fmaf(x[row * ldx + i], dz[j], sum[j]);
        }
        for (size_t j = 0; j < columns; j++) dw[i * RT_PANEL + j] += sum[j];
    }
}

static void back_weight(rt_tape *tape, const rt_step *step, int part, int parts) {
    const rt_linear_step *linear = &step->as.linear;
    size_t rows = rt_chunk_rows(tape->chunk, step->rows);
    rt_range columns = rt_share(linear->n, RT_PANEL, part, parts);
    float *dw = rt_tape_vector(tape, step, LINEAR_WEIGHT), *db = rt_tape_vector(tape, step, LINEAR_BIAS);
    for (size_t j = columns.from; dw != NULL && j < columns.to; j += RT_PANEL)
        weight_panel(tape, step, j / RT_PANEL, dw + j * linear->k);
    for (size_t row = 0; db != NULL && row < rows; row++) {
        for (size_t j = columns.from; j < columns.to; j++) db[j] += tape->room.dz[row * linear->n + j];
    }
}

void rt_tape_linear(rt_tape *tape, const rt_step *step) {
    const float *dy = tape->grad[step->out[0].value];
    float *residual =
        step->in[LINEAR_RESIDUAL].value >= 0 ? rt_tape_grad(tape, step->in[LINEAR_RESIDUAL].value) : NULL;
    size_t count = rt_chunk_rows(tape->chunk, step->rows) * step->as.linear.n;
    for (size_t i = 0; residual != NULL && i < count; i++) residual[i] += dy[i];
    float *dx = rt_tape_grad(tape, rt_tape_source(tape, step->in[LINEAR_X].value));
    if (step->as.linear.act != RT_FN_NONE) forward_again(tape, step);
    rt_tape_run(tape, step, back_columns);
    if (tape->see != NULL && tape->status == RETORT_OK)
        tape->status = tape->see(tape, step, rt_chunk_rows(tape->chunk, step->rows));
    if (tape->parameters != NULL && step->as.linear.gemm_q != NULL) rt_tape_run(tape, step, expand_rows);
    if (tape->parameters != NULL) rt_tape_run(tape, step, back_weight);
    if (dx != NULL) rt_tape_run(tape, step, back_inputs);
}
