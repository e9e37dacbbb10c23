/* SPDX-License-Identifier: Apache-2.0
 * Arithmetic on sizes. */
#ifndef RT_BASE_SIZE_H
#define RT_BASE_SIZE_H

#include <stdbool.h>
#include <stddef.h>

/* *out = a * b, false on overflow. */
static inline bool rt_mul(size_t a, size_t b, size_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool rt_add(size_t a, size_t b, size_t *out) {
    return !__builtin_add_overflow(a, b, out);
}
/* Rounds n up to a multiple of `unit` (a power of two); must not overflow. */
static inline size_t rt_round_up(size_t n, size_t unit) {
    return (n + unit - 1) & ~(unit - 1);
}
static inline size_t rt_min(size_t a, size_t b) {
    return a < b ? a : b;
}
static inline size_t rt_max(size_t a, size_t b) {
    return a > b ? a : b;
}

#endif
