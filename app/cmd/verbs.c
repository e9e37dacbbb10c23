/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/verbs.h"
#include "cli/completions.h"
#include "cli/help.h"
#include "cli/shipped.h"
#include "cmd/bench.h"
#include "cmd/cascade.h"
#include "cmd/compare.h"
#include "cmd/doctor.h"
#include "cmd/eval.h"
#include "cmd/explain.h"
#include "cmd/export.h"
#include "cmd/import.h"
#include "cmd/info.h"
#include "cmd/load.h"
#include "cmd/prune.h"
#include "cmd/quantize.h"
#include "cmd/run.h"
#include "cmd/serve.h"
#include "cmd/tokenize.h"
#include "cmd/train.h"
#include "cmd/tune.h"

#define OPTIONS(...)   ((const int[]){__VA_ARGS__, -1})
#define ENGINE_OPTIONS CLI_THREADS, CLI_ISA, CLI_UNPACK, CLI_PROVIDER
#define TEXT_COLUMNS   CLI_TEXT_COLUMN, CLI_TEXT_PAIR_COLUMN
#define DATA_OPTIONS   CLI_DATA, TEXT_COLUMNS, CLI_LABEL_COLUMN, CLI_LABEL_SEPARATOR
#define OTHER_ENGINES  CLI_ONNX, CLI_GRAPH_LEVEL

static const cli_verb rows[] = {
    {
        .name = "import",
        .run = cmd_import,
        .usage = "SOURCE -o MODEL",
        .summary = "turn a checkpoint into one optimised file",
        .min_words = 1,
        .max_words = 1,
        .required = CLI_OUTPUT,
        .options = OPTIONS(CLI_OUTPUT, CLI_LEVEL, CLI_WITHOUT, CLI_DTYPE, CLI_TASK, CLI_TOKENIZER,
                           CLI_LANGUAGES, CLI_TEXTS, TEXT_COLUMNS, CLI_MEMORY),
        .details =
            "SOURCE is one of three things. A Hugging Face or sentence-transformers folder: config.json, "
            "weights (safetensors, sharded or not, pytorch_model.bin or tf_model.h5) and tokenizer. A "
            "google-research/bert folder: bert_config.json, vocab.txt and a TensorFlow checkpoint "
            "(bert_model.ckpt.index and its data, or the one named in the file \"checkpoint\"). Or an "
            ".onnx file in such a folder. Nothing in SOURCE is executed. MODEL contains everything that "
            "the other commands need, and is a valid safetensors file. With --dtype bf16, attention over "
            "more than 16 tokens multiplies 8-bit integers. --languages and --texts leave out pieces of the "
            "vocabulary that they do not need, and their rows of the tables: most of a multilingual model. "
            "Single characters of the languages' scripts stay. Where texts are given, they alone decide "
            "about "
            "longer pieces of scripts that other languages share, such as Latin.",
        .examples = "retort import ./checkpoint -o model.retort\n"
                    "retort import ./multilingual -o small.retort --languages ko,en --texts texts.tsv\n"
                    "retort import ./checkpoint -o small.retort --dtype bf16\n"
                    "retort import ./uncased_L-12_H-768_A-12 -o bert.retort\n"
                    "retort import ./exported/model.onnx -o model.retort\n",
    },
    {
        .name = "info",
        .run = cmd_info,
        .usage = "MODEL",
        .summary = "show what a model contains",
        .min_words = 1,
        .max_words = 1,
        .required = CLI_NO_OPTION,
        .options = OPTIONS(CLI_TENSORS, CLI_MEMORY),
        .examples = "retort info model.retort\n"
                    "retort info model.retort --tensors\n",
    },
    {
        .name = "explain",
        .run = cmd_explain,
        .usage = "MODEL",
        .summary = "print the plan: steps with kernels, shapes, bytes and times",
        .min_words = 1,
        .max_words = 1,
        .required = CLI_NO_OPTION,
        .options = OPTIONS(CLI_LEVEL, CLI_GRAPH, CLI_SVG, CLI_WHOLE, CLI_BATCH, CLI_SEQ, CLI_PEAK, CLI_MEMORY,
                           CLI_THREADS, CLI_ISA, CLI_UNPACK),
        .details =
            "Times are measured on random tokens and add up over all threads. --peak compares each step "
            "with the peak of this machine: in arithmetic of the step's type, and in reading its weights "
            "from the cache (or DRAM) that holds all of them. The form "
            "says how products read a weight of fewer than 8 bits: as the codes in the file, or unpacked to "
            "int8; 'int8 m>4' reads the codes for up to 4 rows (m), and int8 for more. --graph prints the "
            "graph and --svg draws it; neither runs the model. Consecutive identical layers are drawn once.",
        .examples = "retort explain model.retort --batch 8 --seq 128\n"
                    "retort explain model.retort --peak --threads 1\n"
                    "retort explain int4.retort --unpack never\n"
                    "retort explain model.retort --graph\n"
                    "retort explain ./checkpoint --level 0 --svg graph.svg\n",
    },
    {
        .name = "run",
        .run = cmd_run,
        .usage = "[MODEL] [TEXT…]",
        .summary = "run the model on texts, lines of stdin or the rows of a table",
        .min_words = 0,
        .max_words = -1,
        .required = CLI_NO_OPTION,
        .options =
            OPTIONS(CLI_INPUT, CLI_RUN_OUTPUT, CLI_FORMAT, CLI_SCORES, CLI_PREFIX, CLI_ROWS, CLI_BAD_ROWS,
                    CLI_RUN_RESUME, CLI_DATA, TEXT_COLUMNS, CLI_PAIRS, CLI_TOP, CLI_QUERY,
                    CLI_QUERY_PROMPT_NAME, CLI_PROMPT_NAME, CLI_LABELS, CLI_HYPOTHESIS, CLI_MULTI_LABEL,
                    CLI_AGGREGATION, CLI_IGNORE_LABELS, CLI_TRUNCATE, CLI_STRIDE, CLI_WINDOW, CLI_MAX_ANSWER,
                    CLI_MAX_QUESTION, CLI_IMPOSSIBLE, CLI_PIECES, CLI_TARGETS, CLI_BATCH, CLI_SPECIAL_AS_TEXT,
                    CLI_MEMORY, ENGINE_OPTIONS, OTHER_ENGINES),
        .details =
            "The output depends on the model's task: labels with scores, entities, answers, guesses for "
            "masks, or a vector; of a sparse one (SPLADE) the pieces whose number is not 0. Write a question "
            "as QUESTION<tab>CONTEXT; with --pairs every text is a "
            "pair, separated by a tab. --input answers the rows of a table: all columns stay, and label and "
            "score, or what else the model answers, are added. Rows that cannot be read go to OUT.bad.jsonl. "
            "A run that was killed goes on with --resume: no row is lost or doubled. --data runs only the "
            "texts of a file, one per row, and ignores labels. "
            "On a terminal, results are drawn; otherwise each text gives one tab-separated line, or with "
            "--json one object, whose \"truncated\" says whether the text was longer than the model "
            "reads. Many texts run side by side, one thread each; lines that arrive one at a time are "
            "answered at once, with all --threads. Without MODEL, or if the first word contains a space and "
            "is not a file, the model '" CLI_DEFAULT_MODEL
            "' answers: it comes with retort and classifies English sentences as "
            "positive or negative.",
        .examples =
            "retort run \"an utterly charming film\"\n"
            "retort run model.retort \"a charming and often affecting journey\"\n"
            "retort run model.retort --json <texts.txt\n"
            "retort run model.retort --input reviews.csv --text-column body -o answered.csv\n"
            "retort run model.retort --input reviews.jsonl.gz --scores -o answered.jsonl.gz --resume\n"
            "zcat reviews.tsv.gz | retort run model.retort --input - --format tsv >answered.tsv\n"
            "retort run model.retort --data reviews.csv --text-column body >labels.tsv\n"
            "retort run embedder.retort --query \"lost card\" <texts.txt\n"
            "retort run e5.retort --query \"lost card\" --query-prompt-name query --prompt-name passage "
            "<texts.txt\n"
            "retort run nli.retort --labels travel,sport \"the train was late\"\n",
    },
    {
        .name = "tokenize",
        .run = cmd_tokenize,
        .usage = "MODEL [TEXT…]",
        .summary = "print the token ids of texts or of lines of stdin",
        .min_words = 1,
        .max_words = -1,
        .required = CLI_NO_OPTION,
        .options = OPTIONS(CLI_PAIRS, CLI_MAX_LENGTH, CLI_SPECIAL_AS_TEXT, CLI_MEMORY),
        .details = "Offsets count code points of the original text. With --pairs, the first tab in each text "
                   "separates the two texts of a pair; otherwise a tab is a part of the text.",
        .examples = "retort tokenize model.retort \"Hello, world\"\n"
                    "retort tokenize model.retort --json --max-length 0 <texts.txt\n",
    },
    {
        .name = "eval",
        .run = cmd_eval,
        .usage = "MODEL --data FILE",
        .summary = "evaluate the model on labelled data",
        .min_words = 1,
        .max_words = 1,
        .required = CLI_DATA,
        .options =
            OPTIONS(DATA_OPTIONS, CLI_REFERENCE, CLI_PER_CLASS, CLI_CHANGED, CLI_PER_LAYER, CLI_LOGITS,
                    CLI_FLOOR, CLI_MAX_LENGTH, CLI_PROMPT_NAME, CLI_MEMORY, ENGINE_OPTIONS, OTHER_ENGINES),
        .details =
            "The metric is the accuracy of labels, the F1 of several labels per text (all decisions "
            "together; f1_macro is the mean over labels, of either kind) and of entities, the exact match of "
            "answers, "
            "Spearman's rank correlation of scores, or the pseudo-perplexity of masked models. Its 95 % "
            "interval stands behind it: Wilson's for shares, else of 1,000 bootstrap draws of the texts. "
            "--reference adds the difference from that model's metric, with the interval that the same "
            "draws of both models give, the "
            "mean divergence KL(reference || model) of the logits, the share of equal decisions "
            "and the largest difference between two logits; the reference always runs in retort's own "
            "engine, whatever --provider says. --per-layer shows where the error enters. For each step "
            "that both models have, in the order of the graph, it prints the squared norm of the "
            "difference between the rows of the two models, divided by the squared norm of the "
            "reference's rows, over all texts. Each model computes on its own rows, so errors accumulate. "
            "kl, at the end of each layer of a classifier with one label per text or of a tagger, is the "
            "mean "
            "divergence of the answers of up to 256 texts if the reference goes on from there: the layer "
            "with the largest step up costs the most. "
            "Both models must be at level 3; steps without float32 rows in one of them are omitted. "
            "--per-class "
            "counts the entities of a tagger by type, as seqeval does: right are those with the same start, "
            "end and type.",
        .examples = "retort eval model.retort --data test.tsv\n"
                    "retort eval model.retort --data test.csv --text-column body --label-column class\n"
                    "retort eval moods.retort --data test.tsv --label-separator ,\n"
                    "retort eval model.retort --data test.tsv --per-class\n"
                    "retort eval small.retort --data test.tsv --reference model.retort --floor 0.89\n"
                    "retort eval small.retort --data test.tsv --reference model.retort --per-layer\n",
    },
    {
        .name = "compare",
        .run = cmd_compare,
        .usage = "MODEL MODEL… --data FILE",
        .summary = "compare models side by side on labelled data",
        .min_words = 2,
        .max_words = -1,
        .required = CLI_DATA,
        .options =
            OPTIONS(DATA_OPTIONS, CLI_MAX_LENGTH, CLI_PROMPT_NAME, CLI_BATCH, CLI_MEMORY, ENGINE_OPTIONS),
        .details =
            "The first model is the reference. Each line shows the file size, the metric of 'retort eval', "
            "its difference from the reference, both with 95 % intervals, the mean divergence "
            "KL(reference || model) of the logits, "
            "the share of equal decisions (for embeddings: the mean cosine), and the time for all texts, "
            "tokenised beforehand: the median of up to five passes within three seconds, after the "
            "evaluation. Models are opened one after the other; all must have the task and the labels of "
            "the first. Rows are sorted by the metric, and the best of each column has a *; the verdict says "
            "whether the data can show that a model is better or worse than the reference (its interval "
            "leaves "
            "out 0) or not. --json prints the models in the order given.",
        .examples = "retort compare model.retort small.retort tiny.retort --data test.tsv\n"
                    "retort compare ./checkpoint model.retort --data test.tsv --threads 1 --json\n",
    },
    {
        .name = "optimize",
        .run = cmd_optimize,
        .usage = "MODEL --level N -o FILE",
        .summary = "rewrite the graph and report what each rewrite did",
        .min_words = 1,
        .max_words = 1,
        .required = CLI_OUTPUT,
        .options = OPTIONS(CLI_OUTPUT, CLI_LEVEL, CLI_WITHOUT, CLI_FOR, CLI_TASK, CLI_TOKENIZER, CLI_MEMORY),
        .details =
            "MODEL may also be a checkpoint folder or an .onnx file, and FILE an .onnx file. Level 0 keeps "
            "plain operators; 1 folds constants; 2 fuses; 3 removes padding, packs the weights and "
            "computes only rows that are read. --without omits rewrites, to measure what each of them "
            "saves: prune-rows, fuse-qkv, drop-key-bias, fold-value-bias, scale-into-query and others. "
            "Answers stay the same.",
        .examples = "retort optimize ./checkpoint --level 3 -o model.retort\n"
                    "retort optimize ./checkpoint --without prune-rows,fuse-qkv -o slower.retort\n"
                    "retort optimize plain.retort --level 2 -o fused.retort --json\n"
                    "retort optimize model.onnx --level 2 --for ort -o fused.onnx\n",
    },
    {
        .name = "train",
        .run = cmd_train,
        .usage = "MODEL --data FILE -o MODEL",
        .summary = "fine-tune, distil, or train for integers",
        .min_words = 1,
        .max_words = 1,
        .required = CLI_OUTPUT,
        .options = OPTIONS(DATA_OPTIONS, CLI_DEV, CLI_OUTPUT, CLI_TASK, CLI_TOKENIZER, CLI_LANGUAGES,
                           CLI_TEXTS, CLI_EPOCHS, CLI_STEPS, CLI_BATCH, CLI_LEARNING_RATE, CLI_RATE_WARMUP,
                           CLI_DECAY, CLI_WEIGHT_DECAY, CLI_CLIP, CLI_LAYER_DECAY, CLI_SMOOTHING,
                           CLI_CLASS_WEIGHTS, CLI_PATIENCE, CLI_TRAIN_MAX_LENGTH, CLI_TRAIN_SEED, CLI_THREADS,
                           CLI_ISA, CLI_ARITHMETIC, CLI_TRAIN_MEMORY, CLI_TEACHER, CLI_TEMPERATURE, CLI_SOFT,
                           CLI_HIDDEN, CLI_MIX, CLI_STUDENT, CLI_FROM_LAYERS, CLI_TRAIN_RECIPE, CLI_BITS,
                           CLI_EMBEDDINGS, CLI_GROUP, CLI_CHECKPOINT, CLI_MINUTES, CLI_RESUME, CLI_PLOT),
        .details = "MODEL is a checkpoint (with any head or none) or a float model of retort. Where the "
                   "labels of the data "
                   "are not those of its head, a checkpoint gets a new head: a classifier, a regression (a "
                   "column 'score', "
                   "or numbers), several labels per text (--label-separator), or a tagger (CoNLL). An "
                   "embedding model "
                   "learns from pairs of texts that belong together, with or without a score. With --dev, "
                   "the best epoch is "
                   "kept. --teacher learns the answers of another model with the same vocabulary, so that a "
                   "student may "
                   "have fewer layers, and texts need no labels. --bits and --recipe train the integers that "
                   "will run: the "
                   "answers during training are those of the file; a checkpoint without a head for these "
                   "labels trains "
                   "its floats first, into a file beside the output. The same seed gives the same file with "
                   "any number of "
                   "threads (float32). Ctrl-C saves the best so far.",
        .examples =
            "retort train ./MiniLM --data train.tsv --dev dev.tsv -o model.retort\n"
            "retort train ./bert --data train.conll --dev dev.conll --epochs 5 -o tagger.retort\n"
            "retort train ./checkpoint --teacher model.retort --student layers=3 --data texts.txt -o "
            "small.retort\n"
            "retort train model.retort --bits 4 --data train.tsv -o int4.retort\n"
            "retort train ./MiniLM --data train.tsv --bits 4 -o int4.retort\n"
            "retort train ./bert --data train.tsv --dev dev.tsv -o model.retort --plot train.svg --json\n",
    },
    {
        .name = "prune",
        .run = cmd_prune,
        .usage = "MODEL --data FILE -o FILE",
        .summary = "remove heads, FFN columns and layers that the answers need least",
        .min_words = 1,
        .max_words = 1,
        .required = CLI_OUTPUT,
        .options = OPTIONS(CLI_OUTPUT, CLI_DATA, TEXT_COLUMNS, CLI_PRUNE_TIME, CLI_PRUNE_HEADS, CLI_PRUNE_FFN,
                           CLI_PRUNE_LAYERS, CLI_PRUNE_ROUNDS, CLI_SAMPLES, CLI_SEED, CLI_TASK, CLI_TOKENIZER,
                           CLI_MEMORY, CLI_THREADS),
        .details = "MODEL is a float model at level 3, or a checkpoint folder. --data needs no labels. Whole "
                   "heads of "
                   "attention, columns of feed-forward networks (in 64s) and layers go, and the weights that "
                   "stay are "
                   "solved for so that they make up for them, without a training step. Which layer gives how "
                   "much is "
                   "decided by what the answers lose. --time takes heads and columns where a millisecond "
                   "costs least; "
                   "--heads and --ffn say how many stay. A third of the time goes almost for nothing in most "
                   "models; "
                   "beyond that, train the result with the model as --teacher, and quantize last.",
        .examples =
            "retort prune model.retort --data train.tsv --time 60% -o pruned.retort\n"
            "retort prune model.retort --data train.tsv --layers 4 --heads 8 --ffn 50% -o pruned.retort\n"
            "retort train pruned.retort --teacher model.retort --data train.tsv -o small.retort\n",
    },
    {
        .name = "tune",
        .run = cmd_tune,
        .usage = "MODEL --data FILE -o FOLDER",
        .summary = "find the fastest and the smallest model above an accuracy floor",
        .min_words = 1,
        .max_words = 1,
        .required = CLI_TUNE_OUTPUT,
        .options = OPTIONS(DATA_OPTIONS, CLI_TUNE_TEST, CLI_TUNE_SELECT, CLI_TUNE_OUTPUT, CLI_TUNE_FLOOR,
                           CLI_TUNE_FOR, CLI_TUNE_BUDGET, CLI_TUNE_BATCH, CLI_TEXTS_LIKE, CLI_TRAIN_SEED,
                           CLI_PLAN, CLI_THREADS, CLI_ISA),
        .details = "The rows are split once: some train, some select, and the others stay sealed until the "
                   "end. Forms of "
                   "quantisation and pruned shapes are screened first, the best are distilled in rounds that "
                   "each keep a half, "
                   "and last their integers are trained. Then the sealed rows are opened once for what was "
                   "chosen: a model "
                   "is given only if its loss against the float model is below --floor with 95 % confidence "
                   "(claim "
                   "after claim, the safest first), and if it is neither slower nor larger than MODEL. "
                   "Without labels, "
                   "the floor is about "
                   "agreement with the float model. Each trial is a process of its own, so one that fails "
                   "costs only itself. "
                   "Ctrl-C ends the search and tests the best so far; the same command goes on later. The "
                   "exit code is "
                   "4 if nothing meets the floor.",
        .examples =
            "retort tune ./checkpoint --data train.tsv --test test.tsv -o tuned\n"
            "retort tune model.retort --data reviews.csv --text-column body --floor 1 --budget 2h -o tuned\n"
            "retort tune model.retort --data texts.txt --for smallest --budget 5m -o small\n"
            "retort tune model.retort --data train.tsv --batch 1 --texts-like requests.txt --plan -o tuned\n",
    },
    {
        .name = "quantize",
        .run = cmd_quantize,
        .usage = "MODEL -o FILE",
        .summary = "turn the weights into integers",
        .min_words = 1,
        .max_words = 1,
        .required = CLI_OUTPUT,
        .options = OPTIONS(CLI_OUTPUT, CLI_RECIPE, CLI_BITS, CLI_GROUP, CLI_EMBEDDINGS, CLI_ACTIVATIONS,
                           CLI_KEEP, CLI_DATA, TEXT_COLUMNS, CLI_SAMPLES, CLI_SEED, CLI_WEAK_COLUMNS,
                           CLI_TASK, CLI_TOKENIZER, CLI_MEMORY),
        .details =
            "MODEL is a float model at level 3, or a checkpoint folder. int8 and int4 need no data: they "
            "round weights to nearest, with the scales that minimise the error. int8 has one scale per "
            "column. int4 has one integer scale per group and one float scale per column, and keeps 8 bits "
            "for matrices of fewer than 64 columns. The other recipes read --samples texts of --data, but "
            "no labels. gptq is int4 in which later weights compensate for the rounding error of earlier "
            "ones, so that outputs change least. owq is gptq with 8 bits for the --weak-columns outlier "
            "columns of each matrix, whose rounding would lose most. smoothquant (8 bits) and awq (4) "
            "scale the columns of activations to ranges that suit 8 bits; the weights undo the scaling. "
            "smoothquant+gptq then rounds as gptq does, and is the closest to float. "
            "Activations are rounded to int8 at run time, with one scale per row; int8-static and "
            "'--activations static' fix their ranges on the data, except where a few rows are far larger "
            "than the others. --bits 3 restricts a 4-bit recipe to half of its codes: the file is smaller, "
            "the speed the same. --bits 2 has four levels, none of them zero; it is meant for models trained "
            "for 2 bits, and others lose accuracy, least with ptq+owq. Attention multiplies 8-bit integers, "
            "too; "
            "LayerNorm and the residual stream stay float. 'retort compare' compares the "
            "models. Ctrl-C leaves no file behind.",
        .examples =
            "retort quantize model.retort -o small.retort\n"
            "retort quantize model.retort --recipe int4 --embeddings 8 --keep head.output -o tiny.retort\n"
            "retort quantize model.retort --recipe smoothquant+gptq --data train.tsv -o fine.retort\n"
            "retort quantize model.retort --recipe owq --data train.tsv -o best.retort\n"
            "retort quantize model.retort --recipe ptq+owq --bits 3 --data train.tsv -o smallest.retort\n"
            "retort quantize trained-for-2-bits.retort --recipe owq --bits 2 --data train.tsv -o "
            "two.retort\n",
    },
    {
        .name = "dequantize",
        .run = cmd_dequantize,
        .usage = "MODEL -o FILE",
        .summary = "turn integer weights back into floats",
        .min_words = 1,
        .max_words = 1,
        .required = CLI_OUTPUT,
        .options = OPTIONS(CLI_OUTPUT, CLI_MEMORY),
        .details = "Each weight becomes the float that its integers represent, and activations are no longer "
                   "rounded. Use the float model to compare it with the integer one, or to quantize it with "
                   "another recipe. What quantisation has lost does not come back.",
        .examples = "retort dequantize sentiment -o float.retort\n"
                    "retort quantize float.retort --recipe int8 -o int8.retort\n",
    },
    {
        .name = "cascade",
        .run = cmd_cascade,
        .usage = "MODEL --data FILE -o CASCADE",
        .summary = "put cheaper stages before a classifier, which answer what they are sure of",
        .min_words = 1,
        .max_words = 1,
        .required = CLI_OUTPUT,
        .options = OPTIONS(CLI_DATA, TEXT_COLUMNS, CLI_CASCADE_TEST, CLI_STAGE, CLI_LINEAR, CLI_LINEAR_DATA,
                           CLI_EPSILON, CLI_CONFIDENCE, CLI_CASCADE_SEED, CLI_OUTPUT, CLI_THREADS, CLI_ISA,
                           CLI_MEMORY),
        .details =
            "MODEL gives each text one label. A stage answers the texts whose largest softmax probability "
            "reaches its "
            "threshold, and MODEL the rest. Thresholds are loosened as long as the texts of --data prove "
            "that, with "
            "--confidence, at most --epsilon of the answers differ from those of MODEL. Labels are not "
            "needed, but none "
            "of the models may have been trained on these texts. They are split: parts train the linear "
            "stage, order the "
            "thresholds, calibrate them, and report. Students have the labels and the tokenizer of MODEL: "
            "'retort train "
            "--teacher MODEL --student layers=2' makes one, and 'retort quantize' its integers, before the "
            "cascade. A "
            "stage that does not pay is dropped. The file is run, evaluated, compared and served as any "
            "other model.",
        .examples =
            "retort cascade model.retort --linear --stage student.retort --data texts.txt -o cascade.retort\n"
            "retort cascade model.retort --stage 2.retort --stage 3.retort --epsilon 0.5% --data texts.tsv "
            "--test test.tsv -o cascade.retort\n"
            "retort info cascade.retort\n",
    },
    {
        .name = "export",
        .run = cmd_export,
        .usage = "MODEL -o FILE.onnx",
        .summary = "write the model as ONNX",
        .min_words = 1,
        .max_words = 1,
        .required = CLI_OUTPUT,
        .options = OPTIONS(CLI_OUTPUT, CLI_LEVEL, CLI_FOR, CLI_STANDARD, CLI_EXTERNAL_OVER, CLI_TASK,
                           CLI_TOKENIZER, CLI_MEMORY),
        .details =
            "MODEL is a model file, whose graph is written as it is unless --level asks for a higher "
            "level, or a checkpoint folder, whose graph is first optimised up to --level (0: the plain "
            "operators that torch exports). The inputs are input_ids, attention_mask and, for BERT, "
            "token_type_ids, of any batch size and length. The output is logits, start_logits and "
            "end_logits, or sentence_embedding.",
        .examples = "retort export model.retort -o model.onnx\n"
                    "retort export ./checkpoint --level 0 -o plain.onnx\n"
                    "retort export ./checkpoint --level 2 --for ort -o fused.onnx\n",
    },
    {
        .name = "bench",
        .run = cmd_bench,
        .usage = "MODEL…",
        .summary = "measure latency and throughput, optionally beside other engines",
        .min_words = 1,
        .max_words = -1,
        .required = CLI_NO_OPTION,
        .options = OPTIONS(CLI_BATCH, CLI_SEQ, CLI_GRID, DATA_OPTIONS, CLI_SECONDS, CLI_PAD,
                           CLI_KEEP_DUPLICATES, CLI_PROFILE, CLI_PEAK, CLI_STAGES, CLI_PYTHON, CLI_HTML,
                           CLI_MEMORY, ENGINE_OPTIONS, OTHER_ENGINES),
        .details =
            "Without --data, each row runs random tokens. With it, retort runs the texts of a file in "
            "order, tokenised beforehand, and reports the median time of whole passes. Equal texts in a "
            "batch are computed once, and padding is not computed: --keep-duplicates and --pad measure "
            "what both would cost. Padding is computed as if it were text, without a mask, so its answers "
            "would be wrong; bench does not show them. --peak adds to --profile how close each step comes "
            "to the peak of this machine. Several models, or several names in --provider, take turns on "
            "the same inputs with the same number of threads, warmed up; every engine reads the model's "
            "own export. Load time and peak memory are those of a separate process. 'difference' is the "
            "largest difference in any result from the model's first engine. --stages takes a checkpoint "
            "folder through the pipeline stages: plain ONNX, the graph levels of ONNX Runtime, OpenVINO, "
            "integers, retort; with --data it also shows the accuracy of each. --html draws times by file "
            "size "
            "and, where the texts have labels, by accuracy: medians, and lines up to the 99th percentile.",
        .examples = "retort bench model.retort\n"
                    "retort bench model.retort --batch 1 --seq 128 --threads 2 --json\n"
                    "retort bench model.retort --data test.tsv --batch 32\n"
                    "retort bench model.retort --data test.tsv --batch 32 --pad --keep-duplicates\n"
                    "retort bench model.retort --provider native,onnxruntime,openvino --html report.html\n"
                    "retort bench ./checkpoint --stages --data test.tsv\n",
    },
    {
        .name = "serve",
        .run = cmd_serve,
        .usage = "MODEL…",
        .summary = "serve models over HTTP",
        .min_words = 0,
        .max_words = -1,
        .required = CLI_NO_OPTION,
        .options =
            OPTIONS(CLI_NAME, CLI_MEMORY, CLI_HOST, CLI_PORT, CLI_UNIX, CLI_REUSE_PORT, CLI_MAX_BATCH_TOKENS,
                    CLI_MAX_BATCH_REQUESTS, CLI_MAX_QUEUE_TOKENS, CLI_MAX_CONCURRENT_REQUESTS,
                    CLI_MAX_CLIENT_BATCH_SIZE, CLI_PAYLOAD_LIMIT, CLI_MAX_CONNECTIONS, CLI_MAX_WAIT_US,
                    CLI_QUEUE_TIMEOUT_MS, CLI_OVERLOAD_STATUS, CLI_REQUEST_MEMORY, CLI_CACHE, CLI_STREAMS,
                    CLI_HTTP_THREADS, CLI_READ_TIMEOUT, CLI_IDLE_TIMEOUT, CLI_DRAIN_DELAY, CLI_DRAIN_TIMEOUT,
                    CLI_API_KEYS, CLI_CORS_ALLOW_ORIGIN, CLI_ACCESS_LOG, CLI_AUTO_TRUNCATE, CLI_KEEP_SPECIAL,
                    CLI_NO_OP, CLI_SHADOW, ENGINE_OPTIONS),
        .details =
            "The server speaks the wire forms of Text Embeddings Inference, Hugging Face, OpenAI "
            "(embeddings) and the Open Inference Protocol v2; /openapi.json describes them, and / is a "
            "page to try the model. A batch is made of what is waiting when the previous one ends; equal "
            "texts in flight are computed once. Requests that arrive together run side by side, one thread "
            "each; a request that is alone gets all --threads. SIGHUP reloads the models and keys without "
            "losing a request; SIGTERM finishes the requests in flight and exits with 0. systemd may pass "
            "the "
            "socket, and is notified when the server is ready. A model is named after its file, without "
            ".retort.",
        .examples = "retort serve model.retort\n"
                    "retort serve int4.retort --reuse-port --unpack never\n"
                    "curl -s localhost:8080/predict -d '{\"inputs\": \"a charming film\"}'\n"
                    "retort serve --name mood=model.retort,vectors=embedder.retort --host 0.0.0.0 --api-keys "
                    "keys.txt\n",
    },
    {
        .name = "load",
        .run = cmd_load,
        .usage = "URL",
        .summary = "measure the latency of a server at given request rates",
        .min_words = 1,
        .max_words = 1,
        .required = CLI_NO_OPTION,
        .options = OPTIONS(CLI_RATE, CLI_SATURATE, CLI_CLOSED, CLI_ARRIVALS, CLI_DATA, TEXT_COLUMNS, CLI_FORM,
                           CLI_BATCH, CLI_SERVED_MODEL_NAME, CLI_HEADER, CLI_UNIX, CLI_CONNECTIONS,
                           CLI_DURATION, CLI_WARMUP, CLI_DEADLINE_MS, CLI_TIMEOUT, CLI_CHECK),
        .details =
            "Requests are due at a given rate, whether or not the server keeps up, and latency counts from "
            "when a request was due: a stall shows in every request that came due meanwhile. Without "
            "--data the texts are built in; with it they are those of a file, read as by 'retort run'. "
            "Each request sends --batch texts (default: 1). A URL without a path gets the path of the "
            "form. Refusals (429 and 503) are counted apart from errors; an answer is good if it is a 2xx "
            "within the deadline. Percentiles cover answers and requests that got none, which count with "
            "the time that was spent waiting for them. --saturate runs a closed loop, then up to seven "
            "rates.",
        .examples =
            "retort load http://127.0.0.1:8080 --rate 100,200,400 --data test.tsv\n"
            "retort load http://127.0.0.1:8080 --saturate --duration 5\n"
            "retort load http://127.0.0.1:8080/embed --rate 50 --deadline-ms 100 --json\n"
            "retort load http://127.0.0.1:8080 --form oip --served-model-name sst2 --closed --connections "
            "8\n",
    },
    {
        .name = "doctor",
        .run = cmd_doctor,
        .usage = "",
        .summary = "show what this machine offers, and which form of a model to serve on it",
        .min_words = 0,
        .max_words = 0,
        .required = CLI_NO_OPTION,
        .options = OPTIONS(CLI_MODEL, CLI_DATA, TEXT_COLUMNS, CLI_PEAK, CLI_THREADS, CLI_ISA, CLI_MEMORY),
        .details =
            "It looks at the CPUs for 0.2 seconds to see how busy other processes keep them, and says what "
            "to do if they "
            "do. --peak also measures the peak of this machine on one thread and on all (those of --threads, "
            "at the tier of --isa): operations per second for each type (int4: int8 by weights of 4 bits), "
            "where a multiplication and an addition count as two; bytes per second read from each level of "
            "the memory; and the time that threads take to meet and to wake. --model makes the forms that "
            "the "
            "model can be "
            "served in (float32, bf16, 8 and 4 bits) in a temporary folder, runs up to 64 texts of --data in "
            "each, in turns, alone and in batches, and recommends one: of those as fast as the fastest the "
            "one with the smallest file. It takes less than ten seconds for models of up to 100 million "
            "parameters. It says nothing about accuracy: 'retort tune' does.",
        .examples = "retort doctor --json\n"
                    "retort doctor --model model.retort --data texts.tsv\n"
                    "retort doctor --peak --threads 2\n",
    },
    {
        .name = "help",
        .run = cmd_help,
        .usage = "[COMMAND]",
        .summary = "print help on a command",
        .min_words = 0,
        .max_words = 1,
        .required = CLI_NO_OPTION,
        .options = OPTIONS(CLI_MAN),
        .examples = "retort help bench\n"
                    "retort help --man | man -l -\n",
    },
    {
        .name = "version",
        .run = cmd_version,
        .usage = "",
        .summary = "print the version",
        .min_words = 0,
        .max_words = 0,
        .required = CLI_NO_OPTION,
        .options = (const int[]){-1},
        .examples = "retort version\n",
    },
    {
        .name = "completions",
        .run = cmd_completions,
        .usage = "bash|zsh|fish",
        .summary = "print a completion script",
        .min_words = 1,
        .max_words = 1,
        .required = CLI_NO_OPTION,
        .options = (const int[]){-1},
        .examples = "retort completions bash >/etc/bash_completion.d/retort\n",
        .hidden = true,
    },
};

const cli_verbs cmd_verbs = {rows, sizeof rows / sizeof *rows};
