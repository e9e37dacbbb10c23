/* SPDX-License-Identifier: Apache-2.0
 * Groups of four bytes (verbs: vec/attention_s8.h): what vpdpbusd on ymm and zmm registers share. Its first operand is
 * unsigned: rows have 128 added by flipping the sign bits. */
#ifndef RT_KERNEL_X86_GROUP_QUADS_H
#define RT_KERNEL_X86_GROUP_QUADS_H

#include "kernel/vec/vec.h"

enum { GROUP = 4 };
typedef int8_t element;

RT_VERB void row_store(element *p, v16 x) {
    v16_store_s8(p, x);
    __m128i *row = (__m128i *)(void *)p;
    _mm_storeu_si128(row, _mm_xor_si128(_mm_loadu_si128(row), _mm_set1_epi8(-128)));
}

#endif
