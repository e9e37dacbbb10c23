/* SPDX-License-Identifier: Apache-2.0
 * What plots share: linear axes with grid lines at round numbers, and text, as SVG. */
#ifndef CLI_PLOT_H
#define CLI_PLOT_H

#include <stdio.h>

/* The values from `min` to `max` are drawn from `from` to `to`; a grid line every `step`. */
typedef struct plot_axis {
    double min, max, step, from, to;
} plot_axis;

/* With about five grid lines, at multiples of 1, 2 or 5 times a power of ten. */
plot_axis plot_axis_of(double min, double max, double from, double to);
double plot_at(const plot_axis *axis, double value);
/* A line from `left` to `right` at each step of a vertical axis, its value beside its left end. */
void plot_rows(FILE *to, const plot_axis *y, double left, double right);
/* The values of a second vertical axis, at the right of `left`. */
void plot_ticks(FILE *to, const plot_axis *y, double left);
/* Values of a horizontal axis below the line at `bottom`. */
void plot_columns(FILE *to, const plot_axis *x, double bottom);
/* Text with <, > and & escaped. */
void plot_text(FILE *to, const char *text);

#endif
