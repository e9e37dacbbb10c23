/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cpu.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>

enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };

static uint64_t enabled_state(void) { /* XCR0: register state saved by the system */
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low | (uint64_t)high << 32;
}

/* Whether vdpbf16ps does twice the work of FMA. Of Intel's cores only Cooper Lake's do that; Sapphire Rapids starts one in two cycles and
 * two FMA in each: its peak is 93 GFLOP/s against 191, and bf16 products are faster with FMA (141 against 86, n 384 k 384). */
static bool is_bf16_fast(void) {
    enum { COOPER_LAKE = 0x50650 }; /* family 6, model 0x55, of which it is the only one with bf16 */
    uint32_t a, b, c, d;
    if (!__get_cpuid(0, &a, &b, &c, &d)) return false;
    bool intel = b == signature_INTEL_ebx && c == signature_INTEL_ecx && d == signature_INTEL_edx;
    return !intel || (__get_cpuid(1, &a, &b, &c, &d) && (a & 0xfff0ff0) == (COOPER_LAKE & 0xfff0ff0));
}

static uint32_t detect(void) {
    uint32_t a, b, c, d, features = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return 0;
    bool fma = (c & bit_FMA) && (c & bit_F16C) && (c & bit_AVX);
    uint64_t state = enabled_state();
    uint32_t b7, c7, d7, a71, unused;
    if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d7)) return 0;
    if (!__get_cpuid_count(7, 1, &a71, &unused, &unused, &unused)) a71 = 0;
    bool ymm = (state & 6) == 6, zmm = (state & 0xe6) == 0xe6, tiles = (state >> 17 & 3) == 3;
    if (fma && ymm && (b7 & bit_AVX2) && (b7 & bit_BMI2)) features |= RT_CPU_AVX2;
    if (!(features & RT_CPU_AVX2)) return 0;
    if (a71 & 1u << 4) features |= RT_CPU_AVX_VNNI;
    uint32_t base = bit_AVX512F | bit_AVX512BW | bit_AVX512CD | bit_AVX512DQ | bit_AVX512VL;
    if (zmm && (b7 & base) == base) features |= RT_CPU_AVX512;
    if (!(features & RT_CPU_AVX512)) return features;
    if (c7 & bit_AVX512VNNI) features |= RT_CPU_AVX512_VNNI;
    if (a71 & 1u << 5) features |= RT_CPU_AVX512_BF16;
    if ((a71 & 1u << 5) && is_bf16_fast()) features |= RT_CPU_FAST_BF16;
    if (tiles && (d7 & 1u << 24) && syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0) {
        if (d7 & 1u << 25) features |= RT_CPU_AMX_INT8;
        if (d7 & 1u << 22) features |= RT_CPU_AMX_BF16;
    }
    return features;
}
#elif defined(__aarch64__)
#include <sys/auxv.h>

enum { CAP_ASIMDDP = 1 << 20 };                    /* AT_HWCAP */
enum { CAP2_I8MM = 1 << 13, CAP2_BF16 = 1 << 14 }; /* AT_HWCAP2 */

static uint32_t detect(void) {
    unsigned long first = getauxval(AT_HWCAP), second = getauxval(AT_HWCAP2);
    uint32_t features = RT_CPU_NEON;
    if (first & CAP_ASIMDDP) features |= RT_CPU_DOTPROD;
    if (second & CAP2_I8MM) features |= RT_CPU_I8MM;
    if (second & CAP2_BF16) features |= RT_CPU_NEON_BF16;
    return features;
}
#else
static uint32_t detect(void) {
    return 0;
}
#endif

static pthread_once_t detected_once = PTHREAD_ONCE_INIT;
static uint32_t detected;

static void detect_once(void) {
    detected = detect();
}

uint32_t rt_cpu_features(void) {
    pthread_once(&detected_once, detect_once);
    return detected;
}

/* One row per tier: features it may use, features it needs. */
#define TIER_AVX2 (RT_CPU_AVX2 | RT_CPU_AVX_VNNI)
#define TIER_VNNI (TIER_AVX2 | RT_CPU_AVX512 | RT_CPU_AVX512_VNNI | RT_CPU_AVX512_BF16 | RT_CPU_FAST_BF16)
#define TIER_AMX  (TIER_VNNI | RT_CPU_AMX_INT8 | RT_CPU_AMX_BF16)
#define TIER_NEON (RT_CPU_NEON | RT_CPU_DOTPROD | RT_CPU_I8MM | RT_CPU_NEON_BF16)
static const rt_isa isas[] = {
    {"ref", 0, 0},
    {"neon", TIER_NEON, RT_CPU_NEON},
    {"avx2", TIER_AVX2, RT_CPU_AVX2},
    {"vnni", TIER_VNNI, RT_CPU_AVX512 | RT_CPU_AVX512_VNNI},
    {"amx", TIER_AMX, RT_CPU_AMX_INT8 | RT_CPU_AMX_BF16},
};

const rt_isa *rt_isa_list(size_t *count) {
    *count = sizeof isas / sizeof *isas;
    return isas;
}

retort_status rt_isa_select(const char *name, uint32_t *features, const char **isa, retort_error *err) {
    uint32_t have = rt_cpu_features();
    const rt_isa *best = &isas[0], *found = NULL;
    if (name == NULL) name = getenv("RETORT_ISA");
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) {
        if ((isas[i].needs & have) == isas[i].needs) best = &isas[i];
        if (name != NULL && strcmp(name, isas[i].name) == 0) found = &isas[i];
    }
    if (name == NULL || *name == '\0') found = best;
    if (found == NULL)
        return rt_fail(err, RETORT_ARGUMENT, "isa '%s': expected ref, avx2, vnni, amx or neon", name);
    if ((found->needs & have) != found->needs) {
        return rt_fail(err, RETORT_UNSUPPORTED, "isa '%s': not supported on this CPU", name);
    }
    *features = have & found->allows;
    if (isa != NULL) *isa = found->name;
    return RETORT_OK;
}

/* First line of a small file in /sys or /proc; false if it does not exist. */
static bool read_line(const char *path, char *out, size_t size) {
    FILE *file = fopen(path, "re");
    if (file == NULL) return false;
    bool got = fgets(out, (int)size, file) != NULL;
    fclose(file);
    return got;
}

/* CPU quota of the cgroup at `path` (below the v2 root); 0: no limit. */
static double quota_at(const char *path) {
    char file[512], line[128];
    double quota, period;
    if (snprintf(file, sizeof file, "/sys/fs/cgroup%s/cpu.max", path) >= (int)sizeof file) return 0;
    if (!read_line(file, line, sizeof line) || sscanf(line, "%lf %lf", &quota, &period) != 2) return 0;
    return period > 0 ? quota / period : 0;
}

static double quota_v1(void) {
    char quota[64], period[64];
    if (!read_line("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota, sizeof quota) ||
        !read_line("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period, sizeof period)) {
        return 0;
    }
    double q = strtod(quota, NULL), p = strtod(period, NULL);
    return q > 0 && p > 0 ? q / p : 0;
}

/* The tightest limit from the cgroup of this process up to the root. */
static double cgroup_quota(void) {
    char path[400] = "";
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (file != NULL) {
        char line[512];
        while (fgets(line, sizeof line, file) != NULL) {
            if (strncmp(line, "0::", 3) == 0) snprintf(path, sizeof path, "%.399s", line + 3);
        }
        fclose(file);
    }
    path[strcspn(path, "\n")] = '\0';
    double least = quota_v1();
    for (;;) {
        double quota = quota_at(path);
        if (quota > 0 && (least == 0 || quota < least)) least = quota;
        char *slash = strrchr(path, '/');
        if (slash == NULL) return least;
        *slash = '\0';
    }
}

/* Counts distinct (package, core) pairs of the CPUs in `set`; a CPU without topology counts as a core.
 * Writes the first CPU of each of the first `most` cores to cpus. */
static int physical_cores(const cpu_set_t *set, int *cpus, int most) {
    enum { MOST = 1024 };
    long seen[MOST];
    int count = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE && count < MOST; cpu++) {
        char file[128], line[32];
        if (!CPU_ISSET((size_t)cpu, set)) continue;
        long id = -1 - cpu;
        snprintf(file, sizeof file, "/sys/devices/system/cpu/cpu%d/topology/core_id", cpu);
        if (read_line(file, line, sizeof line)) {
            id = strtol(line, NULL, 10);
            snprintf(file, sizeof file, "/sys/devices/system/cpu/cpu%d/topology/physical_package_id", cpu);
            if (read_line(file, line, sizeof line)) id |= strtol(line, NULL, 10) << 32;
        }
        int i = 0;
        while (i < count && seen[i] != id) i++;
        if (i < count) continue;
        if (count < most) cpus[count] = cpu;
        seen[count++] = id;
    }
    return count;
}

void rt_cpu_caches(uint64_t bytes[RT_CACHES]) {
    static const uint64_t usual[RT_CACHES] = {32 << 10, 1 << 20, 32 << 20};
    enum { MOST = 8 }; /* data, instruction and unified caches have separate entries */
    memcpy(bytes, usual, sizeof usual);
    for (int i = 0; i < MOST; i++) {
        char file[128], type[32], level[32], size[32], unit = 'K';
        unsigned long long n = 0;
        snprintf(file, sizeof file, "/sys/devices/system/cpu/cpu0/cache/index%d/type", i);
        if (!read_line(file, type, sizeof type) || strncmp(type, "Instruction", 11) == 0) continue;
        snprintf(file, sizeof file, "/sys/devices/system/cpu/cpu0/cache/index%d/level", i);
        long at = read_line(file, level, sizeof level) ? strtol(level, NULL, 10) : 0;
        snprintf(file, sizeof file, "/sys/devices/system/cpu/cpu0/cache/index%d/size", i);
        if (at < 1 || at > RT_CACHES || !read_line(file, size, sizeof size)) continue;
        if (sscanf(size, "%llu%c", &n, &unit) >= 1 && n > 0 && n < 1 << 30)
            bytes[at - 1] = n << (unit == 'M' ? 20 : 10);
    }
}

static int affinity(cpu_set_t *set) {
    CPU_ZERO(set);
    if (sched_getaffinity(0, sizeof *set, set) != 0 || CPU_COUNT(set) < 1) CPU_SET(0, set);
    return CPU_COUNT(set);
}

int rt_cpu_cores(int *cpus, int most) {
    cpu_set_t set;
    affinity(&set);
    return physical_cores(&set, cpus, most);
}

int rt_cpu_threads(void) {
    cpu_set_t set;
    int threads = affinity(&set), cores = physical_cores(&set, NULL, 0);
    double quota = ceil(cgroup_quota());
    if (cores > 0 && cores < threads) threads = cores;
    if (quota >= 1 && quota < threads) threads = (int)quota;
    return threads;
}

static void brand(char *out, size_t size) {
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "re");
    snprintf(out, size, "unknown");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "model name", 10) != 0 && strncmp(line, "CPU part", 8) != 0) continue;
        const char *value = strchr(line, ':');
        if (value != NULL) snprintf(out, size, "%.*s", (int)strcspn(value + 2, "\n"), value + 2);
        break;
    }
    if (file != NULL) fclose(file);
}

retort_status rt_cpu_describe(retort_machine *machine, uint32_t *features) {
    cpu_set_t set, all;
    uint32_t found = rt_cpu_features();
    static const char *const names[] = {
#define FEATURE_NAME(name, text) text,
        RT_CPU_FEATURES(FEATURE_NAME)
#undef FEATURE_NAME
    };
    brand(machine->cpu, sizeof machine->cpu);
    size_t at = 0;
    machine->features[0] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!(found >> i & 1u) || at >= sizeof machine->features) continue;
        int n = snprintf(machine->features + at, sizeof machine->features - at, "%s%s", at > 0 ? " " : "",
                         names[i]);
        at += (size_t)n;
    }
    machine->logical = (int)sysconf(_SC_NPROCESSORS_ONLN);
    CPU_ZERO(&all);
    for (int i = 0; i < machine->logical && i < CPU_SETSIZE; i++) CPU_SET((size_t)i, &all);
    machine->physical = physical_cores(&all, NULL, 0);
    machine->affinity = affinity(&set);
    machine->quota = cgroup_quota();
    machine->threads = rt_cpu_threads();
    return rt_isa_select("", features, &machine->isa, NULL);
}
