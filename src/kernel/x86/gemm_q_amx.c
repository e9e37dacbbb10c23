/* SPDX-License-Identifier: Apache-2.0 */
#include RT_TILE_HEADER
#define tile_dot(sum, a, b) tile_dot_s8(sum, a, b)
#include "kernel/x86/gemm_amx.h"
#include "kernel/vec/unpack.h"

/* What the loops need; the epilogue reads the rest from q. */
RT_VERB rt_gemm gemm_view(const rt_gemm_q *q, size_t step) {
    return (rt_gemm){.m = q->m, .n = q->n, .k = rt_round_up(q->k, step), .a = q->a, .lda = q->lda, .b = q->b};
}

void RT_TILE(gemm_s8)(const rt_gemm_q *q) {
    rt_gemm g = gemm_view(q, 4);
    gemm_tiles(&g, 1, g.k * RT_PANEL, packed_panels, q);
}

static const char *unpacked_panels(const rt_gemm *g, const rt_gemm_q *q, size_t j, size_t panels,
                                   size_t panel) {
    (void)panel;
    panels_s4 from = panels_at(q, j);
    unpack_panels(panels, &from, g->k, q->scratch);
    tile_publish(q->scratch);
    return (const char *)q->scratch;
}

void RT_TILE(gemm_s4)(const rt_gemm_q *q) {
    rt_gemm g = gemm_view(q, 8);
    gemm_tiles(&g, 1, g.k * RT_PANEL, unpacked_panels, q);
}
