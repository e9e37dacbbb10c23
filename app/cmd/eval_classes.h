/* SPDX-License-Identifier: Apache-2.0
 * What a classifier does with each label, and a tagger with each type of entity: the table of --per-class. */
#ifndef CMD_EVAL_CLASSES_H
#define CMD_EVAL_CLASSES_H

#include "cli/output.h"
#include "retort.h"

#include <jansson.h>

typedef struct eval_classes {
    const retort_model *model;
    size_t labels;
    bool one;                    /* label per text */
    bool entities;               /* counts are of types of entities, each at the first label of its type */
    retort_class_counts *counts; /* [labels] */
    uint64_t *confusion;         /* [labels * labels] where each text has one */
} eval_classes;
/* For a model with labels; others are refused by retort_eval. Start with {0}. */
cli_code eval_classes_open(eval_classes *classes, const retort_model *model);
void eval_classes_free(eval_classes *classes);
void eval_classes_print(const eval_classes *classes);
/* Adds "classes" and "confusion". */
void eval_classes_json(const eval_classes *classes, json_t *json);

#endif
