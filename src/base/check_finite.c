/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check_finite.h"

#include <string.h>

/* Elements looked at before the verdict is drawn: enough to be fast, few enough to search one by one. */
enum { BLOCK = 4096 };

/* A number is NaN or infinite when all bits of its exponent are set. Adding the lowest exponent bit then
 * carries into the sign's place, so the OR of a block's sums has that bit exactly if any is: plain integer
 * work that compilers turn into vectors. */
static bool any_nonfinite32(const unsigned char *data, size_t n) {
    uint32_t seen = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, data + 4 * i, 4);
        seen |= (bits & 0x7fffffffu) + 0x00800000u;
    }
    return seen >> 31 != 0;
}

static bool any_nonfinite16(const unsigned char *data, size_t n, uint16_t lowest) {
    uint16_t seen = 0;
    for (size_t i = 0; i < n; i++) {
        uint16_t bits;
        memcpy(&bits, data + 2 * i, 2);
        seen = (uint16_t)(seen | ((bits & 0x7fffu) + lowest));
    }
    return seen >> 15 != 0;
}

static bool any_nonfinite(const unsigned char *data, retort_dtype dtype, size_t n) {
    if (dtype == RETORT_F32) return any_nonfinite32(data, n);
    return any_nonfinite16(data, n, dtype == RETORT_F16 ? 0x0400 : 0x0080);
}

size_t rt_first_nonfinite(const void *data, retort_dtype dtype, size_t count) {
    const unsigned char *bytes = data;
    size_t unit = rt_dtype_size(dtype);
    for (size_t at = 0; at < count; at += BLOCK) {
        size_t n = count - at < BLOCK ? count - at : BLOCK;
        if (!any_nonfinite(bytes + at * unit, dtype, n)) continue;
        while (!any_nonfinite(bytes + at * unit, dtype, 1)) at++;
        return at;
    }
    return count;
}
