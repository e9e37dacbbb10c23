/* SPDX-License-Identifier: Apache-2.0 */
#ifndef APP_UTF8_H
#define APP_UTF8_H

#include <stddef.h>

/* Bytes of the well-formed UTF-8 sequence at `at`, 0 when it is malformed (Unicode 15.0, table 3-7). */
static inline size_t utf8_length(const unsigned char *at, size_t left) {
    if (at[0] < 0x80) return 1;
    if (at[0] < 0xC2 || at[0] > 0xF4) return 0;
    size_t n = at[0] < 0xE0 ? 2 : at[0] < 0xF0 ? 3 : 4;
    unsigned char low = at[0] == 0xE0 ? 0xA0 : at[0] == 0xF0 ? 0x90 : 0x80;
    unsigned char high = at[0] == 0xED ? 0x9F : at[0] == 0xF4 ? 0x8F : 0xBF;
    if (n > left || at[1] < low || at[1] > high) return 0;
    for (size_t i = 2; i < n; i++) {
        if ((at[i] & 0xC0) != 0x80) return 0;
    }
    return n;
}

#endif
