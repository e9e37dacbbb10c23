/* SPDX-License-Identifier: Apache-2.0
 * DeBERTa v2 and v3: BERT whose scores have products of queries with position keys (c2p) and of keys with position queries
 * (p2c), both by the distance of query and key. Position keys and queries are made of one table for all layers, by matrices
 * of their own or by those of keys and queries. */
#include "arch/builder.h"
#include "arch/config_values.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST_DISTANCES = 1 << 16 };

/* Whether a list, or a text of parts separated by |, has the part. */
static bool lists(const json_t *value, const char *part) {
    const char *text = json_string_value(value);
    bool found = false;
    for (size_t i = 0; i < json_array_size(value); i++) {
        const char *item = json_string_value(json_array_get(value, i));
        found |= item != NULL && strcmp(item, part) == 0;
    }
    return found || (text != NULL && strstr(text, part) != NULL);
}

/* As torch's modules default: what is absent is off, but positions are part of the input. */
static retort_status read_distances(rt_config *out, const rt_config_source *from, retort_error *err) {
    const char *name = from->name;
    const json_t *root = from->root;
    rt_distances *d = &out->distances;
    int64_t buckets = -1, far = -1;
    retort_status status = rt_config_integer(from, "position_buckets", -1, MOST_DISTANCES, &buckets, err);
    if (status == RETORT_OK)
        status = rt_config_integer(from, "max_relative_positions", -1, MOST_DISTANCES, &far, err);
    bool relative = false, shared = false, placed = true;
    if (status == RETORT_OK) status = rt_config_flag(from, "relative_attention", &relative, err);
    if (status == RETORT_OK) status = rt_config_flag(from, "share_att_key", &shared, err);
    if (status == RETORT_OK) status = rt_config_flag(from, "position_biased_input", &placed, err);
    const json_t *kinds = json_object_get(root, "pos_att_type");
    bool c2p = lists(kinds, "c2p"), p2c = lists(kinds, "p2c");
    *d = (rt_distances){.buckets = buckets > 0 ? buckets : 0,
                        .far = far > 0 ? far : out->positions,
                        .terms = 1 + c2p + p2c,
                        .keys = relative && c2p,
                        .queries = relative && p2c,
                        .shared = shared,
                        .normed = lists(json_object_get(root, "norm_rel_ebd"), "layer_norm")};
    d->span = d->buckets > 0 ? d->buckets : d->far;
    out->unplaced = !placed;
    if (status == RETORT_OK && d->buckets > 0 && (d->buckets < 4 || d->far <= d->buckets / 2 + 1))
        status = rt_fail(err, RETORT_FORMAT, "%s: %" PRId64 " position_buckets for distances up to %" PRId64,
                         name, d->buckets, d->far);
    return status;
}

static retort_status configure(rt_config *out, const rt_config_source *from, retort_error *err) {
    const char *name = from->name;
    int64_t types = 0, width = out->hidden, conv = 0, dim = out->hidden / out->heads;
    retort_status status = rt_config_integer(from, "type_vocab_size", -1, 1 << 10, &types, err);
    if (status == RETORT_OK) status = rt_config_integer(from, "embedding_size", -1, 1 << 16, &width, err);
    if (status == RETORT_OK) status = rt_config_integer(from, "conv_kernel_size", -1, 1 << 16, &conv, err);
    if (status == RETORT_OK) status = rt_config_integer(from, "attention_head_size", -1, 1 << 16, &dim, err);
    if (status == RETORT_OK) status = read_distances(out, from, err);
    if (status != RETORT_OK) return status;
    if (conv > 0)
        return rt_fail(err, RETORT_UNSUPPORTED,
                       "%s: 'conv_kernel_size' is %" PRId64 ": the convolution after the first layer is not "
                       "supported",
                       name, conv);
    if (dim != out->hidden / out->heads)
        return rt_fail(err, RETORT_UNSUPPORTED, "%s: 'attention_head_size' is %" PRId64 "; expected %" PRId64,
                       name, dim, out->hidden / out->heads);
    if (width < 1) return rt_fail(err, RETORT_FORMAT, "%s: 'embedding_size' is %" PRId64, name, width);
    out->types = types > 0 ? types : 0;
    out->embedding = width;
    if (out->task == RETORT_TASK_FILL) return RETORT_OK;
    out->head_activation = RT_FN_GELU;
    return rt_config_activation(from, "pooler_hidden_act", &out->head_activation, err);
}

static bool has(const rt_config *config, rt_role role) {
    const rt_distances *d = &config->distances;
    switch (role) {
    case RT_ROLE_POSITION:
        return !config->unplaced;
    case RT_ROLE_TYPE:
        return config->types > 0;
    case RT_ROLE_TABLE_PROJECTION:
        return config->embedding != config->hidden;
    case RT_ROLE_DISTANCES:
        return d->keys || d->queries;
    case RT_ROLE_DISTANCE_NORM:
        return d->normed && (d->keys || d->queries);
    case RT_ROLE_POS_KEY:
        return d->keys && !d->shared;
    case RT_ROLE_POS_QUERY:
        return d->queries && !d->shared;
    default:
        return true;
    }
}

/* The row of a distance, i - j of query i and key j: near ones have their own, those beyond half of the buckets share rows
 * by the logarithm (make_log_bucket_position). */
static int64_t row_of(const rt_distances *d, int64_t distance) {
    int64_t mid = d->buckets / 2, apart = distance < 0 ? -distance : distance, bucket = distance;
    if (d->buckets > 0 && apart > mid) {
        double part = log((double)apart / (double)mid) / log((double)(d->far - 1) / (double)mid);
        bucket = (int64_t)ceil(part * (double)(mid - 1)) + mid;
        if (distance < 0) bucket = -bucket;
    }
    int64_t row = bucket + d->span;
    return row < 0 ? 0 : row > 2 * d->span - 1 ? 2 * d->span - 1 : row;
}

/* What all layers read: the rows of distances [1, 1, seq, seq] and the table [rows, hidden]; then BERT's mask. */
static int distances_and_mask(rt_builder *b) {
    const char *scope = "relative";
    const rt_config *config = &b->encoder->config;
    const rt_distances *d = &config->distances;
    const rt_weight *parts = b->encoder->parts;
    int64_t most = config->positions - 1, axes[] = {0, 1};
    if (!d->keys && !d->queries) return rt_bert_mask(b);
    int64_t *index = rt_graph_alloc(b->graph, (size_t)(2 * most + 1) * sizeof *index);
    if (index == NULL) return -1;
    for (int64_t i = 0; i <= 2 * most; i++) index[i] = row_of(d, most - i);
    b->distances = rt_emit2(b, RT_OP_UNSQUEEZE, scope, "wide", rt_emit_distances(b, index),
                            rt_emit_indices(b, scope, "axes", 2, axes));
    b->bias = rt_emit_tensor(b, scope, "table", parts[RT_ROLE_DISTANCES].weight);
    if (d->normed) b->bias = rt_emit_norm(b, "relative.norm", &parts[RT_ROLE_DISTANCE_NORM], b->bias);
    return rt_bert_mask(b);
}

/* The table times a layer's matrix, [heads, rows, dim], or [heads, dim, rows] for keys. */
static int by_head(rt_builder *b, const char *attention, const char *part, const rt_weight *linear,
                   bool keys) {
    char scope[RT_SCOPE_MAX];
    snprintf(scope, sizeof scope, "%s.%s", attention, part);
    int64_t shape[] = {2 * b->encoder->config.distances.span, b->encoder->config.heads, rt_head_dim(b)};
    int rows = rt_emit_linear(b, scope, linear, b->bias);
    int split =
        rt_emit2(b, RT_OP_RESHAPE, scope, "reshape", rows, rt_emit_indices(b, scope, "shape", 3, shape));
    rt_attrs attrs = {.perm = {1, keys ? 2 : 0, keys ? 0 : 2}, .perm_count = 3};
    return rt_emit(b, RT_OP_TRANSPOSE, scope, "transpose", 1, &split, &attrs);
}

/* scores + the numbers of products [batch, heads, …] at the rows of distances, along an axis */
static int add_picked(rt_builder *b, const char *scope, const char *leaf, int scores, int products,
                      int64_t axis) {
    char name[RT_SCOPE_MAX];
    snprintf(name, sizeof name, "%s.%s", scope, leaf);
    int shape = rt_emit1(b, RT_OP_SHAPE, name, "shape", scores);
    int rows = rt_emit2(b, RT_OP_EXPAND, name, "rows", b->distances, shape);
    int picked = rt_emit(b, RT_OP_GATHER_ELEMENTS, name, "picked", 2, (int[]){products, rows},
                         &(rt_attrs){.axis = axis});
    return rt_emit2(b, RT_OP_ADD, name, "add", scores, picked);
}

static int disentangled_scores(rt_builder *b, const char *scope, int q, int k) {
    const rt_config *config = &b->encoder->config;
    const rt_distances *d = &config->distances;
    const rt_weight *layer = b->encoder->layers[b->layer];
    int scores = rt_emit2(b, RT_OP_MATMUL, scope, "scores", q, k);
    if (d->keys) {
        const rt_weight *linear = &layer[d->shared ? RT_ROLE_K : RT_ROLE_POS_KEY];
        int keys = by_head(b, scope, "pos_key", linear, true);
        scores = add_picked(b, scope, "c2p", scores, rt_emit2(b, RT_OP_MATMUL, scope, "by_key", q, keys), 3);
    }
    if (d->queries) {
        const rt_weight *linear = &layer[d->shared ? RT_ROLE_Q : RT_ROLE_POS_QUERY];
        int queries = by_head(b, scope, "pos_query", linear, false);
        scores =
            add_picked(b, scope, "p2c", scores, rt_emit2(b, RT_OP_MATMUL, scope, "by_query", queries, k), 2);
    }
    float root = sqrtf((float)(rt_head_dim(b) * d->terms));
    int scaled = rt_emit_by(b, RT_OP_DIV, scope, "scale", scores, root);
    return rt_emit2(b, RT_OP_ADD, scope, "masked", scaled, b->key_mask);
}

const rt_arch rt_arch_deberta_v2 = {
    .type = "deberta-v2",
    .prefix = "DebertaV2",
    .keys = {RT_UNTYPED_KEYS},
    .activation_key = "hidden_act",
    .activation_default = "gelu",
    .epsilon_key = "layer_norm_eps",
    .epsilon_default = 1e-7f,
    .base = "deberta.",
    .layer = "encoder.layer.",
    .configure = configure,
    .has = has,
    .names = {[RT_ROLE_WORD] = "embeddings.word_embeddings",
              [RT_ROLE_POSITION] = "embeddings.position_embeddings",
              [RT_ROLE_TYPE] = "embeddings.token_type_embeddings",
              [RT_ROLE_TABLE_PROJECTION] = "embeddings.embed_proj",
              [RT_ROLE_EMBEDDING_NORM] = "embeddings.LayerNorm",
              [RT_ROLE_DISTANCES] = "encoder.rel_embeddings",
              [RT_ROLE_DISTANCE_NORM] = "encoder.LayerNorm",
              [RT_ROLE_Q] = "attention.self.query_proj",
              [RT_ROLE_K] = "attention.self.key_proj",
              [RT_ROLE_V] = "attention.self.value_proj",
              [RT_ROLE_POS_KEY] = "attention.self.pos_key_proj",
              [RT_ROLE_POS_QUERY] = "attention.self.pos_query_proj",
              [RT_ROLE_OUT] = "attention.output.dense",
              [RT_ROLE_ATTENTION_NORM] = "attention.output.LayerNorm",
              [RT_ROLE_LIN1] = "intermediate.dense",
              [RT_ROLE_LIN2] = "output.dense",
              [RT_ROLE_OUTPUT_NORM] = "output.LayerNorm"},
    .heads = {[RETORT_TASK_CLASSIFY] = {.dense = "pooler.dense", .output = "classifier"},
              [RETORT_TASK_TAG] = {.output = "classifier"},
              [RETORT_TASK_ANSWER] = {.output = "qa_outputs"},
              [RETORT_TASK_FILL] = {.dense = "cls.predictions.transform.dense",
                                    .norm = "cls.predictions.transform.LayerNorm",
                                    .output = "cls.predictions.decoder",
                                    .old_bias = "cls.predictions.bias"}},
    .other_fill = {.dense = "lm_predictions.lm_head.dense",
                   .norm = "lm_predictions.lm_head.LayerNorm",
                   .output = "lm_predictions.lm_head.decoder",
                   .old_bias = "lm_predictions.lm_head.bias"},
    .pretraining = RETORT_TASK_FILL,
    .mask = distances_and_mask,
    .scores = disentangled_scores,
};
