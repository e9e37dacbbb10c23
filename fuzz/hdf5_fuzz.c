/* SPDX-License-Identifier: Apache-2.0 */
#include "touch.h"

#include "arch/weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rt_tensors tensors;
    retort_error err;
    if (rt_hdf5_parse(&tensors, "fuzz", data, size, &err) != RETORT_OK) return 0;
    volatile uint8_t sink = touch(&tensors);
    if (rt_weights_rename(&tensors, "fuzz", &err) == RETORT_OK) sink = touch(&tensors);
    (void)sink;
    rt_tensors_close(&tensors);
    return 0;
}
