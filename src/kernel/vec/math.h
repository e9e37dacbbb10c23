/* SPDX-License-Identifier: Apache-2.0
 * exp, GELU and tanh on 16 lanes; formulas and errors: constants.h. */
#ifndef RT_KERNEL_VEC_MATH_H
#define RT_KERNEL_VEC_MATH_H

#include "kernel/constants.h"
#include "kernel/kernel.h"
#include "kernel/vec/vec.h"

#include <math.h>

/* The largest lane, ignoring NaN. */
RT_VERB float max16(v16 x) {
    float lane[16], max = -INFINITY;
    v16_store(lane, x);
    for (int i = 0; i < 16; i++) max = lane[i] > max ? lane[i] : max;
    return max;
}

/* The smallest lane, likewise. */
RT_VERB float min16(v16 x) {
    float lane[16], min = INFINITY;
    v16_store(lane, x);
    for (int i = 0; i < 16; i++) min = lane[i] < min ? lane[i] : min;
    return min;
}

/* c[0] + c[1] x + … + c[n-1] x^(n-1) */
RT_VERB v16 poly(const float *c, int n, v16 x) {
    v16 sum = v16_set(c[n - 1]);
#pragma GCC unroll 16
    for (int i = n - 2; i >= 0; i--) sum = v16_fma(sum, x, v16_set(c[i]));
    return sum;
}

RT_VERB v16 exp16(v16 x) {
    v16 one = v16_set(1.0f), n = v16_round(v16_mul(x, v16_set(RT_LOG2E)));
    v16 r = v16_fnma(n, v16_set(RT_LN2_LOW), v16_fnma(n, v16_set(RT_LN2_HIGH), x));
    v16 p = v16_fma(v16_fma(poly(rt_exp_poly, 5, r), r, one), r, one);
    return v16_if_less(x, v16_set(RT_EXP_LOW), v16_set(0.0f), v16_scale(p, n));
}

RT_VERB v16 gelu16(v16 x) {
    v16 z = v16_min(v16_abs(x), v16_set(RT_GELU_LIMIT));
    v16 y = v16_fma(poly(rt_gelu_poly, 10, z), z, v16_set(-1.0f)), n = v16_round(y), f = v16_sub(y, n);
    v16 t = v16_scale(v16_fma(poly(rt_exp2_poly, 6, f), f, v16_set(1.0f)), n);
    return v16_fnma(z, t, v16_max(v16_set(0.0f), x));
}

RT_VERB v16 gelu_short16(v16 x) {
    v16 z = v16_min(v16_max(x, v16_set(-RT_GELU_SHORT_LIMIT)), v16_set(RT_GELU_SHORT_LIMIT));
    return v16_mul(x, v16_fma(poly(rt_gelu_short_poly, 8, v16_mul(z, z)), z, v16_set(0.5f)));
}

RT_VERB v16 gelu_tanh16(v16 x) {
    v16 y = v16_mul(x, v16_fma(v16_set(RT_GELU_TANH_B), v16_mul(x, x), v16_set(RT_GELU_TANH_A)));
    return v16_div(x, v16_add(v16_set(1.0f), exp16(v16_min(v16_set(RT_EXP_HIGH), y))));
}

RT_VERB v16 silu16(v16 x) {
    v16 y = v16_sub(v16_set(0.0f), x);
    return v16_div(x, v16_add(v16_set(1.0f), exp16(v16_min(v16_set(RT_EXP_HIGH), y))));
}

RT_VERB v16 tanh16(v16 x) {
    v16 one = v16_set(1.0f), z = v16_min(v16_set(RT_TANH_LIMIT), v16_abs(x)), zz = v16_mul(z, z);
    v16 near = v16_fma(v16_mul(poly(rt_tanh_poly, 4, zz), zz), z, z);
    v16 far = v16_sub(one, v16_div(v16_set(2.0f), v16_add(exp16(v16_add(z, z)), one)));
    return v16_copysign(v16_if_less(z, v16_set(RT_TANH_SPLIT), near, far), x);
}

/* `act` is a constant at every call, so no branch remains. */
RT_VERB v16 activate16(v16 x, rt_act act) {
    switch (act) {
    case RT_FN_GELU:
        return gelu16(x);
    case RT_FN_GELU_TANH:
        return gelu_tanh16(x);
    case RT_FN_RELU:
        return v16_max(v16_set(0.0f), x);
    case RT_FN_TANH:
        return tanh16(x);
    case RT_FN_SILU:
        return silu16(x);
    case RT_FN_GELU_SHORT:
        return gelu_short16(x);
    case RT_FN_NONE:
        break;
    }
    return x;
}

#endif
