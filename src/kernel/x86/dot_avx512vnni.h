/* SPDX-License-Identifier: Apache-2.0
 * Integer dot products (verbs: vec/dot.h) with vpdpbusd, whose first operand is unsigned: 128 is added to A
 * by flipping the sign bits. */
#ifndef RT_KERNEL_X86_DOT_AVX512VNNI_H
#define RT_KERNEL_X86_DOT_AVX512VNNI_H

#include <string.h>

#define RT_DOT(name) rt_##name##_avx512vnni

typedef __m512i s16, a4, w64;

RT_VERB s16 s16_zero(void) {
    return _mm512_setzero_si512();
}
RT_VERB s16 s16_start(const int32_t *b_sum, size_t n) {
    return _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_maskz_loadu_epi32(v16_mask(n), b_sum));
}
RT_VERB v16 s16_float(s16 sum) {
    return _mm512_cvtepi32_ps(sum);
}
#define S16_KEEP(sum) __asm__("" : "+v"(sum))
RT_VERB s16 s16_load(const float *p) {
    return _mm512_loadu_si512(p);
}
RT_VERB void s16_store(float *p, s16 sum) {
    _mm512_storeu_si512(p, sum);
}
RT_VERB a4 a4_load(const int8_t *a) {
    int32_t four;
    memcpy(&four, a, sizeof four);
    return _mm512_xor_si512(_mm512_set1_epi32(four), _mm512_set1_epi8(-128));
}
RT_VERB w64 w64_load(const int8_t *b) {
    return _mm512_loadu_si512(b);
}
RT_VERB s16 s16_dot(s16 sum, a4 a, w64 w) {
    return _mm512_dpbusd_epi32(sum, a, w);
}

/* A code in the high nibble counts 16 times. */
RT_VERB w64 upper_halves(__m512i x) {
    return _mm512_and_si512(x, _mm512_set1_epi8((char)0xf0));
}
RT_VERB w64 w64_low(const uint8_t *codes) {
    return upper_halves(_mm512_slli_epi16(_mm512_loadu_si512(codes), 4));
}
RT_VERB w64 w64_high(const uint8_t *codes) {
    return upper_halves(_mm512_loadu_si512(codes));
}
RT_VERB s16 s16_scales(const uint8_t *scales) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)scales));
}
RT_VERB s16 s16_scaled(s16 total, s16 sum, s16 scale) {
    return _mm512_add_epi32(total, _mm512_mullo_epi32(_mm512_srai_epi32(sum, 4), scale));
}

#endif
