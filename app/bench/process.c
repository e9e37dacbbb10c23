/* SPDX-License-Identifier: Apache-2.0
 * Programs that are run for their output. */
#include "bench/process.h"

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Reads to the end, NUL-terminated; the caller frees the text. */
static char *read_all(int fd) {
    size_t length = 0, capacity = 1 << 16;
    char *text = malloc(capacity);
    while (text != NULL && length + 1 < capacity) {
        ssize_t n = read(fd, text + length, capacity - length - 1);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        length += (size_t)n;
    }
    if (text != NULL) text[length] = '\0';
    return text;
}

char *process_output(const char *program, process_arguments *a) {
    posix_spawn_file_actions_t actions;
    int ends[2], status = -1;
    pid_t child;
    if (pipe(ends) != 0) return NULL;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    int failed = posix_spawnp(&child, program, &actions, NULL, a->items, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    char *text = failed == 0 ? read_all(ends[0]) : NULL;
    close(ends[0]);
    while (failed == 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    if (status == 0) return text;
    free(text);
    return NULL;
}

/* exec's arguments are not declared const, but it does not write to them. */
void process_argument(process_arguments *a, const char *name, const char *value) {
    const char *const pair[] = {name, value};
    for (size_t i = 0; i < 2 && pair[i] != NULL && a->count + 1 < sizeof a->items / sizeof *a->items; i++) {
        memcpy(&a->items[a->count++], &pair[i], sizeof pair[i]);
    }
    a->items[a->count] = NULL;
}
