/* SPDX-License-Identifier: Apache-2.0
 * Forms of sentence-transformers 2 (flags pooling_mode_…) and 5.x/6 ("pooling_mode": "mean"; types in
 * sentence_transformers.base.modules and sentence_transformers.sentence_transformer.modules). */
#include "arch/modules.h"
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

/* One row per supported pooling: the new name, the old flag. */
static const struct {
    const char *mode, *flag;
    rt_pooling pooling;
} poolings[] = {
    {"cls", "pooling_mode_cls_token", RT_POOL_CLS},
    {"mean", "pooling_mode_mean_tokens", RT_POOL_MEAN},
    {"max", "pooling_mode_max_tokens", RT_POOL_MAX},
};
enum { POOLINGS = sizeof poolings / sizeof *poolings };

/* One row per class that a Dense module may name. */
static const struct {
    const char *name;
    rt_act activation;
} activations[] = {
    {"torch.nn.modules.activation.Tanh", RT_FN_TANH},
    {"torch.nn.modules.activation.ReLU", RT_FN_RELU},
    {"torch.nn.modules.activation.GELU", RT_FN_GELU},
    {"torch.nn.modules.linear.Identity", RT_FN_NONE},
};

static retort_status named_pooling(rt_modules *out, const char *name, const char *mode, retort_error *err) {
    for (size_t i = 0; mode != NULL && i < POOLINGS; i++) {
        if (strcmp(mode, poolings[i].mode) != 0) continue;
        out->pooling = poolings[i].pooling;
        return RETORT_OK;
    }
    return rt_fail(err, RETORT_UNSUPPORTED,
                   "%s: pooling_mode '%.60s'; known are cls, mean and max, one of them", name,
                   mode != NULL ? mode : "(several)");
}

/* The flag that is true, of the old form; two of them would concatenate vectors. None means the mean. */
static retort_status flagged_pooling(rt_modules *out, const char *name, const json_t *root,
                                     retort_error *err) {
    const char *key, *set = NULL;
    json_t *value;
    json_object_foreach((json_t *)root, key, value) {
        if (strncmp(key, "pooling_mode_", 13) != 0 || !json_is_true(value)) continue;
        if (set != NULL) {
            return rt_fail(err, RETORT_UNSUPPORTED, "%s: both %.60s and %.60s are set; one pooling is read",
                           name, set, key);
        }
        set = key;
    }
    if (set == NULL) return named_pooling(out, name, "mean", err);
    for (size_t i = 0; i < POOLINGS; i++) {
        if (strcmp(set, poolings[i].flag) == 0) return named_pooling(out, name, poolings[i].mode, err);
    }
    return rt_fail(err, RETORT_UNSUPPORTED, "%s: %.60s is not supported; known are cls, mean and max", name,
                   set);
}

retort_status rt_modules_pooling(rt_modules *out, const char *name, const json_t *root, retort_error *err) {
    const json_t *mode = json_object_get(root, "pooling_mode");
    out->sentences.skips_prompt = json_is_false(json_object_get(root, "include_prompt"));
    if (!json_is_object(root)) return rt_fail(err, RETORT_FORMAT, "%s: not a JSON object", name);
    if (json_is_array(mode) && json_array_size(mode) == 1) mode = json_array_get(mode, 0);
    if (mode != NULL) return named_pooling(out, name, json_string_value(mode), err);
    return flagged_pooling(out, name, root, err);
}

static retort_status dense_activation(rt_modules *out, const char *name, const json_t *value,
                                      retort_error *err) {
    const char *text =
        value == NULL ? activations[0].name : json_string_value(value); /* its default is Tanh */
    for (size_t i = 0; text != NULL && i < sizeof activations / sizeof *activations; i++) {
        if (strcmp(text, activations[i].name) != 0) continue;
        out->dense_activation = activations[i].activation;
        return RETORT_OK;
    }
    return rt_fail(err, RETORT_UNSUPPORTED,
                   "%s: activation_function '%.80s'; known are Tanh, ReLU, GELU, Identity", name,
                   text != NULL ? text : "(not a string)");
}

/* Whether `key` is absent, null or `expected`. */
static bool text_is(const json_t *root, const char *key, const char *expected) {
    const char *text = json_string_value(json_object_get(root, key));
    return text == NULL || strcmp(text, expected) == 0;
}

retort_status rt_modules_dense(rt_modules *out, const char *name, const json_t *root, retort_error *err) {
    out->dense_in = json_integer_value(json_object_get(root, "in_features"));
    out->dense_out = json_integer_value(json_object_get(root, "out_features"));
    out->dense_bias = !json_is_false(json_object_get(root, "bias"));
    if (out->dense_in < 1 || out->dense_out < 1 || out->dense_in > 1 << 16 || out->dense_out > 1 << 16) {
        return rt_fail(err, RETORT_FORMAT,
                       "%s: in_features %" PRId64 ", out_features %" PRId64 "; expected 1 to 65536", name,
                       out->dense_in, out->dense_out);
    }
    if (json_is_true(json_object_get(root, "use_residual")) ||
        !text_is(root, "module_input_name", "sentence_embedding") ||
        !text_is(root, "module_output_name", "sentence_embedding")) {
        return rt_fail(err, RETORT_UNSUPPORTED,
                       "%s: a Dense module with a residual, or not from sentence to sentence", name);
    }
    return dense_activation(out, name, json_object_get(root, "activation_function"), err);
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

static retort_status read_config(const loader *l, retort_status (*parse)(rt_modules *, const char *,
                                                                         const json_t *, retort_error *)) {
    char path[RT_PATH_SIZE];
    json_t *root = NULL;
    retort_status status = load_module(l, "config.json", path, &root);
    if (status == RETORT_OK) status = parse(l->out, path, root, l->err);
    json_decref(root);
    return status;
}
static retort_status read_pooling(loader *l) {
    return read_config(l, rt_modules_pooling);
}
static retort_status read_dense(loader *l) {
    l->out->dense = l->module;
    return read_config(l, rt_modules_dense);
}
/* Dropout has no effect at inference. */
static retort_status read_dropout(loader *l) {
    (void)l;
    return RETORT_OK;
}
static retort_status read_normalize(loader *l) {
    l->out->normalize = true;
    return RETORT_OK;
}

/* One row per module, in the only order supported; each at most once. */
static const struct {
    const char *name;
    retort_status (*read)(loader *l);
} modules[] = {
    {"Transformer", read_transformer}, {"Pooling", read_pooling}, {"Dense", read_dense},
    {"Normalize", read_normalize},     {"Dropout", read_dropout}, /* anywhere after the first */
};
enum { MODULES = sizeof modules / sizeof *modules, DROPOUT = MODULES - 1 };

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

static retort_status read_modules(loader *l, const char *name, const char *folder, const json_t *root,
                                  bool embed) {
    size_t index, next = 0;
    json_t *value;
    if (!json_is_array(root)) return rt_fail(l->err, RETORT_FORMAT, "%s: not a list of modules", name);
    json_array_foreach((json_t *)root, index, value) {
        const char *type = json_string_value(json_object_get(value, "type"));
        size_t row = find_module(type);
        if (!embed && row != 0) continue;
        if (row == MODULES) {
            return rt_fail(l->err, RETORT_UNSUPPORTED,
                           "%s: module %zu is '%.100s'; known are Transformer, Pooling, Dense, "
                           "Normalize and Dropout of sentence_transformers",
                           name, index, type != NULL ? type : "(not a string)");
        }
        if (row == DROPOUT && index > 0) continue;
        if (row < next || (index == 0 && row != 0)) {
            return rt_fail(l->err, RETORT_UNSUPPORTED,
                           "%s: module %zu is %s; expected Transformer, Pooling, Dense, Normalize, "
                           "in this order",
                           name, index, modules[row].name);
        }
        next = row + 1;
        retort_status status =
            module_folder(l, name, folder, json_string_value(json_object_get(value, "path")));
        if (status == RETORT_OK) status = modules[row].read(l);
        if (status != RETORT_OK) return status;
    }
    return RETORT_OK;
}

static retort_status read_sentences(const loader *l, const char *folder) {
    char path[RT_PATH_SIZE];
    json_t *root = NULL;
    retort_status status = rt_path_in(path, folder, "config_sentence_transformers.json", l->err);
    if (status != RETORT_OK || !rt_is_file(path)) return status;
    status = rt_json_load(&root, path, l->err);
    if (status == RETORT_OK) status = rt_sentences_read(&l->out->sentences, l->arena, path, root, l->err);
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
    if (status == RETORT_OK && embed) status = read_sentences(&l, folder);
    return status;
}
