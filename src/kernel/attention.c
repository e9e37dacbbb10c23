/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/attention.h"

size_t rt_attention_scratch(size_t keys, size_t dim) {
    return rt_attention_keys_size(keys, dim) + rt_attention_values_size(keys, dim) +
           RT_ATTENTION_ROWS * rt_attention_stride(keys);
}

size_t rt_attention_relative_scratch(size_t keys) {
    return RT_ATTENTION_ROWS * rt_relative_band(keys) + RT_PANEL * RT_RELATIVE_BAND +
           RT_RELATIVE_SPAN * rt_attention_stride(keys);
}

/* K^T, V^T, K; p, ds, one of them transposed; queries and dy of a block. */
size_t rt_attention_back_scratch(size_t keys, size_t dim) {
    size_t rows = rt_round_up(keys, RT_PANEL), wide = rt_round_up(dim, RT_PANEL);
    return 3 * rows * wide + RT_ATTENTION_BACK_QUERIES * (2 * rt_attention_stride(keys) + rows + 2 * wide);
}

rt_attention_s8_parts rt_attention_s8_layout(size_t keys, size_t dim) {
    enum { WIDE = RT_ATTENTION_S8_PANELS * RT_PANEL };
    size_t rows = rt_round_up(keys, RT_PANEL), span = rt_round_up(keys, RT_ATTENTION_S8_SPAN),
           columns = rt_round_up(dim, RT_PANEL);
    rt_attention_s8_parts part = {.keys = 0};
    part.values = part.keys + rows * columns / 2;
    part.queries = part.values + columns * span / 2;
    part.p = part.queries + WIDE * columns / 2;
    part.key_scale = part.p + WIDE * span / 2;
    part.value_scale = part.key_scale + rows;
    part.value_mean = part.value_scale + columns;
    part.scores = part.value_mean + columns;
    part.out = part.scores + keys * WIDE;
    part.end = part.out + columns * WIDE;
    return part;
}

size_t rt_attention_s8_scratch(size_t keys, size_t dim) {
    return rt_attention_s8_layout(keys, dim).end;
}
