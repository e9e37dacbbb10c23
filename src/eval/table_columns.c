/* SPDX-License-Identifier: Apache-2.0
 * Finds the columns of a table, by the names that the caller gives or by the usual ones. */
#include "eval/table_columns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Usual names of text columns. */
static const struct {
    const char *text, *pair;
} usual[] = {{"sentence", NULL},         {"text", NULL},
             {"sentence1", "sentence2"}, {"question", "context"},
             {"premise", "hypothesis"},  {"anchor", "positive"}};

bool rt_is_text_column(const retort_text *name) {
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        if (rt_text_is(name, usual[i].text)) return true;
    }
    return false;
}

static retort_status no_column(const rt_records *records, const retort_text *name, const char *advice,
                               retort_error *err) {
    char names[256] = "";
    for (size_t i = 0, n = 0; i < records->column_count && n < sizeof names - 1; i++) {
        const retort_text *column = &records->columns[i];
        int written = snprintf(names + n, sizeof names - n, "%s'%.*s'", i > 0 ? ", " : "",
                               (int)rt_min(column->length, 40), column->text);
        n += written > 0 ? (size_t)written : 0;
    }
    return rt_fail(err, RETORT_FORMAT, "%s:1: no column '%.*s'%s; there are %s", records->name,
                   (int)rt_min(name->length, 80), name->text, advice, names);
}

static retort_text text_of(const char *name) {
    return (retort_text){.text = name, .length = strlen(name)};
}

/* The index of a column named by the caller. */
static retort_status named_column(int *out, const rt_records *records, const char *name, retort_error *err) {
    *out = name != NULL ? rt_records_column(records, name) : RT_ABSENT;
    if (name == NULL || *out != RT_ABSENT) return RETORT_OK;
    retort_text text = text_of(name);
    return no_column(records, &text, "", err);
}

/* Which of two columns of one name is meant cannot be told. */
static retort_status check_unique(const rt_records *records, int column, retort_error *err) {
    if (column == RT_ABSENT) return RETORT_OK;
    const retort_text *name = &records->columns[column];
    for (size_t i = (size_t)column + 1; i < records->column_count; i++) {
        const retort_text *other = &records->columns[i];
        if (other->length != name->length || memcmp(other->text, name->text, name->length) != 0) continue;
        return rt_fail(err, RETORT_FORMAT, "%s:1: several columns are named '%.*s'", records->name,
                       (int)rt_min(name->length, 80), name->text);
    }
    return RETORT_OK;
}

static retort_status choose_texts(rt_table_columns *out, const rt_records *records,
                                  const retort_dataset_options *options, retort_error *err) {
    retort_status status = named_column(&out->text, records, options->text_column, err);
    if (status == RETORT_OK) status = named_column(&out->pair, records, options->pair_column, err);
    if (status != RETORT_OK || out->text != RT_ABSENT) return status;
    for (size_t i = 0; out->text == RT_ABSENT && i < sizeof usual / sizeof *usual; i++) {
        out->text = rt_records_column(records, usual[i].text);
        if (out->text == RT_ABSENT || usual[i].pair == NULL || out->pair != RT_ABSENT) continue;
        status = named_column(&out->pair, records, usual[i].pair, err);
        if (status != RETORT_OK) return status;
    }
    if (out->text != RT_ABSENT) return RETORT_OK;
    retort_text sentence = text_of("sentence");
    return no_column(records, &sentence,
                     " or 'text': --text-column NAME, in C options.text_column, names the one with the texts",
                     err);
}

static retort_status find_texts(rt_table_columns *out, const rt_records *records,
                                const retort_dataset_options *options, retort_error *err) {
    *out = (rt_table_columns){.text = RT_ABSENT, .pair = RT_ABSENT};
    retort_status status = choose_texts(out, records, options, err);
    if (status == RETORT_OK) status = check_unique(records, out->text, err);
    return status == RETORT_OK ? check_unique(records, out->pair, err) : status;
}

/* ---- Labels ---- */

static retort_status reserve_labels(rt_table_columns *out, retort_dataset *data, size_t n,
                                    retort_error *err) {
    out->labels = rt_arena_calloc(&data->arena, n, sizeof *out->labels);
    return out->labels != NULL ? RETORT_OK : rt_fail_nomem(err, n * sizeof *out->labels);
}

static retort_status one_column(rt_table_columns *out, retort_dataset *data, int column, retort_error *err) {
    if (column == RT_ABSENT) return RETORT_OK;
    retort_status status = reserve_labels(out, data, 1, err);
    if (status != RETORT_OK) return status;
    out->labels[0] = column;
    out->label_count = 1;
    return RETORT_OK;
}

/* Adds a column and the label that it is named after. */
static retort_status add_column(rt_table_columns *out, retort_dataset *data, const rt_records *records,
                                const rt_names *columns, const retort_text *name, retort_error *err) {
    int64_t label;
    int column = rt_names_find(columns, name->text, name->length);
    if (column < 0) return no_column(records, name, "", err);
    retort_status status = rt_dataset_own_label(data, 1, name, &label, err);
    if (status == RETORT_OK && (size_t)label < out->label_count)
        return rt_fail(err, RETORT_ARGUMENT, "%s: column '%.*s' is named twice", data->name,
                       (int)rt_min(name->length, 80), name->text);
    if (status == RETORT_OK) out->labels[out->label_count++] = column;
    return status;
}

static bool note_columns(rt_names *out, retort_dataset *data, const rt_records *records) {
    bool fine = true;
    int known;
    for (size_t i = 0; fine && i < records->column_count; i++) {
        const char *name = rt_arena_text(&data->arena, records->columns[i].text, records->columns[i].length);
        fine = name != NULL && rt_names_add(out, name, (int)i, &known);
    }
    return fine;
}

/* Columns with 0 and 1, named in a list. */
static retort_status listed_columns(rt_table_columns *out, retort_dataset *data, const rt_records *records,
                                    const char *list, retort_error *err) {
    rt_names columns = {0};
    size_t n = 1;
    for (const char *at = list; *at != '\0'; at++) n += *at == ',';
    retort_status status = reserve_labels(out, data, n, err);
    if (status == RETORT_OK && !note_columns(&columns, data, records)) status = rt_fail_nomem(err, n);
    retort_text rest = text_of(list), name;
    while (status == RETORT_OK && rt_field_next(&rest, ',', &name))
        status = add_column(out, data, records, &columns, &name, err);
    rt_names_free(&columns);
    data->own.fixed = true;
    return status;
}

/* Columns named as the labels of the model, if each has one. */
static retort_status columns_of_model(rt_table_columns *out, retort_dataset *data, const rt_records *records,
                                      const rt_config *config, retort_error *err) {
    rt_names columns = {0};
    size_t n = (size_t)config->labels;
    bool fine = note_columns(&columns, data, records), all = true;
    for (size_t i = 0; fine && all && i < n; i++)
        all = rt_names_find(&columns, config->label_names[i], strlen(config->label_names[i])) >= 0;
    retort_status status = fine ? RETORT_OK : rt_fail_nomem(err, n);
    if (status == RETORT_OK && all) status = reserve_labels(out, data, n, err);
    for (size_t i = 0; status == RETORT_OK && all && i < n; i++) {
        retort_text name = text_of(config->label_names[i]);
        status = add_column(out, data, records, &columns, &name, err);
    }
    rt_names_free(&columns);
    data->own.fixed = true;
    return status;
}

static int usual_labels(const rt_records *records) {
    int column = rt_records_column(records, "label");
    return column != RT_ABSENT ? column : rt_records_column(records, "labels");
}

/* Without collecting, what the model takes decides; with it, what is there does, unless the caller says. */
static retort_status find_labels(rt_table_columns *out, retort_dataset *data, const rt_records *records,
                                 const rt_config *config, const retort_dataset_options *options,
                                 retort_error *err) {
    bool classify = config->task == RETORT_TASK_CLASSIFY, embed = config->task == RETORT_TASK_EMBED;
    bool several = classify && !data->collects && config->labels > 1 && config->label_names != NULL &&
                   config->problem == RETORT_PROBLEM_MULTI_LABEL;
    out->scores = embed || (!data->collects && rt_config_has_values(config));
    if (several || options->targets == RETORT_TARGETS_LABELS) out->separator = ';';
    const char *named = options->label_column, *separator = options->label_separator;
    if (separator != NULL && strlen(separator) != 1)
        return rt_fail(err, RETORT_ARGUMENT, "%s: label separator '%.40s': expected one byte", data->name,
                       separator);
    if (separator != NULL && classify && !out->scores) out->separator = separator[0];
    if (named != NULL) {
        bool listed = strchr(named, ',') != NULL && rt_records_column(records, named) == RT_ABSENT &&
                      classify && !out->scores;
        int column = RT_ABSENT;
        if (listed) return listed_columns(out, data, records, named, err);
        retort_status status = named_column(&column, records, named, err);
        return status == RETORT_OK ? one_column(out, data, column, err) : status;
    }
    int score = rt_records_column(records, "score"), label = usual_labels(records);
    if (!classify && !embed) return RETORT_OK;
    if (embed || (out->scores && score != RT_ABSENT)) return one_column(out, data, score, err);
    if (label != RT_ABSENT) return one_column(out, data, label, err);
    if (several) return columns_of_model(out, data, records, config, err);
    out->scores |= data->collects && score != RT_ABSENT;
    return data->collects ? one_column(out, data, score, err) : RETORT_OK;
}

static retort_status keep(rt_table_columns *out, rt_records *records, retort_error *err) {
    int **all = rt_calloc(2 + out->label_count, sizeof *all);
    if (all == NULL) return rt_fail_nomem(err, (2 + out->label_count) * sizeof *all);
    int most = out->text > out->pair ? out->text : out->pair;
    all[0] = &out->text;
    all[1] = &out->pair;
    for (size_t i = 0; i < out->label_count; i++) {
        all[2 + i] = &out->labels[i];
        if (out->labels[i] > most) most = out->labels[i];
    }
    out->least = 1 + (size_t)most;
    retort_status status = rt_records_keep(records, all, 2 + out->label_count, err);
    if (records->format == RETORT_TABLE_JSONL) out->least = records->column_count;
    if (out->label_count == 1 && !out->scores) {
        records->list_from = (size_t)out->labels[0];
        records->list_count = 1;
    }
    free((void *)all);
    return status;
}

retort_status rt_table_find_texts(rt_table_columns *out, rt_records *records,
                                  const retort_dataset_options *options, retort_error *err) {
    retort_status status = find_texts(out, records, options, err);
    return status == RETORT_OK ? keep(out, records, err) : status;
}

retort_status rt_table_find(rt_table_columns *out, retort_dataset *data, rt_records *records,
                            const rt_config *config, const retort_dataset_options *options,
                            retort_error *err) {
    retort_status status = find_texts(out, records, options, err);
    if (status == RETORT_OK) status = find_labels(out, data, records, config, options, err);
    if (options->texts_only) {
        rt_labels_free(&data->own);
        out->label_count = 0;
    }
    return status == RETORT_OK ? keep(out, records, err) : status;
}
