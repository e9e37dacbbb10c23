/* SPDX-License-Identifier: Apache-2.0
 * What is printed to stdout and stderr, and the exit codes. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include "retort.h"

#include <jansson.h>
#include <stdio.h>

/* Exit codes. */
typedef enum cli_code {
    CLI_DONE = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_BAD_DATA = 3,    /* a bad model or bad data */
    CLI_BELOW_FLOOR = 4, /* eval --floor not met */
    CLI_NO_PROVIDER = 5
} cli_code;

/* Messages of the calling thread go there from now on; NULL: to stderr. */
void cli_messages_to(FILE *stream);
/* "retort: …" on stderr, escaped. */
void cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints the error and returns its exit code. `reading`: while reading a model or data. */
cli_code cli_fail(const retort_error *err, bool reading);
/* The same of what was to be made of a model: one that does not support it is a bad model for that. */
cli_code cli_fail_making(const retort_error *err);
static inline cli_code cli_no_memory(void) {
    cli_error("out of memory");
    return CLI_FAILED;
}
/* Whether colours may be used on this stream. */
bool cli_colours(FILE *stream);
/* Prints one line of JSON and takes the reference; NULL stands for a failed allocation. */
cli_code cli_put_json(FILE *to, json_t *json);
/* The same, to stdout. */
cli_code cli_print_json(json_t *json);
/* A JSON string, with malformed UTF-8 replaced by U+FFFD. */
json_t *cli_json_text(const char *text, size_t length);
/* NaN becomes null. */
json_t *cli_json_real(double value);
/* A retort_write_fn; user: a FILE. */
int cli_write_text(void *user, const char *text, size_t length);
/* Flushes stdout; CLI_FAILED if something could not be written. */
cli_code cli_flush(void);
/* "12.3 MB" */
const char *cli_bytes(char *out, size_t size, uint64_t bytes);
/* The `warning` of options: prints the text to stderr. */
void cli_warning(void *user, const char *text);

#endif
