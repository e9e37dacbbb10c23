/* SPDX-License-Identifier: Apache-2.0
 * Escapes untrusted text for a terminal, a log and a column of a table. */
#include "base/error.h"

#include <stdio.h>
#include <string.h>

/* Length of the well-formed sequence at `at`, and its code point; 0 if malformed (Unicode 15.0,
 * table 3-7). */
static size_t take(const unsigned char *at, size_t left, unsigned *point) {
    *point = at[0];
    if (at[0] < 0x80) return 1;
    if (at[0] < 0xC2 || at[0] > 0xF4) return 0;
    size_t n = at[0] < 0xE0 ? 2 : at[0] < 0xF0 ? 3 : 4;
    unsigned low = at[0] == 0xE0 ? 0xA0 : at[0] == 0xF0 ? 0x90 : 0x80;
    unsigned high = at[0] == 0xED ? 0x9F : at[0] == 0xF4 ? 0x8F : 0xBF;
    if (n > left || at[1] < low || at[1] > high) return 0;
    *point = at[0] & (0x7Fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((at[i] & 0xC0) != 0x80) return 0;
        *point = *point << 6 | (at[i] & 0x3Fu);
    }
    return n;
}

/* Characters that move the cursor, end a line or change the direction of the text. */
static bool is_control(unsigned c) {
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x061C || c == 0x200E || c == 0x200F ||
           (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

size_t retort_escape(char *out, size_t capacity, const char *text, size_t length) {
    const unsigned char *at = (const unsigned char *)text;
    size_t need = 0, kept = 0;
    for (size_t i = 0, n; i < length; i += n) {
        unsigned point;
        char word[8];
        n = take(at + i, length - i, &point);
        bool plain = n > 0 && !is_control(point);
        const char *from = plain ? text + i : word;
        size_t size = n;
        if (n == 0) {
            size = (size_t)snprintf(word, sizeof word, "\\x%02x", at[i]);
            n = 1;
        } else if (!plain && (point == '\n' || point == '\t' || point == '\r')) {
            size = (size_t)snprintf(word, sizeof word, "\\%c",
                                    point == '\n'   ? 'n'
                                    : point == '\t' ? 't'
                                                    : 'r');
        } else if (!plain) {
            size = (size_t)snprintf(word, sizeof word, "\\u%04x", point);
        }
        bool fits = kept == need && need + size < capacity;
        if (fits) memcpy(out + kept, from, size);
        if (fits) kept += size;
        need += size;
    }
    if (capacity > 0) out[kept] = '\0';
    return need;
}
