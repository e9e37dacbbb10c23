/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RT_ARCH_STATIC_EMBEDDING_H
#define RT_ARCH_STATIC_EMBEDDING_H

#include "arch/encoder.h"

/* Longer texts are cut, unless the tokenizer cuts them before. The library reads all of them. */
enum { RT_STATIC_TOKENS = 1 << 14 };

/* Opens the table of encoder->folder, and makes the configuration. */
retort_status rt_static_open(rt_encoder *encoder, retort_error *err);

#endif
