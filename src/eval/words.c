/* SPDX-License-Identifier: Apache-2.0 */
#include "eval/words.h"

static int first_column(const rt_records *records, const char *const names[], size_t n) {
    int column = -1;
    for (size_t i = 0; column < 0 && i < n; i++) column = rt_records_column(records, names[i]);
    return column;
}

/* The column of lists of words. Texts alone may be in a column of any name, which then has strings. */
static int word_column(const rt_records *records, const retort_dataset_options *options) {
    static const char *const usual[] = {"tokens", "words"};
    int column = first_column(records, usual, sizeof usual / sizeof *usual);
    if (options->text_column == NULL) return column;
    int named = rt_records_column(records, options->text_column);
    return options->texts_only && named != column ? -1 : named;
}

static int tag_column(const rt_records *records, const retort_dataset_options *options) {
    static const char *const usual[] = {"tags", "ner_tags", "labels", "pos_tags"};
    if (options->label_column != NULL) return rt_records_column(records, options->label_column);
    return first_column(records, usual, sizeof usual / sizeof *usual);
}

bool rt_words_are(const rt_records *records, const retort_dataset *data, const rt_config *config,
                  const retort_dataset_options *options) {
    if (records->format != RETORT_TABLE_JSONL || word_column(records, options) < 0) return false;
    if (config->task == RETORT_TASK_TAG) return true;
    bool texts = options->text_column != NULL;
    for (size_t i = 0; !texts && i < records->column_count; i++)
        texts = rt_is_text_column(&records->columns[i]);
    return data->collects && !texts && tag_column(records, options) >= 0;
}

/* The next item of a list. */
static bool next_item(retort_text *rest, retort_text *item) {
    return rest->length > 0 && rt_field_next(rest, RT_LIST_END, item);
}

static retort_status read_words(retort_dataset *data, const rt_records *records, const rt_config *config,
                                retort_error *err) {
    retort_text words = records->fields[0], tags = data->labelled ? records->fields[1] : words, word, tag;
    size_t first = data->part_count, wanted = data->labelled ? 2 : 1;
    retort_status status = RETORT_OK;
    if (records->lists != wanted)
        return rt_fail(err, RETORT_FORMAT, "%s:%zu: expected a list of words and one of tags", data->name,
                       records->line);
    while (status == RETORT_OK && next_item(&words, &word)) {
        int64_t label = 0;
        if (!next_item(&tags, &tag))
            return rt_fail(err, RETORT_FORMAT, "%s:%zu: there are more words than tags", data->name,
                           records->line);
        if (data->labelled) status = rt_dataset_label(data, records->line, &tag, config, &label, err);
        if (status == RETORT_OK) status = rt_dataset_part(data, &word, err);
        if (status == RETORT_OK) status = rt_dataset_tag(data, label, err);
    }
    if (status == RETORT_OK && tags.length > 0)
        return rt_fail(err, RETORT_FORMAT, "%s:%zu: there are more tags than words", data->name,
                       records->line);
    return status == RETORT_OK ? rt_dataset_sentence(data, first, records->line, err) : status;
}

retort_status rt_words_read(retort_dataset *data, rt_records *records, const rt_config *config,
                            const retort_dataset_options *options, retort_error *err) {
    int words = word_column(records, options), tags = data->texts_only ? -1 : tag_column(records, options);
    bool more = true;
    data->kind = RT_DATA_WORDS;
    data->labelled = tags >= 0;
    if (data->labelled) data->targets = RETORT_TARGETS_TAGS;
    retort_status status = rt_records_keep(records, (int *const[]){&words, &tags}, 2, err);
    records->list_from = 0;
    records->list_count = 2;
    while (status == RETORT_OK && more) {
        status = rt_records_next(records, &more, err);
        if (status == RETORT_OK && more) status = read_words(data, records, config, err);
    }
    return status;
}
