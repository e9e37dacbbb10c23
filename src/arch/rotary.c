/* SPDX-License-Identifier: Apache-2.0
 * What config.json of networks with rotary positions says beside their sizes. */
#include "arch/config_values.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

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
    const char *key = rt_config_value(rope, "rope_type") != NULL ? "rope_type" : "type";
    const json_t *named = rt_config_value(rope, key);
    const char *type = named == NULL ? "default" : json_string_value(named);
    double factor = 1;
    retort_status status = rt_config_real(from, rope, "factor", 1e-3, 1e6, &factor, err);
    if (status == RETORT_OK) status = rt_config_real(from, rope, "rope_theta", 1, 1e12, &out->theta, err);
    if (status == RETORT_OK)
        status = rt_config_real(from, rope, "partial_rotary_factor", 1, 1, &(double){1}, err);
    if (status != RETORT_OK) return status;
    out->by = 1;
    if (type != NULL && strcmp(type, "default") == 0) return RETORT_OK;
    if (type != NULL && strcmp(type, "linear") == 0 && rt_config_value(rope, "factor") == NULL)
        return rt_fail(err, RETORT_FORMAT, "%s: linear rotary positions without a 'factor'", from->name);
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
    int64_t dim = out->dim;
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
