/* SPDX-License-Identifier: Apache-2.0
 * The verbs of vec/dot.h that are the same for every way of multiplying in ymm registers. */
#ifndef RT_KERNEL_X86_W64_AVX2_H
#define RT_KERNEL_X86_W64_AVX2_H

typedef struct ymm2 {
    __m256i lo, hi;
} ymm2;
typedef ymm2 s16, w64;

RT_VERB ymm2 ymm2_load(const void *p) {
    return (ymm2){_mm256_loadu_si256((const __m256i *)p), _mm256_loadu_si256((const __m256i *)p + 1)};
}
RT_VERB void ymm2_store(void *p, ymm2 x) {
    _mm256_storeu_si256((__m256i *)p, x.lo);
    _mm256_storeu_si256((__m256i *)p + 1, x.hi);
}

RT_VERB s16 s16_zero(void) {
    return (s16){_mm256_setzero_si256(), _mm256_setzero_si256()};
}
RT_VERB void s16_store(float *p, s16 sum) {
    ymm2_store(p, sum);
}
RT_VERB w64 w64_load(const int8_t *b) {
    return ymm2_load(b);
}
RT_VERB void w64_store(int8_t *b, w64 w) {
    ymm2_store(b, w);
}

/* The arithmetic of dot_avx512vnni.h. */
typedef struct g16 {
    ymm2 scale, rest;
} g16;

RT_VERB __m256i widen_scales(const uint8_t *scales) {
    __m256i s = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)scales));
    return _mm256_or_si256(s, _mm256_slli_epi32(s, 16));
}
RT_VERB __m256i rest_of(__m256i s) {
    return _mm256_sub_epi16(_mm256_set1_epi16(0x80), _mm256_mullo_epi16(s, _mm256_set1_epi16(0x808)));
}
RT_VERB g16 g16_load(const uint8_t *scales) {
    ymm2 s = {widen_scales(scales), widen_scales(scales + 8)};
    return (g16){s, {rest_of(s.lo), rest_of(s.hi)}};
}
RT_VERB __m256i times(__m256i x, __m256i scale, __m256i rest) {
    __m256i u = _mm256_and_si256(_mm256_xor_si256(x, _mm256_set1_epi8(8)), _mm256_set1_epi8(15));
    __m256i product = _mm256_add_epi16(_mm256_mullo_epi16(u, scale), rest);
    return _mm256_xor_si256(product, _mm256_set1_epi16(0x80));
}
RT_VERB void w64_unpack(const uint8_t *codes, g16 g, w64 *low, w64 *high) {
    ymm2 x = ymm2_load(codes);
    low->lo = times(x.lo, g.scale.lo, g.rest.lo);
    low->hi = times(x.hi, g.scale.hi, g.rest.hi);
    high->lo = times(_mm256_srli_epi16(x.lo, 4), g.scale.lo, g.rest.lo);
    high->hi = times(_mm256_srli_epi16(x.hi, 4), g.scale.hi, g.rest.hi);
}

#endif
