/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/vocabulary.h"

#include <inttypes.h>
#include <string.h>

static retort_status select_rows(const rt_tensor **tensor, rt_arena *arena, const int32_t *ids, size_t count,
                                 retort_error *err) {
    const rt_tensor *from = *tensor;
    size_t row = rt_dtype_size(from->dtype);
    for (int i = 1; i < from->rank; i++) row *= (size_t)from->shape[i];
    rt_tensor *to = rt_arena_calloc(arena, 1, sizeof *to);
    uint8_t *data = rt_arena_calloc(arena, count, row);
    if (to == NULL || data == NULL) return rt_fail_nomem(err, count * row);
    for (size_t i = 0; i < count; i++)
        memcpy(data + i * row, (const uint8_t *)from->data + (size_t)ids[i] * row, row);
    *to = *from;
    to->data = data;
    to->shape[0] = (int64_t)count;
    *tensor = to;
    return RETORT_OK;
}

retort_status rt_encoder_select_words(rt_encoder *encoder, const char *name, const int32_t *ids, size_t count,
                                      retort_error *err) {
    rt_config *config = &encoder->config;
    rt_weight *word = &encoder->parts[RT_ROLE_WORD], *output = &encoder->parts[RT_ROLE_OUTPUT];
    bool predicts = config->task == RETORT_TASK_FILL || config->pooling == RT_POOL_SPLADE;
    bool tied = output->weight == word->weight;
    if (encoder->graph_file != NULL)
        return rt_fail(
            err, RETORT_UNSUPPORTED,
            "%s: an ONNX file keeps its vocabulary: to restrict it, start from the checkpoint that "
            "it was exported from",
            name);
    if (count == 0 || ids[count - 1] >= config->vocab)
        return rt_fail(err, RETORT_FORMAT,
                       "%s: the tokenizer has a piece with id %d, but the word table has %" PRId64 " rows",
                       name, count > 0 ? ids[count - 1] : -1, config->vocab);
    retort_status status = select_rows(&word->weight, &encoder->arena, ids, count, err);
    config->vocab = (int64_t)count;
    if (status != RETORT_OK || !predicts) return status;
    config->labels = config->vocab;
    if (tied) output->weight = word->weight;
    if (!tied) status = select_rows(&output->weight, &encoder->arena, ids, count, err);
    return status == RETORT_OK && output->bias != NULL
               ? select_rows(&output->bias, &encoder->arena, ids, count, err)
               : status;
}
