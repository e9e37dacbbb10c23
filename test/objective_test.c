/* SPDX-License-Identifier: Apache-2.0
 * What is learned from: examples of each task, the loss of a batch however it is cut into chunks, and teachers. */
#include "train/objective.h"
#include "train/trainee.h"
#include "eval/dataset.h"
#include "quant_models.h"

#include <math.h>

static const char labelled[] =
    "sentence\tlabel\nthis was a very good film\tpositive\nbad\tnegative\n"
    "the acting was good\tpositive\na film with great acting , a very good film\tneutral\n"
    "was it ?\tneutral\n";
static const char several[] = "sentence\tlabels\nthis was a very good film\tpositive;neutral\nbad\tnegative\n"
                              "the acting was good\t\na film with great acting\tpositive\n";
static const char numbered[] =
    "sentence\tscore\nthis was a very good film\t1\nbad\t0\nthe acting was good\t0.75\n";
static const char tagged[] = "this O\nfilm B-LOC\nwas O\n\nacting B-PER\ngreat I-PER\n\nbad O\n";
static const char paired[] =
    "sentence1\tsentence2\na good film\tthis was a very good film\nbad acting\tthe acting was bad\n"
    "a film\ta film , with great acting\nwas it good ?\tgood ?\n";
static const char scored[] = "sentence1\tsentence2\tscore\na good film\tthis was a very good film\t5\n"
                             "bad acting\tgreat film\t1.5\na film\ta film , with great acting\t3\n";

static retort_dataset *parse(const char *name, const char *text, const retort_model *model, bool collect) {
    retort_error err;
    retort_dataset *data = NULL;
    retort_dataset_options options = RETORT_DATASET_OPTIONS;
    options.collect = collect;
    options.task = model->config.task;
    if (rt_dataset_parse(&data, name, text, strlen(text), &model->config, &options, &err) != RETORT_OK)
        fail_msg("%s", err.text);
    return data;
}

/* ---- A model in training, with a batch of all examples ---- */

typedef struct bench {
    retort_model *model;
    retort_dataset *data;
    rt_examples examples;
    rt_trainee trainee;
    rt_kernels kernels;
    rt_thread_pool *pool;
    rt_tape tape;
    rt_prepared prepared;
    rt_objective objective;
    size_t which[16];
} bench;

static void open_examples(bench *b, const char *model, const char *name, const char *text) {
    retort_error err;
    *b = (bench){.model = golden(model, 3, RETORT_F32)};
    b->data = parse(name, text, b->model, false);
    bool labels = b->data->labelled || b->model->config.task == RETORT_TASK_EMBED;
    if (rt_examples_open(&b->examples, b->model, b->data, -1, labels, &err) != RETORT_OK)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < b->examples.count; i++) b->which[i] = b->examples.count - 1 - i; /* in any order */
}

static void close_examples(bench *b) {
    rt_examples_free(&b->examples);
    retort_dataset_free(b->data);
    retort_model_free(b->model);
}

static void open_tape(bench *b) {
    retort_error err;
    uint32_t features;
    assert_int_equal(rt_isa_select(NULL, &features, NULL, &err), RETORT_OK);
    rt_kernels_select(&b->kernels, features);
    assert_int_equal(rt_thread_pool_open(&b->pool, 2, &err), RETORT_OK);
    if (rt_trainee_open(&b->trainee, b->model, &err) != RETORT_OK) fail_msg("%s", err.text);
    if (rt_tape_open(&b->tape, &b->trainee.model->graph, &b->trainee.parameters, &b->kernels, b->pool, 256,
                     48, &err) != RETORT_OK)
        fail_msg("%s", err.text);
}

/* A batch of all examples, in chunks of about so many tokens. */
static void prepare(bench *b, size_t tokens) {
    const rt_examples *e = &b->examples;
    bool pairs = e->kind == RT_TARGET_PAIR;
    int32_t ids[256], types[256], offsets[32] = {0};
    size_t n = pairs ? 2 * e->count : e->count, at = 0;
    retort_error err;
    for (size_t i = 0; i < n; i++) {
        const rt_example *example = &e->items[b->which[i % e->count]];
        size_t first = i < e->count ? example->first : example->other_first;
        size_t length = i < e->count ? example->length : example->other_length;
        memcpy(ids + at, e->ids + first, length * sizeof *ids);
        memcpy(types + at, e->types + first, length * sizeof *types);
        at += length;
        offsets[i + 1] = (int32_t)at;
    }
    const rt_config *config = &b->model->config;
    const rt_batch batch = {ids, config->types > 1 ? types : NULL, offsets, n, NULL};
    const rt_limits limits = {.vocab = config->vocab,
                              .types = config->types,
                              .positions = config->positions,
                              .position_offset = config->position_offset,
                              .after_pad = config->after_pad != 0,
                              .capacity = 256,
                              .max_rows = tokens,
                              .workers = 1,
                              .keep_duplicates = true,
                              .output = b->tape.plan.output_rows};
    if (rt_prepare(&b->prepared, &batch, &limits, &err) != RETORT_OK) fail_msg("%s", err.text);
}

static double learn(bench *b) {
    double loss = 0;
    retort_error err;
    rt_parameters_clear(&b->trainee.parameters);
    if (rt_objective_batch(&b->objective, &b->prepared, b->which, b->examples.count, &loss, &err) !=
        RETORT_OK)
        fail_msg("%s", err.text);
    return loss;
}

static void open_objective(bench *b, rt_teacher *teacher, double soft, double hidden) {
    retort_error err;
    const rt_objective_options options = {.loss = {.smoothing = 0.1F, .similarity_scale = 20},
                                          .teacher = teacher,
                                          .temperature = 2,
                                          .soft = soft,
                                          .hidden = hidden};
    if (rt_objective_open(&b->objective, &b->tape, &b->examples, &options, &err) != RETORT_OK)
        fail_msg("%s", err.text);
}

static void open_bench(bench *b, const char *model, const char *name, const char *text) {
    open_examples(b, model, name, text);
    open_tape(b);
    prepare(b, 256);
    assert_int_equal(b->prepared.chunk_count, 1);
}

static void close_bench(bench *b) {
    rt_objective_close(&b->objective);
    rt_prepared_free(&b->prepared);
    rt_tape_close(&b->tape);
    rt_trainee_close(&b->trainee);
    rt_thread_pool_close(b->pool);
    close_examples(b);
}

/* All gradients of matrices and vectors, and of the rows of tables that occur. */
static float *gradients(const bench *b, size_t *count) {
    const rt_parameters *all = &b->trainee.parameters;
    float *out = NULL;
    *count = 0;
    for (size_t i = 0; i < all->count; i++) {
        const rt_parameter *p = &all->items[i];
        size_t n = p->kind == RT_PARAMETER_TABLE ? p->touched_count * p->n : p->count;
        out = realloc(out, (*count + n + 1) * sizeof *out);
        assert_non_null(out);
        memcpy(out + *count, p->grad, n * sizeof *out);
        *count += n;
    }
    return out;
}

static const struct {
    const char *model, *name, *text;
} tasks[] = {
    {"bert-classify", "a.tsv", labelled},    {"distilbert-classify", "a.tsv", labelled},
    {"electra-classify", "a.tsv", labelled}, {"roberta-classify", "a.tsv", labelled},
    {"bert-multilabel", "a.tsv", several},   {"bert-regression", "a.tsv", numbered},
    {"bert-tag", "a.conll", tagged},         {"bert-embed", "a.tsv", paired},
    {"package-mean", "a.tsv", paired},       {"bert-embed", "a.tsv", scored},
};
enum { TASKS = sizeof tasks / sizeof *tasks };

/* ---- Batches ---- */

static void chunks_do_not_change_a_batch(void **state) {
    (void)state;
    for (size_t i = 0; i < TASKS; i++) {
        bench b;
        size_t count, same;
        open_bench(&b, tasks[i].model, tasks[i].name, tasks[i].text);
        open_objective(&b, NULL, 0, 0);
        double whole = learn(&b), cut;
        float *one = gradients(&b, &count), *many;
        prepare(&b, 8);
        assert_true(b.prepared.chunk_count > 1);
        cut = learn(&b);
        many = gradients(&b, &same);
        assert_int_equal(count, same);
        if (!(whole > 0) || fabs(whole - cut) > 1e-6 * whole)
            fail_msg("%s: %g, %g", tasks[i].model, whole, cut);
        double most = 0, off = 0;
        for (size_t j = 0; j < count; j++) {
            most = fmax(most, fabs((double)one[j]));
            off = fmax(off, fabs((double)one[j] - (double)many[j]));
        }
        if (!(most > 0) || off > 1e-5 * most)
            fail_msg("%s: gradients differ by %g of %g", tasks[i].model, off, most);
        free(one);
        free(many);
        close_bench(&b);
    }
}

/* The loss when all weights move a little along their gradients, tables aside. */
static double moved(bench *b, const float *grad, double by) {
    const rt_parameters *all = &b->trainee.parameters;
    size_t at = 0;
    for (size_t i = 0; i < all->count; i++) {
        const rt_parameter *p = &all->items[i];
        bool table = p->kind == RT_PARAMETER_TABLE;
        for (size_t j = 0; !table && j < p->count; j++) p->data[j] += (float)(by * (double)grad[at + j]);
        at += table ? p->touched_count * p->n : p->count;
    }
    return learn(b);
}

static double squares_without_tables(const bench *b) {
    const rt_parameters *all = &b->trainee.parameters;
    double sum = 0;
    for (size_t i = 0; i < all->count; i++) {
        const rt_parameter *p = &all->items[i];
        for (size_t j = 0; p->kind != RT_PARAMETER_TABLE && j < p->count; j++)
            sum += (double)p->grad[j] * (double)p->grad[j];
    }
    return sum;
}

static void check_slope(bench *b, const char *name) {
    size_t count;
    learn(b);
    float *grad = gradients(b, &count);
    double squares = squares_without_tables(b), step = 2e-3 / sqrt(squares + 1e-12);
    double up = moved(b, grad, step), down = moved(b, grad, -2 * step);
    double slope = (up - down) / (2 * step);
    free(grad);
    if (!(squares > 1e-8) || fabs(slope - squares) > 0.02 * squares + 1e-6)
        fail_msg("%s: slope %g, gradient %g", name, slope, squares);
}

static void gradients_are_slopes(void **state) {
    (void)state;
    for (size_t i = 0; i < TASKS; i++) {
        bench b;
        open_bench(&b, tasks[i].model, tasks[i].name, tasks[i].text);
        prepare(&b, 16);
        open_objective(&b, NULL, 0, 0);
        check_slope(&b, tasks[i].model);
        close_bench(&b);
    }
}

/* ---- Examples ---- */

static void labels_of_the_data_become_the_models(void **state) {
    (void)state;
    static const int64_t expected[] = {2, 0, 2, 1, 1};
    retort_error err;
    retort_model *model = golden("bert-classify", 3, RETORT_F32);
    for (int collect = 0; collect < 2; collect++) { /* negative neutral positive: the model's order, too */
        retort_dataset *data = parse("a.tsv", labelled, model, collect);
        rt_examples e;
        assert_int_equal(rt_examples_open(&e, model, data, -1, true, &err), RETORT_OK);
        assert_int_equal(e.kind, RT_TARGET_LABEL);
        for (size_t i = 0; i < 5; i++) assert_int_equal(e.items[i].label, expected[i]);
        rt_examples_free(&e);
        retort_dataset_free(data);
    }
    retort_dataset *data = parse("a.tsv", "sentence\tlabel\na\tgood\nb\tbad\n", model, true);
    rt_examples e;
    assert_int_equal(rt_examples_open(&e, model, data, -1, true, &err), RETORT_FORMAT);
    assert_non_null(strstr(err.text, "a.tsv:3: label 'bad': the model has no such label"));
    retort_dataset_free(data);
    retort_model_free(model);
}

/* The ids are those that the model is run with, however long a text is. */
static void tokens_are_those_of_the_tasks(void **state) {
    (void)state;
    static const char text[] =
        "premise\thypothesis\tlabel\nthe acting was good\ta good film\tpositive\n"
        "a film\tbad bad bad bad bad bad bad bad bad bad bad bad bad bad bad bad\tneutral\n";
    bench b;
    retort_error err;
    open_examples(&b, "bert-classify", "a.tsv", text);
    retort_tokens tokens = {0};
    for (size_t i = 0; i < 2; i++) {
        const rt_example *e = &b.examples.items[i];
        assert_int_equal(retort_tokenize(b.model, &b.data->samples[i].text, NULL, &tokens, &err), RETORT_OK);
        assert_int_equal(tokens.count, e->length);
        assert_memory_equal(tokens.ids, b.examples.ids + e->first, e->length * sizeof *tokens.ids);
        assert_memory_equal(tokens.types, b.examples.types + e->first, e->length * sizeof *tokens.types);
    }
    retort_tokens_free(&tokens);
    assert_int_equal(b.examples.truncated, 0);
    rt_examples_free(&b.examples);
    assert_int_equal(rt_examples_open(&b.examples, b.model, b.data, 12, true, &err), RETORT_OK);
    assert_int_equal(b.examples.truncated, 1);
    assert_int_equal(b.examples.items[1].length, 12);
    close_examples(&b);
}

/* Special tokens, and pieces after the first of a word, are not scored. */
static void first_pieces_have_the_tags(void **state) {
    (void)state;
    bench b;
    retort_error err;
    open_examples(&b, "bert-tag", "a.conll", "filming B-PER\ngood O\n\nbad I-LOC\n");
    const rt_examples *e = &b.examples;
    rt_encoding words = {0};
    const rt_encode_options options = {.words = true};
    assert_int_equal(rt_encode_words(b.model->tokenizer, b.data->parts, 2, &options, &words, &err),
                     RETORT_OK);
    assert_int_equal(words.count, e->items[0].length);
    assert_true(words.count > 4); /* the first word has several pieces */
    int32_t before = -1;
    for (size_t i = 0; i < words.count; i++) {
        int32_t word = words.words[i], expected = word < 0 || word == before ? -1 : word == 0 ? 1 : 0;
        assert_int_equal(e->tags[i], expected);
        before = word;
    }
    assert_int_equal(e->tags[e->items[1].first + 1], 4);
    rt_encoding_free(&words);
    close_examples(&b);
}

static void scores_are_cosines(void **state) {
    (void)state;
    bench b;
    open_examples(&b, "bert-embed", "a.tsv", scored);
    assert_true(b.examples.scored);
    assert_true(b.examples.items[0].score == 1 && b.examples.items[1].score == 0.3F);
    assert_true(b.examples.items[2].other_length > b.examples.items[2].length);
    close_examples(&b);
}

static void expect_refusal(const char *model_name, const char *name, const char *text, bool labels,
                           const char *words) {
    retort_error err = {0};
    rt_examples e;
    retort_model *model = golden(model_name, 3, RETORT_F32);
    retort_dataset *data = parse(name, text, model, false);
    retort_status status = rt_examples_open(&e, model, data, -1, labels, &err);
    if (status == RETORT_OK) status = rt_examples_check(&e, model, data, NULL, NULL, &err);
    rt_examples_free(&e);
    retort_dataset_free(data);
    retort_model_free(model);
    assert_int_not_equal(status, RETORT_OK);
    if (strstr(err.text, words) == NULL) fail_msg("'%s' does not say '%s'", err.text, words);
}

static void refuses_what_teaches_nothing(void **state) {
    (void)state;
    expect_refusal("bert-classify", "a.txt", "one\ntwo\n", true,
                   "a.txt: training this model needs texts with one label");
    expect_refusal("bert-classify", "a.tsv", "sentence\tlabel\na\tpositive\nb\tpositive\n", true,
                   "a.tsv: all texts have the label 'positive'");
    expect_refusal("bert-multilabel", "a.tsv", "sentence\tlabels\na\t\nb\t\n", true, "no text has a label");
    expect_refusal("bert-regression", "a.tsv", "sentence\tscore\na\t0.5\nb\t0.5\n", true,
                   "all scores are 0.5");
    expect_refusal("bert-regression", "a.tsv", "sentence\tscore\na\t0.5\nb\t3\n", true, "a.tsv:3: the score");
    expect_refusal("bert-tag", "a.conll", "a O\nb O\n", true, "all texts have the label 'O'");
    expect_refusal("bert-embed", "a.tsv", "sentence\na\n", true, "needs pairs of texts");
    expect_refusal("bert-fill", "a.txt", "one\n", false, "not trained");
}

static void note_warning(void *user, const char *text) {
    char *all = user;
    strcat(strcat(all, text), "\n");
}

static void warns_of_what_is_odd(void **state) {
    (void)state;
    bench b;
    retort_error err;
    char all[2048] = "";
    open_examples(&b, "bert-classify", "a.tsv", "sentence\tlabel\na\tpositive\n \tneutral\n\tpositive\n");
    assert_int_equal(rt_examples_check(&b.examples, b.model, b.data, note_warning, all, &err), RETORT_OK);
    assert_string_equal(all,
                        "a.tsv: no text has label 'negative'\na.tsv:3: the text is empty; so are others\n");
    float weights[3];
    assert_int_equal(rt_examples_class_weights(&b.examples, 3, weights, &err), RETORT_OK);
    assert_true(weights[0] == 1 && weights[1] == 1.5F && weights[2] == 0.75F);
    close_examples(&b);
}

/* ---- Teachers ---- */

/* Answers are kept; states are too large for that; they are not to be kept, and are those of all LayerNorms. */
typedef enum keeping { KEPT, TOO_LARGE, LIVE, KEEPINGS } keeping;

static void open_teacher(rt_teacher *teacher, const bench *b, const retort_model *model, keeping how) {
    retort_error err;
    const rt_teacher_options options = {.kernels = &b->kernels,
                                        .threads = 2,
                                        .rows = 256,
                                        .states = true,
                                        .all_states = how == LIVE,
                                        .live = how == LIVE,
                                        .memory = how == TOO_LARGE};
    if (rt_teacher_open(teacher, model, b->model, &b->examples, &options, &err) != RETORT_OK)
        fail_msg("%s", err.text);
}

/* A model that teaches itself: its answers are those of a session, and there is nothing to learn. */
static void a_model_agrees_with_itself(void **state) {
    (void)state;
    for (size_t i = 0; i < TASKS; i++) {
        bench b;
        rt_teacher teacher;
        open_bench(&b, tasks[i].model, tasks[i].name, tasks[i].text);
        prepare(&b, 8);
        for (keeping how = KEPT; how < KEEPINGS; how++) {
            open_teacher(&teacher, &b, b.model, how);
            assert_true((teacher.states == NULL) == (how != KEPT));
            open_objective(&b, &teacher, 1, 1);
            assert_true((b.objective.state_count > 1) == (how == LIVE));
            double loss = learn(&b);
            if (!(loss < 1e-9)) fail_msg("%s: %g", tasks[i].model, loss);
            if (squares_without_tables(&b) > 1e-6) fail_msg("%s: gradients", tasks[i].model);
            rt_objective_close(&b.objective);
            rt_teacher_free(&teacher);
        }
        close_bench(&b);
    }
}

/* The teacher is the model before its weights moved. */
static void gradients_of_teaching_are_slopes(void **state) {
    (void)state;
    for (size_t i = 0; i < TASKS; i++) {
        for (int part = 0; part < 4;
             part++) { /* of the loss: logits, hidden states, both and labels, all states */
            bench b;
            rt_teacher teacher;
            size_t count;
            open_bench(&b, tasks[i].model, tasks[i].name, tasks[i].text);
            open_teacher(&teacher, &b, b.model, part == 1 ? TOO_LARGE : part == 3 ? LIVE : KEPT);
            open_objective(&b, NULL, 0, 0);
            learn(&b);
            float *grad = gradients(&b, &count);
            moved(&b, grad, -0.5 / sqrt(squares_without_tables(&b)));
            free(grad);
            rt_objective_close(&b.objective);
            prepare(&b, 16);
            open_objective(&b, &teacher, part == 1 || part == 3 ? 0 : part == 0 ? 1 : 0.5, part > 0);
            if (part % 2 == 1 && b.examples.kind == RT_TARGET_NONE) continue;
            check_slope(&b, tasks[i].model);
            rt_teacher_free(&teacher);
            close_bench(&b);
        }
    }
}

/* Of other texts, without labels. */
static void teaches_unlabelled_texts(void **state) {
    (void)state;
    static const char text[] = "this was a very good film\nbad\nthe acting was good\n";
    static const char *const students[] = {"bert-classify", "bert-multilabel", "bert-tag", "bert-embed",
                                           "bert-regression"};
    for (size_t i = 0; i < sizeof students / sizeof *students; i++) {
        bench b;
        rt_teacher teacher;
        retort_error err;
        b = (bench){.model = golden(students[i], 3, RETORT_F32)};
        b.data = parse("a.txt", text, b.model, false);
        assert_int_equal(rt_examples_open(&b.examples, b.model, b.data, -1, false, &err), RETORT_OK);
        assert_int_equal(b.examples.kind, RT_TARGET_NONE);
        for (size_t j = 0; j < 3; j++) b.which[j] = j;
        open_tape(&b);
        prepare(&b, 16);
        open_teacher(&teacher, &b, b.model, KEPT);
        teacher.logits[0] += 1; /* it says something else */
        open_objective(&b, &teacher, 0.25, 0);
        check_slope(&b, students[i]);
        rt_teacher_free(&teacher);
        close_bench(&b);
    }
}

/* An integer teacher of another depth: its logits are those of its session. */
static void answers_are_those_of_a_session(void **state) {
    (void)state;
    bench b;
    rt_teacher teacher;
    retort_error err;
    float logits[15], scores[15];
    open_bench(&b, "bert-classify", "a.tsv", labelled);
    retort_model *integer = quantized(b.model, "int8", 0, 0);
    retort_session *session = NULL;
    retort_session_options options = RETORT_SESSION_OPTIONS;
    open_teacher(&teacher, &b, integer, KEPT);
    assert_int_equal(retort_session_open(&session, integer, &options, &err), RETORT_OK);
    retort_text texts[5];
    for (size_t i = 0; i < 5; i++) texts[i] = b.data->samples[i].text;
    assert_int_equal(retort_classify(session, texts, 5, scores, logits, 15, &err), RETORT_OK);
    assert_memory_equal(teacher.logits, logits, sizeof logits);
    retort_session_close(session);
    rt_teacher_free(&teacher);
    retort_model_free(integer);
    close_bench(&b);
}

static void expect_no_teacher(const char *name, const char *label, const char *words) {
    bench b;
    rt_teacher teacher;
    retort_error err = {0};
    open_bench(&b, "bert-classify", "a.tsv", labelled);
    retort_model *model = golden(name, 3, RETORT_F32);
    if (label != NULL) model->config.label_names[1] = label;
    const rt_teacher_options options = {.kernels = &b.kernels, .threads = 1, .rows = 256};
    if (rt_teacher_open(&teacher, model, b.model, &b.examples, &options, &err) == RETORT_OK)
        fail_msg("%s", name);
    if (strstr(err.text, words) == NULL) fail_msg("'%s' does not say '%s'", err.text, words);
    retort_model_free(model);
    close_bench(&b);
}

static void refuses_other_teachers(void **state) {
    (void)state;
    expect_no_teacher("bert-tag", NULL, "teacher: it tags, the model classifies");
    expect_no_teacher("bert-multilabel", NULL,
                      "teacher: it gives several labels per text, the model one label per text");
    expect_no_teacher("bert-classify", "so-so",
                      "teacher: it has other labels: label 1 is 'so-so', the model's is 'neutral'");
    expect_no_teacher("bert-classify", "negative",
                      "teacher: its labels are in another order: label 1 is 'negative'");
    expect_no_teacher("roberta-classify", NULL,
                      "another vocabulary: piece 0 is '[CLS]', and the model's '[PAD]'");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_of_the_data_become_the_models),
        cmocka_unit_test(tokens_are_those_of_the_tasks),
        cmocka_unit_test(first_pieces_have_the_tags),
        cmocka_unit_test(scores_are_cosines),
        cmocka_unit_test(refuses_what_teaches_nothing),
        cmocka_unit_test(warns_of_what_is_odd),
        cmocka_unit_test(chunks_do_not_change_a_batch),
        cmocka_unit_test(gradients_are_slopes),
        cmocka_unit_test(a_model_agrees_with_itself),
        cmocka_unit_test(gradients_of_teaching_are_slopes),
        cmocka_unit_test(teaches_unlabelled_texts),
        cmocka_unit_test(answers_are_those_of_a_session),
        cmocka_unit_test(refuses_other_teachers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
