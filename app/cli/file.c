/* SPDX-License-Identifier: Apache-2.0
 * Files that verbs write beside models: plots, pages, logits, and temporary ones. */
#include "cli/file.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

FILE *cli_create(const char *path) {
    struct stat info;
    bool dangling = lstat(path, &info) == 0 && S_ISLNK(info.st_mode) && stat(path, &info) != 0;
    FILE *file = dangling ? NULL : fopen(path, "we");
    if (dangling) cli_error("%s: a dangling link: remove it, or name the file itself", path);
    if (!dangling && file == NULL) cli_error("%s: cannot create: %s", path, strerror(errno));
    return file;
}

cli_code cli_close(FILE *file, const char *path, cli_code code) {
    struct stat info;
    if (file == NULL) return code;
    bool regular = fstat(fileno(file), &info) == 0 && S_ISREG(info.st_mode);
    bool failed = ferror(file) != 0;
    failed = fclose(file) != 0 || failed; /* errno is that of fclose, or of the write before it */
    if (failed && code == CLI_DONE) cli_error("%s: cannot write: %s", path, strerror(errno));
    if (failed && regular) remove(path);
    return code == CLI_DONE && failed ? CLI_FAILED : code;
}

cli_code cli_check_writable(const char *path) {
    struct stat info;
    char beside[4096];
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        cli_error("%s: this is a folder: name a file", path);
        return CLI_FAILED;
    }
    int n = snprintf(beside, sizeof beside, "%s.XXXXXX", path);
    int fd = n < (int)sizeof beside ? mkstemp(beside) : -1;
    if (fd < 0) {
        cli_error("%s: cannot create: %s", path,
                  n < (int)sizeof beside ? strerror(errno) : "the name is too long");
        return CLI_FAILED;
    }
    close(fd);
    unlink(beside);
    return CLI_DONE;
}

/* ---- Files that other options name ---- */

bool cli_is_same_file(const char *a, const char *b) {
    struct stat x, y;
    if (strcmp(a, b) == 0) return true;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

bool cli_is_device(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && !S_ISREG(info.st_mode);
}

cli_code cli_keep_inputs(const cli_args *args) {
    /* Those that are written come last. */
    static const cli_option_id ids[] = {CLI_DATA, CLI_DEV,  CLI_OUTPUT, CLI_CHECKPOINT,
                                        CLI_PLOT, CLI_HTML, CLI_SVG,    CLI_LOGITS};
    enum { READ = 2, COUNT = sizeof ids / sizeof *ids };
    for (size_t i = READ; i < COUNT; i++) {
        const char *written = args->values[ids[i]];
        for (size_t j = 0; j < i && written != NULL && !cli_is_device(written); j++) {
            const char *other = args->values[ids[j]];
            if (other == NULL || !cli_is_same_file(written, other)) continue;
            cli_error("--%s would write over the file of --%s: '%s'", cli_options[ids[i]].name,
                      cli_options[ids[j]].name, written);
            return CLI_USAGE;
        }
    }
    return CLI_DONE;
}

/* ---- Signals ---- */

enum { MOST_PATHS = 128, LONGEST_PATH = 1024 };
static char temporary[MOST_PATHS][LONGEST_PATH];
static volatile sig_atomic_t temporary_count;

static void remove_all(int number) {
    for (int i = temporary_count; i-- > 0;) {
        if (unlink(temporary[i]) != 0) rmdir(temporary[i]);
    }
    signal(number, SIG_DFL);
    raise(number);
}

void cli_remove_at_signal(const char *path) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    if (temporary_count == MOST_PATHS || strlen(path) >= LONGEST_PATH) return;
    memcpy(temporary[temporary_count], path, strlen(path) + 1);
    if (temporary_count++ > 0) return;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction before, action = {.sa_handler = remove_all};
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL); /* nohup's SIGHUP stays ignored */
    }
}
