/* SPDX-License-Identifier: Apache-2.0
 * From an ONNX graph's output back to the ids: head, layers from the last to the first, embeddings. */
#include "format/format.h"
#include "arch/onnx_match.h"
#include "arch/weights.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

typedef struct layer {
    rt_onnx_linear q, k, v, out, lin1, lin2;
    rt_onnx_norm attention_norm, output_norm;
} layer;

typedef struct walk {
    rt_onnx_match m;
    rt_tensors *out;
    layer *layers; /* [config.layers], from the last */
} walk;

/* ---- Tensors under a checkpoint's names ---- */

/* [in, out] as [out, in]. */
static bool transposed(rt_onnx_match *m, rt_tensor *t) {
    size_t rows = (size_t)t->shape[0], columns = (size_t)t->shape[1], size = rt_dtype_size(t->dtype);
    char *data = rt_arena_calloc(m->arena, rows, columns * size);
    if (data == NULL) return rt_onnx_no_memory(m);
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < columns; j++) {
            memcpy(data + (j * rows + i) * size, (const char *)t->data + (i * columns + j) * size, size);
        }
    }
    t->data = data;
    t->shape[0] = (int64_t)columns;
    t->shape[1] = (int64_t)rows;
    return true;
}

static bool add_tensor(walk *w, const char *stem, const char *leaf, rt_tensor tensor) {
    char name[RT_WEIGHT_NAME + 16];
    snprintf(name, sizeof name, "%s.%s", stem, leaf);
    tensor.name = name;
    if (w->m.status == RETORT_OK) w->m.status = rt_tensors_add(w->out, w->m.file, &tensor, w->m.err);
    return w->m.status == RETORT_OK;
}

/* A Linear without a bias gets one of zeros: checkpoints of these architectures always have one. */
static bool add_linear(walk *w, const char *stem, const rt_onnx_linear *linear) {
    rt_tensor weight = linear->weight.tensor, bias = linear->bias.tensor;
    if (!linear->weight.transposed && !transposed(&w->m, &weight)) return false;
    if (bias.data == NULL) {
        bias = (rt_tensor){.dtype = RETORT_F32, .rank = 1, .shape = {weight.shape[0]}};
        bias.data = rt_arena_calloc(w->m.arena, (size_t)weight.shape[0], sizeof(float));
        if (bias.data == NULL) return rt_onnx_no_memory(&w->m);
    }
    return add_tensor(w, stem, "weight", weight) && add_tensor(w, stem, "bias", bias);
}

static bool add_norm(walk *w, const char *stem, const rt_onnx_norm *norm) {
    return add_tensor(w, stem, "weight", norm->gamma.tensor) &&
           add_tensor(w, stem, "bias", norm->beta.tensor);
}

static bool add_layer(walk *w, const layer *l, int64_t index) {
    const struct {
        rt_role role;
        const rt_onnx_linear *linear;
        const rt_onnx_norm *norm;
    } rows[] = {
        {RT_ROLE_Q, &l->q, NULL},
        {RT_ROLE_K, &l->k, NULL},
        {RT_ROLE_V, &l->v, NULL},
        {RT_ROLE_OUT, &l->out, NULL},
        {RT_ROLE_ATTENTION_NORM, NULL, &l->attention_norm},
        {RT_ROLE_LIN1, &l->lin1, NULL},
        {RT_ROLE_LIN2, &l->lin2, NULL},
        {RT_ROLE_OUTPUT_NORM, NULL, &l->output_norm},
    };
    char stem[RT_WEIGHT_NAME];
    bool added = true;
    for (size_t i = 0; added && i < sizeof rows / sizeof *rows; i++) {
        rt_weights_stem(stem, w->m.config, rows[i].role, index);
        added = rows[i].norm != NULL ? add_norm(w, stem, rows[i].norm) : add_linear(w, stem, rows[i].linear);
    }
    return added;
}

static bool add_head(walk *w, rt_role role, const rt_onnx_linear *linear) {
    char stem[RT_WEIGHT_NAME];
    rt_weights_stem(stem, w->m.config, role, 0);
    return add_linear(w, stem, linear);
}

/* ---- Layers ---- */

/* What a converter to float16 makes of a positive number below 1e-7, which it writes as two of the least. */
#define HALF_MIN 0x1p-23

static bool check_norm(walk *w, const char *value, rt_onnx_norm *norm) {
    if (!rt_onnx_match_norm(&w->m, value, norm)) return rt_onnx_refuse(&w->m, value, "LayerNorm");
    double expected = (double)w->m.config->epsilon;
    bool raised = norm->half && expected < HALF_MIN && norm->epsilon <= HALF_MIN;
    if (!raised && fabs(norm->epsilon - expected) > 1e-3 * expected) {
        return rt_onnx_refuse(&w->m, value, "LayerNorm with config.json's epsilon");
    }
    return true;
}

/* A norm of Linear + residual: whose Linear, and the residual's name. */
static bool residual_linear(walk *w, rt_onnx_norm *norm, rt_onnx_linear *linear, const char **residual) {
    const rt_onnx_node *add = norm->x != NULL ? rt_onnx_made_by(&w->m, norm->x, "Add") : NULL;
    if (add != NULL) {
        norm->left = rt_onnx_input(add, 0);
        norm->right = rt_onnx_input(add, 1);
    }
    const char *sides[] = {norm->left, norm->right};
    for (size_t i = 0; norm->left != NULL && i < 2; i++) {
        if (!rt_onnx_match_linear(&w->m, sides[i], linear)) continue;
        if (linear->bias.tensor.data == NULL) linear->bias = norm->bias;
        *residual = sides[1 - i];
        return true;
    }
    return rt_onnx_refuse(&w->m, norm->x != NULL ? norm->x : norm->left,
                          "a residual's sum of a Linear and its input");
}

/* The FFN's second Linear reads act(first Linear). */
static bool ffn(walk *w, layer *l, const char **x) {
    rt_onnx_weight bias;
    const char *below = NULL;
    rt_act act = rt_onnx_match_act(&w->m, l->lin2.x, &below, &bias);
    if (act != w->m.config->activation) return rt_onnx_refuse(&w->m, l->lin2.x, "config.json's activation");
    if (!rt_onnx_match_linear(&w->m, below, &l->lin1))
        return rt_onnx_refuse(&w->m, below, "the FFN's first Linear");
    if (l->lin1.bias.tensor.data == NULL) l->lin1.bias = bias;
    *x = l->lin1.x;
    return true;
}

/* Nodes that change nothing may lie between a value and its readers. */
static bool same_value(const rt_onnx_match *m, const char *a, const char *b) {
    if (a == NULL || b == NULL) return false;
    return strcmp(a, b) == 0 || (rt_onnx_maker(m, a) != NULL && rt_onnx_maker(m, a) == rt_onnx_maker(m, b));
}

/* The layer that ends in `value`; *x is what it reads. */
static bool match_layer(walk *w, const char *value, layer *l, const char **x) {
    rt_onnx_attention attention;
    const char *residual = NULL, *middle = NULL;
    if (!check_norm(w, value, &l->output_norm)) return false;
    if (!residual_linear(w, &l->output_norm, &l->lin2, &residual) || !ffn(w, l, &middle)) return false;
    if (!same_value(&w->m, residual, middle))
        return rt_onnx_refuse(&w->m, residual, "the FFN's input as its residual");
    if (!check_norm(w, middle, &l->attention_norm)) return false;
    if (!residual_linear(w, &l->attention_norm, &l->out, &residual)) return false;
    if (!rt_onnx_match_attention(&w->m, l->out.x, &attention)) return false;
    if (!same_value(&w->m, residual, attention.x)) {
        return rt_onnx_refuse(&w->m, residual, "the attention's input as its residual");
    }
    l->q = attention.q;
    l->k = attention.k;
    l->v = attention.v;
    *x = attention.x;
    return true;
}

/* ---- Embeddings ---- */

typedef struct tables {
    rt_onnx_weight word, position, type;
} tables;

static bool take_table(walk *w, const char *value, rt_onnx_weight *slot, const rt_onnx_weight *table) {
    if (slot->tensor.data != NULL)
        return rt_onnx_refuse(&w->m, value, "one table of words, positions and types each");
    *slot = *table;
    return true;
}

/* Gather(table, ids), or the first rows of the table of positions. */
static bool take_part(walk *w, const char *value, tables *t) {
    const rt_onnx_node *node = rt_onnx_maker(&w->m, value);
    rt_onnx_weight table = {0};
    const rt_onnx_node *integers = rt_onnx_is(node, "DequantizeLinear") ? node : NULL;
    if (integers != NULL) node = rt_onnx_maker(&w->m, rt_onnx_input(node, 0));
    const char *ids = node != NULL ? rt_onnx_input(node, 1) : "";
    bool gather = rt_onnx_is(node, "Gather"), slice = rt_onnx_is(node, "Slice");
    bool read = integers != NULL
                    ? gather && rt_onnx_integer_table(&w->m, integers, node, &table)
                    : (gather || slice) && rt_onnx_weight_of(&w->m, rt_onnx_input(node, 0), &table);
    if (read && table.tensor.rank == 3 && table.tensor.shape[0] == 1) {
        table.tensor.rank = 2;
        memmove(table.tensor.shape, table.tensor.shape + 1, 2 * sizeof *table.tensor.shape);
    }
    if (!read || node == NULL || table.tensor.rank != 2 || rt_onnx_int(node, "axis", 0) != 0) {
        return rt_onnx_refuse(&w->m, value, "rows of an embedding table");
    }
    if (gather && rt_onnx_is_input(&w->m, ids, "input_ids")) return take_table(w, value, &t->word, &table);
    if (gather && rt_onnx_is_input(&w->m, ids, "token_type_ids"))
        return take_table(w, value, &t->type, &table);
    for (size_t i = 1; i < node->input_count; i++) {
        if (!rt_onnx_only_from(&w->m, node->inputs[i], NULL)) return false;
    }
    bool types =
        table.tensor.shape[0] == w->m.config->types && table.tensor.shape[0] != w->m.config->positions;
    return take_table(w, value, types ? &t->type : &t->position, &table);
}

static bool summed_tables(walk *w, const char *sum, tables *t) {
    enum { PARTS = 3 };
    const char *value = sum;
    for (int i = 0; i < PARTS; i++) {
        const rt_onnx_node *add = rt_onnx_made_by(&w->m, value, "Add");
        if (add == NULL) return take_part(w, value, t);
        bool deep = rt_onnx_made_by(&w->m, rt_onnx_input(add, 1), "Add") != NULL;
        if (!take_part(w, rt_onnx_input(add, deep ? 0 : 1), t)) return false;
        value = rt_onnx_input(add, deep ? 1 : 0);
    }
    return rt_onnx_refuse(&w->m, value, "the sum of words, positions and types");
}

/* Input `index` of EmbedLayerNormalization; QEmbedLayerNormalization has its scale 6 and its zero point 11
 * inputs further. */
static bool fused_table(walk *w, const rt_onnx_node *node, size_t index, rt_onnx_weight *out) {
    if (rt_onnx_is(node, "QEmbedLayerNormalization"))
        return rt_onnx_integers(&w->m, rt_onnx_input(node, index), rt_onnx_input(node, index + 6),
                                rt_onnx_input(node, index + 11), out);
    return rt_onnx_weight_of(&w->m, rt_onnx_input(node, index), out);
}

/* (ids, types, word, position, type, gamma, beta, mask) */
static bool fused_tables(walk *w, const rt_onnx_node *node, tables *t, rt_onnx_norm *norm) {
    norm->epsilon = (double)rt_onnx_real(node, "epsilon", 1e-12f);
    bool types = rt_onnx_input(node, 1)[0] != '\0';
    bool found = rt_onnx_is_input(&w->m, rt_onnx_input(node, 0), "input_ids") &&
                 fused_table(w, node, 2, &t->word) && fused_table(w, node, 3, &t->position) &&
                 (!types || fused_table(w, node, 4, &t->type)) && fused_table(w, node, 5, &norm->gamma) &&
                 fused_table(w, node, 6, &norm->beta);
    return found || rt_onnx_refuse(&w->m, node->outputs[0], "tables of input_ids and token_type_ids");
}

static bool match_embeddings(walk *w, const char *value) {
    char stem[RT_WEIGHT_NAME];
    tables t = {0};
    rt_onnx_norm norm = {0};
    const rt_onnx_node *node = rt_onnx_maker(&w->m, value);
    bool fused = rt_onnx_is_embed(node);
    bool found = fused ? fused_tables(w, node, &t, &norm)
                       : check_norm(w, value, &norm) && summed_tables(w, norm.x != NULL ? norm.x : value, &t);
    const struct {
        rt_role role;
        const rt_onnx_weight *table;
    } rows[] = {{RT_ROLE_WORD, &t.word}, {RT_ROLE_POSITION, &t.position}, {RT_ROLE_TYPE, &t.type}};
    for (size_t i = 0; found && i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].table->tensor.data == NULL)
            continue; /* what the architecture needs is missed when it is bound */
        rt_weights_stem(stem, w->m.config, rows[i].role, 0);
        found = add_tensor(w, stem, "weight", rows[i].table->tensor);
    }
    rt_weights_stem(stem, w->m.config, RT_ROLE_EMBEDDING_NORM, 0);
    return found && add_norm(w, stem, &norm);
}

/* ---- Heads ---- */

/* Below nodes that take rows or columns apart: the split of start and end, the first row. */
static const char *unpicked(const walk *w, const char *value) {
    static const char *const picks[] = {"Squeeze", "Split", "Gather", "Slice", "Reshape"};
    for (int i = 0; i < 4; i++) {
        const rt_onnx_node *node = rt_onnx_maker(&w->m, value);
        bool pick = false;
        for (size_t k = 0; k < sizeof picks / sizeof *picks; k++) pick |= rt_onnx_is(node, picks[k]);
        if (!pick) return value;
        value = rt_onnx_input(node, 0);
    }
    return value;
}

/* x[:, 0] */
static bool first_row(walk *w, const char *value, const char **hidden) {
    const rt_onnx_node *node = rt_onnx_maker(&w->m, value);
    bool gather = rt_onnx_is(node, "Gather") && rt_onnx_int(node, "axis", 0) == 1 &&
                  rt_onnx_near(&w->m, rt_onnx_input(node, 1), 0);
    *hidden = gather ? rt_onnx_input(node, 0) : unpicked(w, value);
    bool picked =
        gather || rt_onnx_is(node, "Squeeze") || rt_onnx_is(node, "Slice") || rt_onnx_is(node, "Reshape");
    return picked || rt_onnx_refuse(&w->m, value, "the first row");
}

static bool output_linear(walk *w, const char *value, rt_onnx_linear *out) {
    return rt_onnx_match_linear(&w->m, value, out) || rt_onnx_refuse(&w->m, value, "the head's Linear");
}

static bool classify_head(walk *w, const char *logits, const char **hidden) {
    rt_onnx_linear output, dense;
    rt_onnx_weight bias = {0};
    const rt_arch_head *head = &w->m.config->arch->heads[RETORT_TASK_CLASSIFY];
    rt_act act;
    const char *below = NULL;
    if (!output_linear(w, logits, &output) || !add_head(w, RT_ROLE_OUTPUT, &output)) return false;
    if (head->pooler && !w->m.config->pooler) return first_row(w, output.x, hidden);
    bool fused = rt_onnx_match_linear(&w->m, output.x, &dense) && dense.act != RT_FN_NONE;
    act = fused ? dense.act : rt_onnx_match_act(&w->m, output.x, &below, &bias);
    if (act == RT_FN_NONE && output.cut) {
        act = RT_FN_RELU;
        below = output.x;
    }
    if (act != head->activation)
        return rt_onnx_refuse(&w->m, output.x, "the head's activation (tanh of BERT, relu of DistilBERT)");
    if (!fused && !output_linear(w, below, &dense)) return false;
    return add_head(w, RT_ROLE_DENSE, &dense) && first_row(w, dense.x, hidden);
}

static bool row_head(walk *w, const char *logits, const char **hidden) {
    rt_onnx_linear output;
    if (!output_linear(w, unpicked(w, logits), &output)) return false;
    *hidden = output.x;
    return add_head(w, RT_ROLE_OUTPUT, &output);
}

static bool fill_head(walk *w, const char *logits, const char **hidden) {
    rt_onnx_linear decoder, dense;
    rt_onnx_norm norm;
    rt_onnx_weight bias;
    const char *below = NULL;
    char stem[RT_WEIGHT_NAME];
    if (!output_linear(w, logits, &decoder) || !check_norm(w, decoder.x, &norm)) return false;
    if (norm.x == NULL) return rt_onnx_refuse(&w->m, decoder.x, "the head's LayerNorm");
    if (rt_onnx_match_act(&w->m, norm.x, &below, &bias) != w->m.config->activation) {
        return rt_onnx_refuse(&w->m, norm.x, "config.json's activation");
    }
    if (!output_linear(w, below, &dense)) return false;
    if (dense.bias.tensor.data == NULL) dense.bias = bias;
    *hidden = dense.x;
    rt_weights_stem(stem, w->m.config, RT_ROLE_HEAD_NORM, 0);
    return add_head(w, RT_ROLE_OUTPUT, &decoder) && add_head(w, RT_ROLE_DENSE, &dense) &&
           add_norm(w, stem, &norm);
}

static bool embed_head(walk *w, const char *hidden, const char **out) {
    (void)w;
    *out = hidden;
    return true;
}

/* The output that a task reads: by one of its names, else the first. */
static const char *output_of(const walk *w) {
    static const char *const names[] = {"logits", "start_logits", "last_hidden_state", "token_embeddings"};
    const rt_onnx *onnx = w->m.onnx;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        for (size_t k = 0; k < onnx->output_count; k++) {
            if (strcmp(onnx->outputs[k].name, names[i]) == 0) return names[i];
        }
    }
    return onnx->outputs[0].name;
}

/* ---- The whole ---- */

/* Names to nodes and tensors. Every node reads what is there before it, so that no walk back goes round in
 * circles. */
static bool index_graph(walk *w) {
    rt_onnx_match *m = &w->m;
    rt_names known = {0};
    bool ok = true;
    int before = -1;
    for (size_t i = 0; ok && i < m->onnx->input_count; i++)
        ok = rt_names_add(&known, m->onnx->inputs[i].name, 0, &before);
    for (size_t i = 0; ok && i < m->onnx->tensor_count; i++) {
        const char *name = m->onnx->tensors[i].name;
        ok = rt_names_add(&m->tensors, name, (int)i, &before) && rt_names_add(&known, name, 0, &before);
    }
    for (size_t i = 0; ok && i < m->onnx->node_count && m->status == RETORT_OK; i++) {
        const rt_onnx_node *node = &m->onnx->nodes[i];
        for (size_t k = 0; k < node->input_count && m->status == RETORT_OK; k++) {
            const char *name = node->inputs[k];
            if (name[0] == '\0' || rt_names_find(&known, name, strlen(name)) >= 0) continue;
            m->status = rt_fail(m->err, RETORT_FORMAT,
                                "%.200s: node '%.120s' reads '%.120s', which nothing before it makes",
                                m->file, node->name, name);
        }
        for (size_t k = 0; ok && k < node->output_count && m->status == RETORT_OK; k++) {
            const char *name = node->outputs[k];
            if (name[0] == '\0') continue;
            ok = rt_names_add(&m->made, name, (int)i, &before) && rt_names_add(&known, name, 0, &before);
            if (!ok || before < 0) continue;
            m->status = rt_fail(m->err, RETORT_FORMAT, "%.200s: node '%.120s' makes '%.120s' a second time",
                                m->file, node->name, name);
        }
    }
    rt_names_free(&known);
    return ok ? m->status == RETORT_OK : rt_onnx_no_memory(m);
}

/* Opsets whose operators mean what is expected of them here: before 13 axes and sizes were
 * written otherwise. */
static bool check_opset(walk *w) {
    enum { OLDEST = 11, NEWEST = 26 };
    const rt_onnx *onnx = w->m.onnx;
    int64_t version = 0;
    for (size_t i = 0; i < onnx->opset_count; i++) {
        if (onnx->opsets[i].key[0] == '\0') version = onnx->opsets[i].version;
    }
    if (version >= OLDEST && version <= NEWEST && onnx->output_count > 0) return true;
    w->m.status =
        rt_fail(w->m.err, RETORT_UNSUPPORTED, "%.200s: opset %" PRId64 " with %zu outputs; read are %d to %d",
                w->m.file, version, onnx->output_count, OLDEST, NEWEST);
    return false;
}

static bool walk_layers(walk *w, const char *hidden) {
    int64_t count = w->m.config->layers;
    w->layers = rt_arena_calloc(w->m.arena, (size_t)count, sizeof *w->layers);
    if (w->layers == NULL) return rt_onnx_no_memory(&w->m);
    for (int64_t i = count - 1; i >= 0; i--) {
        if (!match_layer(w, hidden, &w->layers[i], &hidden) || !add_layer(w, &w->layers[i], i)) return false;
    }
    return match_embeddings(w, hidden);
}

retort_status rt_onnx_weights(rt_tensors *out, const rt_onnx *onnx, const char *file, const rt_config *config,
                              retort_error *err) {
    static bool (*const heads[])(walk *, const char *, const char **) = {
        [RETORT_TASK_CLASSIFY] = classify_head, [RETORT_TASK_TAG] = row_head,
        [RETORT_TASK_ANSWER] = row_head,        [RETORT_TASK_FILL] = fill_head,
        [RETORT_TASK_EMBED] = embed_head,
    };
    walk w = {.m = {.onnx = onnx, .file = file, .config = config, .arena = &out->arena, .err = err},
              .out = out};
    const char *hidden = NULL;
    if (check_opset(&w) && index_graph(&w) && heads[config->task](&w, output_of(&w), &hidden)) {
        walk_layers(&w, hidden);
    }
    rt_names_free(&w.m.made);
    rt_names_free(&w.m.tensors);
    return w.m.status == RETORT_OK ? rt_tensors_seal(out, file, err) : w.m.status;
}
