/* SPDX-License-Identifier: Apache-2.0 */
#include "tune/split.h"
#include "cli/file.h"
#include "cli/model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SELECT = 1500, MOST_SPEED = 256, FEWEST_ROWS = 12, FEW_SEALED = 300 };

/* How rows stand in a file. */
typedef enum layout { TABLE, QUOTED_TABLE, LINES, BLOCKS } layout;
static const struct {
    const char *ending;
    layout is;
} endings[] = {{".tsv", TABLE},    {".csv", QUOTED_TABLE}, {".jsonl", LINES},
               {".ndjson", LINES}, {".txt", LINES},        {".conll", BLOCKS}};

typedef struct row {
    const char *at; /* in the file's bytes */
    size_t length;
    uint64_t key; /* of its text */
    size_t index;
} row;

typedef struct rows {
    const char *ending;
    layout is;
    char *bytes;
    size_t size;
    const char *header; /* the first line of a table */
    size_t header_length;
    row *items;
    size_t count, capacity;
} rows;

static void rows_free(rows *r) {
    free(r->bytes);
    free(r->items);
}

static cli_code find_layout(rows *r, const char *path) {
    size_t length = strlen(path);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t n = strlen(endings[i].ending);
        if (length < n || strcmp(path + length - n, endings[i].ending) != 0) continue;
        r->ending = endings[i].ending;
        r->is = endings[i].is;
        return CLI_DONE;
    }
    cli_error("%s: tune splits .tsv, .csv, .jsonl, .txt and .conll: name the file after its format", path);
    return CLI_BAD_DATA;
}

static cli_code read_bytes(rows *r, const char *path) {
    FILE *file = fopen(path, "re");
    size_t capacity = 1 << 20;
    r->bytes = file != NULL ? malloc(capacity) : NULL;
    while (r->bytes != NULL) {
        r->size += fread(r->bytes + r->size, 1, capacity - r->size, file);
        if (r->size < capacity) break;
        char *grown = realloc(r->bytes, capacity *= 2);
        if (grown == NULL) free(r->bytes);
        r->bytes = grown;
    }
    bool failed = file == NULL || ferror(file) != 0;
    if (failed) cli_error("%s: cannot read: %s", path, strerror(errno));
    if (file != NULL) fclose(file);
    if (failed) return CLI_BAD_DATA;
    return r->bytes != NULL ? CLI_DONE : cli_no_memory();
}

/* The end of the row at `at`, behind its line feed. */
static const char *row_end(const rows *r, const char *at, const char *end) {
    bool quoted = false, blank = true;
    for (const char *from = at; at < end; at++) {
        if (r->is == QUOTED_TABLE && *at == '"') quoted = !quoted;
        if (*at != '\n' || quoted) {
            blank = blank && (*at == ' ' || *at == '\t' || *at == '\r');
            continue;
        }
        if (r->is != BLOCKS || (blank && at > from)) return at + 1;
        if (at + 1 < end && (at[1] == '\n' || at[1] == '\r')) return at + 1;
        blank = true;
    }
    return end;
}

static bool is_blank(const char *at, const char *end) {
    while (at < end && (*at == '\n' || *at == '\r' || *at == ' ' || *at == '\t')) at++;
    return at == end;
}

static bool add_row(rows *r, const char *at, const char *end) {
    if (r->count == r->capacity) {
        size_t capacity = 2 * r->capacity + 1024;
        row *grown = realloc(r->items, capacity * sizeof *grown);
        if (grown == NULL) return false;
        r->items = grown;
        r->capacity = capacity;
    }
    r->items[r->count] = (row){at, (size_t)(end - at), 0, r->count};
    r->count++;
    return true;
}

static cli_code cut(rows *r) {
    const char *at = r->bytes, *end = r->bytes + r->size;
    if (r->size >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0) at += 3;
    if (r->is == TABLE || r->is == QUOTED_TABLE) {
        r->header = at;
        at = row_end(r, at, end);
        r->header_length = (size_t)(at - r->header);
    }
    while (at < end) {
        const char *next = row_end(r, at, end);
        /* Lines of text may be empty; the reader keeps them. */
        bool skip = is_blank(at, next) && strcmp(r->ending, ".txt") != 0;
        if (!skip && !add_row(r, at, next)) return cli_no_memory();
        at = next;
    }
    return CLI_DONE;
}

/* FNV-1a, and the last step of splitmix64 so that neighbours fall apart. */
static uint64_t hash_text(uint64_t seed, const retort_text *text) {
    uint64_t hash = 0xcbf29ce484222325u ^ (seed * 0x9e3779b97f4a7c15u);
    for (size_t i = 0; i < text->length; i++) hash = (hash ^ (unsigned char)text->text[i]) * 0x100000001b3u;
    hash = (hash ^ 0xff) * 0x100000001b3u;
    for (size_t i = 0; text->pair != NULL && i < text->pair_length; i++)
        hash = (hash ^ (unsigned char)text->pair[i]) * 0x100000001b3u;
    hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9u;
    hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebu;
    return hash ^ (hash >> 31);
}

/* The texts as the model gets them: what stands around them in the file does not matter. */
static cli_code find_keys(rows *r, const cli_args *args, const retort_model *model, const char *path,
                          uint64_t seed) {
    retort_dataset_options options = cli_data_options(args);
    retort_dataset *data = NULL;
    retort_error err;
    retort_text text;
    options.texts_only = true;
    if (retort_dataset_open(&data, path, model, &options, &err) != RETORT_OK) return cli_fail(&err, true);
    size_t count = retort_dataset_count(data);
    if (count != r->count)
        cli_error("%s: %zu texts in %zu rows: tune cannot split this file", path, count, r->count);
    for (size_t i = 0; count == r->count && i < count; i++) {
        retort_dataset_text(data, i, &text);
        r->items[i].key = hash_text(seed, &text);
    }
    retort_dataset_free(data);
    return count == r->count ? CLI_DONE : CLI_BAD_DATA;
}

static cli_code rows_read(rows *r, const cli_args *args, const retort_model *model, const char *path,
                          uint64_t seed) {
    cli_code code = find_layout(r, path);
    if (code == CLI_DONE) code = read_bytes(r, path);
    if (code == CLI_DONE) code = cut(r);
    return code == CLI_DONE ? find_keys(r, args, model, path, seed) : code;
}

static int by_key(const void *a, const void *b) {
    const row *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static void sort_by_key(rows *r) {
    if (r->count > 0) qsort(r->items, r->count, sizeof *r->items, by_key);
}

static int by_index(const void *a, const void *b) {
    const row *x = a, *y = b;
    return x->index < y->index ? -1 : x->index > y->index;
}

static bool has_key(const rows *sorted, uint64_t key) {
    size_t low = 0, high = sorted->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (sorted->items[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low < sorted->count && sorted->items[low].key == key;
}

/* Rows whose text is among those of `other`, which is sorted by keys, go. */
static size_t drop_common(rows *r, const rows *other) {
    size_t kept = 0;
    for (size_t i = 0; i < r->count; i++) {
        if (!has_key(other, r->items[i].key)) r->items[kept++] = r->items[i];
    }
    size_t dropped = r->count - kept;
    r->count = kept;
    return dropped;
}

/* Where a part of about n rows from `first` on ends: equal texts stay together. */
static size_t end_of(const rows *r, size_t first, size_t n) {
    size_t end = first + n < r->count ? first + n : r->count;
    while (end > first && end < r->count && r->items[end].key == r->items[end - 1].key) end++;
    return end;
}

/* Rows first … end - 1, in the order of the file. */
static cli_code write_part(const tune *t, rows *r, size_t first, size_t end, const char *name,
                           char path[TUNE_PATH]) {
    char file[TUNE_NAME];
    snprintf(file, sizeof file, "%s%s", name, r->ending);
    if (!tune_path(path, t->settings->folder, "data", file)) return CLI_USAGE;
    if (end > first) qsort(r->items + first, end - first, sizeof *r->items, by_index);
    FILE *to = cli_create(path);
    if (to == NULL) return CLI_FAILED;
    fwrite(r->header, 1, r->header_length, to);
    for (size_t i = first; i < end; i++) {
        const row *it = &r->items[i];
        fwrite(it->at, 1, it->length, to);
        if (it->length == 0 || it->at[it->length - 1] != '\n') fputc('\n', to);
        if (r->is == BLOCKS) fputc('\n', to);
    }
    return cli_close(to, path, CLI_DONE);
}

static cli_code check_counts(const tune *t, const rows *data) {
    const tune_split *s = &t->split;
    if (s->overlap > 0)
        cli_say("%zu row%s of '%s' %s also in '%s': dropped from what trains and selects", s->overlap,
                s->overlap == 1 ? "" : "s", t->settings->data, s->overlap == 1 ? "is" : "are",
                t->settings->test);
    if (data->count < FEWEST_ROWS) {
        cli_error("%s: %zu rows%s: at least %d are needed to train, select and test", t->settings->data,
                  data->count, s->overlap > 0 ? " that the test has not" : "", FEWEST_ROWS);
        return CLI_BAD_DATA;
    }
    return CLI_DONE;
}

static cli_code write_parts(tune *t, rows *data, rows *test, rows *select) {
    tune_split *s = &t->split;
    bool own_test = t->settings->test == NULL, own_select = t->settings->select == NULL;
    sort_by_key(data);
    size_t sealed = own_test ? end_of(data, 0, data->count / 3) : 0, rest = data->count - sealed;
    size_t chosen =
        own_select ? end_of(data, sealed, rest / 4 < MOST_SELECT ? rest / 4 : MOST_SELECT) : sealed;
    cli_code code = own_test ? write_part(t, data, 0, sealed, "sealed", s->sealed)
                             : write_part(t, test, 0, test->count, "sealed", s->sealed);
    if (code == CLI_DONE)
        code = own_select ? write_part(t, data, sealed, chosen, "select", s->select)
                          : write_part(t, select, 0, select->count, "select", s->select);
    if (code == CLI_DONE) code = write_part(t, data, chosen, data->count, "train", s->train);
    s->sealed_rows = own_test ? sealed : test->count;
    s->select_rows = own_select ? chosen - sealed : select->count;
    s->train_rows = data->count - chosen;
    return code;
}

/* What the speed is measured on: the first texts that select, or those of --texts-like. */
static cli_code write_speed(tune *t, const cli_args *args, const retort_model *model) {
    rows r = {0};
    const char *path = t->settings->texts_like != NULL ? t->settings->texts_like : t->split.select;
    cli_code code = rows_read(&r, args, model, path, 0);
    t->split.speed_rows = r.count < MOST_SPEED ? r.count : MOST_SPEED;
    if (code == CLI_DONE && r.count == 0) {
        cli_error("%s: no texts", path);
        code = CLI_BAD_DATA;
    }
    if (code == CLI_DONE) code = write_part(t, &r, 0, t->split.speed_rows, "speed", t->split.speed);
    rows_free(&r);
    return code;
}

/* Whether there are labels, and how many different ones. A file without labels is one that cannot be read with them. */
static void find_labels(tune *t, const cli_args *args, const retort_model *model) {
    retort_dataset_options options = cli_data_options(args);
    retort_dataset *data = NULL;
    retort_dataset_info info = {.size = sizeof info};
    options.collect = true;
    options.task = t->task;
    if (retort_dataset_open(&data, t->split.select, NULL, &options, NULL) == RETORT_OK) {
        retort_dataset_describe(data, &info);
        t->split.labelled = info.targets != RETORT_TARGETS_NONE;
        t->split.classes = info.labels;
    }
    retort_dataset_free(data);
    (void)model;
}

static void say_parts(const tune *t) {
    const tune_split *s = &t->split;
    cli_say("%zu rows train, %zu select, %zu stay sealed until the end%s", s->train_rows, s->select_rows,
            s->sealed_rows,
            s->labelled ? "" : "; they have no labels: the floor is agreement with the float model");
    if (s->labelled && s->classes == 1)
        cli_say("warning: all rows that select have one label: accuracy cannot tell models apart on them");
    if (s->sealed_rows < FEW_SEALED)
        cli_say("warning: %zu sealed rows cannot show a loss below %.1f points; --test with more rows can",
                s->sealed_rows, 300.0 / (double)s->sealed_rows);
}

cli_code tune_split_write(tune *t, const cli_args *args, const retort_model *model) {
    const tune_settings *settings = t->settings;
    rows data = {0}, test = {0}, select = {0};
    cli_code code = rows_read(&data, args, model, settings->data, (uint64_t)settings->seed);
    if (code == CLI_DONE && settings->test != NULL)
        code = rows_read(&test, args, model, settings->test, (uint64_t)settings->seed);
    if (code == CLI_DONE && settings->select != NULL)
        code = rows_read(&select, args, model, settings->select, (uint64_t)settings->seed);
    sort_by_key(&test);
    if (code == CLI_DONE) t->split.overlap = drop_common(&data, &test) + drop_common(&select, &test);
    if (code == CLI_DONE) {
        sort_by_key(&select);
        drop_common(&data, &select);
        code = check_counts(t, &data);
    }
    if (code == CLI_DONE) code = write_parts(t, &data, &test, &select);
    if (code == CLI_DONE) code = write_speed(t, args, model);
    if (code == CLI_DONE) find_labels(t, args, model);
    if (code == CLI_DONE) say_parts(t);
    rows_free(&select);
    rows_free(&test);
    rows_free(&data);
    return code;
}
