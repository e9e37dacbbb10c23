/* SPDX-License-Identifier: Apache-2.0
 * One option parser, driven by the rows of CLI_OPTIONS. */
#include "cli/options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const cli_option cli_options[CLI_OPTION_COUNT] = {
#define CLI_OPTION_ROW(id, name, letter, value, kind, min, max, fallback, help)                              \
    [CLI_##id] = {name, letter, value, CLI_KIND_##kind, min, max, fallback, help},
    CLI_OPTIONS(CLI_OPTION_ROW)
#undef CLI_OPTION_ROW
};

const cli_verb *cli_find_verb(const cli_verbs *verbs, const char *name) {
    for (size_t i = 0; i < verbs->count; i++) {
        if (strcmp(verbs->rows[i].name, name) == 0) return &verbs->rows[i];
    }
    return NULL;
}

bool cli_takes(const cli_verb *verb, int id) {
    if (id == CLI_JSON || id == CLI_HELP) return true;
    for (const int *at = verb->options; *at >= 0; at++) {
        if (*at == id) return true;
    }
    return false;
}

/* Levenshtein distance of two words of up to 63 letters. */
static size_t distance(const char *a, const char *b) {
    size_t row[64], m = strlen(a), n = strlen(b);
    if (m >= 64 || n >= 64) return SIZE_MAX;
    for (size_t j = 0; j <= n; j++) row[j] = j;
    for (size_t i = 1; i <= m; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[n];
}

const char *cli_suggest(char *out, size_t size, const char *word, cli_name_fn names, const void *user) {
    size_t best = SIZE_MAX, nearest = 0;
    const char *name;
    for (size_t i = 0; (name = names(user, i)) != NULL; i++) {
        size_t d = distance(word, name);
        if (d >= best) continue;
        best = d;
        nearest = i;
    }
    out[0] = '\0';
    if (best <= strlen(word) / 3 + 1) snprintf(out, size, " (did you mean '%s'?)", names(user, nearest));
    return out;
}

/* Names of the options that a verb takes, with dashes; "--help" stands for those that it does not take. */
static const char *option_name(const void *user, size_t index) {
    static char name[64];
    if (index >= CLI_OPTION_COUNT) return NULL;
    size_t id = cli_takes(user, (int)index) ? index : CLI_HELP;
    snprintf(name, sizeof name, "--%s", cli_options[id].name);
    return name;
}

static cli_code usage_error(const cli_verb *verb) {
    fprintf(stderr, "usage: retort %s %s [options]; 'retort %s --help' shows more\n", verb->name, verb->usage,
            verb->name);
    return CLI_USAGE;
}

/* Other names of options: earlier ones, which keep working, and those of other trainers. */
static const struct {
    const char *name;
    cli_option_id id;
} aliases[] = {{"road", CLI_STAGES}, {"lr", CLI_LEARNING_RATE}, {"learning-rate", CLI_LEARNING_RATE}};

static int find_long(const cli_verb *verb, const char *name, size_t length) {
    for (int id = 0; id < CLI_OPTION_COUNT; id++) {
        const char *known = cli_options[id].name;
        if (strlen(known) == length && memcmp(known, name, length) == 0 && cli_takes(verb, id)) return id;
    }
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++) {
        const char *known = aliases[i].name;
        bool same = strlen(known) == length && memcmp(known, name, length) == 0;
        if (same && cli_takes(verb, (int)aliases[i].id)) return (int)aliases[i].id;
    }
    return -1;
}

static int find_letter(const cli_verb *verb, char letter) {
    for (int id = 0; id < CLI_OPTION_COUNT; id++) {
        if (cli_options[id].letter == letter && cli_takes(verb, id)) return id;
    }
    return -1;
}

static bool is_choice(const char *choices, const char *value) {
    size_t length = strlen(value);
    for (const char *at = choices; *at != '\0'; at += strcspn(at, "|"), at += *at == '|') {
        if (strcspn(at, "|") == length && memcmp(at, value, length) == 0) return true;
    }
    return false;
}

/* A positive number of bytes, or of KiB, MiB or GiB if K, M or G follows. */
static bool read_size(const char *value, uint64_t *bytes) {
    static const char units[] = "KMG";
    char *end = NULL;
    errno = 0;
    *bytes = strtoull(value, &end, 10);
    const char *unit = *end == '\0' ? NULL : strchr(units, *end);
    int shift = unit == NULL ? 0 : 10 * (int)(unit - units + 1);
    bool fits = *value >= '0' && *value <= '9' && errno == 0 && *bytes > 0 && *bytes <= UINT64_MAX >> shift;
    *bytes <<= shift;
    return fits && (*end == '\0' || (unit != NULL && end[1] == '\0'));
}

/* A number from 0 to 1, or up to 100 with a % behind it. */
static bool read_share(const char *value, double *share) {
    char *end = NULL;
    *share = strtod(value, &end);
    bool percent = end != value && strcmp(end, "%") == 0;
    if (percent) *share /= 100;
    return end != value && (percent || *end == '\0') && *share >= 0 && *share <= 1;
}

static bool is_valid(const cli_option *option, const char *value) {
    char *end = NULL;
    errno = 0;
    if (option->kind == CLI_KIND_CHOICE) return is_choice(option->value, value);
    if (option->kind == CLI_KIND_INT) {
        long number = strtol(value, &end, 10);
        return end != value && *end == '\0' && errno == 0 && number >= option->min && number <= option->max;
    }
    uint64_t bytes;
    double share;
    if (option->kind == CLI_KIND_SIZE) return read_size(value, &bytes);
    if (option->kind == CLI_KIND_SHARE) return read_share(value, &share);
    if (option->kind == CLI_KIND_REAL) {
        double number = strtod(value, &end);
        return end != value && *end == '\0' && isfinite(number);
    }
    return true;
}

static cli_code set_option(cli_args *args, int id, const char *value) {
    const cli_option *option = &cli_options[id];
    if (option->kind == CLI_KIND_LIST && args->list_count == CLI_MOST) {
        cli_error("--%s is given more than %d times", option->name, CLI_MOST);
        return usage_error(args->verb);
    }
    if (is_valid(option, value)) {
        args->values[id] = value;
        if (option->kind == CLI_KIND_LIST) args->list[args->list_count++] = value;
        return CLI_DONE;
    }
    if (option->kind == CLI_KIND_CHOICE) {
        cli_error("--%s: '%s' is not one of %s", option->name, value, option->value);
    } else if (option->kind == CLI_KIND_INT) {
        cli_error("--%s: '%s' is not a whole number from %ld to %ld", option->name, value, option->min,
                  option->max);
    } else if (option->kind == CLI_KIND_SIZE) {
        cli_error("--%s: '%s' is not a size: expected a number of bytes, optionally followed by K, M or G",
                  option->name, value);
    } else if (option->kind == CLI_KIND_SHARE) {
        cli_error("--%s: '%s' is not a share: expected 0 to 1, or 0%% to 100%%", option->name, value);
    } else {
        cli_error("--%s: '%s' is not a number", option->name, value);
    }
    return usage_error(args->verb);
}

/* Reads the option at argv[*at], which starts with a dash; moves *at to the last argument that it used. */
static cli_code read_option(cli_args *args, int argc, char **argv, int *at) {
    const char *word = argv[*at], *value = NULL;
    bool is_long = word[1] == '-';
    size_t length = is_long ? strcspn(word + 2, "=") : 1;
    int id = is_long ? find_long(args->verb, word + 2, length) : find_letter(args->verb, word[1]);
    if (id < 0) {
        char hint[128], name[72];
        snprintf(name, sizeof name, "%.*s", (int)length + (is_long ? 2 : 1), word);
        cli_error("unknown option '%s'%s", name,
                  cli_suggest(hint, sizeof hint, name, option_name, args->verb));
        return usage_error(args->verb);
    }
    const char *rest = is_long ? word + 2 + length : word + 2;
    if (*rest != '\0') value = is_long ? rest + 1 : rest;
    if (cli_options[id].kind == CLI_KIND_FLAG) {
        if (value != NULL) {
            cli_error("--%s takes no value", cli_options[id].name);
            return usage_error(args->verb);
        }
        value = "";
    } else if (value == NULL) {
        if (*at + 1 >= argc) {
            cli_error("--%s needs a value: %s", cli_options[id].name, cli_options[id].value);
            return usage_error(args->verb);
        }
        value = argv[++*at];
    }
    return set_option(args, id, value);
}

/* Options that have no effect without another one, or together with it. */
typedef enum rule_kind { NEEDS, NOT_WITH } rule_kind;
static const struct {
    const char *verb;
    cli_option_id option;
    rule_kind kind;
    cli_option_id other;
} rules[] = {
    {"cascade", CLI_LINEAR_DATA, NEEDS, CLI_LINEAR},
    {"explain", CLI_WHOLE, NEEDS, CLI_SVG},
    {"explain", CLI_GRAPH, NOT_WITH, CLI_SVG},
    {"explain", CLI_PEAK, NOT_WITH, CLI_GRAPH},
    {"explain", CLI_PEAK, NOT_WITH, CLI_SVG},
    {"explain", CLI_BATCH, NOT_WITH, CLI_GRAPH},
    {"explain", CLI_BATCH, NOT_WITH, CLI_SVG},
    {"explain", CLI_SEQ, NOT_WITH, CLI_GRAPH},
    {"explain", CLI_SEQ, NOT_WITH, CLI_SVG},
    {"run", CLI_HYPOTHESIS, NEEDS, CLI_LABELS},
    {"run", CLI_MULTI_LABEL, NEEDS, CLI_LABELS},
    {"run", CLI_QUERY_PROMPT_NAME, NEEDS, CLI_QUERY},
    {"run", CLI_STRIDE, NOT_WITH, CLI_TRUNCATE},
    {"run", CLI_RUN_OUTPUT, NEEDS, CLI_INPUT},
    {"run", CLI_FORMAT, NEEDS, CLI_INPUT},
    {"run", CLI_SCORES, NEEDS, CLI_INPUT},
    {"run", CLI_PREFIX, NEEDS, CLI_INPUT},
    {"run", CLI_ROWS, NEEDS, CLI_INPUT},
    {"run", CLI_BAD_ROWS, NEEDS, CLI_INPUT},
    {"run", CLI_RUN_RESUME, NEEDS, CLI_RUN_OUTPUT},
    {"run", CLI_DATA, NOT_WITH, CLI_INPUT},
    {"run", CLI_PAIRS, NOT_WITH, CLI_INPUT},
    {"run", CLI_QUERY, NOT_WITH, CLI_INPUT},
    {"eval", CLI_PER_LAYER, NEEDS, CLI_REFERENCE},
    {"quantize", CLI_SAMPLES, NEEDS, CLI_DATA},
    {"quantize", CLI_SEED, NEEDS, CLI_DATA},
    {"quantize", CLI_TEXT_COLUMN, NEEDS, CLI_DATA},
    {"quantize", CLI_TEXT_PAIR_COLUMN, NEEDS, CLI_DATA},
    {"import", CLI_TEXT_COLUMN, NEEDS, CLI_TEXTS},
    {"import", CLI_TEXT_PAIR_COLUMN, NEEDS, CLI_TEXTS},
    {"bench", CLI_PYTHON, NEEDS, CLI_STAGES},
    {"serve", CLI_HOST, NOT_WITH, CLI_UNIX},
    {"serve", CLI_PORT, NOT_WITH, CLI_UNIX},
    {"serve", CLI_REUSE_PORT, NOT_WITH, CLI_UNIX},
    {"load", CLI_ARRIVALS, NOT_WITH, CLI_CLOSED},
    {"doctor", CLI_MODEL, NEEDS, CLI_DATA},
    {"doctor", CLI_DATA, NEEDS, CLI_MODEL},
    {"doctor", CLI_TEXT_COLUMN, NEEDS, CLI_MODEL},
    {"doctor", CLI_TEXT_PAIR_COLUMN, NEEDS, CLI_MODEL},
    {"doctor", CLI_MEMORY, NEEDS, CLI_MODEL},
    {"train", CLI_EPOCHS, NOT_WITH, CLI_STEPS},
    {"train", CLI_PATIENCE, NEEDS, CLI_DEV},
    {"train", CLI_STUDENT, NOT_WITH, CLI_FROM_LAYERS},
};

static bool check_rules(const cli_args *args) {
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        const char *name = cli_options[rules[i].option].name, *other = cli_options[rules[i].other].name;
        bool mine = strcmp(rules[i].verb, args->verb->name) == 0 && cli_has(args, rules[i].option);
        if (!mine || cli_has(args, rules[i].other) == (rules[i].kind == NEEDS)) continue;
        cli_error(rules[i].kind == NEEDS ? "--%s needs --%s" : "--%s has no effect with --%s", name, other);
        return false;
    }
    return true;
}

static cli_code check_words(const cli_args *args) {
    const cli_verb *verb = args->verb;
    if (args->values[CLI_HELP] != NULL) return CLI_DONE;
    if (args->word_count < verb->min_words) {
        cli_error("%s: too few arguments", verb->name);
    } else if (verb->max_words >= 0 && args->word_count > verb->max_words) {
        cli_error("%s: unexpected argument '%s'", verb->name, args->words[verb->max_words]);
    } else if (verb->required >= 0 && args->values[verb->required] == NULL) {
        cli_error("%s: --%s is required", verb->name, cli_options[verb->required].name);
    } else if (check_rules(args)) {
        return CLI_DONE;
    }
    return usage_error(verb);
}

cli_code cli_parse(cli_args *out, const cli_verbs *verbs, const cli_verb *verb, int argc, char **argv) {
    *out = (cli_args){.verbs = verbs, .verb = verb, .words = argv};
    bool options = true;
    for (int i = 0; i < argc; i++) {
        char *word = argv[i];
        if (options && strcmp(word, "--") == 0) {
            options = false;
        } else if (options && word[0] == '-' && word[1] != '\0') {
            cli_code code = read_option(out, argc, argv, &i);
            if (code != CLI_DONE) return code;
        } else {
            argv[out->word_count++] = word;
        }
    }
    return check_words(out);
}

bool cli_has(const cli_args *args, cli_option_id id) {
    return args->values[id] != NULL;
}

const char *cli_text(const cli_args *args, cli_option_id id) {
    return args->values[id] != NULL ? args->values[id] : cli_options[id].fallback;
}

long cli_int(const cli_args *args, cli_option_id id, long otherwise) {
    const char *text = cli_text(args, id);
    return text != NULL ? strtol(text, NULL, 10) : otherwise;
}

uint64_t cli_size(const cli_args *args, cli_option_id id) {
    const char *text = cli_text(args, id);
    uint64_t bytes = 0;
    return text != NULL && read_size(text, &bytes) ? bytes : 0;
}

double cli_real(const cli_args *args, cli_option_id id) {
    const char *text = cli_text(args, id);
    return text != NULL ? strtod(text, NULL) : 0;
}

double cli_share(const cli_args *args, cli_option_id id) {
    double share = 0;
    const char *text = cli_text(args, id);
    return text != NULL && read_share(text, &share) ? share : 0;
}

cli_code cli_split_names(cli_names *out, const cli_args *args, cli_option_id id) {
    const char *list = cli_text(args, id);
    *out = (cli_names){0};
    if (list == NULL) return CLI_DONE;
    size_t max = 1, length = strlen(list);
    for (const char *at = list; *at != '\0'; at++) max += *at == ',';
    out->items = malloc(max * sizeof *out->items);
    out->text = malloc(length + 1);
    if (out->items == NULL || out->text == NULL) {
        cli_names_free(out);
        return cli_no_memory();
    }
    memcpy(out->text, list, length + 1);
    char *rest = out->text;
    for (char *name; (name = strsep(&rest, ",")) != NULL;) out->items[out->count++] = name;
    return CLI_DONE;
}

void cli_names_free(cli_names *names) {
    free(names->items);
    free(names->text);
    *names = (cli_names){0};
}
