/* SPDX-License-Identifier: Apache-2.0
 * Reads each input of a list for growth.py, which counts the instructions of measured(). */
#include "format/bundle.h"
#include "format/json.h"
#include "arch/build.h"
#include "graph/draw.h"
#include "model/onnx_export.h"
#include "model/model.h"
#include "graph/rewrite.h"
#include "onnx/read_graph.h"
#include "arch/modules.h"
#include "engine/plan.h"
#include "quant/quantize.h"
#include "serve/base/json.h"
#include "serve/wire/encode.h"
#include "serve/wire/tei.h"
#include "eval/dataset.h"
#include "task/task.h"
#include "text/tokenizer.h"
#include "train/examples.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An input, what it needs besides, and what was made of them before the counting. */
typedef struct job {
    const char *name, *path; /* of the reader, of the input: a file that is mapped, or a folder */
    rt_map file, besides;
    rt_tokenizer *tokenizer;
    retort_model *model;
    rt_config config;
    rt_arena arena;
    retort_error err;
} job;

/* One row a reader. `must`: it has to succeed; others end in an error when all was read. */
typedef struct reader {
    const char *name;
    bool must;
    retort_status (*prepare)(job *j); /* may be NULL */
    retort_status (*run)(job *j);
} reader;

/* ---- Files ---- */

static retort_status run_json(job *j) {
    json_t *root = NULL;
    retort_status status = rt_json_parse(&root, "test", j->file.data, j->file.size, &j->err);
    json_decref(root);
    return status;
}

static retort_status parse_tensors(job *j, retort_status (*parse)(rt_tensors *, const char *, const uint8_t *,
                                                                  size_t, retort_error *)) {
    rt_tensors tensors;
    retort_status status = parse(&tensors, "test", j->file.data, j->file.size, &j->err);
    if (status == RETORT_OK) rt_tensors_close(&tensors);
    return status;
}
static retort_status run_safetensors(job *j) {
    return parse_tensors(j, rt_safetensors_parse);
}
static retort_status run_torch(job *j) {
    return parse_tensors(j, rt_torch_parse);
}
static retort_status run_hdf5(job *j) {
    return parse_tensors(j, rt_hdf5_parse);
}

static retort_status run_bundle(job *j) {
    rt_bundle bundle;
    retort_status status = rt_bundle_read(&bundle, "test", j->file.data, j->file.size, &j->err);
    rt_bundle_close(&bundle);
    return status;
}

static retort_status run_onnx(job *j) {
    const rt_onnx_graph_options options = {
        .file = "test", .epsilon = 1e-12f, .positions = 4, .vocab = 6, .padding = -1};
    rt_graph graph = {.output = -1, .mask_id = -1};
    rt_onnx onnx;
    retort_status status = rt_onnx_parse(&onnx, "test", NULL, j->file.data, j->file.size, &j->err);
    if (status != RETORT_OK) return status;
    if (onnx.output_count > 0) /* they are no encoder's */
        rt_onnx_graph(&graph, &onnx, &options, 1, &onnx.outputs[0].name, &graph.output, &j->err);
    rt_graph_free(&graph);
    rt_onnx_close(&onnx);
    return RETORT_OK;
}

static retort_status read_config(job *j, const rt_map *map) {
    return rt_config_parse(&j->config, &j->arena, "test", map->data, map->size, NULL, &j->err);
}
static retort_status run_config(job *j) {
    return read_config(j, &j->file);
}
static retort_status prepare_data(job *j) {
    return read_config(j, &j->besides);
}
static retort_status run_data(job *j) {
    retort_dataset *data = NULL;
    retort_dataset_options options = RETORT_DATASET_OPTIONS;
    retort_status status =
        rt_dataset_parse(&data, j->name, j->file.data, j->file.size, &j->config, &options, &j->err);
    retort_dataset_free(data);
    return status;
}

static retort_status run_collect(job *j) {
    retort_dataset *data = NULL;
    retort_dataset_options options = RETORT_DATASET_OPTIONS;
    options.collect = true;
    options.label_column = strstr(j->name, "columns") != NULL ? (const char *)j->besides.data : NULL;
    retort_status status =
        rt_dataset_parse(&data, j->name, j->file.data, j->file.size, &j->config, &options, &j->err);
    retort_dataset_free(data);
    return status;
}

/* ---- Folders ---- */

static retort_status run_folder(job *j) {
    rt_tensors tensors;
    retort_status status = rt_tensors_open_folder(&tensors, j->path, &j->err);
    if (status == RETORT_OK) rt_tensors_close(&tensors);
    return status;
}

static retort_status run_onnx_file(job *j) {
    char path[1024];
    rt_onnx onnx;
    if (!rt_path_join(path, sizeof path, j->path, "model.onnx")) return RETORT_LIMIT;
    retort_status status = rt_onnx_open(&onnx, path, &j->err);
    if (status == RETORT_OK) rt_onnx_close(&onnx);
    return status;
}

static retort_status run_package(job *j) {
    rt_modules package;
    return rt_modules_read(&package, &j->arena, j->path, true, &j->err);
}

static retort_status run_import(job *j) {
    rt_encoder encoder;
    rt_graph graph = {.output = -1};
    retort_status status = rt_encoder_open(&encoder, j->path, NULL, &j->err);
    if (status != RETORT_OK) return status;
    status = rt_graph_build(&graph, &encoder, -1, &j->err);
    if (status == RETORT_OK) rt_graph_free(&graph);
    rt_encoder_close(&encoder);
    return status;
}

/* ---- Tokenizers and texts ---- */

static retort_status run_vocab(job *j) {
    return rt_tokenizer_from_vocab(&j->tokenizer, "test", j->file.data, j->file.size, NULL, 0, &j->err);
}
static retort_status run_vocab_config(job *j) {
    static const char vocab[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n";
    return rt_tokenizer_from_vocab(&j->tokenizer, "test", vocab, sizeof vocab - 1, j->file.data, j->file.size,
                                   &j->err);
}
static retort_status read_tokenizer(job *j, const rt_map *map) {
    return rt_tokenizer_from_json(&j->tokenizer, "test", map->data, map->size, NULL, 0, &j->err);
}
static retort_status run_tokenizer(job *j) {
    return read_tokenizer(j, &j->file);
}
static retort_status prepare_encode(job *j) {
    return read_tokenizer(j, &j->besides);
}

/* Texts that have all labels, as a model learns from them. */
static retort_status run_examples(job *j) {
    static const char *names[] = {"x", "y"};
    retort_dataset *data = NULL;
    rt_examples examples = {0};
    const retort_dataset_options options = RETORT_DATASET_OPTIONS;
    retort_model *model = rt_model_new();
    if (model == NULL) return rt_fail_nomem(&j->err, sizeof *model);
    model->tokenizer = j->tokenizer;
    model->config = (rt_config){.labels = 2, .label_names = names, .problem = RETORT_PROBLEM_MULTI_LABEL};
    model->config.positions = model->config.max_length = 16;
    retort_status status =
        rt_dataset_parse(&data, j->name, j->file.data, j->file.size, &model->config, &options, &j->err);
    if (status == RETORT_OK) status = rt_examples_open(&examples, model, data, -1, true, &j->err);
    if (status == RETORT_OK) status = rt_examples_check(&examples, model, data, NULL, NULL, &j->err);
    rt_examples_free(&examples);
    retort_dataset_free(data);
    model->tokenizer = NULL;
    retort_model_free(model);
    return status;
}

static retort_status encode(job *j, const rt_map *map) {
    rt_word_cache *cache = rt_word_cache_new(j->tokenizer, 64);
    rt_encode_options options = {.words = true};
    rt_encoding encoding = {0};
    retort_text text = {.text = (const char *)map->data, .length = map->size};
    retort_status status = rt_encode(j->tokenizer, &text, &options, &encoding, &j->err);
    options.cache = cache;
    if (status == RETORT_OK) status = rt_encode(j->tokenizer, &text, &options, &encoding, &j->err);
    rt_encoding_free(&encoding);
    rt_word_cache_free(cache);
    return status;
}
static retort_status run_encode(job *j) {
    return encode(j, &j->file);
}
static retort_status run_encode_text(job *j) {
    return encode(j, &j->besides);
}

/* ---- Entities ---- */

/* Three pieces a character, as of a syllable. */
static retort_status run_spans(job *j) {
    enum { PIECES = 3 };
    size_t count = j->file.size; /* of characters that are a byte */
    retort_span *spans = calloc(PIECES * count + 1, sizeof *spans);
    if (spans == NULL) return RETORT_NOMEM;
    for (size_t i = 0; i < PIECES * count; i++) {
        spans[i].start = (uint32_t)(i / PIECES);
        spans[i].end = spans[i].start + 1;
    }
    rt_span_bytes((const char *)j->file.data, count, spans, PIECES * count);
    bool fine = spans[PIECES * count - 1].byte_end == count;
    free(spans);
    return fine ? RETORT_OK : RETORT_FORMAT;
}

/* As many tokens as names of labels to leave out, of which the model has none. */
static retort_status run_ignored(job *j) {
    static const char *label_names[] = {"B-A", "B-B"};
    static const rt_config config = {.task = RETORT_TASK_TAG, .labels = 2, .label_names = label_names};
    size_t n = j->file.size;
    const char **names = calloc(n, sizeof *names);
    float *logits = calloc(2 * n, sizeof *logits);
    uint32_t *offsets = calloc(2 * n, sizeof *offsets);
    int32_t *ids = calloc(n, sizeof *ids);
    retort_tag_options options = RETORT_TAG_OPTIONS;
    retort_spans spans = {0};
    rt_tagger tagger = {0};
    retort_status status = RETORT_NOMEM;
    options.ignore = names;
    options.ignore_count = n;
    for (size_t i = 0; names != NULL && i < n; i++) names[i] = "C";
    if (names != NULL && logits != NULL && offsets != NULL && ids != NULL)
        status = rt_tagger_open(&tagger, &config, NULL, &options, &j->err);
    rt_encoding encoding = {.count = n, .ids = ids, .offsets = offsets, .words = ids};
    if (status == RETORT_OK)
        status = rt_tag_aggregate(&tagger, &encoding, logits, (retort_span){0}, &spans, &j->err);
    if (status == RETORT_OK && spans.count != n) status = RETORT_FORMAT;
    rt_tagger_close(&tagger);
    retort_spans_free(&spans);
    free(names);
    free(logits);
    free(offsets);
    free(ids);
    return status;
}

/* ---- The server ---- */

static retort_status new_model(job *j) {
    j->model = rt_model_new();
    return j->model != NULL ? RETORT_OK : RETORT_NOMEM;
}

static retort_status prepare_serve(job *j, const rt_map *settings) {
    retort_status status = read_tokenizer(j, settings);
    if (status == RETORT_OK) status = new_model(j);
    if (status != RETORT_OK) return status;
    j->model->tokenizer = j->tokenizer;
    j->tokenizer = NULL;
    return RETORT_OK;
}
static retort_status prepare_serve_tokenize(job *j) {
    return prepare_serve(j, &j->besides);
}
static retort_status prepare_serve_text(job *j) {
    return prepare_serve(j, &j->file);
}

static retort_status serve_tokenize(job *j, const rt_map *map) {
    srv_memory budget = {.limit = SIZE_MAX};
    const srv_options options = {.keep_special = true, .budget = &budget};
    srv_service service = {.options = &options};
    srv_engine engine = {.model = j->model};
    srv_call call = {.service = &service, .engine = &engine};
    retort_text text = {.text = (const char *)map->data, .length = map->size};
    call.ask.texts = &text;
    call.ask.count = 1;
    bool more = srv_call_tokenize(&call);
    while (more) {
        call.writing.whole = true;
        srv_tei_write_tokenize(&call);
        more = !call.writing.whole && !call.failed;
    }
    bool written = call.answer.length > map->size && !call.failed && !call.answer.failed;
    srv_out_free(&call.answer);
    free(call.writing.ends);
    free(call.writing.tokens);
    return written ? RETORT_OK : RETORT_FORMAT;
}
static retort_status run_serve_tokenize(job *j) {
    return serve_tokenize(j, &j->file);
}
static retort_status run_serve_text(job *j) {
    return serve_tokenize(j, &j->besides);
}

static retort_status run_serve_json(job *j) {
    srv_json_doc doc = {0};
    char *text = malloc(j->file.size + 1);
    if (text == NULL) return RETORT_NOMEM;
    memcpy(text, j->file.data, j->file.size);
    text[j->file.size] = '\0';
    bool fine = srv_json_parse(&doc, text, j->file.size);
    srv_json_free(&doc);
    free(text);
    return fine ? RETORT_OK : RETORT_FORMAT;
}

/* ---- Graphs ---- */

/* Every stored constant has these numbers. */
static retort_status look_up(void *user, rt_graph *graph, const rt_value *value, rt_tensor *out) {
    static _Alignas(64) float numbers[64] = {1, 2, 3, 4};
    (void)user;
    (void)graph;
    (void)value;
    *out = (rt_tensor){.data = numbers, .dtype = RETORT_F32, .rank = 1, .shape = {64}};
    return RETORT_OK;
}

static retort_status prepare_graph(job *j) {
    retort_status status = new_model(j);
    if (status != RETORT_OK) return status;
    return rt_graph_parse(&j->model->graph, "test", (const char *)j->file.data, j->file.size, look_up, NULL,
                          &j->err);
}

static int drop(void *user, const char *text, size_t length) {
    (void)user;
    (void)text;
    return length > 0 ? 0 : 1;
}

static retort_status run_graph(job *j) {
    retort_status status = prepare_graph(j);
    if (status == RETORT_OK) status = rt_graph_verify(&j->model->graph, &j->err);
    return status == RETORT_OK ? rt_graph_print(&j->model->graph, drop, NULL) : status;
}

static retort_status run_info(job *j) {
    j->model->config.arch = &rt_arch_bert;
    retort_info info = {.size = sizeof info};
    retort_tensor_info tensor = {.size = sizeof tensor};
    retort_status status = retort_model_info(j->model, &info);
    size_t count = 0;
    while (status == RETORT_OK && retort_model_tensor(j->model, count, &tensor) == RETORT_OK) count++;
    return status == RETORT_OK && count != info.tensors ? RETORT_FORMAT : status;
}

static retort_status run_draw(job *j) {
    retort_draw_options options = RETORT_DRAW_OPTIONS;
    return rt_graph_draw(&j->model->graph, &options, drop, NULL, &j->err);
}

static retort_status run_optimize(job *j) {
    retort_optimize_options options = RETORT_OPTIMIZE_OPTIONS;
    options.level = 2;
    return rt_graph_optimize(&j->model->graph, &options, true, &j->err);
}

static retort_status run_export(job *j) {
    uint8_t *bytes = NULL;
    size_t length;
    retort_status status = rt_onnx_write(j->model, NULL, &bytes, &length, &j->err);
    free(bytes);
    return status;
}

static retort_status run_prune(job *j) {
    size_t count = 0;
    return rt_rewrite_prune_rows(&j->model->graph, &count, &j->err);
}

/* Packed matrices become bf16, with the inputs of their products still to be converted. */
static retort_status prepare_narrow(job *j) {
    retort_status status = prepare_graph(j);
    for (size_t i = 0; status == RETORT_OK && i < j->model->graph.value_count; i++) {
        rt_value *value = &j->model->graph.values[i];
        if (value->layout != RT_LAYOUT_P16) continue;
        value->dtype = RETORT_BF16;
        value->layout = RT_LAYOUT_P16_BF16;
    }
    return status;
}

static retort_status run_narrow(job *j) {
    return rt_graph_convert_inputs(&j->model->graph, &j->err);
}

static retort_status run_quantize(job *j) {
    retort_quantize_options options = RETORT_QUANTIZE_OPTIONS;
    retort_model *made = NULL;
    options.recipe = "int8";
    retort_status status = rt_quantize(&made, j->model, &options, &j->err);
    retort_model_free(made);
    return status;
}

static retort_status run_plan(job *j) {
    rt_kernels kernels;
    rt_plan plan;
    rt_kernels_select(&kernels, 0);
    retort_status status = rt_plan_make(&plan, &j->model->graph, &kernels, NULL, 64, 64, &j->err);
    if (status == RETORT_OK) rt_plan_free(&plan);
    return status;
}

static const reader readers[] = {
    {"json", true, NULL, run_json},
    {"safetensors", true, NULL, run_safetensors},
    {"torch", true, NULL, run_torch},
    {"hdf5", false, NULL, run_hdf5},     /* the links lead to nothing */
    {"bundle", false, NULL, run_bundle}, /* blocks may not share bytes */
    {"onnx", true, NULL, run_onnx},
    {"folder", true, NULL, run_folder},
    {"onnx-file", true, NULL, run_onnx_file},
    {"package", true, NULL, run_package},
    {"import", true, NULL, run_import},
    {"config", true, NULL, run_config},
    {"vocab", true, NULL, run_vocab},
    {"vocab-config", true, NULL, run_vocab_config},
    {"tokenizer", true, NULL, run_tokenizer},
    {"encode", true, prepare_encode, run_encode},
    {"encode-text", true, run_tokenizer, run_encode_text},
    {"spans", true, NULL, run_spans},
    {"ignored", true, NULL, run_ignored},
    {"serve-tokenize", true, prepare_serve_tokenize, run_serve_tokenize},
    {"serve-tokenize-text", true, prepare_serve_text, run_serve_text},
    {"serve-json", true, NULL, run_serve_json},
    {"graph", true, NULL, run_graph},
    {"info", true, prepare_graph, run_info},
    {"draw", true, prepare_graph, run_draw},
    {"optimize", true, prepare_graph, run_optimize},
    {"export", true, prepare_graph, run_export},
    {"prune", true, prepare_graph, run_prune},
    {"narrow", true, prepare_narrow, run_narrow},
    {"quantize", true, prepare_graph, run_quantize},
    {"plan", true, prepare_graph, run_plan},
    {"data.tsv", true, prepare_data, run_data},
    {"data.csv", true, prepare_data, run_data},
    {"data.jsonl", true, prepare_data, run_data},
    {"data.conll", true, prepare_data, run_data},
    {"data.json", true, prepare_data, run_data},
    {"collect.tsv", true, NULL, run_collect},
    {"collect.jsonl", true, NULL, run_collect},
    {"collect-columns.csv", true, NULL, run_collect},
    {"examples.jsonl", true, prepare_encode, run_examples},
};

/* The function whose instructions callgrind counts. */
retort_status measured(const reader *r, job *j);
__attribute__((noinline)) retort_status measured(const reader *r, job *j) {
    return r->run(j);
}

static retort_status read_one(const char *name, const char *path, const char *besides, retort_error *err) {
    const reader *r = readers;
    job j = {.name = name, .path = path};
    while (strcmp(r->name, name) != 0) r++; /* growth.py names no other */
    retort_status status = rt_is_folder(path) ? RETORT_OK : rt_map_open(&j.file, path, &j.err);
    if (status == RETORT_OK && strcmp(besides, "-") != 0) status = rt_map_open(&j.besides, besides, &j.err);
    if (status == RETORT_OK && r->prepare != NULL) status = r->prepare(&j);
    if (status == RETORT_OK) status = measured(r, &j);
    *err = j.err;
    rt_tokenizer_free(j.tokenizer);
    retort_model_free(j.model);
    rt_arena_free(&j.arena);
    rt_map_close(&j.file);
    rt_map_close(&j.besides);
    return r->must ? status : RETORT_OK;
}

int main(int count, char **arguments) {
    char line[1024];
    FILE *list = count == 2 ? fopen(arguments[1], "r") : NULL;
    if (list == NULL) return 2;
    while (fgets(line, sizeof line, list) != NULL) {
        char *save, *name = strtok_r(line, "\t\n", &save), *path = strtok_r(NULL, "\t\n", &save);
        retort_error err;
        retort_status status = read_one(name, path, strtok_r(NULL, "\t\n", &save), &err);
        if (status == RETORT_OK) continue;
        fprintf(stderr, "%s %s: %d %s\n", name, path, status, err.text);
        return 1;
    }
    fclose(list);
    return 0;
}
