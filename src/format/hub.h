/* SPDX-License-Identifier: Apache-2.0
 * The cache of the Hugging Face hub: models--OWNER--NAME/{refs/main, snapshots/REVISION/files}. */
#ifndef RT_FORMAT_HUB_H
#define RT_FORMAT_HUB_H

#include <stdbool.h>

/* The folder that a name stands for, into out[RT_PATH_SIZE]: a folder as it is, or the snapshot of its branch "main" where it
 * is a model's folder of the cache; an id ("owner/name", "name") by its model in the cache, which lies in $HF_HUB_CACHE,
 * $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub or ~/.cache/huggingface/hub, the first that is set. False: there is none. */
bool rt_hub_find(char *out, const char *name);

#endif
