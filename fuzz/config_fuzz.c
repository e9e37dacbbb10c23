/* SPDX-License-Identifier: Apache-2.0
 * A config.json of a transformer, and the same bytes as those of the modules of a package. */
#include "arch/modules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_package(const uint8_t *data, size_t size) {
    rt_modules package = {0};
    rt_arena arena = {0};
    retort_error err;
    json_t *root = NULL;
    if (rt_json_parse(&root, "fuzz", data, size, &err) != RETORT_OK) return;
    rt_modules_pooling(&package, "fuzz", root, &err);
    rt_modules_splade(&package, "fuzz", root, &err);
    rt_modules_dense(&package, "fuzz", root, &err);
    rt_modules_normalize(&package, "fuzz", root, &err);
    rt_modules_layer_norm(&package, "fuzz", root, &err);
    for (int embed = 0; embed < 2; embed++) rt_modules_settings(&package, &arena, "fuzz", root, embed, &err);
    rt_arena_free(&arena);
    json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const retort_task tasks[] = {RETORT_TASK_CLASSIFY, RETORT_TASK_EMBED};
    rt_arena arena = {0};
    rt_config config;
    retort_error err;
    rt_config_parse(&config, &arena, "fuzz", data, size, NULL, &err);
    for (size_t i = 0; i < 2; i++) rt_config_parse(&config, &arena, "fuzz", data, size, &tasks[i], &err);
    rt_arena_free(&arena);
    fuzz_package(data, size);
    return 0;
}
