/* SPDX-License-Identifier: Apache-2.0
 * Completion scripts for bash, zsh and fish, from the table. */
#include "cli/cli.h"

#include <string.h>

static void print_commands(const char *separator) {
    for (size_t i = 0; i < cli_command_count; i++) {
        if (!cli_commands[i].hidden) printf("%s%s", i > 0 ? separator : "", cli_commands[i].name);
    }
}

static void print_options(const cli_command *command) {
    for (int id = 0; id < CLI_OPTION_COUNT; id++) {
        if (cli_takes(command, id)) printf(" --%s", cli_options[id].name);
    }
}

/* "a|b" as "a b" */
static void print_choices(const char *choices) {
    for (; *choices != '\0'; choices++) putchar(*choices == '|' ? ' ' : *choices);
}

static void print_bash(void) {
    fputs("_retort() {\n"
          "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
          "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
          "        COMPREPLY=($(compgen -W '",
          stdout);
    print_commands(" ");
    fputs("' -- \"$word\"))\n        return\n    fi\n    case $before in\n", stdout);
    for (int id = 0; id < CLI_OPTION_COUNT; id++) {
        if (cli_options[id].kind != CLI_KIND_CHOICE) continue;
        printf("    --%s) COMPREPLY=($(compgen -W '", cli_options[id].name);
        print_choices(cli_options[id].value);
        fputs("' -- \"$word\")); return ;;\n", stdout);
    }
    fputs("    esac\n    if [[ $word == -* ]]; then\n        case ${COMP_WORDS[1]} in\n", stdout);
    for (size_t i = 0; i < cli_command_count; i++) {
        printf("        %s) COMPREPLY=($(compgen -W '", cli_commands[i].name);
        print_options(&cli_commands[i]);
        fputs("' -- \"$word\")) ;;\n", stdout);
    }
    fputs("        esac\n        return\n    fi\n"
          "    if [ \"${COMP_WORDS[1]}\" = help ]; then\n        COMPREPLY=($(compgen -W '",
          stdout);
    print_commands(" ");
    fputs("' -- \"$word\"))\n        return\n    fi\n"
          "    compopt -o filenames\n    COMPREPLY=($(compgen -f -- \"$word\"))\n}\n"
          "complete -F _retort retort\n",
          stdout);
}

/* Text within single quotes of a shell; zsh also reads [ ] and : in its specifications. */
static void print_quoted(const char *text, const char *special) {
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            fputs("'\\''", stdout);
        } else {
            printf("%s%c", strchr(special, *text) != NULL ? "\\" : "", *text);
        }
    }
}

static void print_zsh_option(const cli_option *option) {
    static const char special[] = "[]:\\";
    printf("            '--%s[", option->name);
    print_quoted(option->help, special);
    putchar(']');
    if (option->kind == CLI_KIND_CHOICE) {
        printf(":%s:(", option->name);
        print_choices(option->value);
        putchar(')');
    } else if (option->kind != CLI_KIND_FLAG) {
        printf(":%s:%s", option->name, option->kind == CLI_KIND_TEXT ? "_files" : "");
    }
    fputs("' \\\n", stdout);
}

static void print_zsh(void) {
    fputs("#compdef retort\n_retort() {\n    local -a commands\n    commands=(\n", stdout);
    for (size_t i = 0; i < cli_command_count; i++) {
        if (cli_commands[i].hidden) continue;
        printf("        '%s:", cli_commands[i].name);
        print_quoted(cli_commands[i].summary, ":\\");
        fputs("'\n", stdout);
    }
    fputs(
        "    )\n    if (( CURRENT == 2 )); then\n        _describe command commands\n        return\n    fi\n"
        "    local verb=$words[2]\n    shift words\n    (( CURRENT-- ))\n    case $verb in\n",
        stdout);
    for (size_t i = 0; i < cli_command_count; i++) {
        printf("        %s)\n            _arguments \\\n", cli_commands[i].name);
        for (int id = 0; id < CLI_OPTION_COUNT; id++) {
            if (cli_takes(&cli_commands[i], id)) print_zsh_option(&cli_options[id]);
        }
        fputs("            '*:file:_files' ;;\n", stdout);
    }
    fputs("    esac\n}\n_retort \"$@\"\n", stdout);
}

static void print_fish_option(const char *command, const cli_option *option) {
    printf("complete -c retort -n '__fish_seen_subcommand_from %s' -l %s", command, option->name);
    if (option->letter != 0) printf(" -s %c", option->letter);
    fputs(" -d '", stdout);
    print_quoted(option->help, "\\");
    putchar('\'');
    if (option->kind == CLI_KIND_CHOICE) {
        fputs(" -x -a '", stdout);
        print_choices(option->value);
        putchar('\'');
    } else if (option->kind != CLI_KIND_FLAG) {
        fputs(option->kind == CLI_KIND_TEXT ? " -r" : " -x", stdout);
    }
    putchar('\n');
}

static void print_fish(void) {
    for (size_t i = 0; i < cli_command_count; i++) {
        if (!cli_commands[i].hidden) {
            printf("complete -c retort -n __fish_use_subcommand -f -a %s -d '", cli_commands[i].name);
            print_quoted(cli_commands[i].summary, "\\");
            fputs("'\n", stdout);
        }
        for (int id = 0; id < CLI_OPTION_COUNT; id++) {
            if (cli_takes(&cli_commands[i], id)) print_fish_option(cli_commands[i].name, &cli_options[id]);
        }
    }
}

/* One row a shell. */
static const struct {
    const char *name;
    void (*print)(void);
} shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};

cli_code cmd_completions(const cli_args *args) {
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        if (strcmp(shells[i].name, args->words[0]) != 0) continue;
        shells[i].print();
        return CLI_DONE;
    }
    cli_error("completions: '%s' is none of bash, zsh, fish", args->words[0]);
    return CLI_USAGE;
}
