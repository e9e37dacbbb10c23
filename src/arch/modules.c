/* SPDX-License-Identifier: Apache-2.0
 * Forms of sentence-transformers 2 (flags pooling_mode_…) and 5.x/6 ("pooling_mode": "mean"; types in
 * sentence_transformers.base.modules and sentence_transformers.sentence_transformer.modules). */
#include "arch/modules.h"
#include "arch/labels.h"
#include "arch/sentences.h"
#include "base/map.h"
#include "format/path.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct loader {
    rt_modules *out;
    rt_arena *arena;
    const char *module; /* folder of the module at hand */
    retort_error *err;
} loader;

/* One row per pooling: the new name, the old flag, in the order in which flags concatenate. */
static const struct {
    const char *mode, *flag;
    rt_pooling pooling;
} poolings[] = {
    {"cls", "pooling_mode_cls_token", RT_POOL_CLS},
    {"max", "pooling_mode_max_tokens", RT_POOL_MAX},
    {"mean", "pooling_mode_mean_tokens", RT_POOL_MEAN},
    {"mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens", RT_POOL_MEAN_SQRT},
    {"weightedmean", "pooling_mode_weightedmean_tokens", RT_POOL_WEIGHTED},
    {"lasttoken", "pooling_mode_lasttoken", RT_POOL_LAST},
};
enum { POOLINGS = sizeof poolings / sizeof *poolings };

/* Adds the pooling of a mode; twice the same is refused. */
static retort_status add_pooling(rt_modules *out, const char *name, const char *mode, retort_error *err) {
    size_t row = 0;
    while (mode != NULL && row < POOLINGS && strcmp(mode, poolings[row].mode) != 0) row++;
    if (mode == NULL || row == POOLINGS) {
        return rt_fail(err, RETORT_UNSUPPORTED,
                       "%s: pooling_mode '%.60s'; known are cls, max, mean, mean_sqrt_len_tokens, "
                       "weightedmean and lasttoken",
                       name, mode != NULL ? mode : "(not a string)");
    }
    for (size_t i = 0; i < out->pooling_count; i++) {
        if (out->poolings[i] == poolings[row].pooling)
            return rt_fail(err, RETORT_UNSUPPORTED, "%s: pooling_mode '%s' is there twice", name, mode);
    }
    out->poolings[out->pooling_count++] = poolings[row].pooling;
    return RETORT_OK;
}
_Static_assert((int)POOLINGS <= (int)RT_MOST_POOLINGS, "each pooling once");

/* The flags that are true, of the old form. None means the mean. */
static retort_status flagged_poolings(rt_modules *out, const char *name, const json_t *root,
                                      retort_error *err) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)root, key, value) {
        size_t row = 0;
        if (strncmp(key, "pooling_mode_", 13) != 0 || !json_is_true(value)) continue;
        while (row < POOLINGS && strcmp(key, poolings[row].flag) != 0) row++;
        if (row == POOLINGS) return rt_fail(err, RETORT_UNSUPPORTED, "%s: %.60s is not supported", name, key);
    }
    for (size_t i = 0; i < POOLINGS; i++) {
        if (!json_is_true(json_object_get(root, poolings[i].flag))) continue;
        retort_status status = add_pooling(out, name, poolings[i].mode, err);
        if (status != RETORT_OK) return status;
    }
    return out->pooling_count > 0 ? RETORT_OK : add_pooling(out, name, "mean", err);
}

retort_status rt_modules_pooling(rt_modules *out, const char *name, const json_t *root, retort_error *err) {
    const json_t *mode = json_object_get(root, "pooling_mode");
    out->sentences.skips_prompt = json_is_false(json_object_get(root, "include_prompt"));
    out->pooling_count = 0;
    if (!json_is_object(root)) return rt_fail(err, RETORT_FORMAT, "%s: not a JSON object", name);
    if (mode == NULL) return flagged_poolings(out, name, root, err);
    if (!json_is_array(mode)) return add_pooling(out, name, json_string_value(mode), err);
    retort_status status = RETORT_OK;
    for (size_t i = 0; i < json_array_size(mode) && status == RETORT_OK; i++)
        status = add_pooling(out, name, json_string_value(json_array_get(mode, i)), err);
    if (status != RETORT_OK || out->pooling_count > 0) return status;
    return rt_fail(err, RETORT_FORMAT, "%s: pooling_mode is an empty list", name);
}

retort_status rt_modules_splade(rt_modules *out, const char *name, const json_t *root, retort_error *err) {
    static const char *const strategies[] = {"max", "sum"}, *const functions[] = {"relu", "log1p_relu"};
    const struct {
        const char *key, *const *known;
        bool *second;
    } settings[] = {{"pooling_strategy", strategies, &out->splade.sum},
                    {"activation_function", functions, &out->splade.twice}};
    const json_t *columns = json_object_get(root, "embedding_dimension");
    out->poolings[0] = RT_POOL_SPLADE;
    out->pooling_count = 1;
    if (columns != NULL && !json_is_null(columns) && json_integer_value(columns) < 1)
        return rt_fail(err, RETORT_FORMAT, "%s: 'embedding_dimension' is no number of pieces", name);
    out->splade.columns = json_integer_value(columns);
    for (size_t i = 0; i < 2; i++) {
        const json_t *value = json_object_get(root, settings[i].key);
        const char *text = value == NULL ? settings[i].known[0] : json_string_value(value);
        *settings[i].second = text != NULL && strcmp(text, settings[i].known[1]) == 0;
        if (*settings[i].second || (text != NULL && strcmp(text, settings[i].known[0]) == 0)) continue;
        return rt_fail(err, RETORT_UNSUPPORTED, "%s: %s '%.60s'; known are %s and %s", name, settings[i].key,
                       text != NULL ? text : "(not a string)", settings[i].known[0], settings[i].known[1]);
    }
    return RETORT_OK;
}

/* Whether `key` is absent, null or `expected`. */
static bool text_is(const json_t *root, const char *key, const char *expected) {
    const char *text = json_string_value(json_object_get(root, key));
    return text == NULL || strcmp(text, expected) == 0;
}

/* Adds a module that works on whole texts, as all do unless they say otherwise; NULL: RETORT_UNSUPPORTED. */
static rt_module *add_module(rt_modules *out, rt_module_kind kind, const char *name, const json_t *root,
                             retort_error *err) {
    if (!text_is(root, "module_input_name", "sentence_embedding") ||
        !text_is(root, "module_output_name", "sentence_embedding")) {
        rt_fail(err, RETORT_UNSUPPORTED, "%s: a module that is not from sentence to sentence", name);
        return NULL;
    }
    if (out->after_count == RT_MOST_MODULES) {
        rt_fail(err, RETORT_UNSUPPORTED, "%s: more than %d modules after the pooling", name, RT_MOST_MODULES);
        return NULL;
    }
    rt_module *added = &out->after[out->after_count++];
    *added = (rt_module){.kind = kind};
    return added;
}

static bool is_width(int64_t n) {
    return n >= 1 && n <= 1 << 16;
}

retort_status rt_modules_dense(rt_modules *out, const char *name, const json_t *root, retort_error *err) {
    char known[256];
    rt_module *dense = add_module(out, RT_MODULE_DENSE, name, root, err);
    if (dense == NULL) return RETORT_UNSUPPORTED;
    dense->in = json_integer_value(json_object_get(root, "in_features"));
    dense->out = json_integer_value(json_object_get(root, "out_features"));
    dense->bias = !json_is_false(json_object_get(root, "bias"));
    dense->residual = json_is_true(json_object_get(root, "use_residual"));
    if (!is_width(dense->in) || !is_width(dense->out)) {
        return rt_fail(err, RETORT_FORMAT,
                       "%s: in_features %" PRId64 ", out_features %" PRId64 "; expected 1 to 65536", name,
                       dense->in, dense->out);
    }
    const json_t *value = json_object_get(root, "activation_function");
    const char *text = value == NULL ? "torch.nn.Tanh" : json_string_value(value);
    if (rt_module_act_find(&dense->activation, text)) return RETORT_OK;
    return rt_fail(err, RETORT_UNSUPPORTED,
                   "%s: activation_function '%.80s'; known are those of torch.nn: %s", name,
                   text != NULL ? text : "(not a string)", rt_module_act_names(known, sizeof known));
}

retort_status rt_modules_normalize(rt_modules *out, const char *name, const json_t *root, retort_error *err) {
    return add_module(out, RT_MODULE_NORMALIZE, name, root, err) != NULL ? RETORT_OK : RETORT_UNSUPPORTED;
}

retort_status rt_modules_layer_norm(rt_modules *out, const char *name, const json_t *root,
                                    retort_error *err) {
    rt_module *added = add_module(out, RT_MODULE_LAYER_NORM, name, root, err);
    if (added == NULL) return RETORT_UNSUPPORTED;
    added->in = added->out = json_integer_value(json_object_get(root, "dimension"));
    if (is_width(added->in)) return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT, "%s: dimension is %" PRId64 "; expected 1 to 65536", name, added->in);
}

/* The JSON of a module's file; the caller owns *root. */
static retort_status load_module(const loader *l, const char *file, char *path, json_t **root) {
    retort_status status = rt_path_in(path, l->module, file, l->err);
    return status == RETORT_OK ? rt_json_load(root, path, l->err) : status;
}

static bool has_file(const loader *l, const char *file) {
    char path[RT_PATH_SIZE];
    return rt_path_join(path, sizeof path, l->module, file) && rt_is_file(path);
}

static retort_status read_transformer(loader *l) {
    static const char *const files[] = {"sentence_bert_config.json", "sentence_distilbert_config.json"};
    char path[RT_PATH_SIZE];
    json_t *root = NULL;
    l->out->transformer = l->module;
    const char *file = has_file(l, files[0]) ? files[0] : files[1];
    if (!has_file(l, file)) return RETORT_OK;
    retort_status status = load_module(l, file, path, &root);
    const json_t *limit = json_object_get(root, "max_seq_length");
    if (status == RETORT_OK && limit != NULL && !json_is_null(limit)) {
        l->out->max_length = json_integer_value(limit);
        if (l->out->max_length < 1) {
            status =
                rt_fail(l->err, RETORT_FORMAT, "%s: max_seq_length is %" PRId64, path, l->out->max_length);
        }
    }
    l->out->lowers = json_is_true(json_object_get(root, "do_lower_case"));
    json_decref(root);
    return status;
}

/* A table and the mean of its rows: no pooling follows. */
static retort_status read_static(loader *l) {
    l->out->transformer = l->module;
    l->out->is_static = true;
    l->out->poolings[0] = RT_POOL_MEAN;
    l->out->pooling_count = 1;
    return RETORT_OK;
}

static retort_status read_config(const loader *l, retort_status (*parse)(rt_modules *, const char *,
                                                                         const json_t *, retort_error *)) {
    char path[RT_PATH_SIZE];
    json_t *root = NULL;
    retort_status status = load_module(l, "config.json", path, &root);
    if (status == RETORT_OK) status = parse(l->out, path, root, l->err);
    if (status == RETORT_OK && l->out->after_count > 0)
        l->out->after[l->out->after_count - 1].folder = l->module;
    json_decref(root);
    return status;
}
static retort_status read_pooling(loader *l) {
    return read_config(l, rt_modules_pooling);
}
static retort_status read_splade(loader *l) {
    return read_config(l, rt_modules_splade);
}
static retort_status read_dense(loader *l) {
    return read_config(l, rt_modules_dense);
}
static retort_status read_layer_norm(loader *l) {
    return read_config(l, rt_modules_layer_norm);
}
/* Its folder may be absent: it has no settings in most packages. */
static retort_status read_normalize(loader *l) {
    if (has_file(l, "config.json")) return read_config(l, rt_modules_normalize);
    return rt_modules_normalize(l->out, l->module, NULL, l->err);
}
/* Dropout has no effect at inference. */
static retort_status read_dropout(loader *l) {
    (void)l;
    return RETORT_OK;
}

/* The place of a module: a transformer comes first, and a pooling before all that read its vector. */
typedef enum place { FIRST, POOLS, AFTER, ANYWHERE } place;
/* One row per module. */
static const struct {
    const char *name;
    place place;
    retort_status (*read)(loader *l);
} modules[] = {
    {"Transformer", FIRST, read_transformer}, {"MLMTransformer", FIRST, read_transformer},
    {"StaticEmbedding", FIRST, read_static},  {"Pooling", POOLS, read_pooling},
    {"SpladePooling", POOLS, read_splade},    {"Dense", AFTER, read_dense},
    {"Normalize", AFTER, read_normalize},     {"LayerNorm", AFTER, read_layer_norm},
    {"Dropout", ANYWHERE, read_dropout},
};
enum { MODULES = sizeof modules / sizeof *modules };

/* The row of "sentence_transformers.….Pooling"; MODULES for any class that is not the library's own. */
static size_t find_module(const char *type) {
    const char *dot = type == NULL ? NULL : strrchr(type, '.');
    if (dot == NULL || strncmp(type, "sentence_transformers.", 22) != 0) return MODULES;
    size_t i = 0;
    while (i < MODULES && strcmp(dot + 1, modules[i].name) != 0) i++;
    return i;
}

static retort_status module_folder(loader *l, const char *name, const char *folder, const char *path) {
    char joined[RT_PATH_SIZE];
    if (path != NULL && strcmp(path, ".") == 0) path = ""; /* model2vec's */
    if (path == NULL || (path[0] != '\0' && !rt_plain_name(path))) {
        return rt_fail(l->err, RETORT_FORMAT, "%s: a module's path '%.80s' is not a folder of the package",
                       name, path == NULL ? "(not a string)" : path);
    }
    if (path[0] != '\0') {
        retort_status status = rt_path_in(joined, folder, path, l->err);
        if (status != RETORT_OK) return status;
        folder = joined;
    }
    l->module = rt_arena_text(l->arena, folder, strlen(folder));
    return l->module == NULL ? rt_fail_nomem(l->err, strlen(folder)) : RETORT_OK;
}

/* Of a module list: MLMTransformer gives logits, and Pooling would pool those. */
static bool pools_logits(const json_t *root, size_t row) {
    size_t first = find_module(json_string_value(json_object_get(json_array_get(root, 0), "type")));
    return first < MODULES && strcmp(modules[first].name, "MLMTransformer") == 0 &&
           strcmp(modules[row].name, "Pooling") == 0;
}

static retort_status read_modules(loader *l, const char *name, const char *folder, const json_t *root,
                                  bool embed) {
    size_t index;
    json_t *value;
    if (!json_is_array(root)) return rt_fail(l->err, RETORT_FORMAT, "%s: not a list of modules", name);
    json_array_foreach((json_t *)root, index, value) {
        const char *type = json_string_value(json_object_get(value, "type"));
        size_t row = find_module(type);
        if (!embed && (row == MODULES || modules[row].place != FIRST)) continue;
        if (row == MODULES) {
            return rt_fail(l->err, RETORT_UNSUPPORTED,
                           "%s: module %zu is '%.100s'; known are Transformer, MLMTransformer, "
                           "StaticEmbedding, Pooling, "
                           "SpladePooling, Dense, Normalize, LayerNorm and Dropout of sentence_transformers",
                           name, index, type != NULL ? type : "(not a string)");
        }
        bool pooled = l->out->pooling_count > 0;
        place at = modules[row].place;
        bool fits = at == FIRST ? index == 0 : index > 0 && (at == ANYWHERE || pooled == (at == AFTER));
        if (!fits) {
            return rt_fail(
                l->err, RETORT_UNSUPPORTED,
                "%s: module %zu is %s; expected Transformer, Pooling, and then others in any order", name,
                index, modules[row].name);
        }
        if (embed && pools_logits(root, row))
            return rt_fail(l->err, RETORT_UNSUPPORTED,
                           "%s: module %zu is Pooling of the logits that MLMTransformer gives; expected "
                           "SpladePooling",
                           name, index);
        if (at == ANYWHERE) continue;
        retort_status status =
            module_folder(l, name, folder, json_string_value(json_object_get(value, "path")));
        if (status == RETORT_OK) status = modules[row].read(l);
        if (status != RETORT_OK) return status;
    }
    return RETORT_OK;
}

retort_status rt_modules_settings(rt_modules *out, rt_arena *arena, const char *name, const json_t *root,
                                  bool embed, retort_error *err) {
    static const char activation[] = "activation_fn";
    const char *type = json_string_value(json_object_get(root, "model_type"));
    out->scores = type != NULL && strcmp(type, "CrossEncoder") == 0;
    if (!out->scores && !embed) return RETORT_OK;
    if (type != NULL && strcmp(type, "SparseEncoder") == 0)
        out->sentences.similarity = RT_DOT; /* its default */
    retort_status status = rt_sentences_read(&out->sentences, arena, name, root, err);
    if (status != RETORT_OK || !out->scores) return status;
    return rt_config_scoring(&out->scoring, name, activation, json_object_get(root, activation), err);
}

static retort_status read_settings(const loader *l, const char *folder, bool embed) {
    char path[RT_PATH_SIZE];
    json_t *root = NULL;
    retort_status status = rt_path_in(path, folder, "config_sentence_transformers.json", l->err);
    if (status != RETORT_OK || !rt_is_file(path)) return status;
    status = rt_json_load(&root, path, l->err);
    if (status == RETORT_OK) status = rt_modules_settings(l->out, l->arena, path, root, embed, l->err);
    json_decref(root);
    return status;
}

retort_status rt_modules_read(rt_modules *out, rt_arena *arena, const char *folder, bool embed,
                              retort_error *err) {
    char path[RT_PATH_SIZE];
    json_t *root = NULL;
    loader l = {.out = out, .arena = arena, .err = err};
    *out = (rt_modules){.transformer = rt_arena_text(arena, folder, strlen(folder))};
    if (out->transformer == NULL) return rt_fail_nomem(err, strlen(folder));
    retort_status status = rt_path_in(path, folder, "modules.json", err);
    if (status != RETORT_OK || !rt_is_file(path)) return status;
    status = rt_json_load(&root, path, err);
    if (status == RETORT_OK) status = read_modules(&l, path, folder, root, embed);
    json_decref(root);
    if (status == RETORT_OK) status = read_settings(&l, folder, embed);
    return status;
}
