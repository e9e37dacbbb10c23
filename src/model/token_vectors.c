/* SPDX-License-Identifier: Apache-2.0
 * The token vectors that an embedding model pools: its graph, ending where pooling begins. */
#include "model/model.h"

int rt_model_pooled_rows(const retort_model *model) {
    const rt_graph *graph = &model->graph;
    int rows = -1;
    if (model->config.task != RETORT_TASK_EMBED || graph->level < 3) return -1;
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        if (node->op == RT_OP_ATTENTION && node->attrs.select != RT_SELECT_ALL) return -1;
        if (rows < 0 && (node->op == RT_OP_POOL || node->op == RT_OP_SELECT)) rows = node->inputs[0];
    }
    return rows;
}

static retort_status end_at(rt_graph *graph, int rows, retort_error *err) {
    graph->output = rows;
    retort_status status = rt_graph_sweep(graph, err);
    if (status == RETORT_OK) status = rt_graph_infer(graph, err);
    return status == RETORT_OK ? rt_graph_verify(graph, err) : status;
}

retort_status rt_model_token_vectors(retort_model **out, const retort_model *model, retort_error *err) {
    const rt_graph *graph = &model->graph;
    retort_model *next = NULL;
    if (model->config.task != RETORT_TASK_EMBED || graph->level < 3)
        return rt_fail(err, RETORT_ARGUMENT,
                       "token vectors: expected a model that embeds, at level 3; this one is at level %d",
                       graph->level);
    int rows = rt_model_pooled_rows(model);
    if (rows < 0)
        return rt_fail(err, RETORT_UNSUPPORTED,
                       "token vectors: the model pools the first token only, and what only the "
                       "others need was removed: import it with --without prune-rows");
    retort_status status = rt_model_derive(&next, model, err);
    if (status != RETORT_OK) return status;
    next->same_weights = true;
    next->config.sentences.columns = 0;
    next->config.labels = graph->values[rows].dims[1];
    status = end_at(&next->graph, rows, err);
    if (status == RETORT_OK) {
        *out = next;
    } else {
        retort_model_free(next);
    }
    return status;
}
