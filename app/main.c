/* SPDX-License-Identifier: Apache-2.0
 * From the command line to a verb. */
#include "cli/file.h"
#include "cli/help.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cmd/verbs.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const char *verb_name(const void *user, size_t index) {
    const cli_verbs *table = user;
    return index < table->count ? table->rows[index].name : NULL;
}

/* The usual spellings of two verbs. */
static const char *verb_of(const char *word) {
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) return "help";
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) return "version";
    return word;
}

static cli_code dispatch(int argc, char **argv) {
    if (argc < 2) {
        cli_print_overview(&cmd_verbs, stderr);
        return CLI_USAGE;
    }
    const cli_verb *verb = cli_find_verb(&cmd_verbs, verb_of(argv[1]));
    cli_args args;
    if (verb == NULL) {
        char hint[128];
        cli_error("unknown command '%s'%s; 'retort help' lists them", argv[1],
                  cli_suggest(hint, sizeof hint, argv[1], verb_name, &cmd_verbs));
        return CLI_USAGE;
    }
    cli_code code = cli_parse(&args, &cmd_verbs, verb, argc - 2, argv + 2);
    if (code != CLI_DONE) return code;
    if (cli_has(&args, CLI_HELP)) {
        cli_print_help(verb, stdout);
        return CLI_DONE;
    }
    code = cli_keep_inputs(&args);
    return code == CLI_DONE ? verb->run(&args) : code;
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is then a failed write, which ends with exit code 1 */
    signal(SIGXFSZ, SIG_IGN); /* and so is a file that exceeds the process's size limit */
    cli_code code = dispatch(argc, argv), flushed = cli_flush();
    return code != CLI_DONE ? (int)code : (int)flushed;
}
