/* SPDX-License-Identifier: Apache-2.0
 * LoRA adapters (Hu et al., 2106.09685) as PEFT saves them: adapter_config.json, and adapter_model.safetensors or .bin, with
 * thin matrices A [rank, in] and B [out, rank] of some Linear layers and tables, whose weight becomes W + scale * B A.
 * With DoRA (Liu et al., 2402.09353) each row then gets a length of its own. Both are merged while a checkpoint is read. */
#ifndef RT_ARCH_ADAPTER_H
#define RT_ARCH_ADAPTER_H

#include "format/path.h"
#include "format/tensors.h"

#include <jansson.h>

bool rt_adapter_is_in(const char *folder);
/* The folder of the checkpoint that the adapter of `folder` changes, into out[RT_PATH_SIZE]: `folder` where it has weights
 * of its own, else what adapter_config.json names: a folder, or an id in the local cache of the hub. */
retort_status rt_adapter_base(char *out, const char *folder, retort_error *err);
/* Merges the adapter of `folder` into `tensors`, which are named as `root`, the base's config.json, says. A head that was
 * trained with it takes the place of the base's, and `root` gets its class and number of labels. Whatever of the adapter
 * would change the model in another way is refused by name. */
retort_status rt_adapter_merge(rt_tensors *tensors, json_t *root, const char *folder, retort_error *err);

#endif
