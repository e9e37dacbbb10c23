/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/train_start.h"
#include "cli/model.h"
#include "cli/shipped.h"
#include "cli/vocabulary.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the model shall be for. */
typedef struct wanted {
    retort_task task;
    retort_problem problem; /* of a classifier */
    const char **labels;    /* [count]; NULL for numbers and vectors */
    size_t count;
} wanted;

typedef struct opener {
    train_start *out;
    const cli_args *args;
    char *path;            /* of the start */
    bool checkpoint;       /* it can have another head, or fewer layers */
    cli_vocabulary texts;  /* of --texts, that decide which pieces stay */
    retort_model *own;     /* the start as it is; NULL if it cannot be read so */
    retort_dataset *found; /* --data, with the labels it names */
    retort_dataset_info info;
    wanted wanted;
    int64_t *layers; /* [layer_count] to keep; NULL: all */
    size_t layer_count;
} opener;

static retort_info describe(const retort_model *model) {
    retort_info info = {.size = sizeof info};
    retort_model_info(model, &info);
    return info;
}

/* ---- The start as it is, and the data ---- */

/* Nothing is folded or merged below level 1, so that every weight is trained as transformers has it. */
static retort_import_options import_options(const opener *o) {
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    options.level = 0;
    options.tokenizer = cli_text(o->args, CLI_TOKENIZER);
    options.languages = cli_text(o->args, CLI_LANGUAGES);
    options.texts = o->texts.texts;
    options.text_count = o->texts.count;
    return options;
}

/* A checkpoint whose own head cannot be read may still get a new one. */
static cli_code open_own(opener *o) {
    cli_code code = cli_find_model(&o->path, o->args->words[0]);
    if (code != CLI_DONE) return code;
    o->checkpoint = cli_is_checkpoint(o->path);
    if (!o->checkpoint) return cli_open_model(&o->own, o->args, o->args->words[0], 3);
    code = cli_open_vocabulary(&o->texts, o->args, cli_data_options(o->args));
    if (code != CLI_DONE) return code;
    retort_import_options options = import_options(o);
    retort_model_import(&o->own, o->path, &options, NULL);
    return CLI_DONE;
}

/* As it is: --task and --tokenizer are about the start. */
static cli_code open_teacher(opener *o) {
    retort_error err;
    char *path = NULL;
    if (!cli_has(o->args, CLI_TEACHER)) return CLI_DONE;
    cli_code code = cli_find_model(&path, cli_text(o->args, CLI_TEACHER));
    if (code != CLI_DONE) return code;
    retort_status status = cli_is_checkpoint(path) ? retort_model_import(&o->out->teacher, path, NULL, &err)
                                                   : retort_model_load(&o->out->teacher, path, &err);
    free(path);
    return status == RETORT_OK ? CLI_DONE : cli_fail(&err, true);
}

static const char *data_path(const opener *o) {
    return cli_text(o->args, CLI_DATA);
}

static bool asks_for(const opener *o, retort_task task) {
    const char *name = cli_text(o->args, CLI_TASK);
    return name != NULL && strcmp(name, cli_task_names[task]) == 0;
}

static cli_code collect(retort_dataset **out, const opener *o, const char *path) {
    retort_error err;
    retort_dataset_options options = cli_data_options(o->args);
    options.collect = true;
    if (asks_for(o, RETORT_TASK_TAG)) options.task = RETORT_TASK_TAG;
    if (options.label_separator != NULL) options.targets = RETORT_TARGETS_LABELS;
    retort_status status = retort_dataset_open(out, path, NULL, &options, &err);
    return status == RETORT_OK ? CLI_DONE : cli_fail(&err, true);
}

static cli_code collect_labels(opener *o) {
    o->info.size = sizeof o->info;
    if (strcmp(data_path(o), "-") == 0 || strcmp(data_path(o), "/dev/stdin") == 0) {
        cli_error("train: --data is read twice, once for its labels: give a file");
        return CLI_USAGE;
    }
    cli_code code = collect(&o->found, o, data_path(o));
    if (code == CLI_DONE) retort_dataset_describe(o->found, &o->info);
    return code;
}

/* ---- What is wanted ---- */

static cli_code take_names(wanted *w, size_t count, const char *(*name)(const void *, size_t),
                           const void *from) {
    w->labels = calloc(count, sizeof *w->labels);
    if (w->labels == NULL) return cli_no_memory();
    w->count = count;
    for (size_t i = 0; i < count; i++) w->labels[i] = name(from, i);
    return CLI_DONE;
}

static const char *teacher_label(const void *teacher, size_t index) {
    return retort_model_label(teacher, (int64_t)index);
}

static const char *data_label(const void *data, size_t index) {
    return retort_dataset_label(data, index);
}

bool train_has_integers(const cli_args *args) {
    return cli_has(args, CLI_TRAIN_RECIPE) || cli_has(args, CLI_BITS);
}

/* A student answers as its teacher does; integers as the floats they stand for. */
static cli_code want_teachers(opener *o, const retort_model *model) {
    retort_info teacher = describe(model);
    wanted *w = &o->wanted;
    *w = (wanted){.task = teacher.task, .problem = teacher.problem, .count = (size_t)teacher.labels};
    if (cli_has(o->args, CLI_TASK) && !asks_for(o, teacher.task)) {
        cli_error("--task %s: the teacher's is %s", cli_text(o->args, CLI_TASK),
                  cli_task_names[teacher.task]);
        return CLI_USAGE;
    }
    if (teacher.task == RETORT_TASK_EMBED || retort_model_label(model, 0) == NULL) return CLI_DONE;
    return take_names(w, w->count, teacher_label, model);
}

static cli_code no_labels(const opener *o) {
    if (asks_for(o, RETORT_TASK_TAG)) {
        cli_error("%s: no tags: a tagger learns from CoNLL, one word and its tag per line", data_path(o));
        return CLI_BAD_DATA;
    }
    cli_error(
        "%s: no labels: name their column (or columns of 0 and 1) with --label-column, give a --teacher, "
        "or train an embedding model on pairs of texts with --task embed",
        data_path(o));
    return CLI_BAD_DATA;
}

static cli_code want_labels(opener *o) {
    wanted *w = &o->wanted;
    w->task = o->info.targets == RETORT_TARGETS_TAGS ? RETORT_TASK_TAG : RETORT_TASK_CLASSIFY;
    if (cli_has(o->args, CLI_TASK) && !asks_for(o, w->task)) {
        cli_error("--task %s: the labels of %s are for %s", cli_text(o->args, CLI_TASK), data_path(o),
                  cli_task_names[w->task]);
        return CLI_BAD_DATA;
    }
    if (o->info.targets == RETORT_TARGETS_VALUE) {
        w->problem = RETORT_PROBLEM_REGRESSION;
        w->count = 1;
        return CLI_DONE;
    }
    bool several = o->info.targets == RETORT_TARGETS_LABELS;
    if (several) w->problem = RETORT_PROBLEM_MULTI_LABEL;
    if (o->info.labels < 2) {
        cli_error("%s: all texts have the label '%s': there is nothing to learn", data_path(o),
                  o->info.labels > 0 ? retort_dataset_label(o->found, 0) : "");
        return CLI_BAD_DATA;
    }
    return take_names(w, o->info.labels, data_label, o->found);
}

/* Vectors, from pairs of texts: without labels, or with numbers where the start embeds already. */
static bool embeds(const opener *o) {
    bool own = o->own != NULL && describe(o->own).task == RETORT_TASK_EMBED;
    bool labels = o->info.targets != RETORT_TARGETS_NONE && o->info.targets != RETORT_TARGETS_VALUE;
    if (cli_has(o->args, CLI_TASK)) return asks_for(o, RETORT_TASK_EMBED);
    return own && o->info.pairs && !labels;
}

static cli_code decide(opener *o) {
    bool none = o->info.targets == RETORT_TARGETS_NONE || o->info.targets == RETORT_TARGETS_ANSWERS;
    if (o->out->teacher != NULL) return want_teachers(o, o->out->teacher);
    if (train_has_integers(o->args) && none && o->own != NULL) return want_teachers(o, o->own);
    if (embeds(o)) {
        o->wanted.task = RETORT_TASK_EMBED;
        return CLI_DONE;
    }
    return none ? no_labels(o) : want_labels(o);
}

/* ---- Whether the head is kept ---- */

static bool has_label(const retort_model *model, const char *name) {
    const char *known;
    for (int64_t i = 0; (known = retort_model_label(model, i)) != NULL; i++) {
        if (strcmp(known, name) == 0) return true;
    }
    return false;
}

/* Whether a label is the number of one of `count` others. */
static bool is_index(const char *name, size_t count) {
    size_t digits = strspn(name, "0123456789");
    return digits > 0 && digits < 8 && name[digits] == '\0' && strtoul(name, NULL, 10) < count;
}

static bool same_as_teacher(const retort_model *own, const wanted *w) {
    for (size_t i = 0; i < w->count; i++) {
        const char *name = retort_model_label(own, (int64_t)i);
        if (name == NULL || w->labels == NULL || strcmp(name, w->labels[i]) != 0) return false;
    }
    return true;
}

/* Each label of the data is one of the head's, by name or by number. */
static bool covers(const retort_model *own, const wanted *w, size_t labels) {
    bool names = true, numbers = true;
    for (size_t i = 0; i < w->count; i++) {
        names = names && has_label(own, w->labels[i]);
        numbers = numbers && is_index(w->labels[i], labels);
    }
    return names || numbers;
}

static bool keeps_head(const opener *o) {
    if (o->own == NULL) return false;
    retort_info info = describe(o->own);
    const wanted *w = &o->wanted;
    bool classify = w->task == RETORT_TASK_CLASSIFY;
    if (info.task != w->task || (classify && info.problem != w->problem)) return false;
    if (w->labels == NULL) return classify ? info.labels == (int64_t)w->count : true;
    bool student = o->out->teacher != NULL;
    if (student) return info.labels == (int64_t)w->count && same_as_teacher(o->own, w);
    return covers(o->own, w, (size_t)info.labels);
}

/* ---- Layers of a student ---- */

static cli_code bad_layers(const char *option, const char *text, int64_t layers) {
    cli_error("--%s: '%s': expected %s%lld", option, text,
              strcmp(option, "student") == 0 ? "layers=N with N from 1 to " : "rising indices from 0 to ",
              (long long)(strcmp(option, "student") == 0 ? layers : layers - 1));
    return CLI_USAGE;
}

/* The first and the last layer, and others at equal distances between them. */
static cli_code spread_layers(opener *o, int64_t layers) {
    const char *text = cli_text(o->args, CLI_STUDENT), *number = text + strlen("layers=");
    bool fits = strncmp(text, "layers=", strlen("layers=")) == 0 && is_index(number, (size_t)layers + 1);
    size_t count = fits ? strtoul(number, NULL, 10) : 0;
    if (count == 0) return bad_layers("student", text, layers);
    o->layers = calloc(count, sizeof *o->layers);
    if (o->layers == NULL) return cli_no_memory();
    o->layer_count = count;
    for (size_t i = 0; i < count && count > 1; i++)
        o->layers[i] = (int64_t)i * (layers - 1) / (int64_t)(count - 1);
    return CLI_DONE;
}

static cli_code named_layers(opener *o, int64_t layers) {
    cli_names names;
    cli_code code = cli_split_names(&names, o->args, CLI_FROM_LAYERS);
    if (code != CLI_DONE) return code;
    o->layers = calloc(names.count, sizeof *o->layers);
    o->layer_count = names.count;
    if (o->layers == NULL) code = cli_no_memory();
    for (size_t i = 0; code == CLI_DONE && i < names.count; i++) {
        o->layers[i] = is_index(names.items[i], (size_t)layers) ? strtol(names.items[i], NULL, 10) : -1;
        if (o->layers[i] < 0 || (i > 0 && o->layers[i] <= o->layers[i - 1]))
            code = bad_layers("from-layers", cli_text(o->args, CLI_FROM_LAYERS), layers);
    }
    cli_names_free(&names);
    return code;
}

static cli_code choose_layers(opener *o) {
    bool student = cli_has(o->args, CLI_STUDENT), named = cli_has(o->args, CLI_FROM_LAYERS);
    if (!student && !named) return CLI_DONE;
    if (!o->checkpoint) {
        cli_error(
            "--%s is for checkpoints: '%s' has been imported; start from its checkpoint, with --teacher %s",
            student ? "student" : "from-layers", o->args->words[0], o->args->words[0]);
        return CLI_USAGE;
    }
    retort_model *plain = NULL;
    retort_error err;
    retort_import_options options = import_options(o);
    options.task = RETORT_TASK_EMBED; /* of which any checkpoint has the weights */
    options.force_task = true;
    retort_status status = RETORT_OK;
    if (o->own == NULL) status = retort_model_import(&plain, o->path, &options, &err);
    if (status != RETORT_OK) return cli_fail(&err, true);
    int64_t layers = describe(o->own != NULL ? o->own : plain).layers;
    retort_model_free(plain);
    o->out->layers = (size_t)layers;
    return student ? spread_layers(o, layers) : named_layers(o, layers);
}

/* ---- The model ---- */

/* "negative (120 texts), positive (118 texts)", or the first labels of many. */
static void list_labels(const opener *o, char *out, size_t size) {
    enum { MANY = 8, SOME = 4 };
    const wanted *w = &o->wanted;
    size_t shown = w->labels == NULL ? 0 : w->count > MANY ? SOME : w->count, n = 0;
    bool counts = o->out->teacher == NULL && w->count <= MANY;
    out[0] = '\0';
    for (size_t i = 0; i < shown && n < size; i++) {
        char texts[32] = "";
        size_t count = counts ? retort_dataset_label_count(o->found, i) : 0;
        if (counts) snprintf(texts, sizeof texts, " (%zu)", count);
        n += (size_t)snprintf(out + n, size - n, "%s%.60s%s", i > 0 ? ", " : ": ", w->labels[i], texts);
    }
    if (shown < w->count && n < size && w->labels != NULL) snprintf(out + n, size - n, ", …");
}

static void say_head(const opener *o) {
    char labels[1024];
    list_labels(o, labels, sizeof labels);
    if (o->wanted.labels == NULL) {
        cli_say("new head: a number for each %s", o->info.pairs ? "pair of texts" : "text");
    } else {
        cli_say("new head: %s, %zu labels of the %s%s", cli_task_names[o->wanted.task], o->wanted.count,
                o->out->teacher != NULL ? "teacher" : "data", labels);
    }
}

/* "joy;fear" as one label is rarely meant. */
static void say_separator(const opener *o) {
    bool one = o->wanted.task == RETORT_TASK_CLASSIFY && o->wanted.problem != RETORT_PROBLEM_MULTI_LABEL;
    for (size_t i = 0; one && o->out->teacher == NULL && i < o->wanted.count && o->wanted.labels != NULL;
         i++) {
        if (strchr(o->wanted.labels[i], ';') == NULL) continue;
        cli_say("warning: '%s' is one label here; where a text may have several, say --label-separator ';'",
                o->wanted.labels[i]);
        return;
    }
}

/* "good " is hardly another label than "good". */
static void say_blanks(const opener *o) {
    for (size_t i = 0; o->out->teacher == NULL && i < o->wanted.count && o->wanted.labels != NULL; i++) {
        const char *name = o->wanted.labels[i];
        size_t length = strlen(name);
        if (length == 0 || (name[0] != ' ' && name[length - 1] != ' ')) continue;
        cli_say("warning: label '%s' begins or ends with a blank: it is another one than without", name);
        return;
    }
}

/* What is learned without labels is worth a word. */
static void say_vectors(const opener *o) {
    if (o->wanted.task != RETORT_TASK_EMBED || o->out->teacher != NULL || !o->info.pairs) return;
    cli_say("vectors of %zu pairs, %s", retort_dataset_count(o->found),
            o->info.targets == RETORT_TARGETS_VALUE ? "whose cosines become their scores"
                                                    : "each against the others of its batch");
}

/* A head as large as that of the teacher, with other answers. */
static cli_code refuse_teacher(const opener *o) {
    static const char *const problems[] = {[RETORT_PROBLEM_SINGLE_LABEL] = "one label per text",
                                           [RETORT_PROBLEM_MULTI_LABEL] = "several labels per text",
                                           [RETORT_PROBLEM_REGRESSION] = "numbers"};
    retort_info info = describe(o->own);
    const wanted *w = &o->wanted;
    const char *model = o->args->words[0], *teacher = cli_text(o->args, CLI_TEACHER), *ours = NULL,
               *theirs = NULL;
    size_t i = 0;
    for (; i < w->count && w->labels != NULL; i++) {
        ours = retort_model_label(o->own, (int64_t)i);
        theirs = w->labels[i];
        if (ours != NULL && strcmp(ours, theirs) != 0) break;
    }
    if (info.problem != w->problem)
        cli_error(
            "'%s' gives %s, and the teacher '%s' %s: start from a checkpoint, which gets the teacher's head",
            model, problems[info.problem], teacher, problems[w->problem]);
    else
        cli_error("'%s' has %s than the teacher '%s': label %zu is '%s' here and '%s' there: start from a "
                  "checkpoint, which gets the teacher's head",
                  model,
                  theirs != NULL && has_label(o->own, theirs) ? "its labels in another order"
                                                              : "other labels",
                  teacher, i, ours, theirs);
    return CLI_BAD_DATA;
}

static cli_code refuse_head(const opener *o) {
    retort_info info = describe(o->own);
    bool alike = info.task == RETORT_TASK_CLASSIFY || info.task == RETORT_TASK_TAG;
    if (o->out->teacher != NULL && alike && info.task == o->wanted.task &&
        info.labels == (int64_t)o->wanted.count)
        return refuse_teacher(o);
    char labels[1024];
    list_labels(o, labels, sizeof labels);
    cli_error("'%s' is for %s with %lld labels, and %s for %s with %zu%s: a model trains with the head it "
              "has. For a "
              "new one, start from its checkpoint: retort train CHECKPOINT",
              o->args->words[0], cli_task_names[info.task], (long long)info.labels,
              o->out->teacher != NULL ? "the teacher is" : "the data are", cli_task_names[o->wanted.task],
              o->wanted.count, labels);
    return CLI_BAD_DATA;
}

/* What --languages and --texts have left of the vocabulary. */
static void say_vocabulary(const opener *o) {
    if (cli_has(o->args, CLI_LANGUAGES) || cli_has(o->args, CLI_TEXTS)) cli_say_restriction(o->out->model);
}

static cli_code make_model(opener *o) {
    bool keeps = keeps_head(o), embed = o->wanted.task == RETORT_TASK_EMBED;
    o->out->floats_first = train_has_integers(o->args) && o->checkpoint && (!keeps || o->layers != NULL);
    if (!keeps && !o->checkpoint) return refuse_head(o);
    if (keeps && o->layers == NULL) {
        o->out->model = o->own;
        o->own = NULL;
        say_vocabulary(o);
        return CLI_DONE;
    }
    retort_error err;
    retort_import_options options = import_options(o);
    const retort_head head = {sizeof head,       o->wanted.task,
                              o->wanted.problem, o->wanted.labels,
                              o->wanted.count,   (uint64_t)cli_int(o->args, CLI_TRAIN_SEED, 0)};
    if (!keeps && !embed) options.head = &head;
    if (!keeps && embed) {
        options.task = RETORT_TASK_EMBED;
        options.force_task = true;
    }
    options.layers = o->layers;
    options.layer_count = o->layer_count;
    options.warning = cli_warning;
    if (retort_model_import(&o->out->model, o->path, &options, &err) != RETORT_OK)
        return cli_fail(&err, true);
    say_vocabulary(o);
    o->out->new_head = options.head != NULL;
    if (o->out->new_head) say_head(o);
    if (o->out->new_head) say_separator(o);
    if (o->out->new_head) say_blanks(o);
    return CLI_DONE;
}

/* ---- The data for the model ---- */

/* Labels of --data that --dev lacks are worth a word. (Those that nobody trains are an error when it is opened, which names
 * their lines.) */
static cli_code compare_dev(const opener *o) {
    retort_dataset *dev = NULL;
    size_t missing = 0;
    const char *first = NULL, *path = cli_text(o->args, CLI_DEV), *name;
    if (path == NULL || o->out->teacher != NULL || !o->out->new_head || o->wanted.labels == NULL)
        return CLI_DONE;
    cli_code code = collect(&dev, o, path);
    for (size_t i = 0; code == CLI_DONE && i < o->wanted.count; i++) {
        bool seen = false;
        for (size_t j = 0; (name = retort_dataset_label(dev, j)) != NULL && !seen; j++)
            seen = strcmp(name, o->wanted.labels[i]) == 0;
        if (!seen && missing++ == 0) first = o->wanted.labels[i];
    }
    if (missing > 0 && missing < o->wanted.count) /* else it has other labels, or none */
        cli_say("warning: %s has no text for %zu of the labels ('%s'%s)", path, missing, first,
                missing > 1 ? ", …" : "");
    retort_dataset_free(dev);
    return code;
}

static cli_code open_data(retort_dataset **out, const opener *o, const char *path, bool texts_only) {
    retort_error err;
    retort_dataset_options options = cli_data_options(o->args);
    options.texts_only = texts_only;
    retort_status status = retort_dataset_open(out, path, o->out->model, &options, &err);
    return status == RETORT_OK ? CLI_DONE : cli_fail(&err, true);
}

static cli_code open_sets(opener *o) {
    const char *dev = cli_text(o->args, CLI_DEV);
    bool taught = o->out->teacher != NULL || train_has_integers(o->args),
         unlabelled = taught && o->info.targets == RETORT_TARGETS_NONE;
    cli_code code = compare_dev(o);
    if (code == CLI_DONE) say_vectors(o);
    if (code == CLI_DONE) code = open_data(&o->out->data, o, data_path(o), unlabelled);
    if (code == CLI_DONE && dev != NULL) code = open_data(&o->out->dev, o, dev, false);
    return code;
}

cli_code train_start_open(train_start *out, const cli_args *args) {
    opener o = {.out = out, .args = args};
    *out = (train_start){0};
    cli_code code = collect_labels(&o);
    if (code == CLI_DONE) code = open_own(&o);
    if (code == CLI_DONE) code = open_teacher(&o);
    if (code == CLI_DONE) code = decide(&o);
    if (code == CLI_DONE) code = choose_layers(&o);
    if (code == CLI_DONE) code = make_model(&o);
    if (code == CLI_DONE) code = open_sets(&o);
    free((void *)o.wanted.labels);
    free(o.layers);
    free(o.path);
    cli_close_vocabulary(&o.texts);
    retort_dataset_free(o.found);
    retort_model_free(o.own);
    return code;
}

void train_start_close(train_start *start) {
    retort_dataset_free(start->data);
    retort_dataset_free(start->dev);
    retort_model_free(start->teacher);
    retort_model_free(start->model);
}
