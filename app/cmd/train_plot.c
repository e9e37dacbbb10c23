/* SPDX-License-Identifier: Apache-2.0
 * The loss by steps, its axis at the left; the metric on dev, its axis at the right. */
#include "cmd/train_plot.h"
#include "cli/file.h"
#include "cli/plot.h"

#include <math.h>

enum { WIDTH = 720, HEIGHT = 400, LEFT = 64, RIGHT = 70, TOP = 64, BOTTOM = 48 };

static const char style[] =
    "<style>svg{font:13px system-ui,sans-serif;background:#fff}text{fill:#222}.tick{fill:#666;font-size:12px}"
    ".grid{stroke:#ddd}.title{font-size:15px;font-weight:600}.loss{stroke:#2266bb;fill:none;stroke-width:1.6}"
    ".dev{stroke:#c2410c;fill:none;stroke-width:1.6}.dot{fill:#c2410c}.losses{fill:#2266bb}.devs{fill:#"
    "c2410c}"
    "@media(prefers-color-scheme:dark){svg{background:#16181c}text{fill:#e6e6e6}.tick{fill:#9aa0a6}"
    ".grid{stroke:#33373d}.loss{stroke:#6fa8ff}.losses{fill:#6fa8ff}.dev{stroke:#ff9a62}"
    ".dot,.devs{fill:#ff9a62}}</style>\n";

static void draw_line(FILE *to, const char *class, const train_point *points, size_t count,
                      const plot_axis *x, const plot_axis *y) {
    fprintf(to, "<polyline class=\"%s\" points=\"", class);
    for (size_t i = 0; i < count; i++)
        fprintf(to, "%s%.1f,%.1f", i > 0 ? " " : "", plot_at(x, points[i].step), plot_at(y, points[i].value));
    fprintf(to, "\"/>\n");
}

static void bounds(const train_point *points, size_t count, double *least, double *most) {
    *least = INFINITY;
    *most = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        *least = fmin(*least, points[i].value);
        *most = fmax(*most, points[i].value);
    }
}

static void draw_loss(FILE *to, const train_report *r, const plot_axis *x) {
    double least, most;
    bounds(r->losses, r->loss_count, &least, &most);
    plot_axis y =
        plot_axis_of(fmin(0, least), r->loss_count > 0 ? fmax(most, 0) * 1.05 : 1, HEIGHT - BOTTOM, TOP);
    plot_rows(to, &y, LEFT, WIDTH - RIGHT);
    fprintf(to, "<text class=\"losses\" x=\"%d\" y=\"%d\">loss (mean of 50 steps)</text>\n", LEFT, TOP - 12);
    draw_line(to, "loss", r->losses, r->loss_count, x, &y);
}

/* Values of dev differ by little: their axis starts and ends near them. */
static void draw_dev(FILE *to, const train_report *r, const plot_axis *x) {
    double least, most;
    if (r->dev_count == 0) return;
    bounds(r->devs, r->dev_count, &least, &most);
    double room = fmax(0.15 * (most - least), 0.005);
    plot_axis y = plot_axis_of(least - room, most + room, HEIGHT - BOTTOM, TOP);
    size_t best = 0;
    for (size_t i = 1; i < r->dev_count; i++) best = r->devs[i].value > r->devs[best].value ? i : best;
    plot_ticks(to, &y, WIDTH - RIGHT);
    fprintf(to, "<text class=\"devs\" text-anchor=\"end\" x=\"%d\" y=\"%d\">%s on dev, best %.4f</text>\n",
            WIDTH - RIGHT, TOP - 12, r->metric, r->devs[best].value);
    draw_line(to, "dev", r->devs, r->dev_count, x, &y);
    for (size_t i = 0; i < r->dev_count; i++)
        fprintf(to,
                "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"%g\"><title>step %.0f: "
                "%.4f</title></circle>\n",
                plot_at(x, r->devs[i].step), plot_at(&y, r->devs[i].value), i == best ? 5.5 : 3.0,
                r->devs[i].step, r->devs[i].value);
}

cli_code train_plot(const train_report *report, const char *path, const char *title) {
    FILE *to = cli_create(path);
    if (to == NULL) return CLI_FAILED;
    plot_axis x = plot_axis_of(0, fmax(1, (double)report->steps), LEFT, WIDTH - RIGHT);
    fprintf(to, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\">\n%s", WIDTH,
            HEIGHT, style);
    fprintf(to, "<text class=\"title\" x=\"%d\" y=\"24\">", LEFT);
    plot_text(to, title);
    fprintf(to, "</text>\n");
    draw_loss(to, report, &x);
    draw_dev(to, report, &x);
    plot_columns(to, &x, HEIGHT - BOTTOM);
    fprintf(to, "<text class=\"tick\" text-anchor=\"middle\" x=\"%d\" y=\"%d\">step</text>\n</svg>\n",
            (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8);
    return cli_close(to, path, CLI_DONE);
}
