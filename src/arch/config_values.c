/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/config_values.h"

#include <inttypes.h>
#include <string.h>

const json_t *rt_config_value(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

retort_status rt_config_flag(const rt_config_source *from, const char *key, bool *value, retort_error *err) {
    const json_t *found = rt_config_value(from->root, key);
    if (found == NULL) return RETORT_OK;
    if (!json_is_boolean(found))
        return rt_fail(err, RETORT_FORMAT, "%s: '%s' is neither true nor false", from->name, key);
    *value = json_is_true(found);
    return RETORT_OK;
}

retort_status rt_config_integer(const rt_config_source *from, const char *key, int64_t min, int64_t max,
                                int64_t *value, retort_error *err) {
    const json_t *found = rt_config_value(from->root, key);
    if (found == NULL) return RETORT_OK;
    int64_t n = json_integer_value(found);
    if (!json_is_integer(found) || n < min || n > max)
        return rt_fail(err, RETORT_FORMAT, "%s: '%s': expected an integer from %" PRId64 " to %" PRId64,
                       from->name, key, min, max);
    *value = n;
    return RETORT_OK;
}

retort_status rt_config_real(const rt_config_source *from, const json_t *object, const char *key, double min,
                             double max, double *value, retort_error *err) {
    const json_t *found = rt_config_value(object, key);
    if (found == NULL) return RETORT_OK;
    double x = json_number_value(found);
    if (!json_is_number(found) || !(x >= min && x <= max))
        return rt_fail(err, RETORT_FORMAT,
                       min < max ? "%s: '%s': expected a number from %g to %g"
                                 : "%s: '%s': only %g is supported",
                       from->name, key, min, max);
    *value = x;
    return RETORT_OK;
}

retort_status rt_config_object(const rt_config_source *from, const json_t *object, const char *key,
                               const json_t **value, retort_error *err) {
    *value = rt_config_value(object, key);
    if (*value == NULL || json_is_object(*value)) return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT, "%s: '%s' is not an object", from->name, key);
}

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
