/* SPDX-License-Identifier: Apache-2.0
 * Plots of a tuning, as inline SVG with their legends inside. */
#include "cli/plot.h"
#include "tune/choose.h"
#include "tune/judge.h"
#include "tune/page_parts.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 520, HEIGHT = 340, LEFT = 56, RIGHT = 20, TOP = 44, BOTTOM = 40 };
enum { GIVEN = 0, FRONTIER = 1, OTHER = 6 }; /* colours */

/* ---- Points by speed and by size ---- */

typedef double (*measure_fn)(const tune_trial *it);

static double speed_of(const tune_trial *it) {
    return it->speed.ratio;
}

/* The end of the interval that is drawn. */
static double farthest(const tune_trial *it, measure_fn of) {
    return of == speed_of && isfinite(it->speed.high) ? it->speed.high : of(it);
}

static double megabytes_of(const tune_trial *it) {
    return (double)it->bytes * 1e-6;
}

static bool is_drawn(const tune_trial *it) {
    return tune_offered(it) && isfinite(tune_loss(it)) && isfinite(it->speed.ratio);
}

static bool is_given(const tune *t, const tune_trial *it) {
    return (t->fastest >= 0 && &t->trials[t->claims[t->fastest].trial] == it) ||
           (t->smallest >= 0 && &t->trials[t->claims[t->smallest].trial] == it);
}

static double within(const plot_axis *axis, double value) {
    return plot_at(axis, fmin(fmax(value, axis->min), axis->max));
}

static void draw_intervals(FILE *to, const tune_trial *it, measure_fn of, const plot_axis *x,
                           const plot_axis *y) {
    double at = plot_at(x, of(it)), loss = within(y, -tune_loss(it));
    if (isfinite(it->score.low) && isfinite(it->score.high))
        fprintf(to, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", at, at,
                within(y, 100 * it->score.low), within(y, 100 * it->score.high));
    if (of == speed_of && isfinite(it->speed.low) && isfinite(it->speed.high))
        fprintf(to, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", within(x, it->speed.low),
                within(x, it->speed.high), loss, loss);
}

static void draw_dot(FILE *to, const tune *t, const tune_trial *it, measure_fn of, const plot_axis *x,
                     const plot_axis *y) {
    bool given = is_given(t, it);
    double across = plot_at(x, of(it)), at = within(y, -tune_loss(it));
    fprintf(to, "<g class=\"c%d\">", given ? GIVEN : tune_on_frontier(t, it) ? FRONTIER : OTHER);
    draw_intervals(to, it, of, x, y);
    fprintf(to,
            "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%d\"><title>%s: %+.2f points, %.2fx faster, %.1f "
            "MB</title></circle>",
            across, at, given ? 6 : 4, it->name, -tune_loss(it), it->speed.ratio, megabytes_of(it));
    bool right = across > (LEFT + WIDTH - RIGHT) / 2.0;
    if (given)
        fprintf(to, "<text text-anchor=\"%s\" x=\"%.1f\" y=\"%.1f\">%s</text>", right ? "end" : "start",
                right ? across - 9 : across + 9, at - 7, it->name);
    fprintf(to, "</g>\n");
}

/* One entry at x; the next one's x. */
static double draw_entry(FILE *to, double x, double y, int colour, const char *text) {
    enum { LETTER = 7, GAP = 26 };
    fprintf(to,
            "<g class=\"c%d\"><circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/></g><text class=\"key\" x=\"%.1f\" "
            "y=\"%.1f\">%s</text>",
            colour, x, y - 4, x + 8, y, text);
    return x + GAP + LETTER * (double)strlen(text);
}

static void draw_legend(FILE *to) {
    enum { LINE = 14, DASH = 16 };
    double x = draw_entry(to, LEFT, LINE, GIVEN, "given");
    x = draw_entry(to, x, LINE, FRONTIER, "not beaten in all three");
    x = draw_entry(to, x, LINE, OTHER, "others");
    fprintf(to,
            "<line class=\"floor\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/><text class=\"key\" "
            "x=\"%.1f\" y=\"%d\">floor</text>\n",
            x - 4, x - 4 + DASH, LINE - 4, LINE - 4, x + DASH, LINE);
}

static void draw_plot(FILE *to, const tune *t, measure_fn of, const char *unit) {
    double most = 0, lowest = -2 * t->settings->floor, highest = t->settings->floor;
    for (size_t i = 0; i < t->trial_count; i++) {
        if (!is_drawn(&t->trials[i])) continue;
        most = fmax(most, farthest(&t->trials[i], of));
        lowest = fmax(fmin(lowest, -tune_loss(&t->trials[i])), -12 * t->settings->floor);
        highest = fmax(highest, -tune_loss(&t->trials[i]));
    }
    plot_axis x = plot_axis_of(0, most * 1.1, LEFT, WIDTH - RIGHT),
              y = plot_axis_of(lowest, highest, HEIGHT - BOTTOM, TOP);
    double floor_at = plot_at(&y, -t->settings->floor);
    fprintf(to, "<svg viewBox=\"0 0 %d %d\" role=\"img\"><title>points by %s</title>", WIDTH, HEIGHT, unit);
    plot_rows(to, &y, LEFT, WIDTH - RIGHT);
    plot_columns(to, &x, HEIGHT - BOTTOM);
    fprintf(to,
            "<text class=\"tick\" x=\"6\" y=\"%d\">points</text><text class=\"tick\" text-anchor=\"end\" "
            "x=\"%d\" y=\"%d\">%s</text>\n",
            TOP - 12, WIDTH - RIGHT, HEIGHT - 6, unit);
    fprintf(to, "<line class=\"floor\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>\n", LEFT, WIDTH - RIGHT,
            floor_at, floor_at);
    for (int given = 0; given < 2; given++) { /* on top of the others */
        for (size_t i = 0; i < t->trial_count; i++) {
            const tune_trial *it = &t->trials[i];
            if (is_drawn(it) && is_given(t, it) == (given == 1)) draw_dot(to, t, it, of, &x, &y);
        }
    }
    draw_legend(to);
    fprintf(to, "</svg>\n");
}

void tune_page_plots(FILE *to, const tune *t) {
    fprintf(to,
            "<h2>Accuracy, time and size</h2><p>Points against the float model on the %zu rows that select; "
            "bars are 95 %% intervals, and those of speeds go from the slowest to the fastest "
            "round.</p><div class=\"plots\"><figure>",
            t->split.select_rows);
    draw_plot(to, t, speed_of, "times as fast as the input");
    fprintf(to, "</figure><figure>");
    draw_plot(to, t, megabytes_of, "file, MB");
    fprintf(to, "</figure></div>\n");
}

/* ---- Claims ---- */

enum { ROW = 30, NAMES = 190 };

static void draw_claim(FILE *to, const tune *t, const tune_claim *c, const plot_axis *x, double y) {
    fprintf(to, "<g class=\"c%d\">", c->proven ? GIVEN : OTHER);
    if (isfinite(c->low) && isfinite(c->high))
        fprintf(to, "<line stroke-width=\"2\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>",
                within(x, 100 * c->low), within(x, 100 * c->high), y, y);
    if (isfinite(c->bound))
        fprintf(to, "<line stroke-width=\"3\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>",
                within(x, 100 * c->bound), within(x, 100 * c->bound), y - 7, y + 7);
    if (isfinite(c->difference))
        fprintf(to, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\"/>", within(x, 100 * c->difference), y);
    fprintf(to, "<text x=\"6\" y=\"%.1f\">%s</text></g>\n", y + 4, tune_trial_of_claim(t, c)->name);
}

void tune_page_forest(FILE *to, const tune *t) {
    enum { WIDE = 760 };
    double floor = t->settings->floor, lowest = -1.5 * floor, highest = floor;
    if (t->claim_count == 0) return;
    for (size_t i = 0; i < t->claim_count; i++) {
        const tune_claim *c = &t->claims[i];
        if (isfinite(c->low)) lowest = fmax(fmin(lowest, 100 * fmin(c->low, c->bound)), -12 * floor);
        if (isfinite(c->high)) highest = fmax(highest, 100 * c->high);
    }
    int bottom = TOP + ROW * (int)t->claim_count;
    plot_axis x = plot_axis_of(lowest, highest, NAMES, WIDE - RIGHT);
    double at = plot_at(&x, -floor), zero = plot_at(&x, 0);
    fprintf(to,
            "<div class=\"scroll\"><svg class=\"wide\" viewBox=\"0 0 %d %d\" role=\"img\">"
            "<title>claims</title>",
            WIDE, bottom + BOTTOM);
    plot_columns(to, &x, bottom);
    fprintf(to,
            "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/><line class=\"floor\" "
            "x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/><text class=\"tick\" text-anchor=\"middle\" "
            "x=\"%.1f\" y=\"%d\">floor</text>\n",
            zero, zero, TOP - 8, bottom, at, at, TOP - 8, bottom, at, TOP - 12);
    for (size_t i = 0; i < t->claim_count; i++)
        draw_claim(to, t, &t->claims[i], &x, TOP + ROW * ((double)i + 0.5));
    fprintf(
        to,
        "<text class=\"tick\" x=\"6\" y=\"14\">dot: points against the float model; thin: 95 %% interval; "
        "bar: one-sided bound</text></svg></div>\n");
}
