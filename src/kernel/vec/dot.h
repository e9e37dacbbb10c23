/* SPDX-License-Identifier: Apache-2.0
 * The verbs of integer products, in addition to those of vec.h. The build names their header in
 * RT_DOT_HEADER. */
#ifndef RT_KERNEL_VEC_DOT_H
#define RT_KERNEL_VEC_DOT_H

#include "kernel/vec/vec.h"

#include RT_DOT_HEADER

/* clang-format off
 *   RT_DOT(name)  rt_name_<tier>
 *   s16           16 int32 sums                  s16_zero; s16_load, s16_store: bits in place of floats
 *   s16_start     before the first product: if a4_load adds 128 to A, minus the first n of 16 b_sum; else 0
 *   s16_float     as floats
 *   S16_KEEP      Keeps the sum in a register here. Otherwise gcc moves code from the epilogue into the loop
 *                 that computes the sums, and spills them.
 *   a4            4 elements of a row of A       a4_load
 *   w64           4 rows of a panel of weights   w64_load
 *   s16_dot       sum + a w
 *   w64_low, w64_high  4 rows of codes, possibly times a constant: the low or the high nibbles of 64 bytes
 *   s16_scales    group scales of 16 columns     s16_scaled   total + scale * sum of products with codes
 * clang-format on */

#endif
