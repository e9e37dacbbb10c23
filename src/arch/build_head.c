/* SPDX-License-Identifier: Apache-2.0
 * The heads of the level-0 graph: hidden [batch, seq, hidden] to the output. */
#include "arch/builder.h"

/* x[:, 0, :] -> [batch, hidden] */
static int first_row(rt_builder *b, int hidden) {
    return rt_emit(b, RT_OP_GATHER, "head", "first", 2,
                   (int[]){hidden, rt_emit_index(b, "head", "first.index", 0)}, &(rt_attrs){.axis = 1});
}

static int classify_head(rt_builder *b, int hidden) {
    const rt_encoder *encoder = b->encoder;
    int x = first_row(b, hidden);
    if (encoder->parts[RT_ROLE_DENSE].weight != NULL) {
        x = rt_emit_linear(b, "head.dense", &encoder->parts[RT_ROLE_DENSE], x);
        x = rt_emit_activation(b, "head.dense", encoder->dense_activation, x);
    }
    return rt_emit_linear(b, "head.output", &encoder->parts[RT_ROLE_OUTPUT], x);
}

static int row_head(rt_builder *b, int hidden) {
    return rt_emit_linear(b, "head.output", &b->encoder->parts[RT_ROLE_OUTPUT], hidden);
}

static int fill_head(rt_builder *b, int hidden) {
    const rt_encoder *encoder = b->encoder;
    int x = rt_emit_linear(b, "head.dense", &encoder->parts[RT_ROLE_DENSE], hidden);
    x = rt_emit_activation(b, "head.dense.activation", encoder->dense_activation, x);
    x = rt_emit_norm(b, "head.norm", &encoder->parts[RT_ROLE_HEAD_NORM], x);
    x = rt_emit_linear(b, "head.output", &encoder->parts[RT_ROLE_OUTPUT], x);
    return rt_emit2(b, RT_OP_MASK_TOKEN_ROWS, "head", "rows", x, b->ids);
}

/* The mask as a float a channel, [batch, seq, hidden]: sentence-transformers' input_mask_expanded. */
static int wide_mask(rt_builder *b, int hidden) {
    int wide = rt_emit_expand(b, "head.mask", b->mask, 1, (int64_t[]){-1}, hidden);
    return rt_emit(b, RT_OP_CAST, "head.mask", "cast", 1, &wide, &(rt_attrs){.dtype = RETORT_F32});
}

static int mean_pool(rt_builder *b, int hidden) {
    int mask = wide_mask(b, hidden);
    int read = rt_emit2(b, RT_OP_MUL, "head.pool", "mul", hidden, mask);
    int sum = rt_emit_reduce(b, RT_OP_REDUCE_SUM, "head.pool", "sum", read, 1, false);
    int count = rt_emit_reduce(b, RT_OP_REDUCE_SUM, "head.pool", "count", mask, 1, false);
    int clamped = rt_emit_by(b, RT_OP_MAX, "head.pool", "clamp", count, 1e-9f);
    return rt_emit2(b, RT_OP_DIV, "head.pool", "mean", sum, clamped);
}

static int max_pool(rt_builder *b, int hidden) {
    int mask = wide_mask(b, hidden);
    int padding = rt_emit_by(b, RT_OP_EQUAL, "head.pool", "equal", mask, 0);
    int low = rt_emit_scalar(b, "head.pool", "low", -1e9f);
    int read = rt_emit(b, RT_OP_WHERE, "head.pool", "where", 3, (int[]){padding, low, hidden}, NULL);
    return rt_emit_reduce(b, RT_OP_REDUCE_MAX, "head.pool", "max", read, 1, false);
}

/* x / max(|x|, 1e-12), as torch.nn.functional.normalize */
static int unit_length(rt_builder *b, int x) {
    int squares = rt_emit2(b, RT_OP_MUL, "head.unit", "square", x, x);
    int sum = rt_emit_reduce(b, RT_OP_REDUCE_SUM, "head.unit", "sum", squares, -1, true);
    int length = rt_emit1(b, RT_OP_SQRT, "head.unit", "sqrt", sum);
    int clamped = rt_emit_by(b, RT_OP_MAX, "head.unit", "clamp", length, 1e-12f);
    return rt_emit2(b, RT_OP_DIV, "head.unit", "div", x, clamped);
}

static int embed_head(rt_builder *b, int hidden) {
    const rt_encoder *encoder = b->encoder;
    rt_pooling pooling = encoder->config.pooling;
    int x = pooling == RT_POOL_CLS   ? first_row(b, hidden)
            : pooling == RT_POOL_MAX ? max_pool(b, hidden)
                                     : mean_pool(b, hidden);
    if (encoder->parts[RT_ROLE_OUTPUT].weight != NULL) {
        x = rt_emit_linear(b, "head.output", &encoder->parts[RT_ROLE_OUTPUT], x);
        x = rt_emit_activation(b, "head.output", encoder->dense_activation, x);
    }
    return encoder->config.normalize ? unit_length(b, x) : x;
}

int rt_build_head(rt_builder *b, int hidden) {
    static int (*const heads[])(rt_builder *, int) = {
        [RETORT_TASK_CLASSIFY] = classify_head, [RETORT_TASK_TAG] = row_head,
        [RETORT_TASK_ANSWER] = row_head,        [RETORT_TASK_FILL] = fill_head,
        [RETORT_TASK_EMBED] = embed_head,
    };
    return heads[b->encoder->config.task](b, hidden);
}
