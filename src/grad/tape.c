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

bool rt_tape_has_back(rt_op op) {
    return backs[op] != NULL;
}

/* ---- Opening ---- */

size_t rt_tape_columns(const rt_tape *tape, int value) {
    return (size_t)tape->graph->values[value].dims[1];
}

static bool has_grad(const rt_value *value) {
    bool rounded = value->dtype == RETORT_BF16 || value->dtype == RETORT_S8;
    return value->producer >= 0 && value->rank == 2 && value->dims[1] > 0 &&
           (value->dtype == RETORT_F32 || rounded);
}

/* Allocates items [rows, columns], in whole panels both ways. False: out of memory. */
static bool reserve(void *out, size_t rows, size_t columns, size_t size) {
    size_t count = 0, bytes = 0;
    void *data = NULL;
    rows = rt_round_up(rt_max(rows, 1), RT_PANEL);
    columns = rt_round_up(rt_max(columns, 1), RT_PANEL);
    if (rt_mul(rows, columns, &count) && rt_mul(count, size, &bytes)) data = rt_alloc_aligned(bytes);
    memcpy(out, &data, sizeof data);
    return data != NULL;
}

/* The largest sizes over all steps. */
typedef struct max_sizes {
    size_t k, n;   /* columns of x and y of Linears whose weights have gradients */
    size_t bf16;   /* columns of y where products are bf16 */
    size_t panels; /* rows of all panels of W^T */
    size_t z;      /* columns of the sums of integers that are needed */
    size_t gated;  /* columns of the sums of gates */
    size_t norm;   /* columns of LayerNorm */
} max_sizes;

bool rt_tape_is_bf16(const rt_step *step) {
    return step->as.linear.gemm != NULL && step->as.linear.x_size == sizeof(uint16_t);
}

static void measure_linear(const rt_tape *tape, const rt_step *step, max_sizes *m) {
    const rt_linear_step *linear = &step->as.linear;
    bool weights = tape->parameters != NULL;
    if (weights) m->k = rt_max(m->k, linear->k * linear->blocks);
    if (weights) m->n = rt_max(m->n, linear->n);
    size_t panels = (linear->k * linear->blocks + RT_PANEL - 1) / RT_PANEL;
    m->panels = rt_max(m->panels, panels * (linear->n / linear->blocks + 1));
    if (rt_tape_is_bf16(step)) m->bf16 = rt_max(m->bf16, linear->n);
    if (linear->gemm == NULL && rt_tape_needs_sums(step)) m->z = rt_max(m->z, linear->n);
    if (linear->gate != NULL) m->gated = rt_max(m->gated, linear->n);
}

static max_sizes find_max_sizes(const rt_tape *tape) {
    max_sizes m = {0};
    for (size_t i = 0; i < tape->plan.step_count; i++) {
        const rt_step *step = &tape->plan.steps[i];
        if (step->node->op == RT_OP_LINEAR) measure_linear(tape, step, &m);
        if (step->node->op == RT_OP_LAYER_NORM) m.norm = rt_max(m.norm, step->as.norm.n);
        if (step->node->op == RT_OP_EMBED) {
            m.norm = rt_max(m.norm, step->as.embed.norm.n);
            m.z = rt_max(m.z, step->as.embed.norm.n);
        }
    }
    return m;
}

static bool reserve_room(rt_tape *tape, size_t rows) {
    rt_tape_room *room = &tape->room;
    max_sizes m = find_max_sizes(tape);
    room->rows = rows;
    bool made =
        reserve(&room->z, rows, m.z, sizeof(float)) && reserve(&room->dz, rows, m.gated, sizeof(float)) &&
        reserve(&room->turned, rows, m.k, sizeof(float)) &&
        reserve(&room->panels, rows, m.n, sizeof(float)) &&
        reserve(&room->weight, m.panels, RT_PANEL, sizeof(float)) &&
        reserve(&room->dz16, rows, m.bf16, sizeof(uint16_t)) &&
        reserve(&room->ones, rows, 1, sizeof(float)) && reserve(&room->ones16, rows, 1, sizeof(uint16_t)) &&
        reserve(&room->sums, rows / RT_TAPE_ROWS + 1, 2 * m.norm, sizeof(float)) &&
        reserve(&room->order, rows, 1, sizeof *room->order) &&
        reserve(&room->ids, rows, 1, sizeof *room->ids) &&
        reserve(&room->runs, rows + 1, 1, sizeof *room->runs) &&
        reserve(&room->places, rows, 1, sizeof *room->places);
    for (size_t i = 0; made && i < rows; i++) {
        room->ones[i] = 1;
        room->ones16[i] = rt_f32_to_bf16(1);
    }
    return made;
}

/* The value that an int8 or bf16 one was rounded from, unless channels were scaled between them. */
static int source_of(const rt_graph *graph, int value) {
    const rt_value *of = &graph->values[value];
    if (!has_grad(of) || of->dtype == RETORT_F32) return value;
    const rt_node *maker = &graph->nodes[of->producer];
    bool convert = maker->op == RT_OP_CONVERT;
    int scale = convert                         ? CONVERT_CHANNEL_SCALE
                : maker->op == RT_OP_LAYER_NORM ? LAYER_NORM_CHANNEL_SCALE
                                                : EMBED_CHANNEL_SCALE;
    bool scaled = scale < maker->input_count && maker->inputs[scale] >= 0;
    if (scaled || (!convert && maker->output_count < 2)) return value;
    return convert ? maker->inputs[CONVERT_X] : maker->outputs[0];
}

static bool reserve_grads(rt_tape *tape) {
    const rt_graph *graph = tape->graph;
    tape->grad = rt_calloc(graph->value_count, sizeof *tape->grad);
    tape->source = rt_calloc(graph->value_count, sizeof *tape->source);
    for (size_t i = 0; tape->source != NULL && i < graph->value_count; i++)
        tape->source[i] = source_of(graph, (int)i);
    return tape->grad != NULL && tape->source != NULL;
}

/* Room for what the forward pass leaves behind: the sums before activations. */
static bool reserve_sums(rt_tape *tape, size_t rows) {
    tape->sums = rt_calloc(tape->plan.step_count, sizeof *tape->sums);
    bool made = tape->sums != NULL;
    for (size_t i = 0; made && i < tape->plan.step_count; i++) {
        rt_step *step = &tape->plan.steps[i];
        if (step->node->op == RT_OP_EMBED && tape->embed == NULL) {
            tape->embed = step;
            made = reserve(&tape->embedded, rows, step->as.embed.norm.n, sizeof(float));
        }
        if (step->node->op != RT_OP_LINEAR || !rt_tape_needs_sums(step) || step->as.linear.gemm == NULL)
            continue;
        made = reserve(&tape->sums[i], rows, step->as.linear.n, sizeof(float));
        step->out[1] = (rt_place){.value = step->out[0].value, .data = tape->sums[i]};
    }
    return made;
}

/* The backward steps share the workers' scratch with the forward ones. */
static void add_scratch(rt_plan *plan) {
    for (size_t i = 0; i < plan->step_count; i++) {
        const rt_step *step = &plan->steps[i];
        size_t floats = 0;
        if (step->node->op == RT_OP_LINEAR) floats = rt_tape_linear_scratch(step);
        if (step->node->op == RT_OP_ATTENTION)
            floats =
                rt_attention_back_scratch(plan->positions, step->as.attention.dim) +
                (step->as.attention.relative != NULL ? rt_attention_relative_scratch(plan->positions) : 0);
        plan->scratch_floats = rt_max(plan->scratch_floats, floats);
    }
}

/* Whether the floats of a weight or table are known. */
static bool has_floats(const rt_tape *tape, const rt_step *step, int operand) {
    int value = step->in[operand].value;
    return value < 0 || tape->graph->values[value].dtype == RETORT_F32 ||
           rt_tape_parameter(tape, step, operand) != NULL;
}

/* What the backward pass supports: fused operators on floats with packed weights, and on others that parameters give
 * floats for. */
static bool is_known(const rt_tape *tape, const rt_step *step) {
    const rt_node *node = step->node;
    if (backs[node->op] == NULL || !has_grad(&tape->graph->values[node->outputs[0]])) return false;
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
        return rt_fail(err, RETORT_UNSUPPORTED, "%.200s: no gradient goes through %s in %s", node->name,
                       rt_op_info(node->op)->text,
                       retort_dtype_name(tape->graph->values[node->outputs[0]].dtype));
    }
    return RETORT_OK;
}

static bool make_buffers(rt_tape *tape);

retort_status rt_tape_open(rt_tape *out, const rt_graph *graph, const rt_parameters *parameters,
                           const rt_kernels *kernels, rt_thread_pool *pool, size_t rows, size_t positions,
                           retort_error *err) {
    *out = (rt_tape){.graph = graph, .parameters = parameters, .kernels = kernels, .pool = pool};
    retort_status status = rt_plan_make(&out->plan, graph, kernels, NULL, rows, positions, err);
    if (status == RETORT_OK) status = rt_plan_memory(&out->plan, true, err);
    if (status == RETORT_OK) status = check(out, err);
    if (status != RETORT_OK) return status;
    add_scratch(&out->plan);
    status = rt_executor_open(&out->executor, &out->plan, pool, err);
    if (status != RETORT_OK) return status;
    bool made = reserve_grads(out) && reserve_sums(out, rows) && reserve_room(out, rows) && make_buffers(out);
    return made ? RETORT_OK : rt_fail_nomem(err, out->plan.arena_bytes);
}

static void free_room(rt_tape_room *room) {
    void *all[] = {room->z,    room->dz,   room->turned, room->panels, room->weight,
                   room->dz16, room->ones, room->ones16, room->sums,   room->order,
                   room->ids,  room->runs, room->places};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

void rt_tape_close(rt_tape *tape) {
    for (size_t i = 0; i < tape->buffer_count; i++) free(tape->buffers[i].data);
    for (size_t i = 0; tape->sums != NULL && i < tape->plan.step_count; i++) free(tape->sums[i]);
    rt_executor_close(&tape->executor);
    free(tape->buffers);
    free(tape->grad);
    free(tape->source);
    free(tape->sums);
    free(tape->embedded);
    free_room(&tape->room);
    rt_plan_free(&tape->plan);
    *tape = (rt_tape){0};
}

/* ---- Gradients of values ---- */

static size_t rows_of(const rt_tape *tape, int value) {
    rt_row_set kind = RT_ROW_SET_TOKENS;
    rt_value_row_set(&tape->graph->values[value], &kind);
    return rt_chunk_rows(tape->chunk, kind);
}

/* The smallest free buffer that is large enough, or a new one; NULL: out of memory. */
static float *take_buffer(rt_tape *tape, size_t floats) {
    rt_tape_buffer *best = NULL;
    for (size_t i = 0; i < tape->buffer_count; i++) {
        rt_tape_buffer *b = &tape->buffers[i];
        if (!b->taken && b->floats >= floats && (best == NULL || b->floats < best->floats)) best = b;
    }
    if (best == NULL) {
        void *buffers = tape->buffers;
        bool made = rt_grow(&buffers, &tape->buffer_capacity, tape->buffer_count + 1, sizeof *tape->buffers);
        tape->buffers = buffers;
        if (!made) return NULL;
        best = &tape->buffers[tape->buffer_count];
        *best = (rt_tape_buffer){.floats = floats};
        best->data = rt_alloc_aligned(floats * sizeof *best->data);
        if (best->data == NULL) return NULL;
        tape->buffer_count++;
    }
    best->taken = true;
    return best->data;
}

static void release(rt_tape *tape, int value) {
    for (size_t i = 0; tape->grad[value] != NULL && i < tape->buffer_count; i++) {
        if (tape->buffers[i].data == tape->grad[value]) tape->buffers[i].taken = false;
    }
    tape->grad[value] = NULL;
}

/* Unless another value has it, too. */
static void release_source(rt_tape *tape, int value) {
    if (tape->source[value] == value) release(tape, value);
}

bool rt_tape_has_grad(const rt_tape *tape, int value) {
    return value >= 0 && has_grad(&tape->graph->values[value]);
}

float *rt_tape_take(rt_tape *tape, int value, bool *add) {
    *add = false;
    if (!rt_tape_has_grad(tape, value)) return NULL;
    value = tape->source[value];
    *add = tape->grad[value] != NULL;
    if (*add) return tape->grad[value];
    size_t columns = rt_round_up(rt_tape_columns(tape, value), RT_PANEL);
    tape->grad[value] = take_buffer(tape, rt_round_up(tape->room.rows, RT_PANEL) * columns);
    if (tape->grad[value] == NULL) tape->status = RETORT_NOMEM;
    return tape->grad[value];
}

float *rt_tape_live(const rt_tape *tape, int value) {
    return value < 0 ? NULL : tape->grad[tape->source[value]];
}

float *rt_tape_grad(rt_tape *tape, int value) {
    bool live;
    float *grad = rt_tape_take(tape, value, &live);
    if (grad != NULL && !live)
        memset(grad, 0, rows_of(tape, value) * rt_tape_columns(tape, value) * sizeof *grad);
    return grad;
}

/* Makes the buffers that passes need, so that they do not run out of memory: as if every value got a gradient, that of the
 * first one from the beginning (hidden states that a loss reads). */
static bool make_buffers(rt_tape *tape) {
    bool live;
    rt_tape_take(tape, tape->graph->output, &live);
    if (tape->embed != NULL) rt_tape_take(tape, tape->embed->out[0].value, &live);
    for (size_t i = tape->plan.step_count; i-- > 0;) {
        const rt_node *node = tape->plan.steps[i].node;
        for (int j = 0; j < node->input_count; j++) rt_tape_take(tape, node->inputs[j], &live);
        for (int j = 0; j < node->output_count; j++) release_source(tape, node->outputs[j]);
    }
    return tape->status == RETORT_OK;
}

/* ---- Operands ---- */

const void *rt_tape_at(const rt_tape *tape, const rt_place *place) {
    return rt_place_at(place, &tape->executor.workers[0]);
}

const float *rt_tape_rows(const rt_tape *tape, const rt_place *place, rt_range rows, float *room) {
    size_t n = rt_tape_columns(tape, place->value), count = rows.to - rows.from;
    const void *data = rt_tape_at(tape, place);
    retort_dtype dtype = tape->graph->values[place->value].dtype;
    if (dtype == RETORT_F32) return (const float *)data + rows.from * n;
    if (dtype == RETORT_BF16) {
        const uint16_t *half = (const uint16_t *)data + rows.from * n;
        for (size_t i = 0; i < count * n; i++) room[i] = rt_bf16_to_f32(half[i]);
        return room;
    }
    const int8_t *q = (const int8_t *)data + rows.from * rt_row_q(n);
    const rt_row_scale *scales =
        (const rt_row_scale *)(const void *)((const char *)data + rt_row_scales_at(&tape->plan, n));
    for (size_t i = 0; i < count; i++, q += rt_row_q(n)) {
        rt_row_scale scale = scales[rows.from + i];
        for (size_t j = 0; j < n; j++) room[i * n + j] = scale.scale * (float)q[j] + scale.shift;
    }
    return room;
}

float *rt_tape_value(const rt_tape *tape, int value, size_t *rows, size_t *columns) {
    int producer = tape->graph->values[value].producer;
    const rt_step *step = &tape->plan.steps[producer];
    *rows = rows_of(tape, value);
    *columns = rt_tape_columns(tape, value);
    return rt_place_at(&step->out[step->node->outputs[0] == value ? 0 : 1], &tape->executor.workers[0]);
}

rt_parameter *rt_tape_parameter(const rt_tape *tape, const rt_step *step, int operand) {
    int value = step->in[operand].value;
    return tape->parameters == NULL || value < 0 ? NULL : rt_parameters_find(tape->parameters, value);
}

const float *rt_tape_used(const rt_tape *tape, const rt_step *step, int operand) {
    const rt_parameter *parameter = rt_tape_parameter(tape, step, operand);
    return parameter != NULL ? parameter->used : rt_tape_at(tape, &step->in[operand]);
}

float *rt_tape_vector(const rt_tape *tape, const rt_step *step, int operand) {
    rt_parameter *parameter = rt_tape_parameter(tape, step, operand);
    return parameter != NULL ? parameter->grad : NULL;
}

/* ---- Running ---- */

typedef struct back_step {
    rt_step step; /* first: a step like any other for the executor */
    rt_tape *tape;
    const rt_step *of;
    rt_tape_fn fn;
} back_step;

static void run_back(const rt_step *step, const rt_chunk *chunk, rt_worker *worker) {
    const back_step *back = (const back_step *)(const void *)step;
    (void)chunk;
    back->fn(back->tape, back->of, worker);
}

static void run_on(rt_tape *tape, const rt_step *step, double flops, rt_tape_fn fn, const rt_chunk *chunk) {
    static const rt_node none = {.op = RT_OP_IDENTITY};
    back_step back = {.tape = tape, .of = step, .fn = fn};
    back.step = (rt_step){.run = run_back, .node = step != NULL ? step->node : &none, .flops_row = flops};
    if (step != NULL) back.step.rows = step->rows;
    rt_execute_step(&tape->executor, &back.step, chunk);
}

void rt_tape_run(rt_tape *tape, const rt_step *step, double flops, rt_tape_fn fn) {
    run_on(tape, step, flops, fn, tape->chunk);
}

/* Panels of the weight of a Linear of bf16. */
static void round_panels(rt_tape *tape, const rt_step *step, rt_worker *worker) {
    const rt_linear_step *linear = &step->as.linear;
    size_t k = linear->k, pairs = k + (k & 1);
    const float *used = rt_tape_used(tape, step, LINEAR_WEIGHT);
    uint16_t *to = (uint16_t *)(uintptr_t)linear->weight; /* the graph's own, writable */
    rt_range share = rt_worker_share(worker, (linear->n + RT_PANEL - 1) / RT_PANEL, 1);
    for (size_t i = share.from; i < share.to; i++) {
        rt_pack_args pack = {.k = k, .n = RT_PANEL, .x = used + i * k * RT_PANEL, .ldx = RT_PANEL};
        pack.y16 = to + i * pairs * RT_PANEL;
        tape->kernels->pack(&pack);
    }
}

void rt_tape_refresh(rt_tape *tape) {
    static const rt_chunk one = {.batch = 1, .rows = 1, .mask_tokens = 1};
    for (size_t i = 0; i < tape->plan.step_count; i++) {
        const rt_step *step = &tape->plan.steps[i];
        if (step->node->op == RT_OP_ATTENTION) rt_step_refresh_relative(&tape->plan, step);
        if (step->node->op != RT_OP_LINEAR || !rt_tape_is_bf16(step)) continue;
        run_on(tape, step, 16.0 * (double)step->as.linear.k * (double)step->as.linear.n, round_panels, &one);
    }
}

retort_status rt_tape_forward(rt_tape *tape, const rt_chunk *chunk, retort_error *err) {
    if (chunk->rows > tape->plan.capacity) {
        return rt_fail(err, RETORT_LIMIT, "%zu tokens: there is room for %zu", chunk->rows,
                       tape->plan.capacity);
    }
    tape->chunk = chunk;
    tape->status = RETORT_OK;
    for (size_t i = 0; i < tape->graph->value_count; i++) release(tape, (int)i);
    const rt_work work = {.chunks = chunk, .count = 1, .team = true};
    return rt_execute(&tape->executor, &work, err);
}

static bool is_live(const rt_tape *tape, const rt_node *node) {
    bool live = false;
    for (int i = 0; i < node->output_count; i++) live |= rt_tape_live(tape, node->outputs[i]) != NULL;
    return live;
}

/* Matrices that got no gradient: zeros. */
static void clear_others(const rt_tape *tape) {
    for (size_t i = 0; tape->parameters != NULL && i < tape->parameters->count; i++) {
        rt_parameter *item = &tape->parameters->items[i];
        if (item->cleared) memset(item->grad, 0, item->count * sizeof *item->grad);
        item->cleared = false;
    }
}

retort_status rt_tape_backward(rt_tape *tape, retort_error *err) {
    for (size_t i = tape->plan.step_count; tape->status == RETORT_OK && i-- > 0;) {
        const rt_step *step = &tape->plan.steps[i];
        const rt_node *node = step->node;
        if (is_live(tape, node)) backs[node->op](tape, step);
        if (tape->watch != NULL) tape->watch(tape, step);
        for (int j = 0; j < node->output_count; j++) release_source(tape, node->outputs[j]);
    }
    clear_others(tape);
    return tape->status == RETORT_OK ? RETORT_OK : rt_fail_nomem(err, tape->chunk->rows);
}
