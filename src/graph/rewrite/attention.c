/* SPDX-License-Identifier: Apache-2.0
 * Level 2: fuses reshapes and transposes of heads, scores, mask, softmax and context into one Attention. */
#include "graph/rewrite/relative.h"
#include "graph/rewrite/turns.h"

#include <math.h>
#include <string.h>

typedef struct heads {
    int q, k, v, mask;
    int angles[2]; /* by which q and k are turned, or -1 */
    int64_t window;
    int64_t count, dim, keys,
        copied; /* heads, their columns, heads of keys and values, and their number with copies */
    double scale;
    rt_relative_match relative;
} heads;

static bool has_perm(const rt_node *node, const int perm[4]) {
    return node != NULL && node->attrs.perm_count == 4 &&
           memcmp(node->attrs.perm, perm, 4 * sizeof *perm) == 0;
}

static const int swap_heads[] = {0, 2, 1, 3}, keys_last[] = {0, 2, 3, 1}, swap_last[] = {0, 1, 3, 2};

/* Whether a number is that found before, if one was. */
static bool same_count(int64_t *before, int64_t now) {
    bool same = *before == 0 || *before == now;
    *before = now;
    return same;
}

/* The [batch, seq, hidden] before a reshape to [batch, seq, heads, dim]; -1: none, or another number of
 * heads than before. */
static int merged(const rt_graph *graph, int value, int64_t *heads_before, int64_t *dim_before) {
    const rt_node *reshape = rt_made_by(graph, value, RT_OP_RESHAPE);
    if (reshape == NULL) return -1;
    const rt_value *split = &graph->values[value], *x = &graph->values[reshape->inputs[0]];
    if (split->rank != 4) return -1;
    int64_t count = split->dims[2], dim = split->dims[3];
    bool same_heads = same_count(heads_before, count), same_dim = same_count(dim_before, dim);
    bool fits = count > 0 && dim > 0 && x->rank == 3 && x->dims[0] == RT_DIM_BATCH &&
                x->dims[1] == RT_DIM_SEQ && split->dims[0] == RT_DIM_BATCH && split->dims[1] == RT_DIM_SEQ &&
                x->dims[2] / count == dim && x->dims[2] % count == 0;
    return same_heads && same_dim && fits ? reshape->inputs[0] : -1;
}

/* -low max(|i - j| - window, 0), [1, 1, seq, seq]: 0 for keys in the window; the window, 0 if it is something else. */
static int64_t window_of(const rt_graph *graph, int value) {
    double low, window;
    int outside, distance;
    if (!rt_with_scalar(graph, value, RT_OP_MUL, &outside, &low) || low > -1e4) return 0;
    const rt_node *relu = rt_made_by(graph, outside, RT_OP_RELU);
    if (relu == NULL || !rt_with_scalar(graph, relu->inputs[0], RT_OP_SUB, &distance, &window)) return 0;
    const rt_node *most = rt_made_by(graph, distance, RT_OP_MAX);
    const rt_node *after = most != NULL ? rt_made_by(graph, most->inputs[0], RT_OP_SUB) : NULL,
                  *before = most != NULL ? rt_made_by(graph, most->inputs[1], RT_OP_SUB) : NULL;
    bool found = after != NULL && before != NULL && after->inputs[0] == before->inputs[1] &&
                 after->inputs[1] == before->inputs[0] && rt_is_place(graph, after->inputs[0], 4, 3) &&
                 rt_is_place(graph, after->inputs[1], 4, 2) && window >= 1 && window <= 1 << 20 &&
                 window == floor(window);
    return found ? (int64_t)window : 0;
}

/* The heads [batch, seq, keys, dim] of which a Gather repeats each, the copies side by side, [batch, seq, count, dim]; the value
 * itself if there is none. */
static int unrepeated(const rt_graph *graph, int value, int64_t *count) {
    const rt_node *gather = rt_made_by(graph, value, RT_OP_GATHER);
    if (gather == NULL || gather->attrs.axis != 2) return value;
    const rt_value *indices = &graph->values[gather->inputs[GATHER_INDICES]],
                   *x = &graph->values[gather->inputs[GATHER_DATA]];
    const int64_t *index = indices->data;
    if (index == NULL || indices->rank != 1 || x->rank != 4 || x->dims[2] < 1 || indices->dims[0] < 1 ||
        indices->dims[0] % x->dims[2] != 0)
        return value;
    int64_t n = indices->dims[0], copies = n / x->dims[2];
    for (int64_t i = 0; i < n; i++) {
        if (index[i] != i / copies) return value;
    }
    *count = n;
    return gather->inputs[GATHER_DATA];
}

/* The heads [batch, keys, seq, dim] of which Unsqueeze, Expand and Reshape repeat each, the copies side by side, [batch, count, seq,
 * dim]; the value itself if nothing does. */
static int unexpanded(const rt_graph *graph, int value, int64_t *count) {
    const rt_node *reshape = rt_made_by(graph, value, RT_OP_RESHAPE);
    const rt_node *expand = reshape != NULL ? rt_made_by(graph, reshape->inputs[0], RT_OP_EXPAND) : NULL;
    const rt_node *wide = expand != NULL ? rt_made_by(graph, expand->inputs[0], RT_OP_UNSQUEEZE) : NULL;
    if (wide == NULL) return value;
    const rt_value *out = &graph->values[value], *all = &graph->values[reshape->inputs[0]],
                   *one = &graph->values[expand->inputs[0]], *x = &graph->values[wide->inputs[0]];
    if (out->rank != 4 || x->rank != 4 || all->rank != 5 || one->rank != 5 || x->dims[1] < 1) return value;
    int64_t copies = all->dims[2];
    bool fits =
        copies > 0 && one->dims[2] == 1 && out->dims[1] / copies == x->dims[1] && out->dims[1] % copies == 0;
    for (int i = 0; fits && i < 4; i++) {
        int at = i < 2 ? i : i + 1;
        fits = all->dims[at] == x->dims[i] && one->dims[at] == x->dims[i] &&
               (i == 1 || out->dims[i] == x->dims[i]);
    }
    if (!fits) return value;
    *count = out->dims[1];
    return wide->inputs[0];
}

/* Whether nothing but what is on the way reads a value and those that it is made of, down to x. */
static bool is_read_here(const rt_graph *graph, int value, int x) {
    while (value >= 0 && value != x && rt_only_reader(graph, value) >= 0) {
        const rt_node *node =
            graph->values[value].producer >= 0 ? &graph->nodes[graph->values[value].producer] : NULL;
        if (node == NULL) return false;
        if (node->op == RT_OP_CONCAT || node->op == RT_OP_ADD)
            return true; /* a turn, and rt_unturned has looked below it */
        value = node->inputs[rt_value_is_constant(&graph->values[node->inputs[0]]) ? 1 : 0];
    }
    return value == x;
}

typedef enum part { QUERIES, KEYS, VALUES } part;

/* The value that was split into heads [batch, heads, seq, dim], or keys [batch, heads, dim, seq]. Scalar
 * factors go to scale. */
static int split_of(const rt_graph *graph, int value, part which, heads *h, double *scale, int *angles) {
    bool keys = which == KEYS;
    int64_t *count = which == QUERIES ? &h->count : &h->keys, copied = 0;
    int x = rt_strip_scale(graph, value, scale);
    const rt_node *transpose = rt_made_by(graph, x, RT_OP_TRANSPOSE);
    if (keys && has_perm(transpose, swap_last)) {
        x = rt_strip_scale(graph, transpose->inputs[0], scale);
        transpose = rt_made_by(graph, x, RT_OP_TRANSPOSE);
        keys = false;
    }
    if (which != QUERIES && !keys) {
        x = unexpanded(graph, x, &copied);
        transpose = rt_made_by(graph, x, RT_OP_TRANSPOSE);
    }
    if (transpose == NULL && !keys) {
        x = rt_unturned(graph, x, 2, angles);
        transpose = rt_made_by(graph, x, RT_OP_TRANSPOSE);
    }
    if (!has_perm(transpose, keys ? keys_last : swap_heads)) return -1;
    x = transpose->inputs[0];
    if (which != QUERIES) x = unrepeated(graph, x, &copied);
    if (*angles < 0) x = rt_unturned(graph, x, 1, angles);
    x = merged(graph, rt_strip_scale(graph, x, scale), count, &h->dim);
    if (which != QUERIES && !same_count(&h->copied, copied > 0 ? copied : h->keys)) return -1;
    x = rt_strip_scale(graph, x, scale);
    return *angles < 0 || is_read_here(graph, value, x) ? x : -1;
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

/* A mask that is added, also one of a window. */
static bool take_mask(const rt_graph *graph, int value, heads *h) {
    const rt_node *add = rt_made_by(graph, value, RT_OP_ADD);
    h->mask = added_mask(graph, value);
    for (int k = 0; h->mask < 0 && add != NULL && k < 2; k++) {
        h->mask = added_mask(graph, add->inputs[k]);
        h->window = h->mask >= 0 ? window_of(graph, add->inputs[1 - k]) : 0;
        if (h->window == 0) h->mask = -1;
    }
    return h->mask >= 0;
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
        if (is_for_scores(graph, add->inputs[k]) && take_mask(graph, add->inputs[k], h))
            return add->inputs[1 - k];
    }
    return -1;
}

/* Softmax over the last axis; its operand. */
static int softmax_of(const rt_graph *graph, int value) {
    const rt_node *softmax = rt_made_by(graph, value, RT_OP_SOFTMAX);
    bool last = softmax != NULL && (softmax->attrs.axis == -1 || softmax->attrs.axis == 3);
    return last ? softmax->inputs[0] : -1;
}

/* The keys [batch, heads, seq, dim] that a product has turned; -1: it has others. */
static int unturned_keys(const rt_graph *graph, int value, double *scale) {
    const rt_node *turn = rt_made_by(graph, rt_strip_scale(graph, value, scale), RT_OP_TRANSPOSE);
    return has_perm(turn, swap_last) ? rt_strip_scale(graph, turn->inputs[0], scale) : -1;
}

/* Whether position keys meet the queries that keys meet, and position queries these keys, with the same scale; and the same
 * number of heads. */
static bool tables_fit(const rt_graph *graph, const rt_node *product, const rt_relative_match *m) {
    const rt_value *q = &graph->values[product->inputs[0]];
    double scale = 1, turned = 1;
    int queries = rt_strip_scale(graph, product->inputs[0], &scale);
    int unturned = unturned_keys(graph, product->inputs[1], &turned);
    bool products = m->pos_key >= 0 || m->pos_query >= 0;
    if (products && fabs(scale * turned - m->scale) > 1e-6 * m->scale) return false;
    return rt_indices_agree(graph, m) && (m->pos_key < 0 || m->queries == queries) &&
           (m->pos_query < 0 || m->keys == (m->query_turned ? unturned : product->inputs[1])) &&
           (m->bias < 0 ||
            (q->rank == 4 && graph->values[m->bias].dims[m->bias_turned ? 1 : 0] == q->dims[1]));
}

/* The scores before those of keys outside a window are lowered; h->window is the window. */
static int near_of(const rt_graph *graph, int value, heads *h) {
    const rt_node *add = rt_made_by(graph, value, RT_OP_ADD);
    for (int k = 0; add != NULL && k < 2; k++) {
        h->window = window_of(graph, add->inputs[k]);
        if (h->window > 0) return add->inputs[1 - k];
    }
    return value;
}

/* Matches from the Reshape that joins the heads back to q, k and v. */
static bool match_heads(const rt_graph *graph, const rt_node *root, heads *h) {
    const rt_node *transpose = rt_made_by(graph, root->inputs[0], RT_OP_TRANSPOSE);
    if (!has_perm(transpose, swap_heads)) return false;
    const rt_node *context = rt_made_by(graph, transpose->inputs[0], RT_OP_MATMUL);
    if (context == NULL) return false;
    double value_scale = 1;
    int none = -1;
    h->v = split_of(graph, context->inputs[1], VALUES, h, &value_scale, &none);
    int near = near_of(graph, softmax_of(graph, context->inputs[0]), h);
    int64_t window = h->window;
    int scores = unmasked(graph, near, h);
    if (window > 0 && h->window != window) return false;
    scores = rt_strip_scale(graph, rt_match_bias(graph, scores, &h->relative), &h->scale);
    const rt_node *product = rt_made_by(graph, rt_match_positions(graph, scores, &h->relative), RT_OP_MATMUL);
    if (product == NULL || h->v < 0 || h->mask < 0 || value_scale != 1 || none >= 0) return false;
    if (!tables_fit(graph, product, &h->relative)) return false;
    h->q = split_of(graph, product->inputs[0], QUERIES, h, &h->scale, &h->angles[0]);
    h->k = split_of(graph, product->inputs[1], KEYS, h, &h->scale, &h->angles[1]);
    const rt_value *out = &graph->values[root->outputs[0]];
    return h->q >= 0 && h->k >= 0 && h->copied == h->count && out->rank == 3 &&
           out->dims[0] == RT_DIM_BATCH && out->dims[1] == RT_DIM_SEQ && out->dims[2] == h->count * h->dim;
}

/* Exporters write the division by √dim in many ways, for example as roots of roots on both sides. What
 * equals it within rounding is taken as exact, so that a model gives the same bits whatever exported it. */
static float exact_scale(double scale, int64_t dim) {
    double exact = 1 / (double)sqrtf((float)dim);
    return (float)(fabs(scale - exact) <= 1e-6 * exact ? exact : scale);
}

/* Moves the turns of Q and K into the Linear nodes that make them. */
static bool take_turns(rt_graph *graph, const heads *h) {
    rt_linear_match q, k;
    if (!rt_match_plain_linear(graph, h->q, &q) || !rt_match_plain_linear(graph, h->k, &k) || q.rotary >= 0 ||
        k.rotary >= 0 || h->q == h->k)
        return false;
    return rt_linear_turn(graph, &q, h->angles[0], h->dim) && rt_linear_turn(graph, &k, h->angles[0], h->dim);
}

static bool to_attention(rt_graph *graph, int index) {
    const rt_node root = graph->nodes[index];
    heads h = {.mask = -1, .angles = {-1, -1}, .scale = 1, .relative = RT_RELATIVE_NONE};
    if (root.op != RT_OP_RESHAPE || !match_heads(graph, &root, &h)) return false;
    rt_relative_match *m = &h.relative;
    bool turned = h.angles[0] >= 0, tables = m->bias >= 0 || m->pos_key >= 0 || m->pos_query >= 0;
    bool grouped = h.keys < h.count;
    if (h.angles[0] != h.angles[1] || (tables && (turned || grouped || h.window > 0))) return false;
    if (turned && !take_turns(graph, &h)) return false;
    int key = m->pos_key >= 0 ? rt_position_operand(graph, root.name, m, true) : -1;
    int query = m->pos_query >= 0 ? rt_position_operand(graph, root.name, m, false) : -1;
    int bias = m->bias >= 0 ? rt_bias_operand(graph, m) : -1;
    int distances = rt_index_operand(graph, root.name, m);
    if (tables && distances < 0) return false;
    if ((bias < 0 && m->bias >= 0) || (key < 0 && m->pos_key >= 0) || (query < 0 && m->pos_query >= 0))
        return false;
    int inputs[ATTENTION_OPERANDS] = {h.q, h.k, h.v, h.mask};
    inputs[ATTENTION_INDEX] = distances;
    inputs[ATTENTION_BIAS] = bias;
    inputs[ATTENTION_POS_KEY] = key;
    inputs[ATTENTION_POS_QUERY] = query;
    int count = ATTENTION_OPERANDS;
    while (inputs[count - 1] < 0) count--;
    rt_attrs attrs = {.heads = h.count,
                      .key_heads = grouped ? h.keys : 0,
                      .scale = exact_scale(h.scale, h.dim),
                      .parts = 3,
                      .window = h.window};
    return rt_replace_node(graph, index, index, RT_OP_ATTENTION, count, inputs, &attrs);
}

retort_status rt_rewrite_fuse_attention(rt_graph *graph, size_t *count, retort_error *err) {
    return rt_rewrite_each(graph, to_attention, count, err);
}
