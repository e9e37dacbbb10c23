/* SPDX-License-Identifier: Apache-2.0
 * Draws a graph: boxes in rows from top to bottom, and links between adjacent rows. */
#ifndef RT_GRAPH_DRAW_H
#define RT_GRAPH_DRAW_H

#include "graph/graph.h"

/* A picture with more boxes is unreadable; the most bends that long links may add to them. */
enum { RT_DRAW_BOXES = 5000, RT_DRAW_BENDS = 50000 };
enum { RT_DRAW_LINES = 3, RT_DRAW_LINE = 80 };
/* Pixels: a character, a line of text, and margins. */
enum { RT_DRAW_CHAR = 7, RT_DRAW_TEXT = 16, RT_DRAW_PAD = 14, RT_DRAW_MARGIN = 40 };

/* The layers of an encoder that are drawn as one, or one of them. */
typedef struct rt_draw_group {
    int first, times;                /* layers first … first + times - 1 */
    double left, right, top, bottom; /* pixels */
} rt_draw_group;

/* The node that is drawn for each node of the graph: itself, or its counterpart in the first of equal
 * layers. */
typedef struct rt_draw_fold {
    int *drawn; /* [nodes] */
    int *group; /* [nodes] -1: in no layer */
    rt_draw_group *groups;
    size_t group_count;
} rt_draw_fold;
/* Layers are found by the names of nodes ("layer.3.…"). Adjacent layers are equal if their nodes, shapes
 * and inputs are. `whole`: draw all. */
retort_status rt_draw_fold_layers(rt_draw_fold *out, const rt_graph *graph, bool whole, retort_error *err);
void rt_draw_fold_free(rt_draw_fold *fold);

typedef enum rt_draw_role { RT_DRAW_NODE, RT_DRAW_INPUT, RT_DRAW_OUTPUT, RT_DRAW_BEND } rt_draw_role;
typedef struct rt_draw_box {
    rt_draw_role role;
    int node;                                /* -1: none */
    int value;                               /* that its links stand for */
    int group;                               /* -1: in none */
    int segment;                             /* before the first layer, the layer, after it, … */
    int row;                                 /* from 0 */
    double x, y, width, height;              /* its centre, and its size in pixels */
    char lines[RT_DRAW_LINES][RT_DRAW_LINE]; /* operator, name, weights */
} rt_draw_box;
typedef struct rt_draw_link {
    int from, to; /* boxes */
} rt_draw_link;

/* Zero-initialise. Links are sorted by `to` until bends are added. */
typedef struct rt_drawing {
    const rt_graph *graph;
    rt_draw_fold fold;
    rt_draw_box *boxes;
    size_t box_count, box_capacity;
    rt_draw_link *links;
    size_t link_count, link_capacity;
    int rows;
    double width, height; /* of the boxes, from 0 */
} rt_drawing;
/* Makes boxes, their texts and their links. */
retort_status rt_draw_collect(rt_drawing *d, retort_error *err);
/* Assigns boxes to rows, and adds bends in the rows that a link passes. */
retort_status rt_draw_rows(rt_drawing *d, retort_error *err);
/* Sets x and y of all boxes and groups. */
retort_status rt_draw_place(rt_drawing *d, retort_error *err);
void rt_drawing_free(rt_drawing *d);
/* Sets the text of a box, and the size that it needs. */
void rt_draw_texts(const rt_graph *graph, rt_draw_box *box);

/* The graph as one SVG file; in title and subtitle, malformed UTF-8 becomes U+FFFD. */
retort_status rt_graph_draw(const rt_graph *graph, const retort_draw_options *options, retort_write_fn write,
                            void *user, retort_error *err);

#endif
