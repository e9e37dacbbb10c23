/* SPDX-License-Identifier: Apache-2.0
 * What every fuzz target of a checkpoint format does with what was parsed. */
#ifndef RT_FUZZ_TOUCH_H
#define RT_FUZZ_TOUCH_H

#include "format/tensors.h"

/* Every tensor must lie inside the input: its bytes are read. */
static inline uint8_t touch(const rt_tensors *tensors) {
    uint8_t sum = 0;
    for (size_t i = 0; i < tensors->count; i++) {
        const rt_tensor *t = &tensors->items[i];
        size_t count = 0;
        if (!rt_shape_count(t->shape, t->rank, &count)) __builtin_trap();
        for (size_t n = 0; n < count * rt_dtype_size(t->dtype); n++) sum ^= ((const uint8_t *)t->data)[n];
    }
    return sum;
}

#endif
