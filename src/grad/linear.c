/* SPDX-License-Identifier: Apache-2.0
 * Backward pass of y = act(z) + residual, z = x W + b, in two regions:
 *   rows:    dz = dy act'(z), in the place of dy; x transposed and dz packed, as the products need them
 *   columns: dx += dz W^T, by columns of x; dW += x^T dz and db += the sums of dz, by columns of y
 * A worker sums over all of k, so sums do not depend on how many there are. dW is written in panels. */
#include "grad/tape.h"

#include <string.h>

enum { UNIT = 2 * RT_PANEL }; /* columns of a share */

typedef struct linear {
    const rt_step *step;
    const rt_kernels *kernels;
    const rt_tape_room *room;
    size_t rows, k, n, blocks, width,
        columns;       /* columns: of x, k * blocks; width: of a block of y, n / blocks */
    const float *used; /* the weight */
    float *dz, *dx, *dw, *db;
    bool add, bf16;   /* dx is added to; products of bf16 */
    bool first;       /* dW is not */
    size_t turned_ld; /* elements between rows of x transposed */
    size_t panel;     /* elements of a panel of dz */
} linear;

static linear linear_of(const rt_tape *tape, const rt_step *step) {
    const rt_linear_step *of = &step->as.linear;
    size_t rows = rt_chunk_rows(tape->chunk, step->rows);
    linear l = {.step = step,
                .kernels = tape->kernels,
                .room = &tape->room,
                .rows = rows,
                .k = of->k,
                .n = of->n,
                .blocks = of->blocks,
                .width = of->n / of->blocks,
                .columns = of->k * of->blocks,
                .used = rt_tape_used(tape, step, LINEAR_WEIGHT),
                .bf16 = rt_tape_is_bf16(step)};
    l.dz = rt_tape_live(tape, step->out[0].value);
    l.dx = rt_tape_live(tape, step->in[LINEAR_X].value);
    const rt_parameter *weight = rt_tape_parameter(tape, step, LINEAR_WEIGHT);
    l.dw = weight != NULL ? weight->grad : NULL;
    l.first = weight != NULL && weight->cleared;
    l.db = rt_tape_vector(tape, step, LINEAR_BIAS);
    l.turned_ld = rt_round_up(rows, RT_PANEL);
    l.panel = (l.bf16 ? rows + (rows & 1) : rows) * RT_PANEL;
    return l;
}

/* ---- Rows ---- */

/* z [rows, n]: an integer step once more, without its epilogue. */
static void forward_again(rt_tape *tape, const rt_step *step) {
    rt_step plain = *step;
    plain.as.linear.act = RT_FN_NONE;
    plain.in[LINEAR_RESIDUAL].value = -1;
    plain.out[0] = (rt_place){.value = step->out[0].value, .data = tape->room.z};
    rt_execute_step(&tape->executor, &plain, tape->chunk);
}

/* Rows of dy to those of the residual's gradient. */
static void add_residual(const rt_tape *tape, const rt_step *step, rt_range rows, bool add) {
    size_t n = step->as.linear.n, count = (rows.to - rows.from) * n;
    const float *dy = rt_tape_live(tape, step->out[0].value) + rows.from * n;
    float *to = rt_tape_live(tape, step->in[LINEAR_RESIDUAL].value) + rows.from * n;
    if (!add) memcpy(to, dy, count * sizeof *to);
    for (size_t i = 0; add && i < count; i++) to[i] += dy[i];
}

static void add_residual_rows(rt_tape *tape, const rt_step *step, rt_worker *worker) {
    add_residual(tape, step, rt_worker_share(worker, rt_chunk_rows(tape->chunk, step->rows), 1), true);
}
static void copy_residual_rows(rt_tape *tape, const rt_step *step, rt_worker *worker) {
    add_residual(tape, step, rt_worker_share(worker, rt_chunk_rows(tape->chunk, step->rows), 1), false);
}

/* x of these rows as columns of its transpose. */
static void turn_x(const rt_tape *tape, const linear *l, rt_range rows, float *scratch) {
    rt_transpose_args turn = {.m = RT_PANEL, .n = l->columns, .ldx = l->columns, .ldy = l->turned_ld};
    for (size_t i = rows.from; i < rows.to; i += RT_PANEL) {
        rt_range some = {i, rt_min(i + RT_PANEL, rows.to)};
        turn.m = some.to - i;
        turn.x = rt_tape_rows(tape, &l->step->in[LINEAR_X], some, scratch);
        if (l->bf16)
            turn.y16 = (uint16_t *)l->room->turned + i;
        else
            turn.y = (float *)l->room->turned + i;
        l->kernels->transpose(&turn);
    }
}

static void pack_dz(const linear *l, rt_range rows) {
    rt_pack_args pack = {.k = rows.to - rows.from, .n = l->n, .ldx = l->n, .y_panel = l->panel};
    pack.x = l->dz + rows.from * l->n;
    if (l->bf16)
        pack.y16 = (uint16_t *)l->room->panels + rows.from * RT_PANEL;
    else
        pack.y = (float *)l->room->panels + rows.from * RT_PANEL;
    l->kernels->pack(&pack);
}

static void back_rows(rt_tape *tape, const rt_step *step, rt_worker *worker) {
    linear l = linear_of(tape, step);
    const float *z = tape->sums[step - tape->plan.steps];
    rt_range rows = rt_worker_share(worker, l.rows, RT_PANEL);
    size_t at = rows.from * l.n, count = (rows.to - rows.from) * l.n;
    if (z == NULL) z = tape->room.z;
    if (count == 0) return;
    if (step->as.linear.act != RT_FN_NONE) l.kernels->act_back(step->as.linear.act, count, z + at, l.dz + at);
    if (l.bf16) l.kernels->to_bf16(count, l.dz + at, l.room->dz16 + at);
    if (l.dw == NULL && l.db == NULL) return;
    pack_dz(&l, rows);
    if (l.dw != NULL) turn_x(tape, &l, rows, worker->scratch);
}

/* ---- Columns of x: dx ---- */

/* 16 columns of W^T, from column `at` of x on, as a panel [width][16]. */
static void turn_weight(const linear *l, size_t at, float *panel) {
    size_t block = at / l->k, row = at % l->k, count = rt_min(RT_PANEL, l->k - row);
    if (count < RT_PANEL) memset(panel, 0, l->width * RT_PANEL * sizeof *panel);
    for (size_t j = 0; j < l->width; j += RT_PANEL) {
        const float *from = l->used + ((block * l->width + j) * l->k + row * RT_PANEL);
        rt_transpose_args turn = {
            .m = count, .n = rt_min(RT_PANEL, l->width - j), .x = from, .ldx = RT_PANEL};
        turn.y = panel + j * RT_PANEL;
        turn.ldy = RT_PANEL;
        l->kernels->transpose(&turn);
    }
}

/* W^T of these columns of x in panels, in the worker's scratch. */
static const void *turn_weights(const linear *l, rt_range columns, float *scratch) {
    size_t width = l->width + (l->width & 1);
    float *panel = scratch + RT_TAPE_TILE * width;
    for (size_t at = columns.from; at < columns.to; at += RT_PANEL) {
        size_t index = (at - columns.from) / RT_PANEL;
        if (!l->bf16) {
            turn_weight(l, at, scratch + index * l->width * RT_PANEL);
            continue;
        }
        turn_weight(l, at, panel);
        l->kernels->pack(&(rt_pack_args){.k = l->width,
                                         .n = RT_PANEL,
                                         .x = panel,
                                         .ldx = RT_PANEL,
                                         .y16 = (uint16_t *)(void *)scratch + index * width * RT_PANEL});
    }
    return scratch;
}

/* Columns of x, all in one block. */
static void input_columns(const linear *l, rt_range columns, float *scratch) {
    size_t at = columns.from / l->k * l->width;
    for (size_t from = columns.from; from < columns.to; from += RT_TAPE_TILE) {
        rt_range some = {from, rt_min(from + RT_TAPE_TILE, columns.to)};
        rt_gemm gemm = {.m = l->rows, .n = some.to - from, .k = l->width, .lda = l->n};
        gemm.a = l->bf16 ? (const void *)(l->room->dz16 + at) : l->dz + at;
        gemm.b = turn_weights(l, some, scratch);
        gemm.c = l->dx + from;
        gemm.ldc = gemm.ldr = l->columns;
        gemm.residual = l->add ? gemm.c : NULL;
        (l->bf16 ? l->kernels->gemm_bf16 : l->kernels->gemm_f32)(&gemm);
    }
}

/* ---- Columns of y: dW, db ---- */

/* Columns of y, all in one block. */
static void weight_columns(const linear *l, rt_range columns) {
    rt_gemm_fn multiply = l->bf16 ? l->kernels->gemm_bf16 : l->kernels->gemm_f32;
    size_t size = l->bf16 ? sizeof(uint16_t) : sizeof(float), block = columns.from / l->width;
    rt_gemm gemm = {.n = columns.to - columns.from, .k = l->rows};
    gemm.b = (const char *)l->room->panels + columns.from / RT_PANEL * l->panel * size;
    if (l->dw != NULL) {
        gemm.m = l->k;
        gemm.a = (const char *)l->room->turned + block * l->k * l->turned_ld * size;
        gemm.lda = l->turned_ld;
        gemm.c = l->dw + columns.from * l->k;
        gemm.residual = l->first ? NULL : gemm.c;
        gemm.ldc = gemm.ldr = RT_PANEL;
        gemm.c_panel = l->k * RT_PANEL;
        multiply(&gemm);
    }
    if (l->db != NULL) {
        gemm.m = 1;
        gemm.a = l->bf16 ? (const void *)l->room->ones16 : l->room->ones;
        gemm.lda = gemm.ldc = gemm.ldr = l->rows;
        gemm.c = l->db + columns.from;
        gemm.residual = gemm.c;
        gemm.c_panel = 0;
        multiply(&gemm);
    }
}

/* ---- Both ---- */

/* The columns, of n in all, whose share begins where `from` of `parts` parts do and ends where `to` do. */
static rt_range columns_between(size_t n, size_t from, size_t to, size_t parts) {
    if (from >= to) return (rt_range){0, 0};
    return (rt_range){rt_share(n, UNIT, (int)from, (int)parts).from,
                      rt_share(n, UNIT, (int)to - 1, (int)parts).to};
}

/* The first half of the parts is dx, the second dW: as many operations each. */
static void back_columns(rt_tape *tape, const rt_step *step, rt_worker *worker, bool add) {
    linear l = linear_of(tape, step);
    l.add = add;
    bool weights = l.dw != NULL || l.db != NULL;
    size_t parts = (size_t)worker->parts, halves = (l.dx != NULL) + (size_t)weights;
    size_t from = halves * (size_t)worker->part, to = halves * (size_t)worker->end, middle = 0;
    if (l.dx != NULL) {
        rt_range all = columns_between(l.columns, from, rt_min(to, parts), parts);
        while (all.from < all.to) {
            rt_range some = {all.from, rt_min(all.to, (all.from / l.k + 1) * l.k)};
            input_columns(&l, some, worker->scratch);
            all.from = some.to;
        }
        middle = parts;
    }
    if (!weights || to <= middle) return;
    rt_range all = columns_between(l.n, rt_max(from, middle) - middle, to - middle, parts);
    while (all.from < all.to) {
        rt_range some = {all.from, rt_min(all.to, (all.from / l.width + 1) * l.width)};
        weight_columns(&l, some);
        all.from = some.to;
    }
}

static void set_columns(rt_tape *tape, const rt_step *step, rt_worker *worker) {
    back_columns(tape, step, worker, false);
}
static void add_columns(rt_tape *tape, const rt_step *step, rt_worker *worker) {
    back_columns(tape, step, worker, true);
}

/* The residual's gradient: dy is added to it. If it has none yet, it takes the place of dy in the end, unless the activation
 * changes dy. True: it takes the place. */
static bool back_residual(rt_tape *tape, const rt_step *step) {
    int residual = step->in[LINEAR_RESIDUAL].value;
    bool add;
    if (residual < 0 || tape->graph->values[residual].producer < 0) return false;
    if (rt_tape_live(tape, residual) == NULL && step->as.linear.act == RT_FN_NONE) return true;
    if (rt_tape_take(tape, residual, &add) == NULL) return false;
    rt_tape_run(tape, step, (double)step->as.linear.n, add ? add_residual_rows : copy_residual_rows);
    return false;
}

void rt_tape_linear(rt_tape *tape, const rt_step *step) {
    const rt_linear_step *of = &step->as.linear;
    bool add = false, moves = back_residual(tape, step);
    int out = tape->source[step->out[0].value];
    rt_tape_take(tape, step->in[LINEAR_X].value, &add);
    if (tape->status != RETORT_OK) return;
    if (of->act != RT_FN_NONE && tape->sums[step - tape->plan.steps] == NULL) forward_again(tape, step);
    rt_tape_run(tape, step, 16.0 * (double)of->n, back_rows);
    if (tape->see != NULL)
        tape->status = tape->see(tape, step, tape->grad[out], rt_chunk_rows(tape->chunk, step->rows));
    rt_tape_run(tape, step, 2 * step->flops_row, add ? add_columns : set_columns);
    rt_parameter *weight = rt_tape_parameter(tape, step, LINEAR_WEIGHT);
    if (weight != NULL) weight->cleared = false;
    if (!moves) return;
    tape->grad[tape->source[step->in[LINEAR_RESIDUAL].value]] = tape->grad[out];
    tape->grad[out] = NULL;
}
