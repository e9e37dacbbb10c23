/* SPDX-License-Identifier: Apache-2.0
 * Makes a classifier of a checkpoint: train CHECKPOINT DATA.tsv MODEL.retort */
#include <retort.h>

#include <stdio.h>
#include <stdlib.h>

static int report(void *user, const retort_train_progress *progress) {
    (void)user;
    if (progress->step % 10 == 0) fprintf(stderr, "step %zu: loss %.4f\n", progress->step, progress->loss);
    return 0; /* anything else stops the training */
}

/* The checkpoint, with a head for the labels in the file. */
static retort_status open_start(retort_model **out, const char *checkpoint, const char *path,
                                retort_error *err) {
    retort_dataset *found = NULL;
    retort_dataset_options options = RETORT_DATASET_OPTIONS;
    options.collect = true;
    retort_status status = retort_dataset_open(&found, path, NULL, &options, err);
    if (status != RETORT_OK) return status;
    retort_dataset_info info = {.size = sizeof info};
    retort_dataset_describe(found, &info);
    const char **labels = calloc(info.labels + 1, sizeof *labels);
    if (labels == NULL) status = RETORT_NOMEM;
    for (size_t i = 0; labels != NULL && i < info.labels; i++) labels[i] = retort_dataset_label(found, i);
    const retort_head head = {sizeof head, RETORT_TASK_CLASSIFY, RETORT_PROBLEM_SINGLE_LABEL,
                              labels,      info.labels,          0};
    retort_import_options import = RETORT_IMPORT_OPTIONS;
    import.level = 0; /* nothing is folded before it is trained */
    import.head = &head;
    if (status == RETORT_OK) status = retort_model_import(out, checkpoint, &import, err);
    free((void *)labels);
    retort_dataset_free(found);
    return status;
}

int main(int argc, char **argv) {
    retort_error err = {.text = "out of memory"};
    retort_model *start = NULL, *trained = NULL;
    retort_dataset *data = NULL;
    retort_train_options options = RETORT_TRAIN_OPTIONS;
    retort_train_result result = {.size = sizeof result};
    if (argc != 4) {
        fprintf(stderr, "usage: train CHECKPOINT DATA.tsv MODEL.retort\n");
        return 2;
    }
    retort_status status = open_start(&start, argv[1], argv[2], &err);
    if (status == RETORT_OK) status = retort_dataset_open(&data, argv[2], start, NULL, &err);
    options.data = data;
    options.progress = report;
    if (status == RETORT_OK) status = retort_train(&trained, start, &options, &result, &err);
    if (status == RETORT_OK) status = retort_model_save(trained, argv[3], &err);
    if (status == RETORT_OK) printf("%s: %zu steps, loss %.4f\n", argv[3], result.steps, result.loss);
    if (status != RETORT_OK) fprintf(stderr, "train: %s\n", err.text);
    retort_model_free(trained);
    retort_dataset_free(data);
    retort_model_free(start);
    return status == RETORT_OK ? 0 : 1;
}
