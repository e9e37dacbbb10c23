/* SPDX-License-Identifier: Apache-2.0
 * Help on the terminal, and the manual page. */
#include "cli/help.h"
#include "cli/shipped.h"
#include "retort.h"

#include <jansson.h>
#include <string.h>

static const char *const exit_codes[] = {
    [CLI_DONE] = "done",
    [CLI_FAILED] = "failed",
    [CLI_USAGE] = "wrong usage",
    [CLI_BAD_DATA] = "bad model or data",
    [CLI_BELOW_FLOOR] = "accuracy floor not met",
    [CLI_NO_PROVIDER] = "provider missing",
};

/* "-o, --output FILE" */
static void option_left(char *out, size_t size, const cli_option *option) {
    char letter[8] = "";
    if (option->letter != 0) snprintf(letter, sizeof letter, "-%c, ", option->letter);
    snprintf(out, size, "%s--%s%s%s", letter, option->name, *option->value != '\0' ? " " : "", option->value);
}

/* Prints `text` from column `indent` on, wrapped at column 96. */
static void print_wrapped(FILE *to, const char *text, size_t indent) {
    size_t column = indent;
    while (*text != '\0') {
        size_t length = strcspn(text, " ");
        if (column + length > 96 && column > indent) {
            fprintf(to, "\n%*s", (int)indent, "");
            column = indent;
        }
        fprintf(to, "%.*s", (int)length, text);
        column += length;
        text += length;
        if (*text == ' ') {
            text++;
            if (column + 1 + strcspn(text, " ") <= 96) fputc(' ', to);
            column++;
        }
    }
    fputc('\n', to);
}

static void print_option(FILE *to, const cli_option *option) {
    enum { COLUMN = 34 };
    char left[96], help[256];
    option_left(left, sizeof left, option);
    snprintf(help, sizeof help, "%s%s%s%s", option->help, option->fallback != NULL ? " (default: " : "",
             option->fallback != NULL ? option->fallback : "", option->fallback != NULL ? ")" : "");
    fprintf(to, "  %-*s", COLUMN - 3, left);
    if (strlen(left) > COLUMN - 3) fprintf(to, "\n%*s", COLUMN - 1, "");
    fputc(' ', to);
    print_wrapped(to, help, COLUMN);
}

static void print_examples(FILE *to, const char *lines, const char *before) {
    while (*lines != '\0') {
        size_t length = strcspn(lines, "\n");
        fprintf(to, "%s%.*s\n", before, (int)length, lines);
        lines += length + (lines[length] == '\n');
    }
}

void cli_print_help(const cli_verb *verb, FILE *to) {
    fprintf(to, "usage: retort %s%s%s [options]\n\n%s\n", verb->name, *verb->usage != '\0' ? " " : "",
            verb->usage, verb->summary);
    if (verb->details != NULL) {
        fputc('\n', to);
        print_wrapped(to, verb->details, 0);
    }
    fputs("\noptions:\n", to);
    for (int id = 0; id < CLI_OPTION_COUNT; id++) {
        if (cli_takes(verb, id)) print_option(to, &cli_options[id]);
    }
    fputs("\nexamples:\n", to);
    print_examples(to, verb->examples, "  ");
}

void cli_print_overview(const cli_verbs *verbs, FILE *to) {
    fputs("usage: retort COMMAND [arguments] [options]\n\n"
          "Encoders from BERT to ModernBERT and DeBERTa, trained, made small and served on a CPU.\n\n"
          "commands:\n",
          to);
    for (size_t i = 0; i < verbs->count; i++) {
        const cli_verb *verb = &verbs->rows[i];
        if (!verb->hidden) fprintf(to, "  %-10s %s\n", verb->name, verb->summary);
    }
    fputs(
        "\nA MODEL is a file that 'retort import' wrote, a checkpoint folder, or a name: '" CLI_DEFAULT_MODEL
        "' comes with retort.\n'retort COMMAND --help' prints a command's options and examples.\nexit codes:",
        to);
    for (int code = CLI_DONE; code <= CLI_NO_PROVIDER; code++) {
        fprintf(to, "%s %d %s", code > 0 ? "," : "", code, exit_codes[code]);
    }
    fputs("\n", to);
}

/* Text for troff: dashes become minus signs, and no line starts a request. */
static void print_roff(const char *text) {
    if (*text == '.' || *text == '\'') fputs("\\&", stdout);
    for (; *text != '\0'; text++) {
        if (*text == '\\') {
            fputs("\\e", stdout);
        } else if (*text == '-') {
            fputs("\\-", stdout);
        } else {
            fputc(*text, stdout);
        }
    }
}

static void print_roff_line(const char *before, const char *text) {
    fputs(before, stdout);
    print_roff(text);
    fputc('\n', stdout);
}

static void print_roff_verb(const cli_verb *verb) {
    char line[256];
    snprintf(line, sizeof line, "%s %s", verb->name, verb->usage);
    print_roff_line(".SS ", line);
    print_roff_line("", verb->summary);
    if (verb->details != NULL) print_roff_line(".PP\n", verb->details);
    for (int id = 0; id < CLI_OPTION_COUNT; id++) {
        const cli_option *option = &cli_options[id];
        if (!cli_takes(verb, id) || id == CLI_JSON || id == CLI_HELP) continue;
        option_left(line, sizeof line, option);
        print_roff_line(".TP\n.B ", line);
        print_roff_line("", option->help);
        if (option->fallback != NULL) {
            snprintf(line, sizeof line, "(default: %s)", option->fallback);
            print_roff_line("", line);
        }
    }
    fputs(".PP\n.EX\n", stdout);
    for (const char *at = verb->examples; *at != '\0';) {
        size_t length = strcspn(at, "\n");
        snprintf(line, sizeof line, "%.*s", (int)length, at);
        print_roff_line("", line);
        at += length + (at[length] == '\n');
    }
    fputs(".EE\n", stdout);
}

static void print_man(const cli_verbs *verbs) {
    printf(".TH RETORT 1 \"\" \"retort %d.%d.%d\" \"User Commands\"\n", RETORT_VERSION_MAJOR,
           RETORT_VERSION_MINOR, RETORT_VERSION_PATCH);
    fputs(".SH NAME\nretort \\- encoders of the BERT kind, fast and small on CPUs\n"
          ".SH SYNOPSIS\n.B retort\n.I COMMAND\n[arguments] [options]\n"
          ".SH DESCRIPTION\nTurns checkpoints of encoders, from BERT to ModernBERT and DeBERTa, into one "
          "optimised file, "
          "and runs it.\nData go to standard output, progress and messages to standard error.\nEvery command "
          "takes\n.B \\-\\-json\n(one object per line) and\n.BR \\-\\-help .\nA MODEL is a file that\n.B "
          "retort "
          "import\nwrote; a checkpoint folder is imported on the fly; a "
          "bare name, as "
          "\n.BR " CLI_DEFAULT_MODEL ",\nis a model that comes with retort.\n.SH COMMANDS\n",
          stdout);
    for (size_t i = 0; i < verbs->count; i++) print_roff_verb(&verbs->rows[i]);
    fputs(".SH EXIT STATUS\n", stdout);
    for (int code = CLI_DONE; code <= CLI_NO_PROVIDER; code++) {
        printf(".TP\n.B %d\n%s\n", code, exit_codes[code]);
    }
    fputs(".SH ENVIRONMENT\n.TP\n.B RETORT_ISA\nuse no instructions beyond this tier, as\n.B \\-\\-isa\n"
          ".TP\n.B RETORT_MODELS\nfolders, with colons between them, where models are looked for by name "
          "first\n"
          ".TP\n.B NO_COLOR\nprint no colours\n",
          stdout);
}

static json_t *verb_json(const cli_verb *verb) {
    json_t *options = json_array();
    for (int id = 0; id < CLI_OPTION_COUNT; id++) {
        const cli_option *option = &cli_options[id];
        if (!cli_takes(verb, id)) continue;
        json_array_append_new(options,
                              json_pack("{s:s, s:s, s:s?, s:s}", "name", option->name, "value", option->value,
                                        "default", option->fallback, "help", option->help));
    }
    return json_pack("{s:s, s:s, s:s, s:o}", "command", verb->name, "arguments", verb->usage, "summary",
                     verb->summary, "options", options);
}

/* One verb, or with NULL all that are not hidden. */
static cli_code print_json(const cli_verbs *verbs, const cli_verb *verb) {
    for (size_t i = 0; i < verbs->count; i++) {
        const cli_verb *row = &verbs->rows[i];
        bool wanted = verb != NULL ? verb == row : !row->hidden;
        if (wanted && cli_print_json(verb_json(row)) != CLI_DONE) return CLI_FAILED;
    }
    return CLI_DONE;
}

cli_code cmd_help(const cli_args *args) {
    const char *name = args->word_count > 0 ? args->words[0] : NULL;
    const cli_verb *verb = name != NULL ? cli_find_verb(args->verbs, name) : NULL;
    if (name != NULL && verb == NULL) {
        cli_error("help: unknown command '%s'; 'retort help' lists them", name);
        return CLI_USAGE;
    }
    if (cli_has(args, CLI_MAN)) {
        print_man(args->verbs);
    } else if (cli_has(args, CLI_JSON)) {
        return print_json(args->verbs, verb);
    } else if (verb != NULL) {
        cli_print_help(verb, stdout);
    } else {
        cli_print_overview(args->verbs, stdout);
    }
    return CLI_DONE;
}

cli_code cmd_version(const cli_args *args) {
    uint32_t version = retort_version();
    char text[32];
    snprintf(text, sizeof text, "%u.%u.%u", version >> 16, version >> 8 & 0xFF, version & 0xFF);
    if (cli_has(args, CLI_JSON)) return cli_print_json(json_pack("{s:s}", "version", text));
    printf("retort %s\n", text);
    return CLI_DONE;
}
