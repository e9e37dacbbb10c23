/* SPDX-License-Identifier: Apache-2.0
 * What torch.save writes: a zip archive (torch 1.6 and later), or five pickles in a row
 * followed by the data. */
#include "base/cursor.h"
#include "format/format.h"
#include "format/pickle.h"
#include "format/zip.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* PROTO 2, LONG1 of the number 0x1950a86a20f9469cfc6c, STOP. */
static const uint8_t LEGACY_MAGIC[] = {0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46,
                                       0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e};
enum { LEGACY_VERSION = 1001, PICKLE_MAGIC = 0x80, MAX_KEY = 512 };

typedef struct reader {
    rt_tensors *out;
    rt_arena arena; /* the pickle's values: gone when the tensors are out */
    const char *name;
    size_t copied, copy_limit; /* bytes of tensors brought into order */
    retort_error *err;
} reader;

/* ---- State dict → tensors ---- */

static bool is_contiguous(const rt_py_tensor *t) {
    int64_t expected = 1;
    for (int i = t->rank; i-- > 0;) {
        if (t->shape[i] != 1 && t->stride[i] != expected) return false;
        expected *= t->shape[i];
    }
    return true;
}

/* Elements in row-major order; `at` counts like an odometer. */
static void copy_strided(uint8_t *out, const rt_py_tensor *t, size_t count, size_t unit) {
    int64_t at[RT_MAX_RANK] = {0};
    for (size_t n = 0; n < count; n++) {
        size_t from = t->offset;
        for (int i = 0; i < t->rank; i++) from += (size_t)(at[i] * t->stride[i]);
        memcpy(out + n * unit, t->storage->data + from * unit, unit);
        for (int i = t->rank; i-- > 0 && ++at[i] == t->shape[i];) at[i] = 0;
    }
}

static retort_status add_tensor(reader *r, const char *name, const rt_py_tensor *t) {
    size_t count = 0, unit = rt_dtype_size(t->storage->dtype);
    rt_tensor tensor = {.name = name, .dtype = t->storage->dtype, .rank = t->rank};
    memcpy(tensor.shape, t->shape, sizeof tensor.shape);
    rt_shape_count(t->shape, t->rank, &count); /* fits: the interpreter compared it with the storage */
    tensor.data = t->storage->data + t->offset * unit;
    if (count > 0 && !is_contiguous(t)) {
        r->copied += count * unit;
        if (r->copied > r->copy_limit) {
            return rt_fail(r->err, RETORT_LIMIT,
                           "%s: tensor '%s': transposed tensors take more than the file, %zu bytes", r->name,
                           name, r->copy_limit);
        }
        uint8_t *copy = rt_arena_calloc(&r->out->arena, count, unit);
        if (copy == NULL) return rt_fail_nomem(r->err, count * unit);
        copy_strided(copy, t, count, unit);
        tensor.data = copy;
    }
    return rt_tensors_add(r->out, r->name, &tensor, r->err);
}

/* The dict that holds the tensors: the object itself, or under a name that training scripts use. */
static const rt_py *state_dict(const rt_py *root) {
    static const char *const nested[] = {"state_dict", "model_state_dict", "model"};
    for (size_t i = 0; i < sizeof nested / sizeof *nested; i++) {
        const rt_py *inner = rt_py_get(root, nested[i]);
        if (inner != NULL && inner->kind == RT_PY_DICT) return inner;
    }
    return root;
}

static retort_status add_tensors(reader *r, const rt_py *root) {
    const rt_py *dict = state_dict(root);
    size_t before = r->out->count;
    if (dict->kind != RT_PY_DICT) {
        return rt_fail(r->err, RETORT_FORMAT, "%s: holds no state dict (a dict of tensors)", r->name);
    }
    for (size_t i = 0; i < dict->as.list.count; i += 2) {
        const rt_py *key = dict->as.list.items[i], *value = dict->as.list.items[i + 1];
        if (key->kind != RT_PY_TEXT || value->kind != RT_PY_TENSOR) continue;
        if (strlen(key->as.text.bytes) != key->as.text.length) {
            return rt_fail(r->err, RETORT_FORMAT, "%s: a tensor's name holds a zero byte", r->name);
        }
        retort_status status = add_tensor(r, key->as.text.bytes, value->as.tensor);
        if (status != RETORT_OK) return status;
    }
    if (r->out->count > before) return RETORT_OK;
    return rt_fail(r->err, RETORT_FORMAT, "%s: its state dict has no tensors", r->name);
}

static bool storage_bytes(const rt_py_storage *storage, size_t *bytes) {
    return rt_mul(storage->count, rt_dtype_size(storage->dtype), bytes);
}

/* ---- Zip ---- */

bool rt_torch_zip_probe(const uint8_t *data, size_t size) {
    return size >= 4 && memcmp(data, "PK\3\4", 4) == 0;
}

/* The archive's folder: what stands before "/data.pkl". */
static const char *zip_root(reader *r, const rt_zip *zip) {
    for (size_t i = 0; i < zip->count; i++) {
        const char *slash = strchr(zip->entries[i].name, '/');
        if (slash == NULL || strcmp(slash, "/data.pkl") != 0) continue;
        return rt_arena_text(&r->arena, zip->entries[i].name, (size_t)(slash - zip->entries[i].name));
    }
    return NULL;
}

static const rt_zip_entry *zip_part(const rt_zip *zip, const char *root, const char *folder,
                                    const char *part) {
    char path[2 * MAX_KEY];
    int n = snprintf(path, sizeof path, "%s/%s%s", root, folder, part);
    return n >= 0 && (size_t)n < sizeof path ? rt_zip_find(zip, path) : NULL;
}

static retort_status zip_storages(const reader *r, const rt_zip *zip, const char *root,
                                  rt_py_storage *storage) {
    for (; storage != NULL; storage = storage->next) {
        const rt_zip_entry *entry = zip_part(zip, root, "data/", storage->key);
        size_t bytes;
        if (entry == NULL) {
            return rt_fail(r->err, RETORT_FORMAT, "%s: storage '%.64s' is not in the archive", r->name,
                           storage->key);
        }
        if (!storage_bytes(storage, &bytes) || entry->size != bytes) {
            return rt_fail(r->err, RETORT_FORMAT,
                           "%s: storage '%.64s': expected %zu elements of %s, found %zu bytes", r->name,
                           storage->key, storage->count, retort_dtype_name(storage->dtype), entry->size);
        }
        storage->data = entry->data;
    }
    return RETORT_OK;
}

static retort_status check_zip_kind(const reader *r, const rt_zip *zip, const char *root) {
    const rt_zip_entry *order = zip_part(zip, root, "", "byteorder");
    if (order != NULL && (order->size != 6 || memcmp(order->data, "little", 6) != 0)) {
        return rt_fail(r->err, RETORT_UNSUPPORTED, "%s: written on a big-endian machine", r->name);
    }
    if (zip_part(zip, root, "", "constants.pkl") != NULL) {
        return rt_fail(r->err, RETORT_UNSUPPORTED, "%s: a TorchScript program, not a state dict", r->name);
    }
    return RETORT_OK;
}

static retort_status read_zip(reader *r, const uint8_t *data, size_t size) {
    rt_zip zip;
    rt_pickle pickle;
    retort_status status = rt_zip_read(&zip, &r->arena, r->name, data, size, r->err);
    if (status != RETORT_OK) return status;
    const char *root = zip_root(r, &zip);
    const rt_zip_entry *entry = root == NULL ? NULL : zip_part(&zip, root, "", "data.pkl");
    if (entry == NULL) return rt_fail(r->err, RETORT_FORMAT, "%s: a zip archive without data.pkl", r->name);
    status = check_zip_kind(r, &zip, root);
    if (status != RETORT_OK) return status;
    rt_cursor cursor = rt_cursor_make(entry->data, entry->size);
    status = rt_pickle_read(&pickle, &r->arena, r->name, &cursor, r->err);
    if (status == RETORT_OK) status = zip_storages(r, &zip, root, pickle.storages);
    return status == RETORT_OK ? add_tensors(r, pickle.root) : status;
}

/* ---- Legacy ---- */

bool rt_torch_legacy_probe(const uint8_t *data, size_t size) {
    return size >= 2 && data[0] == PICKLE_MAGIC && data[1] < 6;
}

static int compare_keys(const void *a, const void *b) {
    const rt_py_storage *const *left = a, *const *right = b;
    return strcmp((*left)->key, (*right)->key);
}

/* Storages sorted by key; those of one key must agree. */
static retort_status sort_storages(reader *r, rt_py_storage *list, rt_py_storage ***out, size_t *count) {
    size_t n = 0;
    for (const rt_py_storage *s = list; s != NULL; s = s->next) n++;
    rt_py_storage **sorted = rt_arena_calloc(&r->arena, n, sizeof *sorted);
    if (sorted == NULL) return rt_fail_nomem(r->err, n * sizeof *sorted);
    *out = sorted;
    *count = n;
    for (n = 0; list != NULL; list = list->next) sorted[n++] = list;
    if (n > 1) qsort(sorted, n, sizeof(rt_py_storage *), compare_keys);
    for (size_t i = 1; i < n; i++) {
        const rt_py_storage *a = sorted[i - 1], *b = sorted[i];
        if (strcmp(a->key, b->key) == 0 && (a->dtype != b->dtype || a->count != b->count)) {
            return rt_fail(r->err, RETORT_FORMAT,
                           "%s: storage '%.64s' has %zu and %zu elements, or two types", r->name, a->key,
                           a->count, b->count);
        }
    }
    return RETORT_OK;
}

/* Fills every mention of one key from the cursor: i64 number of elements, then the elements. */
static retort_status legacy_storage(const reader *r, const char *key, rt_py_storage **sorted, size_t count,
                                    rt_cursor *cursor) {
    rt_py_storage probe = {.key = key}, *wanted = &probe;
    rt_py_storage **found = count == 0 ? NULL : bsearch(&wanted, sorted, count, sizeof *sorted, compare_keys);
    if (found == NULL || (*found)->data != NULL) {
        return rt_fail(r->err, RETORT_FORMAT, "%s: storage '%.64s' is listed, but %s", r->name, key,
                       found == NULL ? "no tensor uses it" : "not for the first time");
    }
    uint64_t stated = 0;
    size_t bytes = 0;
    const uint8_t *data = NULL;
    if (rt_take_u64(cursor, &stated) && stated == (*found)->count && storage_bytes(*found, &bytes)) {
        data = rt_take(cursor, bytes);
    }
    if (data == NULL) {
        return rt_fail(r->err, RETORT_FORMAT,
                       "%s: storage '%.64s': expected %zu elements of %s, found %" PRIu64 " in %zu bytes",
                       r->name, key, (*found)->count, retort_dtype_name((*found)->dtype), stated,
                       rt_cursor_left(cursor));
    }
    while (found > sorted && strcmp(found[-1]->key, key) == 0) found--;
    for (; found < sorted + count && strcmp((*found)->key, key) == 0; found++) (*found)->data = data;
    return RETORT_OK;
}

static retort_status legacy_data(reader *r, const rt_py *keys, rt_py_storage *storages, rt_cursor *cursor) {
    rt_py_storage **sorted = NULL;
    size_t count = 0;
    retort_status status = sort_storages(r, storages, &sorted, &count);
    if (status == RETORT_OK && keys->kind != RT_PY_LIST) {
        status = rt_fail(r->err, RETORT_FORMAT, "%s: its fifth pickle is not the list of storages", r->name);
    }
    for (size_t i = 0; status == RETORT_OK && i < keys->as.list.count; i++) {
        const rt_py *key = keys->as.list.items[i];
        if (key->kind != RT_PY_TEXT)
            return rt_fail(r->err, RETORT_FORMAT, "%s: a storage's key is not a string", r->name);
        status = legacy_storage(r, key->as.text.bytes, sorted, count, cursor);
    }
    for (size_t i = 0; status == RETORT_OK && i < count; i++) {
        if (sorted[i]->data == NULL) {
            status =
                rt_fail(r->err, RETORT_FORMAT, "%s: storage '%.64s' has no data", r->name, sorted[i]->key);
        }
    }
    return status;
}

/* The second and third pickle: the protocol's version, and a dict that tells the byte order. */
static retort_status legacy_preamble(reader *r, rt_cursor *cursor) {
    rt_pickle version = {0}, system = {0};
    retort_status status = rt_pickle_read(&version, &r->arena, r->name, cursor, r->err);
    if (status == RETORT_OK &&
        (version.root->kind != RT_PY_INT || version.root->as.integer != LEGACY_VERSION)) {
        return rt_fail(r->err, RETORT_UNSUPPORTED, "%s: not version %d of torch's legacy format", r->name,
                       LEGACY_VERSION);
    }
    if (status == RETORT_OK) status = rt_pickle_read(&system, &r->arena, r->name, cursor, r->err);
    if (status != RETORT_OK) return status;
    const rt_py *little = rt_py_get(system.root, "little_endian");
    if (little != NULL && little->kind == RT_PY_BOOL && little->as.integer == 1) return RETORT_OK;
    return rt_fail(r->err, RETORT_UNSUPPORTED, "%s: written on a big-endian machine", r->name);
}

static retort_status read_legacy(reader *r, const uint8_t *data, size_t size) {
    rt_cursor cursor = rt_cursor_make(data, size);
    if (data[1] > 2) {
        return rt_fail(r->err, RETORT_UNSUPPORTED,
                       "%s: pickle protocol %d is not supported; torch.save writes 2 by default", r->name,
                       data[1]);
    }
    const uint8_t *magic = rt_take(&cursor, sizeof LEGACY_MAGIC);
    if (magic == NULL || memcmp(magic, LEGACY_MAGIC, sizeof LEGACY_MAGIC) != 0) {
        return rt_fail(r->err, RETORT_FORMAT, "%s: a pickle, but not one that torch.save wrote", r->name);
    }
    rt_pickle object = {0}, keys = {0};
    retort_status status = legacy_preamble(r, &cursor);
    if (status == RETORT_OK) status = rt_pickle_read(&object, &r->arena, r->name, &cursor, r->err);
    if (status == RETORT_OK) status = rt_pickle_read(&keys, &r->arena, r->name, &cursor, r->err);
    if (status == RETORT_OK) status = legacy_data(r, keys.root, object.storages, &cursor);
    if (status == RETORT_OK && rt_cursor_left(&cursor) > 0) {
        status = rt_fail(r->err, RETORT_FORMAT, "%s: %zu bytes after the last storage", r->name,
                         rt_cursor_left(&cursor));
    }
    return status == RETORT_OK ? add_tensors(r, object.root) : status;
}

static retort_status read_with(retort_status (*read)(reader *, const uint8_t *, size_t), rt_tensors *out,
                               const char *name, const uint8_t *data, size_t size, retort_error *err) {
    reader r = {.out = out, .name = name, .copy_limit = size, .err = err};
    retort_status status = read(&r, data, size);
    rt_arena_free(&r.arena);
    return status;
}

retort_status rt_torch_zip_read(rt_tensors *out, const char *name, const uint8_t *data, size_t size,
                                retort_error *err) {
    return read_with(read_zip, out, name, data, size, err);
}
retort_status rt_torch_legacy_read(rt_tensors *out, const char *name, const uint8_t *data, size_t size,
                                   retort_error *err) {
    return read_with(read_legacy, out, name, data, size, err);
}

retort_status rt_torch_parse(rt_tensors *out, const char *name, const uint8_t *data, size_t size,
                             retort_error *err) {
    static const rt_format zip = {"torch zip", rt_torch_zip_probe, rt_torch_zip_read, NULL};
    static const rt_format legacy = {"torch legacy", rt_torch_legacy_probe, rt_torch_legacy_read, NULL};
    bool pickled = rt_torch_legacy_probe(data, size);
    return rt_tensors_parse(out, pickled ? &legacy : &zip, name, data, size, err);
}
