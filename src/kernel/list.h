/* SPDX-License-Identifier: Apache-2.0
 * One row per kernel, best first within a family, ref last and always present. Expanded by select.c, the test
 * and its benchmark. No include guard: the includer defines KERNEL(family, row, needs, bound), and may define
 * CODES(family, row, needs, bound, few), the rows of products with codes. */
/* clang-format off
 *   family  member of rt_kernels
 *   row     the function is rt_ROW
 *   needs   features (base/cpu.h)
 *   bound   EXACT: ref's bits; else |difference| <= bound * sum |a b|
 *   few     the most rows of A for which codes beat int8 panels that exceed the caches; ALWAYS: for any number,
 *           in the caches too. 4: base shape on Zen 4, panels of 43 MB, one thread, at 4, 8 and 12 rows: 1.39,
 *           2.91, 3.95 ms with codes, 1.56, 1.95, 2.85 with panels
 * clang-format on */
#ifndef CODES
#define CODES(family, row, needs, bound, few) KERNEL(family, row, needs, bound)
#endif
#define ALWAYS SIZE_MAX
/* BF16_BOUND: a different order of summation, subnormals flushed; the check also passes at 2^-22. */
#define EXACT      0.0f
#define BF16_BOUND 0x1p-21f

#if defined(__x86_64__)
KERNEL(gemm_f32, gemm_f32_avx512, RT_CPU_AVX512, EXACT)
KERNEL(gemm_f32, gemm_f32_avx2, RT_CPU_AVX2, EXACT)
KERNEL(gemm_bf16, gemm_bf16_amx, RT_CPU_AMX_BF16, BF16_BOUND)
KERNEL(gemm_bf16, gemm_bf16_avx512bf16, RT_CPU_AVX512_BF16, BF16_BOUND)
KERNEL(gemm_bf16, gemm_bf16_avx512, RT_CPU_AVX512, EXACT)
KERNEL(gemm_bf16, gemm_bf16_avx2, RT_CPU_AVX2, EXACT)
KERNEL(attention, attention_avx512, RT_CPU_AVX512, EXACT)
KERNEL(attention_s8, attention_s8_avx512vnni, RT_CPU_AVX512_VNNI, EXACT)
KERNEL(attention_s8, attention_s8_avxvnni, RT_CPU_AVX_VNNI, EXACT)
KERNEL(attention_s8, attention_s8_avx512, RT_CPU_AVX512, EXACT)
KERNEL(attention, attention_avx2, RT_CPU_AVX2, EXACT)
KERNEL(attention_s8, attention_s8_avx2, RT_CPU_AVX2, EXACT)
KERNEL(layer_norm, layer_norm_avx512, RT_CPU_AVX512, EXACT)
KERNEL(layer_norm, layer_norm_avx2, RT_CPU_AVX2, EXACT)
KERNEL(embed, embed_avx512, RT_CPU_AVX512, EXACT)
KERNEL(embed, embed_avx2, RT_CPU_AVX2, EXACT)
KERNEL(pool_mean, pool_mean_avx512, RT_CPU_AVX512, EXACT)
KERNEL(pool_mean, pool_mean_avx2, RT_CPU_AVX2, EXACT)
KERNEL(pool_max, pool_max_avx512, RT_CPU_AVX512, EXACT)
KERNEL(pool_max, pool_max_avx2, RT_CPU_AVX2, EXACT)
KERNEL(normalize, normalize_avx512, RT_CPU_AVX512, EXACT)
KERNEL(normalize, normalize_avx2, RT_CPU_AVX2, EXACT)
KERNEL(to_bf16, to_bf16_avx512, RT_CPU_AVX512, EXACT)
KERNEL(to_bf16, to_bf16_avx2, RT_CPU_AVX2, EXACT)
KERNEL(gemm_s8, gemm_s8_amx, RT_CPU_AMX_INT8, EXACT)
KERNEL(gemm_s8, gemm_s8_avx512vnni, RT_CPU_AVX512_VNNI, EXACT)
KERNEL(gemm_s8, gemm_s8_avxvnni, RT_CPU_AVX_VNNI, EXACT)
KERNEL(gemm_s8, gemm_s8_avx2, RT_CPU_AVX2, EXACT)
CODES(gemm_s4, gemm_s4_amx, RT_CPU_AMX_INT8, EXACT, 4)
CODES(gemm_s4, gemm_s4_avx512vnni, RT_CPU_AVX512_VNNI, EXACT, 4)
CODES(gemm_s4, gemm_s4_avxvnni, RT_CPU_AVX_VNNI, EXACT, 4)
CODES(gemm_s4, gemm_s4_avx2, RT_CPU_AVX2, EXACT, ALWAYS)
KERNEL(widen_s4, widen_s4_avx512, RT_CPU_AVX512, EXACT)
KERNEL(widen_s4, widen_s4_avx2, RT_CPU_AVX2, EXACT)
KERNEL(quantize, quantize_avx512, RT_CPU_AVX512, EXACT)
KERNEL(quantize, quantize_avx2, RT_CPU_AVX2, EXACT)
KERNEL(peak_f32, peak_f32_avx512, RT_CPU_AVX512, EXACT)
KERNEL(peak_f32, peak_f32_avx2, RT_CPU_AVX2, EXACT)
KERNEL(peak_bf16, peak_bf16_amx, RT_CPU_AMX_BF16, EXACT)
KERNEL(peak_bf16, peak_bf16_avx512bf16, RT_CPU_AVX512_BF16, EXACT)
KERNEL(peak_bf16, peak_bf16_avx512, RT_CPU_AVX512, EXACT)
KERNEL(peak_bf16, peak_bf16_avx2, RT_CPU_AVX2, EXACT)
KERNEL(peak_s8, peak_s8_amx, RT_CPU_AMX_INT8, EXACT)
KERNEL(peak_s8, peak_s8_avx512vnni, RT_CPU_AVX512_VNNI, EXACT)
KERNEL(peak_s8, peak_s8_avxvnni, RT_CPU_AVX_VNNI, EXACT)
KERNEL(peak_s8, peak_s8_avx2, RT_CPU_AVX2, EXACT)
KERNEL(peak_s4, peak_s4_amx, RT_CPU_AMX_INT8, EXACT)
KERNEL(peak_s4, peak_s4_avx512vnni, RT_CPU_AVX512_VNNI, EXACT)
KERNEL(peak_s4, peak_s4_avxvnni, RT_CPU_AVX_VNNI, EXACT)
KERNEL(peak_s4, peak_s4_avx2, RT_CPU_AVX2, EXACT)
KERNEL(read_sum, read_sum_avx512, RT_CPU_AVX512, EXACT)
KERNEL(read_sum, read_sum_avx2, RT_CPU_AVX2, EXACT)
#elif defined(__aarch64__)
KERNEL(gemm_f32, gemm_f32_neon, RT_CPU_NEON, EXACT)
KERNEL(gemm_bf16, gemm_bf16_neon, RT_CPU_NEON, EXACT)
KERNEL(attention, attention_neon, RT_CPU_NEON, EXACT)
KERNEL(attention_s8, attention_s8_neon, RT_CPU_NEON, EXACT)
KERNEL(layer_norm, layer_norm_neon, RT_CPU_NEON, EXACT)
KERNEL(embed, embed_neon, RT_CPU_NEON, EXACT)
KERNEL(pool_mean, pool_mean_neon, RT_CPU_NEON, EXACT)
KERNEL(pool_max, pool_max_neon, RT_CPU_NEON, EXACT)
KERNEL(normalize, normalize_neon, RT_CPU_NEON, EXACT)
KERNEL(to_bf16, to_bf16_neon, RT_CPU_NEON, EXACT)
KERNEL(gemm_s8, gemm_s8_i8mm, RT_CPU_I8MM, EXACT)
KERNEL(gemm_s8, gemm_s8_dotprod, RT_CPU_DOTPROD, EXACT)
CODES(gemm_s4, gemm_s4_i8mm, RT_CPU_I8MM, EXACT, 4)
CODES(gemm_s4, gemm_s4_dotprod, RT_CPU_DOTPROD, EXACT, 4)
KERNEL(widen_s4, widen_s4_neon, RT_CPU_NEON, EXACT)
KERNEL(quantize, quantize_neon, RT_CPU_NEON, EXACT)
KERNEL(peak_f32, peak_f32_neon, RT_CPU_NEON, EXACT)
KERNEL(peak_bf16, peak_bf16_neonbf16, RT_CPU_NEON_BF16, EXACT)
KERNEL(peak_bf16, peak_bf16_neon, RT_CPU_NEON, EXACT)
KERNEL(peak_s8, peak_s8_i8mm, RT_CPU_I8MM, EXACT)
KERNEL(peak_s8, peak_s8_dotprod, RT_CPU_DOTPROD, EXACT)
KERNEL(peak_s8, peak_s8_neon, RT_CPU_NEON, EXACT)
KERNEL(peak_s4, peak_s4_i8mm, RT_CPU_I8MM, EXACT)
KERNEL(peak_s4, peak_s4_dotprod, RT_CPU_DOTPROD, EXACT)
KERNEL(peak_s4, peak_s4_neon, RT_CPU_NEON, EXACT)
KERNEL(read_sum, read_sum_neon, RT_CPU_NEON, EXACT)
#endif
KERNEL(gemm_f32, gemm_f32_ref, 0, EXACT)
KERNEL(gemm_bf16, gemm_bf16_ref, 0, EXACT)
KERNEL(attention, attention_ref, 0, EXACT)
KERNEL(attention_s8, attention_s8_ref, 0, EXACT)
KERNEL(layer_norm, layer_norm_ref, 0, EXACT)
KERNEL(embed, embed_ref, 0, EXACT)
KERNEL(pool_mean, pool_mean_ref, 0, EXACT)
KERNEL(pool_max, pool_max_ref, 0, EXACT)
KERNEL(normalize, normalize_ref, 0, EXACT)
KERNEL(to_bf16, to_bf16_ref, 0, EXACT)
KERNEL(gemm_s8, gemm_s8_ref, 0, EXACT)
CODES(gemm_s4, gemm_s4_ref, 0, EXACT, ALWAYS)
KERNEL(widen_s4, widen_s4_ref, 0, EXACT)
KERNEL(quantize, quantize_ref, 0, EXACT)
KERNEL(peak_f32, peak_f32_ref, 0, EXACT)
KERNEL(peak_bf16, peak_bf16_ref, 0, EXACT)
KERNEL(peak_s8, peak_s8_ref, 0, EXACT)
KERNEL(peak_s4, peak_s4_ref, 0, EXACT)
KERNEL(read_sum, read_sum_ref, 0, EXACT)

#undef EXACT
#undef BF16_BOUND
#undef ALWAYS
#undef CODES
#undef KERNEL
