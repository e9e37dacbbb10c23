/* SPDX-License-Identifier: Apache-2.0
 * Text that grows, and JSON written into it. */
#ifndef SERVE_OUT_H
#define SERVE_OUT_H

#include "serve/base/memory.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Start with {0}. Once memory has run out, `failed` stays set and further appends do nothing. */
typedef struct srv_out {
    char *data; /* not NUL-terminated */
    size_t length, capacity;
    bool failed, over;  /* over: the budget had no room */
    srv_memory *memory; /* budget of the capacity; NULL: not counted */
    srv_use use;
} srv_out;

/* Frees its contents; it can be used again. */
void srv_out_free(srv_out *out);
/* Makes room for `more` bytes; false, with `failed` set, if that fails. */
bool srv_out_reserve(srv_out *out, size_t more);
void srv_out_bytes(srv_out *out, const char *bytes, size_t length);
void srv_out_text(srv_out *out, const char *text);
/* A retort_write_fn; user: an srv_out. */
int srv_out_write(void *user, const char *text, size_t length);
void srv_out_format(srv_out *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
void srv_out_int(srv_out *out, int64_t value);
/* 9 significant digits, which read back as the same float; null if not finite. */
void srv_out_real(srv_out *out, double value);
/* A JSON string with its quotes; malformed UTF-8 becomes U+FFFD. */
void srv_out_string(srv_out *out, const char *text, size_t length);
void srv_out_base64(srv_out *out, const void *bytes, size_t length);

#endif
