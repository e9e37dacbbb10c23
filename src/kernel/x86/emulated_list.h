/* SPDX-License-Identifier: Apache-2.0
 * Additional rows for kernel_test, in the form of list.h: the sources of kernels, compiled with instructions
 * emulated in plain C or in another encoding, for CPUs that lack the real ones. They are not in the library.
 * Missing: the peaks and read_sum of AVX-512, which name zmm registers in inline assembly. */
KERNEL(gemm_bf16, gemm_bf16_amx_emulated, RT_CPU_AVX2, 0x1p-21f)
KERNEL(gemm_s8, gemm_s8_amx_emulated, RT_CPU_AVX2, 0.0f)
KERNEL(gemm_s4, gemm_s4_amx_emulated, RT_CPU_AVX2, 0.0f)
KERNEL(peak_bf16, peak_bf16_amx_emulated, RT_CPU_AVX2, 0.0f)
KERNEL(peak_s8, peak_s8_amx_emulated, RT_CPU_AVX2, 0.0f)
KERNEL(peak_s4, peak_s4_amx_emulated, RT_CPU_AVX2, 0.0f)
KERNEL(gemm_s8, gemm_s8_avxvnni_evex, RT_CPU_AVX512_VNNI, 0.0f)
KERNEL(gemm_s4, gemm_s4_avxvnni_evex, RT_CPU_AVX512_VNNI, 0.0f)
KERNEL(attention_s8, attention_s8_avxvnni_evex, RT_CPU_AVX512_VNNI, 0.0f)
#ifdef RT_HAVE_SIMDE
KERNEL(gemm_f32, gemm_f32_avx512_emulated, RT_CPU_AVX2, 0.0f)
KERNEL(gemm_bf16, gemm_bf16_avx512bf16_emulated, RT_CPU_AVX2, 0x1p-21f)
KERNEL(gemm_bf16, gemm_bf16_avx512_emulated, RT_CPU_AVX2, 0.0f)
KERNEL(attention, attention_avx512_emulated, RT_CPU_AVX2, 0.0f)
KERNEL(attention_s8, attention_s8_avx512_emulated, RT_CPU_AVX2, 0.0f)
KERNEL(attention_s8, attention_s8_avx512vnni_emulated, RT_CPU_AVX2, 0.0f)
KERNEL(attention_s8, attention_s8_avxvnni_emulated, RT_CPU_AVX2, 0.0f)
KERNEL(layer_norm, layer_norm_avx512_emulated, RT_CPU_AVX2, 0.0f)
KERNEL(embed, embed_avx512_emulated, RT_CPU_AVX2, 0.0f)
KERNEL(pool_mean, pool_mean_avx512_emulated, RT_CPU_AVX2, 0.0f)
KERNEL(pool_max, pool_max_avx512_emulated, RT_CPU_AVX2, 0.0f)
KERNEL(normalize, normalize_avx512_emulated, RT_CPU_AVX2, 0.0f)
KERNEL(to_bf16, to_bf16_avx512_emulated, RT_CPU_AVX2, 0.0f)
KERNEL(gemm_s8, gemm_s8_avx512vnni_emulated, RT_CPU_AVX2, 0.0f)
KERNEL(gemm_s8, gemm_s8_avxvnni_emulated, RT_CPU_AVX2, 0.0f)
KERNEL(gemm_s4, gemm_s4_avx512vnni_emulated, RT_CPU_AVX2, 0.0f)
KERNEL(gemm_s4, gemm_s4_avxvnni_emulated, RT_CPU_AVX2, 0.0f)
KERNEL(widen_s4, widen_s4_avx512_emulated, RT_CPU_AVX2, 0.0f)
KERNEL(quantize, quantize_avx512_emulated, RT_CPU_AVX2, 0.0f)
KERNEL(adamw, adamw_avx512_emulated, RT_CPU_AVX2, 0.0f)
KERNEL(squares, squares_avx512_emulated, RT_CPU_AVX2, 0.0f)
KERNEL(transpose, transpose_avx512_emulated, RT_CPU_AVX2, 0.0f)
KERNEL(pack, pack_avx512_emulated, RT_CPU_AVX2, 0.0f)
KERNEL(act_back, act_back_avx512_emulated, RT_CPU_AVX2, 0.0f)
KERNEL(layer_norm_back, layer_norm_back_avx512_emulated, RT_CPU_AVX2, 0.0f)
KERNEL(attention_back, attention_back_avx512_emulated, RT_CPU_AVX2, 0.0f)
#endif

#undef KERNEL
