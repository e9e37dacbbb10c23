/* SPDX-License-Identifier: Apache-2.0
 * Peaks with tdpbf16ps and tdpbssd: six tiles of sums, more than enough to hide the latency of 52 cycles when
 * one is issued every 16. */
#include "kernel/rows.h"
#include RT_TILE_HEADER

#include <string.h>

enum { SUMS = 6, ROWS = 16, COLUMNS = 16, LINE = 64, ONE_BF16 = 0x3f80 };

/* All eight tiles in use: 0…5 sums, 6 A and 7 B, both loaded from `fill`. */
static void configure(const void *fill) {
    tile_config config = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        config.row_bytes[t] = LINE;
        config.rows[t] = ROWS;
    }
    tile_publish(&config);
    tile_publish(fill);
    tile_configure(&config);
    tile_zero(0);
    tile_zero(1);
    tile_zero(2);
    tile_zero(3);
    tile_zero(4);
    tile_zero(5);
    tile_load(6, fill, LINE);
    tile_load(7, fill, LINE);
}

static void store(void *sums) { /* [SUMS][ROWS][LINE] bytes */
    char *to = sums;
    tile_store(0, to, LINE);
    tile_store(1, to + ROWS * LINE, LINE);
    tile_store(2, to + 2 * ROWS * LINE, LINE);
    tile_store(3, to + 3 * ROWS * LINE, LINE);
    tile_store(4, to + 4 * ROWS * LINE, LINE);
    tile_store(5, to + 5 * ROWS * LINE, LINE);
    tile_publish(sums);
    tile_release();
}

uint64_t RT_TILE(peak_bf16)(size_t rounds, int one, float *sums) {
    enum { DEPTH = 32 };
    uint16_t fill[ROWS * DEPTH];
    float tiles[SUMS * ROWS][COLUMNS] = {{0}};
    for (size_t i = 0; i < ROWS * DEPTH; i++) fill[i] = (uint16_t)(one * ONE_BF16);
    configure(fill);
    for (size_t r = 0; r < rounds; r++) {
        tile_dot_bf16(0, 6, 7);
        tile_dot_bf16(1, 6, 7);
        tile_dot_bf16(2, 6, 7);
        tile_dot_bf16(3, 6, 7);
        tile_dot_bf16(4, 6, 7);
        tile_dot_bf16(5, 6, 7);
    }
    store(tiles);
    memset(sums, 0, COLUMNS * sizeof *sums);
    for (size_t i = 0; i < SUMS * ROWS; i++) {
        for (size_t j = 0; j < COLUMNS; j++) sums[j] += tiles[i][j];
    }
    return (uint64_t)rounds * SUMS * ROWS * COLUMNS * DEPTH * 2;
}

uint64_t RT_TILE(peak_s8)(size_t rounds, int one, float *sums) {
    enum { DEPTH = 64 };
    int8_t fill[ROWS * DEPTH];
    uint32_t tiles[SUMS * ROWS][COLUMNS] = {{0}}, total[COLUMNS] = {0};
    memset(fill, one, sizeof fill);
    configure(fill);
    for (size_t r = 0; r < rounds; r++) {
        tile_dot_s8(0, 6, 7);
        tile_dot_s8(1, 6, 7);
        tile_dot_s8(2, 6, 7);
        tile_dot_s8(3, 6, 7);
        tile_dot_s8(4, 6, 7);
        tile_dot_s8(5, 6, 7);
    }
    store(tiles);
    for (size_t i = 0; i < SUMS * ROWS; i++) {
        for (size_t j = 0; j < COLUMNS; j++) total[j] += tiles[i][j];
    }
    for (size_t j = 0; j < COLUMNS; j++) sums[j] = (float)(int32_t)total[j];
    return (uint64_t)rounds * SUMS * ROWS * COLUMNS * DEPTH * 2;
}

uint64_t RT_TILE(peak_s4)(size_t rounds, int one, float *sums) {
    return RT_TILE(peak_s8)(rounds, one, sums);
}
