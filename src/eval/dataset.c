/* SPDX-License-Identifier: Apache-2.0 */
#include "eval/dataset.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 16, MOST_BYTES = 512 << 20 };

bool rt_text_is(const retort_text *text, const char *word) {
    return strlen(word) == text->length && memcmp(text->text, word, text->length) == 0;
}

bool rt_field_next(retort_text *rest, char separator, retort_text *field) {
    if (rest->text == NULL) return false;
    const char *end = memchr(rest->text, separator, rest->length);
    *field = (retort_text){.text = rest->text, .length = rest->length};
    if (end == NULL) {
        *rest = (retort_text){0};
        return true;
    }
    field->length = (size_t)(end - rest->text);
    *rest = (retort_text){.text = end + 1, .length = rest->length - field->length - 1};
    return true;
}

bool rt_lines_next(rt_lines *lines, retort_text *line) {
    if (lines->at == lines->end) return false;
    retort_text rest = {.text = lines->at, .length = (size_t)(lines->end - lines->at)};
    rt_field_next(&rest, '\n', line);
    lines->at = rest.text != NULL ? rest.text : lines->end;
    lines->number++;
    if (line->length > 0 && line->text[line->length - 1] == '\r') line->length--;
    return true;
}

retort_status rt_dataset_add(retort_dataset *data, const rt_sample *sample, retort_error *err) {
    if (!rt_grow((void **)&data->samples, &data->capacity, data->count + 1, sizeof *sample)) {
        return rt_fail_nomem(err, (data->count + 1) * sizeof *sample);
    }
    data->samples[data->count++] = *sample;
    return RETORT_OK;
}

retort_status rt_dataset_part(retort_dataset *data, const retort_text *part, retort_error *err) {
    if (!rt_grow((void **)&data->parts, &data->part_capacity, data->part_count + 1, sizeof *part)) {
        return rt_fail_nomem(err, (data->part_count + 1) * sizeof *part);
    }
    data->parts[data->part_count++] = *part;
    return RETORT_OK;
}

/* The label number, or -1 if the text is not a number below `labels`. */
static int64_t label_number(const retort_text *value, int64_t labels) {
    int64_t number = 0;
    for (size_t i = 0; i < value->length; i++) {
        if (value->text[i] < '0' || value->text[i] > '9') return -1;
        number = number * 10 + (value->text[i] - '0');
        if (number >= labels) return -1;
    }
    return value->length > 0 ? number : -1;
}

/* False if out of memory. */
static bool note_labels(retort_dataset *data, const rt_config *config) {
    int known;
    bool fine = true;
    for (int64_t i = 0; fine && config->label_names != NULL && i < config->labels; i++) {
        fine = rt_names_add(&data->labels, config->label_names[i], (int)i, &known);
    }
    return fine;
}

static retort_status refuse_label(const retort_dataset *data, size_t line, const retort_text *value,
                                  const rt_config *config, retort_error *err) {
    char known[200] = "";
    int64_t i = 0;
    for (size_t n = 0; config->label_names != NULL && i < config->labels; i++) {
        const char *name = config->label_names[i];
        if (i > 0 && n + strlen(name) + sizeof ", '', …" > sizeof known) break;
        n += (size_t)snprintf(known + n, sizeof known - n, "%s'%.100s'", i > 0 ? ", " : ": ", name);
    }
    return rt_fail(err, RETORT_FORMAT, "%s:%zu: label '%.*s': the model has no such label (it has %lld%s%s)",
                   data->name, line, (int)rt_min(value->length, 80), value->text, (long long)config->labels,
                   known, i > 0 && i < config->labels ? ", …" : "");
}

retort_status rt_dataset_label(retort_dataset *data, size_t line, const retort_text *value,
                               const rt_config *config, int64_t *label, retort_error *err) {
    if (data->labels.count == 0 && !note_labels(data, config)) {
        return rt_fail_nomem(err, (size_t)config->labels * sizeof *data->labels.slots);
    }
    *label = rt_names_find(&data->labels, value->text, value->length);
    if (*label >= 0) return RETORT_OK;
    *label = label_number(value, config->labels);
    return *label >= 0 ? RETORT_OK : refuse_label(data, line, value, config, err);
}

static retort_status lines_read(retort_dataset *data, rt_lines lines, const rt_config *config,
                                retort_error *err) {
    (void)config;
    retort_status status = RETORT_OK;
    rt_sample sample = {0};
    while (status == RETORT_OK && rt_lines_next(&lines, &sample.text)) {
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
    rt_table_format format; /* of a table */
} form;

/* Formats recognised by the file name. */
static const struct {
    const char *ending;
    form is;
} endings[] = {{".json", {RT_DATA_ANSWERS, 0}},
               {".conll", {RT_DATA_WORDS, 0}},
               {".txt", {RT_DATA_LINES, 0}},
               {".tsv", {RT_DATA_TABLE, RT_TABLE_TSV}},
               {".csv", {RT_DATA_TABLE, RT_TABLE_CSV}},
               {".jsonl", {RT_DATA_TABLE, RT_TABLE_JSON}},
               {".ndjson", {RT_DATA_TABLE, RT_TABLE_JSON}}};

/* The format by the file name, or else by the first line, or else by the task. */
static form probe(const char *name, rt_lines lines, retort_task task, bool columns) {
    form json = {RT_DATA_TABLE, RT_TABLE_JSON}, tsv = {RT_DATA_TABLE, RT_TABLE_TSV},
         csv = {RT_DATA_TABLE, RT_TABLE_CSV};
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

static retort_status read_into(retort_dataset *out, const void *bytes, size_t size, const rt_config *config,
                               const retort_dataset_options *options, retort_error *err) {
    rt_lines lines = {bytes, (const char *)bytes + size, 0};
    bool columns =
        options->text_column != NULL || options->pair_column != NULL || options->label_column != NULL;
    if (size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) lines.at += 3;
    if (lines.at == lines.end) return rt_fail(err, RETORT_FORMAT, "%s: the file is empty", out->name);
    form found = probe(out->name, lines, config->task, columns);
    out->kind = found.kind;
    out->texts_only = options->texts_only;
    if (columns && found.kind != RT_DATA_TABLE) {
        return rt_fail(err, RETORT_ARGUMENT, "%s: columns are named, but this is no table", out->name);
    }
    retort_status status = found.kind == RT_DATA_TABLE
                               ? rt_table_read(out, lines, found.format, config, options, err)
                               : readers[out->kind](out, lines, config, err);
    if (status == RETORT_OK && out->count == 0) {
        return rt_fail(err, RETORT_FORMAT, "%s: there is no text in it", out->name);
    }
    return status;
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
        if (*size > MOST_BYTES)
            status = rt_fail(err, RETORT_LIMIT, "%s: more than %d MB: only a regular file may be larger",
                             path, MOST_BYTES >> 20);
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

size_t retort_dataset_count(const retort_dataset *data) {
    return data != NULL ? data->count : 0;
}

retort_status retort_dataset_text(const retort_dataset *data, size_t index, retort_text *text) {
    if (data == NULL || text == NULL || index >= data->count) return RETORT_ARGUMENT;
    *text = data->samples[index].text;
    return RETORT_OK;
}

void retort_dataset_free(retort_dataset *data) {
    if (data == NULL) return;
    free(data->samples);
    free(data->parts);
    free(data->tags);
    rt_names_free(&data->labels);
    json_decref(data->json);
    rt_map_close(&data->map);
    free(data->bytes);
    rt_arena_free(&data->arena);
    free(data);
}
