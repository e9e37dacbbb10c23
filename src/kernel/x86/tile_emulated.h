/* SPDX-License-Identifier: Apache-2.0
 * The verbs of tile_amx.h in plain C, for tests. Follows the Intel SDM: rows and bytes beyond the
 * configuration of a tile are zero after a load and are not stored; shapes must match; TDPBF16PS flushes
 * subnormals and adds even products before odd ones. */
#ifndef RT_KERNEL_X86_TILE_EMULATED_H
#define RT_KERNEL_X86_TILE_EMULATED_H

#include "base/tensor.h"
#include "kernel/x86/emulated_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RT_TILE(name) rt_##name##_amx_emulated

typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

static _Thread_local tile_config tile_shape; /* palette 0: no tiles; any use of one must be noticed */
static _Thread_local uint8_t tile_data[8][16][64];

static inline void tile_publish(const void *data) {
    (void)data;
}
static inline void tile_configure(const tile_config *config) {
    tile_shape = *config;
    memset(tile_data, 0, sizeof tile_data);
}
static inline void tile_release(void) {
    tile_shape = (tile_config){0};
}
static inline void tile_zero(int tile) {
    memset(tile_data[tile], 0, sizeof tile_data[tile]);
}
static inline void tile_load(int tile, const void *from, size_t stride) {
    tile_zero(tile);
    for (size_t r = 0; r < tile_shape.rows[tile]; r++) {
        memcpy(tile_data[tile][r], (const char *)from + r * stride, tile_shape.row_bytes[tile]);
    }
}
static inline void tile_store(int tile, void *to, size_t stride) {
    for (size_t r = 0; r < tile_shape.rows[tile]; r++) {
        memcpy((char *)to + r * stride, tile_data[tile][r], tile_shape.row_bytes[tile]);
    }
}

/* bf16 element i of a row of a tile, subnormals as zero */
static inline float tile_bf16(int tile, size_t row, size_t i) {
    uint16_t bits;
    memcpy(&bits, &tile_data[tile][row][2 * i], sizeof bits);
    return (bits & 0x7f80) == 0 ? 0.0f : rt_bf16_to_f32(bits);
}
static inline void tile_match(int sum, int a, int b) {
    const uint8_t *rows = tile_shape.rows;
    const uint16_t *bytes = tile_shape.row_bytes;
    if (rows[sum] != rows[a] || bytes[a] / 4u != rows[b] || bytes[sum] != bytes[b])
        abort(); /* #UD on hardware */
}
static inline void tile_dot_bf16(int sum, int a, int b) {
    tile_match(sum, a, b);
    for (size_t m = 0; m < tile_shape.rows[sum]; m++) {
        for (size_t n = 0; n < tile_shape.row_bytes[sum] / 4u; n++) {
            float even = 0.0f, odd = 0.0f, old;
            for (size_t k = 0; k < tile_shape.row_bytes[a] / 4u; k++) {
                even = fmaf(tile_bf16(a, m, 2 * k), tile_bf16(b, k, 2 * n), even);
                odd = fmaf(tile_bf16(a, m, 2 * k + 1), tile_bf16(b, k, 2 * n + 1), odd);
            }
            memcpy(&old, &tile_data[sum][m][4 * n], sizeof old);
            old += even + odd;
            memcpy(&tile_data[sum][m][4 * n], &old, sizeof old);
        }
    }
}
static inline void tile_dot_s8(int sum, int a, int b) {
    tile_match(sum, a, b);
    for (size_t m = 0; m < tile_shape.rows[sum]; m++) {
        for (size_t n = 0; n < tile_shape.row_bytes[sum] / 4u; n++) {
            int32_t total;
            memcpy(&total, &tile_data[sum][m][4 * n], sizeof total);
            for (size_t k = 0; k < tile_shape.row_bytes[a]; k++) {
                total += (int8_t)tile_data[a][m][k] * (int8_t)tile_data[b][k / 4][4 * n + k % 4];
            }
            memcpy(&tile_data[sum][m][4 * n], &total, sizeof total);
        }
    }
}

#endif
