/* SPDX-License-Identifier: Apache-2.0
 * Features of this CPU, and how much of it this process may use. */
#ifndef RT_BASE_CPU_H
#define RT_BASE_CPU_H

#include "base/error.h"

/* One row per feature: bit, name. A bit is set only if the CPU has the feature and the operating system
 * allows it (XCR0 enables the register state; for AMX, arch_prctl granted permission to this process).
 * "fast_*" bits mean that a feature is also worth using. */
#define RT_CPU_FEATURES(X)                                                                                   \
    X(AVX2, "avx2")     /* AVX2 + FMA + F16C + BMI */                                                        \
    X(AVX512, "avx512") /* F BW CD DQ VL */                                                                  \
    X(AVX512_VNNI, "avx512_vnni")                                                                            \
    X(AVX512_BF16, "avx512_bf16")                                                                            \
    X(FAST_BF16, "fast_bf16") /* vdpbf16ps does more than FMA */                                             \
    X(AVX_VNNI, "avx_vnni")                                                                                  \
    X(AMX_INT8, "amx_int8")                                                                                  \
    X(AMX_BF16, "amx_bf16")                                                                                  \
    X(NEON, "neon")                                                                                          \
    X(DOTPROD, "dotprod")                                                                                    \
    X(I8MM, "i8mm")                                                                                          \
    X(NEON_BF16, "neon_bf16")

enum {
#define RT_CPU_INDEX(name, text) RT_CPU_##name##_INDEX,
    RT_CPU_FEATURES(RT_CPU_INDEX)
#undef RT_CPU_INDEX
};
enum {
#define RT_CPU_BIT(name, text) RT_CPU_##name = 1 << RT_CPU_##name##_INDEX,
    RT_CPU_FEATURES(RT_CPU_BIT)
#undef RT_CPU_BIT
};

/* All features of this CPU. Requests the AMX permission once. Thread-safe. */
uint32_t rt_cpu_features(void);

/* Tiers, named as in --isa: each allows the features of its mask. */
typedef struct rt_isa {
    const char *name; /* "ref", "avx2", "vnni", "amx", "neon" */
    uint32_t allows;  /* features that may be used under this cap */
    uint32_t needs;   /* features the CPU must have to accept the cap */
} rt_isa;
/* The tiers, weakest first; *count of them. */
const rt_isa *rt_isa_list(size_t *count);
/* Features to use under a cap. `name` NULL: $RETORT_ISA, or else all. RETORT_ARGUMENT for an unknown name,
 * RETORT_UNSUPPORTED ("not supported on this CPU") for a tier that the CPU lacks. *isa (may be NULL) is set
 * to the name of the tier: the cap, or the best of this CPU. */
retort_status rt_isa_select(const char *name, uint32_t *features, const char **isa, retort_error *err);

/* Bytes of the data caches of level 1 to 3 of the first CPU; 32 KiB, 1 MiB and 32 MiB if the system does not
 * say. */
enum { RT_CACHES = 3 };
void rt_cpu_caches(uint64_t bytes[RT_CACHES]);

/* Number of cores that this thread may run on; writes one CPU of each to cpus, at most `most`. */
int rt_cpu_cores(int *cpus, int most);

/* Default number of threads: min(affinity, cgroup quota rounded up, physical cores), at least 1. */
int rt_cpu_threads(void);

/* Fills what is known of the CPU without its kernels, and the features of its best tier. */
retort_status rt_cpu_describe(retort_machine *machine, uint32_t *features);

#endif
