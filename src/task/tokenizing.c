/* SPDX-License-Identifier: Apache-2.0 */
#include "task/task.h"

#include <stdlib.h>
#include <string.h>

struct retort_encoder {
    retort_model *model;
    rt_word_cache *cache;
    rt_encoding pair; /* the types of a pair are known to the full encoder only */
    int32_t *ids;     /* for a text whose length is not known in advance */
    size_t capacity;
};

retort_status rt_tokenizing_new(retort_encoder **out, retort_model *model, retort_error *err) {
    retort_encoder *encoder = rt_calloc(1, sizeof *encoder);
    if (encoder == NULL) return rt_fail_nomem(err, sizeof *encoder);
    encoder->model = retort_model_retain(model);
    encoder->cache = rt_word_cache_new(model->tokenizer, 0);
    if (encoder->cache == NULL) {
        rt_tokenizing_free(encoder);
        return rt_fail(err, RETORT_NOMEM, "encoder: out of memory");
    }
    *out = encoder;
    return RETORT_OK;
}

void rt_tokenizing_free(retort_encoder *encoder) {
    if (encoder == NULL) return;
    rt_word_cache_free(encoder->cache);
    rt_encoding_free(&encoder->pair);
    retort_model_free(encoder->model);
    free(encoder->ids);
    free(encoder);
}

rt_encode_options rt_tokenizing_options(retort_encoder *encoder, bool special_as_text) {
    const rt_config *config = &encoder->model->config;
    bool bounded = config->max_length > 0 && config->max_length <= config->positions;
    return (rt_encode_options){.max_length = (size_t)(bounded ? config->max_length : config->positions),
                               .special_as_text = special_as_text,
                               .cache = encoder->cache};
}

const retort_model *rt_tokenizing_model(const retort_encoder *encoder) {
    return encoder->model;
}

/* Leaves the ids in encoder->ids. Few texts have more tokens than bytes and a template. */
static retort_status encode_one(retort_encoder *encoder, const retort_text *text,
                                const rt_encode_options *options, size_t *count, retort_error *err) {
    for (size_t need = text->length + 16;; need *= 2) {
        if (!rt_grow((void **)&encoder->ids, &encoder->capacity, need, sizeof *encoder->ids)) {
            return rt_fail_nomem(err, need * sizeof *encoder->ids);
        }
        *count = 0;
        retort_status status = rt_encode_ids(encoder->model->tokenizer, text, options, encoder->ids,
                                             encoder->capacity, count, err);
        if (status != RETORT_LIMIT || text->length > INT32_MAX) return status;
    }
}

static retort_status encode_pair(retort_encoder *encoder, const retort_text *text,
                                 const rt_encode_options *options, size_t *count, retort_error *err) {
    retort_status status = rt_encode(encoder->model->tokenizer, text, options, &encoder->pair, err);
    *count = encoder->pair.count;
    return status;
}

/* The options of rt_encode: with the prompt, if its name is known. */
static retort_status read_options(retort_encoder *encoder, const retort_tokenize_options *options,
                                  rt_encode_options *out, retort_error *err) {
    const rt_config *config = &encoder->model->config;
    int64_t length = options->max_length < 0 ? config->max_length : options->max_length;
    *out = (rt_encode_options){.max_length = (size_t)length,
                               .special_as_text = options->special_as_text,
                               .side = options->side,
                               .truncation = options->only_first ? RT_ONLY_FIRST : RT_LONGEST_FIRST,
                               .cache = encoder->cache};
    return rt_config_prompt(config, options->prompt_name, &out->prompt, err);
}

retort_status rt_tokenizing_unpooled(retort_encoder *encoder, const retort_tokenize_options *options,
                                     size_t *count, retort_error *err) {
    rt_encode_options encode;
    retort_status status = read_options(encoder, options, &encode, err);
    return status == RETORT_OK ? rt_model_unpooled(encoder->model, &encode, count, err) : status;
}

retort_status rt_tokenizing_encode(retort_encoder *encoder, const retort_text *text,
                                   const retort_tokenize_options *options, int32_t *ids, int32_t *types,
                                   size_t capacity, size_t *count, retort_error *err) {
    rt_encode_options encode;
    bool paired = text->pair != NULL;
    retort_status status = read_options(encoder, options, &encode, err);
    if (status != RETORT_OK) return status;
    status = paired ? encode_pair(encoder, text, &encode, count, err)
                    : encode_one(encoder, text, &encode, count, err);
    if (status != RETORT_OK) return status;
    if (*count > capacity) {
        return rt_fail(err, RETORT_LIMIT, "encode: %zu tokens do not fit into %zu", *count, capacity);
    }
    if (*count == 0) return RETORT_OK;
    memcpy(ids, paired ? encoder->pair.ids : encoder->ids, *count * sizeof *ids);
    if (paired) {
        memcpy(types, encoder->pair.types, *count * sizeof *types);
    } else {
        memset(types, 0, *count * sizeof *types);
    }
    return RETORT_OK;
}
