/* SPDX-License-Identifier: Apache-2.0
 * Integer dot products (verbs: vec/dot.h) with vpdpbusd on ymm registers; the includer chooses its
 * encoding. 128 is added to A by flipping the sign bits. */
#ifndef RT_KERNEL_X86_DOT_VPDPBUSD256_H
#define RT_KERNEL_X86_DOT_VPDPBUSD256_H

#include "kernel/x86/w64_avx2.h"

#include <string.h>

typedef __m256i a4;

RT_VERB s16 s16_start(const int32_t *b_sum, size_t n) {
    __m256i zero = _mm256_setzero_si256();
    return (s16){_mm256_sub_epi32(zero, _mm256_maskload_epi32(b_sum, lanes_below(n, 0))),
                 _mm256_sub_epi32(zero, _mm256_maskload_epi32(b_sum + 8, lanes_below(n, 8)))};
}
RT_VERB a4 a4_load(const int8_t *a) {
    int32_t four;
    memcpy(&four, a, sizeof four);
    return _mm256_set1_epi32(four ^ (int32_t)0x80808080u);
}
RT_VERB s16 s16_dot(s16 sum, a4 a, w64 w) {
    return (s16){RT_VPDPBUSD(sum.lo, a, w.lo), RT_VPDPBUSD(sum.hi, a, w.hi)};
}

/* A code in the high nibble counts 16 times. */
RT_VERB __m256i upper_halves(__m256i x) {
    return _mm256_and_si256(x, _mm256_set1_epi8((char)0xf0));
}
RT_VERB w64 w64_low(const uint8_t *codes) {
    ymm2 x = ymm2_load(codes);
    return (w64){upper_halves(_mm256_slli_epi16(x.lo, 4)), upper_halves(_mm256_slli_epi16(x.hi, 4))};
}
RT_VERB w64 w64_high(const uint8_t *codes) {
    ymm2 x = ymm2_load(codes);
    return (w64){upper_halves(x.lo), upper_halves(x.hi)};
}
RT_VERB __m256i scaled8(__m256i total, __m256i sum, __m256i scale) {
    return _mm256_add_epi32(total, _mm256_mullo_epi32(_mm256_srai_epi32(sum, 4), scale));
}
RT_VERB s16 s16_scaled(s16 total, s16 sum, s16 scale) {
    return (s16){scaled8(total.lo, sum.lo, scale.lo), scaled8(total.hi, sum.hi, scale.hi)};
}

#endif
