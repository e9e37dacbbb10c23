/* SPDX-License-Identifier: Apache-2.0
 * info: facts about a model. */
#include "cmd/info.h"
#include "cli/layers.h"
#include "cli/model.h"
#include "cli/text.h"
#include "cli/vocabulary.h"
#include "cmd/cascade_stages.h"
#include "retort.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static const char *const problem_names[] = {
    [RETORT_PROBLEM_SINGLE_LABEL] = "single_label",
    [RETORT_PROBLEM_MULTI_LABEL] = "multi_label",
    [RETORT_PROBLEM_REGRESSION] = "regression",
};

static const char *shape_text(char *out, size_t size, const retort_tensor_info *tensor) {
    size_t at = 0;
    out[0] = '\0';
    for (int i = 0; i < tensor->rank && at < size; i++) {
        at += (size_t)snprintf(out + at, size - at, "%s%lld", i > 0 ? "x" : "", (long long)tensor->shape[i]);
    }
    return out;
}

static json_t *tensor_json(const retort_tensor_info *tensor) {
    json_t *shape = json_array();
    for (int i = 0; i < tensor->rank; i++) json_array_append_new(shape, json_integer(tensor->shape[i]));
    return json_pack(
        "{s:o, s:s, s:s, s:s, s:o, s:I, s:I}", "name", cli_json_text(tensor->name, strlen(tensor->name)),
        "dtype", retort_dtype_name(tensor->dtype), "layout", tensor->layout, "part", tensor->part, "shape",
        shape, "parameters", (json_int_t)tensor->parameters, "bytes", (json_int_t)tensor->bytes);
}

/* Bytes of all tensors of a type. */
static uint64_t bytes_of(const retort_model *model, retort_dtype dtype) {
    uint64_t bytes = 0;
    retort_tensor_info tensor = {.size = sizeof tensor};
    for (size_t i = 0; retort_model_tensor(model, i, &tensor) == RETORT_OK; i++) {
        if (tensor.dtype == dtype) bytes += tensor.bytes;
    }
    return bytes;
}

/* The size of a part of the weights. */
typedef struct part {
    const char *name;
    uint64_t parameters, bytes;
} part;
enum { PARTS = 3 };

/* Collects the parts that have tensors, in the order of `names`; returns their number. */
static size_t find_parts(const retort_model *model, part parts[PARTS]) {
    static const char *const names[PARTS] = {"embeddings", "matrices", "vectors"};
    retort_tensor_info tensor = {.size = sizeof tensor};
    size_t count = 0;
    for (int p = 0; p < PARTS; p++) {
        part found = {.name = names[p]};
        for (size_t i = 0; retort_model_tensor(model, i, &tensor) == RETORT_OK; i++) {
            if (strcmp(tensor.part, names[p]) != 0) continue;
            found.parameters += tensor.parameters;
            found.bytes += tensor.bytes;
        }
        if (found.bytes > 0) parts[count++] = found;
    }
    return count;
}

/* Bits per parameter, scales and padding included. */
static double bits_of(const part *p) {
    return p->parameters > 0 ? 8.0 * (double)p->bytes / (double)p->parameters : 0;
}

static json_t *parts_json(const retort_model *model) {
    json_t *json = json_object();
    part parts[PARTS];
    size_t count = find_parts(model, parts);
    for (size_t i = 0; i < count; i++) {
        json_object_set_new(json, parts[i].name,
                            json_pack("{s:I, s:I, s:f}", "parameters", (json_int_t)parts[i].parameters,
                                      "bytes", (json_int_t)parts[i].bytes, "bits", bits_of(&parts[i])));
    }
    return json;
}

static void print_parts(const retort_model *model) {
    part parts[PARTS];
    char size[32];
    size_t count = find_parts(model, parts);
    for (size_t i = 0; i < count; i++) {
        printf("            %-10s %8.3f million of %5.2f bits, %s\n", parts[i].name,
               (double)parts[i].parameters / 1e6, bits_of(&parts[i]),
               cli_bytes(size, sizeof size, parts[i].bytes));
    }
}

static json_t *labels_json(const retort_model *model) {
    json_t *labels = json_array();
    const char *label;
    for (int64_t i = 0; (label = retort_model_label(model, i)) != NULL; i++) {
        json_array_append_new(labels, cli_json_text(label, strlen(label)));
    }
    return labels;
}

/* Those of a model that embeds may be none. */
static bool has_prompts(const retort_model *model, const retort_info *info) {
    return info->task == RETORT_TASK_EMBED || retort_model_prompt(model, 0, NULL) != NULL;
}

static json_t *prompts_json(const retort_model *model) {
    json_t *prompts = json_object();
    const char *name, *text;
    for (size_t i = 0; (name = retort_model_prompt(model, i, &text)) != NULL; i++) {
        json_object_set_new(prompts, name, cli_json_text(text, strlen(text)));
    }
    return prompts;
}

/* Whether layers differ in their heads or columns: after pruning. */
static bool is_uneven(const retort_model *model) {
    retort_layer_info first = {.size = sizeof first}, layer = first;
    if (retort_model_layer(model, 0, &first) != RETORT_OK) return false;
    for (size_t i = 1; retort_model_layer(model, i, &layer) == RETORT_OK; i++) {
        if (layer.heads != first.heads || layer.ffn != first.ffn) return true;
    }
    return false;
}

static cli_code print_info_json(const cli_args *args, const retort_model *model, const retort_info *info) {
    json_t *bytes = json_object(), *tensors = json_array();
    retort_tensor_info tensor = {.size = sizeof tensor};
    for (int dtype = RETORT_F32; dtype <= RETORT_BOOL; dtype++) {
        uint64_t n = bytes_of(model, (retort_dtype)dtype);
        if (n > 0)
            json_object_set_new(bytes, retort_dtype_name((retort_dtype)dtype), json_integer((json_int_t)n));
    }
    for (size_t i = 0; cli_has(args, CLI_TENSORS) && retort_model_tensor(model, i, &tensor) == RETORT_OK;
         i++) {
        json_array_append_new(tensors, tensor_json(&tensor));
    }
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:o, s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
                  "s:I, s:I, s:o, "
                  "s:o, s:o}",
                  "task", cli_task_names[info->task], "problem", problem_names[info->problem], "family",
                  info->family, "source", cli_json_text(info->source, strlen(info->source)), "recipe",
                  info->recipe, "dtype", info->dtype, "level", info->level, "layers", info->layers, "hidden",
                  info->hidden, "heads", info->heads, "ffn", info->ffn, "vocab", info->vocab, "positions",
                  info->positions, "labels", info->labels, "max_length", info->max_length, "parameters",
                  (json_int_t)info->parameters, "file_bytes", (json_int_t)info->file_bytes, "nodes",
                  (json_int_t)info->nodes, "tensor_count", (json_int_t)info->tensors, "label_names",
                  labels_json(model), "bytes", bytes, "parts", parts_json(model));
    json_t *warnings = json_array();
    const char *warning;
    for (size_t i = 0; (warning = retort_model_warning(model, i)) != NULL; i++) {
        json_array_append_new(warnings, cli_json_text(warning, strlen(warning)));
    }
    json_object_set_new(json, "warnings", warnings);
    if (is_uneven(model)) json_object_set_new(json, "layer_widths", cli_layers_json(model));
    if (info->sparse) json_object_set_new(json, "sparse", json_true());
    if (info->activation != NULL) json_object_set_new(json, "activation", json_string(info->activation));
    if (has_prompts(model, info)) {
        const char *own = info->default_prompt;
        if (info->task == RETORT_TASK_EMBED)
            json_object_set_new(json, "similarity", json_string(info->similarity));
        json_object_set_new(json, "prompts", prompts_json(model));
        json_object_set_new(json, "default_prompt",
                            own != NULL ? cli_json_text(own, strlen(own)) : json_null());
    }
    json_t *cascade = cascade_json(model);
    if (cascade != NULL) json_object_set_new(json, "cascade", cascade);
    json_t *vocabulary = cli_restriction_json(model);
    if (vocabulary != NULL) json_object_set_new(json, "vocabulary", vocabulary);
    if (cli_has(args, CLI_TENSORS)) json_object_set(json, "tensors", tensors);
    json_decref(tensors);
    return cli_print_json(json);
}

/* What a sentence-transformers package adds. */
static void print_package(const retort_model *model, const retort_info *info) {
    const char *name, *text;
    if (info->activation != NULL) printf("scores      %s of the logits\n", info->activation);
    if (info->task == RETORT_TASK_EMBED) printf("similarity  %s\n", info->similarity);
    for (size_t i = 0; (name = retort_model_prompt(model, i, &text)) != NULL; i++) {
        bool own = info->default_prompt != NULL && strcmp(name, info->default_prompt) == 0;
        fputs(own ? "prompt *    " : "prompt      ", stdout);
        cli_put(stdout, name, strlen(name));
        fputs(": ", stdout);
        cli_put_line(stdout, text);
    }
}

static void print_layers(const retort_model *model) {
    if (is_uneven(model)) cli_print_layers(model, "layers      ");
}

static void print_info(const cli_args *args, const retort_model *model, const retort_info *info) {
    char size[32], shape[128];
    retort_tensor_info tensor = {.size = sizeof tensor};
    bool classifies = info->task == RETORT_TASK_CLASSIFY;
    printf("task        %s%s%s%s, %lld %s\n", cli_task_names[info->task], classifies ? " (" : "",
           classifies ? problem_names[info->problem] : "", classifies ? ")" : "", (long long)info->labels,
           info->task != RETORT_TASK_EMBED ? "labels"
           : info->sparse                  ? "values per sparse vector"
                                           : "values per vector");
    printf("encoder     %s, %lld layers, hidden %lld, %lld heads, ffn %lld\n", info->family,
           (long long)info->layers, (long long)info->hidden, (long long)info->heads, (long long)info->ffn);
    print_layers(model);
    printf("text        vocabulary %lld, %lld positions, truncated to %lld tokens\n", (long long)info->vocab,
           (long long)info->positions, (long long)info->max_length);
    cli_print_restriction(model);
    printf("graph       level %d, %zu nodes\n", info->level, info->nodes);
    fputs("weights     ", stdout);
    cli_put(stdout, info->recipe, strlen(info->recipe));
    printf(", %.1f million parameters in %zu tensors\n", (double)info->parameters / 1e6, info->tensors);
    print_parts(model);
    if (info->file_bytes > 0) printf("file        %s\n", cli_bytes(size, sizeof size, info->file_bytes));
    fputs("source      ", stdout);
    cli_put_line(stdout, info->source);
    print_package(model, info);
    cascade_print(model);
    const char *warning;
    for (size_t i = 0; (warning = retort_model_warning(model, i)) != NULL; i++) {
        fputs("warning     ", stdout);
        cli_put_line(stdout, warning);
    }
    const char *label;
    for (int64_t i = 0; (label = retort_model_label(model, i)) != NULL; i++) {
        fputs(i == 0 ? "labels      " : ", ", stdout);
        cli_put(stdout, label, strlen(label));
    }
    if (retort_model_label(model, 0) != NULL) printf("\n");
    for (size_t i = 0; cli_has(args, CLI_TENSORS) && retort_model_tensor(model, i, &tensor) == RETORT_OK;
         i++) {
        cli_put_column(stdout, 40, tensor.name);
        printf(" %-5s %-9s %-14s %s\n", retort_dtype_name(tensor.dtype), tensor.layout,
               shape_text(shape, sizeof shape, &tensor), cli_bytes(size, sizeof size, tensor.bytes));
    }
}

cli_code cmd_info(const cli_args *args) {
    retort_model *model = NULL;
    retort_info info = {.size = sizeof info};
    cli_code code = cli_open_model(&model, args, args->words[0], 3);
    if (code != CLI_DONE) return code;
    retort_model_info(model, &info);
    if (cli_has(args, CLI_JSON)) {
        code = print_info_json(args, model, &info);
    } else {
        print_info(args, model, &info);
    }
    retort_model_free(model);
    return code;
}
