/* SPDX-License-Identifier: Apache-2.0
 * One encoder layer of the level-0 graph. Shapes: hidden state [batch, seq, hidden], heads [batch, heads,
 * seq, dim], scores [batch, heads, seq, seq]. */
#include "arch/builder.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static int64_t head_dim(const rt_builder *b) {
    return b->encoder->config.hidden / b->encoder->config.heads;
}

/* Linear layer, then [batch, seq, hidden] to heads: keys as [batch, heads, dim, seq], else
 * [batch, heads, seq, dim]. */
static int heads_of(rt_builder *b, const char *layer, const char *part, const rt_linear *linear, int hidden) {
    char scope[RT_SCOPE_MAX];
    snprintf(scope, sizeof scope, "%s.attention.%s", layer, part);
    int64_t shape[] = {0, 0, b->encoder->config.heads, head_dim(b)};
    bool key = part[0] == 'k';
    rt_attrs attrs = {.perm = {0, 2, key ? 3 : 1, key ? 1 : 3}, .perm_count = 4};
    int x = rt_emit_linear(b, scope, linear, hidden);
    int split = rt_emit2(b, RT_OP_RESHAPE, scope, "reshape", x, rt_emit_indices(b, scope, "shape", 4, shape));
    return rt_emit(b, RT_OP_TRANSPOSE, scope, "transpose", 1, &split, &attrs);
}

/* Masked scores as BERT computes them: divided by sqrt(dim), and the mask's large negative numbers added. */
static int bert_scores(rt_builder *b, const char *scope, int q, int k) {
    int scores = rt_emit2(b, RT_OP_MATMUL, scope, "scores", q, k);
    int scaled = rt_emit_by(b, RT_OP_DIV, scope, "scale", scores, sqrtf((float)head_dim(b)));
    return rt_emit2(b, RT_OP_ADD, scope, "masked", scaled, b->key_mask);
}

/* As DistilBERT does: queries are divided by sqrt(dim), and masked scores replaced. */
static int distilbert_scores(rt_builder *b, const char *scope, int q, int k) {
    char mask[RT_SCOPE_MAX + 8];
    snprintf(mask, sizeof mask, "%s.mask", scope);
    q = rt_emit_by(b, RT_OP_DIV, scope, "scale", q, sqrtf((float)head_dim(b)));
    int scores = rt_emit2(b, RT_OP_MATMUL, scope, "scores", q, k);
    int padding = rt_emit2(b, RT_OP_EQUAL, mask, "equal", b->mask, rt_emit_index(b, mask, "equal.value", 0));
    int wide = rt_emit_expand(b, mask, padding, 2, (int64_t[]){1, 2}, scores);
    return rt_emit(b, RT_OP_WHERE, scope, "masked", 3,
                   (int[]){wide, rt_emit_scalar(b, mask, "value", -FLT_MAX), scores}, NULL);
}

static int attention(rt_builder *b, const char *layer, const rt_layer *weights, int hidden) {
    char scope[RT_SCOPE_MAX], out[RT_SCOPE_MAX];
    snprintf(scope, sizeof scope, "%s.attention", layer);
    snprintf(out, sizeof out, "%s.attention.out", layer);
    int q = heads_of(b, layer, "q", &weights->q, hidden);
    int k = heads_of(b, layer, "k", &weights->k, hidden);
    int v = heads_of(b, layer, "v", &weights->v, hidden);
    bool bert = b->encoder->config.family == RT_BERT;
    int scores = bert ? bert_scores(b, scope, q, k) : distilbert_scores(b, scope, q, k);
    int softmax = rt_emit(b, RT_OP_SOFTMAX, scope, "softmax", 1, &scores, &(rt_attrs){.axis = -1});
    int context = rt_emit2(b, RT_OP_MATMUL, scope, "context", softmax, v);
    int rows = rt_emit(b, RT_OP_TRANSPOSE, scope, "transpose", 1, &context,
                       &(rt_attrs){.perm = {0, 2, 1, 3}, .perm_count = 4});
    int64_t shape[] = {0, 0, b->encoder->config.hidden};
    int merged =
        rt_emit2(b, RT_OP_RESHAPE, scope, "reshape", rows, rt_emit_indices(b, scope, "shape", 3, shape));
    return rt_emit_linear(b, out, &weights->out, merged);
}

int rt_build_layer(rt_builder *b, int64_t index, int hidden) {
    char layer[RT_SCOPE_MAX / 2], scope[RT_SCOPE_MAX];
    const rt_layer *weights = &b->encoder->layers[index];
    snprintf(layer, sizeof layer, "layer.%" PRId64, index);
    int attended = attention(b, layer, weights, hidden);
    snprintf(scope, sizeof scope, "%s.attention.norm", layer);
    hidden = rt_emit2(b, RT_OP_ADD, scope, "residual", attended, hidden);
    hidden = rt_emit_norm(b, scope, &weights->attention_norm, hidden);
    snprintf(scope, sizeof scope, "%s.ffn.lin1", layer);
    int ffn = rt_emit_linear(b, scope, &weights->lin1, hidden);
    snprintf(scope, sizeof scope, "%s.ffn.activation", layer);
    ffn = rt_emit_activation(b, scope, b->encoder->config.activation, ffn);
    snprintf(scope, sizeof scope, "%s.ffn.lin2", layer);
    ffn = rt_emit_linear(b, scope, &weights->lin2, ffn);
    snprintf(scope, sizeof scope, "%s.ffn.norm", layer);
    hidden = rt_emit2(b, RT_OP_ADD, scope, "residual", ffn, hidden);
    return rt_emit_norm(b, scope, &weights->output_norm, hidden);
}
