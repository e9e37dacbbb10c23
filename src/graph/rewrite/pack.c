/* SPDX-License-Identifier: Apache-2.0
 * Level 3: packs weights of Linear nodes in the layout of the kernels, and rounds them to bf16. */
#include "graph/match.h"

/* Whether only Linear nodes read the value, as their weight. */
static bool is_weight_only(const rt_graph *graph, int value) {
    for (int r = graph->links->first[value]; r >= 0; r = graph->links->next[r]) {
        if (graph->nodes[r / RT_MAX_INPUTS].op != RT_OP_LINEAR || r % RT_MAX_INPUTS != 1) return false;
    }
    return graph->output != value;
}

static bool pack_weight(rt_graph *graph, int index) {
    const rt_node *node = &graph->nodes[index];
    if (node->op != RT_OP_LINEAR || !rt_is_weight(graph, node->inputs[LINEAR_WEIGHT])) return false;
    int weight = node->inputs[LINEAR_WEIGHT];
    const rt_value v = graph->values[weight];
    size_t k = (size_t)v.dims[0], n = (size_t)v.dims[1], count;
    if (v.data == NULL || !rt_pack_count_f32(k, n, &count) || count > SIZE_MAX / sizeof(float)) return false;
    float *packed = rt_graph_alloc(graph, count * sizeof *packed);
    if (packed == NULL) return false;
    rt_pack_f32(k, n, v.data, n, 1, packed);
    if (!is_weight_only(graph, weight)) {
        weight = rt_add_constant(graph, graph->nodes[index].name, "weight", 2, v.dims, packed);
        if (weight < 0) return false;
        rt_node_read(graph, index, LINEAR_WEIGHT, weight);
    }
    graph->values[weight].layout = RT_LAYOUT_P16;
    graph->values[weight].data = packed;
    return true;
}

retort_status rt_rewrite_pack_weights(rt_graph *graph, size_t *count, retort_error *err) {
    return rt_rewrite_each(graph, pack_weight, count, err);
}

/* ---- bf16 ---- */

/* Matrices with fewer columns give the logits of a head: they take hardly any time, and rounding would
 * show. */
enum { MIN_COLUMNS = 64 };

static bool takes_bf16(const rt_graph *graph, const rt_node *node) {
    if (node->op != RT_OP_LINEAR) return false;
    const rt_value *weight = &graph->values[node->inputs[LINEAR_WEIGHT]];
    return weight->layout != RT_LAYOUT_ROWS && weight->data != NULL && weight->dims[1] >= MIN_COLUMNS;
}

/* p16 to p16_bf16, a panel at a time: a panel is a row-major [k, 16] matrix. */
static bool weight_to_bf16(rt_graph *graph, int index) {
    const rt_value v = graph->values[index];
    size_t k = (size_t)v.dims[0], n = (size_t)v.dims[1], count;
    if (v.layout != RT_LAYOUT_P16) return true;
    if (!rt_pack_count_bf16(k, n, &count) || count > SIZE_MAX / sizeof(uint16_t)) return false;
    uint16_t *bf16 = rt_graph_alloc(graph, count * sizeof *bf16);
    if (bf16 == NULL) return false;
    size_t panels = (n + RT_PANEL - 1) / RT_PANEL;
    for (size_t p = 0; p < panels; p++) {
        const float *panel = (const float *)v.data + p * k * RT_PANEL;
        rt_pack_bf16(k, RT_PANEL, panel, RT_PANEL, 1, bf16 + p * (count / panels));
    }
    rt_value *value = &graph->values[index];
    value->dtype = RETORT_BF16;
    value->layout = RT_LAYOUT_P16_BF16;
    value->data = bf16;
    return true;
}

retort_status rt_graph_use_bf16(rt_graph *graph, retort_error *err) {
    if (graph->level < 3) {
        return rt_fail(err, RETORT_ARGUMENT, "bf16 weights need a graph of level 3, this one has level %d",
                       graph->level);
    }
    for (size_t i = 0; i < graph->node_count; i++) {
        bool takes = takes_bf16(graph, &graph->nodes[i]);
        if (takes && !weight_to_bf16(graph, graph->nodes[i].inputs[LINEAR_WEIGHT])) {
            return rt_fail_nomem(err, 0);
        }
    }
    return rt_graph_convert_inputs(graph, err);
}
