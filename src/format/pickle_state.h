/* SPDX-License-Identifier: Apache-2.0
 * The state of the interpreter, shared by opcodes and globals. `status` keeps the first fault, which ends the
 * reading after the current opcode; until then, pops return `nothing` and pushes do nothing. */
#ifndef RT_FORMAT_PICKLE_STATE_H
#define RT_FORMAT_PICKLE_STATE_H

#include "format/pickle.h"

/* Globals that a pickle may name. REDUCE applies to functions, BINPERSID to storages, NEWOBJ to classes. */
typedef enum rt_py_global_kind {
    RT_PY_ORDERED_DICT,
    RT_PY_REBUILD_TENSOR,
    RT_PY_REBUILD_PARAMETER,
    RT_PY_STORAGE_TYPE,
    RT_PY_CLASS,
    RT_PY_ARRAY_WRAPPER, /* joblib's: its BUILD is followed by the elements */
    RT_PY_ARRAY_CLASS,
    RT_PY_DTYPE_CLASS,
    RT_PY_RECONSTRUCT, /* numpy's functions that make an empty array, */
    RT_PY_FROM_BUFFER, /* a whole one, */
    RT_PY_SCALAR       /* and a number */
} rt_py_global_kind;
typedef struct rt_py_global {
    const char *module, *name;
    rt_py_global_kind kind;
    bool known;         /* of a storage: a supported dtype */
    retort_dtype dtype; /* of a storage */
} rt_py_global;

struct rt_unpickler;
/* What one kind of pickle may hold. */
typedef struct rt_py_dialect {
    const char *what;  /* "state dict" */
    uint64_t protocol; /* the newest */
    const rt_py_global *globals;
    size_t global_count;
    void (*reduce)(struct rt_unpickler *u, const rt_py *function,
                   const rt_py *arguments); /* pushes its value */
    void (*build)(struct rt_unpickler *u, rt_py *object,
                  const rt_py *state); /* sets the state of an object */
} rt_py_dialect;
extern const rt_py_dialect rt_py_state_dict, rt_py_estimator;

typedef struct rt_unpickler {
    const rt_py_dialect *dialect;
    rt_arena *arena;
    const char *name;
    const uint8_t *start; /* of the pickle: errors give offsets from here */
    rt_cursor cursor;
    rt_py **stack;
    size_t depth, stack_capacity;
    size_t *marks; /* stack depths at each open MARK */
    size_t mark_count, mark_capacity;
    rt_py **memo;
    size_t memo_count, memo_capacity;
    size_t values; /* made so far */
    bool stopped;
    rt_py_storage *storages;
    rt_py nothing;
    retort_status status;
    retort_error *err;
} rt_unpickler;

/* Records a fault of the pickle with its offset. Only the first is kept. */
void rt_unpickle_fail(rt_unpickler *u, retort_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Zeroed memory from the arena; NULL: the fault is recorded. */
void *rt_unpickle_calloc(rt_unpickler *u, size_t n, size_t size);
/* A new value; NULL: the fault is recorded. */
rt_py *rt_unpickle_new(rt_unpickler *u, rt_py_kind kind);
/* Makes room for one more item in a list of the interpreter; false: the fault is recorded. */
bool rt_unpickle_grow(rt_unpickler *u, void *list, size_t *capacity, size_t count, size_t size);
/* NULL is not pushed. */
void rt_unpickle_push(rt_unpickler *u, rt_py *value);

/* Reads `count` counts from a tuple; false: it holds something else. */
bool rt_py_counts(int64_t *out, const rt_py *tuple, size_t count);
/* Pushes the storage described by ('storage', type, key, location, count[, None]). */
void rt_py_persistent(rt_unpickler *u, const rt_py *id);

#endif
