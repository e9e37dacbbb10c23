/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/eval_classes.h"
#include "cli/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CONFUSED = 10 };

cli_code eval_classes_open(eval_classes *classes, const retort_model *model) {
    retort_info info = {.size = sizeof info};
    retort_model_info(model, &info);
    size_t labels = info.labels > 0 ? (size_t)info.labels : 1;
    bool tags = info.task == RETORT_TASK_TAG;
    *classes = (eval_classes){.model = model,
                              .labels = labels,
                              .one = !tags && info.problem != RETORT_PROBLEM_MULTI_LABEL,
                              .entities = tags};
    classes->counts = calloc(labels, sizeof *classes->counts);
    if (classes->one) classes->confusion = calloc(labels * labels, sizeof *classes->confusion);
    if (classes->counts != NULL && (classes->confusion != NULL || !classes->one)) return CLI_DONE;
    cli_error("out of memory for %zu labels", labels);
    return CLI_FAILED;
}

void eval_classes_free(eval_classes *classes) {
    free(classes->counts);
    free(classes->confusion);
    *classes = (eval_classes){0};
}

/* NaN where there is none. */
static double share(uint64_t part, uint64_t of) {
    return of > 0 ? (double)part / (double)of : NAN;
}

static double f1_of(const retort_class_counts *counts) {
    return share(2 * counts->correct, counts->gold + counts->predicted);
}

static void print_share(double value) {
    if (isfinite(value)) {
        printf(" %9.3f", value);
    } else {
        printf(" %9s", "-");
    }
}

/* A label; of entities their type: "PER" of "B-PER". */
static const char *name_of(const eval_classes *classes, size_t label) {
    const char *name = retort_model_label(classes->model, (int64_t)label);
    if (name == NULL) return "";
    return classes->entities && name[0] != '\0' && name[1] == '-' && name[2] != '\0' ? name + 2 : name;
}

static bool is_prefix(const char *name) {
    return name[0] != '\0' && strchr("BIESO", name[0]) != NULL && name[1] == '\0';
}

/* Whether a label has a row: of entities the first label of each type, and what is never an entity has none. */
static bool has_row(const eval_classes *classes, size_t label) {
    const char *whole = retort_model_label(classes->model, (int64_t)label), *name = name_of(classes, label);
    if (!classes->entities) return true;
    if (whole == NULL || (whole[0] == 'O' && (whole[1] == '\0' || whole[1] == '-'))) return false;
    for (size_t i = 0; i < label; i++) {
        const char *other = name_of(classes, i);
        bool bare = is_prefix(name) && is_prefix(other) && other[0] != 'O';
        if (strcmp(name, other) == 0 || bare) return false;
    }
    return true;
}

typedef struct pair {
    uint64_t count;
    size_t gold, given;
} pair;

/* The pairs of labels that are taken for each other most often, the most frequent first. */
static size_t most_confused(const eval_classes *classes, pair pairs[MOST_CONFUSED]) {
    size_t count = 0, labels = classes->labels;
    for (size_t i = 0; classes->one && i < labels * labels; i++) {
        pair next = {classes->confusion[i], i / labels, i % labels};
        if (next.gold == next.given || next.count == 0) continue;
        size_t at = count < MOST_CONFUSED ? count++ : MOST_CONFUSED;
        for (; at > 0 && pairs[at - 1].count < next.count; at--) {
            if (at < MOST_CONFUSED) pairs[at] = pairs[at - 1];
        }
        if (at < MOST_CONFUSED) pairs[at] = next;
    }
    return count;
}

void eval_classes_print(const eval_classes *classes) {
    int width = 5;
    pair pairs[MOST_CONFUSED];
    for (size_t i = 0; i < classes->labels; i++) {
        int columns = cli_columns(name_of(classes, i));
        width = columns > width ? columns : width;
    }
    printf("\n%-*s %8s %9s %9s %9s\n", width, classes->entities ? "type" : "label",
           classes->entities ? "entities" : "texts", "precision", "recall", "F1");
    for (size_t i = 0; i < classes->labels; i++) {
        if (!has_row(classes, i)) continue;
        const retort_class_counts *counts = &classes->counts[i];
        cli_put_column(stdout, width, name_of(classes, i));
        printf(" %8llu", (unsigned long long)counts->gold);
        print_share(share(counts->correct, counts->predicted));
        print_share(share(counts->correct, counts->gold));
        print_share(f1_of(counts));
        puts("");
    }
    size_t count = most_confused(classes, pairs);
    if (count > 0) printf("\n%-*s %-*s %8s\n", width, "label", width, "taken for", "texts");
    for (size_t i = 0; i < count; i++) {
        cli_put_column(stdout, width, name_of(classes, pairs[i].gold));
        putchar(' ');
        cli_put_column(stdout, width, name_of(classes, pairs[i].given));
        printf(" %8llu\n", (unsigned long long)pairs[i].count);
    }
}

void eval_classes_json(const eval_classes *classes, json_t *json) {
    json_t *list = json_array(), *matrix = classes->one ? json_array() : NULL;
    size_t labels = classes->labels;
    for (size_t i = 0; i < labels; i++) {
        const retort_class_counts *counts = &classes->counts[i];
        const char *name = name_of(classes, i);
        if (!has_row(classes, i)) continue;
        json_array_append_new(
            list, json_pack("{s:o, s:I, s:I, s:I, s:o, s:o, s:o}", classes->entities ? "type" : "label",
                            cli_json_text(name, strlen(name)), classes->entities ? "entities" : "texts",
                            (json_int_t)counts->gold, "predicted", (json_int_t)counts->predicted, "correct",
                            (json_int_t)counts->correct, "precision",
                            cli_json_real(share(counts->correct, counts->predicted)), "recall",
                            cli_json_real(share(counts->correct, counts->gold)), "f1",
                            cli_json_real(f1_of(counts))));
        if (matrix == NULL) continue;
        json_t *row = json_array();
        for (size_t j = 0; j < labels; j++)
            json_array_append_new(row, json_integer((json_int_t)classes->confusion[i * labels + j]));
        json_array_append_new(matrix, row);
    }
    json_object_set_new(json, "classes", list);
    if (matrix != NULL) json_object_set_new(json, "confusion", matrix);
}
