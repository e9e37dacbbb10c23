/* SPDX-License-Identifier: Apache-2.0
 * The inputs of the operators that read constants or have optional inputs, by name: `node->inputs[LINEAR_BIAS]`.
 * One row per operand, in the order of the graph's text: operator, name, the part of a model that a constant
 * there belongs to, and whether it scales or places what another constant there holds. Operands of plain
 * operators have ONNX's names. An absent operand is -1, or lies after the last one present. */
#ifndef RT_GRAPH_OPERANDS_H
#define RT_GRAPH_OPERANDS_H

/* ids, two or three tables, LayerNorm's γ and β; RT_OPS says what each holds. */
#define RT_EMBED_OPERANDS(ROW)                                                                               \
    ROW(EMBED, IDS, OTHER, false)                                                                            \
    ROW(EMBED, WORD, TABLE, false)          /* [v, n] */                                                     \
    ROW(EMBED, POSITION, TABLE, false)      /* [positions, n] */                                             \
    ROW(EMBED, GAMMA, OTHER, false)         /* [n] */                                                        \
    ROW(EMBED, BETA, OTHER, false)          /* [n] */                                                        \
    ROW(EMBED, TYPES, OTHER, false)         /* token type ids, like the ids */                               \
    ROW(EMBED, TYPE, TABLE, false)          /* [types, n] */                                                 \
    ROW(EMBED, WORD_SCALE, TABLE, true)     /* per row [v] */                                                \
    ROW(EMBED, WORD_GROUPS, TABLE, true)    /* integer scales [v, groups] */                                 \
    ROW(EMBED, POSITION_SCALE, TABLE, true) /* per channel [n] */                                            \
    ROW(EMBED, CHANNEL_SCALE, MATRIX, true) /* channel scaling before rounding to int8: x * scale + shift */ \
    ROW(EMBED, CHANNEL_SHIFT, MATRIX, true)                                                                  \
    ROW(EMBED, PRUNED, MATRIX, true)  /* [g, 2] ranges of ids without a row: the first, how many */          \
    ROW(EMBED, S8_IDS, TABLE, true)   /* [r, 1] ids whose rows stay int8 in a table of 4-bit codes */        \
    ROW(EMBED, S8_ROWS, TABLE, false) /* [r, n] */                                                           \
    ROW(EMBED, S8_SCALE, TABLE, true) /* [r] */

#define RT_LINEAR_OPERANDS(ROW)                                                                              \
    ROW(LINEAR, X, OTHER, false)                                                                             \
    ROW(LINEAR, WEIGHT, MATRIX, false)         /* [k, n] */                                                  \
    ROW(LINEAR, BIAS, OTHER, false)            /* [n] */                                                     \
    ROW(LINEAR, RESIDUAL, OTHER, false)        /* like the output */                                         \
    ROW(LINEAR, SCALE, MATRIX, true)           /* per channel [n] */                                         \
    ROW(LINEAR, SUMS, MATRIX, true)            /* of each column's integers [n] */                           \
    ROW(LINEAR, GROUPS, MATRIX, true)          /* integer scales of groups along k */                        \
    ROW(LINEAR, OUTLIERS, MATRIX, true)        /* [w, n] int8 rows that are added to the weight's */         \
    ROW(LINEAR, OUTLIER_COLUMNS, MATRIX, true) /* [w] which columns of x they multiply */                    \
    ROW(LINEAR, ROTARY, OTHER, false)          /* angle of each pair at position 1 [pairs of a head] */

#define RT_LAYER_NORM_OPERANDS(ROW)                                                                          \
    ROW(LAYER_NORM, X, OTHER, false)                                                                         \
    ROW(LAYER_NORM, GAMMA, OTHER, false)                                                                     \
    ROW(LAYER_NORM, BETA, OTHER, false)                                                                      \
    ROW(LAYER_NORM, CHANNEL_SCALE, MATRIX, true)                                                             \
    ROW(LAYER_NORM, CHANNEL_SHIFT, MATRIX, true)

#define RT_CONVERT_OPERANDS(ROW)                                                                             \
    ROW(CONVERT, X, OTHER, false)                                                                            \
    ROW(CONVERT, CHANNEL_SCALE, MATRIX, true)                                                                \
    ROW(CONVERT, CHANNEL_SHIFT, MATRIX, true)

#define RT_GATHER_OPERANDS(ROW)                                                                              \
    ROW(GATHER, DATA, TABLE, false)                                                                          \
    ROW(GATHER, INDICES, OTHER, false)
#define RT_MATMUL_OPERANDS(ROW)                                                                              \
    ROW(MATMUL, A, OTHER, false)                                                                             \
    ROW(MATMUL, B, MATRIX, false)
#define RT_GEMM_OPERANDS(ROW)                                                                                \
    ROW(GEMM, A, OTHER, false)                                                                               \
    ROW(GEMM, B, MATRIX, false)                                                                              \
    ROW(GEMM, C, OTHER, false)

/* Operators whose operands hold parts of a model; rt_graph_uses reads these rows. */
#define RT_OPERANDS(ROW)                                                                                     \
    RT_EMBED_OPERANDS(ROW)                                                                                   \
    RT_LINEAR_OPERANDS(ROW)                                                                                  \
    RT_LAYER_NORM_OPERANDS(ROW)                                                                              \
    RT_CONVERT_OPERANDS(ROW)                                                                                 \
    RT_GATHER_OPERANDS(ROW)                                                                                  \
    RT_MATMUL_OPERANDS(ROW)                                                                                  \
    RT_GEMM_OPERANDS(ROW)

#define RT_OPERAND_ENUM(op, name, part, scale) op##_##name,
enum { RT_EMBED_OPERANDS(RT_OPERAND_ENUM) EMBED_OPERANDS };
enum { RT_LINEAR_OPERANDS(RT_OPERAND_ENUM) LINEAR_OPERANDS };
enum { RT_LAYER_NORM_OPERANDS(RT_OPERAND_ENUM) LAYER_NORM_OPERANDS };
enum { RT_CONVERT_OPERANDS(RT_OPERAND_ENUM) CONVERT_OPERANDS };
enum { RT_GATHER_OPERANDS(RT_OPERAND_ENUM) GATHER_OPERANDS };
enum { RT_MATMUL_OPERANDS(RT_OPERAND_ENUM) MATMUL_OPERANDS };
enum { RT_GEMM_OPERANDS(RT_OPERAND_ENUM) GEMM_OPERANDS };
#undef RT_OPERAND_ENUM

/* Attention has Q, K and V in one, two or three values, then below level 3 the mask, whose place is
 * node->attrs.parts. Constants have places of their own behind. */
enum {
    ATTENTION_Q,
    ATTENTION_K,
    ATTENTION_V,
    ATTENTION_QKV = ATTENTION_Q,
    ATTENTION_KV = ATTENTION_K,
    ATTENTION_CONSTANTS = 4,
    ATTENTION_INDEX =
        ATTENTION_CONSTANTS, /* i64 [2 m + 1]: the column or row of each distance of key and query, from -m
                                              to m, which is also that of those beyond */
    ATTENTION_BIAS,          /* [heads, columns] numbers that scores get by distance */
    ATTENTION_POS_KEY,       /* [rows, hidden] that queries are multiplied by */
    ATTENTION_POS_QUERY,     /* [rows, hidden] that keys are multiplied by */
    ATTENTION_OPERANDS
};
/* The others read no constants of their own. */
enum { SELECT_X, SELECT_IDS };
enum { POOL_X, POOL_MASK };
enum { NORMALIZE_X };
enum { WHERE_CONDITION, WHERE_X, WHERE_Y };
enum { SLICE_DATA, SLICE_STARTS, SLICE_ENDS, SLICE_AXES, SLICE_STEPS };
enum { REDUCE_DATA, REDUCE_AXES };

#endif
