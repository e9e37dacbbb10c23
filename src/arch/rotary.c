/* SPDX-License-Identifier: Apache-2.0
 * What config.json of networks with rotary positions says beside their sizes. */
#include "arch/config_values.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const json_t *value_of(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

retort_status rt_config_flag(const rt_config_source *from, const char *key, bool *value, retort_error *err) {
    const json_t *found = value_of(from->root, key);
    if (found == NULL) return RETORT_OK;
    if (!json_is_boolean(found))
        return rt_fail(err, RETORT_FORMAT, "%s: '%s' is neither true nor false", from->name, key);
    *value = json_is_true(found);
    return RETORT_OK;
}

retort_status rt_config_integer(const rt_config_source *from, const char *key, int64_t min, int64_t max,
                                int64_t *value, retort_error *err) {
    const json_t *found = value_of(from->root, key);
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
    const json_t *found = value_of(object, key);
    if (found == NULL) return RETORT_OK;
    double x = json_number_value(found);
    if (!json_is_number(found) || !(x >= min && x <= max))
        return rt_fail(err, RETORT_FORMAT, "%s: '%s': expected a number from %g to %g", from->name, key, min,
                       max);
    *value = x;
    return RETORT_OK;
}

retort_status rt_config_object(const rt_config_source *from, const json_t *object, const char *key,
                               const json_t **value, retort_error *err) {
    *value = value_of(object, key);
    if (*value == NULL || json_is_object(*value)) return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT, "%s: '%s' is not an object", from->name, key);
}

retort_status rt_config_rope(const rt_config_source *from, const json_t **rope, retort_error *err) {
    const json_t *parameters;
    retort_status status = rt_config_object(from, from->root, "rope_parameters", &parameters, err);
    if (status == RETORT_OK) status = rt_config_object(from, from->root, "rope_scaling", rope, err);
    if (status == RETORT_OK && *rope == NULL) *rope = parameters;
    return status;
}

/* How angles are scaled: `by` divides all of them. */
typedef struct scaling {
    double theta, by;
} scaling;

/* NTK as the first GTE models have it: a base larger by the factor, and angles smaller by a root of it, at every length. */
static retort_status read_scaling(scaling *out, const rt_config_source *from, const json_t *rope, int64_t dim,
                                  retort_error *err) {
    const char *key = value_of(rope, "rope_type") != NULL ? "rope_type" : "type";
    const json_t *named = value_of(rope, key);
    const char *type = named == NULL ? "default" : json_string_value(named);
    double factor = 1;
    retort_status status = rt_config_real(from, rope, "factor", 1e-3, 1e6, &factor, err);
    if (status == RETORT_OK) status = rt_config_real(from, rope, "rope_theta", 1, 1e12, &out->theta, err);
    if (status == RETORT_OK)
        status = rt_config_real(from, rope, "partial_rotary_factor", 1, 1, &(double){1}, err);
    if (status != RETORT_OK) return status;
    out->by = 1;
    if (type != NULL && strcmp(type, "default") == 0) return RETORT_OK;
    if (type != NULL && strcmp(type, "linear") == 0) {
        out->by = factor;
        return RETORT_OK;
    }
    if (type != NULL && strcmp(type, "ntk") == 0) {
        out->theta *= factor;
        out->by = pow(factor, 2 / (double)dim);
        return RETORT_OK;
    }
    return rt_fail(err, RETORT_UNSUPPORTED,
                   "%s: %s '%.40s' of rotary positions; known are default, linear, ntk", from->name, key,
                   type != NULL ? type : "");
}

/* PyTorch's powers are of floats: theta ** (2i / dim), then one divided by them. */
retort_status rt_config_angles(rt_config *out, const rt_config_source *from, const json_t *rope, double theta,
                               const float **angles, retort_error *err) {
    int64_t dim = out->hidden / out->heads;
    scaling s = {.theta = theta};
    if (dim % 2 != 0)
        return rt_fail(err, RETORT_FORMAT, "%s: heads of %" PRId64 " columns have no pairs to rotate",
                       from->name, dim);
    retort_status status = read_scaling(&s, from, rope, dim, err);
    if (status != RETORT_OK) return status;
    float *made = rt_arena_calloc(from->arena, (size_t)dim / 2, sizeof *made);
    if (made == NULL) return rt_fail_nomem(err, (size_t)dim / 2 * sizeof *made);
    for (int64_t i = 0; i < dim / 2; i++) {
        float power = (float)pow((double)(float)s.theta, (double)((float)(2 * i) / (float)dim));
        made[i] = 1.0F / power / (float)s.by;
    }
    *angles = made;
    return RETORT_OK;
}
