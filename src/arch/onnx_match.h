/* SPDX-License-Identifier: Apache-2.0
 * What the parts of the walk over an ONNX graph share. */
#ifndef RT_ARCH_ONNX_MATCH_H
#define RT_ARCH_ONNX_MATCH_H

#include "base/names.h"
#include "arch/onnx_weights.h"

typedef struct rt_onnx_match {
    const rt_onnx *onnx;
    const char *file;
    const rt_config *config;
    rt_names made;    /* value -> index of the node that makes it */
    rt_names tensors; /* initializer -> its index */
    rt_arena *arena;  /* of what is made */
    retort_error *err;
    retort_status status; /* the first refusal, or RETORT_OK */
    const rt_onnx_tensor *misfit,
        *misfit_of; /* scales or zero points, and the integers that they do not fit */
} rt_onnx_match;

/* Notes that the node which makes `value` does not fit; returns false. The first note stays. */
bool rt_onnx_refuse(rt_onnx_match *m, const char *value, const char *expected);
bool rt_onnx_no_memory(rt_onnx_match *m);

/* The codes of activations that QuantizeLinear and DequantizeLinear have rounded; else NULL. */
const char *rt_onnx_rounding(const rt_onnx_match *m, const char *value);
/* What was rounded, of activations that QuantizeLinear and DequantizeLinear have rounded; else the value: our
 * own are rounded anew. */
const char *rt_onnx_unrounded(const rt_onnx_match *m, const char *value);
/* The node that makes a value, below such rounding and nodes that change nothing (Identity, Dropout, Cast to
 * a float type); NULL for an input or a constant. `value` may be NULL. */
const rt_onnx_node *rt_onnx_maker(const rt_onnx_match *m, const char *value);
bool rt_onnx_is(const rt_onnx_node *node, const char *op); /* of any domain; NULL is nothing */
/* ONNX Runtime's fused embeddings, of floats or of integers. */
bool rt_onnx_is_embed(const rt_onnx_node *node);
/* The node, if it is of this operator, else NULL. */
const rt_onnx_node *rt_onnx_made_by(const rt_onnx_match *m, const char *value, const char *op);
const char *rt_onnx_input(const rt_onnx_node *node, size_t index); /* "" when absent */
int64_t rt_onnx_int(const rt_onnx_node *node, const char *attr, int64_t otherwise);
float rt_onnx_real(const rt_onnx_node *node, const char *attr, float otherwise);

/* Whether a value is this input of the graph, cast perhaps. */
bool rt_onnx_is_input(const rt_onnx_match *m, const char *value, const char *name);

/* A constant: an initializer or a Constant node's tensor; NULL for what is none. */
const rt_onnx_tensor *rt_onnx_constant(const rt_onnx_match *m, const char *value);
/* One float, also where it is computed from the shape of heads (head_dim). */
bool rt_onnx_scalar(const rt_onnx_match *m, const char *value, double *out);
bool rt_onnx_near(const rt_onnx_match *m, const char *value, double expected);

/* A float tensor of a checkpoint: from a constant, or from integers and their scales (DequantizeLinear). */
typedef struct rt_onnx_weight {
    rt_tensor tensor; /* data NULL: none */
    bool transposed;  /* the matrix is [out, in], as torch keeps it */
} rt_onnx_weight;
/* False when the value is no such constant; nothing is refused. */
bool rt_onnx_weight_of(rt_onnx_match *m, const char *value, rt_onnx_weight *out);
/* Whether a constant (or NULL) is of integers of 4, 8 or 32 bits; its element i. */
bool rt_onnx_is_integer(const rt_onnx_tensor *t);
int64_t rt_onnx_element(const rt_onnx_tensor *t, size_t i);
/* Integers [n] or [k, n] as floats, with a scale (and a zero point, or "") for all or for each column. */
bool rt_onnx_integers(rt_onnx_match *m, const char *codes, const char *scale, const char *zero,
                      rt_onnx_weight *out);
/* The table of DequantizeLinear(Gather(integers, ids)), as floats. */
bool rt_onnx_integer_table(rt_onnx_match *m, const rt_onnx_node *dequantize, const rt_onnx_node *gather,
                           rt_onnx_weight *out);

/* y = x w + b, in any of the forms that exporters and quantisers write. */
typedef struct rt_onnx_linear {
    const char *x;
    rt_onnx_weight weight, bias;
    rt_act act; /* that FusedGemm has in it */
    bool cut;   /* x was rounded to codes of which the lowest is 0: a Relu may be left out before it */
} rt_onnx_linear;
bool rt_onnx_match_linear(rt_onnx_match *m, const char *value, rt_onnx_linear *out);

typedef struct rt_onnx_norm {
    const char *x;                    /* what is normalised, */
    const char *left, *right;         /* or the two values whose sum is */
    rt_onnx_weight gamma, beta, bias; /* bias: added to them as well */
    double epsilon;
    bool half; /* epsilon is a float16: conversion raises what is too small for one to its least */
} rt_onnx_norm;
bool rt_onnx_match_norm(rt_onnx_match *m, const char *value, rt_onnx_norm *out);

/* value = act(x + bias); RT_FN_NONE when no activation that is known makes it. */
rt_act rt_onnx_match_act(rt_onnx_match *m, const char *value, const char **x, rt_onnx_weight *bias);

/* The q, k and v of an attention whose joined heads are `value`, all of one x. Refuses what it
 * does not know. */
typedef struct rt_onnx_attention {
    const char *x;
    rt_onnx_linear q, k, v;
} rt_onnx_attention;
bool rt_onnx_match_attention(rt_onnx_match *m, const char *value, rt_onnx_attention *out);

/* Whether a value depends on nothing but shapes, constants and the input `mask` (NULL: none), by operators
 * that cannot tell one position from another. The first node that is another's is refused. */
bool rt_onnx_only_from(rt_onnx_match *m, const char *value, const char *mask);

#endif
