/* SPDX-License-Identifier: Apache-2.0
 * Data files. The first byte chooses the task and the file's name. */
#include "eval/dataset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *labels[] = {"O", "B-PER", "I-PER"};
    static const char *const names[] = {"data.tsv", "data.conll", "data.json", "data.txt",
                                        "data",     "data.csv",   "data.jsonl"};
    if (size == 0) return 0;
    rt_config config = {.task = (retort_task)(data[0] % 5), .labels = 3, .label_names = labels};
    config.problem = (retort_problem)(data[0] / 5 % 3);
    retort_dataset_options options = RETORT_DATASET_OPTIONS;
    if (data[0] >= 7 * 16) options.text_column = options.label_column = "b";
    options.collect = data[0] % 3 == 0;
    options.task = config.task;
    if (data[0] % 7 == 0) options.label_separator = " ";
    retort_error err;
    retort_dataset *set = NULL;
    if (rt_dataset_parse(&set, names[data[0] / 16 % 7], data + 1, size - 1, &config, &options, &err) ==
        RETORT_OK) {
        retort_text text;
        for (size_t i = 0; i < retort_dataset_count(set); i++) retort_dataset_text(set, i, &text);
        for (size_t i = 0; retort_dataset_label(set, i) != NULL; i++) {
        }
    }
    retort_dataset_free(set);
    return 0;
}
