/* SPDX-License-Identifier: Apache-2.0
 * Writes a graph as a self-contained SVG file: colours are attributes, which every program reads, and a style
 * sheet changes them if the reader prefers dark. */
#include "graph/draw.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* One row per kind of operator, and one for inputs and outputs: for the legend, colours of the box and its border in
 * light and dark. */
enum { ENDS = RT_OP_KINDS, KINDS };
static const struct {
    const char *text, *fill, *stroke, *dark_fill, *dark_stroke;
} kinds[KINDS] = {
    [RT_OP_KIND_PLAIN] = {"element-wise", "#f1f5f9", "#64748b", "#1e293b", "#94a3b8"},
    [RT_OP_KIND_MATRIX] = {"matrix product", "#dbeafe", "#2563eb", "#172554", "#60a5fa"},
    [RT_OP_KIND_ATTENTION] = {"attention", "#fef3c7", "#d97706", "#451a03", "#fbbf24"},
    [RT_OP_KIND_NORM] = {"normalisation", "#dcfce7", "#16a34a", "#052e16", "#4ade80"},
    [RT_OP_KIND_EMBED] = {"table look-up", "#f3e8ff", "#9333ea", "#3b0764", "#c084fc"},
    [RT_OP_KIND_SHAPE] = {"shape", "#ffffff", "#94a3b8", "#0f172a", "#64748b"},
    [RT_OP_KIND_ROWS] = {"rows, pooling", "#ffe4e6", "#e11d48", "#4c0519", "#fb7185"},
    [RT_OP_KIND_CONVERT] = {"rounding", "#cffafe", "#0891b2", "#083344", "#22d3ee"},
    [ENDS] = {"input, output", "#475569", "#475569", "#475569", "#475569"},
};

enum { TITLE_HEIGHT = 96, LEGEND_GAP = 26, SWATCH = 12, MIN_WIDTH = 620 };

static int kind_of_box(const rt_draw_box *box, const rt_graph *graph) {
    return box->role == RT_DRAW_NODE ? (int)rt_op_info(graph->nodes[box->node].op)->kind : ENDS;
}

static int whole(double x) {
    return (int)lround(x);
}

/* ---- Text ---- */

/* Escapes text for XML: no markup, no control characters, valid UTF-8. */
static void put_escaped(rt_buffer *out, const char *text) {
    const uint8_t *at = (const uint8_t *)text, *end = at + strlen(text);
    while (at < end) {
        uint32_t point;
        const uint8_t *from = at;
        at += rt_utf8_take(at, end, &point);
        bool legal = point >= ' ' && point != 0x7f && point != RT_REPLACEMENT && (point & ~1u) != 0xFFFE;
        const char *name = !legal         ? "\xef\xbf\xbd"
                           : point == '&' ? "&amp;"
                           : point == '<' ? "&lt;"
                           : point == '>' ? "&gt;"
                           : point == '"' ? "&quot;"
                                          : NULL;
        rt_buffer_append(out, name != NULL ? name : (const char *)from,
                         name != NULL ? strlen(name) : (size_t)(at - from));
    }
}

static void put_text(rt_buffer *out, int x, int y, const char *attributes, const char *text) {
    rt_buffer_format(out, "<text x=\"%d\" y=\"%d\" %s>", x, y, attributes);
    put_escaped(out, text);
    rt_buffer_text(out, "</text>\n");
}

/* ---- Before the boxes ---- */

static void put_style(rt_buffer *out) {
    rt_buffer_text(out, "<style>\n@media (prefers-color-scheme: dark) {\n"
                        ".page{fill:#0b1120}.frame{fill:#111a2e;stroke:#475569}\n"
                        "text{fill:#e2e8f0}.faint{fill:#94a3b8}.label{fill:#94a3b8;stroke:#0b1120}\n"
                        ".link{stroke:#64748b}.head{fill:#64748b}\n");
    for (int k = 0; k < KINDS; k++) {
        rt_buffer_format(out, ".k%d{fill:%s;stroke:%s}\n", k, kinds[k].dark_fill, kinds[k].dark_stroke);
    }
    rt_buffer_text(out,
                   ".ends{fill:#ffffff}\n}\n</style>\n"
                   "<defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" "
                   "markerHeight=\"7\" orient=\"auto\"><path class=\"head\" d=\"M0 0L8 4L0 8z\" "
                   "fill=\"#64748b\"/></marker></defs>\n");
}

/* The legend of the kinds in the picture; returns its right end. */
static int put_legend(rt_buffer *out, const rt_drawing *d) {
    bool there[KINDS] = {false};
    int x = RT_DRAW_MARGIN;
    for (size_t i = 0; i < d->box_count; i++) {
        if (d->boxes[i].role != RT_DRAW_BEND) there[kind_of_box(&d->boxes[i], d->graph)] = true;
    }
    for (int k = 0; k < KINDS; k++) {
        if (!there[k]) continue;
        rt_buffer_format(
            out,
            "<rect class=\"k%d\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"3\" fill=\"%s\" "
            "stroke=\"%s\"/>\n",
            k, x, TITLE_HEIGHT - SWATCH, SWATCH, SWATCH, kinds[k].fill, kinds[k].stroke);
        put_text(out, x + SWATCH + 6, TITLE_HEIGHT - 2, "class=\"faint\" font-size=\"12\" fill=\"#475569\"",
                 kinds[k].text);
        x += SWATCH + 6 + (int)strlen(kinds[k].text) * RT_DRAW_CHAR + LEGEND_GAP;
    }
    return x;
}

static void put_frames(rt_buffer *out, const rt_drawing *d) {
    for (size_t g = 0; g < d->fold.group_count; g++) {
        const rt_draw_group *group = &d->fold.groups[g];
        char text[64];
        snprintf(text, sizeof text, "layer %d", group->first);
        if (group->times > 1) {
            snprintf(text, sizeof text, "layers %d–%d ×%d", group->first, group->first + group->times - 1,
                     group->times);
        }
        rt_buffer_format(out,
                         "<rect class=\"frame\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"10\" "
                         "fill=\"#f8fafc\" stroke=\"#94a3b8\" stroke-dasharray=\"5 4\"/>\n",
                         whole(group->left), whole(group->top), whole(group->right - group->left),
                         whole(group->bottom - group->top));
        put_text(out, whole(group->left) + 12, whole(group->top) + 20,
                 "font-size=\"14\" font-weight=\"bold\" fill=\"#0f172a\"", text);
    }
}

/* ---- Boxes and links ---- */

static void put_link(rt_buffer *out, const rt_drawing *d, const rt_draw_link *link) {
    const rt_draw_box *a = &d->boxes[link->from], *b = &d->boxes[link->to];
    int x0 = whole(a->x), y0 = whole(a->y + a->height / 2), x1 = whole(b->x),
        y1 = whole(b->y - b->height / 2);
    int middle = (y0 + y1) / 2;
    bool bend = b->role == RT_DRAW_BEND;
    rt_buffer_format(out, "<path class=\"link\" d=\"M%d %dC%d %d %d %d %d %d", x0, y0, x0, middle, x1, middle,
                     x1, y1);
    if (bend) rt_buffer_format(out, "V%d", whole(b->y + b->height / 2));
    rt_buffer_format(out, "\" fill=\"none\" stroke=\"#64748b\" stroke-width=\"1.3\"%s/>\n",
                     bend ? "" : " marker-end=\"url(#head)\"");
}

/* The shape of the output, once, below the box. */
static void put_shape(rt_buffer *out, const rt_drawing *d, const rt_draw_box *box) {
    const rt_value *v = &d->graph->values[box->value];
    char dims[128], text[144];
    bool plain = v->dtype == RETORT_F32;
    rt_dims_text(dims, sizeof dims, v->dims, v->rank);
    snprintf(text, sizeof text, "%s%s%s", plain ? "" : retort_dtype_name(v->dtype), plain ? "" : " ", dims);
    put_text(out, whole(box->x) + 6, whole(box->y + box->height / 2) + 15,
             "class=\"label\" font-size=\"11\" font-family=\"ui-monospace, Menlo, Consolas, monospace\" "
             "fill=\"#64748b\" stroke=\"#ffffff\" stroke-width=\"3\" paint-order=\"stroke\"",
             text);
}

static void put_box(rt_buffer *out, const rt_drawing *d, const rt_draw_box *box) {
    static const char *const classes[] = {"node", "input", "output"};
    int k = kind_of_box(box, d->graph);
    int left = whole(box->x - box->width / 2), top = whole(box->y - box->height / 2);
    int times = box->group >= 0 ? d->fold.groups[box->group].times : 1;
    rt_buffer_format(out, "<g class=\"%s\" data-times=\"%d\"><title>", classes[box->role], times);
    put_escaped(out, box->role == RT_DRAW_NODE ? d->graph->nodes[box->node].name
                                               : d->graph->values[box->value].name);
    rt_buffer_format(out,
                     "</title><rect class=\"k%d\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"%d\" "
                     "fill=\"%s\" stroke=\"%s\" stroke-width=\"1.3\"/>\n",
                     k, left, top, whole(box->width), whole(box->height), k == ENDS ? 13 : 6, kinds[k].fill,
                     kinds[k].stroke);
    static const char *const styles[] = {
        "text-anchor=\"middle\" font-size=\"13\" font-weight=\"bold\" fill=\"#0f172a\"",
        "text-anchor=\"middle\" font-size=\"11\" font-family=\"ui-monospace, Menlo, Consolas, monospace\" "
        "fill=\"#334155\"",
        "class=\"faint\" text-anchor=\"middle\" font-size=\"11\" font-family=\"ui-monospace, Menlo, "
        "Consolas, "
        "monospace\" fill=\"#475569\""};
    for (int i = 0; i < RT_DRAW_LINES && box->lines[i][0] != '\0'; i++) {
        put_text(out, whole(box->x), top + 18 + i * RT_DRAW_TEXT,
                 k == ENDS ? "class=\"ends\" text-anchor=\"middle\" font-size=\"12\" fill=\"#ffffff\""
                           : styles[i],
                 box->lines[i]);
    }
    rt_buffer_text(out, "</g>\n");
}

static void put_drawing(rt_buffer *out, const rt_drawing *d) {
    put_frames(out, d);
    for (size_t i = 0; i < d->link_count; i++) put_link(out, d, &d->links[i]);
    for (size_t i = 0; i < d->box_count; i++) {
        const rt_draw_box *box = &d->boxes[i];
        if (box->role == RT_DRAW_BEND) continue;
        put_box(out, d, box);
        if (box->role != RT_DRAW_OUTPUT) put_shape(out, d, box);
    }
}

static void put_page(rt_buffer *out, const rt_drawing *d, const retort_draw_options *options) {
    rt_buffer legend = {0};
    int legend_end = put_legend(&legend, d), inner = whole(d->width) + 2 * RT_DRAW_MARGIN;
    int width = legend_end > inner ? legend_end : inner;
    width = width < MIN_WIDTH ? MIN_WIDTH : width;
    int height = whole(d->height) + TITLE_HEIGHT + 2 * RT_DRAW_MARGIN;
    rt_buffer_format(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
        "font-family=\"ui-sans-serif, system-ui, Helvetica, Arial, sans-serif\">\n<title>",
        width, height, width, height);
    put_escaped(out, options->title != NULL ? options->title : "");
    rt_buffer_text(out, "</title>\n");
    put_style(out);
    rt_buffer_format(out, "<rect class=\"page\" width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n", width,
                     height);
    if (options->title != NULL) {
        put_text(out, RT_DRAW_MARGIN, 38, "font-size=\"20\" font-weight=\"bold\" fill=\"#0f172a\"",
                 options->title);
    }
    if (options->subtitle != NULL) {
        put_text(out, RT_DRAW_MARGIN, 62, "class=\"faint\" font-size=\"13\" fill=\"#475569\"",
                 options->subtitle);
    }
    rt_buffer_text(out, legend.data != NULL ? legend.data : "");
    out->failed = out->failed || legend.failed;
    rt_buffer_free(&legend);
    rt_buffer_format(out, "<g transform=\"translate(%d %d)\">\n", (width - whole(d->width)) / 2,
                     TITLE_HEIGHT + RT_DRAW_MARGIN - 10);
    put_drawing(out, d);
    rt_buffer_text(out, "</g>\n</svg>\n");
}

retort_status rt_graph_draw(const rt_graph *graph, const retort_draw_options *options, retort_write_fn write,
                            void *user, retort_error *err) {
    rt_drawing d = {.graph = graph};
    rt_buffer out = {0};
    retort_status status = rt_draw_fold_layers(&d.fold, graph, options->whole, err);
    if (status == RETORT_OK) status = rt_draw_collect(&d, err);
    if (status == RETORT_OK) status = rt_draw_rows(&d, err);
    if (status == RETORT_OK) status = rt_draw_place(&d, err);
    if (status == RETORT_OK) {
        put_page(&out, &d, options);
        if (out.failed) status = rt_fail_nomem(err, out.length);
    }
    if (status == RETORT_OK && write(user, out.data, out.length) != 0)
        status = rt_fail(err, RETORT_CANCELLED, "the picture was not written");
    rt_buffer_free(&out);
    rt_drawing_free(&d);
    return status;
}
