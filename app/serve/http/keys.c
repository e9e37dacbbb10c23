/* SPDX-License-Identifier: Apache-2.0
 * API keys: a file with one key per line; empty lines and lines that start with "#" are ignored. */
#include "serve/http/keys.h"
#include "serve/base/out.h"
#include "serve/queue/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LONGEST = 256, MOST = 4096, MOST_BYTES = 4 << 20, PATIENCE_MS = 10000 };

struct srv_keys {
    size_t count;
    unsigned char (*items)[LONGEST]; /* padded with zeros */
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

/* Reads what is available. NULL, or an error. */
static const char *read_block(srv_out *text, int fd, int timeout, bool *end) {
    char block[4096];
    struct pollfd in = {.fd = fd, .events = POLLIN};
    int ready = poll(&in, 1, timeout);
    ssize_t n = ready > 0 ? read(fd, block, sizeof block) : -1;
    if (ready == 0) return "a pipe whose writer did not open or close it within 10 seconds";
    if (n < 0) return errno == EINTR || errno == EAGAIN ? NULL : strerror(errno);
    *end = n == 0;
    if (text->length + (size_t)n > MOST_BYTES) return "a file of more than 4 MB";
    if (memchr(block, '\0', (size_t)n) != NULL) return "a NUL byte in the file";
    srv_out_bytes(text, block, (size_t)n);
    return NULL;
}

/* Reads a whole file or pipe and appends a NUL. */
static const char *read_file(srv_out *text, const char *path) {
    int64_t until = srv_now() + PATIENCE_MS * INT64_C(1000000), now;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return strerror(errno);
    const char *wrong = NULL;
    bool end = false;
    while (!end && wrong == NULL) {
        now = srv_now();
        wrong = read_block(text, fd, now < until ? (int)((until - now) / 1000000) : 0, &end);
    }
    close(fd);
    if (wrong == NULL) srv_out_bytes(text, "", 1);
    return wrong;
}

static const char *add_keys(srv_keys *keys, const char *text) {
    const char *wrong = NULL;
    while (*text != '\0' && wrong == NULL) {
        wrong = add_key(keys, text);
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    if (wrong == NULL && keys->count == 0) wrong = "no key in the file: nobody could use the server";
    return wrong;
}

retort_status srv_keys_read(srv_keys **out, const char *path, retort_error *err) {
    srv_out text = {0};
    srv_keys *keys = calloc(1, sizeof *keys);
    if (keys != NULL) keys->items = calloc(MOST, LONGEST);
    retort_status status = RETORT_OK;
    const char *wrong = read_file(&text, path);
    if (wrong != NULL) {
        status = fail(err, RETORT_IO, path, wrong);
    } else if (keys == NULL || keys->items == NULL || text.failed || text.data == NULL) {
        status = fail(err, RETORT_NOMEM, path, "out of memory");
    } else if ((wrong = add_keys(keys, text.data)) != NULL) {
        status = fail(err, RETORT_FORMAT, path, wrong);
    }
    srv_out_free(&text);
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

/* Looks at every byte of every key, whatever the given key is. */
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
