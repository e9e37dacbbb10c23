/* SPDX-License-Identifier: Apache-2.0
 * The AMX tile verbs as instructions. tile_emulated.h has the same verbs in plain C, so that the kernels
 * using them can be tested on CPUs without AMX. Tile numbers must be literals: they are part of the
 * opcode. */
#ifndef RT_KERNEL_X86_TILE_AMX_H
#define RT_KERNEL_X86_TILE_AMX_H

#include <immintrin.h>
#include <stdint.h>

#define RT_TILE(name) rt_##name##_amx

/* Memory operand of LDTILECFG (Intel SDM, "TILECFG"). */
typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

/* The intrinsics of gcc 12 do not declare that they read memory; this does. */
static inline void tile_publish(const void *data) {
    __asm__ volatile("" : : "r"(data) : "memory");
}

#define tile_configure(config)        _tile_loadconfig(config)
#define tile_release()                _tile_release()
#define tile_zero(tile)               _tile_zero(tile)
#define tile_load(tile, from, stride) _tile_loadd(tile, from, stride) /* stride: row stride in bytes */
#define tile_store(tile, to, stride)  _tile_stored(tile, to, stride)
#define tile_dot_bf16(sum, a, b)      _tile_dpbf16ps(sum, a, b) /* sum += a b, b in pairs of rows */
#define tile_dot_s8(sum, a, b)        _tile_dpbssd(sum, a, b)   /* b in fours of rows */

#endif
