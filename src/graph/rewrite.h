/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RT_GRAPH_REWRITE_H
#define RT_GRAPH_REWRITE_H

#include "graph/graph.h"

/* One row per rewrite: function, name, what it does, level, whether that level cannot be without it. Each is
 * one predicate-and-edit pass over the graph: applies itself wherever it matches, and adds the number of
 * places to *count. Run in order, each level to a fixed point.
 *
 * level 1: fold constants, drop Identity / no-op Cast / Reshape, merge equal constants and equal nodes,
 *          dead nodes
 * level 2: fuse Embed, LayerNorm (also the decomposed form), Linear (MatMul+Add / Gemm), GELU and other
 *          activations, residual adds, QKV, Attention, Select, Pool, Normalize; exact algebra: 1/sqrt(d) into
 *          W_Q and b_Q, drop b_K, b_O += W_O b_V
 * level 3: remove padding (ragged tokens, no mask), rows nobody reads (the last layer's Q, output and FFN for
 *          the rows that the head reads; pool heads read all), pack weights (p16) */
#define RT_REWRITES(X)                                                                                       \
    X(fold_constants, "fold-constants", "fold constants", 1, false)                                          \
    X(drop_identities, "drop-identities", "drop identities", 1, false)                                       \
    X(merge_constants, "merge-constants", "merge constants", 1, false)                                       \
    X(merge_nodes, "merge-nodes", "merge equal nodes", 1, false)                                             \
    X(fuse_layer_norm, "fuse-layer-norm", "fuse LayerNorm", 2, false)                                        \
    X(fuse_embed, "fuse-embed", "fuse embeddings", 2, false)                                                 \
    X(fuse_linear, "fuse-linear", "fuse MatMul + bias", 2, false)                                            \
    X(split_linear, "split-linear", "split MatMul by columns", 2, false)                                     \
    X(fuse_activation, "fuse-activation", "fuse activation", 2, false)                                       \
    X(fuse_gate, "fuse-gate", "fuse gate", 2, false)                                                         \
    X(fuse_attention, "fuse-attention", "fuse attention", 2, false)                                          \
    X(scale_into_query, "scale-into-query", "scale into W_Q", 2, false)                                      \
    X(drop_key_bias, "drop-key-bias", "drop b_K", 2, false)                                                  \
    X(fold_value_bias, "fold-value-bias", "fold b_V into b_O", 2, false)                                     \
    X(fuse_qkv, "fuse-qkv", "fuse Q, K, V", 2, false)                                                        \
    X(fuse_residual, "fuse-residual", "fuse residual", 2, false)                                             \
    X(fuse_select, "fuse-select", "fuse row selection", 2, false)                                            \
    X(fuse_pool, "fuse-pool", "fuse pooling", 2, false)                                                      \
    X(fuse_normalize, "fuse-normalize", "fuse normalize", 2, false)                                          \
    X(remove_padding, "remove-padding", "remove padding", 3, true)                                           \
    X(prune_rows, "prune-rows", "rows nobody reads", 3, false)                                               \
    X(skip_keys, "skip-keys", "K and V that one row reads", 3, false)                                        \
    X(share_weights, "share-weights", "weights that are equal", 3, false)                                    \
    X(pack_weights, "pack-weights", "pack weights", 3, true)

#define RT_REWRITE_DECLARE(function, name, text, level, needed)                                              \
    retort_status rt_rewrite_##function(rt_graph *graph, size_t *count, retort_error *err);
RT_REWRITES(RT_REWRITE_DECLARE)
#undef RT_REWRITE_DECLARE

/* Rewrites `graph` in place from its level up to options->level. With `verify` the whole graph is checked
 * after each rewrite. */
retort_status rt_graph_optimize(rt_graph *graph, const retort_optimize_options *options, bool verify,
                                retort_error *err);
/* Level 3: applies rewrites that were left out on the way, in the order of their names; then verifies. For those of algebra.c
 * and keys.c, then pack-weights. */
retort_status rt_graph_apply(rt_graph *graph, const char *const *names, size_t count, retort_error *err);
/* After a change of weights of Linear nodes: converts their inputs to the required dtypes in the nodes
 * that make them, then sweeps and verifies. */
retort_status rt_graph_convert_inputs(rt_graph *graph, retort_error *err);
/* Attention in 8-bit integers: precise enough next to other activations of 8 bits, or of 8 significant ones. */
void rt_graph_use_integers(rt_graph *graph);
/* Level 3 only: matrices of Linear nodes to bf16. */
retort_status rt_graph_use_bf16(rt_graph *graph, retort_error *err);

#endif
