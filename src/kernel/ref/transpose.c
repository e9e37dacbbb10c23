/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tensor.h"
#include "kernel/rows.h"

/* x[i][j]; 0 where packed panels go beyond x. */
static float element(const rt_transpose_args *t, size_t i, size_t j) {
    if (i >= t->m || j >= t->n) return 0.0f;
    return t->x != NULL ? t->x[i * t->ldx + j] : rt_bf16_to_f32(t->x16[i * t->ldx + j]);
}

void rt_transpose_ref(const rt_transpose_args *t) {
    bool packed = t->y_panel > 0;
    size_t m = packed ? (t->m + RT_PANEL - 1) / RT_PANEL * RT_PANEL : t->m;
    size_t n = packed && t->y16 != NULL ? t->n + (t->n & 1) : t->n;
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            size_t panel = i / RT_PANEL * t->y_panel, column = i % RT_PANEL;
            float x = element(t, i, j);
            if (t->y != NULL)
                t->y[packed ? panel + j * RT_PANEL + column : j * t->ldy + i] = x;
            else if (t->y16 != NULL)
                t->y16[packed ? panel + (j / 2 * RT_PANEL + column) * 2 + j % 2 : j * t->ldy + i] =
                    rt_f32_to_bf16(x);
        }
    }
}

void rt_pack_ref(const rt_pack_args *pack) {
    size_t rows = pack->y != NULL ? pack->k : pack->k + (pack->k & 1);
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < (pack->n + RT_PANEL - 1) / RT_PANEL * RT_PANEL; j++) {
            float x = i < pack->k && j < pack->n ? pack->x[i * pack->ldx + j] : 0.0f;
            size_t panel = j / RT_PANEL * pack->y_panel, column = j % RT_PANEL;
            if (pack->y != NULL)
                pack->y[panel + i * RT_PANEL + column] = x;
            else
                pack->y16[panel + (i / 2 * RT_PANEL + column) * 2 + i % 2] = rt_f32_to_bf16(x);
        }
    }
}
