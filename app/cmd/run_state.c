/* SPDX-License-Identifier: Apache-2.0
 * What the tasks of `run` share. */
#include "cmd/run_state.h"
#include "cli/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Texts that the session has truncated since the last call. */
static uint64_t count_cuts(run_state *run) {
    retort_session_info session = {.size = sizeof session};
    retort_session_describe(run->session, &session);
    uint64_t more = session.truncated - run->cuts;
    run->cuts = session.truncated;
    return more;
}

cli_code run_note_cuts(run_state *run, const retort_text *texts, size_t n) {
    retort_tokenize_options options = RETORT_TOKENIZE_OPTIONS;
    retort_tokens tokens = {0};
    retort_error err;
    cli_code code = CLI_DONE;
    bool some = count_cuts(run) > 0;
    options.max_length = run->info.max_length + 1;
    options.special_as_text = cli_has(run->args, CLI_SPECIAL_AS_TEXT);
    options.prompt_name = run->info.default_prompt;
    if (cli_has(run->args, CLI_PROMPT_NAME)) options.prompt_name = cli_text(run->args, CLI_PROMPT_NAME);
    for (size_t i = 0; code == CLI_DONE && i < n; i++) {
        run->cut[i] = some;
        if (some && n > 1) { /* the session does not say which */
            if (retort_tokenize(run->model, &texts[i], &options, &tokens, &err) != RETORT_OK)
                code = cli_fail(&err, false);
            run->cut[i] = tokens.count > (size_t)run->info.max_length;
        }
        run->cut_count += run->cut[i];
    }
    retort_tokens_free(&tokens);
    return code;
}

void run_begin_cells(const run_state *run, bool cut) {
    putc(cut ? RUN_CUT : RUN_WHOLE, run->out);
}

void run_cell(const run_state *run, const char *text, size_t length) {
    fwrite(text, 1, length, run->out);
    putc('\0', run->out);
}

void run_cell_real(const run_state *run, double value) {
    fprintf(run->out, "%.6f%c", value, '\0');
}

cli_code run_cell_json(const run_state *run, json_t *json) {
    char *text =
        json != NULL ? json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(json);
    if (text == NULL) return cli_no_memory();
    run_cell(run, text, strlen(text));
    free(text);
    return CLI_DONE;
}

/* Whether another text may well have an answer: of a table, such a row is put aside. */
static bool is_of_text(retort_status status) {
    return status == RETORT_NONFINITE || status == RETORT_LIMIT || status == RETORT_FORMAT ||
           status == RETORT_ARGUMENT;
}

cli_code run_refuse(run_state *run, const char *why) {
    putc(RUN_REFUSED, run->out);
    run_cell(run, why, strlen(why));
    run->refused = true;
    return CLI_BAD_DATA;
}

cli_code run_fail(run_state *run, const retort_error *err, size_t n, bool reading) {
    count_cuts(run); /* its texts are run again, or have no answer to report this with */
    run->one_by_one = n > 1;
    if (n > 1) return CLI_FAILED;
    if (run->cells && is_of_text(err->status))
        return run_refuse(run, err->status == RETORT_NONFINITE ? retort_status_text(err->status) : err->text);
    if (err->status != RETORT_NONFINITE) return cli_fail(err, reading);
    cli_error("text %zu: %s", run->first + 1, retort_status_text(err->status));
    return CLI_FAILED;
}

int run_compare_scored(const void *left, const void *right) {
    const run_scored *a = left, *b = right;
    if (a->score != b->score) return a->score < b->score ? 1 : -1;
    return a->index < b->index ? -1 : 1;
}

json_t *run_json_reals(const float *values, size_t n) {
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(array, cli_json_real(values[i]));
    return array;
}

void run_print_heading(const run_state *run, const retort_text *text) {
    enum { MOST = 200 };
    int length = text->length < MOST ? (int)text->length : MOST;
    while (length < (int)text->length && length > 0 && (text->text[length] & 0xC0) == 0x80) length--;
    fputs(cli_colours(stdout) ? "\033[1m" : "", run->out);
    cli_put(run->out, text->text, (size_t)length);
    fputs(cli_colours(stdout) ? "\033[0m\n" : "\n", run->out);
}
