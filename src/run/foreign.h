/* SPDX-License-Identifier: Apache-2.0
 * What other engines share: the model as an ONNX graph on padded ids and a mask, and conversion from ragged
 * batches and back. */
#ifndef RT_RUN_FOREIGN_H
#define RT_RUN_FOREIGN_H

#include "run/library.h"
#include "engine/prepare.h"
#include "run/provider.h"

typedef struct rt_foreign {
    const char *provider;
    rt_limits limits;
    rt_prepared batch;
    uint8_t *onnx; /* bytes of the graph until the engine has read them; NULL if there is a file */
    size_t onnx_bytes;
    int threads;
    bool bf16;        /* dtype of the matrices, in which the engine is to multiply if it can */
    char version[32]; /* of the engine */
    size_t columns;   /* of the result */
    float *out;
    size_t out_capacity;
    size_t index; /* of the chunk at hand */
} rt_foreign;

/* Checks the options and makes the model's ONNX bytes, which rt_foreign_forget frees (unless options name a
 * file). */
retort_status rt_foreign_open(rt_foreign *f, const rt_provider *provider, const retort_model *model,
                              const retort_session_options *options, retort_error *err);
void rt_foreign_forget(rt_foreign *f);
void rt_foreign_close(rt_foreign *f);

/* Runs one chunk of [batch, seq] padded ids, and gives its outputs to rt_foreign_take. */
typedef retort_status (*rt_compute_fn)(void *engine, const rt_chunk *chunk, retort_error *err);
/* rt_provider.run: computes every sequence, duplicates too. */
retort_status rt_foreign_run(rt_foreign *f, rt_compute_fn compute, void *engine, const rt_batch *batch,
                             retort_matrix *out, retort_error *err);

/* The graph's inputs: "input_ids", "attention_mask", "token_type_ids"; -1: another one. */
int rt_foreign_input(const char *name);
/* [batch, seq] of the chunk for an input. */
const int64_t *rt_foreign_feed(const rt_chunk *chunk, int input);

enum { RT_FOREIGN_RANK = 4, RT_FOREIGN_OUTPUTS = 4 };
typedef struct rt_foreign_output {
    const float *data;
    size_t rank;
    int64_t dims[RT_FOREIGN_RANK];
} rt_foreign_output;
/* Copies rows of the outputs of a chunk to their places in the result: from one output with all columns,
 * or from one output per column (start and end logits). */
retort_status rt_foreign_take(rt_foreign *f, const rt_foreign_output *outputs, size_t count,
                              retort_error *err);

/* Fails with "provider 'onnxruntime': what: text", on one line even if the text has several.
 * RETORT_PROVIDER. */
retort_status rt_foreign_fail(const rt_foreign *f, retort_error *err, const char *what, const char *text);

/* Functions of rt_provider that all other engines share. */
void rt_foreign_describe(const rt_foreign *f, retort_session_info *info);
retort_status rt_foreign_step(const void *state, size_t index, retort_step_info *info);

#endif
