/* SPDX-License-Identifier: Apache-2.0 */
#include "tune/live.h"
#include "cli/progress.h"
#include "cli/stats.h"
#include "tune/choose.h"
#include "tune/judge.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char now[TUNE_NAME];
static double since;

const char *tune_time(char *out, size_t size, double seconds) {
    if (seconds < 100) {
        snprintf(out, size, "%.0f s", fmax(seconds, 0));
    } else if (seconds < 6000) {
        snprintf(out, size, "%.0f min", seconds / 60);
    } else {
        snprintf(out, size, "%.1f h", seconds / 3600);
    }
    return out;
}

static void describe(char *out, size_t size, const tune *t, const tune_trial *it) {
    snprintf(out, size, "%s %+.1f points, %.1f MB, %.2gx", it->name, -tune_loss(it), (double)it->bytes * 1e-6,
             it->speed.ratio);
    (void)t;
}

void tune_live_begin(const tune *t, const tune_trial *it) {
    (void)t;
    snprintf(now, sizeof now, "%s", it->name);
    since = cli_now();
}

/* One line: the floor, the best so far, what runs, the time left. */
void tune_live_tick(void *tuning) {
    const tune *t = tuning;
    static double last;
    char fast[128] = "none yet", small[128] = "", left[32], line[400];
    if (cli_now() - last < 0.2 || !isatty(STDERR_FILENO)) return;
    last = cli_now();
    const tune_trial *fastest = tune_choose(t, TUNE_FASTEST), *smallest = tune_choose(t, TUNE_SMALLEST);
    if (fastest != NULL) describe(fast, sizeof fast, t, fastest);
    if (smallest != NULL && smallest != fastest) describe(small, sizeof small, t, smallest);
    int n = snprintf(line, sizeof line, "floor %.3g | best: %s%s%s | now: %s, %.0f s | %s left",
                     t->settings->floor, fast, *small != '\0' ? "; " : "", small, now, cli_now() - since,
                     tune_time(left, sizeof left, tune_left(t)));
    enum { COLUMNS = 150 };
    fprintf(stderr, "\r%.*s\033[K", n < COLUMNS ? n : COLUMNS, line);
    cli_progress_drawn();
}

void tune_live_end(const tune *t, const tune_trial *it) {
    char left[32];
    tune_time(left, sizeof left, tune_left(t));
    if (it->status == TUNE_FAILED) {
        cli_say("%s: failed: %s", it->name, it->why);
    } else if (it->status == TUNE_DROPPED) {
        cli_say("%s: left out: %s", it->name, it->why);
    } else if (it->form == TUNE_FLOATS) {
        cli_say("%s: %+.2f points, KL %.3g; %s left", it->name, -tune_loss(it), it->score.kl, left);
    } else {
        cli_say(
            "%s: %+.2f points (sealed: %+.2f or better expected), KL %.3g, %.1f MB (%.1fx smaller), %.2fx "
            "faster; %s left",
            it->name, -tune_loss(it), -tune_forecast(t, it), it->score.kl, (double)it->bytes * 1e-6,
            (double)t->input_bytes / (double)it->bytes, it->speed.ratio, left);
    }
}
