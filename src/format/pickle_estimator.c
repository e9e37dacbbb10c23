/* SPDX-License-Identifier: Apache-2.0
 * The globals of logistic regressions of scikit-learn, and numpy's arrays: as pickle writes them, and as joblib does, which puts
 * their elements between the opcodes. */
#include "format/pickle_state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CLASS(module, name)                                                                                  \
    { module, name, RT_PY_CLASS, false, RETORT_F32 }
#define NUMPY(module, name, kind)                                                                            \
    { module, name, kind, false, RETORT_F32 }
/* One row per global. Any other name is an error. */
static const rt_py_global globals[] = {
    CLASS("sklearn.linear_model._logistic", "LogisticRegression"),
    CLASS("sklearn.linear_model.logistic", "LogisticRegression"),
    CLASS("sklearn.multiclass", "OneVsRestClassifier"),
    CLASS("sklearn.multioutput", "MultiOutputClassifier"),
    CLASS("sklearn.preprocessing._label", "LabelBinarizer"),
    CLASS("sklearn.preprocessing.label", "LabelBinarizer"),
    NUMPY("joblib.numpy_pickle", "NumpyArrayWrapper", RT_PY_ARRAY_WRAPPER),
    NUMPY("numpy", "ndarray", RT_PY_ARRAY_CLASS),
    NUMPY("numpy", "dtype", RT_PY_DTYPE_CLASS),
    NUMPY("numpy.core.multiarray", "_reconstruct", RT_PY_RECONSTRUCT),
    NUMPY("numpy._core.multiarray", "_reconstruct", RT_PY_RECONSTRUCT),
    NUMPY("numpy.core.numeric", "_frombuffer", RT_PY_FROM_BUFFER),
    NUMPY("numpy._core.numeric", "_frombuffer", RT_PY_FROM_BUFFER),
    NUMPY("numpy.core.multiarray", "scalar", RT_PY_SCALAR),
    NUMPY("numpy._core.multiarray", "scalar", RT_PY_SCALAR),
};

enum { MOST_ELEMENT = 1 << 16 }; /* bytes: of text, four a letter */

/* "f8", "<f4", "U3": a kind, and bytes or, of text in UTF-32, letters. */
static bool read_dtype(const rt_py *text, rt_py_dtype *out) {
    if (text->kind != RT_PY_TEXT || strlen(text->as.text.bytes) != text->as.text.length) return false;
    const char *at = text->as.text.bytes;
    if (*at == '<' || *at == '|' || *at == '=') at++;
    out->kind = *at;
    if (*at == '\0' || strchr("fiubUSO", *at) == NULL || strlen(at) > 7) return false;
    char *end;
    long size = strtol(at + 1, &end, 10);
    out->size = (size_t)(out->kind == 'U' ? 4 * size : size);
    return *end == '\0' && at[1] >= '0' && at[1] <= '9' && out->size <= MOST_ELEMENT;
}

static void make_dtype(rt_unpickler *u, const rt_py *arguments) {
    rt_py *value = rt_unpickle_new(u, RT_PY_DTYPE);
    if (value == NULL) return;
    if (arguments->as.list.count < 1 || !read_dtype(arguments->as.list.items[0], &value->as.dtype))
        rt_unpickle_fail(u, RETORT_UNSUPPORTED, "a dtype of numpy that is no number or text");
    rt_unpickle_push(u, value);
}

/* Sets shape and dtype, and what bytes they need. */
static bool shape_array(rt_unpickler *u, rt_py_array *a, const rt_py *shape, const rt_py *dtype,
                        size_t *bytes) {
    size_t count;
    bool fits = shape != NULL && shape->kind == RT_PY_TUPLE && shape->as.list.count <= RT_MAX_RANK &&
                dtype != NULL && dtype->kind == RT_PY_DTYPE &&
                rt_py_counts(a->shape, shape, shape->as.list.count) &&
                rt_shape_count(a->shape, (int)shape->as.list.count, &count) &&
                rt_mul(count, dtype->as.dtype.size, bytes);
    if (!fits) {
        rt_unpickle_fail(u, RETORT_FORMAT, "an array without a shape and a dtype");
        return false;
    }
    a->rank = (int)shape->as.list.count;
    a->dtype = dtype->as.dtype;
    if (a->dtype.kind != 'O') return true;
    rt_unpickle_fail(u, RETORT_UNSUPPORTED, "an array of Python's objects");
    return false;
}

static bool is_true(const rt_py *value) {
    return value->kind == RT_PY_BOOL && value->as.integer == 1;
}

/* The elements that pickle has as bytes. */
static void take_bytes(rt_unpickler *u, rt_py_array *a, const rt_py *bytes, size_t need) {
    if (bytes->kind != RT_PY_BYTES || bytes->as.text.length != need) {
        rt_unpickle_fail(u, RETORT_FORMAT, "an array of %zu bytes without these", need);
        return;
    }
    a->data = (const uint8_t *)bytes->as.text.bytes;
}

/* An array, still empty; NULL: the fault is recorded. */
static rt_py *new_array(rt_unpickler *u) {
    rt_py *value = rt_unpickle_new(u, RT_PY_ARRAY);
    if (value != NULL) value->as.array = rt_unpickle_calloc(u, 1, sizeof *value->as.array);
    return value != NULL && value->as.array != NULL ? value : NULL;
}

/* _frombuffer(bytes, dtype, shape, order) */
static void from_buffer(rt_unpickler *u, const rt_py *arguments) {
    rt_py **args = arguments->as.list.items, *value = new_array(u);
    size_t bytes = 0;
    if (value == NULL) return;
    if (arguments->as.list.count != 4 || args[3]->kind != RT_PY_TEXT) {
        rt_unpickle_fail(u, RETORT_FORMAT, "_frombuffer without (bytes, dtype, shape, order)");
        return;
    }
    value->as.array->columns = strcmp(args[3]->as.text.bytes, "F") == 0;
    if (shape_array(u, value->as.array, args[2], args[1], &bytes))
        take_bytes(u, value->as.array, args[0], bytes);
    rt_unpickle_push(u, value);
}

static void reduce(rt_unpickler *u, const rt_py *function, const rt_py *arguments) {
    switch (function->as.global->kind) {
    case RT_PY_DTYPE_CLASS:
        make_dtype(u, arguments);
        break;
    case RT_PY_RECONSTRUCT:
        rt_unpickle_push(u, new_array(u));
        break;
    case RT_PY_FROM_BUFFER:
        from_buffer(u, arguments);
        break;
    case RT_PY_SCALAR: /* no head needs its value */
        rt_unpickle_push(u, rt_unpickle_new(u, RT_PY_FLOAT));
        break;
    default:
        rt_unpickle_fail(u, RETORT_FORMAT, "%s.%s is called", function->as.global->module,
                         function->as.global->name);
    }
}

/* joblib's: one byte tells how many of padding come before the elements, unless the file is older than that. */
static void read_wrapped(rt_unpickler *u, rt_py *object, const rt_py *state) {
    rt_py_array *a = rt_unpickle_calloc(u, 1, sizeof *a);
    const rt_py *order = rt_py_get(state, "order"), *padded = rt_py_get(state, "numpy_array_alignment_bytes");
    size_t bytes = 0;
    uint8_t padding = 0;
    if (a == NULL || !shape_array(u, a, rt_py_get(state, "shape"), rt_py_get(state, "dtype"), &bytes)) return;
    a->columns = order != NULL && order->kind == RT_PY_TEXT && strcmp(order->as.text.bytes, "F") == 0;
    bool whole = padded == NULL || padded->kind == RT_PY_NONE ||
                 (rt_take_u8(&u->cursor, &padding) && rt_take(&u->cursor, padding) != NULL);
    if (whole) a->data = rt_take(&u->cursor, bytes);
    if (a->data == NULL) {
        rt_unpickle_fail(u, RETORT_FORMAT, "cut short: an array of %zu bytes", bytes);
        return;
    }
    object->kind = RT_PY_ARRAY;
    object->as.array = a;
}

/* (version, shape, dtype, by columns, bytes) */
static void build_array(rt_unpickler *u, rt_py_array *a, const rt_py *state) {
    size_t bytes = 0;
    if (state->kind != RT_PY_TUPLE || state->as.list.count != 5) {
        rt_unpickle_fail(u, RETORT_FORMAT,
                         "the state of an array is not (version, shape, dtype, order, bytes)");
        return;
    }
    rt_py **part = state->as.list.items;
    a->columns = is_true(part[3]);
    if (shape_array(u, a, part[1], part[2], &bytes)) take_bytes(u, a, part[4], bytes);
}

/* The second part of a dtype's state is its byte order. */
static void build_dtype(rt_unpickler *u, const rt_py *state) {
    const rt_py *order =
        state->kind == RT_PY_TUPLE && state->as.list.count > 1 ? state->as.list.items[1] : NULL;
    if (order != NULL && order->kind == RT_PY_TEXT && strcmp(order->as.text.bytes, ">") != 0) return;
    rt_unpickle_fail(u, RETORT_UNSUPPORTED, "written on a big-endian machine");
}

static void build(rt_unpickler *u, rt_py *object, const rt_py *state) {
    if (object->kind == RT_PY_DTYPE) {
        build_dtype(u, state);
    } else if (object->kind == RT_PY_ARRAY) {
        build_array(u, object->as.array, state);
    } else if (object->kind != RT_PY_OBJECT || state->kind != RT_PY_DICT) {
        rt_unpickle_fail(u, RETORT_FORMAT, "BUILD on something else");
    } else if (object->as.object.class->kind == RT_PY_ARRAY_WRAPPER) {
        read_wrapped(u, object, state);
    } else {
        object->as.object.state = state;
    }
}

const rt_py_dialect rt_py_estimator = {
    .what = "logistic regression of scikit-learn",
    .protocol = 5,
    .globals = globals,
    .global_count = sizeof globals / sizeof *globals,
    .reduce = reduce,
    .build = build,
};
