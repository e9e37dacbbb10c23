/* SPDX-License-Identifier: Apache-2.0 */
#include "train/positions.h"
#include "base/cpu.h"
#include "graph/match.h"
#include "graph/ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Columns of a parameter. */
typedef struct place {
    size_t item;
    size_t column;
} place;

/* Position keys or queries of a layer. */
typedef struct part {
    size_t out;         /* parameter: P [rows, hidden] */
    place weight, bias; /* W [hidden, hidden] in P16, b */
} part;

struct rt_positions {
    rt_kernels kernels;
    size_t rows, hidden;
    float epsilon;
    size_t table, gamma, beta; /* parameters; the last two only if T is normalised */
    bool normed;
    part *parts;
    size_t count;
    float *rows_of;  /* T [rows, hidden] */
    float *turned;   /* its transpose [hidden, rows] */
    float *gradient; /* dT */
    float *weight;   /* W transposed, P16 */
    float *panels;   /* dP, P16 */
};

static rt_parameter *item(const rt_parameters *all, size_t index) {
    return &all->items[index];
}

/* ---- Opening ---- */

typedef struct opening {
    rt_positions *positions;
    rt_parameters *parameters;
    rt_graph *graph;
    const rt_graph *base;
} opening;

static const rt_node *find_node(const rt_graph *graph, const char *attention, const char *which) {
    char name[2 * RT_NAME_MAX];
    snprintf(name, sizeof name, "%s.%s.gemm", attention, which);
    for (size_t i = 0; i < graph->node_count; i++) {
        if (graph->nodes[i].op == RT_OP_GEMM && strcmp(graph->nodes[i].name, name) == 0)
            return &graph->nodes[i];
    }
    return NULL;
}

/* Adds a constant of the base as a parameter; its index. A matrix [n, k] becomes [k, n] in panels. */
static retort_status add(const opening *t, const char *scope, const rt_value *from, rt_parameter_kind kind,
                         size_t *index, retort_error *err) {
    rt_graph *graph = t->graph;
    bool matrix = kind == RT_PARAMETER_MATRIX;
    size_t count = 0, bytes = 0, last = (size_t)from->dims[from->rank - 1];
    int64_t dims[2] = {matrix ? from->dims[1] : from->dims[0], matrix ? from->dims[0] : (int64_t)last};
    bool fits = rt_value_bytes(from, &bytes);
    if (matrix)
        fits = rt_pack_count_f32((size_t)dims[0], (size_t)dims[1], &count) &&
               rt_mul(count, sizeof(float), &bytes);
    float *data = fits ? rt_graph_alloc(graph, bytes) : NULL;
    if (data == NULL) return rt_fail_nomem(err, bytes);
    if (matrix)
        rt_pack_f32((size_t)dims[0], (size_t)dims[1], from->data, 1, (size_t)dims[0], data);
    else
        memcpy(data, from->data, bytes);
    int value = rt_add_constant(graph, scope, "trained", from->rank, dims, data);
    if (value < 0) return rt_fail(err, graph->fault.status, "%s", graph->fault.text);
    if (matrix) graph->values[value].layout = RT_LAYOUT_P16;
    *index = t->parameters->count;
    return rt_parameters_add(t->parameters, graph, value, kind, err);
}

static size_t index_of(const opening *t, int value) {
    const rt_parameter *found = rt_parameters_find(t->parameters, value);
    return found != NULL ? (size_t)(found - t->parameters->items) : SIZE_MAX;
}

/* Whether columns from `column` on of a matrix in panels are W, given as [n, k]. */
static bool is_same(const rt_value *packed, size_t column, const rt_value *w) {
    const float *a = packed->data, *b = w->data;
    int64_t n = w->dims[0], k = w->dims[1];
    for (int64_t j = 0; j < n; j++) {
        for (int64_t i = 0; i < k; i++) {
            if (a[rt_weight_at(packed, i, (int64_t)column + j)] != b[j * k + i]) return false;
        }
    }
    return true;
}

/* W and b are those of keys or queries, if these are the same numbers. */
static bool take_shared(const opening *t, const rt_node *attention, bool keys, const rt_value *w, part *out) {
    const rt_graph *graph = t->graph;
    int parts = attention->attrs.parts;
    const rt_node *linear =
        rt_made_by(graph, attention->inputs[keys && parts > 1 ? ATTENTION_K : ATTENTION_Q], RT_OP_LINEAR);
    size_t column = keys && parts == 1 ? (size_t)w->dims[0] : 0;
    if (linear == NULL || linear->input_count <= LINEAR_BIAS || linear->inputs[LINEAR_BIAS] < 0 ||
        !is_same(&graph->values[linear->inputs[LINEAR_WEIGHT]], column, w))
        return false;
    out->weight = (place){index_of(t, linear->inputs[LINEAR_WEIGHT]), column};
    out->bias = (place){index_of(t, linear->inputs[LINEAR_BIAS]), column};
    return out->weight.item != SIZE_MAX && out->bias.item != SIZE_MAX;
}

static retort_status open_part(const opening *t, const rt_node *attention, bool keys, retort_error *err) {
    const rt_graph *base = t->base;
    rt_positions *p = t->positions;
    const rt_node *gemm = find_node(base, attention->name, keys ? "pos_key" : "pos_query");
    int operand = keys ? ATTENTION_POS_KEY : ATTENTION_POS_QUERY;
    if (operand >= attention->input_count || attention->inputs[operand] < 0) return RETORT_OK;
    if (gemm == NULL || p->hidden % RT_PANEL != 0)
        return rt_fail(err, RETORT_UNSUPPORTED,
                       "train: %.120s: its position keys or queries cannot be trained", attention->name);
    const rt_value *w = &base->values[gemm->inputs[GEMM_B]], *b = &base->values[gemm->inputs[GEMM_C]];
    part *out = &p->parts[p->count++];
    out->out = index_of(t, attention->inputs[operand]);
    if (take_shared(t, attention, keys, w, out)) return RETORT_OK;
    retort_status status = add(t, gemm->name, w, RT_PARAMETER_MATRIX, &out->weight.item, err);
    return status == RETORT_OK ? add(t, gemm->name, b, RT_PARAMETER_VECTOR, &out->bias.item, err) : status;
}

/* The table, and how it is normalised, from the input of a product with it. */
static retort_status open_table(const opening *t, int input, retort_error *err) {
    const rt_graph *base = t->base;
    rt_positions *p = t->positions;
    const rt_node *norm = rt_made_by(base, input, RT_OP_LAYER_NORMALIZATION);
    const rt_value *table = &base->values[norm != NULL ? norm->inputs[LAYER_NORM_X] : input];
    p->rows = (size_t)table->dims[0];
    p->hidden = (size_t)table->dims[1];
    p->normed = norm != NULL;
    retort_status status = add(t, "relative.table", table, RT_PARAMETER_ROWS, &p->table, err);
    if (status != RETORT_OK || norm == NULL) return status;
    p->epsilon = norm->attrs.epsilon;
    status = add(t, "relative.gamma", &base->values[norm->inputs[LAYER_NORM_GAMMA]], RT_PARAMETER_VECTOR,
                 &p->gamma, err);
    if (status != RETORT_OK) return status;
    return add(t, "relative.beta", &base->values[norm->inputs[LAYER_NORM_BETA]], RT_PARAMETER_VECTOR,
               &p->beta, err);
}

static bool reserve(rt_positions *p) {
    size_t rows = rt_round_up(p->rows, RT_PANEL), all = rows * p->hidden, square = p->hidden * p->hidden;
    p->rows_of = rt_alloc_aligned(all * sizeof(float));
    p->turned = rt_alloc_aligned(all * sizeof(float));
    p->gradient = rt_alloc_aligned(all * sizeof(float));
    p->panels = rt_alloc_aligned(all * sizeof(float));
    p->weight = rt_alloc_aligned(square * sizeof(float));
    return p->rows_of != NULL && p->turned != NULL && p->gradient != NULL && p->panels != NULL &&
           p->weight != NULL;
}

/* The first product of the base with the table; -1: none. */
static int first_table(const opening *t) {
    const rt_graph *graph = t->graph;
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        if (node->op != RT_OP_ATTENTION || node->input_count <= ATTENTION_POS_KEY) continue;
        const rt_node *gemm = find_node(t->base, node->name, "pos_key");
        if (gemm == NULL) gemm = find_node(t->base, node->name, "pos_query");
        if (gemm != NULL) return gemm->inputs[GEMM_A];
    }
    return -1;
}

static retort_status open_all(const opening *t, int table, retort_error *err) {
    rt_positions *p = t->positions;
    uint32_t features = 0;
    p->parts = rt_calloc(2 * t->graph->node_count, sizeof *p->parts);
    if (p->parts == NULL) return rt_fail_nomem(err, 2 * t->graph->node_count * sizeof(part));
    retort_status status = rt_isa_select(NULL, &features, NULL, err);
    rt_kernels_select(&p->kernels, features);
    if (status == RETORT_OK) status = open_table(t, table, err);
    for (size_t i = 0; status == RETORT_OK && i < t->graph->node_count; i++) {
        const rt_node *node = &t->graph->nodes[i];
        if (node->op != RT_OP_ATTENTION) continue;
        status = open_part(t, node, true, err);
        if (status == RETORT_OK) status = open_part(t, node, false, err);
    }
    if (status != RETORT_OK || reserve(p)) return status;
    return rt_fail_nomem(err, p->rows * p->hidden * sizeof(float));
}

retort_status rt_positions_open(rt_positions **out, rt_parameters *parameters, rt_graph *graph,
                                const rt_graph *base, retort_error *err) {
    opening o = {.parameters = parameters, .graph = graph, .base = base};
    int table = first_table(&o);
    *out = NULL;
    if (table < 0) return RETORT_OK;
    *out = o.positions = rt_calloc(1, sizeof *o.positions);
    if (o.positions == NULL) return rt_fail_nomem(err, sizeof *o.positions);
    return open_all(&o, table, err);
}

void rt_positions_close(rt_positions *p) {
    if (p == NULL) return;
    free(p->parts);
    free(p->rows_of);
    free(p->turned);
    free(p->gradient);
    free(p->panels);
    free(p->weight);
    free(p);
}

/* ---- Steps ---- */

/* T of the table of now. */
static void make_rows(const rt_positions *p, const rt_parameters *all) {
    const float *table = item(all, p->table)->data;
    if (!p->normed) {
        memcpy(p->rows_of, table, p->rows * p->hidden * sizeof *table);
        return;
    }
    p->kernels.layer_norm(&(rt_norm_args){.rows = p->rows,
                                          .n = p->hidden,
                                          .x = table,
                                          .ldx = p->hidden,
                                          .gamma = item(all, p->gamma)->data,
                                          .beta = item(all, p->beta)->data,
                                          .epsilon = p->epsilon,
                                          .y = p->rows_of,
                                          .ldy = p->hidden});
}

void rt_positions_refresh(const rt_positions *p, const rt_parameters *all) {
    size_t n = p->hidden;
    make_rows(p, all);
    for (size_t i = 0; i < p->count; i++) {
        const part *of = &p->parts[i];
        p->kernels.gemm_f32(&(rt_gemm){.m = p->rows,
                                       .n = n,
                                       .k = n,
                                       .a = p->rows_of,
                                       .lda = n,
                                       .b = item(all, of->weight.item)->data + of->weight.column * n,
                                       .bias = item(all, of->bias.item)->data + of->bias.column,
                                       .c = item(all, of->out)->data,
                                       .ldc = n});
    }
}

/* dT += dP W^T */
static void back_rows(const rt_positions *p, const rt_parameters *all, const part *of, const float *dp) {
    size_t n = p->hidden;
    const float *w = item(all, of->weight.item)->data + of->weight.column * n;
    for (size_t j = 0; j < n; j += RT_PANEL) {
        p->kernels.transpose(&(rt_transpose_args){.m = n,
                                                  .n = RT_PANEL,
                                                  .x = w + j * n,
                                                  .ldx = RT_PANEL,
                                                  .y = p->weight + j * RT_PANEL,
                                                  .y_panel = n * RT_PANEL});
    }
    p->kernels.gemm_f32(&(rt_gemm){.m = p->rows,
                                   .n = n,
                                   .k = n,
                                   .a = dp,
                                   .lda = n,
                                   .b = p->weight,
                                   .residual = p->gradient,
                                   .ldr = n,
                                   .c = p->gradient,
                                   .ldc = n});
}

/* dW += T^T dP, db += the sums of dP */
static void back_weight(const rt_positions *p, const rt_parameters *all, const part *of, const float *dp) {
    size_t n = p->hidden;
    float *dw = item(all, of->weight.item)->grad + of->weight.column * n,
          *db = item(all, of->bias.item)->grad + of->bias.column;
    p->kernels.pack(&(rt_pack_args){
        .k = p->rows, .n = n, .x = dp, .ldx = n, .y = p->panels, .y_panel = p->rows * RT_PANEL});
    p->kernels.gemm_f32(&(rt_gemm){.m = n,
                                   .n = n,
                                   .k = p->rows,
                                   .a = p->turned,
                                   .lda = p->rows,
                                   .b = p->panels,
                                   .residual = dw,
                                   .ldr = RT_PANEL,
                                   .c = dw,
                                   .ldc = RT_PANEL,
                                   .c_panel = n * RT_PANEL});
    for (size_t i = 0; i < p->rows; i++) {
        for (size_t j = 0; j < n; j++) db[j] += dp[i * n + j];
    }
}

/* dR += dT, through LayerNorm if there is one. */
static void back_table(const rt_positions *p, const rt_parameters *all) {
    rt_parameter *table = item(all, p->table);
    for (size_t i = 0; !p->normed && i < p->rows * p->hidden; i++) table->grad[i] += p->gradient[i];
    if (!p->normed) return;
    p->kernels.layer_norm_back(&(rt_norm_back){.rows = p->rows,
                                               .n = p->hidden,
                                               .x = table->data,
                                               .ldx = p->hidden,
                                               .gamma = item(all, p->gamma)->data,
                                               .epsilon = p->epsilon,
                                               .dy = p->gradient,
                                               .lddy = p->hidden,
                                               .dx = table->grad,
                                               .lddx = p->hidden,
                                               .add = true,
                                               .dgamma = item(all, p->gamma)->grad,
                                               .dbeta = item(all, p->beta)->grad});
}

/* P itself has no gradient afterwards: it does not move by itself. */
void rt_positions_gather(const rt_positions *p, const rt_parameters *all) {
    size_t n = p->hidden;
    make_rows(p, all);
    p->kernels.transpose(&(rt_transpose_args){
        .m = p->rows, .n = n, .x = p->rows_of, .ldx = n, .y = p->turned, .ldy = p->rows});
    memset(p->gradient, 0, p->rows * n * sizeof *p->gradient);
    for (size_t i = 0; i < p->count; i++) {
        rt_parameter *out = item(all, p->parts[i].out);
        back_rows(p, all, &p->parts[i], out->grad);
        back_weight(p, all, &p->parts[i], out->grad);
        memset(out->grad, 0, out->count * sizeof *out->grad);
    }
    back_table(p, all);
}
