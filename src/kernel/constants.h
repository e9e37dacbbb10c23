/* SPDX-License-Identifier: Apache-2.0
 * Coefficients of the approximations that every tier uses, so that every tier gives the same bits. Minimax
 * fits (weighted Lawson iteration, coefficients rounded to float one by one, highest first). The stated
 * errors are those of the complete float evaluation; kernel_test measures them. Arrays start with the lowest
 * power. */
#ifndef RT_KERNEL_CONSTANTS_H
#define RT_KERNEL_CONSTANTS_H

/* exp(x) = 2^n exp(r), n = round(x log2 e), r = x - n ln 2, exp(r) = 1 + r + r^2 P(r). Below LOW the result
 * is 0 (exp(-87) is the last whole power that is a normal float); above HIGH 2^n would overflow. Error: 0.9
 * ulp. */
#define RT_EXP_LOW  -87.0f
#define RT_EXP_HIGH 88.0f
#define RT_LOG2E    0x1.715476p+0f
#define RT_LN2_HIGH 0x1.62e430p-1f
#define RT_LN2_LOW  -0x1.05c610p-29f
static const float rt_exp_poly[5] = {0x1.000000p-1f, 0x1.55548ep-3f, 0x1.55545ep-5f, 0x1.123b48p-7f,
                                     0x1.6db418p-10f};

/* GELU(x) = x Phi(x). With z = min(|x|, 6.5) and Phi(-z) = t = 2^y, y = -1 + z P(z):
 * GELU(x) = max(x, 0) - z t, which never cancels. Error: 1.7 ulp above 0, 4e-8 below. Below -6.5 the result
 * stays at -3e-10 while the exact one goes to 0. */
#define RT_GELU_LIMIT 6.5f
static const float rt_gelu_poly[10] = {-0x1.26aed2p+0f,  -0x1.d63c04p-2f,  -0x1.adc4c6p-5f, 0x1.c8f040p-8f,
                                       -0x1.01ec7ep-16f, -0x1.20a5a2p-12f, 0x1.3f4eb8p-14f, -0x1.73af96p-17f,
                                       0x1.dabb00p-21f,  -0x1.04fdd8p-25f};
/* 2^f = 1 + f P(f) for |f| <= 1/2. */
static const float rt_exp2_poly[6] = {0x1.62e430p-1f, 0x1.ebfbe0p-3f,  0x1.c6aed0p-5f,
                                      0x1.3b29aap-7f, 0x1.5f47b0p-10f, 0x1.448fc2p-13f};

/* Attention probabilities in 255 levels: 2^y, y <= log2 255, from LOW on. 2^f = P(f) for |f| <= 1/2. Error: 7.5e-5
 * (relative), a fiftieth of a level. */
#define RT_CHANCE_LOG2 0x1.ffa37cp+2f
#define RT_CHANCE_LOW  -100.0f
static const float rt_chance_poly[4] = {0x1.fff692p-1f, 0x1.62f31ap-1f, 0x1.f0de20p-3f, 0x1.c3f766p-5f};

/* The short GELU: x Phi(z), z = x clamped to ±LIMIT, Phi(z) = 1/2 + z P(z^2), 0 and 1 at the limits. 12
 * instructions instead of 27. Error: 8.2e-5 (absolute). */
#define RT_GELU_SHORT_LIMIT 4.2f
static const float rt_gelu_short_poly[8] = {0x1.980774p-2f,   -0x1.0c6766p-4f, 0x1.30afa6p-7f,
                                            -0x1.f26cfcp-11f, 0x1.18916ap-14f, -0x1.97c374p-19f,
                                            0x1.5519e8p-24f,  -0x1.efca0ap-31f};

/* GELU, tanh form: x sigmoid(2u) = x / (1 + exp(-2u)), -2u = x (A + B x^2). Error: 1.8 ulp above 0, 4e-8
 * below. */
#define RT_GELU_TANH_A -0x1.988454p+0f /* -2 sqrt(2/pi) */
#define RT_GELU_TANH_B -0x1.2444f2p-4f /* A * 0.044715 */

/* tanh(x) = x + x^3 P(x^2) for |x| < SPLIT, else 1 - 2 / (exp(2|x|) + 1) with the sign of x; 1
 * from LIMIT on. */
#define RT_TANH_SPLIT 0.55f
#define RT_TANH_LIMIT 9.1f
static const float rt_tanh_poly[4] = {-0x1.55545ap-2f, 0x1.10d01ap-3f, -0x1.af96aap-5f, 0x1.0da90ep-6f};

/* Slopes. GELU: Phi(x) + x pdf(x), pdf(x) = PDF exp(-x^2 / 2). Its tanh form, with s = sigmoid(2u): s + x s (1 - s) 2u',
 * x clamped to ±LIMIT, where it is 0 or 1. */
#define RT_GELU_PDF              0x1.988454p-2f
#define RT_GELU_TANH_SLOPE_LIMIT 8.0f

#endif
