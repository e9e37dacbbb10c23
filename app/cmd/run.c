/* SPDX-License-Identifier: Apache-2.0
 * run: the model's task on texts. */
#include "cmd/run.h"
#include "cli/input.h"
#include "cli/model.h"
#include "cli/shipped.h"
#include "cmd/run_lines.h"
#include "cmd/run_query.h"
#include "cmd/run_span.h"
#include "cmd/run_state.h"
#include "cmd/run_table.h"
#include "cmd/run_text.h"
#include "retort.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* By task. `alone`: it takes the texts one at a time. */
static const struct {
    run_fn run;
    bool alone;
} runners[] = {
    [RETORT_TASK_CLASSIFY] = {run_classify, false}, [RETORT_TASK_TAG] = {run_tag, false},
    [RETORT_TASK_ANSWER] = {run_answer, true},      [RETORT_TASK_FILL] = {run_fill, true},
    [RETORT_TASK_EMBED] = {run_embed, false},
};

static cli_code print_part(void *unused, const cli_part *part) {
    (void)unused;
    fwrite(part->output, 1, part->output_length, stdout);
    return CLI_DONE;
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
    {CLI_QUERY, EMBEDS | CLASSIFIES},
    {CLI_QUERY_PROMPT_NAME, EMBEDS},
    {CLI_PROMPT_NAME, EMBEDS | CLASSIFIES},
    {CLI_SCORES, CLASSIFIES},
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

/* A classifier ranks as a cross-encoder does: by one score for the query and a text. */
static cli_code check_query(const cli_args *args, const retort_info *info) {
    if (info->labels > 2) {
        cli_error("--query needs a model that embeds, or a cross-encoder, which has one label or two; this "
                  "one has %lld",
                  (long long)info->labels);
        return CLI_USAGE;
    }
    if (!cli_has(args, CLI_PAIRS) && !cli_has(args, CLI_LABELS)) return CLI_DONE;
    cli_error("--query makes pairs of its own: not with --pairs or --labels");
    return CLI_USAGE;
}

/* Refuses options that would have no effect. */
static cli_code check_options(const cli_args *args, const retort_info *info) {
    retort_task task = info->task;
    char verbs[64];
    for (size_t i = 0; i < sizeof applies / sizeof *applies; i++) {
        const char *name = cli_options[applies[i].option].name;
        if (!cli_has(args, (cli_option_id)applies[i].option)) continue;
        if ((applies[i].tasks >> task & 1) != 0) continue;
        cli_error("--%s needs a model that %s; this one is for %s", name,
                  verbs_of(verbs, sizeof verbs, applies[i].tasks), cli_task_names[task]);
        return CLI_USAGE;
    }
    if (task == RETORT_TASK_EMBED && !info->sparse && cli_has(args, CLI_TOP) && !cli_has(args, CLI_QUERY)) {
        cli_error("--top needs --query: without it nothing is ranked");
        return CLI_USAGE;
    }
    return task == RETORT_TASK_CLASSIFY && cli_has(args, CLI_QUERY) ? check_query(args, info) : CLI_DONE;
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

/* What does not depend on where the texts come from. */
static cli_code prepare(run_state *run) {
    retort_task task = run->info.task;
    cli_code code = check_options(run->args, &run->info);
    if (code == CLI_DONE) code = cli_split_names(&run->labels, run->args, CLI_LABELS);
    if (code != CLI_DONE) return code;
    if (run->labels.count > 0) warn_of_labels(run->model);
    run->top = (size_t)cli_int(run->args, CLI_TOP, task == RETORT_TASK_ANSWER ? 1 : 5);
    run->cut = calloc(run->batch, sizeof *run->cut);
    if (run->cut == NULL) return cli_no_memory();
    bool zero_shot = run->labels.count > 0;
    run->runner = zero_shot ? run_zero_shot : runners[task].run;
    run->alone = zero_shot || runners[task].alone;
    return CLI_DONE;
}

static cli_code run_input(run_state *run, int words) {
    cli_input input = {0};
    cli_code code = cli_input_open(&input, run->args, words, run->model);
    if (code == CLI_DONE) code = prepare(run);
    if (code == CLI_DONE)
        code =
            cli_has(run->args, CLI_QUERY) ? run_query(run, &input) : run_lines(run, &input, print_part, NULL);
    if (code == CLI_DONE) say_truncated(run, input.taken);
    cli_input_close(&input);
    return code;
}

cli_code cmd_run(const cli_args *args) {
    int words;
    const char *name = model_of(args, &words);
    run_state run = {.args = args, .name = name, .info = {.size = sizeof run.info}};
    run.batch = (size_t)cli_int(args, CLI_BATCH, 32);
    run.cells = cli_has(args, CLI_INPUT);
    run.json = cli_has(args, CLI_JSON) && !run.cells;
    run.drawn = !run.json && !run.cells && isatty(STDOUT_FILENO);
    cli_code code = run.cells ? run_table_check(args, words) : CLI_DONE;
    if (code == CLI_DONE) code = cli_open_model(&run.model, args, name, 3);
    if (code == CLI_DONE) code = cli_open_session(&run.session, args, run.model, false);
    if (code == CLI_DONE) {
        retort_model_info(run.model, &run.info);
        if (!run.cells) code = run_input(&run, words);
        if (run.cells) code = prepare(&run);
        if (run.cells && code == CLI_DONE) code = run_table(&run);
    }
    free(run.cut);
    cli_names_free(&run.labels);
    retort_session_close(run.session);
    retort_model_free(run.model);
    return code;
}
