/* SPDX-License-Identifier: Apache-2.0
 * The steps of reading a config.json. `name` starts error texts. */
#ifndef RT_ARCH_CONFIG_H
#define RT_ARCH_CONFIG_H

#include "arch/config_values.h"

/* The task of the first of `architectures`; *stated is false when there is none. An unsupported head is refused by
 * name. */
retort_status rt_config_task(const json_t *root, const char *name, bool *stated, retort_task *task,
                             retort_error *err);
/* Everything but pooling, normalize and max_length, which get the defaults of a plain model. */
retort_status rt_config_read(rt_config *out, rt_arena *arena, const char *name, const json_t *root,
                             retort_task task, retort_error *err);
/* The row of model_type, else of the architecture's name. */
retort_status rt_config_arch(const json_t *root, const char *name, const rt_arch **arch, retort_error *err);

#endif
