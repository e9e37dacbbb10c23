/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cpu.h"
#include "kernel/rows.h"

static bool within(uint32_t features, uint32_t needs) {
    return (needs & features) == needs;
}

void rt_kernels_select(rt_kernels *out, uint32_t features) {
    *out = (rt_kernels){0};
#define KERNEL(member, row, needs, bound)                                                                    \
    if (out->member == NULL && within(features, needs)) {                                                    \
        out->member = rt_##row;                                                                              \
        out->member##_name = #row;                                                                           \
    }
#define CODES(member, row, needs, bound, most)                                                               \
    if (out->member == NULL && within(features, needs)) out->member##_few = most;                            \
    KERNEL(member, row, needs, bound)
#include "kernel/list.h"
}
