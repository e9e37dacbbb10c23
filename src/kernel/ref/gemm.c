/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tensor.h"
#include "kernel/ref/scalar.h"
#include "kernel/rows.h"

/* Adds bias, activation and residual, and stores element (i, j) of the outputs. */
static void finish(const rt_gemm *g, size_t i, size_t j, float sum) {
    size_t to = g->c_panel == 0 ? j : j / RT_PANEL * g->c_panel + j % RT_PANEL;
    if (g->bias != NULL) sum += g->bias[j];
    if (g->z != NULL) g->z[i * g->ldz + j] = sum;
    sum = ref_activate(sum, g->act);
    if (g->residual != NULL) sum += g->residual[i * g->ldr + to];
    if (g->c != NULL) g->c[i * g->ldc + to] = sum;
    if (g->c16 != NULL) g->c16[i * g->ldc16 + j] = rt_f32_to_bf16(sum);
}

void rt_gemm_f32_ref(const rt_gemm *g) {
    const float *a = g->a, *b = g->b;
    for (size_t i = 0; i < g->m; i++) {
        for (size_t j = 0; j < g->n; j++) {
            const float *column = b + j / RT_PANEL * g->k * RT_PANEL + j % RT_PANEL;
            float sum = 0.0f;
            for (size_t l = 0; l < g->k; l++) sum = fmaf(a[i * g->lda + l], column[l * RT_PANEL], sum);
            finish(g, i, j, sum);
        }
    }
}

void rt_gemm_bf16_ref(const rt_gemm *g) {
    const uint16_t *a = g->a, *b = g->b;
    size_t pairs = (g->k + 1) / 2;
    for (size_t i = 0; i < g->m; i++) {
        for (size_t j = 0; j < g->n; j++) {
            const uint16_t *column = b + (j / RT_PANEL * pairs * RT_PANEL + j % RT_PANEL) * 2;
            float sum = 0.0f;
            for (size_t l = 0; l < g->k; l++) {
                float weight = rt_bf16_to_f32(column[l / 2 * RT_PANEL * 2 + l % 2]);
                sum = fmaf(rt_bf16_to_f32(a[i * g->lda + l]), weight, sum);
            }
            finish(g, i, j, sum);
        }
    }
}
