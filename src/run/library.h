/* SPDX-License-Identifier: Apache-2.0
 * Finds shared libraries of other projects at run time. */
#ifndef RT_RUN_LIBRARY_H
#define RT_RUN_LIBRARY_H

#include "base/error.h"

typedef void (*rt_function)(void);

/* A wheel that contains the library, and the folder in it. */
typedef struct rt_wheel {
    const char *package, *folder; /* "openvino", "openvino/libs" */
} rt_wheel;
typedef struct rt_library_query {
    const char *name;   /* "libonnxruntime.so"; a version may follow */
    const char *soname; /* another name to ask the loader of the system for, or NULL */
    const char *beside; /* a library that must be next to it in a wheel, or NULL */
    const char *symbol; /* what it must have */
    const char *what;   /* "ONNX Runtime" */
    rt_wheel wheels[2]; /* the first is the one to install; the package of the second may be NULL */
} rt_library_query;

typedef struct rt_library {
    void *handle;
    char path[256];
} rt_library;

/* Searches each folder of RETORT_PROVIDERS, then ~/.cache/retort/providers, for PACKAGE/FOLDER/NAME,
 * FOLDER/NAME (as in Python's site-packages) and NAME, then asks the loader of the system. The first file
 * found is used; if it cannot be used, that is the error. Errors are RETORT_PROVIDER. The library is never
 * unloaded, because engines leave threads and handlers that run its code. */
retort_status rt_library_open(rt_library *out, const rt_library_query *query, retort_error *err);
/* NULL if the library has no such symbol. */
rt_function rt_library_symbol(const rt_library *library, const char *name);
/* The query's "to install it: …", for an error. */
const char *rt_library_advice(char *out, size_t size, const rt_library_query *query);

#endif
