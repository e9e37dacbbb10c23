/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/eval_changed.h"
#include "cli/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

cli_code eval_changed_open(eval_changed *changed, const retort_model *model, size_t most) {
    retort_info info = {.size = sizeof info};
    retort_model_info(model, &info);
    if (info.task != RETORT_TASK_CLASSIFY || info.problem != RETORT_PROBLEM_SINGLE_LABEL || info.labels < 2) {
        cli_error("--changed lists texts whose label changed: this model does not give each text one label");
        return CLI_USAGE;
    }
    changed->most = most;
    changed->texts = calloc(most + 1, sizeof *changed->texts);
    if (changed->texts != NULL) return CLI_DONE;
    cli_error("out of memory for %zu texts", most);
    return CLI_FAILED;
}

void eval_changed_free(eval_changed *changed) {
    free(changed->texts);
    *changed = (eval_changed){0};
}

int eval_changed_see(void *user, const retort_eval_text *text) {
    eval_changed *c = user;
    if (text->label == text->reference) return 0;
    size_t at = c->kept;
    c->count++;
    for (; at > 0 && c->texts[at - 1].probability < text->probability; at--) c->texts[at] = c->texts[at - 1];
    c->texts[at] = *text;
    c->kept += c->kept < c->most;
    return 0;
}

static const char *label_of(const retort_model *model, int64_t label) {
    const char *name = label >= 0 ? retort_model_label(model, label) : NULL;
    return name != NULL ? name : "";
}

/* What the change did, where the text has a label of its own. */
static const char *effect_of(const retort_eval_text *text) {
    if (text->gold < 0) return "";
    return text->label == text->gold       ? "right now"
           : text->reference == text->gold ? "wrong now"
                                           : "still wrong";
}

void eval_changed_print(const eval_changed *c, const retort_model *model, const retort_dataset *data) {
    printf("\n%zu texts have another label than the reference's%s\n", c->count,
           c->count > c->kept ? "; the surest:"
           : c->count > 0     ? ":"
                              : "");
    for (size_t i = 0; i < c->kept; i++) {
        const retort_eval_text *text = &c->texts[i];
        retort_text words;
        retort_dataset_text(data, text->index, &words);
        fputs("  ", stdout);
        cli_put(stdout, label_of(model, text->reference), strlen(label_of(model, text->reference)));
        printf(" %.3f -> ", text->reference_probability);
        cli_put(stdout, label_of(model, text->label), strlen(label_of(model, text->label)));
        printf(" %.3f%s%s  ", text->probability, text->gold >= 0 ? ", " : "", effect_of(text));
        cli_put(stdout, words.text, words.length);
        puts("");
    }
}

static json_t *text_json(const retort_eval_text *text, const retort_model *model,
                         const retort_dataset *data) {
    retort_text words;
    retort_dataset_text(data, text->index, &words);
    json_t *json =
        json_pack("{s:I, s:o, s:s, s:s, s:f, s:f}", "index", (json_int_t)text->index, "text",
                  cli_json_text(words.text, words.length), "reference", label_of(model, text->reference),
                  "label", label_of(model, text->label), "reference_probability", text->reference_probability,
                  "probability", text->probability);
    if (json != NULL && text->gold >= 0)
        json_object_set_new(json, "gold", json_string(label_of(model, text->gold)));
    return json;
}

void eval_changed_json(const eval_changed *c, const retort_model *model, const retort_dataset *data,
                       json_t *json) {
    json_t *list = json_array();
    for (size_t i = 0; i < c->kept; i++) json_array_append_new(list, text_json(&c->texts[i], model, data));
    json_object_set_new(json, "changed", json_integer((json_int_t)c->count));
    json_object_set_new(json, "changed_texts", list);
}
