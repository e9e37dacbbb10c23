/* SPDX-License-Identifier: Apache-2.0
 * Attention: ONNX Runtime's operators, or products, scale, mask and softmax. */
#include "arch/onnx_match.h"

#include <math.h>
#include <stdlib.h>

enum { MOST_MOVES = 12 };

/* Whether an operator puts elements elsewhere and changes none. */
static bool is_move(const rt_onnx_node *node) {
    return rt_onnx_is(node, "Reshape") || rt_onnx_is(node, "Transpose") || rt_onnx_is(node, "Unsqueeze") ||
           rt_onnx_is(node, "Squeeze") || rt_onnx_is(node, "Flatten");
}

/* What the moves below a value start from; *turns is how many Transposes there were. */
static const char *unmoved(const rt_onnx_match *m, const char *value, int *turns) {
    for (int i = 0; i < MOST_MOVES; i++) {
        const rt_onnx_node *node = rt_onnx_maker(m, value);
        if (!is_move(node)) return value;
        *turns += rt_onnx_is(node, "Transpose");
        value = rt_onnx_input(node, 0);
    }
    return value;
}

/* x of scalar · x or x / scalar, whose scalar goes to *scale. */
static const char *unscaled(const rt_onnx_match *m, const char *value, double *scale) {
    for (int i = 0; i < MOST_MOVES; i++) {
        const rt_onnx_node *node = rt_onnx_maker(m, value);
        double number;
        bool mul = rt_onnx_is(node, "Mul"), div = rt_onnx_is(node, "Div");
        if ((mul || div) && rt_onnx_scalar(m, rt_onnx_input(node, 1), &number)) {
            *scale *= mul ? number : 1 / number;
            value = rt_onnx_input(node, 0);
        } else if (mul && rt_onnx_scalar(m, rt_onnx_input(node, 0), &number)) {
            *scale *= number;
            value = rt_onnx_input(node, 1);
        } else {
            return value;
        }
    }
    return value;
}

/* Down to the Linear whose columns are the heads; scalars and moves may alternate. */
static bool heads_linear(rt_onnx_match *m, const char *value, double *scale, rt_onnx_linear *out) {
    int turns = 0;
    const char *below = value;
    for (int i = 0; i < 3; i++) below = unmoved(m, unscaled(m, below, scale), &turns);
    if (turns == 0 || turns > 3) return rt_onnx_refuse(m, value, "heads of [batch, heads, sequence, dim]");
    return rt_onnx_match_linear(m, below, out) ||
           rt_onnx_refuse(m, below, "a Linear of queries, keys or values");
}

static bool is_low(const rt_onnx_match *m, const char *value) {
    double number;
    return rt_onnx_scalar(m, value, &number) && number <= -1e4;
}

static bool is_product(const rt_onnx_node *node) {
    return rt_onnx_is(node, "MatMul") || rt_onnx_is(node, "FusedMatMul");
}

/* Where(mask, low, scores) or Where(mask, scores, low): the scores. */
static const char *unmasked_where(rt_onnx_match *m, const rt_onnx_node *where) {
    bool low = is_low(m, rt_onnx_input(where, 1));
    if (!low && !is_low(m, rt_onnx_input(where, 2))) return NULL;
    return rt_onnx_only_from(m, rt_onnx_input(where, 0), "attention_mask") ? rt_onnx_input(where, low ? 2 : 1)
                                                                           : NULL;
}

/* The product of queries and keys below scale and mask; NULL when there is none. */
static const rt_onnx_node *scores_of(rt_onnx_match *m, const char *value, double *scale) {
    for (int i = 0; value != NULL && i < MOST_MOVES; i++) {
        value = unscaled(m, value, scale);
        const rt_onnx_node *node = rt_onnx_maker(m, value);
        if (is_product(node)) return node;
        const char *below = NULL;
        if (rt_onnx_is(node, "Where")) below = unmasked_where(m, node);
        for (size_t side = 0; rt_onnx_is(node, "Add") && below == NULL && side < 2; side++) {
            double ignored = 1;
            const char *data = unscaled(m, rt_onnx_input(node, 1 - side), &ignored);
            if (!is_product(rt_onnx_maker(m, data))) continue;
            if (!rt_onnx_only_from(m, rt_onnx_input(node, side), "attention_mask")) return NULL;
            below = rt_onnx_input(node, 1 - side);
        }
        if (below == NULL) break;
        value = below;
    }
    rt_onnx_refuse(m, value != NULL ? value : "", "scores under a mask of attention_mask");
    return NULL;
}

/* Below what replaces NaN by 0 where a row is masked whole. */
static const char *probabilities_of(const rt_onnx_match *m, const char *value) {
    const rt_onnx_node *where = rt_onnx_made_by(m, value, "Where");
    bool guard = where != NULL && rt_onnx_made_by(m, rt_onnx_input(where, 0), "IsNaN") != NULL;
    return guard ? rt_onnx_input(where, 2) : value;
}

static bool check_scale(rt_onnx_match *m, const char *value, double scale) {
    double expected = 1 / sqrt((double)m->config->hidden / (double)m->config->heads);
    return fabs(scale - expected) <= 1e-3 * expected ||
           rt_onnx_refuse(m, value, "scores over the root of the head's size");
}

static bool plain(rt_onnx_match *m, const char *value, rt_onnx_attention *out) {
    int turns = 0;
    const char *below = unmoved(m, value, &turns);
    const rt_onnx_node *context = rt_onnx_made_by(m, below, "MatMul");
    if (context == NULL || turns != 1) return rt_onnx_refuse(m, below, "an attention's context, MatMul");
    const char *probabilities = probabilities_of(m, rt_onnx_input(context, 0));
    const rt_onnx_node *softmax = rt_onnx_made_by(m, probabilities, "Softmax");
    int64_t axis = softmax != NULL ? rt_onnx_int(softmax, "axis", -1) : 0;
    if (axis != -1 && axis != 3) return rt_onnx_refuse(m, probabilities, "Softmax over keys");
    double scale = 1, none = 1;
    const rt_onnx_node *scores = scores_of(m, rt_onnx_input(softmax, 0), &scale);
    if (scores == NULL) return false;
    scale *= rt_onnx_real(scores, "alpha", 1);
    bool found = heads_linear(m, rt_onnx_input(scores, 0), &scale, &out->q) &&
                 heads_linear(m, rt_onnx_input(scores, 1), &scale, &out->k) &&
                 heads_linear(m, rt_onnx_input(context, 1), &none, &out->v);
    out->x = found ? out->q.x : "";
    if (found && (strcmp(out->k.x, out->x) != 0 || strcmp(out->v.x, out->x) != 0)) {
        return rt_onnx_refuse(m, out->k.x, "queries, keys and values of one x");
    }
    return found && check_scale(m, scores->outputs[0], scale);
}

/* ---- ONNX Runtime's operators ---- */

/* Columns from…from+n of a float [rows, columns], or of a vector, as a new tensor. */
static bool columns_of(rt_onnx_match *m, const rt_tensor *t, int64_t from, int64_t n, rt_tensor *out) {
    size_t size = rt_dtype_size(t->dtype), rows = t->rank == 2 ? (size_t)t->shape[0] : 1;
    size_t columns = (size_t)t->shape[t->rank - 1];
    char *data = rt_arena_calloc(m->arena, rows, (size_t)n * size);
    if (data == NULL) return rt_onnx_no_memory(m);
    for (size_t i = 0; i < rows; i++) {
        memcpy(data + i * (size_t)n * size, (const char *)t->data + (i * columns + (size_t)from) * size,
               (size_t)n * size);
    }
    *out = *t;
    out->data = data;
    out->shape[t->rank - 1] = n;
    return true;
}

/* The heads, the mask and the scale of an operator that has them as attributes. */
static bool check_fused(rt_onnx_match *m, const rt_onnx_node *node, size_t mask, const size_t *absent) {
    const char *name = node->output_count > 0 ? node->outputs[0] : "";
    float scale = rt_onnx_real(node, "scale", 0);
    bool bare = rt_onnx_int(node, "unidirectional", 0) == 0 && rt_onnx_int(node, "do_rotary", 0) == 0;
    for (size_t i = 0; absent[i] != 0; i++) bare = bare && rt_onnx_input(node, absent[i])[0] == '\0';
    if (!bare || rt_onnx_int(node, "num_heads", 0) != m->config->heads) {
        return rt_onnx_refuse(m, name,
                              "attention to all positions, with the heads of config.json and no past");
    }
    if (!rt_onnx_only_from(m, rt_onnx_input(node, mask), "attention_mask")) return false;
    return scale == 0 || check_scale(m, name, scale);
}

/* Attention: (x, qkv weight [hidden, 3 hidden], bias, mask, past, attention_bias, past length). QAttention:
 * (codes of x, codes of the weight, bias, scale of x, scale, mask, zero point of x, zero point, past). */
static bool fused(rt_onnx_match *m, const rt_onnx_node *node, rt_onnx_attention *out) {
    rt_onnx_weight weight, bias;
    int64_t h = m->config->hidden;
    rt_onnx_linear *parts[] = {&out->q, &out->k, &out->v};
    bool biased = rt_onnx_input(node, 2)[0] != '\0', integer = rt_onnx_is(node, "QAttention");
    const rt_onnx_node *codes = integer ? rt_onnx_maker(m, rt_onnx_input(node, 0)) : node;
    if (integer && !rt_onnx_is(codes, "DynamicQuantizeLinear") && !rt_onnx_is(codes, "QuantizeLinear"))
        return rt_onnx_refuse(m, rt_onnx_input(node, 0), "activations on their way to 8 bits");
    bool read = integer ? rt_onnx_integers(m, rt_onnx_input(node, 1), rt_onnx_input(node, 4),
                                           rt_onnx_input(node, 7), &weight)
                        : rt_onnx_weight_of(m, rt_onnx_input(node, 1), &weight);
    bool found = read && weight.tensor.rank == 2 && !weight.transposed && weight.tensor.shape[0] == h &&
                 weight.tensor.shape[1] == 3 * h &&
                 (!biased || (rt_onnx_weight_of(m, rt_onnx_input(node, 2), &bias) && bias.tensor.rank == 1 &&
                              bias.tensor.shape[0] == 3 * h));
    if (!found)
        return rt_onnx_refuse(m, node->outputs[0], "a weight [hidden, 3 hidden] of queries, keys and values");
    out->x = rt_onnx_input(codes, 0);
    for (int64_t i = 0; i < 3; i++) {
        *parts[i] = (rt_onnx_linear){.x = out->x};
        if (!columns_of(m, &weight.tensor, i * h, h, &parts[i]->weight.tensor)) return false;
        if (biased && !columns_of(m, &bias.tensor, i * h, h, &parts[i]->bias.tensor)) return false;
    }
    return check_fused(m, node, integer ? 5 : 3,
                       integer ? (const size_t[]){8, 0} : (const size_t[]){4, 5, 6, 0});
}

/* (q, k, v, bias [3 hidden], mask, attention_bias, past key, past value) */
static bool multi_head(rt_onnx_match *m, const rt_onnx_node *node, rt_onnx_attention *out) {
    rt_onnx_weight bias;
    int64_t h = m->config->hidden;
    rt_onnx_linear *parts[] = {&out->q, &out->k, &out->v};
    bool biased = rt_onnx_input(node, 3)[0] != '\0';
    if (biased && (!rt_onnx_weight_of(m, rt_onnx_input(node, 3), &bias) || bias.tensor.rank != 1 ||
                   bias.tensor.shape[0] != 3 * h)) {
        return rt_onnx_refuse(m, node->outputs[0], "a bias of [3 hidden]");
    }
    for (size_t i = 0; i < 3; i++) {
        const char *value = rt_onnx_input(node, i);
        if (!rt_onnx_match_linear(m, value, parts[i])) return rt_onnx_refuse(m, value, "a Linear");
        if (!biased) continue;
        if (parts[i]->bias.tensor.data != NULL) return rt_onnx_refuse(m, value, "one bias");
        if (!columns_of(m, &bias.tensor, (int64_t)i * h, h, &parts[i]->bias.tensor)) return false;
    }
    out->x = out->q.x;
    if (strcmp(out->k.x, out->x) != 0 || strcmp(out->v.x, out->x) != 0) {
        return rt_onnx_refuse(m, node->outputs[0], "queries, keys and values of one x");
    }
    bool key_mask = rt_onnx_input(node, 4)[0] != '\0';
    return check_fused(m, node, key_mask ? 4 : 5,
                       key_mask ? (const size_t[]){5, 6, 7, 0} : (const size_t[]){6, 7, 0});
}

bool rt_onnx_match_attention(rt_onnx_match *m, const char *value, rt_onnx_attention *out) {
    const rt_onnx_node *node = rt_onnx_maker(m, value);
    *out = (rt_onnx_attention){0};
    if ((rt_onnx_is(node, "Attention") || rt_onnx_is(node, "QAttention")) &&
        strcmp(node->domain, "com.microsoft") == 0)
        return fused(m, node, out);
    if (rt_onnx_is(node, "MultiHeadAttention")) return multi_head(m, node, out);
    return plain(m, value, out);
}

/* ---- Masks ---- */

/* Operators from attention_mask to what is added to scores: none of them makes one key differ from another by
 * its place, but for Range, whose numbers are only used to pick, or compared with 0. */
static bool is_mask_op(const rt_onnx_node *node) {
    static const char *const ops[] = {"Cast",
                                      "Unsqueeze",
                                      "Squeeze",
                                      "Reshape",
                                      "Expand",
                                      "Flatten",
                                      "Shape",
                                      "Concat",
                                      "Slice",
                                      "Gather",
                                      "Sub",
                                      "Mul",
                                      "Add",
                                      "Equal",
                                      "Where",
                                      "And",
                                      "Not",
                                      "Or",
                                      "Range",
                                      "Div",
                                      "ReduceSum",
                                      "GatherND",
                                      "ConstantOfShape",
                                      "Identity",
                                      "Max",
                                      "Constant",
                                      "Transpose",
                                      "Tile",
                                      "GreaterOrEqual",
                                      "Less",
                                      "Neg",
                                      "Clip",
                                      "QuantizeLinear",
                                      "DequantizeLinear"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        if (rt_onnx_is(node, ops[i])) return true;
    }
    return false;
}

/* Comparisons of one position with another make causal masks. */
static bool is_causal(const rt_onnx_match *m, const rt_onnx_node *node) {
    double number;
    bool compares = rt_onnx_is(node, "GreaterOrEqual") || rt_onnx_is(node, "Less");
    return compares && !rt_onnx_scalar(m, rt_onnx_input(node, 1), &number);
}

/* Numbers picked from a constant that is 0 throughout: token types where a graph has no such input. */
static bool picks_zeros(const rt_onnx_match *m, const rt_onnx_node *node) {
    if (!rt_onnx_is(node, "GatherElements")) return false;
    const rt_onnx_node *expand = rt_onnx_made_by(m, rt_onnx_input(node, 0), "Expand");
    const rt_onnx_tensor *of = rt_onnx_constant(m, rt_onnx_input(expand != NULL ? expand : node, 0));
    const uint8_t *bytes = of != NULL ? of->data : NULL;
    for (size_t i = 0; bytes != NULL && i < of->bytes; i++) {
        if (bytes[i] != 0) return false;
    }
    return of != NULL;
}

typedef struct mask_walk {
    rt_onnx_match *m;
    const char *mask;
    bool *seen; /* [nodes] */
    int *stack; /* nodes that are still to be looked at */
    size_t count;
} mask_walk;

/* A value that a mask's node reads. What comes by Shape is a shape, whatever it is of. */
static bool visit(mask_walk *w, const char *value) {
    if (value[0] == '\0' || rt_onnx_constant(w->m, value) != NULL) return true;
    int index = rt_names_find(&w->m->made, value, strlen(value));
    if (index < 0) {
        bool known = w->mask != NULL && strcmp(value, w->mask) == 0;
        return known || rt_onnx_refuse(w->m, value, "nothing but attention_mask, shapes and constants");
    }
    const rt_onnx_node *node = &w->m->onnx->nodes[index];
    bool lengths = rt_onnx_is_embed(node) && strcmp(value, node->outputs[0]) != 0;
    if (lengths) return rt_onnx_is_input(w->m, rt_onnx_input(node, 7), "attention_mask"); /* it counts them */
    if (w->seen[index] || picks_zeros(w->m, node)) return true;
    w->seen[index] = true;
    if (!is_mask_op(node) || is_causal(w->m, node)) {
        return rt_onnx_refuse(w->m, value, "nothing but a mask of attention_mask");
    }
    if (!rt_onnx_is(node, "Shape") && !rt_onnx_is(node, "Constant")) w->stack[w->count++] = index;
    return true;
}

bool rt_onnx_only_from(rt_onnx_match *m, const char *value, const char *mask) {
    size_t nodes = m->onnx->node_count;
    mask_walk w = {.m = m,
                   .mask = mask,
                   .seen = rt_calloc(nodes, sizeof *w.seen),
                   .stack = rt_calloc(nodes, sizeof *w.stack)};
    bool fits = w.seen != NULL && w.stack != NULL ? visit(&w, value) : rt_onnx_no_memory(m);
    while (fits && w.count > 0) {
        const rt_onnx_node *node = &m->onnx->nodes[w.stack[--w.count]];
        for (size_t i = 0; fits && i < node->input_count; i++) fits = visit(&w, node->inputs[i]);
    }
    free(w.seen);
    free(w.stack);
    return fits;
}
