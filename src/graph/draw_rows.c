/* SPDX-License-Identifier: Apache-2.0
 * Assigns each box of a picture to a row: below all that it needs, near to what needs it. */
#include "graph/draw.h"

#include <limits.h>
#include <stdlib.h>

/* Rows by the longest path from above, segment by segment, so that layers have rows of their own. */
static void from_above(rt_drawing *d, int segments, int *last) {
    int base = 0;
    for (int s = 0; s < segments; s++) {
        size_t link = 0;
        int next = base;
        for (size_t i = 0; i < d->box_count; i++) {
            rt_draw_box *box = &d->boxes[i];
            int row = base;
            for (; link < d->link_count && d->links[link].to == (int)i; link++) {
                int above = d->boxes[d->links[link].from].row;
                row = above + 1 > row ? above + 1 : row;
            }
            if (box->segment != s) continue;
            box->row = row;
            next = row + 1 > next ? row + 1 : next;
        }
        base = next;
        last[s] = base - 1;
    }
    d->rows = base;
}

/* Then boxes move down to just above the first box that needs them, within the segment: links become
 * short. */
static void down(rt_drawing *d, const int *last, int *limit) {
    size_t link = d->link_count;
    for (size_t i = 0; i < d->box_count; i++) limit[i] = INT_MAX;
    for (size_t i = d->box_count; i-- > 0;) {
        rt_draw_box *box = &d->boxes[i];
        int most = limit[i] < last[box->segment] ? limit[i] : last[box->segment];
        if (limit[i] != INT_MAX && most > box->row) box->row = most;
        for (; link > 0 && d->links[link - 1].to == (int)i; link--) {
            int *from = &limit[d->links[link - 1].from];
            if (box->row - 1 < *from) *from = box->row - 1;
        }
    }
}

/* ---- Bends ---- */

/* For each box, the first of its bends: one per row down to the lowest reader, inside the frame of the box
 * as far as it extends. */
static bool add_bends(rt_drawing *d, const int *last, int *first, int *lowest) {
    size_t boxes = d->box_count;
    for (size_t i = 0; i < d->link_count; i++) {
        int row = d->boxes[d->links[i].to].row, *low = &lowest[d->links[i].from];
        *low = row > *low ? row : *low;
    }
    for (size_t i = 0; i < boxes; i++) {
        first[i] = (int)d->box_count;
        for (int row = d->boxes[i].row + 1; row < lowest[i]; row++) {
            rt_draw_box bend = {.role = RT_DRAW_BEND, .node = -1, .value = d->boxes[i].value, .row = row};
            bend.width = 8;
            bend.group = row <= last[d->boxes[i].segment] ? d->boxes[i].group : -1;
            if (d->box_count >= RT_DRAW_BENDS ||
                !rt_grow((void **)&d->boxes, &d->box_capacity, d->box_count + 1, sizeof *d->boxes))
                return false;
            d->boxes[d->box_count++] = bend;
        }
    }
    return true;
}

/* Routes links through the bends. */
static bool through_bends(rt_drawing *d, const int *first, const int *lowest, size_t boxes) {
    for (size_t i = 0; i < d->link_count; i++) {
        rt_draw_link *link = &d->links[i];
        int rows = d->boxes[link->to].row - d->boxes[link->from].row;
        if (rows > 1) link->from = first[link->from] + rows - 2;
    }
    for (size_t i = 0; i < boxes; i++) {
        for (int k = 0, from = (int)i; k < lowest[i] - d->boxes[i].row - 1; k++) {
            if (!rt_grow((void **)&d->links, &d->link_capacity, d->link_count + 1, sizeof *d->links))
                return false;
            d->links[d->link_count++] = (rt_draw_link){from, first[i] + k};
            from = first[i] + k;
        }
    }
    return true;
}

retort_status rt_draw_rows(rt_drawing *d, retort_error *err) {
    size_t boxes = d->box_count, segments = 2 * d->fold.group_count + 1;
    int *work = rt_calloc(2 * boxes + segments, sizeof *work);
    if (work == NULL) return rt_fail_nomem(err, boxes * sizeof *work);
    int *first = work, *lowest = work + boxes;
    from_above(d, (int)segments, work + 2 * boxes);
    down(d, work + 2 * boxes, first);
    bool added = add_bends(d, work + 2 * boxes, first, lowest), full = d->box_count >= RT_DRAW_BENDS;
    bool linked = added && through_bends(d, first, lowest, boxes);
    free(work);
    if (linked) return RETORT_OK;
    if (!added && full) return rt_fail(err, RETORT_LIMIT, "too many links over too many rows for a picture");
    return rt_fail_nomem(err, sizeof(rt_draw_box));
}
