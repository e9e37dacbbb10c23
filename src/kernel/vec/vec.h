/* SPDX-License-Identifier: Apache-2.0
 * A v16 is 16 float lanes, in as many registers as the ISA needs. All code in this folder uses the verbs
 * below and is compiled once per ISA; the build names the header of the ISA in RT_ISA_HEADER. Each verb
 * gives the same bits on every ISA (a NaN stays a NaN, its payload is undefined). */
#ifndef RT_KERNEL_VEC_VEC_H
#define RT_KERNEL_VEC_VEC_H

#include RT_ISA_HEADER

/* clang-format off
 *   RT_ISA(name)    rt_name_<isa>
 *   RT_TILE_BODY    before the body of a register tile: compiled for each number of rows and panels
 *   V16_TILES(X)    X(rows, panels) for each register tile of a product, up to V16_ROWS and V16_PANELS
 *   v16_panels      panels per tile for this number of rows
 *   v16_set         x in all lanes
 *   v16_load(_n)    16 lanes, or the first n and 0 in the others
 *   v16_store(_n)   16 lanes, or the first n; nothing beyond them is touched
 *   v16_add, v16_sub, v16_mul, v16_div
 *   v16_fma         a b + c, rounded once         v16_fnma       c - a b, rounded once
 *   v16_max         a > b ? a : b                 v16_min        a < b ? a : b
 *   v16_abs         |x|                           v16_copysign   x with the sign of the other
 *   v16_sqrt        rounded once
 *   v16_round       to nearest, ties to even      v16_scale      x 2^n, n integer, -126 <= n <= 127
 *   v16_if_less     a < b ? yes : no              v16_first      lanes below n of a, the others of b
 *   v16_sum         the fixed tree of kernel.h    v16_transpose  16 x 16, in place
 *   v16_load_bf16_n, v16_store_bf16_n             widened; rounded to nearest even
 *   v16_store_bf16_pairs  16 pairs, of two v16
 *   v16_load_even, v16_load_odd                   first or second bf16 of 16 pairs, widened
 *   v16_load_s32    16 integer sums (bits in place of floats), to float
 *   v16_load_s8_n   the first n of 16 int8        v16_store_s8   rounded, all 16; within int8
 *   v16_store_s16   rounded, all 16; within int16
 *   v16_store_pairs 16 pairs of int16: of two v16, rounded
 *   n16             16 int32 sums: n16_zero, n16_float (converted)
 *   n16_pair        two int16 in all lanes      n16_load      16 pairs of int16
 *   n16_dot2        sum + a.0 b.0 + a.1 b.1
 *   v16_prefetch    a hint; empty if the hardware needs none
 * clang-format on */

#endif
