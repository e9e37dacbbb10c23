/* SPDX-License-Identifier: Apache-2.0
 * Models that come with retort, by name. */
#include "cli/shipped.h"
#include "retort.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Relative to the parent of the program's folder: in a build, and under a prefix, even one that was moved. */
static const char *const beside[] = {"models", "share/retort/models"};
enum { BESIDE = sizeof beside / sizeof *beside };

typedef struct search {
    const char *name;
    char *found; /* or NULL */
    char tried[1024];
} search;

/* Installed in /usr, the program's own folder is the one of the build, too. */
static bool is_tried(const search *s, const char *folder, size_t length) {
    for (const char *at = s->tried; at != NULL; at = strstr(at, ", ")) {
        at += at == s->tried ? 0 : 2;
        if (strncmp(at, folder, length) == 0 && (at[length] == ',' || at[length] == '\0')) return true;
    }
    return false;
}

static void try_folder(search *s, const char *folder, size_t length) {
    size_t used = strlen(s->tried), size = length + strlen(s->name) + sizeof "/.retort";
    if (s->found != NULL || length == 0 || is_tried(s, folder, length)) return;
    snprintf(s->tried + used, sizeof s->tried - used, "%s%.*s", used > 0 ? ", " : "", (int)length, folder);
    s->found = malloc(size);
    if (s->found == NULL) return;
    snprintf(s->found, size, "%.*s/%s.retort", (int)length, folder, s->name);
    if (access(s->found, R_OK) == 0) return;
    free(s->found);
    s->found = NULL;
}

/* Folders, separated by colons. */
static void try_folders(search *s, const char *list) {
    for (const char *at = list; at != NULL && *at != '\0';) {
        size_t length = strcspn(at, ":");
        try_folder(s, at, length);
        at += length + (at[length] == ':');
    }
}

/* For /usr/bin/retort: /usr/models and /usr/share/retort/models. */
static void try_beside(search *s) {
    char program[PATH_MAX], folder[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    for (int up = 0; up < 2; up++) {
        while (length > 0 && program[length - 1] != '/') length--;
        length -= length > 0;
    }
    for (size_t i = 0; length >= 0 && i < BESIDE; i++) {
        int n = snprintf(folder, sizeof folder, "%.*s/%s", (int)length, program, beside[i]);
        if (n > 0 && (size_t)n < sizeof folder) try_folder(s, folder, (size_t)n);
    }
}

/* Whether the word may name a model that comes with retort: it is no path and has no file extension. */
static bool is_name(const char *word) {
    return *word != '\0' && strlen(word) < 64 && strpbrk(word, "/. \t\n") == NULL;
}

/* OWNER/NAME, the form of model names on Hugging Face's hub, unless there is a folder OWNER. */
static bool is_of_hub(const char *word) {
    char owner[128];
    const char *slash = strchr(word, '/'), *ending = strrchr(word, '.');
    if (slash == NULL || slash == word || slash[1] == '\0' || strchr(slash + 1, '/') != NULL) return false;
    if (word[0] == '.' || word[0] == '~' || (size_t)(slash - word) >= sizeof owner) return false;
    if (ending != NULL && (strcmp(ending, ".retort") == 0 || strcmp(ending, ".onnx") == 0)) return false;
    memcpy(owner, word, (size_t)(slash - word));
    owner[slash - word] = '\0';
    return access(owner, F_OK) != 0;
}

static cli_code find_in_hub(char **out, const char *id) {
    char path[4096];
    if (retort_hub_find(path, sizeof path, id, NULL) == RETORT_OK) {
        *out = strdup(path);
        return *out != NULL ? CLI_DONE : cli_no_memory();
    }
    cli_error("%s: No such file or folder, and not in the local cache of the hub; download it first: hf "
              "download %s",
              id, id);
    return CLI_BAD_DATA;
}

cli_code cli_find_model(char **out, const char *word) {
    search s = {.name = word};
    *out = NULL;
    if (access(word, F_OK) != 0 && is_of_hub(word)) return find_in_hub(out, word);
    if (access(word, F_OK) == 0 || !is_name(word)) {
        *out = strdup(word);
        return *out != NULL ? CLI_DONE : cli_no_memory();
    }
    try_folders(&s, getenv("RETORT_MODELS"));
    try_beside(&s);
    try_folder(&s, RETORT_MODELS_FOLDER, strlen(RETORT_MODELS_FOLDER));
    *out = s.found;
    if (s.found != NULL) return CLI_DONE;
    cli_error("%s: No such file or folder, and no %s.retort in %s%s", word, word, s.tried,
              strcmp(word, "sentiment") == 0 ? "; for the Python package: pip install retort-cpu-sentiment"
                                             : "");
    return CLI_BAD_DATA;
}
