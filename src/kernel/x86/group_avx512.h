/* SPDX-License-Identifier: Apache-2.0
 * Groups of four bytes (verbs: vec/attention_s8.h) in zmm registers. */
#ifndef RT_KERNEL_X86_GROUP_AVX512_H
#define RT_KERNEL_X86_GROUP_AVX512_H

#include "kernel/x86/group_quads.h"

RT_VERB n16 group_broadcast(const element *p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm512_set1_epi32(four);
}
RT_VERB n16 group_load(const element *p) {
    return _mm512_loadu_si512(p);
}
RT_VERB n16 group_dot(n16 sum, n16 a, n16 b) {
    return _mm512_dpbusd_epi32(sum, a, b);
}
RT_VERB __m512i group_pair(v16 low, v16 high) {
    return _mm512_mask_blend_epi16(0xaaaaaaaau, _mm512_cvtps_epi32(low),
                                   _mm512_slli_epi32(_mm512_cvtps_epi32(high), 16));
}
RT_VERB void group_store(element *p, const v16 x[GROUP]) {
    __m512i even = group_pair(x[0], x[2]), odd = _mm512_slli_epi16(group_pair(x[1], x[3]), 8);
    /* truth table 0xca: mask ? even : odd */
    _mm512_storeu_si512(p, _mm512_ternarylogic_epi32(_mm512_set1_epi32(0x00ff00ff), even, odd, 0xca));
}
RT_VERB n16 row_offset(v16 sums) {
    return _mm512_cvtps_epi32(_mm512_mul_ps(sums, _mm512_set1_ps(-128.0f)));
}

#endif
