/* SPDX-License-Identifier: Apache-2.0
 *
 * retort: fine-tuned DistilBERT / BERT / MiniLM encoders, served from a CPU.
 *
 * This header is the whole public API. It compiles alone as C11, C17 and C++17.
 *
 * Three lifetimes:
 *   - retort_model: graph, weights, tokenizer. Immutable and reference-counted: share it between threads.
 *   - retort_session: provider, plan, memory, worker threads. One thread at a time; open one for each thread.
 *   - retort_batch: one call's token ids; the caller's memory.
 *
 * Conventions: functions that make something write *out only on success, and the caller then owns it. Free
 * functions accept NULL. Every `err` may be NULL. A struct's `size` must be its size in this header. A call
 * that writes into an array of the caller's takes its capacity, and writes nothing, with RETORT_LIMIT, when
 * that is too small. No answer holds NaN or infinity: RETORT_NONFINITE says which text would have had one.
 * The library never prints, exits, aborts, installs signal handlers, or starts threads before a session is
 * opened. Text is UTF-8; invalid bytes read as U+FFFD.
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

/* One row a status: name, value, text. Values are part of the ABI. */
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

/* What went wrong, in the caller's memory: names the file, the tensor and the numbers. */
typedef struct retort_error {
    retort_status status;
    char text[508];
} retort_error;

/* "ok", "out of memory", …; never NULL. */
RETORT_API const char *retort_status_text(retort_status status);
/* (major << 16) | (minor << 8) | patch of the library that is running. */
RETORT_API uint32_t retort_version(void);

/* Text that comes from a file or from a stranger (a label, a name, a piece), fit to be printed: control
 * characters and those that turn the order of writing become \n, \t, \r or \u001b, bytes that are not UTF-8
 * \xff. Writes at most capacity - 1 bytes and a NUL, whole characters only; returns the bytes that all of it
 * takes, less the NUL. `out` may be NULL when capacity is 0. The text of a retort_error is like
 * this already. */
RETORT_API size_t retort_escape(char *out, size_t capacity, const char *text, size_t length);

/* Receives a piece of text (not NUL-terminated). A non-zero return stops the writer with RETORT_CANCELLED. */
typedef int (*retort_write_fn)(void *user, const char *text, size_t length);
/* Progress of long work: `done` of `total` units of `what`. A non-zero return cancels with
 * RETORT_CANCELLED. */
typedef int (*retort_progress_fn)(void *user, const char *what, size_t done, size_t total);

/* ---- Models ------------------------------------------------------------------------------------------- */

typedef struct retort_model retort_model;

typedef enum retort_task {
    RETORT_TASK_CLASSIFY, /* one logit row [labels] a text (or pair of texts) */
    RETORT_TASK_TAG,      /* one logit row [labels] a token */
    RETORT_TASK_ANSWER,   /* start and end logits a token: extractive question answering */
    RETORT_TASK_FILL,     /* vocabulary logits for each mask token */
    RETORT_TASK_EMBED     /* one vector [hidden] a text */
} retort_task;

/* How a classifier's logits become scores; from config.json's problem_type, as transformers does. */
typedef enum retort_problem {
    RETORT_PROBLEM_SINGLE_LABEL, /* softmax */
    RETORT_PROBLEM_MULTI_LABEL, /* sigmoid a label; also of one label, unless it is said to be a regression */
    RETORT_PROBLEM_REGRESSION   /* the logits themselves */
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

typedef struct retort_import_options {
    size_t size;        /* sizeof this struct: set by the initialiser below; zero in a field is its default */
    int level;          /* graph optimisation 0…3; set by the initialiser to 3 */
    retort_dtype dtype; /* of the stored matrices: RETORT_F32 (default) or RETORT_BF16 (level 3 only) */
    retort_task task;   /* used when force_task is set */
    bool force_task;    /* take `task` in place of what the checkpoint says */
    const char *tokenizer; /* NULL: the checkpoint's own; else a folder or tokenizer.json / vocab.txt */
    retort_progress_fn progress;
    void *user;
    const char *const *without; /* rewrites to leave out, as in retort_optimize_options */
    size_t without_count;
    uint64_t memory; /* bytes that reading may take; 0: 64 MB and 8 times the size of the files */
    /* NULL, or receives what the folder says otherwise than transformers would take it; retort_model_warning
     * has the same texts. */
    void (*warning)(void *user, const char *text);
} retort_import_options;
#define RETORT_IMPORT_OPTIONS                                                                                \
    {                                                                                                        \
        sizeof(retort_import_options), 3, RETORT_F32, RETORT_TASK_CLASSIFY, false, NULL, NULL, NULL, NULL,   \
            0, 0, NULL                                                                                       \
    }

/* Reads a checkpoint: a Hugging Face or sentence-transformers folder (safetensors, also sharded, or
 * pytorch_model.bin), or an .onnx file in one, and optimises its graph to options->level. Nothing in the
 * folder is executed. */
RETORT_API retort_status retort_model_import(retort_model **out, const char *source,
                                             const retort_import_options *options, retort_error *err);
/* Maps a .retort file (a safetensors file with the graph, tokenizer and configuration in its metadata). */
RETORT_API retort_status retort_model_load(retort_model **out, const char *path, retort_error *err);

typedef struct retort_load_options {
    size_t size;
    uint64_t memory; /* bytes that reading the file may take, or the values of one text of up to 512 tokens;
                        0: 64 MB and 8 times the size of the file. More is refused with RETORT_LIMIT. */
} retort_load_options;
#define RETORT_LOAD_OPTIONS                                                                                  \
    { sizeof(retort_load_options), 0 }
/* retort_model_load with options; NULL: the defaults. */
RETORT_API retort_status retort_model_load_with(retort_model **out, const char *path,
                                                const retort_load_options *options, retort_error *err);
/* Writes beside `path` and renames: a failed save leaves what was there before. */
RETORT_API retort_status retort_model_save(const retort_model *model, const char *path, retort_error *err);
/* One more owner of the same model. Thread-safe. */
RETORT_API retort_model *retort_model_retain(retort_model *model);
/* Drops an owner; open sessions keep theirs. Thread-safe. */
RETORT_API void retort_model_free(retort_model *model);

typedef struct retort_export_options {
    size_t size;
    bool fused;    /* ONNX Runtime's operators (com.microsoft) for what is fused, from level 2 on */
    bool standard; /* 4-bit weights as ONNX 1.16's blocked DequantizeLinear, in place of com.microsoft's
                      MatMulNBits */
    uint64_t external_over; /* a file of more bytes puts its tensors into "path.data"; 0: over 2 GiB, as ONNX
                               must */
} retort_export_options;
#define RETORT_EXPORT_OPTIONS                                                                                \
    { sizeof(retort_export_options), false, false, 0 }

/* What an export has written. */
typedef struct retort_export_info {
    uint64_t bytes; /* of all files */
    size_t nodes;
    bool external; /* the tensors are in "path.data" */
} retort_export_info;

/* Writes the model as ONNX: input_ids, attention_mask and, for BERT, token_type_ids (i64 [batch, sequence])
 * to logits, start_logits and end_logits, or sentence_embedding. Only standard operators unless the options
 * say otherwise. *info may be NULL. */
RETORT_API retort_status retort_model_export(const retort_model *model, const char *path,
                                             const retort_export_options *options, retort_export_info *info,
                                             retort_error *err);

/* A rewrite that changed the graph, or (rewrite NULL) a whole level. */
typedef struct retort_rewrite_info {
    int level;
    const char *rewrite; /* "drop-key-bias"; NULL: the level's totals */
    const char *help;    /* "drop b_K" */
    size_t count;        /* how often the rewrite applied */
    size_t nodes_before, nodes_after;
} retort_rewrite_info;
typedef void (*retort_rewrite_fn)(void *user, const retort_rewrite_info *info);
/* Name of rewrite `index`, what it does in a few words and its level; NULL beyond the last one. `help` and
 * `level` may be NULL. */
RETORT_API const char *retort_rewrite(size_t index, const char **help, int *level);

typedef struct retort_optimize_options {
    size_t size;
    int level; /* 0…3, not below the model's own; set by the initialiser to 3 */
    /* Names of rewrites to leave out, to measure what each saves; answers stay the same. Refused: names that
     * do not exist, rewrites of a level that the model has already, those that the level cannot be without
     * ("remove-padding", "pack-weights"), and those that later ones turn out to need. */
    const char *const *without;
    size_t without_count;
    retort_rewrite_fn report; /* may be NULL */
    void *user;
    uint64_t memory; /* bytes that it may take; 0: 64 MB and 8 times those of the model's constants */
} retort_optimize_options;
#define RETORT_OPTIMIZE_OPTIONS                                                                              \
    { sizeof(retort_optimize_options), 3, NULL, 0, NULL, NULL, 0 }

/* A new model whose graph is rewritten up to options->level. */
RETORT_API retort_status retort_model_optimize(retort_model **out, const retort_model *model,
                                               const retort_optimize_options *options, retort_error *err);

typedef struct retort_dataset retort_dataset; /* texts: see below */

/* Ranges of activations: a row's own, or fixed by calibration where one range serves all rows. */
typedef enum retort_activations {
    RETORT_ACTIVATIONS_DEFAULT, /* the recipe's */
    RETORT_ACTIVATIONS_DYNAMIC,
    RETORT_ACTIVATIONS_STATIC
} retort_activations;

typedef struct retort_quantize_options {
    size_t size;
    const char *recipe; /* "int8" (default), "int4", or one that needs data: see retort_recipe */
    int bits;           /* of matrices: 8, 4, or 3 where the recipe is for fewer than 8; 0: the recipe's */
    int embeddings;     /* bits of the word table: 8, 4 or 3; 0: the recipe's, and 3 when `bits` is 3 */
    int64_t group; /* 4 and 3 bits: weights that share an integer scale, a multiple of 32; 0: the recipe's */
    const char *const *keep; /* names of layers that stay float: "head.output", or "layer.0" for all of it */
    size_t keep_count;
    retort_progress_fn progress;
    void *user;
    const retort_dataset *data; /* texts to calibrate with, for recipes that need them; labels are not read */
    size_t samples;             /* as many of them, chosen by the seed; 0: 1024 */
    uint64_t seed;
    size_t weak_columns; /* owq: columns of a matrix that keep 8 bits, a multiple of 8, at most 64; 0: 8 */
    retort_activations activations;
    /* NULL, or receives what makes the result worse than it could be: too few texts. */
    void (*warning)(void *user, const char *text);
    uint64_t memory; /* bytes that may be taken beside the model, estimated before; RETORT_LIMIT where it is
                        more. 0: any, and a warning where it is more than 2 GiB */
} retort_quantize_options;
#define RETORT_QUANTIZE_OPTIONS                                                                              \
    {                                                                                                        \
        sizeof(retort_quantize_options), "int8", 0, 0, 0, NULL, 0, NULL, NULL, NULL, 0, 0, 0,                \
            RETORT_ACTIVATIONS_DEFAULT, NULL, 0                                                              \
    }

/* A new model whose matrices and word table are integers. `model` is a float32 one of level 3. int8: a scale
 * a column (row of the table). int4: codes of 4 bits with an integer scale a group and a float one a column;
 * matrices of fewer than 64 columns get 8 bits. Both round to nearest with the scales that lose least, and
 * need no data. With `bits` of 3 codes are of -4…3, which a file stores in 3 bits and which are run as those
 * of
 * 4. gptq: int4 whose matrices are rounded so that outputs on the data change least; biases make
 * up for what is lost on average (a matrix without one gets one). owq: the same with the most sensitive
 * columns of each matrix in 8 bits. ptq+owq: owq whose word table is rounded by what its errors cost the
 * answers; it starts a thread a core while it measures that. smoothquant and awq: int8 and int4 whose
 * activations have their columns made alike before they are rounded, by a factor and an addend each, and
 * weights that undo it. Activations are rounded to int8 as they come, with a scale a row, or in ranges fixed
 * on the data (int8-static); attention, LayerNorm, biases and the residual stay float. The same model, data
 * and options give the same bytes on every CPU (smoothquant, awq and ptq+owq: where the C library's pow, exp
 * and erf are the same), and the same bits of results. */
RETORT_API retort_status retort_model_quantize(retort_model **out, const retort_model *model,
                                               const retort_quantize_options *options, retort_error *err);
/* A float model again from an integer one: each weight becomes the float that it stands for, and activations
 * are not rounded. What quantisation has lost does not come back. RETORT_ARGUMENT when nothing in it is an
 * integer. *out is a new model; both are freed by the caller. Thread-safe. */
RETORT_API retort_status retort_model_dequantize(retort_model **out, const retort_model *model,
                                                 retort_error *err);
/* Name of recipe `index`, and what it does in one line; NULL beyond the last one. `help` may be NULL. */
RETORT_API const char *retort_recipe(size_t index, const char **help);

/* All strings live as long as the model. */
typedef struct retort_info {
    size_t size; /* sizeof this struct: set it before the call */
    retort_task task;
    retort_problem problem;
    const char *family; /* "distilbert" or "bert" */
    const char *source; /* provenance: what the model was imported from */
    const char *recipe; /* "fp32", "bf16", or the quantisation recipe; and rewrites that were left out */
    int level;          /* of the graph */
    int64_t layers, hidden, heads, ffn, vocab, positions;
    int64_t labels;      /* logits a row; for embeddings the vector's length */
    int64_t max_length;  /* pieces a text is cut at, special tokens included */
    uint64_t parameters; /* scalars in all weights */
    uint64_t file_bytes; /* 0 when the model is not mapped from a file */
    size_t nodes, tensors;
    int64_t types;       /* token types that a batch may have; 0: none, its `types` must be NULL or all 0 */
    size_t source_nodes; /* of the ONNX graph that this model, or the one it was made from, was just read
                            from; else 0 */
    bool token_vectors;  /* whether a session can give the vectors of tokens: see retort_session_options */
    const char *default_prompt; /* name of the prompt that embeddings get unless told otherwise; NULL: none */
    const char *similarity;     /* "cosine", "dot", "euclidean" or "manhattan" */
    int32_t mask, unknown;      /* ids of the mask and the unknown token, -1 where the vocabulary has none */
    const char *dtype;          /* of most weights of the matrices: "float32", "bfloat16", "int8", "int4" or
                                   "int3" */
} retort_info;
RETORT_API retort_status retort_model_info(const retort_model *model, retort_info *info);
/* Name of prompt `index` of an embedding model, NULL beyond the last one; *text (may be NULL) is what is put
 * before a text. */
RETORT_API const char *retort_model_prompt(const retort_model *model, size_t index, const char **text);
/* How alike two vectors [labels] of an embedding model are, as its similarity_fn_name has it: the cosine, the
 * dot product, or the negative euclidean or manhattan distance. */
RETORT_API double retort_similarity(const retort_model *model, const float *a, const float *b);
/* What was to be said of the folder when the model was imported: warning `index`, NULL beyond
 * the last one. */
RETORT_API const char *retort_model_warning(const retort_model *model, size_t index);
/* Name of label `index`, NULL beyond the last one. */
RETORT_API const char *retort_model_label(const retort_model *model, int64_t index);

typedef struct retort_tensor_info {
    const char *name;
    retort_dtype dtype;
    const char *layout; /* "rows" or a packed layout such as "p16"; as stored */
    const char *part;   /* "embeddings", "matrices" or "vectors": what it belongs to */
    int rank;
    int64_t shape[8];    /* as computed with, before packing */
    uint64_t parameters; /* of the model: 0 for the scales of integers */
    uint64_t bytes;
} retort_tensor_info;
/* The stored tensor `index`; RETORT_ARGUMENT beyond the last one. */
RETORT_API retort_status retort_model_tensor(const retort_model *model, size_t index,
                                             retort_tensor_info *info);
/* The graph as text, one node a line. */
RETORT_API retort_status retort_model_print(const retort_model *model, retort_write_fn write, void *user);

typedef struct retort_draw_options {
    size_t size;          /* sizeof this struct: set by the initialiser below */
    const char *title;    /* UTF-8; NULL: none */
    const char *subtitle; /* a line below it; NULL: none */
    bool whole;           /* draw every layer; else equal ones that follow each other are drawn once */
} retort_draw_options;
#define RETORT_DRAW_OPTIONS                                                                                  \
    { sizeof(retort_draw_options), NULL, NULL, false }
/* The graph as a picture: one SVG file, given to `write` in one piece, which needs no others and is for light
 * and dark screens. Each node is a <g class="node">, whose data-times says how many equal layers it stands
 * for. options NULL: defaults. RETORT_LIMIT: too many nodes for a picture. */
RETORT_API retort_status retort_model_draw(const retort_model *model, const retort_draw_options *options,
                                           retort_write_fn write, void *user, retort_error *err);

/* ---- Tokens ------------------------------------------------------------------------------------------- */

typedef struct retort_text {
    const char *text;
    size_t length;    /* bytes */
    const char *pair; /* NULL, or the second text of a pair */
    size_t pair_length;
} retort_text;

/* The end at which a text that is too long is cut. */
typedef enum retort_side {
    RETORT_SIDE_MODEL, /* the tokenizer's truncation_side: most often right */
    RETORT_SIDE_LEFT,  /* its end stays */
    RETORT_SIDE_RIGHT  /* its beginning stays */
} retort_side;

typedef struct retort_tokenize_options {
    size_t size;
    int64_t max_length;   /* 0: not cut; < 0 (default): the model's own */
    bool special_as_text; /* "[SEP]" and the like inside a text are plain text (use it for untrusted input) */
    retort_side side;     /* of a pair each text is cut at the same end */
    /* NULL (default), or the name of one of the model's prompts, which is put before the text; offsets count
     * from its beginning. */
    const char *prompt_name;
    bool only_first; /* of a pair that is too long the first text alone is cut, not the longer one */
} retort_tokenize_options;
#define RETORT_TOKENIZE_OPTIONS                                                                              \
    { sizeof(retort_tokenize_options), -1, false, RETORT_SIDE_MODEL, NULL, false }

/* Growing arrays, owned by the struct: start with {0}, reuse at will, end with retort_tokens_free. */
typedef struct retort_tokens {
    size_t count;
    int32_t *ids;   /* [count] */
    int32_t *types; /* [count] 0 first text, 1 second */
    uint32_t
        *offsets; /* [count, 2] code points of the original text (of the pair where types is 1): from, to */
    size_t capacity;
} retort_tokens;
RETORT_API retort_status retort_tokenize(const retort_model *model, const retort_text *text,
                                         const retort_tokenize_options *options, retort_tokens *out,
                                         retort_error *err);
RETORT_API void retort_tokens_free(retort_tokens *tokens);
/* The piece with this id ("##ing"), NULL when there is none. */
RETORT_API const char *retort_model_piece(const retort_model *model, int32_t id);

/* The text that ids stand for: pieces joined as the tokenizer's decoder says, without special tokens
 * ("[CLS]") when `skip_special` is set, a piece at a time to `write`. RETORT_ARGUMENT for an id without a
 * piece. Thread-safe. */
RETORT_API retort_status retort_decode(const retort_model *model, const int32_t *ids, size_t n,
                                       bool skip_special, retort_write_fn write, void *user,
                                       retort_error *err);

/* Texts to ids for retort_run, as fast as the calls that take texts make them: it remembers the words that it
 * has met. One thread at a time; it keeps the model alive. */
typedef struct retort_encoder retort_encoder;
RETORT_API retort_status retort_encoder_open(retort_encoder **out, retort_model *model, retort_error *err);
RETORT_API void retort_encoder_close(retort_encoder *encoder);
/* The same ids and types as retort_tokenize: *count of them, in the caller's ids and types [capacity].
 * RETORT_LIMIT when they do not fit, and *count is then how many there are. */
RETORT_API retort_status retort_encode(retort_encoder *encoder, const retort_text *text,
                                       const retort_tokenize_options *options, int32_t *ids, int32_t *types,
                                       size_t capacity, size_t *count, retort_error *err);

/* ---- Providers ---------------------------------------------------------------------------------------- */

/* An engine that runs whole models: our own ("native"), or another that is found when it is asked for. */
typedef struct retort_provider_info {
    size_t size;      /* sizeof this struct: set it before the call */
    const char *name; /* "onnxruntime:openvino": as retort_session_options.provider spells it */
    const char *help; /* what it is, in a few words */
    bool fused;       /* of an export it reads the form with ONNX Runtime's fused operators best */
    bool found;       /* its library is there, is what it should be, and new enough */
    char version[32];
    char path[256];   /* of the library, "" for native */
    char reason[508]; /* "" when it was found, else why it cannot be used and how to install it */
} retort_provider_info;
/* Looks for provider `index`: in the folders of the environment variable RETORT_PROVIDERS (colons between
 * them), in ~/.cache/retort/providers, where tools/providers installs them, and where the system's loader
 * looks. A library that is found stays loaded; ORT_DISABLE_TELEMETRY=1 is set in the environment before ONNX
 * Runtime is, unless it is set already. RETORT_ARGUMENT beyond the last provider. Thread-safe. */
RETORT_API retort_status retort_provider(size_t index, retort_provider_info *info);

/* ---- Sessions ----------------------------------------------------------------------------------------- */

typedef struct retort_session retort_session;

/* Row-major floats [rows, columns]. As a result: classify and embed give a row a sequence; tag and answer a
 * row a token; fill a row a mask token, in order. */
typedef struct retort_matrix {
    const float *data;
    size_t rows, columns;
} retort_matrix;

/* What one step has read and made for one chunk of a batch. `in` is the first input and `out` the first
 * output, as floats; `data` is NULL (and rows, columns 0) where that is no float32 row a token, sequence or
 * mask: the ids that an embedding reads, rows narrowed to bf16 or int8. A "Linear" multiplies each row of
 * `in`; its `out` is what it stores, activation and residual included. */
typedef struct retort_tapped {
    size_t step;      /* index, as retort_session_step has it */
    const char *op;   /* "Linear", … */
    const char *name; /* "layer.0.ffn.lin1": the node's, unique in a model; lives as long as the model */
    retort_matrix in, out;
} retort_tapped;
/* Sees a step; the rows are valid until it returns. A non-zero return stops the run with RETORT_CANCELLED. */
typedef int (*retort_tap_fn)(void *user, const retort_tapped *tapped);

typedef struct retort_session_options {
    size_t size;
    const char *provider; /* NULL or "native": our own engine; or another one, see retort_provider */
    const char *isa;      /* NULL: the best this CPU has; else "ref" "avx2" "vnni" "amx" "neon" as a cap */
    int threads;          /* 0: min(affinity, cgroup quota, physical cores) */
    int64_t chunk_tokens; /* 0: chosen; tokens that one worker carries through the network at a time */
    bool special_as_text; /* as in retort_tokenize_options, for the calls that take text */
    bool profile;         /* measure the time of each step, for retort_session_step */
    bool keep_duplicates; /* compute equal sequences of a batch each for itself, to measure what it costs */
    /* Called in the thread that calls retort_run, after every step of every chunk: chunks in order, and the
     * steps of a chunk in order. A step's rows, one chunk after the other, are those of the batch's sequences
     * in their order, of equal ones only the first's; rows that nobody reads (of a last layer whose head
     * reads only some) are not computed and not shown. Results keep their bits. Needs a model of level 3:
     * others compute padding as well. NULL (default): costs nothing. */
    retort_tap_fn tap;
    void *tap_user;
    /* Other engines only; isa, profile and tap are native's alone. */
    const char *onnx; /* NULL, or a file that this model was exported to, which the engine shall read */
    const char *graph_level; /* ONNX Runtime's own rewrites: "none", "basic", "extended"; NULL: "all" */
    /* Native, and models that embed: retort_run gives the vectors [tokens, hidden] that the model pools, a
     * row a token as for RETORT_TASK_TAG; calls that take text are refused. RETORT_UNSUPPORTED for a model of
     * level 3 that pools the first token alone: import it without the rewrite "prune-rows". */
    bool token_vectors;
    /* Name of the prompt put before each text that is embedded; NULL: the model's
     * default_prompt, "": none. */
    const char *prompt_name;
} retort_session_options;
#define RETORT_SESSION_OPTIONS                                                                               \
    {                                                                                                        \
        sizeof(retort_session_options), NULL, NULL, 0, 0, false, false, false, NULL, NULL, NULL, NULL,       \
            false, NULL                                                                                      \
    }

RETORT_API retort_status retort_session_open(retort_session **out, retort_model *model,
                                             const retort_session_options *options, retort_error *err);
RETORT_API void retort_session_close(retort_session *session);

/* n sequences of token ids, concatenated without padding: sequence i is ids[offsets[i] … offsets[i+1]).
 * Special tokens included. `types` may be NULL (all 0). */
typedef struct retort_batch {
    const int32_t *ids;
    const int32_t *types;
    const int32_t *offsets; /* [n + 1], offsets[0] == 0, each sequence 1…positions tokens */
    size_t n;
} retort_batch;

/* Runs the network; sequences with equal ids and types are computed once. *out borrows the session's memory
 * until its next call. RETORT_NONFINITE: a number of *out is NaN or infinite; *out is given all the same, for
 * those who want the other rows. */
RETORT_API retort_status retort_run(retort_session *session, const retort_batch *batch, retort_matrix *out,
                                    retort_error *err);

/* scores: the caller's [n, labels] floats: softmax, sigmoid or the plain value, as the model's problem says;
 * logits: the same shape, or NULL. capacity: how many floats each of the two has room for; RETORT_LIMIT when
 * that is fewer than n * labels. */
RETORT_API retort_status retort_classify(retort_session *session, const retort_text *texts, size_t n,
                                         float *scores, float *logits, size_t capacity, retort_error *err);
/* How retort_classify makes scores of a row of n logits; `scores` may be `logits`. */
RETORT_API void retort_scores(retort_problem problem, const float *logits, size_t n, float *scores);
/* vectors: the caller's [n, labels of retort_info] floats, of which there is room for
 * `capacity`, as above. */
RETORT_API retort_status retort_embed(retort_session *session, const retort_text *texts, size_t n,
                                      float *vectors, size_t capacity, retort_error *err);

/* Zero-shot classification by a model of natural-language inference, as transformers' pipeline: each label
 * makes a hypothesis, and how well the text entails it is the label's score. The label that says so is the
 * first whose name begins with "entail", in any case, else the model's last. */
typedef struct retort_zero_shot_options {
    size_t size;
    const char *hypothesis; /* Python's format string; "{}" is the label. NULL: "This example is {}." */
    bool multi_label;       /* each label by itself: entailment against contradiction */
} retort_zero_shot_options;
#define RETORT_ZERO_SHOT_OPTIONS                                                                             \
    { sizeof(retort_zero_shot_options), NULL, false }
/* A hypothesis: the pair that goes with the text. `out` has room for `capacity` bytes; *length is how many it
 * has, also with RETORT_LIMIT, when they are more. */
RETORT_API retort_status retort_hypothesis(const char *hypothesis, size_t hypothesis_length,
                                           const char *label, size_t label_length, char *out, size_t capacity,
                                           size_t *length, retort_error *err);
/* Scores [n] of n labels from the logits [n, labels of the model] of their hypotheses. */
RETORT_API retort_status retort_zero_shot_scores(const retort_model *model, const float *logits, size_t n,
                                                 bool multi_label, float *scores, retort_error *err);
/* Both, for one text and n labels (their `text`); only the text is cut when a pair is too long. `options` may
 * be NULL. */
RETORT_API retort_status retort_zero_shot(retort_session *session, const retort_text *text,
                                          const retort_text *labels, size_t n,
                                          const retort_zero_shot_options *options, float *scores,
                                          retort_error *err);

/* A span of a text: code points [start, end) of the original, and the same in bytes. */
typedef struct retort_span {
    size_t text; /* index of the text in the call */
    uint32_t start, end;
    uint32_t byte_start, byte_end;
    int64_t label; /* of entities: that of the first token; of answers -1 */
    float score;
    /* Of entities: the label less all up to its first '-', "PER"; of single tokens the whole label. Lives as
     * long as the model. */
    const char *name;
    /* Of single tokens (RETORT_AGGREGATION_NONE): the id of the piece, and which token of the text it is, the
     * one at its head ([CLS]) being 0. */
    int32_t piece;
    uint32_t token;
} retort_span;
/* A growing array, owned by the struct: start with {0}, reuse at will, end with retort_spans_free. */
typedef struct retort_spans {
    retort_span *items;
    size_t count, capacity;
} retort_spans;
RETORT_API void retort_spans_free(retort_spans *spans);

/* How tokens become entities: transformers' aggregation_strategy. */
typedef enum retort_aggregation {
    RETORT_AGGREGATION_SIMPLE,  /* neighbours of one type are one, up to the next "B-" */
    RETORT_AGGREGATION_NONE,    /* every token for itself */
    RETORT_AGGREGATION_FIRST,   /* a word has the label of its first token; then as above */
    RETORT_AGGREGATION_AVERAGE, /* a word has the best of its tokens' mean scores */
    RETORT_AGGREGATION_MAX      /* a word has the label of its surest token */
} retort_aggregation;

typedef struct retort_tag_options {
    size_t size;
    retort_aggregation aggregation;
    /* A text longer than the model takes is read in windows that share so many tokens; of entities that
     * overlap the longer one stays, of equally long ones the surer. < 0 (default): 128, or half a window if
     * that is less; with RETORT_AGGREGATION_NONE 0, and no other. */
    int64_t stride;
    bool cut;                  /* read its first window only */
    const char *const *ignore; /* names of spans to leave out; NULL (default): "O" alone */
    size_t ignore_count;
} retort_tag_options;
#define RETORT_TAG_OPTIONS                                                                                   \
    { sizeof(retort_tag_options), RETORT_AGGREGATION_SIMPLE, -1, false, NULL, 0 }
/* Entities of n texts, in order; replaces what *out held. `options` may be NULL. */
RETORT_API retort_status retort_tag(retort_session *session, const retort_text *texts, size_t n,
                                    const retort_tag_options *options, retort_spans *out, retort_error *err);

/* transformers' question-answering pipeline, whose names are in parentheses. */
typedef struct retort_answer_options {
    size_t size;
    size_t top;       /* so many answers, best first (top_k); 0: 1 */
    int64_t longest;  /* tokens of an answer at most (max_answer_len); 0: 15 */
    int64_t window;   /* tokens of a window (max_seq_len); 0: 384, or what the model takes if that is less */
    int64_t stride;   /* tokens of the context that windows share (doc_stride); < 0 (default): 128, or half */
    int64_t question; /* tokens of the question, which is cut there (max_question_len); 0: not cut */
    bool impossible;  /* "" may be the answer, with the score of [CLS] (handle_impossible_answer) */
    bool pieces;      /* do not widen answers to whole words (align_to_words false) */
} retort_answer_options;
#define RETORT_ANSWER_OPTIONS                                                                                \
    { sizeof(retort_answer_options), 0, 0, 0, -1, 0, false, false }
/* The best answers to `question` within `context`, at least one; answers of the same text, in any case of its
 * letters, are one, whose scores are added up. Replaces what *out held. `options` may be NULL. */
RETORT_API retort_status retort_answer(retort_session *session, const char *question, size_t question_length,
                                       const char *context, size_t context_length,
                                       const retort_answer_options *options, retort_spans *out,
                                       retort_error *err);
typedef struct retort_fill_guess {
    int32_t id;
    float score; /* softmax over the vocabulary */
} retort_fill_guess;
typedef struct retort_fill_options {
    size_t size;
    /* NULL, or the words that are compared: pieces of the vocabulary; of any other text its first piece. */
    const retort_text *targets;
    size_t target_count;
} retort_fill_options;
#define RETORT_FILL_OPTIONS                                                                                  \
    { sizeof(retort_fill_options), NULL, 0 }
/* The k best pieces for each mask token of the text: guesses[mask * k + rank], which has room for max_masks
 * masks; an id of -1 where there are fewer pieces. *masks is how many masks the text has, also with
 * RETORT_LIMIT, when they are more. `options` may be NULL. */
RETORT_API retort_status retort_fill(retort_session *session, const retort_text *text, size_t k,
                                     const retort_fill_options *options, retort_fill_guess *guesses,
                                     size_t max_masks, size_t *masks, retort_error *err);

/* One step of the plan, in the order of running. */
typedef struct retort_step_info {
    const char *op;     /* "linear", "attention", … */
    const char *name;   /* "layer.0.ffn.lin1" */
    const char *kernel; /* "gemm_f32_avx512" */
    char shape[64];     /* "m=tokens n=3072 k=768" */
    uint64_t weight_bytes;
    double flops_token; /* multiply and add count as two, for each row it computes */
    double seconds;     /* spent in all runs so far; 0 unless the session profiles */
    uint64_t runs;
    retort_dtype arithmetic; /* type of its products: RETORT_F32, RETORT_BF16 or RETORT_S8 */
    bool four_bits;          /* RETORT_S8 by weights of 4 bits, whose peak is retort_peaks.s4 */
    /* In all runs so far, 0 unless the session profiles. Weights are read whole once a run, save by a step
     * that picks rows of a table: 0 there. */
    double operations;     /* multiply and add count as two */
    uint64_t weights_read; /* bytes */
} retort_step_info;
/* RETORT_ARGUMENT beyond the last step. */
RETORT_API retort_status retort_session_step(const retort_session *session, size_t index,
                                             retort_step_info *info);

typedef struct retort_session_info {
    size_t size;
    const char *provider, *isa; /* isa: "own" for other engines, which choose themselves */
    int threads;
    uint64_t arena_bytes; /* reserved for activations, all workers together; touched only as used */
    size_t steps;         /* other engines: 0 */
    const char *version;  /* of the engine; lives as long as the session */
    uint64_t truncated;   /* texts that were cut so far, by the calls that take texts */
} retort_session_info;
RETORT_API retort_status retort_session_describe(const retort_session *session, retort_session_info *info);

/* ---- Data sets and evaluation ------------------------------------------------------------------------- */

typedef struct retort_dataset_options {
    size_t size;
    /* Of a table; NULL: "sentence" or "text", or a pair of "sentence1" and "sentence2", "question" and
     * "context", "premise" and "hypothesis"; "label", or "score" where the task has numbers. */
    const char *text_column, *pair_column, *label_column;
    bool texts_only; /* labels are not read, so that they may be any */
} retort_dataset_options;
#define RETORT_DATASET_OPTIONS                                                                               \
    { sizeof(retort_dataset_options), NULL, NULL, NULL, false }

/* Reads a data file for a task of the model (NULL: of none, for its texts): a table as TSV without quoting,
 * as CSV (RFC 4180), both with a header, or as JSON lines (.tsv, .csv, .jsonl, else by its first line); CoNLL
 * columns (token tag), SQuAD JSON, or plain lines. What is not a regular file, as /dev/stdin, is read to its
 * end. options NULL: defaults. */
RETORT_API retort_status retort_dataset_open(retort_dataset **out, const char *path,
                                             const retort_model *model, const retort_dataset_options *options,
                                             retort_error *err);
RETORT_API size_t retort_dataset_count(const retort_dataset *data);
/* Text `index` of the set (words of a CoNLL sentence are joined by a space). */
RETORT_API retort_status retort_dataset_text(const retort_dataset *data, size_t index, retort_text *text);
RETORT_API void retort_dataset_free(retort_dataset *data);

typedef struct retort_eval_options {
    size_t size;
    retort_session *reference; /* NULL, or another session whose logits are compared with */
    int64_t max_length;        /* pieces a text is cut at; < 0 (default): the model's own, tagging 128 */
    retort_write_fn logits;    /* receives each text's logit rows, tab-separated, 9 digits, a row a line */
    void *logits_user;
    retort_progress_fn progress;
    void *progress_user;
    int64_t batch_tokens; /* texts are run together until they have so many tokens; <= 0 (default): chosen */
} retort_eval_options;
#define RETORT_EVAL_OPTIONS                                                                                  \
    { sizeof(retort_eval_options), NULL, -1, NULL, NULL, NULL, NULL, 0 }

typedef struct retort_eval_result {
    size_t size;        /* sizeof this struct: set it before the call */
    const char *metric; /* "accuracy", "f1", "spearman", "exact_match", "pseudo_perplexity" */
    double value;
    size_t n;                  /* texts */
    const char *second_metric; /* NULL, or "f1" beside "exact_match" */
    double second_value;
    /* Against the reference, else NaN; NaN also where a task has no such figure. Mean over logit rows of
     * KL(softmax(reference) || softmax(model)); share of rows with the same best label (embeddings: mean
     * cosine); largest difference of two logits. Answers: a window's start and end logits are the rows. */
    double kl, agreement, max_abs_logit_error;
    uint64_t truncated; /* texts that were cut */
} retort_eval_result;
/* The task's metric on labelled data. `options` may be NULL. Each batch goes through the session and then,
 * the same, through the reference: taps of the two see the same rows of the same texts in turn. */
RETORT_API retort_status retort_eval(retort_session *session, const retort_dataset *data,
                                     const retort_eval_options *options, retort_eval_result *result,
                                     retort_error *err);

/* ---- This machine ------------------------------------------------------------------------------------- */

typedef struct retort_machine {
    size_t size;
    char cpu[64];          /* brand string */
    char features[256];    /* "avx2 fma avx512f …" as retort uses them */
    const char *isa;       /* best tier, as retort_session_options.isa spells it */
    int logical, physical; /* CPUs online, cores */
    int affinity;          /* CPUs this process may run on */
    double quota;          /* cgroup limit in CPUs; 0: none */
    int threads;           /* the default number of threads */
} retort_machine;
RETORT_API retort_status retort_machine_describe(retort_machine *machine);

typedef enum retort_memory { RETORT_L1, RETORT_L2, RETORT_L3, RETORT_DRAM } retort_memory;
/* What one thread reaches, and what all threads together do. */
typedef struct retort_rate {
    double one, all;
} retort_rate;

/* What this machine reaches at most, measured. */
typedef struct retort_peaks {
    size_t size;     /* sizeof this struct: set it before the call */
    const char *isa; /* the tier that was measured */
    int threads;     /* all of them */
    /* Operations a second, multiply and add counted as two, in registers alone; and how:
     * "peak_s8_avx512vnni". s8 and s4: int8 by weights of 8 and of 4 bits, which some tiers multiply by other
     * instructions. */
    retort_rate f32, bf16, s8, s4;
    const char *f32_kernel, *bf16_kernel, *s8_kernel, *s4_kernel;
    uint64_t cache_bytes[3]; /* L1 data, L2, L3 of a CPU; the usual ones where the system does not tell */
    retort_rate read[4];     /* bytes a second from each retort_memory */
    double barrier;          /* seconds until all threads have met */
    double wake;             /* seconds until sleeping threads have run an empty piece of work */
    double seconds;          /* that measuring took */
} retort_peaks;
/* Measures for a second or so; other work on the machine lowers the figures. isa and threads as in
 * retort_session_options. */
RETORT_API retort_status retort_machine_measure(const char *isa, int threads, retort_peaks *out,
                                                retort_error *err);

#ifdef __cplusplus
}
#endif
#endif
