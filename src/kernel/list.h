/* SPDX-License-Identifier: Apache-2.0
 * One row a kernel, best first within a family, ref last and always there. Expanded by select.c, by the test
 * and by its benchmark. No include guard: the includer defines KERNEL(family, row, needs, bound). */
/* clang-format off
 *   family  member of rt_kernels
 *   row     the function is rt_ROW
 *   needs   features (base/cpu.h)
 *   bound   EXACT: ref's bits; else |difference| <= bound * sum |a b|
 * clang-format on */
/* BF16_BOUND: another order of summation, subnormals flushed; the check passes at 2^-22 too. */
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
KERNEL(attention, attention_avx2, RT_CPU_AVX2, EXACT)
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
KERNEL(narrow, narrow_avx512, RT_CPU_AVX512, EXACT)
KERNEL(narrow, narrow_avx2, RT_CPU_AVX2, EXACT)
KERNEL(gemm_s8, gemm_s8_avx512vnni, RT_CPU_AVX512_VNNI, EXACT)
KERNEL(gemm_s8, gemm_s8_avxvnni, RT_CPU_AVX_VNNI, EXACT)
KERNEL(gemm_s8, gemm_s8_avx2, RT_CPU_AVX2, EXACT)
KERNEL(gemm_s4, gemm_s4_avx512vnni, RT_CPU_AVX512_VNNI, EXACT)
KERNEL(gemm_s4, gemm_s4_avxvnni, RT_CPU_AVX_VNNI, EXACT)
KERNEL(gemm_s4, gemm_s4_avx2, RT_CPU_AVX2, EXACT)
KERNEL(quantize, quantize_avx512, RT_CPU_AVX512, EXACT)
KERNEL(quantize, quantize_avx2, RT_CPU_AVX2, EXACT)
#elif defined(__aarch64__)
KERNEL(gemm_f32, gemm_f32_neon, RT_CPU_NEON, EXACT)
KERNEL(gemm_bf16, gemm_bf16_neon, RT_CPU_NEON, EXACT)
KERNEL(attention, attention_neon, RT_CPU_NEON, EXACT)
KERNEL(layer_norm, layer_norm_neon, RT_CPU_NEON, EXACT)
KERNEL(embed, embed_neon, RT_CPU_NEON, EXACT)
KERNEL(pool_mean, pool_mean_neon, RT_CPU_NEON, EXACT)
KERNEL(pool_max, pool_max_neon, RT_CPU_NEON, EXACT)
KERNEL(normalize, normalize_neon, RT_CPU_NEON, EXACT)
KERNEL(narrow, narrow_neon, RT_CPU_NEON, EXACT)
KERNEL(quantize, quantize_neon, RT_CPU_NEON, EXACT)
#endif
KERNEL(gemm_f32, gemm_f32_ref, 0, EXACT)
KERNEL(gemm_bf16, gemm_bf16_ref, 0, EXACT)
KERNEL(attention, attention_ref, 0, EXACT)
KERNEL(layer_norm, layer_norm_ref, 0, EXACT)
KERNEL(embed, embed_ref, 0, EXACT)
KERNEL(pool_mean, pool_mean_ref, 0, EXACT)
KERNEL(pool_max, pool_max_ref, 0, EXACT)
KERNEL(normalize, normalize_ref, 0, EXACT)
KERNEL(narrow, narrow_ref, 0, EXACT)
KERNEL(gemm_s8, gemm_s8_ref, 0, EXACT)
KERNEL(gemm_s4, gemm_s4_ref, 0, EXACT)
KERNEL(quantize, quantize_ref, 0, EXACT)

#undef EXACT
#undef BF16_BOUND
#undef KERNEL
