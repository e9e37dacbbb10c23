/* SPDX-License-Identifier: Apache-2.0
 * A table of an Embed in quantisation-aware training. */
#include "train/qat_table.h"
#include "kernel/integers.h"

#include <stdlib.h>
#include <string.h>

/* ---- Opening ---- */

/* To be written: the trainee's own. */
static void *data_of(const rt_graph *graph, const rt_node *node, int index) {
    return (void *)(uintptr_t)rt_operand_data(graph, node, index);
}

/* Where the row of each id is stored (find_rows in engine/step.c). */
static void find_places(const rt_qat_table *t, const rt_graph *graph, const rt_node *node) {
    const rt_value *pruned = rt_operand_value(graph, node, EMBED_PRUNED),
                   *s8_ids = rt_operand_value(graph, node, EMBED_S8_IDS);
    const int32_t *range = pruned != NULL ? pruned->data : NULL;
    const int32_t *end = range != NULL ? range + 2 * pruned->dims[0] : NULL;
    const int32_t *ids = s8_ids != NULL ? s8_ids->data : NULL;
    int32_t s8_rows = s8_ids != NULL ? (int32_t)s8_ids->dims[0] : 0, s8_row = 0, row = 0;
    for (int32_t id = 0; (size_t)id < t->rows; id++) {
        while (range < end && id >= range[0] + range[1]) range += 2;
        if (range < end && id >= range[0])
            t->places[id] = RT_QAT_NO_ROW;
        else if (s8_row < s8_rows && ids[s8_row] == id)
            t->places[id] = ~s8_row++;
        else
            t->places[id] = row++;
    }
}

static int code_at(const rt_qat_table *t, size_t row, size_t i) {
    if (t->group_at == NULL) return ((const int8_t *)t->packed)[row * t->n + i];
    return rt_row_code((const uint8_t *)t->packed + row * ((t->n + 31) / 32 * 16), i);
}

static int bits_of(const rt_qat_table *t, size_t stored) {
    int low = 0, high = 0;
    bool odd = true;
    for (size_t i = 0; i < stored * t->n; i++) {
        int code = code_at(t, i / t->n, i % t->n);
        low = code < low ? code : low;
        high = code > high ? code : high;
        odd = odd && (code & 1) != 0;
    }
    if (odd && low >= -3 && high <= 3) return 2;
    return low >= -4 && high <= 3 ? 3 : 4;
}

retort_status rt_qat_table_open(rt_qat_table *out, const rt_graph *graph, const rt_node *node, int index,
                                size_t vocab, retort_error *err) {
    const rt_value *table = rt_operand_value(graph, node, index);
    bool word = index == EMBED_WORD, eight = table->layout == RT_LAYOUT_ROWS;
    rt_qat_table *t = out;
    *t = (rt_qat_table){.table = node->inputs[index],
                        .rows = word ? vocab : (size_t)table->dims[0],
                        .n = (size_t)table->dims[1],
                        .packed = data_of(graph, node, index),
                        .scale = data_of(graph, node, word ? EMBED_WORD_SCALE : EMBED_POSITION_SCALE),
                        .s8_rows = word ? data_of(graph, node, EMBED_S8_ROWS) : NULL,
                        .s8_scale = word ? data_of(graph, node, EMBED_S8_SCALE) : NULL,
                        .group_at = word ? data_of(graph, node, EMBED_WORD_GROUPS) : NULL};
    t->group = eight ? rt_max(t->n, 1) : (size_t)node->attrs.group;
    t->groups = (t->n + t->group - 1) / t->group;
    size_t count = 0, bytes = 0;
    if (rt_mul(t->rows, t->n, &count) && rt_mul(count, sizeof(float), &bytes)) {
        t->used = rt_alloc_aligned(bytes);
        t->data = rt_alloc_aligned(bytes);
        t->dirty = rt_calloc(t->rows, sizeof *t->dirty);
        t->places = word ? rt_calloc(t->rows, sizeof *t->places) : NULL;
    }
    bool made = t->used != NULL && t->data != NULL && t->dirty != NULL && (!word || t->places != NULL);
    if (!made) return rt_fail_nomem(err, bytes);
    t->grid = rt_grid_of(eight ? 8 : bits_of(t, (size_t)table->dims[0]));
    if (word) find_places(t, graph, node);
    for (size_t id = 0; id < t->rows; id++) t->dirty[id] = true;
    return RETORT_OK;
}

void rt_qat_table_free(rt_qat_table *t) {
    free(t->places);
    free(t->used);
    free(t->data);
    free(t->dirty);
    *t = (rt_qat_table){0};
}

/* ---- Rows ---- */

/* The integers of a row and the scales they have. */
typedef struct row {
    const rt_grid *grid;
    size_t group;
    const uint8_t *groups; /* or NULL */
    const float *scale;    /* of the row, or per column */
    bool columns;
    int8_t *s8;  /* [n] 8 bits */
    uint8_t *s4; /* or fewer */
} row;

/* False: it has none. */
static bool find_row(const rt_qat_table *t, size_t id, row *out) {
    int32_t place = t->places != NULL ? t->places[id] : (int32_t)id;
    if (place == RT_QAT_NO_ROW) return false;
    *out = (row){.grid = t->grid, .group = t->group};
    if (place < 0) {
        out->grid = rt_grid_of(8);
        out->group = t->n;
        out->scale = t->s8_scale + ~place;
        out->s8 = t->s8_rows + (size_t)~place * t->n;
        return true;
    }
    size_t at = (size_t)place;
    out->columns = t->places == NULL;
    out->scale = out->columns ? t->scale : t->scale + at;
    if (t->group_at == NULL) {
        out->s8 = (int8_t *)t->packed + at * t->n;
    } else {
        out->groups = t->group_at + at * t->groups;
        out->s4 = (uint8_t *)t->packed + at * ((t->n + 31) / 32 * 16);
    }
    return true;
}

static float group_of(const row *r, size_t i) {
    size_t group = i / r->group;
    return r->groups != NULL ? (float)r->groups[group] : 1.0F;
}

static float scale_of(const row *r, size_t i) {
    return r->scale[r->columns ? i : 0];
}

/* w / (G s) */
static float quotient(const row *r, size_t i, float w) {
    return w * rt_round_factor(group_of(r, i) * scale_of(r, i));
}

static int stored_code(const row *r, size_t i) {
    return r->s4 != NULL ? rt_row_code(r->s4, i) : r->s8[i];
}

static void store_code(const row *r, size_t i, int code) {
    if (r->s4 == NULL) {
        r->s8[i] = (int8_t)code;
        return;
    }
    uint8_t *byte = r->s4 + i / 32 * 16 + i % 16;
    bool low = i % 32 < 16;
    *byte = (uint8_t)(low ? (*byte & 0xf0u) | ((unsigned)code & 15u)
                          : (*byte & 15u) | ((unsigned)code << 4 & 0xf0u));
}

void rt_qat_table_start(rt_qat_table *t, const float *w) {
    for (size_t id = 0; id < t->rows; id++) {
        row r;
        bool found = find_row(t, id, &r);
        for (size_t i = 0; i < t->n; i++) {
            size_t at = id * t->n + i;
            float own = w != NULL ? w[at] : 0;
            if (!found) {
                t->data[at] = own;
                continue;
            }
            int code = stored_code(&r, i);
            bool same = w != NULL && rt_grid_code(r.grid, quotient(&r, i, own)) == (float)code;
            t->data[at] = same ? own : (float)code * group_of(&r, i) * scale_of(&r, i);
        }
    }
}

static void round_row(const rt_qat_table *t, size_t id) {
    row r;
    const float *w = t->master->data + id * t->n;
    float *used = t->used + id * t->n;
    bool found = find_row(t, id, &r);
    for (size_t i = 0; i < t->n; i++) {
        if (!found) {
            used[i] = id > 0 ? used[i - t->n] : 0; /* it uses the row before */
            continue;
        }
        float code = rt_grid_code(r.grid, quotient(&r, i, w[i]));
        store_code(&r, i, (int)code);
        used[i] = code * group_of(&r, i) * scale_of(&r, i);
    }
}

void rt_qat_table_refresh(rt_qat_table *t) {
    for (size_t id = 0; id < t->rows; id++) {
        if (t->dirty[id]) round_row(t, id);
        t->dirty[id] = false;
    }
}

void rt_qat_table_gather(rt_qat_table *t) {
    const rt_parameter *p = t->master;
    for (size_t k = 0; k < p->touched_count; k++) {
        size_t id = (size_t)p->touched[k];
        row r;
        bool found = find_row(t, id, &r);
        for (size_t i = 0; i < t->n; i++) {
            float q = found ? quotient(&r, i, p->data[id * t->n + i]) : 0;
            if (!found || q < r.grid->low || q > r.grid->high) p->grad[k * t->n + i] = 0;
        }
    }
}
