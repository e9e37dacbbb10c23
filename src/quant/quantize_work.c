/* SPDX-License-Identifier: Apache-2.0
 * The work and the memory of a quantisation, estimated from the shapes of its matrices, for progress and
 * limits. */
#include "quant/quantizer.h"

/* Multiplications per weight when rounding to nearest tries scales; per weight and column of a table in
 * coordinate descent; for importance: forward, backward, and the sums once more. Cost of a product of
 * doubles in products of floats. */
enum { TRIES = 64, SEARCHES = 8, PASSES = 4, DOUBLE = 4 };

typedef struct sizes {
    double k, n;
} sizes;

static sizes sizes_of(const rt_quantizer *q, int node) {
    const rt_value *weight = &q->graph->values[q->graph->nodes[node].inputs[LINEAR_WEIGHT]];
    return (sizes){(double)weight->dims[0], (double)weight->dims[1]};
}

static double threads(const rt_quantizer *q) {
    return q->pool != NULL ? rt_thread_pool_size(q->pool) : 1;
}

static bool is_joint(const rt_quantizer *q, int node) {
    return q->row->important && rt_importance_joint(q->graph, &q->graph->nodes[node]);
}

double rt_work_round(const rt_quantizer *q, int node) {
    sizes s = sizes_of(q, node);
    bool table = q->graph->nodes[node].op == RT_OP_EMBED;
    if (table) return q->row->important && q->table_bits < 8 ? SEARCHES * s.k * s.n * s.n : TRIES * s.k * s.n;
    if (q->wave[node] < 0 || q->row->rounding == RT_ROUND_NEAREST) return TRIES * s.k * s.n;
    double work = s.k * s.k * s.n + DOUBLE * s.k * s.k * s.k / 3;
    if (is_joint(q, node)) work += s.k * s.n * s.n / 2 + DOUBLE * s.n * s.n * s.n / 3;
    return work / threads(q);
}

static double tokens(const rt_quantizer *q) {
    return (double)q->calibration.texts.tokens;
}

double rt_work_wave(const rt_quantizer *q, int wave) {
    double a_token = 0;
    for (size_t i = 0; i < q->node_count; i++) {
        if (q->wave[i] < 0 || q->wave[i] > wave) continue;
        sizes s = sizes_of(q, (int)i);
        a_token += s.k * s.n + (q->wave[i] == wave ? s.k * s.k / 2 : 0);
    }
    return tokens(q) * a_token;
}

double rt_work_importance(const rt_quantizer *q) {
    double a_token = DOUBLE * (double)q->calibration.model->config.hidden *
                     (double)q->calibration.model->config.hidden / 2;
    for (size_t i = 0; i < q->node_count; i++) {
        if (q->graph->nodes[i].op != RT_OP_LINEAR) continue;
        sizes s = sizes_of(q, (int)i);
        a_token += PASSES * s.k * s.n + (is_joint(q, (int)i) ? s.n * s.n / 2 : 0);
    }
    return tokens(q) * a_token / threads(q);
}

void rt_work_plan(rt_quantizer *q, int waves) {
    q->total = q->row->important ? rt_work_importance(q) : 0;
    for (int i = 0; i < waves; i++) q->total += rt_work_wave(q, i);
    for (size_t i = 0; i < q->node_count; i++) {
        if (rt_quantizer_due(q, &q->graph->nodes[i])) q->total += rt_work_round(q, (int)i);
    }
}

/* ---- Memory ---- */

/* Rows of a chunk with all values separate, their gradients, and those of the widest Linear twice more. */
static double tape_bytes(const rt_quantizer *q) {
    double columns = 0, widest = 0, weight = 0;
    double rows = (double)rt_calibration_rows((size_t)q->calibration.model->config.positions);
    for (size_t i = 0; i < q->node_count; i++) {
        const rt_node *node = &q->graph->nodes[i];
        const rt_value *out = &q->graph->values[node->outputs[0]];
        columns += out->rank == 2 && out->dims[1] > 0 ? (double)out->dims[1] : 0;
        if (node->op != RT_OP_LINEAR) continue;
        sizes s = sizes_of(q, (int)i);
        widest = s.n > widest ? s.n : widest;
        weight = s.k * s.n > weight ? s.k * s.n : weight;
    }
    return sizeof(float) * (2 * rows * (columns + widest) + 2 * weight);
}

/* Memory to round one matrix: the factors of both sides, and the errors. */
static double round_bytes(const rt_quantizer *q, int node) {
    sizes s = sizes_of(q, node);
    double bytes = s.k * s.k * (sizeof(double) + sizeof(float));
    if (is_joint(q, node))
        bytes += s.n * s.n * (sizeof(double) + sizeof(float) / 2.0) + s.k * s.n * sizeof(float);
    return bytes;
}

size_t rt_work_memory(const rt_quantizer *q, int waves) {
    double kept = 0, most = q->row->important ? tape_bytes(q) : 0;
    if (q->calibration.model == NULL) return 0;
    for (size_t i = 0; i < q->node_count; i++) {
        double n = q->graph->nodes[i].op == RT_OP_LINEAR ? sizes_of(q, (int)i).n : 0;
        if (is_joint(q, (int)i)) kept += n * n * sizeof(float); /* the upper half is reserved, not touched */
    }
    for (int w = 0; w < waves && q->row->rounding != RT_ROUND_NEAREST; w++) {
        double moments = 0, largest = 0;
        for (size_t i = 0; i < q->node_count; i++) {
            if (q->wave[i] != w) continue;
            sizes s = sizes_of(q, (int)i);
            moments += s.k * s.k * sizeof(double) + s.k * s.n * 2;
            largest = round_bytes(q, (int)i) > largest ? round_bytes(q, (int)i) : largest;
        }
        double all = moments + threads(q) * largest;
        most = all > most ? all : most;
    }
    return (size_t)(kept + most);
}
