/* SPDX-License-Identifier: Apache-2.0
 * Groups of four bytes (verbs: vec/attention_s8.h) in ymm registers; the header of dot.h chooses the encoding of vpdpbusd. */
#ifndef RT_KERNEL_X86_GROUP_AVX2_H
#define RT_KERNEL_X86_GROUP_AVX2_H

#include "kernel/x86/group_quads.h"

RT_VERB n16 group_broadcast(const element *p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    return (n16){_mm256_set1_epi32(four), _mm256_set1_epi32(four)};
}
RT_VERB n16 group_load(const element *p) {
    return (n16){_mm256_loadu_si256((const __m256i *)(const void *)p),
                 _mm256_loadu_si256((const __m256i *)(const void *)(p + 32))};
}
RT_VERB n16 group_dot(n16 sum, n16 a, n16 b) {
    return (n16){RT_VPDPBUSD(sum.lo, a.lo, b.lo), RT_VPDPBUSD(sum.hi, a.hi, b.hi)};
}
RT_VERB __m256i group8(__m256 x0, __m256 x1, __m256 x2, __m256 x3) {
    __m256i even = pairs8(x0, x2), odd = _mm256_slli_epi16(pairs8(x1, x3), 8);
    return _mm256_blendv_epi8(odd, even, _mm256_set1_epi32(0x00ff00ff));
}
RT_VERB void group_store(element *p, const v16 x[GROUP]) {
    __m256i lo = group8(x[0].lo, x[1].lo, x[2].lo, x[3].lo), hi = group8(x[0].hi, x[1].hi, x[2].hi, x[3].hi);
    _mm256_storeu_si256((__m256i *)(void *)p, lo);
    _mm256_storeu_si256((__m256i *)(void *)(p + 32), hi);
}
RT_VERB n16 row_offset(v16 sums) {
    __m256 factor = _mm256_set1_ps(-128.0f);
    return (n16){_mm256_cvtps_epi32(_mm256_mul_ps(sums.lo, factor)),
                 _mm256_cvtps_epi32(_mm256_mul_ps(sums.hi, factor))};
}

#endif
