/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_TRAIN_PLOT_H
#define CMD_TRAIN_PLOT_H

#include "cmd/train_report.h"

/* Writes the plot of a training as a self-contained SVG file, for light and dark screens. Errors are printed. */
cli_code train_plot(const train_report *report, const char *path, const char *title);

#endif
