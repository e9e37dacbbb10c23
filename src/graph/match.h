/* SPDX-License-Identifier: Apache-2.0
 * Shared by rewrites: questions about the graph around a value, and edits. Failed edits are recorded in
 * graph->fault, which rt_rewrite_each checks. */
#ifndef RT_GRAPH_MATCH_H
#define RT_GRAPH_MATCH_H

#include "graph/links.h"
#include "graph/rewrite.h"

/* Tries to rewrite the graph at one node; returns whether it did. */
typedef bool (*rt_apply_fn)(rt_graph *graph, int node);
/* Calls apply for every node until it applies nowhere; adds the number of successes to *count. Edits must
 * use rt_node_read, rt_node_cut and rt_value_replace. */
retort_status rt_rewrite_each(rt_graph *graph, rt_apply_fn apply, size_t *count, retort_error *err);

/* The producer of the value, NULL if it is not an `op`. Valid until the graph is edited. */
const rt_node *rt_made_by(const rt_graph *graph, int value, rt_op op);
/* The only reader of the value; -1 if there are several, or if it is the output of the graph. */
int rt_only_reader(const rt_graph *graph, int value);
/* A constant matrix of floats in rows; a constant vector of n floats. */
bool rt_is_weight(const rt_graph *graph, int value);
bool rt_is_bias(const rt_graph *graph, int value, int64_t n);
/* Whether the value has rows of a batch: what is made of constants alone has not. */
bool rt_is_of_batch(const rt_graph *graph, int value);
/* The one element of a constant, as a number. */
bool rt_scalar(const rt_graph *graph, int value, double *out);
/* Whether the only element of a constant is `want` within a thousandth (within a millionth if want is 0). */
bool rt_scalar_near(const rt_graph *graph, int value, double want);
/* value = op(x, scalar), the operands of Add, Mul and Max in any order. */
bool rt_with_scalar(const rt_graph *graph, int value, rt_op op, int *x, double *scalar);
/* Follows multiplications and divisions by scalars to a value, and multiplies *scale. */
int rt_strip_scale(const rt_graph *graph, int value, double *scale);
/* Whether the value is 0, 1, … for each sequence: [1, seq] from the start of such a constant. */
bool rt_is_places(const rt_graph *graph, int value);
/* The id of padding if the value is counts times the running sum of counts, counts being 0 where an input id is that of
 * padding and else 1; -1: something else. */
int64_t rt_counted_pad(const rt_graph *graph, int value);
/* The value before Unsqueeze, Reshape, Expand and Cast. On the way the seq axis must be the last one
 * (`keys`: for scores) or axis 1 (for rows), and all others but batch must be 1 before they are expanded;
 * -1: they are not. */
int rt_mask_base(const rt_graph *graph, int value, bool keys);
/* The base if it is an input [batch, seq], else -1. */
int rt_mask_input(const rt_graph *graph, int value, bool keys);
/* The operand of a reduction of that kind over one axis, which may count from the end; -1: another node. */
int rt_reduced(const rt_graph *graph, int value, rt_op op, int64_t axis, bool keepdims);

/* A matched Linear node. */
typedef struct rt_linear_match {
    int node, x, weight, bias, residual; /* bias, residual: -1 when absent */
    int64_t k, n;
    rt_act act;
    int rotary; /* value of its angles, or -1 */
    int64_t rotate;
} rt_linear_match;
/* The Linear with float weights, in rows or packed, that makes the value. */
bool rt_match_linear(const rt_graph *graph, int value, rt_linear_match *out);
/* The same without activation and residual, if it has no other reader. */
bool rt_match_plain_linear(const rt_graph *graph, int value, rt_linear_match *out);

/* Place of element (i, j) in the data of such a weight. */
size_t rt_weight_at(const rt_value *weight, int64_t i, int64_t j);

/* Appends a node whose first output replaces that of `root`. It gets the scope of `named` as its name
 * ("a.b" for "a.b.matmul" or "a/b/MatMul") if that is free, else the name of `root`, which will be swept. */
bool rt_replace_node(rt_graph *graph, int root, int named, rt_op op, int input_count, const int *inputs,
                     const rt_attrs *attrs);
/* Appends a node with exactly this name, which no other node may have. Returns its first output. */
int rt_add_node(rt_graph *graph, const char *name, rt_op op, int input_count, const int *inputs,
                const rt_attrs *attrs);
/* A constant with new data in place of `value`, in its layout: itself if only one input reads it, else a new
 * one with a derived name. */
int rt_change_constant(rt_graph *graph, int value, int rank, const int64_t *dims, const float *data);
/* A new row-major constant "scope.leaf", with a number appended if that name is taken; the second form: of
 * floats. */
int rt_add_typed(rt_graph *graph, const char *scope, const char *leaf, retort_dtype dtype, int rank,
                 const int64_t *dims, const void *data);
int rt_add_constant(rt_graph *graph, const char *scope, const char *leaf, int rank, const int64_t *dims,
                    const float *data);
/* Makes a Linear turn its heads of `dim` columns by these angles: its columns become pairs (kernel.h, rt_gate_args). */
bool rt_linear_turn(rt_graph *graph, const rt_linear_match *linear, int angles, int64_t dim);
/* Allocates [rows, columns] floats in the arena of the graph. */
float *rt_floats(rt_graph *graph, int64_t rows, int64_t columns);
/* Columns from…from+n-1 of a constant [rows, columns], or of a vector, as the new constant "scope.leaf". */
int rt_columns_of(rt_graph *graph, int value, const char *scope, const char *leaf, int64_t from, int64_t n);
/* Whether a Slice takes a part of n along this one axis, each once: *from…*to-1. */
bool rt_slice_part(const rt_graph *graph, const rt_node *slice, int axis, int64_t n, int64_t *from,
                   int64_t *to);

#endif
