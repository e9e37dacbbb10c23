/* SPDX-License-Identifier: Apache-2.0
 * What depends on the distance of key and query, in the level-0 graph. */
#include "arch/builder.h"

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
