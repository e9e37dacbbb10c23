/* SPDX-License-Identifier: Apache-2.0 */
#include "tune/live.h"
#include "cli/progress.h"
#include "cli/stats.h"
#include "tune/choose.h"
#include "tune/judge.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static char now[TUNE_NAME];
static char reason[160];
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

/* ---- What runs, and why ---- */

static void describe(char *out, size_t size, const tune_trial *it) {
    if (it->shape == NULL || it->form == NULL) {
        snprintf(out, size, "measured first");
    } else if (it->form->cascade) {
        snprintf(out, size, "puts stages before %s: %s", it->shape->what, it->form->what);
    } else if (it->form->train) {
        snprintf(out, size, "trains the integers that would run: %s", it->form->what);
    } else if (it->form != TUNE_FLOATS) {
        snprintf(out, size, "rounds %s: %s", it->shape->what, it->form->what);
    } else if (it->rung > 0) {
        snprintf(out, size, "distils, rung %d: %s", it->rung, it->shape->what);
    } else {
        snprintf(out, size, "prunes: %s", it->shape->what);
    }
}

void tune_live_now(const char *what, const char *why) {
    snprintf(now, sizeof now, "%s", what);
    snprintf(reason, sizeof reason, "%s", why);
    since = cli_now();
}

void tune_live_begin(const tune_trial *it) {
    char why[sizeof reason];
    describe(why, sizeof why, it);
    tune_live_now(it->name, why);
}

/* ---- The block ---- */

enum { COLUMNS = 512, MOST_ROWS = 12 };

/* Columns and lines of the terminal, and the lines of the block so far. */
typedef struct screen {
    int columns, rows;
    size_t drawn;
} screen;

static screen screen_of_terminal(void) {
    struct winsize size;
    bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0;
    return (screen){known ? size.ws_col : 80, known ? size.ws_row : 24, 0};
}

/* A line that does not wrap, so that the block has as many lines on the screen as were written. */
static void put_row(screen *s, const char *text) {
    int most = s->columns - 1 < COLUMNS ? s->columns - 1 : COLUMNS;
    fprintf(stderr, "%s\r%.*s\033[K", s->drawn > 0 ? "\n" : "", most, text);
    s->drawn++;
}

/* From twice the floor lost to the floor gained: '|' is the floor, '*' the points, '<' and '-' what the sealed rows may show. */
static void draw_scale(char *out, int width, const tune *t, const tune_trial *it) {
    double floor = t->settings->floor, lost = tune_loss(it), forecast = tune_forecast(t, it);
    int at[3];
    const double points[3] = {-floor, -forecast, -lost};
    for (int i = 0; i < 3; i++)
        at[i] = (int)(fmin(fmax((points[i] + 2 * floor) / (3 * floor), 0), 1) * (width - 1) + 0.5);
    memset(out, ' ', (size_t)width);
    out[width] = '\0';
    for (int i = at[1]; i < at[2]; i++) out[i] = '-';
    out[at[0]] = '|';
    out[at[1]] = '<';
    out[at[2]] = '*';
}

static void put_trial(screen *s, const tune *t, const tune_trial *it, const char *mark) {
    enum { SCALE = 24 };
    char line[COLUMNS], scale[SCALE + 1];
    draw_scale(scale, SCALE, t, it);
    snprintf(line, sizeof line, "%-9s %-24.24s %6.2fx %7.1f MB %+7.2f [%s]", mark, it->name, it->speed.ratio,
             (double)it->bytes * 1e-6, -tune_loss(it), scale);
    put_row(s, line);
}

/* The fastest first. */
static size_t frontier(const tune *t, const tune_trial *rows[MOST_ROWS], size_t most) {
    size_t n = 0;
    for (size_t i = 0; i < t->trial_count; i++) {
        const tune_trial *it = &t->trials[i];
        if (!tune_on_frontier(t, it)) continue;
        size_t k = n < most ? n++ : most;
        for (; k > 0 && rows[k - 1]->speed.ratio < it->speed.ratio; k--) {
            if (k < most) rows[k] = rows[k - 1];
        }
        if (k < most) rows[k] = it;
    }
    return n;
}

static const char *mark_of(const tune *t, const tune_trial *it) {
    const tune_trial *fastest = tune_choose(t, TUNE_FASTEST), *smallest = tune_choose(t, TUNE_SMALLEST);
    if (it == fastest) return it == smallest ? "best" : "fastest";
    return it == smallest ? "smallest" : "";
}

static void put_heading(screen *s, const tune *t) {
    char line[COLUMNS], left[32];
    snprintf(line, sizeof line, "floor: %.3g points of %s below %.4f; %zu tried; %s left", t->settings->floor,
             t->metric != NULL ? t->metric : "the metric", t->base_value, t->trial_count,
             tune_time(left, sizeof left, tune_left(t)));
    put_row(s, line);
}

static void put_now(screen *s) {
    char line[COLUMNS], time[32];
    snprintf(line, sizeof line, "now: %s (%s), %s", now, reason,
             tune_time(time, sizeof time, cli_now() - since));
    put_row(s, line);
}

void tune_live_tick(void *tuning) {
    enum { OTHERS = 4, LEAST = 1 }; /* lines beside the frontier's: heading, columns, now, and the prompt */
    static const double pause = 0.2;
    static double last;
    const tune *t = tuning;
    const tune_trial *rows[MOST_ROWS];
    if (cli_now() - last < pause || !isatty(STDERR_FILENO)) return;
    last = cli_now();
    screen s = screen_of_terminal();
    size_t most = s.rows > OTHERS + LEAST ? (size_t)(s.rows - OTHERS) : LEAST;
    size_t n = frontier(t, rows, most < MOST_ROWS ? most : MOST_ROWS);
    cli_progress_end();
    put_heading(&s, t);
    if (n > 0)
        put_row(
            &s,
            "best so far                          speed      size   points  floor |, points *, sealed >= <");
    for (size_t i = 0; i < n; i++) put_trial(&s, t, rows[i], mark_of(t, rows[i]));
    put_now(&s);
    cli_progress_drawn(s.drawn - 1);
}

/* ---- Lines ---- */

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
