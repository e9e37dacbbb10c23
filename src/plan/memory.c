/* SPDX-License-Identifier: Apache-2.0
 * Places in the arena: every value lives from the step that makes it to the last one that reads it, and
 * values that do not live at the same time may share bytes. Largest first, each at the lowest offset that is
 * free during its life (the greedy-by-size planner of Pisarchyk and Lee, arXiv 2001.03288). */
#include "plan/plan.h"

#include <stdlib.h>

typedef struct life {
    int value;
    size_t first, last; /* steps */
    size_t bytes, offset;
} life;

typedef struct planner {
    rt_plan *plan;
    life *lives; /* [count], sorted by size while they are placed */
    size_t count;
    bool apart; /* every value has bytes of its own */
} planner;

/* Bytes of an s8 value [rows, n] with its row scales (rt_row_scales_at). */
static bool s8_bound(const planner *p, const rt_value *value, size_t *bytes) {
    size_t rows = p->plan->capacity, scales, total;
    bool fits = rt_mul(rows, rt_row_q((size_t)value->dims[1]), &total) &&
                rt_mul(rows, sizeof(rt_row_scale), &scales) && rt_add(total, scales, &total) &&
                total < SIZE_MAX / 4;
    *bytes = fits ? rt_round_up(rt_max(total, 1), 64) : 0;
    return fits;
}

/* Most elements that a value can have in a chunk of `capacity` rows. A chunk has at most as many sequences,
 * and as many mask tokens, as rows; [batch, seq] together are its rows; a further seq is a sequence's length.
 */
static bool value_bound(const planner *p, const rt_value *value, size_t *bytes) {
    size_t capacity = p->plan->capacity, total = rt_dtype_size(value->dtype);
    size_t length = rt_min(p->plan->positions, capacity);
    bool batch = false, seq = false, fits = true;
    if (value->dtype == RETORT_S8 && value->rank == 2) return s8_bound(p, value, bytes);
    for (int i = 0; i < value->rank && fits; i++) {
        int64_t dim = value->dims[i];
        size_t most = dim >= 0 ? (size_t)dim : capacity;
        if (dim == RT_DIM_BATCH) batch = true;
        if (dim == RT_DIM_SEQ) {
            most = seq || !batch ? length : 1; /* the first one is in the batch's rows already */
            seq = true;
        }
        fits = rt_mul(total, rt_max(most, 1), &total);
    }
    *bytes = fits && total < SIZE_MAX / 4 ? rt_round_up(total, 64) : 0;
    return *bytes > 0;
}

static bool overlap(const planner *p, const life *a, const life *b) {
    return p->apart || (a->first <= b->last && b->first <= a->last);
}

static int by_size(const void *a, const void *b) {
    const life *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return (x->value > y->value) - (x->value < y->value);
}

static int by_offset(const void *a, const void *b) {
    const life *const *x = a, *const *y = b;
    return ((*x)->offset > (*y)->offset) - ((*x)->offset < (*y)->offset);
}

/* The lowest free offset for lives[index]; those before it are placed. `busy` is scratch. */
static void place(planner *p, size_t index, const life **busy) {
    life *it = &p->lives[index];
    size_t n = 0, at = 0;
    for (size_t i = 0; i < index; i++) {
        if (overlap(p, &p->lives[i], it)) busy[n++] = &p->lives[i];
    }
    qsort(busy, n, sizeof *busy, by_offset);
    for (size_t i = 0; i < n && busy[i]->offset < at + it->bytes; i++)
        at = rt_max(at, busy[i]->offset + busy[i]->bytes);
    it->offset = at;
    p->plan->arena_bytes = rt_max(p->plan->arena_bytes, at + it->bytes);
}

static void find_last_uses(planner *p, size_t *last) {
    const rt_graph *graph = p->plan->graph;
    for (size_t s = 0; s < graph->node_count; s++) {
        for (int i = 0; i < graph->nodes[s].input_count; i++) {
            if (graph->nodes[s].inputs[i] >= 0) last[graph->nodes[s].inputs[i]] = s;
        }
    }
    last[graph->output] = graph->node_count; /* read after the last step */
}

static retort_status collect(planner *p, const size_t *last, retort_error *err) {
    const rt_graph *graph = p->plan->graph;
    for (size_t s = 0; s < graph->node_count; s++) {
        for (int i = 0; i < graph->nodes[s].output_count; i++) {
            int value = graph->nodes[s].outputs[i];
            life *it = &p->lives[p->count++];
            *it = (life){.value = value, .first = s, .last = rt_max(s, last[value])};
            if (!value_bound(p, &graph->values[value], &it->bytes)) {
                return rt_fail(err, RETORT_LIMIT, "'%s': too large for %zu rows", graph->values[value].name,
                               p->plan->capacity);
            }
        }
    }
    return RETORT_OK;
}

/* Offsets of lives go to every place that names their value. */
static void write_places(planner *p, const life **of_value) {
    rt_plan *plan = p->plan;
    for (size_t i = 0; i < p->count; i++) of_value[p->lives[i].value] = &p->lives[i];
    for (size_t s = 0; s < plan->step_count; s++) {
        rt_step *step = &plan->steps[s];
        for (int i = 0; i < RT_MAX_INPUTS; i++) {
            int value = step->in[i].value;
            if (value >= 0 && of_value[value] != NULL) step->in[i].offset = of_value[value]->offset;
        }
        for (int i = 0; i < RT_MAX_OUTPUTS; i++) {
            int value = step->out[i].value;
            if (value < 0) continue;
            step->out[i].offset = of_value[value]->offset;
            step->out_bytes[i] = of_value[value]->bytes;
        }
    }
    plan->output = (rt_place){.value = plan->graph->output, .offset = of_value[plan->graph->output]->offset};
}

retort_status rt_plan_memory(rt_plan *plan, bool apart, retort_error *err) {
    size_t values = plan->graph->value_count;
    planner p = {.plan = plan, .lives = rt_calloc(values, sizeof(life)), .apart = apart};
    plan->arena_bytes = 0;
    size_t *last = rt_calloc(values, sizeof *last);
    const life **scratch = rt_calloc(values, sizeof *scratch);
    retort_status status = RETORT_OK;
    if (p.lives == NULL || last == NULL || scratch == NULL)
        status = rt_fail_nomem(err, values * sizeof(life));
    if (status == RETORT_OK) {
        find_last_uses(&p, last);
        status = collect(&p, last, err);
    }
    if (status == RETORT_OK) {
        qsort(p.lives, p.count, sizeof *p.lives, by_size);
        for (size_t i = 0; i < p.count; i++) place(&p, i, scratch);
        for (size_t i = 0; i < values; i++) scratch[i] = NULL;
        write_places(&p, scratch);
    }
    free(p.lives);
    free(last);
    free(scratch);
    return status;
}
