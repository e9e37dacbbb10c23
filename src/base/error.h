/* SPDX-License-Identifier: Apache-2.0
 * Errors: a status is returned, the story goes to a caller-owned retort_error (which may be NULL). */
#ifndef RT_BASE_ERROR_H
#define RT_BASE_ERROR_H

#include "retort.h"

/* Fills *err (when not NULL) and returns `status`, so that a function can end with `return rt_fail(…)`. */
retort_status rt_fail(retort_error *err, retort_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts "prefix: " before the text that is already in *err; returns err's status (or `status` if
 * err is NULL). */
retort_status rt_fail_in(retort_error *err, retort_status status, const char *prefix);
/* rt_fail with the usual words for a failed allocation of `bytes`. */
static inline retort_status rt_fail_nomem(retort_error *err, size_t bytes) {
    rt_fail(err, RETORT_NOMEM, "out of memory: %zu bytes asked for", bytes);
    return RETORT_NOMEM; /* said here so that static analysis sees it */
}

#endif
