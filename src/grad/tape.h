/* SPDX-License-Identifier: Apache-2.0
 * Reverse mode over a level-3 graph: a forward pass as in the engine, which keeps every value, and a
 * backward pass, which computes gradients of a loss with respect to values, to the sums of rows that
 * Embed normalises, and to parameters. Integers are run as they are: gradients pass rounding straight, weights are what
 * parameters say (rt_parameter.used), rows of int8 what they stand for. All sums have a fixed order: the same bits with any number of threads. */
#ifndef RT_GRAD_TAPE_H
#define RT_GRAD_TAPE_H

#include "base/thread.h"
#include "engine/execute.h"
#include "grad/parameters.h"

/* Work space shared by the backward passes of the steps. */
typedef struct rt_tape_room {
    float *z;      /* [rows, n] sums before the activation */
    float *dz;     /* [rows, n] their gradients */
    float *weight; /* [k, n] */
    float *x;      /* [rows, k] what int8 rows stand for */
    float *packed; /* P16 of the transposed weight */
    float *scores; /* [threads, 2, positions] of an attention */
    size_t *order; /* [rows] tokens, by the table row that each reads, then ascending */
    int32_t *ids;  /* [rows] the rows that occur, ascending */
    size_t *runs;  /* [rows + 1] where the tokens of each begin in `order` */
} rt_tape_room;

typedef struct rt_tape {
    const rt_graph *graph;           /* borrowed */
    const rt_parameters *parameters; /* borrowed; NULL: only values have gradients */
    rt_plan plan;
    const rt_kernels *kernels; /* borrowed */
    rt_thread_pool *pool;      /* borrowed */
    rt_executor executor;      /* of the forward pass */
    const rt_step *embed;      /* the Embed, or NULL */
    void *user;                /* for functions given to rt_tape_run */
    const rt_chunk *chunk;     /* of the forward pass */
    float **grad;              /* [values] with the rows of the value; NULL: no gradient */
    bool *live;                /* [values] whether anything was added since the forward pass */
    float *embedded;           /* [rows, hidden] gradient of the sums that Embed normalises */
    rt_tape_room room;
    /* NULL, or called for each Linear in the backward pass: room.dz [rows, n] are gradients of its sums. */
    retort_status (*see)(struct rt_tape *tape, const rt_step *step, size_t rows);
    retort_status status; /* of the first failure of a backward pass: of see, or out of memory */
} rt_tape;

/* parameters: of this graph, or NULL. rows: most tokens of a chunk; positions: most tokens of a sequence. */
retort_status rt_tape_open(rt_tape *out, const rt_graph *graph, const rt_parameters *parameters,
                           const rt_kernels *kernels, rt_thread_pool *pool, size_t rows, size_t positions,
                           retort_error *err);
void rt_tape_close(rt_tape *tape);
/* Forward pass: computes all values of the chunk; no gradient is live afterwards. */
retort_status rt_tape_forward(rt_tape *tape, const rt_chunk *chunk, retort_error *err);
/* The rows, columns and floats of a value in this chunk. */
float *rt_tape_value(const rt_tape *tape, int value, size_t *rows, size_t *columns);
/* The gradient of a value, live from now on; zero if it was not. NULL: it has none. */
float *rt_tape_grad(rt_tape *tape, int value);
/* Backward pass: from the gradients that are set to all others, last step first. Those of parameters are added to what
 * they were. */
retort_status rt_tape_backward(rt_tape *tape, retort_error *err);

/* ---- For its own files ---- */
typedef void (*rt_tape_fn)(rt_tape *tape, const rt_step *step, int part, int parts);
/* Calls fn for all parts of a step. */
void rt_tape_run(rt_tape *tape, const rt_step *step, rt_tape_fn fn);
size_t rt_tape_columns(const rt_tape *tape, int value);
/* The parameter that an operand of the step is; NULL: none. */
rt_parameter *rt_tape_parameter(const rt_tape *tape, const rt_step *step, int operand);
/* The gradient of the parameter that a vector operand of the step is; NULL: it has none. */
float *rt_tape_vector(const rt_tape *tape, const rt_step *step, int operand);
/* The float value that an int8 one was rounded from: it has the gradient of both. Another value: itself. */
int rt_tape_source(const rt_tape *tape, int value);
/* What the forward pass multiplies with or looks up: that of the parameter, or the constant itself. */
const float *rt_tape_used(const rt_tape *tape, const rt_step *step, int operand);
const void *rt_tape_at(const rt_tape *tape, const rt_place *place);
/* Gradients of RT_FUSED_OPS. Convert has none: its input has the gradient of its output. */
void rt_tape_linear(rt_tape *tape, const rt_step *step);
void rt_tape_attention(rt_tape *tape, const rt_step *step);
void rt_tape_layer_norm(rt_tape *tape, const rt_step *step);
void rt_tape_embed(rt_tape *tape, const rt_step *step);
void rt_tape_select(rt_tape *tape, const rt_step *step);
void rt_tape_pool(rt_tape *tape, const rt_step *step);
void rt_tape_normalize(rt_tape *tape, const rt_step *step);
#define rt_tape_convert NULL

#endif
