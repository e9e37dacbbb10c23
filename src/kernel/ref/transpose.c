/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tensor.h"
#include "kernel/rows.h"

void rt_transpose_ref(const rt_transpose_args *t) {
    for (size_t i = 0; i < t->m; i++) {
        for (size_t j = 0; j < t->n; j++) {
            float x = t->x[i * t->ldx + j];
            if (t->y != NULL)
                t->y[j * t->ldy + i] = x;
            else
                t->y16[j * t->ldy + i] = rt_f32_to_bf16(x);
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
