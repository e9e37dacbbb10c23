/* SPDX-License-Identifier: Apache-2.0
 * An interpreter for the part of pickle that a state dict needs. It calls nothing: a pickle may name only
 * three functions of torch, which are cases of an enum here. */
#ifndef RT_FORMAT_PICKLE_H
#define RT_FORMAT_PICKLE_H

#include "base/cursor.h"
#include "base/memory.h"
#include "base/tensor.h"

typedef enum rt_py_kind {
    RT_PY_NONE,
    RT_PY_BOOL,
    RT_PY_INT,
    RT_PY_FLOAT,
    RT_PY_TEXT,
    RT_PY_TUPLE,
    RT_PY_LIST,
    RT_PY_DICT,
    RT_PY_GLOBAL,
    RT_PY_STORAGE,
    RT_PY_TENSOR
} rt_py_kind;

/* Elements of one dtype that tensors refer to. The reader of the file fills `data`. */
typedef struct rt_py_storage {
    const char *key;
    retort_dtype dtype;
    size_t count;        /* elements */
    const uint8_t *data; /* NULL until found */
    struct rt_py_storage *next;
} rt_py_storage;

typedef struct rt_py_tensor {
    rt_py_storage *storage;
    size_t offset; /* in elements, like the strides */
    int rank;
    int64_t shape[RT_MAX_RANK], stride[RT_MAX_RANK];
} rt_py_tensor;

typedef struct rt_py {
    rt_py_kind kind;
    union {
        int64_t integer; /* also BOOL */
        struct {
            const char *bytes; /* NUL-terminated copy */
            size_t length;
        } text;
        struct {
            struct rt_py **items; /* a dict alternates keys and values */
            size_t count, capacity;
        } list; /* TUPLE, LIST, DICT */
        const struct rt_py_global *global;
        rt_py_storage *storage;
        rt_py_tensor *tensor;
    } as;
} rt_py;

typedef struct rt_pickle {
    rt_py *root;
    rt_py_storage *storages; /* every mention of a storage, last first */
} rt_pickle;

/* Interprets one pickle and leaves the cursor after its STOP. *out lives in `arena`. */
retort_status rt_pickle_read(rt_pickle *out, rt_arena *arena, const char *name, rt_cursor *cursor,
                             retort_error *err);
/* The value of a text key in a dict; NULL if absent, or if `dict` is not a dict. */
const rt_py *rt_py_get(const rt_py *dict, const char *key);

#endif
