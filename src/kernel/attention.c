/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/attention.h"

size_t rt_attention_scratch(size_t keys, size_t dim) {
    return rt_attention_keys_size(keys, dim) + rt_attention_values_size(keys, dim) +
           RT_ATTENTION_ROWS * rt_attention_stride(keys);
}
