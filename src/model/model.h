/* SPDX-License-Identifier: Apache-2.0
 * A model as one object, and as one .retort file: a safetensors file whose tensors are the graph's constants
 * in the layout the kernels compute in (64-byte aligned) plus the vocabulary, and whose __metadata__ holds
 *   format            "pt" (for readers that insist)
 *   retort.version    "1"
 *   retort.graph      the graph's text
 *   retort.config     JSON: task, problem, family, labels, sizes, …
 *   retort.tokenizer  JSON settings
 *   retort.origin     JSON: source, library version, recipe (provenance.h)
 * Tensor names are the constants' names; the vocabulary is the U8 tensor "tokenizer.vocab"; "tokenizer.table",
 * last, holds what the tokenizer's model has besides. Scalars and short index vectors are a part of the graph's text. Packed constants are stored in their packed shape
 * ([n/16, k, 16], [n/16, k/2, 16, 2] of bf16 pairs, [n/16, k/4, 16, 4] of int8, [n/16, k/8, 16, 4] of bytes
 * with two 4-bit codes), tables of 4-bit codes flat; others in their own when their bytes are a multiple of
 * 64, else flat and zero-padded to one. The graph's text has the logical dims. */
#ifndef RT_MODEL_MODEL_H
#define RT_MODEL_MODEL_H

#include "graph/unpacked.h"
#include "arch/encoder.h"
#include "model/provenance.h"
#include "model/stages.h"
#include "text/tokenizer.h"

#include <pthread.h>
#include <stdatomic.h>

/* The constants of the graph, in order, and their use. */
typedef struct rt_constants {
    size_t count;
    struct rt_constant {
        int value;
        rt_use use;
    } items[];
} rt_constants;

enum { RT_MODEL_WARNINGS = RT_TOKENIZER_WARNINGS + 1 /* and one of the graph */ };
struct retort_model {
    atomic_int owners;
    _Atomic(rt_constants *) constants; /* made on first use */
    rt_graph graph;
    rt_config config; /* strings in `arena` */
    rt_tokenizer *tokenizer;
    char *vocab; /* bytes that the tokenizer was unpacked from, if not in the mapping */
    uint8_t *table;
    const char *source;
    rt_provenance provenance;
    const char *warnings[RT_MODEL_WARNINGS]; /* of the import */
    size_t warning_count;
    retort_restriction restriction; /* of the vocabulary; pieces 0: it is whole */
    size_t source_nodes;            /* of the ONNX graph that it was imported from, else 0 */
    uint64_t file_bytes;
    rt_arena arena;
    rt_tensors file;                  /* the mapping, when loaded */
    struct retort_model *shared_with; /* retained: a model made from another borrows its constants */
    bool same_weights; /* all of them: its sessions share int8 panels with those of shared_with */
    /* Int8 panels of codes, while sessions use them. */
    pthread_mutex_t unpacked_lock;
    rt_unpacked_set *unpacked;
    size_t unpacked_users;
    rt_cascade *cascade; /* stages before this model; NULL: none. See model/cascade.h */
};

/* A zeroed model with one owner; NULL if out of memory. retort_model_free frees it. */
retort_model *rt_model_new(void);
/* With the models of its stages. Accepts NULL. */
void rt_cascade_free(rt_cascade *cascade);
/* Of a model whose graph no longer changes; NULL if out of memory. Owned by the model. */
const rt_constants *rt_model_constants(const retort_model *model);
/* The int8 panels of the model's codes, for a session: made by the first, shared by all, freed when the last one ends
 * its use. Thread-safe. */
retort_status rt_model_unpacked_begin(const rt_unpacked_set **out, const retort_model *model,
                                      retort_error *err);
void rt_model_unpacked_end(const retort_model *model);
/* A model with a copy of the graph, to be edited; borrows constants, texts and the tokenizer. */
retort_status rt_model_derive(retort_model **out, const retort_model *model, retort_error *err);
/* Frees the graph and its constants: nothing that borrows them may be used any more. Configuration and tokenizer stay. */
void rt_model_drop_graph(retort_model *model);
/* The value [tokens, hidden] whose rows a level-3 embedding model pools; -1: another model, or one that
 * computes only some rows because the others were pruned, up to the queries of the last attention. */
int rt_model_pooled_rows(const retort_model *model);
/* A model whose rows are the vectors [tokens, hidden] that `model`, which embeds, pools. */
retort_status rt_model_token_vectors(retort_model **out, const retort_model *model, retort_error *err);
/* How many tokens at the beginning of texts encoded with these options pooling leaves out: those of the prompt, if the model's
 * pooling does not include it; else 0. Refuses a model that cannot leave them out. */
retort_status rt_model_unpooled(const retort_model *model, const rt_encode_options *options, size_t *out,
                                retort_error *err);
/* Why the model cannot leave tokens out of pooling; NULL: it can. */
const char *rt_model_pools_all(const retort_model *model);
retort_status rt_model_import(retort_model **out, const char *source, const retort_import_options *options,
                              retort_error *err);
/* memory: limit in bytes for reading; 0: the default of base/budget.h. */
retort_status rt_model_load(retort_model **out, const char *path, uint64_t memory, retort_error *err);
retort_status rt_model_save(const retort_model *model, const char *path, retort_error *err);
/* With a hash of the file, and the training that it belongs to, as "retort.training". */
#define RT_MODEL_TRAINING "retort.training"
retort_status rt_model_save_sealed(const retort_model *model, const char *path, const char *training,
                                   retort_error *err);
retort_status rt_model_optimize(retort_model **out, const retort_model *model,
                                const retort_optimize_options *options, retort_error *err);
/* Loads from memory, as the fuzzer does; `data` must outlive the model. */
retort_status rt_model_parse(retort_model **out, const char *name, const uint8_t *data, size_t size,
                             retort_error *err);

#endif
