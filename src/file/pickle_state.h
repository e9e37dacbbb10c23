/* SPDX-License-Identifier: Apache-2.0
 * Inside the interpreter: its state, and what opcodes and globals share. The first fault is kept in `status`
 * and ends the reading after the opcode at hand; until then pops give `nothing` and pushes do nothing. */
#ifndef RT_FILE_PICKLE_STATE_H
#define RT_FILE_PICKLE_STATE_H

#include "file/pickle.h"

/* What a pickle may name. REDUCE works on the first three, BINPERSID on storages. */
typedef enum rt_py_global_kind {
    RT_PY_ORDERED_DICT,
    RT_PY_REBUILD_TENSOR,
    RT_PY_REBUILD_PARAMETER,
    RT_PY_STORAGE_TYPE
} rt_py_global_kind;
typedef struct rt_py_global {
    const char *module, *name;
    rt_py_global_kind kind;
    bool known;         /* of a storage: a dtype that we hold */
    retort_dtype dtype; /* of a storage */
} rt_py_global;

typedef struct rt_unpickler {
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

/* A fault of the pickle, with the place where it is. Only the first is kept. */
void rt_unpickle_fail(rt_unpickler *u, retort_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Zeroed memory of the arena; NULL with the fault noted. */
void *rt_unpickle_calloc(rt_unpickler *u, size_t n, size_t size);
/* A new value; NULL with the fault noted. */
rt_py *rt_unpickle_new(rt_unpickler *u, rt_py_kind kind);
/* NULL is not pushed. */
void rt_unpickle_push(rt_unpickler *u, rt_py *value);
/* Never NULL. */
rt_py *rt_unpickle_pop(rt_unpickler *u);

/* The row of a whitelisted global, NULL for any other. */
const rt_py_global *rt_py_global_find(const char *module, size_t module_length, const char *name,
                                      size_t length);
/* Pushes function(*arguments). */
void rt_py_reduce(rt_unpickler *u, const rt_py *function, const rt_py *arguments);
/* Pushes the storage that ('storage', type, key, location, count[, None]) stands for. */
void rt_py_persistent(rt_unpickler *u, const rt_py *id);

#endif
