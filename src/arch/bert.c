/* SPDX-License-Identifier: Apache-2.0
 * BERT, and what descends from it: token types, scores divided by sqrt(dim), a mask that is added. */
#include "arch/builder.h"

#include <float.h>
#include <math.h>

/* (1 - mask) * the least float, [batch, 1, 1, seq] */
int rt_bert_mask(rt_builder *b) {
    int wide = b->mask;
    int64_t axes[] = {1, 2};
    wide = rt_emit2(b, RT_OP_UNSQUEEZE, "mask", "heads", wide,
                    rt_emit_indices(b, "mask", "heads.axes", 1, &axes[0]));
    wide = rt_emit2(b, RT_OP_UNSQUEEZE, "mask", "queries", wide,
                    rt_emit_indices(b, "mask", "queries.axes", 1, &axes[1]));
    wide = rt_emit(b, RT_OP_CAST, "mask", "cast", 1, &wide, &(rt_attrs){.dtype = RETORT_F32});
    int padding = rt_emit2(b, RT_OP_SUB, "mask", "sub", rt_emit_scalar(b, "mask", "sub.value", 1), wide);
    return rt_emit_by(b, RT_OP_MUL, "mask", "mul", padding, -FLT_MAX);
}

int rt_bert_scores(rt_builder *b, const char *scope, int q, int k) {
    int scores = rt_emit2(b, RT_OP_MATMUL, scope, "scores", q, k);
    int scaled = rt_emit_by(b, RT_OP_DIV, scope, "scale", scores, sqrtf((float)rt_head_dim(b)));
    return rt_emit2(b, RT_OP_ADD, scope, "masked", scaled, b->key_mask);
}

const rt_arch rt_arch_bert = {
    .type = "bert",
    .prefix = "Bert",
    .keys = {RT_BERT_KEYS},
    .activation_key = "hidden_act",
    .epsilon_key = "layer_norm_eps",
    .base = "bert.",
    .layer = "encoder.layer.",
    .names = {RT_BERT_NAMES},
    .heads = {[RETORT_TASK_CLASSIFY] =
                  {.dense = "pooler.dense", .activation = RT_FN_TANH, .output = "classifier", .pooler = true},
              [RETORT_TASK_TAG] = {.output = "classifier"},
              [RETORT_TASK_ANSWER] = {.output = "qa_outputs"},
              [RETORT_TASK_FILL] = {.dense = "cls.predictions.transform.dense",
                                    .norm = "cls.predictions.transform.LayerNorm",
                                    .output = "cls.predictions.decoder",
                                    .old_bias = "cls.predictions.bias"}},
    .pretraining = RETORT_TASK_FILL,
    .mask = rt_bert_mask,
    .scores = rt_bert_scores,
};
