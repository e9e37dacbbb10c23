/* SPDX-License-Identifier: Apache-2.0 */
#include "format/hdf5.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

retort_status rt_h5_fail(const rt_h5 *h, retort_status status, const char *path, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return rt_fail(h->err, status, "%s: '/%.200s': %s", h->name, path, text);
}

retort_status rt_h5_malformed(const rt_h5 *h, const char *path, const char *what) {
    return rt_h5_fail(h, RETORT_FORMAT, path, "%s is malformed", what);
}

retort_status rt_h5_view(rt_h5 *h, const char *path, const char *what, uint64_t address, uint64_t length,
                         rt_cursor *out) {
    if (address > h->size || length > h->size - address) {
        return rt_h5_fail(h, RETORT_FORMAT, path,
                          "cut short: %s of %" PRIu64 " bytes at %" PRIu64 ", in a file of %zu", what, length,
                          address, h->size);
    }
    if (length > h->unread) {
        return rt_h5_fail(h, RETORT_FORMAT, path,
                          "%s at %" PRIu64 ": parts of the file are used twice: links form a cycle", what,
                          address);
    }
    h->unread -= (size_t)length;
    *out = rt_cursor_make(h->data + address, (size_t)length);
    return RETORT_OK;
}

bool rt_h5_take(rt_cursor *c, int bytes, uint64_t *out) {
    const uint8_t *p = rt_take(c, (size_t)bytes);
    if (p == NULL) return false;
    *out = 0;
    for (int i = bytes; i-- > 0;) *out = *out << 8 | p[i];
    return true;
}

bool rt_h5_undefined(const rt_h5 *h, uint64_t address) {
    return address == UINT64_MAX >> (64 - 8 * h->offset_size);
}

retort_status rt_h5_push(rt_h5 *h, const rt_h5_item *item) {
    if (!rt_grow((void **)&h->items, &h->item_capacity, h->item_count + 1, sizeof *h->items)) {
        return rt_fail_nomem(h->err, (h->item_count + 1) * sizeof *h->items);
    }
    h->items[h->item_count++] = *item;
    return RETORT_OK;
}

retort_status rt_h5_push_child(rt_h5 *h, const char *group, const void *name, size_t length,
                               uint64_t address) {
    size_t before = strlen(group), slash = before > 0;
    if (length == 0 || length > RT_MAX_TENSOR_NAME || before + slash + length > RT_MAX_TENSOR_NAME) {
        return rt_h5_fail(h, RETORT_LIMIT, group,
                          "a member's name of %zu bytes; expected 1 to %d with its groups' names", length,
                          RT_MAX_TENSOR_NAME);
    }
    if (memchr(name, '\0', length) != NULL) {
        return rt_h5_fail(h, RETORT_FORMAT, group, "a member's name holds a zero byte");
    }
    size_t size = before + slash + length + 1;
    char *path = rt_arena_calloc(&h->arena, size, 1);
    if (path == NULL) return rt_fail_nomem(h->err, size);
    snprintf(path, size, "%s%s%.*s", group, slash ? "/" : "", (int)length, (const char *)name);
    return rt_h5_push(h, &(rt_h5_item){.kind = RT_H5_OBJECT, .path = path, .address = address});
}
