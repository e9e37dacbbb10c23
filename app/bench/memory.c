/* SPDX-License-Identifier: Apache-2.0
 * An engine's memory, and its time until it is ready, in a process that has nothing else: this
 * program again. */
#include "bench/engines.h"

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* All that comes, NUL-terminated; the caller frees it. */
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

char *contest_output(const char *program, contest_arguments *a) {
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

/* The arguments of exec are not const, and not written to. */
void contest_argument(contest_arguments *a, const char *name, const char *value) {
    const char *const pair[] = {name, value};
    for (size_t i = 0; i < 2 && pair[i] != NULL && a->count + 1 < sizeof a->items / sizeof *a->items; i++) {
        memcpy(&a->items[a->count++], &pair[i], sizeof pair[i]);
    }
    a->items[a->count] = NULL;
}

static cli_code measure(const contest *c, entrant *it, const contest_cell *cell) {
    char threads[16], batch[24], seq[24];
    contest_arguments a = {.count = 0};
    snprintf(threads, sizeof threads, "%d", c->threads);
    snprintf(batch, sizeof batch, "%ld", cell->batch);
    snprintf(seq, sizeof seq, "%ld", cell->seq);
    contest_argument(&a, "retort", "bench");
    contest_argument(&a, it->path, NULL);
    contest_argument(&a, "--provider", it->provider);
    contest_argument(&a, "--threads", threads);
    contest_argument(&a, "--batch", batch);
    if (cell->seq > 0) contest_argument(&a, "--seq", seq);
    if (cell->seq == 0) {
        contest_argument(&a, "--data", cli_text(c->args, CLI_DATA));
        if (cli_has(c->args, CLI_TEXT_COLUMN))
            contest_argument(&a, "--text-column", cli_text(c->args, CLI_TEXT_COLUMN));
        if (cli_has(c->args, CLI_TEXT_PAIR_COLUMN))
            contest_argument(&a, "--text-pair-column", cli_text(c->args, CLI_TEXT_PAIR_COLUMN));
    }
    if (strcmp(it->path, it->file) != 0) contest_argument(&a, "--onnx", it->file);
    if (it->graph_level != NULL) contest_argument(&a, "--graph-level", it->graph_level);
    if (strcmp(it->provider, "native") == 0 && cli_has(c->args, CLI_ISA))
        contest_argument(&a, "--isa", cli_text(c->args, CLI_ISA));
    contest_argument(&a, "--seconds", "0");
    contest_argument(&a, "--json", NULL);
    char *text = contest_output("/proc/self/exe", &a);
    json_t *line = text != NULL ? json_loads(text, 0, NULL) : NULL;
    free(text);
    it->load_ms = json_number_value(json_object_get(line, "load_ms"));
    it->peak_mb = json_number_value(json_object_get(line, "peak_mb"));
    bool fits = it->peak_mb > 0;
    json_decref(line);
    if (fits) return CLI_DONE;
    cli_error("%s, %s: its memory could not be measured", it->name, it->provider);
    return CLI_FAILED;
}

cli_code contest_memory(contest *c, const contest_cell *cell) {
    cli_code code = CLI_DONE;
    for (size_t i = 0; code == CLI_DONE && i < c->count; i++) {
        cli_progress(NULL, "memory", i, c->count);
        if (c->items[i].session != NULL) code = measure(c, &c->items[i], cell);
    }
    cli_progress_end();
    return code;
}
