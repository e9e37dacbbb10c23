/* SPDX-License-Identifier: Apache-2.0
 * Integer dot products (verbs: vec/dot.h) with SDOT. */
#ifndef RT_KERNEL_ARM_DOT_DOTPROD_H
#define RT_KERNEL_ARM_DOT_DOTPROD_H

#define RT_DOT(name) rt_##name##_dotprod

typedef int8x16_t a4;
typedef struct s16 {
    int32x4_t q[4];
} s16;
typedef struct w64 {
    int8x16_t q[4];
} w64;

RT_VERB s16 s16_zero(void) {
    int32x4_t zero = vdupq_n_s32(0);
    return (s16){{zero, zero, zero, zero}};
}
RT_VERB s16 s16_start(const int32_t *b_sum, size_t n) {
    (void)b_sum, (void)n;
    return s16_zero();
}
RT_VERB v16 s16_float(s16 sum) {
    v16 x;
    for (int i = 0; i < 4; i++) x.q[i] = vcvtq_f32_s32(sum.q[i]);
    return x;
}
#define S16_KEEP(sum) __asm__("" : "+w"((sum).q[0]), "+w"((sum).q[1]), "+w"((sum).q[2]), "+w"((sum).q[3]))
RT_VERB s16 s16_load(const float *p) {
    s16 sum;
    for (int i = 0; i < 4; i++) sum.q[i] = vreinterpretq_s32_f32(vld1q_f32(p + 4 * i));
    return sum;
}
RT_VERB void s16_store(float *p, s16 sum) {
    for (int i = 0; i < 4; i++) vst1q_f32(p + 4 * i, vreinterpretq_f32_s32(sum.q[i]));
}
RT_VERB a4 a4_load(const int8_t *a) {
    int32_t four;
    memcpy(&four, a, sizeof four);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}
RT_VERB w64 w64_load(const int8_t *b) {
    return (w64){{vld1q_s8(b), vld1q_s8(b + 16), vld1q_s8(b + 32), vld1q_s8(b + 48)}};
}
RT_VERB s16 s16_dot(s16 sum, a4 a, w64 w) {
    for (int i = 0; i < 4; i++) sum.q[i] = vdotq_s32(sum.q[i], w.q[i], a);
    return sum;
}

/* A code in the high nibble counts 16 times. */
RT_VERB w64 w64_low(const uint8_t *codes) {
    w64 w;
    for (int i = 0; i < 4; i++) w.q[i] = vreinterpretq_s8_u8(vshlq_n_u8(vld1q_u8(codes + 16 * i), 4));
    return w;
}
RT_VERB w64 w64_high(const uint8_t *codes) {
    w64 w;
    uint8x16_t upper = vdupq_n_u8(0xf0);
    for (int i = 0; i < 4; i++) w.q[i] = vreinterpretq_s8_u8(vandq_u8(vld1q_u8(codes + 16 * i), upper));
    return w;
}
RT_VERB s16 s16_scales(const uint8_t *scales) {
    s16 s;
    for (int i = 0; i < 2; i++) {
        uint16x8_t half = vmovl_u8(vld1_u8(scales + 8 * i));
        s.q[2 * i] = vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(half)));
        s.q[2 * i + 1] = vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(half)));
    }
    return s;
}
RT_VERB s16 s16_scaled(s16 total, s16 sum, s16 scale) {
    for (int i = 0; i < 4; i++) total.q[i] = vmlaq_s32(total.q[i], vshrq_n_s32(sum.q[i], 4), scale.q[i]);
    return total;
}

#endif
