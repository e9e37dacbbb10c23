/* SPDX-License-Identifier: Apache-2.0
 * The golden checkpoints: the folders of test/golden/checkpoints that have outputs of the official implementation. */
#ifndef GOLDEN_NAMES_H
#define GOLDEN_NAMES_H

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CHECKPOINTS = 160 };

static char names[MOST_CHECKPOINTS][64];
static size_t name_count;

static inline void checkpoint_path(char *out, size_t size, const char *name) {
    const char *root = getenv("RETORT_ROOT");
    snprintf(out, size, "%s/test/golden/checkpoints/%.64s", root != NULL ? root : ".", name);
}

static inline int compare_names(const void *a, const void *b) {
    return strcmp(a, b);
}

/* Fills `names`, in alphabetical order; -1: there are none, or too many. */
static inline int find_checkpoints(void **unused) {
    (void)unused;
    char path[4096];
    bool all = true;
    checkpoint_path(path, sizeof path, "");
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        char golden_path[8192];
        snprintf(golden_path, sizeof golden_path, "%s%.60s/golden.json", path, entry->d_name);
        FILE *file = fopen(golden_path, "rb");
        if (file == NULL) continue;
        fclose(file);
        all = name_count < MOST_CHECKPOINTS;
        if (all) snprintf(names[name_count++], sizeof *names, "%.60s", entry->d_name);
    }
    if (folder != NULL) closedir(folder);
    qsort(names, name_count, sizeof *names, compare_names);
    return all && name_count > 0 ? 0 : -1;
}

/* A static embedding is a table. */
static inline bool has_matrices(const char *name) {
    return strncmp(name, "static-", 7) != 0;
}

#endif
