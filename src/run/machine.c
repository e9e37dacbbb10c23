/* SPDX-License-Identifier: Apache-2.0
 * Describes the machine: the CPU, and how its kernels multiply weights of few bits. */
#include "base/cpu.h"
#include "base/sized.h"
#include "kernel/kernel.h"

retort_status retort_machine_describe(retort_machine *machine) {
    retort_machine full;
    if (machine == NULL || rt_read_machine("machine", machine, &full, NULL) != RETORT_OK)
        return RETORT_ARGUMENT;
    uint32_t features;
    rt_kernels kernels;
    retort_status status = rt_cpu_describe(&full, &features);
    if (status != RETORT_OK) return status;
    rt_kernels_select(&kernels, features);
    full.unpacks = kernels.gemm_s4_few != SIZE_MAX;
    rt_give_machine(machine, &full);
    return RETORT_OK;
}
