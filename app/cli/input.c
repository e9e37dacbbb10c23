/* SPDX-License-Identifier: Apache-2.0
 * Texts from the command line, from --data, from lines of stdin or from the rows of a table. */
#include "cli/input.h"
#include "cli/model.h"
#include "cli/shipped.h"
#include "cli/tables.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 16, LONGEST_LINE = 64 << 20, LOOK_BYTES = 1 << 20 };

/* A word that names a file is rarely meant as a text. */
static cli_code ask_about_files(const cli_input *input, const cli_args *args) {
    struct stat info;
    retort_table_format format;
    for (size_t i = 0; i < input->word_count && cli_takes(args->verb, CLI_DATA); i++) {
        const char *word = input->words[i];
        if (stat(word, &info) != 0 || !S_ISREG(info.st_mode)) continue;
        if (cli_takes(args->verb, CLI_INPUT) && cli_table_of(word, &format)) {
            cli_error("'%s' is a table, not a text: answer its rows with retort %s %s --input %s", word,
                      args->verb->name, input->words > args->words ? args->words[0] : CLI_DEFAULT_MODEL,
                      word);
            return CLI_USAGE;
        }
        cli_say("warning: '%s' is read as a text; did you mean --data %s?", word, word);
    }
    return CLI_DONE;
}

/* Standard input is a table, as the shell's "<" opened it, and lines are expected. */
static cli_code ask_about_stdin(const cli_input *input, const cli_args *args) {
    char path[4096];
    struct stat info;
    retort_table_format format;
    bool lines = input->word_count == 0 && cli_takes(args->verb, CLI_INPUT) && !cli_has(args, CLI_PAIRS);
    if (!lines || fstat(STDIN_FILENO, &info) != 0 || !S_ISREG(info.st_mode)) return CLI_DONE;
    ssize_t n = readlink("/proc/self/fd/0", path, sizeof path - 1);
    if (n <= 0) return CLI_DONE;
    path[n] = '\0';
    if (!cli_table_of(path, &format)) return CLI_DONE;
    cli_error("standard input is the table '%s', and lines of text are expected: retort %s %s --input %s "
              "answers its rows",
              path, args->verb->name, input->words > args->words ? args->words[0] : CLI_DEFAULT_MODEL, path);
    return CLI_USAGE;
}

cli_code cli_input_open(cli_input *input, const cli_args *args, int first, const retort_model *model) {
    static const cli_option_id columns[] = {CLI_TEXT_COLUMN, CLI_TEXT_PAIR_COLUMN};
    *input = (cli_input){.words = args->words + first, .word_count = (size_t)(args->word_count - first)};
    if (cli_has(args, CLI_DATA)) {
        if (input->word_count == 0) return cli_open_data(&input->data, args, model, true);
        cli_error("give texts or --data, not both");
        return CLI_USAGE;
    }
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        if (!cli_has(args, columns[i])) continue;
        cli_error("--%s needs --data%s", cli_options[columns[i]].name,
                  cli_takes(args->verb, CLI_INPUT) ? " or --input" : "");
        return CLI_USAGE;
    }
    cli_code code = ask_about_files(input, args);
    if (code == CLI_DONE) code = ask_about_stdin(input, args);
    if (code != CLI_DONE) return code;
    if (input->word_count == 0 && isatty(STDIN_FILENO)) {
        fputs("reading texts from the terminal, one per line; Ctrl-D ends\n", stderr);
    }
    return CLI_DONE;
}

void cli_input_close(cli_input *input) {
    free(input->buffer);
    retort_dataset_free(input->data);
    *input = (cli_input){0};
}

static bool is_ready(void) {
    struct pollfd poll_in = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&poll_in, 1, 0) > 0;
}

static cli_code make_room(cli_input *input) {
    if (input->start > 0) {
        memmove(input->buffer, input->buffer + input->start, input->length - input->start);
        input->length -= input->start;
        input->start = 0;
    }
    if (input->lines == 0 && input->length >= LONGEST_LINE) {
        cli_error("standard input: line %zu is longer than %d MB", input->taken + 1, LONGEST_LINE >> 20);
        return CLI_BAD_DATA;
    }
    if (input->capacity - input->length >= READ_BYTES) return CLI_DONE;
    size_t capacity = 2 * input->capacity + READ_BYTES;
    char *grown = capacity > input->capacity ? realloc(input->buffer, capacity) : NULL;
    if (grown == NULL) return cli_no_memory();
    input->buffer = grown;
    input->capacity = capacity;
    return CLI_DONE;
}

/* One read(); sets `end` at the end of the input. */
static cli_code read_more(cli_input *input) {
    cli_code code = make_room(input);
    if (code != CLI_DONE) return code;
    ssize_t n = read(STDIN_FILENO, input->buffer + input->length, READ_BYTES);
    if (n < 0 && errno == EINTR) return CLI_DONE;
    if (n < 0) {
        cli_error("standard input: cannot read: %s", strerror(errno));
        return CLI_FAILED;
    }
    input->end = n == 0;
    for (ssize_t i = 0; i < n; i++) input->lines += input->buffer[input->length + (size_t)i] == '\n';
    input->length += (size_t)n;
    return CLI_DONE;
}

/* Takes the next line; the last one may lack its line feed. */
static retort_text take_line(cli_input *input) {
    retort_text line = {.text = input->buffer + input->start, .length = input->length - input->start};
    const char *end = memchr(line.text, '\n', line.length);
    if (end != NULL) {
        line.length = (size_t)(end - line.text);
        input->lines--;
    }
    input->start += line.length + (end != NULL);
    if (line.length > 0 && line.text[line.length - 1] == '\r') line.length--;
    return line;
}

static size_t take_data(cli_input *input, retort_text *texts, size_t max) {
    size_t n = 0;
    while (n < max && retort_dataset_text(input->data, input->taken + n, &texts[n]) == RETORT_OK) n++;
    input->taken += n;
    return n;
}

static cli_code take_row_texts(cli_input *input, retort_text *texts, size_t max, size_t *n) {
    cli_code code = cli_rows_look(input->rows, max, n);
    if (code == CLI_DONE) *n = cli_rows_take(input->rows, texts, max);
    input->taken += *n;
    return code;
}

static size_t take_words(cli_input *input, retort_text *texts, size_t max) {
    size_t n = 0;
    for (; n < max && input->next < input->word_count; n++) {
        const char *word = input->words[input->next++];
        texts[n] = (retort_text){.text = word, .length = strlen(word)};
    }
    input->taken += n;
    return n;
}

cli_code cli_input_take(cli_input *input, retort_text *lines, size_t max, size_t *n) {
    if (input->rows != NULL) return take_row_texts(input, lines, max, n);
    if (input->data != NULL) {
        *n = take_data(input, lines, max);
        return CLI_DONE;
    }
    if (input->word_count > 0) {
        *n = take_words(input, lines, max);
        return CLI_DONE;
    }
    while (!input->end && input->lines < max &&
           (input->lines == 0 || (input->length - input->start < LONGEST_LINE && is_ready()))) {
        cli_code code = read_more(input);
        if (code != CLI_DONE) return code;
    }
    *n = 0;
    while (*n < max && (input->lines > 0 || (input->end && input->start < input->length))) {
        lines[(*n)++] = take_line(input);
    }
    input->taken += *n;
    return CLI_DONE;
}

cli_code cli_input_look(cli_input *input, size_t most, size_t *n) {
    if (input->rows != NULL) return cli_rows_look(input->rows, most, n);
    bool lines = input->data == NULL && input->word_count == 0;
    cli_code code = CLI_DONE;
    while (lines && code == CLI_DONE && !input->end && input->lines < most &&
           (input->lines == 0 || input->length - input->start < LOOK_BYTES) && is_ready()) {
        code = read_more(input);
    }
    if (input->data != NULL)
        *n = retort_dataset_count(input->data) - input->taken;
    else if (!lines)
        *n = input->word_count - input->next;
    else
        *n = input->lines == 0 && input->end && input->start < input->length ? 1 : input->lines;
    return code;
}

cli_code cli_split_pair(const cli_input *input, const cli_args *args, retort_text *text, size_t number,
                        bool expected) {
    bool asked = cli_has(args, CLI_PAIRS);
    if (text->pair != NULL || input->rows != NULL || (!asked && !expected)) return CLI_DONE;
    const char *tab = memchr(text->text, '\t', text->length);
    if (tab == NULL && asked) {
        cli_error("text %zu has no tab: --pairs expects one between the two texts of a pair", number);
        return CLI_BAD_DATA;
    }
    if (tab == NULL) return CLI_DONE;
    size_t length = (size_t)(tab - text->text);
    *text = (retort_text){text->text, length, tab + 1, text->length - length - 1};
    return CLI_DONE;
}
