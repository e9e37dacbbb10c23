/* SPDX-License-Identifier: Apache-2.0
 * CoNLL columns: one word per line, its tag in the last column, an empty line between sentences. Columns are
 * separated by tabs if the line has any, else by spaces. */
#include "eval/dataset.h"

#include <string.h>

/* First and last column; false if there is only one. */
static bool split_line(retort_text line, retort_text *word, retort_text *tag) {
    char separator = memchr(line.text, '\t', line.length) != NULL ? '\t' : ' ';
    rt_field_next(&line, separator, word);
    bool found = false;
    for (retort_text field; rt_field_next(&line, separator, &field);) {
        if (field.length == 0) continue;
        *tag = field;
        found = true;
    }
    return found;
}

static retort_status add_word(retort_dataset *data, size_t number, const retort_text *line,
                              const rt_config *config, retort_error *err) {
    retort_text word, tag;
    int64_t label = 0;
    if (!split_line(*line, &word, &tag)) {
        return rt_fail(err, RETORT_FORMAT, "%s:%zu: expected a word and its tag, found '%.*s'", data->name,
                       number, (int)rt_min(line->length, 80), line->text);
    }
    retort_status status = RETORT_OK;
    if (data->labelled) status = rt_dataset_label(data, number, &tag, config, &label, err);
    if (status == RETORT_OK) status = rt_dataset_part(data, &word, err);
    return status == RETORT_OK ? rt_dataset_tag(data, label, err) : status;
}

retort_status rt_conll_read(retort_dataset *data, rt_lines lines, const rt_config *config,
                            retort_error *err) {
    static const char mark[] = "-DOCSTART-";
    retort_status status = RETORT_OK;
    size_t first = 0, start = 0; /* word and line where the sentence starts */
    data->labelled = config->task == RETORT_TASK_TAG && !data->texts_only;
    if (data->labelled) data->targets = RETORT_TARGETS_TAGS;
    for (retort_text line; status == RETORT_OK && rt_lines_next(&lines, &line);) {
        if (line.length == 0) {
            status = rt_dataset_sentence(data, first, start, err);
            first = data->part_count;
        } else if (line.length < strlen(mark) || memcmp(line.text, mark, strlen(mark)) != 0) {
            if (first == data->part_count) start = lines.number;
            status = add_word(data, lines.number, &line, config, err);
        }
    }
    return status == RETORT_OK ? rt_dataset_sentence(data, first, start, err) : status;
}
