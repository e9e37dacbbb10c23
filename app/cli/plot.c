/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/plot.h"
#include "retort.h"

#include <math.h>
#include <string.h>

plot_axis plot_axis_of(double min, double max, double from, double to) {
    double range = max > min ? max - min : 1;
    plot_axis axis = {.min = min, .max = min + range, .from = from, .to = to};
    double power = pow(10, floor(log10(range / 5))), times = range / 5 / power;
    axis.step = power * (times < 1.5 ? 1 : times < 3.5 ? 2 : times < 7.5 ? 5 : 10);
    return axis;
}

double plot_at(const plot_axis *axis, double value) {
    return axis->from + (value - axis->min) / (axis->max - axis->min) * (axis->to - axis->from);
}

/* Value of line `index`; the first is the lowest multiple of the step that the axis has. */
static double line_of(const plot_axis *axis, int index) {
    double first = ceil(axis->min / axis->step - 1e-9);
    return (first + index) * axis->step;
}

static bool has_line(const plot_axis *axis, int index) {
    return line_of(axis, index) <= axis->max + 1e-9 * axis->step;
}

void plot_rows(FILE *to, const plot_axis *y, double left, double right) {
    for (int i = 0; has_line(y, i); i++) {
        double at = plot_at(y, line_of(y, i));
        fprintf(to, "<line class=\"grid\" x1=\"%g\" x2=\"%g\" y1=\"%.1f\" y2=\"%.1f\"/>", left, right, at,
                at);
        fprintf(to, "<text class=\"tick\" text-anchor=\"end\" x=\"%g\" y=\"%.1f\">%g</text>\n", left - 6,
                at + 4, line_of(y, i));
    }
}

void plot_ticks(FILE *to, const plot_axis *y, double left) {
    for (int i = 0; has_line(y, i); i++) {
        fprintf(to, "<text class=\"tick\" x=\"%g\" y=\"%.1f\">%g</text>\n", left + 6,
                plot_at(y, line_of(y, i)) + 4, line_of(y, i));
    }
}

void plot_columns(FILE *to, const plot_axis *x, double bottom) {
    for (int i = 0; has_line(x, i); i++) {
        fprintf(to, "<text class=\"tick\" text-anchor=\"middle\" x=\"%.1f\" y=\"%g\">%g</text>\n",
                plot_at(x, line_of(x, i)), bottom + 16, line_of(x, i));
    }
}

static void write_entities(FILE *to, const char *text) {
    for (; *text != '\0'; text++) {
        if (*text == '<') {
            fputs("&lt;", to);
        } else if (*text == '>') {
            fputs("&gt;", to);
        } else if (*text == '&') {
            fputs("&amp;", to);
        } else {
            fputc(*text, to);
        }
    }
}

/* Escapes first: XML has no control characters. */
void plot_text(FILE *to, const char *text) {
    char safe[1024];
    retort_escape(safe, sizeof safe, text, strlen(text));
    write_entities(to, safe);
}
