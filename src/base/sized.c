/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sized.h"
#include "base/error.h"

#include <stdalign.h>
#include <string.h>

typedef struct sized {
    const char *name;     /* without retort_ */
    const void *defaults; /* [size] */
    size_t size, oldest;  /* bytes: of this version, and of the oldest one */
    size_t alignment;
} sized;

static size_t size_of(const void *given) {
    size_t size;
    memcpy(&size, given, sizeof size);
    return size;
}

static void start(const sized *type, void *given, size_t size) {
    if (given == NULL || size < sizeof size) return;
    memset(given, 0, size);
    memcpy(given, type->defaults, size < type->size ? size : type->size);
    memcpy(given, &size, sizeof size);
}

static retort_status check(const sized *type, const char *call, size_t size, retort_error *err) {
    if (size > type->size)
        return rt_fail(err, RETORT_ARGUMENT,
                       "%s: retort_%s has %zu bytes in the program and %zu in the library, version %d.%d.%d: "
                       "the program needs a later one",
                       call, type->name, size, type->size, RETORT_VERSION_MAJOR, RETORT_VERSION_MINOR,
                       RETORT_VERSION_PATCH);
    if (size < type->oldest || size % type->alignment != 0)
        return rt_fail(err, RETORT_ARGUMENT,
                       "%s: retort_%s.size is %zu, expected %zu…%zu: retort_%s_init sets it", call,
                       type->name, size, type->oldest, type->size, type->name);
    return RETORT_OK;
}

static retort_status read_sized(const sized *type, const char *call, const void *given, void *full,
                                retort_error *err) {
    memcpy(full, type->defaults, type->size);
    if (given == NULL) return RETORT_OK;
    size_t size = size_of(given);
    retort_status status = check(type, call, size, err);
    if (status != RETORT_OK) return status;
    memcpy(full, given, size);
    memcpy(full, &type->size, sizeof type->size);
    return RETORT_OK;
}

static void give_sized(void *given, const void *full) {
    size_t size = size_of(given);
    memcpy(given, full, size);
    memcpy(given, &size, sizeof size);
}

/* Up to and including the field, with padding. */
#define END(type, field)                                                                                     \
    ((offsetof(type, field) + sizeof((type *)0)->field + alignof(type) - 1) / alignof(type) * alignof(type))

#define DEFINE(struct_name, last, ...)                                                                       \
    static const retort_##struct_name struct_name##_defaults = __VA_ARGS__;                                  \
    static const sized struct_name##_type = {.name = #struct_name,                                           \
                                             .defaults = &struct_name##_defaults,                            \
                                             .size = sizeof(retort_##struct_name),                           \
                                             .oldest = END(retort_##struct_name, last),                      \
                                             .alignment = alignof(retort_##struct_name)};                    \
    void retort_##struct_name##_init(retort_##struct_name *given, size_t size) {                             \
        start(&struct_name##_type, given, size);                                                             \
    }                                                                                                        \
    retort_status rt_read_##struct_name(const char *call, const retort_##struct_name *given,                 \
                                        retort_##struct_name *full, retort_error *err) {                     \
        return read_sized(&struct_name##_type, call, given, full, err);                                      \
    }                                                                                                        \
    void rt_give_##struct_name(retort_##struct_name *given, const retort_##struct_name *full) {              \
        give_sized(given, full);                                                                             \
    }
RT_SIZED_STRUCTS(DEFINE)
