/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/stats.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

double cli_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double cli_rss_mb(void) {
    long total, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL) return 0;
    if (fscanf(file, "%ld %ld", &total, &resident) != 2) resident = 0;
    fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

double cli_peak_mb(void) {
    char line[128];
    long kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "re");
    if (file == NULL) return 0;
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "VmHWM: %ld kB", &kilobytes) == 1) break;
    }
    fclose(file);
    return (double)kilobytes * 1024 / 1e6;
}

static int compare(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

void cli_sort(double *values, size_t n) {
    qsort(values, n, sizeof *values, compare);
}

/* Interpolates linearly between the two nearest ranks, as NumPy does. */
double cli_percentile(const double *sorted, size_t n, double p) {
    double at = p / 100 * (double)(n - 1);
    size_t low = (size_t)at, high = low + 1 < n ? low + 1 : low;
    return sorted[low] + (sorted[high] - sorted[low]) * (at - floor(at));
}

int cli_decimals(double low, double high) {
    enum { MOST = 6 };
    int decimals = 1;
    double half = (high - low) / 2;
    if (!isfinite(half)) return MOST;
    while (decimals < MOST && half < 1) {
        half *= 10;
        decimals++;
    }
    return decimals;
}

void cli_interval(char text[CLI_INTERVAL], const char *format, int decimals, double value, double low,
                  double high) {
    int used = snprintf(text, CLI_INTERVAL, format, decimals, value);
    if (isfinite(low) && used >= 0 && used < CLI_INTERVAL)
        snprintf(text + used, CLI_INTERVAL - (size_t)used, " (%.*f to %.*f)", decimals, low, decimals, high);
}
