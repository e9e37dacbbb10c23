/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/plan.h"

static retort_status plan_output(rt_plan *plan, retort_error *err) {
    const rt_value *value = &plan->graph->values[plan->graph->output];
    if (value->dtype != RETORT_F32 || !rt_value_row_set(value, &plan->output_rows) ||
        value->dims[value->rank - 1] < 1) {
        return rt_fail(err, RETORT_FORMAT, "output '%s': expected float rows of a batch", value->name);
    }
    plan->output_columns = (size_t)value->dims[value->rank - 1];
    return RETORT_OK;
}

static retort_status plan_steps(rt_plan *plan, const rt_kernels *kernels, retort_error *err) {
    const rt_graph *graph = plan->graph;
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        rt_step *step = &plan->steps[plan->step_count++];
        step->node = node;
        step->mask_id = graph->mask_id;
        for (int j = 0; j < RT_MAX_INPUTS; j++) {
            int value = rt_operand(node, j);
            step->in[j] = (rt_place){.data = value < 0 ? NULL : graph->values[value].data, .value = value};
        }
        for (int j = 0; j < RT_MAX_OUTPUTS; j++) {
            step->out[j] = (rt_place){.value = j < node->output_count ? node->outputs[j] : -1};
        }
        retort_status status = rt_lower(plan, step, kernels, err);
        if (status != RETORT_OK) return status;
    }
    return RETORT_OK;
}

retort_status rt_plan_make(rt_plan *out, const rt_graph *graph, const rt_kernels *kernels,
                           const rt_unpacking *unpacking, size_t capacity, size_t positions,
                           retort_error *err) {
    *out =
        (rt_plan){.graph = graph, .capacity = capacity, .positions = positions, .padded = graph->level < 3};
    if (unpacking != NULL) out->unpacking = *unpacking;
    retort_status status = plan_output(out, err);
    out->steps = rt_arena_calloc(&out->memory, graph->node_count, sizeof *out->steps);
    if (status == RETORT_OK && out->steps == NULL)
        status = rt_fail_nomem(err, graph->node_count * sizeof *out->steps);
    if (status == RETORT_OK) status = plan_steps(out, kernels, err);
    if (status == RETORT_OK) status = rt_plan_memory(out, false, err);
    if (status != RETORT_OK) rt_plan_free(out);
    return status;
}

void rt_plan_free(rt_plan *plan) {
    rt_arena_free(&plan->memory);
    *plan = (rt_plan){0};
}
