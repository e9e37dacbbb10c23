/* SPDX-License-Identifier: Apache-2.0
 * The vector verbs (listed in vec/vec.h) on NEON: a v16 is four q registers. */
#ifndef RT_KERNEL_ARM_VEC_NEON_H
#define RT_KERNEL_ARM_VEC_NEON_H

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define RT_ISA(name) rt_##name##_neon
#define RT_VERB      static inline __attribute__((always_inline))
#define RT_TILE_BODY RT_VERB

/* Register tiles (rows, panels): 6 x 1 fills 24 of 32 registers with sums; one or two rows take three panels,
 * or there would be too few sums in flight to hide the latency of fma. */
enum { V16_ROWS = 6, V16_PANELS = 3 };
#define V16_TILES(X) X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(1, 2) X(2, 2) X(1, 3) X(2, 3)
static inline size_t v16_panels(size_t rows) {
    return rows <= 2 ? 3 : 1;
}

typedef struct v16 {
    float32x4_t q[4];
} v16;

RT_VERB void v16_prefetch(const void *p) {
    __builtin_prefetch(p);
}

RT_VERB v16 v16_set(float x) {
    float32x4_t q = vdupq_n_f32(x);
    return (v16){{q, q, q, q}};
}
RT_VERB v16 v16_load(const float *p) {
    return (v16){{vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)}};
}
RT_VERB void v16_store(float *p, v16 x) {
    for (int i = 0; i < 4; i++) vst1q_f32(p + 4 * i, x.q[i]);
}
RT_VERB v16 v16_load_n(const float *p, size_t n) {
    if (n >= 16) return v16_load(p);
    float all[16] = {0};
    memcpy(all, p, n * sizeof *p);
    return v16_load(all);
}
RT_VERB void v16_store_n(float *p, v16 x, size_t n) {
    if (n >= 16) {
        v16_store(p, x);
    } else {
        float all[16];
        v16_store(all, x);
        memcpy(p, all, n * sizeof *p);
    }
}

RT_VERB v16 v16_add(v16 a, v16 b) {
    for (int i = 0; i < 4; i++) a.q[i] = vaddq_f32(a.q[i], b.q[i]);
    return a;
}
RT_VERB v16 v16_sub(v16 a, v16 b) {
    for (int i = 0; i < 4; i++) a.q[i] = vsubq_f32(a.q[i], b.q[i]);
    return a;
}
RT_VERB v16 v16_mul(v16 a, v16 b) {
    for (int i = 0; i < 4; i++) a.q[i] = vmulq_f32(a.q[i], b.q[i]);
    return a;
}
RT_VERB v16 v16_div(v16 a, v16 b) {
    for (int i = 0; i < 4; i++) a.q[i] = vdivq_f32(a.q[i], b.q[i]);
    return a;
}
RT_VERB v16 v16_sqrt(v16 x) {
    for (int i = 0; i < 4; i++) x.q[i] = vsqrtq_f32(x.q[i]);
    return x;
}
RT_VERB v16 v16_fma(v16 a, v16 b, v16 c) {
    for (int i = 0; i < 4; i++) c.q[i] = vfmaq_f32(c.q[i], a.q[i], b.q[i]);
    return c;
}
RT_VERB v16 v16_fnma(v16 a, v16 b, v16 c) {
    for (int i = 0; i < 4; i++) c.q[i] = vfmsq_f32(c.q[i], a.q[i], b.q[i]);
    return c;
}
RT_VERB v16 v16_max(v16 a, v16 b) {
    for (int i = 0; i < 4; i++) a.q[i] = vbslq_f32(vcgtq_f32(a.q[i], b.q[i]), a.q[i], b.q[i]);
    return a;
}
RT_VERB v16 v16_min(v16 a, v16 b) {
    for (int i = 0; i < 4; i++) a.q[i] = vbslq_f32(vcltq_f32(a.q[i], b.q[i]), a.q[i], b.q[i]);
    return a;
}
RT_VERB v16 v16_abs(v16 x) {
    for (int i = 0; i < 4; i++) x.q[i] = vabsq_f32(x.q[i]);
    return x;
}
RT_VERB v16 v16_round(v16 x) {
    for (int i = 0; i < 4; i++) x.q[i] = vrndnq_f32(x.q[i]);
    return x;
}
RT_VERB v16 v16_scale(v16 x, v16 n) {
    for (int i = 0; i < 4; i++) {
        int32x4_t exponent = vaddq_s32(vcvtnq_s32_f32(n.q[i]), vdupq_n_s32(127));
        x.q[i] = vmulq_f32(x.q[i], vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23)));
    }
    return x;
}
RT_VERB v16 v16_copysign(v16 x, v16 sign) {
    for (int i = 0; i < 4; i++) x.q[i] = vbslq_f32(vdupq_n_u32(0x7fffffffu), x.q[i], sign.q[i]);
    return x;
}
RT_VERB v16 v16_if_less(v16 a, v16 b, v16 yes, v16 no) {
    for (int i = 0; i < 4; i++) no.q[i] = vbslq_f32(vcltq_f32(a.q[i], b.q[i]), yes.q[i], no.q[i]);
    return no;
}
RT_VERB v16 v16_first(size_t n, v16 a, v16 b) {
    static const uint32_t lane[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    uint32x4_t count = vdupq_n_u32(n < 16 ? (uint32_t)n : 16);
    for (int i = 0; i < 4; i++) b.q[i] = vbslq_f32(vcltq_u32(vld1q_u32(lane + 4 * i), count), a.q[i], b.q[i]);
    return b;
}
RT_VERB float v16_sum(v16 x) {
    float32x4_t s4 = vaddq_f32(vaddq_f32(x.q[0], x.q[2]), vaddq_f32(x.q[1], x.q[3]));
    float32x2_t s2 = vadd_f32(vget_low_f32(s4), vget_high_f32(s4));
    return vget_lane_f32(s2, 0) + vget_lane_f32(s2, 1);
}

RT_VERB uint16x4_t narrow4(float32x4_t x) {
    uint32x4_t bits = vreinterpretq_u32_f32(x);
    uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    uint32x4_t rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    uint32x4_t quiet = vorrq_u32(bits, vdupq_n_u32(0x400000));
    return vshrn_n_u32(vbslq_u32(vceqq_f32(x, x), rounded, quiet), 16);
}
RT_VERB void v16_store_bf16(uint16_t *p, v16 x) {
    for (int i = 0; i < 4; i++) vst1_u16(p + 4 * i, narrow4(x.q[i]));
}
RT_VERB void v16_store_bf16_n(uint16_t *p, v16 x, size_t n) {
    if (n >= 16) {
        v16_store_bf16(p, x);
    } else {
        uint16_t all[16];
        v16_store_bf16(all, x);
        memcpy(p, all, n * sizeof *p);
    }
}
RT_VERB void v16_store_bf16_pairs(uint16_t *p, v16 even, v16 odd) {
    for (int i = 0; i < 4; i++) vst2_u16(p + 8 * i, (uint16x4x2_t){{narrow4(even.q[i]), narrow4(odd.q[i])}});
}
RT_VERB v16 v16_load_bf16(const uint16_t *p) {
    v16 x;
    for (int i = 0; i < 4; i++) x.q[i] = vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16));
    return x;
}
RT_VERB v16 v16_load_bf16_n(const uint16_t *p, size_t n) {
    if (n >= 16) return v16_load_bf16(p);
    uint16_t all[16] = {0};
    memcpy(all, p, n * sizeof *p);
    return v16_load_bf16(all);
}
RT_VERB uint32x4_t load_pairs(const uint16_t *pairs) {
    return vreinterpretq_u32_u16(vld1q_u16(pairs));
}
RT_VERB v16 v16_load_even(const uint16_t *pairs) {
    v16 x;
    for (int i = 0; i < 4; i++) x.q[i] = vreinterpretq_f32_u32(vshlq_n_u32(load_pairs(pairs + 8 * i), 16));
    return x;
}
RT_VERB v16 v16_load_odd(const uint16_t *pairs) {
    v16 x;
    uint32x4_t upper = vdupq_n_u32(0xffff0000u);
    for (int i = 0; i < 4; i++) x.q[i] = vreinterpretq_f32_u32(vandq_u32(load_pairs(pairs + 8 * i), upper));
    return x;
}

RT_VERB v16 v16_load_s32(const float *p) {
    v16 x = v16_load(p);
    for (int i = 0; i < 4; i++) x.q[i] = vcvtq_f32_s32(vreinterpretq_s32_f32(x.q[i]));
    return x;
}
RT_VERB v16 v16_load_s8_n(const int8_t *p, size_t n) {
    int8_t all[16] = {0};
    memcpy(all, p, n < 16 ? n : 16);
    v16 x;
    for (int i = 0; i < 2; i++) {
        int16x8_t half = vmovl_s8(vld1_s8(all + 8 * i));
        x.q[2 * i] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(half)));
        x.q[2 * i + 1] = vcvtq_f32_s32(vmovl_s16(vget_high_s16(half)));
    }
    return x;
}
RT_VERB void v16_store_s8(int8_t *p, v16 x) {
    for (int i = 0; i < 2; i++) {
        int16x4_t low = vmovn_s32(vcvtnq_s32_f32(x.q[2 * i])),
                  high = vmovn_s32(vcvtnq_s32_f32(x.q[2 * i + 1]));
        vst1_s8(p + 8 * i, vmovn_s16(vcombine_s16(low, high)));
    }
}
RT_VERB int16x8_t words8(float32x4_t low, float32x4_t high) {
    return vcombine_s16(vmovn_s32(vcvtnq_s32_f32(low)), vmovn_s32(vcvtnq_s32_f32(high)));
}
RT_VERB void v16_store_s16(int16_t *p, v16 x) {
    vst1q_s16(p, words8(x.q[0], x.q[1]));
    vst1q_s16(p + 8, words8(x.q[2], x.q[3]));
}
RT_VERB void v16_store_pairs(int16_t *p, v16 even, v16 odd) {
    for (int i = 0; i < 4; i += 2) {
        int16x8x2_t pairs = {{words8(even.q[i], even.q[i + 1]), words8(odd.q[i], odd.q[i + 1])}};
        vst2q_s16(p + 8 * i, pairs);
    }
}

typedef struct n16 {
    int32x4_t q[4];
} n16;
RT_VERB n16 n16_zero(void) {
    int32x4_t zero = vdupq_n_s32(0);
    return (n16){{zero, zero, zero, zero}};
}
RT_VERB v16 n16_float(n16 x) {
    v16 y;
    for (int i = 0; i < 4; i++) y.q[i] = vcvtq_f32_s32(x.q[i]);
    return y;
}
RT_VERB n16 n16_pair(const int16_t *p) {
    int32_t two;
    memcpy(&two, p, sizeof two);
    int32x4_t q = vdupq_n_s32(two);
    return (n16){{q, q, q, q}};
}
RT_VERB n16 n16_load(const int16_t *p) {
    n16 x;
    for (int i = 0; i < 4; i++) x.q[i] = vreinterpretq_s32_s16(vld1q_s16(p + 8 * i));
    return x;
}
RT_VERB n16 n16_dot2(n16 sum, n16 a, n16 b) {
    for (int i = 0; i < 4; i++) {
        int16x8_t x = vreinterpretq_s16_s32(a.q[i]), y = vreinterpretq_s16_s32(b.q[i]);
        int32x4_t low = vmull_s16(vget_low_s16(x), vget_low_s16(y)), high = vmull_high_s16(x, y);
        sum.q[i] = vaddq_s32(sum.q[i], vpaddq_s32(low, high));
    }
    return sum;
}

/* Column j of the 4 x 4 block becomes q[j]. */
RT_VERB void transpose4(float32x4_t q[4]) {
    float32x4x2_t even = vtrnq_f32(q[0], q[1]), odd = vtrnq_f32(q[2], q[3]);
    q[0] = vcombine_f32(vget_low_f32(even.val[0]), vget_low_f32(odd.val[0]));
    q[1] = vcombine_f32(vget_low_f32(even.val[1]), vget_low_f32(odd.val[1]));
    q[2] = vcombine_f32(vget_high_f32(even.val[0]), vget_high_f32(odd.val[0]));
    q[3] = vcombine_f32(vget_high_f32(even.val[1]), vget_high_f32(odd.val[1]));
}
RT_VERB void v16_transpose(v16 r[16]) {
    v16 out[16];
    for (int i = 0; i < 4; i++) {     /* rows 4i… */
        for (int j = 0; j < 4; j++) { /* columns 4j… */
            float32x4_t q[4] = {r[4 * i].q[j], r[4 * i + 1].q[j], r[4 * i + 2].q[j], r[4 * i + 3].q[j]};
            transpose4(q);
            for (int c = 0; c < 4; c++) out[4 * j + c].q[i] = q[c];
        }
    }
    memcpy(r, out, sizeof out);
}

#endif
