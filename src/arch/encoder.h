/* SPDX-License-Identifier: Apache-2.0
 * Any checkpoint as one encoder description: configuration, roles of the weights, task. */
#ifndef RT_ARCH_ENCODER_H
#define RT_ARCH_ENCODER_H

#include "base/memory.h"
#include "onnx/onnx.h"
#include "format/tensors.h"
#include "arch/arch.h"
#include "arch/module_act.h"

/* Each label needs a row of the classifier; the largest data sets of extreme classification have about this many. */
enum { RT_MOST_LABELS = 1 << 20 };

/* RT_POOL_SEVERAL: their vectors, one after the other. */
typedef enum rt_pooling {
    RT_POOL_NONE,
    RT_POOL_CLS,
    RT_POOL_MEAN,
    RT_POOL_MAX,
    RT_POOL_MEAN_SQRT,
    RT_POOL_LAST,
    RT_POOL_WEIGHTED,
    RT_POOL_SPLADE,
    RT_POOL_SEVERAL
} rt_pooling;
enum { RT_MOST_POOLINGS = 8, RT_MOST_MODULES = 16 };

/* SPLADE: of the logits of a masked language model, log(1 + max(x, 0)) for each piece of the vocabulary, the largest or the
 * sum over the tokens. Most are 0. */
typedef struct rt_splade {
    bool sum, twice; /* twice: log(1 + log(1 + …)) */
    int64_t columns; /* that its settings state, or 0 */
} rt_splade;

/* How two vectors are compared: sentence-transformers' similarity_fn_name. */
typedef enum rt_similarity { RT_COSINE, RT_DOT, RT_EUCLIDEAN, RT_MANHATTAN } rt_similarity;
const char *rt_similarity_name(rt_similarity similarity);

/* What else a sentence-transformers package says about its vectors (config_sentence_transformers.json). */
typedef struct rt_sentences {
    rt_similarity similarity;
    int64_t columns;                      /* how many numbers of a vector are returned; 0: all */
    const char **prompt_names, **prompts; /* [prompt_count] texts to put before a text */
    int64_t prompt_count;
    const char *default_prompt; /* a name, or NULL */
    bool skips_prompt;          /* include_prompt is false: a prompt's tokens are not pooled */
} rt_sentences;

/* DeBERTa's scores by distance. */
typedef struct rt_distances {
    int64_t buckets,
        far; /* rows of distances before and after; the distance of the last of them. buckets 0: each its own */
    int64_t span;       /* half of the table's rows */
    int64_t terms;      /* products that a score is the sum of, as the scale counts them */
    bool keys, queries; /* position keys meet queries, position queries meet keys */
    bool shared;        /* they are made by the matrices of keys and queries */
    bool normed;
} rt_distances;

typedef struct rt_config {
    const rt_arch *arch;
    int64_t layers, hidden, heads, ffn, vocab, positions, types; /* types: rows of their table, or 0 */
    int64_t embedding; /* width of the embeddings: hidden, except in ELECTRA */
    int64_t *
        layer_heads; /* [layers] heads that a layer has after pruning ("pruned_heads"); NULL: `heads`, all of them */
    int64_t dim, key_heads; /* columns of a head; heads of keys and values, each read by as many of queries */
    rt_distances distances;
    bool unplaced;           /* positions have no rows in a table */
    int64_t buckets;         /* of distances; 0: none */
    int64_t groups, inner;   /* of layers that share weights, and layers of one; 0: no such */
    int64_t position_offset; /* rows of the checkpoint's position table before a text's first */
    int64_t
        after_pad; /* 1: tokens whose id is that of padding have its row, and others do not count them; 0: texts with
                          such are refused, as in files of older versions and graphs from ONNX */
    /* Rotary positions: angles of the pairs of a head at position 1, [head_dim / 2], of layers that read all keys and
     * of local ones; NULL: none. */
    const float *angles[2];
    bool *local;         /* [layers] which layers read only keys near a query; NULL: none */
    int64_t window;      /* so many before and after it */
    uint64_t unbiased;   /* a bit per role whose weight has no bias */
    int64_t plain_norms; /* 1: LayerNorms have no β */
    bool untied; /* the decoder of a fill head has a weight of its own; else it may be the word embedding */
    bool mean;   /* the classifier reads the mean of the rows, not the first, */
    bool late;   /* or its logits are the mean of those of the rows */
    rt_act activation;      /* of the FFN */
    rt_act head_activation; /* of a head whose row states none; NONE: that of the FFN */
    float epsilon;          /* of LayerNorm */
    retort_task task;
    retort_problem problem;
    rt_pooling pooling;       /* embed only */
    bool normalize;           /* embed only: vectors of length 1 */
    bool pooler;              /* the classifier reads the base model's pooler */
    int64_t labels;           /* logits per row; hidden for embed (after any dense layer), vocab for fill */
    const char **label_names; /* [labels] for classify and tag, else NULL */
    rt_scoring scoring;       /* classify only */
    rt_sentences sentences;   /* embed; of a cross-encoder the prompts */
    int64_t max_length;       /* tokens a text is truncated to: min(positions, what the package says) */
} rt_config;

static inline int64_t rt_config_heads(const rt_config *config, int64_t layer) {
    return config->layer_heads != NULL ? config->layer_heads[layer] : config->heads;
}

/* Whether token types are an input: a table of one row is added to every token. */
static inline bool rt_config_has_types(const rt_config *config) {
    return config->types > 1;
}

/* The id that positions skip: the last row before the first token's is that of padding. -1: none. */
static inline int64_t rt_config_pad_id(const rt_config *config) {
    return config->position_offset - 1;
}

/* Whether each row of logits is a distribution over labels or pieces. */
static inline bool rt_config_has_softmax(const rt_config *config) {
    return config->task == RETORT_TASK_TAG || config->task == RETORT_TASK_FILL ||
           (config->task == RETORT_TASK_CLASSIFY && config->problem == RETORT_PROBLEM_SINGLE_LABEL);
}

/* Whether `sentences` belongs to it: to what embeds, and to a cross-encoder that has prompts. */
static inline bool rt_config_has_sentences(const rt_config *config) {
    return config->task == RETORT_TASK_EMBED ||
           (config->task == RETORT_TASK_CLASSIFY && config->sentences.prompt_count > 0);
}

/* Numbers in a row of an answer. */
static inline int64_t rt_config_columns(const rt_config *config) {
    return config->sentences.columns > 0 ? config->sentences.columns : config->labels;
}
/* The text of a prompt; "" for none (NULL or ""). Refuses an unknown name, and lists the known ones. */
retort_status rt_config_prompt(const rt_config *config, const char *name, const char **text,
                               retort_error *err);

/* Whether each text gets a number, not a label. */
static inline bool rt_config_has_values(const rt_config *config) {
    return config->task == RETORT_TASK_CLASSIFY &&
           (config->labels == 1 || config->problem == RETORT_PROBLEM_REGRESSION);
}

/* The tensors of a role. */
typedef struct rt_weight {
    const rt_tensor
        *weight;           /* Linear: [out, in], as torch.nn.Linear keeps it; LayerNorm: γ; a table's rows */
    const rt_tensor *bias; /* [out] or NULL; LayerNorm: β */
} rt_weight;

/* A module of a sentence-transformers package that is applied to the pooled vector. */
typedef enum rt_module_kind { RT_MODULE_DENSE, RT_MODULE_NORMALIZE, RT_MODULE_LAYER_NORM } rt_module_kind;
typedef struct rt_module {
    rt_module_kind kind;
    const char *folder; /* of its weights */
    int64_t in, out;    /* columns; 0: as many as it is given */
    bool bias, residual;
    rt_module_act activation; /* Dense */
    rt_tensors tensors;       /* owns the data of the weights */
    rt_weight weights, residual_weights;
} rt_module;

typedef struct rt_encoder {
    rt_config config;
    rt_weight parts[RT_ROLES];     /* of embeddings and head; weight NULL: it has no such part */
    rt_weight (*layers)[RT_ROLES]; /* [config.layers], roles from RT_ROLE_LAYER to RT_ROLE_HEAD */
    /* Of RT_ROLE_DENSE. A fill head's decoder without a weight of its own is tied to the word table. */
    rt_act dense_activation;
    rt_pooling poolings[RT_MOST_POOLINGS]; /* embed: what config.pooling consists of, in order */
    size_t pooling_count;
    rt_splade splade;
    rt_module modules[RT_MOST_MODULES]; /* embed: what comes after, in order */
    size_t module_count;
    rt_tensors tensors;     /* owns the data that the roles point to */
    rt_onnx onnx;           /* what tensors borrow from, when the source is an ONNX graph, */
    const char *graph_file; /* its path, or NULL, */
    size_t source_nodes;    /* and the nodes that its file has */
    rt_arena arena;         /* owns names, layers, folder */
    const char *folder;     /* of the transformer itself */
    const char *adapter;    /* folder of the adapter that is merged, or NULL */
    bool lowers;            /* the package lower-cases texts before tokenizing */
    bool length_stated;     /* the package states max_length, which overrides the tokenizer's */
} rt_encoder;

/* How a checkpoint is read; all NULL: as it is. */
typedef struct rt_encoder_options {
    const retort_task *task; /* instead of the one that config.json's architectures (or the weights) state */
    const retort_head *head; /* a new one, instead of the checkpoint's; valid */
    const int64_t *layers;   /* [layer_count] indices of those to keep, rising */
    size_t layer_count;
} rt_encoder_options;

/* Reads a Hugging Face or sentence-transformers folder, or an .onnx file that lies in one (or in its folder
 * "onnx"); of a folder without other weights its ONNX file is taken. Every shape is checked against
 * the configuration; names with the prefixes bert. / distilbert. / none / module., and gamma/beta, are
 * accepted. options NULL: as it is. */
retort_status rt_encoder_open(rt_encoder *out, const char *source, const rt_encoder_options *options,
                              retort_error *err);
void rt_encoder_close(rt_encoder *encoder);
/* Where the tokenizer is found: the folder that holds the transformer itself (a sentence-transformers package may keep it in
 * 0_Transformer), or that of an adapter that has one. Valid until close. */
const char *rt_encoder_folder(const rt_encoder *encoder);

/* Parses a configuration alone, for the fuzzer. */
retort_status rt_config_parse(rt_config *out, rt_arena *arena, const char *name, const void *json,
                              size_t size, const retort_task *force, retort_error *err);

#endif
