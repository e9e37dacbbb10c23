/* SPDX-License-Identifier: Apache-2.0
 * Level 2: Linear nodes whose columns are pairs (kernel.h, rt_gate_args): gates, and Q and K that are turned. */
#include "base/memory.h"
#include "graph/match.h"

/* Where column j of n goes when its partner is in another n columns; the partner stands `rt_min(16, n - block)` after it. */
static int64_t paired(int64_t j, int64_t n, bool second) {
    int64_t block = j / RT_PANEL * RT_PANEL, half = n - block < RT_PANEL ? n - block : RT_PANEL;
    return 2 * block + j % RT_PANEL + (second ? half : 0);
}

/* out[·, to(j)] = the columns of a constant [rows, n] or [n] */
static void place(const rt_graph *graph, int value, int64_t rows, int64_t wide, bool second, float *out) {
    const float *data = graph->values[value].data;
    int64_t n = wide / 2;
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < n; j++) out[i * wide + paired(j, n, second)] = data[i * n + j];
    }
}

/* ---- Gates ---- */

/* act(x A + a) (x B + b) */
static bool match_gate(const rt_graph *graph, const rt_node *mul, rt_linear_match out[2]) {
    for (int k = 0; mul->op == RT_OP_MUL && k < 2; k++) {
        bool found = rt_match_linear(graph, mul->inputs[k], &out[0]) && out[0].act != RT_FN_NONE &&
                     rt_match_plain_linear(graph, mul->inputs[1 - k], &out[1]) && out[0].x == out[1].x &&
                     rt_only_reader(graph, mul->inputs[k]) >= 0 && out[0].residual < 0 && out[0].rotary < 0 &&
                     out[1].rotary < 0 && out[0].n == out[1].n && rt_is_weight(graph, out[0].weight) &&
                     rt_is_weight(graph, out[1].weight) && graph->nodes[out[0].node].attrs.heads == 0 &&
                     graph->nodes[out[1].node].attrs.heads == 0;
        if (found) return true;
    }
    return false;
}

static bool to_gate(rt_graph *graph, int index) {
    rt_linear_match part[2];
    const rt_node mul = graph->nodes[index];
    if (!match_gate(graph, &mul, part)) return false;
    int64_t k = part[0].k, wide = 2 * part[0].n;
    const char *scope = graph->nodes[part[0].node].name;
    bool biased = part[0].bias >= 0 || part[1].bias >= 0;
    float *weight = rt_floats(graph, k, wide), *bias = biased ? rt_floats(graph, wide, 1) : NULL;
    if (weight == NULL || (biased && bias == NULL)) return false;
    for (int p = 0; p < 2; p++) {
        place(graph, part[p].weight, k, wide, p == 1, weight);
        if (part[p].bias >= 0) place(graph, part[p].bias, 1, wide, p == 1, bias);
    }
    int inputs[] = {part[0].x, rt_add_constant(graph, scope, "pairs", 2, (int64_t[]){k, wide}, weight),
                    biased ? rt_add_constant(graph, scope, "pairs.bias", 1, &wide, bias) : -1};
    return rt_replace_node(graph, index, index, RT_OP_LINEAR, biased ? 3 : 2, inputs,
                           &(rt_attrs){.act = part[0].act, .gate = true});
}

retort_status rt_rewrite_fuse_gate(rt_graph *graph, size_t *count, retort_error *err) {
    return rt_rewrite_each(graph, to_gate, count, err);
}

/* ---- Turns ---- */

/* A constant whose columns are heads, with halves of each head in turns. */
static int turned_constant(rt_graph *graph, int value, int64_t dim) {
    const rt_value v = graph->values[value];
    int64_t rows = v.rank == 2 ? v.dims[0] : 1, n = v.dims[v.rank - 1];
    const float *data = v.data;
    float *out = rt_floats(graph, rows, n);
    for (int64_t i = 0; out != NULL && i < rows * n; i++) {
        int64_t column = i % n, j = column % dim, head = column - j;
        bool second = j >= dim / 2;
        out[i - column + head + paired(second ? j - dim / 2 : j, dim / 2, second)] = data[i];
    }
    return rt_change_constant(graph, value, v.rank, v.dims, out);
}

bool rt_linear_turn(rt_graph *graph, const rt_linear_match *linear, int angles, int64_t dim) {
    int weight = turned_constant(graph, linear->weight, dim);
    int bias = linear->bias >= 0 ? turned_constant(graph, linear->bias, dim) : -1;
    if (weight < 0 || (linear->bias >= 0 && bias < 0)) return false;
    rt_node_read(graph, linear->node, LINEAR_WEIGHT, weight);
    for (int i = LINEAR_BIAS; i < LINEAR_ROTARY; i++)
        rt_node_read(graph, linear->node, i, i == LINEAR_BIAS ? bias : -1);
    rt_node_read(graph, linear->node, LINEAR_ROTARY, angles);
    graph->nodes[linear->node].attrs.rotate = linear->n;
    return true;
}
