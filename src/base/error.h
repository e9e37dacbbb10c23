/* SPDX-License-Identifier: Apache-2.0
 * Errors: functions return a status and describe it in a caller-owned retort_error (which may be NULL). */
#ifndef RT_BASE_ERROR_H
#define RT_BASE_ERROR_H

#include "retort.h"

/* Fills *err (if not NULL) and returns `status`, so that a function can end with `return rt_fail(…)`. */
retort_status rt_fail(retort_error *err, retort_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts "prefix: " before the text in *err. Returns the status in *err (or `status` if err is NULL). */
retort_status rt_fail_in(retort_error *err, retort_status status, const char *prefix);
/* rt_fail with the standard text for a failed allocation of `bytes`. */
static inline retort_status rt_fail_nomem(retort_error *err, size_t bytes) {
    rt_fail(err, RETORT_NOMEM, "out of memory: %zu bytes asked for", bytes);
    return RETORT_NOMEM; /* visible here for static analysis */
}

#endif
