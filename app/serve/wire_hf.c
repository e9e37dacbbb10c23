/* SPDX-License-Identifier: Apache-2.0
 * POST /: Hugging Face's inference form when the body has "parameters", else that of Text Embeddings
 * Inference. huggingface_hub's text_classification takes the first of a list of lists. */
#include "serve/server.h"

static bool read_function(srv_call *call, const srv_json *parameters) {
    static const struct {
        const char *name;
        srv_function function;
    } functions[] = {{"softmax", SRV_SOFTMAX}, {"sigmoid", SRV_SIGMOID}, {"none", SRV_PLAIN}};
    const srv_json *value = srv_json_get(parameters, "function_to_apply");
    if (value == NULL || value->kind == SRV_NULL) return true;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        if (!srv_json_equals(value, functions[i].name)) continue;
        call->ask.function = functions[i].function;
        return true;
    }
    return srv_call_fail(call, SRV_ERROR_INVALID,
                         "parameters.function_to_apply: expected 'softmax', 'sigmoid' or 'none'");
}

/* A string, or an object with a text and what it is paired with. */
static bool read_text(srv_call *call, const srv_json *value, const char *first, const char *second) {
    const srv_json *pair = srv_json_get(value, second);
    if (value->kind != SRV_OBJECT) return srv_add_string(call, "inputs", value);
    if (!srv_add_string(call, first, srv_json_get(value, first))) return false;
    if (pair == NULL) return true;
    if (pair->kind != SRV_STRING) return srv_call_wrong(call, second, "a string", pair);
    call->ask.texts[call->ask.count - 1].pair = pair->text;
    call->ask.texts[call->ask.count - 1].pair_length = pair->length;
    call->characters += pair->length;
    return true;
}

/* Inputs as the pipelines take them: one, or a list. */
static bool read_inputs(srv_call *call, const srv_json *inputs, bool questions) {
    const char *first = questions ? "question" : "text", *second = questions ? "context" : "text_pair";
    if (inputs == NULL) return srv_call_fail(call, SRV_ERROR_INVALID, "inputs is missing");
    call->ask.single = inputs->kind != SRV_ARRAY;
    if (call->ask.single) return read_text(call, inputs, first, second);
    const srv_json *at = srv_json_first(inputs);
    for (uint32_t i = 0; i < inputs->count; i++, at = srv_json_next(at)) {
        if (!read_text(call, at, first, second)) return false;
    }
    return true;
}

static bool all_paired(srv_call *call) {
    for (size_t i = 0; i < call->ask.count; i++) {
        if (call->ask.texts[i].pair == NULL)
            return srv_call_fail(call, SRV_ERROR_INVALID, "inputs: expected {\"question\", \"context\"}");
    }
    return true;
}

/* The task of the model that will answer; -1: there is none. */
static int task_of(srv_call *call) {
    bool known;
    srv_engine *engine = srv_server_engine(call->server, SRV_ANY_TASK, &call->model, &known);
    if (engine == NULL) return -1;
    int task = (int)engine->info.task;
    srv_engine_leave(engine);
    return task;
}

bool srv_hf_read(srv_call *call, const srv_json *body) {
    const srv_json *inputs = srv_json_get(body, "inputs"), *parameters = srv_json_get(body, "parameters");
    if (!srv_read_model(call, body)) return false;
    int task = task_of(call);
    bool embeds = task == RETORT_TASK_EMBED, questions = task == RETORT_TASK_ANSWER;
    bool rows = embeds || task == RETORT_TASK_CLASSIFY;
    if (parameters == NULL && rows)
        return embeds ? srv_tei_read_embed(call, body) : srv_tei_read_predict(call, body);
    if (parameters != NULL && parameters->kind != SRV_OBJECT && parameters->kind != SRV_NULL)
        return srv_call_wrong(call, "parameters", "an object", parameters);
    call->ask.nested = true;
    if (!read_function(call, parameters) ||
        !srv_read_int(call, parameters, "top_k", 1, INT32_MAX, &call->ask.top) ||
        !srv_read_cut(call, parameters) ||
        !srv_read_bool(call, parameters, "normalize", &call->ask.normalize))
        return false;
    return read_inputs(call, inputs, questions) && (!questions || all_paired(call));
}

/* The workers have written JSON already. */
static void write_parts(srv_call *call) {
    if (!call->ask.single) srv_out_text(&call->answer, "[");
    for (size_t i = 0; i < call->ask.count; i++) {
        const char *part = call->job.items[i].row->answer;
        if (*part == '!') {
            srv_call_fail(call, SRV_ERROR_INVALID, "text %zu: %s", i, part + 1);
            return;
        }
        if (i > 0) srv_out_text(&call->answer, ",");
        srv_out_text(&call->answer, part);
    }
    if (!call->ask.single) srv_out_text(&call->answer, "]");
}

void srv_hf_write(srv_call *call) {
    if (!srv_engine_has_rows(call->engine)) {
        write_parts(call);
    } else if (call->engine->info.task == RETORT_TASK_EMBED) {
        srv_tei_write_embed(call);
    } else {
        srv_tei_write_predict(call);
    }
}
