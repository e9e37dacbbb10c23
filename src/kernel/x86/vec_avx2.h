/* SPDX-License-Identifier: Apache-2.0
 * The vector verbs (listed in vec/vec.h) on AVX2 + FMA: a v16 is two ymm registers. */
#ifndef RT_KERNEL_X86_VEC_AVX2_H
#define RT_KERNEL_X86_VEC_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define RT_ISA(name) rt_##name##_avx2
#define RT_VERB      static inline __attribute__((always_inline))
#define RT_TILE_BODY RT_VERB

/* Register tiles (rows, panels): 6 x 1 fills 12 of 16 registers with sums; one or two rows take three panels,
 * or there would be too few sums in flight to hide the latency of fma. */
enum { V16_ROWS = 6, V16_PANELS = 3 };
#define V16_TILES(X) X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(1, 2) X(2, 2) X(1, 3) X(2, 3)
static inline size_t v16_panels(size_t rows) {
    return rows <= 2 ? 3 : 1;
}

typedef struct v16 {
    __m256 lo, hi;
} v16;

/* 8 lanes, all ones where the index first…first+7 is below n. */
RT_VERB __m256i lanes_below(size_t n, int first) {
    __m256i lane = _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(first));
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n < 16 ? (int)n : 16), lane);
}

RT_VERB void v16_prefetch(const void *p) {
    __builtin_prefetch(p);
}

RT_VERB v16 v16_set(float x) {
    return (v16){_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
RT_VERB v16 v16_load(const float *p) {
    return (v16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
RT_VERB void v16_store(float *p, v16 x) {
    _mm256_storeu_ps(p, x.lo);
    _mm256_storeu_ps(p + 8, x.hi);
}
RT_VERB v16 v16_load_n(const float *p, size_t n) {
    if (n >= 16) return v16_load(p);
    return (v16){_mm256_maskload_ps(p, lanes_below(n, 0)), _mm256_maskload_ps(p + 8, lanes_below(n, 8))};
}
RT_VERB void v16_store_n(float *p, v16 x, size_t n) {
    if (n >= 16) {
        v16_store(p, x);
    } else {
        _mm256_maskstore_ps(p, lanes_below(n, 0), x.lo);
        _mm256_maskstore_ps(p + 8, lanes_below(n, 8), x.hi);
    }
}

RT_VERB v16 v16_add(v16 a, v16 b) {
    return (v16){_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
RT_VERB v16 v16_sub(v16 a, v16 b) {
    return (v16){_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
RT_VERB v16 v16_mul(v16 a, v16 b) {
    return (v16){_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
RT_VERB v16 v16_div(v16 a, v16 b) {
    return (v16){_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}
RT_VERB v16 v16_sqrt(v16 x) {
    return (v16){_mm256_sqrt_ps(x.lo), _mm256_sqrt_ps(x.hi)};
}
RT_VERB v16 v16_max(v16 a, v16 b) {
    return (v16){_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
}
RT_VERB v16 v16_min(v16 a, v16 b) {
    return (v16){_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)};
}
RT_VERB v16 v16_fma(v16 a, v16 b, v16 c) {
    return (v16){_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
RT_VERB v16 v16_fnma(v16 a, v16 b, v16 c) {
    return (v16){_mm256_fnmadd_ps(a.lo, b.lo, c.lo), _mm256_fnmadd_ps(a.hi, b.hi, c.hi)};
}
RT_VERB v16 v16_abs(v16 x) {
    __m256 sign = _mm256_set1_ps(-0.0f);
    return (v16){_mm256_andnot_ps(sign, x.lo), _mm256_andnot_ps(sign, x.hi)};
}
RT_VERB v16 v16_round(v16 x) {
    enum { NEAREST = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC };
    return (v16){_mm256_round_ps(x.lo, NEAREST), _mm256_round_ps(x.hi, NEAREST)};
}
RT_VERB __m256 power_of_2(__m256 n) {
    __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}
RT_VERB v16 v16_scale(v16 x, v16 n) {
    return v16_mul(x, (v16){power_of_2(n.lo), power_of_2(n.hi)});
}

RT_VERB v16 v16_copysign(v16 x, v16 sign) {
    __m256 bit = _mm256_set1_ps(-0.0f);
    return (v16){_mm256_or_ps(_mm256_andnot_ps(bit, x.lo), _mm256_and_ps(bit, sign.lo)),
                 _mm256_or_ps(_mm256_andnot_ps(bit, x.hi), _mm256_and_ps(bit, sign.hi))};
}
RT_VERB v16 v16_if_less(v16 a, v16 b, v16 yes, v16 no) {
    return (v16){_mm256_blendv_ps(no.lo, yes.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ)),
                 _mm256_blendv_ps(no.hi, yes.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ))};
}
RT_VERB v16 v16_first(size_t n, v16 a, v16 b) {
    return (v16){_mm256_blendv_ps(b.lo, a.lo, _mm256_castsi256_ps(lanes_below(n, 0))),
                 _mm256_blendv_ps(b.hi, a.hi, _mm256_castsi256_ps(lanes_below(n, 8)))};
}

RT_VERB float v16_sum(v16 x) {
    __m256 s8 = _mm256_add_ps(x.lo, x.hi);
    __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

/* Rounds to bf16 in the upper halves, to nearest even, with quiet NaN; then shifts down. */
RT_VERB __m256i narrow8(__m256 x) {
    __m256i bits = _mm256_castps_si256(x);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    return _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
}
RT_VERB void v16_store_bf16_n(uint16_t *p, v16 x, size_t n) {
    __m256i half = _mm256_permute4x64_epi64(_mm256_packus_epi32(narrow8(x.lo), narrow8(x.hi)), 0xd8);
    if (n >= 16) {
        _mm256_storeu_si256((__m256i *)p, half);
    } else {
        uint16_t all[16];
        _mm256_storeu_si256((__m256i *)all, half);
        memcpy(p, all, n * sizeof *p);
    }
}
RT_VERB void v16_store_bf16_pairs(uint16_t *p, v16 even, v16 odd) {
    __m256i lo = _mm256_or_si256(narrow8(even.lo), _mm256_slli_epi32(narrow8(odd.lo), 16));
    __m256i hi = _mm256_or_si256(narrow8(even.hi), _mm256_slli_epi32(narrow8(odd.hi), 16));
    _mm256_storeu_si256((__m256i *)(void *)p, lo);
    _mm256_storeu_si256((__m256i *)(void *)(p + 16), hi);
}
RT_VERB __m256 widen8(__m128i half) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}
RT_VERB v16 v16_load_bf16(const uint16_t *p) {
    return (v16){widen8(_mm_loadu_si128((const __m128i *)p)),
                 widen8(_mm_loadu_si128((const __m128i *)(p + 8)))};
}
RT_VERB v16 v16_load_bf16_n(const uint16_t *p, size_t n) {
    if (n >= 16) return v16_load_bf16(p);
    uint16_t all[16] = {0};
    memcpy(all, p, n * sizeof *p);
    return v16_load_bf16(all);
}
RT_VERB v16 v16_load_even(const uint16_t *pairs) {
    __m256i lo = _mm256_loadu_si256((const __m256i *)pairs),
            hi = _mm256_loadu_si256((const __m256i *)(pairs + 16));
    return (v16){_mm256_castsi256_ps(_mm256_slli_epi32(lo, 16)),
                 _mm256_castsi256_ps(_mm256_slli_epi32(hi, 16))};
}
RT_VERB v16 v16_load_odd(const uint16_t *pairs) {
    __m256i lo = _mm256_loadu_si256((const __m256i *)pairs),
            hi = _mm256_loadu_si256((const __m256i *)(pairs + 16));
    __m256i upper = _mm256_set1_epi32((int)0xffff0000u);
    return (v16){_mm256_castsi256_ps(_mm256_and_si256(lo, upper)),
                 _mm256_castsi256_ps(_mm256_and_si256(hi, upper))};
}

RT_VERB v16 v16_load_s32(const float *p) {
    return (v16){_mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i *)p)),
                 _mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i *)(p + 8)))};
}
RT_VERB v16 v16_load_s8_n(const int8_t *p, size_t n) {
    int8_t all[16] = {0};
    memcpy(all, p, n < 16 ? n : 16);
    __m128i x = _mm_loadu_si128((const __m128i *)all);
    return (v16){_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(x)),
                 _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(x, x)))};
}
RT_VERB void v16_store_s8(int8_t *p, v16 x) {
    __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(x.lo), _mm256_cvtps_epi32(x.hi));
    words = _mm256_permute4x64_epi64(words, 0xd8);
    __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128((__m128i *)p, bytes);
}

RT_VERB void v16_store_s16(int16_t *p, v16 x) {
    __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(x.lo), _mm256_cvtps_epi32(x.hi));
    _mm256_storeu_si256((__m256i *)(void *)p, _mm256_permute4x64_epi64(words, 0xd8));
}
RT_VERB __m256i pairs8(__m256 even, __m256 odd) {
    return _mm256_blend_epi16(_mm256_cvtps_epi32(even), _mm256_slli_epi32(_mm256_cvtps_epi32(odd), 16), 0xaa);
}
RT_VERB void v16_store_pairs(int16_t *p, v16 even, v16 odd) {
    _mm256_storeu_si256((__m256i *)(void *)p, pairs8(even.lo, odd.lo));
    _mm256_storeu_si256((__m256i *)(void *)(p + 16), pairs8(even.hi, odd.hi));
}

typedef struct n16 {
    __m256i lo, hi;
} n16;
RT_VERB n16 n16_zero(void) {
    return (n16){_mm256_setzero_si256(), _mm256_setzero_si256()};
}
RT_VERB v16 n16_float(n16 x) {
    return (v16){_mm256_cvtepi32_ps(x.lo), _mm256_cvtepi32_ps(x.hi)};
}
RT_VERB n16 n16_pair(const int16_t *p) {
    int32_t two;
    memcpy(&two, p, sizeof two);
    return (n16){_mm256_set1_epi32(two), _mm256_set1_epi32(two)};
}
RT_VERB n16 n16_load(const int16_t *p) {
    return (n16){_mm256_loadu_si256((const __m256i *)(const void *)p),
                 _mm256_loadu_si256((const __m256i *)(const void *)(p + 16))};
}
/* Added in place and in this order, so that gcc keeps 12 sums in registers. */
RT_VERB __m256i dot2(__m256i sum, __m256i a, __m256i b) {
    __m256i product = _mm256_madd_epi16(a, b);
    __asm__ volatile("vpaddd %1, %0, %0" : "+x"(sum) : "x"(product));
    return sum;
}
RT_VERB n16 n16_dot2(n16 sum, n16 a, n16 b) {
    return (n16){dot2(sum.lo, a.lo, b.lo), dot2(sum.hi, a.hi, b.hi)};
}

RT_VERB void transpose8(__m256 r[8]) {
    __m256 a[8], b[8];
    for (int i = 0; i < 8; i += 2) {
        a[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        a[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) { /* b[i + j]: rows i…i+3 of columns j, 4+j */
        b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
        b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xee);
        b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
        b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xee);
    }
    for (int j = 0; j < 4; j++) {
        r[j] = _mm256_permute2f128_ps(b[j], b[4 + j], 0x20);
        r[4 + j] = _mm256_permute2f128_ps(b[j], b[4 + j], 0x31);
    }
}
RT_VERB void v16_transpose(v16 r[16]) {
    __m256 part[4][8]; /* rows 0…7 and 8…15 of columns 0…7, then of columns 8…15 */
    for (int i = 0; i < 8; i++) {
        part[0][i] = r[i].lo;
        part[1][i] = r[8 + i].lo;
        part[2][i] = r[i].hi;
        part[3][i] = r[8 + i].hi;
    }
    for (int p = 0; p < 4; p++) transpose8(part[p]);
    for (int i = 0; i < 8; i++) {
        r[i] = (v16){part[0][i], part[1][i]};
        r[8 + i] = (v16){part[2][i], part[3][i]};
    }
}

#endif
