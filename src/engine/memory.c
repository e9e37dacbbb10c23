/* SPDX-License-Identifier: Apache-2.0
 * Lays out the arena. A value lives from the step that makes it to the last step that reads it; values that
 * do not live at the same time may share bytes. Placement is largest first, at the lowest offset that is free
 * during its life (the greedy-by-size planner of Pisarchyk and Lee, arXiv 2001.03288). That compares all
 * pairs of values, so in graphs with more nodes than any real network, values share slots instead, assigned
 * in one pass over the steps. */
#include "engine/step.h"

#include <stdlib.h>
#include <string.h>

typedef struct life {
    int value;
    size_t first, last; /* steps */
    size_t bytes, offset;
} life;

/* Most values for the pairwise planner: twice as many as 48 layers have at level 0. */
enum { MAX_COMPARED = 8192 };

typedef struct planner {
    rt_plan *plan;
    life *lives; /* [count], by step */
    size_t count;
    size_t bytes; /* of all lives */
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

/* The largest number of elements of a value in a chunk of `capacity` rows. A chunk has at most as many
 * sequences, and mask tokens, as rows. [batch, seq] together are its rows; another seq is the length of a
 * sequence. */
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
            most = seq || !batch ? length : 1; /* the first seq is already counted in the rows of the batch */
            seq = true;
        }
        fits = rt_mul(total, rt_max(most, 1), &total);
    }
    *bytes = fits && total < SIZE_MAX / 4 ? rt_round_up(total, 64) : 0;
    return *bytes > 0;
}

/* ---- Places ---- */

static int by_size(const void *a, const void *b) {
    const life *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return (x->value > y->value) - (x->value < y->value);
}

/* No two values share bytes. */
static void place_apart(planner *p) {
    qsort(p->lives, p->count, sizeof *p->lives, by_size);
    for (size_t i = 0, at = 0; i < p->count; at += p->lives[i++].bytes) p->lives[i].offset = at;
    p->plan->arena_bytes = p->bytes;
}

/* The lowest offset that is free during a life. `placed`: the `count` larger lives, sorted by offset; this
 * one is inserted. */
static void place(planner *p, life *it, const life **placed, size_t count) {
    size_t at = 0, i = 0;
    for (; i < count && placed[i]->offset < at + it->bytes; i++) {
        bool together = placed[i]->first <= it->last && it->first <= placed[i]->last;
        if (together) at = rt_max(at, placed[i]->offset + placed[i]->bytes);
    }
    while (i > 0 && placed[i - 1]->offset > at) i--;
    memmove(placed + i + 1, placed + i, (count - i) * sizeof(const life *));
    placed[i] = it;
    it->offset = at;
    p->plan->arena_bytes = rt_max(p->plan->arena_bytes, at + it->bytes);
}

static void place_compared(planner *p, const life **placed) {
    qsort(p->lives, p->count, sizeof *p->lives, by_size);
    for (size_t i = 0; i < p->count; i++) place(p, &p->lives[i], placed, i);
}

/* Slots shared by lives of similar size. Lives are numbered from 1; 0: none. */
typedef struct slots {
    size_t *ending; /* [steps + 1] a life that ends at this step */
    size_t *next;   /* [lives + 1] the next life that ends at the same step; the next free slot */
    size_t *slot;   /* [lives + 1] the slot of a life: the life that took it first */
    size_t *room;   /* [lives + 1] bytes of that slot */
    size_t free[8 * sizeof(size_t)]; /* a free slot for lives of 2^i to 2^(i+1) - 1 bytes */
} slots;

static size_t *class_of(slots *s, size_t bytes) {
    int i = 0;
    while (bytes >> i > 1) i++;
    return &s->free[i];
}

static void take_slot(slots *s, const life *it, size_t number) {
    size_t *free_slot = class_of(s, it->bytes), slot = *free_slot != 0 ? *free_slot : number;
    if (*free_slot != 0) *free_slot = s->next[slot];
    s->slot[number] = slot;
    s->room[slot] = rt_max(s->room[slot], it->bytes);
    s->next[number] = s->ending[it->last];
    s->ending[it->last] = number;
}

static void free_slots(slots *s, size_t step) {
    for (size_t number = s->ending[step], next; number != 0; number = next) {
        size_t slot = s->slot[number], *free_slot = class_of(s, s->room[slot]);
        next = s->next[number];
        s->next[slot] = *free_slot;
        *free_slot = slot;
    }
}

static retort_status place_in_slots(planner *p, retort_error *err) {
    size_t steps = p->plan->graph->node_count, lives = p->count + 1, at = 0, number = 0;
    size_t *memory = rt_calloc(3 * lives + steps + 1, sizeof *memory);
    if (memory == NULL) return rt_fail_nomem(err, (3 * lives + steps + 1) * sizeof *memory);
    slots s = {memory + 3 * lives, memory, memory + lives, memory + 2 * lives, {0}};
    for (size_t step = 0; step < steps; step++) {
        for (; number < p->count && p->lives[number].first == step; number++)
            take_slot(&s, &p->lives[number], number + 1);
        free_slots(&s, step);
    }
    for (size_t i = 1; i < lives; i++) {
        life *it = &p->lives[i - 1];
        it->offset = s.slot[i] == i ? at : p->lives[s.slot[i] - 1].offset;
        if (s.slot[i] == i) at += s.room[i];
    }
    p->plan->arena_bytes = at;
    free(memory);
    return RETORT_OK;
}

/* ---- Lives ---- */

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
            if (!value_bound(p, &graph->values[value], &it->bytes) ||
                !rt_add(p->bytes, it->bytes, &p->bytes)) {
                return rt_fail(err, RETORT_LIMIT, "'%s': too large for %zu rows", graph->values[value].name,
                               p->plan->capacity);
            }
        }
    }
    return RETORT_OK;
}

/* Writes the offsets of the lives to all places of their values. */
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
    planner p = {.plan = plan, .lives = rt_calloc(values, sizeof(life))};
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
    if (status == RETORT_OK && apart) {
        place_apart(&p);
    } else if (status == RETORT_OK && p.count > MAX_COMPARED) {
        status = place_in_slots(&p, err);
    } else if (status == RETORT_OK) {
        place_compared(&p, scratch);
    }
    if (status == RETORT_OK) {
        for (size_t i = 0; i < values; i++) scratch[i] = NULL;
        write_places(&p, scratch);
    }
    free(p.lives);
    free(last);
    free(scratch);
    return status;
}
