/* SPDX-License-Identifier: Apache-2.0
 * Rotary positions and windows in the level-0 graph: Q and K are turned before they are transposed,
 * [batch, seq, heads, dim], pairs being half a head apart. */
#include "arch/builder.h"

#include <stdio.h>
#include <string.h>

static int unsqueezed(rt_builder *b, const char *scope, const char *leaf, int x, int count,
                      const int64_t *axes) {
    return rt_emit2(b, RT_OP_UNSQUEEZE, scope, leaf, x, rt_emit_indices(b, scope, "axes", count, axes));
}

/* Positions as floats, [1, seq, 1, 1] (or with other axes added) */
static int places(rt_builder *b, const char *scope, const char *leaf, const int64_t axes[2]) {
    int positions = rt_emit_places(b);
    int real = rt_emit(b, RT_OP_CAST, scope, leaf, 1, &positions, &(rt_attrs){.dtype = RETORT_F32});
    return unsqueezed(b, scope, "wide", real, 2, axes);
}

static void emit_turns(rt_builder *b, int kind, const char *scope) {
    int64_t pairs = rt_head_dim(b) / 2;
    const float *angles = b->encoder->config.angles[kind];
    if (angles == NULL) return;
    char name[RT_SCOPE_MAX];
    snprintf(name, sizeof name, "%s.angles", scope);
    float *data = rt_graph_alloc(b->graph, (size_t)pairs * sizeof *data);
    if (data != NULL) memcpy(data, angles, (size_t)pairs * sizeof *data);
    int constant =
        data != NULL ? rt_graph_constant(b->graph, name, RETORT_F32, RT_LAYOUT_ROWS, 1, &pairs, data) : -1;
    int turns =
        rt_emit2(b, RT_OP_MUL, scope, "turns", places(b, scope, "places", (int64_t[]){2, 3}), constant);
    b->cosine[kind] = rt_emit1(b, RT_OP_COS, scope, "cosine", turns);
    b->sine[kind] = rt_emit1(b, RT_OP_SIN, scope, "sine", turns);
}

/* -1e30 max(|i - j| - window, 0) */
static void emit_window(rt_builder *b) {
    int queries = places(b, "window.queries", "places", (int64_t[]){1, 3}),
        keys = places(b, "window.keys", "places", (int64_t[]){1, 2});
    int after = rt_emit2(b, RT_OP_SUB, "window", "after", keys, queries),
        before = rt_emit2(b, RT_OP_SUB, "window", "before", queries, keys);
    int distance = rt_emit2(b, RT_OP_MAX, "window", "distance", after, before);
    int beyond = rt_emit_by(b, RT_OP_SUB, "window", "beyond", distance, (float)b->encoder->config.window);
    b->far = rt_emit_by(b, RT_OP_MUL, "window", "far", rt_emit1(b, RT_OP_RELU, "window", "outside", beyond),
                        -1e30F);
}

int rt_rotary_mask(rt_builder *b) {
    const rt_config *config = &b->encoder->config;
    bool used[2] = {config->local == NULL, false};
    for (int64_t i = 0; config->local != NULL && i < config->layers; i++) used[config->local[i]] = true;
    if (used[0]) emit_turns(b, 0, "rotary");
    if (used[1]) emit_turns(b, 1, "rotary.local");
    if (used[1]) emit_window(b);
    return rt_bert_mask(b);
}

/* Columns from…to-1 of the last axis: "scope.turn.part". */
static int half(rt_builder *b, const char *scope, const char *part, int x, int64_t from, int64_t to) {
    char inner[RT_SCOPE_MAX + 16];
    int64_t axis = 3;
    snprintf(inner, sizeof inner, "%s.turn.%s", scope, part);
    int inputs[] = {x, rt_emit_indices(b, inner, "from", 1, &from), rt_emit_indices(b, inner, "to", 1, &to),
                    rt_emit_indices(b, inner, "axis", 1, &axis)};
    return rt_emit(b, RT_OP_SLICE, inner, "slice", 4, inputs, NULL);
}

int rt_emit_turned(rt_builder *b, const char *scope, int x, bool local) {
    int64_t dim = rt_head_dim(b);
    int c = b->cosine[local], s = b->sine[local];
    int first = half(b, scope, "first", x, 0, dim / 2), second = half(b, scope, "second", x, dim / 2, dim);
    int left = rt_emit2(b, RT_OP_SUB, scope, "turn.left",
                        rt_emit2(b, RT_OP_MUL, scope, "turn.first.cosine", first, c),
                        rt_emit2(b, RT_OP_MUL, scope, "turn.second.sine", second, s));
    int right = rt_emit2(b, RT_OP_ADD, scope, "turn.right",
                         rt_emit2(b, RT_OP_MUL, scope, "turn.second.cosine", second, c),
                         rt_emit2(b, RT_OP_MUL, scope, "turn.first.sine", first, s));
    return rt_emit(b, RT_OP_CONCAT, scope, "turn", 2, (int[]){left, right}, &(rt_attrs){.axis = 3});
}
