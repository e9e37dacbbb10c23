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

/* ---- Codes of fewer than 4 bits ---- */

static bool are_codes(const rt_value *value) {
    return value->layout == RT_LAYOUT_P16_S4 || value->layout == RT_LAYOUT_ROWS_S4;
}

static size_t blocks_of(const rt_value *value) {
    size_t bytes;
    return rt_value_bytes(value, &bytes) ? (bytes + 63) / 64 : 0;
}

static bool fits_s3(const rt_value *value) {
    return rt_fits_s3(blocks_of(value), value->data);
}

/* Whether the low (0) or high (1) half of this byte is beyond the dims of the value. */
static bool is_padding(const rt_value *value, size_t byte, size_t half) {
    size_t k = (size_t)value->dims[0], n = (size_t)value->dims[1];
    if (value->layout == RT_LAYOUT_ROWS_S4) {
        size_t at = byte % ((n + 31) / 32 * 16);
        return at / 16 * 32 + half * 16 + at % 16 >= n;
    }
    size_t steps = (k + 7) / 8, step = byte / 64;
    return step % steps * 8 + half * 4 + byte % 4 >= k || step / steps * RT_PANEL + byte % 64 / 4 >= n;
}

/* Ends at the first block with another code, as rt_fits_s3 does. */
static bool fits_s2(const rt_value *value) {
    const uint8_t *codes = value->data;
    size_t bytes;
    if (!rt_value_bytes(value, &bytes)) return false;
    for (size_t from = 0; from < bytes; from += 64) {
        uint8_t block[64]; /* with a code of 1 in the place of each 0 in the padding */
        if (bytes - from >= 64 && rt_fits_s2(codes + from)) continue;
        for (size_t i = 0; i < 64; i++) {
            uint8_t byte = from + i < bytes ? codes[from + i] : 0;
            bool low = from + i >= bytes || is_padding(value, from + i, 0);
            bool high = from + i >= bytes || is_padding(value, from + i, 1);
            block[i] = (uint8_t)(byte | (low && (byte & 15) == 0) | (high && byte >> 4 == 0) << 4);
        }
        if (!rt_fits_s2(block)) return false;
    }
    return true;
}

static void unpack_s2(const rt_value *value, const uint8_t *packed, uint8_t *codes) {
    size_t bytes;
    bool table = value->layout == RT_LAYOUT_ROWS_S4;
    bool whole = value->dims[1] % (table ? 32 : RT_PANEL) == 0 && (table || value->dims[0] % 8 == 0);
    rt_unpack_s2(blocks_of(value), packed, codes);
    if (!rt_value_bytes(value, &bytes)) return;
    memset(codes + bytes, 0, blocks_of(value) * 64 - bytes);
    if (whole) return;
    for (size_t i = 0; i < bytes; i++) {
        if (is_padding(value, i, 0)) codes[i] &= 0xf0;
        if (is_padding(value, i, 1)) codes[i] &= 0x0f;
    }
}

static void unpack_s3(const rt_value *value, const uint8_t *packed, uint8_t *codes) {
    rt_unpack_s3(blocks_of(value), packed, codes);
}

/* What differs between widths. */
static const struct narrow_row {
    size_t block;               /* bytes for 64 bytes of 4-bit codes; 0: no such storage */
    const char *matrix, *table; /* names of the layouts */
    bool (*fits)(const rt_value *value);
    void (*pack)(size_t blocks, const uint8_t *s4, uint8_t *packed);
    void (*unpack)(const rt_value *value, const uint8_t *packed, uint8_t *codes);
} narrow_rows[] = {
    [RT_STORAGE_S3] = {48, "p16_s3", "rows_s3", fits_s3, rt_pack_s3, unpack_s3},
    [RT_STORAGE_S2] = {32, "p16_s2", "rows_s2", fits_s2, rt_pack_s2, unpack_s2},
};

size_t rt_storage_narrow_bytes(const rt_value *value, rt_storage storage) {
    if (!are_codes(value)) return 0;
    size_t blocks = blocks_of(value), bytes = rt_round_up(blocks * narrow_rows[storage].block, 64);
    return bytes < blocks * 64 ? bytes : 0;
}

/* ---- The storage of a value ---- */

rt_storage rt_storage_of(const rt_value *value) {
    for (rt_storage s = RT_STORAGE_S2; value->data != NULL && s >= RT_STORAGE_S3; s--) {
        if (rt_storage_narrow_bytes(value, s) > 0 && narrow_rows[s].fits(value)) return s;
    }
    bool vector = value->data != NULL && is_float_vector(value);
    return vector && are_bf16(value->data, value->dims[0]) ? RT_STORAGE_BF16 : RT_STORAGE_PLAIN;
}

rt_storage rt_storage_found(const rt_value *value, const rt_tensor *stored) {
    for (rt_storage s = RT_STORAGE_S2; s >= RT_STORAGE_S3; s--) {
        size_t bytes = rt_storage_narrow_bytes(value, s);
        if (bytes > 0 && stored->dtype == RETORT_U8 && stored->rank == 1 &&
            stored->shape[0] == (int64_t)bytes)
            return s;
    }
    return stored->dtype == RETORT_BF16 && is_float_vector(value) ? RT_STORAGE_BF16 : RT_STORAGE_PLAIN;
}

const char *rt_storage_layout_name(const rt_value *value, rt_storage storage) {
    if (narrow_rows[storage].block == 0) return rt_layout_name(value->layout);
    return value->layout == RT_LAYOUT_P16_S4 ? narrow_rows[storage].matrix : narrow_rows[storage].table;
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

static bool store_narrow(const rt_value *value, rt_storage storage, rt_arena *arena, rt_tensor *out) {
    size_t stored = rt_storage_narrow_bytes(value, storage);
    uint8_t *data = rt_arena_calloc(arena, stored, 1);
    *out = (rt_tensor){.name = value->name, .data = data, .dtype = RETORT_U8, .rank = 1};
    out->shape[0] = (int64_t)stored;
    if (data != NULL) narrow_rows[storage].pack(blocks_of(value), value->data, data);
    return data != NULL;
}

bool rt_storage_tensor(const rt_value *value, rt_arena *arena, rt_tensor *out) {
    rt_storage storage = rt_storage_of(value);
    if (narrow_rows[storage].block > 0) return store_narrow(value, storage, arena, out);
    return storage == RT_STORAGE_BF16 ? store_bf16(value, arena, out) : rt_storage_plain(value, out);
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

static bool load_narrow(const rt_value *value, rt_storage storage, rt_graph *graph, rt_tensor *tensor) {
    size_t bytes;
    uint8_t *codes = rt_value_bytes(value, &bytes) ? rt_graph_alloc(graph, bytes) : NULL;
    if (codes == NULL) return false;
    narrow_rows[storage].unpack(value, tensor->data, codes);
    *tensor = (rt_tensor){.data = codes, .dtype = RETORT_U8, .rank = 1, .shape = {(int64_t)bytes}};
    return true;
}

bool rt_storage_load(const rt_value *value, const rt_tensor *stored, rt_graph *graph, rt_tensor *out) {
    rt_storage storage = rt_storage_found(value, stored);
    *out = *stored;
    if (narrow_rows[storage].block > 0) return load_narrow(value, storage, graph, out);
    return storage != RT_STORAGE_BF16 || load_bf16(value, graph, out);
}
