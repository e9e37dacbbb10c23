/* SPDX-License-Identifier: Apache-2.0
 * Tables: which columns hold the texts and the value, and how a record becomes a sample. */
#include "eval/record.h"

#include <math.h>

enum { ABSENT = -1 };

typedef struct table_columns {
    int text, pair, value; /* index of the column, ABSENT */
    bool scores;           /* the value is a number, not a label */
    size_t least;          /* fields that a record must have */
} table_columns;

/* Usual names of text columns. */
static const struct {
    const char *text, *pair;
} usual[] = {{"sentence", NULL},
             {"text", NULL},
             {"sentence1", "sentence2"},
             {"question", "context"},
             {"premise", "hypothesis"}};

bool rt_is_text_column(const retort_text *name) {
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        if (rt_text_is(name, usual[i].text)) return true;
    }
    return false;
}

static retort_status no_column(const rt_records *records, const char *name, const char *advice,
                               retort_error *err) {
    char names[256] = "";
    for (size_t i = 0, n = 0; i < records->column_count && n < sizeof names - 1; i++) {
        const retort_text *column = &records->columns[i];
        int written = snprintf(names + n, sizeof names - n, "%s'%.*s'", i > 0 ? ", " : "",
                               (int)rt_min(column->length, 40), column->text);
        n += written > 0 ? (size_t)written : 0;
    }
    return rt_fail(err, RETORT_FORMAT, "%s:1: no column '%s'%s; there are %s", records->name, name, advice,
                   names);
}

/* The index of a column named by the caller. */
static retort_status named_column(int *out, const rt_records *records, const char *name, retort_error *err) {
    *out = name != NULL ? rt_records_column(records, name) : ABSENT;
    return name == NULL || *out != ABSENT ? RETORT_OK : no_column(records, name, "", err);
}

static retort_status find_texts(table_columns *out, const rt_records *records,
                                const retort_dataset_options *options, retort_error *err) {
    retort_status status = named_column(&out->text, records, options->text_column, err);
    if (status == RETORT_OK) status = named_column(&out->pair, records, options->pair_column, err);
    if (status != RETORT_OK || out->text != ABSENT) return status;
    for (size_t i = 0; out->text == ABSENT && i < sizeof usual / sizeof *usual; i++) {
        out->text = rt_records_column(records, usual[i].text);
        if (out->text == ABSENT || usual[i].pair == NULL || out->pair != ABSENT) continue;
        out->pair = rt_records_column(records, usual[i].pair);
        if (out->pair == ABSENT) return no_column(records, usual[i].pair, "", err);
    }
    if (out->text != ABSENT) return RETORT_OK;
    return no_column(records, "sentence",
                     " or 'text': --text-column NAME, in C options.text_column, names the one with the texts",
                     err);
}

static retort_status find_columns(table_columns *out, const rt_records *records, const rt_config *config,
                                  const retort_dataset_options *options, retort_error *err) {
    *out = (table_columns){.text = ABSENT, .pair = ABSENT, .value = ABSENT};
    retort_status status = find_texts(out, records, options, err);
    if (status == RETORT_OK) status = named_column(&out->value, records, options->label_column, err);
    if (status != RETORT_OK) return status;
    bool classify = config->task == RETORT_TASK_CLASSIFY, embed = config->task == RETORT_TASK_EMBED;
    bool wanted = out->value == ABSENT && (classify || embed);
    out->scores = embed || rt_config_has_values(config);
    if (wanted) out->value = rt_records_column(records, out->scores ? "score" : "label");
    if (wanted && classify && out->value == ABSENT) out->value = rt_records_column(records, "label");
    if (options->texts_only) out->value = ABSENT;
    int least = out->text > out->pair ? out->text : out->pair;
    out->least = 1 + (size_t)(out->value > least ? out->value : least);
    return RETORT_OK;
}

static size_t digits(const char *text, size_t length, size_t at, double *value) {
    for (; at < length && text[at] >= '0' && text[at] <= '9'; at++) *value = *value * 10 + (text[at] - '0');
    return at;
}

/* [-]digits[.digits][e[-]digits], independent of the locale; false for anything else. */
static bool parse_number(const retort_text *field, double *out) {
    const char *text = field->text;
    size_t length = field->length, at = length > 0 && (text[0] == '-' || text[0] == '+'), from = at;
    double value = 0, exponent = 0;
    at = digits(text, length, at, &value);
    size_t seen = at - from, fraction = 0;
    if (at < length && text[at] == '.') {
        size_t end = digits(text, length, at + 1, &value);
        fraction = end - at - 1;
        at = end;
    }
    if (seen + fraction == 0) return false;
    if (at + 1 < length && (text[at] == 'e' || text[at] == 'E')) {
        bool minus = text[at + 1] == '-';
        from = at + 1 + (minus || text[at + 1] == '+');
        at = digits(text, length, from, &exponent);
        if (at == from) return false;
        if (minus) exponent = -exponent;
    }
    exponent -= (double)fraction;
    value = exponent < 0 ? value / pow(10, -exponent) : value * pow(10, exponent);
    *out = text[0] == '-' ? -value : value;
    return at == length && isfinite(*out);
}

static retort_status read_value(retort_dataset *data, size_t line, const retort_text *field, bool scores,
                                const rt_config *config, rt_sample *sample, retort_error *err) {
    if (!scores) return rt_dataset_label(data, line, field, config, &sample->label, err);
    if (parse_number(field, &sample->score)) return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT, "%s:%zu: score '%.*s' is not a number", data->name, line,
                   (int)rt_min(field->length, 80), field->text);
}

static retort_status check_fields(const rt_records *records, const table_columns *columns,
                                  retort_error *err) {
    if (records->count < columns->least) {
        return rt_fail(err, RETORT_FORMAT, "%s:%zu: expected %zu columns, found %zu", records->name,
                       records->line, columns->least, records->count);
    }
    if (records->format == RT_TABLE_CSV && records->count > records->column_count) {
        return rt_fail(err, RETORT_FORMAT,
                       "%s:%zu: expected %zu columns, found %zu: a text that contains a comma needs quotes",
                       records->name, records->line, records->column_count, records->count);
    }
    const int indices[] = {columns->text, columns->pair, columns->value};
    for (size_t i = 0; i < sizeof indices / sizeof *indices; i++) {
        if (indices[i] == ABSENT || records->fields[indices[i]].text != NULL) continue;
        const retort_text *name = &records->columns[indices[i]];
        return rt_fail(err, RETORT_FORMAT, "%s:%zu: no text or number '%.*s'", records->name, records->line,
                       (int)rt_min(name->length, 80), name->text);
    }
    return RETORT_OK;
}

static retort_status read_record(retort_dataset *data, const rt_records *records,
                                 const table_columns *columns, const rt_config *config, retort_error *err) {
    rt_sample sample = {0};
    retort_status status = check_fields(records, columns, err);
    if (status != RETORT_OK) return status;
    sample.text = records->fields[columns->text];
    if (columns->pair != ABSENT) {
        sample.text.pair = records->fields[columns->pair].text;
        sample.text.pair_length = records->fields[columns->pair].length;
    }
    if (columns->value != ABSENT) {
        status = read_value(data, records->line, &records->fields[columns->value], columns->scores, config,
                            &sample, err);
    }
    return status == RETORT_OK ? rt_dataset_add(data, &sample, err) : status;
}

retort_status rt_table_read(retort_dataset *data, rt_lines lines, rt_table_format format,
                            const rt_config *config, const retort_dataset_options *options,
                            retort_error *err) {
    rt_records records = {.format = format, .name = data->name, .lines = lines, .arena = &data->arena};
    table_columns columns;
    bool more = true;
    retort_status status = rt_records_open(&records, err);
    if (status == RETORT_OK) status = find_columns(&columns, &records, config, options, err);
    if (status == RETORT_OK) {
        rt_records_keep(&records, (int *const[]){&columns.text, &columns.pair, &columns.value}, 3);
        data->labelled = columns.value != ABSENT;
        if (format == RT_TABLE_JSON) columns.least = records.column_count;
    }
    while (status == RETORT_OK && more) {
        status = rt_records_next(&records, &more, err);
        if (status == RETORT_OK && more) status = read_record(data, &records, &columns, config, err);
    }
    rt_records_free(&records);
    return status;
}
