/* SPDX-License-Identifier: Apache-2.0 */
#include "base/memory.h"
#include "base/tensor.h"
#include "kernel_check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint32_t state = 1;

void random_seed(uint32_t seed) {
    state = seed * 2654435761u | 1u;
}

uint32_t random_u32(void) { /* xorshift32, Marsaglia 2003 */
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

static float random_value(int kind) {
    float unit = (float)(int32_t)random_u32() * 0x1p-31f, value;
    uint32_t bits = random_u32();
    switch (kind) {
    case FILL_ZERO:
        return bits & 1 ? 0.0f : -0.0f;
    case FILL_HUGE:
        return unit < 0 ? -1e30f : 1e30f;
    case FILL_TINY:
        return unit * 1e-38f;
    case FILL_ANY_BITS:
        memcpy(&value, &bits, sizeof value);
        return value;
    default:
        return unit;
    }
}

void fill_f32(float *x, size_t n, int kind) {
    for (size_t i = 0; i < n; i++) x[i] = random_value(kind);
}

void fill_bf16(uint16_t *x, size_t n, int kind) {
    for (size_t i = 0; i < n; i++) x[i] = rt_f32_to_bf16(random_value(kind));
}

guarded guarded_new(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), mapped = rt_round_up(bytes + 64, page) + page;
    guarded g = {.bytes = bytes, .mapped = mapped};
    g.map = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == MAP_FAILED || mprotect((char *)g.map + mapped - page, page, PROT_NONE) != 0) abort();
    g.data = (char *)g.map + mapped - page - bytes;
    guarded_canary(&g);
    return g;
}

static size_t readable(const guarded *g) {
    return (size_t)((char *)g->data - (char *)g->map) + g->bytes;
}

void guarded_canary(guarded *g) {
    memset(g->map, 0xcd, readable(g));
}

void guarded_free(guarded *g) {
    munmap(g->map, g->mapped);
    *g = (guarded){0};
}

bool same_f32(const guarded *want, const guarded *got, size_t *where) {
    const float *a = want->map, *b = got->map;
    if (memcmp(a, b, readable(want)) == 0) return true;
    for (size_t i = 0; i < readable(want) / sizeof *a; i++) {
        if (memcmp(a + i, b + i, sizeof *a) != 0 && !(isnan(a[i]) && isnan(b[i]))) {
            *where = i;
            return false;
        }
    }
    return true;
}

bool same_bf16(const guarded *want, const guarded *got, size_t *where) {
    const uint16_t *a = want->map, *b = got->map;
    for (size_t i = 0; i < readable(want) / sizeof *a; i++) {
        if (a[i] != b[i] && !((a[i] & 0x7fff) > 0x7f80 && (b[i] & 0x7fff) > 0x7f80)) {
            *where = i;
            return false;
        }
    }
    return true;
}

bool same_bytes(const guarded *want, const guarded *got) {
    return readable(want) == readable(got) && memcmp(want->map, got->map, readable(want)) == 0;
}
