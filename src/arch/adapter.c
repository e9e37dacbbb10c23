/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/adapter.h"
#include "arch/config.h"
#include "arch/weights.h"
#include "base/check_finite.h"
#include "format/format.h"
#include "format/hub.h"
#include "format/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char config_name[] = "adapter_config.json", wrapper[] = "base_model.model.";
enum { MOST_RANK = 4096, NAME_SIZE = 512 };

typedef struct merger {
    rt_tensors *tensors; /* of the base */
    rt_tensors adapter;
    const rt_arch *arch;
    const char *root, *base; /* prefixes of the base's names */
    json_t *config;
    rt_tensor *added; /* [added_count] parts of a head that the base lacks */
    size_t added_count;
    char config_path[RT_PATH_SIZE], file[RT_PATH_SIZE];
    retort_error *err;
} merger;

bool rt_adapter_is_in(const char *folder) {
    char path[RT_PATH_SIZE];
    return rt_path_join(path, sizeof path, folder, config_name) && rt_is_file(path);
}

/* ---- adapter_config.json ---- */

static retort_status refuse_key(const merger *m, const char *key, const json_t *value, const char *why) {
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    retort_status status = rt_fail(m->err, RETORT_UNSUPPORTED, "%s: '%.60s' is %.80s: %s", m->config_path,
                                   key, text != NULL ? text : "?", why);
    free(text);
    return status;
}

/* null, false and what is empty change nothing. */
static bool is_off(const json_t *value) {
    return json_is_null(value) || json_is_false(value) ||
           (json_is_array(value) && json_array_size(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0);
}

/* How A and B began says something about W: other initialisations took what A and B held out of it. */
static bool keeps_weights(const json_t *init) {
    static const char *const known[] = {"gaussian", "eva", "orthogonal"};
    const char *name = json_string_value(init);
    for (size_t i = 0; name != NULL && i < sizeof known / sizeof *known; i++) {
        if (strcmp(name, known[i]) == 0) return true;
    }
    return json_is_boolean(init);
}

/* Keys that are read here, or say nothing about the merged weights. Whatever else is set is refused. */
static const char *const understood[] = {
    "peft_type",
    "task_type",
    "base_model_name_or_path",
    "r",
    "lora_alpha",
    "rank_pattern",
    "alpha_pattern",
    "use_rslora",
    "use_dora",
    "auto_mapping",
    "bias",
    "eva_config",
    "exclude_modules",
    "inference_mode",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "lora_dropout",
    "megatron_core",
    "modules_to_save",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "target_modules",
    "ensure_weight_tying",
};

/* Keys that are read here and change what is computed have the type that PEFT writes: anything else is no answer. */
static retort_status check_types(const merger *m) {
    static const struct {
        const char *key, *expected;
        bool object;
    } typed[] = {{"use_rslora", "expected true or false", false},
                 {"use_dora", "expected true or false", false},
                 {"rank_pattern", "expected an object", true},
                 {"alpha_pattern", "expected an object", true}};
    for (size_t i = 0; i < sizeof typed / sizeof *typed; i++) {
        const json_t *value = json_object_get(m->config, typed[i].key);
        if (value == NULL || json_is_null(value)) continue;
        if (!(typed[i].object ? json_is_object(value) : json_is_boolean(value)))
            return refuse_key(m, typed[i].key, value, typed[i].expected);
    }
    return RETORT_OK;
}

static retort_status check_config(const merger *m) {
    const char *type = json_string_value(json_object_get(m->config, "peft_type")), *key;
    const json_t *init = json_object_get(m->config, "init_lora_weights");
    json_t *value;
    if (type == NULL || strcmp(type, "LORA") != 0)
        return refuse_key(
            m, "peft_type", json_object_get(m->config, "peft_type"),
            "LORA adapters are merged; others: merge them with PEFT (merge_and_unload) and save the "
            "model whole");
    if (init != NULL && !keeps_weights(init))
        return refuse_key(
            m, "init_lora_weights", init,
            "it changed the weights of the base model: convert the adapter to plain LoRA with PEFT");
    json_object_foreach(m->config, key, value) {
        bool known = is_off(value);
        for (size_t i = 0; !known && i < sizeof understood / sizeof *understood; i++)
            known = strcmp(key, understood[i]) == 0;
        if (!known)
            return refuse_key(m, key, value, "not supported; merge the adapter with PEFT (merge_and_unload)");
    }
    return check_types(m);
}

/* Whether a pattern of PEFT names a module: its whole name, or how it ends after a dot. Patterns are regular expressions
 * there; those that are names are read. */
static bool names_module(const char *pattern, const char *module) {
    size_t length = strlen(module), end = strlen(pattern);
    if (end > length || strcmp(module + length - end, pattern) != 0) return false;
    return end == length || module[length - end - 1] == '.';
}

static retort_status number_of(const merger *m, double *out, const char *key, const char *pattern_key,
                               const char *module) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    json_t *patterns = json_object_get(m->config, pattern_key), *found = json_object_get(m->config, key),
           *value;
    const char *pattern;
    bool taken = false;
    json_object_foreach(patterns, pattern, value) {
        if (pattern[strspn(pattern, plain)] != '\0')
            return refuse_key(m, pattern_key, patterns, "a regular expression; names of modules are read");
        if (taken || !names_module(pattern, module)) continue;
        found = value;
        taken = true;
    }
    *out = json_number_value(found); /* 0 if it is none */
    if (json_is_number(found) && isfinite(*out) && *out > 0) return RETORT_OK;
    return rt_fail(m->err, RETORT_FORMAT, "%s: '%s' of %.200s: expected a number above 0", m->config_path,
                   key, module);
}

static retort_status scale_of(const merger *m, double *scale, int64_t rank, const char *module) {
    double stated = 0, alpha = 0;
    retort_status status = number_of(m, &stated, "r", "rank_pattern", module);
    if (status == RETORT_OK) status = number_of(m, &alpha, "lora_alpha", "alpha_pattern", module);
    if (status != RETORT_OK) return status;
    if (stated != (double)rank)
        return rt_fail(m->err, RETORT_FORMAT, "%s: %.200s: a rank of %" PRId64 "; %s says %g", m->file,
                       module, rank, config_name, stated);
    bool root = json_is_true(json_object_get(m->config, "use_rslora"));
    *scale = alpha / (root ? sqrt((double)rank) : (double)rank);
    return RETORT_OK;
}

/* ---- Tensors of the base ---- */

/* The base's tensor of a module, by the names that a file may have for it. */
static rt_tensor *find_base(const merger *m, const char *module, const char *leaf) {
    char name[NAME_SIZE];
    size_t prefix = strlen(m->arch->base);
    bool inside = strncmp(module, m->arch->base, prefix) == 0;
    const char *const tries[] = {inside ? m->base : "", m->base};
    for (size_t i = 0; i < 2; i++) {
        int n = snprintf(name, sizeof name, "%s%s%s%s", m->root, tries[i], inside ? module + prefix : module,
                         leaf);
        const rt_tensor *found = n < NAME_SIZE ? rt_tensors_find(m->tensors, name) : NULL;
        if (found != NULL) return &m->tensors->items[found - m->tensors->items];
    }
    return NULL;
}

static retort_status no_base(const merger *m, const char *name) {
    return rt_fail(m->err, RETORT_FORMAT,
                   "%s: tensor '%.200s' changes none of the base's: is it an adapter of another checkpoint?",
                   m->file, name);
}

/* Whether a module is a part of some head, which the base need not have. */
static bool is_head(const merger *m, const char *module) {
    for (size_t i = 0; i < RT_TASKS; i++) {
        const rt_arch_head *head = &m->arch->heads[i];
        const char *const parts[] = {head->dense, head->norm, head->output};
        for (size_t j = 0; j < sizeof parts / sizeof *parts; j++) {
            if (parts[j] != NULL && names_module(parts[j], module)) return true;
        }
    }
    return false;
}

/* PEFT puts a module that it changes into another one. */
static const struct {
    const char *ending;
    bool twice; /* the adapter has the same tensor under the module's own name, or it is the base's */
} layers[] = {{".base_layer", false}, {".modules_to_save", true}, {".original_module", true}};

/* The length of a module's name without such an ending. */
static size_t plain_length(const char *module, size_t length, bool *twice) {
    *twice = false;
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        size_t end = strlen(layers[i].ending);
        if (length <= end || memcmp(module + length - end, layers[i].ending, end) != 0) continue;
        *twice = layers[i].twice;
        return length - end;
    }
    return length;
}

/* The values of a tensor as finite floats: later, nobody could say which file they came from. */
static retort_status take_floats(const merger *m, rt_arena *arena, float **out, const rt_tensor *from) {
    size_t count = 0;
    rt_shape_count(from->shape, from->rank, &count);
    *out = rt_arena_calloc(arena, count, sizeof **out);
    if (*out == NULL) return rt_fail_nomem(m->err, count * sizeof **out);
    if (!rt_to_f32(*out, from->data, from->dtype, count))
        return rt_fail(m->err, RETORT_UNSUPPORTED, "%s: tensor '%.200s': expected f32, f16 or bf16", m->file,
                       from->name);
    if (rt_first_nonfinite(*out, RETORT_F32, count) == count) return RETORT_OK;
    return rt_fail(m->err, RETORT_FORMAT, "%s: tensor '%.200s': expected finite numbers", m->file,
                   from->name);
}

static bool same_shape(const rt_tensor *x, const rt_tensor *y) {
    return x->rank == y->rank && memcmp(x->shape, y->shape, (size_t)x->rank * sizeof *x->shape) == 0;
}

/* A tensor that was trained whole: of a head (modules_to_save), or a bias. `name` is the module's, and ends in .weight or
 * .bias. */
static retort_status replace(merger *m, const rt_tensor *from, const char *name) {
    char module[NAME_SIZE], plain[2 * NAME_SIZE + 32], shape[128], trained[128];
    bool twice;
    const char *dot = strrchr(name, '.');
    if (dot == NULL || (strcmp(dot, ".weight") != 0 && strcmp(dot, ".bias") != 0))
        return no_base(m, from->name);
    snprintf(module, sizeof module, "%.*s", (int)plain_length(name, (size_t)(dot - name), &twice), name);
    snprintf(plain, sizeof plain, "%s%s%s", wrapper, module, dot);
    if (twice) return rt_tensors_find(&m->adapter, plain) != NULL ? RETORT_OK : no_base(m, from->name);
    rt_tensor *to = find_base(m, module, dot), copy = *from;
    if (to == NULL && !is_head(m, module)) return no_base(m, from->name);
    if (to != NULL && !is_head(m, module) && !same_shape(to, from))
        return rt_fail(m->err, RETORT_FORMAT, "%s: tensor '%.200s': a shape of %s; the base's is %s", m->file,
                       from->name, rt_shape_text(trained, sizeof trained, from->shape, from->rank),
                       rt_shape_text(shape, sizeof shape, to->shape, to->rank));
    float *data = NULL;
    retort_status status = take_floats(m, &m->tensors->arena, &data, from);
    if (status != RETORT_OK) return status;
    copy.data = data;
    copy.dtype = RETORT_F32;
    copy.name = to != NULL ? to->name : name;
    *(to != NULL ? to : &m->added[m->added_count++]) = copy;
    return RETORT_OK;
}

/* ---- W + scale * B A ---- */

/* A factor as floats: element (i, j) is at data[i * row + j * column]. */
typedef struct factor {
    float *data;
    size_t row, column;
    int64_t rows, columns;
} factor;

static retort_status take_factor(const merger *m, rt_arena *arena, factor *out, const rt_tensor *from,
                                 bool transposed) {
    if (from->rank != 2)
        return rt_fail(m->err, RETORT_FORMAT, "%s: tensor '%.200s': expected a matrix", m->file, from->name);
    size_t columns = (size_t)from->shape[1];
    *out = (factor){.row = transposed ? 1 : columns,
                    .column = transposed ? columns : 1,
                    .rows = from->shape[transposed ? 1 : 0],
                    .columns = from->shape[transposed ? 0 : 1]};
    return take_floats(m, arena, &out->data, from);
}

/* sums: [columns]; scratch for a row. */
static void add_product(float *w, size_t rows, size_t columns, const factor *left, const factor *right,
                        double scale, double *sums) {
    for (size_t i = 0; i < rows; i++) {
        memset(sums, 0, columns * sizeof *sums);
        for (size_t k = 0; k < (size_t)left->columns; k++) {
            double b = (double)left->data[i * left->row + k * left->column];
            for (size_t j = 0; j < columns; j++)
                sums[j] += b * (double)right->data[k * right->row + j * right->column];
        }
        for (size_t j = 0; j < columns; j++)
            w[i * columns + j] = (float)((double)w[i * columns + j] + scale * sums[j]);
    }
}

/* DoRA: row i gets length[i]. */
static void set_lengths(float *w, size_t rows, size_t columns, const float *length) {
    for (size_t i = 0; i < rows; i++) {
        double square = 0;
        for (size_t j = 0; j < columns; j++)
            square += (double)w[i * columns + j] * (double)w[i * columns + j];
        double ratio = square > 0 ? (double)length[i] / sqrt(square) : 0;
        for (size_t j = 0; j < columns; j++) w[i * columns + j] = (float)((double)w[i * columns + j] * ratio);
    }
}

/* The learned lengths of DoRA's rows, or NULL without. */
static retort_status lengths_of(const merger *m, rt_arena *arena, const float **out, const char *stem,
                                int64_t rows) {
    static const char *const names[] = {".lora_magnitude_vector", ".lora_magnitude_vector.weight"};
    char name[NAME_SIZE + 32];
    const rt_tensor *found = NULL;
    *out = NULL;
    if (!json_is_true(json_object_get(m->config, "use_dora"))) return RETORT_OK;
    for (size_t i = 0; i < 2 && found == NULL; i++) {
        snprintf(name, sizeof name, "%s%s", stem, names[i]);
        found = rt_tensors_find(&m->adapter, name);
    }
    size_t count = 0;
    if (found == NULL || !rt_shape_count(found->shape, found->rank, &count) || count != (size_t)rows)
        return rt_fail(m->err, RETORT_FORMAT,
                       "%s: %.200s: use_dora, but no lora_magnitude_vector of %" PRId64 " rows", m->file,
                       stem, rows);
    float *lengths = NULL;
    retort_status status = take_floats(m, arena, &lengths, found);
    *out = lengths;
    return status;
}

static retort_status check_shapes(const merger *m, const rt_tensor *w, const char *stem, const factor *left,
                                  const factor *right) {
    char shape[64];
    bool rank = left->columns == right->rows && left->columns >= 1 && left->columns <= MOST_RANK;
    if (rank && w->rank == 2 && w->shape[0] == left->rows && w->shape[1] == right->columns) return RETORT_OK;
    return rt_fail(m->err, RETORT_FORMAT,
                   "%s: %.200s: factors of %" PRId64 " x %" PRId64 " and %" PRId64 " x %" PRId64
                   " (rank at most %d) for a weight of %s",
                   m->file, stem, left->rows, left->columns, right->rows, right->columns, (int)MOST_RANK,
                   rt_shape_text(shape, sizeof shape, w->shape, w->rank));
}

/* `stem`: the adapter's name of the module. */
static retort_status merge_factors(const merger *m, rt_arena *arena, const char *stem, const rt_tensor *a,
                                   const rt_tensor *b, bool table) {
    factor left = {0}, right = {0};
    double scale = 0;
    const float *lengths = NULL;
    const char *module = stem + strlen(wrapper);
    rt_tensor *w = find_base(m, module, ".weight");
    if (w == NULL) return no_base(m, a->name);
    /* Of a table [vocabulary, width], A is [rank, vocabulary] and B [width, rank]. */
    retort_status status = take_factor(m, arena, &left, table ? a : b, table);
    if (status == RETORT_OK) status = take_factor(m, arena, &right, table ? b : a, table);
    if (status == RETORT_OK) status = check_shapes(m, w, stem, &left, &right);
    if (status == RETORT_OK) status = scale_of(m, &scale, left.columns, module);
    if (status == RETORT_OK && !table) status = lengths_of(m, arena, &lengths, stem, left.rows);
    if (status != RETORT_OK) return status;
    size_t rows = (size_t)w->shape[0], columns = (size_t)w->shape[1];
    float *merged = rt_arena_calloc(&m->tensors->arena, rows * columns, sizeof *merged);
    double *sums = rt_arena_calloc(arena, columns, sizeof *sums);
    if (merged == NULL || sums == NULL) return rt_fail_nomem(m->err, rows * columns * sizeof *merged);
    if (!rt_to_f32(merged, w->data, w->dtype, rows * columns))
        return rt_fail(m->err, RETORT_UNSUPPORTED, "%s: the base's '%.200s' is not of floats", m->file,
                       w->name);
    add_product(merged, rows, columns, &left, &right, scale, sums);
    if (lengths != NULL) set_lengths(merged, rows, columns, lengths);
    w->data = merged;
    w->dtype = RETORT_F32;
    return RETORT_OK;
}

/* What an adapter's tensor is, by how its name ends. A row with a partner is merged together with it. */
static const struct {
    const char *ending, *partner;
    bool merges, table, dora;
} endings[] = {
    {".lora_A.weight", ".lora_B.weight", true, false, false},
    {".lora_B.weight", ".lora_A.weight", false, false, false},
    {".lora_embedding_A", ".lora_embedding_B", true, true, false},
    {".lora_embedding_B", ".lora_embedding_A", false, true, false},
    {".lora_magnitude_vector", ".lora_A.weight", false, false, true},
    {".lora_magnitude_vector.weight", ".lora_A.weight", false, false, true},
};

static retort_status merge_tensor(merger *m, const rt_tensor *tensor) {
    char stem[NAME_SIZE], other[NAME_SIZE + 32];
    size_t length = strlen(tensor->name), prefix = strlen(wrapper);
    if (length >= NAME_SIZE || strncmp(tensor->name, wrapper, prefix) != 0) return no_base(m, tensor->name);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t end = strlen(endings[i].ending);
        if (length < prefix + end || strcmp(tensor->name + length - end, endings[i].ending) != 0) continue;
        snprintf(stem, sizeof stem, "%.*s", (int)(length - end), tensor->name);
        snprintf(other, sizeof other, "%s%s", stem, endings[i].partner);
        const rt_tensor *partner = rt_tensors_find(&m->adapter, other);
        if (partner == NULL && endings[i].dora)
            return rt_fail(
                m->err, RETORT_UNSUPPORTED,
                "%s: tensor '%.200s' without '%.200s'; DoRA is merged into matrices, not into tables",
                m->file, tensor->name, other);
        if (partner == NULL)
            return rt_fail(m->err, RETORT_FORMAT, "%s: tensor '%.200s' without '%.200s'", m->file,
                           tensor->name, other);
        if (endings[i].dora && !json_is_true(json_object_get(m->config, "use_dora")))
            return rt_fail(m->err, RETORT_FORMAT, "%s: tensor '%.200s', but %s has no use_dora", m->file,
                           tensor->name, config_name);
        if (!endings[i].merges) return RETORT_OK;
        rt_arena arena = {0};
        retort_status status = merge_factors(m, &arena, stem, tensor, partner, endings[i].table);
        rt_arena_free(&arena);
        return status;
    }
    return replace(m, tensor, tensor->name + prefix);
}

/* ---- The class that it was trained as ---- */

static const struct {
    const char *type, *suffix;
    retort_task task;
} classes[] = {
    {"SEQ_CLS", "ForSequenceClassification", RETORT_TASK_CLASSIFY},
    {"TOKEN_CLS", "ForTokenClassification", RETORT_TASK_TAG},
    {"QUESTION_ANS", "ForQuestionAnswering", RETORT_TASK_ANSWER},
    {"FEATURE_EXTRACTION", "Model", RETORT_TASK_EMBED},
};

/* Labels have no names in an adapter: those of the base stay if there are as many. */
static bool set_labels(const merger *m, json_t *root, retort_task task) {
    char name[NAME_SIZE];
    const char *output = m->arch->heads[task].output;
    if (output == NULL || (task != RETORT_TASK_CLASSIFY && task != RETORT_TASK_TAG)) return true;
    snprintf(name, sizeof name, "%s%s.weight", wrapper, output);
    const rt_tensor *head = rt_tensors_find(&m->adapter, name);
    if (head == NULL || head->rank != 2) return true;
    json_t *names = json_object_get(root, "id2label");
    if (names != NULL && (int64_t)json_object_size(names) == head->shape[0]) return true;
    json_object_del(root, "id2label");
    json_object_del(root, "label2id");
    return json_object_set_new(root, "num_labels", json_integer(head->shape[0])) == 0;
}

static retort_status set_class(const merger *m, json_t *root) {
    char name[128];
    const json_t *type = json_object_get(m->config, "task_type");
    if (type == NULL || json_is_null(type)) return RETORT_OK;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        if (json_string_value(type) == NULL || strcmp(json_string_value(type), classes[i].type) != 0)
            continue;
        snprintf(name, sizeof name, "%s%s", m->arch->prefix, classes[i].suffix);
        json_t *list = json_pack("[s]", name);
        if (list == NULL || json_object_set_new(root, "architectures", list) != 0 ||
            !set_labels(m, root, classes[i].task))
            return rt_fail_nomem(m->err, sizeof name);
        return RETORT_OK;
    }
    return refuse_key(m, "task_type", type, "known are SEQ_CLS, TOKEN_CLS, QUESTION_ANS, FEATURE_EXTRACTION");
}

/* ---- Reading ---- */

static retort_status load_config(merger *m, const char *folder) {
    retort_status status = rt_path_in(m->config_path, folder, config_name, m->err);
    if (status == RETORT_OK) status = rt_json_load(&m->config, m->config_path, m->err);
    if (status == RETORT_OK && !json_is_object(m->config))
        status = rt_fail(m->err, RETORT_FORMAT, "%s: expected an object", m->config_path);
    return status;
}

static retort_status open_tensors(merger *m, const char *folder) {
    retort_status status = rt_path_in(m->file, folder, "adapter_model.safetensors", m->err);
    if (status == RETORT_OK && !rt_is_file(m->file))
        status = rt_path_in(m->file, folder, "adapter_model.bin", m->err);
    if (status != RETORT_OK) return status;
    if (!rt_is_file(m->file))
        return rt_fail(m->err, RETORT_IO,
                       "%.200s: %s, but neither adapter_model.safetensors nor adapter_model.bin", folder,
                       config_name);
    return rt_tensors_open(&m->adapter, m->file, m->err);
}

/* A decoder without a weight of its own shares the word table. PEFT changes only what the tokens look up, so the adapter
 * was trained beside a decoder of the base's words, which is kept. */
static retort_status keep_decoder(merger *m, const rt_tensor *words) {
    const char *output = m->arch->heads[RETORT_TASK_FILL].output;
    char name[NAME_SIZE];
    rt_tensor copy = *words;
    if (output == NULL || find_base(m, output, ".weight") != NULL) return RETORT_OK;
    snprintf(name, sizeof name, "%s%s.weight", m->root, output);
    copy.name = rt_arena_text(&m->tensors->arena, name, strlen(name));
    if (copy.name == NULL) return rt_fail_nomem(m->err, strlen(name));
    m->added[m->added_count++] = copy;
    return RETORT_OK;
}

static retort_status merge_tensors(merger *m) {
    char name[NAME_SIZE];
    snprintf(name, sizeof name, "%s%s", m->arch->base, m->arch->names[RT_ROLE_WORD]);
    const rt_tensor *words = find_base(m, name, ".weight"), before = words != NULL ? *words : (rt_tensor){0};
    retort_status status = RETORT_OK;
    for (size_t i = 0; i < m->adapter.count && status == RETORT_OK; i++)
        status = merge_tensor(m, &m->adapter.items[i]);
    if (status == RETORT_OK && words != NULL && words->data != before.data) return keep_decoder(m, &before);
    return status;
}

static retort_status merge_all(merger *m, json_t *root, const char *folder) {
    retort_status status = load_config(m, folder);
    if (status == RETORT_OK) status = check_config(m);
    if (status == RETORT_OK) status = rt_config_arch(root, m->config_path, &m->arch, m->err);
    if (status == RETORT_OK) status = open_tensors(m, folder);
    if (status != RETORT_OK) return status;
    rt_weights_prefixes(m->tensors, m->arch, &m->root, &m->base);
    if (m->adapter.count == 0) return rt_fail(m->err, RETORT_FORMAT, "%s: no tensors", m->file);
    m->added = rt_calloc(m->adapter.count + 1, sizeof *m->added);
    if (m->added == NULL) return rt_fail_nomem(m->err, (m->adapter.count + 1) * sizeof *m->added);
    status = merge_tensors(m);
    for (size_t i = 0; i < m->added_count && status == RETORT_OK; i++)
        status = rt_tensors_add(m->tensors, m->file, &m->added[i], m->err);
    if (status == RETORT_OK) status = rt_tensors_seal(m->tensors, m->file, m->err);
    return status == RETORT_OK ? set_class(m, root) : status;
}

retort_status rt_adapter_merge(rt_tensors *tensors, json_t *root, const char *folder, retort_error *err) {
    merger m = {.tensors = tensors, .err = err};
    retort_status status = merge_all(&m, root, folder);
    json_decref(m.config);
    free(m.added);
    rt_tensors_close(&m.adapter);
    return status;
}

retort_status rt_adapter_base(char *out, const char *folder, retort_error *err) {
    merger m = {.err = err};
    if (rt_tensors_folder_file(folder) != NULL) {
        snprintf(out, RT_PATH_SIZE, "%s", folder);
        return RETORT_OK;
    }
    retort_status status = load_config(&m, folder);
    const char *base = json_string_value(json_object_get(m.config, "base_model_name_or_path"));
    if (status == RETORT_OK && base == NULL)
        status = rt_fail(err, RETORT_FORMAT, "%s: 'base_model_name_or_path' is missing", m.config_path);
    if (status == RETORT_OK && !rt_hub_find(out, base))
        status = rt_fail(
            err, RETORT_IO,
            "%s: the base '%.200s' is no folder here, and not in the local cache of the hub: download it "
            "(hf download %.200s), or put the adapter's files beside its own",
            m.config_path, base, base);
    if (status == RETORT_OK && rt_adapter_is_in(out))
        status = rt_fail(
            err, RETORT_UNSUPPORTED,
            "%s: the base '%.200s' has an adapter itself; one adapter on a plain checkpoint is merged",
            m.config_path, base);
    json_decref(m.config);
    return status;
}
