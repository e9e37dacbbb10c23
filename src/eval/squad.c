/* SPDX-License-Identifier: Apache-2.0
 * SQuAD's JSON, versions 1.1 and 2.0: data[] paragraphs[] {context, qas[] {question, answers[] {text}}}. */
#include "eval/dataset.h"

static retort_status expected(const retort_dataset *data, const char *what, retort_error *err) {
    return rt_fail(err, RETORT_FORMAT, "%s: SQuAD JSON: expected %s", data->name, what);
}

static bool text_member(const json_t *object, const char *key, retort_text *out) {
    json_t *value = json_object_get(object, key);
    *out = (retort_text){.text = json_string_value(value), .length = json_string_length(value)};
    return out->text != NULL;
}

static retort_status add_question(retort_dataset *data, const json_t *question, const retort_text *context,
                                  retort_error *err) {
    retort_text text, answer;
    if (!text_member(question, "question", &text)) {
        return expected(data, "a text 'question' in each of 'qas'", err);
    }
    const json_t *answers = json_object_get(question, "answers");
    rt_sample sample = {.first = data->part_count};
    sample.text = (retort_text){text.text, text.length, context->text, context->length};
    for (size_t i = 0; i < json_array_size(answers); i++) {
        if (!text_member(json_array_get(answers, i), "text", &answer)) {
            return expected(data, "a 'text' in each of 'answers'", err);
        }
        retort_status status = rt_dataset_part(data, &answer, err);
        if (status != RETORT_OK) return status;
    }
    sample.count = data->part_count - sample.first;
    return rt_dataset_add(data, &sample, err);
}

static retort_status add_paragraph(retort_dataset *data, const json_t *paragraph, retort_error *err) {
    retort_text context;
    const json_t *questions = json_object_get(paragraph, "qas");
    if (!text_member(paragraph, "context", &context) || !json_is_array(questions)) {
        return expected(data, "a text 'context' and an array 'qas' in each of 'paragraphs'", err);
    }
    retort_status status = RETORT_OK;
    for (size_t i = 0; status == RETORT_OK && i < json_array_size(questions); i++) {
        status = add_question(data, json_array_get(questions, i), &context, err);
    }
    return status;
}

static retort_status add_article(retort_dataset *data, const json_t *article, retort_error *err) {
    const json_t *paragraphs = json_object_get(article, "paragraphs");
    if (!json_is_array(paragraphs)) return expected(data, "an array 'paragraphs' in each of 'data'", err);
    retort_status status = RETORT_OK;
    for (size_t i = 0; status == RETORT_OK && i < json_array_size(paragraphs); i++) {
        status = add_paragraph(data, json_array_get(paragraphs, i), err);
    }
    return status;
}

retort_status rt_squad_read(retort_dataset *data, rt_lines lines, const rt_config *config,
                            retort_error *err) {
    (void)config;
    retort_status status =
        rt_json_parse(&data->json, data->name, lines.at, (size_t)(lines.end - lines.at), err);
    if (status != RETORT_OK) return status;
    const json_t *articles = json_object_get(data->json, "data");
    if (json_is_array(data->json)) {
        return rt_fail(
            err, RETORT_FORMAT,
            "%s: a list: rows are read as JSON lines, one object per line, from a file called *.jsonl "
            "(jq -c '.[]' writes it)",
            data->name);
    }
    if (!json_is_array(articles)) return expected(data, "an object with an array 'data'", err);
    data->labelled = true;
    data->targets = RETORT_TARGETS_ANSWERS;
    for (size_t i = 0; status == RETORT_OK && i < json_array_size(articles); i++) {
        status = add_article(data, json_array_get(articles, i), err);
    }
    return status;
}
