/* SPDX-License-Identifier: Apache-2.0 */
#include "format/logistic.h"
#include "base/utf8.h"
#include "format/pickle.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* A list may name one estimator a million times, and each time its attributes are searched. */
enum { MOST_LABELS = 1 << 20, MOST_COLUMNS = 1 << 20, MOST_NAME = 4096, MOST_ATTRIBUTES = 256 };

typedef struct reader {
    rt_logistic *out;
    rt_arena *arena;
    const char *name; /* of the file */
    size_t size;
    retort_error *err;
} reader;

/* ---- Arrays ---- */

static const rt_py_array *array_of(const rt_py *dict, const char *key, int rank) {
    const rt_py *value = rt_py_get(dict, key);
    const rt_py_array *a = value != NULL && value->kind == RT_PY_ARRAY ? value->as.array : NULL;
    return a != NULL && a->data != NULL && a->rank == rank ? a : NULL;
}

static double real_at(const rt_py_array *a, int64_t index) {
    double wide = 0;
    float narrow = 0;
    const uint8_t *at = a->data + (size_t)index * a->dtype.size;
    if (a->dtype.size == sizeof wide) memcpy(&wide, at, sizeof wide);
    if (a->dtype.size == sizeof narrow) memcpy(&narrow, at, sizeof narrow);
    return a->dtype.size == sizeof wide ? wide : (double)narrow;
}

static bool is_real(const rt_py_array *a) {
    return a != NULL && a->dtype.kind == 'f' && (a->dtype.size == 4 || a->dtype.size == 8);
}

/* out[columns] = row `row` of a matrix. False: not finite as floats. */
static bool read_row(const rt_py_array *a, int64_t row, float *out) {
    int64_t rows = a->shape[0], columns = a->shape[1];
    bool finite = true;
    for (int64_t j = 0; j < columns; j++) {
        out[j] = (float)real_at(a, a->columns ? j * rows + row : row * columns + j);
        finite &= isfinite(out[j]);
    }
    return finite;
}

/* ---- One regression ---- */

typedef struct regression {
    const rt_py *state;
    const rt_py_array *weight, *bias, *classes;
    int64_t rows, columns;
} regression;

static bool is_regression(const rt_py *value) {
    return rt_py_is(value, "sklearn.linear_model._logistic", "LogisticRegression") ||
           rt_py_is(value, "sklearn.linear_model.logistic", "LogisticRegression");
}

/* False: the reason is in r->err. */
static bool open_regression(const reader *r, const rt_py *value, regression *out) {
    const rt_py *state = value->as.object.state;
    if (state != NULL && state->kind == RT_PY_DICT && state->as.list.count > 2 * MOST_ATTRIBUTES) {
        rt_fail(r->err, RETORT_FORMAT, "%s: a LogisticRegression with more than %d attributes", r->name,
                MOST_ATTRIBUTES);
        return false;
    }
    *out = (regression){state,
                        array_of(state, "coef_", 2),
                        array_of(state, "intercept_", 1),
                        array_of(state, "classes_", 1),
                        0,
                        0};
    if (!is_real(out->weight) || !is_real(out->bias) || out->classes == NULL) {
        rt_fail(r->err, RETORT_FORMAT,
                "%s: a LogisticRegression without coef_, intercept_ and classes_ as arrays: was it fitted?",
                r->name);
        return false;
    }
    out->rows = out->weight->shape[0];
    out->columns = out->weight->shape[1];
    int64_t labels = out->classes->shape[0];
    if (out->rows >= 1 && out->rows <= MOST_LABELS && out->columns >= 1 && out->columns <= MOST_COLUMNS &&
        out->bias->shape[0] == out->rows && labels == (out->rows == 1 ? 2 : out->rows))
        return true;
    rt_fail(r->err, RETORT_FORMAT,
            "%s: coef_ [%" PRId64 ", %" PRId64 "], intercept_ [%" PRId64 "] and classes_ [%" PRId64
            "] do not fit",
            r->name, out->rows, out->columns, out->bias->shape[0], labels);
    return false;
}

static retort_status allocate(const reader *r, int64_t rows, int64_t columns) {
    rt_logistic *out = r->out;
    size_t count = 0; /* a row of zeros may join those of the file: names for one array are not many arrays */
    if (!rt_mul((size_t)rows, (size_t)columns, &count) || count > r->size / 2)
        return rt_fail(r->err, RETORT_FORMAT,
                       "%s: %" PRId64 " rows of %" PRId64 " weights are more than the file has", r->name,
                       rows, columns);
    out->rows = rows;
    out->columns = columns;
    out->weight = rt_arena_calloc(r->arena, count, sizeof *out->weight);
    out->bias = rt_arena_calloc(r->arena, (size_t)rows, sizeof *out->bias);
    return out->weight != NULL && out->bias != NULL ? RETORT_OK
                                                    : rt_fail_nomem(r->err, count * sizeof *out->weight);
}

/* Row `from` of a regression as row `to` of the result. */
static retort_status take_row(const reader *r, const regression *from, int64_t row, int64_t to) {
    float *bias = &r->out->bias[to];
    bool finite = read_row(from->weight, row, r->out->weight + to * r->out->columns);
    *bias = (float)real_at(from->bias, row);
    if (finite && isfinite(*bias)) return RETORT_OK;
    return rt_fail(r->err, RETORT_FORMAT, "%s: row %" PRId64 " of its weights is not finite", r->name, to);
}

static bool text_is(const rt_py *value, const char *text) {
    return value != NULL && value->kind == RT_PY_TEXT && strcmp(value->as.text.bytes, text) == 0;
}

/* As LogisticRegression.predict_proba of versions that had multi_class asks; without it the rows compete. */
static bool is_one_against_rest(const rt_py *state, bool binary) {
    const rt_py *how = rt_py_get(state, "multi_class");
    if (text_is(how, "ovr") || text_is(how, "warn")) return true;
    bool open = text_is(how, "auto") || text_is(how, "deprecated");
    return how == NULL ? binary : open && (binary || text_is(rt_py_get(state, "solver"), "liblinear"));
}

/* ---- Classes ---- */

/* Text in UTF-32, padded with zeros. */
static retort_status read_text(const reader *r, const rt_py_array *a, int64_t index, const char **out) {
    char text[MOST_NAME];
    size_t length = 0, letters = a->dtype.size / 4;
    const uint8_t *at = a->data + (size_t)index * a->dtype.size;
    for (size_t i = 0; i < letters; i++) {
        uint32_t letter;
        memcpy(&letter, at + 4 * i, 4);
        if (letter == 0) break;
        if (length + 4 >= sizeof text || letter > 0x10ffff || (letter >= 0xd800 && letter < 0xe000))
            return rt_fail(r->err, RETORT_FORMAT, "%s: class %" PRId64 " is no text", r->name, index);
        length += rt_utf8_put((uint8_t *)text + length, letter);
    }
    *out = rt_arena_text(r->arena, text, length);
    return *out != NULL ? RETORT_OK : rt_fail_nomem(r->err, length);
}

static bool read_number(const rt_py_array *a, int64_t index, int64_t *out) {
    const uint8_t *at = a->data + (size_t)index * a->dtype.size;
    size_t size = a->dtype.size;
    uint64_t bits = 0;
    if (size < 1 || size > 8) return false;
    if (a->dtype.kind == 'f' && (size == 4 || size == 8)) {
        double real = real_at(a, index);
        if (!(fabs(real) < 1e15) || real != floor(real)) return false;
        *out = (int64_t)real;
        return true;
    }
    if (a->dtype.kind != 'i' && a->dtype.kind != 'u' && a->dtype.kind != 'b') return false;
    memcpy(&bits, at, size);
    uint64_t sign = a->dtype.kind == 'i' && size < 8 ? UINT64_C(1) << (8 * size - 1) : 0;
    *out = (int64_t)((bits ^ sign) - sign);
    return true;
}

static retort_status read_classes(const reader *r, const rt_py_array *a) {
    int64_t count = a->shape[0];
    rt_logistic *out = r->out;
    bool texts = a->dtype.kind == 'U' && a->dtype.size % 4 == 0;
    if (texts) out->names = rt_arena_calloc(r->arena, (size_t)count, sizeof *out->names);
    out->numbers = rt_arena_calloc(r->arena, (size_t)count, sizeof *out->numbers);
    if (out->numbers == NULL || (texts && out->names == NULL))
        return rt_fail_nomem(r->err, (size_t)count * sizeof *out->numbers);
    for (int64_t i = 0; i < count; i++) {
        if (texts) {
            retort_status status = read_text(r, a, i, &out->names[i]);
            if (status != RETORT_OK) return status;
        } else if (!read_number(a, i, &out->numbers[i])) {
            return rt_fail(r->err, RETORT_UNSUPPORTED, "%s: its classes are neither texts nor whole numbers",
                           r->name);
        }
    }
    return RETORT_OK;
}

/* ---- Estimators ---- */

/* Two labels have one row, for the second: softmax([0, d]) is [1 - sigmoid(d), sigmoid(d)], and softmax([-d, d]) what
 * multinomial regressions have. */
static retort_status read_alone(const reader *r, const rt_py *value) {
    regression one;
    if (!open_regression(r, value, &one)) return RETORT_FORMAT;
    bool binary = one.rows == 1, apart = is_one_against_rest(one.state, binary);
    r->out->link = apart && !binary ? RT_LOGISTIC_SHARES : RT_LOGISTIC_SOFTMAX;
    retort_status status = allocate(r, binary ? 2 : one.rows, one.columns);
    for (int64_t i = 0; i < one.rows && status == RETORT_OK; i++) status = take_row(r, &one, i, i + binary);
    for (int64_t j = 0; status == RETORT_OK && binary && !apart && j < one.columns; j++)
        r->out->weight[j] = -r->out->weight[one.columns + j];
    if (status == RETORT_OK && binary && !apart) r->out->bias[0] = -r->out->bias[1];
    return status == RETORT_OK ? read_classes(r, one.classes) : status;
}

/* One regression per label; of two labels that exclude each other, one for the second. */
static retort_status read_list(const reader *r, const rt_py *list, bool second) {
    size_t count = list->as.list.count;
    retort_status status = RETORT_OK;
    for (size_t i = 0; i < count && status == RETORT_OK; i++) {
        const rt_py *value = list->as.list.items[i];
        regression one;
        if (!is_regression(value))
            return rt_fail(r->err, RETORT_UNSUPPORTED,
                           "%s: estimator %zu is no LogisticRegression: labels of one class only?", r->name,
                           i);
        if (!open_regression(r, value, &one)) return RETORT_FORMAT;
        if (i == 0) status = allocate(r, (int64_t)count + second, one.columns);
        if (status == RETORT_OK && (one.rows != 1 || one.columns != r->out->columns))
            status =
                rt_fail(r->err, RETORT_UNSUPPORTED,
                        "%s: estimator %zu has %" PRId64 " rows of %" PRId64 "; expected one of %" PRId64,
                        r->name, i, one.rows, one.columns, r->out->columns);
        if (status == RETORT_OK) status = take_row(r, &one, 0, (int64_t)i + second);
    }
    return status;
}

static retort_status read_several(const reader *r, const rt_py *value) {
    const rt_py *state = value->as.object.state, *list = rt_py_get(state, "estimators_"),
                *binarizer = rt_py_get(state, "label_binarizer_");
    if (list == NULL || list->kind != RT_PY_LIST || list->as.list.count < 1 ||
        list->as.list.count > MOST_LABELS)
        return rt_fail(r->err, RETORT_FORMAT, "%s: no list of estimators_: was it fitted?", r->name);
    r->out->link = RT_LOGISTIC_SIGMOIDS;
    if (rt_py_is(value, "sklearn.multioutput", "MultiOutputClassifier")) return read_list(r, list, false);
    const rt_py *targets = binarizer != NULL && binarizer->kind == RT_PY_OBJECT
                               ? rt_py_get(binarizer->as.object.state, "y_type_")
                               : NULL;
    if (targets == NULL || targets->kind != RT_PY_TEXT)
        return rt_fail(r->err, RETORT_FORMAT, "%s: its label_binarizer_ does not tell what the labels are",
                       r->name);
    if (strncmp(targets->as.text.bytes, "multilabel", 10) == 0) return read_list(r, list, false);
    bool binary = list->as.list.count == 1;
    r->out->link = binary ? RT_LOGISTIC_SOFTMAX : RT_LOGISTIC_SHARES;
    const rt_py_array *classes = array_of(binarizer->as.object.state, "classes_", 1);
    if (classes == NULL || classes->shape[0] != (int64_t)list->as.list.count + binary)
        return rt_fail(r->err, RETORT_FORMAT, "%s: its classes_ do not fit %zu estimators", r->name,
                       list->as.list.count);
    retort_status status = read_list(r, list, binary);
    return status == RETORT_OK ? read_classes(r, classes) : status;
}

/* What joblib.dump writes with a number for `compress`. */
static bool is_compressed(const uint8_t *data, size_t size) {
    static const struct {
        const char *start;
        size_t length;
    } kinds[] = {{"\x78", 1},        {"\x1f\x8b", 2}, {"BZh", 3},
                 {"\xfd\x37zXZ", 5}, {"\x5d\0\0", 3}, {"\x04\x22\x4d\x18", 4}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (size >= kinds[i].length && memcmp(data, kinds[i].start, kinds[i].length) == 0) return true;
    }
    return false;
}

retort_status rt_logistic_read(rt_logistic *out, rt_arena *arena, const char *name, const uint8_t *data,
                               size_t size, retort_error *err) {
    rt_pickle pickle;
    reader r = {out, arena, name, size, err};
    rt_cursor cursor = rt_cursor_make(data, size);
    *out = (rt_logistic){.rows = 0};
    if (is_compressed(data, size))
        return rt_fail(
            err, RETORT_UNSUPPORTED,
            "%s: compressed: joblib.dump(joblib.load('%s'), '%s', compress=0) in Python writes what is read",
            name, name, name);
    retort_status status = rt_pickle_read_estimator(&pickle, arena, name, &cursor, err);
    if (status != RETORT_OK) return status;
    if (is_regression(pickle.root)) return read_alone(&r, pickle.root);
    if (rt_py_is(pickle.root, "sklearn.multiclass", "OneVsRestClassifier") ||
        rt_py_is(pickle.root, "sklearn.multioutput", "MultiOutputClassifier"))
        return read_several(&r, pickle.root);
    return rt_fail(err, RETORT_UNSUPPORTED,
                   "%s: no LogisticRegression, OneVsRestClassifier or MultiOutputClassifier of scikit-learn",
                   name);
}
