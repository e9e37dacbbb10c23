/* SPDX-License-Identifier: Apache-2.0
 * RoBERTa: BERT with one token type, positions that start after the padding id, and heads of its own. Positions
 * skip padding in the middle of a text too, where transformers numbers token i pad + #{j <= i: id[j] != pad}:
 * such texts are refused, and all others number from pad + 1 on.
 * XLM-RoBERTa and CamemBERT are the same network, trained on other texts. */
#include "arch/builder.h"

#define ROBERTA(type_name, class_prefix)                                                                     \
    {                                                                                                        \
        .type = (type_name), .prefix = (class_prefix),                                                       \
        .keys = {RT_BERT_KEYS, [RT_KEY_PAD] = "pad_token_id"}, .defaults = {[RT_KEY_PAD] = 1},               \
        .activation_key = "hidden_act", .epsilon_key = "layer_norm_eps", .base = "roberta.",                 \
        .layer = "encoder.layer.", .names = {RT_BERT_NAMES},                                                 \
        .heads = {[RETORT_TASK_CLASSIFY] = {.dense = "classifier.dense",                                     \
                                            .activation = RT_FN_TANH,                                        \
                                            .output = "classifier.out_proj"},                                \
                  [RETORT_TASK_TAG] = {.output = "classifier"},                                              \
                  [RETORT_TASK_ANSWER] = {.output = "qa_outputs"},                                           \
                  [RETORT_TASK_FILL] = {.dense = "lm_head.dense",                                            \
                                        .activation = RT_FN_GELU,                                            \
                                        .norm = "lm_head.layer_norm",                                        \
                                        .output = "lm_head.decoder",                                         \
                                        .old_bias = "lm_head.bias"}},                                        \
        .pretraining = RETORT_TASK_FILL, .mask = rt_bert_mask, .scores = rt_bert_scores,                     \
    }

const rt_arch rt_arch_roberta = ROBERTA("roberta", "Roberta");
const rt_arch rt_arch_xlm_roberta = ROBERTA("xlm-roberta", "XLMRoberta");
const rt_arch rt_arch_camembert = ROBERTA("camembert", "Camembert");
