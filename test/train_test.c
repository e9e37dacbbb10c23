/* SPDX-License-Identifier: Apache-2.0
 * Training: the losses of PyTorch, step by step (golden/training.txt, by tools/make_train_golden.py); the same bytes with any
 * number of threads; what stops a training, and how it goes on from a checkpoint. */
#include "quant_models.h"
#include "train/batches.h"
#include "train/belongs.h"
#include "train/divergence.h"
#include "train/rate.h"

#include <math.h>
#include <signal.h>
#include <sys/resource.h>

static const char *root(void) {
    const char *found = getenv("RETORT_ROOT");
    return found != NULL ? found : ".";
}

static retort_dataset *open_data(const retort_model *model) {
    char path[4096];
    retort_dataset *data = NULL;
    retort_error err = {0};
    snprintf(path, sizeof path, "%s/test/golden/training.tsv", root());
    if (retort_dataset_open(&data, path, model, NULL, &err) != RETORT_OK) fail_msg("%s", err.text);
    return data;
}

/* The loss of each step, from means over all steps so far: up to 50. */
typedef struct losses {
    double all[64], sum;
    size_t count, stop_at;
} losses;

static int note_loss(void *user, const retort_train_progress *progress) {
    losses *l = user;
    if (strcmp(progress->what, "train") != 0) return 0;
    if (progress->step != l->count + 1 || progress->step > 50)
        fail_msg("step %zu after %zu", progress->step, l->count);
    double sum = progress->loss * (double)progress->step;
    l->all[l->count++] = sum - l->sum;
    l->sum = sum;
    return l->count == l->stop_at;
}

/* As in golden/training.txt. */
static retort_train_options golden_options(const retort_dataset *data, losses *l) {
    retort_train_options options = RETORT_TRAIN_OPTIONS;
    options.data = data;
    options.batch = 6;
    options.steps = 50;
    options.seed = 7;
    options.learning_rate = 2e-3;
    options.warmup = 0.06;
    options.weight_decay = 0.01;
    options.clip = 1;
    options.threads = 1;
    options.progress = note_loss;
    options.user = l;
    return options;
}

static retort_model *train(const retort_model *model, const retort_train_options *options,
                           retort_train_result *result) {
    retort_model *trained = NULL;
    retort_error err = {0};
    *result = (retort_train_result){.size = sizeof *result};
    if (retort_train(&trained, model, options, result, &err) != RETORT_OK) fail_msg("%s", err.text);
    return trained;
}

/* ---- PyTorch ---- */

static void follow(char *line) {
    char *at = NULL, *name = strtok_r(line, " \n", &at);
    int last = strncmp(name, "albert", 6) == 0 ? 0 : 3; /* its last layer has copies of weights at level 3 */
    for (int level = 0; level <= last; level += 3) {
        losses l = {0};
        retort_train_result result;
        retort_model *model = golden(name, level, RETORT_F32);
        retort_dataset *data = open_data(model);
        retort_train_options options = golden_options(data, &l);
        retort_model *trained = train(model, &options, &result);
        assert_int_equal(l.count, 50);
        char *next = at;
        double worst = 0;
        for (size_t i = 0; i < l.count; i++) {
            double want = strtod(next, &next);
            worst = fmax(worst, fabs(l.all[i] - want) / want);
        }
        printf("# %s, level %d: the losses differ by at most %.1e\n", name, level, worst);
        /* Of level 3, b_K is gone and b_V is in b_O: AdamW moves other numbers. */
        assert_true(level == 3 || worst < 1e-4);
        retort_model_free(trained);
        retort_dataset_free(data);
        retort_model_free(model);
    }
}

static void test_pytorch(void **unused) {
    (void)unused;
    char path[4096], line[4096];
    int models = 0;
    snprintf(path, sizeof path, "%s/test/golden/training.txt", root());
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (line[0] == '#') continue;
        follow(line);
        models++;
    }
    fclose(file);
    assert_int_equal(models, 10);
}

/* ---- The same bytes ---- */

/* A saved model as bytes; the caller frees them. */
static char *bytes_of(const retort_model *model, size_t *size) {
    retort_error err = {0};
    if (retort_model_save(model, saved, &err) != RETORT_OK) fail_msg("%s", err.text);
    FILE *file = fopen(saved, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *size = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*size);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    fclose(file);
    return bytes;
}

static void assert_same(const retort_model *a, const retort_model *b) {
    size_t sizes[2];
    char *bytes[] = {bytes_of(a, &sizes[0]), bytes_of(b, &sizes[1])};
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(bytes[0], bytes[1], sizes[0]);
    free(bytes[0]);
    free(bytes[1]);
}

/* Whatever trains it, and whoever evaluates it in between. */
static void check_threads(const char *name) {
    static const char *const tiers[] = {NULL, "avx2", "ref"};
    retort_model *model = golden(name, 0, RETORT_F32), *first = NULL;
    retort_dataset *data = open_data(model);
    for (int i = 0; i < 5; i++) {
        losses l = {0};
        retort_train_result result;
        retort_error err = {0};
        retort_train_options options = golden_options(data, &l);
        options.steps = 40;
        options.dev = data;
        options.threads = i < 3 ? i + 1 : 2;
        options.isa = i < 3 ? NULL : tiers[i - 2];
        retort_model *trained = NULL;
        result.size = sizeof result;
        retort_status status = retort_train(&trained, model, &options, &result, &err);
        if (status == RETORT_UNSUPPORTED || (i >= 3 && status == RETORT_ARGUMENT))
            continue; /* not on this CPU */
        if (status != RETORT_OK) fail_msg("%s", err.text);
        if (first == NULL) first = retort_model_retain(trained);
        assert_same(first, trained);
        retort_model_free(trained);
    }
    retort_model_free(first);
    retort_dataset_free(data);
    retort_model_free(model);
}

static void test_threads(void **unused) {
    (void)unused;
    check_threads("bert-classify");
    check_threads("eurobert-classify");
}

/* A start that gives its weights up makes the same model, and has none left; a teacher keeps its own. */
static void test_consume(void **unused) {
    (void)unused;
    static const int levels[] = {0, 3};
    for (size_t i = 0; i < 4; i++) {
        losses *l = calloc(2, sizeof *l);
        assert_non_null(l);
        retort_model *trained[2];
        size_t left[2];
        for (size_t j = 0; j < 2; j++) {
            retort_model *model = golden("bert-classify", levels[i % 2], RETORT_F32);
            retort_dataset *data = open_data(model);
            retort_train_options options = golden_options(data, &l[j]);
            retort_train_result result;
            options.consume = j == 1;
            options.dev = i % 2 == 0 ? data : NULL;
            options.teacher = i >= 2 ? model : NULL;
            trained[j] = train(model, &options, &result);
            left[j] = model->graph.value_count;
            retort_dataset_free(data);
            retort_model_free(model);
        }
        assert_same(trained[0], trained[1]);
        assert_true(left[0] > 0 && (left[1] == 0) == (i < 2));
        retort_model_free(trained[0]);
        retort_model_free(trained[1]);
        free(l);
    }
}

/* ---- What comes out ---- */

static double accuracy(retort_model *model, const retort_dataset *data) {
    retort_session *session = NULL;
    retort_error err = {0};
    retort_eval_result result = {.size = sizeof result};
    retort_session_options options = RETORT_SESSION_OPTIONS;
    options.threads = 1;
    if (retort_session_open(&session, model, &options, &err) != RETORT_OK ||
        retort_eval(session, data, NULL, &result, &err) != RETORT_OK)
        fail_msg("%s", err.text);
    retort_session_close(session);
    return result.value;
}

/* A model like any other: saved, loaded, quantised; the best of its evaluations. */
static void test_result(void **unused) {
    (void)unused;
    losses l = {0};
    retort_train_result result;
    retort_error err = {0};
    retort_model *model = golden("distilbert-classify", 0, RETORT_F32), *loaded = NULL;
    retort_dataset *data = open_data(model);
    retort_train_options options = golden_options(data, &l);
    options.dev = data;
    retort_model *trained = train(model, &options, &result);
    retort_info info = {.size = sizeof info};
    assert_int_equal(retort_model_info(trained, &info), RETORT_OK);
    assert_non_null(strstr(info.recipe, "fp32 trained"));
    assert_string_equal(result.metric, "accuracy");
    assert_true(result.dev == accuracy(trained, data) && result.dev > accuracy(model, data));
    assert_true(result.best_step % 17 == 0 || result.best_step == 50);
    assert_int_equal(retort_model_save(trained, saved, &err), RETORT_OK);
    if (retort_model_load(&loaded, saved, &err) != RETORT_OK) fail_msg("%s", err.text);
    assert_true(accuracy(loaded, data) == result.dev);
    retort_model *integer = quantized(loaded, "int8", 0, 0);
    assert_true(fabs(accuracy(integer, data) - result.dev) < 0.05);
    retort_model_free(integer);
    retort_model_free(loaded);
    retort_model_free(trained);
    retort_dataset_free(data);
    retort_model_free(model);
}

/* Products of bf16: nearly the same losses, and a float model. */
static void test_bf16(void **unused) {
    (void)unused;
    losses l = {0}, half = {0};
    retort_train_result result;
    retort_model *model = golden("bert-wide", 0, RETORT_F32);
    retort_dataset *data = open_data(model);
    retort_train_options options = golden_options(data, &l);
    options.dev = data;
    retort_model_free(train(model, &options, &result));
    options.arithmetic = RETORT_BF16;
    options.user = &half;
    retort_model *trained = train(model, &options, &result);
    double apart = 0;
    for (size_t i = 0; i < 50; i++) apart = fmax(apart, fabs(l.all[i] - half.all[i]) / l.all[i]);
    assert_true(apart > 1e-5 && apart < 0.05);
    retort_info info = {.size = sizeof info};
    assert_int_equal(retort_model_info(trained, &info), RETORT_OK);
    assert_string_equal(info.dtype, "float32");
    assert_true(fabs(accuracy(trained, data) - result.dev) < 0.03); /* evaluated with bf16 in between */
    retort_model_free(trained);
    retort_dataset_free(data);
    retort_model_free(model);
}

/* ---- What stops it ---- */

static void test_nonfinite(void **unused) {
    (void)unused;
    losses l = {0};
    retort_error err = {0};
    retort_model *model = golden("distilbert-classify", 0, RETORT_F32), *trained = NULL;
    retort_dataset *data = open_data(model);
    retort_train_options options = golden_options(data, &l);
    options.learning_rate = 999;
    options.clip = 0;
    options.weight_decay = 999; /* weights grow by a million in a step */
    assert_int_equal(retort_train(&trained, model, &options, NULL, &err), RETORT_NONFINITE);
    assert_non_null(strstr(err.text, "step "));
    assert_null(trained);
    retort_dataset_free(data);
    retort_model_free(model);
}

/* A model that forgets at too high a rate what it has learned: an error with the figures, and the best model in its file. */
static void test_divergence(void **unused) {
    (void)unused;
    char checkpoint[128], best[136];
    retort_train_result result;
    retort_error err = {0};
    retort_model *model = golden("distilbert-classify", 0, RETORT_F32), *trained = NULL;
    retort_dataset *data = open_data(model);
    retort_train_options options = golden_options(data, NULL);
    snprintf(checkpoint, sizeof checkpoint, "%s/state", folder);
    snprintf(best, sizeof best, "%s.best", checkpoint);
    options.progress = NULL;
    options.steps = 400;
    options.batch = 16;
    retort_model *good = train(model, &options, &result);
    assert_true(result.loss < 0.2);
    options.learning_rate = 0.5;
    options.dev = data;
    options.checkpoint = checkpoint;
    options.minutes = 1e-9;
    assert_int_equal(retort_train(&trained, good, &options, NULL, &err), RETORT_NONFINITE);
    assert_null(trained);
    assert_non_null(strstr(err.text, "train: step 150: the loss diverges: "));
    assert_non_null(strstr(err.text, " before the first: lower the learning rate (--rate), which is 0.5; the "
                                     "best model so far, of step "));
    assert_non_null(strstr(err.text, best));
    if (retort_model_load(&trained, best, &err) != RETORT_OK) fail_msg("%s", err.text);
    retort_model_free(trained);
    trained = NULL;
    options.resume = true; /* from before it was high, to the same end */
    err = (retort_error){0};
    assert_int_equal(retort_train(&trained, good, &options, NULL, &err), RETORT_NONFINITE);
    assert_non_null(strstr(err.text, "train: step 150: the loss diverges: "));
    retort_model_free(good);
    retort_dataset_free(data);
    retort_model_free(model);
    unlink(checkpoint);
    unlink(best);
}

/* How large a finite loss must be, for how long. */
static void test_divergence_limits(void **unused) {
    (void)unused;
    const double ln2 = 0.693, ln150 = 5.01;
    const struct {
        double start, rest, blank;
        size_t texts, high_from, high_to; /* steps whose loss is `rest`; others: start */
        size_t stops;                     /* 0: never */
    } cases[] = {
        {ln2, 1.3, ln2, 32, 3, 1000, 0},        /* a new head, at a rate that teaches it nothing */
        {ln2, 1.4, ln2, 32, 3, 1000, 200},      /* two whole windows after the warm-up */
        {0.19, 0.62, ln2, 32, 3, 1000, 0},      /* a trained model, still better than a blank answer */
        {0.19, 0.63, ln2, 32, 3, 1000, 200},    /* and no longer */
        {0.19, 0.7, ln2, 15, 3, 1000, 0},       /* 30 texts do not tell that it was */
        {0.19, 0.7, ln2, 32, 1, 1000, 0},       /* it never was */
        {ln150, 9.9, ln150, 32, 3, 1000, 0},    /* */
        {ln150, 10.1, ln150, 32, 3, 1000, 200}, /* */
        {1, 50, 1, 32, 301, 301, 0},            /* one step */
        {1, 3, 1, 32, 301, 350, 0},             /* a window, and better again */
        {1, 3, 1, 32, 301, 400, 400},           /* */
        {1, 3, 1, 32, 301, 390, 400},           /* */
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const rt_divergence_rule rule = {cases[c].blank, 60, cases[c].texts};
        rt_divergence_state state = {0};
        double all[1000], sum = 0;
        size_t stopped = 0;
        for (size_t step = 1; step <= 1000 && stopped == 0; step++) {
            bool high = step >= cases[c].high_from && step <= cases[c].high_to;
            double loss = all[step - 1] = high ? cases[c].rest : cases[c].start;
            sum += loss - (step > RT_DIVERGENCE_WINDOW ? all[step - 1 - RT_DIVERGENCE_WINDOW] : 0);
            rt_divergence_note(&rule, &state, step, loss, sum / (double)rt_min(step, RT_DIVERGENCE_WINDOW));
            if (state.high == RT_DIVERGENCE_WINDOWS) stopped = step;
        }
        if (stopped != cases[c].stops) fail_msg("case %zu: stopped after %zu steps", c, stopped);
    }
}

/* As retort_model_quantize has them. */
static void test_groups(void **unused) {
    (void)unused;
    const int64_t groups[] = {-32, 7, 33, 1 << 17, INT64_MAX};
    losses l = {0};
    retort_error err = {0};
    retort_model *model = golden("bert-classify", 0, RETORT_F32), *trained = NULL;
    retort_dataset *data = open_data(model);
    retort_train_options options = golden_options(data, &l);
    options.recipe = "int4";
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        options.group = groups[i];
        assert_int_equal(retort_train(&trained, model, &options, NULL, &err), RETORT_ARGUMENT);
        assert_non_null(strstr(err.text, "the group must be a multiple of 32"));
    }
    retort_dataset_free(data);
    retort_model_free(model);
}

/* Decay that leaves nothing of the weights of words that are rare: zeros, not 0 / 0. */
static void test_decay(void **unused) {
    (void)unused;
    enum { TEXTS = 600 };
    losses l = {0};
    retort_train_result result;
    retort_error err = {0};
    retort_model *model = golden("distilbert-classify", 0, RETORT_F32);
    retort_dataset *data = NULL;
    const retort_dataset_options how = RETORT_DATASET_OPTIONS;
    rt_buffer text = {0};
    rt_buffer_text(&text, "sentence\tlabel\n");
    for (int i = 0; i < TEXTS; i++) {
        const char *rare = i % 15 == 0 ? rt_tokenizer_piece(model->tokenizer, 20 + i / 15) : "good";
        rt_buffer_format(&text, "%s\t%d\n", rare, i % 2);
    }
    assert_false(text.failed);
    if (rt_dataset_parse(&data, "rare.tsv", text.data, text.length, &model->config, &how, &err) != RETORT_OK)
        fail_msg("%s", err.text);
    retort_train_options options = golden_options(data, &l);
    options.progress = NULL;
    options.batch = 1;
    options.steps = TEXTS;
    options.decay = RETORT_DECAY_CONSTANT;
    options.learning_rate = 0.9;
    options.weight_decay = 1; /* a tenth is left after each step, 1e-308 after 300 */
    retort_model *trained = train(model, &options, &result);
    for (size_t i = 0; i < trained->graph.value_count; i++) {
        const rt_value *v = &trained->graph.values[i];
        size_t bytes = 0;
        if (v->data == NULL || v->dtype != RETORT_F32 || !rt_value_bytes(v, &bytes)) continue;
        for (size_t j = 0; j < bytes / sizeof(float); j++) assert_true(isfinite(((const float *)v->data)[j]));
    }
    retort_model_free(trained);
    retort_dataset_free(data);
    rt_buffer_free(&text);
    retort_model_free(model);
}

/* ---- Checkpoints ---- */

static char warned[1024];
static void note_warning(void *user, const char *text) {
    (void)user;
    if (strstr(text, "checkpoint") != NULL) snprintf(warned, sizeof warned, "%s", text);
}

/* A disk that gets full: the training goes on and says so, and the checkpoint before stays. */
static void test_full_disk(void **unused) {
    (void)unused;
    char checkpoint[128];
    losses l = {.stop_at = 5};
    retort_train_result result;
    retort_model *model = golden("distilbert-classify", 0, RETORT_F32);
    retort_dataset *data = open_data(model);
    retort_train_options options = golden_options(data, &l);
    snprintf(checkpoint, sizeof checkpoint, "%s/state", folder);
    options.checkpoint = checkpoint;
    options.warning = note_warning;
    retort_model_free(train(model, &options, &result));
    struct rlimit before, small = {4096, RLIM_INFINITY};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    options.resume = true;
    options.minutes = 1e-9;
    l = (losses){.count = 5, .stop_at = 30};
    retort_model_free(train(model, &options, &result));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(result.steps, 30);
    assert_non_null(strstr(warned, "checkpoint not written; training goes on: "));
    l = (losses){.count = 5, .stop_at = 6};
    retort_model_free(train(model, &options, &result));
    assert_int_equal(result.steps, 6);
    assert_int_equal(unlink(checkpoint), 0);
    retort_dataset_free(data);
    retort_model_free(model);
}

/* One bit of a file. */
static void flip(const char *path, long offset, int whence) {
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, offset, whence), 0);
    int byte = getc(file);
    assert_int_equal(fseek(file, offset, whence), 0);
    assert_int_equal(putc(byte ^ 1, file), byte ^ 1);
    fclose(file);
}

/* Only the very same words belong; what differs is named. */
static void test_belongs(void **unused) {
    (void)unused;
    static const struct {
        const char *found, *words;
    } other[] = {{"data=2 model=1", "with other data"},
                 {"data=2 model=2", "with other data, model"},
                 {"data=1", "with other model"},
                 {"data=1 model=1 more=1", "with other settings"},
                 {"model=1 data=1", "with other settings"}};
    retort_error err = {0};
    assert_int_equal(rt_belongs_check("state", "data=1 model=1", "data=1 model=1", &err), RETORT_OK);
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        assert_int_equal(rt_belongs_check("state", other[i].found, "data=1 model=1", &err), RETORT_ARGUMENT);
        assert_string_equal(strstr(err.text, "with"), other[i].words);
    }
}

/* Of other data, options or models, cut, or no checkpoint at all. */
static void test_foreign(void **unused) {
    (void)unused;
    char checkpoint[128];
    losses l = {.stop_at = 5};
    retort_train_result result;
    retort_error err = {0};
    retort_model *model = golden("distilbert-classify", 0, RETORT_F32), *trained = NULL;
    retort_model *other = golden("distilbert-classify-f16", 0, RETORT_F32);
    retort_dataset *data = open_data(model);
    snprintf(checkpoint, sizeof checkpoint, "%s/state", folder);
    retort_train_options options = golden_options(data, &l);
    options.checkpoint = checkpoint;
    retort_model_free(train(model, &options, &result));
    options.resume = true;
    retort_train_options changed = options;
    changed.batch = 7;
    assert_int_equal(retort_train(&trained, model, &changed, NULL, &err), RETORT_ARGUMENT);
    assert_non_null(strstr(err.text, "a training with other options"));
    changed = options;
    changed.dev = data;
    assert_int_equal(retort_train(&trained, model, &changed, NULL, &err), RETORT_ARGUMENT);
    assert_non_null(strstr(err.text, "other dev-data"));
    changed = options;
    changed.teacher = model;
    assert_int_equal(retort_train(&trained, model, &changed, NULL, &err), RETORT_ARGUMENT);
    assert_non_null(strstr(err.text, "other teacher"));
    assert_int_equal(retort_train(&trained, other, &options, NULL, &err), RETORT_ARGUMENT);
    assert_non_null(strstr(err.text, "other model"));
    flip(checkpoint, -200, SEEK_END); /* of a moment */
    assert_int_equal(retort_train(&trained, model, &options, NULL, &err), RETORT_FORMAT);
    assert_non_null(strstr(err.text, "the file is damaged"));
    assert_int_equal(truncate(checkpoint, 4000), 0);
    assert_int_equal(retort_train(&trained, model, &options, NULL, &err), RETORT_FORMAT);
    assert_int_equal(unlink(checkpoint), 0);
    assert_int_equal(retort_train(&trained, model, &options, NULL, &err), RETORT_IO);
    assert_null(trained);
    retort_dataset_free(data);
    retort_model_free(other);
    retort_model_free(model);
}

/* Of other tags and words of dev; of a teacher with other answers. */
static void test_foreign_parts(void **unused) {
    (void)unused;
    static const char *const tags[] = {"good O\nfilm B-PER\n", "good O\nfilm O\n", "good O\nplay B-PER\n"};
    char checkpoint[128];
    losses l = {.stop_at = 2};
    retort_train_result result;
    retort_error err = {0};
    retort_model *model = golden("bert-tag", 0, RETORT_F32), *trained = NULL;
    retort_dataset *dev[3] = {NULL};
    const retort_dataset_options how = RETORT_DATASET_OPTIONS;
    for (int i = 0; i < 3; i++) {
        if (rt_dataset_parse(&dev[i], "dev.conll", tags[i], strlen(tags[i]), &model->config, &how, &err) !=
            RETORT_OK)
            fail_msg("%s", err.text);
    }
    snprintf(checkpoint, sizeof checkpoint, "%s/state", folder);
    retort_train_options options = golden_options(dev[0], &l);
    options.dev = dev[0];
    options.checkpoint = checkpoint;
    options.teacher = model;
    retort_model_free(train(model, &options, &result));
    options.resume = true;
    for (int i = 1; i < 3; i++) {
        options.dev = dev[i];
        assert_int_equal(retort_train(&trained, model, &options, NULL, &err), RETORT_ARGUMENT);
        assert_non_null(strstr(err.text, "other dev-data"));
    }
    options.dev = dev[0];
    options.progress = NULL;
    options.checkpoint = NULL;
    options.resume = false;
    retort_model *other = train(model, &options, &result);
    options.checkpoint = checkpoint;
    options.resume = true;
    options.teacher = other;
    assert_int_equal(retort_train(&trained, model, &options, NULL, &err), RETORT_ARGUMENT);
    assert_non_null(strstr(err.text, "other teacher"));
    assert_null(trained);
    retort_model_free(other);
    for (int i = 0; i < 3; i++) retort_dataset_free(dev[i]);
    retort_model_free(model);
    unlink(checkpoint);
}

/* Stopped after some steps and taken up again, it ends in the same bytes. */
static void resume(const char *name, const char *recipe) {
    char checkpoint[128], best[136];
    retort_train_result result;
    retort_model *model = golden(name, 0, RETORT_F32);
    retort_dataset *data = open_data(model);
    snprintf(checkpoint, sizeof checkpoint, "%s/state", folder);
    snprintf(best, sizeof best, "%s.best", checkpoint);
    losses l = {0};
    retort_train_options options = golden_options(data, &l);
    options.dev = data;
    options.recipe = recipe;
    retort_model *whole = train(model, &options, &result);
    options.checkpoint = checkpoint;
    for (size_t stop = 10; stop <= 40; stop += 15) {
        retort_train_options part = options;
        l = (losses){.count = stop == 10 ? 0 : stop - 15, .stop_at = stop};
        part.resume = stop > 10;
        retort_model *some = train(model, &part, &result);
        assert_true(result.stopped && result.steps == stop);
        if (stop == 10) assert_true(fabs(result.loss - l.sum / 10) < 1e-9); /* within the first epoch */
        retort_model_free(some);
    }
    options.resume = true;
    options.threads = 2;
    l = (losses){.count = 40};
    retort_model *resumed = train(model, &options, &result);
    assert_true(!result.stopped && result.steps == 50);
    assert_same(whole, resumed);
    retort_model_free(resumed);
    /* The checkpoint stays, to go on from as often as one likes. */
    l = (losses){.count = 40};
    resumed = train(model, &options, &result);
    assert_same(whole, resumed);
    retort_model_free(resumed);
    retort_model_free(whole);
    retort_dataset_free(data);
    retort_model_free(model);
    unlink(checkpoint);
    unlink(best);
}

static void test_resume(void **unused) {
    (void)unused;
    resume("distilbert-classify", NULL);
    resume("bert-classify", NULL);
}

/* ---- Stopped anywhere ---- */

typedef struct counter {
    size_t calls, stop_at; /* 0: never */
} counter;

static int stop_at_call(void *user, const retort_train_progress *progress) {
    counter *c = user;
    (void)progress;
    return ++c->calls == c->stop_at;
}

/* Whichever call of progress stops it, in an epoch, before its evaluation, in it or after it. */
static void stop_anywhere(const char *name, const char *recipe, int bits) {
    char checkpoint[128], best[136];
    retort_train_result result, again;
    retort_model *model = golden(name, 0, RETORT_F32);
    retort_dataset *data = open_data(model);
    snprintf(checkpoint, sizeof checkpoint, "%s/state", folder);
    snprintf(best, sizeof best, "%s.best", checkpoint);
    counter all = {0};
    retort_train_options options = golden_options(data, NULL);
    options.batch = 40;
    options.steps = 8; /* 3 per epoch */
    options.dev = data;
    options.recipe = recipe;
    options.bits = bits;
    options.checkpoint = checkpoint;
    options.progress = stop_at_call;
    options.user = &all;
    retort_model *whole = train(model, &options, &result);
    for (size_t stop = 1; stop <= all.calls; stop++) {
        retort_model *part = NULL;
        retort_error err = {0};
        counter c = {.stop_at = stop}, rest = {0};
        unlink(checkpoint);
        unlink(best);
        options.user = &c;
        options.resume = false;
        retort_status status = retort_train(&part, model, &options, NULL, &err);
        retort_model_free(part);
        if (status == RETORT_CANCELLED) continue; /* by the teacher or the recipe: nothing is trained yet */
        assert_int_equal(status, RETORT_OK);
        options.user = &rest;
        options.resume = true;
        options.threads = 1 + (int)(stop % 2);
        retort_model *resumed = train(model, &options, &again);
        assert_same(whole, resumed);
        assert_int_equal(again.best_step, result.best_step);
        assert_true(again.dev == result.dev);
        retort_model_free(resumed);
    }
    retort_model_free(whole);
    retort_dataset_free(data);
    retort_model_free(model);
    unlink(checkpoint);
    unlink(best);
}

static void test_stop_anywhere(void **unused) {
    (void)unused;
    stop_anywhere("distilbert-classify", NULL, 0);
    stop_anywhere("bert-classify", "int4", 4);
    stop_anywhere("bert-classify", "int4", 2);
}

/* One that patience ended is at its end. */
static void test_resume_patience(void **unused) {
    (void)unused;
    char checkpoint[128], best[136];
    retort_train_result result, again;
    retort_model *model = golden("distilbert-classify", 0, RETORT_F32);
    retort_dataset *data = open_data(model);
    snprintf(checkpoint, sizeof checkpoint, "%s/state", folder);
    snprintf(best, sizeof best, "%s.best", checkpoint);
    retort_train_options options = golden_options(data, NULL);
    options.progress = NULL;
    options.batch = 40;
    options.steps = 60;
    options.dev = data;
    options.learning_rate = 1e-9; /* nothing gets better */
    options.patience = 2;
    options.minutes = 1e-9;
    options.checkpoint = checkpoint;
    retort_model *whole = train(model, &options, &result);
    assert_true(result.stopped && result.steps < 60);
    options.resume = true;
    retort_model *resumed = train(model, &options, &again);
    assert_true(again.stopped);
    assert_int_equal(again.steps, result.steps);
    assert_same(whole, resumed);
    retort_model_free(resumed);
    retort_model_free(whole);
    retort_dataset_free(data);
    retort_model_free(model);
    unlink(checkpoint);
    unlink(best);
}

/* The best model beside a checkpoint: damaged in its weights or its labels, of another training, or of none. */
static void test_damaged_best(void **unused) {
    (void)unused;
    char checkpoint[128], best[136], text[1024];
    retort_train_result result;
    retort_error err = {0};
    losses l = {.stop_at = 45};
    retort_model *model = golden("distilbert-classify", 0, RETORT_F32), *none = NULL;
    retort_dataset *data = open_data(model);
    snprintf(checkpoint, sizeof checkpoint, "%s/state", folder);
    snprintf(best, sizeof best, "%s.best", checkpoint);
    retort_train_options options = golden_options(data, &l);
    options.dev = data;
    options.checkpoint = checkpoint;
    retort_model *some = train(model, &options, &result);
    options.resume = true;
    FILE *file = fopen(best, "rb");
    assert_non_null(file);
    size_t read = fread(text, 1, sizeof text - 1, file);
    text[read] = '\0';
    fclose(file);
    const char *labels = memmem(text, read, "negative", 8);
    const long offsets[] = {-200, labels != NULL ? labels - text : 100};
    for (size_t i = 0; i < 2; i++) {
        flip(best, offsets[i], i == 0 ? SEEK_END : SEEK_SET);
        assert_int_equal(retort_train(&none, model, &options, NULL, &err), RETORT_FORMAT);
        assert_non_null(strstr(err.text, "state.best: the file is damaged"));
        flip(best, offsets[i], i == 0 ? SEEK_END : SEEK_SET);
    }
    assert_int_equal(rt_model_save_sealed(some, best, "data=0", &err), RETORT_OK);
    assert_int_equal(retort_train(&none, model, &options, NULL, &err), RETORT_ARGUMENT);
    assert_non_null(strstr(err.text, "state.best: it belongs to a training with other data"));
    assert_int_equal(retort_model_save(some, best, &err), RETORT_OK);
    assert_int_equal(retort_train(&none, model, &options, NULL, &err), RETORT_FORMAT);
    assert_non_null(strstr(err.text, "not (none)"));
    assert_int_equal(unlink(best), 0);
    assert_int_equal(retort_train(&none, model, &options, NULL, &err), RETORT_IO);
    assert_non_null(strstr(err.text, "state.best"));
    assert_null(none);
    retort_model_free(some);
    retort_dataset_free(data);
    retort_model_free(model);
    unlink(checkpoint);
}

/* ---- Learning rates ---- */

/* ---- Mixed texts ---- */

/* Lengths, and the first and last id of a text, stay; how many texts of a step have others between them. */
static size_t count_mixed(rt_batches *batches, size_t step, int32_t *ids) {
    const size_t *which;
    size_t n, mixed = 0;
    rt_batch batch;
    retort_error err;
    rt_batches_at(batches, step, &which, &n);
    assert_int_equal(rt_batches_sequences(batches, which, n, &batch, &err), RETORT_OK);
    memcpy(ids, batch.ids, (size_t)batch.offsets[n] * sizeof *ids);
    for (size_t i = 0; i < n; i++) {
        const rt_example *e = &batches->examples->items[which[i]];
        const int32_t *own = batches->examples->ids + e->first, *got = batch.ids + batch.offsets[i];
        assert_int_equal(batch.offsets[i + 1] - batch.offsets[i], e->length);
        assert_true(got[0] == own[0] && got[e->length - 1] == own[e->length - 1]);
        mixed += memcmp(got, own, e->length * sizeof *own) != 0;
    }
    return mixed;
}

static void test_mix(void **unused) {
    (void)unused;
    static const double shares[] = {0, 0.5, 1};
    size_t mixed[3] = {0};
    retort_error err = {0};
    retort_model *model = golden("bert-classify", 0, RETORT_F32);
    retort_dataset *data = open_data(model);
    rt_examples examples;
    rt_batches batches;
    assert_int_equal(rt_examples_open(&examples, model, data, 128, true, &err), RETORT_OK);
    int32_t *ids = calloc(2 * examples.tokens, sizeof *ids), *again = ids + examples.tokens;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(rt_batches_open(&batches, &examples, 8, 3, &err), RETORT_OK);
        batches.mix = shares[i];
        for (size_t step = 0; step < batches.steps; step++) mixed[i] += count_mixed(&batches, step, ids);
        count_mixed(&batches, 1, ids); /* of a step alone, whatever came before */
        count_mixed(&batches, 0, again);
        count_mixed(&batches, 1, again);
        assert_memory_equal(ids, again, 8 * sizeof *ids);
        rt_batches_free(&batches);
    }
    assert_int_equal(mixed[0], 0);
    assert_true(mixed[1] > 0 && mixed[1] < mixed[2] && mixed[2] > examples.count / 2);
    free(ids);
    rt_examples_free(&examples);
    /* Labels do not hold for mixed texts. */
    retort_model *trained = NULL;
    retort_train_options options = golden_options(data, &(losses){0});
    options.mix = 0.5;
    assert_int_equal(retort_train(&trained, model, &options, NULL, &err), RETORT_ARGUMENT);
    assert_non_null(strstr(err.text, "expected a teacher"));
    options.teacher = model;
    options.soft = 0.5;
    assert_int_equal(retort_train(&trained, model, &options, NULL, &err), RETORT_ARGUMENT);
    assert_non_null(strstr(err.text, "expected soft 1"));
    retort_dataset_free(data);
    retort_model_free(model);
}

static void test_rates(void **unused) {
    (void)unused;
    rt_rate_plan plan = {.rate = 2, .warmup = 0.1, .decay = RETORT_DECAY_LINEAR, .steps = 100};
    const size_t at[] = {0, 5, 10, 55, 100};
    const double linear[] = {0, 1, 2, 1, 0}, constant[] = {0, 1, 2, 2, 2};
    for (size_t i = 0; i < 5; i++) {
        plan.decay = RETORT_DECAY_LINEAR;
        assert_true(fabs(rt_rate_at(&plan, at[i]) - linear[i]) < 1e-12);
        plan.decay = RETORT_DECAY_COSINE; /* half way down after half of the steps, too */
        assert_true(fabs(rt_rate_at(&plan, at[i]) - linear[i]) < 1e-12);
        plan.decay = RETORT_DECAY_CONSTANT;
        assert_true(fabs(rt_rate_at(&plan, at[i]) - constant[i]) < 1e-12);
    }
    plan.decay = RETORT_DECAY_COSINE;
    assert_true(fabs(rt_rate_at(&plan, 40) - 1.5) < 1e-12); /* cos(60°) = 1/2 */
    plan.steps = 1;                                         /* the only step is not lost to the warm-up */
    assert_true(fabs(rt_rate_at(&plan, 0) - 2) < 1e-12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_pytorch),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_result),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_nonfinite),
        cmocka_unit_test(test_decay),
        cmocka_unit_test(test_consume),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_belongs),
        cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_foreign_parts),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_stop_anywhere),
        cmocka_unit_test(test_resume_patience),
        cmocka_unit_test(test_damaged_best),
        cmocka_unit_test(test_divergence),
        cmocka_unit_test(test_divergence_limits),
        cmocka_unit_test(test_mix),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
