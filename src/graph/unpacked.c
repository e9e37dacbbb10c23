/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/unpacked.h"
#include "base/error.h"
#include "kernel/integers.h"

#include <stdlib.h>
#include <sys/mman.h>

/* Of a panel. CODES_ONLY: with an outlier row it exceeds int8, which no recipe of retort's own makes. */
enum { NEW, SEEN, IN_PROGRESS, MADE, CODES_ONLY };

static size_t panels_of(const rt_unpacked *matrix) {
    return (matrix->codes.n + RT_PANEL - 1) / RT_PANEL;
}

static size_t panel_bytes(const rt_unpacked *matrix) {
    return rt_round_up(matrix->codes.k, 8) * RT_PANEL;
}

/* ---- The matrices of a graph ---- */

static bool describe(const rt_graph *graph, const rt_node *node, rt_unpacked *out) {
    if (node->op != RT_OP_LINEAR) return false;
    const rt_value *weight = &graph->values[node->inputs[LINEAR_WEIGHT]];
    if (weight->layout != RT_LAYOUT_P16_S4 || weight->data == NULL) return false;
    *out = (rt_unpacked){.codes = {.k = (size_t)weight->dims[0],
                                   .n = (size_t)weight->dims[1],
                                   .b = weight->data,
                                   .b_group = rt_operand_data(graph, node, LINEAR_GROUPS),
                                   .group = (size_t)node->attrs.group},
                         .outlier_rows = rt_operand_data(graph, node, LINEAR_OUTLIERS),
                         .outlier_columns = rt_operand_data(graph, node, LINEAR_OUTLIER_COLUMNS)};
    if (out->outlier_rows != NULL)
        out->outliers = (size_t)graph->values[node->inputs[LINEAR_OUTLIERS]].dims[0];
    return true;
}

static int order(uintptr_t a, uintptr_t b) {
    return (a > b) - (a < b);
}

/* Nodes with the same constants share a matrix, in the graph and in others that borrow from it. */
static int compare(const void *a, const void *b) {
    const rt_unpacked *x = a, *y = b;
    int by = order((uintptr_t)x->codes.b, (uintptr_t)y->codes.b);
    if (by == 0) by = order((uintptr_t)x->codes.b_group, (uintptr_t)y->codes.b_group);
    if (by == 0) by = order((uintptr_t)x->outlier_rows, (uintptr_t)y->outlier_rows);
    if (by == 0) by = order((uintptr_t)x->outlier_columns, (uintptr_t)y->outlier_columns);
    if (by == 0) by = order(x->codes.k, y->codes.k);
    if (by == 0) by = order(x->codes.n, y->codes.n);
    return by != 0 ? by : order(x->codes.group, y->codes.group);
}

static void list(rt_unpacked_set *set, const rt_graph *graph) {
    size_t distinct = 0;
    for (size_t i = 0; i < graph->node_count; i++)
        set->count += describe(graph, &graph->nodes[i], &set->items[set->count]);
    if (set->count == 0) return;
    qsort(set->items, set->count, sizeof *set->items, compare);
    for (size_t i = 1; i < set->count; i++) {
        if (compare(&set->items[distinct], &set->items[i]) != 0) set->items[++distinct] = set->items[i];
    }
    set->count = distinct + 1;
}

/* False: overflow. */
static bool measure(const rt_unpacked_set *set, size_t *bytes, size_t *panels) {
    *bytes = *panels = 0;
    for (size_t i = 0; i < set->count; i++) {
        const rt_widen *codes = &set->items[i].codes;
        size_t more;
        if (!rt_pack_count_s8(rt_round_up(codes->k, 8), codes->n, &more) || !rt_add(*bytes, more, bytes))
            return false;
        *panels += panels_of(&set->items[i]);
    }
    return true;
}

/* Reserves panels and states, and gives each matrix its own. */
static retort_status reserve(rt_unpacked_set *set, retort_error *err) {
    size_t panels, at = 0, state = 0;
    if (!measure(set, &set->bytes, &panels)) return rt_fail_nomem(err, SIZE_MAX);
    set->states = rt_calloc(panels, sizeof *set->states);
    if (set->states == NULL) return rt_fail_nomem(err, panels);
    if (set->bytes == 0) return RETORT_OK;
    void *map =
        mmap(NULL, set->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) return rt_fail_nomem(err, set->bytes);
    madvise(map, set->bytes, MADV_HUGEPAGE);
    set->panels = map;
    for (size_t i = 0; i < set->count; i++) {
        rt_unpacked *matrix = &set->items[i];
        matrix->codes.out = set->panels + at;
        matrix->states = set->states + state;
        at += panels_of(matrix) * panel_bytes(matrix);
        state += panels_of(matrix);
    }
    return RETORT_OK;
}

retort_status rt_unpacked_open(rt_unpacked_set **out, const rt_graph *graph, retort_error *err) {
    rt_unpacked_set *set = rt_calloc(1, sizeof *set);
    if (set != NULL) set->items = rt_calloc(graph->node_count, sizeof *set->items);
    retort_status status = RETORT_OK;
    if (set == NULL || set->items == NULL) {
        status = rt_fail_nomem(err, graph->node_count * sizeof *set->items);
    } else {
        list(set, graph);
        status = reserve(set, err);
    }
    if (status == RETORT_OK)
        *out = set;
    else
        rt_unpacked_close(set);
    return status;
}

void rt_unpacked_close(rt_unpacked_set *set) {
    if (set == NULL) return;
    if (set->panels != NULL) munmap(set->panels, set->bytes);
    free(set->items);
    free((void *)set->states);
    free(set);
}

rt_unpacked *rt_unpacked_find(const rt_unpacked_set *set, const rt_graph *graph, const rt_node *node) {
    rt_unpacked key;
    if (set->count == 0 || !describe(graph, node, &key)) return NULL;
    return bsearch(&key, set->items, set->count, sizeof key, compare);
}

/* ---- Panels ---- */

/* Adds the outlier rows of a panel to its rows; false: a sum exceeds int8. */
static bool add_outliers(const rt_unpacked *matrix, size_t panel) {
    size_t k = rt_round_up(matrix->codes.k, 8);
    int8_t *out = matrix->codes.out + panel * panel_bytes(matrix);
    const int8_t *rows = matrix->outlier_rows + panel * matrix->outliers * RT_PANEL;
    for (size_t i = 0; i < matrix->outliers; i++) {
        for (size_t j = 0; j < RT_PANEL; j++) {
            int8_t *at = out + rt_panel_byte(k, 4, (size_t)matrix->outlier_columns[i], j);
            int sum = *at + rows[rt_panel_byte(matrix->outliers, 4, i, j)];
            if (sum < -127 || sum > 127) return false;
            *at = (int8_t)sum;
        }
    }
    return true;
}

/* By whoever has put it IN_PROGRESS; true: made. */
static bool make(const rt_unpacked *matrix, rt_widen_fn widen, size_t panel) {
    const rt_widen *codes = &matrix->codes;
    size_t groups = (codes->k + codes->group - 1) / codes->group;
    widen(&(rt_widen){.k = codes->k,
                      .n = RT_PANEL,
                      .b = (const uint8_t *)codes->b + panel * panel_bytes(matrix) / 2,
                      .b_group = codes->b_group + panel * groups * RT_PANEL,
                      .group = codes->group,
                      .out = codes->out + panel * panel_bytes(matrix)});
    bool made = add_outliers(matrix, panel);
    atomic_store_explicit(&matrix->states[panel], made ? MADE : CODES_ONLY, memory_order_release);
    return made;
}

/* Whether the int8 panel is there, after making it if it has been asked for before. */
static bool is_made(const rt_unpacked *matrix, rt_widen_fn widen, size_t panel) {
    _Atomic(uint8_t) *place = &matrix->states[panel];
    uint8_t state = atomic_load_explicit(place, memory_order_acquire);
    if (state == MADE) return true;
    if (state > SEEN) return false;
    uint8_t next = state == NEW ? SEEN : IN_PROGRESS;
    bool mine = atomic_compare_exchange_strong_explicit(place, &state, next, memory_order_relaxed,
                                                        memory_order_relaxed);
    return mine && next == IN_PROGRESS && make(matrix, widen, panel);
}

const int8_t *rt_unpacked_panels(const rt_unpacked *matrix, rt_widen_fn widen, size_t from, size_t *to) {
    size_t panel = from / RT_PANEL, end = (*to + RT_PANEL - 1) / RT_PANEL;
    bool made = is_made(matrix, widen, panel++);
    while (panel < end && is_made(matrix, widen, panel) == made) panel++;
    if (panel < end) *to = panel * RT_PANEL;
    return made ? matrix->codes.out + from / RT_PANEL * panel_bytes(matrix) : NULL;
}

void rt_unpacked_make(const rt_unpacked *matrix, rt_widen_fn widen) {
    for (size_t panel = 0; panel < panels_of(matrix); panel++) {
        if (!is_made(matrix, widen, panel)) is_made(matrix, widen, panel);
    }
}

size_t rt_unpacked_made(const rt_unpacked_set *set) {
    size_t bytes = 0;
    for (size_t i = 0; i < set->count; i++) {
        const rt_unpacked *matrix = &set->items[i];
        for (size_t panel = 0; panel < panels_of(matrix); panel++) {
            bool made = atomic_load_explicit(&matrix->states[panel], memory_order_relaxed) == MADE;
            if (made) bytes += panel_bytes(matrix);
        }
    }
    return bytes;
}
