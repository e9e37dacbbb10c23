/* SPDX-License-Identifier: Apache-2.0 */
#include "tune/child.h"
#include "cli/progress.h"
#include "cli/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static char **arguments_of(const json_t *words) {
    static char program[] = "retort";
    size_t n = json_array_size(words);
    char **argv = calloc(n + 2, sizeof *argv);
    if (argv == NULL) return NULL;
    argv[0] = program;
    for (size_t i = 0; i < n; i++) {
        argv[i + 1] = strdup(json_string_value(json_array_get(words, i)));
    }
    return argv;
}

static void arguments_free(char **argv) {
    for (size_t i = 1; argv != NULL && argv[i] != NULL; i++) free(argv[i]);
    free(argv);
}

/* Of a new process: standard output goes to a pipe, standard error to the end of the log. It ends with its parent, even where
 * that is killed. */
static void become(char **argv, const char *log, pid_t parent, int pipe_end) {
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int errors = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    bool ready = nothing >= 0 && errors >= 0 && dup2(nothing, STDIN_FILENO) >= 0 &&
                 dup2(pipe_end, STDOUT_FILENO) >= 0 && dup2(errors, STDERR_FILENO) >= 0 &&
                 prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent;
    if (ready) execv("/proc/self/exe", argv);
    _exit(127);
}

static pid_t start(char **argv, const char *log, int pipe_end) {
    pid_t parent = getpid(), child = fork();
    if (child == 0) become(argv, log, parent, pipe_end);
    return child;
}

/* Appends what the pipe has; false at its end, or out of memory. */
static bool take(int fd, char **text, size_t *length) {
    char part[4096];
    ssize_t n = read(fd, part, sizeof part);
    if (n < 0) return errno == EINTR || errno == EAGAIN;
    char *grown = n > 0 ? realloc(*text, *length + (size_t)n + 1) : NULL;
    if (grown == NULL) return false;
    memcpy(grown + *length, part, (size_t)n);
    *text = grown;
    *length += (size_t)n;
    grown[*length] = '\0';
    return true;
}

/* Asks a child to stop at its deadline or when the user does, and makes it after a grace. *asked: when; 0: not yet */
static void stop_late(tune_child *out, pid_t child, double deadline, bool interrupted, double *asked) {
    static const double grace = 20;
    double now = cli_now();
    bool late = deadline > 0 && now >= deadline;
    if (*asked > 0 && now - *asked >= grace) kill(child, SIGKILL);
    if (*asked > 0 || !(late || interrupted)) return;
    kill(child, SIGINT);
    *asked = now;
    out->late = late;
}

static void note_last_line(tune_child *out, const char *log) {
    char line[sizeof out->last];
    FILE *file = fopen(log, "re");
    out->last[0] = '\0';
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        const char *text = strncmp(line, "retort: ", 8) == 0 ? line + 8 : line;
        if (*text != '\0') memmove(out->last, text, strlen(text) + 1);
    }
    if (file != NULL) fclose(file);
}

static void wait_for(tune_child *out, pid_t child) {
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    out->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    out->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void follow(tune_child *out, pid_t child, int fd, double deadline, void (*tick)(void *user),
                   void *user) {
    enum { TICK_MS = 250 };
    size_t length = 0;
    double asked = 0;
    bool before = cli_interrupted(); /* what tests the best so far runs after an interruption */
    for (bool more = true; more;) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        int n = poll(&ready, 1, TICK_MS);
        if (n > 0) more = take(fd, &out->output, &length);
        if (tick != NULL) tick(user);
        stop_late(out, child, deadline, !before && cli_interrupted(), &asked);
    }
    wait_for(out, child);
}

bool tune_child_run(tune_child *out, const json_t *words, const char *log, double deadline,
                    void (*tick)(void *user), void *user) {
    int ends[2];
    *out = (tune_child){.code = -1, .output = calloc(1, 1)};
    char **argv = arguments_of(words);
    double from = cli_now();
    bool fits = argv != NULL && out->output != NULL && pipe2(ends, O_CLOEXEC) == 0;
    if (fits) {
        pid_t child = start(argv, log, ends[1]);
        close(ends[1]);
        if (child > 0) follow(out, child, ends[0], deadline, tick, user);
        close(ends[0]);
        note_last_line(out, log);
    }
    arguments_free(argv);
    out->seconds = cli_now() - from;
    return fits;
}

json_t *tune_child_json(const tune_child *child) {
    const char *line = child->output, *last = NULL;
    for (const char *at = line; at != NULL && *at != '\0';) {
        last = at;
        at = strchr(at, '\n');
        if (at != NULL) at++;
    }
    return last != NULL ? json_loads(last, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
}
