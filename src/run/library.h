/* SPDX-License-Identifier: Apache-2.0
 * Shared libraries of other projects, found when they are asked for. */
#ifndef RT_RUN_LIBRARY_H
#define RT_RUN_LIBRARY_H

#include "base/error.h"

typedef void (*rt_function)(void);

/* A wheel that carries the library, and its folder in there. */
typedef struct rt_wheel {
    const char *package, *folder; /* "openvino", "openvino/libs" */
} rt_wheel;
typedef struct rt_library_query {
    const char *name;   /* "libonnxruntime.so"; a file's name may go on with its version */
    const char *soname; /* what the system's loader is asked for after that name, or NULL */
    const char *beside; /* a library that must lie beside it in a wheel, or NULL */
    const char *symbol; /* what it must have */
    const char *what;   /* "ONNX Runtime" */
    rt_wheel wheels[2]; /* the first is the one to install; the second's package may be NULL */
} rt_library_query;

typedef struct rt_library {
    void *handle;
    char path[256];
} rt_library;

/* Looks in each folder of RETORT_PROVIDERS and then in ~/.cache/retort/providers for PACKAGE/FOLDER/NAME,
 * FOLDER/NAME (as in Python's site-packages) and NAME, then asks the system's loader. The first file found is
 * the one: when it cannot be used, that is the error. Errors are RETORT_PROVIDER. The library stays loaded
 * for ever: engines leave threads and handlers behind that run its code. */
retort_status rt_library_open(rt_library *out, const rt_library_query *query, retort_error *err);
/* NULL: the library has no such symbol. */
rt_function rt_library_symbol(const rt_library *library, const char *name);
/* The query's "to install it: …", for an error. */
const char *rt_library_advice(char *out, size_t size, const rt_library_query *query);

#endif
