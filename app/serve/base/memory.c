/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/base/memory.h"

#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const srv_use_names[SRV_USE_COUNT] = {
#define USE_ROW(id, name) name,
    SRV_USES(USE_ROW)
#undef USE_ROW
};

void srv_memory_tune(void) {
    enum { LARGE = 128 << 10 };
    mallopt(M_MMAP_THRESHOLD, LARGE);
    mallopt(M_TRIM_THRESHOLD, LARGE);
}

/* The number that a file consists of; 0: none. */
static uint64_t read_limit(const char *path) {
    char text[64] = "";
    FILE *file = fopen(path, "re");
    if (file == NULL) return 0;
    if (fgets(text, sizeof text, file) == NULL) text[0] = '\0';
    fclose(file);
    return strtoull(text, NULL, 10); /* "max": 0 */
}

static void lower(uint64_t *min, uint64_t limit) {
    if (limit > 0 && (*min == 0 || limit < *min)) *min = limit;
}

/* The smallest limit of the cgroup in /proc/self/cgroup and its ancestors; 0: none. */
static uint64_t cgroup_limit(void) {
    char line[4096], path[4200];
    uint64_t min = read_limit("/sys/fs/cgroup/memory/memory.limit_in_bytes"); /* version 1 */
    FILE *file = fopen("/proc/self/cgroup", "re");
    lower(&min, read_limit("/sys/fs/cgroup/memory.max"));
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "0::/", 4) != 0) continue;
        line[strcspn(line, "\n")] = '\0';
        for (char *end; (end = strrchr(line + 3, '/')) != NULL; *end = '\0') {
            snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.max", line + 3);
            lower(&min, read_limit(path));
        }
    }
    if (file != NULL) fclose(file);
    return min;
}

size_t srv_memory_default(void) {
    static const uint64_t min = UINT64_C(64) << 20, max = UINT64_C(2) << 30;
    uint64_t limit = cgroup_limit();
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    uint64_t machine = pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
    lower(&limit, machine);
    uint64_t quarter = limit / 4;
    return (size_t)(quarter < min ? min : quarter > max ? max : quarter);
}

size_t srv_memory_used(const srv_memory *memory) {
    size_t sum = 0;
    for (int use = 0; use < SRV_USE_COUNT; use++)
        sum += atomic_load_explicit(&memory->used[use], memory_order_relaxed);
    return sum;
}

bool srv_memory_take(srv_memory *memory, srv_use use, size_t bytes) {
    enum { TINY = 1 << 10, SMALL = 64 << 10 };
    if (memory == NULL || bytes == 0) return true;
    atomic_fetch_add_explicit(&memory->used[use], bytes, memory_order_relaxed);
    size_t limit = bytes > SMALL ? memory->limit - memory->limit / 8 : memory->limit;
    if (memory->limit == 0 || bytes <= TINY || srv_memory_used(memory) <= limit) return true;
    srv_memory_give(memory, use, bytes);
    return false;
}

void srv_memory_give(srv_memory *memory, srv_use use, size_t bytes) {
    if (memory != NULL && bytes > 0)
        atomic_fetch_sub_explicit(&memory->used[use], bytes, memory_order_relaxed);
}

void srv_memory_move(srv_memory *memory, srv_use from, srv_use to, size_t bytes) {
    if (memory == NULL || from == to) return;
    atomic_fetch_sub_explicit(&memory->used[from], bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&memory->used[to], bytes, memory_order_relaxed);
}
