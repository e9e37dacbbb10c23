/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static bool shown;
static volatile sig_atomic_t interrupted;

static void interrupt(int number) {
    (void)number;
    interrupted = 1;
}

void cli_catch_interrupt(void) {
    struct sigaction action = {.sa_handler = interrupt,
                               .sa_flags = (int)SA_RESETHAND}; /* the second one ends it */
    sigaction(SIGINT, &action, NULL);
}

int cli_progress(void *user, const char *what, size_t done, size_t total) {
    static double last;
    (void)user;
    if (interrupted) return 1;
    double now = cli_now();
    bool due = now - last >= 0.05; /* 20 times a second is as smooth as an eye needs */
    if (!due || total == 0 || !isatty(STDERR_FILENO)) return 0;
    char bar[31];
    size_t filled = done < total ? done * 30 / total : 30;
    memset(bar, ' ', sizeof bar - 1);
    memset(bar, '#', filled);
    bar[30] = '\0';
    fprintf(stderr, "\r[%s] %3zu %% of %zu ", bar, done * 100 / total, total);
    cli_put(stderr, what, strlen(what));
    fputs("\033[K", stderr);
    last = now;
    shown = true;
    return 0;
}

void cli_progress_end(void) {
    if (shown) fputs("\r\033[K", stderr);
    shown = false;
}
