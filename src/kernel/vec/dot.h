/* SPDX-License-Identifier: Apache-2.0
 * The verbs of integer products, beside those of vec.h. The build names their header in RT_DOT_HEADER. */
#ifndef RT_KERNEL_VEC_DOT_H
#define RT_KERNEL_VEC_DOT_H

#include "kernel/vec/vec.h"

#include RT_DOT_HEADER

/* clang-format off
 *   RT_DOT(name)  rt_name_<tier>
 *   DOT_SHIFTS    A has 128 added: the sums are too large by b_sum
 *   s16           16 int32 sums                  s16_zero, s16_store (the bits, in place of floats)
 *   a4            4 elements of a row of A       a4_load
 *   w64           4 rows of a panel of weights   w64_load, w64_store
 *   g16           scales of 16 columns           g16_load
 *   s16_dot       sum + a w
 *   w64_unpack    64 bytes of codes times scales: 4 rows of the low nibbles, 4 rows of the high ones
 * clang-format on */

#endif
