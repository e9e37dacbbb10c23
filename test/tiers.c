/* SPDX-License-Identifier: Apache-2.0
 * Prints the ISA tiers that this machine can run, weakest first: what RETORT_ISA may be set to here. */
#include "base/cpu.h"

#include <stdio.h>

int main(void) {
    size_t count;
    const rt_isa *tiers = rt_isa_list(&count);
    uint32_t features;
    for (size_t i = 0; i < count; i++) {
        if (rt_isa_select(tiers[i].name, &features, NULL, NULL) == RETORT_OK) puts(tiers[i].name);
    }
    return 0;
}
