/* SPDX-License-Identifier: Apache-2.0
 * Integer dot products (verbs: vec/dot.h) by vpdpbusd, which takes its first operand unsigned: A gets 128
 * added, by flipping its highest bits. */
#ifndef RT_KERNEL_X86_DOT_AVX512VNNI_H
#define RT_KERNEL_X86_DOT_AVX512VNNI_H

#include <string.h>

#define RT_DOT(name) rt_##name##_avx512vnni

enum { DOT_SHIFTS = 1 };
typedef __m512i s16, a4, w64;

RT_VERB s16 s16_zero(void) {
    return _mm512_setzero_si512();
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
RT_VERB void w64_store(int8_t *b, w64 w) {
    _mm512_storeu_si512(b, w);
}
RT_VERB s16 s16_dot(s16 sum, a4 a, w64 w) {
    return _mm512_dpbusd_epi32(sum, a, w);
}

/* Two bytes at a time. Let u = code + 8, e and o the codes of the even and the odd byte: (256 u_o + u_e) s -
 * 0x808 s = 256 o s + e s; adding 128 to the lower byte and flipping its highest bit after that undoes the
 * borrow of a negative e s, since |e s| < 128. */
typedef struct g16 {
    __m512i scale, rest; /* s and 0x80 - 0x808 s, twice in each of 16 lanes */
} g16;

RT_VERB g16 g16_load(const uint8_t *scales) {
    __m512i s = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)scales));
    s = _mm512_or_si512(s, _mm512_slli_epi32(s, 16));
    __m512i eight = _mm512_mullo_epi16(s, _mm512_set1_epi16(0x808));
    return (g16){s, _mm512_sub_epi16(_mm512_set1_epi16(0x80), eight)};
}
RT_VERB w64 times(__m512i u, g16 g) {
    __m512i product = _mm512_add_epi16(_mm512_mullo_epi16(u, g.scale), g.rest);
    return _mm512_xor_si512(product, _mm512_set1_epi16(0x80));
}
RT_VERB void w64_unpack(const uint8_t *codes, g16 g, w64 *low, w64 *high) {
    __m512i x = _mm512_loadu_si512(codes), eight = _mm512_set1_epi8(8), mask = _mm512_set1_epi8(15);
    /* truth table 0x28: (x ^ eight) & mask */
    *low = times(_mm512_ternarylogic_epi32(x, eight, mask, 0x28), g);
    *high = times(_mm512_ternarylogic_epi32(_mm512_srli_epi16(x, 4), eight, mask, 0x28), g);
}

#endif
