/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/weights.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* What a dimension of a weight must be equal to. */
typedef enum dim { HIDDEN, FFN, VOCAB, POSITIONS, TYPES, LABELS, DIMS } dim;

/* A part of the network: `name`.weight and, but for tables, `name`.bias. Linear layers are [rows, columns]
 * and [rows], norms [rows] both, tables [rows, columns]. rt_linear and rt_norm are both two pointers in that
 * order. */
typedef enum part_kind { LINEAR, NORM, TABLE } part_kind;
typedef struct part {
    size_t slot; /* in rt_encoder, or in rt_layer */
    part_kind kind;
    dim rows, columns;
    const char *name[2]; /* by family; NULL: it has none */
} part;

static const part embeddings[] = {
    {offsetof(rt_encoder, word),
     TABLE,
     VOCAB,
     HIDDEN,
     {"embeddings.word_embeddings", "embeddings.word_embeddings"}},
    {offsetof(rt_encoder, position),
     TABLE,
     POSITIONS,
     HIDDEN,
     {"embeddings.position_embeddings", "embeddings.position_embeddings"}},
    {offsetof(rt_encoder, type), TABLE, TYPES, HIDDEN, {NULL, "embeddings.token_type_embeddings"}},
    {offsetof(rt_encoder, embedding_norm),
     NORM,
     HIDDEN,
     HIDDEN,
     {"embeddings.LayerNorm", "embeddings.LayerNorm"}},
};
static const part layer_parts[] = {
    {offsetof(rt_layer, q), LINEAR, HIDDEN, HIDDEN, {"attention.q_lin", "attention.self.query"}},
    {offsetof(rt_layer, k), LINEAR, HIDDEN, HIDDEN, {"attention.k_lin", "attention.self.key"}},
    {offsetof(rt_layer, v), LINEAR, HIDDEN, HIDDEN, {"attention.v_lin", "attention.self.value"}},
    {offsetof(rt_layer, out), LINEAR, HIDDEN, HIDDEN, {"attention.out_lin", "attention.output.dense"}},
    {offsetof(rt_layer, attention_norm),
     NORM,
     HIDDEN,
     HIDDEN,
     {"sa_layer_norm", "attention.output.LayerNorm"}},
    {offsetof(rt_layer, lin1), LINEAR, FFN, HIDDEN, {"ffn.lin1", "intermediate.dense"}},
    {offsetof(rt_layer, lin2), LINEAR, HIDDEN, FFN, {"ffn.lin2", "output.dense"}},
    {offsetof(rt_layer, output_norm), NORM, HIDDEN, HIDDEN, {"output_layer_norm", "output.LayerNorm"}},
};
static const char *const layer_names[2] = {"transformer.layer.", "encoder.layer."};
static const part pooler = {offsetof(rt_encoder, dense), LINEAR, HIDDEN, HIDDEN, {NULL, "pooler.dense"}};

/* Heads stand beside the base model, not in it. The decoder of FILL is bound apart: it may be tied. */
static const struct {
    retort_task task;
    part part;
} heads[] = {
    {RETORT_TASK_CLASSIFY, {offsetof(rt_encoder, dense), LINEAR, HIDDEN, HIDDEN, {"pre_classifier", NULL}}},
    {RETORT_TASK_CLASSIFY,
     {offsetof(rt_encoder, output), LINEAR, LABELS, HIDDEN, {"classifier", "classifier"}}},
    {RETORT_TASK_TAG, {offsetof(rt_encoder, output), LINEAR, LABELS, HIDDEN, {"classifier", "classifier"}}},
    {RETORT_TASK_ANSWER,
     {offsetof(rt_encoder, output), LINEAR, LABELS, HIDDEN, {"qa_outputs", "qa_outputs"}}},
    {RETORT_TASK_FILL,
     {offsetof(rt_encoder, dense),
      LINEAR,
      HIDDEN,
      HIDDEN,
      {"vocab_transform", "cls.predictions.transform.dense"}}},
    {RETORT_TASK_FILL,
     {offsetof(rt_encoder, head_norm),
      NORM,
      HIDDEN,
      HIDDEN,
      {"vocab_layer_norm", "cls.predictions.transform.LayerNorm"}}},
};
static const char *const decoder_weights[2] = {"vocab_projector.weight", "cls.predictions.decoder.weight"};
/* BERT's bias moved into the decoder in some versions. */
static const char *const decoder_biases[2][2] = {{"vocab_projector.bias", "vocab_projector.bias"},
                                                 {"cls.predictions.bias", "cls.predictions.decoder.bias"}};

/* What wrappers put in front of every name: nothing, torch's DataParallel, training
 * frameworks, torch.compile. */
static const char *const roots[] = {"",           "module.",           "model.",
                                    "_orig_mod.", "_orig_mod.module.", "module._orig_mod."};
/* What a model with a head puts in front of the base model's names; a base model alone has none. */
static const char *const bases[2][2] = {{"distilbert.", ""}, {"bert.", ""}};

enum { NAME_SIZE = 256 };

void rt_weights_layer_stem(char *out, rt_family family, int64_t index, size_t slot) {
    for (size_t i = 0; i < sizeof layer_parts / sizeof *layer_parts; i++) {
        if (layer_parts[i].slot != slot) continue;
        snprintf(out, RT_WEIGHT_NAME, "%s%s%" PRId64 ".%s", bases[family][0], layer_names[family], index,
                 layer_parts[i].name[family]);
    }
}

void rt_weights_stem(char *out, const rt_config *config, size_t slot) {
    const char *base = "", *name = NULL;
    for (size_t i = 0; i < sizeof embeddings / sizeof *embeddings; i++) {
        if (embeddings[i].slot != slot) continue;
        base = bases[config->family][0];
        name = embeddings[i].name[config->family];
    }
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        if (heads[i].task == config->task && heads[i].part.slot == slot)
            name = heads[i].part.name[config->family];
    }
    if (name == NULL && slot == pooler.slot) {
        base = bases[config->family][0];
        name = pooler.name[config->family];
    }
    if (name == NULL) { /* the decoder of FILL, or types of DistilBERT, which has none */
        const char *weight = decoder_weights[config->family];
        snprintf(out, RT_WEIGHT_NAME, "%.*s", (int)(strrchr(weight, '.') - weight), weight);
        return;
    }
    snprintf(out, RT_WEIGHT_NAME, "%s%s", base, name);
}

typedef struct binder {
    const rt_tensors *tensors;
    const char *file, *origin; /* origin: where the expected shapes come from */
    rt_family family;
    const char *root, *base; /* prefixes of this file */
    int64_t dims[DIMS];
    retort_error *err;
} binder;

static const rt_tensor *find(const rt_tensors *tensors, char *name, const char *root, const char *base,
                             const char *rest) {
    int n = snprintf(name, NAME_SIZE, "%s%s%s", root, base, rest);
    return n < NAME_SIZE ? rt_tensors_find(tensors, name) : NULL;
}

/* "x.weight" as "x.gamma" and "x.bias" as "x.beta": TensorFlow's names, which old files keep. */
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

/* A part of `owner`; `stem` is what stands before its name ("encoder.layer.3."). */
static retort_status bind_part(const binder *b, void *owner, const part *p, const char *base,
                               const char *stem) {
    char rest[NAME_SIZE];
    const rt_tensor **slot = (const rt_tensor **)(void *)((char *)owner + p->slot);
    int64_t shape[2] = {b->dims[p->rows], b->dims[p->columns]};
    if (p->name[b->family] == NULL) return RETORT_OK;
    snprintf(rest, sizeof rest, "%s%s.weight", stem, p->name[b->family]);
    retort_status status = bind(b, slot, base, rest, shape, p->kind == NORM ? 1 : 2);
    if (status != RETORT_OK || p->kind == TABLE) return status;
    snprintf(rest, sizeof rest, "%s%s.bias", stem, p->name[b->family]);
    return bind(b, slot + 1, base, rest, shape, 1);
}

static retort_status bind_layers(const binder *b, rt_encoder *e) {
    char stem[64], name[NAME_SIZE], rest[NAME_SIZE];
    for (int64_t i = 0; i < e->config.layers; i++) {
        snprintf(stem, sizeof stem, "%s%" PRId64 ".", layer_names[b->family], i);
        for (size_t p = 0; p < sizeof layer_parts / sizeof *layer_parts; p++) {
            retort_status status = bind_part(b, &e->layers[i], &layer_parts[p], b->base, stem);
            if (status != RETORT_OK) return status;
        }
    }
    snprintf(rest, sizeof rest, "%s%" PRId64 ".%s.weight", layer_names[b->family], e->config.layers,
             layer_parts[0].name[b->family]);
    if (find(b->tensors, name, b->root, b->base, rest) == NULL) return RETORT_OK;
    return rt_fail(b->err, RETORT_FORMAT,
                   "%s: tensor '%s': config.json says %" PRId64 " layers, the file has more", b->file, name,
                   e->config.layers);
}

/* Without a weight of its own the decoder is the word embedding (transformers ties them). */
static retort_status bind_decoder(const binder *b, rt_encoder *e) {
    char name[NAME_SIZE];
    int64_t shape[2] = {e->config.vocab, e->config.hidden};
    const char *const *bias = decoder_biases[b->family];
    retort_status status = RETORT_OK;
    e->output.weight = e->word;
    if (find(b->tensors, name, b->root, "", decoder_weights[b->family]) != NULL) {
        status = bind(b, &e->output.weight, "", decoder_weights[b->family], shape, 2);
    }
    if (status != RETORT_OK) return status;
    bool old = find(b->tensors, name, b->root, "", bias[0]) != NULL;
    return bind(b, &e->output.bias, "", bias[old ? 0 : 1], shape, 1);
}

static retort_status bind_head(const binder *b, rt_encoder *e) {
    retort_status status = RETORT_OK;
    for (size_t i = 0; i < sizeof heads / sizeof *heads && status == RETORT_OK; i++) {
        if (heads[i].task == e->config.task) status = bind_part(b, e, &heads[i].part, "", "");
    }
    if (status == RETORT_OK && e->config.pooler) status = bind_part(b, e, &pooler, b->base, "");
    if (status == RETORT_OK && e->config.task == RETORT_TASK_FILL) status = bind_decoder(b, e);
    if (e->config.task == RETORT_TASK_CLASSIFY) {
        e->dense_activation = b->family == RT_BERT ? RT_FN_TANH : RT_FN_RELU;
    } else if (e->config.task == RETORT_TASK_FILL) {
        e->dense_activation = e->config.activation;
    }
    return status;
}

/* The prefixes that this file's word embedding has; the plain ones when it has none. */
static void find_prefixes(const rt_tensors *tensors, rt_family family, const char **root, const char **base) {
    char name[NAME_SIZE];
    *root = roots[0];
    *base = bases[family][0];
    for (size_t r = 0; r < sizeof roots / sizeof *roots; r++) {
        for (size_t i = 0; i < 2; i++) {
            if (find(tensors, name, roots[r], bases[family][i], "embeddings.word_embeddings.weight") == NULL)
                continue;
            *root = roots[r];
            *base = bases[family][i];
            return;
        }
    }
}

retort_task rt_weights_task(const rt_tensors *tensors, rt_family family) {
    char name[NAME_SIZE];
    const char *root, *base;
    find_prefixes(tensors, family, &root, &base);
    if (find(tensors, name, root, "", "qa_outputs.weight") != NULL) return RETORT_TASK_ANSWER;
    const char *fill =
        family == RT_BERT ? "cls.predictions.transform.dense.weight" : "vocab_transform.weight";
    if (find(tensors, name, root, "", fill) != NULL) return RETORT_TASK_FILL;
    if (find(tensors, name, root, "", "classifier.weight") == NULL) return RETORT_TASK_EMBED;
    const rt_tensor *dense = family == RT_BERT ? find(tensors, name, root, base, "pooler.dense.weight")
                                               : find(tensors, name, root, "", "pre_classifier.weight");
    return dense != NULL ? RETORT_TASK_CLASSIFY : RETORT_TASK_TAG;
}

retort_status rt_weights_bind(rt_encoder *e, const char *file, retort_error *err) {
    const rt_config *c = &e->config;
    binder b = {.tensors = &e->tensors,
                .file = file,
                .origin = "config.json",
                .family = c->family,
                .err = err,
                .dims = {[HIDDEN] = c->hidden,
                         [FFN] = c->ffn,
                         [VOCAB] = c->vocab,
                         [POSITIONS] = c->positions,
                         [TYPES] = c->types,
                         [LABELS] = c->labels}};
    find_prefixes(&e->tensors, c->family, &b.root, &b.base);
    e->layers = rt_arena_calloc(&e->arena, (size_t)c->layers, sizeof *e->layers);
    if (e->layers == NULL) return rt_fail_nomem(err, (size_t)c->layers * sizeof *e->layers);
    retort_status status = RETORT_OK;
    for (size_t i = 0; i < sizeof embeddings / sizeof *embeddings && status == RETORT_OK; i++) {
        status = bind_part(&b, e, &embeddings[i], b.base, "");
    }
    if (status == RETORT_OK) status = bind_layers(&b, e);
    return status == RETORT_OK ? bind_head(&b, e) : status;
}

retort_status rt_weights_bind_dense(rt_encoder *e, const rt_modules *package, retort_error *err) {
    int64_t shape[2] = {package->dense_out, package->dense_in};
    binder b = {.tensors = &e->dense_tensors,
                .file = package->dense,
                .origin = "its config.json",
                .root = "",
                .err = err};
    if (package->dense_in != e->config.hidden) {
        return rt_fail(err, RETORT_FORMAT, "%s: in_features is %" PRId64 ", the transformer gives %" PRId64,
                       package->dense, package->dense_in, e->config.hidden);
    }
    retort_status status = bind(&b, &e->output.weight, "", "linear.weight", shape, 2);
    if (status == RETORT_OK && package->dense_bias)
        status = bind(&b, &e->output.bias, "", "linear.bias", shape, 1);
    e->dense_activation = package->dense_activation;
    e->config.labels = package->dense_out;
    return status;
}
