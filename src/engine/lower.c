/* SPDX-License-Identifier: Apache-2.0
 * Lowers graph nodes to steps. Fused operators have a function each; plain ones run as plain C. */
#include "engine/step.h"

#include <string.h>

typedef retort_status (*lower_fn)(rt_plan *plan, rt_step *step, const rt_kernels *kernels, retort_error *err);

static const rt_value *value_of(const rt_plan *plan, const rt_place *place) {
    return &plan->graph->values[place->value];
}

static size_t last_dim(const rt_plan *plan, const rt_place *place) {
    const rt_value *value = value_of(plan, place);
    return (size_t)value->dims[value->rank - 1];
}

/* Weights of graphs below level 3 are row-major [k, n]: packed here, into the plan. */
static retort_status packed_weight(rt_plan *plan, rt_step *step, retort_error *err) {
    rt_linear_step *linear = &step->as.linear;
    const rt_value *weight = value_of(plan, &step->in[LINEAR_WEIGHT]);
    linear->weight = weight->data;
    if (weight->layout != RT_LAYOUT_ROWS) return RETORT_OK;
    size_t count;
    float *packed = NULL;
    if (rt_pack_count_f32(linear->k, linear->n, &count))
        packed = rt_arena_calloc(&plan->memory, count, sizeof *packed);
    if (packed == NULL) return rt_fail_nomem(err, linear->k * linear->n * sizeof *packed);
    rt_pack_f32(linear->k, linear->n, weight->data, linear->n, 1, packed);
    linear->weight = packed;
    return RETORT_OK;
}

/* Chooses the kernel for the layout of the weight, and the sizes of its panels. Weights below level 3 are
 * packed as f32. */
static void choose_gemm(const rt_plan *plan, rt_step *step, const rt_kernels *kernels, rt_layout layout) {
    rt_linear_step *linear = &step->as.linear;
    size_t k = linear->k;
    step->run = rt_step_linear;
    linear->x_size = layout == RT_LAYOUT_P16_BF16 ? sizeof(uint16_t) : sizeof(float);
    if (layout == RT_LAYOUT_P16_BF16) {
        step->arithmetic = RETORT_BF16;
        linear->gemm = kernels->gemm_bf16;
        step->kernel = kernels->gemm_bf16_name;
        linear->panel_bytes = (k + 1) / 2 * RT_PANEL * 2 * sizeof(uint16_t);
    } else if (layout == RT_LAYOUT_P16_S8 || layout == RT_LAYOUT_P16_S4) {
        bool s8 = layout == RT_LAYOUT_P16_S8;
        step->run = rt_step_linear_q;
        step->arithmetic = RETORT_S8;
        step->four_bits = !s8;
        linear->gemm_q = s8 ? kernels->gemm_s8 : kernels->gemm_s4;
        step->kernel = s8 ? kernels->gemm_s8_name : kernels->gemm_s4_name;
        linear->panel_bytes = s8 ? (k + 3) / 4 * RT_PANEL * 4 : (k + 7) / 8 * RT_PANEL * 4;
        linear->panel_groups = s8 ? 0 : (k + linear->group - 1) / linear->group * RT_PANEL;
        linear->x_scale_at = rt_row_scales_at(plan, k * linear->blocks);
    } else {
        linear->gemm = kernels->gemm_f32;
        step->kernel = kernels->gemm_f32_name;
        linear->panel_bytes = k * RT_PANEL * sizeof(float);
    }
}

/* Int8 panels of codes, where the plan has them and they are faster. */
static void unpack(const rt_plan *plan, rt_step *step, const rt_kernels *kernels) {
    rt_linear_step *linear = &step->as.linear;
    const rt_unpacking *how = &plan->unpacking;
    if (how->set == NULL || (kernels->gemm_s4_few == SIZE_MAX && !how->all)) return;
    linear->unpacked = rt_unpacked_find(how->set, plan->graph, step->node);
    if (linear->unpacked == NULL) return;
    linear->widen = kernels->widen_s4;
    linear->gemm_s8 = kernels->gemm_s8;
    linear->few = how->all || how->cached ? 0 : kernels->gemm_s4_few;
    step->kernel = kernels->gemm_s8_name;
    step->four_bits = false;
}

/* Rounding to bf16 costs more than the short form of GELU: 2^-9 of the output, from 0.04 on more than its error. What a
 * product of integers makes is rounded to int8 next. */
static rt_act short_act(const rt_node *node, const rt_value *weight) {
    rt_act act = node->attrs.act;
    bool rounded = node->attrs.out_dtype == RETORT_BF16 || rt_linear_input(weight) == RETORT_S8;
    return act == RT_FN_GELU && rounded ? RT_FN_GELU_SHORT : act;
}

static retort_status lower_linear(rt_plan *plan, rt_step *step, const rt_kernels *kernels,
                                  retort_error *err) {
    const rt_value *weight = value_of(plan, &step->in[LINEAR_WEIGHT]);
    size_t bytes = 0;
    step->as.linear = (rt_linear_step){
        .k = (size_t)weight->dims[0],
        .n = (size_t)weight->dims[1],
        .group = (size_t)step->node->attrs.group,
        .act = short_act(step->node, weight),
        .bf16_out = step->node->attrs.out_dtype == RETORT_BF16,
        .blocks = rt_max((size_t)step->node->attrs.heads, 1),
    };
    choose_gemm(plan, step, kernels, weight->layout);
    if (weight->layout == RT_LAYOUT_P16_S4) {
        bool outliers = step->in[LINEAR_OUTLIERS].value >= 0;
        if (outliers) step->as.linear.outliers = (size_t)value_of(plan, &step->in[LINEAR_OUTLIERS])->dims[0];
        size_t scratch = rt_gemm_q_scratch(step->as.linear.k) + plan->capacity * step->as.linear.outliers;
        plan->scratch_floats = rt_max(plan->scratch_floats, (scratch + sizeof(float) - 1) / sizeof(float));
        unpack(plan, step, kernels);
    }
    if (rt_value_bytes(weight, &bytes)) step->weight_bytes = bytes;
    step->flops_row = 2.0 * (double)weight->dims[0] * (double)weight->dims[1];
    retort_status status = rt_lower_pairs(plan, step, kernels, err);
    return status == RETORT_OK ? packed_weight(plan, step, err) : status;
}

/* The static range of the rows that a step rounds to s8, if it has one. */
static void set_range(rt_step *step) {
    const rt_attrs *attrs = &step->node->attrs;
    step->range[0] = attrs->range_min;
    step->range[1] = attrs->range_max;
    step->ranged = attrs->range_min < attrs->range_max;
}

/* The LayerNorm of a node, which may be inside an Embed. */
static rt_norm_step norm_step(const rt_plan *plan, const rt_step *step, const rt_kernels *kernels,
                              int channel_scale) {
    size_t n = last_dim(plan, &step->out[0]);
    return (rt_norm_step){
        .norm = kernels->layer_norm,
        .n = n,
        .epsilon = step->node->attrs.epsilon,
        .rms = step->node->attrs.rms,
        .out_dtype = step->node->attrs.out_dtype,
        .scale_at = rt_row_scales_at(plan, n),
        .channel_scale = channel_scale,
    };
}

static retort_status lower_layer_norm(rt_plan *plan, rt_step *step, const rt_kernels *kernels,
                                      retort_error *err) {
    (void)err;
    step->run = rt_step_norm;
    step->kernel = kernels->layer_norm_name;
    step->as.norm = norm_step(plan, step, kernels, LAYER_NORM_CHANNEL_SCALE);
    return RETORT_OK;
}

static retort_status lower_embed(rt_plan *plan, rt_step *step, const rt_kernels *kernels, retort_error *err) {
    (void)err;
    step->run = rt_step_embed;
    step->kernel = kernels->embed_name;
    const rt_value *word = value_of(plan, &step->in[EMBED_WORD]);
    step->as.embed = (rt_embed_step){
        .embed = kernels->embed,
        .norm = norm_step(plan, step, kernels, EMBED_CHANNEL_SCALE),
        .word_bits = word->layout == RT_LAYOUT_ROWS_S4 ? 4
                     : word->dtype == RETORT_S8        ? 8
                                                       : 32,
        .word_group = (size_t)step->node->attrs.group,
    };
    const rt_value *pruned =
        step->in[EMBED_PRUNED].value >= 0 ? value_of(plan, &step->in[EMBED_PRUNED]) : NULL;
    const rt_value *s8_ids =
        step->in[EMBED_S8_IDS].value >= 0 ? value_of(plan, &step->in[EMBED_S8_IDS]) : NULL;
    if (pruned != NULL) step->as.embed.pruned_count = (size_t)pruned->dims[0];
    if (s8_ids != NULL) step->as.embed.s8_count = (size_t)s8_ids->dims[0];
    if (pruned != NULL || s8_ids != NULL) {
        plan->scratch_floats = rt_max(plan->scratch_floats, plan->capacity); /* a row's number each */
    }
    return RETORT_OK;
}

static retort_status lower_attention(rt_plan *plan, rt_step *step, const rt_kernels *kernels,
                                     retort_error *err) {
    const rt_attrs *attrs = &step->node->attrs;
    size_t hidden = last_dim(plan, &step->out[0]);
    if (attrs->heads < 1 || hidden % (size_t)attrs->heads != 0) {
        return rt_fail(err, RETORT_FORMAT, "%s: %zu columns cannot be %lld heads", step->node->name, hidden,
                       (long long)attrs->heads);
    }
    step->run = rt_step_attention;
    step->kernel = kernels->attention_name;
    step->as.attention = (rt_attention_step){
        .attention = kernels->attention,
        .heads = (size_t)attrs->heads,
        .key_heads = (size_t)rt_key_heads(attrs),
        .dim = hidden / (size_t)attrs->heads,
        .scale = attrs->scale == 0.0F ? 1.0F : attrs->scale, /* an absent attribute is zero */
        .parts = attrs->parts,
        .shared = attrs->shared,
        .window = (size_t)attrs->window,
        .select = attrs->select,
        .bf16_out = attrs->out_dtype == RETORT_BF16,
    };
    step->flops_row = 4.0 * (double)hidden;
    size_t dim = step->as.attention.dim, scratch = rt_attention_scratch(plan->positions, dim);
    if (attrs->integers && plan->positions <= RT_ATTENTION_S8_KEYS) {
        step->as.attention.attention_s8 = kernels->attention_s8;
        step->kernel = kernels->attention_s8_name;
        step->arithmetic = RETORT_S8;
        scratch = rt_max(scratch, rt_attention_s8_scratch(plan->positions, dim));
    }
    plan->scratch_floats = rt_max(plan->scratch_floats, scratch);
    return step->in[ATTENTION_INDEX].value >= 0 ? rt_lower_relative(plan, step, err) : RETORT_OK;
}

static retort_status lower_rows(rt_plan *plan, rt_step *step, const rt_kernels *kernels, retort_error *err) {
    (void)err;
    bool max = step->node->attrs.pool == RT_REDUCE_MAX;
    step->as.rows = (rt_rows_step){
        .pool = max ? kernels->pool_max : kernels->pool_mean,
        .normalize = kernels->normalize,
        .to_bf16 = kernels->to_bf16,
        .quantize = kernels->quantize,
        .n = last_dim(plan, &step->out[0]),
        .scale_at = rt_row_scales_at(plan, last_dim(plan, &step->out[0])),
        .select = step->node->attrs.select,
        .kind = step->node->attrs.pool,
    };
    return RETORT_OK;
}

static retort_status lower_select(rt_plan *plan, rt_step *step, const rt_kernels *kernels,
                                  retort_error *err) {
    step->run = rt_step_select;
    step->kernel = "copy";
    return lower_rows(plan, step, kernels, err);
}

static retort_status lower_pool(rt_plan *plan, rt_step *step, const rt_kernels *kernels, retort_error *err) {
    step->run = rt_step_pool;
    step->kernel = step->node->attrs.pool == RT_REDUCE_MAX ? kernels->pool_max_name : kernels->pool_mean_name;
    return lower_rows(plan, step, kernels, err);
}

static retort_status lower_normalize(rt_plan *plan, rt_step *step, const rt_kernels *kernels,
                                     retort_error *err) {
    step->run = rt_step_normalize;
    step->kernel = kernels->normalize_name;
    return lower_rows(plan, step, kernels, err);
}

static retort_status lower_convert(rt_plan *plan, rt_step *step, const rt_kernels *kernels,
                                   retort_error *err) {
    bool s8 = step->node->attrs.out_dtype == RETORT_S8;
    step->run = s8 ? rt_step_quantize : rt_step_to_bf16;
    step->kernel = s8 ? kernels->quantize_name : kernels->to_bf16_name;
    return lower_rows(plan, step, kernels, err);
}

/* NULL: plain operators, which run as plain C. */
static const lower_fn lowers[RT_OP_COUNT] = {
#define LOWER_ROW(name, row) [RT_OP_##name] = lower_##row,
    RT_FUSED_OPS(LOWER_ROW)
#undef LOWER_ROW
};

retort_status rt_lower(rt_plan *plan, rt_step *step, const rt_kernels *kernels, retort_error *err) {
    lower_fn lower = lowers[step->node->op];
    step->arithmetic = RETORT_F32;
    set_range(step);
    bool rows = rt_value_row_set(&plan->graph->values[step->node->outputs[0]], &step->rows);
    if (lower != NULL && !rows) {
        return rt_fail(err, RETORT_FORMAT, "'%s': expected rows of a batch", step->node->name);
    }
    if (lower != NULL) return lower(plan, step, kernels, err);
    step->run = rt_step_plain;
    step->plain = true;
    step->kernel = "plain C";
    return RETORT_OK;
}
