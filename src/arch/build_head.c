/* SPDX-License-Identifier: Apache-2.0
 * The heads of the level-0 graph: hidden [batch, seq, hidden] to the output. */
#include "arch/builder.h"

#include <stdio.h>

/* torch.nn.LayerNorm's default, which sentence-transformers' module always has. */
#define MODULE_EPSILON 1e-5f

/* x[:, 0, :] -> [batch, hidden] */
static int first_row(rt_builder *b, int hidden) {
    return rt_emit(b, RT_OP_GATHER, "head", "first", 2,
                   (int[]){hidden, rt_emit_index(b, "head", "first.index", 0)}, &(rt_attrs){.axis = 1});
}

/* What the head makes of rows: dense, activation and norm, where it has them, and the output. */
static int output(rt_builder *b, const char *activation, int x) {
    const rt_encoder *encoder = b->encoder;
    const rt_weight *parts = encoder->parts;
    if (parts[RT_ROLE_DENSE].weight != NULL) {
        x = rt_emit_linear(b, "head.dense", &parts[RT_ROLE_DENSE], x);
        x = rt_emit_activation(b, activation, encoder->dense_activation, x);
    }
    if (parts[RT_ROLE_HEAD_NORM].weight != NULL)
        x = rt_emit_norm(b, "head.norm", &parts[RT_ROLE_HEAD_NORM], x);
    return rt_emit_linear(b, "head.output", &parts[RT_ROLE_OUTPUT], x);
}

static int row_head(rt_builder *b, int hidden) {
    return output(b, "head.dense.activation", hidden);
}

static int fill_head(rt_builder *b, int hidden) {
    return rt_emit2(b, RT_OP_MASK_TOKEN_ROWS, "head", "rows", row_head(b, hidden), b->ids);
}

/* The mask as a float a channel, [batch, seq, hidden]: sentence-transformers' input_mask_expanded. */
static int wide_mask(rt_builder *b, int hidden) {
    int wide = rt_emit_expand(b, "head.mask", b->mask, 1, (int64_t[]){-1}, hidden);
    return rt_emit(b, RT_OP_CAST, "head.mask", "cast", 1, &wide, &(rt_attrs){.dtype = RETORT_F32});
}

/* What a pooling reads: rows [batch, seq, hidden], and the mask, as wide. */
typedef struct pooling {
    rt_builder *b;
    const char *scope;
    int hidden, mask;
} pooling;

static int cls_pool(const pooling *p) {
    return first_row(p->b, p->hidden);
}

/* The sum of the rows, and what `root` does with how many there are, divide. */
static int sum_pool(const pooling *p, bool root) {
    int read = rt_emit2(p->b, RT_OP_MUL, p->scope, "mul", p->hidden, p->mask);
    int sum = rt_emit_reduce(p->b, RT_OP_REDUCE_SUM, p->scope, "sum", read, 1, false);
    int count = rt_emit_reduce(p->b, RT_OP_REDUCE_SUM, p->scope, "count", p->mask, 1, false);
    int clamped = rt_emit_by(p->b, RT_OP_MAX, p->scope, "clamp", count, 1e-9f);
    if (root) clamped = rt_emit1(p->b, RT_OP_SQRT, p->scope, "sqrt", clamped);
    return rt_emit2(p->b, RT_OP_DIV, p->scope, "mean", sum, clamped);
}

static int mean_pool(const pooling *p) {
    return sum_pool(p, false);
}

static int mean_sqrt_pool(const pooling *p) {
    return sum_pool(p, true);
}

/* Weights 1, 2, 3, …, and 0 for padding, as wide as the mask. */
static int weighted_pool(const pooling *p) {
    rt_builder *b = p->b;
    int count = rt_emit(b, RT_OP_CUM_SUM, p->scope, "place", 1, &b->mask, &(rt_attrs){.axis = 1});
    int weights = rt_emit2(b, RT_OP_MUL, p->scope, "weights", b->mask, count);
    int wide = rt_emit_expand(b, p->scope, weights, 1, (int64_t[]){-1}, p->hidden);
    int mask = rt_emit(b, RT_OP_CAST, p->scope, "cast", 1, &wide, &(rt_attrs){.dtype = RETORT_F32});
    return sum_pool(&(pooling){b, p->scope, p->hidden, mask}, false);
}

/* The sum of the rows times 1 for the last, where the count of tokens is the largest, and else 0. */
static int last_pool(const pooling *p) {
    rt_attrs to_float = {.dtype = RETORT_F32}, along = {.axis = 1};
    int tokens = rt_emit(p->b, RT_OP_CAST, p->scope, "tokens", 1, &p->b->mask, &to_float);
    int count = rt_emit(p->b, RT_OP_CUM_SUM, p->scope, "count", 1, &p->b->mask, &along);
    int place = rt_emit(p->b, RT_OP_CAST, p->scope, "place", 1, &count, &to_float);
    int most = rt_emit_reduce(p->b, RT_OP_REDUCE_MAX, p->scope, "most", place, 1, true);
    int equal = rt_emit2(p->b, RT_OP_EQUAL, p->scope, "equal", place, most);
    int after = rt_emit(p->b, RT_OP_CAST, p->scope, "after", 1, &equal, &to_float);
    int last = rt_emit2(p->b, RT_OP_MUL, p->scope, "last", after, tokens);
    int wide = rt_emit2(p->b, RT_OP_UNSQUEEZE, p->scope, "wide", last,
                        rt_emit_indices(p->b, p->scope, "axes", 1, (int64_t[]){-1}));
    int read = rt_emit2(p->b, RT_OP_MUL, p->scope, "mul", p->hidden, wide);
    return rt_emit_reduce(p->b, RT_OP_REDUCE_SUM, p->scope, "sum", read, 1, false);
}

static int max_pool(const pooling *p) {
    int padding = rt_emit_by(p->b, RT_OP_EQUAL, p->scope, "equal", p->mask, 0);
    int low = rt_emit_scalar(p->b, p->scope, "low", -1e9f);
    int read = rt_emit(p->b, RT_OP_WHERE, p->scope, "where", 3, (int[]){padding, low, p->hidden}, NULL);
    return rt_emit_reduce(p->b, RT_OP_REDUCE_MAX, p->scope, "max", read, 1, false);
}

/* log(1 + x), once or twice */
static int log_of(rt_builder *b, int x) {
    static const char *const scopes[] = {"head.log", "head.log.2"};
    for (int i = 0; i < 1 + b->encoder->splade.twice; i++)
        x = rt_emit1(b, RT_OP_LOG, scopes[i], "log", rt_emit_by(b, RT_OP_ADD, scopes[i], "one", x, 1));
    return x;
}

/* The largest logarithm is that of the largest logit: one row a text goes through it, and not one a token. */
static int splade_head(rt_builder *b, int hidden) {
    int x = rt_emit_activation(b, "head.relu", RT_FN_RELU, row_head(b, hidden));
    pooling p = {b, "head.pool", x, -1};
    if (!b->encoder->splade.sum) {
        p.mask = wide_mask(b, x);
        return log_of(b, max_pool(&p));
    }
    x = log_of(b, x);
    int read = rt_emit2(b, RT_OP_MUL, p.scope, "mul", x, wide_mask(b, x));
    return rt_emit_reduce(b, RT_OP_REDUCE_SUM, p.scope, "sum", read, 1, false);
}

/* x / max(|x|, 1e-12), as torch.nn.functional.normalize */
static int unit_length(rt_builder *b, const char *scope, int x) {
    int squares = rt_emit2(b, RT_OP_MUL, scope, "square", x, x);
    int sum = rt_emit_reduce(b, RT_OP_REDUCE_SUM, scope, "sum", squares, -1, true);
    int length = rt_emit1(b, RT_OP_SQRT, scope, "sqrt", sum);
    int clamped = rt_emit_by(b, RT_OP_MAX, scope, "clamp", length, 1e-12f);
    return rt_emit2(b, RT_OP_DIV, scope, "div", x, clamped);
}

static int dense(rt_builder *b, const char *scope, const rt_module *module, int x) {
    char residual[RT_SCOPE_MAX];
    int y = rt_emit_module_act(b, scope, module->activation, rt_emit_linear(b, scope, &module->weights, x));
    if (!module->residual) return y;
    snprintf(residual, sizeof residual, "%s.residual", scope);
    if (module->residual_weights.weight != NULL)
        x = rt_emit_linear(b, residual, &module->residual_weights, x);
    return rt_emit2(b, RT_OP_ADD, residual, "sum", y, x);
}

/* A module has the name of what it is, and a number from the second of a kind on. */
static int apply_module(rt_builder *b, size_t index, int x) {
    static const char *const names[] = {
        [RT_MODULE_DENSE] = "output", [RT_MODULE_NORMALIZE] = "unit", [RT_MODULE_LAYER_NORM] = "norm"};
    const rt_module *modules = b->encoder->modules, *module = &modules[index];
    char scope[RT_SCOPE_MAX / 2];
    size_t nth = 1;
    for (size_t i = 0; i < index; i++) nth += modules[i].kind == module->kind;
    int n = snprintf(scope, sizeof scope, "head.%s", names[module->kind]);
    if (nth > 1) snprintf(scope + n, sizeof scope - (size_t)n, ".%zu", nth);
    if (module->kind == RT_MODULE_NORMALIZE) return unit_length(b, scope, x);
    if (module->kind == RT_MODULE_LAYER_NORM)
        return rt_emit_layer_norm(b, scope, &module->weights, MODULE_EPSILON, x);
    return dense(b, scope, module, x);
}

static int pooled(rt_builder *b, int hidden) {
    static int (*const pools[])(const pooling *) = {
        [RT_POOL_CLS] = cls_pool,   [RT_POOL_MEAN] = mean_pool,           [RT_POOL_MAX] = max_pool,
        [RT_POOL_LAST] = last_pool, [RT_POOL_MEAN_SQRT] = mean_sqrt_pool, [RT_POOL_WEIGHTED] = weighted_pool};
    const rt_encoder *encoder = b->encoder;
    int parts[RT_MOST_POOLINGS], count = (int)encoder->pooling_count, mask = -1;
    for (int i = 0; i < count; i++) {
        char scope[RT_SCOPE_MAX / 2] = "head.pool";
        if (i > 0) snprintf(scope, sizeof scope, "head.pool.%d", i + 1);
        static const bool masked[] = {[RT_POOL_MEAN] = true,
                                      [RT_POOL_MAX] = true,
                                      [RT_POOL_MEAN_SQRT] = true,
                                      [RT_POOL_SEVERAL] = false};
        if (masked[encoder->poolings[i]] && mask < 0) mask = wide_mask(b, hidden);
        parts[i] = pools[encoder->poolings[i]](&(pooling){b, scope, hidden, mask});
    }
    if (count == 1) return parts[0];
    return rt_emit(b, RT_OP_CONCAT, "head.pool", "concat", count, parts, &(rt_attrs){.axis = 1});
}

static int embed_head(rt_builder *b, int hidden) {
    int x = b->encoder->config.pooling == RT_POOL_SPLADE ? splade_head(b, hidden) : pooled(b, hidden);
    for (size_t i = 0; i < b->encoder->module_count; i++) x = apply_module(b, i, x);
    return x;
}

static int mean_of(rt_builder *b, int x) {
    return mean_pool(&(pooling){b, "head.pool", x, wide_mask(b, x)});
}

static int classify_head(rt_builder *b, int hidden) {
    const rt_config *config = &b->encoder->config;
    if (b->encoder->module_count > 0) return embed_head(b, hidden); /* SetFit's head is the last module */
    if (config->late) return mean_of(b, row_head(b, hidden));
    return output(b, "head.dense", config->mean ? mean_of(b, hidden) : first_row(b, hidden));
}

int rt_build_head(rt_builder *b, int hidden) {
    static int (*const heads[])(rt_builder *, int) = {
        [RETORT_TASK_CLASSIFY] = classify_head, [RETORT_TASK_TAG] = row_head,
        [RETORT_TASK_ANSWER] = row_head,        [RETORT_TASK_FILL] = fill_head,
        [RETORT_TASK_EMBED] = embed_head,
    };
    return heads[b->encoder->config.task](b, hidden);
}
