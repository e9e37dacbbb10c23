/* SPDX-License-Identifier: Apache-2.0 */
#include "base/memory.h"
#include "kernel/rows.h"
#include "kernel/vec/math.h"

/* Rows i… and columns j…, 16 each or what is left. */
RT_VERB void transpose_block(const rt_transpose_args *t, size_t i, size_t j) {
    size_t m = rt_min(16, t->m - i), n = rt_min(16, t->n - j);
    v16 block[16];
    for (size_t r = 0; r < 16; r++)
        block[r] = r < m ? v16_load_n(t->x + (i + r) * t->ldx + j, n) : v16_set(0.0f);
    v16_transpose(block);
    for (size_t c = 0; c < n; c++) {
        if (t->y != NULL)
            v16_store_n(t->y + (j + c) * t->ldy + i, block[c], m);
        else
            v16_store_bf16_n(t->y16 + (j + c) * t->ldy + i, block[c], m);
    }
}

void RT_ISA(transpose)(const rt_transpose_args *t) {
    for (size_t i = 0; i < t->m; i += 16) {
        for (size_t j = 0; j < t->n; j += 16) transpose_block(t, i, j);
    }
}

static void pack_panel(const rt_pack_args *pack, size_t j) {
    size_t n = pack->n - j;
    float *y = pack->y + j / RT_PANEL * pack->y_panel;
    for (size_t i = 0; i < pack->k; i++)
        v16_store(y + i * RT_PANEL, v16_load_n(pack->x + i * pack->ldx + j, n));
}

static void pack_pairs(const rt_pack_args *pack, size_t j) {
    size_t n = pack->n - j;
    uint16_t *y = pack->y16 + j / RT_PANEL * pack->y_panel;
    for (size_t i = 0; i < pack->k; i += 2) {
        v16 even = v16_load_n(pack->x + i * pack->ldx + j, n), odd = v16_set(0.0f);
        if (i + 1 < pack->k) odd = v16_load_n(pack->x + (i + 1) * pack->ldx + j, n);
        v16_store_bf16_pairs(y + i * RT_PANEL, even, odd);
    }
}

void RT_ISA(pack)(const rt_pack_args *pack) {
    for (size_t j = 0; j < pack->n; j += RT_PANEL) {
        if (pack->y != NULL)
            pack_panel(pack, j);
        else
            pack_pairs(pack, j);
    }
}
