/* SPDX-License-Identifier: Apache-2.0
 * Integer dot products (verbs: vec/dot.h) by vpdpbusd on ymm registers; the includer says by which of its
 * encodings. A gets 128 added, by flipping its highest bits. */
#ifndef RT_KERNEL_X86_DOT_VPDPBUSD256_H
#define RT_KERNEL_X86_DOT_VPDPBUSD256_H

#include "kernel/x86/w64_avx2.h"

#include <string.h>

enum { DOT_SHIFTS = 1 };
typedef __m256i a4;

RT_VERB a4 a4_load(const int8_t *a) {
    int32_t four;
    memcpy(&four, a, sizeof four);
    return _mm256_set1_epi32(four ^ (int32_t)0x80808080u);
}
RT_VERB s16 s16_dot(s16 sum, a4 a, w64 w) {
    return (s16){RT_VPDPBUSD(sum.lo, a, w.lo), RT_VPDPBUSD(sum.hi, a, w.hi)};
}

#endif
