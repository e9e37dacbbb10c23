/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/text.h"
#include "cli/utf8.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Thread_local FILE *messages; /* NULL: stderr */

void cli_messages_to(FILE *stream) {
    messages = stream;
}

static void say(const char *before, const char *format, va_list args) {
    char text[4096];
    FILE *to = messages != NULL ? messages : stderr;
    if (messages == NULL) cli_progress_end();
    vsnprintf(text, sizeof text, format, args);
    fputs(before, to);
    cli_put_line(to, text);
}

void cli_error(const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(cli_colours(stderr) ? "\033[1;31mretort:\033[0m " : "retort: ", format, args);
    va_end(args);
}

void cli_say(const char *format, ...) {
    va_list args;
    va_start(args, format);
    say("retort: ", format, args);
    va_end(args);
}

void cli_warning(void *user, const char *text) {
    (void)user;
    cli_say("warning: %s", text);
}

cli_code cli_fail(const retort_error *err, bool reading) {
    cli_error("%s", err->text);
    switch (err->status) {
    case RETORT_PROVIDER:
        return CLI_NO_PROVIDER;
    case RETORT_FORMAT:
        return CLI_BAD_DATA;
    case RETORT_ARGUMENT:
        return reading ? CLI_BAD_DATA : CLI_USAGE;
    case RETORT_NOMEM:
    case RETORT_CANCELLED:
    case RETORT_NONFINITE:
        return CLI_FAILED;
    default:
        return reading ? CLI_BAD_DATA : CLI_FAILED;
    }
}

cli_code cli_fail_making(const retort_error *err) {
    return cli_fail(err, err->status == RETORT_UNSUPPORTED);
}

bool cli_colours(FILE *stream) {
    const char *off = getenv("NO_COLOR"), *term = getenv("TERM");
    bool dumb = term == NULL || strcmp(term, "dumb") == 0;
    return (off == NULL || *off == '\0') && !dumb && isatty(fileno(stream));
}

cli_code cli_put_json(FILE *to, json_t *json) {
    char *text = json != NULL ? json_dumps(json, JSON_REAL_PRECISION(9)) : NULL;
    json_decref(json);
    if (text == NULL) return cli_no_memory();
    cli_put_line(to, text); /* escapes only occur in strings, and JSON writes them the same way */
    free(text);
    return CLI_DONE;
}

cli_code cli_print_json(json_t *json) {
    return cli_put_json(stdout, json);
}

json_t *cli_json_text(const char *text, size_t length) {
    json_t *json = json_stringn(text, length);
    if (json != NULL) return json;
    char *clean = length < SIZE_MAX / 3 ? malloc(3 * length + 1) : NULL;
    size_t n = 0;
    for (size_t i = 0, step; clean != NULL && i < length; i += step) {
        step = utf8_length((const unsigned char *)text + i, length - i);
        memcpy(clean + n, step > 0 ? text + i : "\xef\xbf\xbd", step > 0 ? step : 3);
        n += step > 0 ? step : 3;
        if (step == 0) step = 1;
    }
    if (clean != NULL) json = json_stringn(clean, n);
    free(clean);
    return json;
}

json_t *cli_json_real(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

cli_code cli_flush(void) {
    static bool reported; /* the stream stays failed */
    bool failed = ferror(stdout) != 0;
    errno = 0; /* that of an earlier failure is lost */
    failed = fflush(stdout) != 0 || failed;
    if (!failed) return CLI_DONE;
    if (!reported && errno != EPIPE)
        cli_error("standard output: cannot write%s%s", errno != 0 ? ": " : "",
                  errno != 0 ? strerror(errno) : "");
    reported = true;
    return CLI_FAILED;
}

const char *cli_bytes(char *out, size_t size, uint64_t bytes) {
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1000 && unit < 4; unit++) value /= 1000;
    snprintf(out, size, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return out;
}

int cli_write_text(void *user, const char *text, size_t length) {
    return fwrite(text, 1, length, user) != length;
}
