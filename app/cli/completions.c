/* SPDX-License-Identifier: Apache-2.0
 * Completion scripts for bash, zsh and fish, from the rows of the verbs. */
#include "cli/completions.h"

#include <stdio.h>
#include <string.h>

static bool takes_file(const cli_option *option) {
    return option->kind == CLI_KIND_TEXT || option->kind == CLI_KIND_LIST;
}

static void print_verbs(const cli_verbs *verbs, const char *separator) {
    for (size_t i = 0; i < verbs->count; i++) {
        if (!verbs->rows[i].hidden) printf("%s%s", i > 0 ? separator : "", verbs->rows[i].name);
    }
}

static void print_options(const cli_verb *verb) {
    for (int id = 0; id < CLI_OPTION_COUNT; id++) {
        if (cli_takes(verb, id)) printf(" --%s", cli_options[id].name);
    }
}

/* "a|b" as "a b" */
static void print_choices(const char *choices) {
    for (; *choices != '\0'; choices++) putchar(*choices == '|' ? ' ' : *choices);
}

static void print_bash(const cli_verbs *verbs) {
    fputs("_retort() {\n"
          "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
          "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
          "        COMPREPLY=($(compgen -W '",
          stdout);
    print_verbs(verbs, " ");
    fputs("' -- \"$word\"))\n        return\n    fi\n    case $before in\n", stdout);
    for (int id = 0; id < CLI_OPTION_COUNT; id++) {
        if (cli_options[id].kind != CLI_KIND_CHOICE) continue;
        printf("    --%s) COMPREPLY=($(compgen -W '", cli_options[id].name);
        print_choices(cli_options[id].value);
        fputs("' -- \"$word\")); return ;;\n", stdout);
    }
    fputs("    esac\n    if [[ $word == -* ]]; then\n        case ${COMP_WORDS[1]} in\n", stdout);
    for (size_t i = 0; i < verbs->count; i++) {
        printf("        %s) COMPREPLY=($(compgen -W '", verbs->rows[i].name);
        print_options(&verbs->rows[i]);
        fputs("' -- \"$word\")) ;;\n", stdout);
    }
    fputs("        esac\n        return\n    fi\n"
          "    if [ \"${COMP_WORDS[1]}\" = help ]; then\n        COMPREPLY=($(compgen -W '",
          stdout);
    print_verbs(verbs, " ");
    fputs("' -- \"$word\"))\n        return\n    fi\n"
          "    compopt -o filenames\n    COMPREPLY=($(compgen -f -- \"$word\"))\n}\n"
          "complete -F _retort retort\n",
          stdout);
}

/* Text inside single quotes of a shell; in its specifications, zsh also interprets [ ] and :. */
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
        printf(":%s:%s", option->name, takes_file(option) ? "_files" : "");
    }
    fputs("' \\\n", stdout);
}

static void print_zsh(const cli_verbs *verbs) {
    fputs("#compdef retort\n_retort() {\n    local -a commands\n    commands=(\n", stdout);
    for (size_t i = 0; i < verbs->count; i++) {
        if (verbs->rows[i].hidden) continue;
        printf("        '%s:", verbs->rows[i].name);
        print_quoted(verbs->rows[i].summary, ":\\");
        fputs("'\n", stdout);
    }
    fputs(
        "    )\n    if (( CURRENT == 2 )); then\n        _describe command commands\n        return\n    fi\n"
        "    local verb=$words[2]\n    shift words\n    (( CURRENT-- ))\n    case $verb in\n",
        stdout);
    for (size_t i = 0; i < verbs->count; i++) {
        printf("        %s)\n            _arguments \\\n", verbs->rows[i].name);
        for (int id = 0; id < CLI_OPTION_COUNT; id++) {
            if (cli_takes(&verbs->rows[i], id)) print_zsh_option(&cli_options[id]);
        }
        fputs("            '*:file:_files' ;;\n", stdout);
    }
    fputs("    esac\n}\n_retort \"$@\"\n", stdout);
}

static void print_fish_option(const char *verb, const cli_option *option) {
    printf("complete -c retort -n '__fish_seen_subcommand_from %s' -l %s", verb, option->name);
    if (option->letter != 0) printf(" -s %c", option->letter);
    fputs(" -d '", stdout);
    print_quoted(option->help, "\\");
    putchar('\'');
    if (option->kind == CLI_KIND_CHOICE) {
        fputs(" -x -a '", stdout);
        print_choices(option->value);
        putchar('\'');
    } else if (option->kind != CLI_KIND_FLAG) {
        fputs(takes_file(option) ? " -r" : " -x", stdout);
    }
    putchar('\n');
}

static void print_fish(const cli_verbs *verbs) {
    for (size_t i = 0; i < verbs->count; i++) {
        if (!verbs->rows[i].hidden) {
            printf("complete -c retort -n __fish_use_subcommand -f -a %s -d '", verbs->rows[i].name);
            print_quoted(verbs->rows[i].summary, "\\");
            fputs("'\n", stdout);
        }
        for (int id = 0; id < CLI_OPTION_COUNT; id++) {
            if (cli_takes(&verbs->rows[i], id)) print_fish_option(verbs->rows[i].name, &cli_options[id]);
        }
    }
}

/* One row per shell. */
static const struct {
    const char *name;
    void (*print)(const cli_verbs *verbs);
} shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};

cli_code cmd_completions(const cli_args *args) {
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        if (strcmp(shells[i].name, args->words[0]) != 0) continue;
        shells[i].print(args->verbs);
        return CLI_DONE;
    }
    cli_error("completions: '%s' is not one of bash, zsh, fish", args->words[0]);
    return CLI_USAGE;
}
