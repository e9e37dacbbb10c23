/* SPDX-License-Identifier: Apache-2.0
 * What the parts of the level-0 builder share. Every emitter returns a value, or -1 after a failure that
 * graph->fault keeps: the parts build on and rt_graph_build checks once, at the end. */
#ifndef RT_ARCH_BUILDER_H
#define RT_ARCH_BUILDER_H

#include "arch/build.h"
#include "arch/config_values.h"

enum { RT_SCOPE_MAX = 64 };

typedef struct rt_builder {
    rt_graph *graph;
    const rt_encoder *encoder;
    int ids, mask, types;       /* the inputs; types is -1 where there are none */
    int64_t layer;              /* at hand */
    int key_mask;               /* what the architecture's mask() emits, or -1 */
    int places;                 /* what rt_emit_places emits, or -1 */
    int distances;              /* the row of each distance, or -1 */
    int bias;                   /* what all layers have by distance, or -1: numbers, or a table of rows */
    struct rt_emitted *emitted; /* tensors that are constants already, hashed: layers may share them */
    size_t emitted_count, emitted_capacity;
    /* Of layers that read all keys, and of local ones: cosines and sines of the turns of Q and K, [1, seq, 1, pairs], or -1. */
    int cosine[2], sine[2];
    int far; /* a very negative number where a key is outside the window of a query, else 0: [1, 1, seq, seq], or -1 */
} rt_builder;

/* Adds the node "scope.leaf"; returns its first output. */
int rt_emit(rt_builder *b, rt_op op, const char *scope, const char *leaf, int count, const int *inputs,
            const rt_attrs *attrs);
int rt_emit1(rt_builder *b, rt_op op, const char *scope, const char *leaf, int x);
int rt_emit2(rt_builder *b, rt_op op, const char *scope, const char *leaf, int x, int y);
/* Constant "scope.leaf": a scalar; a vector of integers; a vector; a matrix as it is, or transposed. */
int rt_emit_scalar(rt_builder *b, const char *scope, const char *leaf, float value);
int rt_emit_index(rt_builder *b, const char *scope, const char *leaf, int64_t value);
int rt_emit_indices(rt_builder *b, const char *scope, const char *leaf, int count, const int64_t *values);
int rt_emit_tensor(rt_builder *b, const char *scope, const char *leaf, const rt_tensor *tensor);
/* The rows of a table from `first` on, each with `row` added (NULL: nothing). */
int rt_emit_rows(rt_builder *b, const char *scope, const char *leaf, const rt_tensor *table, int64_t first,
                 const rt_tensor *row);
/* (table + row) projection^T: a table of another width. */
int rt_emit_projected(rt_builder *b, const char *scope, const char *leaf, const rt_tensor *table,
                      const rt_tensor *row, const rt_tensor *projection);
int rt_emit_transposed(rt_builder *b, const char *scope, const char *leaf, const rt_tensor *matrix);
/* 0, 1, … of the padded length: the first columns of a buffer, [1, seq] */
int rt_emit_places(rt_builder *b);
/* index[j - i + positions - 1] of each pair of a query i and a key j, [seq, seq]; the data lives in the graph's arena. */
int rt_emit_distances(rt_builder *b, const int64_t *index);
/* op(x, value), the value being the scalar constant "scope.leaf.value". */
int rt_emit_by(rt_builder *b, rt_op op, const char *scope, const char *leaf, int x, float value);
/* Reduction of x over an axis that opset 17 keeps as an attribute (max, mean), or as an input (sum). */
int rt_emit_reduce(rt_builder *b, rt_op op, const char *scope, const char *leaf, int x, int64_t axis,
                   bool keepdims);
/* torch.nn.Linear on x […, in]: Gemm for a matrix with a bias, else MatMul and Add. */
int rt_emit_linear(rt_builder *b, const char *scope, const rt_weight *linear, int x);
/* The architecture's norm, and LayerNorm. */
int rt_emit_norm(rt_builder *b, const char *scope, const rt_weight *norm, int x);
int rt_emit_layer_norm(rt_builder *b, const char *scope, const rt_weight *norm, float epsilon, int x);
int rt_emit_activation(rt_builder *b, const char *scope, rt_act activation, int x);
int rt_emit_module_act(rt_builder *b, const char *scope, rt_module_act act, int x);
/* The axes of x widened by Unsqueeze and then to the shape of `like`, as torch's expand does. */
int rt_emit_expand(rt_builder *b, const char *scope, int x, int axis_count, const int64_t *axes, int like);

/* Channels of a head of attention. */
static inline int64_t rt_head_dim(const rt_builder *b) {
    return b->encoder->config.dim;
}

/* BERT's, for rows that share them: 0 or a very negative number per key [batch, 1, 1, seq], which is added to
 * scores divided by sqrt(dim). */
int rt_bert_mask(rt_builder *b);
int rt_bert_scores(rt_builder *b, const char *scope, int q, int k);
#define RT_UNTYPED_KEYS                                                                                      \
    [RT_KEY_LAYERS] = "num_hidden_layers", [RT_KEY_HIDDEN] = "hidden_size",                                  \
    [RT_KEY_HEADS] = "num_attention_heads", [RT_KEY_FFN] = "intermediate_size",                              \
    [RT_KEY_VOCAB] = "vocab_size", [RT_KEY_POSITIONS] = "max_position_embeddings"
#define RT_BERT_KEYS RT_UNTYPED_KEYS, [RT_KEY_TYPES] = "type_vocab_size"
/* The Linear layers of a layer's two parts, as bits of rt_config.unbiased. */
#define RT_ATTENTION_ROLES                                                                                   \
    (UINT64_C(1) << RT_ROLE_Q | UINT64_C(1) << RT_ROLE_K | UINT64_C(1) << RT_ROLE_V |                        \
     UINT64_C(1) << RT_ROLE_OUT)
#define RT_FFN_ROLES (UINT64_C(1) << RT_ROLE_LIN1 | UINT64_C(1) << RT_ROLE_UP | UINT64_C(1) << RT_ROLE_LIN2)
#define RT_BERT_NAMES                                                                                        \
    [RT_ROLE_WORD] = "embeddings.word_embeddings", [RT_ROLE_POSITION] = "embeddings.position_embeddings",    \
    [RT_ROLE_TYPE] = "embeddings.token_type_embeddings", [RT_ROLE_EMBEDDING_NORM] = "embeddings.LayerNorm",  \
    [RT_ROLE_Q] = "attention.self.query", [RT_ROLE_K] = "attention.self.key",                                \
    [RT_ROLE_V] = "attention.self.value", [RT_ROLE_OUT] = "attention.output.dense",                          \
    [RT_ROLE_ATTENTION_NORM] = "attention.output.LayerNorm", [RT_ROLE_LIN1] = "intermediate.dense",          \
    [RT_ROLE_LIN2] = "output.dense", [RT_ROLE_OUTPUT_NORM] = "output.LayerNorm"

/* The mask of BERT; and the turns and windows of layers with rotary positions. */
int rt_rotary_mask(rt_builder *b);
/* x [batch, seq, heads, dim] turned by the position, as layers of this kind are. */
int rt_emit_turned(rt_builder *b, const char *scope, int x, bool local);
/* One encoder layer, and the task's head: the output value. LayerNorms stand after each part and its residual, or before. */
int rt_build_post_norm(rt_builder *b, int64_t index, int hidden);
int rt_build_pre_norm(rt_builder *b, int64_t index, int hidden);
int rt_build_head(rt_builder *b, int hidden);
/* The graph of encoder->onnx, with its output. */
retort_status rt_build_onnx(rt_builder *b, retort_error *err);

#endif
