/* SPDX-License-Identifier: Apache-2.0 */
#include "task/arrow_texts.h"
#include "base/utf8.h"

#include <string.h>

/* ---- Strings ---- */

/* Where the bytes of a string are. */
typedef struct place {
    const char *bytes;          /* of its buffer; NULL: there is none */
    int64_t from, length, size; /* in the buffer, which has `size` bytes (-1: nobody says) */
} place;

struct rt_arrow_string_type {
    const char *format;
    int64_t least_buffers;
    place (*at)(const struct ArrowArray *strings, int64_t index);
};

static place between(const struct ArrowArray *strings, int64_t from, int64_t to) {
    return (place){strings->buffers[2], from, to - from, -1};
}

static place at_offsets(const struct ArrowArray *strings, int64_t index) {
    const int32_t *offsets = strings->buffers[1];
    return between(strings, offsets[index], offsets[index + 1]);
}

static place at_large_offsets(const struct ArrowArray *strings, int64_t index) {
    const int64_t *offsets = strings->buffers[1];
    int64_t from = offsets[index], to = offsets[index + 1];
    return from >= 0 && to >= from ? between(strings, from, to) : (place){.from = from, .length = -1};
}

/* A view has 16 bytes: the length; then up to 12 bytes of text, or its first 4, the number of its buffer, and where it
 * begins there. Buffers: validity, views, those of texts, and the sizes of those. */
static place at_view(const struct ArrowArray *strings, int64_t index) {
    enum { VIEW = 16, INLINE = 12, FIRST = 2 };
    const char *view = (const char *)strings->buffers[1] + index * VIEW;
    int32_t length, buffer, from;
    int64_t buffers = strings->n_buffers - FIRST - 1, size;
    memcpy(&length, view, sizeof length);
    if (length <= INLINE) return (place){view, sizeof length, length, VIEW};
    memcpy(&buffer, view + 8, sizeof buffer);
    memcpy(&from, view + 12, sizeof from);
    if (buffer < 0 || buffer >= buffers || strings->buffers[FIRST + buffers] == NULL)
        return (place){.from = from, .length = length};
    memcpy(&size, (const char *)strings->buffers[FIRST + buffers] + (size_t)buffer * sizeof size,
           sizeof size);
    return (place){strings->buffers[FIRST + buffer], from, length, size < 0 ? 0 : size};
}

static const rt_arrow_string_type types[] = {
    {"u", 3, at_offsets}, {"U", 3, at_large_offsets}, {"vu", 3, at_view}};

static bool is_valid(const struct ArrowArray *array, int64_t index) {
    if (array->n_buffers < 1 || array->buffers[0] == NULL || array->null_count == 0) return true;
    return (((const uint8_t *)array->buffers[0])[index / 8] >> index % 8 & 1) != 0;
}

static bool is_whole(place p) {
    return p.from >= 0 && p.length >= 0 && (p.length == 0 || p.bytes != NULL) &&
           (p.size < 0 || p.length <= p.size - p.from);
}

/* Rows [from, from + length) of an array of strings. Their bytes are checked, too: readers of Parquet, such as pyarrow, do not. */
static retort_status check_strings(const rt_arrow_string_type *type, const struct ArrowArray *strings,
                                   int64_t from, int64_t length, retort_error *err) {
    if (strings->n_buffers < type->least_buffers || length < 0 || strings->offset < 0 ||
        (length > 0 && strings->buffers[1] == NULL))
        return rt_fail(err, RETORT_ARGUMENT, "arrow: this is no array of texts: %lld buffers, length %lld",
                       (long long)strings->n_buffers, (long long)strings->length);
    for (int64_t i = from; i < from + length; i++) {
        if (!is_valid(strings, i)) continue;
        place p = type->at(strings, i);
        size_t bad = 0;
        if (!is_whole(p))
            return rt_fail(err, RETORT_ARGUMENT,
                           "arrow: text %lld: offset %lld and length %lld are not in its buffer",
                           (long long)(i - from), (long long)p.from, (long long)p.length);
        if (p.length > 0 && !rt_utf8_valid((const uint8_t *)p.bytes + p.from, (size_t)p.length, &bad))
            return rt_fail(err, RETORT_ARGUMENT, "arrow: text %lld is not UTF-8 from byte %zu on",
                           (long long)(i - from), bad);
    }
    return RETORT_OK;
}

/* ---- Dictionaries ---- */

static int64_t index_at(const rt_arrow_texts *t, int64_t row) {
    uint64_t bits = 0;
    unsigned spare = 64 - 8 * t->index_bytes;
    memcpy(&bits, (const char *)t->indices->buffers[1] + row * t->index_bytes, t->index_bytes);
    return t->index_signed ? (int64_t)(bits << spare) >> spare : (int64_t)bits;
}

static retort_status check_indices(const rt_arrow_texts *t, retort_error *err) {
    const struct ArrowArray *indices = t->indices;
    if (indices->n_buffers != 2 || t->length < 0 || indices->offset < 0 ||
        (t->length > 0 && indices->buffers[1] == NULL))
        return rt_fail(err, RETORT_ARGUMENT, "arrow: these are no indices: %lld buffers, length %lld",
                       (long long)indices->n_buffers, (long long)indices->length);
    for (int64_t i = t->offset; i < t->offset + t->length; i++) {
        if (!is_valid(indices, i)) continue;
        int64_t index = index_at(t, i);
        if (index >= 0 && index < t->strings->length) continue;
        return rt_fail(err, RETORT_ARGUMENT, "arrow: text %lld: index %lld of a dictionary of %lld",
                       (long long)(i - t->offset), (long long)index, (long long)t->strings->length);
    }
    return RETORT_OK;
}

static retort_status open_dictionary(rt_arrow_texts *t, const struct ArrowSchema *schema, retort_error *err) {
    static const char formats[] = "cCsSiIlL"; /* two of each width */
    const char *found = strlen(schema->format) == 1 ? strchr(formats, schema->format[0]) : NULL;
    if (found == NULL || t->indices->dictionary == NULL)
        return rt_fail(err, RETORT_ARGUMENT, "arrow: a dictionary with indices of type '%.20s'",
                       schema->format);
    t->index_bytes = 1u << (found - formats) / 2;
    t->index_signed = (found - formats) % 2 == 0;
    t->strings = t->indices->dictionary;
    retort_status status = check_strings(t->type, t->strings, t->strings->offset, t->strings->length, err);
    return status == RETORT_OK ? check_indices(t, err) : status;
}

/* ---- Columns ---- */

/* What people call a type of Arrow's C data interface. */
static const char *name_of(const char *format) {
    static const struct {
        const char *format, *name;
    } names[] = {{"n", "null"},   {"b", "bool"},       {"c", "int8"},         {"C", "uint8"},
                 {"s", "int16"},  {"S", "uint16"},     {"i", "int32"},        {"I", "uint32"},
                 {"l", "int64"},  {"L", "uint64"},     {"e", "float16"},      {"f", "float"},
                 {"g", "double"}, {"z", "binary"},     {"Z", "large_binary"}, {"vz", "binary_view"},
                 {"+l", "list"},  {"+L", "large_list"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(format, names[i].format) == 0) return names[i].name;
    }
    return format;
}

static retort_status no_texts(const char *format, const char *name, retort_error *err) {
    if (name == NULL && strcmp(format, "+s") == 0)
        return rt_fail(err, RETORT_ARGUMENT, "arrow: a table: name its column of texts");
    return rt_fail(
        err, RETORT_UNSUPPORTED,
        "arrow: texts of type '%.20s': expected utf8, large_utf8, utf8_view, or a dictionary of them",
        name_of(format));
}

/* The child of a record batch. */
static retort_status find_child(rt_arrow_texts *out, const struct ArrowSchema **schema,
                                const struct ArrowArray *array, const char *name, retort_error *err) {
    const struct ArrowSchema *parent = *schema;
    if (strcmp(parent->format, "+s") != 0)
        return rt_fail(err, RETORT_ARGUMENT,
                       "arrow: column '%.80s': the array has type '%.20s', not a struct", name,
                       name_of(parent->format));
    int64_t found = 0;
    const struct ArrowArray *child = NULL;
    for (int64_t i = 0; i < parent->n_children && i < array->n_children; i++) {
        if (parent->children[i]->name == NULL || strcmp(parent->children[i]->name, name) != 0) continue;
        *schema = parent->children[i];
        child = array->children[i];
        found++;
    }
    if (found == 0) return rt_fail(err, RETORT_ARGUMENT, "arrow: there is no column '%.80s'", name);
    if (found > 1)
        return rt_fail(err, RETORT_ARGUMENT, "arrow: %lld columns are named '%.80s'", (long long)found, name);
    if (child->length < array->offset + array->length)
        return rt_fail(err, RETORT_ARGUMENT, "arrow: column '%.80s' has %lld rows, and the struct has %lld",
                       name, (long long)child->length, (long long)(array->offset + array->length));
    out->around = array;
    out->strings = child;
    out->offset = array->offset + child->offset;
    return RETORT_OK;
}

static const rt_arrow_string_type *type_of(const struct ArrowSchema *schema) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(schema->format, types[i].format) == 0) return &types[i];
    }
    return NULL;
}

retort_status rt_arrow_texts_open(rt_arrow_texts *out, const struct ArrowSchema *schema,
                                  const struct ArrowArray *array, const char *name, retort_error *err) {
    retort_status status = RETORT_OK;
    *out = (rt_arrow_texts){.strings = array, .length = array->length, .offset = array->offset};
    if (name != NULL) status = find_child(out, &schema, array, name, err);
    if (status != RETORT_OK) return status;
    const struct ArrowSchema *strings = schema->dictionary != NULL ? schema->dictionary : schema;
    out->type = strings->dictionary == NULL ? type_of(strings) : NULL;
    if (out->type == NULL) return no_texts(strings->format, name, err);
    if (schema->dictionary == NULL)
        return check_strings(out->type, out->strings, out->offset, out->length, err);
    out->indices = out->strings;
    return open_dictionary(out, schema, err);
}

bool rt_arrow_text_at(const rt_arrow_texts *t, int64_t row, retort_text *out) {
    int64_t index = t->offset + row;
    if (t->around != NULL && !is_valid(t->around, t->around->offset + row)) return false;
    if (t->indices != NULL) {
        if (!is_valid(t->indices, index)) return false;
        index = t->strings->offset + index_at(t, index);
    }
    if (!is_valid(t->strings, index)) return false;
    place p = t->type->at(t->strings, index);
    *out = (retort_text){.text = p.length > 0 ? p.bytes + p.from : "", .length = (size_t)p.length};
    return true;
}
