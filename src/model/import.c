/* SPDX-License-Identifier: Apache-2.0
 * Import and optimisation: a checkpoint becomes a model, and a model one of another level. */
#include "arch/build.h"
#include "arch/sentences.h"
#include "arch/vocabulary.h"
#include "base/budget.h"
#include "graph/rewrite.h"
#include "model/file.h"
#include "model/onnx_own.h"
#include "text/restrict.h"

#include <string.h>

/* ---- Rewriting ---- */

/* A warning of the model, unless it has that one. */
static retort_status warn(retort_model *model, const char *text, retort_error *err) {
    for (size_t i = 0; i < model->warning_count; i++) {
        if (strcmp(model->warnings[i], text) == 0) return RETORT_OK;
    }
    if (model->warning_count == RT_MODEL_WARNINGS) return RETORT_OK;
    const char *kept = rt_arena_text(&model->arena, text, strlen(text));
    if (kept == NULL) return rt_fail_nomem(err, strlen(text));
    model->warnings[model->warning_count++] = kept;
    return RETORT_OK;
}

/* A graph with a node that the last level cannot have stays at the level before, which runs, and the model's warning names
 * the node. Where somebody has left rewrites out, that is an error: it is they that are missing. */
static retort_status optimize(retort_model *model, const retort_optimize_options *options,
                              retort_error *err) {
    retort_error stop = {0};
    retort_status status = rt_graph_optimize(&model->graph, options, true, &stop);
    if (status == RETORT_UNSUPPORTED && options->without_count == 0 &&
        model->graph.level == options->level - 1) {
        status = warn(model, stop.text, &stop);
    }
    if (status != RETORT_OK) {
        if (err != NULL) *err = stop;
        return status;
    }
    return rt_provenance_leave_out(&model->provenance, &model->arena, options->without,
                                   options->without_count, err);
}

/* ---- Import ---- */

/* The files of a tokenizer that is not the checkpoint's: a folder, a tokenizer.json, or a vocab.txt. */
static retort_status open_tokenizer(rt_tokenizer **out, const char *path, retort_error *err) {
    if (rt_is_folder(path)) return rt_tokenizer_from_folder(out, path, err);
    rt_map map;
    retort_status status = rt_map_open(&map, path, err);
    if (status != RETORT_OK) return status;
    size_t length = strlen(path);
    bool json = length > 5 && strcmp(path + length - 5, ".json") == 0;
    status = json ? rt_tokenizer_from_json(out, path, map.data, map.size, NULL, 0, err)
                  : rt_tokenizer_from_vocab(out, path, map.data, map.size, NULL, 0, err);
    rt_map_close(&map);
    return status;
}

static retort_status keep_sentences(retort_model *model, const rt_sentences *from, retort_error *err) {
    json_t *json = rt_sentences_write(from);
    rt_sentences *to = &model->config.sentences;
    *to = (rt_sentences){.skips_prompt = from->skips_prompt};
    if (json == NULL) return rt_fail_nomem(err, sizeof *to);
    retort_status status = rt_sentences_read(to, &model->arena, "prompts", json, err);
    json_decref(json);
    return status;
}

/* The configuration with its texts in the model's arena, and the provenance. */
static retort_status keep_config(retort_model *model, const rt_config *config, const char *source,
                                 retort_error *err) {
    model->config = *config;
    model->source = rt_arena_text(&model->arena, source, strlen(source));
    if (model->source == NULL) return rt_fail_nomem(err, strlen(source));
    if (rt_config_has_sentences(config)) {
        retort_status status = keep_sentences(model, &config->sentences, err);
        if (status != RETORT_OK) return status;
    }
    if (config->label_names == NULL) return RETORT_OK;
    const char **labels = rt_arena_calloc(&model->arena, (size_t)config->labels, sizeof *labels);
    bool kept = labels != NULL;
    for (int64_t i = 0; kept && i < config->labels; i++) {
        labels[i] = rt_arena_text(&model->arena, config->label_names[i], strlen(config->label_names[i]));
        kept = labels[i] != NULL;
    }
    model->config.label_names = labels;
    return kept ? RETORT_OK : rt_fail_nomem(err, (size_t)config->labels * sizeof *labels);
}

/* The stages of an import, for its progress. */
static const char *const stages[] = {"read", "build", "optimize", "check"};
enum { READ, BUILD, OPTIMIZE, CHECK, STAGES };

static retort_status enter(int stage, const retort_import_options *options, retort_error *err) {
    if (options->progress == NULL ||
        options->progress(options->user, stages[stage], (size_t)stage, STAGES) == 0)
        return RETORT_OK;
    return rt_fail(err, RETORT_CANCELLED, "import: cancelled before: %s", stages[stage]);
}

static retort_status keep_warnings(retort_model *model, const retort_import_options *options,
                                   retort_error *err) {
    const char *text;
    for (size_t i = 0; (text = rt_tokenizer_warning(model->tokenizer, i)) != NULL; i++) {
        if (options->warning != NULL) options->warning(options->user, text);
        retort_status status = warn(model, text, err);
        if (status != RETORT_OK) return status;
    }
    return RETORT_OK;
}

static bool is_restricted(const retort_import_options *options) {
    return options->languages != NULL || options->text_count > 0;
}

static retort_status keep_restriction(retort_model *model, const rt_restriction *made,
                                      const retort_import_options *options, retort_error *err) {
    model->restriction = (retort_restriction){.pieces = (int64_t)made->count,
                                              .pieces_before = (int64_t)made->before,
                                              .texts = options->text_count,
                                              .identical = made->identical,
                                              .identical_unseen = made->identical_unseen};
    if (options->languages == NULL) return RETORT_OK;
    model->restriction.languages =
        rt_arena_text(&model->arena, options->languages, strlen(options->languages));
    return model->restriction.languages != NULL ? RETORT_OK : rt_fail_nomem(err, strlen(options->languages));
}

/* Leaves pieces out of the tokenizer, and their rows out of the encoder. Ids up to that of padding stay, as positions are
 * counted from it. */
static retort_status restrict_vocabulary(retort_model *model, rt_encoder *encoder, const char *source,
                                         const retort_import_options *options, retort_error *err) {
    const rt_sentences *sentences = &model->config.sentences;
    const rt_restriction_options how = {options->languages,
                                        options->texts,
                                        options->text_count,
                                        sentences->prompts,
                                        (size_t)sentences->prompt_count,
                                        (int32_t)encoder->config.position_offset};
    rt_tokenizer *tokenizer;
    rt_restriction made;
    retort_status status = rt_tokenizer_restrict(&tokenizer, &made, model->tokenizer, &how, source, err);
    if (status != RETORT_OK) return status;
    rt_tokenizer_free(model->tokenizer);
    model->tokenizer = tokenizer;
    status = rt_encoder_select_words(encoder, source, made.ids, made.count, err);
    if (status == RETORT_OK) status = keep_restriction(model, &made, options, err);
    model->config.vocab = encoder->config.vocab;
    model->config.labels = encoder->config.labels;
    rt_restriction_free(&made);
    return status;
}

/* Builds the graph of level 0 from an open checkpoint, and opens the tokenizer. */
static retort_status take_encoder(retort_model *model, rt_encoder *encoder, const char *source,
                                  const retort_import_options *options, retort_error *err) {
    const char *tokenizer = options->tokenizer != NULL ? options->tokenizer : rt_encoder_folder(encoder);
    retort_status status = keep_config(model, &encoder->config, source, err);
    bool plain = encoder->config.arch == &rt_arch_static && options->tokenizer == NULL;
    if (status == RETORT_OK && plain)
        status = rt_tokenizer_without_special(&model->tokenizer, tokenizer, err);
    if (status == RETORT_OK && !plain) status = open_tokenizer(&model->tokenizer, tokenizer, err);
    if (status == RETORT_OK) status = keep_warnings(model, options, err);
    if (status == RETORT_OK && is_restricted(options))
        status = restrict_vocabulary(model, encoder, source, options, err);
    if (status == RETORT_OK) status = enter(BUILD, options, err);
    if (status != RETORT_OK) return status;
    if (encoder->lowers && !rt_tokenizer_describe(model->tokenizer).lowercase) {
        return rt_fail(
            err, RETORT_UNSUPPORTED,
            "%s: sentence_bert_config.json says do_lower_case, but the tokenizer keeps case: retort does not "
            "lower-case texts for it",
            tokenizer);
    }
    rt_tokenizer_info info = rt_tokenizer_describe(model->tokenizer);
    if (!encoder->length_stated && info.max_length > 0 && info.max_length < model->config.max_length) {
        model->config.max_length = info.max_length;
    }
    status = rt_graph_build(&model->graph, encoder, info.mask, err);
    if (encoder->graph_file != NULL) model->config.after_pad = rt_graph_counts_ids(&model->graph);
    return status;
}

static retort_status finish_import(retort_model *model, const char *source,
                                   const retort_import_options *options, retort_error *err) {
    retort_optimize_options how = RETORT_OPTIMIZE_OPTIONS;
    /* Our own export comes with the level it was written at, and rewrites cannot be undone. */
    how.level = options->level < model->graph.level ? model->graph.level : options->level;
    if (model->config.arch == &rt_arch_static && how.level == 3)
        how.level = 2; /* nothing but a look-up and a mean */
    how.without = options->without;
    how.without_count = options->without_count;
    retort_status status = RETORT_OK;
    if (model->provenance.recipe == NULL || options->dtype == RETORT_BF16) {
        model->provenance.left_out = NULL;
        status = rt_provenance_set(&model->provenance, &model->arena, options->dtype,
                                   options->dtype == RETORT_BF16 ? "bf16" : "fp32", err);
    }
    if (status == RETORT_OK) status = enter(OPTIMIZE, options, err);
    size_t warned = model->warning_count;
    if (status == RETORT_OK) status = optimize(model, &how, err);
    if (status == RETORT_OK && model->warning_count > warned && options->warning != NULL)
        options->warning(options->user, model->warnings[warned]);
    if (status == RETORT_OK && options->dtype == RETORT_BF16 && model->config.arch == &rt_arch_static)
        return rt_fail(err, RETORT_UNSUPPORTED,
                       "%.200s: a static embedding has no matrices to be stored as bf16", source);
    if (status == RETORT_OK && options->dtype == RETORT_BF16 && model->graph.level < 3)
        return rt_fail(err, RETORT_UNSUPPORTED, "%.200s: weights as bf16 need level 3; %.250s", source,
                       model->warnings[model->warning_count - 1]);
    if (status == RETORT_OK && options->dtype == RETORT_BF16) {
        rt_graph_use_integers(&model->graph);
        status = rt_graph_use_bf16(&model->graph, err);
    }
    if (status == RETORT_OK) status = enter(CHECK, options, err);
    return status == RETORT_OK ? rt_model_check(model, source, err) : status;
}

static retort_status import_encoder(retort_model *model, const char *source,
                                    const retort_import_options *options, retort_error *err) {
    rt_encoder encoder;
    const rt_encoder_options how = {options->force_task ? &options->task : NULL, options->head,
                                    options->layers, options->layer_count};
    retort_status status = rt_encoder_open(&encoder, source, &how, err);
    if (status != RETORT_OK) return status;
    status = take_encoder(model, &encoder, source, options, err);
    model->source_nodes = encoder.source_nodes;
    rt_encoder_close(&encoder);
    return status;
}

/* Our own .onnx exports are read as the models that they were made from, unless options ask for another task,
 * tokenizer or head, or fewer layers or pieces. */
static retort_status import_graph(retort_model *model, const char *source,
                                  const retort_import_options *options, retort_error *err) {
    bool own = false, plain = !options->force_task && options->head == NULL && options->layers == NULL &&
                              !is_restricted(options);
    if (rt_is_file(source) && plain && options->tokenizer == NULL) {
        rt_onnx onnx;
        retort_status status = rt_onnx_open(&onnx, source, err);
        if (status != RETORT_OK) return status;
        status = rt_onnx_own(model, source, &onnx, &own, err);
        if (own) model->source_nodes = onnx.node_count;
        rt_onnx_close(&onnx);
        if (status != RETORT_OK || own) return status;
    }
    return import_encoder(model, source, options, err);
}

retort_status rt_model_import(retort_model **out, const char *source, const retort_import_options *options,
                              retort_error *err) {
    const retort_import_options defaults = RETORT_IMPORT_OPTIONS;
    rt_budget budget;
    if (options == NULL) options = &defaults;
    if (options->dtype != RETORT_F32 && (options->dtype != RETORT_BF16 || options->level != 3)) {
        return rt_fail(err, RETORT_ARGUMENT,
                       "import: weights as %s at level %d: expected f32, or bf16 at level 3",
                       retort_dtype_name(options->dtype), options->level);
    }
    retort_model *model = rt_model_new();
    retort_status status = model != NULL ? enter(READ, options, err) : rt_fail_nomem(err, sizeof *model);
    rt_budget_begin(&budget, source, options->memory);
    if (status == RETORT_OK) status = import_graph(model, source, options, err);
    if (status == RETORT_OK) status = finish_import(model, source, options, err);
    status = rt_budget_end(&budget, status, err);
    if (status == RETORT_OK) {
        *out = model;
    } else {
        retort_model_free(model);
    }
    return status;
}

/* ---- Optimisation ---- */

static size_t constant_bytes(const rt_graph *graph) {
    size_t all = 0, bytes;
    for (size_t i = 0; i < graph->value_count; i++) {
        if (graph->values[i].data != NULL && rt_value_bytes(&graph->values[i], &bytes)) all += bytes;
    }
    return all;
}

retort_status rt_model_optimize(retort_model **out, const retort_model *model,
                                const retort_optimize_options *options, retort_error *err) {
    retort_model *next = NULL;
    rt_budget budget;
    rt_budget_begin(&budget, model->source, options->memory);
    rt_budget_file(0, 0, constant_bytes(&model->graph));
    retort_status status = rt_model_derive(&next, model, err);
    if (status == RETORT_OK) status = optimize(next, options, err);
    status = rt_budget_end(&budget, status, err);
    if (status == RETORT_OK) {
        *out = next;
    } else {
        retort_model_free(next);
    }
    return status;
}
