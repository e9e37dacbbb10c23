/* SPDX-License-Identifier: Apache-2.0
 * An interpreter for the part of pickle that a state dict needs, or a logistic regression of scikit-learn. It calls
 * nothing: a pickle may name only the functions and classes that are rows of a table here. */
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
    RT_PY_TENSOR,
    RT_PY_BYTES,
    RT_PY_OBJECT, /* of a class */
    RT_PY_DTYPE,
    RT_PY_ARRAY
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

/* Numpy's dtype: a kind ('f', 'i', 'u', 'b', 'U' for text in UTF-32, …) and bytes of an element. */
typedef struct rt_py_dtype {
    char kind;
    size_t size;
} rt_py_dtype;
typedef struct rt_py_array {
    rt_py_dtype dtype;
    bool columns; /* column after column, instead of rows */
    int rank;
    int64_t shape[RT_MAX_RANK];
    const uint8_t *data; /* in the pickle, not aligned */
} rt_py_array;

typedef struct rt_py {
    rt_py_kind kind;
    union {
        int64_t integer; /* also BOOL */
        struct {
            const char *bytes; /* NUL-terminated copy; of BYTES those of the pickle */
            size_t length;
        } text;
        struct {
            struct rt_py **items; /* a dict alternates keys and values */
            size_t count, capacity;
        } list; /* TUPLE, LIST, DICT */
        const struct rt_py_global *global;
        rt_py_storage *storage;
        rt_py_tensor *tensor;
        struct {
            const struct rt_py_global *class;
            const struct rt_py *state; /* a dict, or NULL */
        } object;
        rt_py_dtype dtype;
        rt_py_array *array;
    } as;
} rt_py;

typedef struct rt_pickle {
    rt_py *root;
    rt_py_storage *storages; /* every mention of a storage, last first */
} rt_pickle;

/* Interprets one pickle and leaves the cursor after its STOP. *out lives in `arena`. */
retort_status rt_pickle_read(rt_pickle *out, rt_arena *arena, const char *name, rt_cursor *cursor,
                             retort_error *err);
/* The same for what joblib.dump or pickle.dump writes of estimators, with protocols up to 5. Arrays of joblib stand between
 * opcodes. */
retort_status rt_pickle_read_estimator(rt_pickle *out, rt_arena *arena, const char *name, rt_cursor *cursor,
                                       retort_error *err);
/* Whether a value is an object of this class. */
bool rt_py_is(const rt_py *value, const char *module, const char *name);
/* The value of a text key in a dict; NULL if absent, or if `dict` is not a dict. */
const rt_py *rt_py_get(const rt_py *dict, const char *key);

#endif
