/* SPDX-License-Identifier: Apache-2.0
 * What this CPU can do, and how much of it this process may use. */
#ifndef RT_BASE_CPU_H
#define RT_BASE_CPU_H

#include "base/error.h"

/* One row a feature: bit, name. A bit is set only when the CPU has it and the operating system lets it be
 * used (register state enabled by XCR0; for AMX the permission of arch_prctl was granted to this process).
 * "fast_*" bits say that a feature is also worth using. */
#define RT_CPU_FEATURES(X)                                                                                   \
    X(AVX2, "avx2")     /* AVX2 + FMA + F16C + BMI */                                                        \
    X(AVX512, "avx512") /* F BW CD DQ VL */                                                                  \
    X(AVX512_VNNI, "avx512_vnni")                                                                            \
    X(AVX512_BF16, "avx512_bf16")                                                                            \
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

/* All features of this CPU. Asks for the AMX permission once. Thread-safe. */
uint32_t rt_cpu_features(void);

/* Tiers, as --isa spells them: each allows the features of its mask. */
typedef struct rt_isa {
    const char *name; /* "ref", "avx2", "vnni", "amx", "neon" */
    uint32_t allows;  /* features that may be used under this cap */
    uint32_t needs;   /* features the CPU must have for the cap to be accepted */
} rt_isa;
/* The tiers, weakest first; *count of them. */
const rt_isa *rt_isa_list(size_t *count);
/* Features to use under a cap. `name` NULL takes $RETORT_ISA, then everything. RETORT_ARGUMENT for an unknown
 * name, RETORT_UNSUPPORTED ("not supported on this CPU") for a tier the CPU lacks. *isa (may be NULL) is set
 * to the tier's name: the cap's, or the best one the CPU has. */
retort_status rt_isa_select(const char *name, uint32_t *features, const char **isa, retort_error *err);

/* Bytes of the data caches of level 1 to 3, as the first CPU has them; 32 KiB, 1 MiB and 32 MiB where the
 * system does not tell. */
enum { RT_CACHES = 3 };
void rt_cpu_caches(uint64_t bytes[RT_CACHES]);

/* Number of cores that this thread may run on; a CPU of each goes to cpus, `most` of them at most. */
int rt_cpu_cores(int *cpus, int most);

/* Default number of threads: min(affinity, cgroup quota rounded up, physical cores), at least 1. */
int rt_cpu_threads(void);

#endif
