/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/integers.h"
#include "kernel/ref/scalar.h"
#include "kernel/rows.h"

/* Applies scales, bias, activation and residual to element (i, j). */
static void finish(const rt_gemm_q *g, size_t i, size_t j, int32_t sum) {
    int32_t weights = g->b_sum[j] / 128;
    float t = fmaf(g->a_scale[i].shift, (float)weights, (float)sum * g->a_scale[i].scale);
    float y = fmaf(t, g->b_scale[j], g->bias != NULL ? g->bias[j] : 0.0f);
    y = ref_activate(y, g->act == RT_FN_GELU ? RT_FN_GELU_SHORT : g->act);
    if (g->residual != NULL) y += g->residual[i * g->ldr + j];
    g->c[i * g->ldc + j] = y;
}

void rt_gemm_s8_ref(const rt_gemm_q *g) {
    const int8_t *b = g->b;
    for (size_t i = 0; i < g->m; i++) {
        for (size_t j = 0; j < g->n; j++) {
            int32_t sum = 0;
            for (size_t l = 0; l < g->k; l++) sum += g->a[i * g->lda + l] * b[rt_panel_byte(g->k, 4, l, j)];
            finish(g, i, j, sum);
        }
    }
}

void rt_widen_s4_ref(const rt_widen *w) {
    size_t k = (w->k + 7) / 8 * 8, columns = (w->n + RT_PANEL - 1) / RT_PANEL * RT_PANEL;
    for (size_t l = 0; l < k; l++) {
        for (size_t j = 0; j < columns; j++) {
            int scale = w->b_group[rt_panel_group(w->k, w->group, l, j)];
            w->out[rt_panel_byte(k, 4, l, j)] = (int8_t)(rt_panel_code(w->b, w->k, l, j) * scale);
        }
    }
}

void rt_gemm_s4_ref(const rt_gemm_q *g) {
    for (size_t i = 0; i < g->m; i++) {
        for (size_t j = 0; j < g->n; j++) {
            int32_t sum = 0;
            for (size_t l = 0; l < g->k; l++) {
                int scale = g->b_group[rt_panel_group(g->k, g->group, l, j)];
                sum += g->a[i * g->lda + l] * (rt_panel_code(g->b, g->k, l, j) * scale);
            }
            for (size_t l = 0; l < g->outliers; l++) {
                sum +=
                    g->a_outliers[i * g->outliers + l] * g->b_outliers[rt_panel_byte(g->outliers, 4, l, j)];
            }
            finish(g, i, j, sum);
        }
    }
}
