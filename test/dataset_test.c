/* SPDX-License-Identifier: Apache-2.0
 * Data sets whose labels are found in the data, and texts with several labels. */
#include "eval/dataset.h"
#include "eval/metric.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static const rt_config none = {.task = RETORT_TASK_CLASSIFY};
static const char *mood_names[] = {"joy", "anger", "fear"};
static const rt_config moods = {.task = RETORT_TASK_CLASSIFY,
                                .labels = 3,
                                .label_names = mood_names,
                                .problem = RETORT_PROBLEM_MULTI_LABEL};
static const retort_dataset_options plain = RETORT_DATASET_OPTIONS;

static retort_dataset_options collecting(void) {
    retort_dataset_options options = RETORT_DATASET_OPTIONS;
    options.collect = true;
    return options;
}

static retort_dataset *parse(const char *name, const char *text, const rt_config *config,
                             const retort_dataset_options *options) {
    retort_error err;
    retort_dataset *data = NULL;
    if (rt_dataset_parse(&data, name, text, strlen(text), config, options, &err) != RETORT_OK)
        fail_msg("%s", err.text);
    return data;
}

static void expect_error(const char *name, const char *text, const rt_config *config,
                         const retort_dataset_options *options, const char *words) {
    retort_error err = {0};
    retort_dataset *data = NULL;
    assert_int_not_equal(rt_dataset_parse(&data, name, text, strlen(text), config, options, &err), RETORT_OK);
    assert_null(data);
    if (strstr(err.text, words) == NULL) fail_msg("'%s' does not say '%s'", err.text, words);
}

static retort_dataset_info describe(const retort_dataset *data) {
    retort_dataset_info info = {.size = sizeof info};
    assert_int_equal(retort_dataset_describe(data, &info), RETORT_OK);
    return info;
}

/* The names, separated by spaces. */
static void assert_names(const retort_dataset *data, const char *expected) {
    char names[256] = "";
    for (size_t i = 0; retort_dataset_label(data, i) != NULL; i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i > 0 ? " " : "",
                 retort_dataset_label(data, i));
    assert_string_equal(names, expected);
}

/* The labels of each text: "0 2|1|" has two, one and none. */
static void assert_sets(const retort_dataset *data, const char *expected) {
    char sets[256] = "";
    for (size_t i = 0; i < data->count; i++) {
        for (size_t j = 0; j < data->samples[i].count; j++)
            snprintf(sets + strlen(sets), sizeof sets - strlen(sets), "%s%d", j > 0 ? " " : "",
                     data->tags[data->samples[i].first + j]);
        if (i + 1 < data->count) strcat(sets, "|");
    }
    assert_string_equal(sets, expected);
}

static void sorts_names_as_text(void **state) {
    (void)state;
    retort_dataset_options options = collecting();
    retort_dataset *data =
        parse("a.tsv", "sentence\tlabel\nx\tb\ny\tC\nz\tb\nu\ta\nv\t10\n", &none, &options);
    retort_dataset_info info = describe(data);
    assert_int_equal(info.targets, RETORT_TARGETS_LABEL);
    assert_false(info.numbers || info.pairs);
    assert_int_equal(info.labels, 4);
    assert_names(data, "10 C a b");
    retort_dataset_free(data);
}

static void sorts_whole_numbers_by_value(void **state) {
    (void)state;
    static const int64_t expected[] = {2, 0, 3, 2, 1};
    retort_dataset_options options = collecting();
    retort_dataset *data = parse("a.csv", "text,label\na,2\nb,-1\nc,10\nd,2\ne,0\n", &none, &options);
    assert_names(data, "-1 0 2 10");
    assert_true(describe(data).numbers);
    assert_int_equal(describe(data).targets, RETORT_TARGETS_LABEL);
    for (size_t i = 0; i < 5; i++) assert_int_equal(data->samples[i].label, expected[i]);
    assert_int_equal(data->samples[3].line, 5);
    retort_dataset_free(data);
}

static void tells_values_from_labels(void **state) {
    (void)state;
    retort_dataset_options options = collecting();
    retort_dataset *data = parse("a.tsv", "sentence\tlabel\nx\t1.5\ny\t2\nz\t1.5\n", &none, &options);
    assert_int_equal(describe(data).targets, RETORT_TARGETS_VALUE);
    assert_true(describe(data).numbers && data->samples[1].score == 2 && data->samples[2].score == 1.5);
    assert_null(retort_dataset_label(data, 0));
    retort_dataset_free(data);
    data = parse("a.tsv", "sentence1\tsentence2\tscore\nx\ty\t3\n", &none, &options);
    assert_int_equal(describe(data).targets, RETORT_TARGETS_VALUE);
    assert_true(describe(data).pairs);
    retort_dataset_free(data);

    data = parse("a.tsv", "sentence\tlabel\nx\t10.0\ny\t2.0\n", &none,
                 &options); /* as pandas writes labels with gaps */
    assert_names(data, "2.0 10.0");
    assert_int_equal(describe(data).targets, RETORT_TARGETS_LABEL);
    retort_dataset_free(data);

    options.targets = RETORT_TARGETS_VALUE;
    data = parse("a.tsv", "sentence\tlabel\nx\t1\ny\t5\n", &none, &options);
    assert_true(data->targets == RETORT_TARGETS_VALUE && data->samples[1].score == 5);
    retort_dataset_free(data);
    expect_error("a.tsv", "sentence\tlabel\nx\t1\ny\tgood\n", &none, &options,
                 "a.tsv:3: 'good' is not a number");
    options.targets = RETORT_TARGETS_LABEL;
    data = parse("a.tsv", "sentence\tlabel\nx\t1.5\ny\t10\n", &none, &options);
    assert_names(data, "1.5 10");
    retort_dataset_free(data);
    expect_error("a.tsv", "sentence\nx\n", &none, &options,
                 "expected one label per text, found texts without labels");
}

static void collects_tags(void **state) {
    (void)state;
    static const int32_t expected[] = {1, 3, 0};
    retort_dataset_options options = collecting();
    retort_dataset *data = parse("a.conll", "Ada B-PER\nsaw O\n\nParis B-LOC\n", &none, &options);
    assert_int_equal(describe(data).targets, RETORT_TARGETS_TAGS);
    assert_names(data, "B-LOC B-PER O");
    assert_int_equal(data->tags[0], expected[0]);
    assert_int_equal(data->tags[1], 2);
    assert_int_equal(data->tags[2], expected[2]);
    assert_int_equal(data->samples[1].line, 4);
    retort_dataset_free(data);
    options.task = RETORT_TASK_TAG; /* decides where the name does not */
    data = parse("a", "Ada B-PER\nsaw O\n", &none, &options);
    assert_names(data, "B-PER O");
    retort_dataset_free(data);
}

static void reads_lists_of_words(void **state) {
    (void)state;
    static const char *names[] = {"O", "B-PER", "B-LOC"};
    static const rt_config tagger = {.task = RETORT_TASK_TAG, .labels = 3, .label_names = names};
    static const char text[] =
        "{\"id\": 1, \"tokens\": [\"Ada\", \"saw\"], \"ner_tags\": [\"B-PER\", \"O\"]}\n"
        "{\"id\": 2, \"tokens\": [], \"ner_tags\": []}\n"
        "{\"id\": 3, \"tokens\": [\"Paris\"], \"ner_tags\": [\"B-LOC\"]}\n";
    retort_dataset_options options = collecting();
    for (int collect = 0; collect < 2; collect++) {
        retort_dataset *data = parse("a.jsonl", text, collect ? &none : &tagger, collect ? &options : &plain);
        assert_int_equal(describe(data).targets, RETORT_TARGETS_TAGS);
        assert_true(data->kind == RT_DATA_WORDS && data->count == 2 && data->samples[1].line == 3);
        assert_int_equal(data->samples[0].text.length, 7);
        assert_memory_equal(data->samples[0].text.text, "Ada saw", 7);
        assert_int_equal(data->tags[2], collect ? 0 : 2);
        retort_dataset_free(data);
    }
    expect_error("a.jsonl", "{\"tokens\": [\"a\", \"b\"], \"tags\": [0]}\n{}", &tagger, &plain,
                 "a.jsonl:1: there are more words than tags");
    expect_error("a.jsonl", "{\"tokens\": [\"a\"], \"tags\": [0, 1]}\n{}", &tagger, &plain,
                 "a.jsonl:1: there are more tags than words");
    expect_error("a.jsonl", "{\"tokens\": [\"a\"], \"tags\": [7]}\n{}", &tagger, &plain,
                 "a.jsonl:1: label '7'");
    expect_error("a.jsonl", "{\"tokens\": [\"a\"], \"tags\": [0]}\n{\"tokens\": \"a\", \"tags\": [0]}\n",
                 &tagger, &plain, "a.jsonl:2: expected a list of words and one of tags");
}

static void reads_lists_of_labels(void **state) {
    (void)state;
    retort_dataset_options options = collecting();
    static const char names[] =
        "{\"text\": \"a\", \"labels\": [\"joy\", \"fear\"]}\n"
        "{\"text\": \"b\", \"labels\": []}\n{\"text\": \"c\", \"labels\": [\"joy\"]}\n";
    retort_dataset *data = parse("a.jsonl", names, &none, &options);
    assert_int_equal(describe(data).targets, RETORT_TARGETS_LABELS);
    assert_names(data, "fear joy");
    assert_sets(data, "1 0||1");
    retort_dataset_free(data);
    data = parse("a.jsonl", names, &moods, &plain); /* the model's numbers */
    assert_sets(data, "0 2||0");
    retort_dataset_free(data);

    static const char vectors[] =
        "{\"text\": \"a\", \"labels\": [0, 1, 1]}\n{\"text\": \"b\", \"labels\": [1.0, 0.0, 0]}\n";
    data = parse("a.jsonl", vectors, &none, &options);
    assert_names(data, "0 1 2");
    assert_sets(data, "1 2|0");
    retort_dataset_free(data);
    data = parse("a.jsonl", vectors, &moods, &plain);
    assert_sets(data, "1 2|0");
    retort_dataset_free(data);

    data = parse("a.jsonl", "{\"text\": \"a\", \"labels\": [27]}\n{\"text\": \"b\", \"labels\": [2, 10]}\n",
                 &none, &options);
    assert_names(data, "2 10 27");
    assert_sets(data, "2|0 1");
    retort_dataset_free(data);
}

static void reads_cells_of_labels(void **state) {
    (void)state;
    retort_dataset_options options = RETORT_DATASET_OPTIONS;
    retort_dataset *data = parse("a.tsv", "text\tlabels\na\tjoy; fear\nb\t\nc\t1\n", &moods, &options);
    assert_sets(data, "0 2||1");
    retort_dataset_free(data);
    options.label_separator = ",";
    data = parse("a.tsv", "text\tlabels\na\tfear,joy\n", &moods, &options);
    assert_sets(data, "2 0");
    retort_dataset_free(data);
    options.collect = true;
    data = parse("a.tsv", "text\tlabel\na\t3,10\nb\t10\n", &none, &options);
    assert_names(data, "3 10");
    assert_sets(data, "0 1|1");
    retort_dataset_free(data);
    options.label_separator = "::";
    expect_error("a.tsv", "text\tlabel\na\t3\n", &none, &options, "expected one byte");
}

static void reads_a_column_for_each_label(void **state) {
    (void)state;
    static const char csv[] = "text,anger,joy,other,fear\na,1,0,7,1\nb,0,0,8,0\nc,0,1,9,0\n";
    retort_dataset *data = parse("a.csv", csv, &moods, &plain);
    assert_sets(data, "1 2||0");
    retort_dataset_free(data);
    retort_dataset_options options = collecting();
    options.label_column = "fear,anger";
    data = parse("a.csv", csv, &none, &options);
    assert_int_equal(describe(data).targets, RETORT_TARGETS_LABELS);
    assert_names(data, "fear anger");
    assert_sets(data, "0 1||");
    retort_dataset_free(data);
    options.label_column = "fear,other";
    expect_error("a.csv", csv, &none, &options, "a.csv:2: '7' in column 'other': expected 0 or 1");
    options.label_column = "fear,bliss";
    expect_error("a.csv", csv, &none, &options, "no column 'bliss'");
    options.label_column = "fear,fear";
    expect_error("a.csv", csv, &none, &options, "named twice");
}

static void says_what_is_wrong(void **state) {
    (void)state;
    static const char *two[] = {"NEGATIVE", "POSITIVE"};
    static const rt_config single = {.task = RETORT_TASK_CLASSIFY, .labels = 2, .label_names = two};
    retort_dataset_options options = collecting();
    expect_error("a.tsv", "text\tlabel\na\tjoy; bliss\n", &moods, &plain, "a.tsv:2: label 'bliss'");
    expect_error("a.jsonl", "{\"text\": \"a\", \"label\": [1]}\n{}", &single, &plain,
                 "a.jsonl:1: a list of labels: expected one label");
    expect_error("a.jsonl", "{\"text\": \"a\", \"labels\": [[1]]}\n{}", &none, &options,
                 "a.jsonl:1: no text or number 'labels'");
    expect_error("a.jsonl", "{\"text\": \"a\", \"labels\": [0, 1]}\n{\"text\": \"b\", \"labels\": [1, 1]}\n",
                 &moods, &plain, "a list of 2 numbers 0 and 1: the model has 3 labels");
    expect_error("a.tsv", "text\tlabel\na\tx\nb\t\n", &none, &options, "a.tsv:3: the label is empty");
    expect_error("a.jsonl", "{\"text\": \"a\", \"label\": \"x\"}\n{\"text\": \"b\", \"label\": null}\n",
                 &none, &options, "a.jsonl:2: no text or number 'label'");
    expect_error("a.jsonl", "{\"text\": \"a\", \"label\": \"x\"}\n{\"text\": \"b\", \"label\": [\"y\"]}\n",
                 &none, &options, "a.jsonl:2: a list of labels");
}

/* As a program does it that has no model yet. */
static void opens_without_a_model(void **state) {
    (void)state;
    char path[] = "/tmp/retort-dataset-XXXXXX";
    int fd = mkstemp(path);
    retort_error err;
    retort_dataset *data = NULL;
    retort_dataset_options options = collecting();
    retort_dataset_info info = {.size = sizeof info};
    static const char text[] = "text,label\na,yes\nb,no\n";
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    assert_int_equal(retort_dataset_open(&data, path, NULL, &options, &err), RETORT_OK);
    assert_int_equal(retort_dataset_describe(data, &info), RETORT_OK);
    assert_true(info.targets == RETORT_TARGETS_LABEL && info.labels == 2);
    assert_string_equal(retort_dataset_label(data, 0), "no");
    assert_null(retort_dataset_label(data, 2));
    assert_null(retort_dataset_label(NULL, 0));
    info.size = 1;
    assert_int_equal(retort_dataset_describe(data, &info), RETORT_ARGUMENT);
    retort_dataset_free(data);
    assert_int_equal(retort_dataset_open(&data, path, NULL, NULL, &err), RETORT_OK); /* its texts alone */
    info.size = sizeof info;
    assert_int_equal(retort_dataset_describe(data, &info), RETORT_OK);
    assert_true(info.targets == RETORT_TARGETS_NONE && info.labels == 0);
    retort_dataset_free(data);
    unlink(path);
}

/* sklearn.metrics.f1_score([[1,0,1,0],[1,1,0,0],[0,1,0,0]], [[1,0,0,0],[1,0,1,0],[1,1,0,0]]), micro and macro */
static void decisions_like_scikit_learn(void **state) {
    (void)state;
    static const rt_decisions labels[] = {{2, 3, 2}, {2, 1, 1}, {1, 1, 0}, {0, 0, 0}};
    assert_true(rt_f1(&(rt_decisions){5, 5, 3}) == 0.6);
    assert_true(rt_f1_macro(labels, 4, true) == (0.8 + 2.0 / 3) / 4);
    /* f1_score([0, 0, 1, 1, 2], [0, 0, 0, 1, 1]) leaves out what is not in either list */
    static const rt_decisions one[] = {{2, 3, 2}, {2, 2, 1}, {1, 0, 0}, {0, 0, 0}};
    assert_true(rt_f1_macro(one, 4, false) == (0.8 + 0.5) / 3);
    assert_true(rt_f1_macro(one + 3, 1, false) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorts_names_as_text),         cmocka_unit_test(sorts_whole_numbers_by_value),
        cmocka_unit_test(tells_values_from_labels),    cmocka_unit_test(collects_tags),
        cmocka_unit_test(reads_lists_of_words),        cmocka_unit_test(reads_lists_of_labels),
        cmocka_unit_test(reads_cells_of_labels),       cmocka_unit_test(reads_a_column_for_each_label),
        cmocka_unit_test(says_what_is_wrong),          cmocka_unit_test(opens_without_a_model),
        cmocka_unit_test(decisions_like_scikit_learn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
