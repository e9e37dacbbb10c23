/* SPDX-License-Identifier: Apache-2.0
 * Which ONNX file of a folder is the model: exporters call it model.onnx, quantisers and optimisers put more
 * beside it, and the hub keeps them all in a folder onnx. */
#include "onnx/onnx.h"
#include "base/names.h"
#include "format/path.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* More than any folder on the hub has. */
enum { MOST_FOUND = 1000 };

typedef struct finder {
    rt_arena arena;
    const char **names; /* relative to the folder */
    size_t count, capacity;
} finder;

static bool is_onnx(const char *name) {
    size_t length = strlen(name);
    return length > 5 && strcmp(name + length - 5, ".onnx") == 0;
}

static bool add_name(finder *f, const char *prefix, const char *name) {
    char whole[RT_PATH_SIZE];
    snprintf(whole, sizeof whole, "%s%s", prefix, name);
    char *copy = rt_arena_text(&f->arena, whole, strlen(whole));
    bool added = copy != NULL && rt_grow((void **)&f->names, &f->capacity, f->count + 1, sizeof *f->names);
    if (added) f->names[f->count++] = copy;
    return added;
}

/* The ONNX files of folder/prefix, which need not exist. */
static bool look_in(finder *f, const char *folder, const char *prefix) {
    char path[RT_PATH_SIZE], file[RT_PATH_SIZE];
    bool added = true;
    errno = 0;
    DIR *open = rt_path_join(path, sizeof path, folder, prefix) ? opendir(path) : NULL;
    if (open == NULL) return errno != ENOMEM;
    // cppcheck-suppress readdirCalled ; no other thread has this folder
    for (struct dirent *entry; added && f->count < MOST_FOUND && (entry = readdir(open)) != NULL;) {
        bool file_of_it = is_onnx(entry->d_name) && rt_path_join(file, sizeof file, path, entry->d_name) &&
                          rt_is_file(file);
        if (file_of_it) added = add_name(f, prefix, entry->d_name);
    }
    closedir(open);
    return added;
}

static retort_status several(finder *f, const char *folder, retort_error *err) {
    rt_buffer list = {0};
    qsort(f->names, f->count, sizeof *f->names, rt_compare_names);
    for (size_t i = 0; i < f->count; i++) rt_buffer_format(&list, "%s%s", i > 0 ? ", " : "", f->names[i]);
    retort_status status =
        list.failed
            ? rt_fail_nomem(err, list.length)
            : rt_fail(err, RETORT_UNSUPPORTED,
                      "%.160s: %zu ONNX files and none called model.onnx: give the path of one: %.280s",
                      folder, f->count, list.data);
    rt_buffer_free(&list);
    return status;
}

retort_status rt_onnx_in_folder(char *path, const char *folder, retort_error *err) {
    static const char *const usual[] = {"model.onnx", "onnx/model.onnx"};
    finder f = {0};
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        if (rt_path_join(path, RT_PATH_SIZE, folder, usual[i]) && rt_is_file(path)) return RETORT_OK;
    }
    path[0] = '\0';
    retort_status status = RETORT_OK;
    if (!look_in(&f, folder, "") || !look_in(&f, folder, "onnx/")) {
        status = rt_fail_nomem(err, sizeof *f.names);
    } else if (f.count > 1) {
        status = several(&f, folder, err);
    } else if (f.count == 1) {
        status = rt_path_in(path, folder, f.names[0], err);
    }
    free(f.names);
    rt_arena_free(&f.arena);
    return status;
}
