/* SPDX-License-Identifier: Apache-2.0
 * Times, memory, percentiles. */
#ifndef CLI_STATS_H
#define CLI_STATS_H

#include <stddef.h>

double cli_now(void); /* seconds */
double cli_rss_mb(void);
double cli_peak_mb(void); /* peak resident size so far */
/* In ascending order. */
void cli_sort(double *values, size_t n);
double cli_percentile(const double *sorted, size_t n, double p);
/* Decimals that a figure with this interval supports: one more than half of its width has zeros behind the point; 6
 * without an interval. */
int cli_decimals(double low, double high);
/* "0.893 (0.871 to 0.912)"; `format` takes the decimals and the value. Without an interval the value alone. */
enum { CLI_INTERVAL = 96 };
void cli_interval(char text[CLI_INTERVAL], const char *format, int decimals, double value, double low,
                  double high);

#endif
