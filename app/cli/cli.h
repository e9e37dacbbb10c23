/* SPDX-License-Identifier: Apache-2.0
 * The command line: one table of options, one table of commands, and what every command uses. */
#ifndef CLI_H
#define CLI_H

#include "retort.h"

#include <jansson.h>
#include <stdio.h>

/* Exit codes. */
typedef enum cli_code {
    CLI_DONE = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_BAD_DATA = 3,    /* a bad model or bad data */
    CLI_BELOW_FLOOR = 4, /* eval --floor not met */
    CLI_NO_PROVIDER = 5
} cli_code;

/* ---- Options: one row each. Parsing, --help, the man page and the completions read these rows. ----
 * id, name, letter, value ("" for a flag, "a|b" for a choice), kind, least, most, default, help */
#define CLI_OPTIONS(X)                                                                                       \
    X(OUTPUT, "output", 'o', "FILE", TEXT, 0, 0, NULL, "write the model to FILE")                            \
    X(LEVEL, "level", 0, "0|1|2|3", CHOICE, 0, 0, "3", "optimise the graph up to this level")                \
    X(WITHOUT, "without", 0, "NAME[,NAME]", TEXT, 0, 0, NULL,                                                \
      "leave these rewrites out; a wrong name lists them all")                                               \
    X(DTYPE, "dtype", 0, "f32|bf16", CHOICE, 0, 0, "f32", "type of the stored matrices (bf16: level 3)")     \
    X(TASK, "task", 0, "classify|tag|answer|fill|embed", CHOICE, 0, 0, NULL,                                 \
      "take this task in place of the checkpoint's")                                                         \
    X(TOKENIZER, "tokenizer", 0, "PATH", TEXT, 0, 0, NULL,                                                   \
      "folder, tokenizer.json or vocab.txt to use in place of the checkpoint's")                             \
    X(MEMORY, "memory", 0, "SIZE", SIZE, 0, 0, NULL,                                                         \
      "take at most so many bytes (512M, 2G) to read the model, and to quantize; default: 64M and 8 times "  \
      "its files")                                                                                           \
    X(RECIPE, "recipe", 0, "int8|int8-static|smoothquant|int4|awq|gptq|owq|ptq+owq", CHOICE, 0, 0, "int8",   \
      "how the weights become integers")                                                                     \
    X(BITS, "bits", 0, "8|4|3", CHOICE, 0, 0, NULL, "bits of the matrices (default: those of the recipe)")   \
    X(GROUP, "group", 0, "N", INT, 32, 65536, NULL,                                                          \
      "4 and 3 bits: weights that share an integer scale, a multiple of 32 (default: 64; ptq+owq: 32)")      \
    X(EMBEDDINGS, "embeddings", 0, "8|4|3", CHOICE, 0, 0, NULL,                                              \
      "bits of the word table (default: those of the recipe; with --bits 3: 3)")                             \
    X(ACTIVATIONS, "activations", 0, "dynamic|static", CHOICE, 0, 0, NULL,                                   \
      "their ranges: of each row, or fixed by calibration (default: as the recipe has it)")                  \
    X(KEEP, "keep", 0, "NAME[,NAME]", TEXT, 0, 0, NULL,                                                      \
      "leave these layers in float: head.output, or layer.0 for all of it")                                  \
    X(SAMPLES, "samples", 0, "N", INT, 1, 1 << 24, "1024", "texts of the data to calibrate with")            \
    X(SEED, "seed", 0, "S", INT, 0, 0x7fffffff, "0", "which texts are chosen")                               \
    X(WEAK_COLUMNS, "weak-columns", 0, "N", INT, 8, 64, "8",                                                 \
      "owq: columns of a matrix that keep 8 bits, a multiple of 8")                                          \
    X(FOR, "for", 0, "any|ort", CHOICE, 0, 0, "any",                                                         \
      "any: standard operators; ort: ONNX Runtime's fused ones where level 2 has fused")                     \
    X(STANDARD, "standard", 0, "", FLAG, 0, 0, NULL,                                                         \
      "4-bit weights as standard DequantizeLinear (opset 21), not as MatMulNBits")                           \
    X(EXTERNAL_OVER, "external-over", 0, "BYTES", INT, 1, 0x7fffffff, NULL,                                  \
      "put the tensors of a larger file into FILE.data (default: over 2 GiB)")                               \
    X(TENSORS, "tensors", 0, "", FLAG, 0, 0, NULL, "list every stored tensor")                               \
    X(SVG, "svg", 0, "FILE", TEXT, 0, 0, NULL, "draw the graph into FILE")                                   \
    X(WHOLE, "whole", 0, "", FLAG, 0, 0, NULL, "with --svg: draw every layer, also equal ones")              \
    X(GRAPH, "graph", 0, "", FLAG, 0, 0, NULL, "print the graph, one node a line")                           \
    X(DATA, "data", 0, "FILE", TEXT, 0, 0, NULL,                                                             \
      "TSV, CSV or JSON lines, CoNLL, SQuAD JSON or lines of text (-: stdin)")                               \
    X(TEXT_COLUMN, "text-column", 0, "NAME", TEXT, 0, 0, NULL,                                               \
      "column of --data with the texts (default: sentence, text, sentence1, question or premise)")           \
    X(TEXT_PAIR_COLUMN, "text-pair-column", 0, "NAME", TEXT, 0, 0, NULL,                                     \
      "column with the second text of each pair (default: sentence2, context or hypothesis)")                \
    X(LABEL_COLUMN, "label-column", 0, "NAME", TEXT, 0, 0, NULL,                                             \
      "column with the labels, or with the scores (default: label, or score)")                               \
    X(PAIRS, "pairs", 0, "", FLAG, 0, 0, NULL, "each text is a pair, with a tab in between")                 \
    X(REFERENCE, "reference", 0, "MODEL", TEXT, 0, 0, NULL, "also compare the logits with this model's")     \
    X(PER_LAYER, "per-layer", 0, "", FLAG, 0, 0, NULL,                                                       \
      "with --reference: also print how far each step's rows are from the reference's")                      \
    X(LOGITS, "logits", 0, "FILE", TEXT, 0, 0, NULL, "write the logits as tab-separated values")             \
    X(FLOOR, "floor", 0, "X", REAL, 0, 0, NULL,                                                              \
      "exit with 4 when the metric is below X (a perplexity: above)")                                        \
    X(QUERY, "query", 0, "TEXT", TEXT, 0, 0, NULL, "rank the texts by their similarity to TEXT")             \
    X(QUERY_PROMPT_NAME, "query-prompt-name", 0, "NAME", TEXT, 0, 0, NULL,                                   \
      "with --query: put this prompt before TEXT alone (default: that of the texts)")                        \
    X(PROMPT_NAME, "prompt-name", 0, "NAME", TEXT, 0, 0, NULL,                                               \
      "embeddings: put this prompt of the model before each text (default: the model's own; \"\": none)")    \
    X(TOP, "top", 0, "K", INT, 1, 1000, NULL,                                                                \
      "print the K best labels, answers or guesses (default: the best label, drawn or as JSON all; 1 "       \
      "answer, 5 guesses)")                                                                                  \
    X(AGGREGATION, "aggregation", 0, "none|simple|first|average|max", CHOICE, 0, 0, "simple",                \
      "how tokens become entities; none: print each")                                                        \
    X(IGNORE_LABELS, "ignore-labels", 0, "NAME[,NAME]", TEXT, 0, 0, "O", "leave these entities out")         \
    X(STRIDE, "stride", 0, "N", INT, 0, 65536, NULL,                                                         \
      "tokens that windows of a long text share (default: 128, or half a window)")                           \
    X(TRUNCATE, "truncate", 0, "", FLAG, 0, 0, NULL, "tag as much of a long text as one window takes")       \
    X(WINDOW, "window", 0, "N", INT, 1, 65536, NULL,                                                         \
      "tokens of a window of a long context (default: 384, or what the model takes)")                        \
    X(MAX_ANSWER, "max-answer", 0, "N", INT, 1, 65536, "15", "tokens of an answer at most")                  \
    X(MAX_QUESTION, "max-question", 0, "N", INT, 1, 65536, NULL, "cut questions at N tokens")                \
    X(IMPOSSIBLE, "impossible", 0, "", FLAG, 0, 0, NULL, "an empty answer is one too")                       \
    X(PIECES, "pieces", 0, "", FLAG, 0, 0, NULL, "do not widen answers to whole words")                      \
    X(TARGETS, "targets", 0, "WORD[,WORD]", TEXT, 0, 0, NULL, "let only these words compete for [MASK]")     \
    X(LABELS, "labels", 0, "NAME[,NAME]", TEXT, 0, 0, NULL,                                                  \
      "zero-shot: tell which of these a text is about, by a model of natural-language inference")            \
    X(HYPOTHESIS, "hypothesis", 0, "TEXT", TEXT, 0, 0, NULL,                                                 \
      "with --labels: what is asked, {} being the label (default: This example is {}.)")                     \
    X(MULTI_LABEL, "multi-label", 0, "", FLAG, 0, 0, NULL, "with --labels: score each label by itself")      \
    X(BATCH, "batch", 0, "N", INT, 1, 65536, NULL, "texts run at a time (default: 32; bench, load: 1)")      \
    X(SEQ, "seq", 0, "N", INT, 1, 65536, NULL, "tokens of each text (default: 128)")                         \
    X(GRID, "grid", 0, "BxS[,BxS]", TEXT, 0, 0, "1x16,1x128,1x384,8x32,8x128,32x64",                         \
      "batch and length of each row")                                                                        \
    X(SECONDS, "seconds", 0, "T", REAL, 0, 0, "1", "least time spent on a row")                              \
    X(PROFILE, "profile", 0, "", FLAG, 0, 0, NULL, "also print the time of each step")                       \
    X(ROAD, "road", 0, "", FLAG, 0, 0, NULL,                                                                 \
      "measure each step from the checkpoint to integers, in every engine")                                  \
    X(PYTHON, "python", 0, "FILE", TEXT, 0, 0, NULL,                                                         \
      "with --road: a Python that has torch and transformers, for their row")                                \
    X(HTML, "html", 0, "FILE", TEXT, 0, 0, NULL, "also write the tables and plots to FILE")                  \
    X(PAD, "pad", 0, "", FLAG, 0, 0, NULL,                                                                   \
      "with --data: fill texts up with [PAD] to the longest of their batch, to measure what that costs")     \
    X(KEEP_DUPLICATES, "keep-duplicates", 0, "", FLAG, 0, 0, NULL,                                           \
      "compute equal texts of a batch each for itself, to measure what that costs")                          \
    X(PEAK, "peak", 0, "", FLAG, 0, 0, NULL, "measure what the machine reaches at most (a second)")          \
    X(MAX_LENGTH, "max-length", 0, "N", INT, 0, 1 << 30, NULL,                                               \
      "cut texts at N pieces (default: the model's maximum, tagging in eval 128; 0: tokenize does not cut)") \
    X(SPECIAL_AS_TEXT, "special-as-text", 0, "", FLAG, 0, 0, NULL,                                           \
      "read [SEP] and the like in a text as plain text")                                                     \
    X(THREADS, "threads", 0, "N", INT, 0, 1024, "0", "threads to use (0: as many as there are cores)")       \
    X(ISA, "isa", 0, "ref|avx2|vnni|amx|neon", CHOICE, 0, 0, NULL, "use no instructions beyond this tier")   \
    X(PROVIDER, "provider", 0, "NAME", TEXT, 0, 0, "native",                                                 \
      "engine that runs the network; 'doctor' lists them (bench: NAME[,NAME])")                              \
    X(ONNX, "onnx", 0, "FILE", TEXT, 0, 0, NULL,                                                             \
      "other engines: read this export of the model in place of making one")                                 \
    X(GRAPH_LEVEL, "graph-level", 0, "none|basic|extended|all", CHOICE, 0, 0, NULL,                          \
      "ONNX Runtime: its own graph optimisation (default: all)")                                             \
    X(HOST, "host", 0, "ADDRESS", TEXT, 0, 0, "127.0.0.1", "listen on this address")                         \
    X(PORT, "port", 0, "N", INT, 0, 65535, "8080", "listen on this port (0: a free one)")                    \
    X(UNIX, "unix", 0, "PATH", TEXT, 0, 0, NULL, "use a UNIX socket in place of an address")                 \
    X(REUSE_PORT, "reuse-port", 0, "", FLAG, 0, 0, NULL, "let several servers listen on the same port")      \
    X(NAME, "name", 0, "N=FILE[,N=FILE]", TEXT, 0, 0, NULL, "serve FILE under the name N")                   \
    X(MAX_BATCH_TOKENS, "max-batch-tokens", 0, "N", INT, 1, 1 << 20, "1024", "tokens run at a time")         \
    X(MAX_BATCH_REQUESTS, "max-batch-requests", 0, "N", INT, 1, 65536, "128", "texts run at a time")         \
    X(MAX_QUEUE_TOKENS, "max-queue-tokens", 0, "N", INT, 1, 1 << 30, "65536",                                \
      "refuse requests while so many tokens wait")                                                           \
    X(MAX_CONCURRENT_REQUESTS, "max-concurrent-requests", 0, "N", INT, 1, 1 << 20, "512",                    \
      "refuse requests while so many are in flight")                                                         \
    X(MAX_CLIENT_BATCH_SIZE, "max-client-batch-size", 0, "N", INT, 1, 65536, "2048", "texts of a request")   \
    X(PAYLOAD_LIMIT, "payload-limit", 0, "BYTES", INT, 1, 1 << 30, "2000000", "bytes of a request's body")   \
    X(MAX_CONNECTIONS, "max-connections", 0, "N", INT, 1, 1 << 20, "1024", "open connections")               \
    X(MAX_WAIT_US, "max-wait-us", 0, "US", INT, 0, 10000000, "0", "wait so long for a batch to fill")        \
    X(QUEUE_TIMEOUT_MS, "queue-timeout-ms", 0, "MS", INT, 0, 86400000, "10000",                              \
      "give up requests that have waited so long (0: never)")                                                \
    X(OVERLOAD_STATUS, "overload-status", 0, "429|503", CHOICE, 0, 0, "429", "status of refused requests")   \
    X(REQUEST_MEMORY, "request-memory", 0, "SIZE", SIZE, 0, 0, NULL,                                         \
      "refuse requests that would make bodies, answers and caches larger (default: a quarter of RAM)")       \
    X(CACHE, "cache", 0, "N", INT, 0, 1 << 24, "0",                                                          \
      "keep the answers to the last N texts, in a quarter of --request-memory")                              \
    X(STREAMS, "streams", 0, "N", INT, 1, 256, "1", "batches run side by side, with --threads each")         \
    X(HTTP_THREADS, "http-threads", 0, "N", INT, 1, 64, "2", "threads that read and write requests")         \
    X(READ_TIMEOUT, "read-timeout", 0, "S", INT, 1, 86400, "30",                                             \
      "cut off clients that send or take a message slower")                                                  \
    X(IDLE_TIMEOUT, "idle-timeout", 0, "S", INT, 1, 86400, "75", "close connections without a request")      \
    X(DRAIN_DELAY, "drain-delay", 0, "S", INT, 0, 3600, "0",                                                 \
      "after SIGTERM say 'not ready' so long before the socket closes")                                      \
    X(DRAIN_TIMEOUT, "drain-timeout", 0, "S", INT, 0, 86400, "25", "then let requests finish for so long")   \
    X(API_KEYS, "api-keys", 0, "FILE", TEXT, 0, 0, NULL, "ask for one of the keys in FILE, one a line")      \
    X(CORS_ALLOW_ORIGIN, "cors-allow-origin", 0, "ORIGIN[,ORIGIN]", TEXT, 0, 0, NULL,                        \
      "let pages of these origins ask from a browser (*: of all)")                                           \
    X(ACCESS_LOG, "access-log", 0, "FILE", TEXT, 0, 0, NULL, "a line of JSON a request (-: stdout)")         \
    X(AUTO_TRUNCATE, "auto-truncate", 0, "true|false", CHOICE, 0, 0, "true", "cut texts that are too long")  \
    X(KEEP_SPECIAL, "keep-special", 0, "", FLAG, 0, 0, NULL,                                                 \
      "read [SEP] and the like in a text as special tokens: not for texts of strangers")                     \
    X(NO_OP, "no-op", 0, "", FLAG, 0, 0, NULL,                                                               \
      "answer with zeros and do not run the network, to measure the server itself")                          \
    X(RATE, "rate", 0, "R[,R]", TEXT, 0, 0, "100", "requests a second, a run for each")                      \
    X(CLOSED, "closed", 0, "", FLAG, 0, 0, NULL, "each connection sends when it has its answer")             \
    X(SATURATE, "saturate", 0, "", FLAG, 0, 0, NULL, "search for the highest rate that is sustained")        \
    X(ARRIVALS, "arrivals", 0, "constant|poisson", CHOICE, 0, 0, "constant",                                 \
      "requests come evenly, or at random")                                                                  \
    X(FORM, "form", 0, "tei|hf|openai|oip", CHOICE, 0, 0, "tei", "wire form of the requests")                \
    X(SERVED_MODEL_NAME, "served-model-name", 0, "NAME", TEXT, 0, 0, NULL,                                   \
      "what the server calls the model, as the body's \"model\" or in oip's path: needed for oip")           \
    X(HEADER, "header", 0, "NAME: VALUE", TEXT, 0, 0, NULL, "a header to add to every request")              \
    X(CONNECTIONS, "connections", 0, "N", INT, 1, 20000, "64", "connections to use at most")                 \
    X(DURATION, "duration", 0, "T", REAL, 0, 0, "10", "seconds that are measured, up to 600")                \
    X(WARMUP, "warmup", 0, "T", REAL, 0, 0, "1", "seconds before these at the same rate")                    \
    X(DEADLINE_MS, "deadline-ms", 0, "MS", INT, 0, 600000, NULL,                                             \
      "an answer is good until then (default: always; --saturate: 1000)")                                    \
    X(TIMEOUT, "timeout", 0, "T", REAL, 0, 0, "10", "seconds to wait for an answer")                         \
    X(CHECK, "check", 0, "", FLAG, 0, 0, NULL, "count answers that differ from the first to the same text")  \
    X(MAN, "man", 0, "", FLAG, 0, 0, NULL, "print the manual page")                                          \
    X(JSON, "json", 0, "", FLAG, 0, 0, NULL, "print JSON, one object a line")                                \
    X(HELP, "help", 'h', "", FLAG, 0, 0, NULL, "print this help")

typedef enum cli_option_id {
#define CLI_OPTION_ID(id, name, letter, value, kind, least, most, fallback, help) CLI_##id,
    CLI_OPTIONS(CLI_OPTION_ID)
#undef CLI_OPTION_ID
        CLI_OPTION_COUNT
} cli_option_id;
typedef enum cli_kind {
    CLI_KIND_FLAG,
    CLI_KIND_TEXT,
    CLI_KIND_CHOICE,
    CLI_KIND_INT,
    CLI_KIND_REAL,
    CLI_KIND_SIZE
} cli_kind;
typedef struct cli_option {
    const char *name;
    char letter; /* 0: none */
    const char *value;
    cli_kind kind;
    long least, most;     /* of an INT */
    const char *fallback; /* NULL: no default */
    const char *help;
} cli_option;
extern const cli_option cli_options[CLI_OPTION_COUNT];

/* ---- Commands: one row each, in main.c. ---- */

typedef struct cli_args cli_args;
typedef struct cli_command {
    const char *name;
    const char *words;    /* "MODEL [TEXT…]" */
    const char *summary;  /* one line */
    int least, most;      /* words; most < 0: any number */
    int required;         /* an option that must be given, -1: none */
    const int *options;   /* ids, ended by -1; --json and --help go without saying */
    const char *details;  /* paragraphs for --help and the man page, or NULL */
    const char *examples; /* lines */
    bool hidden;
    cli_code (*run)(const cli_args *args);
} cli_command;
extern const cli_command cli_commands[];
extern const size_t cli_command_count;
const cli_command *cli_find_command(const char *name);

struct cli_args {
    const cli_command *command;
    const char *values[CLI_OPTION_COUNT]; /* "" for a flag that was given; NULL: not given */
    char **words;
    int word_count;
};
/* Reads the arguments after the verb; words are gathered at the front of argv. Errors are printed. */
cli_code cli_parse(cli_args *out, const cli_command *command, int argc, char **argv);
bool cli_has(const cli_args *args, cli_option_id id); /* it was given */
const char *cli_text(const cli_args *args, cli_option_id id);
long cli_int(const cli_args *args, cli_option_id id, long otherwise);
double cli_real(const cli_args *args, cli_option_id id);
uint64_t cli_size(const cli_args *args, cli_option_id id); /* bytes; 0 when it was not given */
/* The names between the commas of an option's value; none when it was not given. */
typedef struct cli_names {
    const char **items;
    size_t count;
    char *text; /* that the items point into */
} cli_names;
cli_code cli_split_names(cli_names *out, const cli_args *args, cli_option_id id);
void cli_names_free(cli_names *names);
/* " (did you mean 'import'?)" or "" for a misspelt word. */
typedef const char *(*cli_name_fn)(const void *user, size_t index); /* NULL beyond the last */
const char *cli_suggest(char *out, size_t size, const char *word, cli_name_fn names, const void *user);
/* Whether a command takes an option. */
bool cli_takes(const cli_command *command, int id);

/* ---- Output ---- */

/* What comes from files and people is escaped as retort_escape has it; cli_error, cli_warning and
 * cli_print_json see to it themselves. */
void cli_put(FILE *to, const char *text, size_t length);
void cli_put_line(FILE *to, const char *text);
/* Filled up with spaces to `width` columns of a terminal. */
void cli_put_column(FILE *to, int width, const char *text);
/* The columns that it takes. */
int cli_columns(const char *text);
/* "retort: …" on stderr, escaped. */
void cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints the error; the exit code for it. `reading`: a model or data was being read. */
cli_code cli_fail(const retort_error *err, bool reading);
static inline cli_code cli_no_memory(void) {
    cli_error("out of memory");
    return CLI_FAILED;
}
/* Whether colours may be used on this stream. */
bool cli_colours(FILE *stream);
/* One line of JSON on stdout; takes the reference; NULL stands for a failed allocation. */
cli_code cli_print_json(json_t *json);
/* A JSON text, malformed UTF-8 replaced by U+FFFD. */
json_t *cli_json_text(const char *text, size_t length);
/* NaN becomes null. */
json_t *cli_json_real(double value);
/* Flushes stdout; CLI_FAILED when something could not be written. */
cli_code cli_flush(void);
/* "12.3 MB" */
const char *cli_bytes(char *out, size_t size, uint64_t bytes);

/* A retort_progress_fn: a bar on stderr when that is a terminal. cli_progress_end removes it. */
/* From now on SIGINT makes cli_progress cancel what it is called from. */
void cli_catch_interrupt(void);
void cli_warning(void *user, const char *text);
int cli_progress(void *user, const char *what, size_t done, size_t total);
void cli_progress_end(void);

/* A file to write to, NULL with the error printed; as with models, a link to no file is refused. */
FILE *cli_create(const char *path);
/* Closes what cli_create has opened (NULL: nothing); what could not be written whole is removed. */
cli_code cli_close(FILE *file, const char *path, cli_code code);
/* From now on SIGINT, SIGTERM and SIGHUP remove this file or folder (which is empty once those registered
 * after it are gone) before they end the process. */
void cli_remove_at_signal(const char *path);

/* Writes the model to --output; *bytes is the file's size. Errors are printed. */
cli_code cli_save_model(const retort_model *model, const cli_args *args, uint64_t *bytes);
/* The same as ONNX, as --for, --standard and --external-over say. */
cli_code cli_export_model(const retort_model *model, const cli_args *args, retort_export_info *done);
/* Whether a name ends in ".onnx". */
bool cli_is_graph(const char *path);

/* ---- Measuring ---- */

double cli_now(void); /* seconds */
double cli_rss_mb(void);
double cli_peak_mb(void); /* the most that was resident so far */
/* Sorts the values. */
void cli_sort(double *values, size_t n);
double cli_percentile(const double *sorted, size_t n, double p);

/* ---- Models and texts ---- */

extern const char *const cli_task_names[];
/* The model that comes with retort, which `run` takes when none is named. */
#define CLI_DEFAULT_MODEL "sentiment"
/* The path of a model: the word itself, or, where it is a bare name and no file, that of NAME.retort in the
 * folders of the environment variable RETORT_MODELS (colons between them), or where retort keeps its own.
 * *out: the caller frees it. Errors are printed, with the folders that were searched. */
cli_code cli_find_model(char **out, const char *word);
/* A .retort file, or a checkpoint folder, which is imported up to `level`; `path` may be a name, as above.
 * Errors are printed. */
cli_code cli_open_model(retort_model **out, const cli_args *args, const char *path, int level);
/* Refuses a --level below the model's. Errors are printed. */
cli_code cli_check_level(const retort_model *model, const cli_args *args);
/* The same, and rewrites a model of a lower level up to --level, where that was given. */
cli_code cli_reach_level(retort_model **model, const cli_args *args);
cli_code cli_open_session(retort_session **out, const cli_args *args, retort_model *model, bool profile);
/* The same for the text of --query, with its prompt. */
cli_code cli_open_query(retort_session **out, const cli_args *args, retort_model *model);
/* In our own engine, whatever --provider says: a reference. */
cli_code cli_open_native(retort_session **out, const cli_args *args, retort_model *model);
cli_code cli_open_tapped(retort_session **out, const cli_args *args, retort_model *model, retort_tap_fn tap,
                         void *user);

/* The file of --data ("-": standard input) with the columns that are named; texts_only: labels are not read.
 * model may be NULL. Errors are printed. */
cli_code cli_open_data(retort_dataset **out, const cli_args *args, const retort_model *model,
                       bool texts_only);

/* Texts of the command line from word `first` on, or, without any, lines of stdin. */
typedef struct cli_input {
    char **words;
    size_t word_count, next;
    char *buffer;
    size_t start, length, capacity; /* unread bytes: [start, length) */
    size_t lines;                   /* complete lines among them */
    size_t taken;                   /* lines or words so far */
    bool end;
    retort_dataset *data; /* NULL without --data */
    bool told;            /* that a tab makes a pair */
} cli_input;
/* Or the texts of --data, if that is given. Errors are printed. */
cli_code cli_input_open(cli_input *input, const cli_args *args, int first, const retort_model *model);
/* Up to `most` lines, valid until the next call; waits for one, takes more only as they are ready. *n is 0 at
 * the end. */
cli_code cli_input_take(cli_input *input, retort_text *lines, size_t most, size_t *n);
void cli_input_close(cli_input *input);
/* Splits text `number` (from 1) at its first tab into a text and its pair, where there is one; `expected`:
 * the task is one of pairs, else --pairs asks for it, or it is said. Errors are printed. */
cli_code cli_split_pair(cli_input *input, const cli_args *args, retort_text *text, size_t number,
                        bool expected);

/* A table of the plan's steps, or its JSON; how near each comes to the peaks unless these are NULL. */
cli_code cli_print_steps(retort_session *session, const retort_peaks *peaks);
json_t *cli_json_steps(retort_session *session, const retort_peaks *peaks);
/* The machine's peaks at --isa and --threads. Errors are printed. */
cli_code cli_measure(retort_peaks *out, const cli_args *args);
void cli_print_peaks(const retort_peaks *peaks);
json_t *cli_json_peaks(const retort_peaks *peaks);
/* What a step reached, all threads together, and which part of the machine's peak that is. */
typedef struct cli_share {
    const char *type;           /* whose peak it is: "f32", "bf16", "s8" or "s4" */
    double operations, of_peak; /* a second, of its type's peak; 0: none counted */
    double weights, of_read; /* bytes a second, of the reading rate of where they come from; 0: none read */
} cli_share;
cli_share cli_share_of(const retort_step_info *step, const retort_peaks *peaks, retort_memory memory);
/* The smallest cache that holds all weights that a run reads, or DRAM. */
retort_memory cli_weights_memory(const retort_session *session, const retort_peaks *peaks);
extern const char *const cli_memory_names[];
/* Sequences of `seq` random ids, the same at each call; for fill models with a mask. */
typedef struct cli_random_batch {
    int32_t *ids, *offsets;
    retort_batch batch;
} cli_random_batch;
cli_code cli_random_make(cli_random_batch *out, const retort_model *model, size_t n, size_t seq);
void cli_random_free(cli_random_batch *random);

/* How far the steps of a model are from those of the same names in a reference, in turn on the same batches.
 * Start with {0}. */
typedef struct cli_layer {
    const char *name, *op;
    size_t rows, columns;
    double difference, norm; /* sums of squares: of what is different, of the reference */
    bool unlike;             /* other rows or columns, or no floats, in one of the two */
    float *queue;            /* rows of the model that the reference has not come to: floats head…count */
    size_t head, count, capacity;
} cli_layer;
typedef struct cli_layers {
    cli_layer *items; /* [steps] of the model */
    size_t steps;
    ptrdiff_t *of; /* [reference_steps] the item that each step of the reference is compared with, or -1 */
    size_t reference_steps;
    bool answered; /* the reference has run the batch at hand */
} cli_layers;
/* Taps of the model's and of the reference's session. */
int cli_layers_tap(void *user, const retort_tapped *tapped);
int cli_layers_tap_reference(void *user, const retort_tapped *tapped);
/* Pairs the steps; before anything is run. */
cli_code cli_layers_pair(cli_layers *layers, const retort_session *model, const retort_session *reference);
void cli_layers_print(const cli_layers *layers);
json_t *cli_layers_json(const cli_layers *layers);
void cli_layers_free(cli_layers *layers);

/* The texts of a data file, tokenised. Start with {0}; free also what failed. */
typedef struct cli_corpus {
    retort_dataset *data;
    int32_t *ids, *types, *starts; /* starts: [count + 1] */
    int32_t *offsets;              /* [batch + 1] of the batch at hand */
    size_t count, tokens, capacity;
    size_t padding; /* of the tokens */
    bool typed;     /* the model tells first and second texts apart */
} cli_corpus;
/* Of --data; max_length as in retort_tokenize_options; `batch`: the most texts of a run. Errors
 * are printed. */
cli_code cli_corpus_read(cli_corpus *c, const cli_args *args, const retort_model *model, bool texts_only,
                         int64_t max_length, size_t batch);
/* Adds a text of n tokens, padded to `length`. */
bool cli_corpus_append(cli_corpus *c, const int32_t *ids, const int32_t *types, size_t n, size_t length,
                       int32_t pad);
/* Runs texts from…to, and all of them in batches. Errors are printed. */
cli_code cli_corpus_run(cli_corpus *c, retort_session *session, size_t from, size_t to);
cli_code cli_corpus_pass(cli_corpus *c, retort_session *session, size_t batch, double *ms);
void cli_corpus_free(cli_corpus *c);

/* ---- The commands ---- */

cli_code cmd_import(const cli_args *args);
cli_code cmd_info(const cli_args *args);
cli_code cmd_explain(const cli_args *args);
cli_code cmd_run(const cli_args *args);
cli_code cmd_tokenize(const cli_args *args);
cli_code cmd_eval(const cli_args *args);
cli_code cmd_compare(const cli_args *args);
cli_code cmd_optimize(const cli_args *args);
cli_code cmd_quantize(const cli_args *args);
cli_code cmd_dequantize(const cli_args *args);
cli_code cmd_export(const cli_args *args);
cli_code cmd_bench(const cli_args *args);
cli_code cmd_serve(const cli_args *args);
cli_code cmd_load(const cli_args *args);
cli_code cmd_doctor(const cli_args *args);
cli_code cmd_help(const cli_args *args);
cli_code cmd_version(const cli_args *args);
cli_code cmd_completions(const cli_args *args);
void cli_print_help(const cli_command *command, FILE *to);
void cli_print_man(void);

#endif
