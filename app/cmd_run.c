/* SPDX-License-Identifier: Apache-2.0
 * run: the model's task on texts. */
#include "run.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const run_fn runners[] = {
    [RETORT_TASK_CLASSIFY] = run_classify, [RETORT_TASK_TAG] = run_tag,     [RETORT_TASK_ANSWER] = run_answer,
    [RETORT_TASK_FILL] = run_fill,         [RETORT_TASK_EMBED] = run_embed,
};

cli_code run_fail(run_state *run, const retort_error *err, size_t n, bool reading) {
    if (err->status != RETORT_NONFINITE) return cli_fail(err, reading);
    run->one_by_one = n > 1;
    if (n <= 1) cli_error("text %zu: %s", run->first + 1, retort_status_text(err->status));
    return CLI_FAILED;
}

static cli_code run_texts(run_state *run, const retort_text *texts, size_t n) {
    cli_code code = runners[run->info.task](run, texts, n);
    if (!run->one_by_one) return code;
    run->one_by_one = false;
    code = CLI_DONE;
    for (size_t i = 0; code == CLI_DONE && i < n; i++, run->first++) {
        code = runners[run->info.task](run, &texts[i], 1);
    }
    return code;
}

/* Results are flushed batch by batch: on a pipe they flow as the input does. */
static cli_code run_lines(run_state *run, cli_input *input, size_t batch) {
    retort_text *lines = calloc(batch, sizeof *lines);
    bool pairs = run->info.task == RETORT_TASK_CLASSIFY || run->info.task == RETORT_TASK_ANSWER;
    cli_code code = lines != NULL ? CLI_DONE : cli_no_memory();
    while (code == CLI_DONE) {
        size_t n = 0;
        code = cli_input_take(input, lines, batch, &n);
        if (code != CLI_DONE || n == 0) break;
        run->first = input->taken - n;
        for (size_t i = 0; pairs && i < n; i++) lines[i] = cli_split_pair(&lines[i]);
        code = run_texts(run, lines, n);
        if (code == CLI_DONE) code = cli_flush();
    }
    free(lines);
    return code;
}

/* The model's name, and how many words it takes: without one, or when the first word has a space and is no
 * file, it is the model that comes with retort. */
static const char *model_of(const cli_args *args, int *words) {
    const char *first = args->word_count > 0 ? args->words[0] : NULL;
    *words = first != NULL && (strchr(first, ' ') == NULL || access(first, F_OK) == 0);
    return *words > 0 ? first : CLI_DEFAULT_MODEL;
}

cli_code cmd_run(const cli_args *args) {
    int words;
    const char *name = model_of(args, &words);
    run_state run = {.args = args, .json = cli_has(args, CLI_JSON), .info = {.size = sizeof run.info}};
    cli_input input = {0};
    size_t batch = (size_t)cli_int(args, CLI_BATCH, 32);
    run.top = (size_t)cli_int(args, CLI_TOP, 5);
    run.drawn = !run.json && isatty(STDOUT_FILENO);
    cli_code code = cli_open_model(&run.model, args, name, 3);
    if (code == CLI_DONE) code = cli_open_session(&run.session, args, run.model, false);
    if (code == CLI_DONE) {
        retort_model_info(run.model, &run.info);
        cli_input_open(&input, args, words);
        code = cli_has(args, CLI_QUERY) ? run_query(&run, &input, batch) : run_lines(&run, &input, batch);
        cli_input_close(&input);
    }
    retort_session_close(run.session);
    retort_model_free(run.model);
    return code;
}
