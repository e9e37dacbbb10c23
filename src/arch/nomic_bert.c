/* SPDX-License-Identifier: Apache-2.0
 * NomicBERT: BERT with rotary positions instead of a table, gates, and no biases but those of LayerNorm. Its hub files spell
 * sizes as GPT-2 does. */
#include "arch/builder.h"
#include "arch/config_values.h"

#include <string.h>

/* Options of the files on the hub that make another network, and what they must be. */
static retort_status refuse_options(const rt_config_source *from, retort_error *err) {
    static const struct {
        const char *key;
        bool wanted;
    } flags[] = {{"rotary_emb_interleaved", false},
                 {"prenorm", false},
                 {"use_rms_norm", false},
                 {"parallel_block", false},
                 {"qkv_proj_bias", false},
                 {"mlp_fc1_bias", false},
                 {"mlp_fc2_bias", false},
                 {"expert_choice_router", false},
                 {"causal", false}};
    /* xPos, and NTK that grows with the text */
    static const char *const scalings[] = {"rotary_emb_scale_base", "rotary_scaling_factor"};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        bool value = flags[i].wanted;
        retort_status status = rt_config_flag(from, flags[i].key, &value, err);
        if (status != RETORT_OK) return status;
        if (value != flags[i].wanted)
            return rt_fail(err, RETORT_UNSUPPORTED, "%s: '%s' is %s: another network, which is not supported",
                           from->name, flags[i].key, value ? "true" : "false");
    }
    for (size_t i = 0; i < sizeof scalings / sizeof *scalings; i++) {
        const json_t *value = json_object_get(from->root, scalings[i]);
        if (value != NULL && !json_is_null(value))
            return rt_fail(err, RETORT_UNSUPPORTED,
                           "%s: '%s' is not null: another network, which is not supported", from->name,
                           scalings[i]);
    }
    int64_t experts = 0;
    double fraction = 1;
    retort_status status = rt_config_integer(from, "num_experts", 0, 0, &experts, err);
    return status == RETORT_OK ? rt_config_real(from, from->root, "rotary_emb_fraction", 1, 1, &fraction, err)
                               : status;
}

/* swiglu and geglu name what is activated. */
static retort_status read_activation(rt_config *out, const rt_config_source *from, retort_error *err) {
    const char *old = json_string_value(json_object_get(from->root, "activation_function"));
    out->activation = RT_FN_SILU;
    if (json_object_get(from->root, "hidden_act") != NULL || old == NULL || strcmp(old, "swiglu") == 0)
        return rt_config_activation(from, "hidden_act", &out->activation, err);
    return rt_fail(err, RETORT_UNSUPPORTED, "%s: activation_function '%.40s'; known is swiglu", from->name,
                   old);
}

static retort_status configure(rt_config *out, const rt_config_source *from, retort_error *err) {
    double theta = 1000, epsilon = 1e-12;
    const json_t *rope = NULL;
    out->unbiased = RT_ATTENTION_ROLES | RT_FFN_ROLES;
    retort_status status = refuse_options(from, err);
    if (status == RETORT_OK) status = read_activation(out, from, err);
    if (status == RETORT_OK)
        status = rt_config_real(from, from->root, "layer_norm_epsilon", 1e-30, 0.1, &epsilon, err);
    if (status == RETORT_OK)
        status = rt_config_real(from, from->root, "layer_norm_eps", 1e-30, 0.1, &epsilon, err);
    if (status == RETORT_OK)
        status = rt_config_real(from, from->root, "rotary_emb_base", 1, 1e12, &theta, err);
    if (status == RETORT_OK) status = rt_config_real(from, from->root, "rope_theta", 1, 1e12, &theta, err);
    if (status == RETORT_OK) status = rt_config_integer(from, "head_dim", 1, 1 << 12, &out->dim, err);
    if (status == RETORT_OK) status = rt_config_rope(from, &rope, err);
    out->epsilon = (float)epsilon;
    if (status != RETORT_OK) return status;
    return rt_config_angles(out, from, rope, theta, &out->angles[0], err);
}

const rt_arch rt_arch_nomic_bert = {
    .type = "nomic_bert",
    .prefix = "NomicBert",
    .keys = {RT_BERT_KEYS},
    .old_keys = {[RT_KEY_LAYERS] = "n_layer",
                 [RT_KEY_HIDDEN] = "n_embd",
                 [RT_KEY_HEADS] = "n_head",
                 [RT_KEY_FFN] = "n_inner",
                 [RT_KEY_POSITIONS] = "n_positions"},
    .defaults = {[RT_KEY_TYPES] = 2},
    .base = "nomic_bert.",
    .layer = "encoder.layers.",
    .names = {[RT_ROLE_WORD] = "embeddings.word_embeddings",
              [RT_ROLE_TYPE] = "embeddings.token_type_embeddings",
              [RT_ROLE_EMBEDDING_NORM] = "emb_ln",
              [RT_ROLE_Q] = "attn.Wqkv",
              [RT_ROLE_K] = "attn.Wqkv",
              [RT_ROLE_V] = "attn.Wqkv",
              [RT_ROLE_OUT] = "attn.out_proj",
              [RT_ROLE_ATTENTION_NORM] = "norm1",
              [RT_ROLE_LIN1] = "mlp.fc12",
              [RT_ROLE_UP] = "mlp.fc11",
              [RT_ROLE_LIN2] = "mlp.fc2",
              [RT_ROLE_OUTPUT_NORM] = "norm2"},
    .parts = {[RT_ROLE_Q] = {0, 3}, [RT_ROLE_K] = {1, 3}, [RT_ROLE_V] = {2, 3}},
    .heads = {[RETORT_TASK_CLASSIFY] =
                  {.dense = "pooler.dense", .activation = RT_FN_TANH, .output = "classifier", .pooler = true},
              [RETORT_TASK_TAG] = {.output = "classifier"},
              [RETORT_TASK_FILL] = {.dense = "cls.predictions.transform.dense",
                                    .norm = "cls.predictions.transform.layer_norm",
                                    .output = "cls.predictions.decoder",
                                    .old_bias = "cls.predictions.bias"}},
    .pretraining = RETORT_TASK_FILL,
    .configure = configure,
    .mask = rt_rotary_mask,
    .scores = rt_bert_scores,
};
