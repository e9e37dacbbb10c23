/* SPDX-License-Identifier: Apache-2.0
 * safetensors by their header, and .retort files, which are such: tensors with their dtypes, shapes, names
 * and offsets, and the metadata. */
#include "mutate.h"

#include "base/tensor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct file {
    json_t *header;
    const uint8_t *data;
    size_t size;
} file;

/* Entry number `index` of the header, __metadata__ left out; NULL when there are none. */
static json_t *some_tensor(dice *d, const file *f, const char **name) {
    const char *key;
    json_t *value, *found = NULL;
    size_t seen = 0;
    json_object_foreach(f->header, key, value) {
        if (strcmp(key, "__metadata__") == 0 || !once_in(d, ++seen)) continue;
        found = value;
        *name = key;
    }
    return found;
}

static size_t number_at(const json_t *list, size_t index) {
    json_int_t value = json_integer_value(json_array_get(list, index));
    return value > 0 ? (size_t)value : 0;
}

static void change_shape(dice *d, json_t *shape) {
    size_t rank = json_array_size(shape), at = roll(d, rank), kind = roll(d, 6);
    json_int_t old = json_integer_value(json_array_get(shape, at));
    if (kind == 0 && rank > 0) {
        json_array_remove(shape, at);
    } else if (kind == 1) {
        json_array_append_new(shape, json_integer(odd_number(d)));
    } else if (kind == 2 && rank > 1) { /* the same number of elements */
        size_t to = roll(d, rank);
        json_int_t other = json_integer_value(json_array_get(shape, to));
        json_array_set_new(shape, to, json_integer(old));
        json_array_set_new(shape, at, json_integer(other));
    } else if (kind == 3 && rank > 0) {
        json_array_insert_new(shape, at, json_integer(1));
    } else if (rank > 0) {
        json_int_t near = old < INT32_MAX && old > INT32_MIN ? old + (json_int_t)roll(d, 3) - 1 : 0;
        json_array_set_new(shape, at, json_integer(kind == 4 ? near : odd_number(d)));
    }
}

/* Bytes that the entry's dtype and shape ask for, when that is not much. */
static bool needed(const json_t *entry, size_t *bytes) {
    static const struct {
        const char *name;
        size_t size;
    } rows[] = {{"F32", 4}, {"I32", 4}, {"F16", 2}, {"BF16", 2},
                {"I64", 8}, {"U8", 1},  {"I8", 1},  {"BOOL", 1}};
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    const json_t *shape = json_object_get(entry, "shape");
    int64_t dims[RT_MAX_RANK];
    size_t rank = json_array_size(shape), count;
    if (dtype == NULL || rank > RT_MAX_RANK) return false;
    for (size_t i = 0; i < rank; i++) dims[i] = json_integer_value(json_array_get(shape, i));
    if (!rt_shape_count(dims, (int)rank, &count) || count > 1 << 14) return false;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].name, dtype) != 0) continue;
        *bytes = count * rows[i].size;
        return true;
    }
    return false;
}

/* The entry's data has as many bytes as it needs; what follows moves. */
static void fit_data(file *f, json_t *entry, uint8_t **owned) {
    json_t *offsets = json_object_get(entry, "data_offsets");
    size_t begin = number_at(offsets, 0), end = number_at(offsets, 1), bytes;
    const char *key;
    json_t *other;
    if (!needed(entry, &bytes) || begin > end || end > f->size || bytes == end - begin) return;
    uint8_t *moved = take(f->size - (end - begin) + bytes + 1, 1);
    memcpy(moved, f->data, begin);
    for (size_t i = 0; i < bytes && end > begin; i++) moved[begin + i] = f->data[begin + i % (end - begin)];
    memcpy(moved + begin + bytes, f->data + end, f->size - end);
    json_object_foreach(f->header, key, other) {
        json_t *list = json_object_get(other, "data_offsets");
        for (size_t i = 0; i < json_array_size(list); i++) {
            size_t at = number_at(list, i);
            if (at < end || other == entry) continue;
            json_array_set_new(list, i, json_integer((json_int_t)(at - (end - begin) + bytes)));
        }
    }
    json_array_set_new(offsets, 1, json_integer((json_int_t)(begin + bytes)));
    f->size = f->size - (end - begin) + bytes;
    f->data = moved;
    free(*owned);
    *owned = moved;
}

static void change_entry(dice *d, file *f, uint8_t **owned) {
    static const char *const dtypes[] = {"F32", "F16", "BF16", "I64", "I32", "I8", "U8", "BOOL", "F64", "x"};
    const char *name = NULL, *other = NULL;
    json_t *entry = some_tensor(d, f, &name);
    size_t kind = roll(d, 10);
    if (entry == NULL) return;
    json_t *offsets = json_object_get(entry, "data_offsets");
    size_t begin = number_at(offsets, 0), end = number_at(offsets, 1);
    if (kind < 3) {
        change_shape(d, json_object_get(entry, "shape"));
    } else if (kind == 3) {
        json_object_set_new(entry, "dtype", json_string(PICK(d, dtypes)));
    } else if (kind == 4 && json_array_size(offsets) == 2) {
        json_array_set_new(offsets, roll(d, 2), json_integer(odd_number(d)));
        return;
    } else if (kind == 5) {
        json_t *second = some_tensor(d, f, &other);
        json_t *a = json_deep_copy(entry), *b = json_deep_copy(second);
        char *kept = take_text(name, strlen(name)); /* the key lives as long as its entry */
        json_object_set_new(f->header, other, a);
        json_object_set_new(f->header, kept, b);
        free(kept);
        return;
    } else if (kind == 6 && once_in(d, 4)) {
        json_object_del(f->header, name);
        return;
    } else if (begin < end && end <= f->size) {
        uint8_t *copy = take(f->size, 1);
        memcpy(copy, f->data, f->size);
        change_bytes(d, copy + begin, end - begin);
        free(*owned);
        f->data = *owned = copy;
    }
    if (!once_in(d, 4)) fit_data(f, entry, owned);
}

static void change_pair(dice *d, json_t *metadata) {
    const char *key, *name = NULL, *value = NULL;
    json_t *item;
    size_t seen = 0;
    json_object_foreach(metadata, key, item) {
        if (!json_is_string(item) || !once_in(d, ++seen)) continue;
        name = key;
        value = json_string_value(item);
    }
    if (name == NULL) return;
    char *changed = change_metadata(d, name, value);
    json_object_set_new(metadata, name, json_string(changed));
    free(changed);
}

/* Header and data as a file, whose data begins at a multiple of 64 as in those that we write. */
static size_t put_file(const file *f, uint8_t *out, size_t most) {
    size_t length = json_dumpb(f->header, NULL, 0, JSON_COMPACT), padded = rt_round_up(length + 8, 64) - 8;
    if (length == 0 || padded + 8 + f->size > most) return 0;
    for (size_t i = 0; i < 8; i++) out[i] = (uint8_t)((uint64_t)padded >> 8 * i);
    memset(out + 8, ' ', padded);
    json_dumpb(f->header, (char *)out + 8, length, JSON_COMPACT);
    memcpy(out + 8 + padded, f->data, f->size);
    return padded + 8 + f->size;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    dice d = {seed};
    uint64_t length = 0;
    if (size >= 8) memcpy(&length, data, sizeof length);
    json_t *header = size >= 8 && length <= size - 8 && !once_in(&d, 32)
                         ? json_loadb((const char *)data + 8, (size_t)length, JSON_REJECT_DUPLICATES, NULL)
                         : NULL;
    if (!json_is_object(header)) {
        json_decref(header);
        return LLVMFuzzerMutate(data, size, max_size);
    }
    uint8_t *owned = take(size, 1);
    memcpy(owned, data + 8 + length, size - 8 - (size_t)length);
    file f = {.header = header, .data = owned, .size = size - 8 - (size_t)length};
    json_t *metadata = json_object_get(header, "__metadata__");
    do {
        if (json_object_size(metadata) > 0 && once_in(&d, 2)) {
            change_pair(&d, metadata);
        } else {
            change_entry(&d, &f, &owned);
        }
    } while (once_in(&d, 2));
    size_t written = put_file(&f, data, max_size);
    json_decref(header);
    free(owned);
    return written > 0 ? written : LLVMFuzzerMutate(data, size, max_size);
}
