/* SPDX-License-Identifier: Apache-2.0
 * Reads the integers of our own exports. Codes are tensors of the file, in one of the forms that
 * onnx/write_integer.c writes; group scales are in the metadata; column sums follow from both. */
#include "base/budget.h"
#include "model/onnx_own_integer.h"

#include "kernel/integers.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- Codes ---- */

typedef struct matrix {
    size_t k, n, group;    /* group 0: 8 bits */
    const uint8_t *groups; /* packed */
    int8_t *codes;         /* [k, n] */
} matrix;

static int scale_of(const matrix *m, size_t i, size_t j) {
    return m->group == 0 ? 1 : m->groups[rt_panel_group(m->k, m->group, i, j)];
}

/* From int8 rows, which hold 4-bit codes times their group scale. */
static bool from_int8(const matrix *m, const rt_onnx_tensor *t) {
    const int8_t *rows = t->data;
    for (size_t i = 0; i < m->k; i++) {
        for (size_t j = 0; j < m->n; j++) {
            int scale = scale_of(m, i, j);
            int8_t value = rows[i * m->n + j];
            if (scale == 0 || value % scale != 0) return false;
            m->codes[i * m->n + j] = (int8_t)(value / scale);
        }
    }
    return true;
}

/* From MatMulNBits: [n, blocks, group / 2], where 8 means 0. */
static bool from_n_bits(const matrix *m, const rt_onnx_tensor *t) {
    const uint8_t *bytes = t->data;
    size_t row = (m->k + m->group - 1) / m->group * m->group / 2;
    for (size_t i = 0; i < m->k; i++) {
        for (size_t j = 0; j < m->n; j++) {
            m->codes[i * m->n + j] = (int8_t)((bytes[j * row + i / 2] >> i % 2 * 4 & 15) - 8);
        }
    }
    return true;
}

static bool from_int4(const matrix *m, const rt_onnx_tensor *t) {
    const uint8_t *bytes = t->data;
    for (size_t at = 0; at < m->k * m->n; at++) {
        int bits = bytes[at / 2] >> at % 2 * 4 & 15;
        m->codes[at] = (int8_t)((bits ^ 8) - 8);
    }
    return true;
}

static bool codes_of(const matrix *m, const rt_onnx_tensor *t) {
    const int64_t dims[] = {(int64_t)m->k, (int64_t)m->n};
    if (rt_onnx_is_shaped(t, RT_ONNX_INT8, 2, dims)) return from_int8(m, t);
    if (m->group == 0) return false;
    const int64_t blocks[] = {dims[1], (int64_t)((m->k + m->group - 1) / m->group), (int64_t)m->group / 2};
    if (rt_onnx_is_shaped(t, RT_ONNX_UINT8, 3, blocks)) return from_n_bits(m, t);
    return rt_onnx_is_shaped(t, RT_ONNX_INT4, 2, dims) && from_int4(m, t);
}

/* Whether packing to 4 bits loses nothing. */
static bool codes_fit(const matrix *m) {
    for (size_t at = 0; m->group > 0 && at < m->k * m->n; at++) {
        if (m->codes[at] < -8 || m->codes[at] > 7) return false;
    }
    return true;
}

/* ---- Constants of a node ---- */

static void *room(rt_graph *graph, const rt_value *v) {
    size_t bytes;
    rt_budget_about(v->name, "");
    return rt_value_bytes(v, &bytes) ? rt_graph_alloc(graph, bytes) : NULL;
}

static bool pack(rt_graph *graph, const rt_node *node, const matrix *m, int32_t *sums) {
    rt_value *v = &graph->values[node->inputs[LINEAR_WEIGHT]];
    void *packed = room(graph, v);
    if (packed == NULL) return false;
    v->data = packed;
    if (m->group == 0) {
        rt_pack_s8(m->k, m->n, m->codes, m->n, 1, packed, sums);
        return true;
    }
    size_t blocks = (m->k + m->group - 1) / m->group;
    uint8_t *rows = rt_calloc(blocks, m->n);
    for (size_t b = 0; rows != NULL && b < blocks; b++) {
        for (size_t j = 0; j < m->n; j++) rows[b * m->n + j] = (uint8_t)scale_of(m, b * m->group, j);
    }
    size_t bytes = 0;
    uint8_t *groups = room(graph, &graph->values[node->inputs[LINEAR_GROUPS]]);
    if (groups != NULL) rt_value_bytes(&graph->values[node->inputs[LINEAR_GROUPS]], &bytes);
    if (rows != NULL && groups != NULL) {
        rt_pack_s4(m->k, m->n, m->group, m->codes, m->n, 1, rows, packed, groups, sums);
        memcpy(groups, m->groups, bytes); /* as they were, beyond column n as well */
        graph->values[node->inputs[LINEAR_GROUPS]].data = groups;
    }
    free(rows);
    return rows != NULL && groups != NULL;
}

/* Takes the outlier rows, and adds their column sums to those of the matrix. */
static bool take_outliers(rt_graph *graph, const rt_onnx_index *file, const rt_node *node, int32_t *sums,
                          bool *memory) {
    rt_value *outliers = &graph->values[node->inputs[LINEAR_OUTLIERS]],
             *columns = &graph->values[node->inputs[LINEAR_OUTLIER_COLUMNS]];
    const rt_onnx_tensor *t = rt_onnx_find(file, outliers->name), *c = rt_onnx_find(file, columns->name);
    size_t rows = (size_t)outliers->dims[0], n = (size_t)outliers->dims[1];
    if (!rt_onnx_is_shaped(t, RT_ONNX_INT8, 2, outliers->dims) ||
        !rt_onnx_is_shaped(c, RT_ONNX_INT64, 1, outliers->dims))
        return false;
    int8_t *packed = room(graph, outliers);
    int32_t *which = room(graph, columns), *more = rt_calloc(n, sizeof *more);
    *memory = packed != NULL && which != NULL && more != NULL;
    if (*memory) {
        rt_pack_s8(rows, n, t->data, n, 1, packed, more);
        for (size_t j = 0; j < n; j++) sums[j] += more[j];
        for (size_t i = 0; i < rows; i++) {
            int64_t column;
            memcpy(&column, (const char *)c->data + i * sizeof column, sizeof column);
            which[i] = column >= 0 && column <= INT32_MAX ? (int32_t)column : -1;
        }
        outliers->data = packed;
        columns->data = which;
    }
    free(more);
    return *memory;
}

/* False with *memory false: out of memory; with *memory true: the file is not ours. */
static bool take_linear(rt_graph *graph, const rt_onnx_index *file, const rt_node *node, bool *memory) {
    rt_value *v = &graph->values[node->inputs[LINEAR_WEIGHT]],
             *sums = &graph->values[node->inputs[LINEAR_SUMS]];
    bool four = v->layout == RT_LAYOUT_P16_S4;
    if (four ? node->attrs.group <= 0 || rt_operand(node, LINEAR_GROUPS) < 0 : v->layout != RT_LAYOUT_P16_S8)
        return false;
    size_t packed_groups = 0;
    matrix m = {.k = (size_t)v->dims[0], .n = (size_t)v->dims[1]};
    m.group = four ? (size_t)node->attrs.group : 0;
    const rt_value *groups =
        rt_operand(node, LINEAR_GROUPS) >= 0 ? &graph->values[node->inputs[LINEAR_GROUPS]] : NULL;
    uint8_t *scales =
        groups != NULL && rt_value_bytes(groups, &packed_groups) ? rt_calloc(packed_groups, 1) : NULL;
    int32_t *totals = room(graph, sums);
    m.groups = scales;
    m.codes = rt_calloc(m.k, m.n);
    *memory = totals != NULL && m.codes != NULL && (groups == NULL || scales != NULL);
    bool taken = *memory && (groups == NULL || rt_onnx_read_groups(file, groups, scales, packed_groups)) &&
                 codes_of(&m, rt_onnx_find(file, v->name)) && codes_fit(&m);
    if (taken) taken = *memory = pack(graph, node, &m, totals);
    if (taken && rt_operand(node, LINEAR_OUTLIERS) >= 0)
        taken = take_outliers(graph, file, node, totals, memory);
    if (taken) sums->data = totals;
    free(scales);
    free(m.codes);
    return taken;
}

/* A table of 4-bit codes, from its int8 rows. */
static bool take_table(rt_graph *graph, const rt_onnx_index *file, const rt_node *node, bool *memory) {
    rt_value *v = &graph->values[node->inputs[EMBED_WORD]],
             *groups = &graph->values[node->inputs[EMBED_WORD_GROUPS]];
    const rt_onnx_tensor *t = rt_onnx_find(file, v->name);
    size_t rows = (size_t)v->dims[0], n = (size_t)v->dims[1], group = (size_t)node->attrs.group, bytes;
    if (group == 0) return false;
    size_t row_groups = (n + group - 1) / group, stride = (n + 31) / 32 * 16;
    if (!rt_onnx_is_shaped(t, RT_ONNX_INT8, 2, v->dims) || !rt_value_bytes(groups, &bytes)) return false;
    uint8_t *codes = room(graph, v), *scales = room(graph, groups);
    *memory = codes != NULL && scales != NULL;
    if (!*memory || !rt_onnx_read_groups(file, groups, scales, bytes)) return false;
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < n; j++) {
            int scale = scales[i * row_groups + j / group];
            int8_t value = ((const int8_t *)t->data)[i * n + j];
            if (scale == 0 || value % scale != 0 || value / scale < -8 || value / scale > 7) return false;
            codes[i * stride + j / 32 * 16 + j % 16] |=
                (uint8_t)((value / scale & 15) << (j % 32 < 16 ? 0 : 4));
        }
    }
    v->data = codes;
    groups->data = scales;
    return true;
}

/* Input `index`: pruned ids, or ids with int8 rows. */
static bool take_ids(rt_graph *graph, const rt_onnx_index *file, const rt_node *node, int index,
                     bool *memory) {
    rt_value *v = &graph->values[node->inputs[index]];
    size_t bytes = 0;
    uint8_t *data = room(graph, v);
    rt_value_bytes(v, &bytes);
    *memory = data != NULL;
    if (!*memory || !rt_onnx_read_groups(file, v, data, bytes)) return false;
    v->data = data;
    return true;
}

bool rt_onnx_take_integers(rt_graph *graph, const rt_onnx_index *file, bool *memory) {
    bool taken = true;
    *memory = true;
    for (size_t i = 0; taken && i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        if (node->op == RT_OP_LINEAR && rt_operand(node, LINEAR_SUMS) >= 0)
            taken = take_linear(graph, file, node, memory);
        if (node->op == RT_OP_EMBED && rt_operand(node, EMBED_WORD_GROUPS) >= 0)
            taken = take_table(graph, file, node, memory);
        for (int k = 12; taken && node->op == RT_OP_EMBED && k < 14; k++) {
            if (rt_operand(node, k) >= 0) taken = take_ids(graph, file, node, k, memory);
        }
    }
    return taken;
}

bool rt_onnx_is_made(const rt_value *v) {
    bool floats = v->layout == RT_LAYOUT_P16 || v->layout == RT_LAYOUT_P16_BF16;
    return (v->layout != RT_LAYOUT_ROWS && !floats) || v->dtype == RETORT_I32 || v->dtype == RETORT_U8;
}
