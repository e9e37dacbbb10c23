/* SPDX-License-Identifier: Apache-2.0
 * Checkpoints of a training with a matrix, a vector and a table. What is refused must change nothing. */
#include "train/checkpoint.h"

#include <stdlib.h>

enum { TABLE_ROWS = 6, WIDTH = 16, STEPS = 9 };

static float data[3][256], grad[2][256];

static rt_parameters make(rt_parameter items[3]) {
    items[0] =
        (rt_parameter){.name = "matrix", .kind = RT_PARAMETER_MATRIX, .rows = 16, .n = 16, .count = 256};
    items[1] = (rt_parameter){.name = "vector", .kind = RT_PARAMETER_VECTOR, .rows = 1, .n = 3, .count = 3};
    items[2] = (rt_parameter){.name = "table",
                              .kind = RT_PARAMETER_TABLE,
                              .rows = TABLE_ROWS,
                              .n = WIDTH,
                              .count = TABLE_ROWS * WIDTH};
    for (int i = 0; i < 3; i++) {
        items[i].data = data[i];
        items[i].used = data[i];
        if (i < 2) items[i].grad = grad[i];
    }
    return (rt_parameters){items, 3};
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    rt_parameter items[3];
    rt_parameters parameters = make(items);
    rt_optimizer optimizer;
    rt_tensors tensors;
    const rt_optimizer_options options = {
        .plan = {.rate = 1e-3, .steps = STEPS}, .beta1 = 0.9, .beta2 = 0.999};
    if (rt_optimizer_open(&optimizer, &parameters, &options, NULL, NULL, NULL) != RETORT_OK) return 0;
    rt_checkpoint checkpoint = {.belongs = "data=0", .optimizer = &optimizer};
    if (rt_safetensors_parse(&tensors, "fuzz", bytes, size, NULL) == RETORT_OK) {
        retort_status status = rt_checkpoint_take("fuzz", &tensors, &checkpoint, NULL);
        if (status != RETORT_OK && optimizer.step != 0) abort();
        const rt_moment *table = &optimizer.moments[2];
        for (size_t i = 0; i < TABLE_ROWS; i++) {
            int32_t slot = table->slot[i];
            if (slot < -1 || (slot >= 0 && (size_t)slot >= table->slots)) abort();
            if (table->seen[i] < 0 || (size_t)table->seen[i] > optimizer.step) abort();
        }
        rt_tensors_close(&tensors);
    }
    rt_optimizer_close(&optimizer);
    return 0;
}
