/* SPDX-License-Identifier: Apache-2.0
 * serve: models over HTTP. */
#include "cmd/serve.h"
#include "cli/model.h"
#include "cli/shipped.h"
#include "retort.h"
#include "serve/base/memory.h"
#include "serve/base/options.h"
#include "serve/http/serve.h"

#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_MODELS = 64, LONGEST_NAME = 64 };

typedef struct served {
    srv_model_spec specs[MOST_MODELS];
    char names[MOST_MODELS][LONGEST_NAME];
    char *paths[MOST_MODELS]; /* owned */
    size_t count;
} served;

/* Writes a whole line to standard error. A reader that has stopped must not block the server: it misses
 * the line. */
static void put_line(const char *start, const char *format, va_list args) {
    enum { LONGEST = 1000, PATIENCE_MS = 200 };
    char text[LONGEST], line[PIPE_BUF];
    struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
    vsnprintf(text, sizeof text, format, args);
    size_t length = (size_t)snprintf(line, sizeof line, "%s", start);
    retort_escape(line + length, sizeof line - length - 1, text, strlen(text));
    length = strlen(line);
    line[length++] = '\n';
    bool written = poll(&out, 1, PATIENCE_MS) > 0 && write(STDERR_FILENO, line, length) >= 0;
    (void)written; /* nobody could be told */
}

static void say(const char *format, ...) {
    va_list args;
    va_start(args, format);
    put_line("retort: ", format, args);
    va_end(args);
}

static void complain(const char *format, ...) {
    va_list args;
    va_start(args, format);
    put_line(cli_colours(stderr) ? "\033[1;31mretort:\033[0m " : "retort: ", format, args);
    va_end(args);
}

/* Names appear in paths, metrics and logs. */
static bool is_name(const char *name, size_t length) {
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && strchr("._-", c) == NULL) return false;
    }
    return length > 0 && length < LONGEST_NAME;
}

static cli_code add(served *s, const char *name, size_t length, const char *path) {
    if (!is_name(name, length)) {
        cli_error("'%.*s': a model name consists of up to %d letters, digits, '.', '_' and '-': set one with "
                  "--name N=FILE",
                  (int)length, name, LONGEST_NAME - 1);
        return CLI_USAGE;
    }
    if (s->count == MOST_MODELS) {
        cli_error("more than %d models", MOST_MODELS);
        return CLI_USAGE;
    }
    char *copy = s->names[s->count];
    memcpy(copy, name, length);
    copy[length] = '\0';
    for (size_t i = 0; i < s->count; i++) {
        if (strcmp(s->names[i], copy) != 0) continue;
        cli_error("two models have the name '%s': set another with --name N=FILE", copy);
        return CLI_USAGE;
    }
    cli_code code = cli_find_model(&s->paths[s->count], path);
    if (code != CLI_DONE) return code;
    s->specs[s->count] = (srv_model_spec){copy, s->paths[s->count]};
    s->count++;
    return CLI_DONE;
}

/* A model is named after its file, without ".retort". */
static cli_code add_path(served *s, char *path) {
    static const char ending[] = ".retort";
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') path[--length] = '\0';
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    length = strlen(name);
    size_t end = sizeof ending - 1;
    if (length > end && strcmp(name + length - end, ending) == 0) length -= end;
    return add(s, name, length, path);
}

static cli_code add_named(served *s, const cli_names *names) {
    cli_code code = CLI_DONE;
    for (size_t i = 0; code == CLI_DONE && i < names->count; i++) {
        const char *item = names->items[i], *equals = strchr(item, '=');
        if (equals == NULL || equals[1] == '\0') {
            cli_error("--name: expected N=FILE, found '%s'", item);
            return CLI_USAGE;
        }
        code = add(s, item, (size_t)(equals - item), equals + 1);
    }
    return code;
}

static size_t budget_of(const cli_args *args) {
    uint64_t given = cli_size(args, CLI_REQUEST_MEMORY);
    return given > 0 ? (size_t)given : srv_memory_default();
}

static srv_options options_of(const cli_args *args, const served *s, srv_memory *budget) {
    return (srv_options){
        .models = s->specs,
        .model_count = s->count,
        .host = cli_text(args, CLI_HOST),
        .port = cli_int(args, CLI_PORT, 0),
        .unix_path = cli_text(args, CLI_UNIX),
        .reuse_port = cli_has(args, CLI_REUSE_PORT),
        .batch_tokens = cli_int(args, CLI_MAX_BATCH_TOKENS, 0),
        .batch_texts = cli_int(args, CLI_MAX_BATCH_REQUESTS, 0),
        .queue_tokens = cli_int(args, CLI_MAX_QUEUE_TOKENS, 0),
        .jobs = cli_int(args, CLI_MAX_CONCURRENT_REQUESTS, 0),
        .items = cli_int(args, CLI_MAX_CLIENT_BATCH_SIZE, 0),
        .body = cli_int(args, CLI_PAYLOAD_LIMIT, 0),
        .connections = cli_int(args, CLI_MAX_CONNECTIONS, 0),
        .wait_us = cli_int(args, CLI_MAX_WAIT_US, 0),
        .queue_timeout_ms = cli_int(args, CLI_QUEUE_TIMEOUT_MS, 0),
        .overload_status = cli_int(args, CLI_OVERLOAD_STATUS, 0),
        .budget = budget,
        .cache = cli_int(args, CLI_CACHE, 0),
        .streams = cli_int(args, CLI_STREAMS, 0),
        .threads = cli_int(args, CLI_THREADS, 0),
        .http_threads = cli_int(args, CLI_HTTP_THREADS, 0),
        .read_timeout = cli_int(args, CLI_READ_TIMEOUT, 0),
        .idle_timeout = cli_int(args, CLI_IDLE_TIMEOUT, 0),
        .drain_delay = cli_int(args, CLI_DRAIN_DELAY, 0),
        .drain_timeout = cli_int(args, CLI_DRAIN_TIMEOUT, 0),
        .isa = cli_text(args, CLI_ISA),
        .provider = cli_text(args, CLI_PROVIDER),
        .unpack = cli_unpack(args),
        .keys_path = cli_text(args, CLI_API_KEYS),
        .origins = cli_text(args, CLI_CORS_ALLOW_ORIGIN),
        .access_path = cli_text(args, CLI_ACCESS_LOG),
        .memory = cli_size(args, CLI_MEMORY),
        .shadow = cli_share(args, CLI_SHADOW),
        .no_op = cli_has(args, CLI_NO_OP),
        .keep_special = cli_has(args, CLI_KEEP_SPECIAL),
        .refuse_long = strcmp(cli_text(args, CLI_AUTO_TRUNCATE), "false") == 0,
        .json = cli_has(args, CLI_JSON),
        .say = say,
        .error = complain,
    };
}

cli_code cmd_serve(const cli_args *args) {
    served s = {.count = 0};
    cli_names names;
    retort_error err = {0};
    cli_code code = cli_split_names(&names, args, CLI_NAME);
    for (int i = 0; code == CLI_DONE && i < args->word_count; i++) code = add_path(&s, args->words[i]);
    if (code == CLI_DONE) code = add_named(&s, &names);
    if (code == CLI_DONE && s.count == 0) {
        cli_error("serve: no model: give a file, or --name N=FILE");
        code = CLI_USAGE;
    }
    if (code == CLI_DONE) {
        srv_memory_tune();
        srv_memory budget = {.limit = budget_of(args)};
        srv_options options = options_of(args, &s, &budget);
        if (srv_serve(&options, &err) != RETORT_OK) code = cli_fail(&err, true);
    }
    for (size_t i = 0; i < s.count; i++) free(s.paths[i]);
    cli_names_free(&names);
    return code;
}
