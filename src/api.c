/* SPDX-License-Identifier: Apache-2.0
 * The public calls: they check arguments and call the layers below. (Sessions, retort_run and
 * retort_machine_describe check their own.) */
#include "base/binomial.h"
#include "base/sized.h"
#include "base/thread.h"
#include "cascade/build.h"
#include "format/hub.h"
#include "format/path.h"
#include "graph/draw.h"
#include "model/onnx_export.h"
#include "model/cascade.h"
#include "model/describe.h"
#include "quant/dequantize.h"
#include "prune/module.h"
#include "prune/prune.h"
#include "quant/quantize.h"
#include "train/train.h"
#include "run/session.h"
#include "eval/eval.h"
#include "eval/table_rows.h"
#include "task/arrow.h"
#include "task/task.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint32_t retort_version(void) {
    return RETORT_VERSION_MAJOR << 16 | RETORT_VERSION_MINOR << 8 | RETORT_VERSION_PATCH;
}

static retort_status bad(retort_error *err, const char *call, const char *what) {
    return rt_fail(err, RETORT_ARGUMENT, "%s: %s", call, what);
}

static retort_status check_names(const char *call, const char *const *names, size_t n, retort_error *err) {
    for (size_t i = 0; i < n; i++) {
        if (names == NULL || names[i] == NULL)
            return rt_fail(err, RETORT_ARGUMENT, "%s: name %zu is NULL", call, i);
    }
    return RETORT_OK;
}

static bool is_text(const retort_text *text) {
    return (text->text != NULL || text->length == 0) && (text->pair != NULL || text->pair_length == 0);
}

static retort_status check_texts(const char *call, const retort_session *session, retort_task task,
                                 const retort_text *texts, size_t n, retort_error *err) {
    if (session == NULL) return bad(err, call, "session is NULL");
    if (texts == NULL && n > 0) return bad(err, call, "texts is NULL");
    if (rt_session_model(session)->config.task != task) {
        return bad(err, call, "the model was made for another task");
    }
    if (rt_session_token_vectors(session)) return bad(err, call, "the session gives only token vectors");
    for (size_t i = 0; i < n; i++) {
        if (!is_text(&texts[i])) return rt_fail(err, RETORT_ARGUMENT, "%s: text %zu is NULL", call, i);
    }
    return RETORT_OK;
}

/* ---- Models ---- */

static retort_status check_head(const retort_head *head, retort_error *err) {
    bool classify = head->task == RETORT_TASK_CLASSIFY, numbers = head->problem == RETORT_PROBLEM_REGRESSION;
    if (!classify && head->task != RETORT_TASK_TAG)
        return bad(err, "import", "a new head classifies or tags");
    if ((unsigned)head->problem > RETORT_PROBLEM_REGRESSION || (numbers && !classify))
        return bad(err, "import", "a new head is for one label, several labels, or numbers of a classifier");
    if (head->count < (numbers ? 1 : 2) || head->count > RT_MOST_LABELS)
        return rt_fail(err, RETORT_ARGUMENT, "import: a new head for %zu labels; expected %d to %d",
                       head->count, numbers ? 1 : 2, RT_MOST_LABELS);
    return check_names("import", head->labels, head->labels != NULL ? head->count : 0, err);
}

retort_status retort_hub_find(char *path, size_t capacity, const char *id, retort_error *err) {
    char found[RT_PATH_SIZE];
    if (path == NULL || id == NULL) return bad(err, "hub_find", "path and id must be given");
    if (!rt_hub_find(found, id))
        return rt_fail(err, RETORT_IO, "%.200s: no folder, and not in the local cache of the hub", id);
    if ((size_t)snprintf(path, capacity, "%s", found) < capacity) return RETORT_OK;
    return rt_fail(err, RETORT_LIMIT, "%.200s: a path of more than %zu bytes", found, capacity);
}

retort_status retort_model_import(retort_model **out, const char *source,
                                  const retort_import_options *options, retort_error *err) {
    retort_import_options o;
    retort_head head;
    if (out == NULL || source == NULL) return bad(err, "import", "out and source must be given");
    retort_status status = rt_read_import_options("import", options, &o, err);
    if (status == RETORT_OK) status = check_names("import", o.without, o.without_count, err);
    if (status == RETORT_OK && o.head != NULL) {
        status = rt_read_head("import", o.head, &head, err);
        if (status == RETORT_OK) status = check_head(&head, err);
        o.head = &head;
    }
    if (status != RETORT_OK) return status;
    if (o.level < 0 || o.level > 3) return bad(err, "import", "level must be 0…3");
    if (o.dtype != RETORT_F32 && o.dtype != RETORT_BF16) {
        return bad(err, "import", "dtype must be f32 or bf16");
    }
    if (o.head != NULL && o.force_task)
        return bad(err, "import", "task and head both say what the model is for: give one of them");
    if ((o.layers == NULL) != (o.layer_count == 0))
        return bad(err, "import", "layers and layer_count must be given together");
    if (o.dtype == RETORT_BF16 && o.level != 3) {
        return bad(err, "import", "dtype bf16 needs level 3");
    }
    for (size_t i = 0; i < o.text_count; i++) {
        if (o.texts == NULL || !is_text(&o.texts[i]))
            return rt_fail(err, RETORT_ARGUMENT, "import: text %zu is NULL", i);
    }
    return rt_model_import(out, source, &o, err);
}

retort_status retort_model_restriction(const retort_model *model, retort_restriction *restriction,
                                       retort_error *err) {
    if (model == NULL || restriction == NULL)
        return bad(err, "restriction", "model and restriction must be given");
    retort_restriction full;
    retort_status status = rt_read_restriction("restriction", restriction, &full, err);
    if (status != RETORT_OK) return status;
    if (model->restriction.pieces == 0)
        return bad(err, "restriction", "the vocabulary of the model is whole");
    rt_give_restriction(restriction, &model->restriction);
    return RETORT_OK;
}

retort_status retort_model_load(retort_model **out, const char *path, retort_error *err) {
    return retort_model_load_with(out, path, NULL, err);
}

retort_status retort_model_load_with(retort_model **out, const char *path, const retort_load_options *options,
                                     retort_error *err) {
    retort_load_options o;
    if (out == NULL || path == NULL) return bad(err, "load", "out and path must be given");
    retort_status status = rt_read_load_options("load", options, &o, err);
    return status == RETORT_OK ? rt_model_load(out, path, o.memory, err) : status;
}

retort_status retort_model_save(const retort_model *model, const char *path, retort_error *err) {
    if (model == NULL || path == NULL) return bad(err, "save", "model and path must be given");
    return rt_model_save(model, path, err);
}

retort_status retort_model_export(const retort_model *model, const char *path,
                                  const retort_export_options *options, retort_export_info *info,
                                  retort_error *err) {
    retort_export_options o;
    if (model == NULL || path == NULL) return bad(err, "export", "model and path must be given");
    retort_status status = rt_read_export_options("export", options, &o, err);
    retort_export_info full;
    if (status == RETORT_OK) status = rt_read_export_info("export", info, &full, err);
    if (status == RETORT_OK) status = rt_cascade_refuse(model, "export", err);
    if (status == RETORT_OK) status = rt_onnx_export(model, path, &o, &full, err);
    if (status == RETORT_OK && info != NULL) rt_give_export_info(info, &full);
    return status;
}

retort_status retort_model_optimize(retort_model **out, const retort_model *model,
                                    const retort_optimize_options *options, retort_error *err) {
    retort_optimize_options o;
    if (out == NULL || model == NULL) return bad(err, "optimize", "out and model must be given");
    retort_status status = rt_read_optimize_options("optimize", options, &o, err);
    if (status == RETORT_OK) status = check_names("optimize", o.without, o.without_count, err);
    if (status == RETORT_OK) status = rt_cascade_refuse(model, "optimize", err);
    if (status != RETORT_OK) return status;
    if (o.level < 0 || o.level > 3) return bad(err, "optimize", "level must be 0…3");
    if (o.level < model->graph.level) {
        return rt_fail(err, RETORT_ARGUMENT,
                       "optimize: the graph is at level %d already: it cannot go to %d; import "
                       "the checkpoint at that level",
                       model->graph.level, o.level);
    }
    return rt_model_optimize(out, model, &o, err);
}

/* For integer weights; 0: that of the recipe. */
static bool are_bits(int bits) {
    return bits == 0 || bits == 8 || (bits >= 2 && bits <= 4);
}

/* Weights that share an integer scale; 0: that of the recipe. */
static bool is_group(int64_t group) {
    return group >= 0 && group <= 1 << 16 && group % 32 == 0;
}

retort_status retort_model_quantize(retort_model **out, const retort_model *model,
                                    const retort_quantize_options *options, retort_error *err) {
    retort_quantize_options o;
    if (out == NULL || model == NULL) return bad(err, "quantize", "out and model must be given");
    retort_status status = rt_read_quantize_options("quantize", options, &o, err);
    if (status != RETORT_OK) return status;
    if (!are_bits(o.embeddings)) return bad(err, "quantize", "embeddings must be of 8, 4, 3 or 2 bits");
    if (!are_bits(o.bits)) return bad(err, "quantize", "matrices must be of 8, 4, 3 or 2 bits");
    if ((unsigned)o.activations > RETORT_ACTIVATIONS_STATIC) {
        return bad(err, "quantize", "activations are dynamic or static");
    }
    if (!is_group(o.group)) {
        return bad(err, "quantize", "the group must be a multiple of 32, at most 65536");
    }
    if (o.weak_columns > 64 || o.weak_columns % 8 != 0) {
        return bad(err, "quantize", "outlier columns must be a multiple of 8, at most 64");
    }
    status = check_names("quantize", o.keep, o.keep_count, err);
    if (status == RETORT_OK) status = rt_cascade_refuse(model, "quantize", err);
    return status == RETORT_OK ? rt_quantize(out, model, &o, err) : status;
}

retort_status retort_model_dequantize(retort_model **out, const retort_model *model, retort_error *err) {
    if (out == NULL || model == NULL) return bad(err, "dequantize", "out and model must be given");
    retort_status status = rt_cascade_refuse(model, "dequantize", err);
    return status == RETORT_OK ? rt_dequantize(out, model, err) : status;
}

/* A number in [low, high); NaN is none. */
static bool is_in(double value, double low, double high) {
    return value >= low && value < high;
}

static retort_status check_train_options(const retort_train_options *o, retort_error *err) {
    if (o->data == NULL) return bad(err, "train", "data must be given");
    if (!is_in(o->epochs, 0, 1e6 + 1)) return bad(err, "train", "epochs must be 0…1000000");
    if (o->steps > INT32_MAX) return bad(err, "train", "steps must be fewer than 2^31");
    if (o->batch > INT32_MAX) return bad(err, "train", "a batch must have fewer than 2^31 texts");
    if (!is_in(o->learning_rate, 0, 1e3)) return bad(err, "train", "the learning rate must be 0…1000");
    if (!is_in(o->warmup, -1e300, 1)) return bad(err, "train", "warm-up is a share of the steps, below 1");
    if ((unsigned)o->decay > RETORT_DECAY_CONSTANT)
        return bad(err, "train", "decay is linear, cosine or constant");
    if (!is_in(o->weight_decay, -1e300, 1e3)) return bad(err, "train", "weight decay must be 0…1000");
    if (!is_in(o->clip, -1e300, 1e300)) return bad(err, "train", "clip must be a norm");
    if (!is_in(o->layer_decay, 0, 1 + 1e-9)) return bad(err, "train", "layer decay must be 0…1");
    if (!is_in(o->label_smoothing, 0, 1)) return bad(err, "train", "label smoothing must be 0…1");
    if (!is_in(o->temperature, 0, 1e6)) return bad(err, "train", "the temperature must be positive");
    if (!is_in(o->soft, -1e300, 1 + 1e-9)) return bad(err, "train", "soft is a share of the loss, 0…1");
    if (!is_in(o->mix, -1e300, 1 + 1e-9)) return bad(err, "train", "mix is a share of the texts, 0…1");
    if (!is_in(o->hidden, -1e300, 1e6)) return bad(err, "train", "hidden must be a factor of the loss");
    if (!is_in(o->minutes, 0, 1e9)) return bad(err, "train", "minutes must not be negative");
    if (o->threads < 0 || o->threads > RT_MAX_THREADS) return bad(err, "train", "threads must be 0…1024");
    if (o->arithmetic != RETORT_F32 && o->arithmetic != RETORT_BF16)
        return bad(err, "train", "arithmetic must be f32 or bf16");
    if (o->arithmetic == RETORT_BF16 && o->recipe != NULL)
        return bad(err, "train", "arithmetic is for floats: a recipe says which integers are multiplied");
    if (!are_bits(o->bits) || !are_bits(o->embeddings))
        return bad(err, "train", "integers have 8, 4, 3 or 2 bits");
    if (!is_group(o->group)) return bad(err, "train", "the group must be a multiple of 32, at most 65536");
    if (o->resume && o->checkpoint == NULL) return bad(err, "train", "resume needs the path of a checkpoint");
    return RETORT_OK;
}

retort_status retort_train(retort_model **out, const retort_model *model, const retort_train_options *options,
                           retort_train_result *result, retort_error *err) {
    if (out == NULL || model == NULL || options == NULL)
        return bad(err, "train", "out, model and options must be given");
    retort_train_options o;
    retort_train_result full;
    retort_status status = rt_read_train_options("train", options, &o, err);
    if (status == RETORT_OK) status = rt_read_train_result("train", result, &full, err);
    if (status == RETORT_OK) status = check_train_options(&o, err);
    if (status == RETORT_OK) status = rt_cascade_refuse(model, "train", err);
    if (status == RETORT_OK && o.teacher != NULL) status = rt_cascade_refuse(o.teacher, "teacher", err);
    if (status != RETORT_OK) return status;
    status = rt_train(out, model, &o, &full, err);
    if (result != NULL) rt_give_train_result(result, &full);
    return status;
}

/* A share of something: NaN is none. */
static bool is_share(double value) {
    return value == 0 || (value > 0 && value < 1);
}

static retort_status check_prune_options(const retort_prune_options *o, retort_error *err) {
    if (o->data == NULL) return bad(err, "prune", "data must be given");
    if (!is_in(o->heads, 0, 1 << 20))
        return bad(err, "prune", "heads must be the mean number that a layer keeps");
    if (!is_share(o->ffn))
        return bad(err, "prune", "ffn must be the share of the columns that stay, between 0 and 1");
    if (!is_share(o->time))
        return bad(err, "prune", "time must be the share of it that stays, between 0 and 1");
    if (o->layers == 0 && o->heads == 0 && o->ffn == 0 && o->time == 0)
        return bad(err, "prune", "say what stays: layers, heads, ffn or time");
    if (o->time > 0 && (o->heads > 0 || o->ffn > 0))
        return bad(err, "prune", "time decides about heads and ffn itself: give one or the other");
    if (o->rounds > 64) return bad(err, "prune", "rounds must be 1…64");
    if (o->threads < 0 || o->threads > RT_MAX_THREADS) return bad(err, "prune", "threads must be 0…1024");
    return RETORT_OK;
}

retort_status retort_model_prune(retort_model **out, const retort_model *model,
                                 const retort_prune_options *options, retort_prune_result *result,
                                 retort_error *err) {
    if (out == NULL || model == NULL || options == NULL)
        return bad(err, "prune", "out, model and options must be given");
    retort_prune_options o;
    retort_prune_result full;
    retort_status status = rt_read_prune_options("prune", options, &o, err);
    if (status == RETORT_OK) status = rt_read_prune_result("prune", result, &full, err);
    if (status == RETORT_OK) status = check_prune_options(&o, err);
    if (status == RETORT_OK) status = rt_cascade_refuse(model, "prune", err);
    if (status != RETORT_OK) return status;
    status = rt_prune(out, model, &o, &full, err);
    if (result != NULL) rt_give_prune_result(result, &full);
    return status;
}

retort_status retort_model_layer(const retort_model *model, size_t index, retort_layer_info *info) {
    retort_layer_info full;
    if (model == NULL || info == NULL || rt_read_layer_info("layer", info, &full, NULL) != RETORT_OK ||
        !rt_layer_describe(&model->graph, index, &full.heads, &full.ffn))
        return RETORT_ARGUMENT;
    rt_give_layer_info(info, &full);
    return RETORT_OK;
}

retort_status retort_model_info(const retort_model *model, retort_info *info) {
    retort_info full;
    if (model == NULL || info == NULL || rt_read_info("info", info, &full, NULL) != RETORT_OK)
        return RETORT_ARGUMENT;
    retort_status status = rt_model_describe(model, &full);
    if (status == RETORT_OK) rt_give_info(info, &full);
    return status;
}

const char *retort_model_prompt(const retort_model *model, size_t index, const char **text) {
    if (model == NULL || index >= (size_t)model->config.sentences.prompt_count) return NULL;
    if (text != NULL) *text = model->config.sentences.prompts[index];
    return model->config.sentences.prompt_names[index];
}

double retort_similarity(const retort_model *model, const float *a, const float *b, size_t n) {
    if (model == NULL || (n > 0 && (a == NULL || b == NULL))) return (double)NAN;
    return rt_similarity_of(model->config.sentences.similarity, a, b, n);
}

const char *retort_model_warning(const retort_model *model, size_t index) {
    return model != NULL && index < model->warning_count ? model->warnings[index] : NULL;
}

const char *retort_model_label(const retort_model *model, int64_t index) {
    bool known = model != NULL && model->config.label_names != NULL && index >= 0;
    return known && index < model->config.labels ? model->config.label_names[index] : NULL;
}

retort_status retort_model_tensor(const retort_model *model, size_t index, retort_tensor_info *info) {
    retort_tensor_info full;
    if (model == NULL || info == NULL || rt_read_tensor_info("tensor", info, &full, NULL) != RETORT_OK)
        return RETORT_ARGUMENT;
    retort_status status = rt_model_describe_tensor(model, index, &full);
    if (status == RETORT_OK) rt_give_tensor_info(info, &full);
    return status;
}

retort_status retort_model_print(const retort_model *model, retort_write_fn write, void *user) {
    if (model == NULL || write == NULL) return RETORT_ARGUMENT;
    return rt_graph_print(&model->graph, write, user);
}

retort_status retort_model_draw(const retort_model *model, const retort_draw_options *options,
                                retort_write_fn write, void *user, retort_error *err) {
    retort_draw_options o;
    if (model == NULL || write == NULL) return bad(err, "draw", "model and write must be given");
    retort_status status = rt_read_draw_options("draw", options, &o, err);
    if (status != RETORT_OK) return status;
    return rt_graph_draw(&model->graph, &o, write, user, err);
}

/* ---- Tokens ---- */

/* *o: the caller's options. */
static retort_status read_tokenize_options(const char *call, const retort_tokenize_options *options,
                                           retort_tokenize_options *o, retort_error *err) {
    retort_status status = rt_read_tokenize_options(call, options, o, err);
    if (status == RETORT_OK && (unsigned)o->side > RETORT_SIDE_RIGHT)
        return bad(err, call, "the side is not one of retort_side");
    return status;
}

retort_status retort_tokenize(const retort_model *model, const retort_text *text,
                              const retort_tokenize_options *options, retort_tokens *out, retort_error *err) {
    retort_tokenize_options o;
    if (model == NULL || text == NULL || out == NULL) {
        return bad(err, "tokenize", "model, text and out must be given");
    }
    if (!is_text(text)) return bad(err, "tokenize", "the text is NULL");
    retort_status status = read_tokenize_options("tokenize", options, &o, err);
    if (status != RETORT_OK) return status;
    int64_t length = o.max_length < 0 ? model->config.max_length : o.max_length;
    rt_encode_options encode = {.max_length = (size_t)length,
                                .special_as_text = o.special_as_text,
                                .side = o.side,
                                .truncation = o.only_first ? RT_ONLY_FIRST : RT_LONGEST_FIRST};
    status = rt_config_prompt(&model->config, o.prompt_name, &encode.prompt, err);
    if (status != RETORT_OK) return status;
    rt_encoding encoding = {out->count, out->capacity, out->ids, out->types, out->offsets, NULL};
    status = rt_encode(model->tokenizer, text, &encode, &encoding, err);
    out->count = status == RETORT_OK ? encoding.count : 0;
    out->capacity = encoding.capacity;
    out->ids = encoding.ids;
    out->types = encoding.types;
    out->offsets = encoding.offsets;
    free(encoding.words);
    return status;
}

void retort_tokens_free(retort_tokens *tokens) {
    if (tokens == NULL) return;
    free(tokens->ids);
    free(tokens->types);
    free(tokens->offsets);
    *tokens = (retort_tokens){0};
}

const char *retort_model_piece(const retort_model *model, int32_t id) {
    return model != NULL ? rt_tokenizer_piece(model->tokenizer, id) : NULL;
}

retort_status retort_decode(const retort_model *model, const int32_t *ids, size_t n, bool skip_special,
                            retort_write_fn write, void *user, retort_error *err) {
    if (model == NULL || write == NULL || (ids == NULL && n > 0)) {
        return bad(err, "decode", "model, ids and write must be given");
    }
    return rt_decode(model->tokenizer, ids, n, skip_special, write, user, err);
}

retort_status retort_encoder_open(retort_encoder **out, retort_model *model, retort_error *err) {
    if (out == NULL || model == NULL) return bad(err, "encoder", "out and model must be given");
    return rt_tokenizing_new(out, model, err);
}

void retort_encoder_close(retort_encoder *encoder) {
    rt_tokenizing_free(encoder);
}

retort_status retort_encode(retort_encoder *encoder, const retort_text *text,
                            const retort_tokenize_options *options, int32_t *ids, int32_t *types,
                            size_t capacity, size_t *count, retort_error *err) {
    retort_tokenize_options o;
    if (encoder == NULL || text == NULL || count == NULL ||
        (capacity > 0 && (ids == NULL || types == NULL))) {
        return bad(err, "encode", "encoder, text, ids, types and count must be given");
    }
    if (!is_text(text)) return bad(err, "encode", "the text is NULL");
    retort_status status = read_tokenize_options("encode", options, &o, err);
    if (status != RETORT_OK) return status;
    return rt_tokenizing_encode(encoder, text, &o, ids, types, capacity, count, err);
}

retort_status retort_encoder_unpooled(retort_encoder *encoder, const retort_tokenize_options *options,
                                      size_t *count, retort_error *err) {
    retort_tokenize_options o;
    if (encoder == NULL || count == NULL) return bad(err, "encode", "encoder and count must be given");
    retort_status status = read_tokenize_options("encode", options, &o, err);
    return status == RETORT_OK ? rt_tokenizing_unpooled(encoder, &o, count, err) : status;
}

/* ---- Tasks ---- */

/* Whether the caller's array has room for one row of outputs per text. */
static retort_status check_room(const char *call, const retort_session *session, size_t n, size_t capacity,
                                retort_error *err) {
    size_t columns = (size_t)rt_config_columns(&rt_session_model(session)->config);
    if (columns == 0 || n <= capacity / columns) return RETORT_OK;
    return rt_fail(err, RETORT_LIMIT,
                   "%s: %zu texts of %zu floats each do not fit into the capacity of %zu floats", call, n,
                   columns, capacity);
}

retort_status retort_classify(retort_session *session, const retort_text *texts, size_t n, float *scores,
                              float *logits, size_t capacity, retort_error *err) {
    retort_status status = check_texts("classify", session, RETORT_TASK_CLASSIFY, texts, n, err);
    if (status == RETORT_OK) status = check_room("classify", session, n, capacity, err);
    if (status != RETORT_OK) return status;
    if (scores == NULL && n > 0) return bad(err, "classify", "scores is NULL");
    return rt_classify(session, texts, n, scores, logits, err);
}

retort_status retort_classify_each(retort_session *session, const retort_text *texts, size_t n,
                                   retort_classified_fn each, void *user, retort_error *err) {
    retort_status status = check_texts("classify", session, RETORT_TASK_CLASSIFY, texts, n, err);
    if (status != RETORT_OK) return status;
    if (each == NULL) return bad(err, "classify", "each is NULL");
    return rt_classify_each(session, texts, n, each, user, err);
}

retort_status retort_model_scores(const retort_model *model, const float *logits, size_t count, float *scores,
                                  retort_error *err) {
    if (model == NULL || (count > 0 && (logits == NULL || scores == NULL)))
        return bad(err, "scores", "model, logits and scores must be given");
    const rt_config *config = &model->config;
    size_t labels = (size_t)config->labels;
    if (count > 0 && (labels == 0 || count % labels != 0))
        return rt_fail(err, RETORT_ARGUMENT, "scores: %zu logits are no whole rows of %zu labels", count,
                       labels);
    if (config->task != RETORT_TASK_CLASSIFY) {
        memmove(scores, logits, count * sizeof *scores);
        return RETORT_OK;
    }
    for (size_t i = 0; i < count; i += labels) rt_score_row(config, logits + i, scores + i);
    return RETORT_OK;
}

retort_status retort_embed(retort_session *session, const retort_text *texts, size_t n, float *vectors,
                           size_t capacity, retort_error *err) {
    retort_status status = check_texts("embed", session, RETORT_TASK_EMBED, texts, n, err);
    if (status == RETORT_OK) status = check_room("embed", session, n, capacity, err);
    if (status != RETORT_OK) return status;
    if (vectors == NULL && n > 0) return bad(err, "embed", "vectors is NULL");
    return rt_embed(session, texts, n, vectors, err);
}

retort_status retort_hypothesis(const char *hypothesis, size_t hypothesis_length, const char *label,
                                size_t label_length, char *out, size_t capacity, size_t *length,
                                retort_error *err) {
    if (label == NULL || length == NULL || (out == NULL && capacity > 0)) {
        return bad(err, "hypothesis", "label, out and length must be given");
    }
    retort_text pattern = {.text = hypothesis, .length = hypothesis_length};
    if (hypothesis == NULL) pattern = (retort_text){.text = RT_HYPOTHESIS, .length = strlen(RT_HYPOTHESIS)};
    retort_text name = {.text = label, .length = label_length};
    rt_buffer text = {0};
    retort_status status = rt_hypothesis(&pattern, &name, NULL, length, err);
    if (status == RETORT_OK && *length > capacity) {
        status = rt_fail(err, RETORT_LIMIT, "hypothesis: %zu bytes do not fit into %zu", *length, capacity);
    }
    if (status == RETORT_OK) status = rt_hypothesis(&pattern, &name, &text, length, err);
    if (status == RETORT_OK && out != NULL && text.length > 0) memcpy(out, text.data, text.length);
    rt_buffer_free(&text);
    return status;
}

retort_status retort_zero_shot_scores(const retort_model *model, const float *logits, size_t n,
                                      bool multi_label, float *scores, retort_error *err) {
    if (model == NULL || (n > 0 && (logits == NULL || scores == NULL))) {
        return bad(err, "zero-shot", "model, logits and scores must be given");
    }
    if (model->config.task != RETORT_TASK_CLASSIFY) {
        return bad(err, "zero-shot", "the model was made for another task");
    }
    return rt_zero_shot_scores(&model->config, logits, n, multi_label, scores, err);
}

retort_status retort_zero_shot(retort_session *session, const retort_text *text, const retort_text *labels,
                               size_t n, const retort_zero_shot_options *options, float *scores,
                               retort_error *err) {
    retort_zero_shot_options o;
    if (text == NULL || n == 0 || scores == NULL) {
        return bad(err, "zero-shot", "a text, labels and scores must be given");
    }
    retort_status status = check_texts("zero-shot", session, RETORT_TASK_CLASSIFY, text, 1, err);
    if (status == RETORT_OK) status = check_texts("zero-shot", session, RETORT_TASK_CLASSIFY, labels, n, err);
    if (status == RETORT_OK) status = rt_read_zero_shot_options("zero-shot", options, &o, err);
    return status == RETORT_OK ? rt_zero_shot(session, text, labels, n, &o, scores, err) : status;
}

retort_status retort_windows_describe(const retort_windows *windows, retort_windows_info *out) {
    retort_windows_info full;
    if (windows == NULL || out == NULL || rt_read_windows_info("windows", out, &full, NULL) != RETORT_OK)
        return RETORT_ARGUMENT;
    full = (retort_windows_info){.windows = windows->count, .truncated = windows->truncated > 0};
    full.bytes = sizeof *windows + windows->count * sizeof *windows->items;
    for (size_t i = 0; i < windows->count; i++) {
        const rt_encoding *item = &windows->items[i];
        full.tokens += item->count;
        full.bytes += item->capacity * (sizeof *item->ids + sizeof *item->types + sizeof *item->words +
                                        2 * sizeof *item->offsets);
    }
    rt_give_windows_info(out, &full);
    return RETORT_OK;
}

void retort_windows_free(retort_windows *windows) {
    if (windows == NULL) return;
    rt_windows_clear(windows);
    free(windows);
}

/* New windows of a text for a model of this task, to be filled; *out is theirs. */
static retort_status new_windows(const char *call, retort_windows **made, retort_windows **out,
                                 retort_encoder *encoder, const retort_text *text, retort_task task,
                                 retort_error *err) {
    if (out == NULL || encoder == NULL || text == NULL) {
        return bad(err, call, "out, encoder and text must be given");
    }
    if (!is_text(text)) return bad(err, call, "the text is NULL");
    if (rt_tokenizing_model(encoder)->config.task != task) {
        return bad(err, call, "the model was made for another task");
    }
    *made = rt_calloc(1, sizeof **made);
    return *made != NULL ? RETORT_OK : rt_fail_nomem(err, sizeof **made);
}

static retort_status end_windows(retort_windows **out, retort_windows *made, const retort_model *model,
                                 const retort_text *text, retort_status status) {
    if (status == RETORT_OK) {
        made->model = model;
        made->length = text->length;
        made->pair_length = text->pair_length;
        *out = made;
    } else {
        retort_windows_free(made);
    }
    return status;
}

/* Their ids and offsets are read without further checks. */
static retort_status check_windows(const char *call, const retort_windows *windows,
                                   const retort_session *session, const retort_text *text,
                                   retort_error *err) {
    if (windows == NULL || (windows->model == rt_session_model(session) && windows->length == text->length &&
                            windows->pair_length == text->pair_length))
        return RETORT_OK;
    return bad(err, call, "the windows were made of another text, or with another model");
}

/* *o: the caller's options. */
static retort_status read_tag_options(const retort_tag_options *options, retort_tag_options *o,
                                      retort_error *err) {
    retort_status status = rt_read_tag_options("tag", options, o, err);
    if (status == RETORT_OK) status = check_names("tag", o->ignore, o->ignore_count, err);
    if (status == RETORT_OK && (unsigned)o->aggregation > RETORT_AGGREGATION_MAX)
        return bad(err, "tag", "the aggregation is not one of retort_aggregation");
    return status;
}

retort_status retort_tag_windows(retort_windows **out, retort_encoder *encoder, const retort_text *text,
                                 const retort_tag_options *options, bool special_as_text, retort_error *err) {
    retort_tag_options o;
    retort_windows *made = NULL;
    retort_status status = read_tag_options(options, &o, err);
    if (status == RETORT_OK) status = new_windows("tag", &made, out, encoder, text, RETORT_TASK_TAG, err);
    if (made == NULL) return status;
    rt_encode_options encode = rt_tokenizing_options(encoder, special_as_text);
    encode.truncated = &made->truncated;
    const retort_model *model = rt_tokenizing_model(encoder);
    status = rt_tag_windows(model->tokenizer, encode, text, &o, made, err);
    return end_windows(out, made, model, text, status);
}

retort_status retort_tag(retort_session *session, const retort_text *texts, size_t n,
                         const retort_tag_options *options, retort_spans *out, retort_error *err) {
    retort_tag_options o;
    retort_status status = check_texts("tag", session, RETORT_TASK_TAG, texts, n, err);
    if (status == RETORT_OK) status = read_tag_options(options, &o, err);
    if (status != RETORT_OK) return status;
    if (out == NULL) return bad(err, "tag", "out is NULL");
    if (o.windows != NULL && n != 1) return bad(err, "tag", "windows are those of one text");
    status = check_windows("tag", o.windows, session, texts, err);
    return status == RETORT_OK ? rt_tag(session, texts, n, &o, out, err) : status;
}

void retort_spans_free(retort_spans *spans) {
    if (spans == NULL) return;
    free(spans->items);
    *spans = (retort_spans){0};
}

/* *o: the caller's options. */
static retort_status read_answer_options(const retort_answer_options *options, retort_answer_options *o,
                                         retort_error *err) {
    retort_status status = rt_read_answer_options("answer", options, o, err);
    if (status != RETORT_OK) return status;
    if (o->longest < 0 || o->window < 0 || o->question < 0 || o->top > 1 << 20) {
        return bad(err, "answer", "longest, window and question must not be negative, top at most 1048576");
    }
    return RETORT_OK;
}

retort_status retort_answer_windows(retort_windows **out, retort_encoder *encoder, const retort_text *text,
                                    const retort_answer_options *options, bool special_as_text,
                                    retort_error *err) {
    retort_answer_options o;
    retort_windows *made = NULL;
    retort_status status = read_answer_options(options, &o, err);
    if (status == RETORT_OK && text != NULL && text->pair == NULL)
        return bad(err, "answer", "the text has no pair, the context");
    if (status == RETORT_OK)
        status = new_windows("answer", &made, out, encoder, text, RETORT_TASK_ANSWER, err);
    if (made == NULL) return status;
    rt_encode_options encode = rt_tokenizing_options(encoder, special_as_text);
    const retort_model *model = rt_tokenizing_model(encoder);
    return end_windows(out, made, model, text, rt_answer_windows(model, encode, text, &o, made, err));
}

retort_status retort_answer(retort_session *session, const char *question, size_t question_length,
                            const char *context, size_t context_length, const retort_answer_options *options,
                            retort_spans *out, retort_error *err) {
    retort_answer_options o;
    retort_text text = {question, question_length, context, context_length};
    if (question == NULL || context == NULL || out == NULL) {
        return bad(err, "answer", "question, context and out must be given");
    }
    retort_status status = check_texts("answer", session, RETORT_TASK_ANSWER, &text, 1, err);
    if (status == RETORT_OK) status = read_answer_options(options, &o, err);
    if (status == RETORT_OK) status = check_windows("answer", o.windows, session, &text, err);
    return status == RETORT_OK ? rt_answer_text(session, &text, &o, out, err) : status;
}

retort_status retort_fill_windows(retort_windows **out, retort_encoder *encoder, const retort_text *text,
                                  retort_error *err) {
    retort_windows *made = NULL;
    retort_status status = new_windows("fill", &made, out, encoder, text, RETORT_TASK_FILL, err);
    if (made == NULL) return status;
    rt_encode_options encode = rt_tokenizing_options(encoder, false);
    encode.truncated = &made->truncated;
    const retort_model *model = rt_tokenizing_model(encoder);
    status = rt_fill_windows(model->tokenizer, encode, text, made, err);
    return end_windows(out, made, model, text, status);
}

retort_status retort_fill(retort_session *session, const retort_text *text, size_t k,
                          const retort_fill_options *options, retort_fill_guess *guesses, size_t max_masks,
                          size_t *masks, retort_error *err) {
    retort_fill_options o;
    if (text == NULL || masks == NULL) return bad(err, "fill", "text and masks must be given");
    if (guesses == NULL && k > 0 && max_masks > 0) return bad(err, "fill", "guesses is NULL");
    if (max_masks > 0 && k > SIZE_MAX / sizeof *guesses / max_masks)
        return bad(err, "fill", "no array has room for k guesses of max_masks mask tokens");
    retort_status status = check_texts("fill", session, RETORT_TASK_FILL, text, 1, err);
    if (status == RETORT_OK) status = rt_read_fill_options("fill", options, &o, err);
    if (status == RETORT_OK && o.targets == NULL && o.target_count > 0)
        return bad(err, "fill", "targets is NULL");
    if (status == RETORT_OK) status = check_windows("fill", o.windows, session, text, err);
    for (size_t i = 0; status == RETORT_OK && o.targets != NULL && i < o.target_count; i++) {
        if (o.targets[i].text == NULL) status = rt_fail(err, RETORT_ARGUMENT, "fill: target %zu is NULL", i);
    }
    if (status != RETORT_OK) return status;
    return rt_fill(session, text, k, &o, guesses, max_masks, masks, err);
}

/* ---- Data sets and evaluation ---- */

retort_status retort_dataset_open(retort_dataset **out, const char *path, const retort_model *model,
                                  const retort_dataset_options *options, retort_error *err) {
    retort_dataset_options o;
    static const rt_config no_model = {.task = RETORT_TASK_CLASSIFY};
    if (out == NULL || path == NULL) return bad(err, "data set", "out and path must be given");
    retort_status status = rt_read_dataset_options("data set", options, &o, err);
    if (status != RETORT_OK) return status;
    o.texts_only = o.texts_only || (model == NULL && !o.collect);
    return rt_dataset_open(out, path, model != NULL ? &model->config : &no_model, &o, err);
}

/* ---- Arrow ---- */

retort_status retort_arrow_schema(const retort_session *session, struct ArrowSchema *out, retort_error *err) {
    if (session == NULL || out == NULL) return bad(err, "arrow", "session and out must be given");
    return rt_arrow_schema(session, out, err);
}

retort_status retort_arrow_array(retort_session *session, const struct ArrowSchema *schema,
                                 const struct ArrowArray *texts, const char *column, struct ArrowArray *out,
                                 retort_error *err) {
    if (session == NULL || schema == NULL || texts == NULL || out == NULL)
        return bad(err, "arrow", "session, schema, texts and out must be given");
    if (schema->release == NULL || texts->release == NULL)
        return bad(err, "arrow", "schema or texts was released");
    return rt_arrow_array(session, schema, texts, column, out, err);
}

retort_status retort_arrow_stream(retort_session *session, struct ArrowArrayStream *texts, const char *column,
                                  struct ArrowArrayStream *out, retort_error *err) {
    if (session == NULL || texts == NULL || out == NULL || texts->release == NULL)
        return bad(err, "arrow", "session, out and a stream that is not released must be given");
    return rt_arrow_stream(session, texts, column, out, err);
}

retort_status retort_arrow_open(retort_model *model, const retort_session_options *options,
                                struct ArrowArrayStream *texts, const char *column,
                                struct ArrowArrayStream *out, retort_error *err) {
    if (model == NULL || texts == NULL || out == NULL || texts->release == NULL)
        return bad(err, "arrow", "model, out and a stream that is not released must be given");
    return rt_arrow_open(model, options, texts, column, out, err);
}

retort_status retort_arrow_own(struct ArrowArrayStream *stream, retort_error *err) {
    if (stream == NULL || !rt_arrow_own(stream))
        return bad(err, "arrow", "expected a stream that retort_arrow_stream made");
    return RETORT_OK;
}

/* ---- Tables ---- */

retort_status retort_table_open(retort_table **out, const retort_table_options *options, retort_read_fn read,
                                void *user, retort_error *err) {
    retort_table_options o;
    if (out == NULL || read == NULL) return bad(err, "table", "out and read must be given");
    retort_status status = rt_read_table_options("table", options, &o, err);
    if (status == RETORT_OK) status = check_names("table", o.added, o.added_count, err);
    if (status != RETORT_OK) return status;
    if (o.name == NULL || (unsigned)o.format > RETORT_TABLE_JSONL)
        return bad(err, "table", "options.name must be given and options.format be known");
    return rt_table_open(out, &o, read, user, err);
}

retort_status retort_table_next(retort_table *table, retort_row *row, retort_error *err) {
    if (table == NULL || row == NULL) return bad(err, "table", "table and row must be given");
    return rt_table_next(table, row, err);
}

retort_status retort_table_skip(retort_table *table, const retort_table_position *position,
                                retort_error *err) {
    if (table == NULL || position == NULL) return bad(err, "table", "table and position must be given");
    return rt_table_skip(table, position, err);
}

retort_status retort_eval(retort_session *session, const retort_dataset *data,
                          const retort_eval_options *options, retort_eval_result *result, retort_error *err) {
    retort_eval_options o;
    if (session == NULL || data == NULL || result == NULL) {
        return bad(err, "evaluation", "session, data and result must be given");
    }
    if (rt_session_token_vectors(session))
        return bad(err, "evaluation", "the session gives only token vectors");
    retort_status status = rt_read_eval_options("evaluation", options, &o, err);
    retort_eval_result full;
    if (status == RETORT_OK) status = rt_read_eval_result("evaluation", result, &full, err);
    if (status != RETORT_OK) return status;
    status = rt_evaluate(session, data, &o, &full, err);
    rt_give_eval_result(result, &full);
    return status;
}

/* ---- Cascades ---- */

void retort_binomial(uint64_t count, uint64_t n, double confidence, double *low, double *high) {
    bool known = n > 0 && count <= n && confidence > 0 && confidence < 1;
    if (low != NULL) *low = known ? rt_binomial_lower(count, n, confidence) : NAN;
    if (high != NULL) *high = known ? rt_binomial_upper(count, n, confidence) : NAN;
}

retort_status retort_cascade(retort_model **out, retort_model *full, const retort_cascade_options *options,
                             retort_error *err) {
    if (out == NULL || full == NULL || options == NULL)
        return bad(err, "cascade", "out, the full model and options must be given");
    retort_cascade_options o;
    retort_status status = rt_read_cascade_options("cascade", options, &o, err);
    if (status != RETORT_OK) return status;
    if (o.data == NULL) return bad(err, "cascade", "data must be given");
    if (o.epsilon != 0 && !is_in(o.epsilon, 1e-6, 0.5))
        return bad(err, "cascade", "epsilon is a share of the answers, from 0.000001 to below 0.5");
    if (o.confidence != 0 && !is_in(o.confidence, 0.5, 1))
        return bad(err, "cascade", "the confidence must be from 0.5 to below 1");
    if (o.linear_data != NULL && !o.linear)
        return bad(err, "cascade", "there is data for a linear stage, and none is wanted");
    for (size_t i = 0; i < o.student_count; i++) {
        if (o.students == NULL || o.students[i] == NULL)
            return rt_fail(err, RETORT_ARGUMENT, "cascade: student %zu is NULL", i);
    }
    return rt_cascade_build(out, full, &o, err);
}

retort_status retort_model_cascade(const retort_model *model, retort_cascade_info *info) {
    retort_cascade_info full;
    if (model == NULL || model->cascade == NULL || info == NULL ||
        rt_read_cascade_info("cascade", info, &full, NULL) != RETORT_OK)
        return RETORT_ARGUMENT;
    full = model->cascade->info;
    full.stages = model->cascade->count + 1;
    rt_give_cascade_info(info, &full);
    return RETORT_OK;
}

retort_status retort_model_stage(const retort_model *model, size_t index, retort_stage_info *info) {
    retort_stage_info full;
    if (model == NULL || info == NULL || rt_read_stage_info("stage", info, &full, NULL) != RETORT_OK)
        return RETORT_ARGUMENT;
    retort_status status = rt_model_describe_stage(model, index, &full);
    if (status == RETORT_OK) rt_give_stage_info(info, &full);
    return status;
}

retort_model *retort_model_stage_model(const retort_model *model, size_t index) {
    if (model == NULL || model->cascade == NULL || index > model->cascade->count) return NULL;
    const rt_cascade *cascade = model->cascade;
    return retort_model_retain(index < cascade->count ? cascade->stages[index].model
                                                      : rt_cascade_full(model));
}
