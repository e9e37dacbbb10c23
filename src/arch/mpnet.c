/* SPDX-License-Identifier: Apache-2.0
 * MPNet: BERT without token types, whose positions start after the padding id, the literal 1, and whose scores get a number
 * by the bucket that the distance of key and query is in, from one table for all layers. Heads are RoBERTa's. */
#include "arch/builder.h"
#include "arch/config_values.h"

#include <inttypes.h>
#include <math.h>

/* The code of transformers has 32 buckets, half of them for keys after the query, whatever the table's size. In a half,
 * each of 8 distances has its own, and 8 more are as wide as the logarithm says, up to a distance of 128. */
enum { BUCKETS = 32, HALF = BUCKETS / 2, EXACT = HALF / 2, FAR = 128, PADDING = 1 };

static int64_t bucket_of(int64_t distance) {
    int64_t half = distance > 0 ? HALF : 0, apart = distance < 0 ? -distance : distance;
    if (apart < EXACT) return half + apart;
    double part = log((double)apart / EXACT) / log((double)FAR / EXACT);
    int64_t wide = EXACT + (int64_t)(part * (HALF - EXACT));
    return half + (wide < HALF - 1 ? wide : HALF - 1);
}

static retort_status check_buckets(rt_config *out, const rt_config_source *from, retort_error *err) {
    if (out->buckets >= BUCKETS) return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT,
                   "%s: 'relative_attention_num_buckets' is %" PRId64 "; expected %d or more", from->name,
                   out->buckets, (int)BUCKETS);
}

/* The bias of all layers [1, heads, seq, seq], then BERT's mask. */
static int bias_and_mask(rt_builder *b) {
    const char *scope = "relative";
    int64_t most = b->encoder->config.positions - 1, first = 0;
    int64_t *index = rt_graph_alloc(b->graph, (size_t)(2 * most + 1) * sizeof *index);
    if (index == NULL) return -1;
    for (int64_t i = 0; i <= 2 * most; i++) index[i] = bucket_of(i - most);
    int table = rt_emit_transposed(b, scope, "bias", b->encoder->parts[RT_ROLE_BIAS].weight);
    int numbers = rt_emit(b, RT_OP_GATHER, scope, "numbers", 2, (int[]){table, rt_emit_distances(b, index)},
                          &(rt_attrs){.axis = 1});
    b->bias =
        rt_emit2(b, RT_OP_UNSQUEEZE, scope, "wide", numbers, rt_emit_indices(b, scope, "axes", 1, &first));
    return rt_bert_mask(b);
}

static int biased_scores(rt_builder *b, const char *scope, int q, int k) {
    int scores = rt_emit2(b, RT_OP_MATMUL, scope, "scores", q, k);
    int scaled = rt_emit_by(b, RT_OP_DIV, scope, "scale", scores, sqrtf((float)rt_head_dim(b)));
    int biased = rt_emit2(b, RT_OP_ADD, scope, "bias", scaled, b->bias);
    return rt_emit2(b, RT_OP_ADD, scope, "masked", biased, b->key_mask);
}

const rt_arch rt_arch_mpnet = {
    .type = "mpnet",
    .prefix = "MPNet",
    .keys = {RT_UNTYPED_KEYS, [RT_KEY_BUCKETS] = "relative_attention_num_buckets"},
    .defaults = {[RT_KEY_BUCKETS] = BUCKETS, [RT_KEY_PAD] = PADDING},
    .activation_key = "hidden_act",
    .activation_default = "gelu",
    .epsilon_key = "layer_norm_eps",
    .base = "mpnet.",
    .layer = "encoder.layer.",
    .configure = check_buckets,
    .names = {[RT_ROLE_WORD] = "embeddings.word_embeddings",
              [RT_ROLE_POSITION] = "embeddings.position_embeddings",
              [RT_ROLE_EMBEDDING_NORM] = "embeddings.LayerNorm",
              [RT_ROLE_BIAS] = "encoder.relative_attention_bias",
              [RT_ROLE_Q] = "attention.attn.q",
              [RT_ROLE_K] = "attention.attn.k",
              [RT_ROLE_V] = "attention.attn.v",
              [RT_ROLE_OUT] = "attention.attn.o",
              [RT_ROLE_ATTENTION_NORM] = "attention.LayerNorm",
              [RT_ROLE_LIN1] = "intermediate.dense",
              [RT_ROLE_LIN2] = "output.dense",
              [RT_ROLE_OUTPUT_NORM] = "output.LayerNorm"},
    .heads = {[RETORT_TASK_CLASSIFY] = {.dense = "classifier.dense",
                                        .activation = RT_FN_TANH,
                                        .output = "classifier.out_proj"},
              [RETORT_TASK_TAG] = {.output = "classifier"},
              [RETORT_TASK_ANSWER] = {.output = "qa_outputs"},
              [RETORT_TASK_FILL] = {.dense = "lm_head.dense",
                                    .activation = RT_FN_GELU,
                                    .norm = "lm_head.layer_norm",
                                    .output = "lm_head.decoder",
                                    .old_bias = "lm_head.bias"}},
    .pretraining = RETORT_TASK_FILL,
    .mask = bias_and_mask,
    .scores = biased_scores,
};
