/* SPDX-License-Identifier: Apache-2.0
 * Makes the boxes of a picture, their texts and their links. */
#include "graph/draw.h"
#include "graph/ops.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- The text of a box ---- */

/* Cuts a text to `most` characters, the last of which is then "…". */
static void shorten(char *text, size_t most) {
    if (strlen(text) > most) memcpy(text + most - 1, "…", sizeof "…");
}

static void operator_text(char out[RT_DRAW_LINE], const rt_node *node) {
    const rt_attrs *attrs = &node->attrs;
    bool residual = node->op == RT_OP_LINEAR && rt_operand(node, LINEAR_RESIDUAL) >= 0,
         act = attrs->act != RT_FN_NONE;
    int at = snprintf(out, RT_DRAW_LINE, "%s%s%s%s", rt_op_info(node->op)->text, act ? " + " : "",
                      act ? rt_act_name(attrs->act) : "", residual ? " + residual" : "");
    if (attrs->heads > 0) snprintf(out + at, RT_DRAW_LINE - (size_t)at, ", %" PRId64 " heads", attrs->heads);
    shorten(out, 40);
}

/* Computed in integers, since a locale may write decimals with a comma. */
static void bytes_text(char *out, size_t size, size_t bytes) {
    static const char *const units[] = {"B", "kB", "MB", "GB"};
    size_t unit = 0, tenths = bytes * 10;
    for (; tenths >= 10000 && unit < 3; unit++) tenths /= 1000;
    if (unit == 0 || tenths >= 1000) {
        snprintf(out, size, "%zu %s", tenths / 10, units[unit]);
    } else {
        snprintf(out, size, "%zu.%zu %s", tenths / 10, tenths % 10, units[unit]);
    }
}

/* The largest constant that the node reads, and the bytes of all constants; of a scalar, its value. */
static void weights_text(char out[RT_DRAW_LINE], const rt_graph *graph, const rt_node *node) {
    const rt_value *largest = NULL;
    size_t most = 0, all = 0, bytes;
    for (int i = 0; i < node->input_count; i++) {
        const rt_value *v = node->inputs[i] >= 0 ? &graph->values[node->inputs[i]] : NULL;
        if (v == NULL || !rt_value_is_constant(v) || !rt_value_bytes(v, &bytes)) continue;
        all += bytes;
        if (largest == NULL || bytes > most) largest = v;
        most = rt_max(most, bytes);
    }
    char dims[48], size[32];
    if (largest == NULL || all > SIZE_MAX / 10) return;
    if (rt_value_is_inline(largest)) {
        const float *number = largest->data;
        if (largest->dtype == RETORT_F32 && number != NULL)
            snprintf(out, RT_DRAW_LINE, "%.6g", (double)*number);
        return;
    }
    bytes_text(size, sizeof size, all);
    snprintf(out, RT_DRAW_LINE, "%s %.30s, %s", retort_dtype_name(largest->dtype),
             rt_dims_text(dims, sizeof dims, largest->dims, largest->rank), size);
}

/* The name of a node; without "layer.N.", which is in the title of the frame. */
static void name_text(char out[RT_DRAW_LINE], const char *name, bool layer) {
    if (layer && strncmp(name, "layer.", 6) == 0 && strchr(name + 6, '.') != NULL)
        name = strchr(name + 6, '.') + 1;
    snprintf(out, RT_DRAW_LINE, "%.*s", RT_DRAW_LINE - 4, name);
    shorten(out, 34);
}

void rt_draw_texts(const rt_graph *graph, rt_draw_box *box) {
    size_t widest = 8;
    if (box->role == RT_DRAW_NODE) {
        const rt_node *node = &graph->nodes[box->node];
        operator_text(box->lines[0], node);
        name_text(box->lines[1], node->name, box->group >= 0);
        weights_text(box->lines[2], graph, node);
    } else {
        name_text(box->lines[0], graph->values[box->value].name, false);
    }
    box->height = 12;
    for (int i = 0; i < RT_DRAW_LINES && box->lines[i][0] != '\0'; i++) {
        widest = rt_max(widest, strlen(box->lines[i]));
        box->height += RT_DRAW_TEXT;
    }
    box->width = (double)(widest * RT_DRAW_CHAR + 2 * RT_DRAW_PAD);
}

/* ---- Boxes and links ---- */

static int add_box(rt_drawing *d, const rt_draw_box *box) {
    if (!rt_grow((void **)&d->boxes, &d->box_capacity, d->box_count + 1, sizeof *d->boxes)) return -1;
    d->boxes[d->box_count] = *box;
    rt_draw_texts(d->graph, &d->boxes[d->box_count]);
    return (int)d->box_count++;
}

/* One link per pair of boxes. Links to one box are consecutive. */
static bool add_link(rt_drawing *d, int from, int to) {
    for (size_t i = d->link_count; i > 0 && d->links[i - 1].to == to; i--) {
        if (d->links[i - 1].from == from) return true;
    }
    if (!rt_grow((void **)&d->links, &d->link_capacity, d->link_count + 1, sizeof *d->links)) return false;
    d->links[d->link_count++] = (rt_draw_link){from, to};
    return true;
}

/* The box of the producer of a value; -1 for constants. */
static int source_of(const rt_drawing *d, const int *of_node, const int *of_input, int value) {
    if (value < 0) return -1;
    int producer = d->graph->values[value].producer;
    return producer >= 0 ? of_node[d->fold.drawn[producer]] : of_input[value];
}

/* Groups are odd segments; a box outside goes after the last group that it needs. */
static void choose_segment(const rt_drawing *d, size_t first_link, rt_draw_box *box) {
    int after = 0;
    for (size_t i = first_link; i < d->link_count; i++) {
        int segment = d->boxes[d->links[i].from].segment;
        after = segment + segment % 2 > after ? segment + segment % 2 : after;
    }
    box->segment = box->group >= 0 ? 2 * box->group + 1 : after;
}

static bool collect(rt_drawing *d, int *of_node, int *of_input) {
    const rt_graph *graph = d->graph;
    for (size_t i = 0; i < graph->value_count; i++) {
        rt_draw_box box = {.role = RT_DRAW_INPUT, .node = -1, .value = (int)i, .group = -1};
        of_input[i] = graph->values[i].input ? add_box(d, &box) : -1;
        if (graph->values[i].input && of_input[i] < 0) return false;
    }
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        rt_draw_box box = {.node = (int)i, .value = node->outputs[0], .group = d->fold.group[i]};
        size_t first = d->link_count;
        if (d->fold.drawn[i] != (int)i) continue;
        of_node[i] = add_box(d, &box);
        if (of_node[i] < 0) return false;
        for (int k = 0; k < node->input_count; k++) {
            int from = source_of(d, of_node, of_input, node->inputs[k]);
            if (from >= 0 && !add_link(d, from, of_node[i])) return false;
        }
        choose_segment(d, first, &d->boxes[of_node[i]]);
    }
    rt_draw_box box = {.role = RT_DRAW_OUTPUT, .node = -1, .value = graph->output, .group = -1};
    size_t first = d->link_count;
    int out = add_box(d, &box), from = source_of(d, of_node, of_input, graph->output);
    if (out < 0 || (from >= 0 && !add_link(d, from, out))) return false;
    choose_segment(d, first, &d->boxes[out]);
    return true;
}

retort_status rt_draw_collect(rt_drawing *d, retort_error *err) {
    const rt_graph *graph = d->graph;
    size_t drawn = 0, sizes = graph->node_count + graph->value_count;
    for (size_t i = 0; i < graph->node_count; i++) drawn += d->fold.drawn[i] == (int)i;
    if (drawn > RT_DRAW_BOXES) {
        return rt_fail(err, RETORT_LIMIT, "%zu nodes are too many for a picture, which can have %d", drawn,
                       RT_DRAW_BOXES);
    }
    int *of_node = rt_calloc(sizes, sizeof *of_node);
    bool memory = of_node != NULL && collect(d, of_node, of_node + graph->node_count);
    free(of_node);
    return memory ? RETORT_OK : rt_fail_nomem(err, sizes * sizeof *of_node);
}

void rt_drawing_free(rt_drawing *d) {
    rt_draw_fold_free(&d->fold);
    free(d->boxes);
    free(d->links);
    *d = (rt_drawing){0};
}
