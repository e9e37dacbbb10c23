/* SPDX-License-Identifier: Apache-2.0
 * Values of a config.json, for what only one architecture has. */
#ifndef RT_ARCH_CONFIG_VALUES_H
#define RT_ARCH_CONFIG_VALUES_H

#include "format/json.h"
#include "arch/encoder.h"

/* A config.json that is being read. */
typedef struct rt_config_source {
    const char *name; /* starts error texts */
    const json_t *root;
    rt_arena *arena;
} rt_config_source;
/* The value of a key; NULL where it is absent or null. */
const json_t *rt_config_value(const json_t *object, const char *key);
/* The value of a key that may be absent (or null): as given then. Refuses another type, or a number outside the range. */
retort_status rt_config_flag(const rt_config_source *from, const char *key, bool *value, retort_error *err);
retort_status rt_config_integer(const rt_config_source *from, const char *key, int64_t min, int64_t max,
                                int64_t *value, retort_error *err);
retort_status rt_config_real(const rt_config_source *from, const json_t *object, const char *key, double min,
                             double max, double *value, retort_error *err);
/* NULL for a key that is absent or null; refuses what is no object. */
retort_status rt_config_object(const rt_config_source *from, const json_t *object, const char *key,
                               const json_t **value, retort_error *err);
/* One of the spellings of an activation; absent: as given. */
retort_status rt_config_activation(const rt_config_source *from, const char *key, rt_act *value,
                                   retort_error *err);
/* What describes rotary positions: rope_scaling, or else rope_parameters; NULL without either. */
retort_status rt_config_rope(const rt_config_source *from, const json_t **rope, retort_error *err);
/* Angles of rotary positions with this base, from `rope` (NULL: default), whose own rope_theta counts. */
retort_status rt_config_angles(rt_config *out, const rt_config_source *from, const json_t *rope, double theta,
                               const float **angles, retort_error *err);
/* The activation of that name; `key` is for the error. */
retort_status rt_config_activation_named(const rt_config_source *from, const char *key, const char *name,
                                         rt_act *value, retort_error *err);

#endif
