/* SPDX-License-Identifier: Apache-2.0
 * Opens a data set: finds its form, and has it read. */
#include "eval/dataset.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 16, MAX_BYTES = 512 << 20 };

static retort_status lines_read(retort_dataset *data, rt_lines lines, const rt_config *config,
                                retort_error *err) {
    (void)config;
    retort_status status = RETORT_OK;
    rt_sample sample = {0};
    while (status == RETORT_OK && rt_lines_next(&lines, &sample.text)) {
        sample.line = lines.number;
        status = rt_dataset_add(data, &sample, err);
    }
    return status;
}

static bool name_ends_with(const char *name, const char *ending) {
    size_t n = strlen(name), m = strlen(ending);
    return n >= m && strcmp(name + n - m, ending) == 0;
}

static bool has_text_column(retort_text header, char separator) {
    for (retort_text field; rt_field_next(&header, separator, &field);) {
        bool quoted = field.length >= 2 && field.text[0] == '"' && field.text[field.length - 1] == '"';
        retort_text name = {.text = field.text + quoted, .length = field.length - 2 * (size_t)quoted};
        if (rt_is_text_column(&name)) return true;
    }
    return false;
}

/* Whether the first line is a complete object and others follow. */
static bool is_json_lines(rt_lines lines) {
    retort_text first = {0}, second = {0};
    rt_lines_next(&lines, &first);
    bool more;
    while ((more = rt_lines_next(&lines, &second)) && second.length == 0) {
    }
    return more && first.length > 1 && first.text[0] == '{' && first.text[first.length - 1] == '}';
}

typedef struct form {
    rt_data_kind kind;
    retort_table_format format; /* of a table */
} form;

/* Formats recognised by the file name. */
static const struct {
    const char *ending;
    form is;
} endings[] = {{".json", {RT_DATA_ANSWERS, 0}},
               {".conll", {RT_DATA_WORDS, 0}},
               {".txt", {RT_DATA_LINES, 0}},
               {".tsv", {RT_DATA_TABLE, RETORT_TABLE_TSV}},
               {".csv", {RT_DATA_TABLE, RETORT_TABLE_CSV}},
               {".jsonl", {RT_DATA_TABLE, RETORT_TABLE_JSONL}},
               {".ndjson", {RT_DATA_TABLE, RETORT_TABLE_JSONL}}};

/* The format by the file name, or else by the first line, or else by the task. */
static form probe(const char *name, rt_lines lines, retort_task task, bool columns) {
    form json = {RT_DATA_TABLE, RETORT_TABLE_JSONL}, tsv = {RT_DATA_TABLE, RETORT_TABLE_TSV},
         csv = {RT_DATA_TABLE, RETORT_TABLE_CSV};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        bool squad = endings[i].is.kind == RT_DATA_ANSWERS;
        if (name_ends_with(name, endings[i].ending))
            return squad && is_json_lines(lines) ? json : endings[i].is;
    }
    retort_text first = {0};
    bool objects = is_json_lines(lines);
    rt_lines_next(&lines, &first);
    bool tab = memchr(first.text, '\t', first.length) != NULL;
    if (objects || (first.length > 0 && first.text[0] == '{' && task != RETORT_TASK_ANSWER)) return json;
    if (has_text_column(first, '\t') || (columns && tab)) return tsv;
    if (has_text_column(first, ',') || columns) return csv;
    if (task == RETORT_TASK_TAG) return (form){RT_DATA_WORDS, 0};
    if (task == RETORT_TASK_ANSWER) return (form){RT_DATA_ANSWERS, 0};
    return tab ? tsv : (form){RT_DATA_LINES, 0};
}

typedef retort_status (*read_fn)(retort_dataset *, rt_lines, const rt_config *, retort_error *);
static const read_fn readers[] = {
    [RT_DATA_LINES] = lines_read,
    [RT_DATA_WORDS] = rt_conll_read,
    [RT_DATA_ANSWERS] = rt_squad_read,
};

/* Files that hold a table, or texts, in another form. */
static retort_status refuse_packed(const char *name, const void *bytes, size_t size, retort_error *err) {
    static const struct {
        const char magic[5];
        size_t length;
        const char *what;
    } forms[] = {{"\x1f\x8b", 2, "gzip: unpack it first: zcat FILE | retort … --data -"},
                 {"\x28\xb5\x2f\xfd", 4, "zstd: unpack it first: zstdcat FILE | retort … --data -"},
                 {"PAR1", 4, "Parquet: convert it to CSV (docs/tables.md)"}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (size >= forms[i].length && memcmp(bytes, forms[i].magic, forms[i].length) == 0)
            return rt_fail(err, RETORT_FORMAT, "%s: this is %s", name, forms[i].what);
    }
    return RETORT_OK;
}

static retort_status read_into(retort_dataset *out, const void *bytes, size_t size, const rt_config *config,
                               const retort_dataset_options *options, retort_error *err) {
    rt_lines lines = {bytes, (const char *)bytes + size, 0};
    bool columns =
        options->text_column != NULL || options->pair_column != NULL || options->label_column != NULL;
    if (size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) lines.at += 3;
    if (lines.at == lines.end) return rt_fail(err, RETORT_FORMAT, "%s: the file is empty", out->name);
    if (size >= 2 && (memcmp(bytes, "\xff\xfe", 2) == 0 || memcmp(bytes, "\xfe\xff", 2) == 0))
        return rt_fail(err, RETORT_FORMAT,
                       "%s: this is UTF-16: expected UTF-8 (iconv -f UTF-16 -t UTF-8 writes it)", out->name);
    if (refuse_packed(out->name, bytes, size, err) != RETORT_OK) return RETORT_FORMAT;
    form found = probe(out->name, lines, options->collect ? options->task : config->task, columns);
    out->kind = found.kind;
    out->texts_only = options->texts_only;
    out->collects = options->collect && !options->texts_only;
    rt_config own = *config;
    if (out->collects) own.task = found.kind == RT_DATA_WORDS ? RETORT_TASK_TAG : options->task;
    if (out->collects) own.labels = 0;
    if (columns && found.kind != RT_DATA_TABLE) {
        return rt_fail(err, RETORT_ARGUMENT, "%s: columns are named, but this is not a table", out->name);
    }
    retort_status status = found.kind == RT_DATA_TABLE
                               ? rt_table_read(out, lines, found.format, &own, options, err)
                               : readers[out->kind](out, lines, &own, err);
    if (status == RETORT_OK && out->count == 0) {
        return rt_fail(err, RETORT_FORMAT, "%s: it contains no text", out->name);
    }
    return status == RETORT_OK ? rt_dataset_collect(out, &own, options->targets, err) : status;
}

static retort_dataset *dataset_new(const char *name) {
    retort_dataset *data = rt_calloc(1, sizeof *data);
    if (data == NULL) return NULL;
    data->name = rt_arena_text(&data->arena, name, strlen(name));
    if (data->name != NULL) return data;
    retort_dataset_free(data);
    return NULL;
}

retort_status rt_dataset_parse(retort_dataset **out, const char *name, const void *bytes, size_t size,
                               const rt_config *config, const retort_dataset_options *options,
                               retort_error *err) {
    retort_dataset *data = dataset_new(name);
    if (data == NULL) return rt_fail_nomem(err, sizeof *data);
    retort_status status = read_into(data, bytes, size, config, options, err);
    if (status == RETORT_OK) {
        *out = data;
    } else {
        retort_dataset_free(data);
    }
    return status;
}

/* Reads all bytes of a pipe or a device. */
static retort_status read_whole(char **out, size_t *size, const char *path, retort_error *err) {
    size_t capacity = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) return rt_fail(err, RETORT_IO, "%s: cannot open: %s", path, strerror(errno));
    retort_status status = RETORT_OK;
    *size = 0;
    for (ssize_t n = 1; status == RETORT_OK && n != 0;) {
        if (!rt_grow((void **)out, &capacity, *size + READ_BYTES, 1)) {
            status = rt_fail_nomem(err, *size + READ_BYTES);
            break;
        }
        n = read(fd, *out + *size, READ_BYTES);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) status = rt_fail(err, RETORT_IO, "%s: cannot read: %s", path, strerror(errno));
        *size += n > 0 ? (size_t)n : 0;
        if (*size > MAX_BYTES)
            status = rt_fail(err, RETORT_LIMIT, "%s: more than %d MB: only a regular file may be larger",
                             path, MAX_BYTES >> 20);
    }
    close(fd);
    return status;
}

static retort_status open_stream(retort_dataset **out, const char *path, const rt_config *config,
                                 const retort_dataset_options *options, retort_error *err) {
    char *bytes = NULL;
    size_t size = 0;
    retort_status status = read_whole(&bytes, &size, path, err);
    if (status == RETORT_OK) status = rt_dataset_parse(out, path, bytes, size, config, options, err);
    if (status == RETORT_OK) {
        (*out)->bytes = bytes;
    } else {
        free(bytes);
    }
    return status;
}

retort_status rt_dataset_open(retort_dataset **out, const char *path, const rt_config *config,
                              const retort_dataset_options *options, retort_error *err) {
    rt_map map;
    struct stat info;
    bool stream = stat(path, &info) == 0 && (S_ISFIFO(info.st_mode) || S_ISCHR(info.st_mode));
    if (stream) return open_stream(out, path, config, options, err);
    retort_status status = rt_map_open(&map, path, err);
    if (status != RETORT_OK) return status;
    status = rt_dataset_parse(out, path, map.data, map.size, config, options, err);
    if (status == RETORT_OK) {
        (*out)->map = map;
    } else {
        rt_map_close(&map);
    }
    return status;
}
