/* SPDX-License-Identifier: Apache-2.0
 * Level 2: fuses reshapes and transposes of heads, scores, mask, softmax and context into one Attention. */
#include "graph/rewrite/relative.h"

#include <math.h>
#include <string.h>

typedef struct heads {
    int q, k, v, mask;
    int64_t count, dim;
    double scale;
    rt_relative_match relative;
} heads;

static bool has_perm(const rt_node *node, const int perm[4]) {
    return node != NULL && node->attrs.perm_count == 4 &&
           memcmp(node->attrs.perm, perm, 4 * sizeof *perm) == 0;
}

static const int swap_heads[] = {0, 2, 1, 3}, key_heads[] = {0, 2, 3, 1}, swap_last[] = {0, 1, 3, 2};

/* The [batch, seq, hidden] before a reshape to [batch, seq, heads, dim]; -1: none, or another number of
 * heads than before. */
static int merged(const rt_graph *graph, int value, heads *h) {
    const rt_node *reshape = rt_made_by(graph, value, RT_OP_RESHAPE);
    if (reshape == NULL) return -1;
    const rt_value *split = &graph->values[value], *x = &graph->values[reshape->inputs[0]];
    if (split->rank != 4) return -1;
    int64_t count = split->dims[2], dim = split->dims[3];
    bool same = h->count == 0 || (h->count == count && h->dim == dim);
    h->count = count;
    h->dim = dim;
    bool fits = count > 0 && dim > 0 && x->rank == 3 && x->dims[0] == RT_DIM_BATCH &&
                x->dims[1] == RT_DIM_SEQ && split->dims[0] == RT_DIM_BATCH && split->dims[1] == RT_DIM_SEQ &&
                x->dims[2] / count == dim && x->dims[2] % count == 0;
    return same && fits ? reshape->inputs[0] : -1;
}

/* The value that was split into heads [batch, heads, seq, dim], or keys [batch, heads, dim, seq]. Scalar
 * factors go to scale. */
static int split_of(const rt_graph *graph, int value, bool keys, heads *h, double *scale) {
    int x = rt_strip_scale(graph, value, scale);
    const rt_node *transpose = rt_made_by(graph, x, RT_OP_TRANSPOSE);
    if (keys && has_perm(transpose, swap_last)) {
        x = rt_strip_scale(graph, transpose->inputs[0], scale);
        transpose = rt_made_by(graph, x, RT_OP_TRANSPOSE);
        keys = false;
    }
    if (!has_perm(transpose, keys ? key_heads : swap_heads)) return -1;
    x = merged(graph, rt_strip_scale(graph, transpose->inputs[0], scale), h);
    return rt_strip_scale(graph, x, scale);
}

static bool is_low(const rt_graph *graph, int value) {
    double number;
    return rt_scalar(graph, value, &number) && number <= -1e4;
}

/* (1 - mask) * a low number */
static int added_mask(const rt_graph *graph, int value) {
    double low;
    int x;
    while (rt_made_by(graph, value, RT_OP_EXPAND) != NULL) {
        value = rt_made_by(graph, value, RT_OP_EXPAND)->inputs[0];
    }
    if (!rt_with_scalar(graph, value, RT_OP_MUL, &x, &low) || low > -1e4) return -1;
    const rt_node *sub = rt_made_by(graph, x, RT_OP_SUB);
    return sub != NULL && rt_scalar_near(graph, sub->inputs[0], 1)
               ? rt_mask_input(graph, sub->inputs[1], true)
               : -1;
}

/* mask == 0 */
static int padding_mask(const rt_graph *graph, int value) {
    int mask;
    double zero;
    if (!rt_with_scalar(graph, rt_mask_base(graph, value, true), RT_OP_EQUAL, &mask, &zero) || zero != 0)
        return -1;
    return rt_mask_input(graph, mask, true);
}

static bool is_for_scores(const rt_graph *graph, int mask) {
    return graph->values[mask].rank == 4;
}

/* The scores under the mask; h->mask is the mask's input. */
static int unmasked(const rt_graph *graph, int value, heads *h) {
    const rt_node *add = rt_made_by(graph, value, RT_OP_ADD), *where = rt_made_by(graph, value, RT_OP_WHERE);
    if (where != NULL && !is_for_scores(graph, where->inputs[WHERE_CONDITION])) return -1;
    if (where != NULL && is_low(graph, where->inputs[WHERE_X])) {
        h->mask = padding_mask(graph, where->inputs[WHERE_CONDITION]);
        return where->inputs[WHERE_Y];
    }
    if (where != NULL && is_low(graph, where->inputs[WHERE_Y])) {
        h->mask = rt_mask_input(graph, where->inputs[WHERE_CONDITION], true);
        return where->inputs[WHERE_X];
    }
    for (int k = 0; add != NULL && k < 2; k++) {
        h->mask = is_for_scores(graph, add->inputs[k]) ? added_mask(graph, add->inputs[k]) : -1;
        if (h->mask >= 0) return add->inputs[1 - k];
    }
    return -1;
}

/* Softmax over the last axis; its operand. */
static int softmax_of(const rt_graph *graph, int value) {
    const rt_node *softmax = rt_made_by(graph, value, RT_OP_SOFTMAX);
    bool last = softmax != NULL && (softmax->attrs.axis == -1 || softmax->attrs.axis == 3);
    return last ? softmax->inputs[0] : -1;
}

/* Whether position keys meet the queries that keys meet, and position queries these keys; and the same number of heads. */
static bool tables_fit(const rt_graph *graph, const rt_node *product, const rt_relative_match *m) {
    const rt_value *q = &graph->values[product->inputs[0]];
    return (m->pos_key < 0 || m->queries == product->inputs[0]) &&
           (m->pos_query < 0 || m->keys == product->inputs[1]) &&
           (m->bias < 0 || (q->rank == 4 && graph->values[m->bias].dims[0] == q->dims[1]));
}

/* Matches from the Reshape that joins the heads back to q, k and v. */
static bool match_heads(const rt_graph *graph, const rt_node *root, heads *h) {
    const rt_node *transpose = rt_made_by(graph, root->inputs[0], RT_OP_TRANSPOSE);
    if (!has_perm(transpose, swap_heads)) return false;
    const rt_node *context = rt_made_by(graph, transpose->inputs[0], RT_OP_MATMUL);
    if (context == NULL) return false;
    double value_scale = 1;
    h->v = split_of(graph, context->inputs[1], false, h, &value_scale);
    int scores = unmasked(graph, softmax_of(graph, context->inputs[0]), h);
    scores = rt_strip_scale(graph, rt_match_bias(graph, scores, &h->relative), &h->scale);
    const rt_node *product = rt_made_by(graph, rt_match_positions(graph, scores, &h->relative), RT_OP_MATMUL);
    if (product == NULL || h->v < 0 || h->mask < 0 || value_scale != 1) return false;
    if (!tables_fit(graph, product, &h->relative)) return false;
    h->q = split_of(graph, product->inputs[0], false, h, &h->scale);
    h->k = split_of(graph, product->inputs[1], true, h, &h->scale);
    const rt_value *out = &graph->values[root->outputs[0]];
    return h->q >= 0 && h->k >= 0 && out->rank == 3 && out->dims[0] == RT_DIM_BATCH &&
           out->dims[1] == RT_DIM_SEQ && out->dims[2] == h->count * h->dim;
}

/* Exporters write the division by √dim in many ways, for example as roots of roots on both sides. What
 * equals it within rounding is taken as exact, so that a model gives the same bits whatever exported it. */
static float exact_scale(double scale, int64_t dim) {
    double exact = 1 / (double)sqrtf((float)dim);
    return (float)(fabs(scale - exact) <= 1e-6 * exact ? exact : scale);
}

static bool to_attention(rt_graph *graph, int index) {
    const rt_node root = graph->nodes[index];
    heads h = {.mask = -1, .scale = 1, .relative = {-1, -1, -1, -1, -1, -1}};
    if (root.op != RT_OP_RESHAPE || !match_heads(graph, &root, &h)) return false;
    rt_relative_match *m = &h.relative;
    int key = m->pos_key >= 0 ? rt_position_operand(graph, root.name, m->pos_key, true) : -1;
    int query = m->pos_query >= 0 ? rt_position_operand(graph, root.name, m->pos_query, false) : -1;
    if ((key < 0 && m->pos_key >= 0) || (query < 0 && m->pos_query >= 0)) return false;
    int inputs[ATTENTION_OPERANDS] = {h.q, h.k, h.v, h.mask};
    inputs[ATTENTION_INDEX] = m->index;
    inputs[ATTENTION_BIAS] = m->bias;
    inputs[ATTENTION_POS_KEY] = key;
    inputs[ATTENTION_POS_QUERY] = query;
    int count = ATTENTION_OPERANDS;
    while (inputs[count - 1] < 0) count--;
    return rt_replace_node(graph, index, index, RT_OP_ATTENTION, count, inputs,
                           &(rt_attrs){.heads = h.count, .scale = exact_scale(h.scale, h.dim), .parts = 3});
}

retort_status rt_rewrite_fuse_attention(rt_graph *graph, size_t *count, retort_error *err) {
    return rt_rewrite_each(graph, to_attention, count, err);
}
