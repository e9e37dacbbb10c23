/* SPDX-License-Identifier: Apache-2.0
 * What a sentence-transformers package says about its vectors. */
#ifndef RT_ARCH_SENTENCES_H
#define RT_ARCH_SENTENCES_H

#include "arch/encoder.h"
#include "format/json.h"

/* config_sentence_transformers.json, and such an object again (NULL: out of memory). Texts go
 * to the arena. */
retort_status rt_sentences_read(rt_sentences *out, rt_arena *arena, const char *name, const json_t *root,
                                retort_error *err);
json_t *rt_sentences_write(const rt_sentences *sentences);

#endif
