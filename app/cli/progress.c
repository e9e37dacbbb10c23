/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"
#include "cli/stats.h"
#include "cli/text.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool shown;
static size_t lines_above; /* of the bar's, drawn with it */
static volatile sig_atomic_t interrupted;

static void interrupt(int number) {
    (void)number;
    interrupted = 1;
}

void cli_catch_interrupt(void) {
    struct sigaction action = {.sa_handler = interrupt,
                               .sa_flags = (int)SA_RESETHAND}; /* the second SIGINT ends the process */
    sigaction(SIGINT, &action, NULL);
}

bool cli_interrupted(void) {
    return interrupted != 0;
}

/* The remaining time, once there is a basis for an estimate. */
static void put_left(double left, double spent) {
    enum { PATIENCE = 2, MINUTE = 60 };
    if (spent < PATIENCE) return;
    if (left < MINUTE) {
        fprintf(stderr, ", %.0f s left", left);
    } else {
        fprintf(stderr, ", %.0f min left", left / MINUTE);
    }
}

int cli_progress(void *user, const char *what, size_t done, size_t total) {
    static double last, start;
    (void)user;
    if (interrupted) return 1;
    double now = cli_now();
    if (done == 0 || start == 0) start = now;
    bool due = now - last >= 0.05; /* 20 updates per second look smooth */
    if (!due || total == 0 || !isatty(STDERR_FILENO)) return 0;
    char bar[31];
    size_t filled = done < total ? done * 30 / total : 30;
    memset(bar, ' ', sizeof bar - 1);
    memset(bar, '#', filled);
    bar[30] = '\0';
    fprintf(stderr, "\r[%s] %3zu %% ", bar, done * 100 / total);
    cli_put(stderr, what, strlen(what));
    put_left((now - start) * (double)(total - (done < total ? done : total)) / (double)(done > 0 ? done : 1),
             now - start);
    fputs("\033[K", stderr);
    last = now;
    shown = true;
    return 0;
}

void cli_progress_count(const char *what) {
    static double last;
    double now = cli_now();
    if (now - last < 0.05 || !isatty(STDERR_FILENO)) return;
    fputc('\r', stderr);
    cli_put(stderr, what, strlen(what));
    fputs("\033[K", stderr);
    last = now;
    cli_progress_drawn(0);
}

void cli_progress_drawn(size_t above) {
    shown = true;
    lines_above = above;
}

void cli_progress_end(void) {
    if (shown) fputs("\r\033[K", stderr);
    for (; shown && lines_above > 0; lines_above--) fputs("\033[A\033[K", stderr);
    shown = false;
}
