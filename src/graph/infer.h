/* SPDX-License-Identifier: Apache-2.0
 * Shape rules: one function per operator, the same for symbolic dims (rt_infer) and for the concrete dims of
 * an evaluation (rt_op_evaluate). */
#ifndef RT_GRAPH_INFER_H
#define RT_GRAPH_INFER_H

#include "graph/graph.h"

/* A rule reads the inputs and fills dtype, rank, dims and content of the outputs. Arity has been checked,
 * and required inputs exist. On failure it states only the reason; node and shapes are prefixed. */
typedef struct rt_shapes {
    const rt_node *node;
    const rt_value *in[RT_MAX_INPUTS]; /* NULL: absent */
    rt_value out[RT_MAX_OUTPUTS];
    retort_error *err;
} rt_shapes;
/* An operand of the node, by its name; NULL: absent. */
static inline const rt_value *rt_optional(const rt_shapes *s, int operand) {
    return operand < s->node->input_count ? s->in[operand] : NULL;
}
typedef retort_status (*rt_infer_fn)(rt_shapes *s);

/* Runs the rule of s->node. */
retort_status rt_infer_shapes(rt_shapes *s);

/* ---- Shared by the rules ---- */

/* Output `index` takes dtype and dims (and content) of the value. */
void rt_out_like(rt_shapes *s, int index, const rt_value *value);
/* Output 0 has this dtype and no dims yet; rt_push_dim adds one, false when there are RT_MAX_RANK. */
void rt_out_begin(rt_shapes *s, retort_dtype dtype);
bool rt_push_dim(rt_value *value, int64_t dim);
bool rt_push_dims(rt_value *value, const int64_t *dims, int from, int to);
/* Resolves an axis, which counts from the end if negative; false outside 0…rank-1. */
bool rt_axis(int64_t axis, int rank, int *out);
/* The dim that both broadcast to. */
bool rt_broadcast_dim(int64_t a, int64_t b, int64_t *out);
/* Output 0's dims become what it and `value` broadcast to. */
retort_status rt_broadcast_with(rt_shapes *s, const rt_value *value);
bool rt_same_dims(const rt_value *a, const rt_value *b);
/* Whether a node's first output has the dims of its first input. */
bool rt_node_keeps_dims(const rt_graph *graph, const rt_node *node);
/* Content `i` of the value as a number; false if unknown or symbolic. */
bool rt_content_number(const rt_value *value, int i, int64_t *out);
/* The axes in an i64 vector, as bits; false if unknown, repeated or out of range. */
bool rt_content_axes(const rt_value *axes, int rank, unsigned *bits);
/* Fails: an input is not f32. */
retort_status rt_not_float(rt_shapes *s);
/* Appends element `i` of a content to another. */
void rt_push_content(rt_content *to, const rt_content *from, int i);
/* Index of element `i` in a content that broadcasts; number of elements of a broadcast result, -1 if
 * unknown. */
int rt_content_at(const rt_content *content, int i);
int rt_content_count(const rt_value *out, const rt_content *a, const rt_content *b);
/* Output 0 is like input 0, which must be f32: the rule of element-wise operators. */
retort_status rt_infer_float_same(rt_shapes *s);
/* Number of elements that Slice takes of a dim from *start on, which is clamped to it; step is neither 0
 * nor INT64_MIN. */
int64_t rt_slice_count(int64_t dim, int64_t *start, int64_t end, int64_t step);
/* Whether a value is a float vector [n]; `absent`: what to return for an absent one. */
bool rt_is_vector(const rt_value *value, int64_t n, bool absent);

#endif
