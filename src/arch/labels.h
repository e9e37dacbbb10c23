/* SPDX-License-Identifier: Apache-2.0
 * The labels in a config.json. `name` starts error texts. */
#ifndef RT_ARCH_LABELS_H
#define RT_ARCH_LABELS_H

#include "arch/encoder.h"
#include "format/json.h"

/* labels, label_names and problem of a classifier or tagger. */
retort_status rt_config_labels(rt_config *out, rt_arena *arena, const char *name, const json_t *root,
                               retort_error *err);
/* A path of torch.nn, by the key that holds it; absent or null: nothing is stated. */
retort_status rt_config_scoring(rt_scoring *out, const char *name, const char *key, const json_t *value,
                                retort_error *err);

#endif
