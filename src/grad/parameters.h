/* SPDX-License-Identifier: Apache-2.0
 * The parameters of a graph: constants that training changes, with their gradients. */
#ifndef RT_GRAD_PARAMETERS_H
#define RT_GRAD_PARAMETERS_H

#include "graph/graph.h"

typedef enum rt_parameter_kind {
    RT_PARAMETER_MATRIX, /* [k, n] of a Linear as P16: [ceil(n/16)][k][16]; padded columns stay 0 */
    RT_PARAMETER_VECTOR, /* [n]: a bias, γ or β */
    RT_PARAMETER_TABLE,  /* [rows, n] of an Embed: only rows that occur have gradients */
    RT_PARAMETER_ROWS    /* [rows, n] in rows, of which all have gradients: what scores get by distance */
} rt_parameter_kind;

typedef struct rt_parameter {
    int value;        /* the constant of the graph that the forward pass reads */
    const char *name; /* of that value */
    rt_parameter_kind kind;
    size_t rows, n; /* of the logical matrix, vector (rows: 1) or table */
    size_t count;   /* floats in data */
    float *data;    /* [count] the weights that an optimiser changes; 64-byte aligned */
    /* What the forward pass multiplies with, as floats in the same layout: data itself, except for integers. The backward
     * pass reads these, and rounds them where products are bf16. */
    const float *used;
    /* Gradients with respect to `used`. Matrix, vector, rows: [count]. Table: [touched_count, n], one row for each of
     * `touched` [touched_count], ascending. They add up until rt_parameters_clear. */
    float *grad;
    bool cleared; /* matrices: nothing was added since; grad holds what was before, and counts as zero */
    int32_t *touched;
    size_t touched_count;
    size_t touched_capacity; /* rows that grad and touched have room for */
} rt_parameter;

typedef struct rt_parameters {
    rt_parameter *items; /* [count], in the order of the graph's values */
    size_t count;
} rt_parameters;

/* All float constants of a level-3 graph that a Linear, LayerNorm or Embed computes with, and what scores get by distance. `data` points to the data
 * of the constant, which must be writable and stay where it is. Gradients are allocated and zero. */
retort_status rt_parameters_open(rt_parameters *out, const rt_graph *graph, retort_error *err);
/* The matrices of the graph become bf16, for products of bf16. Parameters stay the floats that they are; before each step,
 * rt_tape_refresh rounds them to what the graph multiplies with. */
retort_status rt_parameters_use_bf16(rt_parameters *parameters, rt_graph *graph, retort_error *err);
void rt_parameters_free(rt_parameters *parameters);
/* One more, a constant behind all others of the graph. */
retort_status rt_parameters_add(rt_parameters *parameters, const rt_graph *graph, int value,
                                rt_parameter_kind kind, retort_error *err);
/* A constant that no parameter of the model is: it stays as it is. */
void rt_parameters_drop(rt_parameters *parameters, int value);
/* The parameter of a constant; NULL: it has none. */
rt_parameter *rt_parameters_find(const rt_parameters *parameters, int value);
/* All gradients become zero, and no row of a table has one. Those of matrices are written, not added to, in the next
 * backward pass, and are to be read after it: 42 MB of zeros for six layers of 384 take 4 ms of a step's 127. */
void rt_parameters_clear(rt_parameters *parameters);

/* ---- To put together other parameters than those of rt_parameters_open ---- */
/* Allocates gradients, all zero, for an item whose kind, n and count are set. */
retort_status rt_parameter_open(rt_parameter *parameter, retort_error *err);
void rt_parameter_free(rt_parameter *parameter);
/* Gives each of the rows `ids` [n] (ascending, each once) of a table a gradient; those that are new have zeros. */
bool rt_parameter_touch(rt_parameter *parameter, const int32_t *ids, size_t n);

#endif
