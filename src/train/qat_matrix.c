/* SPDX-License-Identifier: Apache-2.0
 * The weight of a Linear in quantisation-aware training. With w the master, s the scale of the column, G the integer scale
 * of the group and q = w / (G s):
 *   used = code G s, where code is q rounded and clipped
 *   dw = dused where q is not clipped, else 0
 *   ds = sum over the column of dused (used - w) / s, or dused used / s where it is clipped (LSQ, equation 3)
 * The parameter is the factor f in s = f s0, whose gradient is s0 ds; it is scaled by 1/sqrt(k high) as in LSQ's section
 * 2.2, so that it does not outweigh those of the weights where gradients are clipped by their norm. */
#include "train/qat_matrix.h"
#include "kernel/integers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Opening ---- */

/* The data of a constant operand, to be written; NULL: absent. */
static void *constant(const rt_graph *graph, const rt_node *node, int operand) {
    return (void *)(uintptr_t)rt_operand_data(graph, node, operand);
}

/* The fewest bits that have all codes. */
static int bits_of(const rt_qat_matrix *m) {
    int low = 0, high = 0;
    bool odd = true;
    for (size_t i = 0; i < m->k; i++) {
        for (size_t j = 0; j < m->n; j++) {
            int code = rt_panel_code(m->packed, m->k, i, j);
            low = code < low ? code : low;
            high = code > high ? code : high;
            odd = odd && (code & 1) != 0;
        }
    }
    if (odd && low >= -3 && high <= 3) return 2;
    return low >= -4 && high <= 3 ? 3 : 4;
}

static bool reserve(rt_qat_matrix *m) {
    size_t wide = m->panels * RT_PANEL, count = 0, bytes = 0;
    if (!rt_mul(m->k, wide, &count) || !rt_mul(count, sizeof(float), &bytes)) return false;
    m->is_outlier = rt_calloc(m->k, sizeof *m->is_outlier);
    m->start = rt_calloc(wide, sizeof *m->start);
    m->used = rt_alloc_aligned(bytes);
    m->data[0] = rt_alloc_aligned(bytes);
    m->data[1] = rt_alloc_aligned(wide * sizeof(float));
    return m->is_outlier != NULL && m->start != NULL && m->used != NULL && m->data[0] != NULL &&
           m->data[1] != NULL;
}

retort_status rt_qat_matrix_open(rt_qat_matrix *out, const rt_graph *graph, const rt_node *node,
                                 retort_error *err) {
    const rt_value *weight = &graph->values[node->inputs[LINEAR_WEIGHT]];
    bool eight = weight->layout == RT_LAYOUT_P16_S8;
    rt_qat_matrix *m = out;
    *m = (rt_qat_matrix){.weight = node->inputs[LINEAR_WEIGHT],
                         .steps = node->inputs[LINEAR_SCALE],
                         .k = (size_t)weight->dims[0],
                         .n = (size_t)weight->dims[1],
                         .packed = constant(graph, node, LINEAR_WEIGHT),
                         .scale = constant(graph, node, LINEAR_SCALE),
                         .sums = constant(graph, node, LINEAR_SUMS),
                         .group_at = constant(graph, node, LINEAR_GROUPS),
                         .outlier_codes = constant(graph, node, LINEAR_OUTLIERS),
                         .outlier_columns = constant(graph, node, LINEAR_OUTLIER_COLUMNS)};
    m->panels = (m->n + RT_PANEL - 1) / RT_PANEL;
    m->group = eight ? rt_max(m->k, 1) : (size_t)node->attrs.group;
    m->groups = (m->k + m->group - 1) / m->group;
    m->grid = rt_grid_of(eight ? 8 : bits_of(m));
    if (m->outlier_codes != NULL) m->outliers = (size_t)graph->values[node->inputs[LINEAR_OUTLIERS]].dims[0];
    if (!reserve(m)) return rt_fail_nomem(err, m->k * m->n * sizeof(float));
    for (size_t i = 0; i < m->outliers; i++) m->is_outlier[m->outlier_columns[i]] = true;
    memcpy(m->start, m->scale, m->n * sizeof *m->start);
    for (size_t j = 0; j < m->panels * RT_PANEL; j++) m->data[1][j] = 1;
    return RETORT_OK;
}

void rt_qat_matrix_free(rt_qat_matrix *m) {
    free(m->is_outlier);
    free(m->start);
    free(m->used);
    free(m->data[0]);
    free(m->data[1]);
    *m = (rt_qat_matrix){0};
}

/* ---- The start ---- */

/* The integer that a weight is, and its scale without that of the column. */
static int integer_at(const rt_qat_matrix *m, size_t i, size_t j) {
    if (m->group_at == NULL) return ((const int8_t *)m->packed)[rt_panel_byte(m->k, 4, i, j)];
    return rt_panel_code(m->packed, m->k, i, j) * m->group_at[rt_panel_group(m->k, m->group, i, j)];
}

/* Whether w rounds to `integer` = code G. */
static bool rounds_to(const rt_grid *grid, float w, float g, float scale, int integer) {
    return rt_grid_code(grid, w * rt_round_factor(g * scale)) * g == (float)integer;
}

static float master_at(const rt_qat_matrix *m, size_t i, size_t j, const float *w) {
    int integer = integer_at(m, i, j);
    float g = m->group_at != NULL ? m->group_at[rt_panel_group(m->k, m->group, i, j)] : 1;
    const rt_grid *grid = m->grid;
    if (m->is_outlier[i]) {
        size_t row = 0;
        while (m->outlier_columns[row] != (int32_t)i) row++;
        integer += m->outlier_codes[rt_panel_byte(m->outliers, 4, row, j)];
        grid = rt_grid_of(8);
        g = 1;
    }
    return w != NULL && rounds_to(grid, *w, g, m->scale[j], integer) ? *w : (float)integer * m->scale[j];
}

void rt_qat_matrix_start(rt_qat_matrix *m, const float *w) {
    memset(m->data[0], 0, m->panels * RT_PANEL * m->k * sizeof(float));
    for (size_t j = 0; j < m->n; j++) {
        for (size_t i = 0; i < m->k; i++) {
            size_t at = (j / RT_PANEL * m->k + i) * RT_PANEL + j % RT_PANEL;
            m->data[0][at] = master_at(m, i, j, w != NULL ? w + at : NULL);
        }
    }
}

/* ---- Rounding ---- */

/* A panel in progress. */
typedef struct panel {
    size_t from, columns;    /* of the matrix */
    const float *w;          /* [k, 16] */
    float *used;             /* [k, 16] */
    float *scale;            /* [16] */
    uint8_t *groups;         /* [groups, 16] or NULL */
    int8_t *codes;           /* [k, 16] scratch */
    float *inliers;          /* [k, 16] scratch */
    int8_t *outliers;        /* [outliers, 16] scratch */
    int32_t sums[RT_PANEL];  /* of codes times G */
    float whole[RT_PANEL];   /* G of a group; 8 bits: 1 */
    float inverse[RT_PANEL]; /* 1 / (G scale) */
} panel;

size_t rt_qat_matrix_scratch(const rt_qat_matrix *m) {
    return rt_round_up(m->k * RT_PANEL * (sizeof(float) + 1) + m->outliers * RT_PANEL, 64);
}

static panel panel_at(const rt_qat_matrix *m, size_t index) {
    size_t from = index * RT_PANEL;
    panel p = {.from = from,
               .columns = rt_min(RT_PANEL, m->n - from),
               .w = m->master->data + from * m->k,
               .used = m->used + from * m->k,
               .scale = m->scale + from,
               .groups = m->group_at != NULL ? m->group_at + from * m->groups : NULL};
    return p;
}

/* A panel to be rounded. */
static panel panel_in(const rt_qat_matrix *m, size_t index, void *scratch) {
    panel p = panel_at(m, index);
    p.inliers = scratch;
    p.codes = (int8_t *)scratch + m->k * RT_PANEL * sizeof *p.inliers;
    p.outliers = p.codes + m->k * RT_PANEL;
    return p;
}

/* p->whole and p->inverse of a group. */
static void look_at_group(panel *p, size_t group) {
    float effective[RT_PANEL];
    for (size_t c = 0; c < RT_PANEL; c++) {
        p->whole[c] = p->groups != NULL ? (float)p->groups[group * RT_PANEL + c] : 1.0F;
        effective[c] = p->whole[c] * p->scale[c];
    }
    rt_round_factors(effective, p->inverse);
}

/* A scale that learning has made nearly 0 or negative stays a sixteenth of what it was. */
static void choose_scales(const rt_qat_matrix *m, panel *p) {
    const float least = 0x1p-4F;
    for (size_t c = 0; c < p->columns; c++) {
        float factor = m->factors->data[p->from + c];
        p->scale[c] = rt_short_scale(m->start[p->from + c] * (factor > least ? factor : least));
    }
}

static void choose_groups(const rt_qat_matrix *m, panel *p) {
    memcpy(p->inliers, p->w, m->k * RT_PANEL * sizeof *p->w);
    for (size_t i = 0; i < m->outliers; i++)
        memset(p->inliers + (size_t)m->outlier_columns[i] * RT_PANEL, 0, RT_PANEL * sizeof *p->w);
    rt_round_regroup(m->grid, m->k, m->group, p->inliers, p->scale, p->groups);
}

/* used = code G s, and the sums, of rows from…to, all in one group. */
static void expand(panel *p, size_t from, size_t to) {
    float whole[RT_PANEL], scale[RT_PANEL], sums[RT_PANEL] = {0}; /* floats: exact below 2^24 */
    memcpy(whole, p->whole, sizeof whole);
    memcpy(scale, p->scale, sizeof scale);
    for (size_t i = from; i < to; i++) {
        for (size_t c = 0; c < RT_PANEL; c++) {
            float integer = (float)p->codes[i * RT_PANEL + c] * whole[c];
            p->used[i * RT_PANEL + c] = integer * scale[c];
            sums[c] += integer;
        }
    }
    for (size_t c = 0; c < RT_PANEL; c++) p->sums[c] += (int32_t)sums[c];
}

/* Rows of 8 bits: their codes in the panel are 0, or ±1 where the grid has no 0, and the outlier codes are the rest. */
static void round_outliers(const rt_qat_matrix *m, panel *p) {
    float inverse[RT_PANEL];
    rt_round_factors(p->scale, inverse);
    for (size_t o = 0; o < m->outliers; o++) {
        size_t row = (size_t)m->outlier_columns[o];
        look_at_group(p, row / m->group);
        for (size_t c = 0; c < RT_PANEL; c++) {
            size_t at = row * RT_PANEL + c;
            int g = (int)p->whole[c], total = (int)rt_grid_code(rt_grid_of(8), p->w[at] * inverse[c]);
            int code = m->grid->offset == 0 ? 0 : total < 0 ? -1 : 1;
            p->sums[c] += total - p->codes[at] * g;
            p->codes[at] = (int8_t)code;
            p->outliers[o * RT_PANEL + c] = (int8_t)(total - code * g);
            p->used[at] = (float)total * p->scale[c];
        }
    }
}

/* Columns beyond the matrix are 0 everywhere. */
static void clear_padding(const rt_qat_matrix *m, panel *p) {
    if (p->columns == RT_PANEL) return;
    for (size_t i = 0; i < m->k; i++) memset(p->codes + i * RT_PANEL + p->columns, 0, RT_PANEL - p->columns);
    for (size_t i = 0; i < m->outliers; i++)
        memset(p->outliers + i * RT_PANEL + p->columns, 0, RT_PANEL - p->columns);
}

static void pack(const rt_qat_matrix *m, const panel *p) {
    size_t bytes = rt_round_up(m->k, 4) * RT_PANEL, half = rt_round_up(m->k, 8) * RT_PANEL / 2;
    size_t index = p->from / RT_PANEL;
    if (p->groups == NULL)
        rt_pack_panel_s8(m->k, p->codes, (int8_t *)m->packed + index * bytes);
    else
        rt_pack_panel_s4(m->k, p->codes, (uint8_t *)m->packed + index * half);
    if (m->outliers > 0) rt_pack_panel_s8(m->outliers, p->outliers, m->outlier_codes + p->from * m->outliers);
    for (size_t c = 0; c < p->columns; c++) m->sums[p->from + c] = 128 * p->sums[c];
}

void rt_qat_matrix_refresh(const rt_qat_matrix *m, size_t index, bool regroup, void *scratch) {
    panel p = panel_in(m, index, scratch);
    choose_scales(m, &p);
    if (regroup && p.groups != NULL) choose_groups(m, &p);
    for (size_t g = 0; g < m->groups; g++) {
        size_t from = g * m->group, to = rt_min(from + m->group, m->k);
        look_at_group(&p, g);
        rt_round_rows(m->grid, to - from, p.w + from * RT_PANEL, p.inverse, p.codes + from * RT_PANEL);
        expand(&p, from, to);
    }
    round_outliers(m, &p);
    clear_padding(m, &p);
    pack(m, &p);
}

/* ---- Gradients ---- */

/* A row of 16: grad becomes that of the masters, sums get that of the scales times s. */
static void gather_row(float low, float high, const float *inverse, const float *w, const float *used,
                       float *grad, float *sums) {
    for (size_t c = 0; c < RT_PANEL; c++) {
        float q = w[c] * inverse[c];
        bool inside = q >= low && q <= high;
        sums[c] += grad[c] * (used[c] - (inside ? w[c] : 0.0F));
        grad[c] = inside ? grad[c] : 0.0F;
    }
}

void rt_qat_matrix_gather(const rt_qat_matrix *m, size_t index) {
    panel p = panel_at(m, index);
    float *grad = m->master->grad + p.from * m->k, sums[RT_PANEL] = {0}, own[RT_PANEL];
    const rt_grid *eight = rt_grid_of(8);
    rt_round_factors(p.scale, own);
    for (size_t i = 0; i < m->k; i++) {
        size_t at = i * RT_PANEL;
        if (i % m->group == 0) look_at_group(&p, i / m->group);
        if (m->is_outlier[i])
            gather_row(eight->low, eight->high, own, p.w + at, p.used + at, grad + at, sums);
        else
            gather_row(m->grid->low, m->grid->high, p.inverse, p.w + at, p.used + at, grad + at, sums);
    }
    float share = 1 / sqrtf((float)m->k * m->grid->high);
    for (size_t c = 0; c < p.columns; c++)
        m->factors->grad[p.from + c] += share * sums[c] / m->factors->data[p.from + c];
}
