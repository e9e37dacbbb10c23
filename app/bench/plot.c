/* SPDX-License-Identifier: Apache-2.0
 * A plot as inline SVG: size by time, both axes starting at zero. */
#include "bench/plot.h"
#include "bench/page.h"
#include "cli/plot.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 520, HEIGHT = 320, LEFT = 56, RIGHT = 150, TOP = 14, BOTTOM = 40, LABEL = 13 };
enum { MOST_DOTS = 64 };

static void draw_grid(FILE *to, const plot_axis *x, const plot_axis *y) {
    plot_rows(to, y, LEFT, WIDTH - RIGHT);
    plot_columns(to, x, HEIGHT - BOTTOM);
    fprintf(to, "<text class=\"tick\" text-anchor=\"end\" x=\"%d\" y=\"%d\">file, MB</text>\n", WIDTH - RIGHT,
            HEIGHT - 6);
    fprintf(to, "<text class=\"tick\" x=\"6\" y=\"%d\">ms</text>\n", TOP + 2);
}

typedef struct dot {
    size_t index;       /* of the engine */
    double x, y, label; /* label: y of its text */
} dot;

/* From top to bottom; a label that would touch the one above moves down. */
static size_t place_dots(dot *dots, const bench_run *c, const bench_result *result, const plot_axis *x,
                         const plot_axis *y) {
    size_t count = 0;
    for (size_t i = 0; i < c->count && count < MOST_DOTS; i++) {
        if (c->items[i].missing) continue;
        dot d = {i, plot_at(x, (double)c->items[i].bytes * 1e-6), plot_at(y, result->times[i].p50), 0};
        size_t at = count++;
        for (; at > 0 && dots[at - 1].y > d.y; at--) dots[at] = dots[at - 1];
        dots[at] = d;
    }
    for (size_t i = 0; i < count; i++) {
        dots[i].label = dots[i].y;
        for (size_t j = 0; j < i; j++) {
            bool near = fabs(dots[j].x - dots[i].x) < RIGHT && dots[i].label < dots[j].label + LABEL;
            if (near) dots[i].label = dots[j].label + LABEL;
        }
    }
    return count;
}

/* The name of the file without folder and extension, if there are several models. */
static void draw_label(FILE *to, const bench_run *c, const bench_engine *it) {
    const char *slash = strrchr(it->name, '/'),
               *name = slash != NULL && slash[1] != '\0' ? slash + 1 : it->name;
    if (c->model_count == 1) {
        plot_text(to, it->provider);
        return;
    }
    plot_text(to, name);
}

void page_plot(FILE *to, const bench_run *c, const bench_result *result) {
    double size = 0, time = 0;
    dot dots[MOST_DOTS];
    for (size_t i = 0; i < c->count; i++) {
        if (c->items[i].missing) continue;
        size = fmax(size, (double)c->items[i].bytes * 1e-6);
        time = fmax(time, result->times[i].p50);
    }
    plot_axis x = plot_axis_of(0, size * 1.08, LEFT, WIDTH - RIGHT),
              y = plot_axis_of(0, time * 1.08, HEIGHT - BOTTOM, TOP);
    fprintf(to, "<svg viewBox=\"0 0 %d %d\" role=\"img\">\n", WIDTH, HEIGHT);
    draw_grid(to, &x, &y);
    size_t count = place_dots(dots, c, result, &x, &y);
    for (size_t i = 0; i < count; i++) {
        const dot *d = &dots[i];
        const bench_engine *it = &c->items[d->index];
        size_t colour = page_colour(it);
        fprintf(to, "<g class=\"c%zu\"><line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>", colour, d->x,
                d->y, d->x + 10, d->label);
        fprintf(to, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\"><title>", d->x, d->y);
        plot_text(to, it->name);
        fprintf(to, ", %s: %.2f ms, %.1f MB</title></circle>", it->provider, result->times[d->index].p50,
                (double)it->bytes * 1e-6);
        fprintf(to, "<text x=\"%.1f\" y=\"%.1f\">", d->x + 13, d->label + 4);
        draw_label(to, c, it);
        fprintf(to, "</text></g>\n");
    }
    fprintf(to, "</svg>\n");
}
