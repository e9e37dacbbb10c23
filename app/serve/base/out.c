/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/base/out.h"
#include "cli/utf8.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void srv_out_free(srv_out *out) {
    free(out->data);
    srv_memory_give(out->memory, out->use, out->capacity);
    *out = (srv_out){.memory = out->memory, .use = out->use};
}

bool srv_out_reserve(srv_out *out, size_t more) {
    if (out->failed) return false;
    if (out->capacity - out->length >= more) return true;
    size_t capacity = out->capacity + out->capacity / 2 + more + 128, added = capacity - out->capacity;
    bool fits = more < SIZE_MAX / 4 && srv_memory_take(out->memory, out->use, added);
    char *grown = fits ? realloc(out->data, capacity) : NULL;
    if (grown == NULL) {
        if (fits) srv_memory_give(out->memory, out->use, added);
        out->failed = true;
        out->over = !fits;
        return false;
    }
    out->data = grown;
    out->capacity = capacity;
    return true;
}

void srv_out_bytes(srv_out *out, const char *bytes, size_t length) {
    if (length == 0 || !srv_out_reserve(out, length)) return;
    memcpy(out->data + out->length, bytes, length);
    out->length += length;
}

void srv_out_text(srv_out *out, const char *text) {
    srv_out_bytes(out, text, strlen(text));
}

void srv_out_format(srv_out *out, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (length < 0) {
        out->failed = true;
    } else if ((size_t)length < sizeof text) {
        srv_out_bytes(out, text, (size_t)length);
    } else if (srv_out_reserve(out, (size_t)length + 1)) {
        va_start(args, format);
        vsnprintf(out->data + out->length, (size_t)length + 1, format, args);
        va_end(args);
        out->length += (size_t)length;
    }
}

void srv_out_int(srv_out *out, int64_t value) {
    char text[24], *at = text + sizeof text;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (value < 0) *--at = '-';
    srv_out_bytes(out, at, (size_t)(text + sizeof text - at));
}

enum { DIGITS = 9 }; /* enough to distinguish all floats */

/* The DIGITS digits of `whole` with the decimal point after `point` of them (0 or less: after leading
 * zeros), without trailing zeros. */
static size_t place_point(char *out, uint32_t whole, int point) {
    char digits[DIGITS];
    int n = DIGITS;
    size_t length = 0;
    for (int i = DIGITS; i-- > 0; whole /= 10) digits[i] = (char)('0' + whole % 10);
    while (n > 1 && n > point && digits[n - 1] == '0') n--;
    if (point <= 0) out[length++] = '0';
    if (point <= 0) out[length++] = '.';
    for (int i = point; i < 0; i++) out[length++] = '0';
    for (int i = 0; i < n; i++) {
        if (i == point && i > 0) out[length++] = '.';
        out[length++] = digits[i];
    }
    return length;
}

/* "%.9g" for values that are neither tiny nor huge, about ten times as fast. 10^k is exact, so the error
 * of the product, and of the last digit, is below the resolution of a float. */
static bool write_common(srv_out *out, double value) {
    static const double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13};
    double size = fabs(value);
    char text[32];
    int point = 0; /* digits before the decimal point */
    if (!(size >= 1e-4 && size < 1e8)) return false;
    while (size >= powers[point]) point++;
    for (; point < 1 && size * powers[1 - point] < 1; point--) {
    }
    uint64_t whole = (uint64_t)(size * powers[DIGITS - point] + 0.5);
    if (whole >= 1000000000) {
        whole /= 10;
        point++;
    }
    text[0] = '-';
    size_t sign = value < 0, length = place_point(text + sign, (uint32_t)whole, point);
    srv_out_bytes(out, text, sign + length);
    return true;
}

void srv_out_real(srv_out *out, double value) {
    char text[32];
    if (!isfinite(value)) {
        srv_out_text(out, "null");
    } else if (value == 0) {
        srv_out_text(out, "0");
    } else if (!write_common(out, value)) {
        int length = snprintf(text, sizeof text, "%.9g", value);
        srv_out_bytes(out, text, (size_t)length);
    }
}

/* Bytes from `at` on that need no escape in a JSON string. */
static size_t plain_length(const unsigned char *at, size_t left) {
    size_t n = 0;
    while (n < left && at[n] >= 0x20 && at[n] < 0x7F && at[n] != '"' && at[n] != '\\') n++;
    return n;
}

/* Control characters from U+0080 on, which terminals interpret as well; 0: another character. */
static unsigned late_control(const unsigned char *at, size_t n) {
    return n == 2 && at[0] == 0xC2 && at[1] < 0xA0 ? at[1] : 0;
}

void srv_out_string(srv_out *out, const char *text, size_t length) {
    const unsigned char *at = (const unsigned char *)text, *end = at + length;
    srv_out_text(out, "\"");
    while (at < end) {
        size_t n = plain_length(at, (size_t)(end - at));
        srv_out_bytes(out, (const char *)at, n);
        at += n;
        if (at == end) break;
        n = utf8_length(at, (size_t)(end - at));
        if (*at == '"' || *at == '\\') {
            srv_out_format(out, "\\%c", *at);
        } else if (n == 1 || late_control(at, n) != 0) {
            srv_out_format(out, "\\u%04x", n == 1 ? *at : late_control(at, n));
        } else {
            srv_out_bytes(out, n > 0 ? (const char *)at : "\xef\xbf\xbd", n > 0 ? n : 3);
        }
        at += n > 0 ? n : 1;
    }
    srv_out_text(out, "\"");
}

void srv_out_base64(srv_out *out, const void *bytes, size_t length) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *in = bytes;
    if (!srv_out_reserve(out, length / 3 * 4 + 4)) return;
    char *to = out->data + out->length;
    for (size_t i = 0; i < length; i += 3) {
        size_t left = length - i;
        uint32_t bits =
            (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) | (left > 2 ? in[i + 2] : 0);
        *to++ = digits[bits >> 18];
        *to++ = digits[bits >> 12 & 63];
        *to++ = left > 1 ? digits[bits >> 6 & 63] : '=';
        *to++ = left > 2 ? digits[bits & 63] : '=';
    }
    out->length = (size_t)(to - out->data);
}

int srv_out_write(void *user, const char *text, size_t length) {
    srv_out_bytes(user, text, length);
    return 0;
}
