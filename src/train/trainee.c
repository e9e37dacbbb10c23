/* SPDX-License-Identifier: Apache-2.0 */
#include "train/trainee.h"
#include "train/positions.h"
#include "graph/match.h"
#include "graph/ops.h"
#include "graph/rewrite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Constants of its own ---- */

static retort_status copy_constants(rt_graph *graph, retort_error *err) {
    for (size_t i = 0; i < graph->value_count; i++) {
        rt_value *value = &graph->values[i];
        size_t bytes = 0;
        if (!rt_value_is_constant(value) || value->data == NULL || !rt_value_bytes(value, &bytes)) continue;
        void *own = rt_graph_alloc(graph, bytes);
        if (own == NULL) return rt_fail_nomem(err, bytes);
        if (bytes > 0) memcpy(own, value->data, bytes);
        value->data = own;
    }
    return RETORT_OK;
}

/* Into a graph of its own: what rewrites packed goes with the one before. */
retort_status rt_trainee_own(retort_model *model, retort_error *err) {
    rt_graph own;
    retort_status status = rt_graph_copy(&own, &model->graph, err);
    if (status != RETORT_OK) return status;
    status = copy_constants(&own, err);
    rt_graph_free(status == RETORT_OK ? &model->graph : &own);
    if (status == RETORT_OK) model->graph = own;
    return status;
}

/* Angles and what scores get by distance are the same for many nodes on purpose. */
static bool is_own(const rt_node *node, int operand) {
    return node->op != RT_OP_ATTENTION && (node->op != RT_OP_LINEAR || operand <= LINEAR_BIAS);
}

/* What follows "layer.N." in the name of a node; NULL: it is in no layer. */
static const char *in_layer(const rt_node *node) {
    const char *at = node->name;
    if (strncmp(at, "layer.", 6) != 0) return NULL;
    for (at += 6; *at >= '0' && *at <= '9'; at++) {
    }
    return at;
}

/* Whether two nodes of different layers do the same, "layer.0.ffn.lin1" and "layer.3.ffn.lin1". */
static bool are_alike(const rt_node *a, const rt_node *b) {
    const char *x = in_layer(a), *y = in_layer(b);
    return a->op == b->op && x != NULL && y != NULL && strcmp(x, y) == 0;
}

static bool same_layer(const rt_node *a, const rt_node *b) {
    size_t size = (size_t)(in_layer(a) - a->name);
    return in_layer(b) != NULL && (size_t)(in_layer(b) - b->name) == size &&
           memcmp(a->name, b->name, size) == 0;
}

/* Whether two nodes that are alike share their weights: Linears read one matrix; of others, Linears in their layers do. */
static bool are_twins(const rt_graph *graph, const rt_node *a, const rt_node *b) {
    if (!are_alike(a, b)) return false;
    if (a->op == RT_OP_LINEAR) return a->inputs[LINEAR_WEIGHT] == b->inputs[LINEAR_WEIGHT];
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *x = &graph->nodes[i];
        for (size_t j = 0; x->op == RT_OP_LINEAR && same_layer(a, x) && j < graph->node_count; j++) {
            const rt_node *y = &graph->nodes[j];
            if (same_layer(b, y) && are_alike(x, y))
                return x->inputs[LINEAR_WEIGHT] == y->inputs[LINEAR_WEIGHT];
        }
    }
    return false;
}

/* The first node of those that share their weights with this one; NULL: it is the first. */
static const rt_node *first_twin(const rt_graph *graph, size_t index) {
    for (size_t i = 0; i < index; i++) {
        if (are_twins(graph, &graph->nodes[i], &graph->nodes[index])) return &graph->nodes[i];
    }
    return NULL;
}

static bool is_float(const rt_graph *graph, int value) {
    return value >= 0 && graph->values[value].data != NULL && graph->values[value].dtype == RETORT_F32;
}

/* A constant of its own for an operand that another node reads. False: out of memory. */
static bool part(rt_graph *graph, rt_node *node, int operand) {
    rt_value v = graph->values[node->inputs[operand]];
    int apart = rt_add_constant(graph, node->name, operand == LINEAR_WEIGHT ? "weight" : "bias", v.rank,
                                v.dims, v.data);
    if (apart < 0) return false;
    graph->values[apart].layout = v.layout;
    node->inputs[operand] = apart;
    return true;
}

/* Equal constants are merged at level 1: two vectors of zeros must not be trained as one. Layers that share their weights
 * (shares) go on to do so. */
static retort_status part_readers(rt_graph *graph, bool shares, retort_error *err) {
    size_t known = graph->value_count;
    bool *read = rt_calloc(known, sizeof *read);
    if (read == NULL) return rt_fail_nomem(err, known);
    for (size_t i = 0; i < graph->node_count; i++) {
        rt_node *node = &graph->nodes[i];
        const rt_node *twin = shares ? first_twin(graph, i) : NULL;
        for (int j = 0; j < node->input_count; j++) {
            int input = node->inputs[j], other = twin != NULL ? twin->inputs[j] : -1;
            if (!is_float(graph, input) || !is_own(node, j)) continue;
            if (is_float(graph, other) && graph->values[other].data == graph->values[input].data) {
                node->inputs[j] = other;
            } else if (read[input] && !part(graph, node, j)) {
                break;
            }
            if ((size_t)input < known) read[input] = true;
        }
    }
    free(read);
    return graph->fault.status == RETORT_OK ? RETORT_OK
                                            : rt_fail(err, graph->fault.status, "%s", graph->fault.text);
}

static void leave_out(rt_trainee *t, const char *rewrite) {
    for (size_t i = 0; i < t->left_out_count; i++) {
        if (strcmp(t->left_out[i], rewrite) == 0) return;
    }
    t->left_out[t->left_out_count++] = rewrite;
}

/* ---- 1/sqrt(d) out of W_Q ---- */

static const rt_node *linear_of(const rt_graph *graph, int value) {
    const rt_node *node = rt_made_by(graph, value, RT_OP_LINEAR);
    bool packed = node != NULL && graph->values[node->inputs[LINEAR_WEIGHT]].layout == RT_LAYOUT_P16;
    return packed ? node : NULL;
}

/* Columns below n of a Linear, times `by`. */
static void scale_columns(rt_graph *graph, const rt_node *node, size_t n, float by) {
    const rt_value *weight = &graph->values[node->inputs[LINEAR_WEIGHT]];
    size_t k = (size_t)weight->dims[0];
    float *w = (float *)(uintptr_t)weight->data;
    for (size_t j = 0; j < n; j++) {
        float *column = w + j / RT_PANEL * k * RT_PANEL + j % RT_PANEL;
        for (size_t i = 0; i < k; i++) column[i * RT_PANEL] *= by;
    }
    int bias = node->input_count > LINEAR_BIAS ? node->inputs[LINEAR_BIAS] : -1;
    for (size_t j = 0; bias >= 0 && j < n; j++) ((float *)(uintptr_t)graph->values[bias].data)[j] *= by;
}

/* Position queries: they meet keys, not queries. */
static void scale_table(const rt_graph *graph, int value, float by) {
    const rt_value *v = &graph->values[value];
    float *data = (float *)(uintptr_t)v->data;
    for (int64_t i = 0; i < v->dims[0] * v->dims[1]; i++) data[i] *= by;
}

/* softmax(q k) with q = x W_Q / sqrt(d) becomes softmax(q k / sqrt(d)) with q = x W_Q. False: it is not so. unfolded
 * [values]: matrices of which that is done, for layers that share them. */
static bool unfold_scale(rt_graph *graph, rt_node *attention, bool *unfolded) {
    const rt_node *q = linear_of(graph, attention->inputs[ATTENTION_Q]);
    if (attention->attrs.scale != 1 || q == NULL) return false;
    size_t heads = (size_t)attention->attrs.heads;
    size_t n = (size_t)graph->values[q->inputs[LINEAR_WEIGHT]].dims[1];
    size_t all = heads + 2 * (size_t)rt_key_heads(&attention->attrs);
    size_t columns = attention->attrs.parts == 1 ? n / all * heads : n, dim = columns / heads;
    if (attention->attrs.shared) { /* q there is W_K q of each head */
        dim = (size_t)graph->values[q->inputs[LINEAR_WEIGHT]].dims[0];
        q = linear_of(graph, q->inputs[LINEAR_X]);
        if (q == NULL) return false;
        columns = (size_t)graph->values[q->inputs[LINEAR_WEIGHT]].dims[1];
    }
    float root = sqrtf((float)dim);
    if (!unfolded[q->inputs[LINEAR_WEIGHT]]) scale_columns(graph, q, columns, root);
    unfolded[q->inputs[LINEAR_WEIGHT]] = true;
    int query = rt_operand(attention, ATTENTION_POS_QUERY);
    if (query >= 0) scale_table(graph, query, root);
    attention->attrs.scale = 1 / root;
    return true;
}

static retort_status unfold_scales(rt_trainee *t, retort_error *err) {
    rt_graph *graph = &t->model->graph;
    bool *unfolded = rt_calloc(graph->value_count, sizeof *unfolded);
    if (unfolded == NULL) return rt_fail_nomem(err, graph->value_count);
    for (size_t i = 0; i < graph->node_count; i++) {
        if (graph->nodes[i].op == RT_OP_ATTENTION && unfold_scale(graph, &graph->nodes[i], unfolded))
            leave_out(t, "scale-into-query");
    }
    free(unfolded);
    return RETORT_OK;
}

/* ---- Opening ---- */

static retort_status check_floats(const retort_model *model, retort_error *err) {
    if (model->provenance.weights == RETORT_F32) return RETORT_OK;
    return rt_fail(
        err, RETORT_ARGUMENT,
        "train: the model is %.80s: expected float32 weights; train the float model, with a recipe if the "
        "result shall be integers",
        model->provenance.text);
}

retort_status rt_trainee_check(const retort_model *model, retort_error *err) {
    for (size_t i = 0; i < model->graph.node_count; i++) {
        const rt_node *node = &model->graph.nodes[i];
        if (model->graph.level == 3 && !rt_tape_has_back(node->op))
            return rt_fail(err, RETORT_UNSUPPORTED, "train: %.120s: no gradient goes through %s", node->name,
                           rt_op_info(node->op)->text);
    }
    return RETORT_OK;
}

/* What has no gradient, or would no longer be what it is. */
static retort_status check_layers(const retort_model *model, retort_error *err) {
    for (size_t i = 0; i < model->graph.node_count; i++) {
        const rt_node *node = &model->graph.nodes[i];
        if (model->config.groups > 0 && node->op == RT_OP_ATTENTION && node->attrs.select != RT_SELECT_ALL)
            return rt_fail(
                err, RETORT_UNSUPPORTED,
                "train: %.120s: the last layer has copies of the weights that layers of %s share: start from "
                "the checkpoint",
                node->name, model->config.arch->type);
    }
    return rt_trainee_check(model, err);
}

/* Level 3, without the folds that levels are still ahead of. */
static retort_status bring_up(rt_trainee *t, const retort_model *model, retort_error *err) {
    int level = model->graph.level;
    if (level == 3) return rt_model_derive(&t->model, model, err);
    if (level < 2) {
        leave_out(t, "scale-into-query");
        leave_out(t, "drop-key-bias");
        leave_out(t, "fold-value-bias");
    }
    if (model->config.groups > 0) leave_out(t, "prune-rows"); /* it copies weights of the last layer */
    leave_out(t, "skip-keys");
    retort_optimize_options options = RETORT_OPTIMIZE_OPTIONS;
    options.without = t->left_out;
    options.without_count = t->left_out_count;
    return rt_model_optimize(&t->model, model, &options, err);
}

void rt_trainee_drop_absent(rt_trainee *t) {
    const rt_graph *graph = &t->model->graph;
    if (t->model->config.plain_norms == 0) return;
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        if (node->op == RT_OP_LAYER_NORM) rt_parameters_drop(&t->parameters, node->inputs[LAYER_NORM_BETA]);
        if (node->op == RT_OP_EMBED) rt_parameters_drop(&t->parameters, node->inputs[EMBED_BETA]);
    }
}

static retort_status open_trainee(rt_trainee *t, const retort_model *model, retort_error *err) {
    t->base = retort_model_retain((retort_model *)(uintptr_t)model); /* counting owners is no change */
    retort_status status = check_floats(model, err);
    if (status == RETORT_OK) status = bring_up(t, model, err);
    if (status != RETORT_OK) return status;
    rt_graph *graph = &t->model->graph;
    status = check_layers(t->model, err);
    if (status != RETORT_OK) return status;
    if (graph->level < 3) {
        return rt_fail(err, RETORT_UNSUPPORTED, "train: the graph only reaches level %d, and 3 is trained",
                       graph->level);
    }
    status = part_readers(graph, model->config.groups > 0, err);
    if (status == RETORT_OK) status = rt_trainee_own(t->model, err);
    if (status == RETORT_OK) status = unfold_scales(t, err);
    if (model->config.groups > 0 && t->left_out_count > 0) leave_out(t, "share-weights");
    if (t->left_out_count > 0) leave_out(t, "pack-weights"); /* of what skip-keys makes */
    if (status == RETORT_OK) status = rt_graph_verify(graph, err);
    if (status == RETORT_OK) status = rt_parameters_open(&t->parameters, graph, err);
    if (status == RETORT_OK) rt_trainee_drop_absent(t);
    if (status != RETORT_OK || t->base->graph.level > 0) return status;
    return rt_positions_open(&t->positions, &t->parameters, graph, &t->base->graph, err);
}

retort_status rt_trainee_open(rt_trainee *out, const retort_model *model, retort_error *err) {
    *out = (rt_trainee){0};
    retort_status status = open_trainee(out, model, err);
    if (status != RETORT_OK) rt_trainee_close(out);
    return status;
}

retort_status rt_trainee_use_bf16(rt_trainee *t, retort_error *err) {
    retort_status status = rt_graph_copy(&t->floats, &t->model->graph, err);
    if (status != RETORT_OK) return status;
    t->half = true;
    return rt_parameters_use_bf16(&t->parameters, &t->model->graph, err);
}

void rt_trainee_close(rt_trainee *trainee) {
    if (trainee->half) rt_graph_free(&trainee->floats);
    if (trainee->rounding != NULL) trainee->rounding->close(trainee);
    rt_positions_close(trainee->positions);
    rt_parameters_free(&trainee->parameters);
    retort_model_free(trainee->model);
    retort_model_free(trainee->base);
    *trainee = (rt_trainee){0};
}

retort_status rt_trainee_refresh(rt_trainee *trainee, size_t step, retort_error *err) {
    if (trainee->positions != NULL) rt_positions_refresh(trainee->positions, &trainee->parameters);
    return trainee->rounding != NULL ? trainee->rounding->refresh(trainee, step, err) : RETORT_OK;
}

void rt_trainee_touch(rt_trainee *trainee, size_t item, const int32_t *rows, size_t n) {
    if (trainee->rounding != NULL) trainee->rounding->touch(trainee, item, rows, n);
}

void rt_trainee_gather(rt_trainee *trainee) {
    if (trainee->positions != NULL) rt_positions_gather(trainee->positions, &trainee->parameters);
    if (trainee->rounding != NULL) trainee->rounding->gather(trainee);
}

/* ---- The trained model ---- */

/* "fp32 trained", once however often it was. */
static retort_status note_training(retort_model *model, const rt_provenance *from, retort_error *err) {
    static const char mark[] = " trained";
    rt_buffer text = {0};
    rt_buffer_text(&text, from->recipe);
    if (strstr(from->recipe, mark) == NULL) rt_buffer_text(&text, mark);
    model->provenance.left_out =
        from->left_out != NULL ? rt_arena_text(&model->arena, from->left_out, strlen(from->left_out)) : NULL;
    bool kept = !text.failed && (from->left_out == NULL || model->provenance.left_out != NULL);
    retort_status status =
        kept ? rt_provenance_set(&model->provenance, &model->arena, from->weights, text.data, err)
             : rt_fail_nomem(err, text.capacity);
    rt_buffer_free(&text);
    return status;
}

/* The graph of the trained model, which borrows what the folds leave as it is. */
static retort_status fold(rt_graph *out, const rt_trainee *t, retort_error *err) {
    retort_status status = rt_graph_copy(out, t->half ? &t->floats : &t->model->graph, err);
    if (status != RETORT_OK) return status;
    status = rt_graph_apply(out, t->left_out, t->left_out_count, err);
    if (status != RETORT_OK) rt_graph_free(out);
    return status;
}

retort_status rt_trainee_model(retort_model **out, const rt_trainee *trainee, retort_error *err) {
    retort_model *next = NULL;
    rt_graph folded;
    retort_status status = rt_model_derive(&next, trainee->base, err);
    if (status != RETORT_OK) return status;
    rt_graph_free(&next->graph);
    status = fold(&folded, trainee, err);
    if (status == RETORT_OK) {
        status = rt_graph_copy(&next->graph, &folded, err);
        if (status == RETORT_OK) status = rt_trainee_own(next, err);
        rt_graph_free(&folded);
    }
    if (status == RETORT_OK) status = note_training(next, &trainee->base->provenance, err);
    if (status == RETORT_OK) {
        *out = next;
    } else {
        retort_model_free(next);
    }
    return status;
}
