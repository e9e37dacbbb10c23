/* SPDX-License-Identifier: Apache-2.0
 *
 * retort: fine-tuned encoders, from BERT to ModernBERT and DeBERTa, trained, made small and served on a CPU.
 *
 * This header is the whole public API. It compiles alone as C11, C17 and C++17.
 *
 * Three lifetimes:
 *   - retort_model: graph, weights, tokenizer. Immutable and reference-counted: share it between threads.
 *   - retort_session: provider, plan, memory, worker threads. One thread at a time; open one per thread.
 *   - retort_batch: the token ids of one call, in the caller's memory.
 *
 * Conventions:
 *   - Functions that create an object write *out only on success; the caller then owns it.
 *   - Free functions accept NULL. Every `err` may be NULL.
 *   - A struct that begins with `size` may get more fields at its end. retort_NAME_init(&it, sizeof it) sets its size and
 *     its defaults, as do the initialisers RETORT_NAME of options and {.size = sizeof it} of results. What a program built
 *     with an earlier header does not have takes its default, and is not written: such programs run with this library. A
 *     struct of a later header is RETORT_ARGUMENT. In structs that callbacks get, `size` says what the library filled.
 *     Other structs stay as they are.
 *   - A function that writes into an array of the caller takes its capacity. If that is too small, it writes
 *     nothing and returns RETORT_LIMIT.
 *   - Arrays are row-major; [rows, columns] in a comment is their shape. Lengths of text are bytes, times seconds.
 *   - Any thread may call any function; only sessions, encoders and growing arrays are for one thread at a time, and a
 *     callback runs in the thread of the call it belongs to.
 *   - No answer contains NaN or infinity: RETORT_NONFINITE names the text that would have had one.
 *   - The library never prints, exits, aborts or installs signal handlers, and starts no threads before a
 *     session is opened.
 *   - Text is UTF-8; invalid bytes are read as U+FFFD.
 */
#ifndef RETORT_H
#define RETORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define RETORT_API __attribute__((visibility("default")))
#else
#define RETORT_API
#endif

#define RETORT_VERSION_MAJOR 0
#define RETORT_VERSION_MINOR 1
#define RETORT_VERSION_PATCH 0

/* ---- Errors ------------------------------------------------------------------------------------------- */

/* One row per status: name, value, text. Values are part of the ABI. */
#define RETORT_STATUS_MAP(X)                                                                                 \
    X(OK, 0, "ok")                                                                                           \
    X(NOMEM, -1, "out of memory")                                                                            \
    X(IO, -2, "read or write failed")                                                                        \
    X(FORMAT, -3, "malformed file or data")                                                                  \
    X(UNSUPPORTED, -4, "not supported")                                                                      \
    X(ARGUMENT, -5, "bad argument")                                                                          \
    X(LIMIT, -6, "limit exceeded")                                                                           \
    X(PROVIDER, -7, "provider missing or failed")                                                            \
    X(CANCELLED, -8, "cancelled")                                                                            \
    X(NONFINITE, -9, "the model's answer is not finite")

typedef enum retort_status {
#define RETORT_STATUS_ENUM(name, value, text) RETORT_##name = value,
    RETORT_STATUS_MAP(RETORT_STATUS_ENUM)
#undef RETORT_STATUS_ENUM
} retort_status;

/* An error, in the caller's memory; the text names the file, the tensor and the numbers. */
typedef struct retort_error {
    retort_status status;
    char text[508];
} retort_error;

/* "ok", "out of memory", …; never NULL. */
RETORT_API const char *retort_status_text(retort_status status);
/* (major << 16) | (minor << 8) | patch of the running library. */
RETORT_API uint32_t retort_version(void);

/* Escapes untrusted text (a label, a name, a piece) for printing: control characters and bidirectional
 * overrides become \n, \t, \r or \u001b, bytes that are not UTF-8 become \xff. Writes at most capacity - 1
 * bytes and a NUL, and only whole characters. Returns the length of the complete result without the NUL.
 * `out` may be NULL if capacity is 0. The text of a retort_error is already escaped. */
RETORT_API size_t retort_escape(char *out, size_t capacity, const char *text, size_t length);

/* Receives a piece of text (not NUL-terminated). A non-zero return stops the writer with RETORT_CANCELLED. */
typedef int (*retort_write_fn)(void *user, const char *text, size_t length);
/* Progress of long work: `done` of `total` units of `what`. A non-zero return cancels with
 * RETORT_CANCELLED. */
typedef int (*retort_progress_fn)(void *user, const char *what, size_t done, size_t total);

/* ---- Models ------------------------------------------------------------------------------------------- */

typedef struct retort_model retort_model;

typedef enum retort_task {
    RETORT_TASK_CLASSIFY, /* one row of logits [labels] per text (or pair of texts) */
    RETORT_TASK_TAG,      /* one row of logits [labels] per token */
    RETORT_TASK_ANSWER,   /* start and end logits per token: extractive question answering */
    RETORT_TASK_FILL,     /* vocabulary logits for each mask token */
    RETORT_TASK_EMBED     /* one vector [hidden] per text */
} retort_task;

/* How logits of a classifier become scores: problem_type of config.json, as in transformers. */
typedef enum retort_problem {
    RETORT_PROBLEM_SINGLE_LABEL, /* softmax */
    RETORT_PROBLEM_MULTI_LABEL,  /* sigmoid per label; also for one label, unless it is a regression */
    RETORT_PROBLEM_REGRESSION    /* the logits themselves */
} retort_problem;

typedef enum retort_dtype {
    RETORT_F32,
    RETORT_F16,
    RETORT_BF16,
    RETORT_I64,
    RETORT_I32,
    RETORT_S8,
    RETORT_U8,
    RETORT_BOOL
} retort_dtype;
/* "f32", "bf16", …; never NULL. */
RETORT_API const char *retort_dtype_name(retort_dtype dtype);

/* A new head, to be trained: that of transformers' class of the architecture for the task, with as many outputs as there
 * are labels. What the checkpoint has of it up to the last Linear is kept (BERT's pooler). New weights are
 * drawn around 0 with a standard deviation of 0.02, new biases are 0. The same seed gives the same bytes on every
 * machine. */
typedef struct retort_head {
    size_t size;
    retort_task task;          /* RETORT_TASK_CLASSIFY or RETORT_TASK_TAG */
    retort_problem problem;    /* of a classifier */
    const char *const *labels; /* [count] different names; NULL: "LABEL_0", … */
    size_t count;              /* at least 2, unless it is a regression */
    uint64_t seed;
} retort_head;
#define RETORT_HEAD                                                                                          \
    { sizeof(retort_head), RETORT_TASK_CLASSIFY, RETORT_PROBLEM_SINGLE_LABEL, NULL, 0, 0 }
RETORT_API void retort_head_init(retort_head *head, size_t size);

typedef struct retort_import_options {
    size_t size;
    int level;             /* graph level 0…3; the initialiser sets 3 */
    retort_dtype dtype;    /* of the stored matrices: RETORT_F32 (default) or RETORT_BF16 (level 3 only) */
    retort_task task;      /* used when force_task is set */
    bool force_task;       /* use `task` instead of the task of the checkpoint */
    const char *tokenizer; /* NULL: the checkpoint's own; else a folder or tokenizer.json / vocab.txt */
    retort_progress_fn progress;
    void *user;
    const char *const *without; /* rewrites to leave out, as in retort_optimize_options */
    size_t without_count;
    uint64_t memory; /* most bytes that reading may take; 0: 64 MB plus 8 times the size of the files */
    /* NULL, or receives a warning for each setting of the folder that transformers would read differently;
     * retort_model_warning returns the same texts. */
    void (*warning)(void *user, const char *text);
    const retort_head *head; /* NULL: that of the checkpoint. Instead of `task`; not for .onnx files */
    const int64_t *layers;   /* NULL: all, or indices of the layers to keep, rising; not for .onnx files */
    size_t layer_count;
    /* Fewer pieces of the vocabulary, and rows of the tables that go with them; both NULL: all. Special and added tokens
     * stay, pieces without letters, and single characters of the languages' scripts (and of ASCII); further, longer pieces
     * of these scripts, and what the texts are made of. Where there are texts, they alone decide about pieces of
     * scripts that other languages share, such as Latin. See retort_model_restriction; not for .onnx files. */
    const char *languages;           /* codes of ISO 639-1, "ko,en"; NULL: any */
    const struct retort_text *texts; /* [text_count] as the model will be given them */
    size_t text_count;
} retort_import_options;
#define RETORT_IMPORT_OPTIONS                                                                                \
    {                                                                                                        \
        sizeof(retort_import_options), 3, RETORT_F32, RETORT_TASK_CLASSIFY, false, NULL, NULL, NULL, NULL,   \
            0, 0, NULL, NULL, NULL, 0, NULL, NULL, 0                                                         \
    }
RETORT_API void retort_import_options_init(retort_import_options *options, size_t size);

/* The folder of a model that the local cache of the Hugging Face hub holds, by its id ("owner/name"): the revision of its
 * branch main, into path [capacity]. The cache is $HF_HUB_CACHE, $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub or
 * ~/.cache/huggingface/hub, the first that is set. Nothing is downloaded. RETORT_IO: it holds none; RETORT_LIMIT: the path is
 * longer. */
RETORT_API retort_status retort_hub_find(char *path, size_t capacity, const char *id, retort_error *err);
/* Reads a checkpoint and optimises its graph to options->level: a Hugging Face or sentence-transformers folder, a LoRA adapter
 * of one, a TensorFlow checkpoint of Google's BERT, or an .onnx file (docs/import.md). What retort_model_export wrote keeps
 * its level if that is higher. Executes nothing from the checkpoint. */
RETORT_API retort_status retort_model_import(retort_model **out, const char *source,
                                             const retort_import_options *options, retort_error *err);
/* Maps a .retort file (a safetensors file with the graph, tokenizer and configuration in its metadata). */
RETORT_API retort_status retort_model_load(retort_model **out, const char *path, retort_error *err);

typedef struct retort_load_options {
    size_t size;
    uint64_t memory; /* most bytes for reading the file, and for the values of one text of up to 512 tokens;
                        0: 64 MB plus 8 times the size of the file. Beyond it: RETORT_LIMIT. */
} retort_load_options;
#define RETORT_LOAD_OPTIONS                                                                                  \
    { sizeof(retort_load_options), 0 }
RETORT_API void retort_load_options_init(retort_load_options *options, size_t size);
/* retort_model_load with options; NULL: defaults. */
RETORT_API retort_status retort_model_load_with(retort_model **out, const char *path,
                                                const retort_load_options *options, retort_error *err);
/* Writes a new file next to `path` and renames it: a failed save leaves the old file. */
RETORT_API retort_status retort_model_save(const retort_model *model, const char *path, retort_error *err);
/* Adds a reference and returns the model. Thread-safe. */
RETORT_API retort_model *retort_model_retain(retort_model *model);
/* Drops a reference; open sessions hold their own. Thread-safe. */
RETORT_API void retort_model_free(retort_model *model);

typedef struct retort_export_options {
    size_t size;
    bool fused;             /* fused operators of ONNX Runtime (com.microsoft), from level 2 on */
    bool standard;          /* 4-bit weights as blocked DequantizeLinear of ONNX 1.16, not MatMulNBits of
                      com.microsoft */
    uint64_t external_over; /* larger files keep their tensors in "path.data"; bytes; 0: 2 GiB, the limit of
                               ONNX */
} retort_export_options;
#define RETORT_EXPORT_OPTIONS                                                                                \
    { sizeof(retort_export_options), false, false, 0 }
RETORT_API void retort_export_options_init(retort_export_options *options, size_t size);

/* What an export wrote. */
typedef struct retort_export_info {
    size_t size;
    uint64_t bytes; /* of all files */
    size_t nodes;
    bool external; /* the tensors are in "path.data" */
} retort_export_info;
RETORT_API void retort_export_info_init(retort_export_info *info, size_t size);

/* Writes the model as ONNX. Inputs: input_ids, attention_mask and, for BERT, token_type_ids, all i64
 * [batch, sequence]. Outputs: logits, or start_logits and end_logits, or sentence_embedding. Only standard
 * operators unless the options say otherwise. `info` may be NULL. */
RETORT_API retort_status retort_model_export(const retort_model *model, const char *path,
                                             const retort_export_options *options, retort_export_info *info,
                                             retort_error *err);

/* One rewrite that changed the graph or, if `rewrite` is NULL, a whole level. */
typedef struct retort_rewrite_info {
    size_t size;
    int level;
    const char *rewrite; /* "drop-key-bias"; NULL: totals of the level */
    const char *help;    /* "drop b_K" */
    size_t count;        /* how often it was applied */
    size_t nodes_before, nodes_after;
} retort_rewrite_info;
typedef void (*retort_rewrite_fn)(void *user, const retort_rewrite_info *info);
/* Name of rewrite `index`, its level and a short description; NULL beyond the last one. `help` and `level`
 * may be NULL. */
RETORT_API const char *retort_rewrite(size_t index, const char **help, int *level);

typedef struct retort_optimize_options {
    size_t size;
    int level; /* 0…3, not below that of the model; the initialiser sets 3 */
    /* Names of rewrites to leave out, to measure what each saves; answers stay the same. Refused: unknown
     * names, rewrites of a level that the model already has, those that the level requires
     * ("remove-padding", "pack-weights"), and those that later ones turn out to need. */
    const char *const *without;
    size_t without_count;
    retort_rewrite_fn report; /* may be NULL */
    void *user;
    uint64_t memory; /* most bytes to take; 0: 64 MB plus 8 times the constants of the model */
} retort_optimize_options;
#define RETORT_OPTIMIZE_OPTIONS                                                                              \
    { sizeof(retort_optimize_options), 3, NULL, 0, NULL, NULL, 0 }
RETORT_API void retort_optimize_options_init(retort_optimize_options *options, size_t size);

/* Makes a new model with the graph rewritten to options->level; the caller frees both. `options` may be NULL.
 * RETORT_ARGUMENT: a level below the model's, or rewrites that cannot be left out; RETORT_UNSUPPORTED: a cascade;
 * RETORT_LIMIT: it takes more than options->memory. */
RETORT_API retort_status retort_model_optimize(retort_model **out, const retort_model *model,
                                               const retort_optimize_options *options, retort_error *err);

typedef struct retort_dataset retort_dataset; /* texts: see below */

/* Ranges of activations: found at run time per row, or calibrated: one range for all rows. */
typedef enum retort_activations {
    RETORT_ACTIVATIONS_DEFAULT, /* that of the recipe */
    RETORT_ACTIVATIONS_DYNAMIC,
    RETORT_ACTIVATIONS_STATIC
} retort_activations;

typedef struct retort_quantize_options {
    size_t size;
    const char *recipe; /* "int8" (default), "int4", or one that needs data: see retort_recipe */
    int bits;       /* of matrices: 8, 4, 3 or 2 (3, 2: recipes below 8 bits only); 0: that of the recipe */
    int embeddings; /* bits of the word table: 8, 4, 3 or 2; 0: that of the recipe, or `bits` if 3 or 2 */
    int64_t group;  /* below 8 bits: weights per integer scale, a multiple of 32; 0: that of the recipe */
    const char *const *keep; /* names of layers that stay float: "head.output", or "layer.0" as a whole */
    size_t keep_count;
    retort_progress_fn progress;
    void *user;
    const retort_dataset *data; /* calibration set, for recipes that need one; labels are ignored */
    size_t samples;             /* texts to use, chosen by the seed; 0: 1024 */
    uint64_t seed;
    size_t weak_columns; /* owq: outlier columns of each matrix in 8 bits, a multiple of 8, up to 64; 0: 8 */
    retort_activations activations;
    /* NULL, or receives warnings about what makes the result worse than necessary: too few texts. */
    void (*warning)(void *user, const char *text);
    uint64_t memory; /* most bytes to take in addition to the model; estimated first, and RETORT_LIMIT if
                        more. 0: unlimited, with a warning above 2 GiB */
} retort_quantize_options;
#define RETORT_QUANTIZE_OPTIONS                                                                              \
    {                                                                                                        \
        sizeof(retort_quantize_options), "int8", 0, 0, 0, NULL, 0, NULL, NULL, NULL, 0, 0, 0,                \
            RETORT_ACTIVATIONS_DEFAULT, NULL, 0                                                              \
    }
RETORT_API void retort_quantize_options_init(retort_quantize_options *options, size_t size);

/* Makes a new model whose matrices and word table are integers, from a float32 model of level 3. Recipes:
 *   int8         One scale per column (word table: per row). Rounds to nearest with the scale of least error;
 *                needs no data.
 *   int4         4-bit codes with one integer scale per group and one float scale per column; matrices with
 *                fewer than 64 columns get 8 bits. Rounds as int8 does; needs no data.
 *   gptq         int4, with matrices rounded to minimise the error of their outputs on the data. The mean
 *                error goes into the bias (a matrix without one gets one).
 *   owq          gptq, with the most sensitive columns of each matrix in 8 bits.
 *   ptq+owq      owq, with the word table rounded by what its errors cost the answers. Starts one thread per
 *                core to measure that.
 *   smoothquant  int8 with channel scaling: factor and addend per column of the activations, undone by the
 *                weights.
 *   smoothquant+gptq  smoothquant, with matrices rounded as in gptq, and outputs weighted by what their errors cost the
 *                answers. Starts one thread per core to measure that.
 *   awq          int4 with channel scaling.
 *   int8-static  int8 with activation ranges calibrated on the data.
 * With `bits` 3, codes are -4…3; with 2, they are -3, -1, 1 and 3. A file holds 3 or 2 bits per code; loading it
 * expands them to 4 bits in private memory. 2 bits are meant for models trained for 2 bits; others lose accuracy.
 * Without static ranges, activations are rounded to int8 at run time with a scale per row. Attention multiplies
 * int8 in sequences of more than 16 tokens. LayerNorm, biases and the residual stream stay float. The same model,
 * data and options give the same bytes on every CPU
 * (smoothquant, smoothquant+gptq, awq and ptq+owq: if pow, exp and erf of the C library are the same), and the same bits of
 * results. */
RETORT_API retort_status retort_model_quantize(retort_model **out, const retort_model *model,
                                               const retort_quantize_options *options, retort_error *err);
/* Makes a new float model from an integer one: each weight becomes the float it stands for, and activations
 * are not rounded. What quantisation lost does not come back. RETORT_ARGUMENT if the model has no integers.
 * The caller frees both models. Thread-safe. */
RETORT_API retort_status retort_model_dequantize(retort_model **out, const retort_model *model,
                                                 retort_error *err);
/* Name of recipe `index` and a one-line description; NULL beyond the last one. `help` may be NULL. */
RETORT_API const char *retort_recipe(size_t index, const char **help);

/* All strings live as long as the model. */
typedef struct retort_info {
    size_t size;
    retort_task task;
    retort_problem problem;
    const char *family; /* model_type of the checkpoint: "bert", "roberta", … */
    const char *source; /* what the model was imported from */
    const char *recipe; /* "fp32", "bf16" or the quantisation recipe, plus rewrites that were left out */
    int level;          /* of the graph */
    int64_t layers, hidden, heads, ffn, vocab, positions;
    int64_t labels;      /* logits per row; for embeddings the length of the vector */
    int64_t max_length;  /* tokens that a text is truncated to, special tokens included */
    uint64_t parameters; /* scalars in all weights */
    uint64_t file_bytes; /* 0 if the model is not mapped from a file */
    size_t nodes, tensors;
    int64_t types;       /* token types that a batch may use; 0: `types` must be NULL or all 0 */
    size_t source_nodes; /* nodes of the ONNX graph that this model, or the one it was made from, was just
                            read from; else 0 */
    bool token_vectors;  /* whether a session can return token vectors: see retort_session_options */
    const char *default_prompt; /* name of the default prompt for embeddings; NULL: none */
    const char *similarity;     /* "cosine", "dot", "euclidean" or "manhattan" */
    int32_t mask, unknown;      /* ids of the mask token and the unknown token; -1: not in the vocabulary */
    const char *dtype;          /* of most matrix weights: "float32", "bfloat16", "int8", "int4", "int3",
                                   "int2" */
    int32_t
        padding_idx; /* id that no batch may hold, because the model's positions skip it (RoBERTa); -1: none */
    int32_t pad;     /* id of the token that pads texts; -1: not in the vocabulary */
    /* Of torch.nn, which makes scores of the logits of a cross-encoder: "Sigmoid", "Identity", …; NULL: `problem`
     * says how. */
    const char *activation;
    bool sparse; /* vectors have a number for each piece of the vocabulary, and most are 0: SPLADE */
} retort_info;
RETORT_API void retort_info_init(retort_info *info, size_t size);
/* RETORT_ARGUMENT: NULL, or a struct of a later header; RETORT_NOMEM. Thread-safe. */
RETORT_API retort_status retort_model_info(const retort_model *model, retort_info *info);

/* How the vocabulary was restricted when the model was imported. */
typedef struct retort_restriction {
    size_t size;
    const char *languages;         /* NULL: any */
    int64_t pieces, pieces_before; /* that stayed, of how many */
    uint64_t texts;                /* that were given */
    uint64_t identical;            /* of them are tokenized as before; */
    uint64_t identical_unseen;     /* would be if the pieces had been chosen by all texts but that one */
} retort_restriction;
RETORT_API void retort_restriction_init(retort_restriction *restriction, size_t size);
/* RETORT_ARGUMENT: the vocabulary is whole. */
RETORT_API retort_status retort_model_restriction(const retort_model *model, retort_restriction *restriction,
                                                  retort_error *err);
/* Name of prompt `index` of an embedding model, NULL beyond the last one; *text is the prompt itself, which
 * is put before a text. `text` may be NULL. */
RETORT_API const char *retort_model_prompt(const retort_model *model, size_t index, const char **text);
/* Similarity of two vectors [n] of an embedding model, whole or cut to their first n numbers, by its similarity_fn_name: cosine, dot product, or
 * negative euclidean or manhattan distance. NaN if an argument is NULL. */
RETORT_API double retort_similarity(const retort_model *model, const float *a, const float *b, size_t n);
/* Warning `index` from the import of the model, NULL beyond the last one. */
RETORT_API const char *retort_model_warning(const retort_model *model, size_t index);
/* Name of label `index`, NULL beyond the last one. */
RETORT_API const char *retort_model_label(const retort_model *model, int64_t index);

typedef struct retort_tensor_info {
    size_t size;
    const char *name;
    retort_dtype dtype;
    const char *layout; /* "rows" or a packed layout such as "p16"; as stored */
    const char *part;   /* "embeddings", "matrices" or "vectors" */
    int rank;
    int64_t shape[8];    /* logical, before packing */
    uint64_t parameters; /* of the model; 0 for scales of integers */
    uint64_t bytes;
} retort_tensor_info;
RETORT_API void retort_tensor_info_init(retort_tensor_info *info, size_t size);
/* Describes stored tensor `index`; RETORT_ARGUMENT beyond the last one. */
RETORT_API retort_status retort_model_tensor(const retort_model *model, size_t index,
                                             retort_tensor_info *info);
/* Writes the graph as text, one node per line. */
RETORT_API retort_status retort_model_print(const retort_model *model, retort_write_fn write, void *user);

typedef struct retort_draw_options {
    size_t size;
    const char *title;    /* UTF-8; NULL: none */
    const char *subtitle; /* a line below it; NULL: none */
    bool whole;           /* draw every layer; else consecutive identical layers are drawn once */
} retort_draw_options;
#define RETORT_DRAW_OPTIONS                                                                                  \
    { sizeof(retort_draw_options), NULL, NULL, false }
RETORT_API void retort_draw_options_init(retort_draw_options *options, size_t size);
/* Draws the graph as one self-contained SVG file for light and dark screens; calls `write` once. Each node
 * is a <g class="node">, whose data-times is the number of identical layers it stands for. options NULL:
 * defaults. RETORT_LIMIT: too many nodes for a drawing. */
RETORT_API retort_status retort_model_draw(const retort_model *model, const retort_draw_options *options,
                                           retort_write_fn write, void *user, retort_error *err);

/* ---- Tokens ------------------------------------------------------------------------------------------- */

typedef struct retort_text {
    const char *text;
    size_t length;    /* bytes */
    const char *pair; /* NULL, or the second text of a pair */
    size_t pair_length;
} retort_text;

/* Which end of a long text is truncated. */
typedef enum retort_side {
    RETORT_SIDE_MODEL, /* truncation_side of the tokenizer: usually right */
    RETORT_SIDE_LEFT,  /* keeps the end */
    RETORT_SIDE_RIGHT  /* keeps the beginning */
} retort_side;

typedef struct retort_tokenize_options {
    size_t size;
    int64_t max_length;   /* 0: no truncation; < 0 (default): that of the model */
    bool special_as_text; /* "[SEP]" and the like inside a text are plain text (use it for untrusted input) */
    retort_side side;     /* in a pair, both texts are truncated at this end */
    /* NULL (default), or the name of a prompt of the model, which is put before the text; offsets count
     * from the beginning of the prompt. */
    const char *prompt_name;
    bool only_first; /* truncate only the first text of a pair, not the longer one */
} retort_tokenize_options;
#define RETORT_TOKENIZE_OPTIONS                                                                              \
    { sizeof(retort_tokenize_options), -1, false, RETORT_SIDE_MODEL, NULL, false }
RETORT_API void retort_tokenize_options_init(retort_tokenize_options *options, size_t size);

/* Growing arrays, owned by the struct: start with {0}, reuse as often as you like, free with
 * retort_tokens_free. */
typedef struct retort_tokens {
    size_t count;
    int32_t *ids;   /* [count] */
    int32_t *types; /* [count] 0 first text, 1 second */
    uint32_t
        *offsets; /* [count, 2] start and end in code points of the text (of the pair where types is 1) */
    size_t capacity;
} retort_tokens;
/* Ids of one text or pair, with special tokens, cut to options->max_length; replaces the contents of *out. `options` may be
 * NULL. RETORT_ARGUMENT: the model has no such prompt. On failure out->count is 0. Thread-safe for different *out. */
RETORT_API retort_status retort_tokenize(const retort_model *model, const retort_text *text,
                                         const retort_tokenize_options *options, retort_tokens *out,
                                         retort_error *err);
/* Frees the arrays and empties the struct, not the struct itself. */
RETORT_API void retort_tokens_free(retort_tokens *tokens);
/* The piece with this id ("##ing"), or NULL. */
RETORT_API const char *retort_model_piece(const retort_model *model, int32_t id);

/* Turns ids into text, joining pieces as the decoder of the tokenizer does; `skip_special` omits special
 * tokens ("[CLS]"). Calls `write` once per piece. RETORT_ARGUMENT for an id without a piece. Thread-safe. */
RETORT_API retort_status retort_decode(const retort_model *model, const int32_t *ids, size_t n,
                                       bool skip_special, retort_write_fn write, void *user,
                                       retort_error *err);

/* A tokenizer for ids that go to retort_run, as fast as the calls that take texts: it caches the words that
 * it has seen. One thread at a time; it holds a reference to the model. */
typedef struct retort_encoder retort_encoder;
/* The caller closes *out. RETORT_NOMEM is the only failure. */
RETORT_API retort_status retort_encoder_open(retort_encoder **out, retort_model *model, retort_error *err);
RETORT_API void retort_encoder_close(retort_encoder *encoder);
/* Writes the same ids and types as retort_tokenize into the caller's arrays [capacity], *count of each. If
 * they do not fit: RETORT_LIMIT, and *count is the number needed. */
RETORT_API retort_status retort_encode(retort_encoder *encoder, const retort_text *text,
                                       const retort_tokenize_options *options, int32_t *ids, int32_t *types,
                                       size_t capacity, size_t *count, retort_error *err);
/* For retort_run_unpooled: the first tokens of each text encoded with these options that the model does not pool, which are those
 * of the prompt if its package says include_prompt: false; else 0. RETORT_UNSUPPORTED: the model cannot leave them out. */
RETORT_API retort_status retort_encoder_unpooled(retort_encoder *encoder,
                                                 const retort_tokenize_options *options, size_t *count,
                                                 retort_error *err);

/* ---- Providers ---------------------------------------------------------------------------------------- */

/* An engine that runs whole models: "native", or another one that is loaded on request. */
typedef struct retort_provider_info {
    size_t size;
    const char *name; /* "onnxruntime:openvino": as retort_session_options.provider spells it */
    const char *help; /* a short description */
    bool fused;       /* prefers exports with fused operators of ONNX Runtime */
    bool found;       /* its library exists, is the right one and recent enough */
    char version[32];
    char path[256];   /* of the library, "" for native */
    char reason[508]; /* "" if found, else why it cannot be used and how to install it */
} retort_provider_info;
RETORT_API void retort_provider_info_init(retort_provider_info *info, size_t size);
/* Looks for provider `index` in the folders of the environment variable RETORT_PROVIDERS (separated by
 * colons), in ~/.cache/retort/providers, where tools/providers installs them, and where the system loader
 * looks. A library that was found stays loaded. Before loading ONNX Runtime, sets ORT_DISABLE_TELEMETRY=1 in
 * the environment unless it is already set. RETORT_ARGUMENT beyond the last provider. Thread-safe. */
RETORT_API retort_status retort_provider(size_t index, retort_provider_info *info);

/* ---- Sessions ----------------------------------------------------------------------------------------- */

typedef struct retort_session retort_session;

/* Row-major floats [rows, columns]. As a result: one row per sequence for classify and embed, per token for
 * tag and answer, per mask token for fill, in order. */
typedef struct retort_matrix {
    const float *data;
    size_t rows, columns;
} retort_matrix;

/* The first input and the first output of one step, for one chunk of a batch. `data` is NULL (and rows and
 * columns are 0) if these are not float32 rows per token, sequence or mask token: ids that an embedding
 * reads, rows in bf16 or int8. The `in` of a "Linear" is what its weight multiplies; its `out` includes
 * activation and residual. */
typedef struct retort_tapped {
    size_t size;
    size_t step;      /* index, as in retort_session_step */
    const char *op;   /* "Linear", … */
    const char *name; /* "layer.0.ffn.lin1": that of the node, unique; lives as long as the model */
    retort_matrix in, out;
    float *
        out_write; /* out.data, to be changed: what the steps after this one read. NULL if the step has other outputs, too */
} retort_tapped;
/* Observes a step. The rows are valid until it returns. A non-zero return stops the run with
 * RETORT_CANCELLED. */
typedef int (*retort_tap_fn)(void *user, const retort_tapped *tapped);

/* Whether products read weights of fewer than 8 bits as codes, or unpacked to int8. Answers are the same, bit for
 * bit. Unpacked weights take one byte each of private memory, in addition to the mapped file. They belong to the model:
 * all its sessions in this process share them, from any thread, and closing the last session frees them. */
typedef enum retort_unpack {
    /* Unpack each weight on its second use, if that is faster on this CPU and the int8 weights of the model take at
     * most four times its L3 cache. The first use reads the codes, so the first answer takes no longer. */
    RETORT_UNPACK_AUTO,
    RETORT_UNPACK_ALWAYS, /* all of them, when the session is opened */
    RETORT_UNPACK_NEVER   /* read the codes: least memory where many processes share one mapped file */
} retort_unpack;

typedef struct retort_session_options {
    size_t size;
    const char *provider; /* NULL or "native": retort's engine; or another one, see retort_provider */
    const char *isa;      /* NULL: the best of this CPU; "ref" "avx2" "vnni" "amx" "neon": at most this */
    int threads;          /* 0: min(affinity, cgroup quota, physical cores) */
    int64_t chunk_tokens; /* tokens of a chunk, which one worker takes through the network; 0: automatic */
    bool special_as_text; /* as in retort_tokenize_options, for the calls that take text */
    bool profile;         /* measure the time of each step, for retort_session_step */
    bool keep_duplicates; /* compute equal sequences of a batch separately, to measure the cost */
    /* Called in the thread that calls retort_run, after every step of every chunk: chunks in order, and the
     * steps of a chunk in order. Over all chunks, the rows of a step are those of the sequences in the order
     * of the batch; of equal sequences, only the first. Rows that nobody reads (in the last layer, if the
     * head reads only some) are not computed and not shown. Results keep their bits unless it writes. Needs a model of level
     * 3, since others also compute padding. NULL (default): costs nothing. */
    retort_tap_fn tap;
    void *tap_user;
    /* Other engines only; isa, profile and tap are for native only. */
    const char *onnx;        /* NULL, or an earlier export of this model for the engine to read */
    const char *graph_level; /* graph level of ONNX Runtime: "none", "basic", "extended"; NULL: "all" */
    /* Native, and models that embed: retort_run returns the vectors [tokens, hidden] before pooling, one row
     * per token as for RETORT_TASK_TAG; calls that take text are refused. RETORT_UNSUPPORTED for a model of
     * level 3 that pools only the first token: import it without the rewrite "prune-rows". */
    bool token_vectors;
    /* Name of the prompt put before each embedded text; NULL: default_prompt of the model, "": none. */
    const char *prompt_name;
    retort_unpack unpack; /* native only */
    /* NULL, or called in the thread of a call that answers an array of Arrow, between groups of texts that take a fraction of a
     * second: not 0 ends the call with RETORT_CANCELLED. */
    int (*cancel)(void *user);
    void *cancel_user;
} retort_session_options;
#define RETORT_SESSION_OPTIONS                                                                               \
    {                                                                                                        \
        sizeof(retort_session_options), NULL, NULL, 0, 0, false, false, false, NULL, NULL, NULL, NULL,       \
            false, NULL, RETORT_UNPACK_AUTO, NULL, NULL                                                      \
    }
RETORT_API void retort_session_options_init(retort_session_options *options, size_t size);

/* Plans the model for this machine and starts the threads; the caller closes *out. The session holds a reference to the
 * model. `options` may be NULL. RETORT_ARGUMENT: options that do not fit the model or each other; RETORT_UNSUPPORTED: the
 * model cannot do what they ask; RETORT_PROVIDER: the engine is missing or refuses the model. */
RETORT_API retort_status retort_session_open(retort_session **out, retort_model *model,
                                             const retort_session_options *options, retort_error *err);
/* Ends the threads and frees all that results of the session point into. Not during a call of the session. */
RETORT_API void retort_session_close(retort_session *session);

/* n sequences of token ids, concatenated without padding: sequence i is ids[offsets[i] … offsets[i+1]), with
 * its special tokens. `types` may be NULL (all 0). */
typedef struct retort_batch {
    const int32_t *ids;
    const int32_t *types;
    const int32_t *offsets; /* [n + 1], offsets[0] == 0, each sequence 1…positions tokens */
    size_t n;
} retort_batch;

/* Runs the network; equal sequences are computed once. *out points into memory of the
 * session and is valid until its next call. RETORT_NONFINITE: a number in *out is NaN or infinite; *out is
 * still set, so that the other rows can be used. */
RETORT_API retort_status retort_run(retort_session *session, const retort_batch *batch, retort_matrix *out,
                                    retort_error *err);
/* The same, where the network reads the first unpooled[i] tokens of sequence i, fewer than it has, but pooling leaves them out: see
 * retort_encoder_unpooled. unpooled: [n]; NULL: all are pooled. */
RETORT_API retort_status retort_run_unpooled(retort_session *session, const retort_batch *batch,
                                             const int32_t *unpooled, retort_matrix *out, retort_error *err);

/* scores: [n, labels], owned by the caller; softmax, sigmoid or the plain value according to retort_problem, or what the
 * model states (retort_info.activation).
 * logits: the same shape, or NULL. capacity: size of each array in floats; RETORT_LIMIT if less than
 * n * labels. */
RETORT_API retort_status retort_classify(retort_session *session, const retort_text *texts, size_t n,
                                         float *scores, float *logits, size_t capacity, retort_error *err);
/* How retort_classify makes scores of a row of n logits, unless the model states an activation; `scores` may be
 * `logits`. */
RETORT_API void retort_scores(retort_problem problem, const float *logits, size_t n, float *scores);
/* The same for rows [rows, labels] of a classifier, with the activation that a cross-encoder states; `count` is rows *
 * labels, the size of both arrays, and RETORT_ARGUMENT if it is no multiple of labels. Of models for other tasks, scores
 * are the logits. */
RETORT_API retort_status retort_model_scores(const retort_model *model, const float *logits, size_t count,
                                             float *scores, retort_error *err);
/* Writes the indices of the k highest of n scores into best [k], highest first, equal ones in order. Returns how many
 * these are: k, or n if that is less. Takes n log k steps and no memory. */
RETORT_API size_t retort_best(const float *scores, size_t n, uint32_t *best, size_t k);

/* What a classifier says of one text. Everything in it is valid until the callback returns. */
typedef struct retort_classified {
    size_t size;
    size_t text;                  /* index in the call */
    const float *scores, *logits; /* [labels] */
    size_t labels;
    size_t best;       /* index of the highest score, the first of equals */
    float score;       /* scores[best] */
    const char *label; /* name of `best`; "LABEL_2" if the model names none */
} retort_classified;
/* A non-zero return stops the call with RETORT_CANCELLED. */
typedef int (*retort_classified_fn)(void *user, const retort_classified *text);
/* retort_classify for any number of texts and labels, without arrays of the caller: calls `each` for every text, in order,
 * between the batches that the texts are run in. */
RETORT_API retort_status retort_classify_each(retort_session *session, const retort_text *texts, size_t n,
                                              retort_classified_fn each, void *user, retort_error *err);
/* vectors: [n, labels of retort_info], owned by the caller. capacity: its size in floats; RETORT_LIMIT if
 * less than needed. */
RETORT_API retort_status retort_embed(retort_session *session, const retort_text *texts, size_t n,
                                      float *vectors, size_t capacity, retort_error *err);

/* Zero-shot classification with a natural-language-inference model, as in the pipeline of transformers: each
 * label is put into a hypothesis, and its score is how well the text entails that. Entailment is the first
 * label of the model whose name begins with "entail", ignoring case, or else the last one. */
typedef struct retort_zero_shot_options {
    size_t size;
    const char *hypothesis; /* Python format string; "{}" is the label. NULL: "This example is {}." */
    bool multi_label;       /* labels are independent: entailment against contradiction */
} retort_zero_shot_options;
#define RETORT_ZERO_SHOT_OPTIONS                                                                             \
    { sizeof(retort_zero_shot_options), NULL, false }
RETORT_API void retort_zero_shot_options_init(retort_zero_shot_options *options, size_t size);
/* Makes a hypothesis, the second text of the pair, in `out` [capacity] bytes. *length is its length, also
 * with RETORT_LIMIT if it does not fit. */
RETORT_API retort_status retort_hypothesis(const char *hypothesis, size_t hypothesis_length,
                                           const char *label, size_t label_length, char *out, size_t capacity,
                                           size_t *length, retort_error *err);
/* Scores [n] of n labels, from the logits [n, labels of the model] of their hypotheses. */
RETORT_API retort_status retort_zero_shot_scores(const retort_model *model, const float *logits, size_t n,
                                                 bool multi_label, float *scores, retort_error *err);
/* Both, for one text and n labels (their `text`). If a pair is too long, only the text is truncated.
 * `options` may be NULL. */
RETORT_API retort_status retort_zero_shot(retort_session *session, const retort_text *text,
                                          const retort_text *labels, size_t n,
                                          const retort_zero_shot_options *options, float *scores,
                                          retort_error *err);

/* A span of a text: code points [start, end) of the original, and the same in bytes. */
typedef struct retort_span {
    size_t text; /* index of the text in the call */
    uint32_t start, end;
    uint32_t byte_start, byte_end;
    int64_t label; /* of an entity: that of its first token; of an answer: -1 */
    float score;
    /* Of an entity: the label without everything up to its first '-', "PER"; of a single token: the whole
     * label. Lives as long as the model. */
    const char *name;
    /* Of single tokens (RETORT_AGGREGATION_NONE): the id, and the index of the token in the text, where [CLS]
     * is 0. */
    int32_t piece;
    uint32_t token;
} retort_span;
/* A growing array, owned by the struct: start with {0}, reuse as often as you like, free with
 * retort_spans_free. */
typedef struct retort_spans {
    retort_span *items;
    size_t count, capacity;
} retort_spans;
/* Frees the array and empties the struct, not the struct itself. */
RETORT_API void retort_spans_free(retort_spans *spans);

/* The tokens of a text for retort_tag, retort_answer or retort_fill, made in advance by any thread: it then knows
 * what the text costs, and the text is not tokenised again. Text and model must be the same for both calls. */
typedef struct retort_windows retort_windows;
typedef struct retort_windows_info {
    size_t size;
    size_t windows; /* 1 unless a long text is read in several */
    size_t tokens;  /* of all of them */
    size_t bytes;   /* of memory */
    bool truncated; /* the text is longer than what is read of it */
} retort_windows_info;
RETORT_API void retort_windows_info_init(retort_windows_info *info, size_t size);
/* RETORT_ARGUMENT: NULL, or a struct of a later header. */
RETORT_API retort_status retort_windows_describe(const retort_windows *windows, retort_windows_info *out);
RETORT_API void retort_windows_free(retort_windows *windows);

/* How tokens become entities: aggregation_strategy of transformers. */
typedef enum retort_aggregation {
    RETORT_AGGREGATION_SIMPLE,  /* adjacent tokens of one type form one, up to the next "B-" */
    RETORT_AGGREGATION_NONE,    /* every token on its own */
    RETORT_AGGREGATION_FIRST,   /* a word takes the label of its first token; then as above */
    RETORT_AGGREGATION_AVERAGE, /* a word takes the best label by the mean scores of its tokens */
    RETORT_AGGREGATION_MAX      /* a word takes the label of its token with the highest score */
} retort_aggregation;

typedef struct retort_tag_options {
    size_t size;
    retort_aggregation aggregation;
    /* A text that is too long for the model is read in windows that overlap by this number of tokens. Of two
     * overlapping entities the longer is kept, of equally long ones that with the higher score. < 0
     * (default): 128, or half a window if that is less. Must be 0 or default with
     * RETORT_AGGREGATION_NONE. */
    int64_t stride;
    bool cut;                  /* read only the first window */
    const char *const *ignore; /* names of spans to omit; NULL (default): only "O" */
    size_t ignore_count;
    const retort_windows *windows; /* NULL (default), or those of the only text, with the same options */
} retort_tag_options;
#define RETORT_TAG_OPTIONS                                                                                   \
    { sizeof(retort_tag_options), RETORT_AGGREGATION_SIMPLE, -1, false, NULL, 0, NULL }
RETORT_API void retort_tag_options_init(retort_tag_options *options, size_t size);
/* Finds the entities of n texts, in order; replaces the contents of *out. `options` may be NULL. */
RETORT_API retort_status retort_tag(retort_session *session, const retort_text *texts, size_t n,
                                    const retort_tag_options *options, retort_spans *out, retort_error *err);
/* The windows of one text; the caller frees *out, after the calls that use it. `options` may be NULL; special_as_text as in
 * retort_session_options. RETORT_ARGUMENT: the model of the encoder does not tag. */
RETORT_API retort_status retort_tag_windows(retort_windows **out, retort_encoder *encoder,
                                            const retort_text *text, const retort_tag_options *options,
                                            bool special_as_text, retort_error *err);

/* As in the question-answering pipeline of transformers, whose names are in parentheses. */
typedef struct retort_answer_options {
    size_t size;
    size_t top;       /* number of answers, best first (top_k); 0: 1 */
    int64_t longest;  /* most tokens of an answer (max_answer_len); 0: 15 */
    int64_t window;   /* tokens of a window (max_seq_len); 0: 384, or the limit of the model if lower */
    int64_t stride;   /* tokens by which windows overlap (doc_stride); < 0 (default): 128, or half a window */
    int64_t question; /* tokens to truncate the question to (max_question_len); 0: no truncation */
    bool impossible;  /* "" may be the answer, with the score of [CLS] (handle_impossible_answer) */
    bool pieces;      /* do not widen answers to whole words (align_to_words false) */
    const retort_windows *windows; /* as in retort_tag_options */
} retort_answer_options;
#define RETORT_ANSWER_OPTIONS                                                                                \
    { sizeof(retort_answer_options), 0, 0, 0, -1, 0, false, false, NULL }
RETORT_API void retort_answer_options_init(retort_answer_options *options, size_t size);
/* Finds the best answers to `question` in `context`, at least one. Answers with the same text, ignoring case,
 * are merged and their scores added. Replaces the contents of *out. `options` may be NULL. */
RETORT_API retort_status retort_answer(retort_session *session, const char *question, size_t question_length,
                                       const char *context, size_t context_length,
                                       const retort_answer_options *options, retort_spans *out,
                                       retort_error *err);
/* The same for an answer: the question is the text, the context its pair. */
RETORT_API retort_status retort_answer_windows(retort_windows **out, retort_encoder *encoder,
                                               const retort_text *text, const retort_answer_options *options,
                                               bool special_as_text, retort_error *err);
typedef struct retort_fill_guess {
    int32_t id;
    float score; /* softmax over the vocabulary */
} retort_fill_guess;
typedef struct retort_fill_options {
    size_t size;
    /* NULL, or the only words to consider: pieces of the vocabulary, or else the first piece of the text. */
    const retort_text *targets;
    size_t target_count;
    const retort_windows *windows; /* as in retort_tag_options */
} retort_fill_options;
#define RETORT_FILL_OPTIONS                                                                                  \
    { sizeof(retort_fill_options), NULL, 0, NULL }
RETORT_API void retort_fill_options_init(retort_fill_options *options, size_t size);
/* Finds the k best pieces for each mask token of the text: guesses[mask * k + rank], with room for max_masks
 * mask tokens; the id is -1 where there are fewer pieces. *masks is the number of mask tokens in the text,
 * also with RETORT_LIMIT if they do not fit. `options` may be NULL. */
RETORT_API retort_status retort_fill(retort_session *session, const retort_text *text, size_t k,
                                     const retort_fill_options *options, retort_fill_guess *guesses,
                                     size_t max_masks, size_t *masks, retort_error *err);
/* The same for mask tokens. */
RETORT_API retort_status retort_fill_windows(retort_windows **out, retort_encoder *encoder,
                                             const retort_text *text, retort_error *err);

/* One step of the plan, in execution order. */
typedef struct retort_step_info {
    size_t size;
    const char *op;     /* "Linear", "Attention", … */
    const char *name;   /* "layer.0.ffn.lin1" */
    const char *kernel; /* "gemm_f32_avx512" */
    char shape[64];     /* "m=tokens n=3072 k=768" */
    uint64_t weight_bytes;
    double flops_token; /* per row it computes; multiply and add count as two */
    double seconds;     /* in all runs so far; 0 unless the session profiles */
    uint64_t runs;
    /* dtype of its products: RETORT_F32, RETORT_BF16 or RETORT_S8. RETORT_S8 attention computes sequences of up to
     * 16 tokens in float. */
    retort_dtype arithmetic;
    bool four_bits; /* RETORT_S8 times 4-bit weights; the peak is retort_peaks.s4 */
    /* In all runs so far, 0 unless the session profiles. Each run reads the whole weights once; a step that
     * gathers rows of a table has 0. */
    double operations;     /* multiply and add count as two */
    uint64_t weights_read; /* bytes */
    /* How products read a weight of fewer than 8 bits: "codes" or "int8" (unpacked). Other weights: NULL. */
    const char *form;
    size_t codes_up_to; /* form "int8": products of at most this many rows read the codes even so */
} retort_step_info;
RETORT_API void retort_step_info_init(retort_step_info *info, size_t size);
/* RETORT_ARGUMENT beyond the last step. */
RETORT_API retort_status retort_session_step(const retort_session *session, size_t index,
                                             retort_step_info *info);

typedef struct retort_session_info {
    size_t size;
    const char *provider, *isa; /* isa: "own" for other engines, which choose it themselves */
    int threads;
    uint64_t arena_bytes; /* reserved for activations of all workers; touched only as far as used */
    size_t steps;         /* other engines: 0 */
    const char *version;  /* of the engine; lives as long as the session */
    uint64_t truncated;   /* texts truncated so far, in calls that take texts */
    /* Weights of fewer than 8 bits: bytes they take when all are unpacked to int8, and bytes unpacked so far, in
     * memory that all sessions of the model share. 0 without such weights. */
    uint64_t int8_bytes, unpacked_bytes;
    const char *unpack_reason; /* why they are unpacked, or are not; a constant. NULL without such weights */
} retort_session_info;
RETORT_API void retort_session_info_init(retort_session_info *info, size_t size);
/* RETORT_ARGUMENT: NULL, or a struct of a later header. */
RETORT_API retort_status retort_session_describe(const retort_session *session, retort_session_info *info);

/* ---- Tables ------------------------------------------------------------------------------------------- */

/* The rows of a table, one after the other: a TSV without quoting or a CSV (RFC 4180), both with a header, or JSON lines.
 * Memory does not grow with the file. A text may be a number; an empty one is a text. */
typedef struct retort_table retort_table;
typedef enum retort_table_format {
    RETORT_TABLE_TSV,
    RETORT_TABLE_CSV,
    RETORT_TABLE_JSONL
} retort_table_format;
/* Reads up to `size` bytes. Returns how many, 0 at the end of the file, or -1 after it has filled *err. */
typedef int64_t (*retort_read_fn)(void *user, void *bytes, size_t size, retort_error *err);

typedef struct retort_table_options {
    size_t size;
    const char *name; /* of the file, for errors */
    retort_table_format format;
    const char *text_column, *pair_column; /* as in retort_dataset_options */
    /* Columns that the caller will add to each row: a table that has one of them is refused, and so is an object of
     * JSON lines. */
    const char *const *added;
    size_t added_count;
} retort_table_options;
#define RETORT_TABLE_OPTIONS                                                                                 \
    { sizeof(retort_table_options), "table", RETORT_TABLE_TSV, NULL, NULL, NULL, 0 }
RETORT_API void retort_table_options_init(retort_table_options *options, size_t size);

/* Pointers are valid until the next call for the table. */
typedef struct retort_row {
    const char
        *record; /* the row's bytes in the file, without the end of the line; NULL: there are no more */
    size_t length;
    const char *ending; /* "\n" or "\r\n"; "": the file ends here */
    uint64_t line;      /* the row's first line in the file, from 1 */
    retort_text text;
    const char *
        problem; /* NULL, or what is wrong with the row, which then has no text: a wrong number of columns, bytes
                            that are not UTF-8, a carriage return outside the quotes of CSV, broken JSON, no text */
} retort_row;

/* What was read so far: up to the end of a row. */
typedef struct retort_table_position {
    uint64_t bytes, lines;
    uint32_t check; /* of these bytes */
} retort_table_position;

/* Reads the header, or the first object of JSON lines. RETORT_FORMAT: there is none, it is not UTF-8, or it has no such
 * columns or several of that name; a row is longer than 64 MB, or a quote is never closed. RETORT_ARGUMENT: it has a column that is to be added. */
RETORT_API retort_status retort_table_open(retort_table **out, const retort_table_options *options,
                                           retort_read_fn read, void *user, retort_error *err);
/* The header as a row without text, with the byte order mark if it has one. JSON lines: record is NULL. */
RETORT_API void retort_table_header(const retort_table *table, retort_row *row);
/* Whether rows have pairs of texts. */
RETORT_API bool retort_table_pairs(const retort_table *table);
/* The next row, which may have a problem; lines without anything are skipped. */
RETORT_API retort_status retort_table_next(retort_table *table, retort_row *row, retort_error *err);
/* The position behind the last row that retort_table_next gave. */
RETORT_API void retort_table_where(const retort_table *table, retort_table_position *position);
/* Goes on at a position of an earlier reading. RETORT_FORMAT: the bytes before it are not the same. */
RETORT_API retort_status retort_table_skip(retort_table *table, const retort_table_position *position,
                                           retort_error *err);
RETORT_API void retort_table_close(retort_table *table);

/* ---- Data sets and evaluation ------------------------------------------------------------------------- */

/* What the texts of a data set are labelled with. */
typedef enum retort_targets {
    RETORT_TARGETS_NONE,   /* nothing */
    RETORT_TARGETS_LABEL,  /* one label per text */
    RETORT_TARGETS_LABELS, /* any number of labels per text */
    RETORT_TARGETS_VALUE,  /* a number per text, or per pair of texts */
    RETORT_TARGETS_TAGS,   /* a label per word */
    RETORT_TARGETS_ANSWERS /* accepted answers per question */
} retort_targets;

typedef struct retort_dataset_options {
    size_t size;
    /* Columns of a table. NULL: "sentence" or "text", or a pair of "sentence1" and "sentence2", "question"
     * and "context", "premise" and "hypothesis", "anchor" and "positive"; "label" or "labels", or "score" if the
     * task has numbers. Several label columns are separated by commas ("toxic,insult"): each says with 0 or 1 whether
     * a text has the label that the column is named after. Without "label" and "labels", those named as the labels of
     * the model are taken. */
    const char *text_column, *pair_column, *label_column;
    bool texts_only; /* do not read labels; they may be anything */
    /* Find the labels in the data, for a model that is still to be made; the model may be NULL then, and its labels do not
     * matter. retort_dataset_label has their names: sorted by their bytes, or by value if all are whole numbers; those of
     * several columns in the order of the columns. Numbers of which not all are whole, and those of a column "score", are
     * values, not labels. */
    bool collect;
    retort_task
        task; /* with `collect`: decides the format where the file's name does not, and what labels are */
    retort_targets targets; /* with `collect`: what the labels are; RETORT_TARGETS_NONE: found out */
    /* Several labels per text are a list of names, of numbers, or of 0 and 1 for each label (JSON lines), several columns,
     * or names in one cell, separated by this byte. NULL: ";" where several are expected. */
    const char *label_separator;
} retort_dataset_options;
#define RETORT_DATASET_OPTIONS                                                                               \
    {                                                                                                        \
        sizeof(retort_dataset_options), NULL, NULL, NULL, false, false, RETORT_TASK_CLASSIFY,                \
            RETORT_TARGETS_NONE, NULL                                                                        \
    }
RETORT_API void retort_dataset_options_init(retort_dataset_options *options, size_t size);

/* Reads a data file for the task of the model (NULL: only its texts). Formats, by the file name or else the
 * first line: TSV without quoting or CSV (RFC 4180), both with a header, JSON lines (.tsv, .csv, .jsonl),
 * CoNLL columns (token tag), SQuAD JSON, or plain lines. Anything but a regular file, such as /dev/stdin, is
 * read to its end. options NULL: defaults. */
RETORT_API retort_status retort_dataset_open(retort_dataset **out, const char *path,
                                             const retort_model *model, const retort_dataset_options *options,
                                             retort_error *err);
/* How many texts, pairs, sentences or questions it has. */
RETORT_API size_t retort_dataset_count(const retort_dataset *data);
/* Text `index` of the set (words of a CoNLL sentence are joined by a space). */
RETORT_API retort_status retort_dataset_text(const retort_dataset *data, size_t index, retort_text *text);
typedef struct retort_dataset_info {
    size_t size;
    retort_targets targets;
    bool pairs;    /* each text is a pair */
    bool numbers;  /* all targets are numbers: values, or labels whose names are whole numbers */
    size_t labels; /* collected names: see retort_dataset_label */
} retort_dataset_info;
RETORT_API void retort_dataset_info_init(retort_dataset_info *info, size_t size);
/* RETORT_ARGUMENT: NULL, or a struct of a later header. */
RETORT_API retort_status retort_dataset_describe(const retort_dataset *data, retort_dataset_info *info);
/* Name of collected label `index`, NULL beyond the last one. Lives as long as the data set. */
RETORT_API const char *retort_dataset_label(const retort_dataset *data, size_t index);
/* Texts that have collected label `index` (tags: words). Linear in the size of the data. */
RETORT_API size_t retort_dataset_label_count(const retort_dataset *data, size_t index);
RETORT_API void retort_dataset_free(retort_dataset *data);

/* Texts that have a label, texts that were given it, and texts with both; of taggers entities of a type, as seqeval counts
 * them: those in the data, those found, and those found with the right start, end and type. */
typedef struct retort_class_counts {
    uint64_t gold, predicted, correct;
} retort_class_counts;

/* What one text got (tags: a sentence; answers: a question), and what the reference says. */
typedef struct retort_eval_text {
    size_t size;
    size_t index; /* in the data */
    /* Models that give each text one label, else -1: the text's own (without labels in the data: -1), that of the model, that of the
     * reference (-1: none). */
    int64_t gold, label, reference;
    double probability,
        reference_probability; /* of `label`, and of `reference` by the reference; NaN: none */
    /* With a reference, for labels of texts and of tokens: rows of logits, how many of them have another best label (several labels
     * per text: another decision), and their mean KL. */
    size_t rows, changed;
    double kl;
} retort_eval_text;

typedef struct retort_eval_options {
    size_t size;
    retort_session *reference; /* NULL, or a session to compare logits with */
    int64_t max_length; /* tokens a text is truncated to; < 0 (default): that of the model; tagging: 128 */
    retort_write_fn logits; /* receives the logits of each text, tab-separated, 9 digits, one row per line */
    void *logits_user;
    retort_progress_fn progress;
    void *progress_user;
    int64_t batch_tokens; /* texts run together up to this number of tokens; <= 0 (default): automatic */
    /* Models with labels. The caller's, and filled: [labels], and [labels * labels]: texts of label i that were given
     * label j, at [i * labels + j], of models that give each text one label. Taggers: each type of entity at the first label
     * that has it. NULL: not wanted. */
    retort_class_counts *classes;
    uint64_t *confusion;
    /* NULL, or called for each text in the order of the data. Not 0: stop with RETORT_CANCELLED. */
    int (*each)(void *user, const retort_eval_text *text);
    void *each_user;
    /* With a reference: bound and p of the result, from so many bootstrap draws; 0: none. */
    size_t draws;
    double confidence; /* of the bound, one-sided; 0: 0.95 */
    double floor;      /* a loss of the metric, for p */
    size_t
        class_capacity; /* labels that `classes` and `confusion` have room for; RETORT_LIMIT if there are more */
} retort_eval_options;
#define RETORT_EVAL_OPTIONS                                                                                  \
    { sizeof(retort_eval_options), NULL, -1, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, 0, 0, 0, 0 }
RETORT_API void retort_eval_options_init(retort_eval_options *options, size_t size);

typedef struct retort_eval_result {
    size_t size;
    /* "accuracy"; "f1" of entities, or of the decisions about several labels; "spearman", "exact_match",
     * "pseudo_perplexity" */
    const char *metric;
    double value;
    size_t n; /* texts */
    const char
        *second_metric; /* NULL, or "f1" together with "exact_match", or "f1_macro" with labels: the mean of
                                  their F1 */
    double second_value;
    /* Against the reference; NaN without one, or if the task has no such figure. Mean over rows of logits of
     * KL(softmax(reference) || softmax(model)); share of rows with the same best label (embeddings: mean
     * cosine); largest difference of two logits. Answers: rows are the start and end logits of a window. */
    double kl, agreement, max_abs_logit_error;
    uint64_t truncated; /* number of truncated texts */
    /* Tokens of the texts, and how many the tokenizer does not know. More than a tenth: it was made for other texts. */
    uint64_t tokens, unknown;
    /* 95 % interval of the metric: Wilson's for shares (accuracy, exact match), else the percentiles of 1,000 bootstrap
     * draws of the texts, sentences or questions. NaN with fewer than two of them. */
    double low, high;
    /* The metric minus the reference's, and its 95 % interval: of the same draws for both. NaN without a reference. */
    double difference, difference_low, difference_high;
    /* With options.draws: a lower bound of the difference, and the p-value of "the metric loses `floor` or more": the share of draws
     * in which it does. One text that only the reference gets right is added to those drawn from, so that n texts
     * without a change prove no less than a loss of 3 / n (where the metric counts texts, labels or entities). */
    double bound, p;
} retort_eval_result;
RETORT_API void retort_eval_result_init(retort_eval_result *result, size_t size);
/* Computes the metric of the task on labelled data. Of a classifier with one label per text and a reference, data without labels
 * will do: the metric is then "agreement", the share of texts that get the reference's label. `options` may be NULL. Each batch runs in the session and
 * then in the reference, so that their taps see the same rows of the same texts in turn. */
RETORT_API retort_status retort_eval(retort_session *session, const retort_dataset *data,
                                     const retort_eval_options *options, retort_eval_result *result,
                                     retort_error *err);

/* ---- Cascades ------------------------------------------------------------------------------------------ */

/* A cascade is a model made of stages: a linear model on word pieces, shallow students, and the full model. Each answers only
 * the texts whose largest softmax probability reaches its threshold; the full model answers the rest. It loads, runs, is
 * evaluated and served as any other model; the logits of a text are those of the stage that answered it. It cannot be
 * quantised, trained, optimised or exported: its stages are, before it is made. */

/* Bounds of a share of which `count` of `n` were seen, each wrong with a probability of at most 1 - confidence: Clopper and
 * Pearson (1934), exact for the binomial. low and high may be NULL. NaN if n is 0, count is over n, or
 * confidence is not between 0 and 1. */
RETORT_API void retort_binomial(uint64_t count, uint64_t n, double confidence, double *low, double *high);

typedef struct retort_cascade_options {
    size_t size;
    /* Texts, labels are not needed. None of the models may have been trained on them: they must be as new to all of them as the
     * texts to come. They are split by the seed into parts that train the linear stage, order the thresholds, calibrate
     * them, and report. */
    const retort_dataset *data; /* required */
    const retort_dataset
        *linear_data; /* NULL, or the texts that train the linear stage instead of a part of `data` */
    const retort_dataset *test;    /* NULL, or the texts to report about instead of a part of `data` */
    retort_model *const *students; /* [student_count] cheapest first; retained */
    size_t student_count;
    bool linear;       /* train a linear stage, before the students */
    double epsilon;    /* share of answers that may differ from the full model's; 0: 0.01 */
    double confidence; /* 0: 0.95 */
    uint64_t seed;
    int threads;                 /* as in retort_session_options */
    const char *isa;             /* likewise */
    retort_progress_fn progress; /* may be NULL */
    /* NULL, or receives which stage was dropped, and what makes the result worse than it looks. */
    void (*warning)(void *user, const char *text);
    void *user;
} retort_cascade_options;
#define RETORT_CASCADE_OPTIONS                                                                               \
    { sizeof(retort_cascade_options), NULL, NULL, NULL, NULL, 0, false, 0, 0, 0, 0, NULL, NULL, NULL, NULL }
RETORT_API void retort_cascade_options_init(retort_cascade_options *options, size_t size);

/* How a cascade was calibrated. */
typedef struct retort_cascade_info {
    size_t size;
    size_t stages; /* with the full model, which is the last */
    double epsilon, confidence;
    uint64_t trained, ordered; /* texts that trained the linear stage, and that ordered the thresholds */
    /* Texts that calibrated the thresholds, and those whose answer differed from the full model's: with `confidence`, the share
     * of such answers is below epsilon. */
    uint64_t calibrated, calibrated_differ;
    uint64_t tested, tested_differ; /* the same of texts that had no part in it */
} retort_cascade_info;
RETORT_API void retort_cascade_info_init(retort_cascade_info *info, size_t size);

typedef enum retort_stage_kind {
    RETORT_STAGE_LINEAR,
    RETORT_STAGE_STUDENT,
    RETORT_STAGE_FULL
} retort_stage_kind;

/* Strings live as long as the model. */
typedef struct retort_stage_info {
    size_t size;
    retort_stage_kind kind;
    const char *recipe;         /* as in retort_info; of a linear stage "int8" */
    int64_t layers;             /* 0 of a linear stage */
    uint64_t parameters;        /* scalars in its weights */
    double threshold;           /* of the largest softmax probability; 0 of the full model */
    double share, tested_share; /* of the calibration texts, and of the tested texts, that it answers */
} retort_stage_info;
RETORT_API void retort_stage_info_init(retort_stage_info *info, size_t size);

/* Makes a cascade of a full model and cheaper stages. Thresholds are tested in a fixed order, strict to lax, and loosened as
 * long as the upper bound (retort_binomial) of the share of texts whose answer differs from the full model's is at most
 * epsilon; the first failure ends it (fixed-sequence testing: Angelopoulos et al., Learn then Test, 2110.01052). So, with `confidence`,
 * at most epsilon of the answers to texts like these differ. Stages that answer nothing are dropped. Classifiers of one
 * label per text only. The same models, texts and options give the same thresholds.
 * RETORT_ARGUMENT: the models do not fit together, or there are too few texts for any threshold; RETORT_LIMIT: no stage is sure
 * enough of any text. The caller frees *out. */
RETORT_API retort_status retort_cascade(retort_model **out, retort_model *full,
                                        const retort_cascade_options *options, retort_error *err);
/* RETORT_ARGUMENT: the model is no cascade. */
RETORT_API retort_status retort_model_cascade(const retort_model *model, retort_cascade_info *info);
/* RETORT_ARGUMENT beyond the last stage, and if the model is no cascade. */
RETORT_API retort_status retort_model_stage(const retort_model *model, size_t index, retort_stage_info *info);
/* The model of stage `index`, with a reference for the caller; NULL: none, or it is linear. */
RETORT_API retort_model *retort_model_stage_model(const retort_model *model, size_t index);
/* The stage that answered each row of the last retort_run: [rows], valid until the next call of the session. NULL: the
 * model is no cascade. */
RETORT_API const uint8_t *retort_session_answered_by(const retort_session *session);

/* ---- Training ----------------------------------------------------------------------------------------- */

typedef enum retort_decay { RETORT_DECAY_LINEAR, RETORT_DECAY_COSINE, RETORT_DECAY_CONSTANT } retort_decay;

/* State of a training, for progress. */
typedef struct retort_train_progress {
    size_t size;
    /* "train" after each step; "epoch" after the last step of an epoch, when dev is known; "recipe", "teacher" and "dev"
     * while these are computed. */
    const char *what;
    double epoch; /* epochs done, with a fraction */
    size_t step,
        steps;   /* done, and of the whole training; "recipe": of its work; "teacher" and "dev": texts */
    double loss; /* mean of the last 50 steps */
    double rate; /* learning rate */
    double tokens_per_second;
    double seconds_left;
    const char *metric; /* of dev: "accuracy", …; NULL without dev */
    double dev, best;   /* last and best value; NaN before the first */
} retort_train_progress;

typedef struct retort_train_options {
    size_t size;
    const retort_dataset *data; /* required; unlabelled texts are enough with a teacher */
    const retort_dataset *dev;  /* NULL, or what chooses the best epoch and stops early */
    double epochs;              /* 0: 3; integers: no more than 100 steps, 1,000 at 2 bits */
    size_t steps;               /* 0: as many as the epochs have */
    size_t batch;               /* texts per step; 0: 32 */
    double learning_rate; /* 0: 5e-5, 2e-4 below a hidden size of 768; recipes have their own defaults */
    double warmup;        /* share of the steps; < 0: 0.06 */
    retort_decay decay;
    double weight_decay;    /* of matrices and tables; < 0: 0.01 */
    double clip;            /* largest norm of the gradient; < 0: 1; 0: none */
    double layer_decay;     /* factor of the learning rate from a layer to the one below; 0: 1 */
    double label_smoothing; /* [0, 1) */
    bool class_weights;     /* labels count by the inverse of how often they occur */
    size_t patience;        /* epochs without a better dev value before it stops; 0: never */
    int64_t max_length;     /* tokens a text is cut to; <= 0: 128, or that of the model if smaller */
    uint64_t seed;
    int threads;             /* 0: automatic */
    const char *isa;         /* NULL: the best */
    retort_dtype arithmetic; /* of products: RETORT_F32, or RETORT_BF16 with float sums and weights */
    uint64_t memory; /* most bytes for activations and caches: batches are cut into chunks; 0: unlimited */
    /* Distillation. The loss is (1 - soft) times that of the labels, soft times KL at the temperature, and `hidden` times
     * the mean squared error of the last hidden states. */
    retort_model *teacher; /* NULL: none */
    double temperature;    /* 0: 2 */
    double soft;           /* < 0: 1 */
    double hidden; /* < 0: 1 where the widths agree, else 0; integers: 10, of the states of all layers */
    /* Share of the texts of a batch in which a span is replaced by one of another text, for the teacher to answer: only
     * with soft 1, or without labels. < 0: 0.5 for integers, else 0 */
    double mix;
    /* Quantisation-aware training. */
    const char *recipe; /* NULL: floats. A recipe of retort_recipe, whose result is where training starts */
    int bits;           /* of matrices: 8, 4, 3 or 2; 0: that of the recipe */
    int embeddings;     /* of the word table; 0: that of the recipe */
    int64_t group;      /* 0: that of the recipe; 64 at 2 bits */
    /* Checkpoints of the training itself: PATH, and PATH.best, the best model so far. They stay when it is done. One that
     * cannot be written is a warning, and the one before stays. */
    const char *checkpoint; /* PATH; NULL: none */
    double minutes;         /* between two of them; 0: 10 */
    bool
        resume; /* go on from the checkpoint; RETORT_ARGUMENT if it belongs to another training, and names what differs */
    /* Frees the weights of the start as soon as they are copied: nobody else may use it, and the caller can only free it
     * afterwards. Has no effect with a recipe, or where it is the teacher. */
    bool consume;
    /* Called often. Not 0: stop; the best so far is returned, with result->stopped. */
    int (*progress)(void *user, const retort_train_progress *progress);
    void (*warning)(void *user, const char *text);
    void *user;
} retort_train_options;
#define RETORT_TRAIN_OPTIONS                                                                                 \
    {                                                                                                        \
        sizeof(retort_train_options), NULL, NULL, 0, 0, 0, 0, -1, RETORT_DECAY_LINEAR, -1, -1, 0, 0, false,  \
            0, -1, 0, 0, NULL, RETORT_F32, 0, NULL, 0, -1, -1, -1, NULL, 0, 0, 0, NULL, 0, false, false,     \
            NULL, NULL, NULL                                                                                 \
    }
RETORT_API void retort_train_options_init(retort_train_options *options, size_t size);

typedef struct retort_train_result {
    size_t size;
    double epochs;
    size_t steps, best_step;
    double seconds;           /* all of the call */
    double tokens_per_second; /* of the steps alone */
    double loss;              /* mean of the last epoch, or of what was done of the first one */
    const char *metric;       /* NULL without dev */
    double dev;               /* of the model returned */
    bool stopped;             /* by progress, or early */
    uint64_t truncated;       /* texts that were cut */
} retort_train_result;
RETORT_API void retort_train_result_init(retort_train_result *result, size_t size);

/* Trains a model on labelled texts, or on a teacher's answers, and makes a new one; `model` stays as it is, unless `consume`. Tasks:
 * classify (one label, several, numbers; texts or pairs), tag, and embed (pairs of texts that belong together: cross
 * entropy over the batch, van den Oord et al., 1807.03748; with scores, mean squared error of cosines). With
 * RETORT_F32, the same model, data, options and seed give the same bytes with any number of threads. A loss that is not
 * finite is RETORT_NONFINITE and names the step and the tensor; so is one that diverges. The caller frees the model. */
RETORT_API retort_status retort_train(retort_model **out, const retort_model *model,
                                      const retort_train_options *options, retort_train_result *result,
                                      retort_error *err);

/* ---- Pruning ------------------------------------------------------------------------------------------ */

typedef struct retort_prune_options {
    size_t size;
    const retort_dataset *data; /* required; labels are not read */
    size_t samples;             /* texts; 0: 1024 */
    uint64_t seed;              /* for the choice of texts */
    /* What stays. At least one of these; `time` not together with heads or ffn. */
    size_t layers; /* whole layers; 0: all */
    double heads;  /* heads of a layer, in the mean: some keep more, some fewer; 0: all */
    double ffn;    /* share of the columns of feed-forward networks, (0, 1); 0: all */
    double
        time; /* share of the time of the int8 form on this machine, (0, 1), taken where it costs least; 0: all */
    size_t rounds; /* 0: 4 */
    int threads;   /* 0: automatic */
    /* Called often; cancels with RETORT_CANCELLED when it does not return 0. */
    retort_progress_fn progress;
    void *user;
} retort_prune_options;
#define RETORT_PRUNE_OPTIONS                                                                                 \
    { sizeof(retort_prune_options), NULL, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL }
RETORT_API void retort_prune_options_init(retort_prune_options *options, size_t size);

typedef struct retort_prune_result {
    size_t size;
    size_t layers;
    /* Mean KL of the answers from those of the model, on `texts` of the texts that decided: other texts lose more.
     * Embeddings and numbers: their squared distance relative to the mean square. */
    double loss;
    size_t texts;
    double time; /* share of the time that is left, as measured for `time`; NaN: not measured */
} retort_prune_result;
RETORT_API void retort_prune_result_init(retort_prune_result *result, size_t size);

/* Makes a new float model without the heads of attention, columns of feed-forward networks (in 64s) and layers that the
 * answers need least, and solves for the weights that make up for them: optimal brain surgeon on whole units (Hassibi and
 * Stork, 1993; ZipLM, arXiv 2302.04089), shared out over the layers by the loss of the answers (K-prune, 2308.03449). No
 * labels and no gradient steps; retort_train with `teacher` wins back more. The model must be float32 of level 3. With
 * `time`, timings decide and results may differ from run to run; else the same model, data and options give the same bytes.
 * Rows of the last layer that nobody reads are not computed (`prune-rows`), so the last layer stays. The caller frees the
 * model. `result` may be NULL. */
RETORT_API retort_status retort_model_prune(retort_model **out, const retort_model *model,
                                            const retort_prune_options *options, retort_prune_result *result,
                                            retort_error *err);

/* A layer of a model of level 2 or 3: its heads of attention, and the columns of its feed-forward network (0: it has none
 * of the usual form). RETORT_ARGUMENT beyond the last one. */
typedef struct retort_layer_info {
    size_t size;
    int64_t heads, ffn;
} retort_layer_info;
RETORT_API void retort_layer_info_init(retort_layer_info *info, size_t size);
RETORT_API retort_status retort_model_layer(const retort_model *model, size_t index, retort_layer_info *info);

/* ---- This machine ------------------------------------------------------------------------------------- */

typedef struct retort_machine {
    size_t size;
    char cpu[64];          /* brand string */
    char features[256];    /* "avx2 fma avx512f …", those that retort uses */
    const char *isa;       /* best tier, as in retort_session_options.isa */
    int logical, physical; /* CPUs online, cores */
    int affinity;          /* CPUs this process may run on */
    double quota;          /* cgroup limit in CPUs; 0: none */
    int threads;           /* the default number of threads */
    /* true: by default, 4-bit weights are unpacked to int8 and as fast as 8-bit ones. false: they are multiplied as
     * codes, which is faster than 8 bits. */
    bool unpacks;
} retort_machine;
RETORT_API void retort_machine_init(retort_machine *machine, size_t size);
/* What the system says of the machine, its cgroup and this process; measures nothing. RETORT_ARGUMENT: NULL, or a struct of a
 * later header. */
RETORT_API retort_status retort_machine_describe(retort_machine *machine);

typedef enum retort_memory { RETORT_L1, RETORT_L2, RETORT_L3, RETORT_DRAM } retort_memory;
/* Rate of one thread, and of all threads together. */
typedef struct retort_rate {
    double one, all;
} retort_rate;

/* Measured peaks of this machine. */
typedef struct retort_peaks {
    size_t size;
    const char *isa; /* the tier that was measured */
    int threads;     /* all of them */
    /* Operations per second in registers, where multiply and add count as two, and the kernel that reached
     * them: "peak_s8_avx512vnni". s8 and s4: int8 times weights of 8 and of 4 bits, for which some tiers use
     * different instructions. */
    retort_rate f32, bf16, s8, s4;
    const char *f32_kernel, *bf16_kernel, *s8_kernel, *s4_kernel;
    uint64_t cache_bytes[3]; /* L1 data, L2, L3 of a CPU; typical sizes if the system does not say */
    retort_rate read[4];     /* bytes per second from each retort_memory */
    double barrier;          /* seconds for all threads to meet */
    double wake;             /* seconds for sleeping threads to run an empty task */
    double seconds;          /* duration of the measurement */
} retort_peaks;
RETORT_API void retort_peaks_init(retort_peaks *peaks, size_t size);
/* Measures for about a second; other load on the machine lowers the figures. isa and threads as in
 * retort_session_options. */
RETORT_API retort_status retort_machine_measure(const char *isa, int threads, retort_peaks *out,
                                                retort_error *err);

#ifdef __cplusplus
}
#endif
#endif
