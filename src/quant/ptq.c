/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/ptq.h"
#include "graph/match.h"
#include "quant/panel.h"

#include <stdlib.h>
#include <string.h>

/* A constant being rounded, 16 columns (matrix) or rows (table) at a time. */
typedef struct rounding {
    const rt_value *from;      /* valid until the graph is edited */
    int bits;                  /* 8, or 4, 3 or 2, which are stored alike */
    size_t k, n;               /* n columns of k weights each */
    size_t stride_k, stride_n; /* of a table */
    const int32_t *rows;       /* [n] of a table that are stored; NULL: all */
    const rt_word_rows *words; /* of the word table; else NULL */
    size_t group, groups;
    const rt_rounder *rounder; /* or NULL */
    size_t outliers;
    /* Results, in the graph's arena: padded to whole panels. */
    float *scale;      /* [n] */
    int32_t *sums;     /* [n], matrices */
    uint8_t *group_at; /* 4 bits */
    void *packed;
    int8_t *outliers_packed; /* [ceil(n/16), ceil(outliers/4), 16, 4] */
    int32_t *outlier_rows;   /* [outliers] */
    /* Scratch for one panel. */
    rt_rounded panel;
    float *w, *reals; /* [k, 16], [groups, 16] */
} rounding;

static void end(rounding *r) {
    free(r->panel.codes);
    free(r->panel.groups);
    free(r->w);
    free(r->reals);
}

/* Allocates scratch, scales and `bytes` of codes; false: out of memory. */
static bool begin(rounding *r, rt_graph *graph, size_t bytes) {
    r->groups = r->bits < 8 ? (r->k + r->group - 1) / r->group : 0;
    r->panel.grid = rt_grid_of(r->bits);
    r->panel.codes = rt_calloc(r->k, RT_PANEL);
    r->panel.groups = rt_calloc(r->groups, RT_PANEL);
    r->w = rt_calloc(r->k, RT_PANEL * sizeof *r->w);
    r->reals = rt_calloc(r->groups, RT_PANEL * sizeof *r->reals);
    r->scale = rt_graph_alloc(graph, r->n * sizeof *r->scale);
    r->packed = rt_graph_alloc(graph, bytes);
    return r->panel.codes != NULL && r->panel.groups != NULL && r->w != NULL && r->reals != NULL &&
           r->scale != NULL && r->packed != NULL;
}

static retort_status no_memory(const rt_graph *graph, retort_error *err) {
    if (graph->fault.status != RETORT_OK) return rt_fail(err, graph->fault.status, "%s", graph->fault.text);
    return rt_fail_nomem(err, 0);
}

/* Rounds the panel at `w` and keeps its scales, of which the first `columns` count. */
static retort_status round_panel(rounding *r, size_t from, size_t columns, const float *w,
                                 retort_error *err) {
    bool finite;
    if (r->rounder != NULL) {
        finite = r->rounder->round(r->rounder->user, from / RT_PANEL, w, &r->panel);
    } else if (r->bits == 8) {
        finite = rt_round_s8(r->k, w, &r->panel);
    } else {
        finite = rt_round_grouped(r->k, r->group, w, r->reals, &r->panel);
    }
    for (size_t c = 0; c < columns; c++) r->scale[from + c] = r->panel.scale[c];
    for (size_t i = 0; i < r->k; i++) memset(r->panel.codes + i * RT_PANEL + columns, 0, RT_PANEL - columns);
    if (finite) return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT, "%.200s: not all weights are finite", r->from->name);
}

/* Points the value at its integers. */
static void settle(rt_graph *graph, int value, const rounding *r, retort_dtype dtype, rt_layout layout) {
    rt_value *v = &graph->values[value];
    v->dtype = dtype;
    v->layout = layout;
    v->data = r->packed;
}

/* ---- Matrices ---- */

/* Outlier rows of the panel at column `from`, and what they add to the sums of its columns. */
static void pack_outliers(rounding *r, size_t from) {
    int32_t sums[RT_PANEL];
    if (r->outliers == 0) return;
    rt_pack_s8(r->outliers, RT_PANEL, r->rounder->outlier_codes, RT_PANEL, 1,
               r->outliers_packed + from * r->outliers, sums);
    for (size_t c = 0; c < rt_min(RT_PANEL, r->n - from); c++) r->sums[from + c] += sums[c];
}

static retort_status round_matrix(rounding *r, retort_error *err) {
    size_t panels = (r->n + RT_PANEL - 1) / RT_PANEL;
    size_t s8_panel = 0, s4_panel = 0, group_panel = r->groups * RT_PANEL;
    if (!rt_pack_count_s8(r->k, RT_PANEL, &s8_panel) || !rt_pack_count_s4(r->k, RT_PANEL, &s4_panel)) {
        return rt_fail_nomem(err, r->k);
    }
    for (size_t p = 0; p < panels; p++) {
        size_t from = p * RT_PANEL;
        const float *w = (const float *)r->from->data + from * r->k;
        retort_status status = round_panel(r, from, rt_min(RT_PANEL, r->n - from), w, err);
        if (status != RETORT_OK) return status;
        /* Whole panels: the sums of padding columns, 0, are in the padding of `sums`. */
        if (r->bits == 8) {
            rt_pack_s8(r->k, RT_PANEL, r->panel.codes, RT_PANEL, 1, (int8_t *)r->packed + p * s8_panel,
                       r->sums + from);
        } else {
            rt_pack_s4(r->k, RT_PANEL, r->group, r->panel.codes, RT_PANEL, 1, r->panel.groups,
                       (uint8_t *)r->packed + p * s4_panel, r->group_at + p * group_panel, r->sums + from);
            pack_outliers(r, from);
        }
    }
    return RETORT_OK;
}

/* The constants of outlier rows; *outliers and *columns stay -1 without any. False: out of memory. */
static bool add_outliers(rt_graph *graph, const char *scope, const rounding *r, int *outliers, int *columns) {
    int64_t dims[] = {(int64_t)r->outliers, (int64_t)r->n};
    if (r->outliers == 0) return true;
    *columns = rt_add_typed(graph, scope, "weak_columns", RETORT_I32, 1, dims, r->outlier_rows);
    *outliers = rt_add_typed(graph, scope, "weak", RETORT_S8, 2, dims, r->outliers_packed);
    if (*outliers >= 0) graph->values[*outliers].layout = RT_LAYOUT_P16_S8;
    return *outliers >= 0 && *columns >= 0;
}

/* The constants that belong to the weight, in every Linear that uses it. */
static retort_status attach_matrix(rt_graph *graph, int node, const rounding *r, retort_error *err) {
    const char *scope = graph->nodes[node].name;
    int weight = graph->nodes[node].inputs[LINEAR_WEIGHT];
    int64_t n = (int64_t)r->n;
    int64_t dims[] = {(n + RT_PANEL - 1) / RT_PANEL, (int64_t)r->groups, RT_PANEL};
    int scale = rt_add_typed(graph, scope, "scale", RETORT_F32, 1, &n, r->scale);
    int sums = rt_add_typed(graph, scope, "sums", RETORT_I32, 1, &n, r->sums);
    int groups = r->bits < 8 ? rt_add_typed(graph, scope, "groups", RETORT_U8, 3, dims, r->group_at) : -1;
    int outliers = -1, columns = -1;
    bool added = scale >= 0 && sums >= 0 && (r->bits == 8 || groups >= 0);
    if (!added || !add_outliers(graph, scope, r, &outliers, &columns)) return no_memory(graph, err);
    settle(graph, weight, r, r->bits == 8 ? RETORT_S8 : RETORT_U8,
           r->bits == 8 ? RT_LAYOUT_P16_S8 : RT_LAYOUT_P16_S4);
    for (size_t i = 0; i < graph->node_count; i++) {
        rt_node *reader = &graph->nodes[i];
        if (reader->op != RT_OP_LINEAR || reader->inputs[LINEAR_WEIGHT] != weight) continue;
        rt_node_read(graph, (int)i, LINEAR_SCALE, scale);
        rt_node_read(graph, (int)i, LINEAR_SUMS, sums);
        if (groups >= 0) rt_node_read(graph, (int)i, LINEAR_GROUPS, groups);
        if (outliers >= 0) rt_node_read(graph, (int)i, LINEAR_OUTLIERS, outliers);
        if (outliers >= 0) rt_node_read(graph, (int)i, LINEAR_OUTLIER_COLUMNS, columns);
        reader->attrs.group = groups >= 0 ? (int64_t)r->group : 0;
    }
    return RETORT_OK;
}

/* Allocates the integers of the outlier rows and copies their indices; true also without any. */
static bool begin_outliers(rounding *r, rt_graph *graph) {
    size_t bytes = 0;
    if (r->rounder == NULL || r->rounder->outliers == 0) return true;
    r->outliers = r->rounder->outliers;
    r->outlier_rows = rt_graph_alloc(graph, r->outliers * sizeof *r->outlier_rows);
    if (rt_pack_count_s8(r->outliers, r->n, &bytes)) r->outliers_packed = rt_graph_alloc(graph, bytes);
    if (r->outlier_rows == NULL || r->outliers_packed == NULL) return false;
    memcpy(r->outlier_rows, r->rounder->outlier_rows, r->outliers * sizeof *r->outlier_rows);
    return true;
}

retort_status rt_ptq_matrix(rt_graph *graph, int node, int bits, int64_t group, const rt_rounder *rounder,
                            retort_error *err) {
    const rt_value *weight = &graph->values[graph->nodes[node].inputs[LINEAR_WEIGHT]];
    rounding r = {.from = weight, .bits = bits, .group = (size_t)group, .rounder = rounder};
    size_t bytes = 0, group_bytes = 1;
    r.k = (size_t)weight->dims[0];
    r.n = (size_t)weight->dims[1];
    bool counted = bits == 8 ? rt_pack_count_s8(r.k, r.n, &bytes)
                             : rt_pack_count_s4(r.k, r.n, &bytes) &&
                                   rt_pack_count_group(r.k, r.n, r.group, &group_bytes);
    bool begun = counted && begin(&r, graph, bytes);
    r.sums = rt_graph_alloc(graph, r.n * sizeof *r.sums);
    r.group_at = rt_graph_alloc(graph, group_bytes);
    begun = begun && r.sums != NULL && r.group_at != NULL && begin_outliers(&r, graph);
    retort_status status = begun ? round_matrix(&r, err) : no_memory(graph, err);
    if (status == RETORT_OK) status = attach_matrix(graph, node, &r, err);
    end(&r);
    return status;
}

/* ---- Tables ---- */

/* Fills a panel so that elements with a common scale form a column: rows from…from+columns-1 of the word
 * table, or columns of the position table; the rest is zero. */
static void gather(rounding *r, size_t from, size_t columns) {
    const float *data = r->from->data;
    for (size_t c = 0; c < RT_PANEL; c++) {
        size_t source = c < columns && r->rows != NULL ? (size_t)r->rows[from + c] : from + c;
        for (size_t i = 0; i < r->k; i++) {
            size_t at = i * r->stride_k + source * r->stride_n;
            r->w[i * RT_PANEL + c] = c < columns ? data[at] : 0.0F;
        }
    }
}

/* One row of 4-bit codes: of each 32, the low nibbles are 0…15, the high nibbles 16…31 (rt_embed_args). */
static void pack_row(const rounding *r, size_t column, uint8_t *out) {
    for (size_t i = 0; i < r->k; i++) {
        unsigned code = (unsigned)r->panel.codes[i * RT_PANEL + column] & 15u;
        out[i / 32 * 16 + i % 16] |= (uint8_t)(i % 32 < 16 ? code : code << 4);
    }
}

static void store_row(rounding *r, size_t row, size_t column) {
    if (r->bits == 8) {
        int8_t *out = (int8_t *)r->packed + row * r->stride_n;
        for (size_t i = 0; i < r->k; i++) out[i * r->stride_k] = r->panel.codes[i * RT_PANEL + column];
        return;
    }
    pack_row(r, column, (uint8_t *)r->packed + row * ((r->k + 31) / 32 * 16));
    for (size_t g = 0; g < r->groups; g++) {
        r->group_at[row * r->groups + g] = r->panel.groups[g * RT_PANEL + column];
    }
}

static retort_status round_table(rounding *r, retort_error *err) {
    enum { ROWS_AT_ONCE = 32 * RT_PANEL };
    for (size_t from = 0; from < r->n; from += RT_PANEL) {
        bool reports = r->words != NULL && r->words->go_on != NULL && from % ROWS_AT_ONCE == 0;
        if (reports && r->words->go_on(r->words->user, from, r->n, err) != RETORT_OK) return RETORT_CANCELLED;
        size_t columns = rt_min(RT_PANEL, r->n - from);
        gather(r, from, columns);
        retort_status status = round_panel(r, from, columns, r->w, err);
        if (status != RETORT_OK) return status;
        for (size_t c = 0; c < columns; c++) store_row(r, from + c, c);
    }
    return RETORT_OK;
}

static retort_status attach_table(rt_graph *graph, int node, int input, const rounding *r,
                                  retort_error *err) {
    const char *scope = graph->nodes[node].name;
    int table = graph->nodes[node].inputs[input];
    int64_t scales = (int64_t)r->n, dims[] = {scales, (int64_t)r->groups};
    bool word = input == EMBED_WORD;
    int scale =
        rt_add_typed(graph, scope, word ? "scale" : "position_scale", RETORT_F32, 1, &scales, r->scale);
    int groups = r->bits < 8 ? rt_add_typed(graph, scope, "groups", RETORT_U8, 2, dims, r->group_at) : -1;
    if (scale < 0 || (r->bits < 8 && groups < 0)) return no_memory(graph, err);
    settle(graph, table, r, r->bits == 8 ? RETORT_S8 : RETORT_U8,
           r->bits == 8 ? RT_LAYOUT_ROWS : RT_LAYOUT_ROWS_S4);
    for (size_t i = 0; i < graph->node_count; i++) {
        rt_node *reader = &graph->nodes[i];
        if (reader->op != RT_OP_EMBED || reader->inputs[input] != table) continue;
        rt_node_read(graph, (int)i, word ? EMBED_WORD_SCALE : EMBED_POSITION_SCALE, scale);
        if (groups >= 0) rt_node_read(graph, (int)i, EMBED_WORD_GROUPS, groups);
        if (word) reader->attrs.group = groups >= 0 ? (int64_t)r->group : 0;
    }
    return RETORT_OK;
}

static retort_status ptq_table(rt_graph *graph, int node, int input, rounding r, retort_error *err) {
    size_t bytes = 0, group_bytes = 1;
    int bits = r.bits;
    size_t row = bits == 8 ? r.k : (r.k + 31) / 32 * 16;
    bool counted =
        rt_mul(r.n, row, &bytes) && (bits == 8 || rt_mul(r.n, (r.k + r.group - 1) / r.group, &group_bytes));
    bool begun = counted && begin(&r, graph, bytes);
    r.group_at = rt_graph_alloc(graph, group_bytes);
    retort_status status = begun && r.group_at != NULL ? round_table(&r, err) : no_memory(graph, err);
    if (status == RETORT_OK) status = attach_table(graph, node, input, &r, err);
    end(&r);
    return status;
}

/* Input `index` of every Embed that reads the word table. */
static void set_word_input(rt_graph *graph, int table, int index, int value) {
    for (size_t i = 0; i < graph->node_count; i++) {
        rt_node *reader = &graph->nodes[i];
        if (reader->op == RT_OP_EMBED && reader->inputs[EMBED_WORD] == table)
            rt_node_read(graph, (int)i, index, value);
    }
}

/* Adds a copy of i32 [rows, columns] as operand `index` of every Embed that reads the word table. */
static retort_status attach_ids(rt_graph *graph, int node, const char *leaf, int index, const int32_t *ids,
                                size_t rows, size_t columns, retort_error *err) {
    int64_t dims[] = {(int64_t)rows, (int64_t)columns};
    if (rows == 0) return RETORT_OK;
    int32_t *copy = rt_graph_alloc(graph, rows * columns * sizeof *copy);
    if (copy == NULL) return no_memory(graph, err);
    memcpy(copy, ids, rows * columns * sizeof *copy);
    int value = rt_add_typed(graph, graph->nodes[node].name, leaf, RETORT_I32, 2, dims, copy);
    if (value < 0) return no_memory(graph, err);
    set_word_input(graph, graph->nodes[node].inputs[EMBED_WORD], index, value);
    return RETORT_OK;
}

/* The int8 rows and their scales. */
static retort_status attach_s8_rows(rt_graph *graph, int node, const rounding *r, retort_error *err) {
    int64_t dims[] = {(int64_t)r->n, (int64_t)r->k};
    const char *scope = graph->nodes[node].name;
    if (r->n == 0) return RETORT_OK;
    int rows = rt_add_typed(graph, scope, "kept_rows", RETORT_S8, 2, dims, r->packed);
    int scale = rt_add_typed(graph, scope, "kept_scale", RETORT_F32, 1, dims, r->scale);
    if (rows < 0 || scale < 0) return no_memory(graph, err);
    set_word_input(graph, graph->nodes[node].inputs[EMBED_WORD], EMBED_S8_ROWS, rows);
    set_word_input(graph, graph->nodes[node].inputs[EMBED_WORD], EMBED_S8_SCALE, scale);
    return RETORT_OK;
}

/* out = the rows that are neither pruned nor int8; returns their number. */
static size_t list_rows(size_t rows, const rt_word_rows *words, int32_t *out) {
    size_t range = 0, s8 = 0, count = 0;
    for (size_t row = 0; row < rows; row++) {
        while (range < words->pruned_count &&
               row >= (size_t)words->pruned[2 * range] + (size_t)words->pruned[2 * range + 1])
            range++;
        if (range < words->pruned_count && row >= (size_t)words->pruned[2 * range]) continue;
        if (s8 < words->s8_count && row == (size_t)words->s8_ids[s8]) {
            s8++;
            continue;
        }
        out[count++] = (int32_t)row;
    }
    return count;
}

static retort_status round_s8_rows(rt_graph *graph, rounding *r, const rounding *all,
                                   const rt_word_rows *words, retort_error *err) {
    size_t bytes;
    *r = (rounding){.from = all->from, .bits = 8, .k = all->k, .n = words->s8_count, .rows = words->s8_ids};
    r->stride_k = 1;
    r->stride_n = r->k;
    if (r->n == 0) return RETORT_OK;
    if (!rt_mul(r->n, r->k, &bytes) || !begin(r, graph, bytes)) return no_memory(graph, err);
    return round_table(r, err);
}

retort_status rt_ptq_word_table(rt_graph *graph, int node, int bits, int64_t group, const rt_word_rows *words,
                                const rt_rounder *rounder, retort_error *err) {
    const rt_value *table = &graph->values[graph->nodes[node].inputs[EMBED_WORD]];
    size_t rows = (size_t)table->dims[0], width = (size_t)table->dims[1];
    int32_t *stored = rt_calloc(rows, sizeof *stored);
    if (stored == NULL) return rt_fail_nomem(err, rows * sizeof *stored);
    rounding s8_rows, r = {.from = table, .bits = bits, .group = (size_t)group, .k = width};
    r.n = list_rows(rows, words, stored);
    r.rows = stored;
    r.words = words;
    r.rounder = rounder;
    r.stride_k = 1;
    r.stride_n = width;
    retort_status status = round_s8_rows(graph, &s8_rows, &r, words, err);
    if (status == RETORT_OK) status = ptq_table(graph, node, EMBED_WORD, r, err);
    graph->values[graph->nodes[node].inputs[EMBED_WORD]].dims[0] = (int64_t)r.n;
    if (status == RETORT_OK)
        status = attach_ids(graph, node, "gaps", EMBED_PRUNED, words->pruned, words->pruned_count, 2, err);
    if (status == RETORT_OK)
        status = attach_ids(graph, node, "kept", EMBED_S8_IDS, words->s8_ids, words->s8_count, 1, err);
    if (status == RETORT_OK) status = attach_s8_rows(graph, node, &s8_rows, err);
    end(&s8_rows);
    free(stored);
    return status;
}

retort_status rt_ptq_positions(rt_graph *graph, int node, retort_error *err) {
    const rt_value *table = &graph->values[graph->nodes[node].inputs[EMBED_POSITION]];
    size_t rows = (size_t)table->dims[0], width = (size_t)table->dims[1];
    rounding r = {.from = table, .bits = 8, .group = 1, .k = rows, .n = width};
    r.stride_k = width;
    r.stride_n = 1;
    return ptq_table(graph, node, EMBED_POSITION, r, err);
}
