/* SPDX-License-Identifier: Apache-2.0
 * The verbs of vec/dot.h that all ways of multiplying in ymm registers share. */
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
RT_VERB v16 s16_float(s16 sum) {
    return (v16){_mm256_cvtepi32_ps(sum.lo), _mm256_cvtepi32_ps(sum.hi)};
}
#define S16_KEEP(sum) __asm__("" : "+x"((sum).lo), "+x"((sum).hi))
RT_VERB s16 s16_load(const float *p) {
    return ymm2_load(p);
}
RT_VERB void s16_store(float *p, s16 sum) {
    ymm2_store(p, sum);
}
RT_VERB w64 w64_load(const int8_t *b) {
    return ymm2_load(b);
}

RT_VERB s16 s16_scales(const uint8_t *scales) {
    return (s16){_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)scales)),
                 _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(scales + 8)))};
}

#endif
