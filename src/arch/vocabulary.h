/* SPDX-License-Identifier: Apache-2.0
 * An encoder for fewer pieces. */
#ifndef RT_ARCH_VOCABULARY_H
#define RT_ARCH_VOCABULARY_H

#include "arch/encoder.h"

/* Leaves of the word table, and of the head that predicts words, the rows ids[0 … count), which are ascending. */
retort_status rt_encoder_select_words(rt_encoder *encoder, const char *name, const int32_t *ids, size_t count,
                                      retort_error *err);

#endif
