/* SPDX-License-Identifier: Apache-2.0
 * Places the boxes of a picture. In each row they are ordered and placed by the mean of their neighbours in
 * the row above and below in turn (Sugiyama, Tagawa and Toda 1981). The positions nearest to these means, in
 * the least squares, that keep order and distances are found by pooling adjacent violators (Ayer et al.
 * 1955). */
#include "graph/draw.h"

#include <math.h>
#include <stdlib.h>

enum { ORDER_PASSES = 8, PLACE_PASSES = 10, BEND_GAP = 22, BOX_GAP = 28 };
enum { ROW_GAP = 40, FRAME = 22, FRAME_HEAD = 30 };

/* The neighbours of a box: of box i, items[start[i] … start[i + 1]). */
typedef struct neighbours {
    int *start, *items;
} neighbours;

typedef struct place {
    rt_drawing *d;
    int *row;   /* [rows + 1] into boxes */
    int *boxes; /* [boxes] by row, from left to right */
    neighbours above, below;
    double *wanted;        /* [boxes] */
    double *mean, *weight; /* [boxes] pools of neighbours in a row: mean, weight, … */
    int *pool;             /* [boxes] … and how many they are */
    double *top;           /* [rows + 1] */
} place;

static bool find_neighbours(neighbours *out, const rt_drawing *d, bool above) {
    out->start = rt_calloc(d->box_count + 2, sizeof *out->start);
    out->items = rt_calloc(d->link_count, sizeof *out->items);
    if (out->start == NULL || out->items == NULL) return false;
    for (size_t i = 0; i < d->link_count; i++) out->start[(above ? d->links[i].to : d->links[i].from) + 2]++;
    for (size_t i = 0; i < d->box_count; i++) out->start[i + 2] += out->start[i + 1];
    for (size_t i = 0; i < d->link_count; i++) {
        int of = above ? d->links[i].to : d->links[i].from, other = above ? d->links[i].from : d->links[i].to;
        out->items[out->start[of + 1]++] = other;
    }
    return true;
}

static bool place_open(place *p, rt_drawing *d) {
    size_t n = d->box_count, rows = (size_t)d->rows;
    *p = (place){.d = d};
    p->row = rt_calloc(rows + 2, sizeof *p->row);
    p->boxes = rt_calloc(n, sizeof *p->boxes);
    p->pool = rt_calloc(n, sizeof *p->pool);
    p->wanted = rt_calloc(n, sizeof *p->wanted);
    p->mean = rt_calloc(2 * n, sizeof *p->mean);
    p->weight = p->mean != NULL ? p->mean + n : NULL;
    p->top = rt_calloc(rows + 1, sizeof *p->top);
    if (p->row == NULL || p->boxes == NULL || p->pool == NULL || p->wanted == NULL || p->mean == NULL ||
        p->top == NULL || !find_neighbours(&p->above, d, true) || !find_neighbours(&p->below, d, false))
        return false;
    for (size_t i = 0; i < n; i++) p->row[d->boxes[i].row + 2]++;
    for (size_t r = 0; r < rows; r++) p->row[r + 2] += p->row[r + 1];
    for (size_t i = 0; i < n; i++) p->boxes[p->row[d->boxes[i].row + 1]++] = (int)i;
    return true;
}

static void place_close(place *p) {
    free(p->row);
    free(p->boxes);
    free(p->pool);
    free(p->wanted);
    free(p->mean);
    free(p->top);
    free(p->above.start);
    free(p->above.items);
    free(p->below.start);
    free(p->below.items);
}

/* ---- From left to right ---- */

/* Bends weigh less than boxes, so that a chain with a residual around it stays straight. */
static void add_means(const place *p, const neighbours *of, int box, double *sum, double *weights) {
    for (int i = of->start[box]; i < of->start[box + 1]; i++) {
        const rt_draw_box *other = &p->d->boxes[of->items[i]];
        double weight = other->role == RT_DRAW_BEND && p->d->boxes[box].role != RT_DRAW_BEND ? 0.02 : 1;
        *sum += weight * other->x;
        *weights += weight;
    }
}

/* The layer whose frame crosses the row; -1: none. */
static int group_of(const place *p, int row) {
    int group = -1;
    for (int i = p->row[row]; i < p->row[row + 1]; i++) {
        const rt_draw_box *box = &p->d->boxes[p->boxes[i]];
        group = box->group > group ? box->group : group;
    }
    return group;
}

/* Boxes outside of the frame stand to its right. */
static bool is_before(const place *p, int a, int b, int group) {
    bool inside = p->d->boxes[a].group == group, other = p->d->boxes[b].group == group;
    return inside != other ? inside : p->wanted[a] < p->wanted[b];
}

static void order_row(place *p, int row) {
    int group = group_of(p, row);
    for (int i = p->row[row] + 1; i < p->row[row + 1]; i++) {
        int box = p->boxes[i], k = i;
        for (; k > p->row[row] && is_before(p, box, p->boxes[k - 1], group); k--)
            p->boxes[k] = p->boxes[k - 1];
        p->boxes[k] = box;
    }
}

static double distance(const rt_draw_box *a, const rt_draw_box *b) {
    bool bend = a->role == RT_DRAW_BEND || b->role == RT_DRAW_BEND;
    return (a->width + b->width) / 2 + (bend ? BEND_GAP : BOX_GAP);
}

/* The x nearest to the wanted ones: minus the required distances, it must not decrease. */
static void place_row(place *p, int row) {
    rt_draw_box *boxes = p->d->boxes;
    int pools = 0;
    double offset = 0;
    for (int i = p->row[row]; i < p->row[row + 1]; i++, pools++) {
        if (i > p->row[row]) offset += distance(&boxes[p->boxes[i - 1]], &boxes[p->boxes[i]]);
        p->mean[pools] = p->wanted[p->boxes[i]] - offset;
        p->pool[pools] = 1;
        p->weight[pools] = boxes[p->boxes[i]].role == RT_DRAW_BEND ? 0.02 : 1;
        for (; pools > 0 && p->mean[pools - 1] > p->mean[pools]; pools--) {
            double left = p->weight[pools - 1], right = p->weight[pools];
            p->mean[pools - 1] = (p->mean[pools - 1] * left + p->mean[pools] * right) / (left + right);
            p->weight[pools - 1] = left + right;
            p->pool[pools - 1] += p->pool[pools];
        }
    }
    offset = 0;
    for (int i = p->row[row], pool = 0, used = 0; i < p->row[row + 1]; i++, used++) {
        if (i > p->row[row]) offset += distance(&boxes[p->boxes[i - 1]], &boxes[p->boxes[i]]);
        if (used == p->pool[pool]) {
            pool++;
            used = 0;
        }
        boxes[p->boxes[i]].x = p->mean[pool] + offset;
    }
}

/* One pass over the rows: downwards, boxes follow those above; upwards, those below; and both where there
 * are only bends, which come from far away. */
static void pass(place *p, bool down, bool order) {
    const neighbours *first = down ? &p->above : &p->below, *second = down ? &p->below : &p->above;
    for (int k = 0; k < p->d->rows; k++) {
        int row = down ? k : p->d->rows - 1 - k;
        for (int i = p->row[row]; i < p->row[row + 1]; i++) {
            int box = p->boxes[i];
            double sum = 0, weights = 0;
            add_means(p, first, box, &sum, &weights);
            if (weights < 1) add_means(p, second, box, &sum, &weights);
            p->wanted[box] = weights > 0 ? sum / weights : p->d->boxes[box].x;
        }
        if (order) order_row(p, row);
        place_row(p, row);
    }
}

/* ---- Frames, and from top to bottom ---- */

static void frame_groups(rt_drawing *d) {
    for (size_t g = 0; g < d->fold.group_count; g++) {
        d->fold.groups[g].left = d->fold.groups[g].top = INFINITY;
        d->fold.groups[g].right = d->fold.groups[g].bottom = -INFINITY;
    }
    for (size_t i = 0; i < d->box_count; i++) {
        const rt_draw_box *box = &d->boxes[i];
        if (box->group < 0) continue;
        rt_draw_group *group = &d->fold.groups[box->group];
        group->left = fmin(group->left, box->x - box->width / 2 - FRAME);
        group->right = fmax(group->right, box->x + box->width / 2 + FRAME);
        group->top = fmin(group->top, box->y - box->height / 2 - FRAME_HEAD);
        group->bottom = fmax(group->bottom, box->y + box->height / 2 + FRAME);
    }
}

/* Links that pass a frame keep clear of it. */
static void clear_frames(place *p) {
    for (int row = 0; row < p->d->rows; row++) {
        int group = group_of(p, row);
        double free_from = group >= 0 ? p->d->fold.groups[group].right + BEND_GAP : -INFINITY;
        for (int i = p->row[row]; i < p->row[row + 1]; i++) {
            rt_draw_box *box = &p->d->boxes[p->boxes[i]];
            if (group < 0 || box->group == group) continue;
            box->x = fmax(box->x, free_from + box->width / 2);
            free_from = box->x + box->width / 2 + BEND_GAP;
        }
    }
}

/* Rows are as high as their highest box; a bend is as high as its row. Frames take room where they begin
 * and end. */
static void place_rows(place *p) {
    double y = 0;
    int before = -1;
    for (int row = 0; row < p->d->rows; row++) {
        double height = 0;
        int group = group_of(p, row);
        if (group != before) y += (before >= 0 ? FRAME : 0) + (group >= 0 ? FRAME_HEAD : 0);
        for (int i = p->row[row]; i < p->row[row + 1]; i++) {
            height = fmax(height, p->d->boxes[p->boxes[i]].height);
        }
        for (int i = p->row[row]; i < p->row[row + 1]; i++) {
            rt_draw_box *box = &p->d->boxes[p->boxes[i]];
            box->y = y + height / 2;
            if (box->role == RT_DRAW_BEND) box->height = height;
        }
        y += height + ROW_GAP;
        before = group;
    }
    p->d->height = y - ROW_GAP + (before >= 0 ? FRAME : 0);
}

/* The leftmost is at 0. */
static void shift(rt_drawing *d) {
    double left = INFINITY, right = -INFINITY;
    for (size_t i = 0; i < d->box_count; i++) {
        left = fmin(left, d->boxes[i].x - d->boxes[i].width / 2 - (d->boxes[i].group >= 0 ? FRAME : 0));
        right = fmax(right, d->boxes[i].x + d->boxes[i].width / 2 + (d->boxes[i].group >= 0 ? FRAME : 0));
    }
    for (size_t i = 0; i < d->box_count; i++) d->boxes[i].x -= left;
    d->width = right - left;
}

retort_status rt_draw_place(rt_drawing *d, retort_error *err) {
    place p;
    bool memory = place_open(&p, d);
    for (int i = 0; memory && i < ORDER_PASSES; i++) pass(&p, i % 2 == 0, true);
    for (int i = 0; memory && i < PLACE_PASSES; i++) pass(&p, i % 2 != 0, false);
    if (memory) {
        place_rows(&p);
        frame_groups(d);
        clear_frames(&p);
        shift(d);
        frame_groups(d);
    }
    place_close(&p);
    return memory ? RETORT_OK : rt_fail_nomem(err, d->box_count * sizeof *d->boxes);
}
