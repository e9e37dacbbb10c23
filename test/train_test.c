/* SPDX-License-Identifier: Apache-2.0
 * Training: the losses of PyTorch, step by step (golden/training.txt, by tools/make_train_golden.py); the same bytes with any
 * number of threads; what stops a training, and how it goes on from a checkpoint. */
#include "quant_models.h"
#include "train/trainee.h"

#include <math.h>

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
    assert_true(progress->step == l->count + 1 && progress->step <= 50);
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
    for (int level = 0; level <= 3; level += 3) {
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
    assert_int_equal(models, 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pytorch),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
