/* SPDX-License-Identifier: Apache-2.0
 * Runs plain operators (levels 0 to 2) one by one, in plain C, on padded tensors with concrete shapes. */
#include "engine/step.h"

#include <string.h>

/* The inputs of the graph as ONNX feeds them; false for an unknown name. */
static bool bind_input(const rt_value *value, const rt_chunk *chunk, rt_tensor *tensor) {
    const void *data = strcmp(value->name, "input_ids") == 0        ? chunk->wide_ids
                       : strcmp(value->name, "token_type_ids") == 0 ? chunk->wide_types
                       : strcmp(value->name, "attention_mask") == 0 ? chunk->wide_mask
                                                                    : NULL;
    *tensor = (rt_tensor){.name = value->name, .data = data, .dtype = RETORT_I64, .rank = 2};
    tensor->shape[0] = (int64_t)chunk->batch;
    tensor->shape[1] = (int64_t)chunk->seq;
    return data != NULL;
}

/* A value with its concrete dims in this chunk, for the results of fused steps, which record no shapes. */
static void bind_rows(const rt_value *value, const rt_chunk *chunk, rt_tensor *tensor) {
    const int64_t dims[] = {(int64_t)chunk->batch, (int64_t)chunk->seq, (int64_t)chunk->rows,
                            (int64_t)chunk->mask_tokens};
    tensor->dtype = value->dtype;
    tensor->rank = value->rank;
    for (int i = 0; i < value->rank; i++)
        tensor->shape[i] = value->dims[i] >= 0 ? value->dims[i] : dims[-1 - value->dims[i]];
}

static bool bind(const rt_step *step, const rt_chunk *chunk, rt_worker *worker, int input) {
    const rt_plan *plan = worker->plan;
    const rt_place *place = &step->in[input];
    const rt_value *value = &plan->graph->values[place->value];
    rt_tensor *tensor = &worker->tensors[place->value];
    if (value->input) return bind_input(value, chunk, tensor);
    /* Plain steps have recorded the shape of their result; fused steps do not. */
    if (value->producer < 0 || !plan->steps[value->producer].plain) {
        tensor->name = value->name;
        bind_rows(value, chunk, tensor);
    }
    tensor->data = rt_place_at(place, worker);
    return true;
}

static void fail(rt_worker *worker, const rt_step *step, const char *what) {
    if (worker->status != RETORT_OK) return;
    worker->status = rt_fail(&worker->error, RETORT_FORMAT, "%s: %s", step->node->name, what);
}

void rt_step_plain(const rt_step *step, const rt_chunk *chunk, rt_worker *worker) {
    rt_op_evaluation e = {.node = step->node, .mask_id = step->mask_id};
    if (worker->part != 0 || worker->status != RETORT_OK) return;
    for (int i = 0; i < step->node->input_count; i++) {
        if (step->in[i].value < 0) continue;
        if (!bind(step, chunk, worker, i)) {
            fail(worker, step, "reads an input that is none of input_ids, token_type_ids, attention_mask");
            return;
        }
        e.inputs[i] = &worker->tensors[step->in[i].value];
    }
    worker->status = rt_op_evaluate(&e, &worker->error);
    for (int i = 0; i < step->node->output_count && worker->status == RETORT_OK; i++) {
        size_t count;
        rt_tensor *out = &e.outputs[i];
        if (!rt_shape_count(out->shape, out->rank, &count) ||
            count > step->out_bytes[i] / rt_dtype_size(out->dtype)) {
            fail(worker, step, "a result is larger than its shape in the graph allows");
            return;
        }
        out->data = rt_place_at(&step->out[i], worker);
        worker->tensors[step->out[i].value] = *out;
    }
    if (worker->status == RETORT_OK) worker->status = rt_op_evaluate(&e, &worker->error);
}
