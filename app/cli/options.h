/* SPDX-License-Identifier: Apache-2.0
 * The options, one row each, how a verb declares those it takes, and their parser. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "cli/output.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- Options: one row each. Parsing, --help, the man page and the completions read these rows. ----
 * id, name, letter, value ("" for a flag, "a|b" for a choice), kind, min, max, default, help
 * Verbs that mean different things by a name have a row each. */
#define CLI_OPTIONS(X)                                                                                       \
    X(OUTPUT, "output", 'o', "FILE", TEXT, 0, 0, NULL, "write the model to FILE")                            \
    X(LEVEL, "level", 0, "0|1|2|3", CHOICE, 0, 0, "3", "optimise the graph up to this level")                \
    X(WITHOUT, "without", 0, "NAME[,NAME]", TEXT, 0, 0, NULL,                                                \
      "omit these rewrites; an unknown name lists all of them")                                              \
    X(DTYPE, "dtype", 0, "f32|bf16", CHOICE, 0, 0, "f32",                                                    \
      "dtype of the stored matrices (bf16 needs level 3)")                                                   \
    X(TASK, "task", 0, "classify|tag|answer|fill|embed", CHOICE, 0, 0, NULL,                                 \
      "use this task instead of the checkpoint's")                                                           \
    X(TOKENIZER, "tokenizer", 0, "PATH", TEXT, 0, 0, NULL,                                                   \
      "folder, tokenizer.json or vocab.txt to use instead of the checkpoint's")                              \
    X(LANGUAGES, "languages", 0, "CODE[,CODE]", TEXT, 0, 0, NULL,                                            \
      "restrict the vocabulary to the scripts of these languages (ko,en)")                                   \
    X(TEXTS, "texts", 0, "FILE[,FILE]", TEXT, 0, 0, NULL,                                                    \
      "restrict the vocabulary to what these texts need, as the model will be given them (formats of "       \
      "--data); with --languages: to both")                                                                  \
    X(MEMORY, "memory", 0, "SIZE", SIZE, 0, 0, NULL,                                                         \
      "use at most this much memory (512M, 2G) to read the model and to quantize (default: 64M plus 8 "      \
      "times the size of its files)")                                                                        \
    X(RECIPE, "recipe", 0, "int8|int8-static|smoothquant|smoothquant+gptq|int4|awq|gptq|owq|ptq+owq",        \
      CHOICE, 0, 0, "int8", "how to turn the weights into integers")                                         \
    X(BITS, "bits", 0, "8|4|3|2", CHOICE, 0, 0, NULL,                                                        \
      "bits of the matrices (default: the recipe's); 2 are meant for a model trained for 2 bits")            \
    X(GROUP, "group", 0, "N", INT, 32, 65536, NULL,                                                          \
      "4 bits and fewer: weights that share an integer scale, a multiple of 32 (default: 64; ptq+owq: 32)")  \
    X(EMBEDDINGS, "embeddings", 0, "8|4|3|2", CHOICE, 0, 0, NULL,                                            \
      "bits of the word table (default: the recipe's, or those of --bits if 3 or 2)")                        \
    X(ACTIVATIONS, "activations", 0, "dynamic|static", CHOICE, 0, 0, NULL,                                   \
      "ranges of activations: found per row at run time, or fixed by calibration (default: the recipe's)")   \
    X(KEEP, "keep", 0, "NAME[,NAME]", TEXT, 0, 0, NULL,                                                      \
      "keep these layers in float, e.g. head.output, or layer.0 for the whole layer")                        \
    X(SAMPLES, "samples", 0, "N", INT, 1, 1 << 24, "1024", "calibrate with this many texts of the data")     \
    X(SEED, "seed", 0, "S", INT, 0, 0x7fffffff, "0", "seed for the choice of texts")                         \
    X(WEAK_COLUMNS, "weak-columns", 0, "N", INT, 8, 64, "8",                                                 \
      "owq: outlier columns per matrix that keep 8 bits, a multiple of 8")                                   \
    X(PRUNE_TIME, "time", 0, "SHARE", SHARE, 0, 0, NULL,                                                     \
      "share of the time that stays (60%), as measured here in int8, taken where it costs least")            \
    X(PRUNE_HEADS, "heads", 0, "N", REAL, 0, 0, NULL,                                                        \
      "heads of attention that a layer keeps, in the mean: some keep more")                                  \
    X(PRUNE_FFN, "ffn", 0, "SHARE", SHARE, 0, 0, NULL,                                                       \
      "share of the columns of feed-forward networks that stays (50%), some layers keeping more")            \
    X(PRUNE_LAYERS, "layers", 0, "N", INT, 1, 65536, NULL, "layers that stay; the last one always does")     \
    X(PRUNE_ROUNDS, "rounds", 0, "N", INT, 1, 64, "4", "go down in this many rounds")                        \
    X(FOR, "for", 0, "any|ort", CHOICE, 0, 0, "any",                                                         \
      "any: standard operators; ort: ONNX Runtime's fused operators where level 2 has fused")                \
    X(STANDARD, "standard", 0, "", FLAG, 0, 0, NULL,                                                         \
      "write 4-bit weights with the standard DequantizeLinear (opset 21) instead of MatMulNBits")            \
    X(EXTERNAL_OVER, "external-over", 0, "BYTES", INT, 1, 0x7fffffff, NULL,                                  \
      "move the tensors of larger files to FILE.data (default: over 2 GiB)")                                 \
    X(TENSORS, "tensors", 0, "", FLAG, 0, 0, NULL, "list every stored tensor")                               \
    X(SVG, "svg", 0, "FILE", TEXT, 0, 0, NULL, "draw the graph into FILE")                                   \
    X(WHOLE, "whole", 0, "", FLAG, 0, 0, NULL, "with --svg: draw every layer, including identical ones")     \
    X(GRAPH, "graph", 0, "", FLAG, 0, 0, NULL, "print the graph, one node per line")                         \
    X(DATA, "data", 0, "FILE", TEXT, 0, 0, NULL,                                                             \
      "TSV, CSV, JSON lines, CoNLL, SQuAD JSON or lines of text (-: stdin)")                                 \
    X(TEXT_COLUMN, "text-column", 0, "NAME", TEXT, 0, 0, NULL,                                               \
      "column of --data that contains the texts (default: sentence, text, sentence1, question, premise or "  \
      "anchor)")                                                                                             \
    X(TEXT_PAIR_COLUMN, "text-pair-column", 0, "NAME", TEXT, 0, 0, NULL,                                     \
      "column that contains the second text of each pair (default: sentence2, context, hypothesis or "       \
      "positive)")                                                                                           \
    X(LABEL_COLUMN, "label-column", 0, "NAME", TEXT, 0, 0, NULL,                                             \
      "column that contains the labels or scores (default: label, labels or score); NAME,NAME: columns "     \
      "of 0 and 1, one for each label")                                                                      \
    X(LABEL_SEPARATOR, "label-separator", 0, "CHARACTER", TEXT, 0, 0, NULL,                                  \
      "between the labels of a text that has several (default: ;); train: texts have several")               \
    X(INPUT, "input", 'i', "FILE", TEXT, 0, 0, NULL,                                                         \
      "answer each row of this table: TSV, CSV or JSON lines, plain, gzip or zstd (-: stdin, with "          \
      "--format); the Python package's command: also Parquet and Arrow")                                     \
    X(RUN_OUTPUT, "output", 'o', "FILE", TEXT, 0, 0, NULL,                                                   \
      "with --input: write the rows and their answers to FILE (.gz, .zst: compressed; default: stdout)")     \
    X(FORMAT, "format", 0, "tsv|csv|jsonl", CHOICE, 0, 0, NULL,                                              \
      "with --input: format of the table (default: by its name)")                                            \
    X(SCORES, "scores", 0, "", FLAG, 0, 0, NULL,                                                             \
      "with --input: also add a column with the scores of all labels, as a JSON object")                     \
    X(PREFIX, "prefix", 0, "NAME", TEXT, 0, 0, NULL,                                                         \
      "with --input: put this before the names of the columns that are added")                               \
    X(ROWS, "rows", 0, "N", INT, 1, 0x7fffffff, NULL, "with --input: stop after N rows")                     \
    X(BAD_ROWS, "bad-rows", 0, "FILE", TEXT, 0, 0, NULL,                                                     \
      "with --input: write rows that cannot be answered to FILE (default: the output with .bad.jsonl "       \
      "added)")                                                                                              \
    X(RUN_RESUME, "resume", 0, "", FLAG, 0, 0, NULL,                                                         \
      "with --input: go on with the rows of a run that was killed")                                          \
    X(PAIRS, "pairs", 0, "", FLAG, 0, 0, NULL,                                                               \
      "each text is a pair, separated by a tab (default: a tab is part of the text)")                        \
    X(REFERENCE, "reference", 0, "MODEL", TEXT, 0, 0, NULL, "also compare the logits with this model's")     \
    X(PER_LAYER, "per-layer", 0, "", FLAG, 0, 0, NULL,                                                       \
      "with --reference: also print the error of each step relative to the reference")                       \
    X(PER_CLASS, "per-class", 0, "", FLAG, 0, 0, NULL,                                                       \
      "also print precision, recall and F1 of each label, and which labels are taken for which")             \
    X(CHANGED, "changed", 0, "N", INT, 1, 1000000, NULL,                                                     \
      "with --reference: also list the N surest of the texts whose label changed")                           \
    X(LOGITS, "logits", 0, "FILE", TEXT, 0, 0, NULL, "write the logits as tab-separated values")             \
    X(FLOOR, "floor", 0, "X", REAL, 0, 0, NULL,                                                              \
      "exit with 4 if the metric is below X (a perplexity: above X)")                                        \
    X(QUERY, "query", 0, "TEXT", TEXT, 0, 0, NULL,                                                           \
      "rank the texts by their similarity to TEXT, or by a cross-encoder's scores of both")                  \
    X(QUERY_PROMPT_NAME, "query-prompt-name", 0, "NAME", TEXT, 0, 0, NULL,                                   \
      "with --query: put this prompt before TEXT only (default: the prompt of the texts)")                   \
    X(PROMPT_NAME, "prompt-name", 0, "NAME", TEXT, 0, 0, NULL,                                               \
      "put this prompt of the model before each text, or the first of a pair (default: the model's "         \
      "default; \"\": none)")                                                                                \
    X(TOP, "top", 0, "K", INT, 1, 1000, NULL,                                                                \
      "print the K best labels, answers or guesses (default: the best label, or all when drawn or as "       \
      "JSON; 1 answer; 5 guesses)")                                                                          \
    X(AGGREGATION, "aggregation", 0, "none|simple|first|average|max", CHOICE, 0, 0, "simple",                \
      "how tokens are merged into entities; none: print each token")                                         \
    X(IGNORE_LABELS, "ignore-labels", 0, "NAME[,NAME]", TEXT, 0, 0, "O", "omit these entities")              \
    X(STRIDE, "stride", 0, "N", INT, 0, 65536, NULL,                                                         \
      "tokens that neighbouring windows of a long text share (default: 128, or half a window)")              \
    X(TRUNCATE, "truncate", 0, "", FLAG, 0, 0, NULL,                                                         \
      "tag only the part of a long text that fits into one window")                                          \
    X(WINDOW, "window", 0, "N", INT, 1, 65536, NULL,                                                         \
      "tokens per window of a long context (default: 384, or the model's maximum)")                          \
    X(MAX_ANSWER, "max-answer", 0, "N", INT, 1, 65536, "15", "longest answer, in tokens")                    \
    X(MAX_QUESTION, "max-question", 0, "N", INT, 1, 65536, NULL, "truncate questions to N tokens")           \
    X(IMPOSSIBLE, "impossible", 0, "", FLAG, 0, 0, NULL, "allow the empty answer")                           \
    X(PIECES, "pieces", 0, "", FLAG, 0, 0, NULL, "do not extend answers to whole words")                     \
    X(TARGETS, "targets", 0, "WORD[,WORD]", TEXT, 0, 0, NULL, "choose only among these words for a mask")    \
    X(LABELS, "labels", 0, "NAME[,NAME]", TEXT, 0, 0, NULL,                                                  \
      "zero-shot classification into these labels, with a natural-language inference model")                 \
    X(HYPOTHESIS, "hypothesis", 0, "TEXT", TEXT, 0, 0, NULL,                                                 \
      "with --labels: the hypothesis, where {} is the label (default: This example is {}.)")                 \
    X(MULTI_LABEL, "multi-label", 0, "", FLAG, 0, 0, NULL, "with --labels: score each label independently")  \
    X(BATCH, "batch", 0, "N", INT, 1, 65536, NULL, "texts per batch (default: 32; bench, load: 1)")          \
    X(SEQ, "seq", 0, "N", INT, 1, 65536, NULL, "tokens per text (default: 128)")                             \
    X(GRID, "grid", 0, "BxS[,BxS]", TEXT, 0, 0, "1x16,1x128,1x384,8x32,8x128,32x64",                         \
      "batch size and length of each row")                                                                   \
    X(SECONDS, "seconds", 0, "T", REAL, 0, 0, "1", "minimum time spent on each row")                         \
    X(PROFILE, "profile", 0, "", FLAG, 0, 0, NULL, "also print the time of each step")                       \
    X(STAGES, "stages", 0, "", FLAG, 0, 0, NULL,                                                             \
      "measure each pipeline stage from the checkpoint to integers, in every engine")                        \
    X(PYTHON, "python", 0, "FILE", TEXT, 0, 0, NULL,                                                         \
      "with --stages: a Python with torch and transformers, to add their row")                               \
    X(HTML, "html", 0, "FILE", TEXT, 0, 0, NULL, "also write the tables and plots to FILE")                  \
    X(PAD, "pad", 0, "", FLAG, 0, 0, NULL,                                                                   \
      "with --data: pad texts to the longest of their batch, to measure the cost")                           \
    X(KEEP_DUPLICATES, "keep-duplicates", 0, "", FLAG, 0, 0, NULL,                                           \
      "compute equal texts of a batch separately, to measure the cost")                                      \
    X(PEAK, "peak", 0, "", FLAG, 0, 0, NULL, "measure the peak of this machine (takes a second)")            \
    X(MAX_LENGTH, "max-length", 0, "N", INT, 0, 1 << 30, NULL,                                               \
      "truncate texts to N tokens (default: the model's maximum; 128 for tagging in eval; 0: tokenize "      \
      "does not truncate)")                                                                                  \
    X(SPECIAL_AS_TEXT, "special-as-text", 0, "", FLAG, 0, 0, NULL,                                           \
      "treat the text of special tokens as plain text")                                                      \
    X(THREADS, "threads", 0, "N", INT, 0, 1024, "0", "threads to use (0: one per core)")                     \
    X(UNPACK, "unpack", 0, "auto|always|never", CHOICE, 0, 0, "auto",                                        \
      "whether to unpack weights of fewer than 8 bits to int8 in memory; auto: on their second use, where "  \
      "that is faster; always: when the model is opened; never: best for many processes that share a file")  \
    X(ISA, "isa", 0, "ref|avx2|vnni|amx|neon", CHOICE, 0, 0, NULL, "use no instructions above this tier")    \
    X(PROVIDER, "provider", 0, "NAME", TEXT, 0, 0, "native",                                                 \
      "engine that runs the model; 'doctor' lists them (bench: NAME[,NAME])")                                \
    X(ONNX, "onnx", 0, "FILE", TEXT, 0, 0, NULL,                                                             \
      "other engines: read this export of the model instead of making one")                                  \
    X(GRAPH_LEVEL, "graph-level", 0, "none|basic|extended|all", CHOICE, 0, 0, NULL,                          \
      "ONNX Runtime: its own graph optimisation level (default: all)")                                       \
    X(HOST, "host", 0, "ADDRESS", TEXT, 0, 0, "127.0.0.1", "listen on this address")                         \
    X(PORT, "port", 0, "N", INT, 0, 65535, "8080", "listen on this port (0: a free one)")                    \
    X(UNIX, "unix", 0, "PATH", TEXT, 0, 0, NULL, "use a UNIX socket instead of an address")                  \
    X(REUSE_PORT, "reuse-port", 0, "", FLAG, 0, 0, NULL, "let several servers listen on the same port")      \
    X(NAME, "name", 0, "N=FILE[,N=FILE]", TEXT, 0, 0, NULL, "serve FILE under the name N")                   \
    X(MAX_BATCH_TOKENS, "max-batch-tokens", 0, "N", INT, 1, 1 << 20, "1024", "tokens per batch")             \
    X(MAX_BATCH_REQUESTS, "max-batch-requests", 0, "N", INT, 1, 65536, "128", "texts per batch")             \
    X(MAX_QUEUE_TOKENS, "max-queue-tokens", 0, "N", INT, 1, 1 << 30, "65536",                                \
      "refuse requests while this many tokens are waiting")                                                  \
    X(MAX_CONCURRENT_REQUESTS, "max-concurrent-requests", 0, "N", INT, 1, 1 << 20, "512",                    \
      "refuse requests while this many are in flight")                                                       \
    X(MAX_CLIENT_BATCH_SIZE, "max-client-batch-size", 0, "N", INT, 1, 65536, "2048",                         \
      "maximum number of texts per request")                                                                 \
    X(PAYLOAD_LIMIT, "payload-limit", 0, "BYTES", INT, 1, 1 << 30, "2000000",                                \
      "maximum size of a request body")                                                                      \
    X(MAX_CONNECTIONS, "max-connections", 0, "N", INT, 1, 1 << 20, "1024",                                   \
      "maximum number of open connections")                                                                  \
    X(MAX_WAIT_US, "max-wait-us", 0, "US", INT, 0, 10000000, "0", "wait this long for a batch to fill")      \
    X(QUEUE_TIMEOUT_MS, "queue-timeout-ms", 0, "MS", INT, 0, 86400000, "10000",                              \
      "give up requests that have waited this long (0: never)")                                              \
    X(OVERLOAD_STATUS, "overload-status", 0, "429|503", CHOICE, 0, 0, "429", "status of refused requests")   \
    X(REQUEST_MEMORY, "request-memory", 0, "SIZE", SIZE, 0, 0, NULL,                                         \
      "refuse requests that would take bodies, answers and caches over this size (default: a quarter of "    \
      "RAM)")                                                                                                \
    X(CACHE, "cache", 0, "N", INT, 0, 1 << 24, "0",                                                          \
      "cache the answers to the last N texts, in a quarter of --request-memory")                             \
    X(STREAMS, "streams", 0, "N", INT, 1, 256, "1",                                                          \
      "batches run in parallel, with --threads each; 1: retort's own engine runs waiting requests side by "  \
      "side, one thread each, and a lone request on all threads")                                            \
    X(HTTP_THREADS, "http-threads", 0, "N", INT, 1, 64, "2", "threads that read and write requests")         \
    X(READ_TIMEOUT, "read-timeout", 0, "S", INT, 1, 86400, "30",                                             \
      "disconnect clients that take longer to send or receive a message")                                    \
    X(IDLE_TIMEOUT, "idle-timeout", 0, "S", INT, 1, 86400, "75",                                             \
      "close connections that have been idle this long")                                                     \
    X(DRAIN_DELAY, "drain-delay", 0, "S", INT, 0, 3600, "0",                                                 \
      "after SIGTERM, report 'not ready' this long before closing the socket")                               \
    X(DRAIN_TIMEOUT, "drain-timeout", 0, "S", INT, 0, 86400, "25", "then let requests finish for this long") \
    X(API_KEYS, "api-keys", 0, "FILE", TEXT, 0, 0, NULL, "require one of the keys in FILE, one per line")    \
    X(CORS_ALLOW_ORIGIN, "cors-allow-origin", 0, "ORIGIN[,ORIGIN]", TEXT, 0, 0, NULL,                        \
      "allow browser requests from pages of these origins (*: all)")                                         \
    X(ACCESS_LOG, "access-log", 0, "FILE", TEXT, 0, 0, NULL,                                                 \
      "write one line of JSON per request (-: stdout)")                                                      \
    X(AUTO_TRUNCATE, "auto-truncate", 0, "true|false", CHOICE, 0, 0, "true",                                 \
      "truncate texts that are too long")                                                                    \
    X(KEEP_SPECIAL, "keep-special", 0, "", FLAG, 0, 0, NULL,                                                 \
      "treat special tokens in a text as such; do not use with untrusted texts")                             \
    X(NO_OP, "no-op", 0, "", FLAG, 0, 0, NULL,                                                               \
      "answer with zeros without running the model, to measure the server itself")                           \
    X(RATE, "rate", 0, "R[,R]", TEXT, 0, 0, "100", "requests per second; one run for each rate")             \
    X(CLOSED, "closed", 0, "", FLAG, 0, 0, NULL,                                                             \
      "each connection sends its next request when it has an answer")                                        \
    X(SATURATE, "saturate", 0, "", FLAG, 0, 0, NULL, "search for the highest sustained rate")                \
    X(ARRIVALS, "arrivals", 0, "constant|poisson", CHOICE, 0, 0, "constant",                                 \
      "requests arrive evenly or at random")                                                                 \
    X(FORM, "form", 0, "tei|hf|openai|oip", CHOICE, 0, 0, "tei", "wire form of the requests")                \
    X(SERVED_MODEL_NAME, "served-model-name", 0, "NAME", TEXT, 0, 0, NULL,                                   \
      "the model's name on the server, for the body's \"model\" or oip's path; required for oip")            \
    X(HEADER, "header", 0, "NAME: VALUE", TEXT, 0, 0, NULL, "add this header to every request")              \
    X(CONNECTIONS, "connections", 0, "N", INT, 1, 20000, "64", "maximum number of connections")              \
    X(DURATION, "duration", 0, "T", REAL, 0, 0, "10", "seconds to measure, up to 600")                       \
    X(WARMUP, "warmup", 0, "T", REAL, 0, 0, "1", "seconds to run at the same rate before measuring")         \
    X(DEADLINE_MS, "deadline-ms", 0, "MS", INT, 0, 600000, NULL,                                             \
      "an answer is good within this time (default: always; --saturate: 1000)")                              \
    X(TIMEOUT, "timeout", 0, "T", REAL, 0, 0, "10", "seconds to wait for an answer")                         \
    X(CHECK, "check", 0, "", FLAG, 0, 0, NULL,                                                               \
      "count answers that differ from the first answer to the same text")                                    \
    X(DEV, "dev", 0, "FILE", TEXT, 0, 0, NULL,                                                               \
      "labelled texts that choose the best epoch, and stop the training with --patience")                    \
    X(EPOCHS, "epochs", 0, "N", REAL, 0, 0, NULL,                                                            \
      "passes over the data (default: 3; integers: at most 100 steps, 1,000 at 2 bits)")                     \
    X(STEPS, "steps", 0, "N", INT, 1, 0x7fffffff, NULL, "train this many batches instead")                   \
    X(LEARNING_RATE, "rate", 0, "R", REAL, 0, 0, NULL,                                                       \
      "highest learning rate (default: 5e-5, or 2e-4 below a hidden size of 768; students: 3e-4; --bits 8 "  \
      "and 4: 2e-5, "                                                                                        \
      "3: 5e-5, 2: 1e-4, half of that from 768 on)")                                                         \
    X(RATE_WARMUP, "warmup", 0, "SHARE", REAL, 0, 0, NULL,                                                   \
      "share of the steps in which the rate rises (default: 0.06)")                                          \
    X(DECAY, "decay", 0, "linear|cosine|constant", CHOICE, 0, 0, "linear", "how the rate falls after that")  \
    X(WEIGHT_DECAY, "weight-decay", 0, "X", REAL, 0, 0, NULL,                                                \
      "decoupled decay of matrices and tables (default: 0.01)")                                              \
    X(CLIP, "clip", 0, "NORM", REAL, 0, 0, NULL, "largest norm of the gradient (default: 1; 0: none)")       \
    X(LAYER_DECAY, "layer-decay", 0, "X", REAL, 0, 0, NULL,                                                  \
      "factor of the rate from each layer to the one below (default: 1)")                                    \
    X(SMOOTHING, "smoothing", 0, "X", REAL, 0, 0, NULL, "label smoothing (default: 0)")                      \
    X(CLASS_WEIGHTS, "class-weights", 0, "", FLAG, 0, 0, NULL,                                               \
      "weight labels by the inverse of how often they occur")                                                \
    X(PATIENCE, "patience", 0, "N", INT, 1, 10000, NULL, "stop after N epochs that are no better on --dev")  \
    X(TRAIN_MAX_LENGTH, "max-length", 0, "N", INT, 1, 65536, NULL,                                           \
      "truncate texts to N tokens (default: 128, or the model's maximum)")                                   \
    X(TRAIN_SEED, "seed", 0, "S", INT, 0, 0x7fffffff, "0", "seed for the order of texts and new weights")    \
    X(ARITHMETIC, "dtype", 0, "f32|bf16", CHOICE, 0, 0, "f32",                                               \
      "dtype of products; sums and weights stay float32")                                                    \
    X(TRAIN_MEMORY, "memory", 0, "SIZE", SIZE, 0, 0, NULL,                                                   \
      "use at most this much memory (512M, 2G) for activations and caches: batches are cut into chunks")     \
    X(TEACHER, "teacher", 0, "MODEL", TEXT, 0, 0, NULL,                                                      \
      "distil: learn the answers of this model; texts need no labels (default with --bits: MODEL itself)")   \
    X(TEMPERATURE, "temperature", 0, "T", REAL, 0, 0, NULL, "of the answers of --teacher (default: 2)")      \
    X(SOFT, "soft", 0, "X", REAL, 0, 0, NULL,                                                                \
      "share of --teacher in the loss; the rest is the labels' (default: 1)")                                \
    X(HIDDEN, "hidden", 0, "X", REAL, 0, 0, NULL,                                                            \
      "weight of the teacher's last hidden states in the loss (default: 1 if the widths agree, else 0;"      \
      " integers: 10, of those of all layers)")                                                              \
    X(MIX, "mix", 0, "X", REAL, 0, 0, NULL,                                                                  \
      "share of texts in which a span is replaced by one of another text, for the teacher to answer"         \
      " (default: 0; integers: 0.5)")                                                                        \
    X(STUDENT, "student", 0, "layers=N", TEXT, 0, 0, NULL, "keep N layers of the checkpoint, spread evenly") \
    X(FROM_LAYERS, "from-layers", 0, "I[,I]", TEXT, 0, 0, NULL, "keep these layers of the checkpoint")       \
    X(TRAIN_RECIPE, "recipe", 0, "int8|int4|gptq|owq|ptq+owq", CHOICE, 0, 0, NULL,                           \
      "train integers, from what this recipe makes (default with --bits: ptq+owq, or int8 for 8)")           \
    X(CHECKPOINT, "checkpoint", 0, "FILE", TEXT, 0, 0, NULL,                                                 \
      "save the state of the training here (default: the output with .checkpoint added)")                    \
    X(MINUTES, "minutes", 0, "N", REAL, 0, 0, NULL, "time between two checkpoints (default: 10)")            \
    X(RESUME, "resume", 0, "", FLAG, 0, 0, NULL, "go on from the checkpoint, to the same bytes")             \
    X(PLOT, "plot", 0, "FILE", TEXT, 0, 0, NULL, "draw loss and dev metric over the steps into FILE (SVG)")  \
    X(STAGE, "stage", 0, "MODEL", LIST, 0, 0, NULL,                                                          \
      "a student that answers what it is sure of (several times: cheapest first)")                           \
    X(LINEAR, "linear", 0, "", FLAG, 0, 0, NULL,                                                             \
      "train a linear model on word pieces as the first stage (seconds)")                                    \
    X(LINEAR_DATA, "linear-data", 0, "FILE", TEXT, 0, 0, NULL,                                               \
      "texts to train the linear stage on (default: two fifths of --data)")                                  \
    X(CASCADE_TEST, "test", 0, "FILE", TEXT, 0, 0, NULL,                                                     \
      "texts to report about (default: a part of --data)")                                                   \
    X(EPSILON, "epsilon", 0, "SHARE", SHARE, 0, 0, "1%",                                                     \
      "at most this share of the answers differs from MODEL's (1% or 0.01)")                                 \
    X(CONFIDENCE, "confidence", 0, "SHARE", SHARE, 0, 0, "95%", "how sure that is")                          \
    X(CASCADE_SEED, "seed", 0, "S", INT, 0, 0x7fffffff, "0", "seed for the split of the texts")              \
    X(SHADOW, "shadow", 0, "SHARE", SHARE, 0, 0, "1%",                                                       \
      "cascades: texts that the full model answers, too, to watch how often it differs (0: none)")           \
    X(TUNE_OUTPUT, "output", 'o', "FOLDER", TEXT, 0, 0, NULL,                                                \
      "write the models, tune.json and report.html into FOLDER; the same command goes on with what is "      \
      "there")                                                                                               \
    X(TUNE_FLOOR, "floor", 0, "POINTS", REAL, 0, 0, "0.5",                                                   \
      "points of the metric that may be lost: 0.5 of an accuracy of 90 % leaves 89.5 %")                     \
    X(TUNE_FOR, "for", 0, "fastest|smallest|both", CHOICE, 0, 0, "both", "what to look for")                 \
    X(TUNE_TEST, "test", 0, "FILE", TEXT, 0, 0, NULL,                                                        \
      "rows that stay sealed until the end (default: a third of --data)")                                    \
    X(TUNE_SELECT, "dev", 0, "FILE", TEXT, 0, 0, NULL,                                                       \
      "rows that choose between models (default: a quarter of --data, at most 1500 rows)")                   \
    X(TUNE_BUDGET, "budget", 0, "TIME", TEXT, 0, 0, "20m", "time for all of it: 90s, 20m, 8h")               \
    X(TUNE_BATCH, "batch", 0, "N", INT, 1, 65536, "32", "measure the speed of batches of N texts")           \
    X(TEXTS_LIKE, "texts-like", 0, "FILE", TEXT, 0, 0, NULL,                                                 \
      "measure the speed on the texts of FILE (default: those that select)")                                 \
    X(PLAN, "plan", 0, "", FLAG, 0, 0, NULL, "print what would be tried, and how long it takes")             \
    X(MODEL, "model", 0, "MODEL", TEXT, 0, 0, NULL,                                                          \
      "measure the forms that this model can be served in, on texts of --data")                              \
    X(MAN, "man", 0, "", FLAG, 0, 0, NULL, "print the manual page")                                          \
    X(JSON, "json", 0, "", FLAG, 0, 0, NULL, "print JSON, one object per line")                              \
    X(HELP, "help", 'h', "", FLAG, 0, 0, NULL, "print this help")

typedef enum cli_option_id {
#define CLI_OPTION_ID(id, name, letter, value, kind, min, max, fallback, help) CLI_##id,
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
    CLI_KIND_SIZE,
    CLI_KIND_SHARE, /* "1%" or "0.01" */
    CLI_KIND_LIST   /* text that may be given several times */
} cli_kind;
typedef struct cli_option {
    const char *name;
    char letter; /* 0: none */
    const char *value;
    cli_kind kind;
    long min, max;        /* of an INT */
    const char *fallback; /* NULL: no default */
    const char *help;
} cli_option;
extern const cli_option cli_options[CLI_OPTION_COUNT];

/* ---- Verbs ---- */

enum { CLI_NO_OPTION = -1 };
typedef struct cli_args cli_args;
typedef struct cli_verb {
    const char *name;
    cli_code (*run)(const cli_args *args);
    const char *usage;        /* "MODEL [TEXT…]" */
    const char *summary;      /* one line */
    int min_words, max_words; /* max_words < 0: any number */
    int required;             /* a required option, or CLI_NO_OPTION */
    const int *options;       /* ids, ended by -1; every verb also takes --json and --help */
    const char *details;      /* paragraphs for --help and the man page, or NULL */
    const char *examples;     /* lines */
    bool hidden;              /* from the overview and the completions */
} cli_verb;
typedef struct cli_verbs {
    const cli_verb *rows;
    size_t count;
} cli_verbs;
const cli_verb *cli_find_verb(const cli_verbs *verbs, const char *name); /* NULL: there is none */
/* Whether a verb takes an option. */
bool cli_takes(const cli_verb *verb, int id);

/* ---- Arguments ---- */

enum { CLI_MOST = 8 }; /* times that a LIST option may be given */
struct cli_args {
    const cli_verbs *verbs; /* all of them, for help and completions */
    const cli_verb *verb;
    const char *values[CLI_OPTION_COUNT]; /* "" for a flag that was given; NULL: not given */
    char **words;
    int word_count;
    const char *list[CLI_MOST]; /* [list_count] values of the verb's LIST option, in order */
    size_t list_count;
};
/* Parses the arguments after the verb; moves words to the front of argv. Errors are printed. */
cli_code cli_parse(cli_args *out, const cli_verbs *verbs, const cli_verb *verb, int argc, char **argv);
bool cli_has(const cli_args *args, cli_option_id id); /* it was given */
const char *cli_text(const cli_args *args, cli_option_id id);
long cli_int(const cli_args *args, cli_option_id id, long otherwise);
double cli_real(const cli_args *args, cli_option_id id);
double cli_share(const cli_args *args, cli_option_id id);  /* 0.01 for "1%" */
uint64_t cli_size(const cli_args *args, cli_option_id id); /* bytes; 0: not given */
/* The comma-separated names in an option's value; none if it was not given. */
typedef struct cli_names {
    const char **items;
    size_t count;
    char *text; /* what the items point into */
} cli_names;
cli_code cli_split_names(cli_names *out, const cli_args *args, cli_option_id id);
void cli_names_free(cli_names *names);
/* " (did you mean 'import'?)" for a misspelt word, or "". */
typedef const char *(*cli_name_fn)(const void *user, size_t index); /* NULL beyond the last */
const char *cli_suggest(char *out, size_t size, const char *word, cli_name_fn names, const void *user);

#endif
