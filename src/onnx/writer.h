/* SPDX-License-Identifier: Apache-2.0
 * What the parts of the ONNX writer share. Every emitter returns the name of a value; after a failure, which
 * writer->failed keeps, it returns "": the parts write on and rt_onnx_from_model checks once, at the end. */
#ifndef RT_ONNX_WRITER_H
#define RT_ONNX_WRITER_H

#include "graph/graph.h"
#include "onnx/onnx.h"

/* com.microsoft: ONNX Runtime's operators, of which version 1 is the only one. */
#define RT_ONNX_MICROSOFT "com.microsoft"

/* How a graph is written. Zero is the default of each. */
typedef struct rt_onnx_options {
    bool fused;    /* ONNX Runtime's own operators (com.microsoft) for what is fused, from level 2 on */
    bool standard; /* weights of 4 bits as DequantizeLinear of opset 21 in place of com.microsoft's
                      MatMulNBits */
} rt_onnx_options;

typedef struct rt_onnx_writer {
    const rt_graph *graph;
    const rt_onnx_options *options;
    rt_onnx *onnx;
    const char **names;   /* [values] of the graph, NULL: not written yet */
    const char **rounded; /* [values] the same through 8 bits */
    int64_t opset;
    bool microsoft;         /* one of its operators is there */
    const char *mask;       /* what is added to scores, [batch, 1, 1, sequence]; NULL: not made yet */
    const char *float_mask; /* attention_mask in float, [batch, sequence] */
    const char *int_mask;   /* the same in int32 */
    const char *places;     /* 0, 1, … of the padded length, [sequence] */
    const char *scope;      /* name of the graph's node at hand */
    retort_status failed;   /* the first failure */
    retort_error *err;
} rt_onnx_writer;

/* An operator's attributes, for the calls below: RT_ONNX_INT("axis", -1). */
#define RT_ONNX_INT(key, value)                                                                              \
    (rt_onnx_attr) {                                                                                         \
        .name = (key), .kind = RT_ONNX_ATTR_INT, .i = (value)                                                \
    }
#define RT_ONNX_REAL(key, value)                                                                             \
    (rt_onnx_attr) {                                                                                         \
        .name = (key), .kind = RT_ONNX_ATTR_FLOAT, .f = (value)                                              \
    }
#define RT_ONNX_INTS(key, values, n)                                                                         \
    (rt_onnx_attr) {                                                                                         \
        .name = (key), .kind = RT_ONNX_ATTR_INTS, .ints = (values), .count = (n)                             \
    }

/* Node "scope/leaf" with one output, which has its name; attributes are copied. An input "" or NULL is
 * absent. */
const char *rt_put(rt_onnx_writer *w, const char *op, const char *leaf, size_t count,
                   const char *const *inputs, size_t attr_count, const rt_onnx_attr *attrs);
const char *rt_put1(rt_onnx_writer *w, const char *op, const char *leaf, const char *x);
const char *rt_put2(rt_onnx_writer *w, const char *op, const char *leaf, const char *x, const char *y);
/* The node itself, for operators of another domain or with several outputs, which the caller names. */
rt_onnx_node *rt_put_node(rt_onnx_writer *w, const char *op, const char *leaf, size_t count,
                          const char *const *inputs, size_t attr_count, const rt_onnx_attr *attrs);
/* One of com.microsoft's with one output. */
const char *rt_put_microsoft(rt_onnx_writer *w, const char *op, const char *leaf, size_t count,
                             const char *const *inputs, size_t attr_count, const rt_onnx_attr *attrs);

/* Initializers "scope/leaf": the data is not copied; scalars and vectors are. */
const char *rt_put_tensor(rt_onnx_writer *w, const char *leaf, rt_onnx_type type, int rank,
                          const int64_t *dims, const void *data, size_t bytes);
/* The same under a name of its own; once for each name. */
const char *rt_put_named(rt_onnx_writer *w, const char *name, rt_onnx_type type, int rank,
                         const int64_t *dims, const void *data, size_t bytes);
const char *rt_put_scalar(rt_onnx_writer *w, const char *leaf, float value);
const char *rt_put_index(rt_onnx_writer *w, const char *leaf, int64_t value);
const char *rt_put_ints(rt_onnx_writer *w, const char *leaf, size_t count, const int64_t *values);
/* Zeroed memory that lives as long as the ONNX model; NULL after a failure. */
void *rt_put_alloc(rt_onnx_writer *w, size_t count, size_t size);
/* "scope/leaf" as a text that lives as long. */
const char *rt_put_name(rt_onnx_writer *w, const char *leaf);
void rt_put_fail(rt_onnx_writer *w, size_t bytes);

/* The name of a value of the graph; constants are written when they are first asked for, packed ones as rows.
 * "" for -1, an absent input. */
const char *rt_put_value(rt_onnx_writer *w, int value);
/* A [k, n] weight of floats in any layout as rows of float32, in the writer's memory or where it is. */
const float *rt_put_matrix(rt_onnx_writer *w, int value);

/* attention_mask as what is added to scores, and as floats. */
const char *rt_put_mask(rt_onnx_writer *w);
const char *rt_put_float_mask(rt_onnx_writer *w);
/* 0, 1, … of the padded length, int64 [sequence]. How far the keys of an Attention stand behind its queries, int64
 * [queries, keys], or [batch, keys] where the last token of each sequence is the only query. */
const char *rt_put_places(rt_onnx_writer *w);
const char *rt_put_distance(rt_onnx_writer *w, const rt_node *node);

/* Rank of a value in ONNX, where rows are [batch, sequence] again. */
int rt_put_rank(const rt_onnx_writer *w, int value);

/* Writes one node of the graph: its outputs get names. */
typedef void (*rt_onnx_put_fn)(rt_onnx_writer *w, const rt_node *node);
/* The writer of each operator: plain ones (write_plain.c) and fused ones (write_fused.c, …). */
void rt_put_plain(rt_onnx_writer *w, const rt_node *node);
void rt_put_embed(rt_onnx_writer *w, const rt_node *node);
void rt_put_linear(rt_onnx_writer *w, const rt_node *node);
void rt_put_layer_norm(rt_onnx_writer *w, const rt_node *node);
void rt_put_attention(rt_onnx_writer *w, const rt_node *node);
void rt_put_select(rt_onnx_writer *w, const rt_node *node);
void rt_put_pool(rt_onnx_writer *w, const rt_node *node);
void rt_put_normalize(rt_onnx_writer *w, const rt_node *node);
void rt_put_alias(rt_onnx_writer *w, const rt_node *node);
void rt_put_convert(rt_onnx_writer *w, const rt_node *node);

/* The same as one of ONNX Runtime's operators; false, and nothing written, where it has none. */
/* What becomes of the product x of a Linear whose columns are pairs; and scores within the window of an Attention. */
const char *rt_put_gate(rt_onnx_writer *w, const rt_node *node, const char *x);
const char *rt_put_turns(rt_onnx_writer *w, const rt_node *node, const char *x);
const char *rt_put_window(rt_onnx_writer *w, const rt_node *node, const char *scores);

bool rt_put_fused_embed(rt_onnx_writer *w, const rt_node *node);
bool rt_put_fused_linear(rt_onnx_writer *w, const rt_node *node);
bool rt_put_fused_norm(rt_onnx_writer *w, const rt_node *node);
bool rt_put_fused_attention(rt_onnx_writer *w, const rt_node *node);

/* Integer weights: x w of a Linear, its x and its w [k, n] alone, the words' rows, the positions' rows from
 * their codes. */
const char *rt_put_integer_product(rt_onnx_writer *w, const rt_node *node);
const char *rt_put_integer_x(rt_onnx_writer *w, const rt_node *node);
const char *rt_put_integer_weight(rt_onnx_writer *w, const rt_node *node);
const char *rt_put_integer_word(rt_onnx_writer *w, const rt_node *node);
const char *rt_put_integer_position(rt_onnx_writer *w, const rt_node *node, const char *rows);

/* What the writers of fused operators share: x in float to act(x). */
const char *rt_put_activation(rt_onnx_writer *w, rt_act act, const char *x);
const char *rt_put_reshape(rt_onnx_writer *w, const char *leaf, const char *x, size_t count,
                           const int64_t *dims);
/* LayerNormalization over the last axis, without beta about 0, and without gamma nothing; the node's output gets the name of
 * the graph's value. */
void rt_put_norm(rt_onnx_writer *w, const char *x, int gamma, int beta, float epsilon, const rt_node *node);
/* The scores q k of an Attention, scaled, with what they get by distance (write_relative.c). */
const char *rt_put_relative(rt_onnx_writer *w, const rt_node *node, const char *q, const char *k,
                            const char *scores, float scale);
/* The last of a node's writers: its output 0 is `name`. */
void rt_put_output(rt_onnx_writer *w, const rt_node *node, const char *name);

#endif
