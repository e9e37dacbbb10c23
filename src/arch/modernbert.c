/* SPDX-License-Identifier: Apache-2.0
 * ModernBERT (Ettin, mmBERT, Granite R2 and GTE-ModernBERT are its models): LayerNorm before each part of a layer, none
 * before the first attention; rotary positions; of every three layers, two read only the neighbourhood of a token; gates.
 * Configurations also hold keys of BERT that it does not read, layer_norm_eps and hidden_act among them. */
#include "arch/builder.h"
#include "arch/config_values.h"

#include <inttypes.h>
#include <string.h>

/* Every so many layers one reads all keys, in the spelling before transformers 5. */
static retort_status read_layers(rt_config *out, const rt_config_source *from, retort_error *err) {
    const json_t *types = json_object_get(from->root, "layer_types");
    int64_t every = 3, total = 128;
    retort_status status = rt_config_integer(from, "global_attn_every_n_layers", 1, INT32_MAX, &every, err);
    if (status == RETORT_OK) status = rt_config_integer(from, "local_attention", 2, 1 << 20, &total, err);
    if (status != RETORT_OK) return status;
    if (types != NULL && json_array_size(types) != (size_t)out->layers)
        return rt_fail(err, RETORT_FORMAT, "%s: 'layer_types' does not name %" PRId64 " layers", from->name,
                       out->layers);
    out->window = total / 2;
    out->local = rt_arena_calloc(from->arena, (size_t)out->layers, sizeof *out->local);
    if (out->local == NULL) return rt_fail_nomem(err, (size_t)out->layers);
    for (int64_t i = 0; i < out->layers; i++) {
        const char *type = json_string_value(json_array_get(types, (size_t)i));
        out->local[i] =
            types != NULL ? type != NULL && strcmp(type, "sliding_attention") == 0 : i % every != 0;
        if (types == NULL || out->local[i] || (type != NULL && strcmp(type, "full_attention") == 0)) continue;
        return rt_fail(err, RETORT_UNSUPPORTED,
                       "%s: 'layer_types': '%.40s'; known are full_attention and sliding_attention",
                       from->name, type != NULL ? type : "");
    }
    return RETORT_OK;
}

static retort_status read_rotation(rt_config *out, const rt_config_source *from, retort_error *err) {
    static const char *const types[] = {"full_attention", "sliding_attention"};
    static const char *const keys[] = {"global_rope_theta", "local_rope_theta"};
    double theta[] = {160000, 10000};
    const json_t *rope, *scaling, *own;
    retort_status status = rt_config_object(from, from->root, "rope_parameters", &rope, err);
    if (status == RETORT_OK) status = rt_config_object(from, from->root, "rope_scaling", &scaling, err);
    for (int i = 0; i < 2 && status == RETORT_OK; i++) {
        status = rt_config_object(from, rope, types[i], &own, err);
        if (status == RETORT_OK) status = rt_config_real(from, from->root, keys[i], 1, 1e12, &theta[i], err);
        if (status == RETORT_OK)
            status =
                rt_config_angles(out, from, scaling != NULL ? scaling : own, theta[i], &out->angles[i], err);
    }
    return status;
}

/* The roles that a flag gives biases. */
static retort_status read_biases(rt_config *out, const rt_config_source *from, retort_error *err) {
    enum {
        NORM = 1 << RT_ROLE_EMBEDDING_NORM | 1 << RT_ROLE_ATTENTION_NORM | 1 << RT_ROLE_OUTPUT_NORM |
               1 << RT_ROLE_FINAL_NORM | 1 << RT_ROLE_HEAD_NORM
    };
    static const struct {
        const char *key;
        uint64_t roles;
    } rows[] = {{"attention_bias", RT_ATTENTION_ROLES},
                {"mlp_bias", RT_FFN_ROLES},
                {"norm_bias", NORM},
                {"classifier_bias", 1 << RT_ROLE_DENSE}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool biased = false;
        retort_status status = rt_config_flag(from, rows[i].key, &biased, err);
        if (status != RETORT_OK) return status;
        if (!biased) out->unbiased |= rows[i].roles;
        if (!biased && rows[i].roles == NORM) out->plain_norms = 1;
    }
    bool decoder = true;
    retort_status status = rt_config_flag(from, "decoder_bias", &decoder, err);
    if (!decoder && out->task == RETORT_TASK_FILL) out->unbiased |= 1 << RT_ROLE_OUTPUT;
    return status;
}

static retort_status configure(rt_config *out, const rt_config_source *from, retort_error *err) {
    const json_t *pooling = json_object_get(from->root, "classifier_pooling");
    const char *text = pooling != NULL ? json_string_value(pooling) : "cls";
    out->head_activation = RT_FN_GELU;
    retort_status status = read_layers(out, from, err);
    if (status == RETORT_OK) status = read_rotation(out, from, err);
    if (status == RETORT_OK) status = read_biases(out, from, err);
    if (status == RETORT_OK)
        status = rt_config_activation(from, "classifier_activation", &out->head_activation, err);
    if (status != RETORT_OK) return status;
    out->mean = text != NULL && strcmp(text, "mean") == 0;
    if (out->mean || (text != NULL && strcmp(text, "cls") == 0)) return RETORT_OK;
    return rt_fail(err, RETORT_UNSUPPORTED, "%s: classifier_pooling '%.40s'; known are cls, mean", from->name,
                   text != NULL ? text : "");
}

#define HEAD(layer)                                                                                          \
    { .dense = "head.dense", .norm = "head.norm", .output = (layer) }

const rt_arch rt_arch_modernbert = {
    .type = "modernbert",
    .prefix = "ModernBert",
    .keys = {[RT_KEY_LAYERS] = "num_hidden_layers",
             [RT_KEY_HIDDEN] = "hidden_size",
             [RT_KEY_HEADS] = "num_attention_heads",
             [RT_KEY_FFN] = "intermediate_size",
             [RT_KEY_VOCAB] = "vocab_size",
             [RT_KEY_POSITIONS] = "max_position_embeddings"},
    .activation_key = "hidden_activation",
    .activation_default = "gelu",
    .epsilon_key = "norm_eps",
    .epsilon_default = 1e-5F,
    .base = "model.",
    .layer = "layers.",
    .names = {[RT_ROLE_WORD] = "embeddings.tok_embeddings",
              [RT_ROLE_EMBEDDING_NORM] = "embeddings.norm",
              [RT_ROLE_FINAL_NORM] = "final_norm",
              [RT_ROLE_Q] = "attn.Wqkv",
              [RT_ROLE_K] = "attn.Wqkv",
              [RT_ROLE_V] = "attn.Wqkv",
              [RT_ROLE_OUT] = "attn.Wo",
              [RT_ROLE_ATTENTION_NORM] = "attn_norm",
              [RT_ROLE_LIN1] = "mlp.Wi",
              [RT_ROLE_UP] = "mlp.Wi",
              [RT_ROLE_LIN2] = "mlp.Wo",
              [RT_ROLE_OUTPUT_NORM] = "mlp_norm"},
    .parts = {[RT_ROLE_Q] = {0, 3},
              [RT_ROLE_K] = {1, 3},
              [RT_ROLE_V] = {2, 3},
              [RT_ROLE_LIN1] = {0, 2},
              [RT_ROLE_UP] = {1, 2}},
    .first_without = RT_ROLE_ATTENTION_NORM,
    .heads = {[RETORT_TASK_CLASSIFY] = HEAD("classifier"),
              [RETORT_TASK_TAG] = HEAD("classifier"),
              [RETORT_TASK_ANSWER] = HEAD("classifier"),
              [RETORT_TASK_FILL] = HEAD("decoder")},
    .pretraining = RETORT_TASK_FILL,
    .configure = configure,
    .mask = rt_rotary_mask,
    .scores = rt_bert_scores,
    .layer_of = rt_build_pre_norm,
};
