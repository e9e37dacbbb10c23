/* SPDX-License-Identifier: Apache-2.0
 * The command table and the dispatch. A row gives the verb, its --help, its part of the manual page and its
 * completions. */
#include "cli/cli.h"

#include <signal.h>
#include <string.h>

#define ENGINE_OPTIONS CLI_THREADS, CLI_ISA, CLI_PROVIDER
#define TEXT_COLUMNS   CLI_TEXT_COLUMN, CLI_TEXT_PAIR_COLUMN
#define DATA_OPTIONS   CLI_DATA, TEXT_COLUMNS, CLI_LABEL_COLUMN
#define OTHER_ENGINES  CLI_ONNX, CLI_GRAPH_LEVEL

const cli_command cli_commands[] = {
    {"import", "SOURCE -o MODEL", "turn a checkpoint folder into one optimised file", 1, 1, CLI_OUTPUT,
     (const int[]){CLI_OUTPUT, CLI_LEVEL, CLI_WITHOUT, CLI_DTYPE, CLI_TASK, CLI_TOKENIZER, CLI_MEMORY, -1},
     "SOURCE is a Hugging Face or sentence-transformers folder: config.json, weights (safetensors, also in "
     "shards, pytorch_model.bin or tf_model.h5) and tokenizer; a folder of google-research/bert: "
     "bert_config.json, vocab.txt and a TensorFlow checkpoint (bert_model.ckpt.index and its data, or the "
     "one "
     "that the file \"checkpoint\" names); or an .onnx file in such a folder. Nothing in it is "
     "executed. MODEL holds everything that "
     "the "
     "other commands need, and is itself a valid safetensors file.",
     "retort import ./checkpoint -o model.retort\n"
     "retort import ./checkpoint -o small.retort --dtype bf16\n"
     "retort import ./uncased_L-12_H-768_A-12 -o bert.retort\n"
     "retort import ./exported/model.onnx -o model.retort\n",
     false, cmd_import},
    {"info", "MODEL", "say what is in a model", 1, 1, -1, (const int[]){CLI_TENSORS, CLI_MEMORY, -1}, NULL,
     "retort info model.retort\n"
     "retort info model.retort --tensors\n",
     false, cmd_info},
    {"explain", "MODEL", "print the plan: steps, kernels, shapes, bytes, time of each", 1, 1, -1,
     (const int[]){CLI_LEVEL, CLI_GRAPH, CLI_SVG, CLI_WHOLE, CLI_BATCH, CLI_SEQ, CLI_PEAK, CLI_MEMORY,
                   ENGINE_OPTIONS, -1},
     "Times are measured on random tokens, and are those of all threads together. With --peak also how near "
     "each step comes to what the machine reaches at most: in arithmetic of its type, and in reading its "
     "weights from the cache, or DRAM, that holds them all. With --graph the graph is printed instead, with "
     "--svg it is drawn; then nothing is run. Equal layers that follow each other are drawn once.",
     "retort explain model.retort --batch 8 --seq 128\n"
     "retort explain model.retort --peak --threads 1\n"
     "retort explain model.retort --graph\n"
     "retort explain ./checkpoint --level 0 --svg graph.svg\n",
     false, cmd_explain},
    {"run", "[MODEL] [TEXT…]", "run the model on texts or on lines of stdin", 0, -1, -1,
     (const int[]){CLI_DATA,         TEXT_COLUMNS,
                   CLI_PAIRS,        CLI_TOP,
                   CLI_QUERY,        CLI_QUERY_PROMPT_NAME,
                   CLI_PROMPT_NAME,  CLI_LABELS,
                   CLI_HYPOTHESIS,   CLI_MULTI_LABEL,
                   CLI_AGGREGATION,  CLI_IGNORE_LABELS,
                   CLI_TRUNCATE,     CLI_STRIDE,
                   CLI_WINDOW,       CLI_MAX_ANSWER,
                   CLI_MAX_QUESTION, CLI_IMPOSSIBLE,
                   CLI_PIECES,       CLI_TARGETS,
                   CLI_BATCH,        CLI_SPECIAL_AS_TEXT,
                   CLI_MEMORY,       ENGINE_OPTIONS,
                   OTHER_ENGINES,    -1},
     "What is printed depends on the model's task: labels with scores, entities, the answer, guesses for "
     "[MASK], or a vector. A question is QUESTION<tab>CONTEXT; with --pairs every text is a "
     "pair, with a tab in between. --data runs the texts of a file, a row each, and reads no labels. On a "
     "terminal "
     "results are drawn, else each text gives one tab-separated line, or with --json one object, which says "
     "whether "
     "the text was cut at the model's length (truncated). Without a "
     "MODEL, or when the first word is a text (has a space, and is no file), the model '" CLI_DEFAULT_MODEL
     "' answers, which comes with retort: it tells positive from negative sentences of English.",
     "retort run \"an utterly charming film\"\n"
     "retort run model.retort \"a charming and often affecting journey\"\n"
     "retort run model.retort --json <texts.txt\n"
     "retort run model.retort --data reviews.csv --text-column body >labels.tsv\n"
     "retort run embedder.retort --query \"lost card\" <texts.txt\n"
     "retort run e5.retort --query \"lost card\" --query-prompt-name query --prompt-name passage <texts.txt\n"
     "retort run nli.retort --labels travel,sport \"the train was late\"\n",
     false, cmd_run},
    {"tokenize", "MODEL [TEXT…]", "print the token ids of texts or of lines of stdin", 1, -1, -1,
     (const int[]){CLI_PAIRS, CLI_MAX_LENGTH, CLI_SPECIAL_AS_TEXT, CLI_MEMORY, -1},
     "Offsets count code points of the original text. With --pairs a tab in each text separates a pair.",
     "retort tokenize model.retort \"Hello, world\"\n"
     "retort tokenize model.retort --json --max-length 0 <texts.txt\n",
     false, cmd_tokenize},
    {"eval", "MODEL --data FILE", "measure the model on labelled data", 1, 1, CLI_DATA,
     (const int[]){DATA_OPTIONS, CLI_REFERENCE, CLI_PER_LAYER, CLI_LOGITS, CLI_FLOOR, CLI_MAX_LENGTH,
                   CLI_PROMPT_NAME, CLI_MEMORY, ENGINE_OPTIONS, OTHER_ENGINES, -1},
     "Accuracy of labels, F1 of entities, exact match of answers, Spearman's rank correlation of scores, "
     "pseudo-perplexity of masked models. --reference adds the mean divergence KL(reference || model) of the "
     "logits, the share of equal decisions and the largest difference of two logits; it runs in retort's own "
     "engine, whatever --provider says. --per-layer adds where "
     "the error enters: for each step that both models have, in the order of the graph, the squared length "
     "of the difference of its rows from the reference's, over the squared length of the latter, of all "
     "texts together. Each model computes on its own rows, so that errors add up. Both models must be of "
     "level 3; steps without float32 rows in one of them are left out.",
     "retort eval model.retort --data test.tsv\n"
     "retort eval model.retort --data test.csv --text-column body --label-column class\n"
     "retort eval small.retort --data test.tsv --reference model.retort --floor 0.89\n"
     "retort eval small.retort --data test.tsv --reference model.retort --per-layer\n",
     false, cmd_eval},
    {"compare", "MODEL MODEL… --data FILE", "set models side by side on labelled data", 2, -1, CLI_DATA,
     (const int[]){DATA_OPTIONS, CLI_MAX_LENGTH, CLI_PROMPT_NAME, CLI_BATCH, CLI_MEMORY, ENGINE_OPTIONS, -1},
     "The first model is the reference. A line each: size of the file, the metric as 'retort eval' has it, "
     "its difference from the reference's, the mean divergence KL(reference || model) of the logits, the "
     "share of equal decisions (embeddings: mean cosine), and the time of all texts, tokenised beforehand: "
     "the median of up to five passes within three seconds, after the evaluation. Models are opened one "
     "after another; all must have the task and the labels of the first.",
     "retort compare model.retort small.retort tiny.retort --data test.tsv\n"
     "retort compare ./checkpoint model.retort --data test.tsv --threads 1 --json\n",
     false, cmd_compare},
    {"optimize", "MODEL --level N -o FILE", "rewrite the graph, and say what each rewrite did", 1, 1,
     CLI_OUTPUT,
     (const int[]){CLI_OUTPUT, CLI_LEVEL, CLI_WITHOUT, CLI_FOR, CLI_TASK, CLI_TOKENIZER, CLI_MEMORY, -1},
     "MODEL may also be a checkpoint folder or an .onnx file, and FILE an .onnx file. Level 0 is plain "
     "operators; 1 folds constants; 2 fuses; 3 "
     "removes "
     "padding, packs the weights and computes only rows that are read. --without leaves rewrites out, to "
     "measure what each saves: prune-rows, fuse-qkv, drop-key-bias, fold-value-bias, scale-into-query and "
     "others. Answers stay the same.",
     "retort optimize ./checkpoint --level 3 -o model.retort\n"
     "retort optimize ./checkpoint --without prune-rows,fuse-qkv -o slower.retort\n"
     "retort optimize plain.retort --level 2 -o fused.retort --json\n"
     "retort optimize model.onnx --level 2 --for ort -o fused.onnx\n",
     false, cmd_optimize},
    {"quantize", "MODEL -o FILE", "turn the weights into integers", 1, 1, CLI_OUTPUT,
     (const int[]){CLI_OUTPUT, CLI_RECIPE, CLI_BITS, CLI_GROUP, CLI_EMBEDDINGS, CLI_ACTIVATIONS, CLI_KEEP,
                   CLI_DATA, TEXT_COLUMNS, CLI_SAMPLES, CLI_SEED, CLI_WEAK_COLUMNS, CLI_TASK, CLI_TOKENIZER,
                   CLI_MEMORY, -1},
     "MODEL is a float model of level 3, or a checkpoint folder. int8 and int4 need no data: weights are "
     "rounded "
     "to nearest, with the scales that lose least. int8 has a scale a column; int4 has an integer scale a "
     "group "
     "and a float one a column, and leaves matrices of fewer than 64 columns at 8 bits. The others read "
     "--samples "
     "texts of --data, and no labels: gptq is int4 with each weight's error made up for by later ones, so "
     "that "
     "outputs change least; owq is gptq with 8 bits for the --weak-columns of each matrix whose rounding "
     "would "
     "lose most; smoothquant (8 bits) and awq (4) give columns of activations sizes that 8 bits serve, and "
     "the "
     "weights undo it. Activations are rounded to int8 as they come, a scale a row; int8-static and "
     "'--activations static' fix their ranges on the data, but not where a few rows are far larger than the "
     "others. --bits 3 leaves a 4-bit recipe half of its codes: the file is smaller, and runs as fast. "
     "Attention, LayerNorm and the residual stay float. Compare the models with 'retort compare'. Ctrl-C "
     "leaves no "
     "file.",
     "retort quantize model.retort -o small.retort\n"
     "retort quantize model.retort --recipe int4 --embeddings 8 --keep head.output -o tiny.retort\n"
     "retort quantize model.retort --recipe smoothquant --data train.tsv -o fine.retort\n"
     "retort quantize model.retort --recipe owq --data train.tsv -o best.retort\n"
     "retort quantize model.retort --recipe ptq+owq --bits 3 --data train.tsv -o least.retort\n",
     false, cmd_quantize},
    {"dequantize", "MODEL -o FILE", "turn integer weights back into floats", 1, 1, CLI_OUTPUT,
     (const int[]){CLI_OUTPUT, CLI_MEMORY, -1},
     "Each weight becomes the float that its integers stand for, and activations are not rounded any more: a "
     "float model that computes what the integers meant, to compare them with, or to quantize in another "
     "way. "
     "What quantisation has lost does not come back.",
     "retort dequantize sentiment -o float.retort\n"
     "retort quantize float.retort --recipe int8 -o int8.retort\n",
     false, cmd_dequantize},
    {"export", "MODEL -o FILE.onnx", "write the model as ONNX", 1, 1, CLI_OUTPUT,
     (const int[]){CLI_OUTPUT, CLI_LEVEL, CLI_FOR, CLI_STANDARD, CLI_EXTERNAL_OVER, CLI_TASK, CLI_TOKENIZER,
                   CLI_MEMORY, -1},
     "MODEL is a model file, whose graph is written as it is unless --level asks for a higher level, or a "
     "checkpoint folder, whose graph is optimised up to --level first "
     "(0: the "
     "plain operators that torch exports). The inputs are input_ids, attention_mask and, for BERT, "
     "token_type_ids, of "
     "any batch and length; the output is logits, start_logits and end_logits, or sentence_embedding.",
     "retort export model.retort -o model.onnx\n"
     "retort export ./checkpoint --level 0 -o plain.onnx\n"
     "retort export ./checkpoint --level 2 --for ort -o fused.onnx\n",
     false, cmd_export},
    {"bench", "MODEL…", "measure latency and throughput, also beside other engines", 1, -1, -1,
     (const int[]){CLI_BATCH, CLI_SEQ, CLI_GRID, DATA_OPTIONS, CLI_SECONDS, CLI_PAD, CLI_KEEP_DUPLICATES,
                   CLI_PROFILE, CLI_PEAK, CLI_ROAD, CLI_PYTHON, CLI_HTML, CLI_MEMORY, ENGINE_OPTIONS,
                   OTHER_ENGINES, -1},
     "Without --data each row runs random tokens; with it, the texts of a file in their order, tokenised "
     "beforehand, and the time is the median of whole passes. Equal texts of a batch are computed once, and "
     "no padding is: --keep-duplicates "
     "and --pad measure what both would cost. Padding is computed as if it were text, without a mask, so the "
     "answers that nobody sees here would be wrong. "
     "--peak adds to --profile how near each step comes to what the machine reaches at most. Several models, "
     "or "
     "several names in --provider, take turns on the same inputs with as many threads each, warm; every "
     "engine "
     "reads the model's own export; load time and peak memory are those of a process that has nothing else. "
     "'difference' is the largest, of any result, from the model's first engine. --road takes a checkpoint "
     "folder through every step: plain ONNX, ONNX Runtime's graph levels, OpenVINO, integers, retort; with "
     "--data also the accuracy of each.",
     "retort bench model.retort\n"
     "retort bench model.retort --batch 1 --seq 128 --threads 2 --json\n"
     "retort bench model.retort --data test.tsv --batch 32\n"
     "retort bench model.retort --data test.tsv --batch 32 --pad --keep-duplicates\n"
     "retort bench model.retort --provider native,onnxruntime,openvino --html report.html\n"
     "retort bench ./checkpoint --road --data test.tsv\n",
     false, cmd_bench},
    {"serve", "MODEL…", "serve models over HTTP", 0, -1, -1,
     (const int[]){CLI_NAME,
                   CLI_MEMORY,
                   CLI_HOST,
                   CLI_PORT,
                   CLI_UNIX,
                   CLI_REUSE_PORT,
                   CLI_MAX_BATCH_TOKENS,
                   CLI_MAX_BATCH_REQUESTS,
                   CLI_MAX_QUEUE_TOKENS,
                   CLI_MAX_CONCURRENT_REQUESTS,
                   CLI_MAX_CLIENT_BATCH_SIZE,
                   CLI_PAYLOAD_LIMIT,
                   CLI_MAX_CONNECTIONS,
                   CLI_MAX_WAIT_US,
                   CLI_QUEUE_TIMEOUT_MS,
                   CLI_OVERLOAD_STATUS,
                   CLI_REQUEST_MEMORY,
                   CLI_CACHE,
                   CLI_STREAMS,
                   CLI_HTTP_THREADS,
                   CLI_READ_TIMEOUT,
                   CLI_IDLE_TIMEOUT,
                   CLI_DRAIN_DELAY,
                   CLI_DRAIN_TIMEOUT,
                   CLI_API_KEYS,
                   CLI_CORS_ALLOW_ORIGIN,
                   CLI_ACCESS_LOG,
                   CLI_AUTO_TRUNCATE,
                   CLI_KEEP_SPECIAL,
                   CLI_NO_OP,
                   ENGINE_OPTIONS,
                   -1},
     "Answers in the wire forms of Text Embeddings Inference, Hugging Face, OpenAI (embeddings) and the Open "
     "Inference Protocol v2; /openapi.json describes them, and / is a page to try the model. A batch is made "
     "of "
     "what waits when the last one is done; texts in flight that are equal are computed once. SIGHUP loads "
     "the "
     "models and keys anew and swaps them without a lost request; SIGTERM finishes what has begun and exits "
     "with "
     "0. systemd may hand over the socket, and is told when the server is ready. A "
     "model's name is its file's, less .retort.",
     "retort serve model.retort\n"
     "curl -s localhost:8080/predict -d '{\"inputs\": \"a charming film\"}'\n"
     "retort serve --name mood=model.retort,vectors=embedder.retort --host 0.0.0.0 --api-keys keys.txt\n",
     false, cmd_serve},
    {"load", "URL", "measure a server: latency at given rates of requests", 1, 1, -1,
     (const int[]){CLI_RATE, CLI_SATURATE, CLI_CLOSED, CLI_ARRIVALS, CLI_DATA, TEXT_COLUMNS, CLI_FORM,
                   CLI_BATCH, CLI_SERVED_MODEL_NAME, CLI_HEADER, CLI_UNIX, CLI_CONNECTIONS, CLI_DURATION,
                   CLI_WARMUP, CLI_DEADLINE_MS, CLI_TIMEOUT, CLI_CHECK, -1},
     "Requests are due at a given rate, whether or not the server keeps up, and their latency counts from "
     "when "
     "they were due: a stall shows in all that came meanwhile. Without --data the texts are built in; with "
     "it "
     "they are those of a file, as 'retort run' has them; --batch texts go into a "
     "request (default: 1). A URL without a path gets that of the form. Refused (429 and 503) is told apart "
     "from errors; good are answers (2xx) within the deadline. Percentiles are those of answers, and of "
     "requests that got none, which count as long as they were waited for. --saturate runs a closed loop, "
     "then "
     "up to seven rates.",
     "retort load http://127.0.0.1:8080 --rate 100,200,400 --data test.tsv\n"
     "retort load http://127.0.0.1:8080 --saturate --duration 5\n"
     "retort load http://127.0.0.1:8080/embed --rate 50 --deadline-ms 100 --json\n"
     "retort load http://127.0.0.1:8080 --form oip --served-model-name sst2 --closed --connections 8\n",
     false, cmd_load},
    {"doctor", "", "say what this machine offers", 0, 0, -1,
     (const int[]){CLI_PEAK, CLI_THREADS, CLI_ISA, -1},
     "With --peak also what it reaches, one thread (with --threads and --isa as given) and all: operations a "
     "second of each type (int4: int8 by weights of 4 bits), multiply and add counted as two; bytes a second "
     "read from each level of the memory; and what it takes threads to meet and to wake.",
     "retort doctor --json\n"
     "retort doctor --peak --threads 2\n",
     false, cmd_doctor},
    {"help", "[COMMAND]", "print help on a command", 0, 1, -1, (const int[]){CLI_MAN, -1}, NULL,
     "retort help bench\n"
     "retort help --man | man -l -\n",
     false, cmd_help},
    {"version", "", "print the version", 0, 0, -1, (const int[]){-1}, NULL, "retort version\n", false,
     cmd_version},
    {"completions", "bash|zsh|fish", "print a completion script", 1, 1, -1, (const int[]){-1}, NULL,
     "retort completions bash >/etc/bash_completion.d/retort\n", true, cmd_completions},
};
const size_t cli_command_count = sizeof cli_commands / sizeof *cli_commands;

const cli_command *cli_find_command(const char *name) {
    for (size_t i = 0; i < cli_command_count; i++) {
        if (strcmp(cli_commands[i].name, name) == 0) return &cli_commands[i];
    }
    return NULL;
}

static const char *command_name(const void *user, size_t index) {
    (void)user;
    return index < cli_command_count ? cli_commands[index].name : NULL;
}

/* The usual spellings of two verbs. */
static const char *verb_of(const char *word) {
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) return "help";
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) return "version";
    return word;
}

static cli_code dispatch(int argc, char **argv) {
    if (argc < 2) {
        cli_print_help(NULL, stderr);
        return CLI_USAGE;
    }
    const cli_command *command = cli_find_command(verb_of(argv[1]));
    cli_args args;
    if (command == NULL) {
        char hint[128];
        cli_error("unknown command '%s'%s; 'retort help' lists them", argv[1],
                  cli_suggest(hint, sizeof hint, argv[1], command_name, NULL));
        return CLI_USAGE;
    }
    cli_code code = cli_parse(&args, command, argc - 2, argv + 2);
    if (code != CLI_DONE) return code;
    if (!cli_has(&args, CLI_HELP)) return command->run(&args);
    cli_print_help(command, stdout);
    return CLI_DONE;
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is then a failed write, which ends with exit code 1 */
    signal(SIGXFSZ, SIG_IGN); /* and so is a file that grows over the limit of a process */
    cli_code code = dispatch(argc, argv), flushed = cli_flush();
    return code != CLI_DONE ? (int)code : (int)flushed;
}
