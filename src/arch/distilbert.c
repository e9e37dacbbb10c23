/* SPDX-License-Identifier: Apache-2.0
 * DistilBERT: no token types, no pooler; queries are divided by sqrt(dim) before the product with the keys. */
#include "arch/builder.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

/* Masked scores are replaced. */
static int scores(rt_builder *b, const char *scope, int q, int k) {
    char mask[RT_SCOPE_MAX + 8];
    snprintf(mask, sizeof mask, "%s.mask", scope);
    q = rt_emit_by(b, RT_OP_DIV, scope, "scale", q, sqrtf((float)rt_head_dim(b)));
    int product = rt_emit2(b, RT_OP_MATMUL, scope, "scores", q, k);
    int padding = rt_emit2(b, RT_OP_EQUAL, mask, "equal", b->mask, rt_emit_index(b, mask, "equal.value", 0));
    int wide = rt_emit_expand(b, mask, padding, 2, (int64_t[]){1, 2}, product);
    return rt_emit(b, RT_OP_WHERE, scope, "masked", 3,
                   (int[]){wide, rt_emit_scalar(b, mask, "value", -FLT_MAX), product}, NULL);
}

const rt_arch rt_arch_distilbert = {
    .type = "distilbert",
    .prefix = "DistilBert",
    .keys = {[RT_KEY_LAYERS] = "n_layers",
             [RT_KEY_HIDDEN] = "dim",
             [RT_KEY_HEADS] = "n_heads",
             [RT_KEY_FFN] = "hidden_dim",
             [RT_KEY_VOCAB] = "vocab_size",
             [RT_KEY_POSITIONS] = "max_position_embeddings"},
    .activation_key = "activation",
    .base = "distilbert.",
    .layer = "transformer.layer.",
    .names = {[RT_ROLE_WORD] = "embeddings.word_embeddings",
              [RT_ROLE_POSITION] = "embeddings.position_embeddings",
              [RT_ROLE_EMBEDDING_NORM] = "embeddings.LayerNorm",
              [RT_ROLE_Q] = "attention.q_lin",
              [RT_ROLE_K] = "attention.k_lin",
              [RT_ROLE_V] = "attention.v_lin",
              [RT_ROLE_OUT] = "attention.out_lin",
              [RT_ROLE_ATTENTION_NORM] = "sa_layer_norm",
              [RT_ROLE_LIN1] = "ffn.lin1",
              [RT_ROLE_LIN2] = "ffn.lin2",
              [RT_ROLE_OUTPUT_NORM] = "output_layer_norm"},
    .heads = {[RETORT_TASK_CLASSIFY] = {.dense = "pre_classifier",
                                        .activation = RT_FN_RELU,
                                        .output = "classifier"},
              [RETORT_TASK_TAG] = {.output = "classifier"},
              [RETORT_TASK_ANSWER] = {.output = "qa_outputs"},
              [RETORT_TASK_FILL] = {.dense = "vocab_transform",
                                    .norm = "vocab_layer_norm",
                                    .output = "vocab_projector"}},
    .pretraining = RETORT_TASK_FILL,
    .scores = scores,
};
