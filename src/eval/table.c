/* SPDX-License-Identifier: Apache-2.0
 * Tables: how a record becomes a sample. */
#include "eval/table_columns.h"
#include "eval/words.h"

static int shown(const retort_text *field) {
    return (int)rt_min(field->length, 80);
}

/* ---- One label, or a number ---- */

static retort_status read_value(retort_dataset *data, size_t line, const retort_text *field,
                                const rt_config *config, rt_sample *sample, retort_error *err) {
    if (data->targets == RETORT_TARGETS_LABEL)
        return rt_dataset_label(data, line, field, config, &sample->label, err);
    if (rt_parse_number(field, &sample->score)) return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT, "%s:%zu: score '%.*s' is not a number", data->name, line, shown(field),
                   field->text);
}

/* ---- Several labels ---- */

static retort_status add_label(retort_dataset *data, size_t line, const retort_text *name,
                               retort_error *err) {
    int64_t label;
    retort_status status = rt_dataset_own_label(data, line, name, &label, err);
    return status == RETORT_OK ? rt_dataset_tag(data, label, err) : status;
}

static retort_text trim(retort_text text) {
    while (text.length > 0 && text.text[0] == ' ') text.text++, text.length--;
    while (text.length > 0 && text.text[text.length - 1] == ' ') text.length--;
    return text;
}

/* The names in a cell. An empty one, or an empty name, is no label. */
static retort_status split_cell(retort_dataset *data, size_t line, retort_text cell, char separator,
                                retort_error *err) {
    retort_text name;
    retort_status status = RETORT_OK;
    while (status == RETORT_OK && rt_field_next(&cell, separator, &name)) {
        name = trim(name);
        if (name.length > 0) status = add_label(data, line, &name, err);
    }
    return status;
}

static retort_status split_list(retort_dataset *data, size_t line, const char *items, size_t length,
                                retort_error *err) {
    retort_status status = RETORT_OK;
    retort_text rest = {.text = items, .length = length}, name;
    while (status == RETORT_OK && rest.length > 0 && rt_field_next(&rest, RT_LIST_END, &name))
        status = add_label(data, line, &name, err);
    return status;
}

/* A column for each label: 0 or 1, or false or true. */
static retort_status read_columns(retort_dataset *data, const rt_records *records,
                                  const rt_table_columns *columns, retort_error *err) {
    retort_status status = RETORT_OK;
    for (size_t i = 0; status == RETORT_OK && i < columns->label_count; i++) {
        const retort_text *field = &records->fields[columns->labels[i]];
        double value = rt_text_is(field, "true") || rt_text_is(field, "True");
        bool no = rt_text_is(field, "false") || rt_text_is(field, "False");
        bool known = value == 1 || no || (rt_parse_number(field, &value) && (value == 0 || value == 1));
        if (!known)
            return rt_fail(err, RETORT_FORMAT, "%s:%zu: '%.*s' in column '%.80s': expected 0 or 1",
                           data->name, records->line, shown(field), field->text, data->own.names[i]);
        if (value == 1) status = rt_dataset_tag(data, (int64_t)i, err);
    }
    return status;
}

static retort_status read_several(retort_dataset *data, const rt_records *records,
                                  const rt_table_columns *columns, rt_sample *sample, retort_error *err) {
    const retort_text *field = &records->fields[columns->labels[0]];
    retort_status status;
    sample->first = data->tag_count;
    if (columns->label_count > 1) {
        status = read_columns(data, records, columns, err);
    } else if (records->lists > 0) {
        status = split_list(data, records->line, field->text, field->length, err);
    } else {
        data->lists = false;
        status = split_cell(data, records->line, *field, columns->separator, err);
    }
    sample->count = data->tag_count - sample->first;
    return status;
}

/* ---- Records ---- */

static retort_status check_columns(const rt_records *records, const rt_table_columns *columns,
                                   retort_error *err) {
    for (size_t i = 0; i < 2 + columns->label_count; i++) {
        int index = i == 0 ? columns->text : i == 1 ? columns->pair : columns->labels[i - 2];
        if (index == RT_ABSENT || records->fields[index].text != NULL) continue;
        const retort_text *name = &records->columns[index];
        return rt_fail(err, RETORT_FORMAT, "%s:%zu: no text or number '%.*s'", records->name, records->line,
                       shown(name), name->text);
    }
    return RETORT_OK;
}

retort_status rt_table_check(const rt_records *records, const rt_table_columns *columns, retort_error *err) {
    if (records->count < columns->least) {
        return rt_fail(err, RETORT_FORMAT, "%s:%zu: expected %zu columns, found %zu", records->name,
                       records->line, columns->least, records->count);
    }
    if (records->format == RETORT_TABLE_CSV && records->count > records->column_count) {
        return rt_fail(err, RETORT_FORMAT,
                       "%s:%zu: expected %zu columns, found %zu: a text that contains a comma needs quotes",
                       records->name, records->line, records->column_count, records->count);
    }
    return check_columns(records, columns, err);
}

/* Of the first record, which may decide that texts have several labels. */
static void set_targets(retort_dataset *data, const rt_records *records, rt_table_columns *columns) {
    if (columns->label_count == 0) return;
    if (data->collects && records->lists > 0 && columns->separator == 0) columns->separator = ';';
    bool several = columns->label_count > 1 || columns->separator != 0;
    data->labelled = true;
    data->lists = several && columns->label_count == 1;
    data->targets = columns->scores ? RETORT_TARGETS_VALUE
                    : several       ? RETORT_TARGETS_LABELS
                                    : RETORT_TARGETS_LABEL;
}

static retort_status read_record(retort_dataset *data, const rt_records *records,
                                 const rt_table_columns *columns, const rt_config *config,
                                 retort_error *err) {
    rt_sample sample = {.line = records->line};
    retort_status status = rt_table_check(records, columns, err);
    if (status != RETORT_OK) return status;
    sample.text = records->fields[columns->text];
    if (columns->pair != RT_ABSENT) {
        sample.text.pair = records->fields[columns->pair].text;
        sample.text.pair_length = records->fields[columns->pair].length;
    }
    if (data->targets == RETORT_TARGETS_LABELS) {
        status = read_several(data, records, columns, &sample, err);
    } else if (records->lists > 0) {
        return rt_fail(err, RETORT_FORMAT, "%s:%zu: a list of labels: expected one label", data->name,
                       records->line);
    } else if (data->labelled) {
        status = read_value(data, records->line, &records->fields[columns->labels[0]], config, &sample, err);
    }
    return status == RETORT_OK ? rt_dataset_add(data, &sample, err) : status;
}

retort_status rt_table_read(retort_dataset *data, rt_lines lines, retort_table_format format,
                            const rt_config *config, const retort_dataset_options *options,
                            retort_error *err) {
    rt_records records = {.format = format, .name = data->name, .lines = lines, .arena = &data->arena};
    rt_table_columns columns;
    bool more = true;
    retort_status status = rt_records_open(&records, err);
    if (status == RETORT_OK && rt_words_are(&records, data, config, options)) {
        status = rt_words_read(data, &records, config, options, err);
        rt_records_free(&records);
        return status;
    }
    if (status == RETORT_OK) status = rt_table_find(&columns, data, &records, config, options, err);
    while (status == RETORT_OK && more) {
        status = rt_records_next(&records, &more, err);
        if (status == RETORT_OK && more && data->count == 0) set_targets(data, &records, &columns);
        if (status == RETORT_OK && more) status = read_record(data, &records, &columns, config, err);
    }
    rt_records_free(&records);
    return status;
}
