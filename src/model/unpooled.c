/* SPDX-License-Identifier: Apache-2.0
 * include_prompt: false of a sentence-transformers package: the network reads the tokens of a prompt, and pooling leaves them out. */
#include "model/model.h"

/* Whether a row of a certain place is read, the first: which the prompt is. */
static bool reads_first(const rt_graph *graph) {
    bool reads = false;
    for (size_t i = 0; i < graph->node_count; i++) reads |= graph->nodes[i].attrs.select == RT_SELECT_FIRST;
    return reads;
}

const char *rt_model_pools_all(const retort_model *model) {
    if (model->cascade != NULL) return "a stage of a cascade pools all tokens";
    if (model->graph.level < 3) return "below level 3 all tokens are pooled";
    return reads_first(&model->graph)
               ? "for CLS pooling, versions of sentence-transformers disagree which token "
                 "that is: before 6 the first of the prompt, from 6 on the first after it"
               : NULL;
}

/* The tokens of a prompt alone, without the special token at its end, as sentence-transformers counts them. */
static retort_status count_tokens(const rt_tokenizer *tokenizer, const rt_encode_options *options,
                                  size_t *out, retort_error *err) {
    const retort_text prompt = {.text = options->prompt, .length = strlen(options->prompt)};
    rt_encode_options alone = *options;
    rt_encoding encoding = {0};
    alone.prompt = NULL;
    alone.truncated = NULL;
    retort_status status = rt_encode(tokenizer, &prompt, &alone, &encoding, err);
    size_t n = status == RETORT_OK ? encoding.count : 0;
    *out = n > 0 && rt_tokenizer_is_special(tokenizer, encoding.ids[n - 1]) ? n - 1 : n;
    rt_encoding_free(&encoding);
    return status;
}

retort_status rt_model_unpooled(const retort_model *model, const rt_encode_options *options, size_t *out,
                                retort_error *err) {
    *out = 0;
    if (!model->config.sentences.skips_prompt || options->prompt == NULL || *options->prompt == '\0')
        return RETORT_OK;
    const char *all = rt_model_pools_all(model);
    if (all != NULL)
        return rt_fail(err, RETORT_UNSUPPORTED,
                       "prompt '%.60s': the model does not pool its tokens (include_prompt is false), but %s",
                       options->prompt, all);
    return count_tokens(model->tokenizer, options, out, err);
}
