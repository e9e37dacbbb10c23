/* SPDX-License-Identifier: Apache-2.0
 * train_losses MODEL DATA STEPS RATE BATCH SEED THREADS: trains, and prints the loss of each step: for train_losses.py. */
#include "retort.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 10000, RECENT = 50 };

/* The loss of each step, from means of the last 50. */
typedef struct losses {
    double all[MOST];
    double sum;
} losses;

static int note(void *user, const retort_train_progress *progress) {
    losses *l = user;
    size_t step = progress->step;
    if (strcmp(progress->what, "train") != 0) return 0;
    double sum = progress->loss * (double)(step < RECENT ? step : RECENT);
    l->all[step - 1] = sum - l->sum + (step > RECENT ? l->all[step - 1 - RECENT] : 0);
    l->sum = sum;
    printf("%.9g\n", l->all[step - 1]);
    return step == MOST;
}

int main(int count, char **words) {
    static losses l;
    retort_error err = {0};
    retort_model *model = NULL, *trained = NULL;
    retort_dataset *data = NULL;
    retort_import_options import = RETORT_IMPORT_OPTIONS;
    retort_train_options options = RETORT_TRAIN_OPTIONS;
    if (count != 8) {
        fputs("usage: train_losses MODEL DATA STEPS RATE BATCH SEED THREADS\n", stderr);
        return 2;
    }
    import.level = 0; /* as PyTorch has the weights */
    options.steps = strtoull(words[3], NULL, 10);
    options.learning_rate = strtod(words[4], NULL);
    options.batch = strtoull(words[5], NULL, 10);
    options.seed = strtoull(words[6], NULL, 10);
    options.threads = (int)strtol(words[7], NULL, 10);
    options.progress = note;
    options.user = &l;
    retort_status status = retort_model_import(&model, words[1], &import, &err);
    if (status == RETORT_OK) status = retort_dataset_open(&data, words[2], model, NULL, &err);
    options.data = data;
    retort_train_result result = {.size = sizeof result};
    if (status == RETORT_OK) status = retort_train(&trained, model, &options, &result, &err);
    if (status != RETORT_OK)
        fprintf(stderr, "train_losses: %s\n", err.text);
    else
        fprintf(stderr, "%zu steps, %.1f s, %.0f tokens/s\n", result.steps, result.seconds,
                result.tokens_per_second);
    retort_model_free(trained);
    retort_dataset_free(data);
    retort_model_free(model);
    return status == RETORT_OK ? 0 : 1;
}
