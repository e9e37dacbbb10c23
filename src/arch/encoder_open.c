/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/encoder.h"
#include "base/map.h"
#include "format/hub.h"
#include "format/json.h"
#include "format/path.h"
#include "arch/adapter.h"
#include "arch/config.h"
#include "arch/head.h"
#include "arch/modules.h"
#include "arch/setfit.h"
#include "arch/static_embedding.h"
#include "arch/weights.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Whether the task is that of the caller. */
static bool is_given(const rt_encoder_options *options) {
    return options->task != NULL || options->head != NULL;
}

static bool is_splade(const rt_modules *package) {
    return package->pooling_count > 0 && package->poolings[0] == RT_POOL_SPLADE;
}

/* Before a new head, a plain encoder is read. A package that pools embeds, whatever head the checkpoint was trained with. */
static retort_status choose_task(rt_encoder *e, const char *name, const json_t *root,
                                 const rt_modules *package, const rt_encoder_options *options,
                                 retort_task *task, retort_error *err) {
    bool stated = true;
    const rt_arch *arch;
    *task = options->task != NULL ? *options->task : RETORT_TASK_EMBED;
    if (is_splade(package))
        *task = RETORT_TASK_FILL; /* whose logits it pools; apply_package makes it embed */
    if (is_given(options) || package->pooling_count > 0) return RETORT_OK;
    retort_status status = rt_config_task(root, name, &stated, task, err);
    if (status != RETORT_OK || stated) return status;
    status = rt_config_arch(root, name, &arch, err);
    if (status == RETORT_OK) *task = rt_weights_task(&e->tensors, arch);
    return status;
}

static retort_status check_prompt(const rt_encoder *e, retort_error *err) {
    const char *prompt;
    return rt_config_prompt(&e->config, e->config.sentences.default_prompt, &prompt, err);
}

/* Of a cross-encoder: what it states overrides config.json. Its new head, if it gets one, is of another kind. */
static retort_status apply_scores(rt_encoder *e, const rt_modules *package, bool new_head,
                                  retort_error *err) {
    if (package->scoring.stated && !new_head) e->config.scoring = package->scoring;
    e->config.sentences = package->sentences;
    e->config.sentences.columns = 0;
    return check_prompt(e, err);
}

static retort_status apply_package(rt_encoder *e, const rt_modules *package, bool new_head,
                                   retort_error *err) {
    e->lowers = package->lowers;
    e->length_stated = package->max_length > 0;
    if (e->length_stated && package->max_length < e->config.max_length) {
        e->config.max_length = package->max_length;
    }
    e->poolings[0] = e->config.pooling;
    e->pooling_count = 1;
    if (package->scores && e->config.task == RETORT_TASK_CLASSIFY)
        return apply_scores(e, package, new_head, err);
    if (is_splade(package)) e->config.task = RETORT_TASK_EMBED;
    e->splade = package->splade;
    if (is_splade(package) && e->splade.columns > 0 && e->splade.columns != e->config.vocab)
        return rt_fail(err, RETORT_FORMAT,
                       "%s: SpladePooling's embedding_dimension is %" PRId64 "; config.json says %" PRId64
                       " pieces",
                       e->folder, e->splade.columns, e->config.vocab);
    if (package->pooling_count == 0 || e->config.task != RETORT_TASK_EMBED) return RETORT_OK;
    memcpy(e->poolings, package->poolings, sizeof e->poolings);
    e->pooling_count = package->pooling_count;
    e->config.pooling = e->pooling_count == 1 ? e->poolings[0] : RT_POOL_SEVERAL;
    e->config.sentences = package->sentences;
    retort_status status = rt_weights_bind_modules(e, package, err);
    if (e->config.sentences.columns >= e->config.labels) e->config.sentences.columns = 0;
    return status == RETORT_OK ? check_prompt(e, err) : status;
}

static bool has_config(const char *folder) {
    char path[RT_PATH_SIZE];
    return rt_path_join(path, sizeof path, folder, "config.json") && rt_is_file(path);
}

/* bert_config.json of google-research/bert states neither model_type nor, since heads are built by programs, the
 * number of labels: the weights tell. */
static retort_status complete_config(json_t *root, const rt_tensors *tensors, retort_error *err) {
    const rt_tensor *head = rt_tensors_find(tensors, "classifier.weight");
    bool fine =
        json_is_object(root) && json_object_set_new(root, "model_type", json_string(rt_arch_bert.type)) == 0;
    if (fine && head != NULL && head->rank == 2 && json_object_get(root, "num_labels") == NULL) {
        fine = json_object_set_new(root, "num_labels", json_integer(head->shape[0])) == 0;
    }
    return fine || !json_is_object(root) ? RETORT_OK : rt_fail_nomem(err, sizeof *head);
}

static retort_status load_config(json_t **root, char *path, const rt_encoder *e, retort_error *err) {
    retort_status status = rt_path_in(path, e->folder, "bert_config.json", err);
    bool google = status == RETORT_OK && !has_config(e->folder) && rt_is_file(path);
    if (status == RETORT_OK && !google) status = rt_path_in(path, e->folder, "config.json", err);
    if (status == RETORT_OK) status = rt_json_load(root, path, err);
    return status == RETORT_OK && google ? complete_config(*root, &e->tensors, err) : status;
}

static retort_status read_config(rt_encoder *e, const rt_modules *package, const rt_encoder_options *options,
                                 retort_error *err) {
    char path[RT_PATH_SIZE];
    json_t *root = NULL;
    retort_task task = RETORT_TASK_EMBED;
    retort_status status = load_config(&root, path, e, err);
    if (status == RETORT_OK && e->adapter != NULL)
        status = rt_adapter_merge(&e->tensors, root, e->adapter, err);
    if (status == RETORT_OK) status = choose_task(e, path, root, package, options, &task, err);
    if (status == RETORT_OK) status = rt_config_read(&e->config, &e->arena, path, root, task, err);
    if (status == RETORT_OK && options->head != NULL)
        status = rt_head_config(&e->config, &e->arena, options->head, err);
    json_decref(root);
    return status;
}

/* ---- The source ---- */

/* A checkpoint's weights are named, and may say the task; an ONNX graph has them where they are
 * used. */
static retort_status open_weights(rt_encoder *e, const char *graph, const rt_modules *package,
                                  const rt_encoder_options *options, retort_error *err) {
    char path[RT_PATH_SIZE];
    retort_status status;
    if (graph != NULL) {
        status = rt_onnx_open(&e->onnx, graph, err);
        e->source_nodes = e->onnx.node_count;
        e->graph_file = rt_arena_text(&e->arena, graph, strlen(graph));
        if (status == RETORT_OK && e->graph_file == NULL) status = rt_fail_nomem(err, strlen(graph));
        return status == RETORT_OK ? read_config(e, package, options, err) : status;
    }
    const char *file = rt_tensors_folder_file(e->folder);
    status = rt_tensors_open_folder(&e->tensors, e->folder, err);
    if (status == RETORT_OK) status = rt_path_in(path, e->folder, file != NULL ? file : "", err);
    if (status == RETORT_OK) status = rt_weights_rename(&e->tensors, path, err);
    if (status == RETORT_OK) status = read_config(e, package, options, err);
    return status == RETORT_OK ? rt_weights_bind(e, options, path, err) : status;
}

/* The graph of an ONNX file has its head and layers in it. */
static retort_status refuse_parts(const char *graph, const rt_encoder_options *options, retort_error *err) {
    if (options->head == NULL && options->layers == NULL) return RETORT_OK;
    return rt_fail(
        err, RETORT_UNSUPPORTED,
        "%s: an ONNX file keeps its head and all its layers: for %s, start from the checkpoint that it "
        "was exported from",
        graph, options->head != NULL ? "a new head" : "fewer layers");
}

/* A SetFit package embeds before its head classifies. Its pooling is the mean unless it states another. */
static void embed_first(rt_modules *package, rt_encoder_options *options) {
    static const retort_task embed = RETORT_TASK_EMBED;
    options->task = &embed;
    if (package->pooling_count > 0) return;
    package->poolings[0] = RT_POOL_MEAN;
    package->pooling_count = 1;
}

/* Whether the folder's own head is asked for, and is SetFit's. */
static bool has_setfit(const char *folder, const char *graph, const rt_encoder_options *options) {
    bool classifies = options->task == NULL || *options->task == RETORT_TASK_CLASSIFY;
    return graph == NULL && options->head == NULL && classifies && rt_setfit_is_in(folder);
}

static retort_status open_parts(rt_encoder *e, const char *folder, const char *graph,
                                const rt_encoder_options *given_options, retort_error *err) {
    rt_encoder_options own = *given_options, *options = &own;
    bool setfit = has_setfit(folder, graph, options);
    rt_modules package;
    bool given = is_given(options);
    bool embed = setfit || (options->task != NULL ? *options->task == RETORT_TASK_EMBED : !given);
    if (graph != NULL && refuse_parts(graph, options, err) != RETORT_OK) return RETORT_UNSUPPORTED;
    retort_status status = rt_modules_read(&package, &e->arena, folder, embed, err);
    if (status != RETORT_OK) return status;
    e->folder = package.transformer;
    if (setfit) embed_first(&package, options);
    if (graph != NULL && is_splade(&package))
        return rt_fail(err, RETORT_UNSUPPORTED,
                       "%s: SPLADE is not read from an ONNX file: it needs the checkpoint", graph);
    if (graph == NULL && e->adapter == NULL && rt_adapter_is_in(e->folder)) e->adapter = e->folder;
    if (status == RETORT_OK && package.is_static && (graph != NULL || options->head != NULL || !embed))
        return rt_fail(err, RETORT_UNSUPPORTED,
                       "%s: a static embedding only embeds, and is read from its table", e->folder);
    if (status == RETORT_OK)
        status = package.is_static ? rt_static_open(e, err) : open_weights(e, graph, &package, options, err);
    if (status == RETORT_OK) status = apply_package(e, &package, options->head != NULL, err);
    return status == RETORT_OK && setfit ? rt_setfit_apply(e, folder, err) : status;
}

/* The folder that a graph belongs to: the one it lies in, or the one above where that has the
 * configuration. */
static retort_status folder_of(char *out, const char *graph, retort_error *err) {
    char above[RT_PATH_SIZE];
    retort_status status = rt_path_folder(out, graph, err);
    if (status != RETORT_OK) return status;
    size_t length = strlen(out);
    bool onnx = strcmp(out, "onnx") == 0 || (length >= 5 && strcmp(out + length - 5, "/onnx") == 0);
    if (has_config(out) || !onnx || !rt_path_join(above, sizeof above, out, "..") || !has_config(above)) {
        return RETORT_OK;
    }
    memcpy(out, above, sizeof above);
    return RETORT_OK;
}

/* Where the weights are that `source`, a folder, stands for: its snapshot in the hub's cache, and the base of an adapter. */
static retort_status find_folder(rt_encoder *e, char *out, const char *source, retort_error *err) {
    char folder[RT_PATH_SIZE];
    if (!rt_hub_find(out, source)) snprintf(out, RT_PATH_SIZE, "%s", source);
    if (!rt_adapter_is_in(out)) return RETORT_OK;
    memcpy(folder, out, sizeof folder);
    retort_status status = rt_adapter_base(out, folder, err);
    if (status != RETORT_OK || strcmp(out, folder) == 0) return status;
    e->adapter = rt_arena_text(&e->arena, folder, strlen(folder));
    return e->adapter != NULL ? RETORT_OK : rt_fail_nomem(err, strlen(folder));
}

retort_status rt_encoder_open(rt_encoder *out, const char *source, const rt_encoder_options *options,
                              retort_error *err) {
    static const rt_encoder_options as_it_is = {0};
    char folder[RT_PATH_SIZE], graph[RT_PATH_SIZE] = "";
    *out = (rt_encoder){0};
    bool file = rt_is_file(source);
    retort_status status = file ? folder_of(folder, source, err) : find_folder(out, folder, source, err);
    if (status == RETORT_OK && !file && rt_tensors_folder_file(folder) == NULL)
        status = rt_onnx_in_folder(graph, folder, err);
    if (status == RETORT_OK) {
        const char *found = graph[0] != '\0' ? graph : NULL;
        status = open_parts(out, folder, file ? source : found, options != NULL ? options : &as_it_is, err);
    }
    if (status != RETORT_OK) rt_encoder_close(out);
    return status;
}

void rt_encoder_close(rt_encoder *encoder) {
    if (encoder == NULL) return;
    rt_tensors_close(&encoder->tensors);
    rt_onnx_close(&encoder->onnx);
    for (size_t i = 0; i < encoder->module_count; i++) rt_tensors_close(&encoder->modules[i].tensors);
    rt_arena_free(&encoder->arena);
    *encoder = (rt_encoder){0};
}

const char *rt_encoder_folder(const rt_encoder *encoder) {
    static const char *const tokenizers[] = {"tokenizer.json", "vocab.txt"};
    char path[RT_PATH_SIZE];
    for (size_t i = 0; encoder->adapter != NULL && i < sizeof tokenizers / sizeof *tokenizers; i++) {
        if (rt_path_join(path, sizeof path, encoder->adapter, tokenizers[i]) && rt_is_file(path))
            return encoder->adapter;
    }
    return encoder->folder;
}
