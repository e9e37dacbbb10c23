/* SPDX-License-Identifier: Apache-2.0
 * Pickles: what torch.save writes, and heads of scikit-learn. */
#include "format/logistic.h"
#include "touch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_head(const uint8_t *data, size_t size) {
    rt_arena arena = {0};
    rt_logistic head;
    retort_error err;
    volatile float sink = 0;
    if (rt_logistic_read(&head, &arena, "fuzz", data, size, &err) == RETORT_OK) {
        for (int64_t i = 0; i < head.rows; i++)
            sink = sink + head.bias[i] + head.weight[i * head.columns + head.columns - 1];
    }
    rt_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rt_tensors tensors;
    retort_error err;
    read_head(data, size);
    if (rt_torch_parse(&tensors, "fuzz", data, size, &err) != RETORT_OK) return 0;
    volatile uint8_t sink = touch(&tensors);
    (void)sink;
    rt_tensors_close(&tensors);
    return 0;
}
