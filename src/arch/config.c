/* SPDX-License-Identifier: Apache-2.0
 * config.json of transformers: the keys that the architecture's row names, and those that all architectures have. */
#include "arch/config.h"
#include "arch/labels.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* One row per size: its field, and the smallest and largest value accepted. The bounds are several times those of
 * the largest known model, and keep all products far from overflow. */
static const struct {
    size_t slot;
    int64_t min, max;
} numbers[RT_KEYS] = {
    [RT_KEY_LAYERS] = {offsetof(rt_config, layers), 1, 1 << 10},
    [RT_KEY_HIDDEN] = {offsetof(rt_config, hidden), 1, 1 << 16},
    [RT_KEY_HEADS] = {offsetof(rt_config, heads), 1, 1 << 16},
    [RT_KEY_FFN] = {offsetof(rt_config, ffn), 1, 1 << 20},
    [RT_KEY_VOCAB] = {offsetof(rt_config, vocab), 1, 1 << 24},
    [RT_KEY_POSITIONS] = {offsetof(rt_config, positions), 1, 1 << 20},
    [RT_KEY_TYPES] = {offsetof(rt_config, types), 1, 1 << 10},
    [RT_KEY_EMBEDDING] = {offsetof(rt_config, embedding), 1, 1 << 16},
    [RT_KEY_GROUPS] = {offsetof(rt_config, groups), 1, 1 << 10},
    [RT_KEY_INNER] = {offsetof(rt_config, inner), 1, 1 << 6},
    [RT_KEY_BUCKETS] = {offsetof(rt_config, buckets), 1, 1 << 16},
    [RT_KEY_PAD] = {offsetof(rt_config, position_offset), 0, 1 << 20}, /* until skip_positions */
};

/* One row per head: how the architecture's name ends. */
static const struct {
    const char *suffix;
    retort_task task;
} heads[] = {
    {"ForSequenceClassification", RETORT_TASK_CLASSIFY},
    {"ForTokenClassification", RETORT_TASK_TAG},
    {"ForQuestionAnswering", RETORT_TASK_ANSWER},
    {"ForMaskedLM", RETORT_TASK_FILL},
    {"Model", RETORT_TASK_EMBED},
};

static const char *architecture(const json_t *root) {
    return json_string_value(json_array_get(json_object_get(root, "architectures"), 0));
}

/* The rows' types or prefixes, "a, b and c", each followed by `after`. */
static const char *list_archs(char *out, size_t size, bool prefixes, const char *after, const char *last) {
    int n = 0;
    for (size_t i = 0; rt_archs[i] != NULL && n < (int)size; i++) {
        const char *before = i == 0 ? "" : rt_archs[i + 1] == NULL ? last : ", ";
        n += snprintf(out + n, size - (size_t)n, "%s%s%s", before,
                      prefixes ? rt_archs[i]->prefix : rt_archs[i]->type, after);
    }
    return out;
}

retort_status rt_config_task(const json_t *root, const char *name, bool *stated, retort_task *task,
                             retort_error *err) {
    char known[256];
    const char *head = architecture(root);
    *stated = head != NULL;
    if (head == NULL) return RETORT_OK;
    const rt_arch *arch = rt_arch_of(head);
    const char *suffix = arch != NULL ? head + strlen(arch->prefix) : "";
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        if (strcmp(suffix, heads[i].suffix) != 0) continue;
        *task = heads[i].task;
        return RETORT_OK;
    }
    if (strcmp(suffix, "ForPreTraining") == 0) {
        *task = arch->pretraining;
        return RETORT_OK;
    }
    return rt_fail(err, RETORT_UNSUPPORTED,
                   "%s: architecture '%.80s'; known are %s with ForSequenceClassification, "
                   "ForTokenClassification, ForQuestionAnswering, ForMaskedLM, ForPreTraining or Model",
                   name, head, list_archs(known, sizeof known, true, "…", " and "));
}

retort_status rt_config_arch(const json_t *root, const char *name, const rt_arch **arch, retort_error *err) {
    char known[256];
    const char *type = json_string_value(json_object_get(root, "model_type")), *head = architecture(root);
    if (type == NULL && head == NULL) {
        return rt_fail(err, RETORT_FORMAT, "%s: 'model_type' is missing; expected %s", name,
                       list_archs(known, sizeof known, false, "", " or "));
    }
    *arch = type != NULL ? rt_arch_find(type) : rt_arch_of(head);
    if (*arch == NULL) {
        return rt_fail(err, RETORT_UNSUPPORTED, "%s: %s '%.80s'; expected %s", name,
                       type != NULL ? "model_type" : "architecture", type != NULL ? type : head,
                       list_archs(known, sizeof known, false, "", " or "));
    }
    if (head == NULL || strncmp(head, (*arch)->prefix, strlen((*arch)->prefix)) == 0) return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT, "%s: model_type '%s' contradicts the architecture '%.80s'", name,
                   (*arch)->type, head);
}

static retort_status read_numbers(rt_config *out, const char *name, const json_t *root, retort_error *err) {
    for (size_t i = 0; i < RT_KEYS; i++) {
        const char *key = out->arch->keys[i];
        if (key == NULL) continue;
        const json_t *value = json_object_get(root, key);
        const json_t *old =
            out->arch->old_keys[i] != NULL ? json_object_get(root, out->arch->old_keys[i]) : NULL;
        if (value == NULL && old != NULL) {
            key = out->arch->old_keys[i];
            value = old;
        }
        int64_t *slot = (int64_t *)(void *)((char *)out + numbers[i].slot);
        *slot = out->arch->defaults[i];
        if (value == NULL && *slot > 0) continue;
        if (value == NULL) return rt_fail(err, RETORT_FORMAT, "%s: '%s' is missing", name, key);
        if (!json_is_integer(value))
            return rt_fail(err, RETORT_FORMAT, "%s: '%s' is not an integer", name, key);
        int64_t n = json_integer_value(value);
        int64_t min = i == RT_KEY_TYPES && out->arch->names[RT_ROLE_POSITION] == NULL ? 0 : numbers[i].min;
        if (n < min || n > numbers[i].max) {
            return rt_fail(err, RETORT_FORMAT, "%s: '%s' is %" PRId64 "; expected %" PRId64 " to %" PRId64,
                           name, key, n, min, numbers[i].max);
        }
        *slot = n;
    }
    if (out->arch->keys[RT_KEY_EMBEDDING] == NULL) out->embedding = out->hidden;
    out->key_heads = out->heads;
    out->dim = out->hidden / out->heads;
    if (out->hidden % out->heads == 0) return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT,
                   "%s: a hidden size of %" PRId64 " cannot be divided by %" PRId64 " heads", name,
                   out->hidden, out->heads);
}

/* The rows up to that of padding belong to no other token. */
static retort_status skip_positions(rt_config *out, const char *name, retort_error *err) {
    if (out->arch->keys[RT_KEY_PAD] == NULL && out->arch->defaults[RT_KEY_PAD] == 0) return RETORT_OK;
    int64_t rows = out->positions;
    const char *key = out->arch->keys[RT_KEY_PAD];
    if (key == NULL) out->position_offset = out->arch->defaults[RT_KEY_PAD];
    out->position_offset++;
    out->after_pad = 1;
    out->positions -= out->position_offset;
    if (out->positions > 0) return RETORT_OK;
    return rt_fail(
        err, RETORT_FORMAT, "%s: '%s' is %" PRId64 ": positions start after '%s', which is %" PRId64, name,
        out->arch->keys[RT_KEY_POSITIONS], rows, key != NULL ? key : "padding", rt_config_pad_id(out));
}

static retort_status read_activation(rt_config *out, const char *name, const json_t *root,
                                     retort_error *err) {
    const char *key = out->arch->activation_key;
    if (key == NULL) return RETORT_OK;
    rt_config_source from = {.name = name, .root = root};
    if (json_object_get(root, key) == NULL && out->arch->activation_default != NULL)
        return rt_config_activation_named(&from, key, out->arch->activation_default, &out->activation, err);
    if (json_object_get(root, key) == NULL)
        return rt_fail(err, RETORT_FORMAT, "%s: '%s' is missing or not a string", name, key);
    return rt_config_activation(&from, key, &out->activation, err);
}

/* DistilBERT's is fixed in its code; files older than transformers 2 do not state theirs, the same 1e-12. */
static retort_status read_epsilon(rt_config *out, const char *name, const json_t *root, retort_error *err) {
    const char *key = out->arch->epsilon_key;
    const json_t *value = key != NULL ? json_object_get(root, key) : NULL;
    if (key == NULL && out->epsilon > 0) return RETORT_OK; /* its own code has read it */
    out->epsilon = out->arch->epsilon_default > 0 ? out->arch->epsilon_default : 1e-12f;
    if (value == NULL) return RETORT_OK;
    double epsilon = json_number_value(value);
    if (!json_is_number(value) || !(epsilon >= 1e-30 && epsilon <= 0.1)) {
        return rt_fail(err, RETORT_FORMAT, "%s: '%s' is %g; expected 1e-30 to 0.1", name, key, epsilon);
    }
    out->epsilon = (float)epsilon;
    return RETORT_OK;
}

/* Options that change the network into one that is not supported. */
static retort_status refuse_variants(const rt_arch *arch, const char *name, const json_t *root,
                                     retort_error *err) {
    static const char *const flags[] = {"is_decoder", "add_cross_attention", "is_encoder_decoder"};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (!json_is_true(json_object_get(root, flags[i]))) continue;
        return rt_fail(err, RETORT_UNSUPPORTED, "%s: '%s' is true; only encoders are read", name, flags[i]);
    }
    const char *positions = json_string_value(json_object_get(root, "position_embedding_type"));
    if (positions != NULL && strcmp(positions, "absolute") != 0 && arch->names[RT_ROLE_POSITION] != NULL) {
        return rt_fail(err, RETORT_UNSUPPORTED, "%s: position_embedding_type '%.60s'; expected absolute",
                       name, positions);
    }
    if (json_is_object(json_object_get(root, "quantization_config"))) {
        return rt_fail(err, RETORT_UNSUPPORTED,
                       "%s: 'quantization_config': weights that another tool has quantised are not supported",
                       name);
    }
    return RETORT_OK;
}

/* Layers whose heads are more than their own: what they have by distance, or share. */
static bool has_own_heads(const rt_config *config) {
    return config->groups == 0 && config->buckets == 0 && config->distances.span == 0 &&
           config->key_heads == config->heads;
}

/* One entry of pruned_heads, {"3": [0, 7]}: a layer, and the heads that it lacks. */
static retort_status read_pruned_layer(rt_config *out, const char *name, const char *key, const json_t *list,
                                       bool *gone, retort_error *err) {
    char *end = NULL;
    long layer = strtol(key, &end, 10);
    size_t index;
    const json_t *head;
    if (*key < '0' || *key > '9' || *end != '\0' || layer >= out->layers)
        return rt_fail(err, RETORT_FORMAT, "%s: 'pruned_heads' names layer '%.20s'; expected 0 to %" PRId64,
                       name, key, out->layers - 1);
    memset(gone, 0, (size_t)out->heads * sizeof *gone);
    if (!json_is_array(list))
        return rt_fail(err, RETORT_FORMAT, "%s: 'pruned_heads' of layer %s is not a list", name, key);
    json_array_foreach(list, index, head) {
        json_int_t number = json_is_integer(head) ? json_integer_value(head) : -1;
        if (number < 0 || number >= out->heads || gone[number] || out->layer_heads[layer] == 1)
            return rt_fail(err, RETORT_FORMAT,
                           "%s: 'pruned_heads' of layer %s: expected some of the heads 0 to %" PRId64
                           ", each once",
                           name, key, out->heads - 1);
        gone[number] = true;
        out->layer_heads[layer]--;
    }
    return RETORT_OK;
}

/* transformers' prune_heads: the file's matrices lack these heads already. */
static retort_status read_pruned_heads(rt_config *out, rt_arena *arena, const char *name, const json_t *root,
                                       retort_error *err) {
    const char *key;
    json_t *list, *pruned = json_object_get(root, "pruned_heads");
    if (pruned != NULL && !json_is_null(pruned) && !json_is_object(pruned))
        return rt_fail(err, RETORT_FORMAT, "%s: 'pruned_heads' is not an object of layers", name);
    if (json_object_size(pruned) == 0) return RETORT_OK;
    if (!has_own_heads(out))
        return rt_fail(err, RETORT_UNSUPPORTED,
                       "%s: 'pruned_heads' of %s: its layers share what their heads read", name,
                       out->arch->type);
    bool *gone = rt_arena_calloc(arena, (size_t)out->heads, sizeof *gone);
    out->layer_heads = rt_arena_calloc(arena, (size_t)out->layers, sizeof *out->layer_heads);
    if (gone == NULL || out->layer_heads == NULL)
        return rt_fail_nomem(err, (size_t)out->layers * sizeof *out->layer_heads);
    for (int64_t i = 0; i < out->layers; i++) out->layer_heads[i] = out->heads;
    retort_status status = RETORT_OK;
    json_object_foreach(pruned, key, list) {
        if (status == RETORT_OK) status = read_pruned_layer(out, name, key, list, gone, err);
    }
    return status;
}

/* A network that transformers has no such head for. */
static retort_status check_head(const rt_config *config, const char *name, retort_error *err) {
    if (config->task == RETORT_TASK_EMBED || config->arch->heads[config->task].output != NULL)
        return RETORT_OK;
    return rt_fail(err, RETORT_UNSUPPORTED, "%s: transformers has no %s with the head of this task", name,
                   config->arch->type);
}

static retort_status read_tie(rt_config *out, const char *name, const json_t *root, retort_error *err) {
    bool tied = !out->arch->untied;
    retort_status status =
        rt_config_flag(&(rt_config_source){.name = name, .root = root}, "tie_word_embeddings", &tied, err);
    out->untied = !tied;
    return status;
}

/* Logits per row, and for a plain encoder the pooling: the mean, as sentence-transformers takes such a folder.
 * A package states its own. */
static retort_status read_task(rt_config *out, rt_arena *arena, const char *name, const json_t *root,
                               retort_error *err) {
    switch (out->task) {
    case RETORT_TASK_CLASSIFY:
    case RETORT_TASK_TAG:
        return rt_config_labels(out, arena, name, root, err);
    case RETORT_TASK_ANSWER:
        out->labels = 2;
        break;
    case RETORT_TASK_FILL:
        out->labels = out->vocab;
        return read_tie(out, name, root, err);
    case RETORT_TASK_EMBED:
        out->labels = out->hidden;
        out->pooling = RT_POOL_MEAN;
        break;
    default:
        return rt_fail(err, RETORT_ARGUMENT, "%s: there is no task %d", name, (int)out->task);
    }
    return RETORT_OK;
}

retort_status rt_config_read(rt_config *out, rt_arena *arena, const char *name, const json_t *root,
                             retort_task task, retort_error *err) {
    *out = (rt_config){.task = task};
    if (!json_is_object(root)) return rt_fail(err, RETORT_FORMAT, "%s: not a JSON object", name);
    retort_status status = rt_config_arch(root, name, &out->arch, err);
    if (status == RETORT_OK) status = check_head(out, name, err);
    if (status == RETORT_OK) status = refuse_variants(out->arch, name, root, err);
    if (status == RETORT_OK) status = read_numbers(out, name, root, err);
    if (status == RETORT_OK && out->arch->configure != NULL)
        status = out->arch->configure(out, &(rt_config_source){name, root, arena}, err);
    if (status == RETORT_OK) status = read_pruned_heads(out, arena, name, root, err);
    if (status == RETORT_OK) status = skip_positions(out, name, err);
    if (status == RETORT_OK) status = read_activation(out, name, root, err);
    if (status == RETORT_OK) status = read_epsilon(out, name, root, err);
    if (status == RETORT_OK) status = read_task(out, arena, name, root, err);
    if (status == RETORT_OK) out->pooler = out->arch->heads[task].pooler;
    out->max_length = out->positions;
    return status;
}

retort_status rt_config_parse(rt_config *out, rt_arena *arena, const char *name, const void *json,
                              size_t size, const retort_task *force, retort_error *err) {
    json_t *root = NULL;
    bool stated = true;
    retort_task task = RETORT_TASK_CLASSIFY;
    *out = (rt_config){0};
    retort_status status = rt_json_parse(&root, name, json, size, err);
    if (status == RETORT_OK && force != NULL) task = *force;
    if (status == RETORT_OK && force == NULL) status = rt_config_task(root, name, &stated, &task, err);
    if (status == RETORT_OK && !stated) {
        status = rt_fail(err, RETORT_FORMAT, "%s: 'architectures' is missing: name the task", name);
    }
    if (status == RETORT_OK) status = rt_config_read(out, arena, name, root, task, err);
    json_decref(root);
    return status;
}
