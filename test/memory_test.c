/* SPDX-License-Identifier: Apache-2.0
 * What happens when memory runs out, and that the run path asks for none.
 *
 * The program puts its own malloc in front of the C library's. For every n, each piece of work is done with
 * the n-th allocation failing (and again with all from the n-th on): it must report an error or manage
 * without, leak nothing, and leave no half-written file. */
#include "failing_malloc.h"
#include "train/teacher.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- The work ---- */

typedef struct bench {
    char checkpoint[512];           /* folder */
    char folder[64];                /* temporary */
    char saved[96];                 /* a .retort file in it */
    char graph[96];                 /* an ONNX file in it, with .data */
    char data[96];                  /* a data set for the model's task in it */
    char csv[96], json_lines[96];   /* tables in it, */
    char labelled[96], columns[96]; /* and with several labels per text */
    char state[96];                 /* of a training in it, with .best */
    retort_model *plain;            /* level 0 */
    retort_model *model;            /* level 3 */
    bool foreign;                   /* `graph` no longer says that it is ours */
} bench;

static retort_task task_of(const retort_model *model) {
    retort_info info = {.size = sizeof info};
    assert_int_equal(retort_model_info(model, &info), RETORT_OK);
    return info.task;
}

static const char *const texts[] = {"the quick brown fox", "Hello, world!", "a"};

static retort_status work_import(bench *b, retort_error *err) {
    retort_model *model = NULL;
    retort_status status = retort_model_import(&model, b->checkpoint, NULL, err);
    retort_model_free(model);
    return status;
}

static retort_status work_new_head(bench *b, retort_error *err) {
    static const int64_t first = 0;
    const retort_head head = {sizeof head, RETORT_TASK_CLASSIFY, RETORT_PROBLEM_SINGLE_LABEL, NULL, 3, 0};
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    retort_model *model = NULL;
    options.head = &head;
    options.layers = &first;
    options.layer_count = 1;
    retort_status status = retort_model_import(&model, b->checkpoint, &options, err);
    retort_model_free(model);
    return status;
}

static retort_status work_restrict(bench *b, retort_error *err) {
    const retort_text known = {.text = texts[0], .length = strlen(texts[0])};
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    retort_model *model = NULL;
    options.languages = "ko";
    options.texts = &known;
    options.text_count = 1;
    options.level = 1;
    retort_status status = retort_model_import(&model, b->checkpoint, &options, err);
    retort_model_free(model);
    return status;
}

static retort_status work_optimize(bench *b, retort_error *err) {
    static const char *const without[] = {"fuse-qkv"};
    retort_model *model = NULL;
    retort_optimize_options options = RETORT_OPTIMIZE_OPTIONS;
    options.without = without;
    options.without_count = 1;
    retort_status status = retort_model_optimize(&model, b->plain, &options, err);
    retort_model_free(model);
    return status;
}

static retort_status work_quantize(bench *b, retort_error *err) {
    static const char *const keep[] = {"layer.0.ffn"};
    retort_model *model = NULL;
    retort_quantize_options options = RETORT_QUANTIZE_OPTIONS;
    options.recipe = "int4";
    options.keep = keep;
    options.keep_count = 1;
    retort_status status = retort_model_quantize(&model, b->model, &options, err);
    retort_model_free(model);
    return status;
}

static retort_status work_dequantize(bench *b, retort_error *err) {
    retort_model *integer = NULL, *floats = NULL;
    retort_quantize_options options = RETORT_QUANTIZE_OPTIONS;
    options.recipe = "int4";
    retort_status status = retort_model_quantize(&integer, b->model, &options, err);
    if (status == RETORT_OK) status = retort_model_dequantize(&floats, integer, err);
    retort_model_free(floats);
    retort_model_free(integer);
    return status;
}

static retort_status round_weight(bench *b, const char *recipe, retort_activations activations,
                                  retort_error *err) {
    retort_model *model = NULL;
    retort_dataset *data = NULL;
    retort_quantize_options options = RETORT_QUANTIZE_OPTIONS;
    options.recipe = recipe;
    options.activations = activations;
    retort_status status = retort_dataset_open(&data, b->data, b->model, NULL, err);
    options.data = data;
    if (status == RETORT_OK) status = retort_model_quantize(&model, b->model, &options, err);
    retort_dataset_free(data);
    retort_model_free(model);
    return status;
}

static retort_status work_learn(bench *b, retort_error *err) {
    return round_weight(b, "ptq+owq", RETORT_ACTIVATIONS_DEFAULT, err);
}

static retort_status work_move(bench *b, retort_error *err) {
    return round_weight(b, "awq", RETORT_ACTIVATIONS_STATIC, err);
}

static retort_status work_save(bench *b, retort_error *err) {
    return retort_model_save(b->model, b->saved, err);
}

/* Codes that the file holds in 2 bits each, which are expanded when it is opened. */
static retort_status work_two_bits(bench *b, retort_error *err) {
    retort_model *model = NULL, *loaded = NULL;
    retort_quantize_options options = RETORT_QUANTIZE_OPTIONS;
    options.recipe = "int4";
    options.bits = options.embeddings = 2;
    retort_status status = retort_model_quantize(&model, b->model, &options, err);
    if (status == RETORT_OK) status = retort_model_save(model, b->saved, err);
    if (status == RETORT_OK) status = retort_model_load(&loaded, b->saved, err);
    retort_model_free(loaded);
    retort_model_free(model);
    return status;
}

static retort_status work_load(bench *b, retort_error *err) {
    retort_model *model = NULL;
    retort_status status = retort_model_load(&model, b->saved, err);
    retort_model_free(model);
    return status;
}

/* Tensors in a file beside it, which is opened and renamed too. */
static retort_status work_export(bench *b, retort_error *err) {
    retort_export_options options = RETORT_EXPORT_OPTIONS;
    options.external_over = 1;
    return retort_model_export(b->plain, b->graph, &options, NULL, err);
}

static retort_status work_export_fused(bench *b, retort_error *err) {
    retort_export_options options = RETORT_EXPORT_OPTIONS;
    options.external_over = 1;
    options.fused = true;
    return retort_model_export(b->model, b->graph, &options, NULL, err);
}

static retort_status work_import_graph(bench *b, retort_error *err) {
    retort_model *model = NULL;
    retort_status status = retort_model_import(&model, b->graph, NULL, err);
    retort_model_free(model);
    return status;
}

/* What another program's graph needs beside it: links to files of the checkpoint. */
static const char *const beside[] = {"config.json", "tokenizer.json"};
enum { BESIDE = sizeof beside / sizeof *beside };

static void link_beside(const bench *b) {
    char from[640], to[128];
    for (size_t i = 0; i < BESIDE; i++) {
        snprintf(from, sizeof from, "%s/%s", b->checkpoint, beside[i]);
        snprintf(to, sizeof to, "%s/%s", b->folder, beside[i]);
        assert_int_equal(symlink(from, to), 0);
    }
}

static void unlink_beside(const bench *b) {
    char path[128];
    for (size_t i = 0; i < BESIDE; i++) {
        snprintf(path, sizeof path, "%s/%s", b->folder, beside[i]);
        assert_int_equal(unlink(path), 0);
    }
}

/* Fused as ONNX Runtime does it, which keeps scores over the root of the head's size. */
static retort_status export_level2(bench *b, retort_error *err) {
    static const char *const without[] = {"scale-into-query"};
    retort_model *model = NULL;
    retort_optimize_options levels = RETORT_OPTIMIZE_OPTIONS;
    retort_export_options options = RETORT_EXPORT_OPTIONS;
    levels.level = 2;
    levels.without = without;
    levels.without_count = 1;
    options.external_over = 1;
    options.fused = true;
    retort_status status = retort_model_optimize(&model, b->plain, &levels, err);
    if (status == RETORT_OK) status = retort_model_export(model, b->graph, &options, NULL, err);
    retort_model_free(model);
    return status;
}

/* A fused graph as if another program had made it: what we know of ours stands under other keys. */
static void make_foreign(bench *b) {
    static const char key[] = "retort.";
    retort_error err = {0};
    if (export_level2(b, &err) != RETORT_OK) fail_msg("%s", err.text);
    FILE *file = fopen(b->graph, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    size_t size = (size_t)ftell(file);
    char *bytes = malloc(size);
    assert_non_null(bytes);
    rewind(file);
    assert_int_equal(fread(bytes, 1, size, file), size);
    for (size_t i = 0; i + sizeof key <= size; i++) {
        if (memcmp(bytes + i, key, sizeof key - 1) == 0) bytes[i] = 'x';
    }
    rewind(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    free(bytes);
    link_beside(b);
    b->foreign = true;
}

/* From its folder, where it has a name of its own. Exports of embeddings have their head, which others do not. */
static retort_status work_import_foreign(bench *b, retort_error *err) {
    char other[128];
    retort_model *model = NULL;
    if (task_of(b->model) == RETORT_TASK_EMBED) return work_import_graph(b, err);
    if (!b->foreign) make_foreign(b);
    snprintf(other, sizeof other, "%s/other.onnx", b->folder);
    assert_int_equal(rename(b->graph, other), 0);
    retort_status status = retort_model_import(&model, b->folder, NULL, err);
    retort_model_free(model);
    assert_int_equal(rename(other, b->graph), 0);
    return status;
}

static int ignore(void *user, const char *text, size_t length) {
    (void)user;
    return text == NULL || length == 0;
}

static retort_status work_draw(bench *b, retort_error *err) {
    return retort_model_draw(b->plain, NULL, ignore, NULL, err);
}

static retort_status work_tokenize(bench *b, retort_error *err) {
    retort_tokens tokens = {0};
    retort_tokenize_options options = RETORT_TOKENIZE_OPTIONS;
    retort_status status = RETORT_OK;
    for (size_t i = 0; i < 3 && status == RETORT_OK; i++) {
        retort_text text = {.text = texts[i], .length = strlen(texts[i])};
        status = retort_tokenize(b->model, &text, &options, &tokens, err);
    }
    retort_tokens_free(&tokens);
    return status;
}

/* The windows of a pair of texts, for tasks that have some. */
static retort_status make_windows(const bench *b, retort_encoder *encoder, retort_error *err) {
    retort_info info = {.size = sizeof info};
    retort_windows *windows = NULL;
    retort_status status = retort_model_info(b->model, &info);
    retort_text text = {texts[1], strlen(texts[1]), texts[0], strlen(texts[0])};
    if (info.task == RETORT_TASK_TAG) status = retort_tag_windows(&windows, encoder, &text, NULL, false, err);
    if (info.task == RETORT_TASK_ANSWER)
        status = retort_answer_windows(&windows, encoder, &text, NULL, false, err);
    if (info.task == RETORT_TASK_FILL) status = retort_fill_windows(&windows, encoder, &text, err);
    retort_windows_free(windows);
    return status;
}

static retort_status work_encode(bench *b, retort_error *err) {
    retort_encoder *encoder = NULL;
    retort_status status = retort_encoder_open(&encoder, b->model, err);
    int32_t ids[64], types[64];
    size_t count;
    for (size_t i = 0; i < 3 && status == RETORT_OK; i++) {
        retort_text text = {texts[i], strlen(texts[i]), i == 0 ? texts[1] : NULL,
                            i == 0 ? strlen(texts[1]) : 0};
        status = retort_encode(encoder, &text, NULL, ids, types, 64, &count, err);
    }
    if (status == RETORT_OK) status = make_windows(b, encoder, err);
    retort_encoder_close(encoder);
    return status;
}

static int count_text(void *user, const retort_classified *text) {
    *(size_t *)user += text->label[0] != '\0';
    return 0;
}

/* One call of the model's own task on a session. */
static retort_status use_task(retort_session *session, retort_task task, retort_error *err) {
    static float scores[3 * 4096];
    static retort_fill_guess guesses[64];
    retort_fill_options fill = RETORT_FILL_OPTIONS;
    retort_spans spans = {0};
    retort_status status;
    size_t count = 0;
    retort_text text[3];
    for (size_t i = 0; i < 3; i++) text[i] = (retort_text){.text = texts[i], .length = strlen(texts[i])};
    switch (task) {
    case RETORT_TASK_CLASSIFY:
        status = retort_classify(session, text, 3, scores, NULL, 3 * 4096, err);
        if (status == RETORT_OK) status = retort_classify_each(session, text, 3, count_text, &count, err);
        return status;
    case RETORT_TASK_EMBED:
        return retort_embed(session, text, 3, scores, 3 * 4096, err);
    case RETORT_TASK_TAG:
        status = retort_tag(session, text, 3, NULL, &spans, err);
        retort_spans_free(&spans);
        return status;
    case RETORT_TASK_ANSWER:
        status =
            retort_answer(session, texts[1], strlen(texts[1]), texts[0], strlen(texts[0]), NULL, &spans, err);
        retort_spans_free(&spans);
        return status;
    case RETORT_TASK_FILL:
        text[0] = (retort_text){.text = "a [MASK] b", .length = 10};
        fill.targets = text;
        fill.target_count = 2;
        status = retort_fill(session, &text[0], 4, &fill, guesses, 8, &count, err);
        if (status != RETORT_OK) return status;
        return retort_fill(session, &text[0], 4, NULL, guesses, 8, &count, err);
    }
    return RETORT_ARGUMENT;
}

static retort_status work_session(bench *b, retort_error *err) {
    retort_session_options options = RETORT_SESSION_OPTIONS;
    options.threads = 1; /* the C library keeps memory of ended threads, which would look like a leak */
    retort_session *session = NULL;
    retort_status status = retort_session_open(&session, b->model, &options, err);
    if (status == RETORT_OK) status = use_task(session, task_of(b->model), err);
    retort_session_close(session);
    return status;
}

/* With codes, all of them unpacked. */
static retort_status work_unpacked(bench *b, retort_error *err) {
    retort_session_options options = RETORT_SESSION_OPTIONS;
    options.threads = 1;
    options.unpack = RETORT_UNPACK_ALWAYS;
    retort_session *session = NULL;
    retort_model *model = NULL;
    retort_quantize_options how = RETORT_QUANTIZE_OPTIONS;
    how.recipe = "int4";
    retort_status status = retort_model_quantize(&model, b->model, &how, err);
    if (status == RETORT_OK) status = retort_session_open(&session, model, &options, err);
    if (status == RETORT_OK) status = use_task(session, task_of(b->model), err);
    retort_session_close(session);
    retort_model_free(model);
    return status;
}

static retort_status work_level0(bench *b, retort_error *err) {
    retort_session_options options = RETORT_SESSION_OPTIONS;
    options.threads = 1;
    options.isa = "ref";
    retort_session *session = NULL;
    retort_status status = retort_session_open(&session, b->plain, &options, err);
    if (status == RETORT_OK) status = use_task(session, task_of(b->plain), err);
    retort_session_close(session);
    return status;
}

static retort_status work_eval(bench *b, retort_error *err) {
    retort_session_options options = RETORT_SESSION_OPTIONS;
    options.threads = 1;
    retort_session *session = NULL;
    retort_dataset *data = NULL;
    retort_eval_result result = {.size = sizeof result};
    retort_status status = retort_dataset_open(&data, b->data, b->model, NULL, err);
    if (status == RETORT_OK) status = retort_session_open(&session, b->model, &options, err);
    if (status == RETORT_OK) status = retort_eval(session, data, NULL, &result, err);
    retort_session_close(session);
    retort_dataset_free(data);
    return status;
}

static retort_status read_table(const bench *b, const char *path, retort_error *err) {
    retort_dataset *data = NULL;
    retort_dataset_options options = RETORT_DATASET_OPTIONS;
    options.text_column = "body";
    options.texts_only = true; /* labels are the task's own data's */
    retort_status status = retort_dataset_open(&data, path, b->model, &options, err);
    retort_dataset_free(data);
    return status;
}

static retort_status work_csv(bench *b, retort_error *err) {
    return read_table(b, b->csv, err);
}

static retort_status work_json_lines(bench *b, retort_error *err) {
    return read_table(b, b->json_lines, err);
}

/* Labels of the data, several of them per text. */
static retort_status work_collect(bench *b, retort_error *err) {
    retort_dataset *data = NULL;
    retort_dataset_options options = RETORT_DATASET_OPTIONS;
    options.collect = true;
    retort_status status = retort_dataset_open(&data, b->labelled, NULL, &options, err);
    retort_dataset_free(data);
    if (status != RETORT_OK) return status;
    options.text_column = "body";
    options.label_column = "id,other";
    status = retort_dataset_open(&data, b->columns, NULL, &options, err);
    if (status == RETORT_OK) retort_dataset_free(data);
    return status;
}

/* ---- What is learned from ---- */

static bool is_trained(const bench *b) {
    retort_task task = task_of(b->model);
    return task == RETORT_TASK_CLASSIFY || task == RETORT_TASK_TAG || task == RETORT_TASK_EMBED;
}

typedef struct learning {
    retort_dataset *data;
    rt_examples examples;
    rt_kernels kernels;
    rt_teacher teacher;
} learning;

static retort_status work_examples(bench *b, retort_error *err) {
    learning l = {0};
    if (!is_trained(b)) return RETORT_OK;
    retort_status status = retort_dataset_open(&l.data, b->data, b->model, NULL, err);
    if (status == RETORT_OK) status = rt_examples_open(&l.examples, b->model, l.data, -1, true, err);
    if (status == RETORT_OK) status = rt_examples_check(&l.examples, b->model, l.data, NULL, NULL, err);
    rt_examples_free(&l.examples);
    retort_dataset_free(l.data);
    return status;
}

static retort_status work_teacher(bench *b, retort_error *err) {
    learning l = {0};
    if (!is_trained(b)) return RETORT_OK;
    rt_kernels_select(&l.kernels, 0);
    const rt_teacher_options options = {.kernels = &l.kernels, .threads = 1, .rows = 128, .states = true};
    retort_status status = retort_dataset_open(&l.data, b->data, b->model, NULL, err);
    if (status == RETORT_OK) status = rt_examples_open(&l.examples, b->model, l.data, -1, true, err);
    if (status == RETORT_OK)
        status = rt_teacher_open(&l.teacher, b->plain, b->model, &l.examples, &options, err);
    rt_teacher_free(&l.teacher);
    rt_examples_free(&l.examples);
    retort_dataset_free(l.data);
    return status;
}

/* A step on labels and on a teacher's answers, measured on the same texts; the result is folded. With its checkpoint, which is
 * written or gone on from. */
static retort_status train(bench *b, retort_model *teacher, bool resume, retort_error *err) {
    retort_dataset *data = NULL;
    retort_model *model = NULL;
    retort_train_options options = RETORT_TRAIN_OPTIONS;
    retort_train_result result = {.size = sizeof result};
    if (!is_trained(b)) return RETORT_OK;
    retort_status status = retort_dataset_open(&data, b->data, b->model, NULL, err);
    options.data = options.dev = data;
    options.teacher = teacher;
    options.soft = teacher != NULL ? 0.5 : -1;
    options.checkpoint = b->state;
    options.minutes = 1e-9;
    options.resume = resume;
    options.steps = 1;
    options.threads = 1;
    if (status == RETORT_OK) status = retort_train(&model, b->plain, &options, &result, err);
    retort_model_free(model);
    retort_dataset_free(data);
    return status;
}

static retort_status work_train(bench *b, retort_error *err) {
    return train(b, b->model, false, err);
}

/* Of one checkpoint, since its many names are read from three files; written by the first call, in which nothing fails. */
static retort_status work_resume(bench *b, retort_error *err) {
    if (strstr(b->checkpoint, "/distilbert-classify") == NULL) return RETORT_OK;
    retort_status status = err == NULL ? train(b, NULL, false, NULL) : RETORT_OK;
    return status == RETORT_OK ? train(b, NULL, true, err) : status;
}

/* A step on the integers of a recipe, with the model as teacher. */
static retort_status work_train_integers(bench *b, retort_error *err) {
    retort_dataset *data = NULL;
    retort_model *model = NULL;
    retort_train_options options = RETORT_TRAIN_OPTIONS;
    retort_train_result result = {.size = sizeof result};
    if (!is_trained(b)) return RETORT_OK;
    retort_status status = retort_dataset_open(&data, b->data, b->model, NULL, err);
    options.data = options.dev = data;
    options.recipe = "int4";
    options.steps = 1;
    options.threads = 1;
    if (status == RETORT_OK) status = retort_train(&model, b->model, &options, &result, err);
    retort_model_free(model);
    retort_dataset_free(data);
    return status;
}

/* ---- Set-up ---- */

static int entries(const char *path) {
    int count = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

static void write_file(const char *path, const char *content) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(content, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* A data file that suits every task: its columns and words fit none by accident. */
static void write_data(const bench *b) {
    static const char *const contents[] = {
        [RETORT_TASK_CLASSIFY] = "sentence\tlabel\nhello world\t0\nthe fox\t1\n",
        [RETORT_TASK_TAG] = "hello O\nworld B-PER\n\nfox O\n",
        [RETORT_TASK_ANSWER] =
            "{\"data\": [{\"paragraphs\": [{\"context\": \"the quick fox\", \"qas\": [{\"id\": \"1\", "
            "\"question\": \"who\", \"answers\": [{\"text\": \"fox\", \"answer_start\": 10}]}]}]}]}",
        [RETORT_TASK_FILL] = "hello world\nthe fox\n",
        [RETORT_TASK_EMBED] = "sentence1\tsentence2\tscore\nhello\tworld\t1.5\nthe fox\tfox\t4\n",
    };
    write_file(b->data, contents[task_of(b->model)]);
    write_file(b->csv, "id,body\n1,\"a \"\"quick\"\" fox\"\n2,hello\n");
    write_file(b->json_lines, "{\"id\": 1, \"body\": \"hello\"}\n{\"body\": 1.5, \"id\": 2}\n");
    write_file(b->labelled,
               "{\"text\": \"a\", \"labels\": [\"x\", \"y\"]}\n{\"text\": \"b\", \"labels\": [\"w\"]}\n");
    write_file(b->columns, "id,body,other\n1,fox,0\n0,hello,1\n");
}

static void bench_open(bench *b, const char *checkpoint) {
    *b = (bench){.folder = "/tmp/retort-memory-XXXXXX"};
    snprintf(b->checkpoint, sizeof b->checkpoint, "%s", checkpoint);
    assert_non_null(mkdtemp(b->folder));
    snprintf(b->saved, sizeof b->saved, "%s/model.retort", b->folder);
    snprintf(b->graph, sizeof b->graph, "%s/model.onnx", b->folder);
    snprintf(b->data, sizeof b->data, "%s/data", b->folder);
    snprintf(b->csv, sizeof b->csv, "%s/table.csv", b->folder);
    snprintf(b->json_lines, sizeof b->json_lines, "%s/table.jsonl", b->folder);
    snprintf(b->labelled, sizeof b->labelled, "%s/labels.jsonl", b->folder);
    snprintf(b->columns, sizeof b->columns, "%s/columns.csv", b->folder);
    snprintf(b->state, sizeof b->state, "%s/state", b->folder);
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    retort_error err = {0};
    if (retort_model_import(&b->model, checkpoint, &options, &err) != RETORT_OK) fail_msg("%s", err.text);
    options.level = 0;
    if (retort_model_import(&b->plain, checkpoint, &options, &err) != RETORT_OK) fail_msg("%s", err.text);
    if (retort_model_save(b->model, b->saved, &err) != RETORT_OK) fail_msg("%s", err.text);
    if (work_export(b, &err) != RETORT_OK) fail_msg("%s", err.text);
    write_data(b);
}

static void bench_close(bench *b) {
    retort_model_free(b->plain);
    retort_model_free(b->model);
    char tensors[128], best[128];
    snprintf(tensors, sizeof tensors, "%s.data", b->graph);
    if (b->foreign) unlink_beside(b);
    snprintf(best, sizeof best, "%s.best", b->state);
    unlink(b->state);
    unlink(best);
    assert_int_equal(entries(b->folder), 8); /* the models and the data: nothing left behind */
    assert_int_equal(unlink(b->saved), 0);
    assert_int_equal(unlink(b->graph), 0);
    assert_int_equal(unlink(tensors), 0);
    assert_int_equal(unlink(b->data), 0);
    assert_int_equal(unlink(b->csv), 0);
    assert_int_equal(unlink(b->json_lines), 0);
    assert_int_equal(unlink(b->labelled), 0);
    assert_int_equal(unlink(b->columns), 0);
    assert_int_equal(rmdir(b->folder), 0);
}

/* Each task, architecture and file format in one checkpoint at least. */
static const struct {
    const char *name;
    enum { ALL_WORKS, IMPORT_ONLY, TRAIN_ONLY } which; /* elsewhere it is like the others */
} checkpoints[] = {
    {"distilbert-classify", ALL_WORKS},
    {"bert-tag", ALL_WORKS},
    {"bert-fill", ALL_WORKS},
    {"package-dense", ALL_WORKS},
    {"package-stack", IMPORT_ONLY},
    {"electra-classify", ALL_WORKS},
    {"roberta-answer", ALL_WORKS},
    {"albert-groups", IMPORT_ONLY},
    {"mpnet-tag", IMPORT_ONLY},
    {"deberta-biased", IMPORT_ONLY},
    {"modernbert-mean", IMPORT_ONLY},
    {"modernbert-local-classify", TRAIN_ONLY},
    {"albert-classify", TRAIN_ONLY},
    {"mpnet-classify", TRAIN_ONLY},
    {"deberta-tag", TRAIN_ONLY},
    {"gte-tag", IMPORT_ONLY},
    {"eurobert-bos", IMPORT_ONLY},
    {"eurobert-classify", TRAIN_ONLY},
    {"roberta-bytes-classify", IMPORT_ONLY},
    {"roberta-bytes-tag", IMPORT_ONLY},
    {"distilbert-classify-zip", IMPORT_ONLY},
    {"distilbert-classify-legacy", IMPORT_ONLY},
    {"distilbert-classify-sharded", IMPORT_ONLY},
    {"distilbert-classify-keras", IMPORT_ONLY},
    {"bert-answer-trained", IMPORT_ONLY},
    {"adapter-classify", IMPORT_ONLY},
    {"adapter-dora", IMPORT_ONLY},
    {"cross-tanh", IMPORT_ONLY},
    {"splade-sum", IMPORT_ONLY},
    {"setfit-rest", IMPORT_ONLY},
    {"static-model2vec", IMPORT_ONLY},
};

static void each_checkpoint(void (*visit)(const char *folder, int which)) {
    char folder[512];
    const char *root = getenv("RETORT_ROOT");
    for (size_t i = 0; i < sizeof checkpoints / sizeof *checkpoints; i++) {
        snprintf(folder, sizeof folder, "%s/test/golden/checkpoints/%s", root == NULL ? "." : root,
                 checkpoints[i].name);
        visit(folder, checkpoints[i].which);
    }
}

/* ---- Tests ---- */

typedef retort_status (*work_fn)(bench *b, retort_error *err);
static const struct {
    const char *name;
    work_fn work;
} works[] = {
    {"import", work_import},
    {"new head", work_new_head},
    {"restrict", work_restrict},
    {"optimize", work_optimize},
    {"quantize", work_quantize},
    {"two bits", work_two_bits},
    {"save", work_save},
    {"load", work_load},
    {"tokenize", work_tokenize},
    {"session", work_session},
    {"unpacked", work_unpacked},
    {"level 0", work_level0},
    {"eval", work_eval},
    {"CSV", work_csv},
    {"JSON lines", work_json_lines},
    {"collect", work_collect},
    {"examples", work_examples},
    {"teacher", work_teacher},
    {"train", work_train},
    {"resume", work_resume},
    {"train_integers", work_train_integers},
    {"learn", work_learn},
    {"move", work_move},
    {"encode", work_encode},
    {"dequantize", work_dequantize},
    {"draw", work_draw},
    {"export", work_export},
    {"import ONNX", work_import_graph},
    {"export fused", work_export_fused},
    {"import fused", work_import_graph},
    {"import foreign", work_import_foreign},
};

/* One attempt with the n-th allocation failing (0: none). Returns whether that allocation was asked for. */
static bool attempt(bench *b, size_t which, long n) {
    retort_error err = {0};
    atomic_store(&asked, 0);
    atomic_store(&live, 0);
    atomic_store(&fail_at, n);
    atomic_store(&armed, true);
    retort_status status = works[which].work(b, &err);
    atomic_store(&armed, false);
    const char *name = works[which].name;
    bool failed = n > 0 && atomic_load(&asked) >= n;
    if (!failed && status != RETORT_OK) fail_msg("%s without a failure: %s", name, err.text);
    if (status != RETORT_OK && err.text[0] == '\0')
        fail_msg("%s: allocation %ld fails without a word", name, n);
    if (status != RETORT_OK && status != err.status) fail_msg("%s: allocation %ld: two statuses", name, n);
    if (atomic_load(&live) != 0)
        fail_msg("%s: allocation %ld fails: %ld blocks leak", name, n, atomic_load(&live));
    return failed;
}

static void fail_each(const char *checkpoint, int of) {
    bench b;
    bench_open(&b, checkpoint);
    size_t work_count = of == IMPORT_ONLY ? 1 : sizeof works / sizeof *works;
    for (size_t which = 0; which < work_count; which++) {
        if (of == TRAIN_ONLY && strncmp(works[which].name, "train", 5) != 0) continue;
        works[which].work(&b, NULL); /* the C library allocates some things once and keeps them */
        attempt(&b, which, 0);
        long count = atomic_load(&asked);
        print_message("# %s: %s: %ld allocations\n", strrchr(checkpoint, '/') + 1, works[which].name, count);
        for (int all = 0; all < 2; all++) {
            atomic_store(&sticky, all == 1);
            for (long n = 1; attempt(&b, which, n); n++) {
            }
        }
    }
    bench_close(&b);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    each_checkpoint(fail_each);
}

static void count_runs_of(retort_model *model, const char *checkpoint) {
    retort_session_options options = RETORT_SESSION_OPTIONS;
    options.threads = 2;
    retort_session *session = NULL;
    assert_int_equal(retort_session_open(&session, model, &options, NULL), RETORT_OK);
    /* The first rounds warm up on equal sequences; later ones compute more, of a batch as large. */
    const int32_t ids[] = {2, 5, 6, 3, 2, 7, 3, 2, 8, 9, 5, 3}, offsets[] = {0, 4, 7, 12};
    const int32_t equal_ids[] = {2, 5, 6, 3, 2, 5, 6, 3, 2, 5, 6, 3}, equal_offsets[] = {0, 4, 8, 12};
    retort_matrix out;
    for (int round = 0; round < 5; round++) {
        bool equal = round < 2 || round == 4;
        retort_batch batch = {.ids = equal ? equal_ids : ids,
                              .offsets = equal ? equal_offsets : offsets,
                              .n = round == 3 ? 2 : 3};
        atomic_store(&asked, 0);
        atomic_store(&fail_at, 0);
        atomic_store(&armed, round >= 2);
        retort_status ran = retort_run(session, &batch, &out, NULL);
        atomic_store(&armed, false);
        assert_int_equal(ran, RETORT_OK);
        if (round >= 2 && atomic_load(&asked) != 0) {
            fail_msg("%s: %ld allocations in a run", checkpoint, atomic_load(&asked));
        }
    }
    retort_session_close(session);
}

/* Of floats, and of codes, which are unpacked meanwhile. */
static void count_runs(const char *checkpoint, int of) {
    if (of == IMPORT_ONLY) return;
    bench b;
    bench_open(&b, checkpoint);
    count_runs_of(b.model, checkpoint);
    retort_model *codes = NULL;
    retort_quantize_options how = RETORT_QUANTIZE_OPTIONS;
    how.recipe = "int4";
    assert_int_equal(retort_model_quantize(&codes, b.model, &how, NULL), RETORT_OK);
    count_runs_of(codes, checkpoint);
    retort_model_free(codes);
    bench_close(&b);
}

static void runs_allocate_nothing(void **state) {
    (void)state;
    each_checkpoint(count_runs);
}

/* All that it must have is asked for before it starts, so the attempts that fail are quick. */
static void measuring_may_fail(void **state) {
    (void)state;
    retort_status status = RETORT_NOMEM;
    atomic_store(&sticky, true);
    for (long n = 1; status == RETORT_NOMEM; n++) {
        retort_peaks peaks = {.size = sizeof peaks};
        retort_error err = {0};
        atomic_store(&asked, 0);
        atomic_store(&live, 0);
        atomic_store(&fail_at, n);
        atomic_store(&armed, true);
        status = retort_machine_measure("ref", 1, &peaks, &err);
        atomic_store(&armed, false);
        assert_int_equal(atomic_load(&live), 0);
        if (status == RETORT_NOMEM) assert_non_null(strstr(err.text, "out of memory"));
    }
    atomic_store(&sticky, false);
    assert_int_equal(status, RETORT_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_allocate_nothing),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(measuring_may_fail),
    };
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
