/* SPDX-License-Identifier: Apache-2.0
 * What the tests of TensorFlow's files share: a temporary folder, files of the tree, the check of an error.
 * For one file of a program. */
#ifndef TENSORFLOW_FILES_H
#define TENSORFLOW_FILES_H

#include "base/map.h"
#include "format/path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const float numbers[4] = {1, -2, 3, 0.5f};

static char folder[64]; /* a temporary folder of this run */

static inline int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/retort-tensorflow-test-XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}
static inline int remove_folder(void **state) {
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static inline const char *at_root(const char *path) {
    static char out[RT_PATH_SIZE];
    const char *root = getenv("RETORT_ROOT");
    assert_true(rt_path_join(out, sizeof out, root != NULL ? root : ".", path));
    return out;
}

static inline void check_error(const char *what, retort_status status, retort_status wanted,
                               const retort_error *err, const char *fragment) {
    if (status != wanted || err->status != wanted || strstr(err->text, fragment) == NULL ||
        strchr(err->text, '\n') != NULL) {
        fail_msg("%s: expected %d '%s', found %d '%s'", what, wanted, fragment, status, err->text);
    }
}

/* A copy of its own size on the heap, where a sanitizer sees every step over its end. */
typedef struct bytes {
    uint8_t *data;
    size_t size;
} bytes;

static inline bytes load(const char *path) {
    rt_map map;
    retort_error err = {0};
    if (rt_map_open(&map, at_root(path), &err) != RETORT_OK) fail_msg("%s", err.text);
    bytes out = {malloc(map.size + 1), map.size};
    assert_non_null(out.data);
    memcpy(out.data, map.data, map.size);
    rt_map_close(&map);
    return out;
}

static inline void write_text(const char *name, const char *text) {
    char path[RT_PATH_SIZE];
    assert_true(rt_path_join(path, sizeof path, folder, name));
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

#endif
