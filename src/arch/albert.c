/* SPDX-License-Identifier: Apache-2.0
 * ALBERT: BERT whose layers share their weights. Layers are in groups, and a group has one or several inner layers, which
 * run one after the other. Embeddings have a width of their own and are always projected. */
#include "arch/builder.h"
#include "arch/config_values.h"

#include <inttypes.h>
#include <stdio.h>

/* transformers' AlbertTransformer: layer i is of group int(i / (layers / groups)), divided as floating point. A layer
 * of ours is an inner one. */
static void layer_stem(char *out, size_t size, const rt_config *config, int64_t index) {
    int64_t layer = index / config->inner, layers = config->layers / config->inner;
    double apart = (double)layers / (double)config->groups;
    snprintf(out, size, "encoder.albert_layer_groups.%" PRId64 ".albert_layers.%" PRId64 ".",
             (int64_t)((double)layer / apart), index % config->inner);
}

static retort_status count_layers(rt_config *out, const rt_config_source *from, retort_error *err) {
    if (out->groups > out->layers) {
        return rt_fail(err, RETORT_FORMAT, "%s: %" PRId64 " groups of %" PRId64 " layers", from->name,
                       out->groups, out->layers);
    }
    out->layers *= out->inner;
    return RETORT_OK;
}

const rt_arch rt_arch_albert = {
    .type = "albert",
    .prefix = "Albert",
    .keys = {RT_BERT_KEYS, [RT_KEY_EMBEDDING] = "embedding_size", [RT_KEY_GROUPS] = "num_hidden_groups",
             [RT_KEY_INNER] = "inner_group_num"},
    .defaults = {[RT_KEY_EMBEDDING] = 128, [RT_KEY_GROUPS] = 1, [RT_KEY_INNER] = 1},
    .activation_key = "hidden_act",
    .activation_default = "gelu_new",
    .epsilon_key = "layer_norm_eps",
    .base = "albert.",
    .layer_stem = layer_stem,
    .projects = true,
    .configure = count_layers,
    .names = {[RT_ROLE_WORD] = "embeddings.word_embeddings",
              [RT_ROLE_POSITION] = "embeddings.position_embeddings",
              [RT_ROLE_TYPE] = "embeddings.token_type_embeddings",
              [RT_ROLE_EMBEDDING_NORM] = "embeddings.LayerNorm",
              [RT_ROLE_PROJECTION] = "encoder.embedding_hidden_mapping_in",
              [RT_ROLE_Q] = "attention.query",
              [RT_ROLE_K] = "attention.key",
              [RT_ROLE_V] = "attention.value",
              [RT_ROLE_OUT] = "attention.dense",
              [RT_ROLE_ATTENTION_NORM] = "attention.LayerNorm",
              [RT_ROLE_LIN1] = "ffn",
              [RT_ROLE_LIN2] = "ffn_output",
              [RT_ROLE_OUTPUT_NORM] = "full_layer_layer_norm"},
    .heads = {[RETORT_TASK_CLASSIFY] =
                  {.dense = "pooler", .activation = RT_FN_TANH, .output = "classifier", .pooler = true},
              [RETORT_TASK_TAG] = {.output = "classifier"},
              [RETORT_TASK_ANSWER] = {.output = "qa_outputs"},
              [RETORT_TASK_FILL] = {.dense = "predictions.dense",
                                    .norm = "predictions.LayerNorm",
                                    .output = "predictions.decoder",
                                    .old_bias = "predictions.bias"}},
    .pretraining = RETORT_TASK_FILL,
    .mask = rt_bert_mask,
    .scores = rt_bert_scores,
};
