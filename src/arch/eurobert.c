/* SPDX-License-Identifier: Apache-2.0
 * EuroBERT: an encoder with the layers of Llama: RMS norms before each part, rotary positions, fewer heads of keys and values
 * than of queries, gates; embeddings without a norm. */
#include "arch/builder.h"
#include "arch/config_values.h"

#include <inttypes.h>
#include <string.h>

/* Heads of keys and values, and columns of a head. */
static retort_status read_heads(rt_config *out, const rt_config_source *from, retort_error *err) {
    retort_status status =
        rt_config_integer(from, "num_key_value_heads", 1, out->heads, &out->key_heads, err);
    if (status == RETORT_OK) status = rt_config_integer(from, "head_dim", 1, 1 << 12, &out->dim, err);
    if (status != RETORT_OK || out->heads % out->key_heads == 0) return status;
    return rt_fail(err, RETORT_FORMAT,
                   "%s: %" PRId64 " heads cannot be divided by %" PRId64 " of keys ('num_key_value_heads')",
                   from->name, out->heads, out->key_heads);
}

static retort_status read_biases(rt_config *out, const rt_config_source *from, retort_error *err) {
    bool attention = false, mlp = false;
    out->unbiased = 1 << RT_ROLE_ATTENTION_NORM | 1 << RT_ROLE_OUTPUT_NORM | 1 << RT_ROLE_FINAL_NORM;
    retort_status status = rt_config_flag(from, "attention_bias", &attention, err);
    if (status == RETORT_OK) status = rt_config_flag(from, "mlp_bias", &mlp, err);
    if (!attention) out->unbiased |= RT_ATTENTION_ROLES;
    if (!mlp) out->unbiased |= RT_FFN_ROLES;
    if (!mlp && out->task == RETORT_TASK_FILL) out->unbiased |= 1 << RT_ROLE_OUTPUT;
    return status;
}

/* The files on the hub have another key. */
static retort_status read_pooling(rt_config *out, const rt_config_source *from, retort_error *err) {
    const char *key =
        rt_config_value(from->root, "classifier_pooling") != NULL ? "classifier_pooling" : "clf_pooling";
    const json_t *value = rt_config_value(from->root, key);
    const char *text = value != NULL ? json_string_value(value) : "late";
    out->late = text != NULL && strcmp(text, "late") == 0;
    out->mean = text != NULL && strcmp(text, "mean") == 0;
    if (out->late || out->mean || (text != NULL && strcmp(text, "bos") == 0)) return RETORT_OK;
    return rt_fail(err, RETORT_UNSUPPORTED, "%s: %s '%.40s'; known are bos, mean, late", from->name, key,
                   text != NULL ? text : "");
}

static retort_status configure(rt_config *out, const rt_config_source *from, retort_error *err) {
    double theta = 10000;
    const json_t *rope = NULL;
    retort_status status = read_heads(out, from, err);
    if (status == RETORT_OK) status = read_biases(out, from, err);
    if (status == RETORT_OK) status = read_pooling(out, from, err);
    if (status == RETORT_OK) status = rt_config_real(from, from->root, "rope_theta", 1, 1e12, &theta, err);
    if (status == RETORT_OK) status = rt_config_rope(from, &rope, err);
    return status == RETORT_OK ? rt_config_angles(out, from, rope, theta, &out->angles[0], err) : status;
}

const rt_arch rt_arch_eurobert = {
    .type = "eurobert",
    .prefix = "EuroBert",
    .keys = {RT_UNTYPED_KEYS},
    .activation_key = "hidden_act",
    .activation_default = "silu",
    .epsilon_key = "rms_norm_eps",
    .epsilon_default = 1e-5F,
    .base = "model.",
    .layer = "layers.",
    .rms = true,
    .untied = true,
    .names = {[RT_ROLE_WORD] = "embed_tokens",
              [RT_ROLE_FINAL_NORM] = "norm",
              [RT_ROLE_Q] = "self_attn.q_proj",
              [RT_ROLE_K] = "self_attn.k_proj",
              [RT_ROLE_V] = "self_attn.v_proj",
              [RT_ROLE_OUT] = "self_attn.o_proj",
              [RT_ROLE_ATTENTION_NORM] = "input_layernorm",
              [RT_ROLE_LIN1] = "mlp.gate_proj",
              [RT_ROLE_UP] = "mlp.up_proj",
              [RT_ROLE_LIN2] = "mlp.down_proj",
              [RT_ROLE_OUTPUT_NORM] = "post_attention_layernorm"},
    .heads = {[RETORT_TASK_CLASSIFY] = {.dense = "dense", .activation = RT_FN_GELU, .output = "classifier"},
              [RETORT_TASK_TAG] = {.output = "classifier"},
              [RETORT_TASK_FILL] = {.output = "lm_head"}},
    .pretraining = RETORT_TASK_FILL,
    .configure = configure,
    .mask = rt_rotary_mask,
    .scores = rt_bert_scores,
    .layer_of = rt_build_pre_norm,
};
