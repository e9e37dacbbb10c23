/* SPDX-License-Identifier: Apache-2.0
 * What rewrites share: questions about the graph around a value, and edits. Failures of edits are kept in
 * graph->fault, which rt_rewrite_each looks at. */
#ifndef RT_GRAPH_MATCH_H
#define RT_GRAPH_MATCH_H

#include "graph/links.h"
#include "graph/rewrite.h"

/* Tries to rewrite the graph at one node; whether it did. */
typedef bool (*rt_apply_fn)(rt_graph *graph, int node);
/* Calls apply for every node, again and again until it applies nowhere; adds the successes to *count. Edits
 * go through rt_node_read, rt_node_cut and rt_value_replace. */
retort_status rt_rewrite_each(rt_graph *graph, rt_apply_fn apply, size_t *count, retort_error *err);

/* The node that makes the value, NULL when that is not an `op`. Valid until the graph is edited. */
const rt_node *rt_made_by(const rt_graph *graph, int value, rt_op op);
/* The only node that reads the value; -1 when there are more, or it is the graph's output. */
int rt_only_reader(const rt_graph *graph, int value);
/* A constant matrix of floats in rows; a constant vector of n floats. */
bool rt_is_weight(const rt_graph *graph, int value);
bool rt_is_bias(const rt_graph *graph, int value, int64_t n);
/* The one element of a constant, as a number. */
bool rt_scalar(const rt_graph *graph, int value, double *out);
/* Whether a constant's one element is `want` within a thousandth (or a millionth of one when want is 0). */
bool rt_scalar_near(const rt_graph *graph, int value, double want);
/* value = op(x, scalar), the operands of Add, Mul and Max in any order. */
bool rt_with_scalar(const rt_graph *graph, int value, rt_op op, int *x, double *scalar);
/* Follows multiplications and divisions by scalars down to a value, and multiplies *scale. */
int rt_strip_scale(const rt_graph *graph, int value, double *scale);
/* What Unsqueeze, Reshape, Expand and Cast made the value of. On the way down the seq axis must be the last
 * one (`keys`: for scores) or axis 1 (for rows), and the others but batch must be 1 before they are expanded;
 * -1: they are not. */
int rt_mask_base(const rt_graph *graph, int value, bool keys);
/* The base when it is an input [batch, seq], else -1. */
int rt_mask_input(const rt_graph *graph, int value, bool keys);
/* The operand of a reduction of that kind over one axis, which may be stated from the end; -1: another. */
int rt_reduced(const rt_graph *graph, int value, rt_op op, int64_t axis, bool keepdims);

/* A Linear node, as the algebra reads it. */
typedef struct rt_linear_match {
    int node, x, weight, bias, residual; /* bias, residual: -1 when absent */
    int64_t k, n;
    rt_act act;
} rt_linear_match;
/* The Linear with rows of weights that makes the value. */
bool rt_match_linear(const rt_graph *graph, int value, rt_linear_match *out);
/* The same with neither activation nor residual, and this value's only reader. */
bool rt_match_plain_linear(const rt_graph *graph, int value, rt_linear_match *out);

/* Makes a node whose first output replaces that of `root`. It is named after the scope of `named` ("a.b" for
 * "a.b.matmul" or "a/b/MatMul") where that is free, else after `root`, which is going to be swept. */
bool rt_replace_node(rt_graph *graph, int root, int named, rt_op op, int input_count, const int *inputs,
                     const rt_attrs *attrs);
/* Makes a node that has exactly the name given, which no other node may keep. Its first output. */
int rt_add_node(rt_graph *graph, const char *name, rt_op op, int input_count, const int *inputs,
                const rt_attrs *attrs);
/* A constant of rows with new data in place of `value`: itself when only one input reads it, else a new one
 * with a name made from its own. */
int rt_change_constant(rt_graph *graph, int value, int rank, const int64_t *dims, const float *data);
/* A new constant of rows "scope.leaf" (with a number behind when that name is taken); of floats. */
int rt_add_typed(rt_graph *graph, const char *scope, const char *leaf, retort_dtype dtype, int rank,
                 const int64_t *dims, const void *data);
int rt_add_constant(rt_graph *graph, const char *scope, const char *leaf, int rank, const int64_t *dims,
                    const float *data);
/* Room for [rows, columns] floats in the graph's arena. */
float *rt_floats(rt_graph *graph, int64_t rows, int64_t columns);

#endif
