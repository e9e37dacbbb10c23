/* SPDX-License-Identifier: Apache-2.0 */
#include "grad/tape.h"

#include <stdlib.h>
#include <string.h>

typedef void (*back_fn)(rt_tape *tape, const rt_step *step);
/* NULL: no gradient, as for plain operators. */
static const back_fn backs[RT_OP_COUNT] = {
#define BACK_ROW(name, row) [RT_OP_##name] = rt_tape_##row,
    RT_FUSED_OPS(BACK_ROW)
#undef BACK_ROW
};

/* ---- Opening ---- */

size_t rt_tape_columns(const rt_tape *tape, int value) {
    return (size_t)tape->graph->values[value].dims[1];
}

static bool has_grad(const rt_value *value) {
    return value->producer >= 0 && value->rank == 2 && value->dims[1] > 0 && value->dtype == RETORT_F32;
}

/* Allocates floats [rows, columns], in whole panels both ways. False: out of memory. */
static bool reserve(float **out, size_t rows, size_t columns) {
    size_t count = 0, bytes = 0;
    rows = rt_round_up(rt_max(rows, 1), RT_PANEL);
    columns = rt_round_up(rt_max(columns, 1), RT_PANEL);
    if (rt_mul(rows, columns, &count) && rt_mul(count, sizeof **out, &bytes)) *out = rt_alloc_aligned(bytes);
    return *out != NULL;
}

/* The largest sizes over all Linears. */
typedef struct max_sizes {
    size_t k, n, weight;
    size_t s8; /* columns of x in int8 */
} max_sizes;

static max_sizes find_max_sizes(const rt_tape *tape) {
    max_sizes m = {1, 1, 1, 0};
    for (size_t i = 0; i < tape->plan.step_count; i++) {
        const rt_step *step = &tape->plan.steps[i];
        if (step->node->op != RT_OP_LINEAR) continue;
        size_t k = step->as.linear.k, n = rt_round_up(step->as.linear.n, RT_PANEL);
        m.k = rt_max(m.k, k * step->as.linear.blocks);
        m.n = rt_max(m.n, n);
        if (step->as.linear.gemm_q != NULL) m.s8 = rt_max(m.s8, k * step->as.linear.blocks);
        m.weight = rt_max(m.weight, rt_round_up(k, RT_PANEL) * n);
    }
    return m;
}

static bool reserve_room(rt_tape *tape, size_t rows, size_t positions) {
    rt_tape_room *room = &tape->room;
    size_t threads = (size_t)rt_thread_pool_size(tape->pool);
    max_sizes m = find_max_sizes(tape);
    bool made = reserve(&room->z, rows, m.n) && reserve(&room->dz, rows, m.n) &&
                reserve(&room->weight, 1, m.weight) && reserve(&room->x, m.s8 > 0 ? rows : 1, m.s8) &&
                reserve(&room->packed, 1, m.weight) && reserve(&room->scores, 2 * threads, positions);
    room->order = rt_calloc(rows, sizeof *room->order);
    room->ids = rt_calloc(rows, sizeof *room->ids);
    room->runs = rt_calloc(rows + 1, sizeof *room->runs);
    return made && room->order != NULL && room->ids != NULL && room->runs != NULL;
}

static bool reserve_grads(rt_tape *tape, size_t rows) {
    const rt_graph *graph = tape->graph;
    tape->grad = rt_calloc(graph->value_count, sizeof *tape->grad);
    tape->live = rt_calloc(graph->value_count, sizeof *tape->live);
    bool made = tape->grad != NULL && tape->live != NULL;
    for (size_t i = 0; made && i < graph->value_count; i++) {
        if (has_grad(&graph->values[i])) made = reserve(&tape->grad[i], rows, rt_tape_columns(tape, (int)i));
    }
    for (size_t i = 0; made && i < tape->plan.step_count; i++) {
        const rt_step *step = &tape->plan.steps[i];
        if (step->node->op != RT_OP_EMBED || tape->embedded != NULL) continue;
        tape->embed = step;
        made = reserve(&tape->embedded, rows, step->as.embed.norm.n);
    }
    return made;
}

/* Whether the floats of a weight or table are known. */
static bool has_floats(const rt_tape *tape, const rt_step *step, int operand) {
    int value = step->in[operand].value;
    return value < 0 || tape->graph->values[value].dtype == RETORT_F32 ||
           rt_tape_parameter(tape, step, operand) != NULL;
}

/* What the backward pass supports: fused operators on floats with packed weights, and on integers that parameters give
 * floats for. */
static bool is_known(const rt_tape *tape, const rt_step *step) {
    const rt_node *node = step->node;
    const rt_value *values = tape->graph->values, *out = &values[node->outputs[0]];
    if (node->op == RT_OP_CONVERT)
        return out->dtype == RETORT_S8 && has_grad(&values[node->inputs[CONVERT_X]]);
    if (backs[node->op] == NULL || !has_grad(out)) return false;
    if (node->output_count > 1 && values[node->outputs[1]].dtype != RETORT_S8) return false;
    if (node->op == RT_OP_EMBED)
        return has_floats(tape, step, EMBED_WORD) && has_floats(tape, step, EMBED_POSITION);
    /* Blocks of whole panels: their parts of the transposed weight do not overlap. */
    if (node->op == RT_OP_LINEAR && node->attrs.heads > 1 && step->as.linear.k % RT_PANEL != 0) return false;
    return node->op != RT_OP_LINEAR || has_floats(tape, step, LINEAR_WEIGHT);
}

static retort_status check(const rt_tape *tape, retort_error *err) {
    for (size_t i = 0; i < tape->plan.step_count; i++) {
        const rt_node *node = tape->plan.steps[i].node;
        if (is_known(tape, &tape->plan.steps[i])) continue;
        return rt_fail(err, RETORT_ARGUMENT, "%.200s: no gradient goes through %s in %s", node->name,
                       rt_op_info(node->op)->text,
                       retort_dtype_name(tape->graph->values[node->outputs[0]].dtype));
    }
    return RETORT_OK;
}

retort_status rt_tape_open(rt_tape *out, const rt_graph *graph, const rt_parameters *parameters,
                           const rt_kernels *kernels, rt_thread_pool *pool, size_t rows, size_t positions,
                           retort_error *err) {
    *out = (rt_tape){.graph = graph, .parameters = parameters, .kernels = kernels, .pool = pool};
    retort_status status = rt_plan_make(&out->plan, graph, kernels, NULL, rows, positions, err);
    if (status == RETORT_OK) status = rt_plan_memory(&out->plan, true, err);
    if (status == RETORT_OK) status = check(out, err);
    if (status == RETORT_OK) status = rt_executor_open(&out->executor, &out->plan, pool, err);
    if (status != RETORT_OK) return status;
    bool made = reserve_grads(out, rows) && reserve_room(out, rows, positions);
    return made ? RETORT_OK : rt_fail_nomem(err, out->plan.arena_bytes);
}

static void free_room(rt_tape_room *room) {
    void *all[] = {room->z,      room->dz,    room->weight, room->packed, room->x,
                   room->scores, room->order, room->ids,    room->runs};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

void rt_tape_close(rt_tape *tape) {
    for (size_t i = 0; tape->grad != NULL && i < tape->graph->value_count; i++) free(tape->grad[i]);
    rt_executor_close(&tape->executor);
    free(tape->grad);
    free(tape->live);
    free(tape->embedded);
    free_room(&tape->room);
    rt_plan_free(&tape->plan);
    *tape = (rt_tape){0};
}

/* ---- Running ---- */

typedef struct region {
    rt_tape *tape;
    const rt_step *step;
    rt_tape_fn fn;
} region;

static void run_region(void *user, int worker) {
    const region *r = user;
    r->fn(r->tape, r->step, worker, rt_thread_pool_size(r->tape->pool));
}

void rt_tape_run(rt_tape *tape, const rt_step *step, rt_tape_fn fn) {
    region r = {tape, step, fn};
    rt_thread_pool_run(tape->pool, run_region, &r);
}

retort_status rt_tape_forward(rt_tape *tape, const rt_chunk *chunk, retort_error *err) {
    if (chunk->rows > tape->plan.capacity) {
        return rt_fail(err, RETORT_LIMIT, "%zu tokens: there is room for %zu", chunk->rows,
                       tape->plan.capacity);
    }
    tape->chunk = chunk;
    memset(tape->live, 0, tape->graph->value_count * sizeof *tape->live);
    const rt_work work = {.chunks = chunk, .count = 1, .team = true};
    return rt_execute(&tape->executor, &work, err);
}

const void *rt_tape_at(const rt_tape *tape, const rt_place *place) {
    return rt_place_at(place, &tape->executor.workers[0]);
}

static size_t rows_of(const rt_tape *tape, int value) {
    rt_row_set kind = RT_ROW_SET_TOKENS;
    rt_value_row_set(&tape->graph->values[value], &kind);
    return rt_chunk_rows(tape->chunk, kind);
}

float *rt_tape_value(const rt_tape *tape, int value, size_t *rows, size_t *columns) {
    int producer = tape->graph->values[value].producer;
    const rt_step *step = &tape->plan.steps[producer];
    *rows = rows_of(tape, value);
    *columns = rt_tape_columns(tape, value);
    return rt_place_at(&step->out[step->node->outputs[0] == value ? 0 : 1], &tape->executor.workers[0]);
}

float *rt_tape_grad(rt_tape *tape, int value) {
    float *grad = value >= 0 ? tape->grad[value] : NULL;
    if (grad != NULL && !tape->live[value]) {
        memset(grad, 0, rows_of(tape, value) * rt_tape_columns(tape, value) * sizeof *grad);
        tape->live[value] = true;
    }
    return grad;
}

static bool is_live(const rt_tape *tape, const rt_node *node) {
    bool live = false;
    for (int i = 0; i < node->output_count; i++) live |= tape->live[node->outputs[i]];
    return live;
}

rt_parameter *rt_tape_parameter(const rt_tape *tape, const rt_step *step, int operand) {
    int value = step->in[operand].value;
    return tape->parameters == NULL || value < 0 ? NULL : rt_parameters_find(tape->parameters, value);
}

const float *rt_tape_used(const rt_tape *tape, const rt_step *step, int operand) {
    const rt_parameter *parameter = rt_tape_parameter(tape, step, operand);
    return parameter != NULL ? parameter->used : rt_tape_at(tape, &step->in[operand]);
}

int rt_tape_source(const rt_tape *tape, int value) {
    if (tape->graph->values[value].dtype != RETORT_S8) return value;
    const rt_node *maker = &tape->graph->nodes[tape->graph->values[value].producer];
    return maker->op == RT_OP_CONVERT ? maker->inputs[CONVERT_X] : maker->outputs[0];
}

float *rt_tape_vector(const rt_tape *tape, const rt_step *step, int operand) {
    rt_parameter *parameter = rt_tape_parameter(tape, step, operand);
    return parameter != NULL ? parameter->grad : NULL;
}

retort_status rt_tape_backward(rt_tape *tape, retort_error *err) {
    tape->status = RETORT_OK;
    for (size_t i = tape->plan.step_count; i-- > 0;) {
        const rt_step *step = &tape->plan.steps[i];
        if (is_live(tape, step->node) && backs[step->node->op] != NULL) backs[step->node->op](tape, step);
    }
    return tape->status == RETORT_OK ? RETORT_OK : rt_fail_nomem(err, tape->chunk->rows);
}
