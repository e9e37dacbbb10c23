/* SPDX-License-Identifier: Apache-2.0
 * ELECTRA: BERT with embeddings of their own width, a projection to the hidden size where that differs, and a
 * classification head of two layers. Heads apply gelu whatever hidden_act says. A discriminator as it was
 * pretrained (ElectraForPreTraining) says of each token whether it was replaced: its encoder is read, to embed. */
#include "arch/builder.h"

const rt_arch rt_arch_electra = {
    .type = "electra",
    .prefix = "Electra",
    .keys = {RT_BERT_KEYS, [RT_KEY_EMBEDDING] = "embedding_size"},
    .defaults = {[RT_KEY_EMBEDDING] = 128},
    .activation_key = "hidden_act",
    .epsilon_key = "layer_norm_eps",
    .base = "electra.",
    .layer = "encoder.layer.",
    .names = {RT_BERT_NAMES, [RT_ROLE_PROJECTION] = "embeddings_project"},
    .heads = {[RETORT_TASK_CLASSIFY] = {.dense = "classifier.dense",
                                        .activation = RT_FN_GELU,
                                        .output = "classifier.out_proj"},
              [RETORT_TASK_TAG] = {.output = "classifier"},
              [RETORT_TASK_ANSWER] = {.output = "qa_outputs"},
              [RETORT_TASK_FILL] = {.dense = "generator_predictions.dense",
                                    .activation = RT_FN_GELU,
                                    .norm = "generator_predictions.LayerNorm",
                                    .output = "generator_lm_head"}},
    .pretraining = RETORT_TASK_EMBED,
    .mask = rt_bert_mask,
    .scores = rt_bert_scores,
};
