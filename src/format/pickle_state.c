/* SPDX-License-Identifier: Apache-2.0 */
#include "format/pickle_state.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A tensor of a state dict takes about 25 values; this is enough for RT_MAX_TENSORS. */
enum { MAX_VALUES = 1 << 22 };

void rt_unpickle_fail(rt_unpickler *u, retort_status status, const char *format, ...) {
    char text[400];
    va_list args;
    if (u->status != RETORT_OK) return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    u->status = rt_fail(u->err, status, "%s: pickle at byte %zu: %s", u->name,
                        (size_t)(u->cursor.at - u->start), text);
}

void *rt_unpickle_calloc(rt_unpickler *u, size_t n, size_t size) {
    void *out = rt_arena_calloc(u->arena, n, size);
    if (out == NULL && u->status == RETORT_OK) u->status = rt_fail_nomem(u->err, size);
    return out;
}

rt_py *rt_unpickle_new(rt_unpickler *u, rt_py_kind kind) {
    rt_py *value = u->status == RETORT_OK ? rt_unpickle_calloc(u, 1, sizeof *value) : NULL;
    if (value != NULL) value->kind = kind;
    return value;
}

bool rt_unpickle_grow(rt_unpickler *u, void *list, size_t *capacity, size_t count, size_t size) {
    if (u->status != RETORT_OK) return false;
    if (count < MAX_VALUES && rt_grow(list, capacity, count + 1, size)) return true;
    u->status = rt_fail_nomem(u->err, count * size);
    return false;
}

void rt_unpickle_push(rt_unpickler *u, rt_py *value) {
    if (++u->values > MAX_VALUES) rt_unpickle_fail(u, RETORT_LIMIT, "more than %d values", MAX_VALUES);
    if (value == NULL || !rt_unpickle_grow(u, &u->stack, &u->stack_capacity, u->depth, sizeof *u->stack))
        return;
    u->stack[u->depth++] = value;
}

bool rt_py_is(const rt_py *value, const char *module, const char *name) {
    return value != NULL && value->kind == RT_PY_OBJECT &&
           strcmp(value->as.object.class->module, module) == 0 &&
           strcmp(value->as.object.class->name, name) == 0;
}

const rt_py *rt_py_get(const rt_py *dict, const char *key) {
    if (dict == NULL || dict->kind != RT_PY_DICT) return NULL;
    for (size_t i = 0; i < dict->as.list.count; i += 2) {
        const rt_py *name = dict->as.list.items[i];
        if (name->kind == RT_PY_TEXT && strcmp(name->as.text.bytes, key) == 0)
            return dict->as.list.items[i + 1];
    }
    return NULL;
}
