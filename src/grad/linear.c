/* SPDX-License-Identifier: Apache-2.0
 * Backward pass of y = act(z) + residual, z = x W + b, in two regions:
 *   operands: dz = dy act'(z), in the place of dy, or of a gate; dz turned back; dz, x^T and W^T in the layouts that
 *             products need
 *   products: dx += dz W^T; dW += x^T dz, written in panels; db += the sums of dz
 * A worker sums over all of k, so sums do not depend on how many there are. */
#include "grad/tape.h"

#include <string.h>

enum { TILE_ROWS = 32, TILE_COLUMNS = 128, WEIGHT_ROWS = 64 };

typedef struct linear {
    const rt_step *step;
    const rt_kernels *kernels;
    const rt_tape_room *room;
    size_t rows, k, n, blocks, width,
        columns;       /* columns: of x, k * blocks; width: of a block of y, n / blocks */
    const float *used; /* the weight */
    float *dz, *dx, *dw, *db;
    bool add, bf16;      /* dx is added to; products of bf16 */
    bool first;          /* dW is not */
    size_t turned_ld;    /* elements between rows of x transposed */
    size_t panel;        /* elements of a panel of dz */
    size_t weight_panel; /* of W^T */
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
    l.dz = of->gate != NULL ? tape->room.dz : rt_tape_live(tape, step->out[0].value);
    l.dx = rt_tape_live(tape, step->in[LINEAR_X].value);
    const rt_parameter *weight = rt_tape_parameter(tape, step, LINEAR_WEIGHT);
    l.dw = weight != NULL ? weight->grad : NULL;
    l.first = weight != NULL && weight->cleared;
    l.db = rt_tape_vector(tape, step, LINEAR_BIAS);
    l.turned_ld = rt_round_up(rows, RT_PANEL);
    l.panel = (l.bf16 ? rows + (rows & 1) : rows) * RT_PANEL;
    l.weight_panel = (l.bf16 ? l.width + (l.width & 1) : l.width) * RT_PANEL;
    return l;
}

/* ---- Operands ---- */

/* z [rows, n]: an integer step once more, without its epilogue. */
static void forward_again(rt_tape *tape, const rt_step *step) {
    rt_step plain = *step;
    plain.as.linear.act = RT_FN_NONE;
    plain.as.linear.gate = NULL;
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

/* A matrix in tiles; the last ones are smaller. */
typedef struct tiles {
    size_t m, n, rows, columns;
} tiles;
typedef void tile_fn(const rt_tape *tape, const linear *l, rt_range rows, rt_range columns, float *scratch);

/* The tiles that are the share of this worker, row by row. */
static void run_tiles(const rt_tape *tape, const linear *l, rt_worker *worker, tiles all, tile_fn *run) {
    size_t wide = (all.n + all.columns - 1) / all.columns, high = (all.m + all.rows - 1) / all.rows;
    rt_range share = rt_worker_share(worker, wide * high, 1);
    for (size_t i = share.from; i < share.to; i++) {
        size_t row = i / wide * all.rows, column = i % wide * all.columns;
        run(tape, l, (rt_range){row, rt_min(row + all.rows, all.m)},
            (rt_range){column, rt_min(column + all.columns, all.n)}, worker->scratch);
    }
}

/* dz of these rows and columns from dy. */
static void back_sums(const rt_tape *tape, const linear *l, rt_range rows, rt_range columns) {
    const rt_linear_step *of = &l->step->as.linear;
    const float *z = tape->sums[l->step - tape->plan.steps];
    size_t count = columns.to - columns.from, at = rows.from * l->n + columns.from;
    if (z == NULL) z = tape->room.z;
    if (of->gate != NULL) {
        const float *dy = rt_tape_live(tape, l->step->out[0].value);
        l->kernels->gate_back(&(rt_gate_back){.rows = rows.to - rows.from,
                                              .n = count / 2,
                                              .x = z + at,
                                              .ldx = l->n,
                                              .act = of->act,
                                              .dy = dy + at / 2,
                                              .lddy = l->n / 2,
                                              .dx = l->dz + at,
                                              .lddx = l->n});
    } else if (of->act != RT_FN_NONE) {
        for (size_t i = rows.from; i < rows.to; i++, at += l->n)
            l->kernels->act_back(of->act, count, z + at, l->dz + at);
    } else if (of->rotate != NULL) {
        rt_step_turn(l->step, tape->chunk, rows, columns, true, l->dz + at, l->n);
    }
}

/* dz of these rows and columns of z, also packed. */
static void make_dz(const rt_tape *tape, const linear *l, rt_range rows, rt_range columns, float *scratch) {
    size_t count = columns.to - columns.from;
    (void)scratch;
    back_sums(tape, l, rows, columns);
    for (size_t i = rows.from; l->bf16 && i < rows.to; i++) {
        size_t at = i * l->n + columns.from;
        l->kernels->to_bf16(count, l->dz + at, l->room->dz16 + at);
    }
    if (l->dw == NULL && l->db == NULL) return;
    rt_pack_args pack = {.k = rows.to - rows.from, .n = count, .ldx = l->n, .y_panel = l->panel};
    size_t to = columns.from / RT_PANEL * l->panel + rows.from * RT_PANEL;
    pack.x = l->dz + rows.from * l->n + columns.from;
    if (l->bf16)
        pack.y16 = (uint16_t *)l->room->panels + to;
    else
        pack.y = (float *)l->room->panels + to;
    l->kernels->pack(&pack);
}

/* x of these rows as columns of its transpose. */
static void turn_x(const rt_tape *tape, const linear *l, rt_range rows, rt_range columns, float *scratch) {
    rt_transpose_args turn = {.m = rows.to - rows.from, .ldx = l->columns, .ldy = l->turned_ld};
    const rt_place *x = &l->step->in[LINEAR_X];
    size_t to = columns.from * l->turned_ld + rows.from;
    turn.n = columns.to - columns.from;
    if (tape->graph->values[x->value].dtype == RETORT_BF16)
        turn.x16 = (const uint16_t *)rt_tape_at(tape, x) + rows.from * l->columns + columns.from;
    else
        turn.x = rt_tape_rows(tape, x, rows, scratch) + columns.from;
    if (l->bf16)
        turn.y16 = (uint16_t *)l->room->turned + to;
    else
        turn.y = (float *)l->room->turned + to;
    l->kernels->transpose(&turn);
}

/* W^T of these columns of x (rows of W) and, of each block, these columns of y, in panels. Reads panels of W as they lie in
 * memory. */
static void turn_weight(const rt_tape *tape, const linear *l, rt_range rows, rt_range columns,
                        float *scratch) {
    size_t panel = l->weight_panel;
    (void)tape;
    (void)scratch;
    for (size_t from = rows.from; from < rows.to;) {
        size_t block = from / l->k, row = from % l->k, to = rt_min(rows.to, (block + 1) * l->k);
        for (size_t j = columns.from; j < columns.to; j += RT_PANEL) {
            rt_transpose_args turn = {.m = to - from, .ldx = RT_PANEL, .y_panel = panel};
            turn.n = rt_min(RT_PANEL, columns.to - j);
            turn.x = l->used + (block * l->width + j) * l->k + row * RT_PANEL;
            if (l->bf16)
                turn.y16 = (uint16_t *)l->room->weight + from / RT_PANEL * panel + j * RT_PANEL;
            else
                turn.y = (float *)l->room->weight + from / RT_PANEL * panel + j * RT_PANEL;
            l->kernels->transpose(&turn);
        }
        from = to;
    }
}

/* Tiles of 8 to 32 KB, of which there are enough for all workers. Turns of heads that are no whole panels may lie in two
 * tiles: these have all columns. */
static void make_operands(rt_tape *tape, const rt_step *step, rt_worker *worker) {
    linear l = linear_of(tape, step);
    bool cut = step->as.linear.rotate == NULL || step->as.linear.dim % (2 * RT_PANEL) == 0;
    bool whole = tape->graph->values[step->in[LINEAR_X].value].dtype == RETORT_S8; /* rows are converted */
    run_tiles(tape, &l, worker, (tiles){l.rows, l.n, TILE_ROWS, cut ? TILE_COLUMNS : l.n}, make_dz);
    if (l.dw != NULL)
        run_tiles(tape, &l, worker, (tiles){l.rows, l.columns, TILE_ROWS, whole ? l.columns : TILE_COLUMNS},
                  turn_x);
    if (l.dx != NULL)
        run_tiles(tape, &l, worker, (tiles){l.columns, l.width, WEIGHT_ROWS, TILE_COLUMNS}, turn_weight);
}

/* ---- Products ---- */

/* Rows and columns of dx; columns all in one block. */
static void input_rectangle(const linear *l, rt_range rows, rt_range columns) {
    size_t at = rows.from * l->n + columns.from / l->k * l->width;
    size_t size = l->bf16 ? sizeof(uint16_t) : sizeof(float);
    rt_gemm gemm = {.m = rows.to - rows.from, .n = columns.to - columns.from, .k = l->width, .lda = l->n};
    gemm.a = l->bf16 ? (const void *)(l->room->dz16 + at) : l->dz + at;
    gemm.b = (const char *)l->room->weight + columns.from / RT_PANEL * l->weight_panel * size;
    gemm.c = l->dx + rows.from * l->columns + columns.from;
    gemm.ldc = gemm.ldr = l->columns;
    gemm.residual = l->add ? gemm.c : NULL;
    (l->bf16 ? l->kernels->gemm_bf16 : l->kernels->gemm_f32)(&gemm);
}

/* Rows and columns of dW, and db of the columns, all in one block. */
static void weight_rectangle(const linear *l, rt_range rows, rt_range columns) {
    rt_gemm_fn multiply = l->bf16 ? l->kernels->gemm_bf16 : l->kernels->gemm_f32;
    size_t size = l->bf16 ? sizeof(uint16_t) : sizeof(float), block = columns.from / l->width;
    rt_gemm gemm = {.n = columns.to - columns.from, .k = l->rows};
    gemm.b = (const char *)l->room->panels + columns.from / RT_PANEL * l->panel * size;
    if (l->dw != NULL) {
        gemm.m = rows.to - rows.from;
        gemm.a = (const char *)l->room->turned + (block * l->k + rows.from) * l->turned_ld * size;
        gemm.lda = l->turned_ld;
        gemm.c = l->dw + columns.from * l->k + rows.from * RT_PANEL;
        gemm.residual = l->first ? NULL : gemm.c;
        gemm.ldc = gemm.ldr = RT_PANEL;
        gemm.c_panel = l->k * RT_PANEL;
        multiply(&gemm);
    }
    if (l->db != NULL && rows.from == 0) {
        gemm.m = 1;
        gemm.a = l->bf16 ? (const void *)l->room->ones16 : l->room->ones;
        gemm.lda = gemm.ldc = gemm.ldr = l->rows;
        gemm.c = l->db + columns.from;
        gemm.residual = gemm.c;
        gemm.c_panel = 0;
        multiply(&gemm);
    }
}

/* The first half of the parts is dx, the second dW: as many operations each. */
static void back_products(rt_tape *tape, const rt_step *step, rt_worker *worker, bool add) {
    linear l = linear_of(tape, step);
    l.add = add;
    bool weights = l.dw != NULL || l.db != NULL;
    size_t parts = (size_t)worker->parts, halves = (l.dx != NULL) + (size_t)weights;
    size_t from = halves * (size_t)worker->part, to = halves * (size_t)worker->end;
    size_t middle = l.dx != NULL ? parts : 0;
    rt_rectangle some;
    rt_units units = rt_units_between(l.rows, l.columns, from, rt_min(to, middle), parts);
    while (rt_units_next(&units, &some)) {
        for (size_t at = some.columns.from; at < some.columns.to;) {
            size_t end = rt_min(some.columns.to, (at / l.k + 1) * l.k);
            input_rectangle(&l, some.rows, (rt_range){at, end});
            at = end;
        }
    }
    if (!weights || to <= middle) return;
    units = rt_units_between(l.k, l.n, rt_max(from, middle) - middle, to - middle, parts);
    while (rt_units_next(&units, &some)) {
        for (size_t at = some.columns.from; at < some.columns.to;) {
            size_t end = rt_min(some.columns.to, (at / l.width + 1) * l.width);
            weight_rectangle(&l, some.rows, (rt_range){at, end});
            at = end;
        }
    }
}

static void set_products(rt_tape *tape, const rt_step *step, rt_worker *worker) {
    back_products(tape, step, worker, false);
}
static void add_products(rt_tape *tape, const rt_step *step, rt_worker *worker) {
    back_products(tape, step, worker, true);
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

/* The cost of a row: to move a number takes about as long as so many operations of a product. */
static double operands_cost(const rt_tape *tape, const rt_step *step) {
    linear l = linear_of(tape, step);
    size_t moved =
        l.rows * l.n + (l.dw != NULL ? l.rows * l.columns : 0) + (l.dx != NULL ? l.columns * l.width : 0);
    return 64.0 * (double)moved / (double)rt_max(l.rows, 1);
}

void rt_tape_linear(rt_tape *tape, const rt_step *step) {
    bool add = false, moves = back_residual(tape, step);
    rt_tape_take(tape, step->in[LINEAR_X].value, &add);
    if (tape->status != RETORT_OK) return;
    if (rt_tape_needs_sums(step) && tape->sums[step - tape->plan.steps] == NULL) forward_again(tape, step);
    rt_tape_run(tape, step, operands_cost(tape, step), make_operands);
    if (tape->see != NULL)
        tape->status =
            tape->see(tape, step, linear_of(tape, step).dz, rt_chunk_rows(tape->chunk, step->rows));
    rt_tape_run(tape, step, 2 * step->flops_row, add ? add_products : set_products);
    rt_parameter *weight = rt_tape_parameter(tape, step, LINEAR_WEIGHT);
    if (weight != NULL) weight->cleared = false;
    if (!moves) return;
    int out = tape->source[step->out[0].value];
    tape->grad[tape->source[step->in[LINEAR_RESIDUAL].value]] = tape->grad[out];
    tape->grad[out] = NULL;
}
