/* SPDX-License-Identifier: Apache-2.0
 * The intrinsics of AVX-512 without AVX-512, for tests: those of SIMDe, and in plain C those that SIMDe
 * 0.7.4 lacks or gets wrong, following the Intel SDM. SIMDe includes <immintrin.h> before it redefines the
 * names, so including that again changes nothing. */
#ifndef RT_KERNEL_X86_EMULATED_AVX512_H
#define RT_KERNEL_X86_EMULATED_AVX512_H

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

#include <math.h>
#include <string.h>

#define EMULATED static inline __attribute__((always_inline))

enum { ZMM_LANES = 16 }; /* of all vectors here, with any elements */

/* The lanes of a zmm register, and its halves. */
typedef union zmm {
    __m512 ps;
    __m512i si;
    __m256 half_ps[2];
    __m256i half[2];
    float f32[ZMM_LANES];
    int32_t s32[ZMM_LANES];
} zmm;

/* ---- Masks: a lane that is not set is neither read nor written, it may not even be mapped ---- */

EMULATED void copy_lanes(__mmask16 mask, const void *from, void *to, size_t size) {
    for (size_t i = 0; i < ZMM_LANES; i++) {
        if (mask >> i & 1) memcpy((char *)to + i * size, (const char *)from + i * size, size);
    }
}
EMULATED __m512 maskz_loadu_ps(__mmask16 mask, const void *p) {
    zmm x = {.s32 = {0}};
    copy_lanes(mask, p, &x, sizeof(float));
    return x.ps;
}
EMULATED __m512i maskz_loadu_epi32(__mmask16 mask, const void *p) {
    zmm x = {.s32 = {0}};
    copy_lanes(mask, p, &x, sizeof(int32_t));
    return x.si;
}
EMULATED __m256i maskz_loadu_epi16(__mmask16 mask, const void *p) {
    __m256i x = _mm256_setzero_si256();
    copy_lanes(mask, p, &x, sizeof(int16_t));
    return x;
}
EMULATED __m128i maskz_loadu_epi8(__mmask16 mask, const void *p) {
    __m128i x = _mm_setzero_si128();
    copy_lanes(mask, p, &x, sizeof(int8_t));
    return x;
}
EMULATED void mask_storeu_ps(void *p, __mmask16 mask, __m512 x) {
    copy_lanes(mask, &x, p, sizeof(float));
}
EMULATED void mask_storeu_epi16(void *p, __mmask16 mask, __m256i x) {
    copy_lanes(mask, &x, p, sizeof(int16_t));
}

/* ---- Conversions ---- */

EMULATED __m512 cvtepi32_ps(__m512i x) {
    zmm y = {.si = x};
    return (zmm){.half_ps = {_mm256_cvtepi32_ps(y.half[0]), _mm256_cvtepi32_ps(y.half[1])}}.ps;
}
EMULATED __m512i cvtps_epi32(__m512 x) {
    zmm y = {.ps = x};
    return (zmm){.half = {_mm256_cvtps_epi32(y.half_ps[0]), _mm256_cvtps_epi32(y.half_ps[1])}}.si;
}
EMULATED __m512i cvtepi8_epi32(__m128i x) {
    return (zmm){.half = {_mm256_cvtepi8_epi32(x), _mm256_cvtepi8_epi32(_mm_srli_si128(x, 8))}}.si;
}
EMULATED __m512i cvtepu8_epi32(__m128i x) {
    return (zmm){.half = {_mm256_cvtepu8_epi32(x), _mm256_cvtepu8_epi32(_mm_srli_si128(x, 8))}}.si;
}
EMULATED __m512i cvtepu16_epi32(__m256i x) {
    return (zmm){.half = {_mm256_cvtepu16_epi32(_mm256_castsi256_si128(x)),
                          _mm256_cvtepu16_epi32(_mm256_extracti128_si256(x, 1))}}
        .si;
}
EMULATED __m256i cvtepi32_epi16(__m512i x) { /* the lower halves of the lanes: nothing saturates */
    zmm y = {.si = x};
    int16_t low[ZMM_LANES];
    for (size_t i = 0; i < ZMM_LANES; i++) low[i] = (int16_t)y.s32[i];
    return _mm256_loadu_si256((const __m256i *)low);
}
EMULATED __m128i cvtepi32_epi8(__m512i x) {
    zmm y = {.si = x};
    int8_t low[ZMM_LANES];
    for (size_t i = 0; i < ZMM_LANES; i++) low[i] = (int8_t)y.s32[i];
    return _mm_loadu_si128((const __m128i *)low);
}

/* ---- Arithmetic ---- */

EMULATED __m512 abs_ps(__m512 x) { /* SIMDe 0.7.4 leaves -0 as it is */
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff)));
}
EMULATED __m512i srai_epi32(__m512i x, int count) {
    zmm y = {.si = x};
    return (zmm){.half = {_mm256_srai_epi32(y.half[0], count), _mm256_srai_epi32(y.half[1], count)}}.si;
}
EMULATED __m256 extractf32x8_ps(__m512 x, int half) {
    return (zmm){.ps = x}.half_ps[half];
}

/* x 2^floor(n), rounded once; the SDM's table of special cases (VSCALEFPS). SIMDe computes 2^n first,
 * which may overflow. */
EMULATED float scalef(float x, float n) {
    if (isnan(n)) return isnan(x) ? x : n;
    if (isinf(n) && isnan(x)) return n > 0 ? INFINITY : 0.0f;
    if (isinf(n)) return x * (n > 0 ? INFINITY : 0.0f); /* 0 * infinity and infinity * 0: NaN */
    return scalbnf(x, (int)fmaxf(fminf(floorf(n), 1000.0f), -1000.0f));
}
EMULATED __m512 scalef_ps(__m512 x, __m512 n) {
    zmm y = {.ps = x}, power = {.ps = n};
    for (size_t i = 0; i < ZMM_LANES; i++) y.f32[i] = scalef(y.f32[i], power.f32[i]);
    return y.ps;
}

/* Out of line: a register tile has up to 24 of them, which would slow gcc down. */
static __attribute__((noinline, unused)) __m512i dpbusd_epi32(__m512i sum, __m512i a, __m512i w) {
    return simde_mm512_dpbusd_epi32(sum, a, w);
}
static __attribute__((noinline, unused)) __m512 dpbf16_ps(__m512 sum, __m512bh a, __m512bh b) {
    return simde_mm512_dpbf16_ps(sum, a, b);
}

/* ---- By their names ---- */

#undef _mm512_maskz_loadu_ps
#undef _mm512_maskz_loadu_epi32
#undef _mm256_maskz_loadu_epi16
#undef _mm_maskz_loadu_epi8
#undef _mm512_mask_storeu_ps
#undef _mm256_mask_storeu_epi16
#undef _mm512_cvtepi32_ps
#undef _mm512_cvtps_epi32
#undef _mm512_cvtepi8_epi32
#undef _mm512_cvtepu8_epi32
#undef _mm512_cvtepu16_epi32
#undef _mm512_cvtepi32_epi16
#undef _mm512_cvtepi32_epi8
#undef _mm512_abs_ps
#undef _mm512_srai_epi32
#undef _mm512_extractf32x8_ps
#undef _mm512_scalef_ps
#undef _mm512_shuffle_f32x4
#undef _mm512_madd_epi16
#undef _mm512_dpbusd_epi32
#undef _mm512_dpbf16_ps
#undef _mm256_dpbusd_avx_epi32
#define _mm512_maskz_loadu_ps(mask, p)       maskz_loadu_ps(mask, p)
#define _mm512_maskz_loadu_epi32(mask, p)    maskz_loadu_epi32(mask, p)
#define _mm256_maskz_loadu_epi16(mask, p)    maskz_loadu_epi16(mask, p)
#define _mm_maskz_loadu_epi8(mask, p)        maskz_loadu_epi8(mask, p)
#define _mm512_mask_storeu_ps(p, mask, x)    mask_storeu_ps(p, mask, x)
#define _mm256_mask_storeu_epi16(p, mask, x) mask_storeu_epi16(p, mask, x)
#define _mm512_cvtepi32_ps(x)                cvtepi32_ps(x)
#define _mm512_cvtps_epi32(x)                cvtps_epi32(x)
#define _mm512_cvtepi8_epi32(x)              cvtepi8_epi32(x)
#define _mm512_cvtepu8_epi32(x)              cvtepu8_epi32(x)
#define _mm512_cvtepu16_epi32(x)             cvtepu16_epi32(x)
#define _mm512_cvtepi32_epi16(x)             cvtepi32_epi16(x)
#define _mm512_cvtepi32_epi8(x)              cvtepi32_epi8(x)
#define _mm512_abs_ps(x)                     abs_ps(x)
#define _mm512_srai_epi32(x, count)          srai_epi32(x, count)
#define _mm512_extractf32x8_ps(x, half)      extractf32x8_ps(x, half)
#define _mm512_scalef_ps(x, n)               scalef_ps(x, n)
#define _mm512_shuffle_f32x4(a, b, select)   simde_mm512_shuffle_f32x4(a, b, select)
#define _mm512_madd_epi16(a, b)              simde_mm512_madd_epi16(a, b)
#define _mm512_dpbusd_epi32(sum, a, w)       dpbusd_epi32(sum, a, w)
#define _mm512_dpbf16_ps(sum, a, b)          dpbf16_ps(sum, a, b)
#define _mm256_dpbusd_avx_epi32(sum, a, w)   simde_mm256_dpbusd_epi32(sum, a, w)

#endif
