/* SPDX-License-Identifier: Apache-2.0 */
#include "model/storage.h"
#include "kernel/kernel.h"
#include "model/stored.h"

#include <string.h>

static bool are_bf16(const float *data, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &data[i], sizeof bits);
        if ((bits & 0xffff) != 0) return false;
    }
    return true;
}

rt_storage rt_storage_of(const rt_value *value) {
    if (rt_value_fits_three(value)) return RT_STORAGE_S3;
    bool vector = value->data != NULL && rt_value_may_be_short(value);
    return vector && are_bf16(value->data, value->dims[0]) ? RT_STORAGE_BF16 : RT_STORAGE_PLAIN;
}

const char *rt_storage_layout_name(const rt_value *value, rt_storage storage) {
    if (storage != RT_STORAGE_S3) return rt_layout_name(value->layout);
    return value->layout == RT_LAYOUT_P16_S4 ? "p16_s3" : "rows_s3";
}

static bool store_plain(const rt_value *value, rt_arena *arena, rt_tensor *out) {
    (void)arena;
    return rt_model_tensor(value, out);
}

static bool store_bf16(const rt_value *value, rt_arena *arena, rt_tensor *out) {
    size_t n = (size_t)value->dims[0];
    uint16_t *data = rt_arena_calloc(arena, rt_round_up(n, 32), sizeof *data);
    if (data == NULL) return false;
    for (size_t i = 0; i < n; i++) data[i] = rt_f32_to_bf16(((const float *)value->data)[i]);
    rt_value stored = *value;
    stored.dtype = RETORT_BF16;
    stored.data = data;
    return rt_model_tensor(&stored, out);
}

static bool store_s3(const rt_value *value, rt_arena *arena, rt_tensor *out) {
    size_t bytes = 0, stored = rt_value_three_bytes(value);
    uint8_t *data = rt_arena_calloc(arena, stored, 1);
    *out = (rt_tensor){.name = value->name, .data = data, .dtype = RETORT_U8, .rank = 1};
    out->shape[0] = (int64_t)stored;
    if (data != NULL && rt_value_bytes(value, &bytes)) rt_pack_s3((bytes + 63) / 64, value->data, data);
    return data != NULL;
}

bool rt_storage_tensor(const rt_value *value, rt_arena *arena, rt_tensor *out) {
    static bool (*const store[])(const rt_value *, rt_arena *, rt_tensor *) = {
        [RT_STORAGE_PLAIN] = store_plain, [RT_STORAGE_BF16] = store_bf16, [RT_STORAGE_S3] = store_s3};
    return store[rt_storage_of(value)](value, arena, out);
}
