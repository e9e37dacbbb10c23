/* SPDX-License-Identifier: Apache-2.0 */
#include "model/storage.h"
#include "kernel/kernel.h"

#include <string.h>

/* [panels, steps of k, 16, elements per step and column] of the packed layouts; a last dim of 1 is
 * omitted. */
static const struct packed_row {
    int64_t step, elements;
} packed_rows[] = {
    [RT_LAYOUT_P16] = {1, 1},
    [RT_LAYOUT_P16_BF16] = {2, 2},
    [RT_LAYOUT_P16_S8] = {4, 4},
    [RT_LAYOUT_P16_S4] = {8, 4},
};

bool rt_storage_plain(const rt_value *value, rt_tensor *out) {
    size_t bytes;
    *out = (rt_tensor){.name = value->name, .data = value->data, .dtype = value->dtype};
    if (!rt_value_bytes(value, &bytes)) return false;
    if (value->layout == RT_LAYOUT_ROWS_S4) {
        out->rank = 1;
        out->shape[0] = (int64_t)rt_round_up(bytes, 64);
    } else if (value->layout != RT_LAYOUT_ROWS) {
        const struct packed_row *row = &packed_rows[value->layout];
        int64_t panels = (value->dims[1] + RT_PANEL - 1) / RT_PANEL;
        int64_t steps = (value->dims[0] + row->step - 1) / row->step;
        out->rank = row->elements > 1 ? 4 : 3;
        memcpy(out->shape, (int64_t[]){panels, steps, RT_PANEL, row->elements}, 4 * sizeof steps);
    } else if (bytes % 64 == 0) {
        out->rank = value->rank;
        memcpy(out->shape, value->dims, sizeof out->shape);
    } else {
        out->rank = 1;
        out->shape[0] = (int64_t)(rt_round_up(bytes, 64) / rt_dtype_size(value->dtype));
    }
    return true;
}

static bool are_bf16(const float *data, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &data[i], sizeof bits);
        if ((bits & 0xffff) != 0) return false;
    }
    return true;
}

static bool is_float_vector(const rt_value *value) {
    return value->dtype == RETORT_F32 && value->layout == RT_LAYOUT_ROWS && value->rank == 1;
}

size_t rt_storage_s3_bytes(const rt_value *value) {
    size_t bytes;
    bool four = value->layout == RT_LAYOUT_P16_S4 || value->layout == RT_LAYOUT_ROWS_S4;
    if (!four || !rt_value_bytes(value, &bytes)) return 0;
    size_t three = rt_round_up((bytes + 63) / 64 * 48, 64);
    return three < rt_round_up(bytes, 64) ? three : 0;
}

static bool fits_s3(const rt_value *value) {
    size_t bytes;
    return value->data != NULL && rt_storage_s3_bytes(value) > 0 && rt_value_bytes(value, &bytes) &&
           rt_fits_s3((bytes + 63) / 64, value->data);
}

rt_storage rt_storage_of(const rt_value *value) {
    if (fits_s3(value)) return RT_STORAGE_S3;
    bool vector = value->data != NULL && is_float_vector(value);
    return vector && are_bf16(value->data, value->dims[0]) ? RT_STORAGE_BF16 : RT_STORAGE_PLAIN;
}

rt_storage rt_storage_found(const rt_value *value, const rt_tensor *stored) {
    size_t bytes = rt_storage_s3_bytes(value);
    if (bytes > 0 && stored->dtype == RETORT_U8 && stored->rank == 1 && stored->shape[0] == (int64_t)bytes)
        return RT_STORAGE_S3;
    return stored->dtype == RETORT_BF16 && is_float_vector(value) ? RT_STORAGE_BF16 : RT_STORAGE_PLAIN;
}

const char *rt_storage_layout_name(const rt_value *value, rt_storage storage) {
    if (storage != RT_STORAGE_S3) return rt_layout_name(value->layout);
    return value->layout == RT_LAYOUT_P16_S4 ? "p16_s3" : "rows_s3";
}

static bool store_plain(const rt_value *value, rt_arena *arena, rt_tensor *out) {
    (void)arena;
    return rt_storage_plain(value, out);
}

static bool store_bf16(const rt_value *value, rt_arena *arena, rt_tensor *out) {
    size_t n = (size_t)value->dims[0];
    uint16_t *data = rt_arena_calloc(arena, rt_round_up(n, 32), sizeof *data);
    if (data == NULL) return false;
    for (size_t i = 0; i < n; i++) data[i] = rt_f32_to_bf16(((const float *)value->data)[i]);
    rt_value stored = *value;
    stored.dtype = RETORT_BF16;
    stored.data = data;
    return rt_storage_plain(&stored, out);
}

static bool store_s3(const rt_value *value, rt_arena *arena, rt_tensor *out) {
    size_t bytes = 0, stored = rt_storage_s3_bytes(value);
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

static bool load_plain(const rt_value *value, rt_graph *graph, rt_tensor *tensor) {
    (void)value;
    (void)graph;
    (void)tensor;
    return true;
}

static bool load_bf16(const rt_value *value, rt_graph *graph, rt_tensor *tensor) {
    size_t n = (size_t)value->dims[0], count;
    if (!rt_shape_count(tensor->shape, tensor->rank, &count) || count < n) return true;
    float *floats = rt_graph_alloc(graph, n * sizeof *floats);
    if (floats == NULL) return false;
    rt_to_f32(floats, tensor->data, RETORT_BF16, n);
    *tensor = (rt_tensor){.data = floats, .dtype = RETORT_F32, .rank = 1, .shape = {value->dims[0]}};
    return true;
}

static bool load_s3(const rt_value *value, rt_graph *graph, rt_tensor *tensor) {
    size_t bytes;
    uint8_t *codes = rt_value_bytes(value, &bytes) ? rt_graph_alloc(graph, bytes) : NULL;
    if (codes == NULL) return false;
    rt_unpack_s3((bytes + 63) / 64, tensor->data, codes);
    *tensor = (rt_tensor){.data = codes, .dtype = RETORT_U8, .rank = 1, .shape = {(int64_t)bytes}};
    return true;
}

bool rt_storage_load(const rt_value *value, const rt_tensor *stored, rt_graph *graph, rt_tensor *out) {
    static bool (*const load[])(const rt_value *, rt_graph *, rt_tensor *) = {
        [RT_STORAGE_PLAIN] = load_plain, [RT_STORAGE_BF16] = load_bf16, [RT_STORAGE_S3] = load_s3};
    *out = *stored;
    return load[rt_storage_found(value, stored)](value, graph, out);
}
