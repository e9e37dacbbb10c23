/* SPDX-License-Identifier: Apache-2.0
 * Texts from the command line or from lines of stdin. */
#include "cli.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 16, LONGEST_LINE = 64 << 20 };

void cli_input_open(cli_input *input, const cli_args *args, int first) {
    *input = (cli_input){.words = args->words + first, .word_count = (size_t)(args->word_count - first)};
    if (input->word_count == 0 && isatty(STDIN_FILENO)) {
        fputs("reading texts from the terminal, one a line; Ctrl-D ends\n", stderr);
    }
}

void cli_input_close(cli_input *input) {
    free(input->buffer);
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

/* Cuts the next line off; the last one may lack its line feed. */
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

static size_t take_words(cli_input *input, retort_text *texts, size_t most) {
    size_t n = 0;
    for (; n < most && input->next < input->word_count; n++) {
        const char *word = input->words[input->next++];
        texts[n] = (retort_text){.text = word, .length = strlen(word)};
    }
    input->taken += n;
    return n;
}

cli_code cli_input_take(cli_input *input, retort_text *lines, size_t most, size_t *n) {
    if (input->word_count > 0) {
        *n = take_words(input, lines, most);
        return CLI_DONE;
    }
    while (!input->end && input->lines < most &&
           (input->lines == 0 || (input->length - input->start < LONGEST_LINE && is_ready()))) {
        cli_code code = read_more(input);
        if (code != CLI_DONE) return code;
    }
    *n = 0;
    while (*n < most && (input->lines > 0 || (input->end && input->start < input->length))) {
        lines[(*n)++] = take_line(input);
    }
    input->taken += *n;
    return CLI_DONE;
}

retort_text cli_split_pair(const retort_text *line) {
    const char *tab = memchr(line->text, '\t', line->length);
    if (tab == NULL) return *line;
    size_t length = (size_t)(tab - line->text);
    return (retort_text){line->text, length, tab + 1, line->length - length - 1};
}
