/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *retort_status_text(retort_status status) {
    switch (status) {
#define STATUS_TEXT(name, value, text)                                                                       \
    case RETORT_##name:                                                                                      \
        return text;
        RETORT_STATUS_MAP(STATUS_TEXT)
#undef STATUS_TEXT
    }
    return "unknown status";
}

retort_status rt_fail(retort_error *err, retort_status status, const char *format, ...) {
    if (err != NULL) {
        char text[sizeof err->text + 4]; /* a partial character does not fit either */
        va_list args;
        va_start(args, format);
        err->status = status;
        int length = vsnprintf(text, sizeof text, format, args);
        va_end(args);
        if (length < 0) length = 0;
        retort_escape(err->text, sizeof err->text, text,
                      (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
    }
    return status;
}

retort_status rt_fail_in(retort_error *err, retort_status status, const char *prefix) {
    if (err != NULL) {
        char text[sizeof err->text];
        memcpy(text, err->text, sizeof text);
        return rt_fail(err, err->status, "%s: %s", prefix, text);
    }
    return status;
}
