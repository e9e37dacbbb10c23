/* SPDX-License-Identifier: Apache-2.0
 * Linear nodes whose columns are pairs: gates, and heads that are turned by the position of their token. */
#include "engine/step.h"

#include <math.h>

/* cos and sin of position * angle, [positions, 2 pairs]. The product is a float, as PyTorch has it; at position 8191 an
 * exact one would move cosines by 5e-4. */
static float *make_turns(rt_plan *plan, const float *angle, size_t pairs) {
    float *turns = rt_arena_calloc(&plan->memory, plan->positions * 2 * pairs, sizeof *turns);
    for (size_t p = 0; turns != NULL && p < plan->positions; p++) {
        float *row = turns + p * 2 * pairs;
        for (size_t i = 0; i < pairs; i++) {
            double turn = (double)((float)p * angle[i]);
            row[i] = (float)cos(turn);
            row[pairs + i] = (float)sin(turn);
        }
    }
    return turns;
}

/* Steps before this one that turn by the same angles share the table. */
static const float *find_turns(const rt_plan *plan, const rt_step *step) {
    for (const rt_step *s = plan->steps; s < step; s++) {
        bool same =
            s->node->op == RT_OP_LINEAR && s->in[LINEAR_ROTARY].value == step->in[LINEAR_ROTARY].value;
        if (same) return s->as.linear.turns;
    }
    return NULL;
}

static retort_status lower_rotation(rt_plan *plan, rt_step *step, const rt_kernels *kernels,
                                    retort_error *err) {
    rt_linear_step *linear = &step->as.linear;
    const rt_value *angles = &plan->graph->values[step->in[LINEAR_ROTARY].value];
    size_t pairs = (size_t)angles->dims[0];
    linear->rotate = kernels->rotate;
    linear->rotated = (size_t)step->node->attrs.rotate;
    linear->dim = 2 * pairs;
    linear->turns = find_turns(plan, step);
    if (linear->turns == NULL) linear->turns = make_turns(plan, angles->data, pairs);
    return linear->turns != NULL ? RETORT_OK
                                 : rt_fail_nomem(err, plan->positions * linear->dim * sizeof(float));
}

static void gate(const rt_step *step, const rt_worker *worker, rt_range rows, rt_range columns,
                 const float *c, size_t ldc) {
    const rt_linear_step *linear = &step->as.linear;
    void *out = rt_place_at(&step->out[0], worker);
    size_t n = linear->n / 2, at = rows.from * n + columns.from / 2;
    rt_gate_args args = {.rows = rows.to - rows.from,
                         .n = (columns.to - columns.from) / 2,
                         .x = c,
                         .ldx = ldc,
                         .act = linear->act,
                         .y = linear->bf16_out ? NULL : (float *)out + at,
                         .ldy = n,
                         .y16 = linear->bf16_out ? (uint16_t *)out + at : NULL,
                         .ldy16 = n};
    linear->gate(&args);
}

/* The position of a row: that of its token, of its mask token, or 0 of a first one. */
static const int32_t *positions_of(const rt_step *step, const rt_chunk *chunk, size_t row) {
    static const int32_t first = 0;
    if (step->rows == RT_ROW_SET_TOKENS) return chunk->positions + row;
    return step->rows == RT_ROW_SET_MASK_TOKENS ? chunk->positions + chunk->mask_token_rows[row] : &first;
}

void rt_step_turn(const rt_step *step, const rt_chunk *chunk, rt_range rows, rt_range columns, bool back,
                  float *c, size_t ldc) {
    const rt_linear_step *linear = &step->as.linear;
    rt_rotate_args args = {.rows = rows.to - rows.from,
                           .dim = linear->dim,
                           .first = columns.from,
                           .x = c,
                           .ldx = ldc,
                           .table = linear->turns,
                           .back = back};
    args.n = columns.from < linear->rotated ? rt_min(columns.to, linear->rotated) - columns.from : 0;
    if (step->rows != RT_ROW_SET_TOKENS) args.rows = 1;
    for (size_t row = rows.from; row < rows.to; row += args.rows, args.x += args.rows * ldc) {
        args.positions = positions_of(step, chunk, row);
        linear->rotate(&args);
    }
}

static void finish(const rt_step *step, const rt_chunk *chunk, const rt_worker *worker, rt_range rows,
                   rt_range columns, float *c, size_t ldc) {
    if (step->as.linear.gate != NULL)
        gate(step, worker, rows, columns, c, ldc);
    else
        rt_step_turn(step, chunk, rows, columns, false, c, ldc);
}

retort_status rt_lower_pairs(rt_plan *plan, rt_step *step, const rt_kernels *kernels, retort_error *err) {
    rt_linear_step *linear = &step->as.linear;
    linear->finish = step->node->attrs.gate || step->node->attrs.rotate > 0 ? finish : NULL;
    if (step->node->attrs.rotate > 0) return lower_rotation(plan, step, kernels, err);
    if (!step->node->attrs.gate) return RETORT_OK;
    linear->gate = kernels->gate;
    linear->gate_at = rt_round_up(plan->scratch_floats, RT_PANEL);
    plan->scratch_floats = linear->gate_at + RT_PAIR_ROWS * RT_PAIR_COLUMNS;
    return RETORT_OK;
}
