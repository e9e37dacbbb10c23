/* SPDX-License-Identifier: Apache-2.0
 * Encoder layers of the level-0 graph. Shapes: hidden state [batch, seq, hidden], heads [batch, heads,
 * seq, dim], scores [batch, heads, seq, seq]. */
#include "arch/builder.h"

#include <inttypes.h>
#include <stdio.h>

/* Heads of keys or values [batch, seq, key_heads, dim], each as often as queries read it, side by side. */
static int copies_of(rt_builder *b, const char *scope, int x) {
    int64_t heads = b->encoder->config.heads, copies = heads / b->encoder->config.key_heads;
    int64_t *index = rt_graph_alloc(b->graph, (size_t)heads * sizeof *index);
    if (index == NULL) return -1;
    for (int64_t i = 0; i < heads; i++) index[i] = i / copies;
    int read = rt_emit_indices(b, scope, "copies", (int)heads, index);
    return rt_emit(b, RT_OP_GATHER, scope, "copy", 2, (int[]){x, read}, &(rt_attrs){.axis = 2});
}

/* Linear layer, then [batch, seq, hidden] to heads: keys as [batch, heads, dim, seq], else
 * [batch, heads, seq, dim]. */
static int heads_of(rt_builder *b, const char *layer, const char *part, const rt_weight *linear, int hidden,
                    bool local) {
    char scope[RT_SCOPE_MAX];
    snprintf(scope, sizeof scope, "%s.attention.%s", layer, part);
    const rt_config *config = &b->encoder->config;
    int64_t heads = rt_config_heads(config, b->layer);
    int64_t own = part[0] == 'q' || config->layer_heads != NULL ? heads : config->key_heads;
    int64_t shape[] = {0, 0, own, config->dim};
    bool key = part[0] == 'k';
    rt_attrs attrs = {.perm = {0, 2, key ? 3 : 1, key ? 1 : 3}, .perm_count = 4};
    int x = rt_emit_linear(b, scope, linear, hidden);
    int split = rt_emit2(b, RT_OP_RESHAPE, scope, "reshape", x, rt_emit_indices(b, scope, "shape", 4, shape));
    if (part[0] != 'v' && b->cosine[local] >= 0) split = rt_emit_turned(b, scope, split, local);
    if (own < heads) split = copies_of(b, scope, split);
    return rt_emit(b, RT_OP_TRANSPOSE, scope, "transpose", 1, &split, &attrs);
}

static int attention(rt_builder *b, const char *layer, const rt_weight *weights, int hidden, bool local) {
    char scope[RT_SCOPE_MAX], out[RT_SCOPE_MAX];
    snprintf(scope, sizeof scope, "%s.attention", layer);
    snprintf(out, sizeof out, "%s.attention.out", layer);
    int q = heads_of(b, layer, "q", &weights[RT_ROLE_Q], hidden, local);
    int k = heads_of(b, layer, "k", &weights[RT_ROLE_K], hidden, local);
    int v = heads_of(b, layer, "v", &weights[RT_ROLE_V], hidden, local);
    int scores = b->encoder->config.arch->scores(b, scope, q, k);
    if (local) scores = rt_emit2(b, RT_OP_ADD, scope, "near", scores, b->far);
    int softmax = rt_emit(b, RT_OP_SOFTMAX, scope, "softmax", 1, &scores, &(rt_attrs){.axis = -1});
    int context = rt_emit2(b, RT_OP_MATMUL, scope, "context", softmax, v);
    int rows = rt_emit(b, RT_OP_TRANSPOSE, scope, "transpose", 1, &context,
                       &(rt_attrs){.perm = {0, 2, 1, 3}, .perm_count = 4});
    int64_t shape[] = {0, 0, rt_config_heads(&b->encoder->config, b->layer) * rt_head_dim(b)};
    int merged =
        rt_emit2(b, RT_OP_RESHAPE, scope, "reshape", rows, rt_emit_indices(b, scope, "shape", 3, shape));
    return rt_emit_linear(b, out, &weights[RT_ROLE_OUT], merged);
}

/* Linear, activation (and gate), Linear. */
static int feed_forward(rt_builder *b, const char *layer, const rt_weight *weights, int hidden) {
    char scope[RT_SCOPE_MAX];
    snprintf(scope, sizeof scope, "%s.ffn.lin1", layer);
    int ffn = rt_emit_linear(b, scope, &weights[RT_ROLE_LIN1], hidden);
    snprintf(scope, sizeof scope, "%s.ffn.activation", layer);
    ffn = rt_emit_activation(b, scope, b->encoder->config.activation, ffn);
    if (weights[RT_ROLE_UP].weight != NULL) {
        snprintf(scope, sizeof scope, "%s.ffn.up", layer);
        int up = rt_emit_linear(b, scope, &weights[RT_ROLE_UP], hidden);
        snprintf(scope, sizeof scope, "%s.ffn", layer);
        ffn = rt_emit2(b, RT_OP_MUL, scope, "gate", ffn, up);
    }
    snprintf(scope, sizeof scope, "%s.ffn.lin2", layer);
    return rt_emit_linear(b, scope, &weights[RT_ROLE_LIN2], ffn);
}

/* Whether a layer reads only keys near a query. */
static bool is_local(const rt_builder *b, int64_t index) {
    return b->encoder->config.local != NULL && b->encoder->config.local[index];
}

int rt_build_post_norm(rt_builder *b, int64_t index, int hidden) {
    char layer[RT_SCOPE_MAX / 2], scope[RT_SCOPE_MAX];
    const rt_weight *weights = b->encoder->layers[index];
    snprintf(layer, sizeof layer, "layer.%" PRId64, index);
    b->layer = index;
    int attended = attention(b, layer, weights, hidden, is_local(b, index));
    snprintf(scope, sizeof scope, "%s.attention.norm", layer);
    hidden = rt_emit2(b, RT_OP_ADD, scope, "residual", attended, hidden);
    hidden = rt_emit_norm(b, scope, &weights[RT_ROLE_ATTENTION_NORM], hidden);
    int ffn = feed_forward(b, layer, weights, hidden);
    snprintf(scope, sizeof scope, "%s.ffn.norm", layer);
    hidden = rt_emit2(b, RT_OP_ADD, scope, "residual", ffn, hidden);
    return rt_emit_norm(b, scope, &weights[RT_ROLE_OUTPUT_NORM], hidden);
}

int rt_build_pre_norm(rt_builder *b, int64_t index, int hidden) {
    char layer[RT_SCOPE_MAX / 2], scope[RT_SCOPE_MAX];
    const rt_weight *weights = b->encoder->layers[index];
    int x = hidden;
    snprintf(layer, sizeof layer, "layer.%" PRId64, index);
    b->layer = index;
    snprintf(scope, sizeof scope, "%s.attention.norm", layer);
    if (weights[RT_ROLE_ATTENTION_NORM].weight != NULL)
        x = rt_emit_norm(b, scope, &weights[RT_ROLE_ATTENTION_NORM], x);
    x = attention(b, layer, weights, x, is_local(b, index));
    hidden = rt_emit2(b, RT_OP_ADD, scope, "residual", x, hidden);
    snprintf(scope, sizeof scope, "%s.ffn.norm", layer);
    x = rt_emit_norm(b, scope, &weights[RT_ROLE_OUTPUT_NORM], hidden);
    return rt_emit2(b, RT_OP_ADD, scope, "residual", feed_forward(b, layer, weights, x), hidden);
}
