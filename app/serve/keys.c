/* SPDX-License-Identifier: Apache-2.0
 * API keys: a file with one a line; empty lines and lines of "#" are passed over. */
#include "serve/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 256, MOST = 4096 };

struct srv_keys {
    size_t count;
    unsigned char (*items)[LONGEST]; /* filled up with zeros */
};

static retort_status fail(retort_error *err, retort_status status, const char *path, const char *what) {
    err->status = status;
    snprintf(err->text, sizeof err->text, "%s: %s", path, what);
    return status;
}

static const char *add_key(srv_keys *keys, const char *line) {
    size_t length = strcspn(line, "\r\n");
    while (length > 0 && (line[length - 1] == ' ' || line[length - 1] == '\t')) length--;
    if (length == 0 || line[0] == '#') return NULL;
    if (length >= LONGEST) return "a key of more than 255 bytes";
    if (keys->count == MOST) return "more than 4096 keys";
    memcpy(keys->items[keys->count++], line, length);
    return NULL;
}

retort_status srv_keys_read(srv_keys **out, const char *path, retort_error *err) {
    char line[LONGEST + 64];
    const char *wrong = NULL;
    srv_keys *keys = calloc(1, sizeof *keys);
    if (keys != NULL) keys->items = calloc(MOST, LONGEST);
    FILE *file = fopen(path, "re");
    int reason = errno;
    bool fits = keys != NULL && keys->items != NULL;
    while (fits && file != NULL && wrong == NULL && fgets(line, sizeof line, file) != NULL)
        wrong = add_key(keys, line);
    if (file != NULL) fclose(file);
    retort_status status = RETORT_OK;
    if (!fits) {
        status = fail(err, RETORT_NOMEM, path, "out of memory");
    } else if (file == NULL) {
        status = fail(err, RETORT_IO, path, strerror(reason));
    } else if (wrong != NULL) {
        status = fail(err, RETORT_FORMAT, path, wrong);
    } else if (keys->count == 0) {
        status = fail(err, RETORT_FORMAT, path, "no key in the file: nobody could use the server");
    }
    if (status == RETORT_OK) {
        *out = keys;
    } else {
        srv_keys_free(keys);
    }
    return status;
}

void srv_keys_free(srv_keys *keys) {
    if (keys == NULL) return;
    free(keys->items);
    free(keys);
}

/* Every byte of every key is looked at, whatever the key is. */
bool srv_keys_match(const srv_keys *keys, const char *key) {
    unsigned char padded[LONGEST] = {0};
    size_t length = strlen(key);
    bool found = false;
    memcpy(padded, key, length < LONGEST ? length : LONGEST - 1);
    for (size_t i = 0; i < keys->count; i++) {
        volatile unsigned char differ = 0;
        for (size_t k = 0; k < LONGEST; k++)
            differ = (unsigned char)(differ | (padded[k] ^ keys->items[i][k]));
        found |= differ == 0;
    }
    return found && length < LONGEST;
}
