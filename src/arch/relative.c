/* SPDX-License-Identifier: Apache-2.0
 * Places of tokens, and what depends on the distance of key and query, in the level-0 graph. */
#include "arch/builder.h"

int rt_emit_places(rt_builder *b) {
    if (b->places >= 0) return b->places;
    int64_t count = b->encoder->config.positions, first = 0, one = 1;
    int64_t *all = rt_graph_alloc(b->graph, (size_t)count * sizeof *all);
    if (all == NULL) return -1;
    for (int64_t i = 0; i < count; i++) all[i] = i;
    int buffer = rt_graph_constant(b->graph, "embeddings.position_ids", RETORT_I64, RT_LAYOUT_ROWS, 2,
                                   (int64_t[]){1, count}, all);
    int shape = rt_emit1(b, RT_OP_SHAPE, "embeddings", "shape", b->ids);
    int length = rt_emit2(b, RT_OP_GATHER, "embeddings", "length", shape,
                          rt_emit_index(b, "embeddings", "length.index", 1));
    int end = rt_emit2(b, RT_OP_UNSQUEEZE, "embeddings", "end", length,
                       rt_emit_indices(b, "embeddings", "end.axes", 1, &first));
    int inputs[] = {buffer, rt_emit_indices(b, "embeddings", "slice.start", 1, &first), end,
                    rt_emit_indices(b, "embeddings", "slice.axes", 1, &one),
                    rt_emit_indices(b, "embeddings", "slice.step", 1, &one)};
    b->places = rt_emit(b, RT_OP_SLICE, "embeddings", "slice", 5, inputs, NULL);
    return b->places;
}

int rt_emit_distances(rt_builder *b, const int64_t *index) {
    const char *scope = "relative";
    int64_t most = b->encoder->config.positions - 1, count = 2 * most + 1;
    int places = rt_emit_places(b);
    int queries = rt_emit(b, RT_OP_TRANSPOSE, scope, "queries", 1, &places,
                          &(rt_attrs){.perm = {1, 0}, .perm_count = 2});
    int apart = rt_emit2(b, RT_OP_SUB, scope, "distance", places, queries);
    int at = rt_emit2(b, RT_OP_ADD, scope, "at", apart, rt_emit_index(b, scope, "most", most));
    int rows = rt_graph_constant(b->graph, "relative.index", RETORT_I64, RT_LAYOUT_ROWS, 1, &count, index);
    return rt_emit2(b, RT_OP_GATHER, scope, "rows", rows, at);
}
