/* SPDX-License-Identifier: Apache-2.0
 * Describes the machine: the CPU, and how its kernels multiply weights of few bits. */
#include "base/cpu.h"
#include "kernel/kernel.h"

retort_status retort_machine_describe(retort_machine *machine) {
    if (machine == NULL || machine->size != sizeof *machine) return RETORT_ARGUMENT;
    uint32_t features;
    rt_kernels kernels;
    retort_status status = rt_cpu_describe(machine, &features);
    if (status != RETORT_OK) return status;
    rt_kernels_select(&kernels, features);
    machine->unpacks = kernels.gemm_s4_few != SIZE_MAX;
    return RETORT_OK;
}
