/* SPDX-License-Identifier: Apache-2.0
 * Tab-separated tables with a header and without quoting. */
#include "task/dataset.h"

#include <math.h>

enum { ABSENT = -1 };

typedef struct table_columns {
    int text, pair, value; /* index of the column, ABSENT */
    bool scores;           /* the value is a number, not a label */
    int least;             /* fields that a row must have */
} table_columns;

static int find_column(retort_text header, const char *name) {
    int index = 0;
    for (retort_text field; rt_field_next(&header, '\t', &field); index++) {
        if (rt_text_is(&field, name)) return index;
    }
    return ABSENT;
}

static retort_status find_columns(table_columns *out, const retort_dataset *data, const retort_text *header,
                                  const rt_config *config, retort_error *err) {
    *out = (table_columns){.text = find_column(*header, "sentence"), .pair = ABSENT};
    if (out->text == ABSENT) {
        out->text = find_column(*header, "sentence1");
        out->pair = find_column(*header, "sentence2");
        const char *missing = out->text == ABSENT ? "sentence" : "sentence2";
        if (out->pair == ABSENT) {
            return rt_fail(err, RETORT_FORMAT, "%s:1: no column '%s' in the header '%.*s'", data->name,
                           missing, (int)rt_min(header->length, 200), header->text);
        }
    }
    bool classify = config->task == RETORT_TASK_CLASSIFY, embed = config->task == RETORT_TASK_EMBED;
    out->scores = embed || rt_config_has_values(config);
    out->value = classify || embed ? find_column(*header, out->scores ? "score" : "label") : ABSENT;
    if (classify && out->value == ABSENT) out->value = find_column(*header, "label");
    out->least = out->text > out->pair ? out->text : out->pair;
    out->least = 1 + (out->value > out->least ? out->value : out->least);
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

static retort_status read_row(retort_dataset *data, size_t line, retort_text row,
                              const table_columns *columns, const rt_config *config, retort_error *err) {
    rt_sample sample = {0};
    int index = 0;
    retort_status status = RETORT_OK;
    for (retort_text field; status == RETORT_OK && rt_field_next(&row, '\t', &field); index++) {
        if (index == columns->text) {
            sample.text.text = field.text;
            sample.text.length = field.length;
        } else if (index == columns->pair) {
            sample.text.pair = field.text;
            sample.text.pair_length = field.length;
        } else if (index == columns->value) {
            status = read_value(data, line, &field, columns->scores, config, &sample, err);
        }
    }
    if (status == RETORT_OK && index < columns->least) {
        return rt_fail(err, RETORT_FORMAT, "%s:%zu: expected %d columns, found %d", data->name, line,
                       columns->least, index);
    }
    return status == RETORT_OK ? rt_dataset_add(data, &sample, err) : status;
}

retort_status rt_table_read(retort_dataset *data, rt_lines lines, const rt_config *config,
                            retort_error *err) {
    retort_text line = {0};
    table_columns columns;
    rt_lines_next(&lines, &line);
    retort_status status = find_columns(&columns, data, &line, config, err);
    data->labelled = columns.value != ABSENT;
    while (status == RETORT_OK && rt_lines_next(&lines, &line)) {
        if (line.length > 0) status = read_row(data, lines.number, line, &columns, config, err);
    }
    return status;
}
