/* SPDX-License-Identifier: Apache-2.0
 * Reverse mode over a level-3 graph: a forward pass as in the engine, which keeps every value, and a
 * backward pass, which computes gradients of a loss with respect to values, to the sums of rows that
 * Embed normalises, and to parameters. Integers and bf16 are run as they are: gradients pass rounding straight, weights are
 * what parameters say (rt_parameter.used), rows what they stand for. Where the forward pass multiplies bf16, the backward
 * pass does too; sums, and everything else, are float. All sums have a fixed order: the same bits with any number of
 * threads. */
#ifndef RT_GRAD_TAPE_H
#define RT_GRAD_TAPE_H

#include "base/thread.h"
#include "engine/execute.h"
#include "grad/parameters.h"

/* Work space shared by the backward passes of the steps. */
typedef struct rt_tape_room {
    float *z;          /* [rows, n] sums of a Linear of integers before the activation; the sums of Embed */
    float *dz;         /* [rows, n] their gradients where a gate makes half as many columns of them */
    void *turned;      /* [k, rows] x of a Linear transposed, floats or bf16 */
    void *panels;      /* P16 [rows, n] of a Linear's dz, floats or bf16 */
    void *weight;      /* P16 of its W^T, likewise */
    uint16_t *dz16;    /* [rows, n] dz in bf16 */
    float *ones;       /* [rows] */
    uint16_t *ones16;  /* [rows] in bf16 */
    float *sums;       /* [rows / RT_TAPE_ROWS, 2, n] of gamma and beta, for each block of rows */
    uint64_t *order;   /* [rows] the table row that a token reads and the token, ascending */
    int32_t *ids;      /* [rows] the rows that occur, ascending */
    size_t *runs;      /* [rows + 1] where the tokens of each begin in `order` */
    size_t *places;    /* [rows] where its gradient is in rt_parameter.grad */
    size_t rows;       /* all of these have room for */
    size_t run_count;  /* of ids */
    const float *from; /* [rows, n] gradients that a table gets */
} rt_tape_room;

/* Memory for the gradient of a value, from its first writer to its last reader. */
typedef struct rt_tape_buffer {
    float *data;
    size_t floats;
    bool taken;
} rt_tape_buffer;

typedef struct rt_tape {
    const rt_graph *graph;           /* borrowed */
    const rt_parameters *parameters; /* borrowed; NULL: only values have gradients */
    rt_plan plan;
    const rt_kernels *kernels; /* borrowed */
    rt_thread_pool *pool;      /* borrowed */
    rt_executor executor;
    const rt_step *embed;  /* the Embed, or NULL */
    void *user;            /* for functions given to rt_tape_run */
    const rt_chunk *chunk; /* of the forward pass */
    float **grad;          /* [values] gradients that are live; else NULL */
    int *source; /* [values] the value that a rounded one is rounded from; it has the gradient of both */
    rt_tape_buffer *buffers;
    size_t buffer_count, buffer_capacity;
    float **sums;    /* [steps] of a Linear with an activation or a gate: [rows, n] before it */
    float *embedded; /* [rows, hidden] gradient of the sums of rows in Embed, before it normalises them */
    rt_tape_room room;
    void (*watch)(struct rt_tape *tape,
                  const rt_step *step); /* NULL, or called after each step of the backward pass */
    /* NULL, or called for each Linear in the backward pass: dz [rows, n] are gradients of its sums. */
    retort_status (*see)(struct rt_tape *tape, const rt_step *step, const float *dz, size_t rows);
    retort_status status; /* of the first failure of a backward pass: of see, or out of memory */
} rt_tape;

/* Whether an operator has a backward step. */
bool rt_tape_has_back(rt_op op);

/* parameters: of this graph, or NULL. rows: most tokens of a chunk; positions: most tokens of a sequence. */
retort_status rt_tape_open(rt_tape *out, const rt_graph *graph, const rt_parameters *parameters,
                           const rt_kernels *kernels, rt_thread_pool *pool, size_t rows, size_t positions,
                           retort_error *err);
void rt_tape_close(rt_tape *tape);
/* Before the forward passes of a step: rounds parameters to the bf16 weights of the graph, where it has such, and lays out
 * what scores get by distance. */
void rt_tape_refresh(rt_tape *tape);
/* Forward pass: computes all values of the chunk; no gradient is live afterwards. */
retort_status rt_tape_forward(rt_tape *tape, const rt_chunk *chunk, retort_error *err);
/* The rows, columns and floats of a value in this chunk. */
float *rt_tape_value(const rt_tape *tape, int value, size_t *rows, size_t *columns);
/* Whether a value can have a gradient. */
bool rt_tape_has_grad(const rt_tape *tape, int value);
/* The gradient of a value, live from now on; zero if it was not. NULL: it has none, or there is no memory for it (then the
 * backward pass fails). There is memory for that of the output and of one value before it. */
float *rt_tape_grad(rt_tape *tape, int value);
/* Backward pass: from the gradients that are set to all others, last step first. Those of parameters are added to what
 * they were. Gradients of values are gone afterwards. */
retort_status rt_tape_backward(rt_tape *tape, retort_error *err);

/* ---- For its own files ---- */
enum { RT_TAPE_ROWS = 64 }; /* whose dgamma and dbeta are summed together */
/* Does the parts of this worker. */
typedef void (*rt_tape_fn)(rt_tape *tape, const rt_step *step, rt_worker *worker);
/* All parts of a backward step by all workers together. flops: for each of the step's rows (attention: for each pair), on
 * which the number of parts depends. */
void rt_tape_run(rt_tape *tape, const rt_step *step, double flops, rt_tape_fn fn);
size_t rt_tape_columns(const rt_tape *tape, int value);
/* The gradient of a value, live from now on. *add: it was before; else its floats are yet to be written. */
float *rt_tape_take(rt_tape *tape, int value, bool *add);
/* The live gradient of a value, or NULL. */
float *rt_tape_live(const rt_tape *tape, int value);
/* Whether the backward pass of a Linear reads its sums. */
static inline bool rt_tape_needs_sums(const rt_step *step) {
    return step->as.linear.act != RT_FN_NONE || step->as.linear.gate != NULL;
}
/* Rows from…to of a value as floats: where they are, or in `room`. */
const float *rt_tape_rows(const rt_tape *tape, const rt_place *place, rt_range rows, float *room);
/* The parameter that an operand of the step is; NULL: none. */
rt_parameter *rt_tape_parameter(const rt_tape *tape, const rt_step *step, int operand);
/* The gradient of the parameter that a vector operand of the step is; NULL: it has none. */
float *rt_tape_vector(const rt_tape *tape, const rt_step *step, int operand);
/* What the forward pass multiplies with or looks up: that of the parameter, or the constant itself. */
const float *rt_tape_used(const rt_tape *tape, const rt_step *step, int operand);
const void *rt_tape_at(const rt_tape *tape, const rt_place *place);
/* Floats that rt_tape_linear needs as a worker's scratch: some rows of x. */
static inline size_t rt_tape_linear_scratch(const rt_step *step) {
    return 2 * RT_PANEL * step->as.linear.k * step->as.linear.blocks;
}
/* Whether the products of a Linear are those of bf16. */
bool rt_tape_is_bf16(const rt_step *step);
/* Gradients of RT_FUSED_OPS. */
void rt_tape_linear(rt_tape *tape, const rt_step *step);
void rt_tape_attention(rt_tape *tape, const rt_step *step);
void rt_tape_layer_norm(rt_tape *tape, const rt_step *step);
void rt_tape_embed(rt_tape *tape, const rt_step *step);
void rt_tape_select(rt_tape *tape, const rt_step *step);
void rt_tape_pool(rt_tape *tape, const rt_step *step);
void rt_tape_normalize(rt_tape *tape, const rt_step *step);
void rt_tape_convert(rt_tape *tape, const rt_step *step);

#endif
