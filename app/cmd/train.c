/* SPDX-License-Identifier: Apache-2.0
 * train: fine-tuning, distillation, quantisation-aware training. */
#include "cmd/train.h"
#include "cli/file.h"
#include "cli/model.h"
#include "cli/progress.h"
#include "cli/stats.h"
#include "cli/text.h"
#include "cmd/train_plot.h"
#include "cmd/train_report.h"
#include "cmd/train_start.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One training. Integers whose floats have to be learned first take two, the second of which starts from the file of the
 * first. */
typedef struct train_pass {
    char *output, *state, *plot; /* files; state: of the checkpoint; plot: or NULL */
    bool integers, last;
} train_pass;

/* ---- Options ---- */

static cli_code check_numbers(const cli_args *args) {
    static const struct {
        cli_option_id id;
        double min, max;
    } numbers[] = {
        {CLI_EPOCHS, 0.001, 1e6},
        {CLI_LEARNING_RATE, 1e-9, 1},
        {CLI_RATE_WARMUP, 0, 0.99},
        {CLI_WEIGHT_DECAY, 0, 10},
        {CLI_CLIP, 0, 1e9},
        {CLI_LAYER_DECAY, 0.01, 1},
        {CLI_SMOOTHING, 0, 0.99},
        {CLI_TEMPERATURE, 0.1, 100},
        {CLI_SOFT, 0, 1},
        {CLI_HIDDEN, 0, 1e6},
        {CLI_MIX, 0, 1},
        {CLI_MINUTES, 0.001, 1e6},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        double value = cli_real(args, numbers[i].id);
        if (!cli_has(args, numbers[i].id) || (value >= numbers[i].min && value <= numbers[i].max)) continue;
        cli_error("--%s: '%s' is not a number from %g to %g", cli_options[numbers[i].id].name,
                  cli_text(args, numbers[i].id), numbers[i].min, numbers[i].max);
        return CLI_USAGE;
    }
    return CLI_DONE;
}

/* Options that have no effect on what is trained. */
static cli_code check_effect(const cli_args *args) {
    static const struct {
        cli_option_id id;
        bool teacher; /* it is about a teacher, which integers always have */
    } rows[] = {{CLI_EMBEDDINGS, false}, {CLI_GROUP, false}, {CLI_TEMPERATURE, true},
                {CLI_SOFT, true},        {CLI_HIDDEN, true}, {CLI_MIX, true}};
    bool integers = train_has_integers(args), teacher = cli_has(args, CLI_TEACHER);
    for (size_t i = 0; !integers && i < sizeof rows / sizeof *rows; i++) {
        if (!cli_has(args, rows[i].id) || (rows[i].teacher && teacher)) continue;
        cli_error("--%s needs %s--recipe or --bits", cli_options[rows[i].id].name,
                  rows[i].teacher ? "--teacher, " : "");
        return CLI_USAGE;
    }
    return CLI_DONE;
}

/* "film.retort" with ".float" is "film.float.retort". NULL: out of memory. The caller frees it. */
static char *insert(const char *path, const char *infix) {
    const char *name = strrchr(path, '/'), *dot = strrchr(name != NULL ? name : path, '.');
    size_t stem = dot != NULL ? (size_t)(dot - path) : strlen(path), size = strlen(path) + strlen(infix) + 1;
    char *out = malloc(size);
    if (out != NULL) snprintf(out, size, "%.*s%s%s", (int)stem, path, infix, path + stem);
    return out;
}

static char *append(const char *path, const char *suffix) {
    size_t size = strlen(path) + strlen(suffix) + 1;
    char *out = malloc(size);
    if (out != NULL) snprintf(out, size, "%s%s", path, suffix);
    return out;
}

static void passes_close(train_pass passes[2]) {
    for (size_t i = 0; i < 2; i++) {
        free(passes[i].output);
        free(passes[i].state);
        free(passes[i].plot);
    }
}

/* passes[0]: floats that integers start from, where these are wanted; passes[1]: what was asked for. */
static cli_code passes_open(train_pass passes[2], const cli_args *args) {
    const char *output = cli_text(args, CLI_OUTPUT), *state = cli_text(args, CLI_CHECKPOINT),
               *plot = cli_text(args, CLI_PLOT);
    passes[1] =
        (train_pass){append(output, ""), state != NULL ? append(state, "") : append(output, ".checkpoint"),
                     plot != NULL ? append(plot, "") : NULL, train_has_integers(args), true};
    if (passes[1].output == NULL || passes[1].state == NULL || (plot != NULL && passes[1].plot == NULL))
        return cli_no_memory();
    passes[0] = (train_pass){insert(output, ".float"), append(passes[1].state, ".float"),
                             plot != NULL ? insert(plot, ".float") : NULL, false, false};
    bool made =
        passes[0].output != NULL && passes[0].state != NULL && (plot == NULL) == (passes[0].plot == NULL);
    return made ? CLI_DONE : cli_no_memory();
}

static cli_code check_data(const cli_args *args) {
    if (cli_has(args, CLI_DATA)) return CLI_DONE;
    cli_error("train: --data is required");
    return CLI_USAGE;
}

/* What would fail after an hour, before it starts. */
static cli_code check_pass(const train_pass *pass) {
    cli_code code = cli_check_writable(pass->output);
    if (code == CLI_DONE && pass->plot != NULL) code = cli_check_writable(pass->plot);
    return code == CLI_DONE ? cli_check_writable(pass->state) : code;
}

static bool has_state(const train_pass *pass) {
    return access(pass->state, R_OK) == 0;
}

static cli_code check_files(const cli_args *args, const train_pass passes[2]) {
    const char *dev = cli_text(args, CLI_DEV);
    cli_code code = check_pass(&passes[1]);
    if (code != CLI_DONE) return code;
    if (cli_has(args, CLI_RESUME) && !has_state(&passes[1]) &&
        !(passes[1].integers && has_state(&passes[0]))) {
        cli_error("--resume: there is no checkpoint '%s'", passes[1].state);
        return CLI_BAD_DATA;
    }
    if (dev != NULL && cli_is_same_file(dev, cli_text(args, CLI_DATA)))
        cli_say("warning: --dev is the file of --data: it cannot tell which epoch is best on other texts");
    return CLI_DONE;
}

static double real_or(const cli_args *args, cli_option_id id, double otherwise) {
    return cli_has(args, id) ? cli_real(args, id) : otherwise;
}

static retort_decay decay_of(const char *name) {
    if (strcmp(name, "linear") == 0) return RETORT_DECAY_LINEAR;
    return strcmp(name, "cosine") == 0 ? RETORT_DECAY_COSINE : RETORT_DECAY_CONSTANT;
}

static void set_integers(retort_train_options *options, const cli_args *args, bool again) {
    options->bits = (int)cli_int(args, CLI_BITS, 0);
    options->embeddings = (int)cli_int(args, CLI_EMBEDDINGS, 0);
    options->group = cli_int(args, CLI_GROUP, 0);
    options->recipe = options->bits == 8 ? "int8" : "ptq+owq";
    if (cli_has(args, CLI_TRAIN_RECIPE)) options->recipe = cli_text(args, CLI_TRAIN_RECIPE);
    if (!again) return; /* these were about the floats */
    options->epochs = 0;
    options->steps = 0;
    options->learning_rate = 0;
    options->arithmetic = RETORT_F32; /* the default: a recipe says which integers are multiplied */
}

/* Without a teacher, what is said about one is for the integers, whose teacher are these floats. */
static void unset_teacher(retort_train_options *options) {
    options->temperature = 0;
    options->soft = options->hidden = -1;
}

static retort_train_options options_of(const cli_args *args, const train_pass *pass, const train_start *start,
                                       train_report *report) {
    enum { STUDENT = 3 }; /* a student's layers are far from where they end: 3e-4 */
    retort_train_options options = RETORT_TRAIN_OPTIONS;
    options.consume = true;
    options.data = start->data;
    options.dev = start->dev;
    options.epochs = cli_real(args, CLI_EPOCHS);
    options.steps = (size_t)cli_int(args, CLI_STEPS, 0);
    options.batch = (size_t)cli_int(args, CLI_BATCH, 0);
    options.learning_rate = real_or(args, CLI_LEARNING_RATE, start->layers > 0 ? STUDENT * 1e-4 : 0);
    options.warmup = real_or(args, CLI_RATE_WARMUP, -1);
    options.decay = decay_of(cli_text(args, CLI_DECAY));
    options.weight_decay = real_or(args, CLI_WEIGHT_DECAY, -1);
    options.clip = real_or(args, CLI_CLIP, -1);
    options.layer_decay = cli_real(args, CLI_LAYER_DECAY);
    options.label_smoothing = cli_real(args, CLI_SMOOTHING);
    options.class_weights = cli_has(args, CLI_CLASS_WEIGHTS);
    options.patience = (size_t)cli_int(args, CLI_PATIENCE, 0);
    options.max_length = cli_int(args, CLI_TRAIN_MAX_LENGTH, -1);
    options.seed = (uint64_t)cli_int(args, CLI_TRAIN_SEED, 0);
    options.threads = (int)cli_int(args, CLI_THREADS, 0);
    options.isa = cli_text(args, CLI_ISA);
    options.arithmetic = strcmp(cli_text(args, CLI_ARITHMETIC), "bf16") == 0 ? RETORT_BF16 : RETORT_F32;
    options.memory = cli_size(args, CLI_TRAIN_MEMORY);
    options.teacher = start->teacher;
    options.temperature = cli_real(args, CLI_TEMPERATURE);
    options.soft = real_or(args, CLI_SOFT, -1);
    options.hidden = real_or(args, CLI_HIDDEN, -1);
    options.mix = real_or(args, CLI_MIX, -1);
    if (pass->integers) set_integers(&options, args, start->floats_first);
    if (!pass->integers && start->teacher == NULL) unset_teacher(&options);
    options.checkpoint = pass->state;
    options.minutes = cli_real(args, CLI_MINUTES);
    options.resume = cli_has(args, CLI_RESUME) && has_state(pass);
    options.progress = train_report_progress;
    options.warning = cli_warning;
    options.user = report;
    report->recipe = options.recipe;
    return options;
}

/* ---- The summary ---- */

/* A word of a command, in quotes where a shell would need them. */
static void put_word(const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-+=:@%";
    bool quotes = word[strspn(word, plain)] != '\0';
    putchar(' ');
    if (quotes) putchar('\'');
    for (size_t n; *word != '\0'; word += n) {
        n = *word == '\'' ? 1 : strcspn(word, "'");
        if (*word == '\'')
            fputs("'\\''", stdout);
        else
            cli_put(stdout, word, n);
    }
    if (quotes) putchar('\'');
}

static void put_command(const char *verb, const char *model, const char *rest) {
    printf("  retort %s", verb);
    put_word(model);
    fputs(rest, stdout);
}

/* A data file, with the columns that the training was told. */
static void put_data(const cli_args *args, const char *file, bool labels) {
    static const cli_option_id columns[] = {CLI_TEXT_COLUMN, CLI_TEXT_PAIR_COLUMN, CLI_LABEL_COLUMN,
                                            CLI_LABEL_SEPARATOR};
    size_t count = labels ? 4 : 2;
    put_word(file);
    for (size_t i = 0; i < count; i++) {
        if (!cli_has(args, columns[i])) continue;
        printf(" --%s", cli_options[columns[i]].name);
        put_word(cli_text(args, columns[i]));
    }
}

static void print_next(const cli_args *args, const train_start *start, const retort_info *info) {
    const char *model = cli_text(args, CLI_OUTPUT), *dev = cli_text(args, CLI_DEV),
               *data = cli_text(args, CLI_DATA);
    char *small = insert(model, ".int4");
    fputs("next:\n", stdout);
    if (dev != NULL) {
        put_command("eval", model, " --data");
        put_data(args, dev, true);
        putchar('\n');
    }
    if (!train_has_integers(args) && small != NULL) {
        put_command("quantize", model, " --recipe ptq+owq --data");
        put_data(args, data, false);
        fputs(" -o", stdout);
        put_word(small);
        putchar('\n');
    }
    free(small);
    retort_dataset_info found = {.size = sizeof found};
    retort_dataset_describe(start->data, &found);
    put_command("run", model,
                info->task == RETORT_TASK_EMBED ? " <texts.txt\n"
                : found.pairs                   ? " --pairs <pairs.tsv\n"
                                                : " \"a text\"\n");
    put_command("serve", model, "\n");
}

static void print_summary(const char *output, const retort_info *info, const retort_train_result *result,
                          uint64_t bytes) {
    char size[32];
    cli_put_column(stdout, 0, output);
    printf(": %s, %s, %.3g epoch%s, %zu step%s", cli_task_names[info->task], info->dtype, result->epochs,
           result->epochs == 1 ? "" : "s", result->steps, result->steps == 1 ? "" : "s");
    if (result->metric != NULL)
        printf(", %s %.4f at step %zu", result->metric, result->dev, result->best_step);
    if (isfinite(result->loss)) printf(", loss %.4f in the last epoch", result->loss);
    printf(", %s, %.0f s, %.0f tokens/s\n", cli_bytes(size, sizeof size, bytes), result->seconds,
           result->tokens_per_second);
}

static cli_code print_result(const cli_args *args, const train_pass *pass, const train_start *start,
                             const retort_model *model, const retort_train_result *result, uint64_t bytes) {
    retort_info info = {.size = sizeof info};
    const char *output = pass->output;
    retort_model_info(model, &info);
    if (!cli_has(args, CLI_JSON)) {
        print_summary(output, &info, result, bytes);
        if (pass->last) print_next(args, start, &info);
        return pass->last ? CLI_DONE : cli_flush();
    }
    json_t *json = json_pack(
        "{s:s, s:o, s:s, s:s, s:I, s:I, s:b, s:o, s:I, s:o, s:b, s:I, s:o, s:o, s:I, s:I}", "event",
        pass->last ? "done" : "floats", "output", cli_json_text(output, strlen(output)), "task",
        cli_task_names[info.task], "recipe", info.recipe, "labels", (json_int_t)info.labels, "layers",
        (json_int_t)info.layers, "new_head", start->new_head, "epochs", cli_json_real(result->epochs),
        "steps", (json_int_t)result->steps, "loss", cli_json_real(result->loss), "stopped", result->stopped,
        "truncated", (json_int_t)result->truncated, "seconds", cli_json_real(result->seconds),
        "tokens_per_second", cli_json_real(result->tokens_per_second), "parameters",
        (json_int_t)info.parameters, "bytes", (json_int_t)bytes);
    if (result->metric != NULL) {
        json_object_set_new(json, "metric", json_string(result->metric));
        json_object_set_new(json, "dev", cli_json_real(result->dev));
        json_object_set_new(json, "best_step", json_integer((json_int_t)result->best_step));
    }
    cli_code code = cli_print_json(json);
    return code == CLI_DONE ? cli_flush() : code;
}

/* ---- The verb ---- */

static void say_interrupted(const train_pass *pass, const retort_train_result *result) {
    const char *output = pass->output;
    if (!cli_interrupted()) return;
    if (!pass->last) cli_say("the integers were not begun");
    if (result->metric != NULL)
        cli_say("interrupted at step %zu: %s has the best so far, %s %.4f of step %zu", result->steps, output,
                result->metric, result->dev, result->best_step);
    else
        cli_say("interrupted: %s has the weights of step %zu", output, result->steps);
    if (has_state(pass)) cli_say("the same command with --resume goes on from '%s'", pass->state);
}

/* And the best model so far, which lies beside it. */
static void remove_checkpoint(const char *checkpoint) {
    char best[4096];
    unlink(checkpoint);
    if ((size_t)snprintf(best, sizeof best, "%s.best", checkpoint) < sizeof best) unlink(best);
}

static cli_code train(const cli_args *args, const train_pass *pass, const train_start *start,
                      train_report *report) {
    retort_model *trained = NULL;
    retort_error err;
    retort_train_result result = {.size = sizeof result};
    retort_train_options options = options_of(args, pass, start, report);
    uint64_t bytes = 0;
    retort_status status = retort_train(&trained, start->model, &options, &result, &err);
    cli_progress_end();
    if (status != RETORT_OK) {
        cli_code failed = cli_fail(&err, true);
        if (report->steps > 0 && has_state(pass))
            cli_say("the last checkpoint is '%s': see --resume", pass->state);
        return failed;
    }
    cli_code code = cli_save_model(trained, args, pass->output, &bytes);
    if (code == CLI_DONE && pass->plot != NULL) code = train_plot(report, pass->plot, pass->output);
    if (code == CLI_DONE) say_interrupted(pass, &result);
    if (code == CLI_DONE) code = print_result(args, pass, start, trained, &result, bytes);
    retort_model_free(trained);
    return code;
}

/* The floats, if integers start from some that have to be learned: start->model becomes what their file has. */
static cli_code train_floats(const cli_args *args, const train_pass *pass, train_start *start,
                             train_report *report) {
    retort_error err;
    cli_code code = check_pass(pass);
    if (code != CLI_DONE) return code;
    cli_say("first the floats, into '%s', then their integers", pass->output);
    train_report_begin(report, args);
    code = train(args, pass, start, report);
    train_report_free(report);
    if (code != CLI_DONE || cli_interrupted()) return code;
    retort_model_free(start->model);
    start->model = NULL;
    return retort_model_load(&start->model, pass->output, &err) == RETORT_OK ? CLI_DONE
                                                                             : cli_fail(&err, false);
}

static cli_code train_all(const cli_args *args, const train_pass passes[2], train_start *start,
                          train_report *report) {
    cli_code code = start->floats_first ? train_floats(args, &passes[0], start, report) : CLI_DONE;
    if (code != CLI_DONE || cli_interrupted()) return code;
    train_report_begin(report, args);
    code = train(args, &passes[1], start, report);
    train_report_free(report);
    /* What is done needs no state, unless somebody asked where it should be. */
    for (size_t i = start->floats_first ? 0 : 1; code == CLI_DONE && !cli_interrupted() && i < 2; i++) {
        if (!cli_has(args, CLI_CHECKPOINT)) remove_checkpoint(passes[i].state);
    }
    return code;
}

cli_code cmd_train(const cli_args *args) {
    train_start start = {0};
    train_pass passes[2] = {{0}};
    train_report *report = calloc(1, sizeof *report);
    cli_code code = report != NULL ? CLI_DONE : cli_no_memory();
    if (code == CLI_DONE) code = check_data(args);
    if (code == CLI_DONE) code = check_numbers(args);
    if (code == CLI_DONE) code = check_effect(args);
    if (code == CLI_DONE) code = passes_open(passes, args);
    if (code == CLI_DONE) code = check_files(args, passes);
    if (code == CLI_DONE) code = train_start_open(&start, args);
    if (code == CLI_DONE) {
        cli_catch_interrupt(); /* the best so far is saved then */
        code = train_all(args, passes, &start, report);
    }
    train_start_close(&start);
    passes_close(passes);
    free(report);
    return code;
}
