/* SPDX-License-Identifier: Apache-2.0
 * run: the model's task on texts. */
#include "cmd/run.h"
#include "cli/input.h"
#include "cli/model.h"
#include "cli/progress.h"
#include "cli/shipped.h"
#include "cmd/run_span.h"
#include "cmd/run_state.h"
#include "cmd/run_text.h"
#include "retort.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const run_fn runners[] = {
    [RETORT_TASK_CLASSIFY] = run_classify, [RETORT_TASK_TAG] = run_tag,     [RETORT_TASK_ANSWER] = run_answer,
    [RETORT_TASK_FILL] = run_fill,         [RETORT_TASK_EMBED] = run_embed,
};

static cli_code run_texts(run_state *run, const retort_text *texts, size_t n) {
    run_fn runner = run->labels.count > 0 ? run_zero_shot : runners[run->info.task];
    cli_code code = runner(run, texts, n);
    if (!run->one_by_one) return code;
    run->one_by_one = false;
    code = CLI_DONE;
    for (size_t i = 0; code == CLI_DONE && i < n; i++, run->first++) {
        code = runner(run, &texts[i], 1);
    }
    return code;
}

/* Splits texts at a tab for tasks that take pairs. */
static cli_code split_pairs(const run_state *run, cli_input *input, retort_text *texts, size_t n) {
    bool answer = run->info.task == RETORT_TASK_ANSWER, classify = run->info.task == RETORT_TASK_CLASSIFY;
    cli_code code = CLI_DONE;
    for (size_t i = 0; (answer || classify) && code == CLI_DONE && i < n; i++) {
        code = cli_split_pair(input, run->args, &texts[i], run->first + i + 1, answer);
    }
    return code;
}

/* Results are flushed batch by batch: on a pipe they keep up with the input. */
static cli_code run_lines(run_state *run, cli_input *input, size_t batch) {
    retort_text *lines = calloc(batch, sizeof *lines);
    size_t total = retort_dataset_count(input->data);
    cli_code code = lines != NULL ? CLI_DONE : cli_no_memory();
    while (code == CLI_DONE) {
        size_t n = 0;
        code = cli_input_take(input, lines, batch, &n);
        if (code != CLI_DONE || n == 0) break;
        run->first = input->taken - n;
        code = split_pairs(run, input, lines, n);
        if (code == CLI_DONE) code = run_texts(run, lines, n);
        if (code == CLI_DONE) code = cli_flush();
        if (total > 0 && !isatty(STDOUT_FILENO)) cli_progress(NULL, "texts", input->taken, total);
    }
    cli_progress_end();
    free(lines);
    return code;
}

static void say_truncated(const run_state *run, size_t texts) {
    if (run->cut_count == 0) return;
    cli_say("%zu of %zu texts were truncated: the model reads at most %lld tokens", run->cut_count, texts,
            (long long)run->info.max_length);
}

/* The model's name, and the number of words that it uses: without a word, or if the first one contains a
 * space and is no file, the model that comes with retort. */
static const char *model_of(const cli_args *args, int *words) {
    const char *first = args->word_count > 0 ? args->words[0] : NULL;
    *words = first != NULL && (strchr(first, ' ') == NULL || access(first, F_OK) == 0);
    return *words > 0 ? first : CLI_DEFAULT_MODEL;
}

/* Options that apply only to some tasks. */
enum {
    CLASSIFIES = 1 << RETORT_TASK_CLASSIFY,
    TAGS = 1 << RETORT_TASK_TAG,
    ANSWERS = 1 << RETORT_TASK_ANSWER,
    FILLS = 1 << RETORT_TASK_FILL,
    EMBEDS = 1 << RETORT_TASK_EMBED
};
static const struct {
    int option;
    unsigned tasks;
} applies[] = {
    {CLI_PAIRS, CLASSIFIES | ANSWERS},
    {CLI_QUERY, EMBEDS},
    {CLI_QUERY_PROMPT_NAME, EMBEDS},
    {CLI_PROMPT_NAME, EMBEDS},
    {CLI_TOP, CLASSIFIES | ANSWERS | FILLS | EMBEDS},
    {CLI_LABELS, CLASSIFIES},
    {CLI_HYPOTHESIS, CLASSIFIES},
    {CLI_MULTI_LABEL, CLASSIFIES},
    {CLI_AGGREGATION, TAGS},
    {CLI_IGNORE_LABELS, TAGS},
    {CLI_TRUNCATE, TAGS},
    {CLI_STRIDE, TAGS | ANSWERS},
    {CLI_WINDOW, ANSWERS},
    {CLI_MAX_ANSWER, ANSWERS},
    {CLI_MAX_QUESTION, ANSWERS},
    {CLI_IMPOSSIBLE, ANSWERS},
    {CLI_PIECES, ANSWERS},
    {CLI_TARGETS, FILLS},
};

/* "tags or answers" */
static const char *verbs_of(char *out, size_t size, unsigned tasks) {
    static const char *const verbs[] = {"classifies", "tags", "answers", "fills", "embeds"};
    size_t length = 0;
    for (unsigned task = 0; task <= RETORT_TASK_EMBED && length < size; task++) {
        if ((tasks >> task & 1) == 0) continue;
        const char *between = length == 0 ? "" : tasks >> (task + 1) == 0 ? " or " : ", ";
        length += (size_t)snprintf(out + length, size - length, "%s%s", between, verbs[task]);
    }
    return out;
}

/* Refuses options that would have no effect. */
static cli_code check_options(const cli_args *args, retort_task task) {
    char verbs[64];
    for (size_t i = 0; i < sizeof applies / sizeof *applies; i++) {
        const char *name = cli_options[applies[i].option].name;
        if (!cli_has(args, (cli_option_id)applies[i].option)) continue;
        if ((applies[i].tasks >> task & 1) != 0) continue;
        cli_error("--%s needs a model that %s; this one is for %s", name,
                  verbs_of(verbs, sizeof verbs, applies[i].tasks), cli_task_names[task]);
        return CLI_USAGE;
    }
    if (task == RETORT_TASK_EMBED && cli_has(args, CLI_TOP) && !cli_has(args, CLI_QUERY)) {
        cli_error("--top needs --query: without it nothing is ranked");
        return CLI_USAGE;
    }
    return CLI_DONE;
}

/* A sentiment model, say, would assign labels silently, and at random. */
static void warn_of_labels(const retort_model *model) {
    const char *label, *last = "";
    for (int64_t i = 0; (label = retort_model_label(model, i)) != NULL; i++) {
        if (strncasecmp(label, "entail", 6) == 0) return;
        last = label;
    }
    cli_say("warning: no label of the model begins with 'entail', so the last one, '%.60s', is used: is this "
            "a natural-language inference model?",
            last);
}

static cli_code run_input(run_state *run, cli_input *input, size_t batch) {
    retort_task task = run->info.task;
    cli_code code = check_options(run->args, task);
    if (code == CLI_DONE) code = cli_split_names(&run->labels, run->args, CLI_LABELS);
    if (code != CLI_DONE) return code;
    if (run->labels.count > 0) warn_of_labels(run->model);
    run->top = (size_t)cli_int(run->args, CLI_TOP, task == RETORT_TASK_ANSWER ? 1 : 5);
    run->cut = calloc(batch, sizeof *run->cut);
    if (run->cut == NULL) return cli_no_memory();
    return cli_has(run->args, CLI_QUERY) ? run_query(run, input, batch) : run_lines(run, input, batch);
}

cli_code cmd_run(const cli_args *args) {
    int words;
    const char *name = model_of(args, &words);
    run_state run = {.args = args, .json = cli_has(args, CLI_JSON), .info = {.size = sizeof run.info}};
    cli_input input = {0};
    size_t batch = (size_t)cli_int(args, CLI_BATCH, 32);
    run.drawn = !run.json && isatty(STDOUT_FILENO);
    cli_code code = cli_open_model(&run.model, args, name, 3);
    if (code == CLI_DONE) code = cli_open_session(&run.session, args, run.model, false);
    if (code == CLI_DONE) {
        retort_model_info(run.model, &run.info);
        code = cli_input_open(&input, args, words, run.model);
        if (code == CLI_DONE) code = run_input(&run, &input, batch);
        if (code == CLI_DONE) say_truncated(&run, input.taken);
        cli_input_close(&input);
    }
    free(run.cut);
    cli_names_free(&run.labels);
    retort_session_close(run.session);
    retort_model_free(run.model);
    return code;
}
