/* SPDX-License-Identifier: Apache-2.0
 * Help on the terminal, and the manual page, both from the table. */
#include "cli/cli.h"

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

/* Words of `text` from column `indent` on, wrapped at 96. */
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

static void print_command_help(const cli_command *command, FILE *to) {
    fprintf(to, "usage: retort %s%s%s [options]\n\n%s\n", command->name, *command->words != '\0' ? " " : "",
            command->words, command->summary);
    if (command->details != NULL) {
        fputc('\n', to);
        print_wrapped(to, command->details, 0);
    }
    fputs("\noptions:\n", to);
    for (int id = 0; id < CLI_OPTION_COUNT; id++) {
        if (cli_takes(command, id)) print_option(to, &cli_options[id]);
    }
    fputs("\nexamples:\n", to);
    print_examples(to, command->examples, "  ");
}

void cli_print_help(const cli_command *command, FILE *to) {
    if (command != NULL) {
        print_command_help(command, to);
        return;
    }
    fputs("usage: retort COMMAND [arguments] [options]\n\n"
          "Fine-tuned DistilBERT, BERT and MiniLM encoders, served from a CPU.\n\ncommands:\n",
          to);
    for (size_t i = 0; i < cli_command_count; i++) {
        if (!cli_commands[i].hidden)
            fprintf(to, "  %-10s %s\n", cli_commands[i].name, cli_commands[i].summary);
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

/* Text for troff: a dash is a minus, nothing starts a request. */
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

static void print_roff_command(const cli_command *command) {
    char line[256];
    snprintf(line, sizeof line, "%s %s", command->name, command->words);
    print_roff_line(".SS ", line);
    print_roff_line("", command->summary);
    if (command->details != NULL) print_roff_line(".PP\n", command->details);
    for (int id = 0; id < CLI_OPTION_COUNT; id++) {
        const cli_option *option = &cli_options[id];
        if (!cli_takes(command, id) || id == CLI_JSON || id == CLI_HELP) continue;
        option_left(line, sizeof line, option);
        print_roff_line(".TP\n.B ", line);
        print_roff_line("", option->help);
        if (option->fallback != NULL) {
            snprintf(line, sizeof line, "(default: %s)", option->fallback);
            print_roff_line("", line);
        }
    }
    fputs(".PP\n.EX\n", stdout);
    for (const char *at = command->examples; *at != '\0';) {
        size_t length = strcspn(at, "\n");
        snprintf(line, sizeof line, "%.*s", (int)length, at);
        print_roff_line("", line);
        at += length + (at[length] == '\n');
    }
    fputs(".EE\n", stdout);
}

void cli_print_man(void) {
    printf(".TH RETORT 1 \"\" \"retort %d.%d.%d\" \"User Commands\"\n", RETORT_VERSION_MAJOR,
           RETORT_VERSION_MINOR, RETORT_VERSION_PATCH);
    fputs(
        ".SH NAME\nretort \\- encoders of the BERT kind, fast and small on CPUs\n"
        ".SH SYNOPSIS\n.B retort\n.I COMMAND\n[arguments] [options]\n"
        ".SH DESCRIPTION\nTurns fine\\-tuned DistilBERT, BERT and MiniLM checkpoints into one optimised "
        "file, "
        "and runs it.\nData go to standard output, progress and messages to standard error.\nEvery command "
        "takes\n.B \\-\\-json\n(one object a line) and\n.BR \\-\\-help .\nA MODEL is a file that\n.B retort "
        "import\nwrote; a checkpoint folder is imported on the fly; a "
        "bare name, as "
        "\n.BR " CLI_DEFAULT_MODEL ",\nis a model that comes with retort.\n.SH COMMANDS\n",
        stdout);
    for (size_t i = 0; i < cli_command_count; i++) print_roff_command(&cli_commands[i]);
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

static json_t *command_json(const cli_command *command) {
    json_t *options = json_array();
    for (int id = 0; id < CLI_OPTION_COUNT; id++) {
        const cli_option *option = &cli_options[id];
        if (!cli_takes(command, id)) continue;
        json_array_append_new(options,
                              json_pack("{s:s, s:s, s:s?, s:s}", "name", option->name, "value", option->value,
                                        "default", option->fallback, "help", option->help));
    }
    return json_pack("{s:s, s:s, s:s, s:o}", "command", command->name, "arguments", command->words, "summary",
                     command->summary, "options", options);
}

cli_code cmd_help(const cli_args *args) {
    const char *name = args->word_count > 0 ? args->words[0] : NULL;
    const cli_command *command = name != NULL ? cli_find_command(name) : NULL;
    if (name != NULL && command == NULL) {
        cli_error("help: unknown command '%s'; 'retort help' lists them", name);
        return CLI_USAGE;
    }
    if (cli_has(args, CLI_MAN)) {
        cli_print_man();
    } else if (!cli_has(args, CLI_JSON)) {
        cli_print_help(command, stdout);
    } else {
        for (size_t i = 0; i < cli_command_count; i++) {
            bool wanted = command != NULL ? command == &cli_commands[i] : !cli_commands[i].hidden;
            if (wanted && cli_print_json(command_json(&cli_commands[i])) != CLI_DONE) return CLI_FAILED;
        }
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
