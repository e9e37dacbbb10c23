/* SPDX-License-Identifier: Apache-2.0
 * Integer dot products (verbs: vec/dot.h) by vpmaddubsw of |a| and w with the sign of a. Never saturates:
 * 2 * 127^2 = 32258. */
#ifndef RT_KERNEL_X86_DOT_AVX2_H
#define RT_KERNEL_X86_DOT_AVX2_H

#include "kernel/x86/w64_avx2.h"

#include <string.h>

#define RT_DOT(name) rt_##name##_avx2

enum { DOT_SHIFTS = 0 };
typedef struct a4 {
    __m256i size, sign;
} a4;

RT_VERB a4 a4_load(const int8_t *a) {
    int32_t four;
    memcpy(&four, a, sizeof four);
    __m256i x = _mm256_set1_epi32(four);
    return (a4){_mm256_abs_epi8(x), x};
}
RT_VERB __m256i dot8(__m256i sum, a4 a, __m256i w) {
    __m256i pairs = _mm256_maddubs_epi16(a.size, _mm256_sign_epi8(w, a.sign));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
RT_VERB s16 s16_dot(s16 sum, a4 a, w64 w) {
    return (s16){dot8(sum.lo, a, w.lo), dot8(sum.hi, a, w.hi)};
}

/* The codes as they are: vpsignb cannot turn -128, which 16 times -8 would be. */
RT_VERB __m256i code8(__m256i nibbles) {
    __m256i code =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1));
    return _mm256_shuffle_epi8(code, _mm256_and_si256(nibbles, _mm256_set1_epi8(15)));
}
RT_VERB w64 w64_low(const uint8_t *codes) {
    ymm2 x = ymm2_load(codes);
    return (w64){code8(x.lo), code8(x.hi)};
}
RT_VERB w64 w64_high(const uint8_t *codes) {
    ymm2 x = ymm2_load(codes);
    return (w64){code8(_mm256_srli_epi16(x.lo, 4)), code8(_mm256_srli_epi16(x.hi, 4))};
}
RT_VERB s16 s16_scaled(s16 total, s16 sum, s16 scale) {
    return (s16){_mm256_add_epi32(total.lo, _mm256_mullo_epi32(sum.lo, scale.lo)),
                 _mm256_add_epi32(total.hi, _mm256_mullo_epi32(sum.hi, scale.hi))};
}

#endif
