/* SPDX-License-Identifier: Apache-2.0 */
#include "file/tensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every tensor must lie inside the input: its bytes are read. */
static uint8_t touch(const rt_tensors *tensors) {
    uint8_t sum = 0;
    for (size_t i = 0; i < tensors->count; i++) {
        const rt_tensor *t = &tensors->items[i];
        size_t count = 0;
        if (!rt_shape_count(t->shape, t->rank, &count)) __builtin_trap();
        for (size_t n = 0; n < count * rt_dtype_size(t->dtype); n++) sum ^= ((const uint8_t *)t->data)[n];
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rt_tensors tensors;
    retort_error err;
    if (rt_torch_parse(&tensors, "fuzz", data, size, &err) != RETORT_OK) return 0;
    volatile uint8_t sink = touch(&tensors);
    (void)sink;
    rt_tensors_close(&tensors);
    return 0;
}
