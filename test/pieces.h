/* SPDX-License-Identifier: Apache-2.0
 * Bytes that arrive in pieces, for tests and fuzz targets of what reads tables. */
#ifndef TEST_PIECES_H
#define TEST_PIECES_H

#include "retort.h"

#include <string.h>

typedef struct pieces {
    const void *at;
    size_t left, piece; /* bytes that are left, and that one call gives at most */
} pieces;

/* A retort_read_fn. */
static inline int64_t read_piece(void *user, void *bytes, size_t size, retort_error *err) {
    pieces *p = user;
    (void)err;
    size_t n = p->left < p->piece ? p->left : p->piece;
    if (n > size) n = size;
    if (n > 0) memcpy(bytes, p->at, n);
    p->at = (const char *)p->at + n;
    p->left -= n;
    return (int64_t)n;
}

#endif
