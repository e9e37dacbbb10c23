/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/tokenize.h"
#include "cli/input.h"
#include "cli/model.h"
#include "cli/text.h"
#include "retort.h"

#include <stdio.h>

/* Writes JSON without building a tree: a text may have millions of ids. */
static void print_json(const retort_tokens *tokens) {
    fputs("{\"ids\": [", stdout);
    for (size_t i = 0; i < tokens->count; i++) printf("%s%d", i > 0 ? ", " : "", tokens->ids[i]);
    fputs("], \"offsets\": [", stdout);
    for (size_t i = 0; i < tokens->count; i++) {
        printf("%s[%u, %u]", i > 0 ? ", " : "", tokens->offsets[2 * i], tokens->offsets[2 * i + 1]);
    }
    fputs("]}\n", stdout);
}

static void print_pieces(const retort_model *model, const retort_tokens *tokens) {
    for (size_t i = 0; i < tokens->count; i++) {
        const char *piece = retort_model_piece(model, tokens->ids[i]);
        if (i > 0) putchar(' ');
        cli_put_column(stdout, 0, piece != NULL ? piece : "?");
        printf(":%d", tokens->ids[i]);
    }
    putchar('\n');
}

static cli_code tokenize_lines(const cli_args *args, const retort_model *model, cli_input *input,
                               retort_tokens *tokens) {
    enum { MOST = 64 }; /* lines between two flushes */
    retort_text lines[MOST];
    retort_error err;
    retort_tokenize_options options = RETORT_TOKENIZE_OPTIONS;
    options.max_length = cli_int(args, CLI_MAX_LENGTH, -1);
    options.special_as_text = cli_has(args, CLI_SPECIAL_AS_TEXT);
    for (size_t n;;) {
        cli_code code = cli_input_take(input, lines, MOST, &n);
        if (code != CLI_DONE || n == 0) return code;
        for (size_t i = 0; i < n; i++) {
            retort_text text = lines[i];
            code = cli_split_pair(input, args, &text, input->taken - n + i + 1, false);
            if (code != CLI_DONE) return code;
            if (retort_tokenize(model, &text, &options, tokens, &err) != RETORT_OK)
                return cli_fail(&err, true);
            if (cli_has(args, CLI_JSON)) {
                print_json(tokens);
            } else {
                print_pieces(model, tokens);
            }
        }
        code = cli_flush();
        if (code != CLI_DONE) return code;
    }
}

cli_code cmd_tokenize(const cli_args *args) {
    retort_model *model = NULL;
    cli_input input = {0};
    retort_tokens tokens = {0};
    cli_code code = cli_open_model(&model, args, args->words[0], 3);
    if (code == CLI_DONE) {
        code = cli_input_open(&input, args, 1, model);
        if (code == CLI_DONE) code = tokenize_lines(args, model, &input, &tokens);
        cli_input_close(&input);
    }
    retort_tokens_free(&tokens);
    retort_model_free(model);
    return code;
}
