/* SPDX-License-Identifier: Apache-2.0
 * GTE (gte-*-v1.5, gte-multilingual, Snowflake's Arctic M v2): BERT with rotary positions and gates, whose two matrices have
 * no bias. On the hub its model_type is "new". */
#include "arch/builder.h"
#include "arch/config_values.h"

#include <string.h>

/* The code of these models has two more kinds of positions, and one of norms, that no model on the hub has. */
static retort_status refuse_variants(const rt_config_source *from, retort_error *err) {
    static const struct {
        const char *key, *wanted;
    } rows[] = {{"position_embedding_type", "rope"}, {"layer_norm_type", "layer_norm"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const json_t *value = json_object_get(from->root, rows[i].key);
        const char *text = json_string_value(value);
        if (value == NULL || (text != NULL && strcmp(text, rows[i].wanted) == 0)) continue;
        return rt_fail(err, RETORT_UNSUPPORTED, "%s: %s '%.40s'; known is %s", from->name, rows[i].key,
                       text != NULL ? text : "", rows[i].wanted);
    }
    return RETORT_OK;
}

static retort_status configure(rt_config *out, const rt_config_source *from, retort_error *err) {
    double theta = 160000;
    bool logn = false;
    const json_t *rope = NULL;
    out->unbiased = 1 << RT_ROLE_LIN1 | 1 << RT_ROLE_UP;
    retort_status status = rt_config_flag(from, "logn_attention_scale", &logn, err);
    if (status == RETORT_OK && logn)
        status = rt_fail(err, RETORT_UNSUPPORTED,
                         "%s: 'logn_attention_scale' is true, which is not supported", from->name);
    if (status == RETORT_OK) status = refuse_variants(from, err);
    if (status == RETORT_OK) status = rt_config_real(from, from->root, "rope_theta", 1, 1e12, &theta, err);
    if (status == RETORT_OK) status = rt_config_rope(from, &rope, err);
    if (status != RETORT_OK) return status;
    return rt_config_angles(out, from, rope, theta, &out->angles[0], err);
}

#define GTE(type_name, class_prefix, name)                                                                   \
    {                                                                                                        \
        .type = (type_name), .prefix = (class_prefix), .keys = {RT_BERT_KEYS},                               \
        .defaults = {[RT_KEY_TYPES] = 1}, .activation_key = "hidden_act", .activation_default = "gelu",      \
        .epsilon_key = "layer_norm_eps", .base = name ".", .layer = "encoder.layer.",                        \
        .names = {[RT_ROLE_WORD] = "embeddings.word_embeddings",                                             \
                  [RT_ROLE_TYPE] = "embeddings.token_type_embeddings",                                       \
                  [RT_ROLE_EMBEDDING_NORM] = "embeddings.LayerNorm",                                         \
                  [RT_ROLE_Q] = "attention.qkv_proj",                                                        \
                  [RT_ROLE_K] = "attention.qkv_proj",                                                        \
                  [RT_ROLE_V] = "attention.qkv_proj",                                                        \
                  [RT_ROLE_OUT] = "attention.o_proj",                                                        \
                  [RT_ROLE_ATTENTION_NORM] = "attn_ln",                                                      \
                  [RT_ROLE_LIN1] = "mlp.up_gate_proj",                                                       \
                  [RT_ROLE_UP] = "mlp.up_gate_proj",                                                         \
                  [RT_ROLE_LIN2] = "mlp.down_proj",                                                          \
                  [RT_ROLE_OUTPUT_NORM] = "mlp_ln"},                                                         \
        .parts = {[RT_ROLE_Q] = {0, 3},                                                                      \
                  [RT_ROLE_K] = {1, 3},                                                                      \
                  [RT_ROLE_V] = {2, 3},                                                                      \
                  [RT_ROLE_UP] = {0, 2},                                                                     \
                  [RT_ROLE_LIN1] = {1, 2}},                                                                  \
        .heads = {[RETORT_TASK_CLASSIFY] = {.dense = "pooler.dense",                                         \
                                            .activation = RT_FN_TANH,                                        \
                                            .output = "classifier",                                          \
                                            .pooler = true},                                                 \
                  [RETORT_TASK_TAG] = {.output = "classifier"},                                              \
                  [RETORT_TASK_FILL] = {.dense = "lm_head.dense",                                            \
                                        .activation = RT_FN_GELU,                                            \
                                        .norm = "lm_head.norm",                                              \
                                        .output = "lm_head.decoder",                                         \
                                        .old_bias = "lm_head.bias"}},                                        \
        .pretraining = RETORT_TASK_FILL, .configure = configure, .mask = rt_rotary_mask,                     \
        .scores = rt_bert_scores,                                                                            \
    }

const rt_arch rt_arch_gte = GTE("gte", "Gte", "gte");
const rt_arch rt_arch_gte_new = GTE("new", "New", "new");
