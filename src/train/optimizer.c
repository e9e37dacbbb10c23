/* SPDX-License-Identifier: Apache-2.0 */
#include "train/optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Numbers of a block: sums of squares in float over so few lose nothing, and there are blocks enough for all threads. */
enum { BLOCK = 16384 };

static const rt_parameter *item_of(const rt_optimizer *o, size_t item) {
    return &o->parameters->items[item];
}

/* ---- Opening ---- */

/* What decay leaves of weights after each number of steps. */
static bool open_kept(const rt_optimizer *o, rt_moment *moment) {
    const rt_rate_plan *plan = &o->options.plan;
    moment->kept = rt_calloc(plan->steps + 1, sizeof *moment->kept);
    if (moment->kept == NULL) return false;
    moment->kept[0] = 1;
    for (size_t i = 0; i < plan->steps; i++)
        moment->kept[i + 1] =
            moment->kept[i] * (1 - rt_rate_at(plan, i) * moment->factor * o->options.weight_decay);
    return true;
}

static bool open_table(const rt_optimizer *o, const rt_parameter *p, rt_moment *moment) {
    moment->slot = rt_calloc(p->rows, sizeof *moment->slot);
    moment->seen = rt_calloc(p->rows, sizeof *moment->seen);
    if (moment->slot == NULL || moment->seen == NULL) return false;
    for (size_t i = 0; i < p->rows; i++) moment->slot[i] = -1;
    return open_kept(o, moment);
}

static bool open_moment(const rt_optimizer *o, const rt_parameter *p, rt_moment *moment) {
    if (p->kind == RT_PARAMETER_TABLE) return open_table(o, p, moment);
    moment->first = rt_calloc(p->count, sizeof *moment->first);
    moment->second = rt_calloc(p->count, sizeof *moment->second);
    return moment->first != NULL && moment->second != NULL;
}

retort_status rt_optimizer_open(rt_optimizer *out, rt_parameters *parameters,
                                const rt_optimizer_options *options, const rt_kernels *kernels,
                                rt_executor *executor, retort_error *err) {
    *out = (rt_optimizer){
        .parameters = parameters, .kernels = kernels, .executor = executor, .options = *options};
    size_t widest = 1;
    out->moments = rt_calloc(parameters->count, sizeof *out->moments);
    bool made = out->moments != NULL;
    for (size_t i = 0; made && i < parameters->count; i++) {
        const rt_parameter *p = &parameters->items[i];
        if (p->kind == RT_PARAMETER_TABLE) widest = rt_max(widest, p->n);
        out->moments[i].factor = options->factors != NULL ? options->factors[i] : 1;
        made = open_moment(out, p, &out->moments[i]);
    }
    out->options.factors = NULL;
    out->zeros = made ? rt_calloc(widest, sizeof *out->zeros) : NULL;
    if (out->zeros != NULL) return RETORT_OK;
    rt_optimizer_close(out);
    return rt_fail_nomem(err, widest * sizeof *out->zeros);
}

void rt_optimizer_close(rt_optimizer *o) {
    for (size_t i = 0; o->moments != NULL && i < o->parameters->count; i++) {
        free(o->moments[i].first);
        free(o->moments[i].second);
        free(o->moments[i].slot);
        free(o->moments[i].seen);
        free(o->moments[i].kept);
    }
    free(o->moments);
    free(o->zeros);
    free(o->blocks);
    *o = (rt_optimizer){0};
}

/* ---- Work in parts ---- */

/* A step of the executor that is none of a plan: fn does items from…to. */
typedef struct job {
    rt_step step;
    rt_optimizer *optimizer;
    void (*fn)(const struct job *job, size_t from, size_t to);
    size_t count;
    size_t item; /* catch up: the table, and which rows; NULL: all */
    const int32_t *rows;
    float scale; /* of gradients */
} job;

static void run_job(const rt_step *step, const rt_chunk *chunk, rt_worker *worker) {
    const job *j = (const job *)step;
    rt_range part = rt_worker_share(worker, j->count, 1);
    (void)chunk;
    if (part.from < part.to) j->fn(j, part.from, part.to);
}

/* Parts enough that a thread on a slower core does less. */
static void run(rt_optimizer *o, job j) {
    static const rt_node node = {.op = RT_OP_NORMALIZE};
    static const rt_chunk chunk = {.rows = 1};
    j.step = (rt_step){.run = run_job, .node = &node, .flops_row = 1e9};
    j.optimizer = o;
    if (j.count > 0) rt_execute_step(o->executor, &j.step, &chunk);
}

/* ---- Numbers ---- */

/* What step `step` (from 0) does to n numbers, whose pointers are set by the caller. */
static rt_adamw adamw_of(const rt_optimizer *o, size_t item, size_t step) {
    const rt_optimizer_options *options = &o->options;
    double rate = rt_rate_at(&options->plan, step) * o->moments[item].factor, t = (double)step + 1;
    double decay = item_of(o, item)->kind == RT_PARAMETER_VECTOR ? 0 : options->weight_decay;
    return (rt_adamw){
        .fresh1 = (float)(1 - options->beta1),
        .fresh2 = (float)(1 - options->beta2),
        .beta2 = (float)options->beta2,
        .keep = (float)(1 - rate * decay),
        .rate = (float)(rate / (1 - pow(options->beta1, t))),
        .root = (float)(1 / sqrt(1 - pow(options->beta2, t))),
        .epsilon = (float)options->epsilon,
    };
}

/* Row `row` of a table in `a`: its weights and, if it has them, moments. */
static void point_to(const rt_optimizer *o, size_t item, size_t row, rt_adamw *a) {
    const rt_parameter *p = item_of(o, item);
    const rt_moment *moment = &o->moments[item];
    size_t at = (size_t)moment->slot[row] * p->n;
    a->n = p->n;
    a->w = p->data + row * p->n;
    a->m = moment->first + at;
    a->v = moment->second + at;
}

/* beta1^160 is 5e-8: from then on the first moment no longer moves a float, and decay alone is left. */
enum { MOMENTUM = 160 };

/* What decay leaves of weights from one step to another, even where nothing that a double holds is left of the first. */
static float kept_between(const rt_optimizer *o, const rt_moment *moment, size_t from, size_t to) {
    const rt_rate_plan *plan = &o->options.plan;
    double kept = 1;
    if (isnormal(moment->kept[from])) return (float)(moment->kept[to] / moment->kept[from]);
    for (size_t i = from; i < to; i++)
        kept *= 1 - rt_rate_at(plan, i) * moment->factor * o->options.weight_decay;
    return (float)kept;
}

static void catch_up(rt_optimizer *o, size_t item, size_t row) {
    rt_moment *moment = &o->moments[item];
    rt_adamw a;
    size_t from = (size_t)moment->seen[row], to = o->step;
    bool moves = moment->slot[row] >= 0;
    for (size_t end = rt_min(to, from + MOMENTUM); moves && from < end; from++) {
        a = adamw_of(o, item, from);
        point_to(o, item, row, &a);
        a.g = o->zeros;
        o->kernels->adamw(&a);
    }
    moment->seen[row] = (int32_t)to;
    if (from >= to) return;
    double rest = (double)(to - from);
    float *w = item_of(o, item)->data + row * item_of(o, item)->n;
    float kept = kept_between(o, moment, from, to);
    float kept1 = (float)pow(o->options.beta1, rest), kept2 = (float)pow(o->options.beta2, rest);
    for (size_t i = 0; i < item_of(o, item)->n; i++) w[i] *= kept;
    if (!moves) return;
    point_to(o, item, row, &a);
    for (size_t i = 0; i < a.n; i++) {
        a.m[i] *= kept1;
        a.v[i] *= kept2;
    }
}

static void catch_up_rows(const job *j, size_t from, size_t to) {
    for (size_t i = from; i < to; i++)
        catch_up(j->optimizer, j->item, j->rows != NULL ? (size_t)j->rows[i] : i);
}

void rt_optimizer_catch_up(rt_optimizer *o, size_t item, const int32_t *rows, size_t n) {
    run(o, (job){.fn = catch_up_rows, .count = n, .item = item, .rows = rows});
}

void rt_optimizer_settle(rt_optimizer *o) {
    for (size_t i = 0; i < o->parameters->count; i++) {
        const rt_parameter *p = item_of(o, i);
        if (p->kind == RT_PARAMETER_TABLE) rt_optimizer_catch_up(o, i, NULL, p->rows);
    }
}

/* ---- A step ---- */

bool rt_optimizer_reserve(rt_optimizer *o, size_t item, size_t slots) {
    rt_moment *moment = &o->moments[item];
    size_t n = item_of(o, item)->n, count = 0, old = moment->slots * n;
    if (!rt_mul(slots, n, &count) ||
        !rt_grow((void **)&moment->first, &moment->first_capacity, count, sizeof *moment->first) ||
        !rt_grow((void **)&moment->second, &moment->second_capacity, count, sizeof *moment->second))
        return false;
    if (count > old) {
        memset(moment->first + old, 0, (count - old) * sizeof *moment->first);
        memset(moment->second + old, 0, (count - old) * sizeof *moment->second);
    }
    moment->slots = slots;
    return true;
}

/* Moments for rows of a table that occur for the first time. */
static bool give_slots(rt_optimizer *o, size_t item) {
    const rt_parameter *p = item_of(o, item);
    rt_moment *moment = &o->moments[item];
    size_t slots = moment->slots, fresh = 0;
    for (size_t i = 0; i < p->touched_count; i++) fresh += moment->slot[p->touched[i]] < 0;
    if (!rt_optimizer_reserve(o, item, slots + fresh)) return false;
    for (size_t i = 0; i < p->touched_count; i++) {
        int32_t *slot = &moment->slot[p->touched[i]];
        if (*slot < 0) *slot = (int32_t)slots++;
    }
    return true;
}

/* All gradients in blocks, in the order of the parameters. */
static bool cut_blocks(rt_optimizer *o) {
    o->block_count = 0;
    for (size_t i = 0; i < o->parameters->count; i++) {
        const rt_parameter *p = item_of(o, i);
        bool table = p->kind == RT_PARAMETER_TABLE;
        size_t count = table ? p->touched_count : p->count, most = table ? BLOCK / p->n + 1 : BLOCK;
        if (table && !give_slots(o, i)) return false;
        if (!rt_grow((void **)&o->blocks, &o->block_capacity, o->block_count + count / most + 1,
                     sizeof *o->blocks))
            return false;
        for (size_t from = 0; from < count; from += most)
            o->blocks[o->block_count++] =
                (struct rt_block){.item = i, .from = from, .count = rt_min(most, count - from)};
    }
    return true;
}

static void sum_blocks(const job *j, size_t from, size_t to) {
    const rt_optimizer *o = j->optimizer;
    for (size_t i = from; i < to; i++) {
        struct rt_block *block = &o->blocks[i];
        const rt_parameter *p = item_of(o, block->item);
        size_t n = p->kind == RT_PARAMETER_TABLE ? p->n : 1;
        block->squares = (double)o->kernels->squares(block->count * n, p->grad + block->from * n);
    }
}

static void step_table(rt_optimizer *o, const struct rt_block *block, rt_adamw a) {
    const rt_parameter *p = item_of(o, block->item);
    for (size_t i = block->from; i < block->from + block->count; i++) {
        size_t row = (size_t)p->touched[i];
        catch_up(o, block->item, row);
        point_to(o, block->item, row, &a);
        a.g = p->grad + i * p->n;
        o->kernels->adamw(&a);
        o->moments[block->item].seen[row] = (int32_t)o->step + 1;
    }
}

static void step_blocks(const job *j, size_t from, size_t to) {
    rt_optimizer *o = j->optimizer;
    for (size_t i = from; i < to; i++) {
        const struct rt_block *block = &o->blocks[i];
        const rt_parameter *p = item_of(o, block->item);
        const rt_moment *moment = &o->moments[block->item];
        rt_adamw a = adamw_of(o, block->item, o->step);
        a.scale = j->scale;
        if (p->kind == RT_PARAMETER_TABLE) {
            step_table(o, block, a);
            continue;
        }
        a.n = block->count;
        a.w = p->data + block->from;
        a.m = moment->first + block->from;
        a.v = moment->second + block->from;
        a.g = p->grad + block->from;
        o->kernels->adamw(&a);
    }
}

/* The norm of all gradients; the blocks' sums are added in their order. */
static retort_status find_norm(rt_optimizer *o, double *norm, retort_error *err) {
    double sum = 0;
    run(o, (job){.fn = sum_blocks, .count = o->block_count});
    for (size_t i = 0; i < o->block_count; i++) {
        if (!isfinite(o->blocks[i].squares)) {
            return rt_fail(err, RETORT_NONFINITE, "step %zu: the gradient of %.200s is not finite",
                           o->step + 1, item_of(o, o->blocks[i].item)->name);
        }
        sum += o->blocks[i].squares;
    }
    *norm = sqrt(sum);
    return RETORT_OK;
}

retort_status rt_optimizer_step(rt_optimizer *o, double *norm, retort_error *err) {
    if (o->step >= o->options.plan.steps)
        return rt_fail(err, RETORT_LIMIT, "all %zu steps are done", o->options.plan.steps);
    if (!cut_blocks(o)) return rt_fail_nomem(err, o->block_capacity * sizeof *o->blocks);
    retort_status status = find_norm(o, norm, err);
    if (status != RETORT_OK) return status;
    /* PyTorch's clip_grad_norm_ adds 1e-6 to the norm. */
    double clip = o->options.clip, scale = clip > 0 ? fmin(1, clip / (*norm + 1e-6)) : 1;
    run(o, (job){.fn = step_blocks, .count = o->block_count, .scale = (float)scale});
    o->step++;
    return RETORT_OK;
}
