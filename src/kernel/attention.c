/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/attention.h"

size_t rt_attention_scratch(size_t keys, size_t dim) {
    return rt_attention_keys_size(keys, dim) + rt_attention_values_size(keys, dim) +
           RT_ATTENTION_ROWS * rt_attention_stride(keys);
}

size_t rt_attention_s16_scratch(size_t keys, size_t dim) {
    return rt_attention_s16_keys(keys, dim) + rt_attention_s16_values(keys, dim) +
           rt_attention_s16_rows(dim) + rt_attention_s16_probabilities(keys) + rt_round_up(keys, RT_PANEL) +
           rt_round_up(dim, RT_PANEL) + RT_ATTENTION_ROWS * rt_attention_stride(keys);
}
