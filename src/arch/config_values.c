/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/config_values.h"

#include <string.h>

/* One row per spelling in transformers' ACT2FN. */
static const struct {
    const char *name;
    rt_act activation;
} activations[] = {
    {"gelu", RT_FN_GELU},           {"gelu_python", RT_FN_GELU},
    {"gelu_new", RT_FN_GELU_TANH},  {"gelu_pytorch_tanh", RT_FN_GELU_TANH},
    {"gelu_fast", RT_FN_GELU_TANH}, {"relu", RT_FN_RELU},
    {"silu", RT_FN_SILU},           {"swish", RT_FN_SILU},
    {"tanh", RT_FN_TANH},
};

retort_status rt_config_activation_named(const rt_config_source *from, const char *key, const char *name,
                                         rt_act *value, retort_error *err) {
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++) {
        if (strcmp(name, activations[i].name) != 0) continue;
        *value = activations[i].activation;
        return RETORT_OK;
    }
    return rt_fail(err, RETORT_UNSUPPORTED, "%s: %s '%.60s'; known are gelu, gelu_new, gelu_fast, relu, silu",
                   from->name, key, name);
}

retort_status rt_config_activation(const rt_config_source *from, const char *key, rt_act *value,
                                   retort_error *err) {
    const json_t *found = json_object_get(from->root, key);
    const char *text = json_string_value(found);
    if (found == NULL) return RETORT_OK;
    if (text == NULL)
        return rt_fail(err, RETORT_FORMAT, "%s: '%s' is missing or not a string", from->name, key);
    return rt_config_activation_named(from, key, text, value, err);
}
