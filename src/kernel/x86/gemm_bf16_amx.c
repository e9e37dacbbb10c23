/* SPDX-License-Identifier: Apache-2.0 */
#include RT_TILE_HEADER
#define tile_dot(sum, a, b) tile_dot_bf16(sum, a, b)
#include "kernel/x86/gemm_amx.h"

void RT_TILE(gemm_bf16)(const rt_gemm *g) {
    gemm_tiles(g, sizeof(uint16_t), (g->k + 1) / 2 * 2 * RT_PANEL * sizeof(uint16_t), packed_panels, NULL);
}
