/* SPDX-License-Identifier: Apache-2.0
 * The globals of a state dict, and the values they create. */
#include "format/pickle_state.h"

#include <inttypes.h>
#include <string.h>

/* One row per global. Any other name is an error. */
static const rt_py_global globals[] = {
    {"collections", "OrderedDict", RT_PY_ORDERED_DICT, false, RETORT_F32},
    {"torch._utils", "_rebuild_tensor_v2", RT_PY_REBUILD_TENSOR, false, RETORT_F32},
    {"torch._utils", "_rebuild_parameter", RT_PY_REBUILD_PARAMETER, false, RETORT_F32},
    {"torch", "FloatStorage", RT_PY_STORAGE_TYPE, true, RETORT_F32},
    {"torch", "HalfStorage", RT_PY_STORAGE_TYPE, true, RETORT_F16},
    {"torch", "BFloat16Storage", RT_PY_STORAGE_TYPE, true, RETORT_BF16},
    {"torch", "LongStorage", RT_PY_STORAGE_TYPE, true, RETORT_I64},
    {"torch", "IntStorage", RT_PY_STORAGE_TYPE, true, RETORT_I32},
    {"torch", "CharStorage", RT_PY_STORAGE_TYPE, true, RETORT_S8},
    {"torch", "ByteStorage", RT_PY_STORAGE_TYPE, true, RETORT_U8},
    {"torch", "BoolStorage", RT_PY_STORAGE_TYPE, true, RETORT_BOOL},
    {"torch", "DoubleStorage", RT_PY_STORAGE_TYPE, false, RETORT_F32},
    {"torch", "ShortStorage", RT_PY_STORAGE_TYPE, false, RETORT_F32},
};

bool rt_py_counts(int64_t *out, const rt_py *tuple, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const rt_py *item = tuple->as.list.items[i];
        if (item->kind != RT_PY_INT || item->as.integer < 0) return false;
        out[i] = item->as.integer;
    }
    return true;
}

/* Whether every element is within the storage: offset + Σ (size − 1) · stride < count. An empty tensor has no
 * elements. */
static bool fits_storage(const rt_py_tensor *t) {
    size_t count, last = t->offset, step;
    if (!rt_shape_count(t->shape, t->rank, &count)) return false;
    if (count == 0) return t->offset <= t->storage->count;
    for (int i = 0; i < t->rank; i++) {
        if (!rt_mul((size_t)t->shape[i] - 1, (size_t)t->stride[i], &step) || !rt_add(last, step, &last))
            return false;
    }
    return last < t->storage->count && count <= t->storage->count; /* the latter: no dimension is expanded */
}

static void check_tensor(rt_unpickler *u, const rt_py_tensor *t) {
    char shape[128], stride[128];
    if (fits_storage(t)) return;
    rt_shape_text(shape, sizeof shape, t->shape, t->rank);
    rt_shape_text(stride, sizeof stride, t->stride, t->rank);
    rt_unpickle_fail(u, RETORT_FORMAT,
                     "a tensor of shape %s, strides %s at %zu does not fit storage '%.64s' of %zu", shape,
                     stride, t->offset, t->storage->key, t->storage->count);
}

/* _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks[, metadata]) */
static void rebuild_tensor(rt_unpickler *u, const rt_py *arguments) {
    rt_py **args = arguments->as.list.items;
    size_t n = arguments->as.list.count;
    if (n < 6 || n > 7 || args[0]->kind != RT_PY_STORAGE || args[1]->kind != RT_PY_INT ||
        args[1]->as.integer < 0 || args[2]->kind != RT_PY_TUPLE || args[3]->kind != RT_PY_TUPLE) {
        rt_unpickle_fail(u, RETORT_FORMAT, "a tensor's arguments are not (storage, offset, size, stride, …)");
        return;
    }
    size_t rank = args[2]->as.list.count, strides = args[3]->as.list.count;
    if (rank > RT_MAX_RANK || strides != rank) {
        rt_unpickle_fail(u, RETORT_FORMAT, "a tensor of %zu dimensions and %zu strides; at most %d are read",
                         rank, strides, RT_MAX_RANK);
        return;
    }
    rt_py *value = rt_unpickle_new(u, RT_PY_TENSOR);
    rt_py_tensor *t = rt_unpickle_calloc(u, 1, sizeof *t);
    if (value == NULL || t == NULL) return;
    value->as.tensor = t;
    t->storage = args[0]->as.storage;
    t->offset = (size_t)args[1]->as.integer;
    t->rank = (int)rank;
    if (!rt_py_counts(t->shape, args[2], rank) || !rt_py_counts(t->stride, args[3], rank)) {
        rt_unpickle_fail(u, RETORT_FORMAT, "a tensor's size or stride is not a count");
        return;
    }
    check_tensor(u, t);
    rt_unpickle_push(u, value);
}

static void reduce(rt_unpickler *u, const rt_py *function, const rt_py *arguments) {
    const rt_py_global *global = function->as.global;
    size_t n = arguments->as.list.count;
    if (global->kind == RT_PY_REBUILD_TENSOR) {
        rebuild_tensor(u, arguments);
    } else if (global->kind == RT_PY_REBUILD_PARAMETER && n == 3 &&
               arguments->as.list.items[0]->kind == RT_PY_TENSOR) {
        rt_unpickle_push(u, arguments->as.list.items[0]); /* the rest is requires_grad and hooks */
    } else if (global->kind == RT_PY_ORDERED_DICT && n == 0) {
        rt_unpickle_push(u, rt_unpickle_new(u, RT_PY_DICT));
    } else {
        rt_unpickle_fail(u, RETORT_FORMAT, "%s.%s is called with %zu arguments that do not suit it",
                         global->module, global->name, n);
    }
}

static bool is_text(const rt_py *value, const char *text) {
    return value->kind == RT_PY_TEXT && strcmp(value->as.text.bytes, text) == 0;
}

void rt_py_persistent(rt_unpickler *u, const rt_py *id) {
    rt_py **part = id->as.list.items;
    size_t n = id->kind == RT_PY_TUPLE ? id->as.list.count : 0;
    if (n < 5 || n > 6 || !is_text(part[0], "storage") || part[1]->kind != RT_PY_GLOBAL ||
        part[1]->as.global->kind != RT_PY_STORAGE_TYPE || part[2]->kind != RT_PY_TEXT ||
        part[4]->kind != RT_PY_INT || part[4]->as.integer < 0 || (n == 6 && part[5]->kind != RT_PY_NONE)) {
        rt_unpickle_fail(u, RETORT_FORMAT,
                         "a persistent id that is not ('storage', type, key, location, count)");
        return;
    }
    const rt_py_global *type = part[1]->as.global;
    if (!type->known) {
        rt_unpickle_fail(u, RETORT_UNSUPPORTED, "tensors of torch.%s are not supported", type->name);
        return;
    }
    rt_py *value = rt_unpickle_new(u, RT_PY_STORAGE);
    rt_py_storage *storage = rt_unpickle_calloc(u, 1, sizeof *storage);
    if (value == NULL || storage == NULL) return;
    *storage =
        (rt_py_storage){part[2]->as.text.bytes, type->dtype, (size_t)part[4]->as.integer, NULL, u->storages};
    u->storages = storage;
    value->as.storage = storage;
    rt_unpickle_push(u, value);
}

/* Attributes of an OrderedDict (_metadata: versions of modules), which do not affect weights. */
static void build(rt_unpickler *u, rt_py *object, const rt_py *state) {
    (void)state;
    if (object->kind != RT_PY_DICT) rt_unpickle_fail(u, RETORT_FORMAT, "BUILD on something else");
}

const rt_py_dialect rt_py_state_dict = {
    .what = "state dict",
    .protocol = 2,
    .globals = globals,
    .global_count = sizeof globals / sizeof *globals,
    .reduce = reduce,
    .build = build,
};
