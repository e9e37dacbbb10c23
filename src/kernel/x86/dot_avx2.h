/* SPDX-License-Identifier: Apache-2.0
 * Integer dot products (verbs: vec/dot.h) with vpmaddubsw of |a| and w with the sign of a. Never saturates:
 * 2 * 127^2 = 32258. */
#ifndef RT_KERNEL_X86_DOT_AVX2_H
#define RT_KERNEL_X86_DOT_AVX2_H

#include "kernel/x86/w64_avx2.h"

#include <string.h>

#define RT_DOT(name) rt_##name##_avx2

typedef struct a4 {
    __m256i size, sign;
} a4;

RT_VERB s16 s16_start(const int32_t *b_sum, size_t n) {
    (void)b_sum, (void)n;
    return s16_zero();
}
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

#endif
