/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/weights.h"
#include "arch/head.h"
#include "base/check_finite.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What a dimension of a weight must be equal to. */
typedef enum dim {
    HIDDEN,
    EMBEDDING,
    FFN,
    VOCAB,
    POSITIONS,
    TYPES,
    LABELS,
    BUCKETS,
    HEADS,
    DISTANCES,
    QUERIES,
    KEYS,
    DIMS
} dim;

/* What a role has in a file: Linear layers `name`.weight [rows, columns] and `name`.bias [rows], norms [rows]
 * both, tables [rows, columns] alone. The output of FILL is bound apart: it may be tied. */
typedef enum part_kind { LINEAR, NORM, TABLE } part_kind;
static const struct {
    part_kind kind;
    dim rows, columns;
} shapes[RT_ROLES] = {
    [RT_ROLE_WORD] = {TABLE, VOCAB, EMBEDDING},
    [RT_ROLE_POSITION] = {TABLE, POSITIONS, EMBEDDING},
    [RT_ROLE_TYPE] = {TABLE, TYPES, EMBEDDING},
    [RT_ROLE_EMBEDDING_NORM] = {NORM, EMBEDDING, EMBEDDING},
    [RT_ROLE_TABLE_PROJECTION] = {TABLE, HIDDEN, EMBEDDING},
    [RT_ROLE_DISTANCES] = {TABLE, DISTANCES, HIDDEN},
    [RT_ROLE_DISTANCE_NORM] = {NORM, HIDDEN, HIDDEN},
    [RT_ROLE_POS_KEY] = {LINEAR, HIDDEN, HIDDEN},
    [RT_ROLE_POS_QUERY] = {LINEAR, HIDDEN, HIDDEN},
    [RT_ROLE_BIAS] = {TABLE, BUCKETS, HEADS},
    [RT_ROLE_PROJECTION] = {LINEAR, HIDDEN, EMBEDDING},
    [RT_ROLE_FINAL_NORM] = {NORM, HIDDEN, HIDDEN},
    [RT_ROLE_Q] = {LINEAR, QUERIES, HIDDEN},
    [RT_ROLE_K] = {LINEAR, KEYS, HIDDEN},
    [RT_ROLE_V] = {LINEAR, KEYS, HIDDEN},
    [RT_ROLE_OUT] = {LINEAR, HIDDEN, QUERIES},
    [RT_ROLE_ATTENTION_NORM] = {NORM, HIDDEN, HIDDEN},
    [RT_ROLE_LIN1] = {LINEAR, FFN, HIDDEN},
    [RT_ROLE_UP] = {LINEAR, FFN, HIDDEN},
    [RT_ROLE_LIN2] = {LINEAR, HIDDEN, FFN},
    [RT_ROLE_OUTPUT_NORM] = {NORM, HIDDEN, HIDDEN},
    [RT_ROLE_DENSE] = {LINEAR, HIDDEN, HIDDEN}, /* of FILL [embedding, hidden] */
    [RT_ROLE_HEAD_NORM] = {NORM, EMBEDDING, EMBEDDING},
    [RT_ROLE_OUTPUT] = {LINEAR, LABELS, HIDDEN},
};

/* Prefixes that wrappers add to every name: none, torch's DataParallel, training frameworks, torch.compile. */
static const char *const roots[] = {"",           "module.",           "model.",
                                    "_orig_mod.", "_orig_mod.module.", "module._orig_mod."};

enum { NAME_SIZE = 256 };

/* What a head is called in these files. */
static const rt_arch_head *head_of(const rt_arch *arch, retort_task task, bool other) {
    return task == RETORT_TASK_FILL && other ? &arch->other_fill : &arch->heads[task];
}

static const char *name_of(const rt_arch *arch, retort_task task, bool other, rt_role role) {
    const rt_arch_head *head = head_of(arch, task, other);
    if (role == RT_ROLE_DENSE) return head->dense;
    if (role == RT_ROLE_HEAD_NORM) return head->norm;
    return role == RT_ROLE_OUTPUT ? head->output : arch->names[role];
}

/* Heads are outside the base model, except the pooler. */
static bool in_base(const rt_arch *arch, retort_task task, rt_role role) {
    return role < RT_ROLE_HEAD || (role == RT_ROLE_DENSE && arch->heads[task].pooler);
}

typedef struct binder {
    const rt_tensors *tensors;
    const char *file, *origin; /* origin: where the expected shapes come from */
    const rt_arch *arch;
    retort_task task;
    const rt_encoder_options *options;
    uint64_t unbiased;       /* a bit per role without a bias */
    rt_arena *arena;         /* for views of parts of tensors */
    const char *root, *base; /* prefixes of this file */
    bool other;              /* a fill head has its other names */
    const rt_config *config; /* NULL: of a module */
    int64_t dims[DIMS];
    retort_error *err;
} binder;

static const rt_tensor *find(const rt_tensors *tensors, char *name, const char *root, const char *base,
                             const char *rest) {
    int n = snprintf(name, NAME_SIZE, "%s%s%s", root, base, rest);
    return n < NAME_SIZE ? rt_tensors_find(tensors, name) : NULL;
}

/* "x.weight" as "x.gamma" and "x.bias" as "x.beta": TensorFlow's names, found in old files. */
static const rt_tensor *find_old(const binder *b, const char *name) {
    char old[NAME_SIZE];
    const char *dot = strrchr(name, '.');
    if (dot == NULL) return NULL;
    snprintf(old, sizeof old, "%.*s.%s", (int)(dot - name), name,
             strcmp(dot, ".weight") == 0 ? "gamma" : "beta");
    return rt_tensors_find(b->tensors, old);
}

static retort_status check_finite(const binder *b, const rt_tensor *t) {
    size_t count = 0;
    char place[128];
    int64_t at[RT_MAX_RANK];
    rt_shape_count(t->shape, t->rank, &count);
    size_t first = rt_first_nonfinite(t->data, t->dtype, count);
    if (first == count) return RETORT_OK;
    float value = 0;
    rt_to_f32(&value, (const char *)t->data + first * rt_dtype_size(t->dtype), t->dtype, 1);
    for (int i = t->rank; i-- > 0; first /= (size_t)t->shape[i])
        at[i] = (int64_t)(first % (size_t)t->shape[i]);
    return rt_fail(b->err, RETORT_FORMAT, "%s: tensor '%s': element %s is %s; expected finite numbers",
                   b->file, t->name, rt_shape_text(place, sizeof place, at, t->rank),
                   value == value ? "infinite" : "NaN");
}

static retort_status check_tensor(const binder *b, const rt_tensor *t, const int64_t *shape, int rank) {
    char expected[64], found[128];
    if (t->dtype != RETORT_F32 && t->dtype != RETORT_F16 && t->dtype != RETORT_BF16) {
        return rt_fail(b->err, RETORT_UNSUPPORTED, "%s: tensor '%s': expected f32, f16 or bf16, found %s",
                       b->file, t->name, retort_dtype_name(t->dtype));
    }
    if (t->rank != rank || memcmp(t->shape, shape, (size_t)rank * sizeof *shape) != 0) {
        return rt_fail(b->err, RETORT_FORMAT, "%s: tensor '%s': expected %s from %s, found %s", b->file,
                       t->name, rt_shape_text(expected, sizeof expected, shape, rank), b->origin,
                       rt_shape_text(found, sizeof found, t->shape, t->rank));
    }
    return check_finite(b, t);
}

/* The tensor root + base + rest, checked, into *out. */
static retort_status bind(const binder *b, const rt_tensor **out, const char *base, const char *rest,
                          const int64_t *shape, int rank) {
    char name[NAME_SIZE];
    const rt_tensor *tensor = find(b->tensors, name, b->root, base, rest);
    if (tensor == NULL) tensor = find_old(b, name);
    if (tensor == NULL) return rt_fail(b->err, RETORT_FORMAT, "%s: tensor '%s' is missing", b->file, name);
    retort_status status = check_tensor(b, tensor, shape, rank);
    if (status == RETORT_OK) *out = tensor;
    return status;
}

/* Part `index` of `count` equal ones of the rows of *tensor. */
static retort_status cut(const binder *b, const rt_tensor **tensor, rt_arch_part part) {
    if (part.count == 0) return RETORT_OK;
    rt_tensor *view = rt_arena_calloc(b->arena, 1, sizeof *view);
    if (view == NULL) return rt_fail_nomem(b->err, sizeof *view);
    *view = **tensor;
    view->shape[0] /= part.count;
    size_t row = rt_dtype_size(view->dtype) * (view->rank > 1 ? (size_t)view->shape[1] : 1);
    view->data = (const char *)view->data + (size_t)part.index * (size_t)view->shape[0] * row;
    *tensor = view;
    return RETORT_OK;
}

/* A role's part into *out; `stem` is what stands before its name ("encoder.layer.3."). */
static retort_status bind_part(const binder *b, rt_weight *out, rt_role role, const char *stem) {
    char rest[NAME_SIZE];
    const char *name = name_of(b->arch, b->task, b->other, role),
               *base = in_base(b->arch, b->task, role) ? b->base : "";
    int64_t shape[2] = {b->dims[shapes[role].rows], b->dims[shapes[role].columns]};
    bool projected = role == RT_ROLE_PROJECTION && (shape[0] != shape[1] || b->arch->projects);
    if (b->arch->has != NULL && !b->arch->has(b->config, role)) return RETORT_OK;
    if (role == RT_ROLE_EMBEDDING_NORM && b->arch->names[RT_ROLE_TABLE_PROJECTION] != NULL)
        shape[0] = b->dims[HIDDEN];
    if (name == NULL || shape[0] == 0 || (role == RT_ROLE_PROJECTION && !projected)) return RETORT_OK;
    if (role == RT_ROLE_DENSE && b->task == RETORT_TASK_FILL) shape[0] = b->dims[EMBEDDING];
    rt_arch_part part = role < RT_ROLE_HEAD ? b->arch->parts[role] : (rt_arch_part){0, 0};
    if (part.count > 0) shape[0] *= part.count;
    snprintf(rest, sizeof rest, "%s%s.weight", stem, name);
    retort_status status = bind(b, &out->weight, base, rest, shape, shapes[role].kind == NORM ? 1 : 2);
    if (status == RETORT_OK) status = cut(b, &out->weight, part);
    if (status != RETORT_OK || shapes[role].kind == TABLE || (b->unbiased >> role & 1) != 0) return status;
    snprintf(rest, sizeof rest, "%s%s.bias", stem, name);
    status = bind(b, &out->bias, base, rest, shape, 1);
    return status == RETORT_OK ? cut(b, &out->bias, part) : status;
}

/* Refuses a choice of layers that the checkpoint does not have. */
static retort_status check_layers(const binder *b, int64_t layers) {
    int64_t before = -1;
    for (size_t i = 0; i < b->options->layer_count; before = b->options->layers[i++]) {
        int64_t index = b->options->layers[i];
        if (index > before && index < layers) continue;
        return rt_fail(b->err, RETORT_ARGUMENT,
                       "%.200s: layer %" PRId64 " cannot be kept: expected rising indices from 0 to %" PRId64,
                       b->file, index, layers - 1);
    }
    return RETORT_OK;
}

static void layer_stem(char *out, size_t size, const rt_config *config, int64_t index) {
    const rt_arch *arch = config->arch;
    if (arch->layer_stem != NULL)
        arch->layer_stem(out, size, config, index);
    else
        snprintf(out, size, "%s%" PRId64 ".", arch->layer, index);
}

static retort_status bind_layers(const binder *b, rt_encoder *e) {
    char stem[64], name[NAME_SIZE], rest[NAME_SIZE];
    const int64_t *kept = b->options->layers;
    binder own = *b;
    int64_t count = kept != NULL ? (int64_t)b->options->layer_count : e->config.layers;
    for (int64_t i = 0; i < count; i++) {
        int64_t index = kept != NULL ? kept[i] : i;
        layer_stem(stem, sizeof stem, &e->config, index);
        if (e->config.local != NULL) e->config.local[i] = e->config.local[index];
        if (e->config.layer_heads != NULL) e->config.layer_heads[i] = e->config.layer_heads[index];
        own.dims[QUERIES] = rt_config_heads(&e->config, i) * e->config.dim;
        if (e->config.layer_heads != NULL) own.dims[KEYS] = own.dims[QUERIES];
        for (int role = RT_ROLE_LAYER; role < RT_ROLE_HEAD; role++) {
            if (index == 0 && b->arch->first_without == (rt_role)role) continue;
            retort_status status = bind_part(&own, &e->layers[i][role], (rt_role)role, stem);
            if (status != RETORT_OK) return status;
        }
    }
    layer_stem(stem, sizeof stem, &e->config, e->config.layers);
    snprintf(rest, sizeof rest, "%s%s.weight", stem, b->arch->names[RT_ROLE_LAYER]);
    bool grouped = e->config.groups > 0;
    if (find(b->tensors, name, b->root, b->base, rest) != NULL)
        return rt_fail(b->err, RETORT_FORMAT,
                       "%s: tensor '%s': config.json says %" PRId64 " %s, the file has more", b->file, name,
                       grouped ? e->config.groups : e->config.layers,
                       grouped ? "groups of layers ('num_hidden_groups', 1 where it is absent)" : "layers");
    e->config.layers = count;
    return RETORT_OK;
}

/* Without a weight of its own the decoder is the word embedding: transformers ties them, unless config.json says that
 * they are not. */
static retort_status bind_decoder(const binder *b, rt_encoder *e) {
    char name[NAME_SIZE], weight[RT_WEIGHT_NAME], bias[RT_WEIGHT_NAME];
    const rt_arch_head *head = head_of(b->arch, RETORT_TASK_FILL, b->other);
    int64_t shape[2] = {b->dims[VOCAB], b->dims[EMBEDDING]};
    rt_weight *decoder = &e->parts[RT_ROLE_OUTPUT];
    retort_status status = RETORT_OK;
    snprintf(weight, sizeof weight, "%s.weight", head->output);
    snprintf(bias, sizeof bias, "%s.bias", head->output);
    decoder->weight = e->parts[RT_ROLE_WORD].weight;
    if (e->config.untied || find(b->tensors, name, b->root, "", weight) != NULL) {
        status = bind(b, &decoder->weight, "", weight, shape, 2);
    }
    if (status != RETORT_OK) return status;
    if ((b->unbiased >> RT_ROLE_OUTPUT & 1) != 0) return RETORT_OK;
    bool old = head->old_bias != NULL && find(b->tensors, name, b->root, "", head->old_bias) != NULL;
    return bind(b, &decoder->bias, "", old ? head->old_bias : bias, shape, 1);
}

void rt_weights_prefixes(const rt_tensors *tensors, const rt_arch *arch, const char **root,
                         const char **base) {
    char name[NAME_SIZE], word[RT_WEIGHT_NAME];
    const char *bases[] = {arch->base, ""};
    *root = roots[0];
    *base = bases[0];
    snprintf(word, sizeof word, "%s.weight", arch->names[RT_ROLE_WORD]);
    for (size_t r = 0; r < sizeof roots / sizeof *roots; r++) {
        for (size_t i = 0; i < 2; i++) {
            if (find(tensors, name, roots[r], bases[i], word) == NULL) continue;
            *root = roots[r];
            *base = bases[i];
            return;
        }
    }
}

/* Whether the file has the weight of this part of a head; true if the architecture has no such part. */
static bool has_part(const rt_tensors *tensors, const rt_arch *arch, retort_task task, bool other,
                     rt_role role) {
    char name[NAME_SIZE], rest[RT_WEIGHT_NAME];
    const char *root, *base, *stem = name_of(arch, task, other, role);
    if (stem == NULL) return true;
    rt_weights_prefixes(tensors, arch, &root, &base);
    snprintf(rest, sizeof rest, "%s.weight", stem);
    return find(tensors, name, root, in_base(arch, task, role) ? base : "", rest) != NULL;
}

/* Whether the file has a fill head by its other names. */
static bool has_other_fill(const rt_tensors *tensors, const rt_arch *arch) {
    return arch->other_fill.output != NULL &&
           has_part(tensors, arch, RETORT_TASK_FILL, true, RT_ROLE_DENSE) &&
           !has_part(tensors, arch, RETORT_TASK_FILL, false, RT_ROLE_DENSE);
}

/* As transformers' from_pretrained does: what the file has and fits stays, the output is new. */
static retort_status bind_new_part(const binder *b, rt_encoder *e, rt_role role) {
    int64_t rows = b->dims[shapes[role].rows], columns = b->dims[shapes[role].columns];
    if (name_of(b->arch, b->task, b->other, role) == NULL) return RETORT_OK;
    if (role != RT_ROLE_OUTPUT && has_part(b->tensors, b->arch, b->task, b->other, role))
        return bind_part(b, &e->parts[role], role, "");
    if (role == RT_ROLE_HEAD_NORM) return rt_head_norm(&e->parts[role], &e->arena, rows, b->err);
    return rt_head_linear(&e->parts[role], &e->arena, b->options->head->seed, role, rows, columns, b->err);
}

static retort_status bind_head(const binder *b, rt_encoder *e) {
    const rt_arch_head *head = head_of(b->arch, b->task, b->other);
    retort_status status = RETORT_OK;
    for (int role = RT_ROLE_HEAD; role < RT_ROLES && status == RETORT_OK; role++) {
        bool decoder = role == RT_ROLE_OUTPUT && b->task == RETORT_TASK_FILL;
        status = b->options->head != NULL ? bind_new_part(b, e, (rt_role)role)
                 : decoder                ? bind_decoder(b, e)
                                          : bind_part(b, &e->parts[role], (rt_role)role, "");
    }
    if (head->dense != NULL)
        e->dense_activation = head->activation != RT_FN_NONE            ? head->activation
                              : e->config.head_activation != RT_FN_NONE ? e->config.head_activation
                                                                        : e->config.activation;
    return status;
}

retort_task rt_weights_task(const rt_tensors *tensors, const rt_arch *arch) {
    /* A decoder may be tied, so that its transform is looked for; a tagger's head may be part of a classifier's. */
    static const struct {
        retort_task task;
        bool output;
    } order[] = {{RETORT_TASK_ANSWER, true},
                 {RETORT_TASK_FILL, false},
                 {RETORT_TASK_CLASSIFY, true},
                 {RETORT_TASK_TAG, true}};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        const rt_arch_head *head = &arch->heads[order[i].task];
        bool output = order[i].output || head->dense == NULL;
        if (head->output != NULL && has_part(tensors, arch, order[i].task, false, RT_ROLE_DENSE) &&
            (!output || has_part(tensors, arch, order[i].task, false, RT_ROLE_OUTPUT)))
            return order[i].task;
    }
    if (has_other_fill(tensors, arch)) return RETORT_TASK_FILL;
    return RETORT_TASK_EMBED;
}

retort_status rt_weights_bind(rt_encoder *e, const rt_encoder_options *options, const char *file,
                              retort_error *err) {
    const rt_config *c = &e->config;
    binder b = {.tensors = &e->tensors,
                .file = file,
                .origin = "config.json",
                .arch = c->arch,
                .task = c->task,
                .options = options,
                .unbiased = c->unbiased,
                .arena = &e->arena,
                .config = c,
                .err = err,
                .dims = {[HIDDEN] = c->hidden,
                         [EMBEDDING] = c->embedding,
                         [FFN] = c->ffn,
                         [VOCAB] = c->vocab,
                         [POSITIONS] = c->positions + c->position_offset,
                         [TYPES] = c->types,
                         [BUCKETS] = c->buckets,
                         [HEADS] = c->heads,
                         [DISTANCES] = 2 * c->distances.span,
                         [QUERIES] = c->heads * c->dim,
                         [KEYS] = c->key_heads * c->dim,
                         [LABELS] = c->labels}};
    rt_weights_prefixes(&e->tensors, c->arch, &b.root, &b.base);
    b.other = has_other_fill(&e->tensors, c->arch);
    e->layers = rt_arena_calloc(&e->arena, (size_t)c->layers, sizeof *e->layers);
    if (e->layers == NULL) return rt_fail_nomem(err, (size_t)c->layers * sizeof *e->layers);
    retort_status status = check_layers(&b, c->layers);
    for (int role = 0; role < RT_ROLE_LAYER && status == RETORT_OK; role++) {
        status = bind_part(&b, &e->parts[role], (rt_role)role, "");
    }
    if (status == RETORT_OK) status = bind_layers(&b, e);
    return status == RETORT_OK ? bind_head(&b, e) : status;
}

/* The weights of a Dense or LayerNorm; `in`: the columns that it is given. */
static retort_status bind_module(rt_module *m, int64_t in, retort_error *err) {
    int64_t shape[2] = {m->out, m->in};
    bool dense = m->kind == RT_MODULE_DENSE;
    binder b = {
        .tensors = &m->tensors, .file = m->folder, .origin = "its config.json", .root = "", .err = err};
    if (m->in != in) {
        return rt_fail(err, RETORT_FORMAT, "%s: %s is %" PRId64 ", but %" PRId64 " columns come before it",
                       m->folder, dense ? "in_features" : "dimension", m->in, in);
    }
    retort_status status = rt_tensors_open_folder(&m->tensors, m->folder, err);
    if (status == RETORT_OK)
        status =
            bind(&b, &m->weights.weight, "", dense ? "linear.weight" : "norm.weight", shape, dense ? 2 : 1);
    if (status == RETORT_OK && (m->bias || !dense))
        status = bind(&b, &m->weights.bias, "", dense ? "linear.bias" : "norm.bias", shape, 1);
    if (status == RETORT_OK && m->residual && m->in != m->out)
        status = bind(&b, &m->residual_weights.weight, "", "residual.weight", shape, 2);
    return status;
}

retort_status rt_weights_bind_modules(rt_encoder *e, const rt_modules *package, retort_error *err) {
    bool splade = e->config.pooling == RT_POOL_SPLADE;
    e->config.labels = splade ? e->config.vocab : e->config.hidden * (int64_t)e->pooling_count;
    e->config.normalize = false;
    for (size_t i = 0; i < package->after_count; i++) {
        rt_module *m = &e->modules[e->module_count++];
        *m = package->after[i];
        e->config.normalize = m->kind == RT_MODULE_NORMALIZE;
        if (m->kind == RT_MODULE_NORMALIZE) continue;
        retort_status status = bind_module(m, e->config.labels, err);
        if (status != RETORT_OK) return status;
        e->config.labels = m->out;
    }
    return RETORT_OK;
}
