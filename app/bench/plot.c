/* SPDX-License-Identifier: Apache-2.0
 * A plot as inline SVG: time by size or by a metric, with the engines' colours inside. Times and sizes start at zero. */
#include "bench/plot.h"
#include "bench/page.h"
#include "cli/plot.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 520, HEIGHT = 320, LEFT = 56, RIGHT = 150, TOP = 36, BOTTOM = 40, LABEL = 13 };
enum { MOST_DOTS = 64 };

static double across_of(const bench_engine *it, page_measure measure) {
    return measure == PAGE_BY_SIZE ? (double)it->bytes * 1e-6 : it->value;
}

static bool is_drawn(const bench_engine *it, page_measure measure) {
    return !it->missing && isfinite(across_of(it, measure));
}

/* The 99th percentile, or the top of the plot: one slow run shall not press the medians together. */
static double slow_of(const bench_times *times, const plot_axis *y) {
    return fmin(times->p99, y->max);
}

static void draw_grid(FILE *to, const bench_run *c, const plot_axis *x, const plot_axis *y,
                      page_measure measure) {
    plot_rows(to, y, LEFT, WIDTH - RIGHT);
    plot_columns(to, x, HEIGHT - BOTTOM);
    fprintf(to, "<text class=\"tick\" text-anchor=\"end\" x=\"%d\" y=\"%d\">%s</text>\n", WIDTH - RIGHT,
            HEIGHT - 6, measure == PAGE_BY_SIZE ? "file, MB" : c->metric);
    fprintf(to, "<text class=\"tick\" x=\"6\" y=\"%d\">ms</text>\n", TOP - 8);
}

/* The colour of each provider, once. */
static void draw_legend(FILE *to, const bench_run *c, page_measure measure) {
    enum { LETTER = 7, GAP = 26, LINE = 12, COLOURS = 7 };
    bool seen[COLOURS] = {false};
    double x = LEFT;
    for (size_t i = 0; i < c->count; i++) {
        const bench_engine *it = &c->items[i];
        size_t colour = page_colour(it);
        if (!is_drawn(it, measure) || seen[colour]) continue;
        seen[colour] = true;
        fprintf(to,
                "<g class=\"c%zu\"><circle cx=\"%.1f\" cy=\"%d\" r=\"4\"/></g><text class=\"key\" "
                "x=\"%.1f\" y=\"%d\">",
                colour, x, LINE - 4, x + 8, LINE);
        plot_text(to, it->provider);
        fputs("</text>\n", to);
        x += GAP + LETTER * (double)strlen(it->provider);
    }
}

typedef struct dot {
    size_t index;       /* of the engine */
    double x, y, label; /* label: y of its text */
} dot;

/* From top to bottom; a label that would touch the one above moves down. */
static size_t place_dots(dot *dots, const bench_run *c, const bench_result *result, const plot_axis *x,
                         const plot_axis *y, page_measure measure) {
    size_t count = 0;
    for (size_t i = 0; i < c->count && count < MOST_DOTS; i++) {
        if (!is_drawn(&c->items[i], measure)) continue;
        dot d = {i, plot_at(x, across_of(&c->items[i], measure)), plot_at(y, result->times[i].p50), 0};
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

static void draw_dot(FILE *to, const bench_run *c, const bench_result *result, const plot_axis *y,
                     const dot *d) {
    const bench_engine *it = &c->items[d->index];
    const bench_times *times = &result->times[d->index];
    fprintf(to,
            "<g class=\"c%zu\"><line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/><line "
            "stroke-width=\"2\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>",
            page_colour(it), d->x, d->y, d->x + 10, d->label, d->x, d->y, d->x,
            plot_at(y, slow_of(times, y)));
    fprintf(to, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\"><title>", d->x, d->y);
    plot_text(to, it->name);
    fprintf(to, ", %s: %.2f ms, %.2f in the 99th percentile, %.1f MB", it->provider, times->p50, times->p99,
            (double)it->bytes * 1e-6);
    if (isfinite(it->value)) fprintf(to, ", %s %.4f", c->metric, it->value);
    fprintf(to, "</title></circle><text x=\"%.1f\" y=\"%.1f\">", d->x + 13, d->label + 4);
    draw_label(to, c, it);
    fprintf(to, "</text></g>\n");
}

/* Sizes from zero; a metric around what there is. */
static plot_axis across(const bench_run *c, page_measure measure) {
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < c->count; i++) {
        if (!is_drawn(&c->items[i], measure)) continue;
        low = fmin(low, across_of(&c->items[i], measure));
        high = fmax(high, across_of(&c->items[i], measure));
    }
    double edge = fmax(0.1 * (high - low), 0.002);
    if (measure == PAGE_BY_METRIC) return plot_axis_of(low - edge, high + edge, LEFT, WIDTH - RIGHT);
    return plot_axis_of(0, high * 1.08, LEFT, WIDTH - RIGHT);
}

void page_plot(FILE *to, const bench_run *c, const bench_result *result, page_measure measure) {
    static const double most_slow = 1.6; /* times the slowest median */
    double time = 0, slow = 0;
    dot dots[MOST_DOTS];
    for (size_t i = 0; i < c->count; i++) {
        if (!is_drawn(&c->items[i], measure)) continue;
        time = fmax(time, result->times[i].p50);
        slow = fmax(slow, result->times[i].p99);
    }
    plot_axis x = across(c, measure),
              y = plot_axis_of(0, fmin(slow, most_slow * time) * 1.08, HEIGHT - BOTTOM, TOP);
    fprintf(to, "<svg viewBox=\"0 0 %d %d\" role=\"img\">\n", WIDTH, HEIGHT);
    draw_grid(to, c, &x, &y, measure);
    draw_legend(to, c, measure);
    size_t count = place_dots(dots, c, result, &x, &y, measure);
    for (size_t i = 0; i < count; i++) draw_dot(to, c, result, &y, &dots[i]);
    fprintf(to, "</svg>\n");
}
