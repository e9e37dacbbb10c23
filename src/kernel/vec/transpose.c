/* SPDX-License-Identifier: Apache-2.0 */
#include "base/memory.h"
#include "kernel/rows.h"
#include "kernel/vec/math.h"

RT_VERB void load_block(const rt_transpose_args *t, size_t i, size_t j, size_t m, size_t n, v16 block[16]) {
#pragma GCC unroll 16
    for (size_t r = 0; r < 16; r++) {
        if (r >= m)
            block[r] = v16_set(0.0f);
        else if (t->x != NULL)
            block[r] = v16_load_n(t->x + (i + r) * t->ldx + j, n);
        else
            block[r] = v16_load_bf16_n(t->x16 + (i + r) * t->ldx + j, n);
    }
}

/* Rows of y. */
RT_VERB void store_rows(const rt_transpose_args *t, size_t i, size_t j, size_t m, size_t n,
                        const v16 block[16]) {
#pragma GCC unroll 16
    for (size_t c = 0; c < 16; c++) {
        if (c >= n) break;
        if (t->y != NULL)
            v16_store_n(t->y + (j + c) * t->ldy + i, block[c], m);
        else
            v16_store_bf16_n(t->y16 + (j + c) * t->ldy + i, block[c], m);
    }
}

/* Rows of a panel; in bf16, pairs of them. */
RT_VERB void store_panel(const rt_transpose_args *t, size_t i, size_t j, size_t n, const v16 block[16]) {
    size_t at = i / RT_PANEL * t->y_panel + j * RT_PANEL;
#pragma GCC unroll 16
    for (size_t c = 0; c < 16; c++) {
        if (c >= n) break;
        if (t->y != NULL)
            v16_store(t->y + at + c * RT_PANEL, block[c]);
        else if ((c & 1) == 0)
            v16_store_bf16_pairs(t->y16 + at + c * RT_PANEL, block[c], block[c + 1]);
    }
}

/* m rows from i on and n columns from j on, at most 16 of each: constants where the block is whole, so that it stays in
 * registers. */
RT_VERB void transpose_block(const rt_transpose_args *t, size_t i, size_t j, size_t m, size_t n) {
    v16 block[16];
    load_block(t, i, j, m, n, block);
    v16_transpose(block);
    if (t->y_panel > 0)
        store_panel(t, i, j, n, block);
    else
        store_rows(t, i, j, m, n, block);
}

/* Rows of y one after the other: their lines are written whole. */
void RT_ISA(transpose)(const rt_transpose_args *t) {
    for (size_t j = 0; j < t->n; j += 16) {
        for (size_t i = 0; i < t->m; i += 16) {
            size_t m = rt_min(16, t->m - i), n = rt_min(16, t->n - j);
            if (m == 16 && n == 16)
                transpose_block(t, i, j, 16, 16);
            else
                transpose_block(t, i, j, m, n);
        }
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
