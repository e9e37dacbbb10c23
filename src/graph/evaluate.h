/* SPDX-License-Identifier: Apache-2.0
 * Shared by the evaluators of the plain operators. */
#ifndef RT_GRAPH_EVALUATE_H
#define RT_GRAPH_EVALUATE_H

#include "graph/graph.h"

/* An evaluator runs after the shape rule has accepted the inputs and set the shapes of the outputs: it
 * only fills outputs[…].data, and checks what depends on data (indices, divisors). */
typedef retort_status (*rt_op_evaluate_fn)(rt_op_evaluation *e, retort_error *err);

/* A tensor read along the dims of an output: bytes from one element to the next on each axis (0 where it is
 * broadcast). */
typedef struct rt_view {
    const char *data;
    int64_t stride[RT_MAX_RANK];
} rt_view;
/* One row of an output (its last axis) and where each operand's row starts. */
typedef struct rt_row {
    size_t n;
    char *out;
    const char *in[3];
    int64_t step[3]; /* bytes */
    const rt_op_evaluation *e;
} rt_row;
typedef void (*rt_row_fn)(const rt_row *row);

/* Elements of a tensor whose shape has been checked. */
size_t rt_tensor_count(const rt_tensor *tensor);
/* Strides of a contiguous tensor, in bytes. */
void rt_tensor_strides(const rt_tensor *tensor, int64_t stride[RT_MAX_RANK]);
/* The tensor broadcast to `rank` dims. */
rt_view rt_view_broadcast(const rt_tensor *tensor, int rank);
/* Calls `fn` for every row of output 0, whose operands are `count` views. */
void rt_each_row(const rt_op_evaluation *e, int count, const rt_view *views, rt_row_fn fn);
/* The elements of one operand, one after the other. */
void rt_copy_row(const rt_row *row);
/* Row function over `count` inputs that broadcast to output 0. */
void rt_each_broadcast(const rt_op_evaluation *e, int count, rt_row_fn fn);
/* An output's data, which the caller lets be written. */
float *rt_floats_of(const rt_tensor *out);
char *rt_bytes_of(const rt_tensor *out);
void rt_copy_bytes(char *to, const void *from, size_t bytes);
/* c[m, n] += a[m, k] b[k, n]; k ascending for each element, rows of b contiguous for the compiler */
void rt_multiply(size_t m, size_t n, size_t k, const float *restrict a, const float *restrict b,
                 float *restrict c);
/* The greater of two; a NaN on the left stays. */
float rt_greater(float a, float b);
/* Copies input 0 to output 0: the evaluation of operators that only change the shape. */
retort_status rt_op_copy(rt_op_evaluation *e, retort_error *err);
/* b[j, i] = a[i, j], a being [rows, columns] */
void rt_transpose(float *b, const float *a, int64_t rows, int64_t columns);
/* Computes a plain node whose inputs all have data: its outputs become constants, in the graph's memory. */
retort_status rt_node_fold(rt_graph *graph, const rt_node *node, retort_error *err);
/* Elements before, on and after an axis. */
void rt_around_axis(const rt_tensor *tensor, int axis, size_t *outer, size_t *n, size_t *inner);

#endif
